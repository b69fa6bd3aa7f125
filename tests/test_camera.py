"""The camera, and the axes and units that the README documents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facegeom import Camera, load_face_model
from facegeom.geometry import rasterize
from facegeom.images.camera import CLIP_DEPTH_MM, Pose


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


def turn(axis: int, degrees: float) -> np.ndarray:
    """Return the right-handed rotation (3, 3) about an axis of the camera."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation, angle = np.eye(3), np.radians(degrees)
    rotation[first, first] = rotation[second, second] = np.cos(angle)
    rotation[first, second], rotation[second, first] = -np.sin(angle), np.sin(angle)
    return rotation


def camera_of(pose: tuple[float, float, float], scale: float = 1.7) -> Camera:
    """Return a camera that sees the face in a pose: yaw, pitch and roll, degrees."""
    yaw, pitch, roll = pose
    return Camera(turn(2, roll) @ turn(0, -pitch) @ turn(1, yaw), scale, (131.5, 94.25))


POSES = [(0, 0, 0), (40, 0, 0), (-75, 0, 0), (0, 25, 0), (0, -60, 0), (0, 0, 150), (120, 30, -90), (-35, -20, 10)]


@pytest.mark.parametrize("pose", POSES)
def test_pose_is_that_of_the_rotation(pose: tuple[float, float, float]) -> None:
    assert camera_of(pose).pose == pytest.approx(pose, abs=1e-9)


def test_signs_of_the_pose_in_the_photo() -> None:
    """The nose of the face model moves right for a positive yaw, and up for a positive pitch."""
    model = load_face_model()
    nose, chin = model.mean[model.landmarks68[[30, 8]]]

    def seen(pose: tuple[float, float, float], point: np.ndarray) -> np.ndarray:
        camera = camera_of(pose)
        return (camera.project([point]) - camera.translation)[0]

    straight = seen((0, 0, 0), nose)
    assert seen((30, 0, 0), nose)[0] > straight[0] + 20
    assert seen((0, 20, 0), nose)[1] < straight[1] - 20
    assert seen((0, 0, 90), chin)[0] > 150  # counter-clockwise: the chin comes to the right side


def test_frontal_pose_is_exactly_zero() -> None:
    pose = Camera(np.eye(3), 1.0, (0, 0)).pose
    assert pose == Pose(0.0, 0.0, 0.0)
    assert "-" not in repr(pose)


@pytest.mark.parametrize("pose", POSES)
def test_opencv_matrix_projects_like_project(pose: tuple[float, float, float]) -> None:
    camera, points = camera_of(pose), load_face_model().mean
    matrix = camera.matrix("opencv")
    assert matrix.shape == (3, 4)
    pixels = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    np.testing.assert_allclose(pixels[:, :2], camera.project(points), atol=1e-9)
    assert (pixels[:, 2] == 1).all()


@pytest.mark.parametrize("pose", POSES)
def test_opengl_matrix_gives_the_pixels_and_the_depth_order(pose: tuple[float, float, float]) -> None:
    camera, points = camera_of(pose), load_face_model().mean
    width, height = 263, 190
    matrix = camera.matrix("opengl", (width, height))
    assert matrix.shape == (4, 4)
    clip = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    assert (clip[:, 3] == 1).all()
    pixels = (clip[:, :2] * (1, -1) + 1) / 2 * (width, height) - 0.5  # viewport transform; pixel centres at integers
    np.testing.assert_allclose(pixels, camera.project(points), atol=1e-9)
    depth = camera.view(points)[:, 2]
    np.testing.assert_allclose(clip[:, 2], -depth / CLIP_DEPTH_MM, atol=1e-12)  # nearer points have smaller z
    assert np.abs(clip[:, 2]).max() < 1


def test_edges_of_the_picture_are_the_edges_of_the_clip_volume() -> None:
    camera = Camera(np.eye(3), 1.0, (0, 0))
    corners = np.array([[-0.5, 0.5, 0, 1], [319.5, -239.5, 0, 1]])  # outer corners of a picture of 320 x 240 pixels
    clip = corners @ camera.matrix("opengl", (320, 240)).T
    np.testing.assert_allclose(clip[:, :2], [[-1, 1], [1, -1]], atol=1e-12)


def test_opengl_matrix_shows_the_same_surface_as_the_rasterizer() -> None:
    """A depth buffer filled with clip coordinates keeps the triangles that face the camera."""
    model, camera = load_face_model(), camera_of((30, 10, 5), scale=0.8)
    size = (240, 200)
    seen = np.column_stack([camera.project(model.mean), camera.view(model.mean)[:, 2]])
    expected = rasterize(seen, model.faces, model.mean, (size[1], size[0])).triangle
    clip = np.column_stack([model.mean, np.ones(len(model.mean))]) @ camera.matrix("opengl", size).T
    pixels = (clip[:, :2] * (1, -1) + 1) / 2 * size - 0.5
    drawn = rasterize(np.column_stack([pixels, -clip[:, 2]]), model.faces, model.mean, (size[1], size[0])).triangle
    assert (drawn >= 0).sum() > 5000
    assert (drawn != expected).sum() <= 2  # rounding at an edge


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("directx",), ValueError, "convention must be 'opencv' or 'opengl', got 'directx'"),
        (("opengl",), ValueError, "size must be the width and height"),
        (("opencv", (10, 10)), ValueError, "size is only for"),
        (("opengl", (0, 10)), ValueError, "size must be above 0"),
        (("opengl", (10, 10, 3)), ValueError, "size must have shape"),
        (("opengl", "big"), TypeError, "size must hold numbers"),
    ],
)
def test_invalid_arguments_of_matrix_are_rejected(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Camera(np.eye(3), 1.0, (0, 0)).matrix(*arguments)
