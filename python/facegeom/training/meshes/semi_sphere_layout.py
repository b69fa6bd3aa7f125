"""`facegeom prepare semi-sphere`: search for a good triangulation of the semi-sphere that the graph networks deform.

The best triangulation found is part of the package. Each triangulation of a disk with a hole with 141 vertices, of
which 72 lie on the two boundaries, has 210 triangles. For several divisions of the 72 vertices between the boundaries,
the other 69 vertices are distributed with a spacing that increases with the distance from the boundaries, and relaxed
towards a centroidal Voronoi tessellation. The best results are improved by random moves that increase the smallest
angle. The edge length is limited, because otherwise all vertices would concentrate near the boundaries and a few large
triangles would cover the eyes and the nose. The left half is the mirror image of the right half.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.files import write_npz
from facegeom._internal.outputs import side_file
from facegeom.face_model import load_face_model
from facegeom.networks.semi_sphere import build_semi_sphere, in_sphere_frame, triangle_angles
from facegeom.training.meshes.semi_sphere_truth import semi_sphere_on

VERTICES, BOUNDARY, TRIANGLES = 141, 72, 210

# Lengths are in units of the crop frame of a crop 1.1 times as large as the face. The ellipsoid is fitted to the region
# "map" of the mean face; the RMS distance is 15 mm, and largest at the nose.
AXES = (0.78, 0.91)  # horizontal and vertical semi-axis of the outline
DOME, CUT = 0.86, 0.95  # surface z = DOME sqrt(1 - (CUT r)^2), where r = 1 on the outline
MOUTH_HEIGHT = -0.43  # y of the centre of the hole at the mouth

GRID = 2048  # vertices are rounded to multiples of 1/GRID, so that rounding errors do not affect the triangulation
SIDE = 0.1  # vertex spacing at the boundaries
LONGEST_EDGE = 0.30  # limit of the edge length (about 29 mm); with 0.27 no smallest angle reaches 10 degrees
RELAXATIONS, TRIALS = 30, 6000  # numbers of relaxation steps and of random moves
POLISHED = 6  # number of layouts, the best after relaxation, that are improved by random moves
STEP = 0.03  # largest standard deviation of a random move


@dataclass(frozen=True)
class LayoutCandidate:
    """One tested choice of the numbers and distances of the vertices on the semi-sphere.

    The semi-sphere has a hole at the mouth. Lengths have the same unit as `AXES`.
    """

    outline: int  # number of vertices on the outer boundary; the other boundary vertices are on the hole
    mouth: tuple[float, float]  # half width and half height of the hole in the image plane
    middle: int  # number of vertices on the plane of symmetry that are not on a boundary
    growth: float  # increase of the vertex spacing, divided by the distance from the nearest boundary


CANDIDATES = tuple(
    LayoutCandidate(outline, mouth, middle, growth)
    for outline in (56, 52, 48, 44)
    for mouth in ((0.28, 0.08), (0.32, 0.14))
    for middle in (7, 9, 11)
    for growth in (0.1, 0.2, 0.3)
)


@dataclass(frozen=True)
class Layout:
    """A triangulation of the semi-sphere, projected onto the image plane, and the quality of the triangulation.

    Attributes
    ----------
    plane : (141, 2) float array
        Vertices: outline, hole, right half, left half, middle line.
    faces : (m, 3) int64 array
    angle : float
        Quality: the smallest angle of the triangles on the semi-sphere in degrees, minus 1000 times the excess of the
        longest edge over `LONGEST_EDGE`. -1000 if there are not 210 triangles or if the triangles are not symmetric.
    """

    plane: FloatArray
    faces: IntArray
    angle: float


class LayoutSearch:
    """Search for the best layout with given parameters.

    The boundary vertices are fixed; the inner vertices of the right half, `right` (h, 2), and the heights of the inner
    vertices on the middle line, `middle` (k,), are optimised.

    Parameters
    ----------
    candidate : LayoutCandidate

    Attributes
    ----------
    start : tuple of `right` and `middle`
        Initial values of the optimisation; `relaxed` replaces them by the best values found.
    """

    def __init__(self, candidate: LayoutCandidate) -> None:
        self.candidate = candidate
        inner = BOUNDARY - candidate.outline
        self.boundary = np.concatenate(
            [_ellipse(candidate.outline, AXES, 0.0), _ellipse(inner, candidate.mouth, MOUTH_HEIGHT)]
        )
        self.half = (VERTICES - BOUNDARY - candidate.middle) // 2
        top, bottom = MOUTH_HEIGHT + candidate.mouth[1], MOUTH_HEIGHT - candidate.mouth[1]
        above, below = AXES[1] - top, AXES[1] + bottom
        count = round(candidate.middle * above / (above + below))
        up = top + above * np.arange(1, count + 1) / (count + 1)
        rest = candidate.middle - count
        down = bottom - below * np.arange(1, rest + 1) / (rest + 1)
        self.start = self._spread(np.concatenate([up, down]))

    def _spread(self, middle: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the initial inner vertices of the right half, (h, 2), and `middle` unchanged.

        Farthest point sampling chooses the vertices, with distances relative to the target spacing.
        """
        rng = np.random.default_rng(0)
        points = rng.uniform((0.05, -AXES[1]), AXES, (6000, 2))
        inside = (points**2 / np.square(AXES)).sum(axis=1) < 0.9
        hole = (points - (0, MOUTH_HEIGHT)) / self.candidate.mouth
        points = points[inside & ((hole**2).sum(axis=1) > 1.3)]
        size = self._size(points)
        taken = np.concatenate([self.boundary, np.column_stack([0 * middle, middle])])
        away = _distance(points, taken)
        chosen = []
        for _ in range(self.half):
            chosen.append(points[np.argmax(away / size)])
            away = np.minimum(away, np.linalg.norm(points - chosen[-1], axis=1))
        return np.array(chosen), middle

    def _size(self, points: FloatArray) -> FloatArray:
        return SIDE + self.candidate.growth * _distance(points, self.boundary)

    def layout(self, right: FloatArray, middle: FloatArray) -> Layout:
        """Return the Delaunay triangulation of the inner vertices `right` and `middle` with the boundaries."""
        left = right * (-1, 1)
        plane = np.concatenate([self.boundary, right, left, np.column_stack([0 * middle, middle])])
        plane = np.rint(plane * GRID) / GRID
        faces = geometry.delaunay(plane * GRID)
        hole = (faces >= self.candidate.outline) & (faces < BOUNDARY)
        faces = faces[~hole.all(axis=1)]
        if len(faces) != TRIANGLES or not is_symmetric(plane, faces):
            return Layout(plane, faces, -1000.0)
        V = on_cap(plane)
        longest = np.linalg.norm(V[faces] - V[np.roll(faces, 1, axis=1)], axis=2).max()
        excess = max(0.0, float(longest) - LONGEST_EDGE)
        return Layout(plane, faces, float(triangle_angles(V, faces).min()) - 1000 * excess)

    def relaxed(self) -> Layout:
        """Return the best layout of all relaxation steps, and store it as initial layout of `polished`."""
        right, middle = self.start
        best = self.layout(right, middle)
        for _ in range(RELAXATIONS):
            layout = self.layout(right, middle)
            if layout.angle > best.angle:
                best, self.start = layout, (right, middle)
            right, middle = self._moved(layout, right, middle)
        return best

    def _moved(self, layout: Layout, right: FloatArray, middle: FloatArray) -> tuple[FloatArray, FloatArray]:
        corners = layout.plane[layout.faces]
        centre = corners.mean(axis=1)
        one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        weight = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]) / self._size(centre) ** 4
        total, moments = np.full(VERTICES, 1e-12), np.zeros((VERTICES, 2))
        for corner in range(3):
            np.add.at(total, layout.faces[:, corner], weight)
            np.add.at(moments, layout.faces[:, corner], weight[:, None] * centre)
        target = moments / total[:, None]
        right = right + 0.7 * (target[BOUNDARY : BOUNDARY + self.half] - right)
        return right, middle + 0.7 * (target[BOUNDARY + 2 * self.half :, 1] - middle)

    def polished(self) -> Layout:
        """Return the layout after random moves of single vertices; only moves that improve the quality are kept."""
        rng = np.random.default_rng(0)
        right, middle = self.start
        layout = self.layout(right, middle)
        for _ in range(TRIALS):
            angles = triangle_angles(on_cap(layout.plane), layout.faces)
            worst = layout.faces[np.argmin(angles.min(axis=1))] if rng.random() < 0.7 else rng.choice(layout.faces)
            free = worst[worst >= BOUNDARY] - BOUNDARY
            if not len(free):
                continue
            row, move = int(rng.choice(free)), rng.normal(0, STEP * rng.random(), 2)
            moved, shifted = right.copy(), middle.copy()
            if row < 2 * self.half:
                moved[row % self.half] += move
            else:
                shifted[row - 2 * self.half] += move[1]
            trial = self.layout(moved, shifted)
            if trial.angle > layout.angle:
                layout, right, middle = trial, moved, shifted
        return layout


