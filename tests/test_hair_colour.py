"""Whose hair gives the colour, grey and white hair, lights on a shaved head, hats and hands."""

from __future__ import annotations

import cv2
import numpy as np

from facegeom.networks.segmentation_crop import BACKGROUND, CLASSES, CLOTHES, COVER, FACIAL_HAIR, HEAD_HAIR, SKIN
from facegeom.texture.head_classes import HeadClasses, lab, pale_colour, rgb, saturation, with_bald_scalp
from facegeom.texture.shown_texels import strange

SIZE = 128
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
TONE = np.array([200.0, 145.0, 118.0])


def head(hair: tuple[int, int, int] = (60, 40, 25)) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and the picture of a head seen from the front, with hair at the top and clothes below."""
    kind = np.full((SIZE, SIZE), BACKGROUND)
    face = ((COLUMNS - 64) / 36) ** 2 + ((ROWS - 64) / 44) ** 2 < 1
    kind[ROWS > 108] = CLOTHES
    kind[face] = SKIN
    kind[face & (ROWS < 42)] = HEAD_HAIR
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    image[kind == SKIN] = TONE
    image[kind == HEAD_HAIR] = hair
    return kind, image


def classes_of(kind: np.ndarray, image: np.ndarray) -> HeadClasses:
    return HeadClasses(image, np.eye(len(CLASSES), dtype=np.float32)[kind], np.eye(2, 3))


def test_hair_of_others_and_of_a_sofa_does_not_count() -> None:
    kind, image = head()
    own = classes_of(kind, image).hair
    sofa = (ROWS > 90) & (kind == BACKGROUND)
    other = (ROWS < 60) & (COLUMNS < 20)
    for part in (sofa, other):
        kind[part], image[part] = HEAD_HAIR, (160, 90, 30)
    assert (kind == HEAD_HAIR).sum() > 2 * ((kind == HEAD_HAIR) & ~sofa & ~other).sum()
    np.testing.assert_array_equal(classes_of(kind, image).hair, own)


def test_a_hand_before_the_face_is_no_hat_and_a_headband_leaves_the_hair() -> None:
    kind, image = head()
    kind[(ROWS > 75) & (COLUMNS < 60)] = COVER
    assert not classes_of(kind, image).hat
    assert classes_of(kind, image).hair is not None
    kind, image = head()
    top = (kind == HEAD_HAIR) & (ROWS > 27)
    kind[top], image[top] = COVER, (150, 150, 150)
    found = classes_of(kind, image)
    assert found.hat
    np.testing.assert_array_equal(found.hair, (60, 40, 25))


def test_grey_hair_through_which_skin_shines_is_grey() -> None:
    rng = np.random.default_rng(0)
    grey, share = np.array([165.0, 163.0, 160.0]), rng.random((4000, 1)) ** 1.5
    found = pale_colour(np.uint8(np.rint(grey + share * (TONE - grey))), TONE)
    median = np.median(grey + share * (TONE - grey), axis=0)
    tint, before = (float(saturation(lab(colour[None, None])[0, 0])) for colour in (found, median))
    assert tint < 0.4 * before
    assert np.abs(found - grey).max() < 12


def test_brown_and_red_hair_keeps_its_median_and_black_hair_below_the_sky_is_not_blue() -> None:
    rng = np.random.default_rng(0)
    for colour in ((90, 60, 40), (170, 80, 35), (196, 160, 105), (180, 60, 190)):
        pixels = np.uint8(np.clip(np.array(colour) * rng.uniform(0.7, 1.3, (2000, 1)), 0, 255))
        np.testing.assert_array_equal(pale_colour(pixels, TONE), np.median(pixels, axis=0))
    red, green, blue = pale_colour(np.full((100, 3), (60, 62, 76), np.uint8), TONE)
    assert green <= red
    assert blue <= red


def test_lights_on_the_head_of_a_man_with_a_dark_beard_are_no_white_hair() -> None:
    kind, image = head((225, 215, 215))
    white = classes_of(kind, image).hair
    assert white is not None
    assert white.min() > 200
    beard = (kind == SKIN) & (ROWS > 92)
    kind[beard], image[beard] = FACIAL_HAIR, (40, 30, 25)
    shaved = classes_of(kind, image).hair
    assert shaved is not None
    assert (shaved < TONE).all()
    dyed = image.copy()
    dyed[kind == HEAD_HAIR] = (230, 130, 240)
    np.testing.assert_array_equal(classes_of(kind, dyed).hair, (230, 130, 240))


def test_white_hair_as_light_as_the_skin_is_no_bald_scalp_and_a_light_on_it_is() -> None:
    usual = lab(TONE[None, None])[0, 0]
    for light, scale, bald in ((4.0, 0.4, False), (0.0, 1.05, True), (13.0, 0.75, True)):
        colour = rgb(np.array([usual[0] + light, *(scale * usual[1:])], np.float32)[None, None])[0, 0]
        kind, image = head(tuple(np.rint(colour).astype(int)))
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
        found = with_bald_scalp(blurred, np.eye(len(CLASSES), dtype=np.float32)[kind])
        left = found[kind == HEAD_HAIR, HEAD_HAIR].mean()
        assert (left < 0.3) == bald, (light, scale, left)


def test_a_grey_beard_on_red_skin_has_no_strange_colour() -> None:
    skin = np.array([190.0, 100.0, 60.0])
    colours = np.uint8([(110, 110, 108), (170, 200, 40)])
    np.testing.assert_array_equal(strange(colours, skin), [False, True])
