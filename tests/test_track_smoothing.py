"""The smoothers against known truth: noise, lag, blinks, rotations, gaps and irregular times."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from facegeom.tracking.smoothing import (
    OneEuro,
    OneEuroOptions,
    _solve,
    quaternions,
    rotation_matrices,
    smooth,
    smooth_rotations,
    unwrapped,
)

FPS = 30.0
TIMES = np.arange(150) / FPS


def rotations(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices of rotation vectors (n, 3), by their quaternions."""
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    axis = vectors / np.maximum(angle, 1e-12)
    return rotation_matrices(np.hstack([np.cos(0.5 * angle), np.sin(0.5 * angle) * axis]))


def bend(values: np.ndarray) -> float:
    return float(np.sqrt((np.diff(values, 2, axis=0) ** 2).mean()))


def test_constants_and_lines_are_not_changed() -> None:
    curves = np.column_stack([np.full(len(TIMES), 0.4), 0.1 + 0.2 * TIMES])
    np.testing.assert_allclose(smooth(TIMES, curves), curves, atol=1e-6)


def test_noise_at_rest_is_removed() -> None:
    noisy = 0.3 + np.random.default_rng(1).normal(0, 0.02, (len(TIMES), 8))
    found = smooth(TIMES, noisy)
    assert bend(found) < 0.12 * bend(noisy)
    assert np.abs(found - 0.3).mean() < 0.5 * np.abs(noisy - 0.3).mean()


def test_blinks_keep_their_peak() -> None:
    """A blink of 100 ms at 30 frames a second keeps 80 % of its peak on 95 % of 200 blinks."""
    rng = np.random.default_rng(2)
    phase = np.clip((TIMES[:60, None] - 1.0 - rng.uniform(-0.5, 0.5, 200) / FPS) / 0.1, -0.5, 0.5)
    true = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    found = smooth(TIMES[:60], true + rng.normal(0, 0.015, true.shape), noise=(2e-3, 0.02))
    assert (found.max(axis=0) >= 0.8 * true.max(axis=0)).mean() >= 0.95
    assert bend(found[:20]) < 0.2 * bend(rng.normal(0, 0.015, (20, 200)))


def test_speech_keeps_its_size_and_has_no_lag() -> None:
    rng = np.random.default_rng(3)
    true = 0.25 - 0.25 * np.cos(2 * np.pi * 4.0 * TIMES)[:, None]
    found = smooth(TIMES, true + rng.normal(0, 0.01, true.shape))
    inner = slice(5, -5)
    assert np.ptp(found[inner]) > 0.93 * np.ptp(true[inner])
    centred = true[inner] - true[inner].mean()
    correlations = [float((np.roll(found, -shift)[inner] * centred).sum()) for shift in (-1, 0, 1)]
    assert int(np.argmax(correlations)) == 1


def test_gaps_are_interpolated_and_their_values_ignored() -> None:
    line = (0.1 + 0.2 * TIMES)[:, None]
    seen = np.ones(len(TIMES), bool)
    seen[40:55] = seen[:5] = False
    damaged = np.where(seen[:, None], line, 9.0)
    found = smooth(TIMES, damaged, seen)
    np.testing.assert_allclose(found[5:], line[5:], atol=1e-3)
    assert found[:5].max() < 0.2


def test_irregular_times_are_respected() -> None:
    rng = np.random.default_rng(4)
    irregular = np.cumsum(rng.uniform(0.02, 0.05, 150))
    curve = np.sin(2 * np.pi * 0.5 * irregular)[:, None]
    noise = rng.normal(0, 0.01, curve.shape)
    assert np.abs(smooth(irregular, curve + noise) - curve).mean() < 0.9 * np.abs(noise).mean()


def test_the_banded_solver_equals_a_dense_one() -> None:
    rng = np.random.default_rng(5)
    n, c = 12, 3
    counted = rng.random(n) > 0.3
    y, weight = rng.normal(size=(n, c)), rng.uniform(0.1, 5, (n - 2, c))
    factors = tuple(rng.normal(size=n - 2) for _ in range(3))
    found = _solve(counted, y, weight, factors)
    D = np.zeros((n - 2, n))
    for row in range(n - 2):
        D[row, row : row + 3] = [factor[row] for factor in factors]
    for column in range(c):
        A = np.diag(counted + 1e-9) + D.T @ (weight[:, column, None] * D)
        np.testing.assert_allclose(found[:, column], np.linalg.solve(A, (counted + 1e-9) * y[:, column]), atol=1e-6)


