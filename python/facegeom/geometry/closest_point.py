"""Exact closest points on a triangle mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class ClosestPoints(NamedTuple):
    """The closest surface point of each query, as `closest_points` returns it.

    Attributes
    ----------
    face : (q,) int64 array, the triangle that contains the closest point
    weights : (q, 3) float array, barycentric coordinates of the point in this triangle
    distance : (q,) float array, Euclidean distance between the query and the closest point, in the unit of V
    """

    face: IntArray
    weights: FloatArray
    distance: FloatArray


def closest_points(V: npt.ArrayLike, F: npt.ArrayLike, queries: npt.ArrayLike) -> ClosestPoints:
    """Find for each query the exact closest point on a triangle mesh, in 1 to 8 dimensions.

    Parameters
    ----------
    V : (n, d) float array, d from 1 to 8
        Positions or embedding of the vertices.
    F : (m, 3) int array, m at least 1
    queries : (q, d) float array
        Points in the same space and unit as V.

    Returns
    -------
    ClosestPoints
        face, weights and distance. If several triangles are equally close, `face` is the lowest index.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    Uses a bounding volume hierarchy: about O(m log m) time to build it and O(log m) time per query. Degenerate
    triangles are treated as segments or points.

    Examples
    --------
    >>> found = closest_points([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], [[0.25, 0.25, 2.0]])
    >>> found.weights.tolist(), found.distance.tolist()
    ([[0.5, 0.25, 0.25]], [2.0])
    """
    V = check.points(V, "V")
    F = check.faces(F, len(V))
    if len(F) == 0:
        raise ValueError("F must contain at least one triangle, got none")
    queries = check.float_array(queries, "queries", (None, V.shape[1]))

    return ClosestPoints(*_core.closest_points(V, F, queries))
