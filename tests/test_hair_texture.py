"""Hair on the scalp: strands from the crown, where they grow, and what a photo says of its colour."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.face_model.template import load_template
from facegeom.images.camera import Camera
from facegeom.networks.segmentation_crop import BACKGROUND, CLASSES, COVER, HEAD_HAIR, SKIN, head_affine
from facegeom.texture.baking import Atlas
from facegeom.texture.hair import hair_zone, hairy_vertices, strands
from facegeom.texture.head_classes import (
    SPOTS,
    HeadClasses,
    head_classes,
    is_grey,
    with_bald_scalp,
    with_cloth,
    with_whole_hair,
    without_colour,
)
from facegeom.texture.shown_texels import strange, unlike


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    fine = load_template(head=True).fine
    return Atlas(fine.faces, fine.uv, fine.uv_faces, 256)


def classes_of(kind: np.ndarray, image: np.ndarray) -> HeadClasses:
    return HeadClasses(image, np.eye(len(CLASSES), dtype=np.float32)[kind], np.eye(2, 3))


def test_strands_vary_across_and_not_along(atlas: Atlas) -> None:
    template = load_template(head=True)
    pattern = strands(template, atlas).astype(np.float32)
    scalp = atlas.region(template.fine.regions["scalp"])
    values = pattern[scalp]
    assert abs(float(values.mean())) < 0.2
    assert 0.5 < float(values.std()) < 2
    places = atlas.image(atlas.carry(template.carry(load_face_model().mean[template.vertices])))
    step = np.linalg.norm(np.diff(places, axis=1), axis=2)
    side = scalp[:, 1:] & scalp[:, :-1] & (step < 4)
    assert np.abs(np.diff(pattern, axis=1))[side].mean() > 0.1


def test_hair_grows_on_the_scalp_and_not_before_the_ears() -> None:
    template = load_template(head=True)
    hairy = hairy_vertices(template)
    places = load_face_model().mean[template.vertices]
    assert hairy.sum() > 300
    assert not (hairy & ~template.coarse.regions["scalp"]).any()
    before_ears = template.coarse.regions["scalp"] & (places[:, 1] < -10) & (places[:, 2] > -70)
    assert not hairy[before_ears].any()
    assert not hairy_vertices(load_template()).any()


def test_hair_of_the_photo_is_kept_near_the_scalp_only(atlas: Atlas) -> None:
    template = load_template(head=True)
    zone = hair_zone(template, atlas)
    fine = template.fine
    assert zone[atlas.region(fine.regions["scalp"])].min() > 0.9
    assert zone[atlas.region(fine.regions["nose"])].max() == 0
    assert zone[atlas.region(fine.regions["ear_left"])].max() < 0.9


def test_the_colour_of_hair_is_that_of_its_pixels() -> None:
    kind = np.full((32, 32), SKIN)
    kind[:8] = HEAD_HAIR
    image = np.full((32, 32, 3), 200, np.uint8)
    image[:8] = (90, 60, 30)
    found = classes_of(kind, image)
    np.testing.assert_array_equal(found.hair, [90, 60, 30])
    assert not found.hat
    assert classes_of(np.full((32, 32), SKIN), image).hair is None
    kind[:8] = COVER
    assert classes_of(kind, image).hat
    assert 0 < found.hair_contrast < 0.5


def test_pixels_near_another_class_are_not_sure() -> None:
    kind = np.full((32, 32), SKIN)
    kind[:, 16:] = HEAD_HAIR
    found = classes_of(kind, np.zeros((32, 32, 3), np.uint8))
    skin, hair, near, either = found.at(np.array([[5.0, 15.0], [15.0, 15.0], [28.0, 15.0], [-3.0, 4.0]])).T
    np.testing.assert_allclose(skin, [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(hair, [0, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(near, [0, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(either, [1, 1, 1, 0], atol=1e-6)


def test_outside_the_photo_is_background() -> None:
    class Everywhere:
        size = 64

        def predict(self, crops: np.ndarray) -> np.ndarray:
            return np.broadcast_to(np.eye(len(CLASSES), dtype=np.float32)[SKIN], (*crops.shape[:3], len(CLASSES)))

    camera = Camera(np.eye(3), 1.0, (100.0, 60.0))
    found = head_classes(np.full((120, 200, 3), 90, np.uint8), camera, network=Everywhere())
    affine = head_affine(np.eye(3), 1.0, np.array([100.0, 60.0]), 64)
    np.testing.assert_allclose(found.affine, affine)
    kinds = found.probability.argmax(-1)
    assert kinds[32, 32] == SKIN
    assert (kinds[:3] == BACKGROUND).all()


def test_grey_photos_are_told_from_pale_ones() -> None:
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(0, 256, (40, 40, 1)), 3, axis=2).astype(np.uint8)
    assert is_grey(grey)
    assert is_grey(np.clip(grey + rng.integers(-2, 3, grey.shape), 0, 255).astype(np.uint8))
    assert not is_grey(np.clip(grey.astype(int) + np.array([18, 0, -10]), 0, 255).astype(np.uint8))
    assert np.ptp(without_colour(rng.integers(0, 256, (9, 3)).astype(np.uint8)), axis=1).max() == 0


def bald_head(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture whose upper half is called hair, the left of it skin in other light, the right of it strands."""
    image = np.full((64, 64, 3), (190, 150, 125), np.float64)
    image[:32, :32] *= 1.06
    strands = np.where(rng.random(32) < 0.5, 0.55, 1.0)
    image[:32, 32:] *= strands[None, :, None]
    kind = np.full((64, 64), SKIN)
    kind[:32] = HEAD_HAIR
    return np.clip(image + rng.normal(0, 1.0, image.shape), 0, 255).astype(np.uint8), kind


