import numpy as np
import pytest
import scipy.sparse

from facegeom.geometry import (
    SparseMatrix,
    cotangent_laplacian,
    mass_matrix,
    mean_curvature_normals,
    uniform_laplacian,
)
from operator_meshes import CLOSED, MESHES, OPEN, SCALES, grid, icosphere, mirrored, one_rings, rotation, shuffled

meshes = pytest.mark.parametrize("mesh", [m for _, m in MESHES], ids=[name for name, _ in MESHES])


def dense(L):
    return L.to_scipy().toarray()


def slow_cotangent_laplacian(V, F):
    L = np.zeros((len(V), len(V)))
    for face in F:
        for k in range(3):
            a, b, c = np.roll(face, k)
            u, v = V[b] - V[a], V[c] - V[a]
            weight = 0.5 * (u @ v) / np.linalg.norm(np.cross(u, v))
            L[b, c] -= weight
            L[c, b] -= weight
            L[b, b] += weight
            L[c, c] += weight
    return L


def slow_uniform_laplacian(F, n):
    L = np.zeros((n, n))
    for i, ring in enumerate(one_rings(F, n)):
        L[i, list(ring)] = -1
        L[i, i] = len(ring)
    return L


def slow_mass(V, F):
    """Mixed Voronoi areas, computed from the circumcentres."""
    mass = np.zeros(len(V))
    for face in F:
        lengths = [np.sum((V[face[k - 2]] - V[face[k - 1]]) ** 2) for k in range(3)]
        area = 0.5 * np.linalg.norm(np.cross(V[face[1]] - V[face[0]], V[face[2]] - V[face[0]]))
        for k in range(3):
            a, b, c = lengths[k], lengths[k - 1], lengths[k - 2]
            if 2 * max(lengths) > sum(lengths):
                mass[face[k]] += area / 2 if a == max(lengths) else area / 4
            else:
                mass[face[k]] += (b * (a + c - b) + c * (a + b - c)) / (32 * area)
    return mass