def test_rotations_are_smoothed_independently_of_the_axes() -> None:
    rng = np.random.default_rng(6)
    true = np.column_stack([0.5 * np.sin(TIMES), 2.6 * np.cos(0.7 * TIMES), 0.2 * TIMES])
    noisy = rotations(true) @ rotations(rng.normal(0, 0.01, true.shape))
    found = smooth_rotations(TIMES, noisy)
    np.testing.assert_allclose(found @ found.transpose(0, 2, 1), np.tile(np.eye(3), (len(TIMES), 1, 1)), atol=1e-9)

    def error(R: np.ndarray) -> float:
        return float(np.linalg.norm(R - rotations(true), axis=(1, 2)).mean())

    assert error(found) < 0.6 * error(noisy)
    axes = rotations(np.array([[0.3, -1.0, 2.0]]))[0]
    np.testing.assert_allclose(smooth_rotations(TIMES, axes @ noisy), axes @ found, atol=1e-6)


def test_quaternions_and_rotations_are_inverse() -> None:
    vectors = np.random.default_rng(7).normal(0, 1.5, (50, 3))
    R = rotations(vectors)
    np.testing.assert_allclose(rotation_matrices(quaternions(R)), R, atol=1e-12)
    spin = unwrapped(quaternions(rotations(np.linspace(0, 9, 40)[:, None] * np.array([0.0, 1.0, 0.0]))))
    assert (np.linalg.norm(np.diff(spin, axis=0), axis=1) < 0.2).all()


def test_the_one_euro_filter_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(8)
    values = np.cumsum(rng.normal(0, 0.1, 40))
    options = OneEuroOptions(cutoff_hz=1.2, speed=0.7)
    one = OneEuro(options)
    found = [one(i / FPS, np.array([value]))[0] for i, value in enumerate(values)]

    def alpha(cutoff: float) -> float:
        return 1.0 / (1.0 + FPS / (2 * np.pi * cutoff))

    expected, speed = [values[0]], 0.0
    for before, value in pairwise(values):
        speed = alpha(1.0) * (value - before) * FPS + (1 - alpha(1.0)) * speed
        part = alpha(1.2 + 0.7 * abs(speed))
        expected.append(part * value + (1 - part) * expected[-1])
    np.testing.assert_allclose(found, expected)


def test_the_one_euro_filter_of_rotations_turns_about_the_axis() -> None:
    angles = np.linspace(0, 4.0, 60)
    q = quaternions(rotations(angles[:, None] * np.array([0.0, 0.0, 1.0])))
    one = OneEuro(OneEuroOptions(0.5, 10.0), rotation=True)
    R = rotation_matrices(np.array([one(i / FPS, value) for i, value in enumerate(q)]))
    np.testing.assert_allclose(R[:, 2, 2], 1.0, atol=1e-9)
    found = np.unwrap(np.arctan2(R[:, 1, 0], R[:, 0, 0]))
    assert (np.diff(found[3:]) > 0).all()
    assert np.abs(found - angles)[10:].max() < angles[1]  # less than one frame late


@pytest.mark.parametrize(
    ("times", "values", "seen", "words"),
    [
        ([0.0, 0.0, 1.0], np.zeros((3, 1)), None, "times must increase"),
        ([0.0, 1.0], np.zeros((3, 1)), None, "values"),
        ([0.0, 1.0], np.zeros((2, 1)), [False, False], "at least one True"),
        ([0.0, 1.0], np.full((2, 1), np.nan), None, "finite"),
    ],
)
def test_bad_curves(times: list[float], values: np.ndarray, seen: list[bool] | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        smooth(times, values, seen)


def test_short_curves_are_returned() -> None:
    np.testing.assert_allclose(smooth([0.0], [[0.5]]), [[0.5]])
    np.testing.assert_allclose(smooth([0.0, 0.1], [[0.5], [0.7]]), [[0.5], [0.7]])
