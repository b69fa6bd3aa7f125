"""Options of `facegeom reconstruct` that select faces: --face, --all-faces, --box and --detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facegeom.cli import main


@pytest.fixture
def group(tmp_path: Path, draw_face: Any, coded_network: Any, detections: Any) -> tuple[Path, Any]:
    """The path of a photo of two faces, 400 pixels apart, the right one first, and the face on the left."""
    face = draw_face(0.0)
    coded_network(face)
    x0, y0, x1, y1 = face.box
    detections([(x0 + 400, y0, x1 + 400, y1, 0.9), (x0, y0, x1, y1, 0.8)])
    path = tmp_path / "group.png"
    Image.fromarray(np.hstack([face.photo, face.photo])).save(path)
    return path, face


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    """Run `facegeom reconstruct --pipeline facevision --json`; return the entries that it prints."""
    assert main(["reconstruct", *map(str, arguments), "--pipeline", "facevision", "--json"]) == 0
    photos: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["photos"]
    return photos


def test_face_and_box_select_the_same_face(
    group: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, face = group
    out = tmp_path / "face.stl"
    box = ",".join(f"{side:.1f}" for side in face.box)
    (first,), (second,), (given,) = (
        report(capsys, path, "-o", out, *options) for options in ((), ("--face", 1), ("--box", box))
    )
    left, right = (entry["camera"]["translation"][0] for entry in (second, first))
    assert right - left == pytest.approx(400, abs=2)
    assert given["camera"]["translation"] == pytest.approx(second["camera"]["translation"], abs=2)


def test_all_faces_are_written(group: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(capsys, group[0], "-o", tmp_path / "out", "--all-faces", "--format", "stl")
    assert {path.name for path in (tmp_path / "out").glob("*.stl")} == {"group.face1.stl", "group.face2.stl"}


def test_a_face_that_the_photo_does_not_have_is_a_failure(
    group: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["reconstruct", str(group[0]), "-o", str(tmp_path / "face.stl"), "--face", "2"]
    assert main([*arguments, "--pipeline", "facevision"]) == 1
    assert "face_index is 2, but the photo has 2 faces" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--box", "1,2,3"], "a box must be four numbers X0,Y0,X1,Y1, got '1,2,3'"),
        (["--box", "1,2,x,4"], "a box must be four numbers"),
        (["--box", "9,2,3,4"], "a box must have X0 < X1 and Y0 < Y1"),
        (["--box", "0,0,inf,4"], "a box must have X0 < X1 and Y0 < Y1"),
        (["--box=-5,0,9,9", "--face", "1"], "--box already selects a face"),
        (["--face", "-1"], "expected one argument|must be 0 or more"),
        (["--face", "one"], "the number of a face must be 0 or more, got 'one'"),
        (["--face", "1", "--all-faces"], "--all-faces writes every face"),
        (["--box", "0,0,9,9", "--all-faces"], "--all-faces writes every face"),
        (["--detector", "haar"], "invalid choice: 'haar'"),
    ],
)
def test_impossible_options_are_usage_errors(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64)).save(photo)
    with pytest.raises(SystemExit) as raised:
        main(["reconstruct", str(photo), "-o", str(tmp_path / "face.glb"), *options])
    assert raised.value.code == 2
    text = capsys.readouterr().err
    assert any(part in text for part in words.split("|")), text
