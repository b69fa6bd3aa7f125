"""Bad pictures, meshes and options: one sentence each, no traceback, no crash, within limits of time and memory."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bad_files
from facegeom import FacegeomError, FaceMesh, ImageError, load_image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the worker writes names that Windows does not allow")


def complaints(reports: list[bad_files.Report]) -> str:
    return "\n".join(f"{report.name}: {'; '.join(report.faults())}" for report in reports if report.faults())


def test_a_sample_of_bad_pictures_meshes_and_options() -> None:
    reports = bad_files.run("cases", step=19)
    assert complaints(reports) == ""
    assert len(reports) > 30


@pytest.mark.slow
def test_all_bad_pictures_meshes_and_options() -> None:
    reports = bad_files.run("cases")
    assert complaints(reports) == ""
    assert len(reports) >= 400
    refused = [report for report in reports if report.outcome != "none"]
    assert len(refused) > 0.8 * len(reports)


@pytest.mark.slow
def test_a_thousand_randomly_damaged_files() -> None:
    reports = bad_files.run("1000")
    assert complaints(reports) == ""
    assert len(reports) == 1000


@given(st.binary(max_size=200), st.sampled_from(sorted(bad_files.base_pictures().values())), st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_photo_or_an_image_error(part: bytes, content: bytes, place: int) -> None:
    for source in (part, content[:place] + part + content[place + len(part) :]):
        with contextlib.suppress(ImageError):
            assert load_image(source).shape[2] == 3


@given(st.binary(max_size=200), st.sampled_from(sorted(bad_files.base_meshes().items())), st.integers(0, 800))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_mesh_or_a_facegeom_error(
    tmp_path: Path, part: bytes, mesh: tuple[str, bytes], place: int
) -> None:
    name, content = mesh
    for damaged in (part, content[:place] + part + content[place + len(part) :]):
        (tmp_path / name).write_bytes(damaged)
        with contextlib.suppress(FacegeomError):
            assert len(FaceMesh.load(tmp_path / name).faces)
