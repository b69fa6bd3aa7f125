"""The complete texture of a person, with a fake completion network that returns one colour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from coded_photos import HAIR, SKIN
from facegeom.face_model.template import load_template
from facegeom.images.sampling import bilinear
from facegeom.networks.segmentation_crop import HEAD_HAIR
from facegeom.texture.appearance import View
from facegeom.texture.baking import Atlas
from facegeom.texture.hair import hair_zone
from facegeom.texture.head_classes import without_colour
from facegeom.texture.occlusion import mean_occlusion
from facegeom.texture.painting import BAND, far_from, paint, skin_spots, softened, without_slivers

OUTPUT = (90, 160, 90)


class OneColor:
    """A fake of the completion network: its output is `OUTPUT` at every texel."""

    size = 64
    region = np.ones((64, 64), bool)
    mean = np.full((64, 64, 3), 128, np.uint8)
    usual_hair = None

    def predict(self, textures: Any, known: Any, hair: Any = None) -> Any:
        return np.broadcast_to(np.uint8(OUTPUT), textures.shape)


@pytest.mark.parametrize("size", [64, 256])
def test_texels_come_from_photo_network_and_hair_by_region(plain_person: Any, plain_classes: Any, size: int) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    view = View(photo, prediction.maps, prediction.camera, V, template.fine)
    painted = paint(template, view, plain_classes(photo, prediction.camera), size, network=OneColor())
    assert painted.texture.shape == (size, size, 3)
    assert 0.1 < painted.known.mean() < 0.4
    known = painted.texture[painted.known].astype(int)
    assert np.minimum(np.abs(known - SKIN).mean(axis=1), np.abs(known - HAIR).mean(axis=1)).mean() < 8
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
        colors[front].mean() > 1.25 * colors[regions["teeth"] & (V[:, 2] < 0)].mean()
    )  # darker towards the back of the mouth


def test_vertex_colours_are_samples_of_the_texture(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    view = View(photo, prediction.maps, prediction.camera, V, template.fine)
    painted = paint(template, view, plain_classes(photo, prediction.camera), 256, network=OneColor())
    fine = template.fine
    corner_of = np.zeros(len(V), np.int64)
    corner_of[fine.faces.ravel()] = fine.uv_faces.ravel()
    places = fine.uv[corner_of] * (256, -256) + (-0.5, 255.5)
    np.testing.assert_allclose(painted.colors, bilinear(painted.texture, places), atol=0.51)


def test_no_texel_is_black_and_no_border_is_visible(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    network = OneColor()
    network.predict = lambda textures, known: np.broadcast_to(np.uint8(SKIN), textures.shape)  # type: ignore[method-assign]
    bright = np.maximum(photo, np.uint8(SKIN))
    view = View(bright, prediction.maps, prediction.camera, V, template.fine)
    painted = paint(template, view, plain_classes(bright, prediction.camera), 128, network=network)
    skin = np.zeros((128, 128), bool)
    fine = template.fine
    # lashes, the mouth, and the hollows of ears and nose
    shaded = ("eyelids_left", "eyelids_right", "lips", "ear_left", "ear_right", "nose")
    dark = np.any([fine.regions[name] for name in shaded], axis=0)
    plain = fine.uv_faces[: fine.skin_triangles][~dark[fine.skin_faces].any(axis=1)]
    uv = fine.uv[plain].mean(axis=1) * (128, -128) + (0, 128)
    column, row = np.clip(uv.astype(int), 0, 127).T
    skin[row, column] = True
    inner = cv2.erode(skin.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert np.abs(painted.texture[inner].astype(int) - SKIN).max() < 40


def test_the_network_sees_the_face_in_unusual_light(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    seen: list[int] = []

    def predict(textures: Any, known: Any) -> Any:
        seen.append(int(known.sum()))
        return np.broadcast_to(np.uint8(SKIN), textures.shape)

    network = OneColor()
    network.predict = predict  # type: ignore[method-assign]
    face = prediction.camera.project(V[template.fine.regions["map"]])
    cheek = np.arange(photo.shape[1]) < np.quantile(face[:, 0], 0.15)  # this part of the face is in the shadow
    for one in (photo, (photo * np.where(cheek, 0.3, 1.0)[None, :, None]).astype(np.uint8)):
        view = View(one, prediction.maps, prediction.camera, V, template.fine)
        paint(template, view, plain_classes(photo, prediction.camera), 128, network=network)
    assert seen[1] > 0.9 * seen[0] > 0


def test_bare_ears_have_the_colours_of_the_photo_and_covered_ears_have_not(
    plain_person: Any, plain_classes: Any
) -> None:
    photo, prediction, V = plain_person
    template, camera = load_template(head=True), prediction.camera
    fine, ear_color = template.fine, np.add(SKIN, (10, -16, -12))
    side = "right" if camera.rotation[0, 2] > 0 else "left"
    ears = fine.regions["ear_left"] | fine.regions["ear_right"]
    places = np.rint(camera.project(V[ears])).astype(int)
    photo = photo.copy()
    for x, y in places:
        photo[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = ear_color
    classes = plain_classes(photo, camera)
    atlas = Atlas(fine.faces, fine.uv, fine.uv_faces, 256)
    of_ears = atlas.region(fine.regions[f"ear_{side}"])
    view = View(photo, prediction.maps, camera, V, fine)
    bare = paint(template, view, classes, 256, network=OneColor())
    hairy = classes.probability.copy()
    hairy[...] = np.eye(hairy.shape[2], dtype=np.float32)[HEAD_HAIR]
    covered = paint(template, view, replace(classes, probability=hairy), 256, network=OneColor())
    assert (bare.known & of_ears).sum() > 30
    close = np.abs(bare.texture[bare.known & of_ears].astype(int) - ear_color).mean(axis=1) < 40
    assert close.mean() > 0.5
    assert not (covered.known & of_ears).any()


def test_small_separate_parts_are_not_known_texels() -> None:
    known = np.zeros((64, 64), bool)
    known[10:50, 10:40] = True
    known[5:55, 50:52] = True  # along the outline
    assert known[without_slivers(known)].sum() == 40 * 30
    assert not without_slivers(known)[5:55, 50:52].any()
    known[5:55, 50:62] = True
    np.testing.assert_array_equal(without_slivers(known), known)
    assert not without_slivers(np.zeros((8, 8), bool)).any()


def test_what_covers_the_face_is_no_part_of_its_texture(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template, camera = load_template(head=True), prediction.camera
    x, y = np.rint(camera.project(np.array([[18.0, -30.0, 30.0]]))[0]).astype(int)
    hand = (150, 110, 86)  # so like skin that its colours alone do not give it away
    photo = photo.copy()
    photo[y - 22 : y + 22, x - 18 : x + 18] = hand
    view = View(photo, prediction.maps, camera, V, template.fine)
    without = plain_classes(photo, camera)
    covered = np.abs(without.image.astype(int) - hand).sum(axis=2) < 60
    probability = np.where(covered[..., None], np.eye(7, dtype=np.float32)[5], without.probability)
    found, plain = (
        paint(template, view, classes, 256, network=OneColor())
        for classes in (replace(without, probability=probability), without)
    )
    near_hair = hair_zone(template, Atlas(template.fine.faces, template.fine.uv, template.fine.uv_faces, 256)) > 0
    taken = plain.known & ~found.known & ~near_hair  # a mixture of skin and hair looks like the hand, too
    first, second = (np.abs(one.texture.astype(int) - hand).sum(axis=2) < 40 for one in (plain, found))
    assert (taken & first).sum() > 150
    assert second[taken & first].mean() < 0.1


def test_background_beside_the_head_does_not_reach_the_scalp(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    camera = prediction.camera
    green = (30, 220, 40)
    outside = (photo == HAIR).all(axis=2)
    photo = np.where(outside[..., None], np.uint8(green), photo)
    classes = plain_classes(photo, camera)
    wall = np.abs(classes.image.astype(int) - green).sum(axis=2) < 200
    classes.probability[wall] = np.eye(7, dtype=np.float32)[0]
    network = OneColor()
    network.predict = lambda textures, known: np.broadcast_to(np.uint8(SKIN), textures.shape)  # type: ignore[method-assign]
    painted = paint(template, View(photo, prediction.maps, camera, V, template.fine), classes, 128, network=network)
    scalp = template.fine.regions["scalp"]
    colors = painted.colors[scalp].astype(int)
    assert (colors[:, 1] - colors[:, 0]).max() < 60


def test_a_fringe_is_hair_and_has_no_border_of_another_colour(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template, camera = load_template(head=True), prediction.camera
    fine = template.fine
    ends = [camera.project(np.array([[x, 34.0, 25.0]]))[0, 1] for x in (-20.0, 20.0)]
    photo = photo.copy()
    photo[: int(np.mean(ends))] = HAIR
    view = View(photo, prediction.maps, camera, V, fine)
    classes = plain_classes(photo, camera)
    assert classes.probability[..., HEAD_HAIR].mean() > 0.1
    painted = paint(template, view, classes, 256, network=OneColor())
    brightness = painted.colors.mean(axis=1)
    front = fine.regions["face"] & (view.seen > 0.9) & (np.abs(V[:, 0]) < 25)
    fringe, brows = front & (V[:, 1] > 42) & (V[:, 1] < 52), front & (V[:, 1] > 15) & (V[:, 1] < 24)
    assert fringe.sum() > 20
    assert brows.sum() > 20
    assert np.abs(painted.colors[fringe].astype(int) - HAIR).mean() < 15
    between = front & (V[:, 1] > 20) & (V[:, 1] < 50)
    assert brightness[between].max() < brightness[brows].max() + 5


def test_a_grey_photo_gives_a_grey_texture(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    classes = plain_classes(photo, prediction.camera)
    grey = without_colour(photo)
    classes = replace(classes, image=without_colour(classes.image))
    view = View(grey, prediction.maps, prediction.camera, V, template.fine)
    painted = paint(template, view, classes, 128, network=OneColor())
    assert np.ptp(painted.texture.astype(int), axis=2).max() == 0
    coloured = paint(
        template,
        View(photo, prediction.maps, prediction.camera, V, template.fine),
        plain_classes(photo, prediction.camera),
        128,
        network=OneColor(),
    )
    assert np.ptp(coloured.texture.astype(int), axis=2).max() > 40


def test_a_hidden_cheek_has_the_detail_of_the_other_one(plain_person: Any, plain_classes: Any) -> None:
    """A stripe on the cheek that the photo shows appears on the hidden cheek, too."""
    photo, prediction, V = plain_person
    template, camera, size = load_template(head=True), prediction.camera, 256
    fine, striped = template.fine, photo.copy()
    seen = View(photo, prediction.maps, camera, V, fine).seen
    side = 1 if seen[V[:, 0] > 40].sum() > seen[V[:, 0] < -40].sum() else -1
    cheek = fine.regions["face"] & (side * V[:, 0] > 42) & (side * V[:, 0] < 58) & (V[:, 1] < -5) & (V[:, 1] > -45)
    stripe = cheek & (np.abs(V[:, 1] + 25) < 4)
    for x, y in np.rint(camera.project(V[stripe])).astype(int):
        striped[y - 1 : y + 2, x - 1 : x + 2] = np.array(SKIN) * 0.7
    view = View(striped, prediction.maps, camera, V, fine)
    painted = paint(template, view, plain_classes(photo, camera), size, network=OneColor())
    mirrored = painted.texture[:, ::-1].astype(int)
    atlas = Atlas(fine.faces, fine.uv, fine.uv_faces, size)
    shown = atlas.region(cheek) & painted.known
    hidden = shown & ~painted.known[:, ::-1]
    assert hidden.sum() > 30
    assert np.abs(mirrored[hidden] - OUTPUT).mean() > 30  # not the network's colour
    own = painted.texture[hidden].mean(axis=1)
    assert own.std() > 10
    assert np.corrcoef(own, mirrored[hidden].mean(axis=1))[0, 1] > 0.8


def test_nostrils_that_no_photo_shows_are_dark_skin(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    view = View(photo, prediction.maps, prediction.camera, V, template.fine)
    painted = paint(template, view, plain_classes(photo, prediction.camera), 512, network=OneColor())
    count = template.coarse.skin_count
    inside = template.coarse.regions["nose"][:count] & (mean_occlusion(template) < 0.3)
    assert inside.sum() > 20
    colors = painted.colors[:count][inside].astype(int)
    assert np.median(colors.sum(axis=1)) < 0.7 * np.sum(SKIN)
    assert np.median(colors[:, 0] - colors[:, 1]) > 0  # redder than the network's green


def test_the_network_fills_gaps_and_the_other_side_what_is_far() -> None:
    known = np.zeros((256, 256), bool)
    known[:, :160] = True
    known[100:110, 60:80] = False
    far = far_from(known)
    assert far[100:110, 60:80].max() == 0
    assert far[:, 165].max() < 0.4
    assert far[:, 220:].min() == 1


def test_a_mirrored_picture_also_ends_softly_at_sharp_borders() -> None:
    share = np.zeros((256, 256), np.float32)
    share[50:200, 50:200] = 1
    share[60:190, 100] = 0.3
    soft = softened(share)
    assert (soft <= share).all()
    assert soft[70:180, 70:90].min() == 1
    assert soft[120, 50] < 0.3
    assert np.abs(np.diff(soft[120, 48:60])).max() < 0.5


def test_spots_of_the_skin_repeat_in_whole_bands() -> None:
    for size in (64, 300, 1024, 2048):
        spots = skin_spots(size)
        assert spots.shape[1] == size
        assert len(spots) % BAND == 0
        assert abs(float(spots[:, : min(size, len(spots))].astype(float).std()) - 1) < 0.2
    assert skin_spots(1024).shape == (256, 1024)


def test_skin_that_no_photo_shows_has_the_spots_of_the_skin(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    fine = template.fine
    view = View(photo, prediction.maps, prediction.camera, V, fine)
    even, spotted = plain_classes(photo, prediction.camera), plain_classes(photo, prediction.camera)
    vars(even)["skin_contrast"], vars(spotted)["skin_contrast"] = 0.0, 0.05
    first, second = (paint(template, view, one, 256, network=OneColor()) for one in (even, spotted))
    change = second.texture.astype(float).mean(axis=2) - first.texture.mean(axis=2)
    atlas = Atlas(fine.faces, fine.uv, fine.uv_faces, 256)
    neck = atlas.region(fine.regions["neck"] & (V[:, 2] > -90)) & ~first.known
    assert 0.02 * np.mean(SKIN) < change[neck].std() < 0.08 * np.mean(SKIN)
    assert np.abs(change[first.known & (first.known == first.known[:, ::-1])]).mean() < 1


def test_hair_of_one_temple_grows_on_both_and_ends_in_strands(plain_person: Any, plain_classes: Any) -> None:
    """The photo shows hair on one temple, and not the other temple: this one has hair, too, without another border."""
    photo, prediction, V = plain_person
    template, camera, size = load_template(head=True), prediction.camera, 256
    fine = template.fine
    seen = View(photo, prediction.maps, camera, V, fine).seen
    side = 1 if seen[V[:, 0] > 40].sum() > seen[V[:, 0] < -40].sum() else -1
    haired = photo.copy()
    temple = fine.regions["face"] & (side * V[:, 0] > 46) & (V[:, 1] > 20)
    for x, y in np.rint(camera.project(V[temple])).astype(int):
        haired[y - 2 : y + 3, x - 2 : x + 3] = HAIR
    view = View(haired, prediction.maps, camera, V, fine)
    atlas = Atlas(fine.faces, fine.uv, fine.uv_faces, size)
    of_temple = atlas.region(temple) & (hair_zone(template, atlas) > 0.9)
    found = paint(template, view, plain_classes(haired, camera), size, network=OneColor())
    plain = paint(
        template, View(photo, prediction.maps, camera, V, fine), plain_classes(photo, camera), size, network=OneColor()
    )
    hidden = of_temple[:, ::-1] & ~found.known
    assert hidden.sum() > 20
    dark, light = (one.texture[hidden].mean() for one in (found, plain))
    assert dark < 0.7 * light
