"""Random glasses on synthetic heads: their shape, and how they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom.face_model import load_face_model
from facegeom.geometry import closest_points, rasterize, vertex_normals
from facegeom.training.data import eyewear
from facegeom.training.data.eyewear import Eyewear, EyewearPixels, eyewear_pixels
from facegeom.training.data.pose import Pose
from facegeom.training.data.texture_model import skin_vertices

MODEL = load_face_model()
SIZE = 128
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


@pytest.fixture(scope="module")
def shop() -> Eyewear:
    return Eyewear(MODEL)


def front(yaw: float = 0.0) -> tuple[Pose, np.ndarray]:
    """Return the mean head in an image of 128 pixels, and its depth there."""
    pose = Pose(MODEL.mean, np.eye(3), 0.5, np.array([64.0, 60.0])).turned(yaw)
    return pose, rasterize(pose.pixels(), MODEL.faces, None, (SIZE, SIZE)).depth


@pytest.mark.parametrize("seed", range(12))
def test_glasses_sit_before_the_eyes_and_on_the_ears(shop: Eyewear, seed: int) -> None:
    glasses = shop.draw(MODEL.mean, np.random.default_rng(seed))
    lenses = glasses.lens_V.reshape(2, -1, 3)[:, -1]  # the middles
    np.testing.assert_allclose(lenses[:, 0], [31.6, -31.6], atol=4)
    assert np.abs(lenses[:, 1]).max() < 15
    assert (lenses[:, 2] > 16.7).all()  # before the eyeballs
    ends = glasses.V[glasses.V[:, 2] < -60]
    assert 60 < np.abs(ends[:, 0]).min() < 95
    np.testing.assert_allclose(np.linalg.norm(glasses.N, axis=1), 1)
    assert glasses.F.max() == len(glasses.V) - 1
    assert glasses.lens_F.max() == len(glasses.lens_V) - 1


@pytest.mark.parametrize("seed", range(6))
def test_temples_stay_outside_the_head(shop: Eyewear, seed: int) -> None:
    glasses = shop.draw(MODEL.mean, np.random.default_rng(seed))
    temple = glasses.V[(np.abs(glasses.V[:, 0]) > 50) & (glasses.V[:, 2] > -50) & (glasses.V[:, 2] < 10)]
    skin = skin_vertices(MODEL)
    faces = MODEL.faces[skin[MODEL.faces].all(1)]
    found = closest_points(MODEL.mean, faces, temple)
    normals = vertex_normals(MODEL.mean, MODEL.faces)[faces[found.face]].mean(1)
    place = (MODEL.mean[faces[found.face]] * found.weights[..., None]).sum(1)
    assert ((temple - place) * normals).sum(1).min() > -3.0


def test_glasses_move_with_the_head(shop: Eyewear) -> None:
    shift = np.array([4.0, -3.0, 2.0])
    here = shop.draw(MODEL.mean, np.random.default_rng(3))
    there = shop.draw(MODEL.mean + shift, np.random.default_rng(3))
    np.testing.assert_allclose(there.V - here.V, np.broadcast_to(shift, here.V.shape), atol=1e-6)


def test_a_tube_has_its_radius() -> None:
    V, N, F = eyewear._tube(np.array([[0.0, 0, 0], [0, 0, 5], [0, 0, 10]]), 2.0, closed=False)
    np.testing.assert_allclose(np.hypot(V[:, 0], V[:, 1]), 2)
    np.testing.assert_allclose(V[:, :2] / 2, N[:, :2], atol=1e-12)
    sides = np.cross(V[F[:, 1]] - V[F[:, 0]], V[F[:, 2]] - V[F[:, 0]])
    middle = V[F].mean(1) * [1, 1, 0]
    assert len(set(np.sign((sides * middle).sum(1)))) == 1  # all triangles have the same orientation


def test_the_head_hides_the_temple_on_its_other_side(shop: Eyewear) -> None:
    glasses = shop.draw(MODEL.mean, np.random.default_rng(1))
    pose, depth = front(90)
    shown = eyewear_pixels(glasses, pose, IDENTITY, depth)
    alone = eyewear_pixels(glasses, pose, IDENTITY, np.full((SIZE, SIZE), np.nan))
    assert shown is not None
    assert alone is not None
    assert 0 < len(shown.place) <= len(alone.place)
    nearer = shown.depth[np.isfinite(shown.depth) & np.isfinite(depth)]
    assert (nearer > -20).all()  # the hidden temple is at a depth of about -75 mm


def test_glasses_outside_the_image_are_left_out(shop: Eyewear) -> None:
    glasses = shop.draw(MODEL.mean, np.random.default_rng(1))
    pose, depth = front()
    away = np.array([[1.0, 0, 500], [0, 1, 0]])
    assert eyewear_pixels(glasses, pose, away, depth) is None


def test_lenses_are_tinted_and_the_rest_of_the_face_is_not(shop: Eyewear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyewear, "SUNGLASSES", 1.0)
    monkeypatch.setattr(eyewear, "REFLECTING", 0.0)
    pose, depth = front()
    shown = eyewear_pixels(shop.draw(MODEL.mean, np.random.default_rng(2)), pose, IDENTITY, depth)
    assert isinstance(shown, EyewearPixels)
    image = np.full((SIZE, SIZE, 3), 200, np.float32)
    red = np.tile(np.float32([250, 0, 0]), (len(shown.place), 1))
    painted, hidden = shown.paint(image, red, [], np.random.default_rng(0))
    assert hidden.min() >= 0
    assert hidden.max() <= 1
    assert np.abs(painted - image).max(axis=2)[hidden > 0.9].min() > 0
    lens = shown.lens > 0.99
    assert lens.sum() > 100
    assert np.median(painted[lens]) < 130
    np.testing.assert_allclose(painted[100:], 200, atol=1)
    assert (painted[..., 0] - painted[..., 1]).max() > 60  # the frame
    assert (image == 200).all()
