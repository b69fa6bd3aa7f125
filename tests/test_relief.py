"""The weight of the photo's fine detail as relief."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.face_model.template import load_template
from facegeom.reconstruction import predict
from facegeom.texture.appearance import View
from facegeom.texture.relief import relief_weight, skin_weight


@pytest.fixture(scope="module")
def template() -> Any:
    return load_template()


def test_the_weight_is_zero_at_hair_lips_and_lids(template: Any) -> None:
    weight = skin_weight(template)
    fine = template.fine
    assert weight.min() >= 0
    assert weight.max() == pytest.approx(1, abs=1e-6)
    for name in ("lips", "eyelids_left", "eyelids_right", "brow_left", "brow_right"):
        assert weight[fine.regions[name][: fine.skin_count]].max() == 0
    E = template.subdivide(load_face_model().mean[template.vertices])[: fine.skin_count]
    cheek = (np.abs(E[:, 0]) > 35) & (np.abs(E[:, 0]) < 50) & (E[:, 1] < -20) & (E[:, 1] > -50)
    assert weight[cheek].mean() > 0.9


def test_rough_skin_has_a_lower_weight(coded_face: Any, coded_network: Any, template: Any) -> None:
    coded_network(coded_face)
    prediction = predict(coded_face.photo, coded_face.box)
    model = load_face_model()
    V = template.subdivide(prediction.fit.vertices(model)[template.vertices])
    rng = np.random.default_rng(0)
    plain = np.full_like(coded_face.photo, 150)
    hair = np.clip(plain + rng.normal(0, 60, plain.shape[:2])[..., None], 0, 255).astype(np.uint8)
    weights = [
        relief_weight(template, View(photo, prediction.maps, prediction.camera, V, template.fine))
        for photo in (plain, hair)
    ]
    assert weights[0].max() == pytest.approx(1, abs=1e-3)
    assert weights[1].mean() < 0.3 * weights[0].mean()
