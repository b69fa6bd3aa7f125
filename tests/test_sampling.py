"""Bilinear sampling, distances inside a mask, nearest known pixels."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom.images.sampling import bilinear, distance_inside, looked_up, nearest_known


def test_bilinear_between_pixels_and_beyond_the_border() -> None:
    image = np.array([[[0, 0, 0], [100, 0, 0]], [[0, 200, 0], [100, 200, 0]]], np.uint8)
    np.testing.assert_allclose(bilinear(image, np.array([[0.25, 0.75], [9.0, -3.0]])), [[25, 150, 0], [100, 0, 0]])
    one = np.full((1, 1, 3), 7, np.uint8)
    np.testing.assert_allclose(bilinear(one, np.array([[0.0, 0.0], [5.0, 5.0]])), 7)


@pytest.mark.parametrize(("given", "found"), [("uint8", "float64"), ("float32", "float32"), ("float64", "float64")])
def test_bilinear_keeps_single_precision(given: str, found: str) -> None:
    assert bilinear(np.ones((3, 3, 2), given), np.array([[1.5, 0.5]])).dtype == found


def test_bilinear_samples_of_a_plane_are_exact() -> None:
    y, x = np.indices((6, 9))
    plane = 2.0 * x - 3.0 * y
    places = np.array([[0.0, 0.0], [3.25, 4.75], [8.0, 5.0]])
    expected = 2 * places[:, 0] - 3 * places[:, 1]
    assert bilinear(plane[..., None], places)[:, 0] == pytest.approx(expected)


def test_distance_inside_equals_the_brute_force_distance() -> None:
    rng = np.random.default_rng(3)
    mask = rng.random((40, 23)) < 0.97
    padded = np.pad(mask, 1)
    outside, every = np.argwhere(~padded), np.argwhere(np.ones_like(padded))
    expected = np.linalg.norm(every[:, None] - outside[None], axis=2).min(axis=1).reshape(padded.shape)
    np.testing.assert_allclose(distance_inside(mask), expected, rtol=1e-14)


def test_distance_inside_does_not_depend_on_the_place_in_memory() -> None:
    y, x = np.mgrid[-57:58, -57:58]
    mask = (x / 40) ** 2 + (y / 50) ** 2 < 1
    buffer = np.zeros(mask.size + 64, bool)
    results = set()
    for offset in range(64):
        view = buffer[offset : offset + mask.size].reshape(mask.shape)
        view[:] = mask
        results.add(distance_inside(view).tobytes())
    assert len(results) == 1


def test_nearest_known_of_known_pixels_is_the_pixel_itself() -> None:
    known = np.zeros((9, 12), bool)
    known[[2, 7], [3, 10]] = True
    found = nearest_known(known)
    assert set(np.unique(found)) == {2 * 12 + 3, 7 * 12 + 10}
    assert found[2, 3] == 2 * 12 + 3
    assert found[8, 11] == 7 * 12 + 10
    assert found[0, 0] == 2 * 12 + 3


def test_values_are_looked_up_as_bilinear_interpolation_gives_them() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(30, 20, 2)).astype(np.float32)
    places = rng.uniform(-5, 35, (9000, 2))  # more than one row of OpenCV's maps, and outside the image
    slope = np.abs(np.diff(image, axis=0)).max() + np.abs(np.diff(image, axis=1)).max()
    np.testing.assert_allclose(looked_up(image, places), bilinear(image, places), atol=slope / 64 + 1e-6)
    assert looked_up(image, np.zeros((0, 2))).shape == (0, 2)
