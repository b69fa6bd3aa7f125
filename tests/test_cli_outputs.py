"""The files of the commands: inputs stay, side files have names of their own, nothing half-written stays."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import facegeom
from facegeom import FaceMesh, cli
from facegeom._internal.outputs import Outputs
from facegeom.cli import main
from facegeom.errors import OutputError


@pytest.fixture
def photo(tmp_path: Path, coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a photo `me.png` in which the face is found; the working folder is the folder of the photo."""
    coded_network(coded_face)
    monkeypatch.setattr("facegeom.detection.detector.detect", lambda image, **options: [(*coded_face.box, 0.9)])
    path = tmp_path / "me.png"
    Image.fromarray(coded_face.photo).save(path)
    monkeypatch.chdir(tmp_path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---- the commands that overwrote the photo or each other's files -----------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["-o", "me.glb", "--preview"], {"me.glb", "me.preview.png"}),
        (["-o", "me.obj", "--texture", "256"], {"me.obj", "me.mtl", "me.texture.png"}),
        (
            ["-o", "head.obj", "--head", "--texture", "512", "--preview"],
            {"head.obj", "head.mtl", "head.texture.png", "head.preview.png"},
        ),
        (["-o", ".", "--preview"], {"me.glb", "me.preview.png"}),
    ],
    ids=["preview", "texture", "preview and texture", "folder of the photo"],
)
def test_photo_stays_as_it_is(arguments: list[str], written: set[str], photo: Path) -> None:
    before = sha256(photo)
    assert main(["reconstruct", "me.png", *arguments]) == 0
    assert sha256(photo) == before
    assert names(photo.parent) == {"me.png"} | written


def test_material_names_the_texture_and_not_the_preview(photo: Path) -> None:
    main(["reconstruct", "me.png", "-o", "face.obj", "--texture", "64", "--preview"])
    assert "map_Kd face.texture.png" in Path("face.mtl").read_text()
    with Image.open("face.texture.png") as texture, Image.open("face.preview.png") as preview:
        assert texture.size == (64, 64)
        assert preview.size[0] > 1000
    assert FaceMesh.load("face.obj").texture.shape == (64, 64, 3)


def test_save_does_not_overwrite_the_photo(photo: Path, coded_face: Any) -> None:
    before = sha256(photo)
    rec = facegeom.reconstruct(photo, box=coded_face.box, texture=64)
    rec.save("me.obj")
    assert sha256(photo) == before
    for name in ("me.glb", "me.texture.png"):  # photos with the names of outputs
        copy = photo.with_name("copy") / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(photo.read_bytes())
        rec = facegeom.reconstruct(copy, box=coded_face.box, texture=64)
        with pytest.raises(OutputError, match="would overwrite the input"):
            rec.save(copy.with_name("me.obj") if name.endswith("png") else copy)
        assert names(copy.parent) == {name}
        assert sha256(copy) == before
        copy.unlink()


# ---- clashes are usage errors, before any work -----------------------------------------------------------------------


