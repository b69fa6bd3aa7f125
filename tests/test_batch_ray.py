"""Batches on Ray: the same tasks, the same replies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from batch_tasks import ActTask, FakeSave
from facegeom import BatchError, FacegeomError, WeightsError
from facegeom.batch.engines import reply_stream
from facegeom.cli import main


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers of a cluster on this machine import the tests."""
    pytest.importorskip("ray", reason="needs facegeom[ray]")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.filterwarnings("ignore")
def test_ray_gives_the_same_replies(capfd: pytest.CaptureFixture[str]) -> None:
    jobs = ["1", "die", "2", "memory", "sleep", "unicode", "recursion", "leave", "no face", "print"]
    replies = list(reply_stream(jobs, ActTask(), engine="ray", workers=2, timeout=10, ordered=True))
    assert [job for _, job, _ in replies] == jobs
    kinds = {job: reply.failure.kind for _, job, reply in replies if reply.failure is not None}
    assert kinds == {
        "die": "WorkerDied", "memory": "MemoryError", "sleep": "TimeoutError", "unicode": "UnicodeEncodeError",
        "recursion": "RecursionError", "leave": "SystemExit", "no face": "NoFaceFound",
    }  # fmt: skip
    assert all("\n" not in reply.failure.message for _, _, reply in replies if reply.failure is not None)
    assert capfd.readouterr().out == ""
    with pytest.raises(WeightsError, match="weights of facevision are missing"):
        list(reply_stream(["1"], ActTask("weights"), engine="ray", workers=1))


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.filterwarnings("ignore")
def test_command_with_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("facegeom.batch.command.SaveTask", FakeSave)
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a", "b", "c"):
        Path("in", f"{name}.jpg").write_text("die" if name == "b" else name)
    command = ["reconstruct", "in", "-o", "out", "--engine", "ray", "--workers", "2"]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "2 photos reconstructed, 1 failed"
    assert err.splitlines()[-1].startswith("facegeom: in/b.jpg: the Ray worker ended: ")
    assert {path.name for path in Path("out").iterdir()} == {"a.glb", "c.glb", ".facegeom"}


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999", "nowhere"])
def test_no_cluster_at_the_address(address: str) -> None:
    with pytest.raises(BatchError, match="there is no connection to Ray"):
        list(reply_stream(["1"], ActTask(), engine="ray", address=address))


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    replies: Any = reply_stream(["1"], ActTask(), engine="ray")
    with pytest.raises(FacegeomError, match=r"pip install 'facegeom\[ray\]'"):
        next(replies)
