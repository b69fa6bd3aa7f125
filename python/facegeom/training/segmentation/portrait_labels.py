"""Classes of the pixels of portraits, from the fitted head, a mask of the person and colours of the photo itself.

Where a pixel lies on or beside the fitted head decides which classes are likely. The colours of the classes are learned
in each photo alone, from the pixels that are most likely a class, and again from the result (as in Rother, Kolmogorov &
Blake 2004, GrabCut, with histograms and guided filters instead of mixtures and graph cuts). Pixels whose class stays
doubtful are unknown.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.geometry import rasterize
from facegeom.images.crop import apply_affine
from facegeom.images.sampling import nearest_known
from facegeom.networks.segmentation_crop import BACKGROUND, CLOTHES, FACIAL_HAIR, HEAD_HAIR, SKIN
from facegeom.training.data.pose import Pose

UNKNOWN = 255  # label of pixels that train nothing
FOUND = (
    SKIN,
    HEAD_HAIR,
    CLOTHES,
    BACKGROUND,
)  # the classes that colours tell apart, in the order of the last axis here
_SKIN, _HAIR, _CLOTHES, _BACKGROUND = range(len(FOUND))
NOTHING, FACE, EAR, NECK, SCALP = range(5)  # parts of the head
BINS = np.array([20, 24, 24])  # of the colour histogram, in L*, a* and b*
ROUNDS = 3  # number of times that the colours are learned
SURE = 0.75  # probability of a class from which a pixel has its label
EYES = np.array([31.5, 0.0]), 18.0  # middle of the left eye and half of its height, mm on the mean face
BALD = 0.22  # share of the pixels of the scalp without the colour of the skin below which a head has no hair
DARK = (0.66, 0.86)  # brightness relative to the skin below which the beard zone shows a beard, and above which skin
LEAST_BEARD = 0.3  # dark share of upper lip and chin of a face with a beard


class HeadParts(NamedTuple):
    """The fitted head in a crop.

    Attributes
    ----------
    part : (S, S) int array, `NOTHING`, `FACE`, `EAR`, `NECK` or `SCALP`
    place : (S, S, 3) float32 array, mm on the mean face; beside the head, that of the nearest pixel of the head
    beside : (S, S) float32 array, distance from the head, mm
    chin : row of the chin
    """

    part: IntArray
    place: Float32Array
    beside: Float32Array
    chin: float


def triangle_parts(model: FaceModel) -> IntArray:
    """Return the part of the head that each triangle belongs to, (m + 1,); the last entry is `NOTHING`."""
    parts = np.full(len(model.faces) + 1, FACE, np.int64)
    for part, names in ((SCALP, ("scalp",)), (NECK, ("neck",)), (EAR, ("ear_left", "ear_right"))):
        for name in names:
            parts[:-1][model.regions[name][model.faces].all(1)] = part
    outside = ~(model.regions["map"] | model.regions["face"])[model.faces].all(1)
    parts[:-1][outside & (parts[:-1] == FACE)] = NECK
    parts[-1] = NOTHING
    return parts


def head_parts(model: FaceModel, parts: IntArray, pose: Pose, affine: FloatArray, size: int) -> HeadParts:
    """Return the fitted head in a crop; `parts` as `triangle_parts` returns them."""
    points = pose.pixels()
    points[:, :2] = apply_affine(affine, points[:, :2])
    raster = rasterize(points, model.faces, model.mean, (size, size))
    inside = raster.triangle >= 0
    if not inside.any():
        inside[size // 2, size // 2] = True
    nearest = nearest_known(inside)
    place = np.nan_to_num(raster.attributes).astype(np.float32).reshape(-1, 3)[nearest]
    zoom = pose.scale * np.sqrt(abs(np.linalg.det(affine[:, :2])))  # pixels of the crop per mm
    beside = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / np.float32(zoom)
    part = np.where(inside, parts[raster.triangle], NOTHING)
    return HeadParts(part, place, np.asarray(beside, np.float32), float(points[model.landmarks68[8], 1]))


def portrait_labels(image: ByteArray, head: HeadParts, person: Float32Array, inside: BoolArray) -> ByteArray:
    """Return the class of each pixel of a crop, (S, S) uint8; `UNKNOWN` where it is doubtful.

    Parameters
    ----------
    image : (S, S, 3) uint8 array, RGB
    head : HeadParts
    person : (S, S) float32 array, probability that a pixel shows the person
    inside : (S, S) bool array, pixels inside the photo
    """
    prior = _prior(head, person)
    code = _colour_codes(image)
    soft = cv2.GaussianBlur(image, (0, 0), 0.7)
    guide: Float32Array = np.asarray(cv2.cvtColor(soft, cv2.COLOR_RGB2LAB), np.float32) / np.float32(255)
    smoothed = _Smoother(guide)
    seeds = _seeds(head, person, inside, prior)
    bald = _bald(code, seeds, head, person)
    if bald:
        prior[..., _HAIR] *= 0.03
        prior[..., _SKIN] = np.where(head.part == SCALP, 3 * prior[..., _SKIN], prior[..., _SKIN])
        prior /= prior.sum(2, keepdims=True)
        seeds[..., _HAIR] = 0
    posterior = prior
    for _ in range(ROUNDS):
        likelihood = _likelihoods(code, seeds * inside[..., None])
        posterior = prior * likelihood
        posterior /= np.maximum(posterior.sum(2, keepdims=True), 1e-12)
        posterior = smoothed(posterior)
        seeds = np.where(posterior > 0.6, posterior, 0)
    best = posterior.argmax(2)
    labels = np.array(FOUND, np.uint8)[best]
    labels[posterior.max(2) < SURE] = UNKNOWN
    labels[~inside] = UNKNOWN
    labels[(person > 0.35) & (labels == BACKGROUND)] = UNKNOWN
    _add_beard(labels, image, head)
    return labels


def _prior(head: HeadParts, person: Float32Array) -> Float32Array:
    """Return the probability of each class of `FOUND` by place alone, (S, S, 4)."""
    x, y, z = (head.place[..., axis] for axis in range(3))
    rows = np.arange(len(y), dtype=np.float32)[:, None]
    below = np.clip((rows - head.chin) / 6 + 0.5, 0, 1) * np.ones_like(y)  # 0 above the chin, 1 below
    out = np.zeros((*y.shape, len(FOUND)), np.float32)
    part = head.part

    def put(where: BoolArray, skin: object, hair: object, clothes: object) -> None:
        for at, value in ((_SKIN, skin), (_HAIR, hair), (_CLOTHES, clothes)):
            out[..., at] = np.where(where, np.asarray(value, np.float32), out[..., at])

    beside = head.beside
    put(
        part == NOTHING,
        0.12 * np.exp(-beside / 10) + 0.06 * below,
        (1 - below) * 0.85 * np.exp(-beside / 120) + below * 0.28 * np.exp(-beside / 70),
        (1 - below) * 0.03 + below * 0.6,
    )
    top = np.clip((y - 30) / 30, 0, 1)  # the upper forehead
    side = np.clip((np.abs(x) - 58) / 14, 0, 1) * (y > -60)
    fringe = np.maximum(0.45 * top, 0.4 * side)
    put(part == FACE, 0.97 - fringe, 0.03 + fringe, 0.006)
    put(part == EAR, 0.55, 0.45, 0.01)
    low = np.clip((-115 - y) / 35, 0, 1)
    put(part == NECK, 0.75 - 0.3 * low, 0.2, 0.06 + 0.4 * low)
    put(part == SCALP, 0.14, 0.85, 0.01)
    behind = (part == NECK) & (z < -90)  # the nape, seen from the side
    put(behind, 0.4, 0.55, 0.05)
    core = (part == FACE) & (top == 0) & (side == 0)
    whole = np.where(core, 0.995, np.where(part == FACE, np.maximum(person, 0.8), person))
    whole = np.clip(whole, 0.02, 0.995)
    out /= np.maximum(out.sum(2, keepdims=True), 1e-6)
    out *= whole[..., None]
    out[..., _BACKGROUND] = 1 - whole
    return out


def _seeds(head: HeadParts, person: Float32Array, inside: BoolArray, prior: Float32Array) -> Float32Array:
    """Return the pixels from which the colours of the classes are learned first, (S, S, 4) weights."""
    x, y = head.place[..., 0], head.place[..., 1]
    seeds = np.zeros_like(prior)
    eyes = (np.abs(np.abs(x) - EYES[0][0]) < 20) & (np.abs(y) < EYES[1])
    mouth = (np.abs(x) < 34) & (y < -42)
    seeds[..., _SKIN] = (head.part == FACE) & (np.abs(x) < 58) & (y > -50) & (y < 30) & ~eyes & ~mouth & (y < 10)
    seeds[..., _SKIN] += (head.part == FACE) & (np.abs(x) < 25) & (y >= 10) & (y < 36)
    ring = (head.part == NOTHING) & (head.beside < 12) & (y > 20)
    seeds[..., _HAIR] = ((head.part == SCALP) | ring) & (person > 0.6)
    rows = np.arange(len(y))[:, None]
    seeds[..., _CLOTHES] = (person > 0.7) & (rows > head.chin) & ((y < -150) | (head.beside > 12))
    seeds[..., _BACKGROUND] = person < 0.12
    seeds *= inside[..., None]
    return seeds


def _bald(code: IntArray, seeds: Float32Array, head: HeadParts, person: Float32Array) -> bool:
    """Return whether the scalp has the colour of the skin."""
    like = _likelihoods(code, seeds)
    scalp = (head.part == SCALP) & (person > 0.6) & (head.place[..., 1] > 70)
    if scalp.sum() < 30:
        return False
    skin, hair = like[..., _SKIN][scalp], like[..., _HAIR][scalp]
    return bool((hair > 3 * skin).mean() < BALD)


def _colour_codes(image: ByteArray) -> IntArray:
    """Return the bin of the colour histogram for each pixel, (S, S)."""
    lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    low, high = np.array([0, -30, -30]), np.array([100, 50, 60])
    bins = np.clip((lab - low) / (high - low) * BINS, 0, BINS - 1).astype(np.int64)
    return np.asarray((bins[..., 0] * BINS[1] + bins[..., 1]) * BINS[2] + bins[..., 2])


def _likelihoods(code: IntArray, seeds: Float32Array) -> Float32Array:
    """Return the likelihood of the colour of each pixel in each class, (S, S, 4), learned from weighted pixels."""
    out = np.zeros(seeds.shape, np.float32)
    total = int(BINS.prod())
    for at in range(seeds.shape[2]):
        counts = np.bincount(code.ravel(), seeds[..., at].ravel(), total).astype(np.float32).reshape(BINS)
        weight = float(counts.sum())
        if weight < 20:
            out[..., at] = 2e-5 if at != _HAIR else 1e-5
            continue
        for axis in range(3):
            counts = _blurred_along(counts, axis)
        density = 0.93 * counts / weight + 0.07 / total
        out[..., at] = density.ravel()[code]
    return out


def _blurred_along(counts: Float32Array, axis: int) -> Float32Array:
    """Return a histogram smoothed along one axis."""
    padded = np.pad(counts, [(2, 2) if a == axis else (0, 0) for a in range(3)])
    moved = np.moveaxis(padded, axis, 0)
    smooth = sum(w * moved[k : len(moved) - 4 + k] for k, w in enumerate((0.06, 0.24, 0.4, 0.24, 0.06)))
    return np.moveaxis(np.asarray(smooth, np.float32), 0, axis)


class _Smoother:
    """Smoothing of maps along the edges of an image (He, Sun & Tang 2010, guided filter)."""

    def __init__(self, guide: Float32Array, radius: int = 4, tolerance: float = 4e-4) -> None:
        self.guide, self.size = guide, (2 * radius + 1, 2 * radius + 1)
        self.average = self._mean(guide)
        cross = guide[..., :, None] * guide[..., None, :]
        covariance = self._mean(cross.reshape(*guide.shape[:2], -1)).reshape(cross.shape)
        covariance -= self.average[..., :, None] * self.average[..., None, :]
        self.inverse = np.linalg.inv(covariance + np.float32(tolerance) * np.eye(guide.shape[2], dtype=np.float32))

    def __call__(self, values: Float32Array) -> Float32Array:
        """Return probabilities (S, S, k), smoothed."""
        out = np.empty_like(values)
        for at in range(values.shape[2]):
            one = values[..., at]
            level = self._mean(one)
            slope = self._mean(self.guide * one[..., None]) - self.average * level[..., None]
            slope = np.einsum("hwij,hwj->hwi", self.inverse, slope)
            offset = level - (slope * self.average).sum(2)
            out[..., at] = (self._mean(slope) * self.guide).sum(2) + self._mean(offset)
        out = np.clip(out, 1e-4, 1)
        return np.asarray(out / out.sum(2, keepdims=True), np.float32)

    def _mean(self, array: Float32Array) -> Float32Array:
        return np.asarray(cv2.blur(array, self.size), np.float32)


def _add_beard(labels: ByteArray, image: ByteArray, head: HeadParts) -> None:
    """Mark dark pixels of the chin, the jaw and the upper lip as facial hair; those of medium brightness as unknown."""
    x, y, z = (head.place[..., axis] for axis in range(3))
    face = (head.part == FACE) & (labels != BACKGROUND)
    lips = (np.abs(x) < 27) & (y < -62) & (y > -82)
    lip = (np.abs(x) < 30) & (y < -52) & (y > -62)
    chin = (np.abs(x) < 22) & (y < -86) & (z > -10)
    zone = face & ~lips & (((y < -84) & (y > -118) & (z > -45)) | lip | ((y < -50) & (np.abs(x) > 38)))
    cheeks = face & (labels == SKIN) & (y < -15) & (y > -45) & (np.abs(x) > 15) & (np.abs(x) < 55)
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    dark, medium = np.zeros_like(face), np.zeros_like(face)
    for side in (x > 0, x <= 0):  # light often comes from one side
        here = cheeks & side
        level = float(np.median(grey[here if here.sum() > 20 else cheeks])) if cheeks.sum() > 20 else 0.0
        dark |= zone & side & (grey < DARK[0] * level)
        medium |= zone & side & (grey < DARK[1] * level) & (grey >= DARK[0] * level)
    middle = zone & (lip | chin)
    if middle.sum() < 10 or dark[middle].mean() < LEAST_BEARD:
        labels[dark] = UNKNOWN
        return
    labels[medium] = UNKNOWN
    labels[dark] = FACIAL_HAIR
