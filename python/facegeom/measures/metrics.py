"""Error measures: landmark error, box overlap, depth after RANSAC alignment, and the maps of one face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray

INNER_POINTS = slice(17, 68)
"""The 51 of the 68 points that are not on the jaw line."""

YAW_BINS = ((0.0, 30.0), (30.0, 60.0), (60.0, 90.0))
"""Bins of absolute yaw in degrees, the upper end open except in the last (AFLW2000-3D's custom)."""

RANSAC_ITERATIONS = 1000
RANSAC_INLIER = 0.03
"""Residual of an inlier as a share of the true depth's range."""


def landmark_box(points: npt.ArrayLike) -> FloatArray:
    """Return the box x0, y0, x1, y1 of (k, 2) points as a (4,) float array."""
    points = check.float_array(points, "points", (None, 2))
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def box_overlap(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the intersection over union of two boxes x0, y0, x1, y1.

    Examples
    --------
    >>> box_overlap((0, 0, 2, 2), (1, 0, 3, 2)) * 3
    1.0
    """
    a, b = check.box(first, "first"), check.box(second, "second")
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0.0)))
    return shared / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared)


def landmark_error(predicted: npt.ArrayLike, truth: npt.ArrayLike, points: slice = slice(None)) -> float:
    """Return the normalised mean error of 2-D landmarks, as a fraction.

    Parameters
    ----------
    predicted, truth : (k, 2) float arrays, pixels
    points : the points whose error is averaged; the normalisation always uses all of `truth`

    Returns
    -------
    float
        Mean distance over the square root of the area of the box of `truth`.

    Examples
    --------
    >>> landmark_error([[0, 1], [4, 5.0]], [[0, 0], [4, 4.0]])
    0.25
    """
    truth = check.float_array(truth, "truth", (None, 2))
    predicted = check.float_array(predicted, "predicted", truth.shape)
    size = float(np.sqrt(np.prod(np.ptp(truth, axis=0))))
    return float(np.linalg.norm(predicted - truth, axis=1)[points].mean()) / check.positive(size, "the box of truth")


def yaw_bin_means(errors: npt.ArrayLike, yaw: npt.ArrayLike) -> list[float]:
    """Return the mean error of each bin of `YAW_BINS`, then the mean of the bins, then the mean of all.

    Parameters
    ----------
    errors : (n,) float array
    yaw : (n,) float array, degrees, either sign

    Returns
    -------
    list of five floats
        NaN for an empty bin and for the mean of the bins when one is empty.
    """
    errors = check.float_array(errors, "errors", (None,), allow_nan=True)
    yaw = np.abs(check.float_array(yaw, "yaw", errors.shape))
    means = []
    for low, high in YAW_BINS:
        inside = (yaw >= low) & ((yaw < high) | (high == YAW_BINS[-1][1]))
        means.append(float(errors[inside].mean()) if inside.any() else float("nan"))
    return [*means, float(np.mean(means)), float(errors.mean()) if len(errors) else float("nan")]


def ransac_scale_shift(
    predicted: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    inlier: float,
    iterations: int = RANSAC_ITERATIONS,
    seed: int = 0,
) -> tuple[float, float]:
    """Fit truth = scale * predicted + shift by RANSAC over pairs of pixels, then least squares on the inliers.

    Parameters
    ----------
    predicted, truth : (n,) float arrays, depth of the same n >= 2 pixels
    inlier : largest residual of an inlier, in the unit of `truth`
    iterations : pairs that are tried
    seed : of the pairs

    Returns
    -------
    scale, shift : float

    Notes
    -----
    A pair that gives no positive scale is skipped: depth turned inside out is not forgiven. When none is left, or the
    inliers' own least-squares scale is not positive, the scale is 0 and the shift the median of `truth`.

    References
    ----------
    Sela, Richardson, Kimmel: Unrestricted Facial Geometry Reconstruction Using Image-to-Image Translation, table 1:
    depth up to a global scale and shift found by RANSAC.
    """
    truth = check.float_array(truth, "truth", (None,))
    predicted = check.float_array(predicted, "predicted", truth.shape)
    if len(truth) < 2:
        raise ValueError(f"predicted and truth must hold at least 2 pixels, got {len(truth)}")
    limit = check.positive(inlier, "inlier")
    pairs = np.random.default_rng(seed).integers(0, len(truth), (check.count(iterations, "iterations", 1), 2))

    run = predicted[pairs[:, 1]] - predicted[pairs[:, 0]]
    rise = truth[pairs[:, 1]] - truth[pairs[:, 0]]
    sloped = run * rise > 0
    best, best_count = None, 0
    for i in np.flatnonzero(sloped):
        scale = rise[i] / run[i]
        inside = np.abs(scale * (predicted - predicted[pairs[i, 0]]) + (truth[pairs[i, 0]] - truth)) <= limit
        number = int(np.count_nonzero(inside))
        if number > best_count:
            best, best_count = inside, number
    if best is None:
        return 0.0, float(np.median(truth))
    x, y = predicted[best], truth[best]
    spread = float(((x - x.mean()) ** 2).sum())
    scale = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 0.0
    if scale <= 0:
        return 0.0, float(np.median(truth))
    return scale, float(y.mean() - scale * x.mean())


@dataclass(frozen=True)
class DepthError:
    """Depth error of one view, in percent of the range of the true depth unless said otherwise.

    Attributes
    ----------
    mean, std, median, percentile90 : of the absolute error over the pixels that are scored and covered
    coverage : share of the scored pixels that the estimate covers, in [0, 1]
    scale : of the alignment truth = scale * predicted + shift; 1 where relief and size agree, large for a flat face
    shift : of the alignment, in the unit of the true depth
    depth_range : of the true depth over the scored pixels, in its unit
    """

    mean: float
    std: float
    median: float
    percentile90: float
    coverage: float
    scale: float
    shift: float
    depth_range: float


def aligned_depth_error(
    predicted: npt.ArrayLike, truth: npt.ArrayLike, scored: npt.ArrayLike, *, seed: int = 0
) -> tuple[DepthError, FloatArray]:
    """Measure a depth map against the truth after the best scale and shift.

    Parameters
    ----------
    predicted : (h, w) float array, NaN where the estimate says nothing
    truth : (h, w) float array, finite where `scored`
    scored : (h, w) bool array

    Returns
    -------
    DepthError
        With NaN errors where fewer than two scored pixels are covered.
    (h, w) float array
        The absolute error in percent of the range, NaN where nothing is scored or covered.
    """
    truth = check.float_array(truth, "truth", (None, None), allow_nan=True)
    predicted = check.float_array(predicted, "predicted", truth.shape, allow_nan=True)
    scored = check.bool_array(scored, "scored", truth.shape)
    if not scored.any() or not np.isfinite(truth[scored]).all():
        raise ValueError("truth must be finite over at least one scored pixel")
    depth_range = check.positive(float(np.ptp(truth[scored])), "the range of truth")
    covered = scored & np.isfinite(predicted)
    coverage = float(covered.sum() / scored.sum())
    errors = np.full(truth.shape, np.nan)
    if covered.sum() < 2:
        nan = float("nan")
        return DepthError(nan, nan, nan, nan, coverage, nan, nan, depth_range), errors

    scale, shift = ransac_scale_shift(predicted[covered], truth[covered], inlier=RANSAC_INLIER * depth_range, seed=seed)
    error = 100.0 * np.abs(scale * predicted[covered] + shift - truth[covered]) / depth_range
    errors[covered] = error
    return (
        DepthError(
            float(error.mean()),
            float(error.std()),
            float(np.median(error)),
            float(np.percentile(error, 90)),
            coverage,
            scale,
            shift,
            depth_range,
        ),
        errors,
    )


@dataclass(frozen=True)
class MapError:
    """Errors of the maps of one face.

    Attributes
    ----------
    depth : mean absolute depth error after removing the mean shift, in percent of the face's true depth range
    correspondence : mean distance of the correspondence, mm
    overlap : intersection over union of the masks, in [0, 1]
    """

    depth: float
    correspondence: float
    overlap: float


def map_error(
    depth: npt.ArrayLike,
    correspondence: npt.ArrayLike,
    mask: npt.ArrayLike,
    true_depth: npt.ArrayLike,
    true_correspondence: npt.ArrayLike,
    true_mask: npt.ArrayLike,
) -> MapError:
    """Measure depth, correspondence and mask of one crop against the truth.

    Parameters
    ----------
    depth, true_depth : (h, w) float arrays, mm; read over both masks only
    correspondence, true_correspondence : (h, w, 3) float arrays, mm; read over both masks only
    mask, true_mask : (h, w) bool arrays

    Returns
    -------
    MapError
        Depth and correspondence over the intersection of the masks; both are NaN when it is empty.
    """
    true_mask = check.bool_array(true_mask, "true_mask", (None, None))
    mask = check.bool_array(mask, "mask", true_mask.shape)
    true_depth = check.float_array(true_depth, "true_depth", mask.shape, allow_nan=True)
    depth = check.float_array(depth, "depth", mask.shape, allow_nan=True)
    shape = (*mask.shape, 3)
    true_correspondence = check.float_array(true_correspondence, "true_correspondence", shape, allow_nan=True)
    correspondence = check.float_array(correspondence, "correspondence", shape, allow_nan=True)
    if not true_mask.any():
        raise ValueError("true_mask must hold at least one pixel, got none")
    both = mask & true_mask
    overlap = float(both.sum() / (mask | true_mask).sum())
    if not both.any():
        return MapError(float("nan"), float("nan"), overlap)
    depth_range = check.positive(float(np.ptp(true_depth[true_mask])), "the range of true_depth")
    difference = depth[both] - true_depth[both]
    return MapError(
        float(100.0 * np.abs(difference - difference.mean()).mean() / depth_range),
        float(np.linalg.norm(correspondence[both] - true_correspondence[both], axis=1).mean()),
        overlap,
    )
