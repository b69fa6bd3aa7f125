"""The lips of a neutral face are closed, and the photographed face stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.face_model.blendshapes import template_blendshapes
from facegeom.face_model.lip_gap import slit_closing
from facegeom.face_model.neutral_lips import closed_lips
from facegeom.face_model.template import load_template
from facegeom.geometry import rasterize

TEMPLATE = load_template(head=True)
SHAPES = template_blendshapes(TEMPLATE)
MEAN = TEMPLATE.subdivide(load_face_model().mean[TEMPLATE.vertices])
SMILE = {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "mouthUpperUpLeft": 0.2, "mouthUpperUpRight": 0.2}


def gaps(V: np.ndarray) -> np.ndarray:
    lips = TEMPLATE._lips
    upper, lower, shut = lips.upper, lips.lower, lips.shut
    return np.linalg.norm(V[upper] - V[lower] - shut, axis=1)


@pytest.mark.parametrize("jaw", [0.12, -0.05], ids=["slit", "overlap"])
def test_the_mouth_of_a_neutral_face_is_closed(jaw: float) -> None:
    neutral = MEAN + jaw * SHAPES["jawOpen"]
    closed, changed = closed_lips(TEMPLATE, neutral, SHAPES, SMILE)
    assert gaps(neutral).mean() > gaps(MEAN).mean() + 0.2
    assert gaps(closed).mean() < gaps(MEAN).mean() + 0.1
    assert gaps(closed).max() < max(gaps(MEAN).max(), 0.4 * gaps(neutral).max())
    assert set(changed) == set(SMILE)
    before, after = (
        base + sum(weight * shapes[name] for name, weight in SMILE.items())
        for base, shapes in ((neutral, SHAPES), (closed, changed))
    )
    np.testing.assert_allclose(after, before, atol=1e-4)
    away = np.abs(MEAN[:, 1] - MEAN[TEMPLATE.fine.regions["lips"], 1].mean()) > 35
    np.testing.assert_allclose(closed[away], neutral[away], atol=1e-3)


def test_a_wide_open_mouth_and_a_face_without_expression_stay() -> None:
    opened = MEAN + 0.6 * SHAPES["jawOpen"]
    middle = np.abs(MEAN[TEMPLATE._lips.upper, 0]) < 8
    closed, _ = closed_lips(TEMPLATE, opened, SHAPES, SMILE)
    assert np.abs(gaps(closed) - gaps(opened))[middle].max() < 0.2
    same, changed = closed_lips(TEMPLATE, opened, SHAPES, {"browInnerUp": 1.0})
    assert same is opened
    assert changed == {}


def inside_mm2(V: np.ndarray) -> float:
    """Return the area of the inside of the mouth that a picture from the front shows, mm^2."""
    fine = TEMPLATE.fine
    shown = rasterize((V + np.array([40.0, 30.0, 0.0])) * (8, -8, 1), fine.faces, None, (640, 640)).triangle
    return float(fine.regions["mouth_interior"][fine.faces].all(axis=1)[shown[shown >= 0]].sum()) / 64


@pytest.mark.parametrize("seed", range(4))
def test_no_teeth_shine_through_a_slit_between_closed_lips(seed: int) -> None:
    model = load_face_model()
    person = np.random.default_rng(seed).normal(0.0, 0.8, 50)
    V = TEMPLATE.subdivide(model.vertices(person)[TEMPLATE.vertices])
    before, motion = inside_mm2(V), slit_closing(TEMPLATE, V)
    assert before > 5.0
    assert inside_mm2(V + motion) < 0.03 * before
    assert np.linalg.norm(motion, axis=1).max() < 1.5
    assert not motion[TEMPLATE.fine.regions["teeth"]].any()
    for name in ("cheekPuff", "mouthPucker"):
        assert inside_mm2(V + motion + SHAPES[name]) < 0.2 * before


def test_lips_that_are_open_or_wholly_closed_do_not_move() -> None:
    assert not slit_closing(TEMPLATE, MEAN + 0.3 * SHAPES["jawOpen"]).any()
    closed = MEAN + slit_closing(TEMPLATE, MEAN)
    assert inside_mm2(closed) < 0.5
    assert np.abs(slit_closing(TEMPLATE, closed)).max() < 0.2
