"""Completion of a texture by a network, with no visible border between known and completed texels.

Known texels are never changed. The output of the network is smooth and may differ from the known texels at the border
of the known region. Three layers, all computed from known texels, are therefore added to the output:

1. the difference between the known texels and the output at these texels, extended from the border into the unknown
   region in frequency bands: fine differences over a few texels, coarse differences over up to an eighth of the atlas
   (as in Burt and Adelson 1983, but on one side of the border only);
2. if the atlas is larger than the output: fine detail mirrored from the other side of the face, where it is known;
3. elsewhere grain: noise in which each octave band has the standard deviation of this band in the known texels.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom._internal.threads import load_once, one_thread
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import TextureNetwork
from facegeom.networks.loaders import load_texture_network

LEAST_SIZE = 16
COARSEST = 8  # side length in texels of the coarsest pyramid level
REACH = 8  # size of the atlas divided by the distance over which differences at the border are extended
GRAIN_BANDS = 1  # number of octave bands of grain at the size of the network; each doubling of the atlas adds one
EDGE = 3  # width in network texels of the border of the known part whose detail is not used
SAMPLES = 20_000  # number of texels (up to twice as many) from which the deviation is estimated
MAD_TO_DEVIATION = 1.4826  # ratio of standard to median absolute deviation of a normal distribution


@one_thread()
def complete(
    texture: ByteArray, known: BoolArray, *, network: TextureNetwork | None = None, backend: str = DEFAULT_BACKEND
) -> ByteArray:
    """Complete the unknown texels of a texture; the known texels are not changed.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, RGB
        Texture in the atlas of the face model, S at least 16. The values of unknown texels are not used.
    known : (S, S) bool array
    network : TextureNetwork, optional
        The trained network; None: the network that comes with facegeom.
    backend : "torch" or "onnx"
        Where the network that comes with facegeom runs.

    Returns
    -------
    (S, S, 3) uint8 array
        The complete texture. Unknown texels are the output of the network inside its `region` (the face and the eyes),
        and a smooth extension without grain outside `region`. If no texel of `region` is known, the result is the mean
        of the training textures; if all texels are known, it is a copy of the texture.

    Raises
    ------
    TypeError, ValueError
        When the texture is not a square uint8 image, or `known` is not a bool array of its size.
    WeightsError
        When the weights of the shipped network are missing or damaged.

    Notes
    -----
    The atlas is resized to the size of the network; when it is reduced, unknown texels do not enter the means. The same
    input gives the same output, including the grain.

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
        network = _shipped(backend)
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


@load_once(maxsize=2)
def _shipped(backend: str) -> TextureNetwork:
    return load_texture_network(backend)


def reduced(texture: ByteArray, known: BoolArray, size: int) -> tuple[Float32Array, BoolArray]:
    """Resize a texture and its mask by means over known texels; a texel is known if at least half of its area is.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array
    known : (S, S) bool array
    size : side length of the result in texels

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
    """Extend values smoothly from texels of weight 1 to all other texels.

    Parameters
    ----------
    values : (S, S, 3) float32 array
    weight : (S, S) float32 array in [0, 1]
    reach : distance in texels over which the extended values decrease to zero; None: no decrease

    Returns
    -------
    (S, S, 3) float32 array

    Notes
    -----
    The method is a pyramid of weighted means, evaluated from the coarsest level: where the weight of a level is small,
    the next coarser level is used. The result therefore has fine detail near known texels and is coarse far from them.
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
    """Return the detail (S, S, 3) that is added to the colours of `base`: detail mirrored from the other side of the
    face where the other side is known, grain elsewhere.
    """
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
    """Return the `count` finest bands of the Laplacian pyramid of an image, the finest first."""
    levels = _halves(image, count + 1)
    return [fine - _doubled(coarse, fine.shape) for fine, coarse in pairwise(levels)]


def _half(image: Float32Array) -> Float32Array:
    return np.asarray(cv2.pyrDown(image), np.float32)


def _doubled(image: Float32Array, shape: tuple[int, ...]) -> Float32Array:
    return np.asarray(cv2.pyrUp(image, dstsize=(shape[1], shape[0])), np.float32)


def _blurred(image: Float32Array, size: int) -> Float32Array:
    return np.asarray(cv2.blur(image, (size, size)), np.float32)


def _deviation(values: Float32Array) -> Float32Array:
    """Return the robust standard deviation (k,) of the columns of values (t, k) of texels; lashes, brows and lips are
    outliers.
    """
    values = values[:: 1 + len(values) // SAMPLES]
    return np.asarray(MAD_TO_DEVIATION * np.median(np.abs(values - np.median(values, 0)), 0), np.float32)
