"""Laplacians, mass matrix and mean curvature of triangle meshes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray

if TYPE_CHECKING:
    import scipy.sparse


class SparseMatrix(NamedTuple):
    """A sparse matrix in compressed row storage (CSR), columns ascending in each row; does not need SciPy.

    Attributes
    ----------
    indptr : (n + 1,) int32 array, index of the first entry of each row
    indices : (nnz,) int32 array, column of each entry
    data : (nnz,) float array, value of each entry
    shape : (n, n)

    Examples
    --------
    >>> L = uniform_laplacian([[0, 1, 2]], 3)
    >>> L @ np.array([1.0, 0.0, 0.0])
    array([ 2., -1., -1.])
    """

    indptr: npt.NDArray[np.int32]
    indices: npt.NDArray[np.int32]
    data: FloatArray
    shape: tuple[int, int]

    def __matmul__(self, x: npt.ArrayLike) -> FloatArray:
        """Multiply the matrix by `x`, (n,) or (n, k); return the product with the shape of `x`."""
        columns, shape = check.columns(x, "x", self.shape[1])
        indptr, indices = check.slots(self.indptr, "indptr"), check.slots(self.indices, "indices")
        data = check.float_array(self.data, "data", (len(indices),))

        return _core.multiply(indptr, indices, data, columns).reshape(shape)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return a `scipy.sparse.csr_array` that shares the arrays of this matrix; needs SciPy."""
        import scipy.sparse

        return scipy.sparse.csr_array((self.data, self.indices, self.indptr), shape=self.shape)


def uniform_laplacian(F: npt.ArrayLike, n: int) -> SparseMatrix:
    """Return the graph Laplacian D - A of the edges of a mesh, positive semi-definite.

    Parameters
    ----------
    F : (m, 3) int array
    n : int, number of vertices

    Returns
    -------
    SparseMatrix
        (n, n): -1 for two vertices that share an edge; on the diagonal, the number of neighbours. All diagonal entries
        are stored; the entry of a vertex without triangles is 0.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, an index out of range, or a negative n.

    Notes
    -----
    An edge is counted once, even if several triangles share it.

    Examples
    --------
    >>> uniform_laplacian([[0, 1, 2]], 3).data
    array([ 2., -1., -1., -1.,  2., -1., -1., -1.,  2.])
    """
    n = check.count(n, "n", most=check.MAX_VERTICES)
    F = check.faces(F, n)

    return SparseMatrix(*_core.uniform_laplacian(F, n), (n, n))


def cotangent_laplacian(V: npt.ArrayLike, F: npt.ArrayLike) -> SparseMatrix:
    """Return the cotangent Laplacian, positive semi-definite: libigl's matrix has the opposite sign.

    Parameters
    ----------
    V : (n, 3) float array, any unit
    F : (m, 3) int array

    Returns
    -------
    SparseMatrix
        (n, n): -(cot a + cot b) / 2 for an edge with the opposite angles a and b; rows sum to 0. All diagonal entries
        are stored.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    x^T L x is the Dirichlet energy of the piecewise linear function x, so L is positive semi-definite on every mesh. L
    does not depend on the unit of length. L is the integrated operator: divide by `mass_matrix` to get point values.
    Degenerate triangles (double area at most 1e-12 of the longest squared edge) are ignored. Cost: linear in the number
    of triangles. The result is exactly symmetric.

    References
    ----------
    Pinkall and Polthier, "Computing discrete minimal surfaces and their conjugates", 1993.

    Examples
    --------
    >>> cotangent_laplacian([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]).to_scipy().toarray()
    array([[ 1. , -0.5, -0.5],
           [-0.5,  0.5,  0. ],
           [-0.5,  0. ,  0.5]])
    """
    V, F = check.mesh(V, F)

    return SparseMatrix(*_core.cotangent_laplacian(V, F), (len(V), len(V)))


def mass_matrix(V: npt.ArrayLike, F: npt.ArrayLike) -> FloatArray:
    """Return the diagonal of the lumped mass matrix: the mixed Voronoi area of each vertex, at least 0.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array

    Returns
    -------
    (n,) float array, mm^2
        0 only for a vertex without a triangle of positive area. The sum is the area of the mesh.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    A triangle is divided among its corners by the perpendicular bisectors of its edges. An obtuse triangle gives half
    of its area to the obtuse corner and a quarter to each other corner.

    References
    ----------
    Meyer, Desbrun, Schröder and Barr, "Discrete differential-geometry operators for triangulated 2-manifolds", 2003,
    section 3.3.

    Examples
    --------
    >>> mass_matrix([[0, 0, 0], [2, 0, 0], [0, 2, 0]], [[0, 1, 2]])
    array([1. , 0.5, 0.5])
    """
    V, F = check.mesh(V, F)

    return _core.mass_matrix(V, F)


def mean_curvature_normals(V: npt.ArrayLike, F: npt.ArrayLike) -> FloatArray:
    """Return the mean curvature times the unit normal, (1/2) M^-1 L V: outward where the surface is convex.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array

    Returns
    -------
    (n, 3) float array, 1/mm
        On a sphere of radius r: length 1/r, pointing away from the centre, for either orientation of the triangles. 0
        for a vertex without a triangle of positive area.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    The mean curvature H is the mean of the two principal curvatures. At the boundary of an open mesh the result is not
    a curvature: it points outward across the boundary, and its length grows as the triangles shrink.

    References
    ----------
    Meyer, Desbrun, Schröder and Barr, 2003, equation 8.

    Examples
    --------
    >>> V = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    >>> F = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    >>> mean_curvature_normals(V, F)[0].round(6)
    array([1., 0., 0.])
    """
    V, F = check.mesh(V, F)

    return _core.mean_curvature_normals(V, F)
