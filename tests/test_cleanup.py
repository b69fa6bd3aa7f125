"""Removal of spikes and small components."""

import numpy as np
import pytest

import meshes
from facegeom.geometry import connected_components, depth_to_mesh, remove_spikes


def map_mesh(relief, size=96):
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    mask = np.hypot(x / 0.8, y) < 0.42
    mesh = depth_to_mesh(relief(x * 200, y * 200), mask, scale=size / 200, vertex_count=2000)
    return mesh.V, mesh.F


def smooth_relief(x, y):
    return 60 - 0.008 * (x**2 + y**2) + 25 * np.exp(-((x / 9) ** 2) - (y / 25) ** 2)


@pytest.mark.parametrize("name", meshes.ALL)
def test_regular_meshes_lose_no_triangle(name):
    V, F = meshes.ALL[name]()
    kept = remove_spikes(V, F)
    np.testing.assert_array_equal(kept.V, V)
    np.testing.assert_array_equal(kept.F, F)
    np.testing.assert_array_equal(kept.vertices, np.arange(len(V)))


def test_a_smooth_relief_loses_no_triangle():
    V, F = map_mesh(smooth_relief)
    assert len(remove_spikes(V, F).F) == len(F)


def test_only_the_triangles_across_a_30_mm_step_are_removed():
    V, F = map_mesh(lambda x, y: smooth_relief(x, y) - 30 * (y > 20))
    jump = np.ptp(V[F][:, :, 2] - smooth_relief(V[F][:, :, 0], V[F][:, :, 1]), axis=1) > 15
    assert jump.sum() > 30
    kept = remove_spikes(V + np.array([0, 0, 7]), F)
    assert len(kept.F) >= len(F) - 2 * jump.sum()
    assert np.ptp(kept.V[kept.F][:, :, 2], axis=1).max() < 25
    assert connected_components(kept.F, len(kept.V)).max() == 1  # both sides are large
    meshes.check_mesh(kept.V, kept.F, closed=False)


def test_single_spikes_are_removed():
    V, F = map_mesh(smooth_relief)
    tips = [100, 700, 1500]
    spiked = V.copy()
    spiked[tips, 2] += [40, -60, 300]
    kept = remove_spikes(spiked, F)
    assert not np.isin(tips, kept.vertices).any()
    assert len(F) - len(kept.F) == np.isin(F, tips).any(axis=1).sum()


def test_steep_slopes_are_kept():
    """A slope of 70 degrees (2.7 mm of depth per mm), as at the side of a nose."""
    V, F = map_mesh(lambda x, y: np.clip(2.7 * (25 - np.abs(x)), 0, 40))
    assert len(remove_spikes(V, F).F) == len(F)


def test_small_components_are_removed():
    V, F = meshes.square(20)
    W, G = meshes.square(3)
    both = np.concatenate([W / 7 + 5, V]), np.concatenate([G, F + len(W)])
    kept = remove_spikes(*both)
    np.testing.assert_array_equal(kept.vertices, np.arange(len(V)) + len(W))
    np.testing.assert_array_equal(kept.F, F)
    assert len(remove_spikes(*both, min_component=0.02).F) == len(F) + len(G)


def test_of_two_fans_that_share_only_a_vertex_the_smaller_is_removed():
    V, F = meshes.square(4)
    extra = np.array([[-1, -1, 0], [0, -1, 0.0]]) * 0.3
    kept = remove_spikes(np.concatenate([V, extra]), np.concatenate([F, [[0, len(V), len(V) + 1]]]), min_component=0)
    np.testing.assert_array_equal(kept.F, F)


def test_triangles_of_zero_area_are_removed():
    V, F = meshes.square(4)
    kept = remove_spikes(V, np.concatenate([F, [[3, 3, 4], [0, 1, 2]]]))
    np.testing.assert_array_equal(kept.F, F)


def test_infinite_factors_switch_the_tests_off():
    V, F = map_mesh(smooth_relief)
    V[100, 2] += 500
    assert len(remove_spikes(V, F, area_factor=np.inf, edge_factor=np.inf, min_component=0).F) == len(F)
    assert len(remove_spikes(V, F, area_factor=np.inf).F) < len(F)
    assert len(remove_spikes(V, F, edge_factor=np.inf).F) < len(F)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_result_does_not_depend_on_scale_rotation_and_reflection(scale):
    V, F = map_mesh(lambda x, y: smooth_relief(x, y) - 30 * (y > 20))
    kept = remove_spikes(V, F)
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1.0]])
    np.testing.assert_array_equal(remove_spikes(scale * V @ turn, F).F, kept.F)
    np.testing.assert_array_equal(remove_spikes(V * [-1, 1, 1], F[:, ::-1]).F, kept.F[:, ::-1])


def test_result_does_not_depend_on_the_order_of_triangles():
    V, F = map_mesh(lambda x, y: smooth_relief(x, y) - 30 * (y > 20))
    order = np.random.default_rng(0).permutation(len(F))
    kept = {tuple(f) for f in remove_spikes(V, F).F.tolist()}
    assert {tuple(f) for f in remove_spikes(V, F[order]).F.tolist()} == kept


@pytest.mark.parametrize("count", [0, 3])
def test_a_mesh_without_triangles_gives_an_empty_mesh(count):
    kept = remove_spikes(np.zeros((count, 3)), np.zeros((0, 3), int))
    assert [len(part) for part in kept] == [0, 0, 0]


def test_triangles_that_share_only_a_vertex_are_not_connected():
    _, F = meshes.tetrahedron()
    touching = np.where(F == 0, 0, F + 3)
    np.testing.assert_array_equal(connected_components(np.concatenate([F, touching]), 7), [0] * 4 + [1] * 4)
    assert connected_components(np.zeros((0, 3), int), 0).shape == (0,)


def test_components_agree_with_scipy():
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    V, F = meshes.torus(40, 30)
    F = F[rng.random(len(F)) < 0.6]
    edges = np.sort(np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]]), axis=1)
    _, edge = np.unique(edges, axis=0, return_inverse=True)
    owner = np.tile(np.arange(len(F)), 3)
    graph = sparse.coo_matrix(
        (np.ones(len(owner)), (owner, edge.ravel() + len(F))), shape=[len(F) + edge.max() + 1] * 2
    )
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    _, first = np.unique(label[: len(F)], return_index=True)
    ours = connected_components(F, len(V))
    assert ours.max() + 1 == len(first)
    pairs = set(zip(ours.tolist(), label[: len(F)].tolist(), strict=True))
    assert len(pairs) == len(first)
    assert (np.diff(np.unique(ours, return_index=True)[1]) > 0).all(), "numbered in order of appearance"
