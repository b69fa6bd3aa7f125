"""Gaze and lids of tracked faces, on eyes and curves with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.face_model.blendshapes import gaze_weights
from facegeom.face_model.fitting import CONTOURS
from facegeom.images.camera import Camera
from facegeom.mesh.parts import sphere_centre
from facegeom.texture.eyes import IRIS_DEGREES, Gaze
from facegeom.tracking.gaze import GazeFinder
from facegeom.tracking.lids import LEAST, Lids

SIZE = (240, 360)
WIDE, HIGH = 13.0, 5.0


def eyes(yaw: float, pitch: float, rotation: np.ndarray, high: float = HIGH) -> tuple[np.ndarray, Camera, np.ndarray]:
    """A picture of two eyes that look in a direction, without lids, the camera, and the contours."""
    model = load_face_model()
    camera = Camera(rotation, 2.5, np.array([180.0, 200.0]))
    image = np.full((*SIZE, 3), 150, np.uint8)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    direction = np.array(
        [np.sin(np.radians(yaw)) * np.cos(np.radians(pitch)), np.sin(np.radians(pitch)),
         np.cos(np.radians(yaw)) * np.cos(np.radians(pitch))]
    )  # fmt: skip
    contours = []
    for side in ("right", "left"):
        ball = model.mean[model.regions[f"eyeball_{side}"]]
        centre = sphere_centre(ball)
        radius = np.linalg.norm(ball - centre, axis=1).mean()
        middle = camera.project(centre[None])[0]
        away = np.stack([x - middle[0], middle[1] - y], axis=-1) / camera.scale
        depth = np.sqrt(np.maximum(radius**2 - (away**2).sum(-1), 0))
        toward = np.dstack([away, depth]) @ rotation / radius
        inside = depth > 0.1 * radius
        iris = inside & (toward @ direction > np.cos(np.radians(IRIS_DEGREES)))
        image[inside] = 220
        image[iris] = 60
        around = np.linspace(0, 2 * np.pi, len(CONTOURS[0]), endpoint=False)
        contours.append(middle + camera.scale * np.column_stack([WIDE * np.cos(around), high * np.sin(around)]))
    return image, camera, np.concatenate(contours)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (18, 0), (-18, 0), (10, 6), (-10, -6)])
@pytest.mark.parametrize("turned", [0.0, 25.0])
def test_the_gaze_is_relative_to_the_face(yaw: float, pitch: float, turned: float) -> None:
    angle = np.radians(turned)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    finder = GazeFinder(load_face_model())
    ahead = finder.look(*eyes(0, 0, rotation))
    found = finder.look(*eyes(yaw, pitch, rotation))
    assert ahead is not None
    assert found is not None
    assert found.yaw == pytest.approx(yaw, abs=4)
    # Without lids that follow the eyes, the pitch is not shrunk, so that its factor makes it too large.
    raised = found.pitch - ahead.pitch
    assert abs(raised) < 4 if pitch == 0 else raised * np.sign(pitch) > 4


def test_noise_hardly_moves_the_gaze_of_the_frame_before_and_a_look_aside_is_followed() -> None:
    rng = np.random.default_rng(0)
    finder = GazeFinder(load_face_model())

    def seen(yaw: float, *, forget: bool) -> Gaze:
        if forget:
            finder.forget()
        image, camera, contours = eyes(yaw, 0, np.eye(3), high=4.0)
        noisy = np.clip(image + rng.normal(0, 60, image.shape), 0, 255).astype(np.uint8)
        gaze = finder.look(noisy, camera, contours)
        assert gaze is not None
        return gaze

    alone, steady = (np.array([seen(0, forget=forget) for _ in range(20)]) for forget in (True, False))
    assert np.abs(np.diff(steady, axis=0)).mean() < 0.5 * np.abs(np.diff(alone, axis=0)).mean()
    assert seen(15.0, forget=False).yaw == pytest.approx(15.0, abs=5)


def test_closed_or_turned_eyes_have_no_gaze() -> None:
    finder = GazeFinder(load_face_model())
    assert finder.look(*eyes(0, 0, np.eye(3), high=1.0)) is None
    angle = np.radians(60.0)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    assert finder.look(*eyes(0, 0, rotation)) is None


def test_a_gaze_becomes_weights_of_both_eyes() -> None:
    model = load_face_model()
    before = np.full(len(model.expression_names), 0.3)
    turned = GazeFinder(model).turned(before, Gaze(15.0, -10.0))
    named = dict(zip(model.expression_names, turned.tolist(), strict=True))
    for name, weight in gaze_weights(15.0, -10.0).items():
        side = "L" if name.endswith("Left") else "R"
        assert named[f"{name.removesuffix('Left').removesuffix('Right')}_{side}"] == pytest.approx(weight)
    assert named["jawOpen"] == 0.3
    assert before.min() == 0.3


def blinking(height: float, count: int, rest: float = 0.1) -> np.ndarray:
    """Weights (n, 2) of blinks of three frames every second at 30 frames a second."""
    curve = np.full(30 * count + 30, rest)
    for number in range(count):
        curve[30 * number + 20 : 30 * number + 23] += (height - rest) * np.array([0.6, 1.0, 0.6])
    return np.column_stack([curve, rest + 0.9 * (curve - rest)])


@pytest.mark.parametrize("height", [0.45, 0.6, 0.8])
def test_blinks_of_a_person_close_the_eyes(height: float) -> None:
    seen = blinking(height, 6)
    lids = Lids()
    for frame, row in enumerate(seen):
        lids.see(frame / 30, row)
    found = lids.weights(seen)
    assert len(lids.heights) == 6
    assert found.max(axis=0) == pytest.approx([1.0, 1.0], abs=0.12)
    np.testing.assert_allclose(found[:15], seen[:15], atol=0.01)  # open eyes stay as they are
    assert (np.diff(found[20:22], axis=0) > 0).all()


def test_eyes_that_stay_closed_or_narrow_are_no_blinks() -> None:
    lids = Lids()
    curve = np.full((200, 2), 0.1)
    curve[30:120] = 0.5  # closed for three seconds
    for frame, row in enumerate(curve):
        lids.see(frame / 30, row)
    assert not lids.heights
    assert lids.weights(np.array([0.1 + LEAST, 0.05]))[1] == 0.05
    assert Lids().weights(np.array([0.3, 0.4])).tolist() == [0.3, 0.4]
