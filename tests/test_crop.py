"""Crops: pixel centres, anti-aliasing and borders."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom.images.crop import Crop, apply_affine, crop_affine, crop_box, crop_image, invert_affine, warp_image


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the colours of a smooth picture at x, y; a shift by half a pixel changes them by up to 5."""
    return np.stack([127 + 100 * np.sin(x / 9.0) * np.cos(y / 11.0), 127 + 100 * np.cos(x / 10.0), 0 * x], axis=-1)


def picture(height: int = 300, width: int = 400) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.rint(waves(x, y)).astype(np.uint8)


def test_crop_of_the_whole_image_at_its_size_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_image(image, (-0.5, -0.5, 31.5, 31.5), 32), image)


def test_halving_averages_blocks_of_four() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    blocks = image.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(crop_image(image, (-0.5, -0.5, 63.5, 63.5), 32), blocks, atol=0.51)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((50, 40, 250, 240), 100),
        ((50.3, 40.2, 150.3, 140.2), 128),
        ((10, 10, 290, 290), 64),
        ((100, 100, 110, 110), 128),
    ],
    ids=["half", "enlarged", "reduced", "far enlarged"],
)
def test_crop_pixels_agree_with_the_affine_map(box: tuple[float, ...], size: int) -> None:
    crop = crop_image(picture(), box, size)
    rows, columns = np.mgrid[:size, :size]
    places = apply_affine(invert_affine(crop_affine(box, size)), np.column_stack([columns.ravel(), rows.ravel()]))
    error = crop.reshape(-1, 3) - waves(places[:, 0], places[:, 1])
    assert np.abs(error).max() < 2.5
    assert np.abs(error).mean() < 0.6


def test_outside_the_photo_is_black() -> None:
    white = np.full((50, 50, 3), 255, np.uint8)
    crop = crop_image(white, (-25.5, -0.5, 24.5, 49.5), 50)
    assert not crop[:, :24].any()
    assert (crop[:, 26:] == 255).all()
    assert not crop_image(white, (500, 500, 600, 600), 16).any()


def test_the_angle_turns_the_content_counter_clockwise() -> None:
    place = apply_affine(crop_affine((0, 0, 10, 10), 10, angle=90.0), [[9.5, 5.0]])
    np.testing.assert_allclose(place, [[4.5, 0.0]], atol=1e-9)


def test_large_photos_are_cropped_beyond_opencvs_limit() -> None:
    image = np.zeros((4, 40_000, 3), np.uint8)
    image[:, 39_990:] = 200
    assert crop_image(image, (39_989.5, -3.5, 39_999.5, 6.5), 10)[4].min() == 200


def test_crop_box_is_square_around_the_centre() -> None:
    assert crop_box((10, 20, 30, 60), 2.0) == (-10.0, 10.0, 50.0, 70.0)
    assert crop_box((10, 20, 30, 60, 0.9), 2.0) == (-10.0, 10.0, 50.0, 70.0)  # a detector's score may follow


def test_a_crop_maps_points_to_the_photo_and_back() -> None:
    image = picture()
    crop = Crop.of(image, (50.0, 40.0, 130.0, 120.0), 64, angle=30.0)
    assert crop.size == 64
    np.testing.assert_array_equal(crop.image, warp_image(image, crop.affine, 64))
    centre = np.array([[31.5, 31.5]])
    np.testing.assert_allclose(crop.to_photo(centre), [[90.0, 80.0]])
    points = np.random.default_rng(0).uniform(0, 200, (20, 2))
    np.testing.assert_allclose(crop.to_photo(crop.to_crop(points)), points)