def assert_refused(arguments: list[str], capsys: pytest.CaptureFixture[str], message: str) -> None:
    """Check that the command ends with code 2 and one line, and leaves the working folder unchanged."""
    before = {path: sha256(path) for path in Path().rglob("*") if path.is_file()}
    assert main(["reconstruct", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert {path: sha256(path) for path in Path().rglob("*") if path.is_file()} == before


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a photo is reconstructed."""
    monkeypatch.setattr("facegeom.reconstruction.reconstruct", lambda *a, **k: pytest.fail("a photo was reconstructed"))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("me.preview.png", ["-o", "me.glb", "--preview"]),
        ("ME.Preview.PNG", ["-o", "me.glb", "--preview"]),
        ("me.texture.png", ["-o", "me.obj", "--texture", "64"]),
        ("me.mtl", ["-o", "me.obj", "--texture", "64"]),
        ("photo.glb", ["-o", "photo.glb"]),
        ("photo.glb", ["-o", "x/../photo.glb"]),
        ("photo.glb", ["-o", "."]),
    ],
)
def test_output_that_is_the_photo_is_refused(
    name: str, options: list[str], photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo.rename(name)
    Path("x").mkdir()
    assert_refused([name, *options], capsys, f"would overwrite the input {name}")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("link", [os.link, os.symlink], ids=["hard", "symbolic"])
def test_output_that_is_a_link_to_the_photo_is_refused(
    link: Any, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link(photo, "face.glb")
    assert_refused(["me.png", "-o", "face.glb"], capsys, "the mesh of me.png would overwrite the input me.png")


@pytest.mark.usefixtures("no_network")
def test_output_in_a_linked_folder_is_refused(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("link").symlink_to(photo.parent, target_is_directory=True)
    photo.rename("me.glb")
    assert_refused(["me.glb", "-o", "link"], capsys, "would overwrite the input me.glb")


@pytest.mark.usefixtures("no_network")
def test_outputs_that_differ_only_in_letter_case_are_refused(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("ME.jpg").write_bytes(photo.read_bytes())
    assert_refused(["me.png", "ME.jpg", "-o", "out"], capsys, "would both be written to")


@pytest.mark.usefixtures("no_network")
def test_output_of_one_photo_may_not_be_another_photo(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("me.preview.png").write_bytes(photo.read_bytes())
    message = "the preview of me.png would overwrite the input me.preview.png"
    assert_refused(["me.png", "me.preview.png", "-o", ".", "--preview"], capsys, message)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("me.png/face.glb", [], "me.png is not a folder"),
        ("me", ["--format", "glb"], "me is not a folder"),
        ("out", [], "me.glb is a folder"),
        ("a" * 252 + ".glb", [], "256 bytes"),
        ("a" * 251 + ".glb", ["--preview"], "the name of the preview of me.png has 263 bytes"),
        ("two\nlines.obj", ["--texture", "64"], "must have no line break"),
    ],
    ids=["file as folder", "file", "folder as file", "long name", "long name of preview", "line break"],
)
def test_outputs_that_cannot_be_written_are_refused(
    out: str, options: list[str], message: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("me").write_bytes(b"")
    Path("out", "me.glb").mkdir(parents=True)
    assert_refused(["me.png", "-o", out, *options], capsys, message)


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a" * 251 + ".glb", "ä" * 125 + ".glb", "two\nlines.glb", "trailing .glb", " .glb", "bytes \udcff.glb", "a~.glb"],
    ids=["long", "long in bytes", "newline", "trailing space", "space", "not utf-8", "tilde"],
)
def test_unusual_names_work(name: str, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(name).with_suffix(".png")
    photo.rename(source)
    assert main(["reconstruct", str(source), "-o", f"out/{name}"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("faces")
    assert names(Path("out")) == {name}
    assert main(["reconstruct", str(source), "-o", f"out/{name}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["photos"][0]["output"] == f"out/{name}"
    assert main(["reconstruct", f"missing {source}", "-o", "face.glb"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_names_are_printed_in_every_encoding(encoding: str, photo: Path) -> None:
    code = "import sys; from facegeom.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, "reconstruct", "ä\udcff.png", "-o", "a.glb"],
        capture_output=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(b"facegeom: ")
    assert len(done.stderr.splitlines()) == 1
    assert b"\\udcff" in done.stderr


def test_home_folder_is_expanded(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = photo.parent / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    photo.rename(home / "me.png")
    assert main(["reconstruct", "~/me.png", "-o", "~/out/me.glb"]) == 0
    assert (home / "out" / "me.glb").is_file()
    assert not Path("~").exists()


# ---- files that exist ------------------------------------------------------------------------------------------------


def test_existing_output_is_replaced(photo: Path) -> None:
    Path("me.glb").write_bytes(b"old")
    assert main(["reconstruct", "me.png", "-o", "me.glb"]) == 0
    assert len(FaceMesh.load("me.glb").vertices) > 5000


@pytest.mark.usefixtures("no_network")
def test_no_clobber_skips_a_photo_whose_outputs_exist(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("me.glb").write_bytes(b"mine")
    assert main(["reconstruct", "me.png", "-o", "me.glb", "--no-clobber"]) == 0
    assert capsys.readouterr().out == "me.glb: exists\n"
    assert main(["reconstruct", "me.png", "-o", "me.glb", "--no-clobber", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["photos"]
    assert entry == {"photo": "me.png", "output": "me.glb", "error": None, "skipped": True}
    assert Path("me.glb").read_bytes() == b"mine"


def test_no_clobber_writes_the_outputs_that_are_missing(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("you.png").write_bytes(photo.read_bytes())
    Path("out").mkdir()
    Path("out/me.glb").write_bytes(b"mine")
    Path("out/you.preview.png").write_bytes(b"mine")
    assert main(["reconstruct", "me.png", "you.png", "-o", "out", "--preview", "--no-clobber", "--workers", "0"]) == 0
    assert Path("out/me.glb").read_bytes() == b"mine"
    assert Path("out/you.preview.png").read_bytes() == b"mine"
    assert len(FaceMesh.load("out/you.glb").vertices) > 5000
    with Image.open("out/me.preview.png") as preview:
        assert preview.size[0] > 1000


@pytest.mark.usefixtures("no_network")
def test_no_clobber_does_not_mix_a_mesh_with_files_of_another_one(photo: Path) -> None:
    Path("me.texture.png").write_bytes(b"mine")
    assert main(["reconstruct", "me.png", "-o", "me.obj", "--texture", "64", "--no-clobber"]) == 0
    assert names(photo.parent) == {"me.png", "me.texture.png"}


# ---- errors while writing, and signals -------------------------------------------------------------------------------


def test_full_disk_gives_one_line(
    photo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs the device /dev/full")
    write_bytes = Path.write_bytes

    def write(path: Path, content: bytes) -> int:
        if ".tmp" in path.name:
            path.symlink_to("/dev/full")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    assert main(["reconstruct", "me.png", "-o", "out/me.glb"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("No space left on device: 'out/me.glb'")
    assert names(Path("out")) == set()


SLOW_WRITE = """
import sys, time
from pathlib import Path
from facegeom import cli
from facegeom._internal.files import write_atomically

def write(temporary):
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)

cli._info = lambda args: write_atomically(Path("face.glb"), write)
sys.exit(cli.main(["info"]))
"""


def interrupted(folder: Path, number: int) -> subprocess.CompletedProcess[bytes]:
    """Send a signal to a command that is writing a file to `folder`; return the result of the process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITE], cwd=folder, env=environment, stdout=-1, stderr=-1
    ) as process:
        process.stdout.readline()
        assert len(list(folder.iterdir())) == 1
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(
    ("name", "code", "word"),
    [("SIGTERM", 143, b"terminated"), ("SIGHUP", 129, b"terminated"), ("SIGINT", 130, b"interrupted")],
)
def test_signal_leaves_no_temporary_file(name: str, code: int, word: bytes, tmp_path: Path) -> None:
    done = interrupted(tmp_path, getattr(signal, name))
    assert done.returncode == code
    assert done.stderr == b"facegeom: " + word + b"\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_next_run_removes_what_a_killed_run_left(photo: Path) -> None:
    Path("out").mkdir()
    interrupted(Path("out").absolute(), signal.SIGKILL)
    assert len(names(Path("out"))) == 1
    assert main(["reconstruct", "me.png", "-o", "out"]) == 0
    assert names(Path("out")) == {"me.glb"}