def test_hair_that_looks_like_the_skin_nearby_is_a_bald_scalp() -> None:
    image, kind = bald_head(np.random.default_rng(1))
    before = np.eye(len(CLASSES), dtype=np.float32)[kind]
    after = with_bald_scalp(image, before)
    np.testing.assert_allclose(after.sum(axis=2), 1, atol=1e-6)
    assert after[2:30, 4:22, SKIN].mean() > 0.9
    assert after[2:30, 40:, HEAD_HAIR].mean() > 0.9
    np.testing.assert_array_equal(after[32:], before[32:])


def test_highlights_that_hair_surrounds_are_hair() -> None:
    rng = np.random.default_rng(2)
    image = np.full((64, 64, 3), (190, 150, 125), np.float64)
    image[:40] *= np.where(rng.random((40, 64, 1)) < 0.5, 0.3, 0.6)
    image[10:22, 20:40] = (190, 150, 125)
    kind = np.full((64, 64), SKIN)
    kind[:40] = HEAD_HAIR
    before = np.eye(len(CLASSES), dtype=np.float32)[kind]
    np.testing.assert_array_equal(with_bald_scalp(image.astype(np.uint8), before), before)


def test_a_highlight_on_the_forehead_below_dark_hair_is_skin() -> None:
    image, kind = np.full((64, 64, 3), (120, 85, 70), np.uint8), np.full((64, 64), SKIN)
    image[:8], kind[:8] = (120, 150, 200), BACKGROUND
    image[8:20] = np.random.default_rng(3).choice([30, 70], (12, 64, 1))
    kind[8:36] = HEAD_HAIR
    lit = np.where(np.arange(20, 64)[:, None, None] < 36, (215, 190, 175), image[20:]).astype(np.uint8)
    image[20:] = cv2.GaussianBlur(lit, (0, 0), 3.0)
    after = with_bald_scalp(image, np.eye(len(CLASSES), dtype=np.float32)[kind])
    assert after[26:34, :, SKIN].mean() > 0.9
    assert after[9:18, :, HEAD_HAIR].mean() > 0.9


def test_the_colour_of_hair_leaves_out_what_may_be_skin() -> None:
    image, kind = np.full((64, 64, 3), (130, 95, 78), np.uint8), np.full((64, 64), SKIN)
    kind[:30] = HEAD_HAIR
    image[:12] = (50, 45, 42)
    np.testing.assert_array_equal(classes_of(kind, image).hair, [50, 45, 42])
    image[:12] = (120, 85, 70)  # hair in the colour of the skin
    np.testing.assert_array_equal(classes_of(kind, image).hair, [130, 95, 78])


def test_the_border_of_a_bald_scalp_is_no_hair() -> None:
    image, kind = np.full((64, 64, 3), (190, 150, 125), np.uint8), np.full((64, 64), BACKGROUND)
    image[:9], image[9] = (60, 90, 160), (130, 120, 140)  # the row between is mixed with the background
    kind[9:], kind[9:30] = SKIN, HEAD_HAIR
    after = with_bald_scalp(image, np.eye(len(CLASSES), dtype=np.float32)[kind])
    assert after[9:30, 4:60, HEAD_HAIR].max() < 0.5


def test_white_hair_is_no_bald_scalp() -> None:
    image, kind = np.full((64, 64, 3), (190, 150, 125), np.uint8), np.full((64, 64), SKIN)
    image[:30], kind[:30] = (190, 184, 176), HEAD_HAIR
    before = np.eye(len(CLASSES), dtype=np.float32)[kind]
    np.testing.assert_allclose(with_bald_scalp(image, before)[:28], before[:28], atol=1e-6)


def test_the_colour_of_a_narrow_part_is_that_of_its_middle() -> None:
    kind = np.full((32, 32), SKIN)
    kind[:, 10:15] = HEAD_HAIR
    image = np.full((32, 32, 3), 120, np.uint8)
    image[:, 10:15], image[:, 11:14], image[:, 12] = 150, 180, 220
    np.testing.assert_array_equal(classes_of(kind, image).hair, [220, 220, 220])


