"""The picture of the tongue: a dark groove in the middle of its back, darker sides, and nothing beside it."""

from __future__ import annotations

import numpy as np

from facegeom.face_model import load_face_model
from facegeom.face_model.template import load_template
from facegeom.face_model.tongue import half_width, tongue_out, tongue_share
from facegeom.texture.atlas_parts import atlas_of
from facegeom.texture.tongue import with_tongue

SIZE, PINK = 1024, (190, 100, 100)
TEMPLATE = load_template(head=True)


def test_the_tongue_has_a_groove_and_darker_sides_and_the_rest_stays() -> None:
    model, atlas = load_face_model(), atlas_of(TEMPLATE, SIZE)
    plain = np.full((SIZE, SIZE, 3), PINK, np.uint8)
    painted = atlas.texels(with_tongue(TEMPLATE, plain)).astype(float).mean(axis=1)
    V = TEMPLATE.subdivide(model.mean[TEMPLATE.vertices])
    share = TEMPLATE.carry(tongue_share(model)[TEMPLATE.vertices])
    place = atlas.carry(np.column_stack([V, share]))
    tongue = atlas.inside(TEMPLATE.fine.regions["gums_and_tongue"]) & (place[:, 3] > 0.9)
    tip = V[share > 0.5, 2].max()
    behind = tip - place[:, 2]
    middle = tongue & (behind > 15) & (behind < 45)
    back = middle & (place[:, 1] > V[share > 0.5, 1].max() - 4.0)
    x = np.abs(place[:, 0])
    groove, beside = painted[back & (x < 0.7)], painted[back & (x > 4.0) & (x < 7.0)]
    sides = painted[middle & (x > 0.95 * half_width(behind))]
    assert min(len(groove), len(beside), len(sides)) > 8
    assert groove.mean() < 0.85 * beside.mean()
    assert sides.mean() < 0.85 * beside.mean()
    assert beside.std() > 1.0  # papillae
    assert (painted[~atlas.inside(TEMPLATE.fine.regions["gums_and_tongue"])] == np.mean(PINK)).all()


def test_the_tongue_that_is_out_is_thicker_in_the_middle_and_round_at_the_tip() -> None:
    model = load_face_model()
    share = tongue_share(model)
    out = model.mean + tongue_out(model)
    tongue = share > 0.9
    front = tongue & (out[:, 2] > out[tongue, 2].max() - 12.0)
    assert np.ptp(out[front, 0]) > 16.0  # mm
    np.testing.assert_allclose(out[share == 0], model.mean[share == 0], atol=1e-6)
