"""The committed `_core.pyi` equals the output of pybind11-stubgen for the built extension."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import facegeom

pytest.importorskip("pybind11_stubgen")

PACKAGE = Path(facegeom.__file__).parent


def test_the_stub_is_up_to_date(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pybind11_stubgen", "--exit-code", "facegeom._core", "-o", str(tmp_path)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    fresh = (tmp_path / "facegeom" / "_core.pyi").read_text(encoding="utf-8")
    committed = (PACKAGE / "_core.pyi").read_text(encoding="utf-8")
    assert committed == fresh, "run: pybind11-stubgen facegeom._core -o python"