def test_hair_below_a_hat_with_the_colour_of_cloth_is_cover() -> None:
    kind = np.full((32, 32), SKIN)
    kind[:12] = COVER
    kind[12:15] = HEAD_HAIR
    before = np.eye(len(CLASSES), dtype=np.float32)[kind]
    for colour, expected in (((20, 30, 90), COVER), ((60, 40, 30), HEAD_HAIR), ((165, 160, 165), COVER)):
        image = np.full((32, 32, 3), 180, np.uint8)
        image[12:15] = colour
        after = with_cloth(image, before)
        assert (after[12:15].argmax(axis=2) == expected).all()
        np.testing.assert_array_equal(after[15:], before[15:])
    kind[:12] = HEAD_HAIR  # dyed hair without a hat
    image[:15] = (20, 30, 90)
    dyed = np.eye(len(CLASSES), dtype=np.float32)[kind]
    np.testing.assert_array_equal(with_cloth(image, dyed), dyed)


def test_uncertain_places_between_hair_are_hair() -> None:
    kind = np.full((48, 48), SKIN)
    kind[:24] = HEAD_HAIR
    before = np.eye(len(CLASSES), dtype=np.float32)[kind]
    before[10:14, 20:26] = 0
    before[10:14, 20:26, HEAD_HAIR], before[10:14, 20:26, COVER] = 0.42, 0.58
    after = with_whole_hair(before)
    np.testing.assert_allclose(after[:24, :, HEAD_HAIR], 1.0)
    np.testing.assert_array_equal(after[24:], before[24:])

    sure = before.copy()
    sure[10:14, 20:26] = np.eye(len(CLASSES), dtype=np.float32)[COVER]  # such as a hand
    np.testing.assert_array_equal(with_whole_hair(sure), sure)
    beside = before.copy()
    beside[30:40, 5:15] = 0
    beside[30:40, 5:15, HEAD_HAIR], beside[30:40, 5:15, COVER] = 0.42, 0.58
    np.testing.assert_array_equal(with_whole_hair(beside)[24:], beside[24:])
    hat = np.eye(len(CLASSES), dtype=np.float32)[np.where(np.arange(48)[:, None] < 30, COVER, HEAD_HAIR)] * np.ones(
        (48, 48, 1)
    )
    np.testing.assert_array_equal(with_whole_hair(hat.astype(np.float32)), hat)


def test_hair_in_the_light_on_a_head_full_of_hair_is_hair() -> None:
    rng = np.random.default_rng(6)
    image = np.full((64, 64, 3), (190, 150, 125), np.float64)
    image[:40] *= rng.choice([0.35, 0.6], (40, 64, 1))
    kind = np.full((64, 64), SKIN)
    kind[:40] = HEAD_HAIR
    before = np.eye(len(CLASSES), dtype=np.float32)[kind]
    for width, bald in ((12, False), (40, True)):  # the part that looks like skin goes on from the forehead
        lit = image.copy()
        lit[4:40, :width] = (190, 150, 125)
        after = with_bald_scalp(lit.astype(np.uint8), before)
        assert (after[8:36, 3 : width - 4, SKIN].mean() > 0.5) == bald


def test_the_contrast_of_the_skin_is_that_of_its_spots() -> None:
    rng = np.random.default_rng(7)
    kind = np.full((64, 64), SKIN)
    kind[:8] = HEAD_HAIR
    even = np.full((64, 64, 3), 150, np.uint8)
    spotted = np.clip(even + rng.normal(0, 3.0, (64, 64, 1)), 0, 255).astype(np.uint8)
    rough = np.clip(even + rng.normal(0, 40.0, (64, 64, 1)), 0, 255).astype(np.uint8)
    found = [classes_of(kind, image).skin_contrast for image in (even, spotted, rough)]
    assert found[0] == SPOTS[0]
    assert SPOTS[0] < found[1] < SPOTS[1]
    assert found[2] == SPOTS[1]
    assert classes_of(np.full((64, 64), HEAD_HAIR), even).skin_contrast == SPOTS[0]


def test_cloth_and_objects_are_unlike_skin_also_in_dark_photos() -> None:
    skin = np.float64((190, 140, 115))
    ball, lips, shadow, lens, shirt = (200, 220, 60), (170, 90, 90), (120, 80, 62), (25, 50, 35), (40, 60, 140)
    shown = np.uint8([skin, ball, lips, shadow, lens, shirt])
    np.testing.assert_array_equal(strange(shown[:5], skin), [False, True, False, False, False])
    np.testing.assert_array_equal(unlike(shown[[0, 3, 5]], skin), [False, False, True])
    dark = np.uint8([(62, 50, 38), (48, 38, 29), (40, 45, 75)])
    np.testing.assert_array_equal(unlike(dark, np.float64(dark[0])), [False, False, True])
    assert not strange(shown, None).any()
