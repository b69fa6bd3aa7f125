"""The rasteriser: exact coverage, closed forms, and a slow reference implementation."""

import numpy as np
import pytest

import meshes
from facegeom.geometry import delaunay, rasterize


def reference(V, F, attributes, shape):
    """Rasterise each triangle over the whole image; coverage is correct if the products of coordinates are exact."""
    h, w = shape
    y, x = np.mgrid[:h, :w].astype(float)
    depth, triangle = np.full(shape, -np.inf), np.full(shape, -1)
    values = np.full((h, w, attributes.shape[1]), np.nan)
    for f, corners in enumerate(F):
        p = V[corners]
        area = (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[1, 1] - p[0, 1]) * (p[2, 0] - p[0, 0])
        if area == 0:
            continue
        inside, weights = np.ones(shape, bool), []
        for k in range(3):
            a, b = p[(k + 1) % 3], p[(k + 2) % 3]
            dx, dy = np.sign(area) * (b - a)[:2]
            side = dx * (y - a[1]) - dy * (x - a[0])
            inside &= (side > 0) | ((side == 0) & (dy < 0 or (dy == 0 and dx > 0)))
            weights.append(side / abs(area))
        weights = np.stack(weights, axis=-1)
        z = weights @ p[:, 2]
        nearer = inside & (z > depth)
        depth[nearer], triangle[nearer] = z[nearer], f
        values[nearer] = (weights @ attributes[corners])[nearer]
    return values, np.where(triangle < 0, np.nan, depth), triangle


def soup(rng, low, high, count=60):
    """Return triangles that share no vertex: on a shared edge, rounding would decide which triangle is nearer."""
    return rng.uniform(low, high, (3 * count, 3)), np.arange(3 * count).reshape(-1, 3)


@pytest.mark.parametrize("grain", [1, 4, 1024])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_reference_implementation(seed, grain):
    rng = np.random.default_rng(seed)
    V, F = soup(rng, -6, 38)
    V[:, :2] = np.round(V[:, :2] * grain) / grain
    attributes = rng.normal(size=(len(V), 2))
    raster = rasterize(V, F, attributes, (30, 33))
    values, depth, triangle = reference(V, F, attributes, (30, 33))
    np.testing.assert_array_equal(raster.triangle, triangle)
    np.testing.assert_allclose(raster.depth, depth, rtol=0, atol=1e-9)
    np.testing.assert_allclose(raster.attributes, values, rtol=0, atol=1e-9)


def test_a_plane_has_its_closed_form_depth_and_attributes():
    V = np.array([[-1, -1, 0], [40, -1, 0], [40, 40, 0], [-1, 40, 0]], float)
    V[:, 2] = 3 + 0.25 * V[:, 0] - 0.5 * V[:, 1]
    raster = rasterize(V, [[0, 1, 2], [2, 3, 0]], V, (20, 30))
    y, x = np.mgrid[:20, :30]
    np.testing.assert_allclose(raster.depth, 3 + 0.25 * x - 0.5 * y, atol=1e-13)
    np.testing.assert_allclose(raster.attributes, np.stack([x, y, raster.depth], axis=-1), atol=1e-13)


def test_a_sphere_shows_its_front_side():
    V, F = meshes.uv_sphere(96, 64)
    placed = np.column_stack([50 + 40 * V[:, 0], 50 - 40 * V[:, 1], 40 * V[:, 2]])
    raster = rasterize(placed, F, V, (101, 101))
    y, x = np.mgrid[:101, :101] - 50.0
    inside = np.hypot(x, y) < 39
    np.testing.assert_allclose(raster.depth[inside], np.sqrt(1600 - x[inside] ** 2 - y[inside] ** 2), atol=0.4)
    assert np.isnan(raster.depth[np.hypot(x, y) > 40]).all()
    normals = np.cross(placed[F[:, 1]] - placed[F[:, 0]], placed[F[:, 2]] - placed[F[:, 0]])
    assert (normals[raster.triangle[inside], 2] < 0).all()  # y pointing down reverses the orientation


def tiling(kind, size):
    """Return points whose triangulation covers the image; edges and corners are in numerically difficult positions."""
    rng = np.random.default_rng(len(kind))
    frame = np.array([[-9, -9], [size + 9, -9], [size + 9, size + 9], [-9, size + 9]], float)
    inner = {
        "random": rng.uniform(0, size, (60, 2)),
        "pixel centres": rng.integers(0, size, (40, 2)).astype(float),
        "tenths": rng.integers(0, 10 * size, (80, 2)) * 0.1,
        "bits off pixel centres": rng.integers(0, size, (40, 2)) * (1 + rng.integers(-2, 3, (40, 2)) * 2.0**-52),
        "thin": np.stack([rng.uniform(0, size, 50), size / 3 + rng.uniform(-1e-9, 1e-9, 50)], axis=1),
        "through pixels": rng.integers(0, size, (12, 2)) + rng.integers(-3, 4, (12, 2)) / 3,
        "diagonal": np.stack([np.linspace(0, size, 40)] * 2, axis=1),
    }[kind]
    return np.concatenate([inner, frame])


@pytest.mark.parametrize(
    "kind", ["random", "pixel centres", "tenths", "bits off pixel centres", "thin", "through pixels", "diagonal"]
)
def test_each_pixel_belongs_to_exactly_one_triangle_of_a_tiling(kind):
    size = 24
    points = tiling(kind, size)
    F = delaunay(points)
    V = np.column_stack([points, np.zeros(len(points))])
    flipped = np.where(np.arange(len(F))[:, None] % 2 == 0, F, F[:, ::-1])  # alternating orientations
    covered = sum((rasterize(V, f[None], None, (size, size)).triangle >= 0).astype(int) for f in flipped)
    assert (covered == 1).all()


