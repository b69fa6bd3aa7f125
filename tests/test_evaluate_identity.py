"""`facegeom evaluate identity`."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facegeom.errors import FacegeomError
from facegeom.evaluation.identity import (
    aligned_crop,
    evaluate_pairs,
    evaluate_people,
    rows_of_people,
    shape_coordinates,
)
from facegeom.face_model import load_face_model
from facegeom.networks.identity import Identity, IdentityConfig, IdentityNetwork, shape_units
from facegeom.training.data.labels import Labels, find_photos
from facegeom.training.data.renderer import Pose

SMALL = IdentityConfig(size=64, widths=(4, 4, 8, 8, 8), joined=8, summary=4, hidden=8)


def _labels(names: list[str]) -> Labels:
    n = len(names)
    return Labels(
        np.array(names),
        np.zeros((n, 60), np.float16),
        np.zeros((n, 57), np.float16),
        np.tile(np.eye(3, dtype=np.float32), (n, 1, 1)),
        np.full(n, 0.7, np.float32),
        np.full((n, 2), 80, np.float32),
        np.zeros(n, np.int8),
    )


@pytest.fixture
def identity() -> Identity:
    torch.manual_seed(0)
    network = IdentityNetwork(SMALL)
    torch.nn.init.normal_(network.answer.weight)
    return Identity(network, load_face_model(), torch.device("cpu"))


def _write_photos(folder: Path, names: list[str], noise: float) -> dict[str, Path]:
    """Write photos that are alike for one person, except for noise."""
    for number, name in enumerate(names):
        person = np.random.default_rng(sum(name.rsplit("_", 1)[0].encode()))
        photo = cv2.resize(person.integers(0, 255, (8, 8, 3), dtype=np.uint8), (160, 160))
        changed = photo + np.random.default_rng(number).normal(0, noise, photo.shape)
        cv2.imwrite(str(folder / name), np.clip(changed, 0, 255).astype(np.uint8))
    return find_photos(folder)


def test_distances_of_coordinates_are_rms_distances_of_shapes() -> None:
    units = shape_units(load_face_model())
    coefficients = np.random.default_rng(0).normal(size=(5, 60))
    shapes = shape_coordinates(units, coefficients)
    distance = np.linalg.norm(shapes[0] - shapes[1])
    assert distance == pytest.approx(float(units.rms_mm(coefficients[0] - coefficients[1])))


def test_people_with_too_few_photos_are_left_out() -> None:
    labels = _labels(["B_0002.png", "A_0001.png", "B_0001.png", "C_0001.png", "C_0002.png", "B_0003.png"])
    assert rows_of_people(labels, 2).tolist() == [[2, 0], [3, 4]]


def test_only_photos_of_the_source_are_used() -> None:
    labels = _labels(["A_1.png", "A_2.png", "london_0000.png", "london_0102.png", "london_0103.png", "london_0001.png"])
    assert rows_of_people(labels, 2, "london").tolist() == [[2, 3], [5, 4]]


def test_one_person_is_not_enough() -> None:
    with pytest.raises(FacegeomError, match="two people"):
        rows_of_people(_labels(["A_0001.png", "A_0002.png"]), 2)


def test_crop_of_the_face_only_is_grey_and_black_outside() -> None:
    model = load_face_model()
    photo = np.random.default_rng(1).integers(1, 255, (160, 160, 3), dtype=np.uint8)
    pose = Pose(model.mean, np.eye(3), 0.5, np.array([80.0, 80.0]))
    crop = aligned_crop(model, photo, pose, 64, face_only=True)
    assert (crop == crop[..., :1]).all()
    assert not crop[0].any()
    assert crop[32, 32].all()


def test_photos_of_a_person_that_differ_by_noise_have_consistent_shapes(identity: Identity, tmp_path: Path) -> None:
    names = [f"{person}_{number:04d}.png" for person in "ABCDEFGH" for number in range(4)]
    photos = _write_photos(tmp_path, names, noise=2.0)
    result = evaluate_people(identity, _labels(names), photos)
    assert result["people"] == 8
    assert result["interval"][0] <= result["intraclass_correlation"] <= result["interval"][1] <= 1
    assert result["intraclass_correlation"] > 0.9
    pairs = evaluate_pairs(identity, _labels(names), photos)
    assert pairs["rank1"] == 1
    assert pairs["ratio"] < 0.3
