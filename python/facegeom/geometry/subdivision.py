"""Subdivision: each triangle becomes four."""

from __future__ import annotations

from typing import NamedTuple

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray

SCHEMES = ("loop", "midpoint")


class Subdivision(NamedTuple):
    """A subdivided mesh.

    Attributes
    ----------
    V : (n + e, 3) float array
        The n old vertices, then one for each of the e edges, which ascend by their lower and then their higher end.
    F : (4 m, 3) int64 array
        Rows 4 f to 4 f + 2 hold the corners 0, 1 and 2 of triangle f, row 4 f + 3 its middle.
    parents : (n + e, 2) int64 array
        The ends of the edge that a vertex is of; an old vertex is both of its own. `values[parents].mean(axis=1)`
        carries colours and the like over.
    """

    V: FloatArray
    F: IntArray
    parents: IntArray


def subdivide(V: npt.ArrayLike, F: npt.ArrayLike, scheme: str = "loop") -> Subdivision:
    """Divide every triangle into four at the middles of its edges.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array
    scheme : {"loop", "midpoint"}
        "midpoint" leaves the surface as it is; "loop" draws it toward a smooth one, moving the old vertices too.

    Returns
    -------
    Subdivision

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or scheme, a value that is not finite, an index out of range, or a triangle that names a
        vertex twice.

    Notes
    -----
    Loop's scheme inside. An edge of one triangle, or of more than two, is a crease: only the vertices along it count,
    so that the outline does not depend on the inside; a vertex where other than two creases meet stays. Linear time.
    The numbers of the result depend on F alone: meshes of one topology keep one topology. For texture coordinates,
    which have triangles of their own, divide those (with a third coordinate of zero).

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
