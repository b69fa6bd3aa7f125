"""Error measures, compared with closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom.measures import metrics


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_landmark_error_is_the_mean_distance_over_the_root_of_the_box_area():
    truth = np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 2.0], [0.0, 2.0]])
    assert metrics.landmark_error(truth + np.array([3.0, 4.0]), truth) == pytest.approx(5.0 / 4.0)
    assert metrics.landmark_error(truth, truth) == 0.0


def test_landmark_error_of_some_points_is_normalised_by_the_box_of_all_points(rng: np.random.Generator):
    truth = rng.uniform(0, 100, (68, 2))
    moved = truth.copy()
    moved[:17] += 50.0
    size = np.sqrt(np.prod(np.ptp(truth, axis=0)))
    assert metrics.landmark_error(moved, truth, metrics.INNER_POINTS) == 0.0
    assert metrics.landmark_error(moved, truth) == pytest.approx(17 / 68 * 50 * np.sqrt(2) / size)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_landmark_error_does_not_depend_on_the_image_scale(rng: np.random.Generator, scale: float):
    truth, predicted = rng.uniform(0, 100, (2, 68, 2))
    expected = metrics.landmark_error(predicted, truth)
    assert metrics.landmark_error(scale * predicted, scale * truth) == pytest.approx(expected)


def test_landmark_error_refuses_a_flat_truth():
    flat = np.column_stack([np.arange(4.0), np.zeros(4)])
    with pytest.raises(ValueError, match="box of truth"):
        metrics.landmark_error(flat, flat)


def test_landmark_box_is_the_bounding_box():
    assert metrics.landmark_box([[3, 1], [1, 7], [2, 2.0]]).tolist() == [1, 1, 3, 7]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ((0, 0, 4, 2), 1.0),
        ((4, 0, 8, 2), 0.0),
        ((10, 10, 11, 11), 0.0),
        ((2, 0, 6, 2), 1 / 3),
        ((1, 0, 3, 2), 1 / 2),
    ],
    ids=["same", "touching", "apart", "half", "inside"],
)
def test_box_overlap(second: tuple[float, ...], expected: float):
    assert metrics.box_overlap((0, 0, 4, 2), second) == pytest.approx(expected)
    assert metrics.box_overlap(second, (0, 0, 4, 2)) == pytest.approx(expected)


def test_yaw_bins_are_half_open_and_the_last_has_no_upper_limit():
    errors = np.array([1.0, 3.0, 10.0, 20.0, 40.0])
    yaw = np.array([0.0, -29.9, 30.0, -60.0, 95.0])
    assert metrics.yaw_bin_means(errors, yaw) == pytest.approx([2.0, 10.0, 30.0, 14.0, 14.8])


def test_mean_of_bins_weights_bins_equally_and_total_mean_weights_photos_equally():
    errors = np.array([1.0, 1.0, 1.0, 4.0, 7.0])
    means = metrics.yaw_bin_means(errors, [0, 1, 2, 45, 75])
    assert means[3] == pytest.approx(4.0)
    assert means[4] == pytest.approx(2.8)


def test_empty_yaw_bin_is_nan():
    means = metrics.yaw_bin_means([1.0], [5.0])
    assert means[0] == 1.0
    assert np.isnan(means[1:4]).all()


def test_ransac_recovers_scale_and_shift_despite_outliers(rng: np.random.Generator):
    predicted = rng.uniform(-50, 50, 2000)
    truth = 1.7 * predicted - 12.0
    truth[:600] = rng.uniform(-90, 90, 600)
    scale, shift = metrics.ransac_scale_shift(predicted, truth, inlier=0.5)
    assert scale == pytest.approx(1.7, abs=2e-3)
    assert shift == pytest.approx(-12.0, abs=0.1)


def test_ransac_refines_by_least_squares_on_the_inliers(rng: np.random.Generator):
    predicted = rng.uniform(-50, 50, 500)
    truth = 0.8 * predicted + 5.0 + rng.normal(0, 0.2, 500)
    expected = np.polyfit(predicted, truth, 1)
    assert metrics.ransac_scale_shift(predicted, truth, inlier=10.0) == pytest.approx(tuple(expected))


def test_ransac_is_deterministic(rng: np.random.Generator):
    predicted, truth = rng.normal(size=(2, 300))
    first = metrics.ransac_scale_shift(predicted, truth, inlier=0.1)
    assert metrics.ransac_scale_shift(predicted, truth, inlier=0.1) == first


def test_ransac_never_inverts_the_depth():
    predicted = np.linspace(0, 10, 50)
    assert metrics.ransac_scale_shift(predicted, -predicted, inlier=0.1) == (0.0, -5.0)


def test_ransac_of_a_constant_returns_the_median():
    truth = np.array([1.0, 2.0, 9.0])
    assert metrics.ransac_scale_shift(np.ones(3), truth, inlier=0.1) == (0.0, 2.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0]), "at least 2"),
        (([1.0, 2.0], [1.0, 2.0, 3.0]), "predicted must have shape"),
        (([1.0, np.nan], [1.0, 2.0]), "finite"),
    ],
)
def test_ransac_rejects_bad_input(arguments: tuple[list[float], list[float]], message: str):
    with pytest.raises(ValueError, match=message):
        metrics.ransac_scale_shift(*arguments, inlier=1.0)


def ramp(size: int = 40) -> np.ndarray:
    y, x = np.indices((size, size))
    return x + 0.3 * np.sin(y / 5.0) * x


def test_depth_error_of_the_truth_scaled_and_shifted_is_zero():
    truth = ramp()
    scored = np.ones(truth.shape, bool)
    result, errors = metrics.aligned_depth_error(truth / 4.0 - 7.0, truth, scored)
    assert result.mean == pytest.approx(0.0, abs=1e-9)
    assert result.percentile90 == pytest.approx(0.0, abs=1e-9)
    assert result.scale == pytest.approx(4.0)
    assert result.shift == pytest.approx(28.0)
    assert result.coverage == 1.0
    assert result.depth_range == pytest.approx(np.ptp(truth))
    assert np.isfinite(errors).all()


def test_depth_error_is_in_percent_of_the_range_over_scored_pixels():
    truth = np.tile(np.linspace(0.0, 10.0, 101), (100, 1))
    truth[:, -1] = 999.0  # not scored, so it must not change the range
    scored = np.ones(truth.shape, bool)
    scored[:, -1] = False
    predicted = truth.copy()
    predicted[:10] += 2.0  # a tenth of the rows, outliers for an alignment within 3 % of the range
    result, errors = metrics.aligned_depth_error(predicted, truth, scored)
    assert result.depth_range == pytest.approx(9.9)
    assert result.mean == pytest.approx(0.1 * 100 * 2.0 / 9.9)
    assert result.median == pytest.approx(0.0, abs=1e-9)
    assert result.std == pytest.approx(100 * 2.0 / 9.9 * np.sqrt(0.1 * 0.9))
    assert np.isnan(errors[:, -1]).all()


def test_depth_coverage_is_the_share_of_scored_pixels_with_a_prediction():
    truth = ramp()
    predicted = truth.copy()
    predicted[:10] = np.nan
    scored = np.zeros(truth.shape, bool)
    scored[:20] = True
    result, errors = metrics.aligned_depth_error(predicted, truth, scored)
    assert result.coverage == pytest.approx(0.5)
    assert np.isnan(errors[:10]).all()
    assert np.isnan(errors[20:]).all()


def test_depth_error_without_a_prediction_is_nan_with_zero_coverage():
    truth = ramp()
    result, _ = metrics.aligned_depth_error(np.full(truth.shape, np.nan), truth, np.ones(truth.shape, bool))
    assert result.coverage == 0.0
    assert np.isnan(result.mean)


def test_depth_error_needs_a_finite_truth():
    with pytest.raises(ValueError, match="truth must be finite at all scored pixels"):
        metrics.aligned_depth_error(ramp(), np.full((40, 40), np.nan), np.ones((40, 40), bool))


def face_maps(size: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, x = np.indices((size, size), dtype=np.float64)
    depth = 100.0 - (x - 15) ** 2 / 4 - (y - 15) ** 2 / 9
    return depth, np.stack([x, -y, depth], axis=-1), (x - 15) ** 2 + (y - 15) ** 2 < 100


def test_map_error_of_the_truth_is_zero():
    depth, correspondence, mask = face_maps()
    error = metrics.map_error(depth, correspondence, mask, depth, correspondence, mask)
    assert error == metrics.MapError(0.0, 0.0, 1.0)


def test_map_error_ignores_a_depth_shift_but_not_a_scale():
    depth, correspondence, mask = face_maps()
    shifted = metrics.map_error(depth + 30.0, correspondence, mask, depth, correspondence, mask)
    assert shifted.depth == pytest.approx(0.0, abs=1e-9)
    scaled = metrics.map_error(1.2 * depth, correspondence, mask, depth, correspondence, mask)
    inside = depth[mask]
    expected = 100 * 0.2 * np.abs(inside - inside.mean()).mean() / np.ptp(inside)
    assert scaled.depth == pytest.approx(expected)


def test_map_error_uses_the_intersection_of_the_masks_only():
    depth, correspondence, mask = face_maps()
    half = mask.copy()
    half[:, 16:] = False
    wrong = np.where(half, depth, 1e6)
    wrong_places = np.where(half[..., None], correspondence + np.array([0.0, 3.0, 4.0]), np.nan)
    error = metrics.map_error(wrong, wrong_places, half, depth, correspondence, mask)
    assert error.depth == pytest.approx(0.0, abs=1e-9)
    assert error.correspondence == pytest.approx(5.0)
    assert error.overlap == pytest.approx(half.sum() / mask.sum())


def test_map_error_without_overlap_is_nan():
    depth, correspondence, mask = face_maps()
    error = metrics.map_error(depth, correspondence, ~mask, depth, correspondence, mask)
    assert np.isnan(error.depth)
    assert np.isnan(error.correspondence)
    assert error.overlap == 0.0


def test_bilinear_samples_of_a_plane_are_exact():
    y, x = np.indices((6, 9))
    plane = 2.0 * x - 3.0 * y
    places = np.array([[0.0, 0.0], [3.25, 4.75], [8.0, 5.0]])
    assert metrics.sample_bilinear(plane, places) == pytest.approx(2 * places[:, 0] - 3 * places[:, 1])


def test_bilinear_samples_are_nan_where_most_neighbours_are_missing():
    image = np.array([[1.0, np.nan], [1.0, np.nan]])
    values = metrics.sample_bilinear(image, [[0.4, 0.5], [0.6, 0.5], [-0.4, 0.0], [-0.6, 0.0]])
    assert values[[0, 2]] == pytest.approx([1.0, 1.0])
    assert np.isnan(values[[1, 3]]).all()
