"""Blending of partial textures of one person into a complete texture: layers by priority, or three views.

The colours of the textures are matched first (`match_colors`). Unknown texels are filled before Poisson's equation is
solved (`overlay`), so that black does not bleed into the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom.texture.baking import fill_smoothly

OFFSET = 8.0
"""Value (0 to 255) added to colours before the logarithm, so that noise in dark texels does not give large ratios."""

SMOOTHING = 2.5
"""Width, in texels of an atlas of 192 x 192, over which the colour difference of two layers is averaged before it is
extended to other texels."""


class Layer(NamedTuple):
    """A partial texture (S, S, 3), uint8, and the mask (S, S), bool, of its known texels."""

    texture: ByteArray
    known: BoolArray

    def mirrored(self) -> Layer:
        """Return the layer with left and right exchanged; the atlas of the face model is symmetric."""
        return Layer(np.ascontiguousarray(self.texture[:, ::-1]), np.ascontiguousarray(self.known[:, ::-1]))


class Matched(NamedTuple):
    """A layer after colour matching, and the misfit: the robust standard deviation of the log ratios of the colours."""

    layer: Layer
    misfit: float


def match_colors(layer: Layer, reference: Layer) -> Matched:
    """Scale each colour channel of a layer to match a reference layer; return the scaled layer and the misfit.

    The scale is the median ratio of the two layers at texels that are known in both. A shadow or a beard in one of the
    layers hardly changes the median. With fewer than 16 such texels, the layer is returned unchanged, with an infinite
    misfit.

    Raises
    ------
    ValueError, TypeError
        When a shape or dtype is wrong, or the shapes of the two layers differ.
    """
    layer, reference = _checked([layer, reference])
    both = layer.known & reference.known
    if both.sum() < 16:
        return Matched(layer, float("inf"))
    ratio = np.log(reference.texture[both] + OFFSET) - np.log(layer.texture[both] + OFFSET)
    gain = np.median(ratio, axis=0)
    misfit = 1.4826 * float(np.median(np.abs(ratio - gain)))
    scaled = (layer.texture + OFFSET) * np.exp(gain) - OFFSET
    return Matched(Layer(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8), layer.known), misfit)


def overlay(layers: Sequence[Layer]) -> ByteArray:
    """Combine layers into a complete texture; at each texel, the first layer in which the texel is known is used.

    Texels that are known in no layer are filled smoothly. The colours of a lower layer are corrected, so that no border
    is visible: at texels that are known in the lower layer and in a layer above, the colour difference is measured; the
    difference is extended smoothly to all other texels and added to the lower layer.

    Parameters
    ----------
    layers : sequence of Layer, in order of priority; the known texels of the first layer are not changed

    Returns
    -------
    (S, S, 3) uint8 array
        The complete texture.

    Raises
    ------
    ValueError, TypeError
        When shapes or dtypes are wrong, or no texel is known in any layer.
    """
    layers = _checked(layers)
    color = layers[0].texture.astype(np.float32)
    known = layers[0].known
    for below in layers[1:]:
        new = below.known & ~known
        both = below.known & known
        if new.any():
            values = below.texture.astype(np.float32)
            if both.any():
                values += fill_smoothly(_smoothed(color - values, both), both)
            color = np.where(new[..., None], values, color)
            known = known | new
    return np.rint(np.clip(fill_smoothly(color, known), 0, 255)).astype(np.uint8)


def three_views(left: npt.ArrayLike, center: npt.ArrayLike, right: npt.ArrayLike) -> ByteArray:
    """Combine three complete textures into one: each contributes one third of the columns.

    Parameters
    ----------
    left, center, right : (S, S, 3) uint8 arrays, S at least 16, complete and with matched colours
        The texture whose left, middle or right third is the most accurate. The left side of the atlas is the subject's
        right side.

    Returns
    -------
    (S, S, 3) uint8 array

    Raises
    ------
    ValueError, TypeError
        When a texture has a wrong shape or dtype, or the shapes differ.

    Notes
    -----
    The middle third of `center` is cloned into `left` and into `right` by Poisson blending. The left half of the first
    result and the right half of the second are joined, and the middle third is cloned once more over the seam.

    References
    ----------
    The thesis on full textured heads, section 3.3 and appendix A; Perez et al., Poisson image
    editing, 2003.
    """
    textures = [check.rgb_image(t) for t in (left, center, right)]
    size = textures[0].shape[0]
    if size < 16 or any(t.shape != (size, size, 3) for t in textures):
        raise ValueError(f"left, center and right must be square of one size, got {[t.shape for t in textures]}")
    first, middle, last = textures
    half = size // 2
    joined = np.concatenate([_clone_middle(middle, first)[:, :half], _clone_middle(middle, last)[:, half:]], axis=1)
    return _clone_middle(middle, joined)


def middle_third(size: int) -> slice:
    """Return the columns of the middle third of a texture, split as in the thesis (`numpy.array_split`)."""
    columns = np.array_split(np.arange(size), 3)[1]
    return slice(int(columns[0]), int(columns[-1]) + 1)


def _clone_middle(source: ByteArray, target: ByteArray) -> ByteArray:
    """Return the target with its middle third replaced by that of the source, by Poisson blending."""
    columns = middle_third(len(source))
    mask = np.zeros(source.shape[:2], np.uint8)
    # OpenCV sets the outermost pixels of the mask to zero and moves the centre of the remaining mask, rounded down, to
    # a given point. Here the border is already zero and the point is the centre of the mask, so nothing is moved.
    mask[1:-1, columns] = 255
    x, y, width, height = cv2.boundingRect(mask)
    place = (x + width // 2, y + height // 2)
    return np.asarray(cv2.seamlessClone(source, target, mask, place, cv2.NORMAL_CLONE))


def _smoothed(values: Float32Array, known: BoolArray) -> Float32Array:
    """Average values (S, S, 3) over the known texels around each texel; return an array (S, S, 3)."""
    sigma = SMOOTHING * len(values) / 192
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    total = cv2.GaussianBlur(np.where(known[..., None], values, 0).astype(np.float32), (0, 0), sigma)
    return np.asarray(total / np.maximum(weight, 1e-6)[..., None], np.float32)


def _checked(layers: Sequence[Layer]) -> list[Layer]:
    if not layers:
        raise ValueError("layers must hold at least one, got none")
    shape = np.shape(layers[0].texture)[:2]
    checked = []
    for i, (texture, known) in enumerate(layers):
        image = check.rgb_image(texture)
        if image.shape[:2] != shape:
            raise ValueError(f"layers[{i}].texture must have shape {(*shape, 3)}, got {image.shape}")
        checked.append(Layer(image, check.bool_array(known, f"layers[{i}].known", image.shape[:2])))
    return checked
