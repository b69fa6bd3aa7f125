"""Crops and stretched mouths of training samples."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.images.camera import roll_deg
from facegeom.images.crop import ALIGNED_CENTRE, ALIGNED_MM, apply_affine
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions, aligned_affine, random_affine
from facegeom.training.data.renderer import Renderer, Sample
from facegeom.training.data.stretched import RECEDES, stretched_sample

SIZE = 128


def turned(yaw: float, roll: float, size: float = 1.0) -> Pose:
    """Return the mean face, `size` times as large, in a photo of 3 pixels per mm."""
    r = np.radians(roll)
    rotation = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    upright = Pose(load_face_model().mean * size, np.eye(3), 3.0, np.array([400.0, 300.0])).turned(yaw)
    return Pose(upright.vertices, rotation @ upright.rotation, upright.scale, upright.translation)


@pytest.mark.parametrize(("yaw", "roll", "size"), [(0, 0, 1.0), (60, 0, 1.0), (0, 35, 0.8), (-80, -120, 1.2)])
def test_aligned_crops_show_a_face_upright_in_the_same_place_and_scale(yaw: float, roll: float, size: float) -> None:
    pose = turned(yaw, roll, size)
    assert roll_deg(pose.rotation) == pytest.approx(roll)
    affine = aligned_affine(Renderer(load_face_model()), pose, SIZE)
    axes = np.array([ALIGNED_CENTRE, ALIGNED_CENTRE + np.array([0, 10, 0])])
    centre, above = apply_affine(affine, Pose(size * axes, pose.rotation, pose.scale, pose.translation).pixels()[:, :2])
    np.testing.assert_allclose(centre, 0.5 * (SIZE - 1), atol=1e-6)
    np.testing.assert_allclose(above - centre, (0, -10 * SIZE / ALIGNED_MM), atol=1e-6)


def test_errors_of_aligned_crops_have_the_given_size() -> None:
    renderer, pose, mix = Renderer(load_face_model()), turned(20, 15), MixOptions(aligned=1.0)
    exact, rng = aligned_affine(renderer, pose, SIZE), np.random.default_rng(0)
    middle = np.array([0.5 * (SIZE - 1)] * 2)
    errors = []
    for _ in range(400):
        drawn = random_affine(mix, renderer, pose, rng, SIZE)
        turn = drawn[:, :2] @ np.linalg.inv(exact[:, :2])
        shift = apply_affine(drawn, np.linalg.solve(exact[:, :2], middle - exact[:, 2])[None])[0] - middle
        angle = np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))
        errors.append([np.log(np.linalg.det(turn)) / 2, angle, *shift / SIZE])
    spread = np.std(errors, axis=0)
    expected = np.array([mix.aligned_scale, mix.aligned_roll_deg, mix.aligned_shift, mix.aligned_shift])
    assert np.all(spread > expected)
    assert np.all(spread < 2 * expected)


@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_a_stretched_mouth_takes_its_maps_along(factor: float) -> None:
    rows = np.arange(64, dtype=np.float32)
    inside = (rows >= 8) & (rows < 50)
    mask = np.repeat(inside[:, None], 64, axis=1)
    place = np.where(mask, rows[:, None], 0).astype(np.float32)
    correspondence = np.dstack([place, place, place])
    image = np.dstack([np.repeat(rows[:, None], 64, axis=1).astype(np.uint8)] * 3)
    sample = Sample(image, np.where(mask, 5, 0).astype(np.float32), correspondence, mask, (32.0, 20.0), 2.0)
    lips = np.array([[32.0, 30.0], [32.0, 36.0], [24.0, 33.0], [40.0, 33.0]])
    found = stretched_sample(sample, lips, factor, widest=1.0)

    moved = 6 * (factor - 1)
    chin = np.flatnonzero(found.mask[:, 32])[-1]
    assert chin == pytest.approx(49 + moved, abs=1)
    below = round(42 + moved)
    assert found.correspondence[below, 32, 0] == pytest.approx(below - moved, abs=0.05)
    assert int(found.image[below, 32, 0]) == pytest.approx(below - moved, abs=1)
    assert found.depth[below, 32] == pytest.approx(5 - RECEDES * moved / 2, abs=0.05)
    np.testing.assert_array_equal(found.correspondence[:29], sample.correspondence[:29])
    np.testing.assert_array_equal(found.depth[:29], sample.depth[:29])
    assert not found.depth[~found.mask].any()


def test_the_opening_of_a_stretched_mouth_is_limited() -> None:
    mask = np.ones((64, 64), bool)
    place = np.repeat(np.arange(64, dtype=np.float32)[:, None], 64, axis=1)
    sample = Sample(np.zeros((64, 64, 3), np.uint8), place * 0, np.dstack([place] * 3), mask, (32.0, 20.0), 2.0)
    lips = np.array([[32.0, 20.0], [32.0, 30.0], [24.0, 25.0], [40.0, 25.0]])  # 10 pixels high, 16 wide
    found = stretched_sample(sample, lips, 3.0, widest=1.0)
    assert found.correspondence[46, 32, 0] == pytest.approx(40, abs=0.01)  # 6 pixels further, not 20
