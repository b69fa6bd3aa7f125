import numpy as np
import pytest

from facegeom.geometry import maps_to_mesh, vertex_normals
from meshes import check_mesh
from operator_meshes import SCALES


def maps(height=9, width=12, depth=None):
    y, x = np.mgrid[:height, :width].astype(float)
    return np.stack([x, -y, np.zeros_like(x) if depth is None else depth], axis=-1)


def slow_count(xyz, mask, max_edge):
    """Number of triangles, from an exhaustive search over both diagonals of each block."""
    total = 0
    for y in range(mask.shape[0] - 1):
        for x in range(mask.shape[1] - 1):
            if not mask[y : y + 2, x : x + 2].all():
                continue
            a, b, c, d = xyz[y, x], xyz[y, x + 1], xyz[y + 1, x], xyz[y + 1, x + 1]

            def short(*corners):
                return all(
                    np.linalg.norm(p - q) <= max_edge for p, q in zip(corners, np.roll(corners, 1, 0), strict=True)
                )

            total += max(short(a, c, d) + short(a, d, b), short(a, c, b) + short(b, c, d))
    return total


def test_a_full_map_has_a_vertex_for_each_pixel_and_two_triangles_for_each_block():
    xyz = maps()
    mesh = maps_to_mesh(xyz, np.ones((9, 12), bool), xyz)
    check_mesh(mesh.V, mesh.F, closed=False, facing=(0, 0, 1))
    assert len(mesh.F) == 2 * 8 * 11
    np.testing.assert_array_equal(mesh.V, xyz.reshape(-1, 3))
    np.testing.assert_array_equal(mesh.E, mesh.V)
    np.testing.assert_array_equal(mesh.pixel, np.stack([mesh.V[:, 0], -mesh.V[:, 1]], axis=1))


def test_holes_remain_and_nan_outside_the_mask_is_ignored():
    mask = np.ones((9, 12), bool)
    mask[4, 5] = False
    xyz = np.where(mask[..., None], maps(), np.nan)
    mesh = maps_to_mesh(xyz, mask, xyz[..., :1])
    check_mesh(mesh.V, mesh.F, closed=False)
    assert len(mesh.V) == mask.sum()
    assert len(mesh.F) == 2 * (8 * 11 - 4)
    assert mesh.E.shape == (mask.sum(), 1)


def test_no_triangle_crosses_a_depth_step():
    depth = np.zeros((9, 12))
    depth[:, 6:] = 50.0
    mesh = maps_to_mesh(maps(depth=depth), np.ones((9, 12), bool), maps(), 10.0)
    assert len(mesh.V) == 9 * 12
    assert len(mesh.F) == 2 * 8 * 10
    assert np.ptp(mesh.V[mesh.F][:, :, 2], axis=1).max() == 0


def test_a_spike_removes_only_its_own_triangles():
    depth = np.zeros((9, 12))
    depth[4, 5] = 50.0
    mesh = maps_to_mesh(maps(depth=depth), np.ones((9, 12), bool), maps(), 10.0)
    assert len(mesh.V) == 9 * 12 - 1
    assert len(mesh.F) == 2 * 8 * 11 - 4  # each of the four blocks keeps the triangle without the spike
    check_mesh(mesh.V, mesh.F, closed=False)


@pytest.mark.parametrize("scale", SCALES)
def test_equals_the_exhaustive_search_at_any_scale(scale):
    rng = np.random.default_rng(3)
    mask = rng.uniform(size=(20, 30)) < 0.9
    xyz = scale * maps(20, 30, rng.uniform(0, 3, (20, 30)))
    mesh = maps_to_mesh(xyz, mask, xyz, 2.5 * scale)
    assert len(mesh.F) == slow_count(xyz, mask, 2.5 * scale)
    assert len(np.unique(mesh.F)) == len(mesh.V)
    assert (np.linalg.norm(vertex_normals(mesh.V, mesh.F), axis=1) > 0.99).all()
    x, y = mesh.pixel.T
    np.testing.assert_array_equal(mesh.V, xyz[y, x])


@pytest.mark.parametrize("shape", [(0, 0), (1, 7), (5, 1), (0, 4)])
def test_maps_without_a_block_give_an_empty_mesh(shape):
    mesh = maps_to_mesh(np.zeros((*shape, 3)), np.ones(shape, bool), np.zeros((*shape, 2)))
    assert mesh.V.shape == (0, 3)
    assert mesh.F.shape == (0, 3)
    assert mesh.E.shape == (0, 2)
    assert mesh.pixel.shape == (0, 2)


def test_infinite_max_edge_keeps_all_triangles():
    depth = np.random.default_rng(0).normal(0, 1e6, (6, 6))
    mesh = maps_to_mesh(maps(6, 6, depth), np.ones((6, 6), bool), depth[..., None], np.inf)
    assert len(mesh.F) == 50
