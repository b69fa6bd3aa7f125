"""The outline of the hair in a photo, and that of a head in the same view, along rays from the axis of the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine
from facegeom.networks.segmentation_crop import COVER, EYEWEAR, FACIAL_HAIR, HEAD_HAIR, SKIN
from facegeom.texture.head_classes import HeadClasses, lab

AXIS_MM = np.array([[0.0, 25.0, -75.0], [0.0, -95.0, -75.0]])  # middle of the skull, and the neck below the hair
ROW_MM = 5.0  # distance of the rays below the middle of the skull
FAN_DEG = 4.0  # angle between the rays above it
REACH_MM = 190.0  # length of the rays
STEP_MM = 1.0  # distance of the samples along a ray
GRID_MM = 2.5  # width of the pixels in which the outline of a head is found
BACK_MM = 30.0  # distance inside the outline of the head at which the search for the outline of the hair starts
GAP_MM = 6  # samples of something else, at 1 mm, that end the hair
RIM_MM = 8  # samples at the end of the hair that tell its class
HAIR_SHARE = 0.5  # least share of hair in these
EDGE_MM, EDGE_COLOUR = 2.0, 8.0
"""Distance from the end of the hair from which colours on both sides are compared, over `RIM_MM`, and least difference
of a visible outline (CIE 1976)."""
FRONTAL, ONE_SIDED_MM = 0.5, 30.0
"""Sine of the yaw below which both sides of the head are compared, and largest difference of the height of the hair."""
BORDER_MM = 6  # samples before the border of the photo, at 1 mm, at which hair ends there, since classes are not sharp
MISSED = 2  # rows without hair, such as those of an ear, above other rows that are still hair

NONE, HAIR, CUT, BARE = range(4)
"""Kinds of rays: without an outline of the person, with hair at the outline, with hair up to the border of the photo,
and with skin at the outline."""


@dataclass(frozen=True)
class Rays:
    """Rays in the camera frame from the projected axis of a head: rows on its right, a fan above it, rows on its left.

    Attributes
    ----------
    top : (2,) float array, mm, upper end of the axis
    down, side : (2,) float arrays, unit vectors along the axis and to the right of the photo
    rows, fan : number of rows on each side, and of rays in the fan
    """

    top: FloatArray
    down: FloatArray
    side: FloatArray
    rows: int
    fan: int

    @classmethod
    def of(cls, camera: Camera) -> Rays:
        """Return the rays of a head in a photo."""
        top, bottom = camera.view(AXIS_MM)[:, :2]
        length = float(np.linalg.norm(bottom - top))
        down = (bottom - top) / length if length > 10.0 else np.array([0.0, -1.0])
        return cls(top, down, np.array([-down[1], down[0]]), max(1, int(length / ROW_MM)), round(180.0 / FAN_DEG))

    def __len__(self) -> int:
        """Return the number of rays."""
        return 2 * self.rows + self.fan + 1

    @property
    def starts(self) -> FloatArray:
        """The starts of the rays, (k, 2) mm."""
        along = ROW_MM * np.arange(self.rows, 0, -1)
        below = self.top + along[:, None] * self.down
        return np.concatenate([below, np.tile(self.top, (self.fan + 1, 1)), below[::-1]])

    @property
    def directions(self) -> FloatArray:
        """The directions of the rays, (k, 2) unit vectors."""
        angle = np.radians(FAN_DEG) * np.arange(self.fan + 1)
        above = np.cos(angle)[:, None] * self.side - np.sin(angle)[:, None] * self.down
        return np.concatenate([np.tile(self.side, (self.rows, 1)), above, np.tile(-self.side, (self.rows, 1))])

    def places(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the number of the ray on which each point (n, 2), mm, lies, a fraction (n,), and its distance, mm.

        Below the last row, the number is negative or larger than that of the last ray.
        """
        along, across = (points - self.top) @ self.down, (points - self.top) @ self.side
        row = np.where(across > 0, self.rows - along / ROW_MM, self.rows + self.fan + along / ROW_MM)
        angle = self.rows + np.degrees(np.arctan2(-along, across)) / FAN_DEG
        below = along > 0
        distance = np.where(below, np.abs(across), np.hypot(along, across))
        return np.asarray(np.where(below, row, angle)), np.asarray(distance)

    def samples(self) -> FloatArray:
        """Return points (k, r, 2), mm, along the rays, `STEP_MM` apart."""
        distance = np.arange(0.0, REACH_MM, STEP_MM)
        return np.asarray(self.starts[:, None] + distance[:, None] * self.directions[:, None])