class TestLaplacians:
    def test_one_triangle(self):
        right = [[0, 0, 0], [2, 0, 0], [0, 2, 0]]
        np.testing.assert_allclose(
            dense(cotangent_laplacian(right, [[0, 1, 2]])),
            [[1, -0.5, -0.5], [-0.5, 0.5, 0], [-0.5, 0, 0.5]],
            atol=1e-15,
        )
        equilateral = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
        off = -0.5 / 3**0.5
        expected = np.full((3, 3), off) - 3 * off * np.eye(3)
        np.testing.assert_allclose(dense(cotangent_laplacian(equilateral, [[0, 1, 2]])), expected)

    @meshes
    def test_equals_the_reference_implementation(self, mesh):
        V, F = mesh
        np.testing.assert_allclose(dense(cotangent_laplacian(V, F)), slow_cotangent_laplacian(V, F), atol=1e-12)
        np.testing.assert_array_equal(dense(uniform_laplacian(F, len(V))), slow_uniform_laplacian(F, len(V)))

    @meshes
    def test_has_the_opposite_sign_of_libigl(self, mesh):
        igl = pytest.importorskip("igl")
        difference = cotangent_laplacian(*mesh).to_scipy() + igl.cotmatrix(*mesh)
        assert abs(difference).max() < 1e-12

    @meshes
    def test_constants_are_in_the_null_space_and_no_eigenvalue_is_negative(self, mesh):
        V, F = mesh
        for L in (cotangent_laplacian(V, F), uniform_laplacian(F, len(V))):
            assert np.abs(L @ np.ones(len(V))).max() < 1e-13
            matrix = dense(L)
            np.testing.assert_array_equal(matrix, matrix.T)
            eigenvalues = np.linalg.eigvalsh(matrix)
            assert eigenvalues[0] > -1e-12
            assert eigenvalues[1] > 1e-4

    def test_linear_functions_are_harmonic_in_the_plane(self):
        V, F = grid(9, seed=1)
        residual = (cotangent_laplacian(V, F) @ V).reshape(9, 9, 3)
        assert np.abs(residual[1:-1, 1:-1]).max() < 1e-12
        assert np.abs(residual[0]).max() > 0.1

    def test_quadratic_form_is_the_dirichlet_energy(self):
        V, F = grid(9, seed=1)
        f = V @ [2.0, -3.0, 0.0]
        assert f @ (cotangent_laplacian(V, F) @ f) == pytest.approx((4 + 9) * 64)

    @meshes
    @pytest.mark.parametrize("scale", SCALES)
    def test_result_does_not_depend_on_rigid_motion_and_unit(self, mesh, scale):
        V, F = mesh
        L = dense(cotangent_laplacian(V, F))
        np.testing.assert_allclose(dense(cotangent_laplacian(scale * V @ rotation().T, F)), L, atol=1e-11)
        np.testing.assert_allclose(dense(cotangent_laplacian(*mirrored(V, F))), L, atol=1e-12)

    @meshes
    def test_result_is_permuted_with_the_vertices(self, mesh):
        V, F = mesh
        V2, F2, order = shuffled(V, F)
        np.testing.assert_allclose(
            dense(cotangent_laplacian(V2, F2)), dense(cotangent_laplacian(V, F))[np.ix_(order, order)], atol=1e-12
        )
        np.testing.assert_array_equal(
            dense(uniform_laplacian(F2, len(V))), dense(uniform_laplacian(F, len(V)))[np.ix_(order, order)]
        )

    @meshes
    def test_columns_are_sorted_and_the_diagonal_is_stored(self, mesh):
        V, F = mesh
        F = np.concatenate([F, F[:3, ::-1]])  # adds edges with more than two triangles
        for L in (cotangent_laplacian(V, F), uniform_laplacian(F, len(V))):
            assert L.indptr.dtype == L.indices.dtype == np.int32
            for i in range(len(V)):
                row = L.indices[L.indptr[i] : L.indptr[i + 1]]
                assert (np.diff(row) > 0).all()
                assert i in row

    def test_degenerate_triangles_are_ignored(self):
        V, F = OPEN
        extra = np.array([[0, 0, 1], [5, 5, 5]])
        L = cotangent_laplacian(V, F)
        np.testing.assert_array_equal(dense(cotangent_laplacian(V, np.concatenate([F, extra]))), dense(L))
        flat = [[0, 0, 0], [0.1, 0.1, 0.1], [0.3, 0.3, 0.3]]
        np.testing.assert_array_equal(dense(cotangent_laplacian(flat, [[0, 1, 2]])), np.zeros((3, 3)))

    def test_vertices_without_triangles_have_empty_rows(self):
        V = np.concatenate([OPEN[0], [[1, 2, 3]]])
        for L in (cotangent_laplacian(V, OPEN[1]), uniform_laplacian(OPEN[1], len(V))):
            assert L.shape == (len(V), len(V))
            np.testing.assert_array_equal(dense(L)[-1], 0)
        assert uniform_laplacian(np.zeros((0, 3), int), 0).shape == (0, 0)


class TestSparseMatrix:
    def test_product_equals_scipy(self):
        L = cotangent_laplacian(*OPEN)
        x = np.random.default_rng(0).normal(size=(len(OPEN[0]), 4))
        np.testing.assert_allclose(L @ x, L.to_scipy() @ x, atol=1e-13)
        np.testing.assert_allclose(L @ x[:, 0], L.to_scipy() @ x[:, 0], atol=1e-13)
        assert (L @ x[:, :0]).shape == (len(x), 0)

    def test_scipy_shares_the_arrays(self):
        L = cotangent_laplacian(*OPEN)
        matrix = L.to_scipy()
        assert isinstance(matrix, scipy.sparse.csr_array)
        for ours, theirs in zip(L[:3], (matrix.indptr, matrix.indices, matrix.data), strict=True):
            assert np.shares_memory(ours, theirs)

    @pytest.mark.parametrize(
        ("indptr", "indices"),
        [([0, 2], [0, 7]), ([0, 2], [0, -1]), ([0, 9, 2], [0, 1]), ([0, 1], [0, 1]), ([1, 2], [0, 1]), ([], [0, 1])],
    )
    def test_invalid_indices_are_rejected(self, indptr, indices):
        damaged = SparseMatrix(np.array(indptr, np.int32), np.array(indices, np.int32), np.ones(2), (2, 2))
        with pytest.raises(ValueError, match=r"indptr|indices"):
            damaged @ np.ones(2)


