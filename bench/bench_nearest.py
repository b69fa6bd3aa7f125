"""Nearest neighbours among points, compared with SciPy's k-d tree."""

import numpy as np
import pytest

from facegeom.geometry import nearest

spatial = pytest.importorskip("scipy.spatial")


def points_and_queries(cloud, V):
    rng = np.random.default_rng(1)
    if cloud == "random":
        return rng.uniform(size=(2, len(V), 3))
    if cloud == "random, 8-d":
        return rng.uniform(size=(2, 3000, 8))
    queries = V + rng.normal(0, 1, V.shape)
    if cloud == "embedding, 6-d":
        return np.c_[V, 0.3 * V[:, ::-1]], np.c_[queries, 0.3 * queries[:, ::-1]]
    return V, queries


@pytest.mark.parametrize("library", ["facegeom", "scipy cKDTree"])
@pytest.mark.parametrize("cloud", ["surface", "embedding, 6-d", "random", "random, 8-d"])
def test_nearest(mesh, cloud, library, measure):
    size, V, _ = mesh
    if cloud == "random, 8-d" and size != "29k":
        pytest.skip("has 3,000 points whatever the mesh")
    points, queries = points_and_queries(cloud, V)
    calls = {
        "facegeom": lambda: nearest(points, queries)[1],
        "scipy cKDTree": lambda: spatial.cKDTree(points).query(queries)[0],
    }
    name = "3k points" if cloud == "random, 8-d" else f"{size} points"
    distance, other = measure(f"nearest, {cloud}, {name}", library, calls)
    np.testing.assert_allclose(distance, other, rtol=1e-12)
