import numpy as np
import pytest

from facegeom.geometry import face_normals, vertex_normals
from operator_meshes import MESHES, OPEN, SCALES, grid, icosphere, mirrored, rotation, shuffled

meshes = pytest.mark.parametrize("mesh", [m for _, m in MESHES], ids=[name for name, _ in MESHES])


def slow_vertex_normals(V, F):
    sums = np.zeros_like(V)
    for a, b, c in F:
        for corner in (a, b, c):
            sums[corner] += np.cross(V[b] - V[a], V[c] - V[a])
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def test_the_normal_points_to_the_side_where_the_corners_are_counter_clockwise():
    V, F = [[0, 0, 5], [3, 0, 5], [0, 0.1, 5]], [[0, 1, 2]]
    np.testing.assert_array_equal(face_normals(V, F), [[0, 0, 1]])
    np.testing.assert_array_equal(vertex_normals(V, F), [[0, 0, 1]] * 3)
    np.testing.assert_array_equal(face_normals(V, [[0, 2, 1]]), [[0, 0, -1]])


def test_sphere_normals_point_away_from_the_centre():
    V, F = icosphere(4, 70.0)
    N = vertex_normals(V, F)
    assert np.abs(N - V / 70).max() < 0.005
    middle = V[F].mean(axis=1)
    np.testing.assert_allclose(face_normals(V, F), middle / np.linalg.norm(middle, axis=1, keepdims=True), atol=0.01)


def test_vertex_normals_are_weighted_by_area():
    # Two triangles share vertex 0: one in the plane z = 0 with legs 3 and 1, one in the plane x = 0 with legs 1 and 1.
    V = [[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 1]]
    N = vertex_normals(V, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_allclose(N[0], np.array([1, 0, 3]) / 10**0.5, atol=1e-15)


@meshes
def test_equals_the_reference_implementation(mesh):
    np.testing.assert_allclose(vertex_normals(*mesh), slow_vertex_normals(*mesh), atol=1e-14)


@meshes
def test_equals_libigl(mesh):
    igl = pytest.importorskip("igl")
    V, F = mesh
    area = igl.PER_VERTEX_NORMALS_WEIGHTING_TYPE_AREA
    np.testing.assert_allclose(vertex_normals(V, F), igl.per_vertex_normals(V, F, area), atol=1e-14)
    np.testing.assert_allclose(face_normals(V, F), igl.per_face_normals(V, F, np.zeros(3)), atol=1e-14)


@meshes
def test_normals_rotate_and_mirror_with_the_mesh(mesh):
    V, F = mesh
    R = rotation()
    for normals in (vertex_normals, face_normals):
        np.testing.assert_allclose(normals(V @ R.T + 7, F), normals(V, F) @ R.T, atol=1e-12)
        np.testing.assert_allclose(normals(*mirrored(V, F)), normals(V, F) * [-1, 1, 1], atol=1e-14)
        np.testing.assert_allclose(normals(V, F[:, ::-1]), -normals(V, F), atol=1e-14)


@meshes
def test_normals_are_permuted_with_the_vertices(mesh):
    V, F = mesh
    V2, F2, order = shuffled(V, F)
    np.testing.assert_allclose(vertex_normals(V2, F2), vertex_normals(V, F)[order], atol=1e-14)


@meshes
@pytest.mark.parametrize("scale", SCALES)
def test_result_does_not_depend_on_the_unit(mesh, scale):
    V, F = mesh
    np.testing.assert_allclose(vertex_normals(scale * V, F), vertex_normals(V, F), atol=1e-14)
    np.testing.assert_allclose(face_normals(scale * V, F), face_normals(V, F), atol=1e-14)


@pytest.mark.parametrize("scale", SCALES)
def test_degenerate_triangles_have_a_zero_normal(scale):
    V = scale * np.array([[0.1, 0.1, 0.1], [0.2, 0.2, 0.2], [0.7, 0.7, 0.7], [0.1, 0.1, 0.1]])
    for face in ([0, 1, 2], [0, 0, 1], [2, 2, 2], [0, 3, 1], [1, 2, 0]):
        np.testing.assert_array_equal(face_normals(V, [face]), np.zeros((1, 3)))
        np.testing.assert_array_equal(vertex_normals(V, [face]), np.zeros((4, 3)))


def test_a_thin_triangle_is_not_degenerate():
    V = [[0, 0, 0], [100, 0, 0], [50, 1e-3, 0]]
    np.testing.assert_allclose(face_normals(V, [[0, 1, 2]]), [[0, 0, 1]])


def test_empty_meshes_give_empty_arrays():
    assert face_normals(np.zeros((0, 3)), np.zeros((0, 3), int)).shape == (0, 3)
    np.testing.assert_array_equal(vertex_normals(np.ones((2, 3)), np.zeros((0, 3), int)), np.zeros((2, 3)))


def test_input_is_converted_and_not_modified():
    V, F = grid(4)
    V32, F32 = np.asfortranarray(V, np.float32), np.asfortranarray(F, np.int32)
    before = V32.copy(), F32.copy()
    np.testing.assert_array_equal(vertex_normals(V32, F32), vertex_normals(V, F))
    np.testing.assert_array_equal(V32, before[0])
    np.testing.assert_array_equal(F32, before[1])


def test_results_repeat_bit_for_bit():
    np.testing.assert_array_equal(vertex_normals(*OPEN), vertex_normals(*OPEN))
