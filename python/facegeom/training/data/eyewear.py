"""Random glasses for synthetic heads: frames as tubes, lenses with tint and reflections, placed on eyes and ears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import AnyArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.geometry import rasterize
from facegeom.images.crop import apply_affine
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_surroundings import Pictures, grey_or_tinted, random_backdrop
from facegeom.training.data.texture_model import skin_vertices

RIM_POINTS = 28  # points along a rim
TUBE_POINTS = 6  # points around a tube
FINE = 3  # pixels of the drawing along a pixel of the image
SUNGLASSES = 0.25  # share of dark lenses
RIMLESS = 0.12  # share of lenses without rims
REFLECTING = 0.4  # share of glasses that mirror their surroundings
HOOK_MM = 25.0  # length of the temples behind the ears
TEMPLE_BAND_MM = 8.0  # half of the height of the part of the head beside which a temple runs
NEAR_MM = 0.5  # depth by which the frame may be inside the skin
SHADOW = 0.02  # width of the shadow of the frame, standard deviation relative to the size of the image


class Glasses(NamedTuple):
    """Glasses on a head, in the face frame, mm.

    Attributes
    ----------
    V, N : (v, 3) float arrays, vertices and unit normals of the frame
    F : (m, 3) int array
    lens_V : (l, 3) float array
    lens_F : (k, 3) int array
    """

    V: FloatArray
    N: FloatArray
    F: IntArray
    lens_V: FloatArray
    lens_F: IntArray


class Eyewear:
    """Draws random glasses on heads of a face model.

    Parameters
    ----------
    model : FaceModel
    """

    def __init__(self, model: FaceModel) -> None:
        self.eyes = [np.flatnonzero(model.regions[f"eyeball_{side}"]) for side in ("left", "right")]
        self.bridge = int(model.landmarks68[27])
        self.skin = np.flatnonzero(skin_vertices(model))
        self.ears = []  # the vertices on which the temples lie
        for side in ("left", "right"):
            ear = np.flatnonzero(model.regions[f"ear_{side}"])
            upper = ear[model.mean[ear, 1] > model.mean[ear, 1].max() - 12]
            self.ears.append(int(upper[np.argmin(np.abs(model.mean[upper, 0]))]))

    def draw(self, head: FloatArray, rng: np.random.Generator) -> Glasses:
        """Return glasses that fit a head.

        Parameters
        ----------
        head : (n, 3) float array, mm
            Vertices of the face model.
        rng : Generator
        """
        centres = np.array([head[rows].mean(0) for rows in self.eyes])  # left, right
        front = max(float(head[rows, 2].max()) for rows in self.eyes)
        width, height, power = rng.uniform(20, 29), rng.uniform(13, 25), rng.uniform(2, 4.5)
        lift, drop = rng.uniform(-0.15, 0.35), rng.uniform(-4, 3)
        depth = max(front + rng.uniform(8, 15), float(head[self.bridge, 2]) - 1)
        bend, tilt = rng.uniform(0, 0.003), np.radians(rng.uniform(2, 12))
        radius = float(rng.choice([rng.uniform(0.5, 1.0), rng.uniform(1.0, 2.6)]))
        middle = centres.mean(0)
        angle = np.linspace(0, 2 * np.pi, RIM_POINTS, endpoint=False)
        across, up = np.cos(angle), np.sin(angle)
        across, up = (np.sign(part) * np.abs(part) ** (2 / power) for part in (across, up))

        def place(x: FloatArray, y: FloatArray) -> FloatArray:
            """Return points of the bent and tilted plane of the lenses."""
            away = x - middle[0]
            return np.stack([x, middle[1] + drop + y, depth - bend * away**2 + y * np.tan(tilt)], -1)

        tubes: list[tuple[FloatArray, FloatArray, IntArray]] = []
        lens_V: list[FloatArray] = []
        lens_F: list[IntArray] = []
        rimless = rng.random() < RIMLESS
        hinges, inner = [], []
        for side, centre in zip((1.0, -1.0), centres, strict=True):
            x = centre[0] + side * across * width
            y = height * up * (1 + lift * across)
            rim = place(x, y)
            if not rimless:
                tubes.append(_tube(rim, radius, closed=True))
            lens_F.append(_fan(RIM_POINTS) + len(lens_V) * (RIM_POINTS + 1))
            lens_V.append(np.concatenate([rim, rim.mean(0, keepdims=True)]))
            hinges.append(place(np.array([centre[0] + side * width]), np.array([0.3 * height * (1 + lift)]))[0])
            inner.append(centre[0] - side * 0.9 * width)
        x = np.linspace(inner[0], inner[1], 7)
        arch = place(x, 0.25 * height + 3 * np.sin(np.linspace(0, np.pi, 7)))
        tubes.append(_tube(arch + np.array([0, 0, 1.5]), max(radius, 0.8), closed=False))
        for side, hinge, ear in zip((1.0, -1.0), hinges, self.ears, strict=True):
            tubes.append(_tube(self._temple(head, hinge, head[ear], side), max(0.8 * radius, 0.7), closed=False))
        starts = np.cumsum([0, *(len(V) for V, _, _ in tubes)])
        return Glasses(
            np.concatenate([V for V, _, _ in tubes]),
            np.concatenate([N for _, N, _ in tubes]),
            np.concatenate([F + start for (_, _, F), start in zip(tubes, starts, strict=False)]),
            np.concatenate(lens_V),
            np.concatenate(lens_F),
        )

    def _temple(self, head: FloatArray, hinge: FloatArray, ear: FloatArray, side: float) -> FloatArray:
        """Return the path of a temple, (9, 3): beside the head to the ear, and down behind it."""
        share = np.linspace(0, 1, 7)[:, None]
        path = hinge + share * (ear + np.array([0, 2, -4]) - hinge)
        skin = head[self.skin]
        low, high = min(hinge[1], ear[1]) - TEMPLE_BAND_MM, max(hinge[1], ear[1]) + TEMPLE_BAND_MM
        band = skin[(skin[:, 1] > low) & (skin[:, 1] < high) & (side * skin[:, 0] > 0) & (skin[:, 2] > ear[2] + 5)]
        for point in path[1:-1]:
            near = band[np.abs(band[:, 2] - point[2]) < 6]
            if len(near):
                point[0] = side * max(side * point[0], float((side * near[:, 0]).max()) + 0.5)
        hook = path[-1] + np.array([[0, -0.4 * HOOK_MM, -5], [0, -HOOK_MM, -8]])
        return np.concatenate([path, hook])


@dataclass(frozen=True)
class EyewearPixels:
    """Glasses in an image, before shading.

    Attributes
    ----------
    place : (q,) int array, pixels of the frame in the fine drawing
    normal : (q, 3) float32 array, camera frame
    box : tuple of int, first row, first column, rows and columns of the drawn part of the image
    depth : (h, w) float array, nearest depth of the frame; NaN elsewhere
    lens : (h, w) float32 array in [0, 1], share of each pixel that a lens covers
    """

    place: IntArray
    normal: Float32Array
    box: tuple[int, int, int, int]
    depth: FloatArray
    lens: Float32Array

    def paint(
        self,
        image: AnyArray,
        lit: Float32Array,
        pictures: Pictures | list[ByteArray],
        rng: np.random.Generator,
    ) -> tuple[Float32Array, Float32Array]:
        """Draw lenses of random tint, and the frame in colours (q, 3).

        Returns
        -------
        image : (h, w, 3) float32 array
        cover : (h, w) float32 array in [0, 1], share of each pixel that the frame, tint and reflections hide
        """
        size = len(image)
        dark = rng.random() < SUNGLASSES
        tint = grey_or_tinted(rng, rng.uniform(10, 60), 12) if dark else grey_or_tinted(rng, rng.uniform(150, 240), 15)
        alpha = rng.uniform(0.6, 0.97) if dark else rng.uniform(0, 0.12)
        fade = 1 - rng.uniform(0, 0.5) * dark * np.linspace(0, 1, size, dtype=np.float32)[:, None]  # lighter below
        cover = (self.lens * alpha * fade)[..., None]
        image = np.asarray(image * (1 - cover) + np.clip(tint, 0, 255) * cover, dtype=np.float32)
        hidden = cover
        if rng.random() < REFLECTING:
            mirrored = random_backdrop(pictures, rng, size)
            low = rng.uniform(0, 180)
            bright = np.clip((mirrored.mean(2) - low) / 60, 0, 1) * rng.uniform(0.05, 0.7)
            glare = (self.lens * bright)[..., None]
            image = image * (1 - glare) + np.maximum(mirrored, 180) * glare
            hidden = 1 - (1 - hidden) * (1 - glare)
        row, column, rows, columns = self.box
        fine = np.zeros((rows * FINE * columns * FINE, 4), np.float32)
        fine[self.place] = np.column_stack([lit, np.ones(len(lit), np.float32)])
        shown = np.zeros((size, size, 4), np.float32)
        shown[row : row + rows, column : column + columns] = cv2.resize(
            fine.reshape(rows * FINE, columns * FINE, 4), (columns, rows), interpolation=cv2.INTER_AREA
        )
        shadow = cv2.GaussianBlur(shown[..., 3:], (0, 0), SHADOW * size)[..., None]
        image = image * (1 - rng.uniform(0, 0.6) * shadow)
        hidden = 1 - (1 - hidden) * (1 - shown[..., 3:])
        picture = image * (1 - shown[..., 3:]) + shown[..., :3]
        return np.asarray(picture, dtype=np.float32), np.asarray(hidden[..., 0], np.float32)


def eyewear_pixels(glasses: Glasses, pose: Pose, affine: FloatArray, depth: FloatArray) -> EyewearPixels | None:
    """Return the pixels of glasses that the head does not hide; None if they are outside the image.

    Parameters
    ----------
    glasses : Glasses
    pose : Pose
        The head; its vertices are not used.
    affine : (2, 3) float array, from pixels of the pose to pixels of the image
    depth : (h, w) float array, mm
        Depth of the head, NaN where there is none.
    """
    height, width = depth.shape
    frame, lenses = (
        Pose(vertices, pose.rotation, pose.scale, pose.translation).pixels() for vertices in (glasses.V, glasses.lens_V)
    )
    for points in (frame, lenses):
        points[:, :2] = apply_affine(affine, points[:, :2])
    both = np.concatenate([frame, lenses])[:, :2]
    left, top = np.maximum(np.floor(both.min(0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(both.max(0)).astype(int) + 2, (width, height))
    if left >= right or top >= bottom:
        return None
    rows, columns = int(bottom - top), int(right - left)
    fine = rows * FINE, columns * FINE
    behind = np.repeat(np.repeat(depth[top:bottom, left:right], FINE, 0), FINE, 1)
    limit = np.where(np.isnan(behind), -np.inf, behind - NEAR_MM)
    normals = glasses.N @ pose.rotation.T
    drawn = [
        rasterize(_finer(points, int(left), int(top)), F, attributes, fine)
        for points, F, attributes in ((frame, glasses.F, normals), (lenses, glasses.lens_F, None))
    ]
    shown = [(raster.triangle >= 0) & (raster.depth > limit) for raster in drawn]
    frame_depth = np.where(shown[0], drawn[0].depth, -np.inf).reshape(rows, FINE, columns, FINE).max((1, 3))
    lens = np.zeros(depth.shape, np.float32)
    lens[top:bottom, left:right] = shown[1].reshape(rows, FINE, columns, FINE).mean((1, 3))
    nearest = np.full(depth.shape, np.nan)
    nearest[top:bottom, left:right] = np.where(np.isfinite(frame_depth), frame_depth, np.nan)
    place = np.flatnonzero(shown[0])
    return EyewearPixels(
        place,
        drawn[0].attributes.reshape(-1, 3)[place].astype(np.float32),
        (int(top), int(left), rows, columns),
        nearest,
        lens,
    )


def _finer(points: FloatArray, left: int, top: int) -> FloatArray:
    """Return points (v, 3) in the pixels of the fine drawing of a part of the image."""
    out = points.copy()
    out[:, :2] = (points[:, :2] - (left, top) + 0.5) * FINE - 0.5
    return out


def _fan(count: int) -> IntArray:
    """Return the triangles of a disc: `count` points around, and the middle as the last point."""
    start = np.arange(count)
    return np.stack([start, (start + 1) % count, np.full(count, count)], 1)


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the cross products of the rows of two arrays (p, 3), faster than `numpy.cross` for few rows."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def _tube(path: FloatArray, radius: float, *, closed: bool) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return vertices, normals and triangles of a tube along points (p, 3)."""
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    first = _cross(along, np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0, 1]], [[0.0, 1, 0]]))
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = _cross(along, first)
    angle = np.arange(TUBE_POINTS) * 2 * np.pi / TUBE_POINTS
    N = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]  # (p, t, 3)
    V = path[:, None] + radius * N
    count, t = len(path), np.arange(TUBE_POINTS)
    rows = np.arange(count if closed else count - 1)
    a = (rows[:, None] * TUBE_POINTS + t).ravel()
    b = (rows[:, None] * TUBE_POINTS + (t + 1) % TUBE_POINTS).ravel()
    c, d = (((rows[:, None] + 1) % count * TUBE_POINTS + other).ravel() for other in (t, (t + 1) % TUBE_POINTS))
    F = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    return V.reshape(-1, 3), N.reshape(-1, 3), F
