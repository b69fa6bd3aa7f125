"""Synthetic videos with known truth: heads of portraits, moved along curves of our own.

A head is reconstructed from a portrait and rendered for each frame with the weights of its blendshapes and the pose
that the curves give, over a blurred background, with motion blur where it moves fast, noise, and JPEG compression. The
parts of a video are rest, speech-like movements, blinks, slow turns to 60 degrees, fast turns, and looks to the sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.threads import one_thread
from facegeom.face_model.blendshapes import ARKIT_NAMES, gaze_weights
from facegeom.images.camera import Camera
from facegeom.images.sampling import bilinear
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.reconstruction import reconstruct

FPS = 30.0
SIZE = (640, 480)
"""Width and height of the frames, pixels."""

SCALE = 1.15
"""Pixels per mm: the face is about 200 pixels high."""

PARTS = {"rest": 2.0, "speech": 3.0, "blinks": 2.0, "turns": 3.0, "fast": 1.5, "looks": 2.5}
"""Part of a video -> its length in seconds."""

BLINK_SECONDS = 0.1
LOOK_DEG, LOOK_SECONDS = (22.0, 12.0), 0.4  # largest yaw and pitch of the eyes, time from one look to the next
NOISE = 2.5  # standard deviation of the noise, of 255
JPEG_QUALITY = 85
SHUTTER = 0.5  # time of exposure, frames
BLUR_SAMPLES = 4  # pictures that are averaged in the part "fast"

VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.45},
    {"jawOpen": 0.15, "mouthFunnel": 0.55},
    {"jawOpen": 0.08, "mouthPucker": 0.6},
    {"jawOpen": 0.2, "mouthSmileLeft": 0.45, "mouthSmileRight": 0.45},
    {"mouthPressLeft": 0.35, "mouthPressRight": 0.35},
    {"jawOpen": 0.12, "mouthLowerDownLeft": 0.35, "mouthLowerDownRight": 0.35},
    {},
)
"""Weights of the mouth in turn, each reached in about 0.15 s."""


class Curves(NamedTuple):
    """The truth of a video with n frames.

    Attributes
    ----------
    times : (n,) float array, seconds
    weights : (n, 52) float array, weights of `ARKIT_NAMES`
    angles : (n, 3) float array, yaw, pitch and roll of the head, degrees
    shift : (n, 2) float array, place of the head, pixels from the centre of the frame
    part : tuple of n names of `PARTS`
    blinks : frames with the largest weight of each blink
    """

    times: FloatArray
    weights: FloatArray
    angles: FloatArray
    shift: FloatArray
    part: tuple[str, ...]
    blinks: tuple[int, ...]

    def of(self, part: str) -> IntArray:
        """Return the frames of a part."""
        return np.flatnonzero(np.array(self.part) == part)


def blink(times: FloatArray, middle: float, seconds: float = BLINK_SECONDS) -> FloatArray:
    """Return the weight (n,) of a blink: a raised cosine of a given length."""
    phase = np.clip((times - middle) / seconds, -0.5, 0.5)
    return np.asarray(0.5 + 0.5 * np.cos(2.0 * np.pi * phase))


def draw_curves(rng: np.random.Generator, fps: float = FPS, parts: Sequence[str] = tuple(PARTS)) -> Curves:
    """Return the curves of a video with the given parts, names of `PARTS`, in turn."""
    part = tuple(name for name in parts for _ in range(round(PARTS[name] * fps)))
    count = len(part)
    curves = Curves(
        np.arange(count) / fps,
        np.zeros((count, len(ARKIT_NAMES))),
        np.zeros((count, 3)),
        np.zeros((count, 2)),
        part,
        (),
    )
    moves = {"speech": _speak, "turns": _turn, "fast": _shake, "looks": _look}
    blinks: tuple[int, ...] = ()
    for name in parts:
        if name == "blinks":
            blinks = _blinks(rng, curves)
        elif name in moves:
            moves[name](rng, curves)
    return curves._replace(blinks=blinks)


def _speak(rng: np.random.Generator, curves: Curves) -> None:
    """Add mouth shapes in turn, and small movements of head and brows, to the part "speech"."""
    talking, times = curves.of("speech"), curves.times
    knots = np.arange(times[talking[0]], times[talking[-1]] + 0.01, 0.15)
    chosen = [VISEMES[-1], *(VISEMES[i] for i in rng.integers(0, len(VISEMES), len(knots) - 2)), VISEMES[-1]]
    for name in dict.fromkeys(name for viseme in VISEMES for name in viseme):
        peaks = [viseme.get(name, 0.0) * rng.uniform(0.7, 1.2) for viseme in chosen]
        curves.weights[:, _column(name)] += smooth_steps(times, knots, np.array(peaks))
    sway = rng.uniform(0, 2 * np.pi, 4)
    fade = np.sin(np.pi * np.linspace(0, 1, len(talking)))
    for axis, (size, speed) in enumerate(((6.0, 0.7), (4.0, 0.9), (3.0, 0.5))):
        curves.angles[talking, axis] += size * fade * np.sin(2 * np.pi * speed * times[talking] + sway[axis])
    curves.shift[talking, 0] += 8.0 * fade * np.sin(2 * np.pi * 0.6 * times[talking] + sway[3])
    brows = 0.5 * fade * np.maximum(0.0, np.sin(2 * np.pi * 0.8 * times[talking] + sway[3]))
    curves.weights[talking, _column("browInnerUp")] += brows


def _blinks(rng: np.random.Generator, curves: Curves) -> tuple[int, ...]:
    """Add blinks to the part "blinks"; return the frame of the largest weight of each."""
    rows, times = curves.of("blinks"), curves.times
    peaks: list[int] = []
    for moment in np.arange(times[rows[0]] + 0.3, times[rows[-1]] - 0.2, 0.4):
        closing = blink(times, moment + rng.uniform(-0.05, 0.05))
        for side in ("Left", "Right"):
            curves.weights[:, _column(f"eyeBlink{side}")] += closing
        peaks.append(int(closing.argmax()))
    return tuple(peaks)


def _turn(rng: np.random.Generator, curves: Curves) -> None:
    """Add a turn to 60 degrees on both sides, with a smile, to the part "turns"."""
    rows = curves.of("turns")
    phase = 2 * np.pi * np.linspace(0, 1, len(rows))
    curves.angles[rows, 0] += 60.0 * rng.choice([-1.0, 1.0]) * np.sin(phase)
    curves.angles[rows, 1] += 8.0 * np.sin(2 * phase)
    curves.shift[rows, 0] += 0.3 * curves.angles[rows, 0]
    for side in ("Left", "Right"):
        curves.weights[rows, _column(f"mouthSmile{side}")] += 0.6 * np.sin(0.5 * phase) ** 2


def _shake(_: np.random.Generator, curves: Curves) -> None:
    """Add two fast turns with a moving jaw to the part "fast"."""
    rows = curves.of("fast")
    phase = 2 * np.pi * np.linspace(0, 2, len(rows))
    curves.angles[rows, 0] += 30.0 * np.sin(phase)
    curves.shift[rows, 0] += 25.0 * np.sin(phase)
    curves.weights[rows, _column("jawOpen")] += 0.3 * np.sin(phase) ** 2


def _look(rng: np.random.Generator, curves: Curves) -> None:
    """Add looks in random directions to the part "looks"."""
    rows, times = curves.of("looks"), curves.times
    directions = rng.uniform(-1.0, 1.0, (math.ceil(PARTS["looks"] / LOOK_SECONDS), 2)) * LOOK_DEG
    for row in rows.tolist():
        direction = directions[int((times[row] - times[rows[0]]) / LOOK_SECONDS + 1e-6)]
        for name, weight in gaze_weights(*direction.tolist()).items():
            curves.weights[row, _column(name)] = weight


def _column(name: str) -> int:
    return ARKIT_NAMES.index(name)


def smooth_steps(times: FloatArray, knots: FloatArray, values: FloatArray) -> FloatArray:
    """Return a curve (n,) through values at knots, with zero slope at each, and 0 outside."""
    place = np.clip(np.searchsorted(knots, times, side="right") - 1, 0, len(knots) - 2)
    share = np.clip((times - knots[place]) / (knots[place + 1] - knots[place]), 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    inside = (times >= knots[0]) & (times <= knots[-1])
    return np.asarray(np.where(inside, (1 - share) * values[place] + share * values[place + 1], 0.0))


def rotation_of(angles: FloatArray) -> FloatArray:
    """Return the rotation (3, 3) of yaw, pitch and roll in degrees, as `facegeom.images.camera.Pose` defines them."""
    yaw, pitch, roll = np.radians(angles)
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1.0]])
    return np.asarray(about_z @ about_x @ about_y)


@dataclass(frozen=True)
class Actor:
    """A head that can be rendered.

    Attributes
    ----------
    mesh : the neutral head with texture and blendshapes
    background : (h, w, 3) uint8 array, a frame without the head
    """

    mesh: FaceMesh
    background: ByteArray

    @classmethod
    def of(cls, portrait: ByteArray) -> Actor:
        """Return the head of a portrait before a blurred picture of it."""
        rec = reconstruct(portrait, head=True, hair=True, texture=512)
        if rec.neutral is None:
            raise TypeError("a head must have a neutral face")
        wide = cv2.resize(portrait, SIZE, interpolation=cv2.INTER_AREA)
        background = cv2.GaussianBlur(wide, (0, 0), 40)
        return cls(rec.neutral, np.asarray(background, np.uint8))

    def vertices(self, weights: FloatArray) -> FloatArray:
        """Return the vertices (n, 3) with weights (52,) of `ARKIT_NAMES`, mm."""
        V = self.mesh.vertices.copy()
        for name, weight in zip(ARKIT_NAMES, weights.tolist(), strict=True):
            if weight:
                V += weight * self.mesh.blendshapes[name]
        return V


def camera_of(curves: Curves, frame: int) -> Camera:
    """Return the true camera of a frame."""
    centre = np.array([0.5 * (SIZE[0] - 1), 0.5 * (SIZE[1] - 1) - 20.0])
    return Camera(rotation_of(curves.angles[frame]), SCALE, centre + curves.shift[frame])


@one_thread()
def picture(actor: Actor, V: FloatArray, camera: Camera) -> FloatArray:
    """Return the picture (h, w, 3) of a head with vertices (n, 3), float, of 255."""
    mesh = actor.mesh
    source, uv, faces = mesh.unrolled()
    points = np.column_stack([camera.project(V), camera.view(V)[:, 2]])
    normals = geometry.vertex_normals(V, mesh.faces) @ camera.rotation.T
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    light = 0.78 + 0.22 * (normals @ (np.array([-0.3, 0.4, 0.87])))
    attributes = np.column_stack([uv, light[source]])
    raster = geometry.rasterize(points[source], faces, attributes, (SIZE[1], SIZE[0]))
    covered = raster.triangle >= 0
    result = actor.background.astype(np.float64)
    shown = raster.attributes[covered]
    height, width = mesh.texture.shape[:2] if mesh.texture is not None else (1, 1)
    if mesh.texture is not None:
        colors = bilinear(mesh.texture, shown[:, :2] * (width, -height) + (-0.5, height - 0.5))
        result[covered] = colors * shown[:, 2:]
    edge = cv2.GaussianBlur(covered.astype(np.float64), (0, 0), 0.7)[..., None] * covered[..., None]
    return np.asarray(edge * result + (1 - edge) * actor.background)


def render_frames(actor: Actor, curves: Curves, rng: np.random.Generator) -> Iterator[ByteArray]:
    """Yield the frames (h, w, 3) uint8 of a video."""
    for frame in range(len(curves.times)):
        shutters = [0.0]
        if curves.part[frame] == "fast":
            shutters = (SHUTTER * (np.arange(BLUR_SAMPLES) / (BLUR_SAMPLES - 1) - 0.5)).tolist()
        pictures = []
        for offset in shutters:
            other = int(np.clip(frame + (1 if offset > 0 else -1), 0, len(curves.times) - 1))
            share = abs(offset)
            times, weights, angles, shift = (a[[frame]] * (1 - share) + a[[other]] * share for a in curves[:4])
            between = Curves(times, weights, angles, shift, ("",), ())
            pictures.append(picture(actor, actor.vertices(between.weights[0]), camera_of(between, 0)))
        image = np.mean(pictures, axis=0) + rng.normal(0, NOISE, (SIZE[1], SIZE[0], 3))
        _, packed = cv2.imencode(
            ".jpg", np.clip(image, 0, 255).astype(np.uint8)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        yield np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
