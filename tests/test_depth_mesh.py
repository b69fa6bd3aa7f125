"""Meshes from depth maps."""

from pathlib import Path

import numpy as np
import pytest

from facegeom.geometry import connected_components, depth_to_mesh, rasterize
from meshes import check_mesh, euler_characteristic

SIZES = [64, 96, 128, 192, 256, 512]


def oval(size, radius=0.42, lean=0.75):
    """Return an oval mask like a frontal face, and pixel coordinates from its centre in units of the map's side."""
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    return np.hypot(x / lean, y) < radius, x, y


def face_like(size):
    """Return the depth in mm of an ellipsoid with a nose, on an oval mask, at size / 200 pixels per mm."""
    mask, x, y = oval(size)
    relief = 90 * np.sqrt(np.clip(1 - (x / 0.34) ** 2 - (y / 0.46) ** 2, 0, None))
    nose = 25 * np.exp(-((x / 0.05) ** 2) - (y / 0.12) ** 2)
    return np.where(mask, relief + nose, np.nan), mask, size / 200


@pytest.mark.parametrize("size", SIZES)
def test_vertex_count_and_size_do_not_depend_on_the_map_size(size):
    depth, mask, scale = face_like(size)
    V, F, pixel = depth_to_mesh(depth, mask, scale=scale)
    check_mesh(V, F, closed=False, facing=(0, 0, 1))
    assert abs(len(V) - 6500) < 130
    assert 10_000 <= len(F) <= 15_000
    assert euler_characteristic(V, F) == 1
    assert pixel.shape == (len(V), 2)


@pytest.mark.parametrize("size", SIZES)
def test_triangles_are_well_shaped_in_the_image(size):
    depth, mask, _ = face_like(size)
    _, F, pixel = depth_to_mesh(depth, mask)
    check_mesh(pixel * [1, -1], F)
    corners = pixel[F]
    ahead, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    cosine = (ahead * back).sum(2) / np.linalg.norm(ahead, axis=2) / np.linalg.norm(back, axis=2)
    smallest = np.degrees(np.arccos(cosine)).min(axis=1)
    assert np.percentile(smallest, 1) > 30
    assert smallest.min() > 15


@pytest.mark.parametrize("count", [500, 3000, 6500, 20000])
def test_the_requested_vertex_count_is_met(count):
    depth, mask, scale = face_like(256)
    assert abs(len(depth_to_mesh(depth, mask, scale=scale, vertex_count=count).V) - count) < 0.03 * count + 10


@pytest.mark.parametrize("scale", [1e-6, 0.7, 1e6])
def test_a_plane_remains_a_plane(scale):
    mask, x, y = oval(128)
    slope_x, slope_y = 0.6, -0.35  # mm per mm
    column, row = (x + 0.5) * 128 - 0.5, (y + 0.5) * 128 - 0.5
    depth = np.where(mask, 5 / scale + slope_x * column / scale - slope_y * row / scale, np.nan)
    V, _, pixel = depth_to_mesh(depth, mask, scale=scale, origin=(30, 40))
    np.testing.assert_allclose(V[:, 0], (pixel[:, 0] - 30) / scale)
    np.testing.assert_allclose(V[:, 1], (40 - pixel[:, 1]) / scale)
    expected = 5 / scale + slope_x * (V[:, 0] + 30 / scale) + slope_y * (V[:, 1] - 40 / scale)
    np.testing.assert_allclose(V[:, 2], expected, atol=1e-10 * np.abs(expected).max())


def test_depth_is_interpolated_bilinearly():
    depth, mask, _ = face_like(96)
    V, _, pixel = depth_to_mesh(depth, mask)
    x0, y0 = np.floor(pixel).astype(int).T
    u, v = (pixel - np.floor(pixel)).T
    value = (
        depth[y0, x0] * (1 - u) * (1 - v)
        + depth[y0, x0 + 1] * u * (1 - v)
        + depth[y0 + 1, x0] * (1 - u) * v
        + depth[y0 + 1, x0 + 1] * u * v
    )
    inner = np.isfinite(value)
    assert inner.mean() > 0.9
    np.testing.assert_allclose(V[inner, 2], value[inner], atol=1e-10)


@pytest.mark.parametrize("size", SIZES)
def test_covers_exactly_the_mask(size):
    depth, mask, _ = face_like(size)
    _, F, pixel = depth_to_mesh(depth, mask)
    covered = rasterize(np.column_stack([pixel, np.zeros(len(pixel))]), F, None, mask.shape).triangle >= 0
    assert (covered & mask).sum() / (covered | mask).sum() > 0.985
    known_nearby = np.zeros_like(mask)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            known_nearby |= np.roll(mask, (dy, dx), (0, 1))
    assert not (covered & ~known_nearby).any()


def test_the_outline_is_smoother_than_the_pixels():
    mask, _, _ = oval(128)
    _, F, pixel = depth_to_mesh(np.zeros(mask.shape), mask)
    edges = np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]])
    codes = edges[:, 0] * len(pixel) + edges[:, 1]
    border = edges[~np.isin(edges[:, 1] * len(pixel) + edges[:, 0], codes)]
    length = np.linalg.norm(pixel[border[:, 0]] - pixel[border[:, 1]], axis=1).sum()
    a, b = 0.42 * 128, 0.42 * 0.75 * 128
    ellipse = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    assert abs(length / ellipse - 1) < 0.02  # the outline of the pixels is 27 % longer


