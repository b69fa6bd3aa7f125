import numpy as np
import pytest
import trimesh

import meshes
from facegeom.geometry import subdivide, vertex_normals
from operator_meshes import OPEN, SCALES, grid, icosphere, mirrored, one_rings, outline, rotation, shuffled


def slow_loop(V, F):
    """Reference implementation of Loop's rules with a dict from edges to their triangles."""
    edges = {}
    for f in F.tolist():
        for k in range(3):
            edges.setdefault(tuple(sorted((f[k - 1], f[k - 2]))), []).append(f[k])
    rings = one_rings(F, len(V))
    old = V.copy()
    for i, ring in enumerate(rings):
        crease = [j for j in ring if len(edges[tuple(sorted((i, j)))]) != 2]
        if len(crease) == 2:
            old[i] = 0.75 * V[i] + 0.125 * V[crease].sum(axis=0)
        elif not crease and ring:
            k = len(ring)
            beta = (5 / 8 - (3 / 8 + np.cos(2 * np.pi / k) / 4) ** 2) / k
            old[i] = (1 - k * beta) * V[i] + beta * V[sorted(ring)].sum(axis=0)
    new = [
        3 / 8 * (V[a] + V[b]) + 1 / 8 * V[opposite].sum(axis=0) if len(opposite) == 2 else (V[a] + V[b]) / 2
        for (a, b), opposite in sorted(edges.items())
    ]
    return np.concatenate([old, new])


def test_midpoint_subdivision_does_not_change_the_surface():
    V, F = OPEN
    fine = subdivide(V, F, "midpoint")
    np.testing.assert_array_equal(fine.V[: len(V)], V)
    np.testing.assert_allclose(fine.V, V[fine.parents].mean(axis=1))
    area = trimesh.Trimesh(V, F, process=False).area
    assert trimesh.Trimesh(fine.V, fine.F, process=False).area == pytest.approx(area)


@pytest.mark.parametrize("scheme", ["loop", "midpoint"])
def test_every_triangle_becomes_four_that_share_edges(scheme):
    V, F = OPEN
    fine = subdivide(V, F, scheme)
    edges = len(np.unique(np.sort(F[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0))
    assert fine.V.shape == (len(V) + edges, 3)
    assert fine.F.shape == (4 * len(F), 3)
    meshes.check_mesh(fine.V, fine.F)
    np.testing.assert_array_equal(fine.F[0::4, 0], F[:, 0])
    np.testing.assert_array_equal(fine.F[1::4, 1], F[:, 1])
    np.testing.assert_array_equal(fine.F[2::4, 2], F[:, 2])
    assert len(outline(fine.F)) == 2 * len(outline(F))
    np.testing.assert_array_equal(fine.parents[: len(V)], np.arange(len(V))[:, None].repeat(2, axis=1))
    ends = fine.parents[len(V) :]
    assert (ends[:, 0] < ends[:, 1]).all()
    np.testing.assert_array_equal(ends, sorted(ends.tolist()))


@pytest.mark.parametrize("mesh", [OPEN, icosphere(1), grid(4, seed=1, relief=2.0)], ids=["open", "sphere", "grid"])
def test_loop_equals_the_reference_implementation(mesh):
    V, F = mesh
    np.testing.assert_allclose(subdivide(V, F).V, slow_loop(V, F), atol=1e-13)


def test_loop_equals_trimesh_on_a_closed_mesh():
    V, F = icosphere(2)
    peer, _ = trimesh.remesh.subdivide_loop(V, F, iterations=1)
    distance = np.linalg.norm(subdivide(V, F).V[:, None] - peer[None], axis=2).min(axis=1)
    assert distance.max() < 1e-12


def test_loop_keeps_a_plane_and_its_straight_outline():
    V, F = grid(6, seed=0)
    fine = subdivide(V, F)
    assert np.abs(fine.V[:, 2]).max() == 0
    np.testing.assert_allclose([fine.V.min(axis=0)[:2], fine.V.max(axis=0)[:2]], [[0.0, 0.0], [5.0, 5.0]], atol=0.2)
    side = fine.V[np.unique(outline(fine.F))]
    assert (np.isclose(side, 0) | np.isclose(side, 5)).any(axis=1).all()


def test_loop_makes_an_icosahedron_nearly_spherical():
    V, F = icosphere(0)
    for _ in range(4):
        V, F, _ = subdivide(V, F)
    radius = np.linalg.norm(V, axis=1)
    assert np.ptp(radius) / radius.mean() < 0.03
    assert (np.einsum("ij,ij->i", vertex_normals(V, F), V) > 0.99 * radius).all()


def test_an_edge_of_three_triangles_is_a_crease():
    V = np.array([[0.0, 0, 0], [2, 0, 0], [1, 2, 0], [1, -1, 2], [1, -1, -2]])
    F = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    fine = subdivide(V, F)
    shared = np.flatnonzero((fine.parents == [0, 1]).all(axis=1))
    np.testing.assert_array_equal(fine.V[shared], [[1.0, 0, 0]])
    np.testing.assert_array_equal(fine.V[:2], V[:2])  # four creases meet at these vertices


@pytest.mark.parametrize("scheme", ["loop", "midpoint"])
@pytest.mark.parametrize("scale", SCALES)
def test_result_follows_rigid_motion_and_scale(scheme, scale):
    V, F = OPEN
    R = rotation()
    fine = subdivide(V, F, scheme)
    np.testing.assert_allclose(subdivide(scale * V @ R.T, F, scheme).V, scale * fine.V @ R.T, atol=1e-12 * scale)
    np.testing.assert_allclose(subdivide(*mirrored(V, F), scheme).V, fine.V * [-1, 1, 1], atol=1e-14)
    V2, F2, order = shuffled(V, F)
    np.testing.assert_allclose(subdivide(V2, F2, scheme).V[: len(V)], fine.V[: len(V)][order], atol=1e-14)


def test_vertices_without_triangles_and_empty_meshes():
    V = np.concatenate([OPEN[0], [[5.0, 6, 7]]])
    np.testing.assert_array_equal(subdivide(V, OPEN[1]).V[len(V) - 1], [5, 6, 7])
    empty = subdivide(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    assert (empty.V.shape, empty.F.shape, empty.parents.shape) == ((0, 3), (0, 3), (0, 2))
