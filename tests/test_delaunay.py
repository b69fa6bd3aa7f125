"""Delaunay triangulation: exact checks on small cases, SciPy on large ones."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegeom.geometry import delaunay


def orientation(a, b, c):
    return (a[0] - c[0]) * (b[1] - c[1]) - (a[1] - c[1]) * (b[0] - c[0])


def in_circle(a, b, c, d):
    rows = [(p[0] - d[0], p[1] - d[1]) for p in (a, b, c)]
    (ax, ay), (bx, by), (cx, cy) = rows
    return (
        (ax * ax + ay * ay) * (bx * cy - cx * by)
        + (bx * bx + by * by) * (cx * ay - ax * cy)
        + (cx * cx + cy * cy) * (ax * by - bx * ay)
    )


def check_exactly(points, F):
    """Assert with rational numbers that F is a Delaunay triangulation of the convex hull of the distinct points."""
    exact = [tuple(Fraction(v) for v in p) for p in np.asarray(points, float).tolist()]
    first = {}
    for i, p in enumerate(exact):
        first.setdefault(p, i)
    distinct = sorted(first.values())
    F = np.asarray(F)
    if len(F) == 0:
        a, *rest = distinct
        assert all(orientation(exact[a], exact[b], exact[c]) == 0 for b in rest for c in rest[:1])
        return
    assert sorted(set(F.ravel().tolist())) == distinct, "every distinct point, by its lowest index"
    opposite = {}
    for a, b, c in F.tolist():
        assert orientation(exact[a], exact[b], exact[c]) > 0
        for v, w, apex in ((a, b, c), (b, c, a), (c, a, b)):
            assert (v, w) not in opposite, "half-edge used twice"
            opposite[v, w] = apex
    border = {}
    for (v, w), apex in opposite.items():
        if (w, v) not in opposite:
            assert v not in border
            border[v] = w
        else:  # a triangulation that is Delaunay at every edge is Delaunay
            assert in_circle(exact[v], exact[w], exact[apex], exact[opposite[w, v]]) <= 0
    for v, w in border.items():
        u = border[w]
        assert orientation(exact[v], exact[w], exact[u]) >= 0, "the border is convex"
    start = v = next(iter(border))
    turns = 0
    while True:
        v = border[v]
        turns += 1
        if v == start:
            break
    assert turns == len(border), "one border"
    twice_hull = sum(exact[v][0] * exact[w][1] - exact[w][0] * exact[v][1] for v, w in border.items())
    assert twice_hull == sum(orientation(exact[a], exact[b], exact[c]) for a, b, c in F.tolist())
    assert len(F) == 2 * len(distinct) - 2 - len(border)


def grid(rows, cols):
    x, y = np.meshgrid(np.arange(float(cols)), np.arange(float(rows)))
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def edges(F):
    pairs = np.sort(np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]]), axis=1)
    return set(map(tuple, pairs.tolist()))


RNG = np.random.default_rng(7)
TURN = RNG.random(60) * 2 * np.pi


def corners_moved_by_ulps(*rows):
    """Return corners (x, y) of a square moved by units in the last place; rows are (x, y, ulps of x, ulps of y)."""
    x, y, dx, dy = np.array(rows).T
    return np.stack([x * (1 + dx * 2.0**-52), y * (1 + dy * 2.0**-52)], axis=1)


CASES = {
    "random": RNG.random((200, 2)),
    "normal": RNG.normal(size=(200, 2)),
    "jittered": grid(14, 14) + RNG.uniform(-0.4, 0.4, (196, 2)),
    "grid": grid(12, 15),
    "grid of tenths": grid(12, 12) * 0.1,
    "grid of thirds": grid(12, 12) / 3 - 1.7,
    "grid and one far point": np.concatenate([grid(10, 10), [[1e6, 0.5]]]),
    "grid with duplicates": np.concatenate([grid(6, 6), grid(6, 6)[::-1]]),
    "turned grid": grid(12, 12) @ np.array([[0.6, -0.8], [0.8, 0.6]]),
    "circle": np.stack([np.cos(TURN), np.sin(TURN)], axis=1),
    "circle and middle": np.concatenate([np.stack([np.cos(TURN), np.sin(TURN)], axis=1), [[0, 0]]]),
    "exact circle": np.array(
        [
            (s * a, t * b)
            for a, b in ((7, 24), (24, 7), (15, 20), (20, 15), (25, 0), (0, 25))
            for s in (1, -1)
            for t in (1, -1)
        ],
        float,
    ),
    "two clusters": np.concatenate([RNG.normal(size=(80, 2)) * 1e-3 + c for c in ((0, 0), (10, 1))]),
    "line and one point": np.concatenate([np.stack([np.arange(30.0), np.arange(30.0) / 3], axis=1), [[3, 5]]]),
    "nearly a line": np.stack([np.arange(60.0), np.arange(60.0) / 3 + RNG.integers(-1, 2, 60) * 1e-14], axis=1),
    "a few bits apart": 0.5 + RNG.integers(0, 24, (150, 2)) * 2.0**-53,
    "a few bits around one": 12.0 + RNG.integers(0, 9, (60, 2)) * 2.0**-49 + RNG.integers(0, 2, (60, 1)) * 7,
    "far from zero": 1e9 + grid(9, 9) * 1e-3 + RNG.uniform(-1e-4, 1e-4, (81, 2)),
    "wide range": np.exp(RNG.uniform(-30, 5, (120, 2))),
    # Points are inserted by rounded distance from the mean: here, one is inserted after the hull around it is complete.
    "late point on the border": corners_moved_by_ulps(
        (1, -1, 2, 0), (1, 1, -3, -8), (-1, 1, -4, -8), (-1, 1, -5, -8), (1, -1, 8, -8)
    ),
    "late points on the border": corners_moved_by_ulps(
        (-1, -1, 0, 0), (-1, 1, -5, 8), (-1, -1, 0, -1), (-1, 1, -7, -4), (1, 1, 6, -3), (-1, 1, 0, 4)
    ),
    "late point inside": corners_moved_by_ulps(
        (-1, 1, -1, 3), (1, -1, 3, 5), (-1, 1, 0, 4), (1, 1, -3, 0), (1, -1, -4, -5)
    ),
    "triangle": np.array([[0, 0], [0, 1.0], [1, 0]]),
    "vertical": np.array([[0, 0], [0, 1.0], [0, 2], [0, 3], [1e-9, 1.5]]),
    "ring of equal distances": np.concatenate(
        [np.stack([np.cos(t), np.sin(t)], axis=1) for t in RNG.random(12)[:, None] * 6 + RNG.random((12, 12)) * 1e-8]
    ),
}


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("name", CASES)
def test_is_delaunay_in_rational_arithmetic(name, scale):
    points = CASES[name] * scale
    F = delaunay(points)
    assert len(F) > 0
    check_exactly(points, F)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40),
    st.sampled_from([1.0, 0.1, 1 / 3, 1e-9]),
)
@settings(max_examples=200, deadline=None)
def test_is_delaunay_on_degenerate_lattices(points, step):
    points = np.array(points, float) * step
    check_exactly(points, delaunay(points))


@given(st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=3, max_size=30), st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_is_delaunay_for_points_a_few_ulps_from_equal_distances(bits, seed):
    rng = np.random.default_rng(seed)
    corner = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], float)[rng.integers(0, 4, len(bits))]
    points = corner * (1 + np.array(bits) * 2.0**-52)
    check_exactly(points, delaunay(points))


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 2)),
        [[1, 2]],
        [[1, 2], [3, 4]],
        np.ones((50, 2)),
        [[0, 0], [1, 1], [0, 0], [1, 1]],
        np.stack([np.arange(40), np.arange(40)], axis=1),
        np.stack([np.arange(40), np.zeros(40)], axis=1)[::-1] * 0.1,
        np.stack([np.arange(-20, 20), 3.0 * np.arange(-20, 20)], axis=1) * 2.0**-40,
    ],
    ids=["none", "one", "two", "one place", "two places", "diagonal", "horizontal", "steep"],
)
def test_too_few_or_collinear_points_give_no_triangles(points):
    F = delaunay(points)
    assert F.shape == (0, 3)
    assert F.dtype == np.int64


@pytest.mark.parametrize("kind", ["random", "jittered", "normal"])
def test_same_edges_as_scipy(kind):
    spatial = pytest.importorskip("scipy.spatial")
    rng = np.random.default_rng(11)
    points = {
        "random": rng.random((20000, 2)),
        "jittered": grid(140, 140) + rng.uniform(-0.4, 0.4, (19600, 2)),
        "normal": rng.normal(size=(20000, 2)),
    }[kind]
    F = delaunay(points)
    assert edges(F) == edges(spatial.Delaunay(points).simplices)
    area = np.array([orientation(*points[f].astype(float)) for f in F]).sum() / 2
    np.testing.assert_allclose(area, spatial.ConvexHull(points).volume, rtol=1e-12)


def test_covers_a_large_grid():
    F = delaunay(grid(200, 300))
    assert len(F) == 2 * 199 * 299


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e6, 1e9])
def test_scale_shift_and_rotation_keep_the_edges(scale):
    points = CASES["random"]
    turned = points @ np.array([[0.6, -0.8], [0.8, 0.6]])
    assert edges(delaunay(points * scale)) == edges(delaunay(points))
    assert edges(delaunay((turned + 0.25) * scale)) == edges(delaunay(points))


def test_mirrored_points_give_the_mirrored_edges():
    points = CASES["normal"]
    assert edges(delaunay(points * [-1, 1])) == edges(delaunay(points))


def test_permutation_keeps_the_edges():
    points = CASES["jittered"]
    order = np.random.default_rng(1).permutation(len(points))
    assert {tuple(sorted((order[a], order[b]))) for a, b in edges(delaunay(points[order]))} == edges(delaunay(points))


def test_of_equal_points_the_lowest_index_is_used():
    points = np.array([[5, 5], [0, 0], [1, 0], [0, 1], [1, 0], [0, 0], [-0.0, 0.0]])
    assert set(delaunay(points[1:]).ravel().tolist()) == {0, 1, 2}


def test_input_is_not_modified_and_results_repeat_exactly():
    points = CASES["two clusters"].copy()
    before = points.copy()
    assert (delaunay(points) == delaunay(points)).all()
    assert (points == before).all()


def test_accepts_integers_and_strided_arrays():
    points = np.array([[0, 0, 9], [4, 0, 9], [0, 4, 9], [1, 1, 9]])
    assert len(delaunay(points[:, :2])) == 3
