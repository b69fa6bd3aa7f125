"""Delaunay triangulation of points in the plane."""

from __future__ import annotations

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import IntArray


def delaunay(points: npt.ArrayLike) -> IntArray:
    """Delaunay triangulation in the plane, counter-clockwise (x right, y up).

    Parameters
    ----------
    points : (n, 2) float array, any unit

    Returns
    -------
    (m, 3) int64 array
        Rows of `points`. The triangles cover the convex hull without overlap, and no point lies inside the circumcircle
        of any.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or a value that is not finite.

    Notes
    -----
    Fewer than three points, and points that all lie on one line, give zero triangles. Equal points are used once: the
    lowest index stands for all. Where four or more points share a circle (a regular grid) one of the valid choices is
    taken, always the same for the same input. The predicates are exact, so nothing has to be scaled or jittered
    beforehand. About 0.3 microseconds a point.

    References
    ----------
    C. L. Lawson, Software for C1 surface interpolation, 1977 (the flips). J. R. Shewchuk, Adaptive precision
    floating-point arithmetic and fast robust geometric predicates, 1997.

    Examples
    --------
    >>> delaunay([[0, 0], [4, 0], [0, 3], [1, 1]]).shape
    (3, 3)
    """
    points = check.float_array(points, "points", (None, 2))

    return _core.delaunay(points)