class TestMass:
    def test_square_cell(self):
        mass = mass_matrix(*grid(5)).reshape(5, 5)
        np.testing.assert_allclose(mass[1:-1, 1:-1], 1)
        np.testing.assert_allclose(mass[0, 1:-1], 0.5)

    def test_obtuse_triangle_gives_half_to_the_obtuse_corner(self):
        mass = mass_matrix([[0, 0, 0], [4, 0, 0], [-4, 2, 0]], [[0, 1, 2]])
        np.testing.assert_allclose(mass, [2, 1, 1])

    @meshes
    def test_equals_the_reference_implementation_and_libigl(self, mesh):
        igl = pytest.importorskip("igl")
        mass = mass_matrix(*mesh)
        np.testing.assert_allclose(mass, slow_mass(*mesh), rtol=1e-12)
        np.testing.assert_allclose(mass, igl.massmatrix(*mesh, igl.MASSMATRIX_TYPE_VORONOI).diagonal(), rtol=1e-12)

    @meshes
    @pytest.mark.parametrize("scale", SCALES)
    def test_sums_to_the_area(self, mesh, scale):
        V, F = mesh
        area = 0.5 * np.linalg.norm(np.cross(V[F[:, 1]] - V[F[:, 0]], V[F[:, 2]] - V[F[:, 0]]), axis=1).sum()
        mass = mass_matrix(scale * V @ rotation().T, F)
        assert mass.sum() == pytest.approx(area * scale**2)
        assert mass.min() > 0

    def test_vertices_without_area_have_zero_mass(self):
        np.testing.assert_array_equal(mass_matrix([[0, 0, 0], [1, 1, 1], [3, 3, 3]], [[0, 1, 2], [0, 0, 1]]), 0)


class TestMeanCurvature:
    @pytest.mark.parametrize("radius", [0.5, 80.0])
    def test_a_sphere_gives_one_over_the_radius_outward(self, radius):
        V, F = icosphere(4, radius)
        np.testing.assert_allclose(mean_curvature_normals(V, F), V / radius**2, atol=0.02 / radius)

    def test_a_cylinder_gives_half_of_one_over_the_radius(self):
        V, F = grid(41)
        angle = V[:, 0] / 20
        out = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)
        H = mean_curvature_normals(20 * out + [0, 1, 0] * V, F)
        inner = np.s_[1:-1, 1:-1]
        np.testing.assert_allclose(H.reshape(41, 41, 3)[inner], out.reshape(41, 41, 3)[inner] / 40, atol=1e-5)

    def test_a_plane_has_zero_curvature(self):
        H = mean_curvature_normals(*grid(9, seed=1)).reshape(9, 9, 3)
        assert np.abs(H[1:-1, 1:-1]).max() < 1e-12

    @meshes
    def test_equals_half_of_inverse_mass_times_laplacian(self, mesh):
        V, F = mesh
        expected = (cotangent_laplacian(V, F) @ V) / (2 * mass_matrix(V, F)[:, None])
        np.testing.assert_allclose(mean_curvature_normals(V, F), expected, atol=1e-11)

    @pytest.mark.parametrize("scale", SCALES)
    def test_rotates_with_the_mesh_and_scales_inversely_with_its_size(self, scale):
        V, F = CLOSED
        R = rotation()
        H = mean_curvature_normals(V, F)
        np.testing.assert_allclose(mean_curvature_normals(scale * V @ R.T, F), H @ R.T / scale, atol=1e-12 / scale)
        np.testing.assert_allclose(mean_curvature_normals(V, F[:, ::-1]), H, atol=1e-12)

    def test_precision_is_kept_far_from_the_origin(self):
        V, F = OPEN
        moved = (V + 2.0**20) - 2.0**20  # both meshes have the same rounding errors
        np.testing.assert_allclose(mean_curvature_normals(V + 2.0**20, F), mean_curvature_normals(moved, F), atol=1e-12)
