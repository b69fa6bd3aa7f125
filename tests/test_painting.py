"""The complete texture of a person, with a fake completion network that returns one colour."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from facegeom.face_model.template import load_template
from facegeom.images.sampling import bilinear
from facegeom.pipelines import pix2vertex
from facegeom.pipelines.interface import PipelineOptions
from facegeom.reconstruction import predict
from facegeom.texture.appearance import SILHOUETTE_MM, View, behind_colors, vertex_colors
from facegeom.texture.painting import paint, without_hairline, without_slivers

SKIN, HAIR, SAID = (200, 150, 120), (40, 30, 20), (90, 160, 90)


class OneColor:
    """Answers `SAID` wherever it is asked."""

    size = 64
    region = np.ones((64, 64), bool)
    mean = np.full((64, 64, 3), 128, np.uint8)

    def predict(self, textures: Any, known: Any) -> Any:
        return np.broadcast_to(np.uint8(SAID), textures.shape)


@pytest.fixture
def scene(draw_face: Any, coded_network: Any) -> Any:
    """A person of plain skin and hair, turned by 50 degrees: photo, prediction, the head's vertices."""
    face = draw_face(50.0)
    coded_network(face)
    seen = predict(face.photo, face.box)
    photo = np.where(face.photo.max(axis=2, keepdims=True) > 60, np.uint8(SKIN), np.uint8(HAIR))
    V = pix2vertex.run(photo, seen, PipelineOptions(head=True)).final.vertices
    return photo, seen, V


@pytest.mark.parametrize("size", [64, 256])
def test_texels_come_from_photo_network_and_hair_by_region(scene: Any, size: int) -> None:
    photo, seen, V = scene
    template = load_template(head=True)
    view = View(photo, seen.maps, seen.camera, V, template.fine)
    painted = paint(template, view, size, network=OneColor())
    assert painted.texture.shape == (size, size, 3)
    assert 0.1 < painted.known.mean() < 0.4
    assert np.abs(painted.texture[painted.known].astype(int) - SKIN).mean() < 4
    colors, regions = painted.colors.astype(int), template.fine.regions
    far = -np.sign(seen.camera.rotation[0, 2]) * V[:, 0] > 35
    cheek = regions["face"] & regions["map"] & far & (np.abs(V[:, 1]) < 30)
    assert cheek.sum() > 50
    between = np.abs(colors[cheek] - SAID) <= np.abs(np.subtract(SKIN, SAID)) + 15
    assert between.mean() > 0.95  # near what is known the skin's own colour goes on
    crown = regions["scalp"] & (V[:, 1] > 80)
    assert np.abs(colors[crown] - HAIR).mean() < 30
    front = regions["teeth"] & (V[:, 2] > V[regions["teeth"], 2].max() - 8)
    assert colors[front].mean() > 1.4 * colors[regions["teeth"] & (V[:, 2] < 0)].mean()  # light comes in from the front


def test_texels_outside_the_photo_are_unseen_and_not_black(scene: Any) -> None:
    photo, seen, V = scene
    template = load_template(head=True)
    whole = View(photo, seen.maps, seen.camera, V, template.fine)
    rows = int(seen.camera.project(seen.landmarks)[57, 1])  # the chin is cut off
    view = View(photo[:rows], seen.maps, seen.camera, V, template.fine)
    below = seen.camera.project(V)[:, 1] > rows
    assert whole.seen[below].max() == 1
    assert view.seen[below].max() == 0
    inner = view.from_border > SILHOUETTE_MM
    np.testing.assert_array_equal(view.seen[inner], whole.seen[inner])
    chin = template.fine.regions["face"] & template.fine.regions["map"] & below
    assert chin.sum() > 1000
    assert np.abs(vertex_colors(template, view)[chin] - SKIN).mean() < 10


def test_a_hidden_eye_copies_the_other_with_the_same_gaze(scene: Any) -> None:
    photo, seen, V = scene
    template = load_template(head=True)
    view = View(photo, seen.maps, seen.camera, V, template.fine)
    left, right = (template.fine.regions[name] for name in ("eyeball_left", "eyeball_right"))
    across = V[:, 0] - np.where(left, V[left, 0].mean(), V[right, 0].mean())
    vars(view)["seen"] = right.astype(float)
    vars(view)["colors"] = np.stack([130 + 8 * across, 0 * across, 0 * across], axis=1)
    skin = template.fine.skin_count
    colors, eye = behind_colors(template, view), left[skin:]
    assert np.corrcoef(colors[eye, 0], across[skin:][eye])[0, 1] > 0.95  # mirrored it would be below 0
    vars(view)["seen"] = np.zeros(len(V))
    assert np.ptp(behind_colors(template, view)[eye], axis=0).max() == 0


def test_colours_are_those_of_the_texture(scene: Any) -> None:
    photo, seen, V = scene
    template = load_template(head=True)
    painted = paint(template, View(photo, seen.maps, seen.camera, V, template.fine), 256, network=OneColor())
    fine = template.fine
    corner_of = np.zeros(len(V), np.int64)
    corner_of[fine.faces.ravel()] = fine.uv_faces.ravel()
    places = fine.uv[corner_of] * (256, -256) + (-0.5, 255.5)
    np.testing.assert_allclose(painted.colors, bilinear(painted.texture, places), atol=0.51)


def test_no_texel_is_black_and_no_border_is_visible(scene: Any) -> None:
    photo, seen, V = scene
    template = load_template(head=True)
    network = OneColor()
    network.predict = lambda textures, known: np.broadcast_to(np.uint8(SKIN), textures.shape)  # type: ignore[method-assign]
    bright = np.maximum(photo, np.uint8(SKIN))
    painted = paint(template, View(bright, seen.maps, seen.camera, V, template.fine), 128, network=network)
    skin = np.zeros((128, 128), bool)
    uv = template.fine.uv[template.fine.uv_faces[: template.fine.skin_triangles]].mean(axis=1) * (128, -128) + (0, 128)
    column, row = np.clip(uv.astype(int), 0, 127).T
    skin[row, column] = True
    inner = cv2.erode(skin.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert np.abs(painted.texture[inner].astype(int) - SKIN).max() < 40


def test_hair_connected_to_the_scalp_is_not_an_occluder() -> None:
    face = np.zeros((100, 100), bool)
    face[10:90, 15:85] = True
    hair, glasses, hand = (np.zeros_like(face) for _ in range(3))
    hair[10:30, 20:50] = True
    glasses[35:40, 30:70] = True
    hand[60:90, 15:30] = True
    np.testing.assert_array_equal(without_hairline(hair | glasses | hand, face), glasses | hand)


def test_small_separate_parts_are_not_known_texels() -> None:
    known = np.zeros((64, 64), bool)
    known[10:50, 10:40] = True
    known[5:55, 50:52] = True  # along the outline
    assert known[without_slivers(known)].sum() == 40 * 30
    assert not without_slivers(known)[5:55, 50:52].any()
    known[5:55, 50:62] = True
    np.testing.assert_array_equal(without_slivers(known), known)
    assert not without_slivers(np.zeros((8, 8), bool)).any()
