"""Openings of eyes and mouth, and `facegeom evaluate expressions`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.cli import main
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation import expressions
from facegeom.evaluation.expressions import (
    MeshOpenings,
    PhotoOpenings,
    face_box,
    measure,
    read_groups,
    read_landmarks,
    summarise,
)
from facegeom.measures.openings import Openings, mesh_openings, openings
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT
from facegeom.training.data.split import split_names

PORTRAITS = Path(__file__).parents[2] / "shared" / "data" / "portraits" / "landmarks.npz"
LFW = Path(__file__).parents[2] / "shared" / "data" / "lfw" / "landmarks.npz"


def face(**weights: float) -> np.ndarray:
    """Return the 468 points of the mean face with an expression, mm."""
    model = load_face_model()
    expression = np.array([weights.get(name, 0.0) for name in model.expression_names])
    return model.landmarks468(model.vertices(expression=expression))


def mesh(**weights: float) -> Openings:
    """Return the openings of the mean face with an expression."""
    model = load_face_model()
    expression = np.array([weights.get(name, 0.0) for name in model.expression_names])
    V = model.vertices(expression=expression)
    return mesh_openings(V, model.faces, model.regions, model.landmarks468(V))


def test_openings_of_a_mesh_follow_its_expression() -> None:
    rest, shut, wide = mesh(), mesh(eyeBlink_L=1.0), mesh(jawOpen=1.0)
    assert rest.right_eye == pytest.approx(rest.left_eye, abs=0.02)
    assert 0.28 < rest.left_eye < 0.36
    assert shut.left_eye == 0
    assert shut.right_eye == pytest.approx(rest.right_eye, abs=0.01)
    assert rest.mouth < 0.02
    assert wide.mouth > 0.5


def test_openings_of_mesh_and_points_agree_where_lids_and_lips_are_open() -> None:
    for weights in ({}, {"jawOpen": 0.4}, {"eyeWide_L": 0.8, "eyeWide_R": 0.8, "jawOpen": 0.8}):
        seen, points = mesh(**weights), openings(face(**weights))
        assert seen.left_eye == pytest.approx(points.left_eye, rel=0.12)
        assert 0.7 * points.mouth - 0.05 < seen.mouth < points.mouth


def test_openings_do_not_depend_on_size_and_pose() -> None:
    points = face(jawOpen=0.5, eyeBlink_R=0.4)
    c, s = np.cos(0.7), np.sin(0.7)
    moved = 3.2 * points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + (4, 5, 6)
    assert openings(moved) == pytest.approx(openings(points))


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="468"):
        openings(np.zeros((68, 3)))


def test_the_box_is_that_of_the_68_landmarks() -> None:
    model = load_face_model()
    box = face_box(face() * (1, -1, 1))
    points = model.mean[model.landmarks68, :2] * (1, -1)
    assert box == pytest.approx((*points.min(0), *points.max(0)), abs=14)


def test_every_group_has_twenty_photos_of_its_own() -> None:
    groups = read_groups()
    assert list(groups) == ["closed_eyes", "open_eyes", "wide_mouth", "closed_mouth"]
    for names in groups.values():
        assert len(set(names)) == len(names) >= 20
    assert not set(groups["closed_eyes"]) & set(groups["open_eyes"])
    assert not set(groups["wide_mouth"]) & set(groups["closed_mouth"])


@pytest.mark.data
@pytest.mark.skipif(not (PORTRAITS.exists() and LFW.exists()), reason="landmarks of the shared data are not there")
def test_all_photos_belong_to_test_identities() -> None:
    test: set[str] = set()
    for path in (PORTRAITS, LFW):
        names = np.load(path)["names"]
        test |= {str(name).rsplit("/", 1)[-1] for name in names[split_names([str(n) for n in names]).test]}
    assert {name for group in read_groups().values() for name in group} <= test


def result(
    group: str, visible: tuple[float, ...], photo: tuple[float, ...], points: tuple[float, ...] = (9, 9, 9)
) -> PhotoOpenings:
    return PhotoOpenings("x.jpg", group, MeshOpenings(Openings(*visible), Openings(*points)), Openings(*photo))


@pytest.mark.parametrize(
    ("group", "visible", "points", "right"),
    [
        ("closed_eyes", (0.12, 0.13, 0.9), (0.9, 0.9, 0.9), [True, False]),
        ("open_eyes", (0.21, 0.22, 0.9), (0.9, 0.9, 0.9), [False, True]),
        ("wide_mouth", (0.9, 0.9, 0.9), (0.9, 0.9, 0.31), [True]),
        ("wide_mouth", (0.9, 0.9, 0.4), (0.9, 0.9, 0.29), [False]),
        ("wide_mouth", (0.9, 0.9, 0.4), (0.9, 0.9, 0.51), [False]),
        ("closed_mouth", (0.9, 0.9, 0.03), (0.9, 0.9, 0.06), [True]),
        ("closed_mouth", (0.9, 0.9, 0.04), (0.9, 0.9, 0.04), [False]),
    ],
)
def test_limits_of_each_group(
    group: str, visible: tuple[float, ...], points: tuple[float, ...], right: list[bool]
) -> None:
    photo = (0.3, 0.3, 0.4)
    assert [entry[2] for entry in result(group, visible, photo, points).measured()] == right


def test_summary_counts_eyes_and_missed_photos() -> None:
    results = [
        result("closed_eyes", (0.1, 0.3, 0), (0.1, 0.1, 0)),
        result("closed_eyes", (0.1, 0.1, 0), (0.05, 0.1, 0)),
    ]
    summary = summarise(results, {"closed_eyes": 3, "wide_mouth": 1})
    assert summary["closed_eyes"] == {"photos": 3, "missed": 1, "right": 0.75, "mesh": 0.1, "photo": 0.1}
    assert np.isnan(summary["wide_mouth"]["right"])


@pytest.fixture
def few_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one photo per group, and landmarks of the mean face with closed eyes and an open mouth."""
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    groups = {group: [name] for group, name in zip(read_groups(), names, strict=True)}
    (tmp_path / "groups.json").write_text(json.dumps(groups))
    monkeypatch.setattr(expressions, "PHOTOS", tmp_path / "groups.json")
    points = face(eyeBlink_L=1.0, eyeBlink_R=1.0, jawOpen=0.7) * (1, -1, -1) + (150, 150, 0)
    points = np.concatenate([points, points[:10]]) + LANDMARK_ORIGIN
    stored = np.rint(points / LANDMARK_UNIT).astype(np.int16)
    np.savez(tmp_path / "landmarks.npz", names=[f"x/{name}" for name in names], landmarks=np.stack([stored] * 4))
    for number, name in enumerate(names):
        cv2.imwrite(str(tmp_path / name), np.full((300, 300, 3), 50 * number, np.uint8))
    return tmp_path


