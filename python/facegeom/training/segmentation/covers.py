"""Things that cover a head, as simple meshes: hats, bands, hoods, masks, microphones, cups, hands, phones and more."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.geometry import rasterize, vertex_normals
from facegeom.images.crop import apply_affine
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_surroundings import Pictures, grey_or_tinted, random_backdrop
from facegeom.training.data.texture_model import skin_vertices

FINE = 2  # pixels of the drawing along a pixel of the image
NEAR_MM = 2.0  # depth by which a cover may be inside the head
STEP_MM = 4.0  # distance between the points of a mask
SKULL_MM = np.array([0.0, 15.0, -75.0])  # a hat raises the scalp away from this point
SHADOW = 0.02  # width of the shadow of a cover, standard deviation relative to the size of the image
KINDS = ("hat", "band", "hood", "mask", "hand", "microphone", "cup", "phone", "headphones")
SHARES = (0.26, 0.14, 0.12, 0.15, 0.15, 0.06, 0.04, 0.04, 0.04)


class Solid(NamedTuple):
    """A mesh in the face frame: V (v, 3) mm, F (m, 3), colours (v, 3) in [0, 255]."""

    V: FloatArray
    F: IntArray
    colours: FloatArray


class Covered(NamedTuple):
    """An image (h, w, 3) float32 with a cover, and the share of each pixel that the cover hides, (h, w)."""

    image: Float32Array
    share: Float32Array


class Covers:
    """Draws random covers on heads of a face model.

    Parameters
    ----------
    model : FaceModel
    pictures : images from which the patterns of cloth are cut; may be empty
    """

    def __init__(self, model: FaceModel, pictures: Pictures | list[np.ndarray]) -> None:
        self.model, self.pictures = model, pictures
        self.skin = skin_vertices(model)
        self.skin_faces = model.faces[self.skin[model.faces].all(1)]
        self.lips = model.landmarks68[[48, 54, 51, 57]]
        self.chin, self.nose = int(model.landmarks68[8]), int(model.landmarks68[30])
        self.ears = [np.flatnonzero(model.regions[f"ear_{side}"]) for side in ("left", "right")]

    def draw(self, head: FloatArray, skin: FloatArray, rng: np.random.Generator) -> Solid:
        """Return a random cover of a head.

        Parameters
        ----------
        head : (n, 3) float array, mm
            Vertices of the face model.
        skin : (3,) float array
            Colour of the skin, that of hands.
        rng : Generator
        """
        kind = KINDS[rng.choice(len(KINDS), p=SHARES)]
        solid: Solid = getattr(self, f"_{kind}")(head, np.asarray(skin, float), rng)
        return solid

    def _mask(self, head: FloatArray, _: FloatArray, rng: np.random.Generator) -> Solid:
        width, top = rng.uniform(50, 66), head[self.nose, 1] + rng.uniform(-6, 24)
        low = head[self.chin, 1] - rng.uniform(-12, 6)
        columns, rows = int(2 * width / STEP_MM), int((top - low) / STEP_MM)
        span = 400
        pixels = head[self.skin] * (0.5, -0.5, 1.0) + (span / 4, span / 4, 0)  # of 2 mm
        remap = np.cumsum(self.skin) - 1
        depth = rasterize(pixels, remap[self.skin_faces], None, (span // 2, span // 2)).depth
        depth = np.nan_to_num(depth, nan=-120.0).astype(np.float32)
        raised = cv2.GaussianBlur(cv2.dilate(depth, np.ones((9, 9), np.uint8)), (0, 0), 1.5)
        y, x = np.meshgrid(np.linspace(top, low, rows), np.linspace(-width, width, columns), indexing="ij")
        sag = rng.uniform(0.3, 1.0) * (np.abs(x) / width) ** 2 * 26  # the upper edge falls to the sides
        edge = np.linspace(1, 0, rows)[:, None]
        y = y - sag * edge + 14 * (1 - edge) * (np.abs(x) / width) ** 2
        at = np.clip(np.rint([y * -0.5 + span / 4, x * 0.5 + span / 4]), 0, span // 2 - 1).astype(int)
        z = raised[at[0], at[1]] + rng.uniform(2, 7)
        V = np.stack([x, y, z], -1).reshape(-1, 3)
        colour = ((235, 238, 240), (150, 195, 220), (25, 25, 28), tuple(rng.uniform(20, 235, 3)))[rng.integers(4)]
        pleats = 1 + rng.uniform(0, 0.12) * np.sin(np.linspace(0, rng.uniform(6, 22), rows))[:, None] * np.ones_like(x)
        return Solid(V, _grid(rows, columns), np.asarray(colour) * pleats.reshape(-1, 1))

    def _part(self, inside: BoolArray) -> tuple[IntArray, IntArray]:
        """Return the vertices (v,) of the triangles whose corners are all inside, and these triangles, (m, 3) of v."""
        faces = self.model.faces[inside[self.model.faces].all(1)]
        used, F = np.unique(faces, return_inverse=True)
        return used, F.reshape(-1, 3)

    def _hat(self, head: FloatArray, _: FloatArray, rng: np.random.Generator) -> Solid:
        mean = self.model.mean
        front, slope = rng.uniform(34, 66), rng.uniform(0.0, 0.42)
        line = front - slope * (40 - mean[:, 2])
        inside = self.skin & (mean[:, 1] > line)
        used, F = self._part(inside)
        thick, crown = rng.uniform(6, 22), rng.choice([0.0, rng.uniform(10, 60)])
        height = np.clip((mean[used, 1] - line[used]) / 50, 0, 1)[:, None]
        V = _raised(head[used], thick) + np.array([0, 1.0, 0]) * crown * height
        colour = grey_or_tinted(rng, rng.uniform(15, 235), 45).astype(float)
        colours = np.tile(colour, (len(V), 1))
        if rng.random() < 0.35:  # a band, or another colour above
            other = grey_or_tinted(rng, rng.uniform(15, 235), 45)
            colours[(height[:, 0] < rng.uniform(0.15, 0.5))] = other
        stripes = 1 + rng.uniform(0, 0.2) * np.sin(V @ rng.normal(0, 0.35, 3))
        solids = [Solid(V, F, colours * stripes[:, None])]
        if rng.random() < 0.45:
            solids.append(_brim(front, slope, thick, colour * rng.uniform(0.7, 1.1), rng, rng.random() < 0.6))
        return _joined(solids)

    def _band(self, head: FloatArray, _: FloatArray, rng: np.random.Generator) -> Solid:
        """A band around the head, at times with the brim of a visor; hair is seen above it."""
        mean = self.model.mean
        front, slope, wide = rng.uniform(36, 62), rng.uniform(0.0, 0.5), rng.uniform(12, 50)
        line = front - slope * (40 - mean[:, 2])
        inside = self.skin & (mean[:, 1] > line) & (mean[:, 1] < line + wide)
        used, F = self._part(inside)
        thick = rng.uniform(4, 14)
        colour = grey_or_tinted(rng, rng.uniform(15, 245), 60).astype(float)
        V = _raised(head[used], thick)
        solids = [Solid(V, F, np.tile(colour, (len(V), 1)))]
        if rng.random() < 0.35:
            solids.append(_brim(front, slope, thick, colour * rng.uniform(0.7, 1.1), rng, False))
        return _joined(solids)

    def _hood(self, head: FloatArray, _: FloatArray, rng: np.random.Generator) -> Solid:
        """A hood or a scarf around the face: it covers scalp, ears and neck, and at times shows hair above the brow."""
        mean = self.model.mean
        across, up = rng.uniform(62, 80), rng.uniform(48, 78)
        low = rng.uniform(-150, -95) if rng.random() < 0.5 else -400.0  # an open or a closed neck
        x, y = mean[:, 0] / across, (mean[:, 1] + 25) / np.where(mean[:, 1] > -25, up + 25, 95.0)
        inside = self.skin & ((x**2 + y**2 > 1) | (mean[:, 2] < -60)) & ((mean[:, 1] > low) | (mean[:, 2] < -60))
        used, F = self._part(inside)
        V = _raised(head[used], rng.uniform(6, 26))
        colour = grey_or_tinted(rng, rng.uniform(10, 240), 45).astype(float)
        folds = 1 + rng.uniform(0.02, 0.25) * np.sin(V @ rng.normal(0, 0.12, 3) + rng.uniform(0, 6))
        return Solid(V, F, colour * folds[:, None])

    def _hand(self, head: FloatArray, skin: FloatArray, rng: np.random.Generator) -> Solid:
        target = head[rng.choice(np.flatnonzero(self.model.regions["face"] & (self.model.mean[:, 2] > -40)))]
        target = target + np.array([0, rng.uniform(-25, 5), rng.uniform(6, 22)])
        angle = rng.uniform(-0.9, 0.9) + (np.pi if rng.random() < 0.15 else 0.0)
        along = np.array([np.sin(angle), np.cos(angle), rng.uniform(-0.3, 0.3)])
        across = np.array([np.cos(angle), -np.sin(angle), rng.uniform(-0.2, 0.2)])
        size = rng.uniform(0.75, 1.15)
        colour = skin * rng.uniform(0.75, 1.15)
        spread, bend = rng.uniform(0.02, 0.3), rng.uniform(0, 22)
        solids = [_tube(np.stack([target - along * 150, target - along * 45 * size]), 24 * size, colour)]
        solids.append(_tube(np.stack([target - across * 26 * size, target + across * 26 * size]), 34 * size, colour))
        for finger in range(4):
            root = target + along * 34 * size + across * (finger - 1.5) * 19 * size
            turn = along + across * (finger - 1.5) * spread
            length = (62, 74, 70, 54)[finger] * size * rng.uniform(0.6, 1.05)
            steps = np.linspace(0, 1, 5)[:, None]
            path = root + turn * length * steps + np.array([0, 0, -bend]) * steps**2
            solids.append(_tube(path, 9.5 * size, colour * rng.uniform(0.92, 1.05)))
        side = rng.choice([-1.0, 1.0])
        thumb = target + across * side * 34 * size
        path = np.stack([thumb - along * 20 * size, thumb + across * side * 20 * size + along * 22 * size])
        solids.append(_tube(path, 11 * size, colour))
        return _joined(solids)

    def _microphone(self, head: FloatArray, _: FloatArray, rng: np.random.Generator) -> Solid:
        mouth = head[self.lips].mean(0)
        top = mouth + np.array([rng.normal(0, 22), rng.uniform(-45, 4), rng.uniform(22, 60)])
        radius = rng.uniform(18, 32)
        down = np.array([rng.normal(0, 0.35), -1.0, rng.uniform(-0.1, 0.5)])
        colour = grey_or_tinted(rng, rng.choice([25.0, 120.0, 60.0]), 12).astype(float)
        ball = _tube(np.stack([top - 0.3 * radius * down, top + 0.3 * radius * down]), radius, colour)
        handle = _tube(np.stack([top + radius * down, top + (radius + 170) * down]), rng.uniform(10, 17), colour * 0.7)
        return _joined([ball, handle])

    def _cup(self, head: FloatArray, _: FloatArray, rng: np.random.Generator) -> Solid:
        mouth = head[self.lips].mean(0) + np.array([rng.normal(0, 12), rng.uniform(-30, 2), rng.uniform(34, 50)])
        tilt = rng.uniform(-0.2, 0.9)
        axis = np.array([rng.normal(0, 0.15), -np.cos(tilt), np.sin(tilt)])
        colour = grey_or_tinted(rng, rng.uniform(30, 240), 45).astype(float)
        return _tube(np.stack([mouth, mouth + axis * rng.uniform(70, 110)]), rng.uniform(32, 44), colour, taper=0.8)

    def _phone(self, head: FloatArray, skin: FloatArray, rng: np.random.Generator) -> Solid:
        if rng.random() < 0.5:  # at the ear
            ear = head[self.ears[rng.integers(2)]].mean(0)
            centre = ear + np.array([np.sign(ear[0]) * 10, -18, 22])
            across, up = np.array([0.15, 0.3, 1.0]), np.array([0.0, 1.0, -0.35])
        else:
            centre = head[self.nose] + np.array([rng.normal(0, 45), rng.uniform(-70, 40), rng.uniform(40, 80)])
            angle = rng.uniform(-0.5, 0.5)
            across, up = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0.2])
        half = rng.uniform([30, 62], [40, 80])
        corners = [centre + half[0] * a * across + half[1] * b * up for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        colour = grey_or_tinted(rng, rng.uniform(5, 230), 25).astype(float)
        return Solid(np.array(corners), np.array([[0, 1, 2], [0, 2, 3]]), np.tile(colour, (4, 1)))

    def _headphones(self, head: FloatArray, _: FloatArray, rng: np.random.Generator) -> Solid:
        colour = grey_or_tinted(rng, rng.uniform(10, 235), 30).astype(float)
        middles = [head[ear].mean(0) for ear in self.ears]
        solids = []
        for middle in middles:
            out = np.array([np.sign(middle[0]), 0, 0])
            path = np.stack([middle - 6 * out, middle + rng.uniform(14, 26) * out])
            solids.append(_tube(path, rng.uniform(28, 42), colour))
        top = float(head[self.skin, 1].max()) + rng.uniform(4, 25)
        angle = np.linspace(0, np.pi, 15)
        left, right = middles[0], middles[1]
        half = 0.5 * (left[0] - right[0]) + 12
        centre = 0.5 * (left + right)
        path = centre + np.stack(
            [np.cos(angle) * half, np.sin(angle) * (top - centre[1]), np.full_like(angle, rng.uniform(-5, 20))], 1
        )
        solids.append(_tube(path, rng.uniform(5, 10), colour * rng.uniform(0.5, 1.2)))
        return _joined(solids)

    def paint(
        self, image: AnyArray, solid: Solid, pose: Pose, affine: FloatArray, depth: FloatArray, rng: np.random.Generator
    ) -> Covered:
        """Draw a cover over an image (S, S, 3) of a head with depth (S, S), mm, NaN where there is no head."""
        size = len(image)
        points = Pose(solid.V, pose.rotation, pose.scale, pose.translation).pixels()
        points[:, :2] = (apply_affine(affine, points[:, :2]) + 0.5) * FINE - 0.5
        normals = vertex_normals(solid.V, solid.F) @ pose.rotation.T
        raster = rasterize(points, solid.F, np.hstack([normals, solid.colours]), (FINE * size, FINE * size))
        behind = np.repeat(np.repeat(np.nan_to_num(depth, nan=-1e6), FINE, 0), FINE, 1)
        shown = (raster.triangle >= 0) & (raster.depth > behind - NEAR_MM)
        drawn = np.zeros((FINE * size, FINE * size, 4), np.float32)
        values = raster.attributes[shown]
        normal = values[:, :3] / np.maximum(np.linalg.norm(values[:, :3], axis=1, keepdims=True), 1e-9)
        normal *= np.where(normal[:, 2:] < 0, -1.0, 1.0)
        light = np.array([rng.normal(0, 0.6), rng.uniform(0, 0.9), 1.0])
        light /= np.linalg.norm(light)
        ambient = rng.uniform(0.3, 0.9)
        shade = ambient + (1 - ambient) * np.clip(normal @ light, 0, 1)
        shade = shade * rng.uniform(0.8, 1.1) / max(float(shade.mean()) if len(shade) else 1.0, 1e-3)
        colours = values[:, 3:] * shade[:, None]
        if rng.random() < 0.3 and len(self.pictures):  # patterned cloth
            pattern = random_backdrop(self.pictures, rng, FINE * size)[shown]
            share = rng.uniform(0.3, 1.0)
            colours = (1 - share) * colours + share * pattern * shade[:, None]
        colours = colours + rng.normal(0, rng.uniform(0, 6), (len(colours), 1))
        drawn[shown] = np.column_stack([np.clip(colours, 0, 255), np.ones(len(colours))])
        small = cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), 0.5)
        hidden = small[..., 3]
        shadow = cv2.GaussianBlur(hidden, (0, 0), SHADOW * size)[..., None] * np.isfinite(depth)[..., None]
        image = np.asarray(image, np.float32) * (1 - rng.uniform(0, 0.5) * shadow)
        return Covered(np.asarray(image * (1 - hidden[..., None]) + small[..., :3], np.float32), np.asarray(hidden))


def _raised(points: FloatArray, thick: float) -> FloatArray:
    """Return points (v, 3) of the scalp moved away from `SKULL_MM`."""
    outward = points - SKULL_MM
    return np.asarray(points + outward / np.linalg.norm(outward, axis=1, keepdims=True) * thick)


def _brim(front: float, slope: float, thick: float, colour: FloatArray, rng: np.random.Generator, whole: bool) -> Solid:
    """Return the brim of a hat whose edge is at the height `front` before the head, all around or before it only."""
    wide, drop = rng.uniform(25, 75), rng.uniform(-25, 8)
    angle = np.linspace(0, 2 * np.pi, 49) if whole else np.linspace(np.radians(25), np.radians(155), 25)
    across, along = np.cos(angle), np.sin(angle)
    inner = np.stack([across * (80 + thick), np.zeros_like(angle), along * (98 + thick) - 60], 1)
    outer = np.stack([across * (80 + thick + wide), np.full_like(angle, drop), along * (98 + thick + wide) - 60], 1)
    ring = np.concatenate([inner, outer])
    ring[:, 1] += front - slope * (40 - np.concatenate([inner[:, 2]] * 2)) + 4
    count = len(angle)
    rows = np.arange(count - 1)
    F = np.concatenate(
        [np.stack([rows, rows + count, rows + 1], 1), np.stack([rows + 1, rows + count, rows + count + 1], 1)]
    )
    return Solid(ring, F, np.tile(colour, (2 * count, 1)))


def _grid(rows: int, columns: int) -> IntArray:
    """Return the triangles of a grid of points."""
    start = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = start + columns
    return np.concatenate([np.stack([start, lower, start + 1], 1), np.stack([start + 1, lower, lower + 1], 1)])


def _joined(solids: list[Solid]) -> Solid:
    starts = np.cumsum([0, *(len(solid.V) for solid in solids)])
    return Solid(
        np.concatenate([solid.V for solid in solids]),
        np.concatenate([solid.F + start for solid, start in zip(solids, starts, strict=False)]),
        np.concatenate([solid.colours for solid in solids]),
    )


def _tube(path: FloatArray, radius: float, colour: FloatArray, taper: float = 1.0, points: int = 14) -> Solid:
    """Return a tube with round ends along points (p, 3); `taper` is the ratio of the last to the first radius."""
    ends = np.gradient(path, axis=0)
    ends /= np.maximum(np.linalg.norm(ends, axis=1, keepdims=True), 1e-9)
    width = radius * np.linspace(1, taper, len(path))
    centres, radii, directions = [], [], []
    for share in (0.02, 0.5, 0.85):
        centres.append(path[0] - ends[0] * radius * np.sqrt(1 - share**2))
        radii.append(radius * share)
        directions.append(ends[0])
    for point, wide, direction in zip(path, width, ends, strict=True):
        centres.append(point)
        radii.append(float(wide))
        directions.append(direction)
    for share in (0.85, 0.5, 0.02):
        centres.append(path[-1] + ends[-1] * width[-1] * np.sqrt(1 - share**2))
        radii.append(float(width[-1]) * share)
        directions.append(ends[-1])
    first = np.cross(directions, [0.0, 0.0, 1.0])
    weak = np.linalg.norm(first, axis=1) < 0.3
    first[weak] = np.cross(np.array(directions)[weak], [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(directions, first)
    angle = np.linspace(0, 2 * np.pi, points)
    around = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]
    V = np.array(centres)[:, None] + np.array(radii)[:, None, None] * around
    return Solid(V.reshape(-1, 3), _grid(len(centres), points), np.tile(colour, (V.shape[0] * points, 1)))
