"""Skin of the eyelids: without the lashes, the shadow and the eyeball that a photo of open eyes shows on them.

A photo of an open eye shows the upper lid as a band of a few pixels, often with pixels of lashes or of the eyeball.
When the lid closes, this band becomes several times higher, and these pixels become streaks. Near the margin of a lid
the contrast of the texture is therefore limited, relative to smooth skin in the light of the skin around the eye; the
part behind the margin, which no photo shows, is that smooth skin. A dark line of lashes is painted on the margin.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model.lids import lid_margin
from facegeom.face_model.template import Template
from facegeom.texture.baking import Atlas, fill_smoothly
from facegeom.texture.head_classes import lab
from facegeom.texture.smooth_step import smooth_step

FAR = 1e3  # distance in mm that stands for "far from the lids"
SOURCE_MM = (4.5, 12.0)  # distances in mm from the margin of the upper lid between which its skin is continued
UPPER_LIMIT = (
    (1.0, 3.0, 5.0, 7.5, 10.0),
    (3.0, 6.0, 18.0, 90.0, 450.0),
)  # distance in mm -> largest contrast (0 to 255), upper lid
DARK_LIMIT = (
    (1.0, 2.2, 4.0, 5.5, 7.5, 10.0),
    (24.0, 5.0, 12.0, 32.0, 100.0, 450.0),
)  # the same for darker texels: roots of lashes, and the fold above the lid
LOWER_LIMIT = ((0.4, 1.2, 2.5), (7.0, 16.0, 255.0))  # the lower lid hardly stretches
PALE = 0.6  # chroma (C* of CIELAB), relative to that of the skin, below which a texel of the lower lid is no skin
PALE_DARKER = 12.0  # largest difference of lightness (L*) by which such a texel is darker: the white of the eye
DARKER = 28.0  # difference of lightness from which on it shows the iris
HALO = 0.004  # width, relative to the side of the atlas, of the texels around them that are mixed with skin
EVEN = 14.0  # largest difference of the quartiles of the lightness of the skin below an eye without a shadow
EYE_LIMIT = ((2.5, 4.0, 7.0), (8.0, 12.0, 255.0))  # the limit for texels of the lower lid that show the eyeball
LOWER_SOURCE_MM = 2.5  # the smaller distance of SOURCE_MM for the lower lid
OUTLIER = 2.5  # a source whose brightness differs by more than this many deviations from the median is left out
LEAST_DEVIATION = 6.0  # smallest deviation of the brightness (0 to 255) in this test
MOST_WORN = 0.5  # share of the lids that show glasses above which these are dark, and the lids are part of them
WORN_LIMIT = ((4.5, 7.0), (8.0, 255.0))  # the limit for texels of both lids that show glasses
DARK_LID = (0.25, 0.5)
"""Brightness relative to the skin below the eye: a brow, lashes or a shadow below the first, skin above the second."""
FIELD_LIMITS = (0.65, 1.4)  # limits of the brightness of the lids, relative to the skin below the eye
FACE_HUE = 0.6  # share of the hue of the face's skin in that of the lids
ROUNDS, RESIDUAL = 5, 0.12  # iterations of the robust fit; mean residual of logarithms at which a weight is one half
RING_MM = 5.0
"""Distance in mm from the margin of the upper lid at which the skin begins whose colours the lid continues."""
DIFFERENT, BLUR = 0.5, 0.02
"""Residual above which a texel around the lids shows something else, such as a brow; and the standard deviation of the
filter of residuals, relative to the height and the width of the window together."""
INNER_MM = (2.0, 8.0)
"""Distance in mm from the margin: the inner part of the lids up to the first, the skin around them from the second."""
RIDGE = np.array([0.003, 0.01, 0.01, 0.03, 0.03, 0.03])  # per source, for the monomials of the fit
EVERY = 3  # the fit is made with each third row and column
SOFT_MM = {"upper": (3.5, 7.0), "lower": (0.6, 2.5)}
"""Distance in mm from the margin: smooth skin with painted grain below the first, the fine structure of the photo above
the second."""
BESIDE_MM, CORNERS_MM = 5.0, 9.0
"""Largest difference in mm of the distances to the two margins beside a corner of the eye, where no eyeball is, and of
texels that count as both lids."""
SOFT = 0.006  # standard deviation of the filter that leaves smooth skin, relative to the side of the atlas
GRAIN, MOST_GRAIN, GRAIN_WIDTH, SEED = 0.5, 4.0, (0.002, 0.0005), 5
"""Painted grain: its contrast relative to that of the skin below the eye, the largest contrast (0 to 255), the width of
its spots, along the lid and across it, relative to the side of the atlas (a lid that closes stretches them); seed."""
LEAST_BELOW = 0.6  # smallest brightness of the skin below the eye, relative to that of the face, for this comparison
LEAST_SOURCES = 40  # minimum number of texels from which the skin of the lids is continued
LASHES = {"upper": 0.85, "lower": 0.35}  # opacity of the line of lashes
LASHES_MM = {"upper": 0.8, "lower": 0.5}  # width in mm over which it fades
ROOTS_MM = {"upper": 0.6, "lower": 0.3}  # distance in mm from the margin up to which it has its full opacity
SHADE = 0.6  # opacity of the lashes' colour on the part behind the margin of the upper lid
CORNER_MM = 3.0  # distance in mm from the corner of the eye at which the line has its full opacity
SHADE_MM = 1.5  # distance in mm behind the margin at which the opacity of the line becomes that of the shade
MOIST = (1.0, 0.84, 0.82)  # colour of the part behind the margin of the lower lid, relative to the skin
LASH_SHARE = 0.55  # largest brightness of lashes, relative to the skin
DARK_PERCENTILE = 5.0  # percentile of the brightness near the margin that is the colour of the lashes


class LidTexels(NamedTuple):
    """The texels of an atlas around one eye.

    Attributes
    ----------
    rows, columns : slices of the atlas
    distance : (h, w) float32 array, mm from the margin of the lids on the mean face, negative behind it, or `FAR`
    upper : (h, w) bool array, texels of the upper lid
    from_corner : (h, w) float32 array, mm, 0 at the corners of the eye
    """

    rows: slice
    columns: slice
    distance: Float32Array
    upper: BoolArray
    from_corner: Float32Array


@load_once(maxsize=4)
def lid_texels(template: Template, atlas: Atlas) -> tuple[LidTexels, LidTexels]:
    """Return the texels around the left and the right eye of a template."""
    found = []
    for side in ("left", "right"):
        margin = lid_margin(template, side)
        near = np.flatnonzero(atlas.inside(margin.distance < SOURCE_MM[1] + 2.0))
        values = atlas.carry(
            np.column_stack([np.minimum(margin.distance, FAR), margin.upper, margin.from_corner]), near
        )
        rows, columns, picture, given = atlas.window(near, values)
        picture = np.where(given[..., None], np.asarray(picture, np.float32), np.array((FAR, 0.0, 0.0), np.float32))
        distance, upper, from_corner = (np.ascontiguousarray(part) for part in np.moveaxis(picture, 2, 0))
        found.append(LidTexels(rows, columns, distance, np.asarray(upper > 0.5, np.bool_), from_corner))
    return found[0], found[1]


def with_lid_skin(
    texture: ByteArray, texels: LidTexels, *, worn: BoolArray | None = None, skin: FloatArray | None = None
) -> ByteArray:
    """Return the texture (S, S, 3) with the lids of one eye repaired.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, complete, in the atlas of the face model
    texels : the texels around the eye
    worn : (h, w) bool array, texels that show glasses, from which no skin is continued; None: there are none
    skin : (3,) float array, the usual colour of the face's skin in the photo; None: it is not known
    """
    around = np.asarray(texture[texels.rows, texels.columns], np.float32)
    distance, upper = texels.distance, texels.upper
    over = upper & (distance > SOURCE_MM[0]) & (distance < SOURCE_MM[1])
    under = ~upper & (distance > LOWER_SOURCE_MM) & (distance < SOURCE_MM[1])
    side = 2 * round(HALO * len(texture)) + 1
    eye = ~upper & _of_eye(around, under) & (texels.from_corner > BESIDE_MM)
    eye = ~upper & cv2.dilate(eye.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
    if worn is None or worn[(distance > 0.0) & (distance < SOURCE_MM[0])].mean() > MOST_WORN:
        worn = np.zeros_like(upper)
    below = _usual(around, under & ~eye & ~worn)
    sources = _usual(around, over & ~worn) | below
    if sources.sum() < LEAST_SOURCES:
        return texture
    usual = np.median(around[below if below.sum() >= LEAST_SOURCES else sources], axis=0)
    if skin is not None and usual.mean() < LEAST_BELOW * skin.mean():
        usual = np.asarray(LEAST_BELOW * skin, np.float32)
    share = _upper_share(texels)
    ring = ((over & (distance > RING_MM)) | under) & ~eye & ~worn
    inner = np.asarray(1.0 - smooth_step(distance, *INNER_MM), np.float32)
    lid = _skin_field(around, _Sources(sources, ring, usual, skin), share, inner)
    change = around - lid
    soft = cv2.GaussianBlur(change, (0, 0), SOFT * len(texture))
    near = share * (1.0 - smooth_step(distance, *SOFT_MM["upper"]))
    near += (1.0 - share) * (1.0 - smooth_step(distance, *SOFT_MM["lower"]))
    grain = near * (GRAIN * _contrast(around, below) * _noise(around.shape[:2], len(texture)))
    change += near[..., None] * (soft - change)
    above = np.where(change.sum(axis=2) < 0, np.interp(distance, *DARK_LIMIT), np.interp(distance, *UPPER_LIMIT))
    limit = share * above + (1 - share) * np.interp(distance, *LOWER_LIMIT)
    size = np.maximum(np.linalg.norm(change, axis=2), 1e-6)
    kept = np.minimum(1.0, limit / size)
    for part, limits in ((eye, EYE_LIMIT), (worn, WORN_LIMIT)):
        if part.any():  # with a soft border: the colours on both sides of it are not alike
            soft_part = np.clip(2.0 * cv2.blur(part.astype(np.float32), (side, side)), 0.0, 1.0)
            kept += soft_part * (np.minimum(kept, np.interp(distance, *limits) / size) - kept)
    lids = lid + change * kept[..., None] + grain[..., None]
    lids = _with_margin(lids, lid, around, texels)
    inside = (distance < max(EYE_LIMIT[0] + UPPER_LIMIT[0]))[..., None]
    result = texture.copy()
    result[texels.rows, texels.columns] = np.rint(np.clip(np.where(inside, lids, around), 0, 255)).astype(np.uint8)
    return result


class _Sources(NamedTuple):
    """What the skin of the lids is made of.

    Attributes
    ----------
    usual : (h, w) bool array, texels of usual brightness around the lids
    ring : (h, w) bool array, texels around the lids that show no glasses and no eyeball
    below : (3,) array, the usual colour of the skin below the eye
    skin : (3,) float array, the usual colour of the face's skin; None: it is not known
    """

    usual: BoolArray
    ring: BoolArray
    below: FloatArray | Float32Array
    skin: FloatArray | None


def _skin_field(
    colors: Float32Array, sources: _Sources, upper_share: Float32Array, inner: Float32Array
) -> Float32Array:
    """Return colours (h, w, 3) of skin that change smoothly over the lids, and are those of the texels around them.

    They are a quadric through the logarithms of the usual texels, with what is left of the ring, smoothed. The fit is
    robust: brows, lashes and shadows with edges count less, and those that are darker than skin is beside the skin
    below the eye do not count. In the `inner` part (h, w) of the lids, the brightness is limited, and a share of the
    hue is that of the face's skin: lids in a shadow look grey in photos with grey shadows, but not when they close.
    """
    whole = inner.shape
    usual, ring = sources.usual[::EVERY, ::EVERY], sources.ring[::EVERY, ::EVERY]
    colors = colors[::EVERY, ::EVERY]
    upper_share, inner = upper_share[::EVERY, ::EVERY, None], inner[::EVERY, ::EVERY, None]
    height, width = ring.shape
    across, down = 2.0 * np.arange(width) / width - 1.0, 2.0 * np.arange(height) / height - 1.0
    basis = _quadric(*(axis.ravel() for axis in np.meshgrid(across, down))).astype(np.float32)
    middle = np.log(np.maximum(sources.below, 1.0)).astype(np.float32)
    logs = np.log(np.maximum(colors, 1.0)) - middle
    rows = np.flatnonzero(usual)
    values, places = logs.reshape(-1, 3)[rows], basis[rows]
    bright = smooth_step(np.exp(values.mean(axis=1)), *DARK_LID)
    weight, fit = np.maximum(bright, 1e-3), np.zeros((places.shape[1], 3))
    for _ in range(ROUNDS):
        weighted = places * weight[:, None]
        fit = np.linalg.solve(weighted.T @ places + np.diag(RIDGE * len(rows)), weighted.T @ values)
        weight = bright / (1.0 + (np.abs(values - places @ fit).mean(axis=1) / RESIDUAL) ** 2)
    field = (basis @ fit.astype(np.float32)).reshape(height, width, 3)
    left = logs - field
    alike = ring & (np.abs(left).mean(axis=2) < DIFFERENT)
    if alike.any():
        field += cv2.GaussianBlur(fill_smoothly(left, alike), (0, 0), BLUR * (height + width))
    level = field.mean(axis=2, keepdims=True)
    hue = middle + field - level
    if sources.skin is not None:
        usual_hue = np.log(np.maximum(sources.skin, 1.0))
        hue += inner * FACE_HUE * upper_share * (usual_hue - usual_hue.mean() + middle.mean() - hue)
    low, high = np.log(FIELD_LIMITS)
    half, centre = 0.5 * (high - low), 0.5 * (high + low)
    level += inner * (centre + half * np.tanh((level - centre) / half) - level)
    small = np.exp(hue + level).astype(np.float32)
    x, y = np.meshgrid(*(np.arange(n, dtype=np.float32) / EVERY for n in whole[::-1]))
    return np.asarray(cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _quadric(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the monomials (k, 6) up to the second order of places (k,)."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _upper_share(texels: LidTexels) -> Float32Array:
    """Return how much (h, w) texels belong to the upper lid; it changes gradually beside the corners of the eye."""
    away = smooth_step(texels.from_corner, 0.0, CORNERS_MM)
    return np.asarray(0.5 + np.where(texels.upper, 0.5, -0.5) * away, np.float32)


def _contrast(colors: Float32Array, part: BoolArray) -> float:
    """Return the standard deviation of the fine structure of a part (h, w), such as pores; at most `MOST_GRAIN`."""
    if part.sum() < LEAST_SOURCES:
        return 0.0
    gray = colors.mean(axis=2)
    fine = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 2.0))[part]
    return float(min(1.4826 * np.median(fine), MOST_GRAIN))


@load_once(maxsize=8)
def _noise(shape: tuple[int, int], size: int) -> Float32Array:
    """Return grain (h, w) with the standard deviation 1, whose spots are wider than high."""
    noise = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
    wide, high = (max(0.4, width * size) for width in GRAIN_WIDTH)
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), wide, sigmaY=high), np.float32)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def _of_eye(colors: Float32Array, part: BoolArray) -> BoolArray:
    """Return the texels (h, w) that show the eyeball: much less colourful or much darker than a part.

    In a part with a shadow, nothing can be said.
    """
    if not part.any():
        return part
    light, *red_yellow = cv2.split(lab(colors))
    chroma, middle = np.hypot(*red_yellow), np.median(light[part])
    if np.ptp(np.percentile(light[part], (25, 75))) > EVEN:
        return np.zeros_like(part)
    white = (chroma < PALE * np.median(chroma[part])) & (light > middle - PALE_DARKER)
    return np.asarray(white | (light < middle - DARKER))


def _usual(colors: Float32Array, part: BoolArray) -> BoolArray:
    """Return the texels of a part (h, w) whose brightness is usual in it: no brows, glasses or reflections."""
    if not part.any():
        return part
    gray = colors.mean(axis=2)
    middle = float(np.median(gray[part]))
    deviation = max(1.4826 * float(np.median(np.abs(gray[part] - middle))), LEAST_DEVIATION)
    return np.asarray(part & (np.abs(gray - middle) < OUTLIER * deviation), np.bool_)


def _with_margin(lids: Float32Array, skin: Float32Array, around: Float32Array, texels: LidTexels) -> Float32Array:
    """Return the colours (h, w, 3) with a line of lashes on the margins, and with the parts behind the margins."""
    distance, upper = texels.distance, texels.upper
    near = upper & (distance > -0.5) & (distance < 2.5)
    if not near.any():
        return lids
    usual = skin[near].mean(axis=0)
    gray = around[near].sum(axis=1)
    dark = around[near][gray <= np.percentile(gray, DARK_PERCENTILE)].mean(axis=0)
    lashes = np.minimum(dark, LASH_SHARE * usual)
    behind = np.clip(-distance / 0.8, 0.0, 1.0)[..., None]
    moist = behind * np.where(upper[..., None], 1.0, np.array(MOIST)) + 1 - behind
    lids = (1 - behind) * lids + behind * skin * moist
    fading = {lid: np.maximum(distance - ROOTS_MM[lid], 0.0) / LASHES_MM[lid] for lid in LASHES}
    opacity = {lid: LASHES[lid] * np.exp(-(fading[lid] ** 2)) for lid in LASHES}
    line = np.where(upper, opacity["upper"], opacity["lower"] * (1.0 - behind[..., 0]))
    deep = np.clip(-distance / SHADE_MM, 0.0, 1.0) * upper
    line = (line + deep * (SHADE - line)) * np.clip(texels.from_corner / CORNER_MM, 0.0, 1.0)
    line = line[..., None]
    return np.asarray((1 - line) * lids + line * lashes, np.float32)
