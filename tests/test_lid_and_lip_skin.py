"""Texels of lids and lips come from skin and lips: no lashes, eyeballs, teeth or gaps of the mouth on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facegeom.face_model.template import load_template
from facegeom.texture.atlas_parts import atlas_of
from facegeom.texture.lid_skin import BESIDE_MM, CORNERS_MM, UPPER_LIMIT, LidTexels, lid_texels, with_lid_skin
from facegeom.texture.lip_skin import (
    CORNER_MM,
    LipTexels,
    lip_texels,
    no_lips,
    with_plain_corners,
    with_whole_lips,
)

SIZE = 512
SKIN, LIPS = (205, 160, 140), (185, 95, 95)
TEMPLATE = load_template(head=True)


def atlas() -> Any:
    return atlas_of(TEMPLATE, SIZE)


def lids() -> tuple[LidTexels, LidTexels]:
    return lid_texels(TEMPLATE, atlas())


def lips() -> LipTexels:
    return lip_texels(TEMPLATE, atlas())


def plain() -> np.ndarray:
    return np.full((SIZE, SIZE, 3), SKIN, np.uint8)


def test_the_texels_of_the_two_eyes_are_mirror_images() -> None:
    left, right = lids()
    assert abs(left.distance.shape[1] - right.distance.shape[1]) <= 2
    assert 2.0 < -left.distance.min() < 5.0  # the part of the upper lid behind its margin, mm
    middle = (left.rows.start + left.rows.stop) / 2
    assert abs(middle - (right.rows.start + right.rows.stop) / 2) <= 1
    assert left.columns.start > SIZE / 2 > right.columns.stop


@pytest.mark.parametrize("streak", [(250, 250, 250), (30, 15, 10)], ids=["eyeball", "lashes"])
def test_streaks_on_the_upper_lid_lose_their_contrast(streak: tuple[int, int, int]) -> None:
    texture = plain()
    for eye in lids():
        window = texture[eye.rows, eye.columns]
        band = eye.upper & (eye.distance > 0.5) & (eye.distance < 4.0)
        band &= np.arange(window.shape[1]) % 6 < 3
        window[band] = streak
        around = window.astype(int).copy()
        texture = with_lid_skin(texture, eye)
        repaired = texture[eye.rows, eye.columns].astype(int)
        stretched = eye.upper & (eye.distance > 2.2) & (eye.distance < 2.8) & (eye.from_corner > CORNERS_MM)
        assert np.abs(around[stretched] - SKIN).max() > 40
        assert np.abs(repaired[stretched] - SKIN).max() < 25
        beyond = eye.distance >= max(UPPER_LIMIT[0])
        np.testing.assert_array_equal(repaired[beyond], around[beyond])


def test_glasses_do_not_stay_on_the_lids_and_give_them_no_colour() -> None:
    frame = (20, 60, 200)
    texture = plain()
    for eye in lids():
        window = texture[eye.rows, eye.columns]
        band = eye.upper & (eye.distance > 2.0) & (eye.distance < 12.0) & (np.arange(window.shape[1]) % 40 < 28)
        window[band] = frame
        repaired = with_lid_skin(texture, eye, worn=band)[eye.rows, eye.columns].astype(int)
        lid = eye.upper & (eye.distance > 2.6) & (eye.distance < 4.0) & (eye.from_corner > CORNERS_MM)
        assert (lid & band).sum() > 8
        assert np.abs(repaired[lid] - SKIN).max() < 20
        assert (repaired[band & (eye.distance > 10.0)] == frame).all()


def test_lids_below_dark_glasses_are_part_of_them() -> None:
    texture = plain()
    eye = lids()[0]
    np.testing.assert_array_equal(
        with_lid_skin(texture, eye, worn=np.ones_like(eye.upper)), with_lid_skin(texture, eye)
    )


def test_a_lid_in_the_colour_of_a_brow_becomes_skin() -> None:
    """A brow that hangs over the eye makes both lids dark; the skin of the face tells how light they are."""
    brow = (25, 20, 18)
    texture = plain()
    eye = lids()[0]
    texture[eye.rows, eye.columns][eye.distance < 13.0] = brow
    lid = eye.upper & (eye.distance > 1.5) & (eye.distance < 4.0)
    alone = with_lid_skin(texture, eye)[eye.rows, eye.columns][lid].mean()
    known = with_lid_skin(texture, eye, skin=np.array(SKIN, float))[eye.rows, eye.columns][lid].mean()
    assert alone < 1.2 * np.mean(brow)
    assert known > 0.35 * np.mean(SKIN)


@pytest.mark.parametrize("shown", [(190, 190, 200), (50, 35, 30)], ids=["white", "iris"])
def test_the_eyeball_does_not_stay_on_the_lower_lid(shown: tuple[int, int, int]) -> None:
    texture = plain()
    for eye in lids():
        band = ~eye.upper & (eye.distance > -1.0) & (eye.distance < 4.0) & (eye.from_corner > BESIDE_MM)
        texture[eye.rows, eye.columns][band] = shown
        repaired = with_lid_skin(texture, eye)[eye.rows, eye.columns].astype(int)
        below = band & (eye.distance > 1.5) & (eye.distance < 3.0)
        assert below.sum() > 20
        assert np.abs(repaired[below] - SKIN).max() < 15


def test_shadows_on_the_lower_lid_stay() -> None:
    texture = plain()
    for eye in lids():
        shade = ~eye.upper & (eye.distance > 2.6) & (np.arange(eye.upper.shape[1]) % 40 < 20)
        texture[eye.rows, eye.columns][shade] = np.rint(np.array(SKIN) * 0.45)
        inner = shade & (eye.from_corner > CORNERS_MM)  # beside the corners, the texels also belong to the upper lid
        np.testing.assert_array_equal(
            with_lid_skin(texture, eye)[eye.rows, eye.columns][inner], texture[eye.rows, eye.columns][inner]
        )


def test_the_margin_of_the_upper_lid_has_a_line_of_lashes_and_a_dark_back() -> None:
    texture = plain()
    for eye in lids():
        window = texture[eye.rows, eye.columns]
        window[eye.upper & (np.abs(eye.distance) < 1.0)] = (40, 25, 20)
        repaired = with_lid_skin(texture, eye)[eye.rows, eye.columns].astype(int)
        inside = eye.from_corner > 4.0
        roots = eye.upper & inside & (np.abs(eye.distance) < 0.4)
        behind = eye.upper & inside & (eye.distance < -2.0)
        assert repaired[roots].mean() < 0.6 * np.mean(SKIN)
        assert repaired[behind].max() < 0.8 * np.mean(SKIN)
        moist = ~eye.upper & inside & (eye.distance < -1.0)
        assert (repaired[moist][:, 0] - repaired[moist][:, 1]).mean() > SKIN[0] - SKIN[1]  # redder than the skin


def test_a_low_brow_does_not_colour_the_upper_lid() -> None:
    texture, brow = plain(), np.rint(np.array(SKIN) * 0.2)
    for eye in lids():
        texture[eye.rows, eye.columns][eye.upper & (eye.distance > 3.0)] = brow
        lid = eye.upper & (eye.distance > 1.0) & (eye.distance < 2.5)
        repaired = with_lid_skin(texture, eye)[eye.rows, eye.columns].astype(int)
        assert np.median(repaired[lid].mean(axis=1)) > 0.55 * np.mean(SKIN)


def test_lids_without_usual_skin_around_them_stay_as_they_are() -> None:
    texture = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    eye = lids()[0]._replace(distance=np.full_like(lids()[0].distance, 1e3))
    np.testing.assert_array_equal(with_lid_skin(texture, eye), texture)


TEETH = {"white": (235, 232, 225), "yellow": (190, 175, 110), "gap": (35, 15, 15)}


@pytest.mark.parametrize("teeth", TEETH)
def test_teeth_and_gap_do_not_stay_on_the_lips(teeth: str) -> None:
    mouth = lips()
    texture = plain()
    window = texture[mouth.rows, mouth.columns]
    window[mouth.lips] = LIPS
    wrong = mouth.lips & (mouth.inner < 6.5) & (np.sin(np.floor(mouth.across)) > -0.6)  # teeth with lips between them
    window[wrong] = TEETH[teeth]
    known = np.ones((SIZE, SIZE), bool)
    known[mouth.rows, mouth.columns] = ~mouth.lips | (mouth.inner > 4.0)
    rejected = no_lips(texture, known, mouth, pixel_mm=0.8)
    assert rejected[mouth.rows, mouth.columns][wrong & (mouth.inner > 4.0) & (mouth.outer > 2.5)].all()
    kept = mouth.lips & (mouth.inner > 9.5)
    assert not rejected[mouth.rows, mouth.columns][kept].any()
    whole = with_whole_lips(texture, known & ~rejected, mouth)[mouth.rows, mouth.columns].astype(int)
    shades = whole[mouth.lips & (mouth.outer > 2.5)] / np.array(LIPS)
    assert shades.min() > 0.6  # only a little darker and redder inside
    assert shades.max() < 1.15
    outside = ~mouth.lips
    np.testing.assert_array_equal(whole[outside], texture[mouth.rows, mouth.columns].astype(int)[outside])


def test_continued_lips_have_no_edge() -> None:
    mouth = lips()
    texture = plain()
    window = texture[mouth.rows, mouth.columns]
    window[mouth.lips] = LIPS
    known = np.ones((SIZE, SIZE), bool)
    known[mouth.rows, mouth.columns] = ~mouth.lips | (mouth.inner > 8.0)
    window[mouth.lips & ~known[mouth.rows, mouth.columns]] = (240, 240, 240)  # what a network may draw there
    whole = with_whole_lips(texture, known, mouth)[mouth.rows, mouth.columns].astype(int)
    inside = mouth.lips & (mouth.outer > 2.5)
    both = inside[:, 1:] & inside[:, :-1]
    assert np.abs(np.diff(whole, axis=1))[both].max() < 12


def test_the_inner_lips_have_the_colour_of_the_reddest_lips() -> None:
    mouth, texture, mixed = lips(), plain(), np.array((170, 125, 110))
    known = np.ones((SIZE, SIZE), bool)
    known[mouth.rows, mouth.columns] = ~mouth.lips | (mouth.inner > 6.0)
    window = texture[mouth.rows, mouth.columns]
    window[mouth.lips] = mixed  # lips mixed with skin and shadow
    window[mouth.lips & (np.floor(mouth.across) % 4 < 3)] = LIPS
    whole = with_whole_lips(texture, known, mouth)[mouth.rows, mouth.columns].astype(int)
    inside = whole[mouth.lips & (mouth.inner < 2.0) & (mouth.outer > 4.0)]
    assert np.median(inside[:, 0] - inside[:, 1]) > LIPS[0] - LIPS[1] - 15


def test_lips_end_in_the_skin_around_them_without_a_step() -> None:
    mouth, texture = lips(), plain()
    window = texture[mouth.rows, mouth.columns]
    window[mouth.lips] = LIPS
    known = np.ones((SIZE, SIZE), bool)
    known[mouth.rows, mouth.columns] = ~mouth.lips | mouth.upper
    window[mouth.lips & ~mouth.upper] = (240, 240, 240)  # what a network may draw there
    whole = with_whole_lips(texture, known, mouth)[mouth.rows, mouth.columns].astype(int)
    edge = mouth.lips & ~mouth.upper & (mouth.outer < 0.4)
    assert edge.sum() > 20
    assert np.abs(whole[edge] - SKIN).max() < 35


def test_the_border_of_the_lips_that_the_photo_shows_has_no_steps() -> None:
    mouth, texture = lips(), plain()
    window = texture[mouth.rows, mouth.columns]
    window[mouth.lips] = LIPS
    teeth = mouth.lips & (mouth.inner < np.clip(mouth.across - 56.0, 0.0, 7.0))  # higher from column to column
    window[teeth] = TEETH["white"]
    known = np.ones((SIZE, SIZE), bool)
    rejected = no_lips(texture, known, mouth, pixel_mm=0.2)[mouth.rows, mouth.columns]
    rises = []
    for lip in (mouth.upper, ~mouth.upper):
        place = np.floor(mouth.across * 3).astype(int)
        border = np.zeros(place.max() + 1)
        np.maximum.at(border, place[rejected & lip], mouth.inner[rejected & lip])
        rises += [border[3 * column + 2] - border[3 * column] for column in range(57, 63)]
    assert np.mean(rises) > 0.2  # inside a column, of a border that rises by 1 mm a column


@pytest.mark.parametrize("dark", [(40, 15, 15), (90, 50, 45)], ids=["gap", "shadow"])
def test_a_dark_spot_at_a_corner_of_the_mouth_is_weakened(dark: tuple[int, int, int]) -> None:
    mouth, texture = lips(), plain()
    window = texture[mouth.rows, mouth.columns]
    window[mouth.lips] = LIPS
    spot = mouth.corner < CORNER_MM - 2.5
    window[spot] = dark
    assert (spot & mouth.lips).any()
    assert (spot & ~mouth.lips).any()
    repaired = with_plain_corners(texture, mouth)[mouth.rows, mouth.columns].astype(int)
    before = np.abs(np.array(dark) - np.where(mouth.lips[spot][:, None], LIPS, SKIN)).mean()
    after = np.abs(repaired[spot] - np.where(mouth.lips[spot][:, None], LIPS, SKIN)).mean()
    assert after < 0.4 * before
    outside = mouth.corner > 100.0
    np.testing.assert_array_equal(repaired[outside], window[outside])


def test_corners_of_the_mouth_without_a_spot_stay_as_they_are() -> None:
    mouth, beard = lips(), np.random.default_rng(2).integers(30, 90, (SIZE, SIZE, 1))
    for texture in (plain(), np.repeat(beard, 3, axis=2).astype(np.uint8)):
        changed = np.abs(with_plain_corners(texture, mouth).astype(int) - texture)
        assert changed.mean() < 0.2


def test_lips_that_the_photo_does_not_show_stay_as_they_are() -> None:
    mouth, texture = lips(), plain()
    known = np.zeros((SIZE, SIZE), bool)
    assert not no_lips(texture, known, mouth, 0.8).any()
    np.testing.assert_array_equal(with_whole_lips(texture, known, mouth), texture)
