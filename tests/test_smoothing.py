import threading

import numpy as np
import pytest

from facegeom.errors import SolverError
from facegeom.geometry import MeshSolver, cotangent_laplacian, heat_smooth, laplacian_smooth, mass_matrix
from operator_meshes import (
    CLOSED,
    MESHES,
    OPEN,
    SCALES,
    grid,
    icosphere,
    mirrored,
    one_rings,
    outline,
    rotation,
    shuffled,
)

meshes = pytest.mark.parametrize("mesh", [m for _, m in MESHES], ids=[name for name, _ in MESHES])


def slow_laplacian_smooth(V, F, iterations, step, fix_boundary):
    rings = one_rings(F, len(V))
    along = {}
    for a, b in outline(F).tolist():
        along.setdefault(a, set()).add(b)
        along.setdefault(b, set()).add(a)
    for i, ring in along.items():
        rings[i] = set() if fix_boundary else ring
    for _ in range(iterations):
        means = np.array([V[sorted(ring)].mean(axis=0) if ring else V[i] for i, ring in enumerate(rings)])
        V = V + step * (means - V)
    return V


def slow_heat_smooth(V, F, values, time):
    M = np.diag(mass_matrix(V, F))
    return np.linalg.solve(M + time * cotangent_laplacian(V, F).to_scipy().toarray(), M @ values)


class TestLaplacianSmooth:
    def test_an_apex_moves_half_way_to_the_mean(self):
        V = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [0.5, 1, 4]])
        F = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
        smooth = laplacian_smooth(V, F, iterations=1, step=0.5, fix_boundary=True)
        np.testing.assert_array_equal(smooth[4], [0.75, 1, 2])
        np.testing.assert_array_equal(smooth[:4], V[:4])

    @meshes
    @pytest.mark.parametrize("fix_boundary", [False, True])
    @pytest.mark.parametrize(("iterations", "step"), [(0, 0.5), (1, 1.0), (7, 0.3)])
    def test_equals_the_reference_implementation(self, mesh, iterations, step, fix_boundary):
        V, F = mesh
        smooth = laplacian_smooth(V, F, iterations=iterations, step=step, fix_boundary=fix_boundary)
        np.testing.assert_allclose(smooth, slow_laplacian_smooth(V, F, iterations, step, fix_boundary), atol=1e-12)

    def test_equals_trimesh_on_a_closed_mesh(self):
        trimesh = pytest.importorskip("trimesh")
        V, F = CLOSED
        peer = trimesh.Trimesh(V, F, process=False)
        trimesh.smoothing.filter_laplacian(peer, lamb=0.4, iterations=6, volume_constraint=False)
        np.testing.assert_allclose(laplacian_smooth(V, F, iterations=6, step=0.4), peer.vertices, atol=1e-12)

    def test_the_outline_moves_only_along_itself(self):
        V, F = grid(9, seed=1, relief=5.0)
        V[:, 2] -= V[0, 2]
        smooth = laplacian_smooth(V, F, iterations=5).reshape(9, 9, 3)
        edge = grid(9, seed=1)[0].reshape(9, 9, 3)[0]
        np.testing.assert_allclose(smooth[0, 5:-5, 1], edge[5:-5, 1])  # straight sides remain straight
        assert np.ptp(smooth[0, :, 2]) < np.ptp(V.reshape(9, 9, 3)[0, :, 2])

    def test_noise_is_removed_and_the_shape_is_kept(self):
        V, F = icosphere(4, 80.0)
        noisy = V + np.random.default_rng(0).normal(0, 0.3, V.shape)
        error = laplacian_smooth(noisy, F) - laplacian_smooth(V, F)
        assert error.std() < 0.3 * (noisy - V).std()
        assert np.abs(np.linalg.norm(laplacian_smooth(V, F), axis=1) - 80).max() < 1.6  # the sphere shrinks

    def test_a_regular_plane_is_a_fixed_point(self):
        V, F = grid(8)
        inner = laplacian_smooth(V, F, iterations=1).reshape(8, 8, 3)[1:-1, 1:-1]
        np.testing.assert_allclose(inner, V.reshape(8, 8, 3)[1:-1, 1:-1], atol=1e-15)

    def test_vertices_without_triangles_do_not_move(self):
        V = np.concatenate([OPEN[0], [[5, 6, 7]]])
        np.testing.assert_array_equal(laplacian_smooth(V, OPEN[1])[-1], [5, 6, 7])
        np.testing.assert_array_equal(laplacian_smooth(V, np.zeros((0, 3), int)), V)

    def test_an_edge_of_three_triangles_is_not_a_boundary(self):
        V = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 1.0]])
        F = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
        smooth = laplacian_smooth(V, F, iterations=1, step=1.0)
        np.testing.assert_allclose(smooth[0], V[[2, 3, 4]].mean(axis=0))

    @meshes
    @pytest.mark.parametrize("scale", SCALES)
    def test_result_follows_rigid_motion_and_scale(self, mesh, scale):
        V, F = mesh
        R = rotation()
        smooth = laplacian_smooth(V, F)
        moved = laplacian_smooth(scale * (V @ R.T + 3), F)
        np.testing.assert_allclose(moved, scale * (smooth @ R.T + 3), rtol=1e-12, atol=1e-12 * scale)
        np.testing.assert_array_equal(laplacian_smooth(*mirrored(V, F)), smooth * [-1, 1, 1])
        V2, F2, order = shuffled(V, F)
        np.testing.assert_allclose(laplacian_smooth(V2, F2), smooth[order], atol=1e-12)

    def test_input_is_not_modified(self):
        V, F = OPEN[0].copy(), OPEN[1].copy()
        laplacian_smooth(V, F)
        np.testing.assert_array_equal(V, OPEN[0])
        np.testing.assert_array_equal(F, OPEN[1])