class HairOutline(NamedTuple):
    """The outline of the hair in a photo.

    Attributes
    ----------
    distance : (k,) float array, mm, distance of the outline on each ray
    kind : (k,) int array, `NONE`, `HAIR`, `CUT` or `BARE`
    """

    distance: FloatArray
    kind: IntArray

    @property
    def hairy(self) -> BoolArray:
        """The rays with hair at the outline, (k,)."""
        return np.asarray((self.kind == HAIR) | (self.kind == CUT), np.bool_)


def hair_outline(
    classes: HeadClasses,
    camera: Camera,
    photo: tuple[int, int],
    rays: Rays,
    head: FloatArray,
    highest: float = REACH_MM,
) -> HairOutline:
    """Return where the hair in a photo ends on each ray.

    Parameters
    ----------
    classes : HeadClasses of the photo
    camera : Camera
    photo : width and height of the photo in pixels
    rays : Rays of the same camera
    head : (k,) float array, mm, outline of the head on each ray, of `head_outline`
    highest : largest height of the hair above the outline of the head, mm
    """
    found, inside = _sampled(classes, camera, photo, rays.samples())
    hair, person, cover = np.moveaxis(found[..., :3], -1, 0)
    count = hair.shape[1]
    other = np.maximum(person, hair) < 0.5
    start = np.clip((head - BACK_MM) / STEP_MM, 0, count - 1).astype(np.int64)
    number = np.arange(count)
    ended = _run(other, GAP_MM) & (number >= start[:, None])
    end = np.where(ended.any(axis=1), ended.argmax(axis=1), count)
    leaves = np.where(inside.all(axis=1), count, (~inside & (number >= start[:, None])).argmax(axis=1))
    leaves = np.where((~inside & (number >= start[:, None])).any(axis=1), leaves, count)
    cut = leaves <= end + BORDER_MM
    end = np.minimum(end, leaves)
    rim = (number >= end[:, None] - RIM_MM) & (number < end[:, None])
    share = (hair * rim).sum(axis=1) / np.maximum(rim.sum(axis=1), 1)
    beyond = (number >= end[:, None]) & (number < end[:, None] + RIM_MM)
    covered = (cover * beyond).sum(axis=1) > 0.5 * RIM_MM
    person_there = (end > start) & (end < count) & ~covered & (cut | _visible(found[..., 3:], end))
    is_hair = (share > HAIR_SHARE) & person_there
    bare = ~is_hair & person_there & ((person * rim).sum(axis=1) > HAIR_SHARE * rim.sum(axis=1))
    is_hair[: rays.rows] &= _reached(is_hair[: rays.rows][::-1])[::-1]
    is_hair[-rays.rows :] &= _reached(is_hair[-rays.rows :])
    kind = np.where(is_hair, np.where(cut, CUT, HAIR), np.where(bare, BARE, NONE))
    kind[(end * STEP_MM - head > highest) & (kind != BARE)] = NONE
    if abs(camera.rotation[2, 0]) < FRONTAL:
        kind[_one_sided(end * STEP_MM - head, kind)] = NONE
    return HairOutline(end * STEP_MM, np.asarray(kind, np.int64))


def _one_sided(height: FloatArray, kind: IntArray) -> BoolArray:
    """Return the rays (k,) of hair that is much higher than on the other side of a head seen from the front.

    It is background that the network takes for hair.
    """
    other = np.isin(kind, (HAIR, BARE))[::-1]
    higher = np.maximum(height, 0.0) - np.maximum(height, 0.0)[::-1] > ONE_SIDED_MM
    return np.asarray((kind == HAIR) & other & higher, np.bool_)


