"""Normals of triangle meshes."""

from __future__ import annotations

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray


def face_normals(V: npt.ArrayLike, F: npt.ArrayLike) -> FloatArray:
    """Return the unit normals of triangles; they point to the side from which the corners are counter-clockwise.

    Parameters
    ----------
    V : (n, 3) float array, any unit
    F : (m, 3) int array

    Returns
    -------
    (m, 3) float array
        Unit normal of each triangle; zeros for a degenerate triangle (double area at most 1e-12 of its longest squared
        edge).

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Examples
    --------
    >>> face_normals([[0, 0, 0], [2, 0, 0], [0, 3, 0]], [[0, 1, 2]])
    array([[0., 0., 1.]])
    """
    V, F = check.mesh(V, F)

    return _core.face_normals(V, F)


def vertex_normals(V: npt.ArrayLike, F: npt.ArrayLike) -> FloatArray:
    """Return area-weighted unit normals of vertices, outward for counter-clockwise triangles.

    Parameters
    ----------
    V : (n, 3) float array, any unit
    F : (m, 3) int array

    Returns
    -------
    (n, 3) float array
        Unit normal of each vertex; zeros for a vertex without a triangle of positive area.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    A normal is the normalised sum of the area vectors of the incident triangles. Cost: linear in the number of
    triangles.

    Examples
    --------
    >>> vertex_normals([[0, 0, 0], [2, 0, 0], [0, 3, 0], [9, 9, 9]], [[0, 1, 2]])
    array([[0., 0., 1.],
           [0., 0., 1.],
           [0., 0., 1.],
           [0., 0., 0.]])
    """
    V, F = check.mesh(V, F)

    return _core.vertex_normals(V, F)
