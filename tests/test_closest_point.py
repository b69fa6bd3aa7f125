import numpy as np
import pytest

from facegeom.geometry import closest_points
from operator_meshes import MESHES, SCALES, icosphere, rotation

meshes = pytest.mark.parametrize("mesh", [m for _, m in MESHES], ids=[name for name, _ in MESHES])


def queries(V, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(V.min(axis=0) - 1, V.max(axis=0) + 1, (60, V.shape[1]))


def slow_distance(V, F, query):
    """Smallest distance to a triangle, from the projections onto its plane and its edges."""
    best = np.inf
    for a, b, c in V[F]:
        A = np.stack([b - a, c - a], axis=1)
        v, w = np.linalg.lstsq(A, query - a, rcond=None)[0]
        if v >= 0 and w >= 0 and v + w <= 1:
            best = min(best, np.linalg.norm(a + A @ [v, w] - query))
        for p, q in ((a, b), (b, c), (c, a)):
            t = np.clip((query - p) @ (q - p) / max((q - p) @ (q - p), 1e-300), 0, 1)
            best = min(best, np.linalg.norm(p + t * (q - p) - query))
    return best


@meshes
def test_equals_the_exhaustive_search(mesh):
    V, F = mesh
    Q = queries(V)[:6]
    found = closest_points(V, F, Q)
    np.testing.assert_allclose(found.distance, [slow_distance(V, F, q) for q in Q], atol=1e-12)
    assert found.weights.min() >= 0
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-12)
    on_surface = np.einsum("qk,qkd->qd", found.weights, V[F[found.face]])
    np.testing.assert_allclose(np.linalg.norm(on_surface - Q, axis=1), found.distance, atol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 4, 6, 8])
def test_works_in_dimensions_other_than_three(dimension):
    rng = np.random.default_rng(dimension)
    V = rng.normal(size=(40, dimension))
    F = rng.integers(0, 40, (60, 3))  # some are degenerate
    Q = rng.normal(size=(20, dimension))
    np.testing.assert_allclose(closest_points(V, F, Q).distance, [slow_distance(V, F, q) for q in Q], atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_result_does_not_depend_on_rigid_motion_and_unit(scale):
    V, F = icosphere(3)
    Q = queries(V)
    R = rotation()
    found, moved = closest_points(V, F, Q), closest_points(scale * V @ R.T, F, scale * Q @ R.T)
    np.testing.assert_allclose(moved.distance, scale * found.distance, rtol=1e-9)
    # On a shared edge, rounding may select either triangle; the point is the same.
    places = [np.einsum("qk,qkd->qd", f.weights, V[F[f.face]]) for f in (found, moved)]
    np.testing.assert_allclose(places[1], places[0], atol=1e-7)


def test_of_equally_close_triangles_the_lowest_index_is_returned_for_any_previous_query():
    V = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    F = np.array([[0, 1, 2]] * 9)
    assert closest_points(V, F, [[0.2, 0.2, 1], [5, 5, 5], [-1, -1, 0]]).face.tolist() == [0, 0, 0]


def test_no_queries_give_empty_arrays():
    V, F = icosphere(0)
    found = closest_points(V, F, np.zeros((0, 3)))
    assert found.face.shape == (0,)
    assert found.weights.shape == (0, 3)
