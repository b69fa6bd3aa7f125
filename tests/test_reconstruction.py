"""`reconstruct` and `predict`, with a fake network that decodes the true maps from the colours of the photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import facegeom
from coded_photos import decode, degrees_between
from facegeom import FacegeomError, FaceMesh, ImageError
from facegeom.pipelines import PIPELINES
from facegeom.reconstruction import Reconstruction

STAGES = {
    "pix2vertex": ["raw", "aligned", "registered", "detailed"],
    "facevision": ["raw", "foreground", "cleaned", "smoothed", "detailed"],
}


@pytest.mark.parametrize("pipeline", STAGES)
@pytest.mark.parametrize("yaw", [0.0, 50.0, -50.0, 85.0])
def test_reconstruction_of_a_coded_face(draw_face: Any, coded_network: Any, yaw: float, pipeline: str) -> None:
    face = draw_face(yaw)
    coded_network(face)
    rec = facegeom.reconstruct(face.photo, box=face.box, pipeline=pipeline)

    assert list(rec.stages) == STAGES[pipeline]
    assert rec.stages["detailed"] is rec.mesh
    if pipeline == "facevision":
        assert 5_000 <= len(rec.mesh.vertices) <= 8_000
        assert 10_000 <= len(rec.mesh.faces) <= 15_000
    assert set(STAGES[pipeline]) < set(rec.timings)
    assert all(spent >= 0 for spent in rec.timings.values())

    found = rec.camera.project(rec.landmarks)
    true = face.camera.project(face.landmarks)
    assert np.linalg.norm(found - true, axis=1).mean() < 2.0
    assert degrees_between(rec.camera.rotation, face.camera.rotation) < 4
    assert rec.camera.scale == pytest.approx(face.camera.scale, rel=0.03)
    assert rec.score > 0.8

    error = np.linalg.norm(decode(rec.mesh.colors) - rec.mesh.vertices, axis=1)[rec.mesh.seen > 0.9]
    assert np.median(error) < 4.0


def test_the_same_photo_gives_the_same_bytes(coded_face: Any, coded_network: Any, tmp_path: Path) -> None:
    coded_network(coded_face)
    for name in ("a.glb", "b.glb"):
        facegeom.reconstruct(coded_face.photo, box=coded_face.box).save(tmp_path / name)
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"box": (10, 10, 5, 20)}, ValueError, "box must be"),
        ({"box": (0, 0, np.nan, 1)}, ValueError, "box must be finite"),
        ({"box": "left"}, TypeError, "box must hold numbers"),
        ({"face_index": -1}, ValueError, "face_index must be at least 0"),
        ({"face_index": 0.5}, TypeError, "face_index must be an integer"),
        ({"texture": 4}, ValueError, "texture must be at least 16"),
        ({"texture": 4096}, ValueError, "texture must be at most 2048"),
    ],
)
def test_arguments_are_checked_before_any_work(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        facegeom.reconstruct("does not exist.jpg", **options)


def test_errors_for_unsupported_options_name_the_alternative(
    coded_face: Any, tmp_path: Path, coded_network: Any
) -> None:
    with pytest.raises(FacegeomError, match="no pipeline 'magic'; available: pix2vertex, facevision"):
        facegeom.reconstruct(coded_face.photo, pipeline="magic")
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="facevision")
    with pytest.raises(FacegeomError, match="neutral=True needs"):
        rec.save(tmp_path / "face.glb", neutral=True)
    with pytest.raises(FacegeomError, match="must be one of"):
        rec.save(tmp_path / "face.docx")


def test_bad_arguments_are_reported(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    photo = coded_face.photo
    for box in ((0, 0, 10), (10, 10, 5, 20), (0, 0, np.nan, 5)):
        with pytest.raises(ValueError, match="box must"):
            facegeom.reconstruct(photo, box=box)
    with pytest.raises(ValueError, match="face_index must be at least 0"):
        facegeom.reconstruct(photo, face_index=-1)
    with pytest.raises(ValueError, match="texture must be at least 16"):
        facegeom.reconstruct(photo, texture=4)
    with pytest.raises(ValueError, match="texture must be at most 2048, got 2049"):
        facegeom.reconstruct(photo, texture=2049)
    with pytest.raises(TypeError, match="texture must be an integer"):
        facegeom.reconstruct(photo, texture=64.0)  # type: ignore[arg-type]
    with pytest.raises(ImageError):
        facegeom.reconstruct(b"nothing")
    with pytest.raises(FileNotFoundError):
        facegeom.reconstruct("nobody.jpg")


def test_path_bytes_pil_image_and_array_give_the_same_mesh(coded_face: Any, coded_network: Any, tmp_path: Path) -> None:
    coded_network(coded_face)
    Image.fromarray(coded_face.photo).save(tmp_path / "face.png")
    first = facegeom.reconstruct(coded_face.photo, box=coded_face.box)
    for source in (str(tmp_path / "face.png"), (tmp_path / "face.png").read_bytes(), Image.fromarray(coded_face.photo)):
        again = facegeom.reconstruct(source, box=coded_face.box)
        np.testing.assert_array_equal(again.mesh.vertices, first.mesh.vertices)


def test_public_names_exist() -> None:
    for name in facegeom.__all__:
        assert getattr(facegeom, name) is not None
    assert set(facegeom.__all__) <= set(dir(facegeom))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = facegeom.nothing  # type: ignore[attr-defined]
    assert all(issubclass(getattr(facegeom, name), FacegeomError) for name in ("ImageError", "SolverError"))
    assert dataclasses.is_dataclass(facegeom.Reconstruction)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_of_the_table_has_predict_and_run(name: str) -> None:
    module = PIPELINES[name].load()
    assert callable(module.predict)
    assert callable(module.run)
    assert PIPELINES[name].heads or not PIPELINES[name].template


STEPS = {
    "pix2vertex": {"loading", "network", "fit"},
    "facevision": {"loading", "network", "fit"},
    "pixel2mesh": {"loading", "network", "fit", "maps"},
    "gcn_igan": {"loading", "landmarks", "network", "fit", "maps"},
}
"""Steps before the stages, for a photo with a given box."""

CASES = [(name, head) for name, entry in PIPELINES.items() for head in (False, True) if entry.heads or not head]


@pytest.fixture
def reconstruct(coded_face: Any, coded_network: Any, mesh_oracle: Any) -> Callable[..., Reconstruction]:
    """A function that reconstructs the coded face with a pipeline and options of `facegeom.reconstruct`."""

    def run(pipeline: str, **options: Any) -> Reconstruction:
        coded_network(coded_face)
        mesh_oracle(coded_face, needs_landmarks=pipeline == "gcn_igan")
        return facegeom.reconstruct(coded_face.photo, pipeline=pipeline, **options)

    return run


@pytest.mark.parametrize(("pipeline", "head"), CASES)
def test_timings_contain_every_step_and_every_stage(
    coded_face: Any, reconstruct: Any, pipeline: str, head: bool
) -> None:
    rec = reconstruct(pipeline, head=head, box=coded_face.box)
    assert set(rec.timings) == STEPS[pipeline] | set(rec.stages)
    assert all(milliseconds > 0 for milliseconds in rec.timings.values())


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_timings_contain_the_detection_of_a_photo_without_a_box(
    coded_face: Any, reconstruct: Any, detections: Any, pipeline: str
) -> None:
    detections([(*coded_face.box, 0.9)])
    rec = reconstruct(pipeline)
    assert set(rec.timings) == STEPS[pipeline] | {"detection", *rec.stages}
    assert rec.detections == ((*coded_face.box, 0.9),)


@pytest.mark.parametrize(("pipeline", "head"), CASES)
def test_the_neutral_mesh_exists_for_the_topology_of_the_face_model(
    coded_face: Any, reconstruct: Any, tmp_path: Path, pipeline: str, head: bool
) -> None:
    rec = reconstruct(pipeline, head=head, box=coded_face.box)
    if head or PIPELINES[pipeline].template:
        np.testing.assert_array_equal(rec.neutral.faces, rec.mesh.faces)
        rec.save(tmp_path / "neutral.glb", neutral=True)
        saved = FaceMesh.load(tmp_path / "neutral.glb")
        np.testing.assert_allclose(saved.vertices, rec.neutral.vertices, atol=1e-3)
        assert list(saved.blendshapes) == list(rec.mesh.blendshapes)
    else:
        assert rec.neutral is None
        with pytest.raises(FacegeomError, match="neutral=True needs the face model's topology"):
            rec.save(tmp_path / "neutral.glb", neutral=True)