def test_main_restores_the_handlers(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(["info", "--json"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


# ---- the other commands ----------------------------------------------------------------------------------------------

COMMANDS = [(group, name) for group, members in cli.MODULES.items() for name in members]
IN_PLACE = {("prepare", "landmarks68")}
"""Commands whose only output is documented to be an input, which the command changes."""


def paths_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the arguments of a parser that name an input."""
    words = ("photo", "file", "folder", "model", "labels", "path")
    return {
        action.dest: action
        for action in parser._actions
        if action.dest not in cli.OUTPUT_OPTIONS
        and action.type in (None, Path)
        and action.nargs in (None, "?", "+")
        and not action.choices
        and any(word in (action.help or "").lower() for word in words)
    }


def command_line(parser: argparse.ArgumentParser, given: dict[str, str]) -> list[str]:
    """Return arguments with all that the parser requires, and with those that are given."""
    line = []
    for action in parser._actions:
        value = given.get(action.dest, "input" if action.required or not action.option_strings else None)
        if value is not None and action.nargs != 0:
            line += [*action.option_strings[-1:], value]
    return line


@pytest.mark.parametrize(("group", "name"), [pair for pair in COMMANDS if pair not in IN_PLACE])
def test_no_command_overwrites_its_inputs(
    group: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Give each output of each command as an input of the same command."""
    command = importlib.import_module(cli.MODULES[group][name][0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "run", lambda args: pytest.fail("the command has started"))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    inputs = paths_of(parser)
    dests = {action.dest for action in parser._actions}
    given = {dest: f"new/{dest}" for dest in ("json", "out", "faceless_sheet", "figures", "renders") if dest in dests}
    if name == "calibrate":
        given["texture_model"] = "input"

    planned: list[Path] = []
    with monkeypatch.context() as patch:  # collect the outputs
        patch.setattr(Outputs, "make_folders", lambda outputs: planned.extend(outputs))
        with pytest.raises(pytest.fail.Exception, match="the command has started"):
            main([group, name, *command_line(parser, given)])
    assert planned, "the command writes nothing"
    if not inputs:
        assert name in ("semi-sphere", "synthetic", "graphs", "level")
        return
    for output in planned:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(b"input")
        for dest in inputs:
            assert main([group, name, *command_line(parser, {**given, dest: str(output)})]) == 2, (output, dest)
            assert "would overwrite the input" in capsys.readouterr().err
        assert output.read_bytes() == b"input"
        output.unlink()


def test_pictures_in_the_folder_of_the_photos_are_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("facegeom.evaluation.heads.run", lambda args: pytest.fail("the command has started"))
    (tmp_path / "heads.png").write_bytes(b"photo")
    assert main(["evaluate", "heads", str(tmp_path), "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"would overwrite {tmp_path / 'heads.png'} in the input folder {tmp_path}" in line
    assert names(tmp_path) == {"heads.png"}


def test_demo_refuses_a_file_as_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_bytes(b"")
    assert main(["demo", "-o", str(tmp_path / "out")]) == 2
    assert "is not a folder" in capsys.readouterr().err
