"""Completion of a texture: the network's output at its own size, joined to the known texels without a visible border.

Known texels are never changed. The network's output is smooth and may differ from the known texels at their border, so
three layers are added to it, all computed from known texels:

1. the difference between the known texels and the network's output there, continued from the border into the unknown
   part in frequency bands: fine differences over a few texels, coarse ones over up to an eighth of the atlas (as in
   Burt and Adelson 1983, on one side of the border only);
2. in atlases larger than the network's, the fine detail of the other side of the face, mirrored, where that is known;
3. elsewhere grain: noise that gives each octave band the standard deviation that it has in known texels.
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
COARSEST = 8  # side of the coarsest pyramid level, texels
REACH = 8  # differences at the border are continued over the size of the atlas divided by this
GRAIN_BANDS = 1  # octaves at the network's size; one more for each doubling of the atlas. Coarser noise is mottled
EDGE = 3  # network texels along the border of the known part whose detail is not used, since it shows the border
SAMPLES = 20_000  # texels from which the deviation is estimated, at most twice as many
MAD_TO_DEVIATION = 1.4826  # ratio of standard to median absolute deviation of a normal distribution


def complete(texture: ByteArray, known: BoolArray, *, network: Inpainter | None = None) -> ByteArray:
    """Return a texture with its unknown texels completed and its known texels unchanged.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, RGB
        In the face model's atlas, S at least 16. The values of unknown texels are not used.
    known : (S, S) bool array
    network : Inpainter, optional
        None: the shipped one.

    Returns
    -------
    (S, S, 3) uint8 array
        The network's output inside its `region` (the face and the eyes), continued smoothly and without grain outside.
        If nothing of the region is known, the mean of the training textures; if all is known, a copy of the texture.

    Raises
    ------
    TypeError, ValueError
        When the texture is not a square uint8 image, or `known` is not a bool array of its size.
    WeightsError
        When the weights of the shipped network are missing or damaged.

    Notes
    -----
    The atlas is resized to the network's size: a larger one by means over known texels. The same input gives the same
    output, including the grain.

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
    """Return texture and mask at another size: means over known texels, known where at least half of them are.

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
    """Return values where their weight is 1, and a smooth continuation of them elsewhere.

    Parameters
    ----------
    values : (S, S, 3) float32 array
    weight : (S, S) float32 array in [0, 1]
    reach : texels over which the continuation falls to zero; None: no limit

    Returns
    -------
    (S, S, 3) float32 array

    Notes
    -----
    A pyramid of weighted means, evaluated from the coarsest level: where a level's weight is small, the next coarser
    level is used. So values near the border are continued in detail, and values far away coarsely.
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
        share = mass if total is levels[0][0] else np.clip(2 * mass, 0, 1)  # a mean over half of the texels is accepted
        result = result + share[..., None] * (total / np.maximum(mass, 1e-6)[..., None] - result)
    return np.asarray(result, np.float32)


def _enlarged(image: Float32Array, size: int) -> Float32Array:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _detail(texture: ByteArray, known: BoolArray, base: Float32Array, fine: int) -> Float32Array:
    """Return detail that `base` lacks beside known texels: mirrored where the other side is known, else grain."""
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
    """Return the first `count` levels of the Gaussian pyramid of an image (S, S) or (S, S, c)."""
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
    """Return the robust standard deviation of each column: lashes, brows and lips are outliers among skin."""
    values = values[:: 1 + len(values) // SAMPLES]
    return np.asarray(MAD_TO_DEVIATION * np.median(np.abs(values - np.median(values, 0)), 0), np.float32)
