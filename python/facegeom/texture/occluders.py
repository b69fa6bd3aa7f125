"""Occluders: texels that show a hand, hair, glasses or a microphone instead of the face.

An occluder rarely covers both sides of a face in the same way, so a covered texel differs from the mirrored texel.
Statistics of face colours decide which of the two texels shows the face. Both comparisons are made after a smooth
estimate of the light has been removed, because light from one side makes the two halves of a face differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom._internal.files import write_atomically
from facegeom._internal.threads import load_once, one_thread
from facegeom.errors import WeightsError

WORK_SIZE = 96
"""Side length W in pixels of the reduced texture in which occluders are found; the reduction removes noise."""

_FILE = Path(__file__).with_name("statistics.npz")


@dataclass(frozen=True)
class OccluderOptions:
    """Thresholds for covered texels; they were chosen by visual inspection of training photos of LFW.

    The score of a texel is the root mean square over the feature channels of the distance from the mean face, in
    standard deviations of face colours at this texel.
    """

    high: float = 3.6  # minimum of the largest score of an occluder (upper hysteresis threshold)
    low: float = 2.1  # minimum score of a texel of an occluder (lower hysteresis threshold)
    mirror_ratio: float = 1.3  # minimum ratio of the score to the score of the mirrored texel, if that is known
    high_alone: float = 3.7  # score above which the mirrored texel is ignored: caps and fringes cover both sides
    least_area: float = 0.0006  # minimum area of an occluder as a fraction of the atlas; smaller spots are moles
    grow: int = 2  # dilation of an occluder in pixels of the reduced texture: soft edge, shadow
    darkest: float = 3.0  # limit to which the brightness score of dark texels is clipped: shadows are no occluders
    brightest: float = 4.0  # limit to which the brightness score of bright texels is clipped: nor are highlights
    usual: float = 1.0  # maximum median score of a face; larger scores (hard light) are scaled down
    tolerance: float = 2.0  # deviation above which a texel has little weight in the light estimate


@dataclass(frozen=True)
class TextureStatistics:
    """Mean and standard deviation of face colours at each position in the atlas of the face model.

    Attributes
    ----------
    mean : (W, W, 3) float32, `features` of the mean face, symmetric
    deviation : (W, W, 3) float32, robust standard deviation of the features after removal of the light
    support : (W, W) bool, True at pixels with enough measurements
    color : (S, S, 3) uint8, the mean texture, symmetric; black where `shown` is False
    shown : (S, S) bool, texels that enough photos show
    """

    mean: Float32Array
    deviation: Float32Array
    support: BoolArray
    color: ByteArray
    shown: BoolArray

    def save(self, path: str | Path) -> None:
        """Write the statistics to a .npz file, atomically."""

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as stream:
                np.savez_compressed(
                    stream,
                    mean=self.mean.astype(np.float16),
                    deviation=self.deviation.astype(np.float16),
                    support=self.support,
                    color=self.color,
                    shown=self.shown,
                )

        write_atomically(path, write)


@load_once(maxsize=1)
def load_statistics() -> TextureStatistics:
    """Return the statistics that come with the package.

    `facegeom prepare texture-statistics` computed them from photos of 700 people in the training part of LFW, which is
    for research use. The statistics are medians, deviations and a mean over all people, and contain no photo.

    Raises
    ------
    WeightsError
        When the file is missing.
    """
    return read_statistics(_FILE)


def read_statistics(path: str | Path) -> TextureStatistics:
    """Read statistics that `TextureStatistics.save` wrote.

    Raises
    ------
    WeightsError
        When the file does not exist.
    """
    if not Path(path).is_file():
        raise WeightsError(f"there are no texture statistics at {path}")
    with np.load(path) as data:
        return TextureStatistics(
            data["mean"].astype(np.float32),
            data["deviation"].astype(np.float32),
            data["support"],
            data["color"],
            data["shown"],
        )


@one_thread()
def occluders(
    texture: npt.ArrayLike,
    known: npt.ArrayLike,
    statistics: TextureStatistics | None = None,
    options: OccluderOptions = OccluderOptions(),
) -> BoolArray:
    """Return the mask of the known texels that show an occluder instead of the face.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array in the face model's atlas
    known : (S, S) bool array
    statistics : statistics of face colours; None: the statistics that come with the package
    options : OccluderOptions

    Returns
    -------
    (S, S) bool array

    Raises
    ------
    ValueError, TypeError
        When the texture is not square, or shapes or dtypes are wrong.
    WeightsError
        When the statistics are missing from the package.

    Notes
    -----
    The score of a texel is the distance of its log brightness and two log colour ratios from the mean face, in standard
    deviations of faces at this texel, after a robust fit of the light (a quadratic function of the atlas coordinates)
    has been subtracted. Beards, brows and mouths differ between people, so their deviations are large and these parts
    are not marked. A texel is covered if its score is high and the score of the mirrored texel is not, or if its score
    is very high. Of a hand with the colour of the face, only the edges are found. A shadow with a hard edge may be
    marked as an occluder.
    """
    image = check.rgb_image(texture)
    seen = check.bool_array(known, "known", image.shape[:2])
    if image.shape[0] != image.shape[1]:
        raise ValueError(f"texture must be square, got shape {image.shape}")
    statistics = load_statistics() if statistics is None else statistics
    small, weight = reduced(image, seen)
    judged = (weight > 0.5) & statistics.support
    if not judged.any():
        return np.zeros_like(seen)
    off = deviation_score(features(small), judged, statistics, options)
    spots = _spots(off, judged, options)
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.resize(spots.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5) & seen


def reduced(texture: ByteArray, known: BoolArray) -> tuple[Float32Array, Float32Array]:
    """Average the known texels; return the reduced texture (W, W, 3) and the fraction of known texels (W, W)."""
    work = (WORK_SIZE, WORK_SIZE)
    weight = cv2.resize(known.astype(np.float32), work, interpolation=cv2.INTER_AREA)
    total = cv2.resize(np.where(known[..., None], texture, 0).astype(np.float32), work, interpolation=cv2.INTER_AREA)
    return (total / np.maximum(weight, 1e-6)[..., None]).astype(np.float32), weight.astype(np.float32)


def features(color: Float32Array) -> Float32Array:
    """Return log brightness and the log ratios red / green and blue / green of (..., 3) colours in [0, 255]."""
    logs = np.log(color + 12.0)  # 12: otherwise noise in dark pixels gives large ratios
    green = logs[..., 1]
    return np.stack([logs.mean(axis=-1), logs[..., 0] - green, logs[..., 2] - green], axis=-1)


def light(
    values: Float32Array, mean: Float32Array, deviation: Float32Array, judged: BoolArray, tolerance: float
) -> Float32Array:
    """Return the effect of the light on the colour features, (W, W, 3): for each feature a quadratic polynomial of x
    and y, fitted robustly to `values - mean` at the pixels in the mask `judged`.
    """
    y, x = np.mgrid[-1 : 1 : WORK_SIZE * 1j, -1 : 1 : WORK_SIZE * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    out = np.empty_like(values)
    basis = terms[judged]
    shrink = np.diag([0.0, 1.0, 1.0, 1.0, 1.0, 1.0]) * 1e-3 * len(basis)
    for channel in range(values.shape[2]):
        scale = deviation[judged][:, channel]
        target = (values - mean)[judged][:, channel]
        weights = np.ones(len(scale))
        coefficients = np.zeros(len(shrink))
        for _ in range(6):
            weighted = basis * (weights / scale**2)[:, None]
            ridge = shrink / float(np.median(scale)) ** 2
            coefficients = np.linalg.solve(weighted.T @ basis + ridge, weighted.T @ target)
            weights = 1 / (1 + ((target - basis @ coefficients) / (tolerance * scale)) ** 2) ** 2
        out[..., channel] = terms @ coefficients
    return out


def deviation_score(
    values: Float32Array, judged: BoolArray, statistics: TextureStatistics, options: OccluderOptions
) -> Float32Array:
    """Return the score of each pixel, (W, W): the difference of its colour from the mean face colour in this light, in
    standard deviations; 0 outside the mask `judged`.
    """
    deviation = statistics.deviation
    residual = values - statistics.mean - light(values, statistics.mean, deviation, judged, options.tolerance)
    relative: Float32Array = (residual / deviation).astype(np.float32)
    np.clip(relative[..., 0], -options.darkest, options.brightest, out=relative[..., 0])
    squared = np.where(judged, (relative**2).mean(axis=-1), 0).astype(np.float32)
    total = cv2.GaussianBlur(judged.astype(np.float32), (0, 0), 0.8)
    off = np.sqrt(cv2.GaussianBlur(squared, (0, 0), 0.8) / np.maximum(total, 1e-3))
    off = off / max(1.0, float(np.median(off[judged])) / options.usual)
    return np.where(judged, off, 0).astype(np.float32)


def _spots(off: Float32Array, judged: BoolArray, options: OccluderOptions) -> BoolArray:
    """Return the mask (W, W) of covered pixels: connected pixels with scores `off` above `low`, of which at least one
    has a score above `high`, dilated by `grow` pixels; see `OccluderOptions` for the other conditions.
    """
    mirrored = judged[:, ::-1]
    leads = np.where(mirrored, off > options.mirror_ratio * off[:, ::-1], True)
    candidate = judged & (((off > options.low) & leads) | (off > options.high_alone))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(candidate.astype(np.uint8), connectivity=8)
    strongest = np.zeros(count, np.float32)
    np.maximum.at(strongest, labels.ravel().astype(np.int64), off.ravel())
    keep = (strongest > options.high) & (stats[:, cv2.CC_STAT_AREA] >= options.least_area * off.size)
    keep[0] = False
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * options.grow + 1, 2 * options.grow + 1))
    return np.asarray(cv2.dilate(keep[labels].astype(np.uint8), kernel) > 0)
