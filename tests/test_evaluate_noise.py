"""`facegeom evaluate noise`: movement of landmarks by noise, and photos that are left as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facegeom.cli import main
from facegeom.evaluation import noise
from facegeom.evaluation.noise import measure, movement, scaled_portrait
from facegeom.images.boxes import box_iou
from facegeom.training.data.labels import Labels
from facegeom.training.denoising.samples import FacePhotos


@pytest.fixture
def portrait(coded_face: Any, tmp_path: Path) -> tuple[Path, Path]:
    """A folder with the photo of a coded face, and the labels of the photo, which is a test photo."""
    photo = tmp_path / "photos" / "Ann_0001.png"
    photo.parent.mkdir()
    cv2.imwrite(str(photo), coded_face.photo[..., ::-1])
    camera = coded_face.camera
    Labels(
        np.array([photo.name]),
        np.zeros((1, 60), np.float16),
        np.zeros((1, 57), np.float16),
        camera.rotation[None].astype(np.float32),
        np.array([camera.scale], np.float32),
        np.asarray(camera.translation, np.float32)[None],
        np.zeros(1, np.int8),
    ).save(tmp_path / "labels.npz")
    return photo.parent, tmp_path / "labels.npz"


def test_boxes_and_poses_come_from_the_labels(portrait: tuple[Path, Path], coded_face: Any) -> None:
    photos = FacePhotos(*portrait, "test")
    np.testing.assert_allclose(photos.box(0), coded_face.box, atol=0.5)
    assert photos.frontal(10) == [0]
    photos.fits.rotation[0] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    assert photos.frontal(10) == []


@pytest.mark.parametrize("face", [50.0, 173.0])
def test_faces_get_the_asked_size(coded_face: Any, face: float) -> None:
    scaled = scaled_portrait(coded_face.photo, np.array(coded_face.box), face)
    x0, y0, x1, y1 = scaled.box
    assert 0.5 * (x1 - x0 + y1 - y0) == pytest.approx(face, rel=1e-6)
    assert scaled.image.shape[0] % 2 == scaled.image.shape[1] % 2 == 0
    shown = np.argwhere(scaled.image.max(2) > 60)
    truth = np.argwhere(coded_face.photo.max(2) > 60)
    factor = len(scaled.image) / len(coded_face.photo)
    assert box_iou((*shown.min(0), *shown.max(0)), (*(factor * truth.min(0)), *(factor * truth.max(0)))) > 0.95


def test_movement_is_relative_to_the_face() -> None:
    points = np.array([[0.0, 0], [100, 0], [100, 50], [0, 50]])
    assert movement(points + np.array([3, 4]), points) == [pytest.approx(100 * 5 / 75)]
    assert movement(points + 500, points) == []
    assert movement(None, points) == []


def test_removal_is_measured_against_none(
    portrait: tuple[Path, Path], coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With noise that moves everything without its removal, and nothing with it."""
    monkeypatch.setattr(noise, "with_noise", lambda image, kind, rng: image)
    moved = {False: 7.0, "auto": 2.0}
    clean = np.random.default_rng(0).uniform(0, 100, (68, 2))
    calls: list[Any] = []

    def found(image: np.ndarray, box: Any, pipeline: str, denoise: Any) -> np.ndarray:
        calls.append((box is None, denoise))
        return clean + (moved[denoise] if len([call for call in calls if call[0] == (box is None)]) > 1 else 0.0)

    monkeypatch.setattr(noise, "landmarks_in", found)
    box = np.array(coded_face.box)
    results = measure([scaled_portrait(coded_face.photo, box, 100.0)], ("0.25",), "facevision")
    size = 0.5 * float(np.ptp(clean, axis=0).sum())
    for given in ("box", "no box"):
        without, removed = results[given]["0.25"]["without"], results[given]["0.25"]["with"]
        assert without.movement == without.median == pytest.approx(100 * 7 * np.sqrt(2) / size)
        assert removed.movement == pytest.approx(100 * 2 * np.sqrt(2) / size)
        assert (without.found, removed.found) == (1, 1)


def test_command(
    portrait: tuple[Path, Path], coded_face: Any, coded_network: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coded_network(coded_face)
    folder, labels = portrait
    report = tmp_path / "report.json"
    command = ["evaluate", "noise", str(folder), "--labels", str(labels), "--json", str(report)]
    assert main([*command, "--noise", "0.01"]) == 0
    out = capsys.readouterr().out
    assert "leaves 100.0 % as they are" in out
    assert "facevision, 1 frontal portraits" in out
    found = json.loads(report.read_text())
    same = found["moved"]["box"]["0.01"]
    assert same["with"] == same["without"]  # too little noise to be removed
    assert same["with"][1] == 1
    assert same["with"][0] < 3
    assert main([*command, "--count", "0"]) == 0
    assert "frontal" not in capsys.readouterr().out
    assert main([*command, "--noise", "loud"]) == 1
    assert main([*command, "--part", "training"]) == 1
    assert "no training photo" in capsys.readouterr().err
