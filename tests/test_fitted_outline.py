"""Ears and skull of a head move to their outline in the photo, the face stays, and without evidence nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom import geometry, load_face_model
from facegeom.face_model.template import load_template
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine
from facegeom.networks.segmentation_crop import BACKGROUND, CLASSES, COVER, FRAME_MM, HEAD_HAIR, SKIN, head_affine
from facegeom.render import turn
from facegeom.texture.fitted_outline import EAR_MM, TOP_MM, UNEQUAL_MM, ear_distances, fitted_outline, head_motion
from facegeom.texture.head_classes import WIDE, HeadClasses

HEAD = load_template(head=True)
COARSE = HEAD.coarse
SKIN_COUNT = COARSE.skin_count
MEAN = load_face_model().mean[HEAD.vertices]
EARS = COARSE.regions["ear_left"] | COARSE.regions["ear_right"]
FACE, SCALP = COARSE.regions["face"], COARSE.regions["scalp"]
PHOTO = (500, 500)


def camera_of(yaw: float = 0.0) -> Camera:
    return Camera(turn(yaw), 1.5, (250.0, 260.0))


def photo_of(V: np.ndarray, camera: Camera, scalp: int = SKIN, ears: int = SKIN) -> HeadClasses:
    """Return the classes of a photo of a head (n, 3) whose scalp and ears show some classes."""
    size = round(WIDE * 128)
    affine = head_affine(camera.rotation, camera.scale, camera.translation, size, WIDE * FRAME_MM)
    seen = V[:SKIN_COUNT]
    places = np.column_stack([apply_affine(affine, camera.project(seen)), camera.view(seen)[:, 2]])
    triangle = geometry.rasterize(places, COARSE.skin_faces, seen, (size, size)).triangle
    kind = np.full(len(COARSE.skin_faces), SKIN)
    kind[SCALP[COARSE.skin_faces].any(axis=1)] = scalp
    kind[EARS[COARSE.skin_faces].any(axis=1)] = ears
    classes = np.where(triangle >= 0, kind[np.maximum(triangle, 0)], BACKGROUND)
    colours = np.linspace(20, 230, len(CLASSES))[:, None] * np.array([1.0, 0.6, 0.3])
    return HeadClasses(colours.astype(np.uint8)[classes], np.eye(len(CLASSES), dtype=np.float32)[classes], affine)


def wider(shift: float) -> np.ndarray:
    """Return the mean head with ears that lie further out by some mm."""
    out = MEAN.copy()
    out[EARS, 0] += shift * np.sign(MEAN[EARS, 0])
    return out


@pytest.mark.parametrize("yaw", [0.0, 12.0])
@pytest.mark.parametrize("shift", [5.0, 9.0])
def test_ears_move_to_their_outline(yaw: float, shift: float) -> None:
    camera, head = camera_of(yaw), wider(shift)
    classes = photo_of(MEAN, camera, HEAD_HAIR)
    before = ear_distances(HEAD, head, camera, classes, PHOTO)
    moved = fitted_outline(HEAD, head, camera, classes, PHOTO)
    after = ear_distances(HEAD, moved, camera, classes, PHOTO)
    assert before.mean() < 1.0 - shift
    assert np.abs(after).mean() < 0.35 * shift
    np.testing.assert_array_equal(moved[FACE], head[FACE])
    np.testing.assert_array_equal(moved[SKIN_COUNT:], head[SKIN_COUNT:])


def test_a_bald_skull_moves_to_its_outline() -> None:
    camera = camera_of()
    small = MEAN.copy()
    small[SCALP, 1] -= 8.0 * np.clip((MEAN[SCALP, 1] - 60.0) / 40.0, 0.0, 1.0)
    classes = photo_of(small, camera)
    moved = fitted_outline(HEAD, MEAN, camera, classes, PHOTO)
    apex = np.argmax(MEAN[:, 1])
    assert 4.0 < MEAN[apex, 1] - moved[apex, 1] <= TOP_MM[1] + 1e-9
    np.testing.assert_array_equal(moved[FACE], MEAN[FACE])


def test_a_symmetric_photo_moves_the_head_symmetrically() -> None:
    camera, head = camera_of(), wider(7.0)
    change = fitted_outline(HEAD, head, camera, photo_of(MEAN, camera), PHOTO) - head
    mirrored = change[COARSE.mirror] * (-1, 1, 1)
    assert np.abs(mirrored - change)[:SKIN_COUNT].max() < 1.5


def test_the_motion_is_smooth_and_folds_nothing() -> None:
    camera, head = camera_of(), wider(9.0)
    moved = fitted_outline(HEAD, head, camera, photo_of(MEAN, camera), PHOTO)
    normals = [geometry.face_normals(V, COARSE.skin_faces) for V in (head[:SKIN_COUNT], moved[:SKIN_COUNT])]
    away = ~EARS[COARSE.skin_faces].any(axis=1)
    assert (normals[0] * normals[1]).sum(axis=1)[away].min() > 0.5


@pytest.mark.parametrize("yaw", [40.0, -80.0])
def test_a_turned_head_stays(yaw: float) -> None:
    camera, head = camera_of(yaw), wider(9.0)
    np.testing.assert_array_equal(fitted_outline(HEAD, head, camera, photo_of(MEAN, camera), PHOTO), head)


def test_a_photo_without_the_person_moves_nothing() -> None:
    camera = camera_of()
    for kind in (BACKGROUND, COVER):
        classes = photo_of(MEAN, camera)
        probability = np.zeros_like(classes.probability)
        probability[..., kind] = 1.0
        nothing = HeadClasses(classes.image, probability, classes.affine)
        assert head_motion(HEAD, MEAN, camera, nothing, PHOTO) is None


def test_an_ear_on_one_side_only_does_not_move_the_ears() -> None:
    camera, head = camera_of(), wider(9.0)
    classes = photo_of(MEAN, camera, HEAD_HAIR)
    half = len(classes.probability) // 2
    classes.probability[half - 40 :, half:] = np.eye(len(CLASSES), dtype=np.float32)[COVER]
    motion = head_motion(HEAD, head, camera, classes, PHOTO)
    assert motion is None or motion.ears[0] == motion.ears[1] == max(motion.sides, 0.0)


def test_a_wrong_segmentation_moves_nothing_far() -> None:
    camera = camera_of()
    rng = np.random.default_rng(0)
    for scale in (0.7, 0.85, 1.2):
        classes = photo_of(MEAN * (scale, scale, 1.0), camera, int(rng.choice([SKIN, HEAD_HAIR])))
        change = np.linalg.norm(fitted_outline(HEAD, MEAN, camera, classes, PHOTO) - MEAN, axis=1)
        assert change.max() <= EAR_MM[1] + UNEQUAL_MM
