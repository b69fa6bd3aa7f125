"""Renders of random heads of the ICT FaceKit model, with exact depth, correspondence and mask.

The face model of facegeom was derived from the ICT model. Here all 100 identity coefficients and all expressions are
used, so that shapes which the face model of facegeom cannot represent count as errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.images.crop import crop_affine
from facegeom.training.data.pose import Pose
from facegeom.training.data.renderer import Sample, crop_square
from facegeom.training.face_model.ict_head import IctHead, carriers, load_ict
from facegeom.training.face_model.topology import under_jaw

EYE_PARTS = ("eyeball_left", "eyeball_right", "lacrimal_left", "lacrimal_right", "eye_socket_left", "eye_socket_right")
MOUTH_PARTS = ("mouth_socket", "gums_and_tongue", "teeth")
MAP_PARTS = ("face_narrow", "eye_blend_left", "eye_blend_right", *EYE_PARTS, *MOUTH_PARTS)
"""Parts of the ICT model that the maps contain. Eyelashes and the shells around the eyes are never rendered."""

OCCLUDING_PARTS = ("face", "head_and_neck")
"""Parts of the ICT model that are rendered, but not part of the maps: they can occlude the parts of the maps."""

OVERSAMPLING = 3
"""Factor by which images are rendered larger, then averaged down, for anti-aliasing."""


@dataclass(frozen=True)
class RandomHeadOptions:
    """Distributions of pose, identity, expression and crop of the random heads."""

    max_yaw_deg: float = 85.0  # largest absolute yaw, degrees; the yaw is uniformly distributed
    pitch_deg: float = 10.0  # standard deviation of the pitch, degrees
    roll_deg: float = 8.0  # standard deviation of the roll, degrees
    identity_sigma: float = 1.0  # standard deviation of each of the 100 identity coefficients
    expressions: int = 6  # largest number of active expression shapes of a head
    expression_weight: float = 0.8  # largest weight of an expression shape
    crop_factor: float = 1.15  # ratio of the crop side to the longer side of the face box


class HeadRenderer:
    """Renderer of random heads of the ICT model.

    Parameters
    ----------
    path : path of the file `ict_face_model.npz`
    options : RandomHeadOptions
    """

    def __init__(self, path: str | Path, options: RandomHeadOptions = RandomHeadOptions()) -> None:
        head = load_ict(path)
        inside = _members(head, MAP_PARTS) & ~(_members(head, ("face_narrow",)) & under_jaw(head.vertices))
        drawn = inside | _members(head, OCCLUDING_PARTS)
        self.head, self.options = head, options
        self.faces: IntArray = head.triangles[drawn[head.triangles].all(axis=1)]
        self.in_map: BoolArray = np.asarray(inside[self.faces].all(axis=1))
        self.painter = _Painter(head)
        self._carrier, self._weight = carriers()
        self.shapes = np.flatnonzero([not name.startswith("Pupil") for name in head.expression_names])

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Sample, float]:
        """Render a head with random identity, expression and pose.

        Parameters
        ----------
        rng : random generator
        size : side length of the square image, pixels

        Returns
        -------
        sample : Sample
        yaw : yaw of the head in degrees, positive if the nose points to the right of the image
        """
        expression = self._random_expression(rng)
        vertices = self.head.sample(rng.normal(0, self.options.identity_sigma, len(self.head.identity)), expression)
        return self.posed(vertices, rng, size)

    def expressive(self, neutral: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return a head (n, 3) with a random expression, from its neutral vertices (n, 3), mm."""
        return neutral + np.tensordot(self._random_expression(rng), self.head.expression, axes=1)

    def _random_expression(self, rng: np.random.Generator) -> FloatArray:
        """Return random weights of the expressions, (e,)."""
        expression = np.zeros(len(self.head.expression_names))
        chosen = rng.choice(self.shapes, int(rng.integers(0, self.options.expressions + 1)), replace=False)
        expression[chosen] = rng.uniform(0, self.options.expression_weight, len(chosen))
        return expression

    def on_face_model(self, vertices: FloatArray) -> FloatArray:
        """Return the vertices (m, 3) of the face model on a head (n, 3) of the ICT model, before any smoothing."""
        return np.asarray(np.einsum("ij,ijk->ik", self._weight, vertices[self._carrier]))

    def posed(self, vertices: FloatArray, rng: np.random.Generator, size: int) -> tuple[Sample, float]:
        """Render a given head in a random pose.

        Parameters
        ----------
        vertices : (n, 3) float array, mm, in the topology of the ICT model
        rng, size : as in `draw`

        Returns
        -------
        sample, yaw : as in `draw`
        """
        pose, yaw = self.random_pose(vertices, rng)
        return self.render(pose, rng, size), yaw

    def random_pose(self, vertices: FloatArray, rng: np.random.Generator) -> tuple[Pose, float]:
        """Return a given head in a random pose, with one pixel per mm, and its yaw; see `posed`."""
        options = self.options
        yaw = float(rng.uniform(-options.max_yaw_deg, options.max_yaw_deg))
        pitch, roll = (float(v) for v in rng.normal(0, (options.pitch_deg, options.roll_deg)))
        z = np.radians(roll)
        rolled = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1.0]])
        pose = Pose(vertices, np.eye(3), 1.0, np.zeros(2)).turned(yaw, pitch)
        return Pose(vertices, rolled @ pose.rotation, 1.0, np.zeros(2)), yaw

    def render(self, pose: Pose, rng: np.random.Generator, size: int) -> Sample:
        """Render a head in a given pose, with random colours, lights and background.

        Parameters
        ----------
        pose : Pose, with vertices in the topology of the ICT model
        rng, size : as in `draw`

        Returns
        -------
        Sample
            The image and its exact maps.
        """
        placed = pose.pixels()
        points = placed[self.faces[self.in_map], :2].reshape(-1, 2)
        box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
        affine = crop_affine(crop_square(box, factor=self.options.crop_factor, shift=(0, 0)), size)
        placed[:, :2] = placed[:, :2] @ affine[:, :2].T + affine[:, 2]
        raster = geometry.rasterize(placed, self.faces, self.head.vertices, (size, size))
        mask = (raster.triangle >= 0) & self.in_map[raster.triangle]

        albedo, gloss = self.painter.paint(rng)
        colors = light(pose.vertices @ pose.rotation.T, self.faces, albedo, gloss, rng)
        return Sample(
            self._picture(placed, colors, random_background(rng, size * OVERSAMPLING), rng, size),
            np.where(mask, raster.depth, 0).astype(np.float32),
            np.where(mask[..., None], raster.attributes, 0).astype(np.float32),
            mask,
            *pose.origin_and_scale(affine),
        )

    def _picture(
        self, placed: FloatArray, colors: FloatArray, background: FloatArray, rng: np.random.Generator, size: int
    ) -> ByteArray:
        """Return the anti-aliased, noisy sRGB image of the head in front of the background, (size, size, 3) uint8."""
        k = OVERSAMPLING
        fine = np.column_stack([placed[:, :2] * k + 0.5 * (k - 1), placed[:, 2]])
        raster = geometry.rasterize(fine, self.faces, colors, (size * k, size * k))
        grain = cv2.GaussianBlur(rng.normal(0, 0.05, (size * k, size * k)), (0, 0), 1.5)[..., None]
        head = (raster.triangle >= 0)[..., None]
        picture = np.where(head, np.nan_to_num(raster.attributes) * (1 + grain), background)
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        picture = np.clip(picture, 0, 1) ** (1 / 2.2) * 255 + rng.normal(0, 2.0, (size, size, 3))
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def draw_heads(path: str | Path, count: int, size: int, seed: int = 0) -> Iterator[tuple[str, float, Sample]]:
    """Yield random heads.

    Parameters
    ----------
    path : path of the file `ict_face_model.npz`
    count : number of heads
    size : side length of the square images, pixels
    seed : base seed; head i has the seed (seed, i)

    Yields
    ------
    name, yaw, sample : name of the head, yaw in degrees, Sample
    """
    renderer = HeadRenderer(path)
    for number in range(count):
        sample, yaw = renderer.draw(np.random.default_rng([seed, number]), size)
        yield f"head {number}", yaw, sample


