"""`facegeom evaluate landmarks`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.cli import main
from facegeom.errors import NoFaceFound
from facegeom.evaluation import landmarks
from facegeom.evaluation.landmarks import Found, compare, summarise, with_face_height
from facegeom.images.camera import Camera
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT


def points(**weights: float) -> np.ndarray:
    """Return the 468 points of the mean face with an expression, mm."""
    model = load_face_model()
    expression = np.array([weights.get(name, 0.0) for name in model.expression_names])
    return model.landmarks468(model.vertices(expression=expression))


def turned(yaw: float) -> Camera:
    y = np.radians(yaw)
    rotation = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return Camera(rotation, 2.0, np.array([250.0, 200.0]))


def in_photo(found: np.ndarray, camera: Camera) -> np.ndarray:
    """Return points as FaceMesh gives them: pixels, and depth in pixels away from the camera."""
    return np.column_stack([camera.project(found), -camera.scale * (found @ camera.rotation.T)[:, 2]])


def test_equal_points_have_no_error_and_equal_openings() -> None:
    found, camera = points(jawOpen=0.7), turned(30)
    same = compare("a.jpg", Found(found, camera, 0.9, 1.1), in_photo(found, camera))
    assert same.error < 1e-6
    assert same.yaw_deg == pytest.approx(30)
    assert same.mouth == pytest.approx(same.true_mouth)
    assert same.eye == pytest.approx(same.true_eye)


def test_the_error_is_a_share_of_the_size_of_the_face() -> None:
    found, camera = points(), turned(0)
    true = in_photo(found, camera)
    size = np.sqrt(np.prod(np.ptp(true[:, :2], axis=0)))
    shifted = compare("a.jpg", Found(found, camera, 0.9, 1.1), true + np.array([0.03 * size, 0, 0]))
    assert shifted.error == pytest.approx(3.0)
    assert compare("a.jpg", Found(found, camera, 0.9, 1.1), 5 * true).error > 50


def test_the_summary_counts_turned_faces_wide_mouths_and_closed_eyes() -> None:
    wide, shut, rest = points(jawOpen=1.0), points(eyeBlink_L=1.0, eyeBlink_R=1.0), points()
    results = [
        compare("wide.jpg", Found(rest, turned(0), 0.9, 1.1), in_photo(wide, turned(0))),
        compare("shut.jpg", Found(rest, turned(40), 0.9, 1.1), in_photo(shut, turned(40))),
        compare("rest.jpg", Found(rest, turned(-40), 0.9, 1.1), in_photo(rest, turned(-40))),
    ]
    rows = {what: (count, value) for what, count, value in summarise(results)}
    assert [count for count, _ in rows.values()] == [3, 1, 2, 1, 1, 3, 3]
    openings = {what: value for what, (_, value) in rows.items() if what.startswith("opening")}
    mouth, eyes = openings.values()
    assert rows["score, quantile 0.05"][1] == pytest.approx(0.9)
    assert rows["size of the fitted face / mean face"][1] == pytest.approx(1.1)
    assert mouth < 0.3
    assert eyes > 0.1


def test_no_photo_of_a_kind_gives_nan() -> None:
    found, camera = points(), turned(0)
    rows = summarise([compare("a.jpg", Found(found, camera, 0.9, 1.1), in_photo(found, camera))])
    assert np.isnan(rows[2][2])
    assert rows[2][1] == 0


def test_a_large_face_is_reduced_with_its_points() -> None:
    photo = np.zeros((400, 300, 3), np.uint8)
    photo[200:204, 100:104] = 255  # its centre is at (101.5, 201.5)
    true = np.array([[101.5, 201.5, 8.0], [60, 60, 0], [60, 300, 0]], float)
    small, reduced = with_face_height(photo, true, 60)
    assert small.shape == (100, 75, 3)
    assert np.ptp(reduced[:, 1]) == pytest.approx(60)
    assert reduced[0, 2] == pytest.approx(2)
    rows, columns = np.nonzero(small[..., 0])
    assert (columns.mean(), rows.mean()) == pytest.approx(tuple(reduced[0, :2]))
    same, points_there = with_face_height(photo, true, 500)
    assert same is photo
    assert points_there is true


def test_command_evaluates_every_nth_photo_of_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found, camera = points(), turned(0)
    names = [f"sfhq_{number:04d}.jpg" for number in range(60)]
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in names:
        cv2.imwrite(str(folder / name), np.zeros((400, 500, 3), np.uint8))
    stored = np.zeros((len(names), 478, 3), np.float64)
    stored[:, :468] = in_photo(found, camera)
    rounded = np.rint((stored + LANDMARK_ORIGIN) / LANDMARK_UNIT).astype(np.int16)
    np.savez(tmp_path / "landmarks.npz", names=np.array(names), landmarks=rounded)
    asked: list[str] = []

    def exact(photo: Any, box: Any, method: str, device: str) -> Any:
        if box is None and len(asked) == 3:
            asked.clear()
            raise NoFaceFound("no face")
        asked.append(method)
        return Found(found, camera, 0.8, 1.0)

    monkeypatch.setattr(landmarks, "points_of", exact)
    command = ["evaluate", "landmarks", str(folder), "--landmarks", str(tmp_path / "landmarks.npz"), "--part", "test"]
    file = tmp_path / "result.json"
    assert main([*command, "--every", "3", "--method", "predict", "--json", str(file)]) == 0
    assert "mean distance, all" in capsys.readouterr().out
    report = json.loads(file.read_text())
    assert set(asked) == {"predict"}
    assert 0 < len(report["photos"]) == len(asked) < len(names) / 2
    assert report["summary"]["mean distance, all"] < 0.2
    assert report["missed"] == []
    asked.clear()
    assert main([*command, "--no-box", "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert len(report["missed"]) > 0
    assert report["missed"][0] in capsys.readouterr().out
    assert main([*command, "--every", "0"]) == 1
