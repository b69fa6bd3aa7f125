import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegeom.geometry import NearestFinder, nearest
from operator_meshes import SCALES, icosphere, rotation


def slow_nearest(points, queries):
    squared = np.zeros((len(queries), len(points)))
    for k in range(points.shape[1]):  # summed over the coordinates in order, as documented
        squared += (queries[:, k, None] - points[None, :, k]) ** 2
    index = squared.argmin(axis=1)  # the lowest index if several are equal
    return index, np.sqrt(squared[np.arange(len(queries)), index])


def clouds():
    rng = np.random.default_rng(5)
    for d in range(1, 9):
        yield f"random{d}", rng.normal(size=(700, d)), rng.normal(size=(300, d)) * 1.5
    lattice = np.stack(np.meshgrid(*[np.arange(9.0)] * 3), -1).reshape(-1, 3)
    yield "lattice_ties", rng.permutation(lattice), rng.integers(-2, 22, (400, 3)) / 2
    yield "duplicates", rng.integers(0, 3, (500, 2)).astype(float), rng.integers(0, 4, (200, 2)).astype(float)
    yield "all_equal", np.ones((100, 3)), rng.normal(size=(20, 3))
    yield (
        "line",
        np.stack([np.arange(200.0), 2 * np.arange(200.0), 0 * np.arange(200.0)], 1),
        rng.normal(size=(99, 3)) * 99,
    )
    yield "one_point", np.array([[1.0, 2.0]]), rng.normal(size=(5, 2))
    yield "queries_are_points", lattice, lattice[::-1]
    yield "no_queries", lattice, np.zeros((0, 3))
    yield "far_queries", rng.normal(size=(300, 3)), 1e9 + rng.normal(size=(50, 3))


CLOUDS = list(clouds())


@pytest.mark.parametrize(("points", "queries"), [c[1:] for c in CLOUDS], ids=[c[0] for c in CLOUDS])
@pytest.mark.parametrize("scale", SCALES)
def test_is_bit_identical_to_the_exhaustive_search(points, queries, scale):
    points, queries = scale * points, scale * queries
    index, distance = nearest(points, queries)
    expected_index, expected_distance = slow_nearest(points, queries)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(distance, expected_distance)
    assert index.dtype == np.int64


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_equals_the_exhaustive_search_on_any_point_cloud(data):
    d = data.draw(st.integers(1, 4))
    number = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32))
    row = st.lists(number, min_size=d, max_size=d)
    points = np.array(data.draw(st.lists(row, min_size=1, max_size=60)))
    queries = np.array(data.draw(st.lists(row, min_size=1, max_size=10)))
    index, distance = nearest(points, queries)
    expected_index, expected_distance = slow_nearest(points, queries)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(distance, expected_distance)


def test_known_nearest_points_on_a_line_and_a_sphere():
    index, distance = nearest([[0, 0, 0], [10, 0, 0]], [[4, 3, 0], [6, 0, 0]])
    np.testing.assert_array_equal(index, [0, 1])
    np.testing.assert_array_equal(distance, [5, 4])
    V, _ = icosphere(3, 50.0)
    np.testing.assert_allclose(nearest(V, 1.2 * V)[1], 10)
    np.testing.assert_array_equal(nearest(V, 1.2 * V)[0], np.arange(len(V)))


def test_equals_scipy():
    spatial = pytest.importorskip("scipy.spatial")
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(5000, 3)), rng.normal(size=(2000, 3))
    distance, index = spatial.cKDTree(points).query(queries)
    ours = nearest(points, queries)
    np.testing.assert_array_equal(ours[0], index)
    np.testing.assert_allclose(ours[1], distance, rtol=1e-14)


def test_result_does_not_depend_on_rotation():
    rng = np.random.default_rng(1)
    points, queries, R = rng.normal(size=(800, 3)), rng.normal(size=(200, 3)), rotation()
    here, there = nearest(points, queries), nearest(points @ R.T, queries @ R.T)
    np.testing.assert_array_equal(here[0], there[0])
    np.testing.assert_allclose(here[1], there[1], rtol=1e-12)
    mirror = nearest(points * [-1, 1, 1], queries * [-1, 1, 1])
    np.testing.assert_array_equal(mirror[0], here[0])


def test_indices_are_permuted_with_the_points():
    rng = np.random.default_rng(1)
    points, queries = rng.normal(size=(800, 3)), rng.normal(size=(200, 3))
    order = rng.permutation(800)
    np.testing.assert_array_equal(order[nearest(points[order], queries)[0]], nearest(points, queries)[0])


def test_result_does_not_depend_on_the_order_of_queries():
    rng = np.random.default_rng(2)
    points, queries = rng.integers(0, 5, (300, 3)).astype(float), rng.integers(0, 10, (200, 3)) / 2
    finder = NearestFinder(points)
    order = rng.permutation(200)
    np.testing.assert_array_equal(finder.nearest(queries[order])[0], finder.nearest(queries)[0][order])
