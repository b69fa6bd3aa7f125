"""Normals of triangle meshes."""

from __future__ import annotations

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray


def face_normals(V: npt.ArrayLike, F: npt.ArrayLike) -> FloatArray:
    """Unit normals of triangles, towards the side from which they turn counter-clockwise.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array

    Returns
    -------
    (m, 3) float array
        A degenerate triangle (double area at most 1e-12 of its longest squared edge) has a row of zeros.

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
    """Unit normals of vertices, the incident triangles weighted by their areas.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array

    Returns
    -------
    (n, 3) float array
        A vertex without a triangle of positive area has a row of zeros.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    The sum of the triangles' area vectors, brought to unit length; linear in the number of triangles.

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
