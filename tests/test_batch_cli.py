"""`facegeom reconstruct` on many photos: resumed, nothing twice, nothing lost.

In most tests the photos are text files that say what happens to them; see `batch_tasks`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import facegeom
from batch_tasks import FakeSave
from facegeom.cli import main

RUN = """
import sys
from batch_tasks import FakeSave
from facegeom.batch import command
from facegeom.cli import main
command.SaveTask = FakeSave
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with six photos in `in`; their reconstruction is replaced by `FakeSave`."""
    monkeypatch.setattr("facegeom.batch.command.SaveTask", FakeSave)
    for name in ("a", "b", "c", "x/d", "x/e", "x/f"):
        path = tmp_path / "in" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> set[str]:
    """Return all files below a folder, except the record."""
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".facegeom" not in str(path)
    }


ALL = {"a.glb", "b.glb", "c.glb", "x/d.glb", "x/e.glb", "x/f.glb"}


def rows(table: str = "t.parquet") -> list[dict[str, Any]]:
    return pytest.importorskip("pyarrow.parquet").read_table(table).to_pylist()


def test_folder_by_worker_processes(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "in", "-o", "out", "--workers", "2", "--table", "t.parquet"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "6 photos reconstructed, 0 failed"
    assert "out/x/d.glb: 4 vertices, 2 faces" in out.splitlines()
    assert err == ""
    assert names(Path("out")) == ALL
    assert [row["mesh"] for row in rows()] == [str(photos / "out" / name) for name in sorted(ALL)]
    assert main(["reconstruct", "in", "-o", "out", "--table", "t.parquet"]) == 0
    assert capsys.readouterr().out == "0 photos reconstructed, 0 failed, 6 done by an earlier run\n"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_failures_are_reported_and_tried_again_on_request(
    workers: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {"b": "no face", "c": "memory", "x/d": "recursion", "x/e": "unicode", "x/f": "called"}
    for name, word in bad.items():
        Path("in", f"{name}.jpg").write_text(word)
    command = ["reconstruct", "in", "-o", "out", "--table", "t.parquet", "--workers", workers]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "1 photo reconstructed, 5 failed"
    assert len(err.splitlines()) == 5
    assert "facegeom: in/b.jpg: no face was found in the photo" in err.splitlines()
    assert {Path(row["photo"]).stem: row["error_class"] for row in rows()} == {
        "a": None, "b": "NoFaceFound", "c": "MemoryError", "d": "RecursionError", "e": "UnicodeEncodeError",
        "f": "CalledProcessError",
    }  # fmt: skip
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out == "0 photos reconstructed, 0 failed, 6 done by an earlier run\n"
    assert err == "facegeom: 5 photos failed in an earlier run: --retry-failed tries again\n"
    stamps = {name: os.stat(Path("in", f"{name}.jpg")) for name in bad}
    for name, stamp in stamps.items():  # the photo looks unchanged: it failed for another reason
        Path("in", f"{name}.jpg").write_text("fine".ljust(stamp.st_size)[: stamp.st_size])
        os.utime(Path("in", f"{name}.jpg"), ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert main([*command, "--retry-failed"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 photos reconstructed, 0 failed, 1 done by an earlier run"
    assert [row["error"] for row in rows()] == [None] * 6


def test_only_what_is_missing_or_half_written_is_done_again(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["reconstruct", "in", "-o", "out", "--workers", "0"]
    assert main(command) == 0
    untouched = Path("out/b.glb").stat().st_mtime_ns
    Path("out/a.glb").unlink()
    Path("out/x/e.glb").write_bytes(b"")
    Path("in/new.jpg").write_text("new")
    Path("in/c.jpg").write_text("changed")
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "4 photos reconstructed, 0 failed, 3 done by an earlier run"
    assert names(Path("out")) == ALL | {"new.glb"}
    assert Path("out/x/e.glb").read_text() == "x/e"
    assert Path("out/c.glb").read_text() == "changed"
    assert Path("out/b.glb").stat().st_mtime_ns == untouched


def test_changed_options_are_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["reconstruct", "in", "-o", "out", "--workers", "0"]
    assert main(command) == 0
    capsys.readouterr()
    assert main([*command, "--texture", "64"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the folder out was made with other options (texture not given, now 64)" in line
    assert main([*command, "--timeout", "9", "--workers", "1"]) == 0  # these do not change the outputs


def test_second_run_is_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from facegeom.batch.record import Record

    with Record({}, Path("out")):
        assert main(["reconstruct", "in", "-o", "out", "--workers", "0"]) == 2
    assert "another run is writing to the folder out" in capsys.readouterr().err
    assert not names(Path("out"))


def test_full_disk_ends_the_batch_which_can_be_resumed(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/b.jpg").write_text("full")
    command = ["reconstruct", "in", "-o", "out", "--workers", "0"]
    assert main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("facegeom: [Errno 28] No space left on device")
    assert line.endswith("start the same command again to continue")
    assert names(Path("out")) == {"a.glb"}
    Path("in/b.jpg").write_text("fine")
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 photos reconstructed, 0 failed, 1 done by an earlier run"
    assert names(Path("out")) == ALL


@pytest.mark.skipif(os.name != "posix", reason="needs limits of resources")
def test_limit_of_file_sizes_ends_the_batch_which_can_be_resumed(photos: Path) -> None:
    Path("in/c.jpg").write_text("x" * 500_000 + "\nfine")
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n{RUN}"
    command = ["reconstruct", "in", "-o", "out", "--workers", "1"]
    done = process(limited, command)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.endswith("c.glb'; start the same command again to continue")
    assert "File too large" in line
    assert "c.glb" not in names(Path("out"))
    assert process(RUN, command).returncode == 0
    assert names(Path("out")) == ALL


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user without all permissions")
def test_lost_permission_ends_the_batch(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "in", "-o", "out", "--workers", "0"]) == 0
    Path("out/a.glb").unlink()
    Path("out").chmod(0o555)
    try:
        assert main(["reconstruct", "in", "-o", "out", "--workers", "0"]) == 2
    finally:
        Path("out").chmod(0o755)
    assert len(capsys.readouterr().err.splitlines()) == 1


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def process(code: str, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment(), capture_output=True, check=False, timeout=120
    )


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGKILL", -9)])
def test_interrupted_batch_is_resumed(name: str, code: int, photos: Path) -> None:
    Path("in/c.jpg").write_text("wait 60")
    command = ["reconstruct", "in", "-o", "out", "--workers", "2", "--table", "t.parquet"]
    with subprocess.Popen([sys.executable, "-c", RUN, *command], env=environment(), stdout=-1, stderr=-1) as run:
        deadline = time.monotonic() + 60
        while len(names(Path("out"))) != 5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run.send_signal(getattr(signal, name))
        _, err = run.communicate(timeout=60)
    assert run.returncode == code
    assert err == {130: b"facegeom: interrupted\n", 143: b"facegeom: terminated\n", -9: b""}[code]
    assert not Path("t.parquet").exists()
    Path("in/c.jpg").write_text("c")
    assert main([*command, "--workers", "0"]) == 0
    assert names(Path("out")) == ALL
    assert [Path(row["photo"]).stem for row in rows()] == ["a", "b", "c", "d", "e", "f"]


def test_timeout(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/b.jpg").write_text("sleep")
    assert main(["reconstruct", "in", "-o", "out", "--workers", "2", "--timeout", "4"]) == 1
    assert capsys.readouterr().err == "facegeom: in/b.jpg: the photo took longer than 4 s\n"
    assert names(Path("out")) == ALL - {"b.glb"}


def test_all_faces(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/b.jpg").write_text("faces 3")
    command = ["reconstruct", "in", "-o", "out", "--workers", "0", "--all-faces", "--table", "t.parquet"]
    assert main([*command, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["photos"]
    assert [(entry["photo"], entry["face"], entry["output"]) for entry in entries[:4]] == [
        ("in/a.jpg", 0, "out/a.face1.glb"),
        ("in/b.jpg", 0, "out/b.face1.glb"),
        ("in/b.jpg", 1, "out/b.face2.glb"),
        ("in/b.jpg", 2, "out/b.face3.glb"),
    ]
    assert len(rows()) == 8
    Path("out/b.face2.glb").unlink()
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 photo reconstructed, 0 failed, 5 done by an earlier run"
    assert len(rows()) == 8


def test_json_has_the_photos_of_earlier_runs(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/b.jpg").write_text("no face")
    command = ["reconstruct", "in", "-o", "out", "--workers", "0", "--json"]
    assert main(command) == 1
    first = capsys.readouterr().out
    assert main(command) == 1
    assert capsys.readouterr().out == first
    entries = json.loads(first)["photos"]
    assert [entry["output"] for entry in entries] == [
        "out/a.glb", None, "out/c.glb", "out/x/d.glb", "out/x/e.glb", "out/x/f.glb",
    ]  # fmt: skip
    assert entries[1]["error_class"] == "NoFaceFound"
    assert len(entries[0]["landmarks"]) == 68


def test_list_of_photos(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.txt").write_text("in/a.jpg\nin/x\n")
    assert main(["reconstruct", "--from-file", "list.txt", "-o", "out", "--workers", "0"]) == 0
    assert names(Path("out")) == {"a.glb", "d.glb", "e.glb", "f.glb"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, "reconstruct", "--from-file", "-", "-o", "out2", "--workers", "1"],
        input=b"in/b.jpg\0in/c.jpg\0", env=environment(), check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert names(Path("out2")) == {"b.glb", "c.glb"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "out"],
        ["--from-file", "empty.txt", "-o", "out"],
        ["in", "-o", "out.glb"],
        ["in", "-o", "out", "--workers", "two"],
        ["in", "-o", "out", "--engine", "cluster"],
    ],
)
def test_usage_errors(arguments: list[str], photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.txt").write_text("\n")
    with pytest.raises(SystemExit) as caught:
        main(["reconstruct", *arguments])
    assert caught.value.code == 2
    assert "usage: facegeom" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none/*.jpg", "-o", "out"], "no file matches none/*.jpg"),
        (["in", "-o", "out", "--table", "t.csv"], "must end in .parquet"),
        (["in", "-o", "out", "--workers", "-1"], "workers must be at least 0, got -1"),
        (["in", "-o", "out", "--timeout", "0"], "timeout must be above 0"),
        (["in", "-o", "out", "--workers", "0", "--timeout", "3"], "workers=0 has no worker processes"),
        (["in", "-o", "out", "--from-file", "none.txt"], "none.txt"),
    ],
)
def test_errors_before_the_first_photo(
    arguments: list[str], message: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not names(Path("out"))


def test_no_clobber_keeps_files(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/a.glb").write_text("mine")
    assert main(["reconstruct", "in", "-o", "out", "--workers", "0", "--no-clobber"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "out/a.glb: exists"
    assert out[-1] == "5 photos reconstructed, 0 failed"
    assert Path("out/a.glb").read_text() == "mine"


def test_temporary_files_of_killed_workers_are_removed(photos: Path) -> None:
    Path("out/x").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        pass
    from facegeom._internal.files import _machine

    stale = Path("out/x", f".facegeom-{_machine()}-{ended.pid}-00000000.tmp.glb")
    stale.write_bytes(b"half")
    assert main(["reconstruct", "in/x", "-o", "out/x", "--workers", "0"]) == 0
    assert not stale.exists()


# ---- real reconstructions --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_worker_processes_reconstruct_like_this_process(tmp_path: Path) -> None:
    from facegeom.reconstruction import demo_photo

    outcomes = list(facegeom.reconstruct_many([demo_photo(), tmp_path / "none.jpg"], workers=1, ordered=True))
    assert [outcome.index for outcome in outcomes] == [0, 1]
    assert outcomes[1].error_class == "FileNotFoundError"
    expected = facegeom.reconstruct(demo_photo())
    assert outcomes[0].reconstructions[0].to_bytes("glb") == expected.to_bytes("glb")
    assert outcomes[0].reconstructions[0].photo == expected.photo


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["pix2vertex", "facevision", "pixel2mesh", "gcn_igan"])
def test_every_pipeline_can_be_prepared(pipeline: str) -> None:
    from facegeom.batch.tasks import ReconstructTask

    ReconstructTask({"pipeline": pipeline}).prepare()
    with pytest.raises(facegeom.FacegeomError):
        ReconstructTask({"pipeline": "facevision", "head": True}).prepare()
    with pytest.raises(ValueError, match="device"):
        ReconstructTask({"pipeline": pipeline, "device": "tpu"}).prepare()
