"""What a Reconstruction offers beside the mesh: pose, blendshapes, identity, landmarks, matrices, bytes, repr."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import facegeom
from coded_photos import CodedFace
from facegeom import FacegeomError, FaceMesh, load_face_model
from facegeom.cli import main
from facegeom.face_model.blendshapes import ARKIT_NAMES
from facegeom.geometry import closest_points
from facegeom.pipelines import PIPELINES
from facegeom.reconstruction import Reconstruction, demo_photo

CASES = [(name, head) for name, entry in PIPELINES.items() for head in (False, True) if entry.heads or not head]


@pytest.fixture
def reconstruct(coded_network: Any, mesh_oracle: Any) -> Callable[..., Reconstruction]:
    """A function that reconstructs a coded face with a pipeline and options of `facegeom.reconstruct`."""

    def run(face: CodedFace, pipeline: str, **options: Any) -> Reconstruction:
        coded_network(face)
        mesh_oracle(face, needs_landmarks=pipeline == "gcn_igan")
        return facegeom.reconstruct(face.photo, pipeline=pipeline, box=face.box, **options)

    return run


@pytest.mark.parametrize(("pipeline", "head"), CASES)
def test_every_pipeline_offers_the_same_values(
    coded_face: CodedFace, reconstruct: Any, pipeline: str, head: bool
) -> None:
    rec = reconstruct(coded_face, pipeline, head=head)
    model = load_face_model()

    assert tuple(rec.blendshapes) == ARKIT_NAMES
    assert all(0 <= weight <= 1.2 for weight in rec.blendshapes.values())
    assert np.mean(list(rec.blendshapes.values())) < 0.05  # the coded face is the neutral mean face
    assert rec.identity.shape == (60,)
    assert np.sqrt(np.mean(rec.identity**2)) < 0.5

    assert rec.landmarks468.shape == (468, 3)
    true = model.landmarks468(model.mean)
    off = np.linalg.norm(rec.landmarks468 - true, axis=1)
    assert np.median(off) < 2.5
    assert off.max() < 12
    distance = closest_points(rec.mesh.vertices, rec.mesh.faces, rec.landmarks468).distance
    if pipeline == "facevision":  # landmarks that the depth map does not show stay on the face model
        assert np.median(distance) < 1
    else:
        np.testing.assert_allclose(distance, 0, atol=1e-9)

    assert rec.photo is None
    assert rec.photo_size == (400, 400)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0, 0, 0), (35, 0, 0), (-35, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 12), (20, -10, -12)]
)
def test_pose_of_rendered_faces(
    draw_face: Any, reconstruct: Any, pipeline: str, yaw: float, pitch: float, roll: float
) -> None:
    rec = reconstruct(draw_face(yaw, pitch=pitch, roll=roll), pipeline)
    assert rec.pose == pytest.approx((yaw, pitch, roll), abs=5)
    assert rec.pose.yaw == rec.pose[0]


@pytest.mark.parametrize(("pipeline", "head"), CASES)
def test_matrices_project_the_reconstruction(draw_face: Any, reconstruct: Any, pipeline: str, head: bool) -> None:
    rec = reconstruct(draw_face(30.0), pipeline, head=head)
    V = rec.mesh.vertices
    points = np.column_stack([V, np.ones(len(V))])
    np.testing.assert_allclose((points @ rec.camera.matrix("opencv").T)[:, :2], rec.camera.project(V), atol=1e-9)
    clip = points @ rec.camera.matrix("opengl", rec.photo_size).T
    assert np.abs(clip[:, :3]).max() < 1  # the whole face is in the photo, so all of it is in the clip volume
    depth = rec.camera.view(V)[np.argsort(clip[:, 2]), 2]
    assert np.diff(depth).max() < 1e-9  # vertices of equal depth may change places


@pytest.mark.parametrize("expression", ["weights", "baked"])
def test_a_head_opens_as_the_photographed_face(tmp_path: Path, expression: str) -> None:
    rec = facegeom.reconstruct(demo_photo(), head=True, expression=expression)  # a smile
    rec.save(tmp_path / "head.glb")
    saved = FaceMesh.load(tmp_path / "head.glb")
    opened = saved.vertices + sum(weight * saved.blendshapes[name] for name, weight in saved.weights.items())
    assert np.linalg.norm(opened - rec.mesh.vertices, axis=1).max() < 0.05
    if expression == "baked":
        assert not saved.weights
        np.testing.assert_allclose(saved.vertices, rec.mesh.vertices, atol=1e-3)
    else:
        assert dict(saved.weights) == {name: weight for name, weight in rec.blendshapes.items() if weight}
        assert np.linalg.norm(saved.vertices - rec.mesh.vertices, axis=1).max() > 2.0


def test_the_neutral_head_lacks_the_weighted_blendshapes(reconstruct: Any, coded_face: CodedFace) -> None:
    rec = reconstruct(coded_face, "pix2vertex", head=True)
    shapes = rec.mesh.blendshapes
    applied = sum(weight * shapes[name].astype(float) for name, weight in rec.blendshapes.items())
    np.testing.assert_allclose(rec.neutral.vertices + applied, rec.mesh.vertices, atol=1e-4)
    assert not rec.neutral.weights


def test_formats_without_blendshapes_contain_the_photographed_head(
    reconstruct: Any, coded_face: CodedFace, tmp_path: Path
) -> None:
    rec = reconstruct(coded_face, "pix2vertex", head=True)
    rec.save(tmp_path / "head.ply")
    np.testing.assert_allclose(FaceMesh.load(tmp_path / "head.ply").vertices, rec.mesh.vertices, atol=1e-4)


def test_an_unknown_way_to_store_the_expression_is_rejected(coded_face: CodedFace) -> None:
    with pytest.raises(ValueError, match="expression must be one of weights, baked, got 'frozen'"):
        facegeom.reconstruct(coded_face.photo, expression="frozen")


@pytest.mark.parametrize("format", ["glb", "ply", "stl", "obj"])
def test_bytes_and_file_objects_have_the_content_of_a_file(
    format: str, reconstruct: Any, coded_face: CodedFace, tmp_path: Path
) -> None:
    rec = reconstruct(coded_face, "pix2vertex")
    for neutral in (False, True):
        rec.save(tmp_path / f"face.{format}", neutral=neutral)
        content = (tmp_path / f"face.{format}").read_bytes()
        assert rec.to_bytes(format, neutral=neutral) == content
        buffer = io.BytesIO()
        rec.save(buffer, neutral=neutral, format=format)
        assert buffer.getvalue() == content
        with open(tmp_path / "object", "wb") as file:
            rec.save(file, neutral, format=format)
        assert (tmp_path / "object").read_bytes() == content
    assert rec.to_bytes() == rec.mesh.to_bytes("glb")


def test_invalid_formats_are_rejected(reconstruct: Any, coded_face: CodedFace, tmp_path: Path) -> None:
    rec = reconstruct(coded_face, "facevision", texture=64)
    with pytest.raises(FacegeomError, match=r"there is no mesh format 'docx'; available: glb, .*, html, gltf, usdz"):
        rec.to_bytes("docx")
    with pytest.raises(FacegeomError, match="an OBJ mesh with a texture is three files"):
        rec.to_bytes("obj")
    with pytest.raises(FacegeomError, match="neutral=True needs"):
        rec.to_bytes("glb", neutral=True)
    with pytest.raises(ValueError, match="format must be given for a file object"):
        rec.save(io.BytesIO())
    with pytest.raises(ValueError, match="format is only for file objects"):
        rec.save(tmp_path / "face.glb", format="ply")
    with pytest.raises(TypeError, match="must be binary"):
        rec.save(io.StringIO(), format="glb")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a path or a binary file object, got int"):
        rec.save(3, format="glb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_representation_is_short(pipeline: str, reconstruct: Any, coded_face: CodedFace) -> None:
    rec = reconstruct(coded_face, pipeline, head=PIPELINES[pipeline].heads)
    assert len(repr(rec)) < 300
    assert "\n" not in repr(rec)
    assert f"{len(rec.mesh.vertices)} vertices" in repr(rec)
    assert len(repr(rec.maps)) < 100


def test_json_of_the_command_line_has_all_values(
    coded_face: CodedFace, coded_network: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], detections: Any
) -> None:
    coded_network(coded_face)
    detections([(*coded_face.box, 0.9)])
    Image.fromarray(coded_face.photo).save(tmp_path / "me.png")
    assert main(["reconstruct", str(tmp_path / "me.png"), "-o", str(tmp_path / "me.glb"), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["photos"]
    rec = facegeom.reconstruct(tmp_path / "me.png")
    assert rec.photo == tmp_path / "me.png"
    points = rec.camera.project(rec.landmarks)
    assert {**entry, "milliseconds": 0} == {
        "photo": str(tmp_path / "me.png"),
        "output": str(tmp_path / "me.glb"),
        "face": 0,
        "error_class": None,
        "error": None,
        "box": pytest.approx(np.hstack([points.min(0), points.max(0)]), abs=0.01),
        **json.loads(json.dumps(rec.to_dict())),
        "milliseconds": 0,
    }
    assert entry["pose"] == pytest.approx(rec.pose._asdict(), abs=1e-3)
    assert set(entry["blendshapes"]) == set(ARKIT_NAMES)
    assert np.shape(entry["landmarks468"]) == (468, 3)
    assert np.shape(entry["identity"]) == (60,)
    np.testing.assert_allclose(entry["camera"]["opencv"], rec.camera.matrix("opencv"), atol=1e-8)
    np.testing.assert_allclose(entry["camera"]["opengl"], rec.camera.matrix("opengl", (400, 400)), atol=1e-8)


def test_mesh_saves_to_bytes_and_file_objects(tmp_path: Path) -> None:
    mesh = FaceMesh([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]], [[0, 1, 2]])
    buffer = io.BytesIO()
    mesh.save(buffer, "ply")
    mesh.save(tmp_path / "face.ply")
    assert buffer.getvalue() == (tmp_path / "face.ply").read_bytes() == mesh.to_bytes("ply")


def test_a_grey_photo_gives_a_grey_head() -> None:
    photo = facegeom.load_image(demo_photo())
    grey = np.repeat(np.rint(photo @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None], 3, axis=2)
    mesh = facegeom.reconstruct(grey, head=True, texture=128).mesh
    assert mesh.texture is not None
    assert mesh.colors is not None
    for colours in (mesh.texture, mesh.colors):
        assert np.ptp(colours.astype(int), axis=-1).max() <= 2
        assert colours.std() > 20
