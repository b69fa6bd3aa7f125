"""Lips that roll inwards stay in front of the teeth and closed, for each person."""

from __future__ import annotations

import numpy as np

from facegeom import load_face_model
from facegeom.face_model.blendshapes import template_blendshapes
from facegeom.face_model.lip_contact import ROLLS
from facegeom.face_model.rolled_lips import DEEPEST_MM, LARGEST_MM, closing_rolls
from facegeom.face_model.template import load_template
from facegeom.geometry import rasterize

HEAD = load_template(head=True)
PIXELS = 6.0  # in a mm


def neutral_heads(count: int) -> list[np.ndarray]:
    model, rng = load_face_model(), np.random.default_rng(5)
    identities = rng.normal(0, 1, (count, 60))
    identities[0] *= 0.0
    return [HEAD.subdivide(model.vertices(identity)[HEAD.vertices]) for identity in identities]


def visible_teeth(V: np.ndarray) -> float:
    """Return the area of teeth, mm^2, that a picture from the front shows."""
    fine = HEAD.fine
    around = V[fine.regions["lips"]]
    low, high = around.min(axis=0) - 4, around.max(axis=0) + 4
    width, height = np.ceil((high - low)[:2] * PIXELS).astype(int).tolist()
    points = (V - (low[0], high[1], 0)) * (PIXELS, -PIXELS, 1)
    teeth = fine.regions["teeth"][fine.faces].all(axis=1)
    shown = rasterize(points, fine.faces, None, (height, width)).triangle
    return float((teeth[np.maximum(shown, 0)] & (shown >= 0)).sum()) / PIXELS**2


def test_rolled_lips_of_different_people_hide_the_teeth() -> None:
    usual, before, after = template_blendshapes(HEAD), [], []
    for V in neutral_heads(6):
        own = closing_rolls(HEAD, V, usual)
        before.append([visible_teeth(V + usual[name]) for name in ROLLS])
        after.append([visible_teeth(V + own[name]) for name in ROLLS])
    (upper, lower), (upper_after, lower_after) = np.transpose(before), np.transpose(after)
    assert upper.max() > 10.0
    assert upper_after.sum() < 0.2 * upper.sum()
    assert (lower_after <= lower + 0.5).all()


def test_only_the_skin_around_the_mouth_takes_the_change() -> None:
    V, usual = neutral_heads(2)[1], template_blendshapes(HEAD)
    own = closing_rolls(HEAD, V, usual)
    away = np.ones(len(V), bool)
    away[: HEAD.fine.skin_count] = np.abs(V[:, 1] - V[HEAD.fine.regions["lips"], 1].mean())[: HEAD.fine.skin_count] > 30
    for name, shape in own.items():
        np.testing.assert_array_equal(shape[away], usual[name][away])
        assert np.linalg.norm(shape - usual[name], axis=1).max() < DEEPEST_MM + LARGEST_MM
        assert not shape.flags.writeable


def test_lips_that_hide_the_teeth_do_not_move() -> None:
    V, usual = neutral_heads(1)[0], template_blendshapes(HEAD)
    once = closing_rolls(HEAD, V, usual)
    twice = closing_rolls(HEAD, V, once)
    for name in ROLLS:
        assert np.linalg.norm(twice[name] - once[name], axis=1).max() < 0.5
