"""Exact nearest points."""

from __future__ import annotations

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray

MAX_DIMENSION = 8


def nearest(points: npt.ArrayLike, queries: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    """Find the nearest of some points to each query, exactly.

    Parameters
    ----------
    points : (n, d) float array, n at least 1 and d from 1 to 8
    queries : (q, d) float array

    Returns
    -------
    index : (q,) int64 array
        Row of `points`; of several points at the same distance, the lowest.
    distance : (q,) float array
        Euclidean.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or a value that is not finite.

    Notes
    -----
    A k-d tree with tight boxes: about n log n to build and log n a query. The squared distance is summed over the
    coordinates in order, and the answer is that of a full search by this arithmetic to the bit. `NearestFinder` keeps
    the tree for more queries.

    Examples
    --------
    >>> nearest([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]], [[3.0, 0.0], [0.0, 1.5]])
    (array([1, 0]), array([1. , 1.5]))
    """
    return NearestFinder(points).nearest(queries)


class NearestFinder:
    """`nearest` among one set of points, whose tree is built once.

    Parameters
    ----------
    points : (n, d) float array, n at least 1 and d from 1 to 8

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or a value that is not finite.

    Examples
    --------
    >>> finder = NearestFinder([[0.0, 0.0], [4.0, 0.0]])
    >>> finder.nearest([[3.0, 0.0]])
    (array([1]), array([1.]))
    """

    def __init__(self, points: npt.ArrayLike) -> None:
        points = check.float_array(points, "points", (None, None))
        if len(points) == 0 or not 1 <= points.shape[1] <= MAX_DIMENSION:
            raise ValueError(
                f"points must have shape (n, d) with n at least 1 and d in [1, {MAX_DIMENSION}], got {points.shape}"
            )

        self._dimension = points.shape[1]
        self._tree = _core.PointTree(points)

    def nearest(self, queries: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
        """Index (q,) and distance (q,) of the nearest point to each query (q, d)."""
        queries = check.float_array(queries, "queries", (None, self._dimension))

        return self._tree.nearest(queries)
