"""Subdivision of triangle meshes: Loop and midpoint."""

from __future__ import annotations

from typing import NamedTuple

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray

SCHEMES = ("loop", "midpoint")


class Subdivision(NamedTuple):
    """The subdivided mesh that `subdivide` returns.

    Attributes
    ----------
    V : (n + e, 3) float array
        The n original vertices, then one new vertex for each of the e edges. The edges are sorted by their lower and
        then their higher vertex index.
    F : (4 m, 3) int64 array
        Rows 4 f to 4 f + 2 are the triangles at the corners 0, 1 and 2 of triangle f, row 4 f + 3 is the central
        triangle.
    parents : (n + e, 2) int64 array
        The two end vertices of the edge of a new vertex; for an original vertex, its own index twice.
        `values[parents].mean(axis=1)` transfers colours and other per-vertex values.
    """

    V: FloatArray
    F: IntArray
    parents: IntArray


def subdivide(V: npt.ArrayLike, F: npt.ArrayLike, scheme: str = "loop") -> Subdivision:
    """Split every triangle into four at the midpoints of its edges.

    Parameters
    ----------
    V : (n, 3) float array, any unit
    F : (m, 3) int array
    scheme : {"loop", "midpoint"}
        "midpoint" does not change the surface. "loop" moves new and original vertices towards a smooth limit surface.

    Returns
    -------
    Subdivision
        The subdivided mesh: `V` (n + e, 3), `F` (4 m, 3), `parents` (n + e, 2).

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or scheme, a value that is not finite, an index out of range, or a triangle with a
        repeated vertex.

    Notes
    -----
    With "loop", an edge of one triangle, or of more than two, is a crease. Vertices on a crease depend only on the
    vertices along it, so that the outline does not depend on the interior. A vertex at which one crease ends, or more
    than two meet, does not move. Linear time. The triangles of the result depend on F alone, so meshes with equal
    triangles give results with equal triangles. Texture coordinates have triangles of their own: subdivide texture
    coordinates separately, with a third coordinate of 0.

    References
    ----------
    Loop, "Smooth subdivision surfaces based on triangles", 1987.

    Examples
    --------
    >>> fine = subdivide([[0, 0, 0], [2, 0, 0], [0, 2, 0]], [[0, 1, 2]], "midpoint")
    >>> fine.V[3:], fine.parents[3:]
    (array([[1., 0., 0.],
           [0., 1., 0.],
           [1., 1., 0.]]), array([[0, 1],
           [0, 2],
           [1, 2]]))
    """
    V, F = check.mesh(V, F)
    chosen = getattr(_core.SubdivisionScheme, check.choice(scheme, "scheme", SCHEMES))

    return Subdivision(*_core.subdivide(V, F, chosen))
