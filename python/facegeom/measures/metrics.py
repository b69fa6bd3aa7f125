"""Error measures of landmarks, boxes, depth maps (after RANSAC alignment) and all maps of a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom.images.boxes import iou

INNER_POINTS = slice(17, 68)
"""Slice of the 51 of the 68 landmarks that do not lie on the jaw line."""

MAX_YAW = 90.0
"""Upper limit of the last yaw bin, degrees; this bin also contains every larger yaw."""

YAW_BINS = ((0.0, 30.0), (30.0, 60.0), (60.0, MAX_YAW))
"""Lower and upper limit of each bin of absolute yaw, degrees: the protocol of AFLW2000-3D (Zhu et al. 2016)."""

RANSAC_ITERATIONS = 1000
RANSAC_INLIER = 0.03
"""Largest residual of an inlier, as a fraction of the range of the true depth."""


def landmark_box(points: npt.ArrayLike) -> FloatArray:
    """Return the bounding box (x0, y0, x1, y1) of (k, 2) points, as a (4,) float array."""
    points = check.float_array(points, "points", (None, 2))
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def box_overlap(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the intersection over union (IoU) of two boxes, in [0, 1].

    Parameters
    ----------
    first, second : (4,) float arrays, x0, y0, x1, y1 with x0 < x1 and y0 < y1

    Raises
    ------
    ValueError, TypeError
        If an argument is not such a box.

    Examples
    --------
    >>> box_overlap((0, 0, 2, 2), (1, 0, 3, 2)) * 3
    1.0
    """
    return float(iou(check.box(first, "first")[None], check.box(second, "second")[None])[0, 0])


def landmark_error(predicted: npt.ArrayLike, truth: npt.ArrayLike, points: slice = slice(None)) -> float:
    """Return the normalised mean error (NME) of 2-D landmarks, as a fraction.

    Parameters
    ----------
    predicted, truth : (k, 2) float arrays, pixels
    points : slice of the landmarks to average over; the normalisation always uses all landmarks of `truth`

    Returns
    -------
    float
        Mean distance divided by the square root of the area of the bounding box of `truth`.

    Raises
    ------
    ValueError, TypeError
        If a shape or dtype is wrong, or if the bounding box of `truth` has no area.

    References
    ----------
    Zhu et al., Face Alignment Across Large Poses: A 3D Solution (CVPR 2016).

    Examples
    --------
    >>> landmark_error([[0, 1], [4, 5.0]], [[0, 0], [4, 4.0]])
    0.25
    """
    truth = check.float_array(truth, "truth", (None, 2))
    predicted = check.float_array(predicted, "predicted", truth.shape)
    size = float(np.sqrt(np.prod(np.ptp(truth, axis=0))))
    return float(np.linalg.norm(predicted - truth, axis=1)[points].mean()) / check.positive(size, "the box of truth")


def in_yaw_bin(yaw: npt.ArrayLike, low: float, high: float) -> BoolArray:
    """Return whether low <= |yaw| < high; a bin whose `high` is `MAX_YAW` or more has no upper limit.

    Parameters
    ----------
    yaw : (n,) float array, degrees, of either sign
    low, high : limits of the bin, degrees

    Returns
    -------
    (n,) bool array

    Examples
    --------
    >>> in_yaw_bin([-40.0, 60.0, 95.0], 30.0, 60.0).tolist(), in_yaw_bin([-40.0, 60.0, 95.0], 60.0, 90.0).tolist()
    ([True, False, False], [False, True, True])
    """
    size = np.abs(np.asarray(yaw, dtype=np.float64))
    return np.asarray((size >= low) & ((size < high) | (high >= MAX_YAW)))


