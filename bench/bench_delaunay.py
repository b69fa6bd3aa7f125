"""Delaunay triangulation of points in the plane, compared with SciPy (Qhull)."""

import numpy as np
import pytest

from facegeom.geometry import delaunay

spatial = pytest.importorskip("scipy.spatial")


def grid(side):
    x, y = np.meshgrid(np.arange(float(side)), np.arange(float(side)))
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def face_pixels(side):
    """Return the pixels of an ellipse in an image of side x side pixels."""
    points = grid(side)
    return points[np.hypot((points[:, 0] / side - 0.5) / 0.75, points[:, 1] / side - 0.5) < 0.44]


def make_points(distribution, count):
    rng = np.random.default_rng(0)
    side = round(count**0.5)
    if distribution == "jittered":
        return grid(side) + rng.uniform(-0.4, 0.4, (side * side, 2))
    if distribution == "clusters":
        return rng.normal(size=(count, 2)) * 0.01 + rng.integers(0, 4, (count, 1)) * [1.0, 0.3]
    return {
        "uniform": lambda: rng.random((count, 2)),
        "normal": lambda: rng.normal(size=(count, 2)),
        "grid": lambda: grid(side),
        "grid of tenths": lambda: grid(side) * 0.1,
        "face pixels": lambda: face_pixels(round((count / 0.456) ** 0.5)),
    }[distribution]()


def edges(F):
    """Return the edges, each once, as sorted pairs of vertices."""
    pairs = np.sort(np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]]), axis=1)
    return np.unique(pairs.astype(np.int64), axis=0)


def area(points, F):
    """Return the signed areas, positive for counter-clockwise triangles."""
    (x0, y0), (x1, y1), (x2, y2) = (points[F[:, k]].T for k in range(3))
    return ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)) / 2


DISTRIBUTIONS = ["uniform", "jittered", "normal", "clusters", "grid", "grid of tenths", "face pixels"]
CASES = [(name, count) for count in (6500, 65536) for name in DISTRIBUTIONS] + [("jittered", 262144)]


@pytest.mark.parametrize("library", ["facegeom", "scipy"])
@pytest.mark.parametrize(("distribution", "count"), CASES)
def test_delaunay(distribution, count, library, measure):
    points = make_points(distribution, count)
    calls = {"facegeom": lambda: delaunay(points), "scipy": lambda: spatial.Delaunay(points).simplices}
    F, other = measure(f"delaunay, {distribution}, {count} points", library, calls)
    # SciPy leaves out slivers along the hull of the grid of tenths, and its triangles have both orientations.
    np.testing.assert_allclose(np.abs(area(points, F)).sum(), np.abs(area(points, other)).sum(), rtol=1e-9)
    if library == "facegeom":
        assert area(points, F).min() > 0
    if distribution in ("uniform", "jittered", "normal"):
        np.testing.assert_array_equal(edges(F), edges(other))
