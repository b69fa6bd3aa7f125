"""Description of a head scan, and loading of scans in any unit and axes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.cli import main
from facegeom.errors import FacegeomError
from facegeom.evaluation.scan import load_scan, render_view
from facegeom.evaluation.scan_description import find_description, read_description

UNIT = 25.4
TO_FILE = np.array([[0, 0, 1.0], [0, -1, 0], [1, 0, 0]])
"""Rotation from the face frame to a file in inches whose axes are front, down and left."""


@pytest.fixture
def scan_folder(tmp_path: Path) -> Path:
    """The mean face as a scan; the left half of its texture (small u) is black, the upper half has some blue."""
    model = load_face_model()
    count = model.face_vertex_count
    faces = model.faces[: model.face_triangle_count]
    points = model.mean[:count] @ TO_FILE.T / UNIT + 3.0
    u = 0.5 + model.mean[:count, 0] / 400
    v_down = 0.5 - model.mean[:count, 1] / 600
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points]
    lines += [f"vt {a:.6f} {b:.6f}" for a, b in zip(u, v_down, strict=True)]
    lines += [f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}" for a, b, c in faces + 1]
    (tmp_path / "face.obj").write_text("\n".join(lines))
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    picture[:32, :, 0] = 200
    cv2.imwrite(str(tmp_path / "colours.png"), picture)
    (tmp_path / "scan.json").write_text(json.dumps(description()))
    return tmp_path


def description() -> dict[str, Any]:
    model = load_face_model()

    def place(point: Any) -> list[float]:
        return (TO_FILE @ np.asarray(point, float) / UNIT + 3.0).tolist()

    return {
        "name": "the mean face",
        "mesh": "face.obj",
        "texture": "colours.png",
        "unit_mm": UNIT,
        "axes": {"left": "+z", "up": "-y", "front": "+x"},
        "eye_centres": {"left": place((31.5, 0, 0)), "right": place((-31.5, 0, 0))},
        "nose_tip": place(model.mean[model.landmarks68[30]]),
        "chin": place(model.mean[model.landmarks68[8]]),
        "texture_v": "down",
    }


def test_a_scan_in_other_axes_and_units_is_moved_to_the_face_frame(scan_folder: Path):
    model = load_face_model()
    scan = load_scan(scan_folder)
    assert scan.vertices == pytest.approx(model.mean[: model.face_vertex_count], abs=1e-3)
    assert scan.nose_tip == pytest.approx(model.mean[model.landmarks68[30]])
    assert scan.scorable[model.landmarks68[27:36]].all()
    assert not scan.scorable[scan.vertices[:, 1] < scan.chin[1] - 7].any()


def test_texture_is_drawn_with_the_described_orientation(scan_folder: Path):
    view = render_view(load_scan(scan_folder), 0.0, 200, "plain")
    x, y = view.camera.project(np.array([[30.0, -30.0, 0], [-30.0, -30.0, 0], [-30.0, 40.0, 0]])).round().astype(int).T
    lower_left, lower_right, upper_right = view.image[y, x].astype(int)
    assert lower_left.min() > 240  # the subject's left half is white
    assert lower_right.max() < 15
    assert upper_right[2] > 180  # OpenCV's first channel is blue


def test_a_description_may_lie_elsewhere(scan_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other") / "description.json"
    (scan_folder / "scan.json").rename(other)
    with pytest.raises(FacegeomError, match=r"scan\.json does not exist: describe the scan there"):
        load_scan(scan_folder)
    assert len(load_scan(scan_folder, other).faces) == load_face_model().face_triangle_count


def test_the_package_describes_one_scan(tmp_path: Path):
    described = read_description(find_description(tmp_path, "lee_perry_smith"))
    left, right = described.in_face_frame(described.eye_centres)
    assert np.linalg.norm(left - right) == pytest.approx(65.9, abs=0.1)
    assert left == pytest.approx(-right)
    with pytest.raises(FacegeomError, match="description nobody does not exist"):
        find_description(tmp_path, "nobody")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit_mm": 0}, "unit_mm must be a number above 0"),
        ({"unit_mm": "cm"}, "unit_mm must be a number above 0"),
        ({"unit_mm": 2.54}, "the eye centres are 6.3 mm apart"),
        ({"axes": {"left": "+z", "up": "-y", "front": "-x"}}, "axes are mirrored"),
        ({"axes": {"left": "+z", "up": "+z", "front": "+x"}}, "three different axes"),
        ({"axes": {"left": "right", "up": "+z", "front": "+x"}}, 'axes must give an axis such as "\\+x"'),
        ({"axes": {"left": "-z", "up": "-y", "front": "-x"}}, "subject's left"),
        ({"axes": ["+x", "+y", "+z"]}, "axes must give an axis"),
        ({"eye_centres": [[0, 0, 0], [1, 1, 1]]}, "eye_centres must have the keys left and right"),
        ({"nose_tip": [1, 2]}, "nose_tip must be a list of three numbers"),
        ({"nose_tip": [1, 2, float("nan")]}, "nose_tip must be finite"),
        ({"nose_tip": [0.0, 3.0, 3.0]}, "below and in front of the eyes"),
        ({"chin": [3.0, 3.0, 3.0]}, "chin must be below the tip of the nose"),
        ({"texture_v": "left"}, 'texture_v must be "up" or "down"'),
        ({"mesh": None}, "mesh must be a file name"),
        ({"mesh": "none.obj"}, r"none\.obj does not exist: scan\.json names it"),
        ({"texture": "none.png"}, r"none\.png does not exist"),
    ],
)
def test_a_wrong_description_is_one_clear_error(scan_folder: Path, change: dict[str, Any], message: str):
    (scan_folder / "scan.json").write_text(json.dumps({**description(), **change}))
    with pytest.raises(FacegeomError, match=message):
        load_scan(scan_folder)


def test_a_description_of_another_mesh_is_refused(scan_folder: Path):
    values = description()
    values["nose_tip"][0] += 1.0  # 25 mm further to the front
    (scan_folder / "scan.json").write_text(json.dumps(values))
    with pytest.raises(FacegeomError, match="tip of the nose is 25 mm from the mesh"):
        load_scan(scan_folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not a JSON document"), ("[1]", "must contain an object"), ("{}", "lacks mesh, texture, unit_mm")],
)
def test_a_broken_description_is_one_clear_error(scan_folder: Path, text: str, message: str):
    (scan_folder / "scan.json").write_text(text)
    with pytest.raises(FacegeomError, match=message):
        load_scan(scan_folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("f 1", "# f 1").split("f ")[0], "contains no triangles"),
        (lambda text: text + "\nf 1 2 3", "corners without texture coordinates"),
        (lambda text: text + "\nf 1//1 2//2 3//3", "corners without texture coordinates"),
        (lambda text: text + "\nf 1/1 2/2 999999/3", "index is out of range"),
    ],
)
def test_a_mesh_without_usable_triangles_is_one_clear_error(scan_folder: Path, edit: Any, message: str):
    mesh = scan_folder / "face.obj"
    mesh.write_text(edit(mesh.read_text()))
    with pytest.raises(FacegeomError, match=message):
        load_scan(scan_folder)


def test_command_reports_a_missing_description(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", "depth", str(tmp_path)]) == 1
    assert "scan.json does not exist" in capsys.readouterr().err
