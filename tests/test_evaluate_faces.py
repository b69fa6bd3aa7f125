"""`facegeom evaluate roll`, `evaluate detection` and `prepare boxes`, on small pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage")

from facegeom import FacegeomError, load_face_model
from facegeom.cli import main
from facegeom.detection.yunet import CONVERSION, BoxConversion
from facegeom.evaluation import detection, roll
from facegeom.images.boxes import Box
from facegeom.reconstruction import demo_photo
from facegeom.training.detector.face_boxes import fit_conversion

DATA = Path(__file__).parents[2] / "shared" / "data"


def test_the_conversion_of_boxes_is_recovered_from_pairs() -> None:
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 100, (50, 2)), rng.uniform(20, 80, (50, 2))], axis=1)
    wanted = BoxConversion(1.1, 0.8, -0.02, 0.12)
    found = fit_conversion(boxes, wanted(boxes))
    assert [found.width, found.height, found.right, found.down] == pytest.approx([1.1, 0.8, -0.02, 0.12])


@pytest.mark.data
@pytest.mark.slow
def test_the_conversion_in_use_is_that_of_the_portraits(tmp_path: Path) -> None:
    portraits = DATA / "portraits"
    if not portraits.is_dir():
        pytest.skip("needs ../shared/data/portraits beside the repository")
    labels, result = tmp_path / "labels.npz", tmp_path / "boxes.json"
    landmarks = str(portraits / "landmarks.npz")
    assert main(["prepare", "labels", str(portraits / "photos"), "--landmarks", landmarks, "-o", str(labels)]) == 0
    assert main(["prepare", "boxes", str(portraits / "photos"), "--labels", str(labels), "--json", str(result)]) == 0
    found = json.loads(result.read_text())
    for name in ("width", "height", "right", "down"):
        assert found[name] == pytest.approx(getattr(CONVERSION, name), abs=0.01)


def frontal_landmarks(count: int) -> np.ndarray:
    """Return FaceMesh landmarks of frontal and, every second one, of turned faces, pixels, z to the back."""
    points = load_face_model().landmarks468(load_face_model().mean)
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    rows = []
    for number in range(count):
        rows.append((points @ turn.T if number % 2 else points) * (0.5, -0.5, -0.5) + (80.0, 70.0, 0.0))
    return np.concatenate([np.array(rows), np.zeros((count, 10, 3))], axis=1)


def test_frontal_portraits_are_chosen_by_their_pose() -> None:
    landmarks = frontal_landmarks(20)
    rows = roll.frontal_portraits(landmarks, 5)
    assert rows.tolist() == [2, 6, 10, 14, 18]
    with pytest.raises(FacegeomError, match="there are 10 frontal portraits, 11 are needed"):
        roll.frontal_portraits(landmarks, 11)


def test_turned_portraits_carry_their_landmarks(tmp_path: Path) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    landmarks = frontal_landmarks(1)
    image[60, 100] = 255
    landmarks[:, :468, :2] = (100.0, 60.0)
    Image.fromarray(image).save(tmp_path / "one.png")
    for turned in roll.turned_portraits({"one.png": tmp_path / "one.png"}, ["one.png"], landmarks, 8):
        brightness = turned.photo.astype(float).sum(axis=2)
        y, x = np.argwhere(brightness == brightness.max()).mean(axis=0)
        assert turned.photo.shape == (200, 200, 3)
        np.testing.assert_allclose([x, y], turned.truth[0], atol=1.0)
        assert brightness.sum() > 200


def test_found_faces_and_good_landmarks_are_counted() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(40, 120, (468, 2))
    black = np.zeros((160, 160, 3), np.uint8)
    portraits = [roll.TurnedPortrait("one", degrees, black, truth) for degrees in (0.0, 90.0, 180.0, 270.0)]
    offsets = iter([(1.0, 1.0), (1.15, 9.0), (2.0, 1.1), (None, None)])
    current: list[float | None] = []

    def predict(photo: np.ndarray, box: Box | None) -> Any:
        if box is None:
            current[:] = next(offsets)
        offset = current[0 if box is None else 1]
        return None if offset is None else truth + offset

    summary = roll.summarise(roll.evaluate(portraits, predict))
    assert summary["all"]["photos"] == 4
    assert summary["all"]["detected"] == 0
    assert summary["all"]["found"] == 0.75
    assert summary["all"]["good"] == 0.5
    assert summary["all"]["good_in_box"] == 0.5
    assert math.isnan(summary["angles"][3]["median_ratio"])
    assert "270" in roll.format_summary(summary)


@pytest.mark.parametrize("detector", ["yunet", "mtcnn"])
def test_false_detections_are_counted_before_and_after_the_check(detector: str) -> None:
    portrait = np.asarray(Image.open(demo_photo()))
    pictures = [
        detection.FacelessPicture("drawn", "empty", np.full((100, 100, 3), 127, np.uint8)),
        detection.FacelessPicture("scene", "a person", portrait),
    ]
    result = detection.evaluate(None, detector, pictures=pictures, check=True)  # type: ignore[arg-type]
    alarms = result["false_alarms"]
    assert (alarms["pictures"], alarms["with_detections"]) == (2, 1)
    assert list(alarms["scores"]) == list(alarms["accepted"]) == ["scene: a person"]
    text = detection.format_summary(result)
    assert f"detector: {detector}" in text
    assert "accepted by the network as a face: 1 of 2 images" in text