def yaw_bin_means(errors: npt.ArrayLike, yaw: npt.ArrayLike) -> list[float]:
    """Return the mean error of each bin of `YAW_BINS`, the mean of these bin means, and the mean of all errors.

    Parameters
    ----------
    errors : (n,) float array
    yaw : (n,) float array, degrees, of either sign

    Returns
    -------
    list of five floats
        The mean is NaN for an empty bin. If a bin is empty, the mean of the bin means is NaN, too.
    """
    errors = check.float_array(errors, "errors", (None,), allow_nan=True)
    yaw = check.float_array(yaw, "yaw", errors.shape)
    means = []
    for low, high in YAW_BINS:
        inside = in_yaw_bin(yaw, low, high)
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
    """Fit truth = scale * predicted + shift: RANSAC on pairs of pixels, then least squares on the inliers.

    Parameters
    ----------
    predicted, truth : (n,) float arrays, depths of the same n pixels, n at least 2
    inlier : largest residual of an inlier, in the unit of `truth`
    iterations : number of random pairs that are tested
    seed : seed of the random pairs

    Returns
    -------
    scale, shift : float

    Raises
    ------
    ValueError, TypeError
        If a shape or dtype is wrong, or if there are fewer than 2 pixels.

    Notes
    -----
    Pairs that give a scale of 0 or below are ignored, so that inverted depth does not count as correct. If no pair is
    left, or if the least-squares scale is not positive, the result is the scale 0 and the median of `truth` as shift.

    References
    ----------
    Sela, Richardson, Kimmel, Unrestricted Facial Geometry Reconstruction Using Image-to-Image Translation (ICCV 2017),
    table 1: errors of depth after a global scale and shift found by RANSAC.
    """
    truth = check.float_array(truth, "truth", (None,))
    predicted = check.float_array(predicted, "predicted", truth.shape)
    if len(truth) < 2:
        raise ValueError(f"predicted and truth must contain at least 2 pixels, got {len(truth)}")
    limit = check.positive(inlier, "inlier")
    pairs = np.random.default_rng(seed).integers(0, len(truth), (check.count(iterations, "iterations", 1), 2))

    step = predicted[pairs[:, 1]] - predicted[pairs[:, 0]]
    true_step = truth[pairs[:, 1]] - truth[pairs[:, 0]]
    best, best_count = None, 0
    for i in np.flatnonzero(step * true_step > 0):
        scale = true_step[i] / step[i]
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
    """Depth error of one view after alignment; errors are in percent of the range of the true depth.

    Attributes
    ----------
    mean, std, median, percentile90 : statistics of the absolute error over the scored pixels with a predicted depth
    coverage : share of the scored pixels that have a predicted depth, in [0, 1]
    scale : scale of the alignment truth = scale * predicted + shift; above 1 if the predicted face is too flat
    shift : shift of the alignment, in the unit of the true depth
    depth_range : largest minus smallest true depth of the scored pixels, in the unit of the true depth
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
    """Return the error of a depth map after the scale and shift of `ransac_scale_shift`.

    Parameters
    ----------
    predicted : (h, w) float array, NaN where no depth is predicted
    truth : (h, w) float array, finite at all scored pixels
    scored : (h, w) bool array, pixels that are evaluated
    seed : seed of RANSAC

    Returns
    -------
    error : DepthError
        Its errors are NaN if fewer than two scored pixels have a predicted depth.
    errors : (h, w) float array
        Absolute error of each pixel in percent of the true depth range; NaN at pixels that are not evaluated.

    Raises
    ------
    ValueError, TypeError
        If a shape or dtype is wrong, if no pixel is scored, or if the true depth of the scored pixels is constant or
        not finite.

    References
    ----------
    Sela et al. 2017, table 1; see `ransac_scale_shift`.
    """
    truth = check.float_array(truth, "truth", (None, None), allow_nan=True)
    predicted = check.float_array(predicted, "predicted", truth.shape, allow_nan=True)
    scored = check.bool_array(scored, "scored", truth.shape)
    if not scored.any() or not np.isfinite(truth[scored]).all():
        raise ValueError("truth must be finite at all scored pixels, and at least one pixel must be scored")
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
    depth : mean absolute depth error after subtracting the mean difference, in percent of the true depth range
    correspondence : mean Euclidean distance between predicted and true correspondence, mm
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
    """Return the errors of depth, correspondence and mask of one crop.

    Parameters
    ----------
    depth : (h, w) float array, mm
    correspondence : (h, w, 3) float array, mm in the face frame
    mask : (h, w) bool array
    true_depth, true_correspondence, true_mask : the ground truth, in the same shapes and units

    Returns
    -------
    MapError
        Depth and correspondence errors over the intersection of the two masks; NaN if the intersection is empty.

    Raises
    ------
    ValueError, TypeError
        If a shape or dtype is wrong, if `true_mask` is empty, or if the true depth is constant.
    """
    true_mask = check.bool_array(true_mask, "true_mask", (None, None))
    mask = check.bool_array(mask, "mask", true_mask.shape)
    true_depth = check.float_array(true_depth, "true_depth", mask.shape, allow_nan=True)
    depth = check.float_array(depth, "depth", mask.shape, allow_nan=True)
    shape = (*mask.shape, 3)
    true_correspondence = check.float_array(true_correspondence, "true_correspondence", shape, allow_nan=True)
    correspondence = check.float_array(correspondence, "correspondence", shape, allow_nan=True)
    if not true_mask.any():
        raise ValueError("true_mask must contain at least one pixel, got none")
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


def sample_bilinear(image: npt.ArrayLike, pixels: npt.ArrayLike) -> FloatArray:
    """Interpolate a map with missing values bilinearly at fractional pixel positions.

    Parameters
    ----------
    image : (h, w) float array; NaN marks a missing value
    pixels : (..., 2) float array, x and y; pixel centres lie at integers

    Returns
    -------
    (...) float array
        Interpolated values. Missing pixels and pixels outside the image are ignored, and the weights of the other
        pixels are rescaled to the sum 1. The value is NaN where these weights sum to less than 0.5 before rescaling.

    Notes
    -----
    `facegeom.images.sampling.bilinear` interpolates complete RGB images and continues their border outside.
    """
    from scipy.ndimage import map_coordinates  # installed by the extra `train`

    image = check.float_array(image, "image", (None, None), allow_nan=True)
    known = np.isfinite(image)
    rows_columns = np.moveaxis(np.asarray(pixels, dtype=np.float64)[..., ::-1], -1, 0)
    total, weight = (
        map_coordinates(values, rows_columns, order=1, mode="grid-constant", prefilter=False)
        for values in (np.where(known, image, 0.0), known.astype(np.float64))
    )
    return np.where(weight >= 0.5, total / np.maximum(weight, 1e-12), np.nan)
