"""Shapes without position, orientation and size, changes of shape, and skin lightness."""

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.measures.persons import correlation_interval, intraclass_correlation
from facegeom.measures.shapes import Changes, ShapeSpace, correlations, rms_mm, slopes
from facegeom.measures.skin import CHEEKS, cheek_lightness, means_by_lightness


@pytest.fixture(scope="module")
def space() -> ShapeSpace:
    return ShapeSpace(load_face_model())


def test_a_moved_turned_and_scaled_face_has_the_same_displacement(space: ShapeSpace):
    model = load_face_model()
    V = model.vertices(np.random.default_rng(0).normal(0, 0.8, 60))
    c, s = np.cos(0.4), np.sin(0.4)
    moved = 1.7 * V @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + (5, -30, 8)
    assert space.displacement(moved) == pytest.approx(space.displacement(V), abs=1e-9)
    assert space.displacement(model.mean) == pytest.approx(np.zeros((len(space.vertices), 3)), abs=1e-9)


def test_coefficients_of_a_face_are_found_again(space: ShapeSpace):
    true = np.random.default_rng(1).normal(0, 0.3, 60)
    found = space.coefficients(space.displacement(load_face_model().vertices(true)))
    assert found == pytest.approx(true, abs=0.06)  # the similarity is removed exactly, from the basis to first order


def test_distances_of_coordinates_are_rms_distances(space: ShapeSpace):
    model, rng = load_face_model(), np.random.default_rng(2)
    shapes = np.stack([space.displacement(model.vertices(rng.normal(0, 1, 60))) for _ in range(2)])
    first, second = space.coordinates(shapes)
    assert np.linalg.norm(first - second) == pytest.approx(float(rms_mm(shapes[0] - shapes[1])), rel=0.03)


def test_an_answer_of_half_the_change_has_slope_one_half(space: ShapeSpace):
    model, rng = load_face_model(), np.random.default_rng(3)
    changes = Changes.none(space)
    for _ in range(6):
        true = space.displacement(model.vertices(rng.normal(0, 0.5, 60)))
        changes.add(0.5 * true, true)
    errors = changes.errors()
    assert errors.slope == pytest.approx(np.full(60, 0.5))
    assert errors.correlation == pytest.approx(np.ones(60))
    assert errors.error_mm == pytest.approx(0.5 * errors.unchanged_mm)
    assert errors.summary()["pairs"] == 6


def test_no_pair_is_an_error(space: ShapeSpace):
    with pytest.raises(ValueError, match="no pair"):
        Changes.none(space).errors()


def test_slope_goes_through_zero_and_correlation_does_not():
    true = np.array([[1.0], [2.0], [3.0]])
    assert slopes(true + 1, true) == pytest.approx([(1 * 2 + 2 * 3 + 3 * 4) / 14])
    assert correlations(true + 1, true) == pytest.approx([1.0])
    assert correlations(np.ones((3, 1)), true) == pytest.approx([0.0])


def test_interval_of_the_correlation_contains_it_and_shrinks_with_the_people():
    rng = np.random.default_rng(4)
    widths = []
    for people in (20, 320):
        person = np.repeat(np.arange(people), 4)
        shapes = rng.normal(size=(people, 3))[person] + rng.normal(size=(len(person), 3))
        low, high = correlation_interval(shapes, person)
        assert low < intraclass_correlation(shapes, person) < high
        widths.append(high - low)
    assert widths[1] < 0.4 * widths[0]


def test_interval_of_equal_photos_is_one():
    person = np.repeat(np.arange(5), 2)
    shapes = np.random.default_rng(5).normal(size=(5, 4))[person]
    assert correlation_interval(shapes, person) == pytest.approx((1.0, 1.0))


def landmarks68(yaw_deg: float = 0.0) -> np.ndarray:
    model = load_face_model()
    y = np.radians(yaw_deg)
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return (model.mean[model.landmarks68] @ turn.T)[:, :2] * (1, -1) + 120


def test_lightness_of_the_cheeks_is_that_of_their_colour():
    for level, expected in ((0, 0.0), (119, 50.0), (255, 100.0)):
        photo = np.zeros((240, 240, 3), np.uint8)
        photo[110:180] = level  # eyes and chin stay black
        assert cheek_lightness(photo, landmarks68()) == pytest.approx(expected, abs=0.5)


def test_the_hidden_cheek_is_not_used():
    points = landmarks68(55.0)  # the nose points to the right: the right cheek of the person is seen
    photo = np.zeros((240, 240, 3), np.uint8)
    photo[:, : int(points[list(CHEEKS[0]), 0].max())] = 255
    assert cheek_lightness(photo, points) == pytest.approx(100.0, abs=0.5)


def test_cheeks_outside_the_photo_have_no_lightness():
    assert np.isnan(cheek_lightness(np.zeros((50, 50, 3), np.uint8), landmarks68() + 500))


def test_means_are_taken_in_each_bin():
    bins = means_by_lightness([1.0, 3.0, 5.0, 7.0], [20.0, 49.0, 65.0, np.nan])
    assert bins["dark"] == {"photos": 2, "mean": 2.0}
    assert bins["light"] == {"photos": 1, "mean": 5.0}
    assert bins["medium"]["photos"] == 0
    assert np.isnan(bins["medium"]["mean"])
