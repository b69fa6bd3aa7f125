"""Exact nearest neighbours among points."""

from __future__ import annotations

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


def nearest(points: npt.ArrayLike, queries: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    """Find the exact nearest point to each query, in 1 to 8 dimensions.

    Parameters
    ----------
    points : (n, d) float array, any unit, n at least 1 and d from 1 to 8
    queries : (q, d) float array, in the unit of `points`

    Returns
    -------
    index : (q,) int64 array
        Row of `points` that is nearest to each query. If several points are equally near, the lowest index.
    distance : (q,) float array
        Euclidean distance between each query and the nearest point, in the unit of `points`.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or a value that is not finite.

    Notes
    -----
    Uses a k-d tree with tight boxes: about O(n log n) time to build it, O(log n) time per query. The squared distance
    is summed over the coordinates in order; the result is bit-identical to an exhaustive search with the same
    arithmetic. For several calls with the same points, use `NearestFinder`, which keeps the tree.

    Examples
    --------
    >>> nearest([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]], [[3.0, 0.0], [0.0, 1.5]])
    (array([1, 0]), array([1. , 1.5]))
    """
    return NearestFinder(points).nearest(queries)


class NearestFinder:
    """Exact nearest-neighbour search in a fixed set of points; the k-d tree is built once.

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
        points = check.points(points, "points")
        if len(points) == 0:
            raise ValueError("points must contain at least one point, got none")

        self._dimension = points.shape[1]
        self._tree = _core.PointTree(points)

    def nearest(self, queries: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
        """Return index (q,) and distance (q,) of the nearest point to each query (q, d); see `nearest`."""
        queries = check.float_array(queries, "queries", (None, self._dimension))

        return self._tree.nearest(queries)
