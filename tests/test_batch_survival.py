"""The long run of `batch_survival.py`, with few photos."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import facegeom


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_batch_survives_kills(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs facegeom[batch]")
    script = Path(__file__).with_name("batch_survival.py")
    portraits = Path(facegeom.__file__).parent / "data"
    done = subprocess.run(
        [sys.executable, script, portraits, tmp_path, "--count", "16", "--rounds", "1", "--", "--workers", "2",
         "--pipeline", "facevision"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["rows"] == report["photos"] == 16
    assert report["kills"] == {"main": 1, "worker": 1, "memory": 1}
    assert report["faults"] == []
