"""Explicit and implicit smoothing, compared with SciPy and trimesh."""

import numpy as np
import pytest

from facegeom import geometry

igl = pytest.importorskip("igl")
sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")
trimesh = pytest.importorskip("trimesh")

ITERATIONS = 10


def neighbor_mean(F, n):
    """Return the sparse (n, n) matrix that averages over the neighbours of each vertex."""
    edges = np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sparse.coo_array((np.ones(len(both)), both.T), (n, n)).tocsr()
    adjacency.data[:] = 1
    return sparse.diags_array(1 / adjacency.sum(axis=1)) @ adjacency


@pytest.mark.parametrize("library", ["facegeom", "scipy", "scipy, matrix given", "trimesh"])
def test_laplacian_smooth(mesh, library, measure):
    size, V, F = mesh
    given = neighbor_mean(F, len(V))

    def smooth(mean):
        X = V
        for _ in range(ITERATIONS):
            X = X + 0.5 * (mean @ X - X)
        return X

    def with_trimesh():
        peer = trimesh.Trimesh(V, F, process=False)
        trimesh.smoothing.filter_laplacian(peer, lamb=0.5, iterations=ITERATIONS, volume_constraint=False)
        return np.asarray(peer.vertices)

    calls = {
        "facegeom": lambda: geometry.laplacian_smooth(V, F, iterations=ITERATIONS),
        "scipy": lambda: smooth(neighbor_mean(F, len(V))),
        "scipy, matrix given": lambda: smooth(given),
        "trimesh": with_trimesh,
    }
    answers = measure(f"laplacian_smooth, {ITERATIONS} steps, {size} vertices", library, calls)
    side = round(len(V) ** 0.5)
    # The peers shrink the border, which changes one more ring of vertices in each step.
    inner, other = (X.reshape(side, side, 3)[11:-11, 11:-11] for X in answers)
    np.testing.assert_allclose(inner, other, atol=1e-9)


@pytest.mark.parametrize("library", ["facegeom", "libigl + scipy CG"])
def test_heat_smooth(mesh, library, measure):
    size, V, F = mesh
    time_mm2 = 1.0

    def with_scipy():
        M = sparse.diags_array(igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI).diagonal())
        A = (M - time_mm2 * igl.cotmatrix(V, F)).tocsr()
        scale = sparse.diags_array(1 / A.diagonal())
        b = M @ V
        return np.stack([linalg.cg(A, b[:, k], x0=V[:, k], rtol=1e-8, M=scale)[0] for k in range(3)], axis=1)

    calls = {"facegeom": lambda: geometry.heat_smooth(V, F, V, time_mm2), "libigl + scipy CG": with_scipy}
    smooth, other = measure(f"heat_smooth, {size} vertices", library, calls)
    np.testing.assert_allclose(smooth, other, atol=1e-3)


@pytest.mark.parametrize("library", ["facegeom", "scipy splu"])
def test_mesh_solver(mesh, library, measure):
    """The solve alone: both matrices are factorised beforehand."""
    size, V, F = mesh
    solver = geometry.MeshSolver(V, F, 1.0)
    M = sparse.diags_array(igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI).diagonal())
    factor = linalg.splu((M - igl.cotmatrix(V, F)).tocsc())
    b = M @ V
    calls = {"facegeom": lambda: solver.smooth(V), "scipy splu": lambda: factor.solve(b)}
    smooth, other = measure(f"MeshSolver.smooth, {size} vertices", library, calls)
    np.testing.assert_allclose(smooth, other, atol=1e-9)
