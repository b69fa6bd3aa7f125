"""Distances between surfaces, compared with brute force, SciPy and closed forms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_region
from facegeom.measures.mesh_metrics import (
    EMD_POINTS,
    SlicedWasserstein,
    cloud_distances,
    earth_movers_distance,
    sample_surface,
)
from meshes import uv_sphere

SQUARE = np.array([[0, 0, 0], [4, 0, 0], [4, 1, 0], [0, 1, 0.0]]), np.array([[0, 1, 2], [0, 2, 3]])


@pytest.fixture
def clouds() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(0, 10, (300, 3)), rng.normal(2, 9, (200, 3))


def test_sampled_points_are_uniform_over_the_area() -> None:
    V, F = SQUARE
    drawn = sample_surface(V, F, 40_000)
    low, high = drawn.points.min(axis=0), drawn.points.max(axis=0)
    assert (low >= 0).all()
    assert (high <= (4, 1, 0)).all()
    counts = np.histogram2d(drawn.points[:, 0], drawn.points[:, 1], (8, 4), ((0, 4), (0, 1)))[0]
    assert np.abs(counts - 40_000 / 32).max() < 5 * np.sqrt(40_000 / 32)
    assert (drawn.normals == (0, 0, 1)).all()


def test_number_of_points_per_triangle_is_proportional_to_its_area() -> None:
    V = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 9], [3, 0, 9], [0, 3, 9], [5, 5, 5.0]])
    F = np.array([[0, 1, 2], [6, 6, 6], [3, 5, 4]])
    drawn = sample_surface(V, F, 10_000)
    assert not (drawn.face == 1).any()
    assert (drawn.face == 2).mean() == pytest.approx(0.9, abs=0.01)
    np.testing.assert_allclose(drawn.points[drawn.face == 2, 2], 9)
    assert (drawn.normals[drawn.face == 2] == (0, 0, -1)).all()


def test_normals_of_a_sphere_point_outward() -> None:
    V, F = uv_sphere()
    drawn = sample_surface(V, F, 500)
    assert ((drawn.points * drawn.normals).sum(axis=1) > 0.98).all()


def test_sample_depends_on_the_seed_only() -> None:
    V, F = uv_sphere()
    first, again, other = (sample_surface(V, F, 50, seed=seed).points for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not (first == other).any()


def test_sampling_needs_a_triangle_with_an_area() -> None:
    with pytest.raises(ValueError, match="area above 0, got 0 triangles without area"):
        sample_surface(np.zeros((3, 3)), np.zeros((0, 3), np.int64), 5)
    with pytest.raises(ValueError, match="area above 0, got 1 triangles without area"):
        sample_surface(np.zeros((3, 3)), [[0, 1, 2]], 5)


def test_chamfer_distances_agree_with_scipy(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    P, Q = clouds
    there, back = cKDTree(Q).query(P)[0], cKDTree(P).query(Q)[0]
    found = cloud_distances(P, Q)
    assert found.chamfer_mean == pytest.approx(there.mean() + back.mean())
    assert found.chamfer_sum == pytest.approx(there.sum() + back.sum())
    assert found.chamfer_squared_mean == pytest.approx((there**2).mean() + (back**2).mean())
    assert found.chamfer_squared_sum == pytest.approx((there**2).sum() + (back**2).sum())


def test_swapping_the_clouds_swaps_the_distances(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    there, back = cloud_distances(*clouds), cloud_distances(*clouds[::-1])
    np.testing.assert_array_equal(there.to_truth, back.to_predicted)
    assert there.chamfer_mean == pytest.approx(back.chamfer_mean)
    assert there.f_score(3.0) == pytest.approx(back.f_score(3.0))


@pytest.mark.parametrize("tau", [1.0, 3.0, 8.0])
def test_f_score_agrees_with_brute_force(clouds: tuple[np.ndarray, np.ndarray], tau: float) -> None:
    P, Q = clouds
    near = np.linalg.norm(P[:, None] - Q[None], axis=2) <= tau
    precision, recall = near.any(axis=1).mean(), near.any(axis=0).mean()
    expected = 2 / (1 / precision + 1 / recall)
    assert cloud_distances(P, Q).f_score(tau) == pytest.approx(expected)


def test_f_score_of_distant_clouds_is_zero_and_of_equal_clouds_one() -> None:
    cloud = np.eye(3)
    assert cloud_distances(cloud, cloud + 100).f_score(2.0) == 0.0
    assert cloud_distances(cloud, cloud).f_score(1e-9) == 1.0
    with pytest.raises(ValueError, match="tau must be above 0"):
        cloud_distances(cloud, cloud).f_score(0.0)


def test_chamfer_distance_of_a_shifted_plane_is_twice_the_shift() -> None:
    V, F = SQUARE
    drawn = sample_surface(V, F, 20_000)
    lifted = sample_surface(V + np.array([0, 0, 0.5]), F, 20_000, seed=1)
    found = cloud_distances(lifted.points, drawn.points)
    assert found.chamfer_mean == pytest.approx(1.0, rel=1e-3)
    assert found.chamfer_squared_mean == pytest.approx(0.5, rel=1e-3)
    assert found.f_score(0.49) == 0.0
    assert found.f_score(0.52) > 0.99


def test_empty_cloud_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        cloud_distances(np.zeros((0, 3)), np.zeros((4, 3)))


def test_earth_movers_distance_is_the_minimum_over_all_permutations() -> None:
    rng = np.random.default_rng(1)
    P, Q = rng.normal(size=(2, 6, 3))
    best = min(np.linalg.norm(P - Q[list(order)], axis=1).mean() for order in permutations(range(6)))
    assert earth_movers_distance(P, Q) == pytest.approx(best)


def test_earth_movers_distance_of_a_shuffled_and_translated_cloud_is_the_translation() -> None:
    rng = np.random.default_rng(2)
    P = rng.normal(size=(60, 3))
    assert earth_movers_distance(P, rng.permutation(P)) == pytest.approx(0.0, abs=1e-12)
    assert earth_movers_distance(P, rng.permutation(P) + np.array([50, 0, 0])) == pytest.approx(50.0, rel=1e-3)


def test_earth_movers_distance_depends_on_the_density_and_the_chamfer_distance_does_not() -> None:
    ends = np.array([[0, 0, 0], [10, 0, 0.0]])
    even, crowded = np.repeat(ends, (5, 5), axis=0), np.repeat(ends, (9, 1), axis=0)
    assert cloud_distances(crowded, even).chamfer_mean == 0.0
    assert earth_movers_distance(crowded, even) == pytest.approx(4.0)


def test_earth_movers_distance_of_two_samples_of_a_surface_is_above_zero() -> None:
    V, F = uv_sphere()
    first, second = (sample_surface(V, F, EMD_POINTS, seed=seed).points for seed in (0, 1))
    assert 0.02 < earth_movers_distance(first, second) < 0.2


def test_earth_movers_distance_needs_clouds_of_equal_size() -> None:
    with pytest.raises(ValueError, match=r"second must have shape \(3, 3\), got \(2, 3\)"):
        earth_movers_distance(np.zeros((3, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="at least one point"):
        earth_movers_distance(np.zeros((0, 3)), np.zeros((0, 3)))


def test_sliced_distance_is_the_exact_one_on_a_line() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 40, 1)) * (3.0, 0.0, 0.0)
    share = SlicedWasserstein(np.zeros((1, 3))).distance(np.array([[1.0, 0, 0]]))  # mean of |cos| over the directions
    assert share == pytest.approx(0.5, abs=0.01)
    exact = earth_movers_distance(first, second)
    assert SlicedWasserstein(first).distance(second) == pytest.approx(share * exact, rel=1e-3)


def test_sliced_distance_does_not_depend_on_the_order_and_is_half_of_a_translation() -> None:
    rng = np.random.default_rng(4)
    cloud = rng.normal(size=(500, 3))
    measure = SlicedWasserstein(cloud)
    assert measure.distance(rng.permutation(cloud)) == pytest.approx(0.0, abs=1e-6)
    for shift in np.eye(3) * 8:
        assert measure.distance(cloud + shift) == pytest.approx(4.0, abs=0.05)


def test_sliced_distance_needs_clouds_of_equal_size() -> None:
    with pytest.raises(ValueError, match=r"other must have shape \(3, 3\), got \(2, 3\)"):
        SlicedWasserstein(np.zeros((3, 3))).distance(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="at least one point"):
        SlicedWasserstein(np.zeros((0, 3)))


def test_sliced_distance_tells_half_an_error_from_a_whole_one() -> None:
    """On 20 people: the true face, a face with half of the mean face's error, the mean face."""
    model, rng = load_face_model(), np.random.default_rng(5)
    region = face_region(model)
    for person in range(20):
        face = model.vertices(rng.normal(0, 0.8, 60))
        measure = SlicedWasserstein(sample_surface(face, region, 30_000, seed=3 * person).points)
        right, half, mean = (
            measure.distance(sample_surface(V, region, 30_000, seed=3 * person + 1).points)
            for V in (face, 0.5 * (face + model.mean), model.mean)
        )
        assert right < half < mean
