"""Skin of the lips: texels of the lips come from pixels of lips, and not of teeth or of the gap between the lips.

The contour of a fitted mouth is wrong by a pixel or two, so that a photo of a smile shows teeth on the lips. Such
texels differ in colour from the outer lips; all texels between them and the opening of the mouth are replaced. What the
photo does not show of the lips is a continuation of what it shows, with their grain; inside it has the colour of the
reddest lips, because the outline of lips in a photo is mixed with skin and shadow. The gap ends in a dark spot at each
corner of the mouth, on lips and on the skin beside them, which would be stretched when the mouth opens: there, the
contrast of dark texels is limited.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.geometry.boundary import boundary_loops
from facegeom.texture.baking import Atlas, fill_smoothly
from facegeom.texture.head_classes import lab

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
COLUMNS = int(2 * HALF_MOUTH_MM / COLUMN_MM)  # their number
FAR = 1e3  # distance in mm that stands for "far from the mouth"
LEAST_ODD = 3  # minimum number of texels that are no lips in a column
MARGIN_PIXELS = 1.3  # pixels of the photo next to teeth or the gap that are left out too
FEATHER_MM = 1.2  # width in mm of the blend from the continued lips to the photo
LEAST_LIPS = 40  # minimum number of known texels of the lips from which others are continued
INNER = (0.86, 0.77, 0.77)  # colour of the inner lips, relative to the lips
INNER_MM = 5.0  # distance in mm behind the border of the known lips at which the inner lips have this colour
OWN_MM = 2.5  # the same for the colour of the reddest lips
LIP_BLEND_MM = 1.0  # standard deviation in mm of the blend between the colours of the upper and of the lower lip
REDDEST = 70.0  # percentile of the redness (a*) above which known lips have the colour of the lips
CORNERS = (48, 54)  # landmarks at the outer corners of the mouth
CORNER_MM, AROUND_MM = 9.5, 16.0  # distance in mm from a corner of the mouth up to which a shadow is weakened, and not
SHADOW, SHADOW_SHARE = 12.0, 0.12  # contrast (norm of RGB, 0 to 255) that stays of it; and share of the rest
DARK, DARK_SHARE = 7.0, 0.2  # darker (L*) than the usual lips or skin around: a shadow; or by this share of the L*
SPREAD = 1.5  # or darker by so many deviations of the lightness around
LEAST_AROUND = 30  # minimum number of texels around a corner from which its skin is continued
SOFT_MM = 0.8  # width in mm around shadows that is mixed with them
GRAIN_TEXELS = (0.9, 3.0)  # extent of the grain in texels of an atlas of 1,024, across and along the lines of the lips
LARGEST_GRAIN = 0.03  # largest standard deviation of the grain, relative to the brightness of the lips
SEED = 11


class LipTexels(NamedTuple):
    """The texels of an atlas around the lips.

    Attributes
    ----------
    rows, columns : slices of the atlas
    lips : (h, w) bool array, texels of the lips
    inner, outer : (h, w) float32 arrays, mm on the mean face from the rim of the mouth and from the outline of the lips
    across : (h, w) float32 array, place along the mouth in columns of `COLUMN_MM`, 0 beyond its right corner
    upper : (h, w) bool array, texels above the rim of the mouth
    corner : (h, w) float32 array, mm on the mean face from the nearest corner of the mouth, or `FAR`
    texel_mm : size of a texel in mm
    """

    rows: slice
    columns: slice
    lips: BoolArray
    inner: Float32Array
    outer: Float32Array
    across: Float32Array
    upper: BoolArray
    corner: Float32Array
    texel_mm: float


@load_once(maxsize=2)
def lip_texels(template: Template, atlas: Atlas) -> LipTexels:
    """Return the texels around the lips of a template."""
    fine, skin, model = template.fine, template.fine.skin_count, load_face_model()
    V = template.subdivide(model.mean[template.vertices])
    members = np.asarray(fine.regions["lips"], np.bool_)
    loops = [loop for loop in boundary_loops(fine.skin_faces) if fine.regions["lip_rim"][loop].all()]
    rim = np.concatenate(loops)
    values = np.full((len(V), 4), FAR)
    values[:skin, 0] = geometry.nearest(V[rim], V[:skin])[1]
    values[:, 1] = np.clip((V[:, 0] + HALF_MOUTH_MM) / COLUMN_MM, 0.0, COLUMNS - 1.0)
    order = np.argsort(V[rim, 0])
    values[:, 2] = V[:, 1] > np.interp(V[:, 0], V[rim][order, 0], _running_mean(V[rim][order, 1]))
    values[:skin, 3] = geometry.nearest(model.mean[model.landmarks68_multipie[list(CORNERS)]], V[:skin])[1]
    near = np.flatnonzero(atlas.inside(members | (values[:, 3] < AROUND_MM + OUTLINE_MM)))
    rows, columns, picture, given = atlas.window(near, atlas.carry(values, near))
    window = rows, columns
    inner, across, upper, corner = (
        np.ascontiguousarray(part) for part in np.moveaxis(np.asarray(picture, np.float32), 2, 0)
    )
    corner[~given] = FAR
    own = atlas.region(members)[window].copy()  # a view would keep the whole atlas
    texel_mm = _texel_mm(inner, own)
    skin_around = np.pad(own | ~atlas.covered[window], 1)
    outer = cv2.distanceTransform(skin_around.astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] * np.float32(texel_mm)
    above = np.asarray(upper > 0.5, np.bool_)
    return LipTexels(*window, own, inner, np.asarray(outer, np.float32), across, above, corner, texel_mm)


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
    for lip in (texels.upper, ~texels.upper):
        border = _border(texels, odd & lip, shown & lip) + MARGIN_PIXELS * pixel_mm
        border = np.mean([np.roll(border, shift) for shift in range(-2, 3)], axis=0)
        # Between the middles of the columns, the border is a line: steps would be teeth of a comb on the lip.
        limit = np.interp(texels.across, np.arange(COLUMNS) + 0.5, border)
        result[window] |= shown & lip & (texels.inner < limit)
    return result


def _border(texels: LipTexels, odd: BoolArray, shown: BoolArray) -> FloatArray:
    """Return the distance in mm from the rim, in each column (c,) of one lip, up to which texels are no lips.

    `odd` and `shown` (h, w) are the texels of the lip that have other colours, and those that the photo shows.
    """
    column = texels.across.astype(np.int64)
    border, first = np.zeros(COLUMNS), np.full(COLUMNS, np.inf)
    np.maximum.at(border, column[odd], texels.inner[odd])
    border[np.bincount(column[odd], minlength=COLUMNS) < LEAST_ODD] = 0.0
    border = np.max([np.roll(border, shift) for shift in (-1, 0, 1)], axis=0)
    np.minimum.at(first, column[shown], texels.inner[shown])
    return np.asarray(np.maximum(border, np.where(np.isfinite(first), first, 0.0)))


def _odd(colors: ByteArray, outer: BoolArray, inner: Float32Array) -> BoolArray:
    """Return the texels (h, w) that have the colours of teeth or of the gap between the lips."""
    light, red, other = cv2.split(lab(colors))
    chroma = np.hypot(red, other)
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
    beside = fill_smoothly(around, texels.outer == 0) if (texels.outer == 0).any() else around
    outline = np.clip(texels.outer / OUTLINE_MM, 0.0, 1.0)[..., None]
    inside = cv2.distanceTransform(np.pad(shown | ~texels.lips, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    weight = np.clip(inside * texels.texel_mm / FEATHER_MM, 0.0, 1.0) * shown
    sources = weight >= 1.0 if (weight >= 1.0).sum() >= LEAST_LIPS else shown
    smooth = np.asarray(cv2.GaussianBlur(fill_smoothly(around, sources), (0, 0), 2.0), np.float32)
    above = cv2.GaussianBlur(texels.upper.astype(np.float32), (0, 0), LIP_BLEND_MM / texels.texel_mm)
    of_upper = np.asarray(above, np.float32)[..., None]
    red = of_upper * _reddest(around, sources, texels.upper) + (1 - of_upper) * _reddest(around, sources, ~texels.upper)
    smooth += np.clip(depth / OWN_MM, 0.0, 1.0)[..., None] * (red - smooth)
    deep = np.clip(depth / INNER_MM, 0.0, 1.0)[..., None]
    filled = smooth * (1 + deep * (np.array(INNER) - 1)) + _grain(around, shown, len(texture))[..., None]
    filled = outline * filled + (1 - outline) * beside
    weight = weight[..., None]
    mixed = weight * around + (1 - weight) * filled
    result = texture.copy()
    result[window] = np.where(texels.lips[..., None], np.rint(np.clip(mixed, 0, 255)).astype(np.uint8), texture[window])
    return result


def _reddest(colors: Float32Array, lips: BoolArray, lip: BoolArray) -> Float32Array:
    """Return the median colour (3,) of the reddest known texels of one lip, or of both if few of this one are known."""
    own = lips & lip
    shown = colors[own if own.sum() >= LEAST_LIPS else lips]
    red = lab(shown[None])[0, :, 1]
    return np.asarray(np.median(shown[red >= np.percentile(red, REDDEST)], axis=0), np.float32)


def with_plain_corners(texture: ByteArray, texels: LipTexels) -> ByteArray:
    """Return the texture (S, S, 3) with the dark ends of the gap between the lips weakened at the corners of the mouth.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, complete
    texels : LipTexels
    """
    around = np.asarray(texture[texels.rows, texels.columns], np.float32)
    light = lab(around)[..., 0]
    near = texels.corner < AROUND_MM + OUTLINE_MM
    side = 2 * max(1, round(SOFT_MM / texels.texel_mm)) + 1
    result = around
    middle = texels.across.shape[1] // 2
    for half in (slice(0, middle), slice(middle, None)):
        part = np.zeros_like(near)
        part[:, half] = near[:, half]
        shadow = _shadow(light, part & texels.lips, texels.corner) | _shadow(light, part & ~texels.lips, texels.corner)
        shadow = cv2.dilate(shadow.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
        sources = part & ~shadow
        if sources.sum() < LEAST_AROUND or not shadow.any():
            continue
        plain = fill_smoothly(around, sources)
        plain = np.where(sources[..., None], plain, cv2.GaussianBlur(plain, (0, 0), 1.0))
        change = around - plain
        size = np.maximum(np.linalg.norm(change, axis=2), 1e-6)
        weakened = np.minimum(1.0, (SHADOW + SHADOW_SHARE * np.maximum(size - SHADOW, 0.0)) / size)
        strength = np.interp(texels.corner, (CORNER_MM, AROUND_MM), (1.0, 0.0)) * (change.sum(axis=2) < 0)
        share = 1.0 - strength * (1.0 - weakened)
        result = np.where(part[..., None], plain + change * share[..., None], result)
    out = texture.copy()
    out[texels.rows, texels.columns] = np.rint(np.clip(result, 0, 255)).astype(np.uint8)
    return out


def _shadow(light: Float32Array, part: BoolArray, corner: Float32Array) -> BoolArray:
    """Return the texels of a part (h, w) that are darker than usual in it; `light` and `corner` are (h, w)."""
    usual = light[part & (corner > CORNER_MM)]
    if len(usual) < LEAST_AROUND:
        return np.zeros_like(part)
    middle = float(np.median(usual))
    spread = SPREAD * 1.4826 * float(np.median(np.abs(usual - middle)))
    return np.asarray(part & (light < middle - max(min(DARK, DARK_SHARE * middle), spread)))


def _grain(colors: Float32Array, shown: BoolArray, size: int) -> Float32Array:
    """Return changes of brightness (h, w) as large as the fine detail of the known lips, in lines across them."""
    gray = colors.mean(axis=2)
    across, along = (extent * size / 1024 for extent in GRAIN_TEXELS)
    noise = np.random.default_rng(SEED).standard_normal(shown.shape).astype(np.float32)
    lines = cv2.GaussianBlur(noise, (0, 0), sigmaX=max(across, 0.3), sigmaY=max(along, 0.3))
    inner = cv2.erode(shown.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    detail = (gray - cv2.GaussianBlur(gray, (0, 0), max(3.0 * across, 0.8)))[inner]
    if not detail.size:
        return np.zeros(shown.shape, np.float32)
    deviation = min(1.4826 * float(np.median(np.abs(detail))), LARGEST_GRAIN * float(gray[inner].mean()))
    return np.asarray(lines / max(float(lines.std()), 1e-6) * deviation, np.float32)
