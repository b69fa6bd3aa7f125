"""Laplacian and mass matrices, compared with libigl and SciPy."""

import numpy as np
import pytest

from facegeom import geometry

igl = pytest.importorskip("igl")
sparse = pytest.importorskip("scipy.sparse")


def as_scipy(matrix):
    return matrix if sparse.issparse(matrix) else matrix.to_scipy()


@pytest.mark.parametrize("library", ["facegeom", "libigl"])
def test_cotangent_laplacian(mesh, library, measure):
    size, V, F = mesh
    calls = {"facegeom": lambda: geometry.cotangent_laplacian(V, F), "libigl": lambda: igl.cotmatrix(V, F)}
    matrix, other = measure(f"cotangent_laplacian, {size} vertices", library, calls)
    assert abs(as_scipy(matrix) + as_scipy(other)).max() < 1e-9  # libigl's has the opposite sign


@pytest.mark.parametrize("library", ["facegeom", "scipy"])
def test_uniform_laplacian(mesh, library, measure):
    size, V, F = mesh

    def with_scipy():
        edges = np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]])
        both = np.concatenate([edges, edges[:, ::-1]])
        adjacency = sparse.coo_array((np.ones(len(both)), both.T), (len(V), len(V))).tocsr()
        adjacency.data[:] = 1
        return sparse.diags_array(adjacency.sum(axis=1)) - adjacency

    calls = {"facegeom": lambda: geometry.uniform_laplacian(F, len(V)), "scipy": with_scipy}
    matrix, other = measure(f"uniform_laplacian, {size} vertices", library, calls)
    assert abs(as_scipy(matrix) - as_scipy(other)).max() == 0


@pytest.mark.parametrize("library", ["facegeom", "libigl"])
def test_mass_matrix(mesh, library, measure):
    size, V, F = mesh
    voronoi = igl.MASSMATRIX_TYPE_VORONOI
    calls = {"facegeom": lambda: geometry.mass_matrix(V, F), "libigl": lambda: igl.massmatrix(V, F, voronoi)}
    areas, other = (
        answer.diagonal() if sparse.issparse(answer) else answer
        for answer in measure(f"mass_matrix, {size} vertices", library, calls)
    )
    np.testing.assert_allclose(areas, other, rtol=1e-9)
