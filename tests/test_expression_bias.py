"""Identity labels without their dependence on expression and pose."""

import numpy as np
import pytest

from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.training.data.labels import Labels
from facegeom.training.data.pose import Pose
from facegeom.training.identity.expression_bias import expression_and_pose, without_expression

PEOPLE = 200


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


def _labels(model: FaceModel, leak: np.ndarray) -> tuple[Labels, np.ndarray]:
    """Return labels of people of whom every other smiles, and their identities without the error `leak` (60,)."""
    rng = np.random.default_rng(3)
    identity = rng.normal(0, 0.3, (PEOPLE, 60))
    expression = np.zeros((PEOPLE, len(model.expression_names)))
    smiles = np.array([name.startswith("mouthSmile") for name in model.expression_names])
    smile = rng.uniform(0, 1, PEOPLE) * (np.arange(PEOPLE) % 2)
    expression[:, smiles] = smile[:, None]
    yaw = rng.normal(0, 15, PEOPLE)
    upright = Pose(model.vertices(), np.eye(3), 1.0, np.zeros(2))
    rotation = np.stack([upright.turned(float(angle)).rotation for angle in yaw])
    seen = identity + smile[:, None] * leak
    labels = Labels(
        np.array([f"{i}.jpg" for i in range(PEOPLE)]),
        seen.astype(np.float16),
        expression.astype(np.float16),
        rotation.astype(np.float32),
        np.ones(PEOPLE, np.float32),
        np.zeros((PEOPLE, 2), np.float32),
        np.zeros(PEOPLE, np.int8),
    )
    return labels, identity


def test_error_that_follows_smiles_is_removed_and_the_rest_stays(model: FaceModel) -> None:
    leak = np.zeros(60)
    leak[[2, 9]] = 1.5, -1.0
    labels, identity = _labels(model, leak)
    result = without_expression(model, labels, set(labels.names))
    before, after = (np.asarray(one.identity, float) - identity for one in (labels, result))
    for component in (2, 9):
        assert np.std(after[:, component]) < 0.15 * np.std(before[:, component])
    others = np.delete(np.arange(60), [2, 9])
    assert np.abs(after[:, others]).mean() < 0.05  # 9 values explain a little of any random numbers
    np.testing.assert_allclose(result.identity.mean(0), np.asarray(labels.identity, float).mean(0), atol=1e-3)
    np.testing.assert_array_equal(result.expression, labels.expression)


def test_photos_that_are_not_named_do_not_take_part_in_the_estimate(model: FaceModel) -> None:
    leak = np.full(60, 0.7)
    labels, _ = _labels(model, leak)
    spoiled = np.array(labels.identity)
    spoiled[-40:] = 5 * np.asarray(labels.expression)[-40:].max(1)[:, None]  # another dependence
    names = set(labels.names[:-40])
    whole = without_expression(model, labels, names)
    other = without_expression(model, Labels(labels.names, spoiled, *list(vars(labels).values())[2:]), names)
    np.testing.assert_array_equal(whole.identity[:-40], other.identity[:-40])


def test_yaw_is_absolute(model: FaceModel) -> None:
    labels, _ = _labels(model, np.zeros(60))
    yaw = expression_and_pose(model, labels)[:, -2]
    assert yaw.min() >= 0
    assert 8 < yaw.mean() < 16


def test_few_photos_are_refused(model: FaceModel) -> None:
    labels, _ = _labels(model, np.zeros(60))
    with pytest.raises(FacegeomError, match="12 photos have a label, at least 100 are needed"):
        without_expression(model, labels, set(labels.names[:12]))
