"""The detail that the registration adds to the fit: what the face model cannot represent."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom._internal.arrays import FloatArray
from facegeom.face_model import load_face_model
from facegeom.networks.identity_units import shape_units
from facegeom.pipelines.kept_shape import detail_of


@pytest.fixture
def noise() -> FloatArray:
    return np.random.default_rng(0).standard_normal((load_face_model().face_vertex_count, 3))


def test_identity_expression_and_pose_are_no_detail() -> None:
    model = load_face_model()
    skin = model.face_vertex_count
    motion = 2.0 * model.identity[3, :skin] - model.identity[40, :skin] + 0.3 * model.mean[:skin] + (5.0, 0.0, -2.0)
    motion += 0.5 * model.expression[model.expression_names.index("jawOpen"), :skin]
    assert np.abs(motion).max() > 10.0
    assert np.abs(detail_of(model, motion)).max() < 0.05  # mm; the smallest singular values are left out


def test_detail_stays(noise: FloatArray) -> None:
    model = load_face_model()
    detail = detail_of(model, noise)
    assert np.linalg.norm(detail) > 0.98 * np.linalg.norm(noise)
    np.testing.assert_allclose(detail_of(model, detail), detail, atol=1e-3)


def test_the_removed_part_is_that_of_least_squares(noise: FloatArray) -> None:
    model = load_face_model()
    seen = shape_units(model).vertices
    detail = detail_of(model, noise)[seen]
    for shape in (model.identity[0], model.identity[59], model.expression[model.expression_names.index("jawOpen")]):
        direction = shape[: len(noise)][seen] / np.linalg.norm(shape[: len(noise)][seen])
        assert abs(float((direction * detail).sum())) < 1e-3