def _visible(colours: Float32Array, end: IntArray) -> BoolArray:
    """Return whether the colours (k, r, 3), CIELAB, on each ray differ on both sides of its end (k,).

    Dark hair before a dark wall has no outline; what the network takes for its end is a guess.
    """
    number = np.arange(colours.shape[1])[None, :] - end[:, None] + 0.5
    sides = []
    for near in ((number < -EDGE_MM) & (number > -EDGE_MM - RIM_MM), (number > EDGE_MM) & (number < EDGE_MM + RIM_MM)):
        total = (colours * near[..., None]).sum(axis=1)
        sides.append(total / np.maximum(near.sum(axis=1), 1)[:, None])
    return np.asarray(np.linalg.norm(sides[0] - sides[1], axis=1) > EDGE_COLOUR, np.bool_)


def _reached(hair: BoolArray) -> BoolArray:
    """Return the rows (k,), from the top, that long hair reaches: above them, at most `MISSED` rows have no hair."""
    missed = np.cumsum(~hair)
    return np.asarray(missed <= MISSED)


def _run(mask: BoolArray, length: int) -> BoolArray:
    """Return where a run of at least `length` true values starts in each row of a mask (k, r)."""
    total = np.cumsum(np.pad(mask, ((0, 0), (1, length)), constant_values=False), axis=1)
    return np.asarray(total[:, length : length + mask.shape[1]] - total[:, : mask.shape[1]] == length)


def _sampled(
    classes: HeadClasses, camera: Camera, photo: tuple[int, int], points: FloatArray
) -> tuple[Float32Array, BoolArray]:
    """Return the probabilities of head hair, the person's skin, and cover, and the colour (CIELAB) at points (k, r, 2)
    of the camera frame, (k, r, 6), and whether they are inside photo and crop (k, r).
    """
    probability = classes.probability
    person = probability[..., [SKIN, FACIAL_HAIR, EYEWEAR]].sum(axis=-1)
    colours = lab(np.asarray(cv2.GaussianBlur(np.asarray(classes.image, np.float32), (0, 0), 1.0), np.float32))
    kinds = (_connected(probability[..., HEAD_HAIR], person), person, probability[..., COVER])
    image = np.dstack([*kinds, colours])
    pixels = points.reshape(-1, 2) * (camera.scale, -camera.scale) + camera.translation
    place = apply_affine(classes.affine, pixels).reshape(points.shape).astype(np.float32)
    parts = [np.ascontiguousarray(image[..., part]) for part in (slice(0, 3), slice(3, 6))]  # at most 4 channels
    x, y = np.moveaxis(place, -1, 0)
    found = np.dstack([cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) for part in parts])
    limit = np.array(photo) - 1.0
    in_photo = ((pixels > 1.0) & (pixels < limit - 1.0)).all(axis=1).reshape(points.shape[:2])
    in_crop = ((place > 0) & (place < len(probability) - 1)).all(axis=2)
    return np.asarray(found, np.float32), np.asarray(in_photo & in_crop, np.bool_)


def _connected(hair: Float32Array, person: Float32Array) -> Float32Array:
    """Return the probability of hair (S, S) in the part of hair and person that contains the middle of the face."""
    either = (np.maximum(hair, person) > 0.5).astype(np.uint8)
    labels, stats = cv2.connectedComponentsWithStats(either, connectivity=4)[1:3]
    if len(stats) < 2:
        return hair
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(hair * (labels == largest), np.float32)


def head_outline(points: FloatArray, faces: IntArray, rays: Rays) -> FloatArray:
    """Return the distance (k,), mm, of the outline of a head on each ray, 0 on a ray that misses it.

    Parameters
    ----------
    points : (n, 3) float array, vertices in the camera frame, mm
    faces : (m, 3) int array, triangles
    rays : Rays
    """
    size = int(2 * REACH_MM / GRID_MM)
    middle = 0.5 * (size - 1)
    pixels = np.column_stack([(points[:, :2] - rays.top) * (1 / GRID_MM, -1 / GRID_MM) + middle, np.zeros(len(points))])
    covered = geometry.rasterize(pixels, faces, None, (size, size)).triangle >= 0
    places = ((rays.samples() - rays.top) * (1 / GRID_MM, -1 / GRID_MM) + middle).astype(np.float32)
    soft = cv2.GaussianBlur(covered.astype(np.float32), (3, 3), 0)
    found = cv2.remap(soft, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    inside = found > 0.5
    last = found.shape[1] - inside[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(inside.any(axis=1), last * STEP_MM, 0.0), np.float64)
