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

from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, IntArray
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
ALIGNED, WINDOW_MARGIN = 32, 16  # texels: a window begins at a multiple of the first, at least so far from its content
POSSIBLE = 0.02  # usual share of hair below which a texel that is not known has none
MAD_TO_DEVIATION = 1.4826  # ratio of standard to median absolute deviation of a normal distribution


class Window(NamedTuple):
    """A part of an atlas: its rows and columns; the columns are symmetric about the middle."""

    rows: slice
    columns: slice


def window_around(texels: BoolArray) -> Window:
    """Return a window of an atlas that contains the texels of a mask (S, S), with a margin."""
    size = len(texels)
    if not texels.any():
        return Window(slice(0, size), slice(0, size))
    rows, columns = (np.flatnonzero(texels.any(axis=axis)) for axis in (1, 0))
    beside = min(int(columns[0]), size - 1 - int(columns[-1]))
    top, below, side = (
        max(0, (free - WINDOW_MARGIN) // ALIGNED * ALIGNED) for free in (int(rows[0]), size - 1 - int(rows[-1]), beside)
    )
    return Window(slice(top, size - below), slice(side, size - side))


@one_thread()
def complete(
    texture: ByteArray,
    known: BoolArray,
    *,
    hair: BoolArray | None = None,
    growing: BoolArray | None = None,
    window: Window | None = None,
    network: TextureNetwork | None = None,
    backend: str = DEFAULT_BACKEND,
) -> ByteArray:
    """Complete the unknown texels of a texture; the known texels are not changed.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, RGB
        Texture in the atlas of the face model, S at least 16. The values of unknown texels are not used.
    known : (S, S) bool array
    hair : (S, S) bool array, known texels that show hair, for a network that knows classes; None: there are none
    growing : (g, g) bool array, of any size, where hair grows, for such a network; it counts where nothing is known.
        None: hair is expected from the known texels, see `expected_hair`
    window : the part of the atlas that is completed; None: the whole atlas
    network : TextureNetwork, optional
        The trained network; None: the network that comes with facegeom.
    backend : "torch" or "onnx"
        Where the network that comes with facegeom runs.

    Returns
    -------
    (S, S, 3) uint8 array, or (h, w, 3) with a window of h x w texels
        The complete texture. Unknown texels are the output of the network inside its `region` (the face and the eyes),
        and a smooth extension without grain outside `region`. If no texel of `region` is known, the result is the mean
        of the training textures; if all texels are known, it is a copy of the texture.

    Raises
    ------
    TypeError, ValueError
        When the texture is not a square uint8 image, or `known` or `hair` is not a bool array of its size,
        or `growing` not a square bool array.
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
    hair = np.zeros_like(known) if hair is None else check.bool_array(hair, "hair", (size, size))
    growing = None if growing is None else check.bool_array(growing, "growing", (len(growing),) * 2)
    rows, columns = window or Window(slice(0, size), slice(0, size))
    part, part_known = texture[rows, columns], known[rows, columns]
    if part_known.all():
        return part.copy()
    if network is None:
        network = texture_network(backend)
    small, small_known = reduced(texture, known, network.size)
    if not (small_known & network.region).any():
        mean = cv2.resize(network.mean, (size, size), interpolation=cv2.INTER_CUBIC)
        return np.where(part_known[..., None], part, mean[rows, columns])
    masks = [small_known[None]]
    if network.usual_hair is not None:
        shown = reduced(hair[..., None].astype(np.uint8), known, network.size)[0][..., 0] > 0.5
        masks.append(_hair_everywhere(shown, small_known, growing, network.usual_hair)[None])
    answer = network.predict(np.rint(small).astype(np.uint8)[None], *masks)[0].astype(np.float32)
    answer = spread(answer, network.region.astype(np.float32))
    region = cv2.resize(network.region.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    region = region[rows, columns].astype(np.float16)  # not a view, which would keep the whole atlas
    grain = _Grain(part_known, size, network.size)
    out = part.copy()
    for channel in range(3):  # one after the other: the arrays of a large atlas take much memory
        colors = part[..., channel].astype(np.float32)
        base = _enlarged(answer[..., channel], size)[rows, columns].copy()
        base += spread(colors - base, part_known.astype(np.float32), size // REACH)
        np.copyto(colors, base, where=~part_known)
        base += region * grain.detail(colors)
        out[..., channel] = np.where(part_known, part[..., channel], np.clip(np.rint(base), 0, 255).astype(np.uint8))
    return out


@load_once(maxsize=2)
def texture_network(backend: str) -> TextureNetwork:
    """Return the completion network that comes with facegeom, on the CPU; it is loaded once per process."""
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
    share = cv2.resize(known.astype(np.float32), (size, size), interpolation=how)
    total = np.dstack(
        [
            cv2.resize(np.where(known, texture[..., channel], np.float32(0)), (size, size), interpolation=how)
            for channel in range(texture.shape[2])
        ]
    )
    return np.asarray(total / np.maximum(share, 1e-6)[..., None], np.float32), np.asarray(share >= 0.5)


def spread(values: Float32Array, weight: Float32Array, reach: int | None = None) -> Float32Array:
    """Extend values smoothly from texels of weight 1 to all other texels.

    Parameters
    ----------
    values : (h, w, 3) or (h, w) float32 array
    weight : (h, w) float32 array in [0, 1]
    reach : distance in texels over which the extended values decrease to zero; None: no decrease

    Returns
    -------
    float32 array of the shape of `values`

    Notes
    -----
    The method is a pyramid of weighted means, evaluated from the coarsest level: where the weight of a level is small,
    the next coarser level is used. The result therefore has fine detail near known texels and is coarse far from them.
    """

    def fit(mass: Float32Array) -> Float32Array:
        return mass if values.ndim == 2 else mass[..., None]

    levels: list[tuple[Float32Array, Float32Array]] = [(values * fit(weight), weight)]
    while (min(levels[-1][1].shape) > COARSEST) if reach is None else (2 ** (len(levels) - 1) < reach):
        levels.append((_half(levels[-1][0]), _half(levels[-1][1])))
    total, mass = levels[-1]
    start = total.sum((0, 1)) / max(float(mass.sum()), 1e-6) if reach is None else 0.0
    result = np.zeros_like(total) + np.float32(start)
    for total, mass in reversed(levels):
        if result.shape != total.shape:
            result = _doubled(result, total.shape)
        share = mass if total is levels[0][0] else np.clip(2 * mass, 0, 1)  # a mean over half of the texels is accepted
        step = np.maximum(fit(mass), np.float32(1e-6))
        step = np.divide(total, step, out=step if step.shape == total.shape else None)
        step -= result
        step *= fit(share)
        result += step
    return np.asarray(result, np.float32)


def expected_hair(hair: BoolArray, known: BoolArray, usual: Float32Array) -> BoolArray:
    """Return where hair is expected, (S, S) bool: as known, else as on the other side of the head, else as nearby.

    Parameters
    ----------
    hair : (S, S) bool array
        Texels with hair; those that are not known do not matter.
    known : (S, S) bool array
        Texels of which is known whether they have hair.
    usual : (S, S) float32 array in [0, 1]
        Share of people with hair at each texel. How far the known texels differ from it goes on into the unknown ones:
        the unknown scalp of a person with a bald forehead is bald.
    """
    both = known | known[:, ::-1]
    shown = np.where(known, hair, hair[:, ::-1]).astype(np.float32)
    change = spread(np.where(both, shown - usual, np.float32(0)), both.astype(np.float32))
    expected = np.where(both, shown > 0.5, (usual + change > 0.5) & (usual > POSSIBLE))
    return np.asarray(np.where(known, hair, expected), np.bool_)


def _hair_everywhere(hair: BoolArray, known: BoolArray, growing: BoolArray | None, usual: Float32Array) -> BoolArray:
    """Return the texels of the network with hair, (s, s): as known, else where it grows (g, g) or is expected."""
    if growing is None:
        return expected_hair(hair, known, usual)
    share = cv2.resize(growing.astype(np.float32), known.shape, interpolation=cv2.INTER_AREA)
    return np.asarray(np.where(known, hair, share > 0.5), np.bool_)


def _enlarged(image: Float32Array, size: int) -> Float32Array:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


class _Grain:
    """The detail that is added to completed colours: detail mirrored from the other side of the face where the other
    side is known, grain elsewhere.

    Parameters
    ----------
    known : (h, w) bool array, known texels of a window
    size, fine : side length of the whole atlas, and of the network's textures
    """

    def __init__(self, known: BoolArray, size: int, fine: int) -> None:
        self._octaves = max(0, round(np.log2(size / fine)))
        self._bands = self._octaves + GRAIN_BANDS
        edge = 2 * max(1, round(EDGE * size / fine)) + 1
        kernel = np.ones((edge, edge), np.uint8)
        inner = cv2.erode(known.astype(np.uint8), kernel, borderValue=0).astype(np.float32)
        other = inner[:, ::-1] * _blurred(inner[:, ::-1], edge) * ~known
        self._copied = _halves(other, self._bands)
        self._inside = [_some(level > 0.9) for level in _halves(inner, self._bands)]
        self._hidden = [_some(level > 0.9) for level in _halves(1 - known.astype(np.float32), self._bands)]
        self._noise = _noise(known.shape[0], known.shape[1], self._bands)

    def detail(self, shown: Float32Array) -> Float32Array:
        """Return the detail (h, w) of one channel of the completed colours `shown` (h, w)."""
        levels = _halves(shown, self._bands + 1)
        mirrored = _halves(np.ascontiguousarray(shown[:, ::-1]), self._octaves + 1)
        result = np.zeros_like(levels[-2])
        for band in reversed(range(self._bands)):  # the coarsest first: the finest takes much memory
            result = _doubled(result, levels[band].shape) if band < self._bands - 1 else result
            inside, hidden = self._inside[band], self._hidden[band]
            missing = 0.0
            if len(inside) and len(hidden):
                wanted = _octave(levels, band)
                missing = max(_deviation(wanted.take(inside)) ** 2 - _deviation(wanted.take(hidden)) ** 2, 0.0)
                del wanted
            if band < self._octaves:
                result += self._copied[band] * _octave(mirrored, band)
            if missing:
                grain = np.float32(np.sqrt(missing)) * self._noise[band]
                if band < self._octaves:
                    grain -= self._copied[band] * grain
                result += grain
        return result


@load_once(maxsize=2)
def _noise(height: int, width: int, bands: int) -> list[Float32Array]:
    """Return octave bands of noise of unit standard deviation, the finest first."""
    noise = np.random.default_rng(0).standard_normal((height, width), np.float32)
    return [band / band.std() for band in _octaves(noise, bands)]


def _halves(image: Float32Array, count: int) -> list[Float32Array]:
    """Return the first `count` levels of the Gaussian pyramid of an image (S, S) or (S, S, c)."""
    levels = [np.asarray(image, np.float32)]
    while len(levels) < count:
        levels.append(_half(levels[-1]))
    return levels


def _octaves(image: Float32Array, count: int) -> list[Float32Array]:
    """Return the `count` finest bands of the Laplacian pyramid of an image, the finest first."""
    levels = _halves(image, count + 1)
    return [_octave(levels, band) for band in range(count)]


def _octave(levels: list[Float32Array], band: int) -> Float32Array:
    """Return one band of the Laplacian pyramid from the levels of the Gaussian pyramid."""
    fine = levels[band]
    return np.asarray(fine - _doubled(levels[band + 1], fine.shape), np.float32)


def _half(image: Float32Array) -> Float32Array:
    return np.asarray(cv2.pyrDown(image), np.float32)


def _doubled(image: Float32Array, shape: tuple[int, ...]) -> Float32Array:
    return np.asarray(cv2.pyrUp(image, dstsize=(shape[1], shape[0])), np.float32)


def _blurred(image: Float32Array, size: int) -> Float32Array:
    return np.asarray(cv2.blur(image, (size, size)), np.float32)


def _some(mask: BoolArray) -> IntArray:
    """Return the flat indices (t,) of evenly spaced pixels of a mask: of all, or of at least `SAMPLES`."""
    found = np.flatnonzero(mask)
    return found[:: 1 + len(found) // SAMPLES].copy()  # a view would keep all indices


def _deviation(values: Float32Array) -> float:
    """Return the robust standard deviation of values (t,) of texels; lashes, brows and lips are outliers."""
    return MAD_TO_DEVIATION * float(np.median(np.abs(values - np.median(values))))
