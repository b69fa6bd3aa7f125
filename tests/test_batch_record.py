"""The record of a batch: what is done, with which options, and that only one run writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batch_tasks import face_values
from facegeom import BatchError, FacegeomError, OutputError
from facegeom.batch.jobs import Failure
from facegeom.batch.journal import Journal
from facegeom.batch.manifest import check_manifest
from facegeom.batch.record import Record
from facegeom.batch.rows import failure_row, photo_stamp
from facegeom.batch.table import check_table, write_table
from facegeom.batch.tasks import PhotoJob, face_file

HEADER = {"facegeom": "0", "options": {"texture": 64}}


def rows_of(name: str, count: int = 1) -> list[dict[str, Any]]:
    return [{"photo": name, "face": n, "rows": count, "stamp": None, "error": None} for n in range(count)]


def test_journal_keeps_rows_and_their_order(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    failed = {"photo": "c\udcff", "face": None, "rows": 1, "stamp": [1, 2], "error": "no face"}
    with Journal(path, HEADER) as journal:
        journal.add(rows_of("a"))
        journal.add(rows_of("b", 3))
        journal.add([failed])
    with Journal(path, {"facegeom": "1", "options": {}}) as journal:
        assert journal.header == HEADER
        assert list(journal.rows(["c\udcff", "b", "x", "a"])) == [failed, *rows_of("b", 3), *rows_of("a")]
        assert [entry.failed for entry in journal.entries.values()] == [False, False, True]


def test_last_rows_of_a_photo_count(tmp_path: Path) -> None:
    with Journal(tmp_path / "t.jsonl", HEADER) as journal:
        journal.add(rows_of("a", 2))
        journal.add(rows_of("b"))
        journal.add(rows_of("a"))
    with Journal(tmp_path / "t.jsonl", HEADER) as journal:
        assert list(journal.rows(journal.entries)) == [*rows_of("a"), *rows_of("b")]


def test_journal_that_was_cut_anywhere_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with Journal(path, HEADER) as journal:
        journal.add(rows_of("a"))
        first = os.path.getsize(path)
        journal.add(rows_of("b", 2))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with Journal(path, HEADER) as journal:
            assert list(journal.entries) == (["a"] if size >= first else [])
            journal.add(rows_of("d", 2))
        with Journal(path, HEADER) as journal:
            assert list(journal.entries) == (["a", "d"] if size >= first else ["d"])
            assert journal.header == HEADER


@pytest.mark.parametrize("damage", [b"\0" * 300 + b"\n", b'{"photo": 1}\n', b'{"photo":"x","face":1,"rows":2', b"[]\n"])
def test_damaged_line_costs_its_photo_only(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with Journal(path, HEADER) as journal:
        journal.add(rows_of("a"))
        journal.add(rows_of("b", 2))
        journal.add(rows_of("c", 2))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = damage if damage.endswith(b"\n") else lines[2]
    path.write_bytes(b"".join(lines))
    with Journal(path, HEADER) as journal:
        assert list(journal.entries) == (["a", "c"] if damage.endswith(b"\n") else ["a", "b", "c"])
        assert list(journal.rows(["c"])) == rows_of("c", 2)


def test_file_that_is_no_journal_stays(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    for content in (b"my data", b"my data\n", b'{"photo": 1}\n'):
        path.write_bytes(content)
        with pytest.raises(BatchError, match="is not the journal of a batch"):
            Journal(path, HEADER)
        assert path.read_bytes() == content


def test_full_disk_keeps_the_photos_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "t.jsonl", os.write

    def half(file: int, content: bytes) -> int:
        if len(content) < 20:
            raise OSError(28, "No space left on device")
        return write(file, content[:19])

    with Journal(path, HEADER) as journal:
        journal.add(rows_of("a"))
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(BatchError, match=r"No space left on device: '.*t\.jsonl'"):
            journal.add(rows_of("b"))
        monkeypatch.undo()
        journal.add(rows_of("c"))
    with Journal(path, HEADER) as journal:
        assert list(journal.entries) == ["a", "c"]


def test_changed_options_are_named(tmp_path: Path) -> None:
    (tmp_path / ".facegeom").mkdir()
    check_manifest(tmp_path, {"texture": None, "head": False, "format": "glb"})
    check_manifest(tmp_path, {"texture": None, "head": False, "format": "glb"})
    with pytest.raises(OutputError) as caught:
        check_manifest(tmp_path, {"texture": 1, "head": True, "format": "glb"})
    assert "(texture not given, now 1, head off, now on)" in str(caught.value)
    (tmp_path / ".facegeom" / "manifest.json").write_text("{")
    with pytest.raises(OutputError, match="is damaged"):
        check_manifest(tmp_path, {})


@pytest.fixture
def job(tmp_path: Path) -> PhotoJob:
    """A photo whose output exists."""
    job = PhotoJob(tmp_path / "me.jpg", tmp_path / "out" / "me.glb")
    job.photo.write_bytes(b"photo")
    job.mesh.parent.mkdir()
    job.mesh.write_bytes(b"mesh")
    return job


def is_done(record: Record, job: PhotoJob, **options: bool) -> bool:
    return record.is_done(job, **{"all_faces": False, "retry_failed": False, **options})


def test_photo_is_done_while_its_files_are_complete(job: PhotoJob, tmp_path: Path) -> None:
    with Record({}, job.mesh.parent) as record:
        assert not is_done(record, job)
        record.add([face_values(job.photo, 0, 1, photo_stamp(job.photo), job.mesh)])
        assert is_done(record, job)
    with Record({}, job.mesh.parent) as record:
        assert is_done(record, job, retry_failed=True)
        assert not is_done(record, PhotoJob(job.photo, job.mesh.with_name("other.glb")))
        assert not is_done(record, job, all_faces=True)
        job.mesh.write_bytes(b"mes")
        assert not is_done(record, job)
        job.mesh.unlink()
        assert not is_done(record, job)
        job.mesh.write_bytes(b"mesh")
        assert is_done(record, job)
        job.photo.write_bytes(b"another")
        assert not is_done(record, job)


def test_all_faces_are_needed(job: PhotoJob) -> None:
    with Record({}, job.mesh.parent) as record:
        meshes = [face_file(job.mesh, number) for number in range(3)]
        for mesh in meshes:
            mesh.write_bytes(b"mesh")
        record.add([face_values(job.photo, n, 3, photo_stamp(job.photo), mesh) for n, mesh in enumerate(meshes)])
        assert is_done(record, job, all_faces=True)
        meshes[1].unlink()
        assert not is_done(record, job, all_faces=True)


def test_failed_photo_is_done_unless_it_is_retried_or_changed(job: PhotoJob) -> None:
    with Record({}, job.mesh.parent) as record:
        record.add([failure_row(Failure("NoFaceFound", "no face"), job.photo)])
        assert record.has_failed(job.photo)
        assert is_done(record, job)
        assert not is_done(record, job, retry_failed=True)
        job.photo.write_bytes(b"another")
        assert not is_done(record, job)


def test_second_run_is_refused(tmp_path: Path) -> None:
    with Record({}, tmp_path / "a", tmp_path / "t.parquet"):
        with pytest.raises(OutputError, match=r"another run is writing to the folder .*a"), Record({}, tmp_path / "a"):
            pass
        with (
            pytest.raises(OutputError, match=r"another run is writing to the table .*t\.parquet"),
            Record({}, tmp_path / "b", tmp_path / "t.parquet"),
        ):
            pass
    with Record({}, tmp_path / "a", tmp_path / "t.parquet"), Record({}, tmp_path / "b"):
        pass


def test_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from facegeom.batch.record import Record\n"
        f"record = Record({{}}, Path({str(tmp_path)!r})); record.__enter__(); print('locked', flush=True); input()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, env=environment) as process:
        assert process.stdout.readline().strip() == b"locked"
        with pytest.raises(OutputError), Record({}, tmp_path):
            pass
        process.kill()
    with Record({}, tmp_path):
        pass


def test_table_of_other_options_is_refused(tmp_path: Path) -> None:
    with Record({"texture": 64}, tmp_path / "a", tmp_path / "t.parquet"):
        pass
    record = Record({"texture": None}, tmp_path / "b", tmp_path / "t.parquet")
    with pytest.raises(OutputError, match="texture 64, now not given"), record:
        pass


def test_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    face = face_values(tmp_path / "a\udcff.jpg", 1, 2, None, tmp_path)
    failed = failure_row(Failure("NoFaceFound", "no face"), tmp_path / "b.jpg")
    write_table([face, failed], tmp_path / "t.parquet")
    first, second = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert list(first) == [
        "photo", "face", "box", "score", "pose", "landmarks", "landmarks468", "weights", "coefficients", "camera",
        "timings", "versions", "error_class", "error", "mesh",
    ]  # fmt: skip
    assert first["photo"] == f"{tmp_path}/a\\xff.jpg"
    assert first["face"] == 1
    assert first["box"] == [10.0, 20.5, 30.0, 40.0]
    assert first["pose"] == {"yaw": 1.0, "pitch": -2.0, "roll": 3.0}
    assert len(first["landmarks"]) == 68
    assert len(first["landmarks468"]) == 468
    assert first["weights"]["jawOpen"] == 0.25
    assert len(first["weights"]) == 52
    assert first["coefficients"] == [0.5, -0.5]
    assert first["camera"]["scale"] == 2.0
    assert dict(first["timings"]) == {"network": 50.0}
    assert first["error"] is None
    assert second["photo"] == str(tmp_path / "b.jpg")
    assert (second["error_class"], second["error"]) == ("NoFaceFound", "no face")
    assert dict(second["versions"])["facegeom"]
    assert {name for name, value in second.items() if value is None} == set(second) - {
        "photo", "versions", "error_class", "error",
    }  # fmt: skip


def test_table_has_each_photo_once_in_the_order_of_the_input(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    names = [f"{n}.jpg" for n in range(2500)]
    table = tmp_path / "t.parquet"
    with Record({}, tmp_path / "out", table) as record:
        for name in [*reversed(names), "earlier.jpg", "3.jpg"]:
            record.add([failure_row(Failure("NoFaceFound", "no face"), tmp_path / name)])
        record.write_table([tmp_path / name for name in names])
        written = table.stat().st_mtime_ns
    assert [Path(p).name for p in parquet.read_table(table).column("photo").to_pylist()] == [*names, "earlier.jpg"]
    with Record({}, tmp_path / "out", table) as record:
        record.write_table([tmp_path / name for name in names])
        assert table.stat().st_mtime_ns == written
        table.unlink()
        record.write_table([tmp_path / name for name in names])
    assert table.exists()
    with Record({}, tmp_path / "out", table) as record:  # killed before it writes the table
        record.add([failure_row(Failure("NoFaceFound", "no face"), tmp_path / "last.jpg")])
    os.utime(table, ns=(0, 0))
    with Record({}, tmp_path / "out", table) as record:
        record.write_table([])
    assert len(parquet.read_table(table)) == 2502


def test_table_needs_its_suffix_and_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FacegeomError, match=r"must end in \.parquet, got t\.csv"):
        check_table(tmp_path / "t.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(FacegeomError, match=r"pip install 'facegeom\[batch\]'"):
        check_table(tmp_path / "t.parquet")


def test_manifest_is_readable_json(tmp_path: Path) -> None:
    with Record({"texture": 64}, tmp_path):
        assert json.loads((tmp_path / ".facegeom" / "manifest.json").read_text())["options"] == {"texture": 64}
