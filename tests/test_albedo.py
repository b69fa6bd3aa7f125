"""The light on a face: estimated from skin, and divided out of a photo; glasses that are removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import facegeom
from facegeom.errors import FacegeomError
from facegeom.evaluation.albedo import albedo_error
from facegeom.face_model.template import load_template
from facegeom.networks.segmentation_crop import EYEWEAR
from facegeom.texture.appearance import View
from facegeom.texture.light import encoded, harmonics, linear, skin_light, without_light
from facegeom.texture.painting import paint


def unit_normals(count: int) -> np.ndarray:
    normals = np.random.default_rng(0).normal(size=(count, 3))
    normals[:, 2] = np.abs(normals[:, 2])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def test_colours_are_linear_light_and_back() -> None:
    colours = np.arange(256.0)
    np.testing.assert_allclose(encoded(linear(colours)), colours, atol=1e-9)
    np.testing.assert_allclose(linear(np.array([0.0, 255.0])), [0, 1])


def test_the_light_on_even_skin_is_found_despite_a_beard() -> None:
    normals = unit_normals(4000)
    light = np.array([1.0, 0.35, 0.2, 0.1, 0.05, 0, 0, 0, 0])
    shading = harmonics(normals) @ light
    colours = shading[:, None] * np.array([0.5, 0.35, 0.25])
    colours[:600] *= 0.2
    found = harmonics(normals) @ skin_light(colours, normals)
    np.testing.assert_allclose(found / found.mean(axis=0), (shading / shading.mean())[:, None] * np.ones(3), atol=0.08)


def test_dividing_the_light_out_brings_a_face_nearer_to_its_albedo() -> None:
    skin = np.full((len(facegeom.load_face_model().mean), 3), (190, 150, 125), np.uint8)
    from_the_left = np.zeros((9, 3), np.float32)
    from_the_left[0], from_the_left[1] = 1.0, 0.6
    error = albedo_error(skin, from_the_left, np.zeros(5), 0.0)
    assert error.before > 20
    assert error.after < 0.4 * error.before


def test_an_evenly_lit_photo_hardly_changes(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    view = View(photo, prediction.maps, prediction.camera, V, template.fine)
    unlit = without_light(template, view, plain_classes(photo, prediction.camera))
    assert unlit.shape == photo.shape
    assert np.abs(unlit.astype(int) - photo).max() <= 3


def test_removed_glasses_are_no_part_of_the_texture_and_kept_ones_are(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template, camera = load_template(head=True), prediction.camera
    x, y = np.rint(camera.project(np.array([[15.0, -14.0, 20.0]]))[0]).astype(int)
    frame = (20, 60, 160)
    photo = photo.copy()
    photo[y - 8 : y + 8, x - 24 : x + 24] = frame
    view = View(photo, prediction.maps, camera, V, template.fine)
    classes = plain_classes(photo, camera)
    worn = np.abs(classes.image.astype(int) - frame).sum(axis=2) < 90
    classes = replace(
        classes, probability=np.where(worn[..., None], np.eye(7, dtype=np.float32)[EYEWEAR], classes.probability)
    )

    class Plain:
        size = 64
        region = np.ones((64, 64), bool)
        mean = np.full((64, 64, 3), 128, np.uint8)
        usual_hair = None

        def predict(self, textures: Any, known: Any, hair: Any = None) -> Any:
            return np.broadcast_to(np.uint8((200, 150, 120)), textures.shape)

    kept, removed = (
        paint(template, view, replace(classes, eyewear=eyewear), 256, network=Plain()) for eyewear in ("keep", "remove")
    )
    blue = [(one.texture[..., 2].astype(int) - one.texture[..., 0] > 40).sum() for one in (kept, removed)]
    assert blue[0] > 100
    assert blue[1] < 0.1 * blue[0]


def test_dark_glasses_hide_the_eyes(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, _ = plain_person
    classes = plain_classes(photo, prediction.camera)
    eyes = prediction.camera.project(np.array([[30.0, 0.0, 10.0], [-30.0, 0.0, 10.0]]))
    assert not classes.hidden_eyes(eyes)
    dark = np.broadcast_to(np.eye(7, dtype=np.float32)[EYEWEAR], classes.probability.shape)
    assert replace(classes, probability=dark).hidden_eyes(eyes)


def test_unknown_values_of_the_options_are_refused() -> None:
    photo = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="eyewear must be one of keep, remove, got 'hide'"):
        facegeom.reconstruct(photo, eyewear="hide")
    with pytest.raises(TypeError, match="albedo"):
        facegeom.reconstruct(photo, albedo="yes")  # type: ignore[arg-type]
    with pytest.raises(FacegeomError, match="head=True"):
        facegeom.reconstruct(photo, pipeline="facevision", eyewear="remove")
