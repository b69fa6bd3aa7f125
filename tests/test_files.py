"""Atomic writing of files, and the temporary files that it uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facegeom._internal import files
from facegeom._internal.files import STALE_SECONDS, remove_stale, write_atomically, write_bytes, write_npz


def ended_process() -> int:
    """Return the id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def temporary_file(folder: Path, process: int, machine: str | None = None) -> Path:
    """Create a temporary file as process `process` of a machine would name it; None: this machine."""
    path = folder / f".facegeom-{machine or files._machine()}-{process}-0123abcd.tmp.glb"
    path.write_bytes(b"half")
    return path


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "face.ply"
    path.write_bytes(b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["face.ply"]


def test_interrupted_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    def interrupt(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "face.ply", interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "a" * 251 + ".glb",
        "a." + "b" * 253,
        "ä" * 125 + ".glb",
        "two\nlines.glb",
        "~.glb",
        "trailing space ",
        " .glb",
        "not utf-8 \udcff.glb",
        ".hidden",
    ],
    ids=["long", "long suffix", "long in bytes", "newline", "tilde", "trailing space", "space", "bytes", "hidden"],
)
def test_every_file_name_can_be_written(name: str, tmp_path: Path) -> None:
    write_bytes(tmp_path / name, b"content")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_temporary_file_keeps_a_short_suffix(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(temporary: Path) -> None:
        seen.append(temporary)
        temporary.write_bytes(b"")

    write_atomically(tmp_path / "curves.PNG", write)
    assert seen[0].suffix == ".PNG"


def test_errors_name_the_file_and_not_the_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "face.glb").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_bytes(tmp_path / "face.glb", b"content")
    assert caught.value.filename == str(tmp_path / "face.glb")
    assert "tmp" not in str(caught.value).replace(str(tmp_path), "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
def test_full_disk_is_named(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        temporary.symlink_to("/dev/full")  # the write fails as on a full disk
        with open(temporary, "wb") as stream:
            np.save(stream, np.zeros(100_000))

    with pytest.raises(OSError, match=r"No space left on device: '.*face.npy'"):
        write_atomically(tmp_path / "face.npy", write)
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        write_npz(tmp_path / "none" / "a.npz", {})


def test_first_write_removes_temporary_files_of_ended_processes(tmp_path: Path) -> None:
    stale = temporary_file(tmp_path, ended_process())
    write_bytes(tmp_path / "face.glb", b"content")
    assert not stale.exists()


def test_temporary_files_of_running_processes_are_kept(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        running = temporary_file(tmp_path, child.pid)
        own = temporary_file(tmp_path, os.getpid())
        remove_stale(tmp_path)
        assert running.exists()
        assert own.exists()
    finally:
        child.communicate(b"\n")
    remove_stale(tmp_path)
    assert not running.exists()


def test_temporary_files_of_other_machines_are_removed_after_a_week(tmp_path: Path) -> None:
    other = temporary_file(tmp_path, ended_process(), machine="ffffffff" if files._machine() != "ffffffff" else "0" * 8)
    remove_stale(tmp_path)
    assert other.exists()
    old = other.stat().st_mtime - STALE_SECONDS - 60
    os.utime(other, (old, old))
    remove_stale(tmp_path)
    assert not other.exists()


def test_files_of_the_user_are_never_removed_as_stale(tmp_path: Path) -> None:
    names = [".facegeom-notes.tmp.glb", ".me.0123abcd.glb", "facegeom.tmp", f".facegeom-{'g' * 8}-1-0123abcd.tmp.glb"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (0, 0))
    remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