def test_command_compares_the_reconstruction_with_the_landmarks(
    few_photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = []

    def found(photo: np.ndarray, box: tuple[float, ...], device: str) -> MeshOpenings:
        boxes.append(box)
        if photo.mean() > 140:  # the photo of the closed mouth
            raise NoFaceFound("nothing here")
        weights = {"eyeBlink_L": 1.0, "jawOpen": 0.7}
        return MeshOpenings(mesh(**weights), openings(face(**weights)))

    monkeypatch.setattr(expressions, "reconstructed_openings", found)
    out = few_photos / "result.json"
    command = ["evaluate", "expressions", str(few_photos), "--landmarks", str(few_photos / "landmarks.npz")]
    assert main([*command, "--json", str(out)]) == 0
    summary = json.loads(out.read_text())["summary"]
    assert summary["closed_eyes"]["right"] == 0.5
    assert summary["open_eyes"]["right"] == 0.5
    assert summary["wide_mouth"]["right"] == 1.0
    assert summary["closed_mouth"]["missed"] == 1
    assert summary["wide_mouth"]["mesh"] == pytest.approx(summary["wide_mouth"]["photo"], rel=0.05)
    assert 130 < boxes[0][2] - boxes[0][0] < 170
    assert "wide_mouth" in capsys.readouterr().out


def test_missing_photos_and_landmarks_are_named(few_photos: Path) -> None:
    landmarks = read_landmarks([few_photos / "landmarks.npz"])
    photos = {name: few_photos / name for name in landmarks}
    with pytest.raises(FacegeomError, match=r"no photo c\.jpg"):
        list(
            measure(
                {n: p for n, p in photos.items() if n != "c.jpg"},
                landmarks,
                lambda photo, box: MeshOpenings(mesh(), mesh()),
            )
        )
    with pytest.raises(FacegeomError, match=r"no row of landmarks b\.jpg"):
        list(
            measure(
                photos,
                {n: p for n, p in landmarks.items() if n != "b.jpg"},
                lambda photo, box: MeshOpenings(mesh(), mesh()),
            )
        )
