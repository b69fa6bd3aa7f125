"""Completion of a texture at run time: the network at its own size, joined to the known texels without a border.

Known texels stay as they are at every size. What the network says is smooth and need not meet them, so that three
layers are added to it, all from what is known:

1. the difference between the known texels and what the network says of them, spread from the border into what is
   unknown band by band: fine differences a few texels, coarse ones up to an eighth of the atlas (the idea of Burt and
   Adelson 1983, on one side of the border only);
2. in atlases larger than the network's, the detail finer than its texels of the other side of the face, mirrored,
   where that is known;
3. elsewhere grain: noise that brings each band of an octave to the spread that it has in known texels.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array

if TYPE_CHECKING:
    from facegeom.networks.gated_inpainting import Inpainter

LEAST_SIZE = 16
COARSEST = 8  # texels a side of the coarsest level that colours are spread over
REACH = 8  # the differences at the border reach the size of the atlas divided by this
GRAIN_BANDS = 1  # octaves at the network's size; one more for each doubling of the atlas. Coarser noise is mottled
EDGE = 3  # texels of the network at the border of what is known whose detail is not used: it shows the border
SAMPLES = 20_000  # texels that the spread is measured on, at most twice as many
MAD_TO_DEVIATION = 1.4826  # of a normal distribution


def complete(texture: ByteArray, known: BoolArray, *, network: Inpainter | None = None) -> ByteArray:
    """Return a texture whose unknown texels are filled in; the known ones come back unchanged.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, RGB
        The face model's atlas, S at least 16. What it holds at unknown texels does not matter.
    known : (S, S) bool array
    network : Inpainter, optional
        The shipped one by default.

    Returns
    -------
    (S, S, 3) uint8 array
        Where the network has a `region` (the face and the eyes), its answer; beyond it that is continued smoothly,
        without grain. The mean of the training textures where nothing of the region is known; the texture itself where
        all texels are known.

    Raises
    ------
    TypeError, ValueError
        When the texture is not a square uint8 image, or `known` is no bool array of its size.
    WeightsError
        When the weights of the shipped network are missing or damaged.

    Notes
    -----
    The network works at its own size: a larger atlas is averaged over known texels for it, a smaller one enlarged. The
    same input gives the same output, grain included.

    References
    ----------
    Section 3.4 of the thesis on full textured heads; Burt and Adelson 1983, "A multiresolution spline with application
    to image mosaics".
    """
    texture = check.rgb_image(texture, "texture")
    size = len(texture)
    if texture.shape[1] != size or size < LEAST_SIZE:
        raise ValueError(f"texture must be square with at least {LEAST_SIZE} texels a side, got {texture.shape[:2]}")
    known = check.bool_array(known, "known", (size, size))
    if known.all():
        return texture.copy()
    if network is None:
        network = _shipped()
    small, small_known = reduced(texture, known, network.size)
    if not (small_known & network.region).any():
        mean = cv2.resize(network.mean, (size, size), interpolation=cv2.INTER_CUBIC)
        return np.where(known[..., None], texture, mean)
    answer = network.predict(np.rint(small).astype(np.uint8)[None], small_known[None])[0].astype(np.float32)
    answer = spread(answer, network.region.astype(np.float32))
    base = _enlarged(answer, size)
    difference = texture.astype(np.float32) - base
    base += spread(difference, known.astype(np.float32), size // REACH)
    region = cv2.resize(network.region.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    base += np.asarray(region, np.float32)[..., None] * _detail(texture, known, base, network.size)
    filled = np.clip(np.rint(base), 0, 255).astype(np.uint8)
    return np.where(known[..., None], texture, filled)


@lru_cache(maxsize=1)
def _shipped() -> Inpainter:
    from facegeom.networks.gated_inpainting import load_gated_inpainting

    return load_gated_inpainting()


def reduced(texture: ByteArray, known: BoolArray, size: int) -> tuple[Float32Array, BoolArray]:
    """Return texture and mask at another size: means over the known texels, known where half of the texels are.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array
    known : (S, S) bool array
    size : texels a side

    Returns
    -------
    (size, size, 3) float32 array in [0, 255], 0 where nothing is known, and (size, size) bool array
    """
    how = cv2.INTER_AREA if size < len(texture) else cv2.INTER_LINEAR
    weight = known.astype(np.float32)
    share = cv2.resize(weight, (size, size), interpolation=how)
    total = cv2.resize(texture * weight[..., None], (size, size), interpolation=how)
    return np.asarray(total / np.maximum(share, 1e-6)[..., None], np.float32), np.asarray(share >= 0.5)


def spread(values: Float32Array, weight: Float32Array, reach: int | None = None) -> Float32Array:
    """Return values where their weight is 1, and what spreads from there elsewhere.

    Parameters
    ----------
    values : (S, S, 3) float32 array
    weight : (S, S) float32 array in [0, 1]
    reach : texels beyond which nothing comes through, so that the result falls to zero; None: no limit

    Returns
    -------
    (S, S, 3) float32 array

    Notes
    -----
    A pyramid of weighted means, read from the coarsest level: wherever a level's weight is small, the next coarser one
    shows through. So what is near the border is continued finely and what is far away broadly.
    """
    side = len(weight)
    levels: list[tuple[Float32Array, Float32Array]] = [(values * weight[..., None], weight)]
    while len(levels[-1][1]) > COARSEST and (reach is None or len(levels[-1][1]) * reach > side):
        levels.append((_half(levels[-1][0]), _half(levels[-1][1])))
    total, mass = levels[-1]
    start = total.sum((0, 1)) / max(float(mass.sum()), 1e-6) if reach is None else 0.0
    result = np.zeros_like(total) + np.float32(start)
    for total, mass in reversed(levels):
        if result.shape != total.shape:
            result = _doubled(result, total.shape)
        share = mass if total is levels[0][0] else np.clip(2 * mass, 0, 1)  # half covered is enough for a mean
        result = result + share[..., None] * (total / np.maximum(mass, 1e-6)[..., None] - result)
    return np.asarray(result, np.float32)


def _enlarged(image: Float32Array, size: int) -> Float32Array:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _detail(texture: ByteArray, known: BoolArray, base: Float32Array, fine: int) -> Float32Array:
    """Return the detail that known texels have and `base` lacks: mirrored where the other side is known, else grain."""
    size = len(texture)
    octaves = max(0, round(np.log2(size / fine)))
    bands = octaves + GRAIN_BANDS
    shown = np.where(known[..., None], texture, base).astype(np.float32)
    edge = 2 * max(1, round(EDGE * size / fine)) + 1
    inner = cv2.erode(known.astype(np.uint8), np.ones((edge, edge), np.uint8), borderValue=0).astype(np.float32)
    other = inner[:, ::-1] * _blurred(inner[:, ::-1], edge) * ~known
    noise = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    wanted, have, grain = (_octaves(image, bands) for image in (shown, base, noise))
    mirrored = _octaves(np.ascontiguousarray(shown[:, ::-1]), octaves)
    inside, hidden, copied = (_halves(weight, bands) for weight in (inner, 1.0 - known, other))
    result = np.zeros_like(wanted[-1])
    for band in reversed(range(bands)):
        result = _doubled(result, wanted[band].shape) if band < bands - 1 else result
        share = copied[band][..., None] if band < octaves else np.zeros_like(grain[band])[..., None]
        if band < octaves:
            result += share * mirrored[band]
        known_here, hidden_here = inside[band] > 0.9, hidden[band] > 0.9
        if known_here.any() and hidden_here.any():
            spread_known, spread_hidden = _deviation(wanted[band][known_here]), _deviation(have[band][hidden_here])
            missing = np.sqrt(np.maximum(spread_known**2 - spread_hidden**2, 0))
            result += (1 - share) * (grain[band] / grain[band].std())[..., None] * missing
    return result


def _halves(image: Float32Array, count: int) -> list[Float32Array]:
    """Return an image (S, S) or (S, S, c) and its halvings, `count` in all."""
    levels = [np.asarray(image, np.float32)]
    while len(levels) < count:
        levels.append(_half(levels[-1]))
    return levels


def _octaves(image: Float32Array, count: int) -> list[Float32Array]:
    """Return the first bands of the image's Laplacian pyramid, the finest first, each at its own resolution."""
    levels = _halves(image, count + 1)
    return [fine - _doubled(coarse, fine.shape) for fine, coarse in pairwise(levels)]


def _half(image: Float32Array) -> Float32Array:
    return np.asarray(cv2.pyrDown(image), np.float32)


def _doubled(image: Float32Array, shape: tuple[int, ...]) -> Float32Array:
    return np.asarray(cv2.pyrUp(image, dstsize=(shape[1], shape[0])), np.float32)


def _blurred(image: Float32Array, size: int) -> Float32Array:
    return np.asarray(cv2.blur(image, (size, size)), np.float32)


def _deviation(values: Float32Array) -> Float32Array:
    """Return the spread of each column, by its median: lashes, brows and lips are outliers among the skin."""
    values = values[:: 1 + len(values) // SAMPLES]
    return np.asarray(MAD_TO_DEVIATION * np.median(np.abs(values - np.median(values, 0)), 0), np.float32)
