"""Exact closest points on triangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray

MAX_DIMENSION = 8


class ClosestPoints(NamedTuple):
    """Result of `closest_points`.

    Attributes
    ----------
    face : (q,) int64 array, triangle that holds the closest point
    weights : (q, 3) float array, its barycentric coordinates
    distance : (q,) float array, Euclidean
    """

    face: IntArray
    weights: FloatArray
    distance: FloatArray


def closest_points(V: npt.ArrayLike, F: npt.ArrayLike, queries: npt.ArrayLike) -> ClosestPoints:
    """Find the point of a surface that is closest to each query, exactly, in up to 8 coordinates.

    Parameters
    ----------
    V : (n, d) float array, d from 1 to 8: positions, or an embedding
    F : (m, 3) int array, m at least 1
    queries : (q, d) float array

    Returns
    -------
    ClosestPoints
        face, weights and distance; of several triangles at the same distance the lowest.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    A hierarchy of boxes: about m log m to build and log m a query. Triangles without area count as segments or points.

    Examples
    --------
    >>> found = closest_points([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], [[0.25, 0.25, 2.0]])
    >>> found.weights.tolist(), found.distance.tolist()
    ([[0.5, 0.25, 0.25]], [2.0])
    """
    V = check.float_array(V, "V", (None, None))
    if not 1 <= V.shape[1] <= MAX_DIMENSION:
        raise ValueError(f"V must have shape (n, d) with d in [1, {MAX_DIMENSION}], got {V.shape}")
    F = check.faces(F, len(V))
    if len(F) == 0:
        raise ValueError("F must hold at least one triangle, got none")
    queries = check.float_array(queries, "queries", (None, V.shape[1]))

    return ClosestPoints(*_core.closest_points(V, F, queries))
