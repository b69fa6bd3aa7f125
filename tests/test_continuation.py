"""Colours of the parts of a head that no photo shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coded_photos import HAIR, SKIN
from facegeom import load_face_model
from facegeom.face_model.template import load_template
from facegeom.networks.segmentation_crop import BACKGROUND, COVER, HEAD_HAIR
from facegeom.networks.segmentation_crop import SKIN as SKIN_CLASS
from facegeom.texture import continuation
from facegeom.texture.appearance import View
from facegeom.texture.continuation import (
    Known,
    continued_colors,
    from_both_sides,
    growing_hair,
    hair_color,
    like_tone,
    skin_trust,
)
from facegeom.texture.hair_growth import SkinView, hair_of_temples, hair_share
from facegeom.texture.head_classes import lab

TEMPLATE = load_template(head=True)
COUNT = TEMPLATE.coarse.skin_count
PLACES = load_face_model().mean[TEMPLATE.vertices][:COUNT]


def view_of(person: Any) -> View:
    photo, prediction, V = person
    return View(photo, prediction.maps, prediction.camera, V, TEMPLATE.fine)


def test_shadow_at_the_outline_is_not_trusted_and_even_skin_is(plain_person: Any) -> None:
    view = view_of(plain_person)
    seen = view.facing[:COUNT] > 0.2
    vars(view)["colors"] = np.tile(np.float64(SKIN), (len(view.vertices), 1))
    np.testing.assert_allclose(skin_trust(TEMPLATE, view, seen), 1.0, atol=1e-2)
    border = seen & (view.facing[:COUNT] < 0.5) & (np.abs(PLACES[:, 0]) > 50)
    assert border.sum() > 40
    view.colors[:COUNT][border] *= 0.6
    trust = skin_trust(TEMPLATE, view, seen)
    assert trust[border].mean() < 0.5
    middle = (np.abs(PLACES[:, 0]) < 30) & (PLACES[:, 1] > -50) & (PLACES[:, 1] < 30)
    assert trust[middle].min() > 0.95


def test_skin_goes_on_as_skin_and_hair_as_hair(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, _ = plain_person
    view, classes = view_of(plain_person), plain_classes(photo, prediction.camera)
    scalp = TEMPLATE.coarse.regions["scalp"][:COUNT]
    values = np.where(scalp[:, None], np.float64(HAIR), np.float64(SKIN))
    known = np.where(view.facing[:COUNT] > 0.3, 1.0, 0.0)
    shown = Known(values, known, scalp, np.zeros_like(values))
    found = continued_colors(TEMPLATE, view, classes, shown, growing_hair(TEMPLATE, view, classes))
    neck, crown = TEMPLATE.coarse.regions["neck"][:COUNT], PLACES[:, 1] > 100
    assert np.abs(found.colors[neck & (PLACES[:, 2] > -60)] - SKIN).max() < 8  # the neck is less open than the face
    assert np.abs(found.colors[crown] - HAIR).max() < 12
    assert np.abs(found.hair[crown] - HAIR).max() < 12
    assert found.growing[PLACES[:, 2] < -150].max() > 0.9
    assert found.growing[neck & (PLACES[:, 2] > -60)].max() < 0.1


def test_the_top_of_a_half_bald_head_is_bald_and_its_back_is_not(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, _ = plain_person
    view, classes = view_of(plain_person), plain_classes(photo, prediction.camera)
    everywhere = hair_share(TEMPLATE, SkinView.of_view(TEMPLATE, view, classes))
    assert everywhere[PLACES[:, 1] > 100].min() > 0.9
    assert everywhere[TEMPLATE.coarse.regions["lips"][:COUNT]].max() < 0.05
    rows = np.arange(len(classes.image))[:, None]
    top = np.broadcast_to(rows < 45, classes.image.shape[:2])
    bald = classes.probability.copy()
    bald[top] = np.eye(7, dtype=np.float32)[SKIN_CLASS]
    share = hair_share(TEMPLATE, SkinView.of_view(TEMPLATE, view, replace(classes, probability=bald)))
    assert share[PLACES[:, 1] > 110].mean() < 0.2
    assert share[(PLACES[:, 2] < -150) & (PLACES[:, 1] < 40) & (PLACES[:, 1] > 5)].mean() > 0.5


def test_hair_below_a_hat_has_the_colour_of_the_brows(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, _ = plain_person
    view, classes = view_of(plain_person), plain_classes(photo, prediction.camera)
    regions = TEMPLATE.coarse.regions
    brows = (regions["brow_left"] | regions["brow_right"])[:COUNT]
    tone, known = np.float64(SKIN), np.ones(COUNT)
    values = np.where(brows[:, None], 0.5 * tone, tone)

    def instead_of_hair(kind: int) -> Any:
        probability = classes.probability.copy()
        probability[probability[..., HEAD_HAIR] > 0.5] = np.eye(7, dtype=np.float32)[kind]
        return replace(classes, probability=probability)

    np.testing.assert_allclose(hair_color(TEMPLATE, classes, values, known, tone), HAIR, atol=3)
    assert (hair_color(TEMPLATE, instead_of_hair(COVER), values, known, tone) < 0.5 * tone + 1e-6).all()
    no_brows = np.where(brows, 0.0, 1.0)
    assert (hair_color(TEMPLATE, instead_of_hair(BACKGROUND), values, no_brows, tone) < 0.5 * tone).all()
    assert growing_hair(TEMPLATE, view, instead_of_hair(COVER)).max() > 0.9
    assert growing_hair(TEMPLATE, view, instead_of_hair(SKIN_CLASS)).max() == 0


def test_hair_shown_at_a_temple_goes_on_to_the_scalp(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, _ = plain_person
    view, classes = view_of(plain_person), plain_classes(photo, prediction.camera)
    seen = SkinView.of_view(TEMPLATE, view, classes)
    own = np.tile(np.float32([1, 0, 0, 1]), (COUNT, 1))  # skin everywhere
    bare = SkinView(seen.facing, own.copy(), seen.inside)
    assert not hair_of_temples(TEMPLATE, bare).any()
    shown = (seen.facing > 0.35) & seen.inside
    level = np.abs(PLACES[:, 1] - 35) < 4
    side = 1 if (shown & level & (PLACES[:, 0] > 40)).sum() > (shown & level & (PLACES[:, 0] < -40)).sum() else -1
    beside = level & (side * PLACES[:, 0] > 40)
    behind = beside & (side * PLACES[:, 0] > np.quantile(side * PLACES[beside & shown, 0], 0.5))
    front = beside & shown & ~behind
    assert front.any()
    own[front] = [0, 1, 0, 1]
    own[~shown | behind] = 0
    found = hair_of_temples(TEMPLATE, SkinView(seen.facing, own, seen.inside))
    assert not found[COUNT:].any()
    found = found[:COUNT]
    assert (np.abs(PLACES[found, 1] - 35) < 7).all()
    assert (np.abs(PLACES[found, 0]) > 35).all()
    np.testing.assert_array_equal(found[TEMPLATE.coarse.mirror[:COUNT]], found)  # the other side is not in the photo
    assert found[behind].mean() > 0.3
    assert not found[shown & ~beside].any()


def test_unknown_colours_are_those_of_the_other_side_with_a_difference_that_fades() -> None:
    """The left side is brighter by 40 where both are known, at the nose; only the right one is known beyond."""
    x = PLACES[:, 0]
    values = np.tile(np.float64(SKIN), (COUNT, 1)) + 40 * (x > 0)[:, None]
    known = (x < 12).astype(float)
    found = from_both_sides(TEMPLATE, values, known, x < -60, known)
    near = TEMPLATE.coarse.regions["face"][:COUNT] & (x > 13) & (x < 16) & (np.abs(PLACES[:, 1] + 10) < 20)
    assert near.any()
    assert (found.weight[near] == 1).all()
    assert found.colors[near].mean() > np.mean(SKIN) + 8
    far = x > 60
    assert np.abs(found.colors[far] - SKIN).mean() < 3
    np.testing.assert_allclose(found.colors[known == 1], values[known == 1])
    assert found.hair[far].all()
    assert not found.hair[near].any()


def test_a_highlight_at_the_border_does_not_go_on_over_the_side_of_the_head(
    plain_person: Any, plain_classes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, prediction, _ = plain_person
    view, classes = view_of(plain_person), plain_classes(photo, prediction.camera)
    x, y, z = PLACES.T
    border = TEMPLATE.coarse.regions["face"][:COUNT] & (x > 42) & (x < 55) & (y < 0)
    known = (TEMPLATE.coarse.regions["face"][:COUNT] & (x < 55)).astype(float)
    values = np.where(border[:, None], (250.0, 240.0, 235.0), np.float64(SKIN))
    shown = Known(values, known, np.zeros(COUNT, np.bool_), np.zeros_like(values))
    limited = continued_colors(TEMPLATE, view, classes, shown, np.zeros(COUNT)).skin
    monkeypatch.setattr(continuation, "NEAR_LIMITS", (1e3, 1e3))
    monkeypatch.setattr(continuation, "FAR_LIMITS", (1e3, 1e3))
    free = continued_colors(TEMPLATE, view, classes, shown, np.zeros(COUNT)).skin
    beside, far = ((side * x > 60) & (side * x < 68) & (y < -10) & (y > -40) & (z > -40) for side in (1, -1))
    assert beside.sum() > 10
    assert limited[beside].mean() < free[beside].mean() - 8
    assert limited[beside].mean() > limited[far].mean()  # some of the light stays
    np.testing.assert_allclose(limited[far], free[far], atol=4)


def test_limits_of_differences_keep_small_ones_and_bound_large_ones() -> None:
    tone = np.float64(SKIN)
    near, light, green = tone + 2, np.full(3, 255.0), np.float64((90, 200, 90))
    found = like_tone(np.stack([tone, near, light, green]), tone, 10.0, 6.0)
    np.testing.assert_allclose(found[0], tone, atol=0.5)
    np.testing.assert_allclose(found[1], near, atol=0.6)
    change = lab(found[None])[0] - lab(tone[None, None])[0]
    assert 5 < change[2, 0] < 10.1
    assert np.hypot(*change[3, 1:]) < 6.3  # RGB values end at 0


def test_hair_ends_at_the_same_height_on_both_sides() -> None:
    """What is bald on one side of the scalp is bald on the other side, which the photo does not show."""
    own = np.zeros((COUNT, 4), np.float32)
    own[PLACES[:, 0] > 0] = [0, 1, 1, 1]
    own[(PLACES[:, 0] > 0) & (PLACES[:, 1] > 70)] = [1, 0, 0, 1]
    share = hair_share(TEMPLATE, SkinView(np.ones(COUNT), own, np.ones(COUNT, np.bool_)))
    for side in (1, -1):
        beside = (side * PLACES[:, 0] > 30) & (PLACES[:, 2] > -90) & TEMPLATE.coarse.regions["scalp"][:COUNT]
        assert share[beside & (PLACES[:, 1] > 85)].max() < 0.1
        assert share[beside & (PLACES[:, 1] > 30) & (PLACES[:, 1] < 55)].mean() > 0.4
