"""The size of faces: identity coefficients of the mean face's size."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.point_fit import similarity
from facegeom.face_model.size import relative_size, with_mean_size


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


def face(model: FaceModel, identity: np.ndarray) -> np.ndarray:
    return np.asarray(model.vertices(identity)[: model.face_vertex_count])


def test_the_mean_face_has_size_one(model: FaceModel) -> None:
    assert relative_size(model, np.zeros(60)) == pytest.approx(1.0)
    np.testing.assert_allclose(with_mean_size(model, np.zeros(60)), 0.0, atol=1e-9)


def test_the_size_is_that_of_the_best_similarity(model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        identity = rng.normal(0, 0.8, 60)
        _, scale, _ = similarity(face(model, np.zeros(60)), face(model, identity))
        assert relative_size(model, identity) == pytest.approx(scale, rel=0.002)


def test_only_the_size_changes(model: FaceModel) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        identity = rng.normal(0, 0.8, 60)
        changed = with_mean_size(model, identity)
        assert relative_size(model, changed) == pytest.approx(1.0, abs=1e-6)
        before, after = face(model, identity), face(model, changed)
        rotation, scale, shift = similarity(before, after)
        error = np.sqrt(((scale * before @ rotation.T + shift - after) ** 2).sum(1).mean())
        assert error < 8.0 * abs(relative_size(model, identity) - 1) + 0.01  # mm for each part of the size
        np.testing.assert_allclose(with_mean_size(model, changed), changed, atol=1e-6)