def test_holes_and_gaps_of_the_mask_remain_open():
    mask, x, y = oval(256)
    mask &= np.hypot(x + 0.1, y + 0.1) > 0.05
    mask &= np.hypot(x - 0.1, y + 0.1) > 0.02
    mask &= ~((np.abs(x) < 0.04) & (y > 0.1))  # a notch that the convex hull would fill
    V, F, pixel = depth_to_mesh(np.zeros(mask.shape), mask)
    check_mesh(V, F, closed=False, facing=(0, 0, 1))
    assert euler_characteristic(V, F) == -1  # a disc with two holes
    covered = rasterize(np.column_stack([pixel, np.zeros(len(pixel))]), F, None, mask.shape).triangle >= 0
    assert (covered & mask).sum() / (covered | mask).sum() > 0.98


def test_background_fills_the_convex_hull():
    mask, x, y = oval(128)
    mask &= np.hypot(x + 0.1, y + 0.1) > 0.08
    V, F, _ = depth_to_mesh(np.zeros(mask.shape), mask, background=True)
    check_mesh(V, F, closed=False, facing=(0, 0, 1))
    assert euler_characteristic(V, F) == 1
    assert len(F) > len(depth_to_mesh(np.zeros(mask.shape), mask).F)


def test_separate_parts_remain_separate():
    mask = np.zeros((100, 100), bool)
    mask[10:40, 10:40] = mask[41:80, 41:80] = True  # one pixel of background between the corners
    V, F, _ = depth_to_mesh(np.zeros(mask.shape), mask, vertex_count=2000)
    assert connected_components(F, len(V)).max() == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [16, 48, 128])
def test_any_mask_gives_a_mesh(size, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((size, size)) < (0.5, 0.8, 0.97)[seed % 3]
    if seed >= 3:  # smooth regions instead of random pixels
        mask = sum(np.roll(mask, (i, j), (0, 1)).astype(int) for i in range(3) for j in range(3)) > 5
    V, F, _ = depth_to_mesh(rng.random(mask.shape), mask, vertex_count=4000)
    check_mesh(V, F, facing=(0, 0, 1))


def test_a_full_mask_gives_vertices_inside_the_map():
    V, F, pixel = depth_to_mesh(np.zeros((40, 60)), np.ones((40, 60), bool), vertex_count=1000)
    check_mesh(V, F, closed=False, facing=(0, 0, 1))
    assert pixel.min() >= 0
    assert pixel.max(axis=0).tolist() == [59, 39]


@pytest.mark.parametrize(
    "mask",
    [np.zeros((20, 20), bool), np.zeros((0, 0), bool), np.eye(20, dtype=bool), np.eye(20, dtype=bool)[:, :1]],
    ids=["empty", "no pixels", "diagonal stroke", "one pixel"],
)
def test_a_mask_without_area_gives_an_empty_mesh(mask):
    V, F, pixel = depth_to_mesh(np.zeros(mask.shape), mask)
    assert V.shape == (0, 3)
    assert F.shape == (0, 3)
    assert pixel.shape == (0, 2)


def test_the_smallest_mask_with_area_gives_a_mesh():
    mask = np.zeros((8, 8), bool)
    mask[3:5, 3:5] = True
    V, F, _ = depth_to_mesh(np.full((8, 8), 2.0), mask)
    check_mesh(V, F, closed=False, facing=(0, 0, 1))
    np.testing.assert_allclose(V[:, 2], 2.0)


def test_a_mirrored_map_gives_the_same_number_of_vertices():
    depth, mask, scale = face_like(128)
    mesh = depth_to_mesh(depth, mask, scale=scale)
    mirrored = depth_to_mesh(depth[:, ::-1], mask[:, ::-1], scale=scale)
    assert abs(len(mesh.V) - len(mirrored.V)) < 65
    np.testing.assert_allclose(mesh.V[:, 2].mean(), mirrored.V[:, 2].mean(), rtol=5e-3)


def test_input_is_not_modified_and_results_repeat_exactly():
    depth, mask, scale = face_like(128)
    copy = depth.copy()
    first, second = depth_to_mesh(depth, mask, scale=scale), depth_to_mesh(depth, mask, scale=scale)
    np.testing.assert_array_equal(depth, copy)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.data
def test_the_surface_of_a_real_scan_is_preserved():
    scan = Path(__file__).parents[2] / "shared/data/scans/lee_perry_smith/head.obj"
    if not scan.exists():
        pytest.skip("no shared/data folder beside the repository")
    rows = [line.split() for line in scan.read_text().splitlines()]
    V = np.array([row[1:4] for row in rows if row[:1] == ["v"]], float)
    quads = np.array([[corner.split("/")[0] for corner in row[1:]] for row in rows if row[:1] == ["f"]], int) - 1
    F = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    low, high = V.min(axis=0), V.max(axis=0)
    scale = 240 / (high - low)[1]
    middle = (low + high) / 2
    placed = np.column_stack(
        [scale * (V[:, 0] - middle[0]) + 128, -scale * (V[:, 1] - middle[1]) + 128, scale * V[:, 2]]
    )
    raster = rasterize(placed, F, None, (256, 256))
    mesh = depth_to_mesh(raster.depth, raster.triangle >= 0)
    check_mesh(mesh.V, mesh.F, closed=False, facing=(0, 0, 1))
    assert 5000 <= len(mesh.V) <= 8000
    again = rasterize(np.column_stack([mesh.pixel, mesh.V[:, 2]]), mesh.F, None, (256, 256)).depth
    error = np.abs(again - raster.depth)
    assert np.nanmedian(error) < 0.1  # pixels; 0.8 pixels are a third of a per cent of the head's height
