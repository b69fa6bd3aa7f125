"""Delaunay triangulation of points in the plane."""

from __future__ import annotations

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import IntArray


def delaunay(points: npt.ArrayLike) -> IntArray:
    """Delaunay triangulation of points in the plane, triangles counter-clockwise (x right, y up).

    Parameters
    ----------
    points : (n, 2) float array, any unit

    Returns
    -------
    (m, 3) int64 array
        Triangles as rows of `points`. They cover the convex hull without overlap, and no point lies inside the
        circumcircle of a triangle.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or a value that is not finite; or where a coordinate is not 0 but less than 1e-50
        times the largest coordinate, unless the points lie on a small lattice.

    Notes
    -----
    Fewer than three points, or points that all lie on one line, give zero triangles. Of several equal points only the
    one with the lowest index is used. Where four or more points lie on a circle (as in a regular grid), one of the
    valid triangulations is returned, always the same for the same input. The geometric predicates are exact: no scaling
    or jitter of the points is needed. Cost: about 0.3 microseconds per point.

    References
    ----------
    C. L. Lawson, "Software for C1 surface interpolation", 1977 (edge flips); J. R. Shewchuk, "Adaptive precision
    floating-point arithmetic and fast robust geometric predicates", 1997.

    Examples
    --------
    >>> delaunay([[0, 0], [4, 0], [0, 3], [1, 1]]).shape
    (3, 3)
    """
    points = check.float_array(points, "points", (None, 2))

    return _core.delaunay(points)
