"""The camera, and the axes and units that the README documents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facegeom import Camera, load_face_model


def yaw(degrees: float) -> np.ndarray:
    y = np.radians(degrees)
    return np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])


def test_axes_of_a_frontal_face() -> None:
    camera = Camera(np.eye(3), 2.0, (100.0, 80.0))
    left, up, out = camera.project([[10, 0, 0], [0, 10, 0], [0, 0, 10]])
    assert left.tolist() == [120, 80]  # the subject's left is on the right of the picture
    assert up.tolist() == [100, 60]  # pixel y points down
    assert out.tolist() == [100, 80]  # depth does not move a point
    assert camera.view([[0, 0, 10]])[0, 2] == 10  # greater is nearer to the camera


def test_axes_of_the_face_model() -> None:
    model = load_face_model()
    V = model.mean
    points = V[model.landmarks68]
    nose, chin = points[30], points[8]
    right_eye, left_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    assert left_eye[0] > 20  # +x is the subject's left
    assert right_eye[0] < -20
    assert chin[1] < nose[1] < 0
    assert nose[2] > chin[2]
    centers = [V[model.regions[f"eyeball_{side}"]].mean(axis=0) for side in ("left", "right")]
    assert np.abs(centers[0] - centers[1])[0] == pytest.approx(63.0, abs=1.0)
    np.testing.assert_allclose(np.mean(centers, axis=0)[:2], 0, atol=0.5)


def test_unproject_is_the_inverse_of_project_and_view() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 60, (50, 3))
    camera = Camera(yaw(35.0) @ yaw(10.0).T[::-1, ::-1], 1.7, (31.5, -4.0))
    again = camera.unproject(camera.project(points), camera.view(points)[:, 2])
    np.testing.assert_allclose(again, points, atol=1e-10)


def test_a_head_turned_to_its_left_faces_right_in_the_picture() -> None:
    nose = Camera(yaw(40.0), 1.0, (0, 0)).project([[0, 0, 30.0]])
    assert nose[0, 0] > 15


def test_arrays_are_read_only_copies() -> None:
    rotation = np.eye(3)
    camera = Camera(rotation, 1.0, (0, 0))
    rotation[0, 0] = 5
    assert camera.rotation[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        camera.rotation[0, 0] = 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.diag([1.0, 1.0, -1.0]), 1.0, (0, 0)), ValueError, "rotation must be a rotation matrix"),
        ((2 * np.eye(3), 1.0, (0, 0)), ValueError, "rotation must be a rotation matrix"),
        ((np.eye(2), 1.0, (0, 0)), ValueError, r"rotation must have shape \(3, 3\)"),
        ((np.full((3, 3), np.nan), 1.0, (0, 0)), ValueError, "rotation must be finite"),
        ((np.eye(3), 0.0, (0, 0)), ValueError, "scale must be above 0"),
        ((np.eye(3), "2", (0, 0)), TypeError, "scale must be a number"),
        ((np.eye(3), 1.0, (0, 0, 0)), ValueError, "translation must have shape"),
    ],
    ids=["reflection", "scaled", "shape", "nan", "zero scale", "text scale", "translation"],
)
def test_invalid_cameras_are_rejected(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Camera(*arguments)


def test_invalid_points_are_rejected() -> None:
    camera = Camera(np.eye(3), 1.0, (0, 0))
    with pytest.raises(ValueError, match="points must have shape"):
        camera.project([[1.0, 2.0]])
    with pytest.raises(ValueError, match="depth must have shape"):
        camera.unproject([[1.0, 2.0]], [1.0, 2.0])