def on_cap(plane: FloatArray) -> FloatArray:
    """Project points of the image plane, (n, 2), onto the semi-sphere; return (n, 3)."""
    radius = (plane**2 / np.square(AXES)).sum(axis=1)
    return np.column_stack([plane, DOME * np.sqrt(1 - CUT**2 * np.minimum(radius, 1.0))])


def centred(V: FloatArray, F: IntArray) -> FloatArray:
    """Return the vertices shifted in z so that the area-weighted mean depth is 0."""
    corners = V[F]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    depth = float((area * corners[..., 2].mean(axis=1)).sum() / area.sum())
    return np.asarray(V - (0, 0, depth))


def is_symmetric(plane: FloatArray, faces: IntArray) -> bool:
    """Return whether reflection in x = 0 maps the set of triangles onto itself."""
    other = geometry.nearest(plane, plane * (-1, 1))[0]
    mine, theirs = (np.sort(np.sort(rows, axis=1) @ (VERTICES**2, VERTICES, 1)) for rows in (faces, other[faces]))
    return np.array_equal(mine, theirs)


def _ellipse(count: int, axes: tuple[float, float], height: float) -> FloatArray:
    """Return (count, 2) points of an ellipse, clockwise from the top, symmetric, evenly spaced on the semi-sphere."""
    turn = np.linspace(0, np.pi, 4097)
    curve = np.column_stack([axes[0] * np.sin(turn), height + axes[1] * np.cos(turn)])
    length = np.linalg.norm(np.diff(on_cap(curve), axis=0), axis=1).cumsum()
    place = np.interp(np.arange(count // 2 + 1) * length[-1] * 2 / count, [0.0, *length], turn)
    right = np.column_stack([axes[0] * np.sin(place), height + axes[1] * np.cos(place)])
    right[[0, -1], 0] = 0.0
    return np.concatenate([right, right[-2:0:-1] * (-1, 1)])


def _distance(points: FloatArray, others: FloatArray) -> FloatArray:
    return geometry.nearest(others, points)[1]


def draw(layout: Layout, size: int = 900) -> ByteArray:
    """Return a picture of a layout from the front, (size, size, 3) uint8."""
    picture = np.full((size, size, 3), 255, np.uint8)
    places = np.rint((layout.plane * (1, -1) + 1) / 2 * (size - 1) * 16).astype(int)
    for face in layout.faces:
        cv2.polylines(picture, [places[face]], True, (90, 90, 90), 1, cv2.LINE_AA, 4)
    for row, (x, y) in enumerate(places.tolist()):
        cv2.circle(picture, (x, y), 5 * 16, (200, 60, 40) if row < BOUNDARY else (40, 90, 200), -1, cv2.LINE_AA, 4)
    return picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare semi-sphere` to a parser."""
    parser.add_argument(
        "--out", "-o", default="runs/semi_sphere.npz", help="path of the file to write (default: %(default)s)"
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the layout and its picture."""
    return [Path(args.out), side_file(Path(args.out), "preview.png")]


def run(args: argparse.Namespace) -> int:
    """Print the quality of the best layouts; write the best layout to an .npz file and a picture to the same folder."""
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    searches = [LayoutSearch(candidate) for candidate in CANDIDATES]
    searches.sort(key=lambda search: -search.relaxed().angle)
    found = [(search.polished(), search.candidate) for search in searches[:POLISHED]]
    for layout, candidate in sorted(found, key=lambda pair: -pair[0].angle):
        print(f"{layout.angle:6.2f} degrees: {candidate}", flush=True)
    best = max((layout for layout, _ in found), key=lambda layout: layout.angle)
    vertices = centred(on_cap(best.plane), best.faces)
    model = load_face_model()
    on_mean = semi_sphere_on(model, build_semi_sphere(vertices, best.faces))(model.mean)
    mean = in_sphere_frame(model, on_mean).astype(np.float32)
    write_npz(out, {"vertices": vertices, "faces": best.faces, "mean": mean})
    cv2.imwrite(str(side_file(out, "preview.png")), cv2.cvtColor(draw(best), cv2.COLOR_RGB2BGR))
    return 0