def light(
    points: FloatArray, faces: IntArray, albedo: FloatArray, gloss: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return vertex colours under an ambient light and one to three random directional lights.

    Parameters
    ----------
    points : (n, 3) float array, vertices in the camera frame
    faces : (m, 3) int array
    albedo : (n, 3) float array, linear, in [0, 1]
    gloss : (n,) float array, intensity of the highlights
    rng : random generator of the lights

    Returns
    -------
    (n, 3) float array, linear

    References
    ----------
    Highlights: Blinn, Models of Light Reflection for Computer Synthesized Pictures (1977).
    """
    normals = geometry.vertex_normals(points, faces)
    total = albedo * rng.uniform(0.25, 0.6)
    for strength in rng.uniform(0.3, 0.9, int(rng.integers(1, 4))):
        direction = np.array([rng.normal(0, 0.7), rng.normal(0.4, 0.5), 1.0])
        direction /= np.linalg.norm(direction)
        tint = rng.uniform(0.85, 1.1, 3)
        half = direction + np.array([0.0, 0.0, 1.0])
        half /= np.linalg.norm(half)
        shine = gloss * np.clip(normals @ half, 0, 1) ** 24
        total = total + strength * tint * (albedo * np.clip(normals @ direction, 0, None)[:, None] + shine[:, None])
    return total


def random_background(rng: np.random.Generator, size: int) -> FloatArray:
    """Return a random background: blurred coloured rectangles over coarse noise.

    Returns
    -------
    (size, size, 3) float array, linear, in [0, 1]
    """
    cells = int(rng.integers(2, 9))
    coarse = rng.uniform(0, 1, (cells, cells, 3)) ** rng.uniform(0.7, 2.5)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 14))):
        low = rng.integers(-size // 4, size, 2)
        high = low + rng.integers(4, size // 2, 2)
        color = tuple(float(v) for v in rng.uniform(0, 1, 3))
        cv2.rectangle(image, (int(low[0]), int(low[1])), (int(high[0]), int(high[1])), color, -1)
    return np.clip(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, size / 40)), 0, 1)


def _members(head: IctHead, parts: tuple[str, ...]) -> BoolArray:
    """Return a (n,) bool array, true for the vertices of the named parts."""
    members = np.zeros(len(head.vertices), dtype=bool)
    for part in parts:
        members[slice(*head.parts[part])] = True
    return members


class _Painter:
    """Random, plausible vertex colours of skin, lips, eyebrows, hair, eyes and teeth."""

    def __init__(self, head: IctHead) -> None:
        V = head.vertices
        points = V[head.landmarks68]
        self.count = len(V)
        self.positions = V
        self.skin = _members(head, ("face", "head_and_neck"))
        self.teeth = _members(head, ("teeth",))
        self.inside = _members(head, ("mouth_socket", "gums_and_tongue"))
        self.socket = _members(head, ("eye_socket_left", "eye_socket_right", "lacrimal_left", "lacrimal_right"))
        brow = np.minimum(_polyline_distance(V, points[17:22]), _polyline_distance(V, points[22:27]))
        self.brow = np.clip(2.0 - brow / 3.0, 0, 1) * self.skin
        lips = _inside_polygon(V[:, :2], points[48:60, :2]) & (V[:, 2] > points[[48, 54], 2].min() - 3.0)
        self.lips = (lips & self.skin).astype(np.float64)
        hairline = 72.0 - 0.0045 * V[:, 0] ** 2 - 0.9 * np.clip(-25.0 - V[:, 2], 0, None)
        ears = (np.abs(V[:, 0]) > 72.0) & (V[:, 1] < 15.0) & (V[:, 2] > -110.0)
        self.hair = np.clip((V[:, 1] - hairline) / 12.0, 0, 1) * self.skin * ~ears * (V[:, 1] > -75.0)
        self.beard = np.clip((-62.0 - V[:, 1]) / 8, 0, 1) * self.skin * (V[:, 1] > -125.0) * (V[:, 2] > -60.0)
        self.beard *= 1 - self.lips
        self.eye_radius = np.full(self.count, np.inf)
        for part in ("eyeball_left", "eyeball_right"):
            rows = slice(*head.parts[part])
            ball = V[rows]
            middle = 0.5 * (ball.min(axis=0) + ball.max(axis=0))
            off_axis = np.linalg.norm(ball[:, :2] - middle[:2], axis=1)
            self.eye_radius[rows] = np.where(ball[:, 2] > middle[2], off_axis, 50.0)

    def paint(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Return the linear albedo (n, 3) and the gloss (n,) of a random person."""
        tone = rng.uniform(0, 1) ** 1.5
        light_skin, dark_skin = np.array([0.80, 0.52, 0.40]), np.array([0.12, 0.055, 0.03])
        base = light_skin ** (1 - tone) * dark_skin**tone * rng.uniform(0.9, 1.1, 3)
        color = np.tile(base, (self.count, 1)) * (1 + 0.06 * self._noise(rng, 30.0))[:, None]
        color *= 1 + 0.03 * self._noise(rng, 8.0)[:, None]
        color[:, 1:] *= (1 + 0.05 * self._noise(rng, 22.0))[:, None]
        hair_color = np.array([0.35, 0.2, 0.09]) * rng.uniform(0.05, 1.2) * (0.4 + 0.6 * (1 - tone))
        lips = base * np.array([0.95, 0.55, 0.6]) * rng.uniform(0.7, 1.05)
        _blend(color, lips, self.lips * rng.uniform(0.4, 1.0))
        _blend(color, hair_color, self.brow * rng.uniform(0.5, 1.0))
        if rng.random() < 0.8:
            _blend(color, hair_color, self.hair)
        if rng.random() < 0.3:
            _blend(color, hair_color, self.beard * rng.uniform(0.2, 0.9))
        color[self.inside] = np.array([0.28, 0.07, 0.06]) * rng.uniform(0.4, 1.0)
        color[self.socket] = base * np.array([0.9, 0.6, 0.55])
        color[self.teeth] = np.array([0.75, 0.7, 0.6]) * rng.uniform(0.7, 1.1)
        iris = rng.uniform((0.02, 0.03, 0.02), (0.25, 0.28, 0.35))
        eye = np.isfinite(self.eye_radius)
        color[eye] = 0.75
        color[eye & (self.eye_radius < 6.0)] = iris
        color[eye & (self.eye_radius < 2.6)] = 0.01
        gloss = np.where(self.skin, rng.uniform(0, 0.12), 0.1)
        gloss[eye] = 0.5
        return np.clip(color, 0, 1), gloss

    def _noise(self, rng: np.random.Generator, wavelength: float) -> FloatArray:
        """Return smooth noise (n,) of unit variance on the vertices: a sum of waves about `wavelength` mm long."""
        waves = rng.normal(0, 2 * np.pi / wavelength / 2, (24, 3))
        phase = rng.uniform(0, 2 * np.pi, 24)
        return np.asarray(np.sqrt(2 / 24) * np.cos(self.positions @ waves.T + phase).sum(axis=1))


def _blend(color: FloatArray, other: FloatArray, share: FloatArray) -> None:
    """Change the vertex colours `color` (n, 3): mix in the colour `other` (3,) with the weights `share` (n,)."""
    color += share[:, None] * (other - color)


def _polyline_distance(points: FloatArray, line: FloatArray) -> FloatArray:
    """Return the distances (n,) of points (n, 3) to the polyline with the vertices `line` (k, 3)."""
    best = np.full(len(points), np.inf)
    for start, end in pairwise(line):
        along = end - start
        share = np.clip((points - start) @ along / (along @ along), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - start - share[:, None] * along, axis=1))
    return best


def _inside_polygon(points: FloatArray, polygon: FloatArray) -> BoolArray:
    """Return a (n,) bool array, true for points (n, 2) inside the closed polygon (k, 2), by the even-odd rule."""
    inside = np.zeros(len(points), dtype=bool)
    x, y = points.T
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        at = x0 + (y - y0) * (x1 - x0) / (y1 - y0 if y1 != y0 else 1.0)
        inside ^= crosses & (x < at)
    return inside
