"""The noise level of an image, on images with known noise."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom.images.noise_level import noise_level


def shaded(size: int = 128) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    return np.dstack([80 + 60 * x, 90 + 50 * y, 120 - 40 * x * y])


@pytest.mark.parametrize("level", [0.02, 0.05, 0.1])
def test_the_level_of_known_noise_is_found(level: float) -> None:
    image = shaded() + np.random.default_rng(0).normal(0, 255 * level, (128, 128, 3))
    assert noise_level(np.clip(np.rint(image), 0, 255).astype(np.uint8)) == pytest.approx(level, rel=0.06)


def test_strong_noise_is_more_than_weak_noise() -> None:
    rng = np.random.default_rng(1)
    found = [
        noise_level(np.clip(shaded() + rng.normal(0, 255 * level, (128, 128, 3)), 0, 255).astype(np.uint8))
        for level in (0.1, 0.25, 0.5)
    ]
    assert found == sorted(found)


def test_edges_and_clipped_areas_are_no_noise() -> None:
    image = shaded()
    image[:, 64:] += 90
    image[:20] = 255
    assert noise_level(np.clip(image, 0, 255).astype(np.uint8)) < 0.003
    assert noise_level(np.zeros((8, 8, 3), np.uint8)) == 0