def test_pixels_on_left_and_top_edges_belong_to_the_triangle():
    square = np.array([[2, 1, 0], [6, 1, 0], [6, 5, 0], [2, 5, 0.0]])
    covered = rasterize(square, [[0, 1, 2], [0, 2, 3]], None, (8, 8)).triangle >= 0
    expected = np.zeros((8, 8), bool)
    expected[1:5, 2:6] = True
    np.testing.assert_array_equal(covered, expected)


def test_the_nearer_triangle_is_visible_and_at_equal_depth_the_lower_index():
    V = np.array([[0, 0, 1], [9, 0, 1], [0, 9, 1], [0, 0, 2], [9, 0, 2], [0, 9, 2]], float)
    front, back = [3, 4, 5], [0, 1, 2]
    for F, winner in (([back, front], 1), ([front, back], 0), ([back, back, front, front], 2)):
        triangle = rasterize(V, F, None, (9, 9)).triangle
        assert set(np.unique(triangle)) == {-1, winner}


def test_intersecting_triangles_are_each_visible_where_nearer():
    V = np.array([[-1, -1, 0], [30, -1, 31], [-1, 30, 0], [-1, -1, 10], [30, -1, 10], [-1, 30, 10]], float)
    raster = rasterize(V, [[0, 1, 2], [3, 4, 5]], None, (12, 14))
    x = np.mgrid[:12, :14][1]
    np.testing.assert_allclose(raster.depth, np.maximum(x + 1, 10), atol=1e-12)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotated_mesh_gives_the_rotated_image(turns):
    V, F = soup(np.random.default_rng(1), 0, 31)
    straight = rasterize(V, F, None, (32, 32)).depth
    turned = V.copy()
    for _ in range(turns):
        turned[:, :2] = np.stack([turned[:, 1], 31 - turned[:, 0]], axis=1)
    np.testing.assert_allclose(np.rot90(straight, turns), rasterize(turned, F, None, (32, 32)).depth, atol=1e-11)


def test_a_mirrored_mesh_gives_the_mirrored_image():
    V, F = soup(np.random.default_rng(1), 0, 31)
    mirrored = rasterize(V * [-1, 1, 1] + [31, 0, 0], F, V, (32, 32))
    straight = rasterize(V, F, V, (32, 32))
    np.testing.assert_array_equal(mirrored.triangle, straight.triangle[:, ::-1])
    np.testing.assert_allclose(mirrored.attributes, straight.attributes[:, ::-1], atol=1e-11)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_depth_and_attributes_scale(scale):
    V, F = soup(np.random.default_rng(1), 0, 31)
    plain = rasterize(V, F, V, (32, 32))
    scaled = rasterize(V * [1, 1, scale], F, V * scale, (32, 32))
    np.testing.assert_array_equal(plain.triangle, scaled.triangle)
    np.testing.assert_allclose(scaled.depth, plain.depth * scale, rtol=1e-12)
    np.testing.assert_allclose(scaled.attributes, plain.attributes * scale, rtol=1e-12)


def test_huge_triangles_and_triangles_far_outside_the_image():
    V = np.array(
        [[-1e12, -1e12, 1], [1e12, -1e12, 1], [0, 1e12, 1], [1e9, 1e9, 5], [1e9 + 9, 1e9, 5], [1e9, 1e9 + 9, 5]]
    )
    raster = rasterize(V, [[0, 1, 2], [3, 4, 5]], None, (5, 7))
    assert (raster.triangle == 0).all()
    np.testing.assert_allclose(raster.depth, 1)


def test_a_nearly_horizontal_edge():
    V = np.array([[0, 0, 0], [10, 1e-310, 0], [5, 5, 0]], float)
    assert (rasterize(V, [[0, 1, 2]], None, (8, 12)).triangle[1, 1:9] == 0).all()


def test_depth_in_a_thin_triangle_stays_between_its_corners():
    V = np.array([[0, 3, 1], [30, 3 + 1e-13, 2], [15, 3 + 1e-13, 5]], float)
    depth = rasterize(V, [[0, 1, 2]], None, (6, 31)).depth
    seen = depth[np.isfinite(depth)]
    assert (seen >= 1).all()
    assert (seen <= 5).all()


def test_a_mesh_without_triangles_gives_an_empty_image():
    raster = rasterize(np.zeros((0, 3)), np.zeros((0, 3), int), None, (4, 5))
    assert raster.attributes.shape == (4, 5, 0)
    assert np.isnan(raster.depth).all()
    assert (raster.triangle == -1).all()
    line = rasterize([[0, 0, 0], [2, 2, 0], [4, 4, 0]], [[0, 1, 2]], None, (5, 5))
    assert (line.triangle == -1).all()


def test_result_types_and_shapes_and_unmodified_input():
    V, F = meshes.cap()
    V = V * 10 + 12
    before = V.copy()
    raster = rasterize(V, F, V, (30, 40))
    assert raster.attributes.shape == (30, 40, 3)
    assert raster.attributes.dtype == raster.depth.dtype == np.float64
    assert raster.triangle.dtype == np.int64
    np.testing.assert_array_equal(V, before)
    again = rasterize(V, F, V, (30, 40))
    np.testing.assert_array_equal(raster.depth, again.depth)
