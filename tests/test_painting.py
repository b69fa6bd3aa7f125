"""The complete texture of a person, with a fake completion network that returns one colour."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from coded_photos import HAIR, SKIN
from facegeom.face_model.template import load_template
from facegeom.images.sampling import bilinear
from facegeom.texture.appearance import View
from facegeom.texture.painting import paint, without_hairline, without_slivers

OUTPUT = (90, 160, 90)


class OneColor:
    """A fake of the completion network: its output is `OUTPUT` at every texel."""

    size = 64
    region = np.ones((64, 64), bool)
    mean = np.full((64, 64, 3), 128, np.uint8)

    def predict(self, textures: Any, known: Any) -> Any:
        return np.broadcast_to(np.uint8(OUTPUT), textures.shape)


@pytest.mark.parametrize("size", [64, 256])
def test_texels_come_from_photo_network_and_hair_by_region(plain_person: Any, size: int) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    view = View(photo, prediction.maps, prediction.camera, V, template.fine)
    painted = paint(template, view, size, network=OneColor())
    assert painted.texture.shape == (size, size, 3)
    assert 0.1 < painted.known.mean() < 0.4
    assert np.abs(painted.texture[painted.known].astype(int) - SKIN).mean() < 4
    colors, regions = painted.colors.astype(int), template.fine.regions
    far = -np.sign(prediction.camera.rotation[0, 2]) * V[:, 0] > 35
    cheek = regions["face"] & regions["map"] & far & (np.abs(V[:, 1]) < 30)
    assert cheek.sum() > 50
    between = np.abs(colors[cheek] - OUTPUT) <= np.abs(np.subtract(SKIN, OUTPUT)) + 15
    assert between.mean() > 0.95  # near known texels, the colour changes from the skin's to the network's
    crown = regions["scalp"] & (V[:, 1] > 80)
    assert np.abs(colors[crown] - HAIR).mean() < 30
    front = regions["teeth"] & (V[:, 2] > V[regions["teeth"], 2].max() - 8)
    assert (
        colors[front].mean() > 1.4 * colors[regions["teeth"] & (V[:, 2] < 0)].mean()
    )  # darker towards the back of the mouth


def test_vertex_colours_are_samples_of_the_texture(plain_person: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    painted = paint(
        template, View(photo, prediction.maps, prediction.camera, V, template.fine), 256, network=OneColor()
    )
    fine = template.fine
    corner_of = np.zeros(len(V), np.int64)
    corner_of[fine.faces.ravel()] = fine.uv_faces.ravel()
    places = fine.uv[corner_of] * (256, -256) + (-0.5, 255.5)
    np.testing.assert_allclose(painted.colors, bilinear(painted.texture, places), atol=0.51)


def test_no_texel_is_black_and_no_border_is_visible(plain_person: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    network = OneColor()
    network.predict = lambda textures, known: np.broadcast_to(np.uint8(SKIN), textures.shape)  # type: ignore[method-assign]
    bright = np.maximum(photo, np.uint8(SKIN))
    painted = paint(template, View(bright, prediction.maps, prediction.camera, V, template.fine), 128, network=network)
    skin = np.zeros((128, 128), bool)
    fine = template.fine
    dark = np.any([fine.regions[name] for name in ("eyelids_left", "eyelids_right", "lips")], axis=0)  # lashes, mouth
    plain = fine.uv_faces[: fine.skin_triangles][~dark[fine.skin_faces].any(axis=1)]
    uv = fine.uv[plain].mean(axis=1) * (128, -128) + (0, 128)
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
