"""Distances between two sets of images by the features of an encoder, and nearest neighbours among them.

The measures are named after the formula and not "FID" or "KID of InceptionV3": with another encoder the numbers mean
something else, and can only be compared with those of the same encoder.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray

BLOCK = 256
"""Rows of a distance matrix that are computed at once."""


def kernel_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the squared maximum mean discrepancy of two sets of features, with the kernel (x y / d + 1)^3.

    Parameters
    ----------
    first : (n, d) float array, n at least 2
    second : (m, d) float array, m at least 2

    Returns
    -------
    float
        The unbiased estimate: zero on average for two sets of one distribution, so that it may be negative.

    Raises
    ------
    ValueError, TypeError
        If an array has another shape, or too few rows.

    References
    ----------
    Binkowski et al., Demystifying MMD GANs (ICLR 2018), section 4: the kernel inception distance (KID).

    Examples
    --------
    >>> round(kernel_distance([[0.0], [0.0]], [[2.0], [2.0]]), 6)  # 1 + 125 - 2
    124.0
    """
    x, y = _pair(first, second)
    dimension = x.shape[1]

    def kernel(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.asarray((a @ b.T / dimension + 1) ** 3, np.float64)

    within = [
        (matrix.sum() - np.trace(matrix)) / (n * (n - 1)) for matrix, n in ((kernel(s, s), len(s)) for s in (x, y))
    ]
    return float(within[0] + within[1] - 2 * kernel(x, y).mean())


def frechet_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the squared Frechet distance of the normal distributions with the moments of two sets of features.

    Parameters
    ----------
    first : (n, d) float array, n at least 2
    second : (m, d) float array, m at least 2

    Raises
    ------
    ValueError, TypeError
        If an array has another shape, or too few rows.

    Notes
    -----
    The estimate is too large for small sets; compare sets of the same size only.

    References
    ----------
    Heusel et al., GANs Trained by a Two Time-Scale Update Rule (NeurIPS 2017), equation 6.
    """
    x, y = _pair(first, second)
    covariances = [np.atleast_2d(np.cov(values, rowvar=False)) for values in (x, y)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0)).sum()
    moved = float(((x.mean(0) - y.mean(0)) ** 2).sum())
    return moved + float(np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * shared)


def nearest_features(
    queries: npt.ArrayLike, features: npt.ArrayLike, excluded: npt.ArrayLike | None = None
) -> tuple[FloatArray, IntArray]:
    """Return the Euclidean distance (n,) from each query to the nearest row of a set, and this row (n,).

    Parameters
    ----------
    queries : (n, d) float array
    features : (m, d) float array
    excluded : (n,) int array, optional
        A row that does not count for each query; -1: all rows count.

    Raises
    ------
    ValueError, TypeError
        If an array has another shape.
    """
    y = check.float_array(features, "features", (None, None))
    x = check.float_array(queries, "queries", (None, y.shape[1]))
    skipped = np.full(len(x), -1) if excluded is None else np.asarray(excluded, np.int64)
    if skipped.shape != (len(x),) or len(y) < 1 + int((skipped >= 0).any()):
        raise ValueError(f"there must be an excluded row for each query and one row more, got {len(y)} rows")
    distances, rows = np.empty(len(x)), np.empty(len(x), np.int64)
    for start in range(0, len(x), BLOCK):
        part, without = x[start : start + BLOCK], skipped[start : start + BLOCK]
        squared = (part**2).sum(1)[:, None] + (y**2).sum(1) - 2 * part @ y.T
        known = np.flatnonzero(without >= 0)
        squared[known, without[known]] = np.inf
        rows[start : start + BLOCK] = squared.argmin(1)
    distances[:] = np.linalg.norm(x - y[rows], axis=1)
    return distances, rows


def _pair(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    x = check.float_array(first, "first", (None, None))
    y = check.float_array(second, "second", (None, x.shape[1]))
    if min(len(x), len(y)) < 2:
        raise ValueError(f"both sets must have at least 2 rows, got {len(x)} and {len(y)}")
    return x, y
