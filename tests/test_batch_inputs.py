"""The photos of a batch: files, folders, patterns, lists; and the names of their outputs."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from facegeom import ImageError, OutputError
from facegeom.batch.inputs import FoundPhoto, find_photos, read_list
from facegeom.batch.plan import plan_jobs, planned_outputs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with photos in subfolders and with files that are none."""
    for name in (
        "in/b.JPG", "in/a.png", "in/x/c.heic", "in/x/y/d.webp", "in/x/y/[1].jpg", "in/bytes \udcff.jpg",
        "in/a.preview.png", "in/x/a.texture.png", "in/notes.txt", "in/.hidden.jpg", "in/.facegeom/e.jpg", "in/a.glb",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "in/folder.jpg").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "in/loop").symlink_to(tmp_path / "in", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*inputs: str) -> list[str]:
    return [str(photo.path) for photo in find_photos(inputs)]


def test_folder_is_searched_with_its_subfolders(folder: Path) -> None:
    photos = list(find_photos("in"))
    assert [str(photo.path) for photo in photos] == [
        "in/a.png", "in/b.JPG", "in/bytes \udcff.jpg", "in/x/c.heic", "in/x/y/[1].jpg", "in/x/y/d.webp",
    ]  # fmt: skip
    assert str(photos[-1].place) == "x/y/d.webp"


def test_patterns(folder: Path) -> None:
    assert found("in/*.[jJ][pP][gG]") == ["in/b.JPG", "in/bytes \udcff.jpg"]
    assert found("in/x/**/*.webp") == ["in/x/y/d.webp"]
    assert [str(photo.place) for photo in find_photos(["in/*/y/*.webp"])] == ["x/y/d.webp"]
    assert found("in/?.png") == ["in/a.png"]
    assert found("in/x/y/[1].jpg") == ["in/x/y/[1].jpg"]  # a file of this name exists


def test_each_photo_is_found_once(folder: Path) -> None:
    assert found("in/b.JPG", "in", "in/*.png", str(folder / "in/b.JPG")).count("in/b.JPG") == 1
    assert len(found("in", "in")) == 6


def test_file_that_does_not_exist_is_kept(folder: Path) -> None:
    assert found("none.jpg") == ["none.jpg"]


@pytest.mark.parametrize(
    ("name", "message"), [("empty", "the folder empty contains no photos"), ("in/*.bmp", r"no file matches in/\*\.bmp")]
)
def test_nothing_found(name: str, message: str, folder: Path) -> None:
    with pytest.raises(ImageError, match=message):
        found(name)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user without all permissions")
def test_folder_that_cannot_be_read(folder: Path) -> None:
    (folder / "in/x").chmod(0)
    try:
        with pytest.raises(PermissionError):
            found("in")
    finally:
        (folder / "in/x").chmod(0o755)


@pytest.mark.parametrize(
    "content",
    [
        b"a.jpg\nb c.jpg\n",
        b"a.jpg\r\nb c.jpg\r\n",
        b"\xef\xbb\xbfa.jpg\n\nb c.jpg",
        b"a.jpg\0b c.jpg\0",
    ],
)
def test_lists(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert read_list(tmp_path / "list") == read_list(Path("-")) == [Path("a.jpg"), Path("b c.jpg")]


def test_list_with_unusual_names(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"two\nlines.jpg\0\xff.jpg\0 a.jpg \0")
    assert [str(path) for path in read_list(tmp_path / "list")] == ["two\nlines.jpg", "\udcff.jpg", " a.jpg "]


def photo(path: str, place: str | None = None) -> FoundPhoto:
    return FoundPhoto(Path(path), Path(place or Path(path).name))


def test_meshes_have_the_names_and_subfolders_of_their_photos(tmp_path: Path) -> None:
    photos = [photo("in/a.jpg"), photo("in/x/b.tar.png", "x/b.tar.png")]
    assert [job.mesh for job in plan_jobs(photos, tmp_path, ".glb")] == [
        tmp_path / "a.glb", tmp_path / "x" / "b.tar.glb",
    ]  # fmt: skip
    assert plan_jobs(photos[:1], tmp_path / "face.obj", ".glb")[0].mesh == tmp_path / "face.obj"
    (tmp_path / "dir.v2").mkdir()
    assert plan_jobs(photos[:1], tmp_path / "dir.v2", ".glb")[0].mesh == tmp_path / "dir.v2" / "a.glb"


def test_two_photos_with_one_mesh_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x/a\.jpg and y/a\.png would both be written to"):
        plan_jobs([photo("x/a.jpg"), photo("y/a.png")], tmp_path, ".glb")
    with pytest.raises(ValueError, match=r"2 photos cannot be written to the single file"):
        plan_jobs([photo("a.jpg"), photo("b.jpg")], tmp_path / "a.glb", ".glb")


def test_file_of_another_face_may_not_be_a_photo(tmp_path: Path) -> None:
    for name in ("me.jpg", "me.face2.preview.png"):
        (tmp_path / name).write_bytes(b"")
    photos = [photo(str(tmp_path / "me.jpg")), photo(str(tmp_path / "me.face2.preview.png"))]
    jobs = plan_jobs(photos, tmp_path, ".glb")
    with pytest.raises(OutputError, match=r"a face of .*me\.jpg would overwrite the input"):
        planned_outputs(jobs, textured=False, preview=True, all_faces=True)
    planned_outputs(jobs, textured=False, preview=True, all_faces=False)


def test_table_may_not_be_an_input_or_another_output(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"")
    jobs = plan_jobs([photo(str(path))], tmp_path / "out", ".glb")
    with pytest.raises(OutputError, match="would overwrite the input"):
        planned_outputs(jobs, textured=False, preview=False, all_faces=False, records=[path])
