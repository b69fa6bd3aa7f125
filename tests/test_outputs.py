"""The planned outputs of a run: none overwrites an input or another output."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facegeom._internal.outputs import Outputs, is_side_file, printable, side_file
from facegeom.errors import OutputError


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An input file."""
    path = tmp_path / "photos" / "me.png"
    path.parent.mkdir()
    path.write_bytes(b"photo")
    return path


def same_path(photo: Path) -> Path:
    return photo


def other_spelling(photo: Path) -> Path:
    return photo.parent / ".." / photo.parent.name / "." / photo.name


def other_case(photo: Path) -> Path:
    return photo.with_name("ME.PNG")


def linked_folder(photo: Path) -> Path:
    (photo.parents[1] / "link").symlink_to(photo.parent, target_is_directory=True)
    return photo.parents[1] / "link" / photo.name


def symbolic_link(photo: Path) -> Path:
    link = photo.with_name("link.glb")
    link.symlink_to(photo)
    return link


def hard_link(photo: Path) -> Path:
    link = photo.with_name("hard.glb")
    os.link(photo, link)
    return link


@pytest.mark.parametrize(
    "alias", [same_path, other_spelling, other_case, linked_folder, symbolic_link, hard_link], ids=lambda f: f.__name__
)
def test_output_that_is_an_input_is_refused(alias, photo: Path) -> None:
    target = alias(photo)
    with pytest.raises(OutputError, match=r"the mesh of x would overwrite the input .*me\.png"):
        Outputs([photo]).add(target, "the mesh of x")


def test_target_of_a_linked_input_is_refused(photo: Path) -> None:
    link = photo.with_name("link.png")
    link.symlink_to(photo)
    with pytest.raises(OutputError, match="would overwrite the input"):
        Outputs([link]).add(photo, "the mesh")


def test_relative_and_absolute_paths_are_the_same_file(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    with pytest.raises(OutputError, match="would overwrite the input"):
        Outputs(["me.png"]).add(photo, "the mesh")


def test_missing_input_is_not_written_either(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="would overwrite the input"):
        Outputs([tmp_path / "none.png"]).add(tmp_path / "none.png", "the mesh")


@pytest.mark.parametrize("second", ["a.glb", "A.GLB", "x/../a.glb", "\u00e4.glb"])
def test_two_outputs_at_one_place_are_refused(second: str, tmp_path: Path) -> None:
    outputs = Outputs()
    outputs.add(tmp_path / "a.glb", "the mesh of x/a.jpg")
    outputs.add(tmp_path / "a\u0308.glb", "the mesh of \u00e4.jpg")  # another Unicode form of the last second name
    with pytest.raises(OutputError, match=r"the mesh of .* and the mesh of y/a.jpg would both be written to"):
        outputs.add(tmp_path / second, "the mesh of y/a.jpg")
    assert len(list(outputs)) == 2


def test_existing_file_in_an_input_folder_is_refused_if_the_run_reads_its_kind(photo: Path) -> None:
    outputs = Outputs(folders={photo.parent: (".png",)})
    assert outputs.add(photo.with_name("new.png"), "the sheet").name == "new.png"
    (photo.with_name("labels.npz")).write_bytes(b"")
    outputs.add(photo.with_name("labels.npz"), "the labels")
    with pytest.raises(OutputError, match=r"would overwrite .*me.png in the input folder"):
        outputs.add(photo, "the sheet")


def test_existing_result_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(b"old")
    outputs = Outputs([tmp_path / "a.png"])
    assert outputs.add(tmp_path / "a.glb", "the mesh") == tmp_path / "a.glb"
    assert tmp_path / "A.glb" in outputs
    assert tmp_path / "b.glb" not in outputs


def test_things_that_are_no_files_are_refused(tmp_path: Path) -> None:
    outputs = Outputs()
    (tmp_path / "folder.glb").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"the mesh cannot be written: .*folder.glb is a folder"):
        outputs.add(tmp_path / "folder.glb", "the mesh")
    with pytest.raises(OutputError, match="is not a folder"):
        outputs.add(tmp_path / "file" / "deep" / "a.glb", "the mesh")
    with pytest.raises(OutputError, match="has 256 bytes, but file systems allow 255"):
        outputs.add(tmp_path / ("ä" * 126 + ".glb"), "the mesh")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is not a regular file"):
        Outputs().add(tmp_path / "pipe", "the mesh")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write everything")
def test_read_only_places_are_refused(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.glb", tmp_path / "locked"
    file.write_bytes(b"")
    file.chmod(0o444)
    folder.mkdir(mode=0o555)
    with pytest.raises(OutputError, match=r"the file .* is read-only"):
        Outputs().add(file, "the mesh")
    with pytest.raises(OutputError, match=r"the folder .* is read-only"):
        Outputs().add(folder / "deep" / "a.glb", "the mesh")


def test_folders_are_made_for_all_outputs(tmp_path: Path) -> None:
    outputs = Outputs()
    for name in ("a/b/c.glb", "d/e.glb"):
        outputs.add(tmp_path / name, "the mesh")
    assert not list(tmp_path.iterdir())  # planning changes nothing
    outputs.make_folders()
    assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "d").is_dir()


def test_names_of_side_files() -> None:
    assert side_file(Path("out/me.v2.glb"), "preview.png") == Path("out/me.v2.preview.png")
    assert is_side_file(Path("out/me.texture.png"))
    assert not is_side_file(Path("out/preview.png"))


def test_printable_text_has_one_line_and_can_be_encoded() -> None:
    text = printable("a\nb\t\x1b[31m \udcff  ä\u2028")
    assert text == "a\\nb\\t\\x1b[31m \\udcff  ä\\u2028"
    text.encode()
