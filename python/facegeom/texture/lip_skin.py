"""Skin of the lips: texels of the lips come from pixels of lips, and not of teeth or of the gap between the lips.

The contour of a fitted mouth is wrong by a pixel or two, so that a photo of a smile shows teeth on the lips. Such
texels differ in colour from the outer lips; all texels between them and the opening of the mouth are replaced. What the
photo does not show of the lips is a continuation of what it shows, with their grain.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.geometry.boundary import boundary_loops
from facegeom.texture.baking import Atlas, fill_smoothly

EDGE_MM = 8.0  # distance in mm from the rim of the mouth within which bright or dark texels are no lips
REACH_MM = 13.0  # the same for texels whose hue is that of teeth
OUTLINE_MM = 2.0  # width in mm of the blend from the skin around the lips to continued lips
BRIGHT = 24.0  # a tooth is at least so much lighter (L*) than the lips
PALE, PALE_CHROMA = 10.0, 0.6  # or so much lighter, and less colourful (share of the C* of the lips)
YELLOW, YELLOW_RED = 8.0, 0.4  # or at most so much darker, with so little red (share of the a* of the lips)
LEAST_RED = 8.0  # smallest a* of lips whose teeth are found by their hue
GAP, GAP_SHARE = 18.0, 0.4  # the gap between the lips is at least so much darker (L*), or by this share of the lips' L*
HALF_MOUTH_MM = 64.0  # more than half of the width of a mouth, mm
RIM_SMOOTHING = 4  # vertices of the rim on each side over which its height is averaged
COLUMN_MM = 1.0  # width in mm of the columns of the mouth in which the border between lips and no lips is searched
LEAST_ODD = 3  # minimum number of texels that are no lips in a column
MARGIN_PIXELS = 1.3  # pixels of the photo next to teeth or the gap that are left out too
FEATHER_MM = 1.2  # width in mm of the blend from the continued lips to the photo
LEAST_LIPS = 40  # minimum number of known texels of the lips from which others are continued
INNER = (0.80, 0.70, 0.70)  # colour of the inner lips, relative to the lips
INNER_MM = 5.0  # distance in mm behind the border of the known lips at which the inner lips have this colour
GRAIN_TEXELS = (0.9, 3.0)  # extent of the grain in texels of an atlas of 1,024, across and along the lines of the lips
SEED = 11


class LipTexels(NamedTuple):
    """The texels of an atlas around the lips.

    Attributes
    ----------
    rows, columns : slices of the atlas
    lips : (h, w) bool array, texels of the lips
    inner, outer : (h, w) float32 arrays, mm on the mean face from the rim of the mouth and from the outline of the lips
    column : (h, w) int array, number of the column of the mouth, different for the upper and the lower lip
    texel_mm : size of a texel in mm
    """

    rows: slice
    columns: slice
    lips: BoolArray
    inner: Float32Array
    outer: Float32Array
    column: IntArray
    texel_mm: float


@load_once(maxsize=2)
def lip_texels(template: Template, atlas: Atlas) -> LipTexels:
    """Return the texels around the lips of a template."""
    fine, skin = template.fine, template.fine.skin_count
    V = template.subdivide(load_face_model().mean[template.vertices])
    members = np.asarray(fine.regions["lips"], np.bool_)
    loops = [loop for loop in boundary_loops(fine.skin_faces) if fine.regions["lip_rim"][loop].all()]
    rim = np.concatenate(loops)
    values = np.zeros((len(V), 3))
    values[:skin, 0] = geometry.nearest(V[rim], V[:skin])[1]
    values[:, 1] = V[:, 0]
    order = np.argsort(V[rim, 0])
    values[:, 2] = V[:, 1] > np.interp(V[:, 0], V[rim][order, 0], _running_mean(V[rim][order, 1]))
    inside = np.flatnonzero(atlas.inside(members))
    rows, columns, picture, own = atlas.window(inside, atlas.carry(values, inside))
    window = rows, columns
    inner, x, upper = (np.ascontiguousarray(part) for part in np.moveaxis(np.asarray(picture, np.float32), 2, 0))
    texel_mm = _texel_mm(inner, own)
    skin_around = np.pad(own | ~atlas.covered[window], 1)
    outer = cv2.distanceTransform(skin_around.astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] * np.float32(texel_mm)
    count = int(2 * HALF_MOUTH_MM / COLUMN_MM)
    column = np.clip((x + HALF_MOUTH_MM) / COLUMN_MM, 0, count - 1).astype(np.int64) + count * (upper > 0.5)
    return LipTexels(*window, own, inner, np.asarray(outer, np.float32), column, texel_mm)


def _running_mean(heights: FloatArray) -> FloatArray:
    """Return the heights of a line between the upper and the lower rim, whose vertices are sorted by x."""
    padded = np.pad(heights, RIM_SMOOTHING, mode="edge")
    width = 2 * RIM_SMOOTHING + 1
    return np.asarray(np.convolve(padded, np.full(width, 1.0 / width), mode="valid"))


def _texel_mm(inner: Float32Array, lips: BoolArray) -> float:
    """Return the size of a texel in mm: the distance from the rim changes by 1 mm for each mm."""
    down, right = np.gradient(inner)
    steps = np.hypot(down, right)[cv2.erode(lips.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)]
    return float(np.median(steps)) if steps.size else 1.0


def no_lips(texture: ByteArray, known: BoolArray, texels: LipTexels, pixel_mm: float) -> BoolArray:
    """Return the mask (S, S) of known texels of the lips that show teeth, the gap of the mouth, or pixels next to them.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, baked photo
    known : (S, S) bool array, texels that the photo shows
    texels : LipTexels
    pixel_mm : size of a pixel of the photo in mm
    """
    window = texels.rows, texels.columns
    shown = known[window] & texels.lips
    result = np.zeros_like(known)
    outer = shown & (texels.inner > EDGE_MM)
    if outer.sum() < LEAST_LIPS:
        return result
    odd = shown & (texels.outer > OUTLINE_MM) & _odd(texture[window], outer, texels.inner)
    count = int(texels.column.max()) + 1
    border = np.zeros(count)
    np.maximum.at(border, texels.column[odd], texels.inner[odd])
    border[np.bincount(texels.column[odd], minlength=count) < LEAST_ODD] = 0.0
    border = np.max([np.roll(border, shift) for shift in (-1, 0, 1)], axis=0)
    first = np.full(count, np.inf)
    np.minimum.at(first, texels.column[shown], texels.inner[shown])
    border = np.maximum(border, np.where(np.isfinite(first), first, 0.0)) + MARGIN_PIXELS * pixel_mm
    border = np.mean([np.roll(border, shift) for shift in range(-2, 3)], axis=0)
    result[window] = shown & (texels.inner < border[texels.column])
    return result


def _odd(colors: ByteArray, outer: BoolArray, inner: Float32Array) -> BoolArray:
    """Return the texels (h, w) that have the colours of teeth or of the gap between the lips."""
    lab = cv2.cvtColor(np.ascontiguousarray(colors, np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    light, red, chroma = lab[..., 0], lab[..., 1], np.hypot(lab[..., 1], lab[..., 2])
    usual, redness, colourful = (float(np.median(values[outer])) for values in (light, red, chroma))
    pale = (light > usual + PALE) & (chroma < PALE_CHROMA * colourful)
    gap = light < usual - min(GAP, GAP_SHARE * usual)
    yellow = (redness > LEAST_RED) & (red < YELLOW_RED * redness) & (light > usual - YELLOW)
    return np.asarray(((pale | gap | (light > usual + BRIGHT)) & (inner < EDGE_MM)) | (yellow & (inner < REACH_MM)))


def with_whole_lips(texture: ByteArray, known: BoolArray, texels: LipTexels) -> ByteArray:
    """Return the texture (S, S, 3) in which unknown texels of the lips continue known texels of the lips.

    A network that completes faces would draw teeth, or the edge of the mouth, there.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, complete
    known : (S, S) bool array, texels that the photo shows
    texels : LipTexels
    """
    window = texels.rows, texels.columns
    shown = known[window] & texels.lips
    if shown.sum() < LEAST_LIPS:
        return texture
    around = np.asarray(texture[window], np.float32)
    depth = cv2.distanceTransform((~shown).astype(np.uint8), cv2.DIST_L2, 5) * texels.texel_mm
    skin = np.clip(texels.outer / OUTLINE_MM, 0.0, 1.0)[..., None]
    inside = cv2.distanceTransform(np.pad(shown | ~texels.lips, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    weight = np.clip(inside * texels.texel_mm / FEATHER_MM, 0.0, 1.0) * shown
    sources = weight >= 1.0 if (weight >= 1.0).sum() >= LEAST_LIPS else shown
    smooth = cv2.GaussianBlur(fill_smoothly(around, sources), (0, 0), 2.0)
    deep = np.clip(depth / INNER_MM, 0.0, 1.0)[..., None]
    filled = smooth * (1 + deep * (np.array(INNER) - 1)) + _grain(around, shown, len(texture))[..., None]
    weight = np.maximum(weight[..., None], 1.0 - skin)
    mixed = weight * around + (1 - weight) * filled
    result = texture.copy()
    result[window] = np.where(texels.lips[..., None], np.rint(np.clip(mixed, 0, 255)).astype(np.uint8), texture[window])
    return result


def _grain(colors: Float32Array, shown: BoolArray, size: int) -> Float32Array:
    """Return changes of brightness (h, w) as large as the fine detail of the known lips, in lines across them."""
    gray = colors.mean(axis=2)
    across, along = (extent * size / 1024 for extent in GRAIN_TEXELS)
    noise = np.random.default_rng(SEED).standard_normal(shown.shape).astype(np.float32)
    lines = cv2.GaussianBlur(noise, (0, 0), sigmaX=max(across, 0.3), sigmaY=max(along, 0.3))
    inner = cv2.erode(shown.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    detail = (gray - cv2.GaussianBlur(gray, (0, 0), max(3.0 * across, 0.8)))[inner]
    deviation = 1.4826 * float(np.median(np.abs(detail))) if detail.size else 0.0
    return np.asarray(lines / max(float(lines.std()), 1e-6) * min(deviation, 6.0), np.float32)
