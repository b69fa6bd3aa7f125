"""Discrete Laplacians, masses and mean curvature of triangle meshes."""

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
    """A matrix in compressed rows, columns ascending within a row: what SciPy calls CSR, without SciPy.

    Attributes
    ----------
    indptr : (n + 1,) int32 array, first entry of each row
    indices : (nnz,) int32 array, column of each entry
    data : (nnz,) float array
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
        """Product with a vector (n,) or with the columns of (n, k)."""
        columns, shape = check.columns(x, "x", self.shape[1])

        return _core.multiply(self.indptr, self.indices, self.data, columns).reshape(shape)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the matrix as `scipy.sparse.csr_array` that shares its arrays; needs SciPy."""
        import scipy.sparse

        return scipy.sparse.csr_array((self.data, self.indices, self.indptr), shape=self.shape)


def uniform_laplacian(F: npt.ArrayLike, n: int) -> SparseMatrix:
    """Graph Laplacian D - A of a mesh's edges, positive semi-definite.

    Parameters
    ----------
    F : (m, 3) int array
    n : int, number of vertices

    Returns
    -------
    SparseMatrix
        (n, n): -1 for two vertices that share an edge, on the diagonal the number of a vertex's neighbours. Every
        diagonal entry is stored, zero for a vertex without triangles.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, an index out of range, or a negative n.

    Notes
    -----
    An edge counts once, however many triangles share it.

    Examples
    --------
    >>> uniform_laplacian([[0, 1, 2]], 3).data
    array([ 2., -1., -1., -1.,  2., -1., -1., -1.,  2.])
    """
    n = check.count(n, "n")
    F = check.faces(F, n)

    return SparseMatrix(*_core.uniform_laplacian(F, n), (n, n))


def cotangent_laplacian(V: npt.ArrayLike, F: npt.ArrayLike) -> SparseMatrix:
    """Cotangent Laplacian, positive semi-definite: the opposite sign of libigl's.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array

    Returns
    -------
    SparseMatrix
        (n, n): -(cot a + cot b) / 2 for an edge with the opposite angles a and b; rows sum to zero. Every diagonal
        entry is stored.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    x^T L x is the Dirichlet energy of the piecewise linear function x, so that L is positive semi-definite on any mesh;
    it does not change with the unit of length. L is the integrated operator: divide by `mass_matrix` for values at
    points. Degenerate triangles (double area at most 1e-12 of the longest squared edge) give nothing. Linear time; the
    rows are written directly and are exactly symmetric.

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
    """Diagonal of the lumped mass matrix: the mixed Voronoi area of each vertex.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array

    Returns
    -------
    (n,) float array, mm^2
        At least zero, and zero only for a vertex without a triangle of positive area; the sum is the mesh's area.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    A triangle is divided by the perpendicular bisectors of its edges; one with an obtuse angle gives half of its area
    to that corner and a quarter to each of the others.

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
    """Mean curvature times the unit normal, (1/2) M^-1 L V: outward where the surface is convex.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array

    Returns
    -------
    (n, 3) float array, 1/mm
        On a sphere of radius r, 1/r times the normal that points away from the centre, however the triangles are
        oriented; zero for a vertex without a triangle of positive area.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    H is the mean of the two principal curvatures. At the boundary of an open mesh the row is not a curvature: it points
    out of the surface across the boundary, with a length that grows as the triangles shrink.

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
