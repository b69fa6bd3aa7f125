"""Full beards and shadows of the jaw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from coded_photos import SKIN
from facegeom import load_face_model
from facegeom.face_model.template import load_template
from facegeom.networks.segmentation_crop import FACIAL_HAIR
from facegeom.networks.segmentation_crop import SKIN as SKIN_CLASS
from facegeom.texture.appearance import View
from facegeom.texture.beard import full_beard
from facegeom.texture.continuation import Known, continued_colors, skin_trust

TEMPLATE = load_template(head=True)
COUNT = TEMPLATE.coarse.skin_count
PLACES = load_face_model().mean[TEMPLATE.vertices][:COUNT]
BEARD = (60.0, 50.0, 45.0)


def bearded(person: Any, classes: Any, rough: bool = True, moustache: bool = True) -> tuple[View, Any, np.ndarray]:
    """Return a view and classes of a person with a beard below the nose, and its vertices (s,)."""
    photo, prediction, V = person
    view, found = View(photo, prediction.maps, prediction.camera, V, TEMPLATE.fine), classes(photo, prediction.camera)
    lips = PLACES[TEMPLATE.coarse.regions["lips"][:COUNT]]
    nose = TEMPLATE.coarse.regions["nose"][:COUNT]
    lower = (PLACES[:, 1] < lips[:, 1].max() + 10) & (PLACES[:, 2] > -70) & ~nose
    lower &= moustache | (PLACES[:, 1] < lips[:, 1].min())
    place = view.place[:COUNT][lower] @ found.affine[:, :2].T + found.affine[:, 2]
    hull = cv2.convexHull(np.rint(place).astype(np.int32))
    area = cv2.fillConvexPoly(np.zeros(found.image.shape[:2], np.uint8), hull, 1) > 0
    area &= found.probability[..., SKIN_CLASS] > 0.5
    probability, image = found.probability.copy(), found.image.copy()
    probability[area] = np.eye(7, dtype=np.float32)[FACIAL_HAIR]
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 18 if rough else 0, image.shape[:2])[..., None]
    image[area] = np.clip(np.array(BEARD) + noise, 0, 255)[area].astype(np.uint8)
    image = image if rough else cv2.GaussianBlur(image, (0, 0), 8.0)  # shadows have soft borders
    image[~area] = np.clip(image + rng.normal(0, 2, image.shape[:2])[..., None], 0, 255)[~area].astype(np.uint8)
    colors = np.tile(np.float64(SKIN), (len(view.vertices), 1))
    colors[:COUNT][lower] = BEARD
    vars(view)["colors"] = colors
    return view, replace(found, probability=probability, image=image), lower


def test_a_beard_is_rough_and_has_a_moustache_and_a_shadow_has_not(plain_person: Any, plain_classes: Any) -> None:
    view, classes, lower = bearded(plain_person, plain_classes)
    found = full_beard(TEMPLATE, view, classes)
    seen = lower & (view.facing[:COUNT] > 0.5)
    assert found[seen].mean() > 0.7
    assert found[PLACES[:, 1] > 20].max() == 0
    for rough, moustache in ((False, True), (True, False)):
        view, classes, _ = bearded(plain_person, plain_classes, rough, moustache)
        assert not full_beard(TEMPLATE, view, classes).any(), (rough, moustache)


def test_a_beard_is_trusted_and_goes_on_along_the_jaw(plain_person: Any, plain_classes: Any) -> None:
    view, classes, lower = bearded(plain_person, plain_classes)
    seen = view.facing[:COUNT] > 0.2
    beard = full_beard(TEMPLATE, view, classes)
    side = lower & seen & (np.abs(PLACES[:, 0]) > 45) & (beard > 0.9)
    assert side.sum() > 5
    whole = view.colors[:COUNT].copy()
    view.colors[:COUNT][~side] = SKIN
    assert skin_trust(TEMPLATE, view, seen)[side].mean() < 0.6
    assert skin_trust(TEMPLATE, view, seen, beard)[side].mean() > 0.9
    view.colors[:COUNT] = np.where((beard > 0.5)[:, None], whole, SKIN)
    known = np.where(view.facing[:COUNT] > 0.6, 1.0, 0.0)
    shown = Known(view.colors[:COUNT], known, np.zeros(COUNT, np.bool_), np.zeros((COUNT, 3)))
    found = continued_colors(TEMPLATE, view, classes, shown, np.zeros(COUNT)).skin.sum(axis=1)
    jaw = lower & (view.facing[:COUNT] > 0.15) & (view.facing[:COUNT] < 0.4) & (beard > 0.9)
    neck = TEMPLATE.coarse.regions["neck"][:COUNT] & (PLACES[:, 1] < -150)
    assert jaw.sum() > 5
    assert found[jaw].mean() < 0.6 * sum(SKIN)
    assert found[neck].mean() > 0.85 * sum(SKIN)
