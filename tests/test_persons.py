"""Measures of how far shapes tell people apart."""

import numpy as np
import pytest

from facegeom.measures.persons import intraclass_correlation, separation


def test_intraclass_correlation_is_the_share_of_variance_between_people() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(4000), 4)
    shapes = rng.normal(0, 2, (4000, 3))[person] + rng.normal(0, 1, (16000, 3))
    assert intraclass_correlation(shapes, person) == pytest.approx(4 / 5, abs=0.01)


def test_intraclass_correlation_does_not_depend_on_scale_and_place() -> None:
    rng = np.random.default_rng(1)
    person, shapes = np.repeat(np.arange(30), 2), rng.normal(size=(60, 5))
    assert intraclass_correlation(7 * shapes + 3, person) == pytest.approx(intraclass_correlation(shapes, person))


def test_people_with_different_numbers_of_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="same number of rows"):
        intraclass_correlation(np.zeros((3, 2)), np.array([0, 0, 1]))


def test_separation_of_people_far_apart() -> None:
    people = 100.0 * np.eye(5)
    result = separation(people, people + 0.1)
    assert result.rank1 == 1
    assert result.ratio < 0.01


def test_separation_of_shapes_that_say_nothing() -> None:
    rng = np.random.default_rng(2)
    result = separation(rng.normal(size=(300, 40)), rng.normal(size=(300, 40)))
    assert result.rank1 < 0.03
    assert result.ratio == pytest.approx(1, abs=0.05)