class TestHeatSmooth:
    @meshes
    @pytest.mark.parametrize("time", [0.0, 0.01, 1.0, 1e4])
    def test_equals_the_dense_solve(self, mesh, time):
        V, F = mesh
        values = np.random.default_rng(0).normal(size=(len(V), 9))
        expected = slow_heat_smooth(V, F, values, time)
        np.testing.assert_allclose(heat_smooth(V, F, values, time, tolerance=1e-12), expected, atol=1e-9)
        np.testing.assert_allclose(heat_smooth(V, F, values, time), expected, atol=1e-5)
        np.testing.assert_allclose(MeshSolver(V, F, time).smooth(values), expected, atol=1e-9)

    @pytest.mark.parametrize("columns", [1, 2, 3, 4, 5])
    def test_columns_do_not_depend_on_each_other(self, columns):
        V, F = OPEN
        values = np.random.default_rng(columns).normal(size=(len(V), columns))
        together = heat_smooth(V, F, values, 2.0)
        for k in range(columns):
            alone = heat_smooth(V, F, values[:, k], 2.0)
            assert alone.shape == (len(V),)
            np.testing.assert_allclose(together[:, k], alone, atol=1e-6)

    def test_a_spherical_harmonic_decays_by_its_eigenvalue(self):
        V, F = icosphere(4, 10.0)
        # z has the eigenvalue l (l + 1) / r^2 = 2 / 100.
        np.testing.assert_allclose(heat_smooth(V, F, V[:, 2], 50.0), V[:, 2] / 2, atol=0.01)

    @meshes
    def test_constants_and_the_mean_are_preserved(self, mesh):
        V, F = mesh
        np.testing.assert_allclose(heat_smooth(V, F, np.full(len(V), 3.0), 5.0), 3.0, rtol=1e-7)
        values = np.random.default_rng(0).normal(size=len(V))
        mass = mass_matrix(V, F)
        assert mass @ heat_smooth(V, F, values, 5.0) == pytest.approx(mass @ values, abs=1e-6)
        np.testing.assert_allclose(heat_smooth(V, F, values, 1e7), mass @ values / mass.sum(), atol=1e-5)

    def test_no_new_extreme_without_obtuse_angles(self):
        V, F = grid(15)
        spike = np.zeros(len(V))
        spike[7 * 15 + 7] = 1
        smooth = MeshSolver(V, F, 0.5).smooth(spike)
        assert smooth.min() > 0
        assert smooth.argmax() == 7 * 15 + 7

    @meshes
    @pytest.mark.parametrize("scale", SCALES)
    def test_time_is_a_squared_length(self, mesh, scale):
        V, F = mesh
        values = np.sin(V[:, 0])
        smooth = heat_smooth(V, F, values, 0.7)
        np.testing.assert_allclose(heat_smooth(scale * V @ rotation().T, F, values, 0.7 * scale**2), smooth, atol=1e-6)
        np.testing.assert_allclose(heat_smooth(*mirrored(V, F), values, 0.7), smooth, atol=1e-6)

    def test_vertices_without_area_keep_their_values(self):
        V = np.concatenate([OPEN[0], [[5, 6, 7], [8, 8, 8]]])
        n = len(V)
        F = np.concatenate([OPEN[1], [[0, n - 1, n - 1]]])
        values = np.arange(n, dtype=float)
        for smooth in (heat_smooth(V, F, values, 2.0), MeshSolver(V, F, 2.0).smooth(values)):
            np.testing.assert_allclose(smooth[-2:], values[-2:], rtol=1e-8)

    def test_a_tolerance_below_the_rounding_error_is_accepted(self):
        V, F = OPEN
        np.testing.assert_allclose(
            heat_smooth(V, F, np.sin(V), 1.0, tolerance=1e-30), slow_heat_smooth(V, F, np.sin(V), 1.0), atol=1e-13
        )

    def test_a_mesh_of_thin_triangles_that_does_not_converge_raises_an_error(self):
        V, F = grid(30, seed=0)
        V[:, 0] *= np.logspace(0, 5, 900)
        with pytest.raises(SolverError, match="did not reach a relative residual of 1e-12 in 1300 iterations"):
            heat_smooth(V, F, np.sin(np.arange(900.0)), 1e8, tolerance=1e-12)

    def test_zero_columns_and_zero_vertices_give_empty_arrays(self):
        assert heat_smooth(*OPEN, np.zeros((len(OPEN[0]), 0)), 1.0).shape == (len(OPEN[0]), 0)
        assert heat_smooth(np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros(0), 1.0).shape == (0,)
        assert MeshSolver(np.zeros((0, 3)), np.zeros((0, 3), int), 1.0).smooth(np.zeros((0, 2))).shape == (0, 2)

    def test_results_are_bit_identical_in_every_thread(self):
        V, F = OPEN
        solver = MeshSolver(V, F, 1.0)
        found = [None] * 4

        def work(k):
            found[k] = np.concatenate([solver.smooth(V), heat_smooth(V, F, V, 1.0), laplacian_smooth(V, F)])

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0])
