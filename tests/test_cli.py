"""The command line: its output on stdout and stderr, its files and its exit codes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import facegeom
from facegeom import FaceMesh, cli
from facegeom.cli import main
from facegeom.mesh.viewer import is_bundled


@pytest.fixture
def photo(tmp_path: Path, coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a photo in which the face is found."""
    coded_network(coded_face)
    monkeypatch.setattr("facegeom.detection.detector.detect", lambda image, **options: [(*coded_face.box, 0.9)])
    path = tmp_path / "photo.png"
    Image.fromarray(coded_face.photo).save(path)
    return path


def test_reconstruct_writes_one_mesh(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", str(photo), "-o", str(tmp_path / "new" / "face.glb")]) == 0
    out, err = capsys.readouterr()
    assert "vertices" in out
    assert err == ""
    assert len(FaceMesh.load(tmp_path / "new" / "face.glb").vertices) > 5000


def test_json_report(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", str(photo), "-o", str(tmp_path / "face.ply"), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["photos"]
    assert entry["photo"] == str(photo)
    assert entry["output"] == str(tmp_path / "face.ply")
    assert entry["error"] is None
    assert len(entry["landmarks"]) == 68
    assert len(entry["camera"]["rotation"]) == 3
    assert {"raw", "detailed", "network"} <= set(entry["milliseconds"])


def test_failed_photos_are_reported_and_the_others_are_reconstructed(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("hello")
    out = tmp_path / "out"
    code = main(["reconstruct", str(text), str(tmp_path / "none.jpg"), str(photo), "-o", str(out), "--format", "stl",
                 "--workers", "0"])  # fmt: skip
    assert code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "text.jpg is in no image format" in lines[0]
    assert "none.jpg" in lines[1]
    assert {path.name for path in out.iterdir()} == {"photo.stl", ".facegeom"}


def test_preview_and_texture(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["reconstruct", str(photo), "-o", str(out), "--preview", "--texture", "64"]) == 0
    assert {path.name for path in out.iterdir()} == {"photo.glb", "photo.preview.png"}
    assert FaceMesh.load(out / "photo.glb").texture.shape == (64, 64, 3)
    with Image.open(out / "photo.preview.png") as sheet:
        assert sheet.size[0] > 1000


def test_missing_face_is_reported_in_one_line(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("facegeom.detection.detector.detect", lambda image, **options: [])
    Image.new("RGB", (200, 200)).save(photo)
    assert main(["reconstruct", str(photo), "-o", str(tmp_path / "face.glb")]) == 1
    message = "no face was found in the photo; give its place as box=(x0, y0, x1, y1)"
    assert capsys.readouterr().err == f"facegeom: {photo}: {message}\n"
    assert not (tmp_path / "face.glb").exists()


@pytest.mark.parametrize("options", [["--neutral", "--pipeline", "facevision"], ["--head", "--pipeline", "facevision"]])
def test_option_that_the_pipeline_does_not_support_is_named(
    options: list[str], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(photo), "-o", str(tmp_path / "face.glb"), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert options[0].strip("-") in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["reconstruct"],
        ["reconstruct", "a.jpg"],
        ["reconstruct", "a.jpg", "-o", "a.glb", "--pipeline", "magic"],
        ["reconstruct", "a.jpg", "-o", "a.glb", "--texture", "big"],
        ["reconstruct", "a.jpg", "-o", "a.docx"],
        ["reconstruct", "a.jpg", "b.jpg", "-o", "a.glb"],
        ["reconstruct", "x/a.jpg", "y/a.jpg", "-o", "out"],
        ["evaluate"],
        ["train", "nothing"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_usage_errors_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: facegeom" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_weights_stop_the_batch(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(device: str, backend: str) -> None:
        raise facegeom.WeightsError("the weights of facevision are missing")

    monkeypatch.setattr("facegeom.pipelines.map_prediction.load_network", fail)
    assert (
        main(
            [
                "reconstruct",
                str(photo),
                str(photo.with_name("other.png")),
                "-o",
                str(tmp_path / "out"),
                "--workers",
                "0",
            ]
        )
        == 1
    )
    assert "weights of facevision are missing" in capsys.readouterr().err.splitlines()[-1]


def test_demo(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("facegeom.reconstruction.demo_photo", lambda: photo)
    assert main(["demo", "-o", str(tmp_path / "out")]) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written - {"head.html"} == {"head.glb", "head.obj", "head.mtl", "head.texture.png", "preview.png"}
    assert ("head.html" in written) == is_bundled()
    out = capsys.readouterr().out
    for step in ("detection", "network", "fit", "raw", "detailed", "total"):
        assert f"{step} " in out


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert "facevision" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["facegeom"] == facegeom.__version__
    assert "devices" not in facts
    assert main(["info", "--json", "--devices"]) == 0
    assert "cpu" in json.loads(capsys.readouterr().out)["devices"]


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["--help"], ["reconstruct", "-h"], ["evaluate", "-h"], ["train", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    assert "facegeom" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, members in cli.MODULES.items() for name in members]
)
def test_every_command_has_a_module_with_help(group: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _ = cli.MODULES[group][name]
    try:
        command = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("facegeom"):
            raise
        pytest.skip(f"{error.name} of facegeom[train] is not installed")
    assert callable(command.run)
    with pytest.raises(SystemExit) as caught:
        main([group, name, "--help"])
    assert caught.value.code == 0
    assert f"facegeom {group} {name}" in capsys.readouterr().out


def test_help_loads_neither_torch_nor_opencv() -> None:
    code = (
        "import sys; from facegeom.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
