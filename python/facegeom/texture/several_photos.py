"""Detail of the skin from several photos of a person.

One photo gives the colours and the light of a texture. What it does not show, or shows at a grazing angle, has smooth
colours, to which other photos of the person add their detail: the ratio of their colours to their mean around. Shadows
and lights of the other photos, which differ from photo to photo, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom.face_model.template import Template
from facegeom.texture.appearance import View
from facegeom.texture.atlas_parts import enlarged, smooth
from facegeom.texture.baking import Atlas
from facegeom.texture.head_classes import HeadClasses
from facegeom.texture.shown_texels import shown_texels

BETTER = (1.5, 3.0)  # quality relative to the photo before from which another begins to give the detail, and does
LEAST_FACING = 0.1  # smallest cosine between normal and line of sight in the quality
FINE = 0.004  # width of the structures that tell how sharp a photo is, relative to the side of the atlas
SHARPEST = 1.0  # largest sharpness relative to the first photo; more is noise
AROUND = 0.012  # standard deviation of the mean around a texel, relative to the side of the atlas
CONTRAST = (0.75, 1.25)  # limits of the ratio of a texel to the mean around it
SOFT_JOIN = 0.02  # width of the border of a photo's detail, relative to the side of the atlas


class PhotoOfHead(NamedTuple):
    """A photo of the head: View of the fine vertices, with the expression of this photo, and HeadClasses."""

    view: View
    classes: HeadClasses


def with_detail_of(
    template: Template,
    atlas: Atlas,
    texture: ByteArray,
    photo_share: Float32Array,
    view: View,
    others: Sequence[PhotoOfHead],
) -> ByteArray:
    """Add the detail of other photos of a person to a texture.

    Parameters
    ----------
    template : Template
    atlas : Atlas of the template's fine topology
    texture : (S, S, 3) uint8 array, complete
    photo_share : (S, S) float32 array in [0, 1], share of the photo in each texel of the texture
    view : View of this photo
    others : sequence of PhotoOfHead

    Returns
    -------
    (S, S, 3) uint8 array

    Notes
    -----
    A texel has the detail of the photo that shows it best: from the front and sharp. The quality is the cosine between
    normal and line of sight times the sharpness of the photo, measured where two photos show the same texels. This is
    chosen by viewing; the thesis on full textured heads (section 3.3) joins three views by columns of the atlas.
    """
    best = np.maximum(_facing(template, atlas, view) * photo_share, LEAST_FACING)
    around = texture.astype(np.float32)
    shown_here = photo_share >= 1
    for other in others:
        shown = shown_texels(template, atlas, other.view, other.classes)
        skin: BoolArray = np.asarray(shown.known & ~shown.is_hair)
        quality = _facing(template, atlas, other.view) * _sharpness(shown.texture, texture, skin & shown_here)
        weight = np.clip((quality / best - BETTER[0]) / (BETTER[1] - BETTER[0]), 0, 1).astype(np.float32)
        weight = _within(weight, skin, SOFT_JOIN * atlas.size)
        colours = shown.texture.astype(np.float32) + 1
        ratio = np.clip(colours / _mean_around(colours, skin, AROUND * atlas.size), *CONTRAST)
        detailed = _mean_around(around, atlas.covered, AROUND * atlas.size) * ratio
        around += weight[..., None] * (detailed - around)
        best = np.where(weight > 0.5, quality, best)
    return np.rint(np.clip(around, 0, 255)).astype(np.uint8)


def _mean_around(colours: Float32Array, known: BoolArray, sigma: float) -> Float32Array:
    """Return the mean (S, S, 3) of the known colours around each texel."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)[..., None]
    total = cv2.GaussianBlur(np.where(known[..., None], colours, 0).astype(np.float32), (0, 0), sigma)
    return np.asarray(np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), colours), np.float32)


def _facing(template: Template, atlas: Atlas, view: View) -> Float32Array:
    """Return the cosine (S, S) between normal and line of sight, at least `LEAST_FACING`."""
    facing = enlarged(smooth(template, atlas.size, view.facing[:, None])[..., 0], atlas.size)
    return np.asarray(np.maximum(facing, LEAST_FACING), np.float32)


def _sharpness(texture: ByteArray, other: ByteArray, both: BoolArray) -> float:
    """Return the contrast of fine structures of a texture relative to another one, at most `SHARPEST`."""
    sigma = max(1.0, FINE * len(both))
    inside = cv2.erode(both.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=int(np.ceil(2 * sigma))) > 0
    if not inside.any():
        return SHARPEST
    fine = []
    for picture in (texture, other):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        fine.append(float(np.median(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), sigma))[inside])))
    return min(SHARPEST, fine[0] / max(fine[1], 1e-6))


def _within(weight: Float32Array, known: BoolArray, width: float) -> Float32Array:
    """Return weights (S, S) that fall to 0 at the border of the known texels of a photo."""
    away = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 3)
    ramp = np.clip((away - 0.5) / max(1.0, width), 0, 1)
    blurred = cv2.GaussianBlur(weight, (0, 0), max(0.5, 0.5 * width))
    return np.asarray(np.minimum(blurred, ramp), np.float32)
