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
from facegeom import FacegeomError, ImageError, NoFaceFound
from facegeom.geometry import face_normals
from facegeom.pipelines import PIPELINES
from facegeom.pipelines.map_prediction import MapOptions, next_crop_box, plausibility
from facegeom.reconstruction import predict

STAGES = {
    "pix2vertex": ["raw", "aligned", "registered", "detailed"],
    "facevision": ["raw", "foreground", "cleaned", "smoothed", "detailed"],
}


@pytest.fixture
def no_detector(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Any]], None]:
    """Install boxes in the place of the detector's."""

    def install(boxes: list[Any]) -> None:
        monkeypatch.setattr("facegeom.detection.detector.find_faces", lambda photo, **options: boxes)

    return install


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
    assert np.degrees(np.arccos(np.clip((np.trace(rec.camera.rotation @ face.camera.rotation.T) - 1) / 2, -1, 1))) < 4
    assert rec.camera.scale == pytest.approx(face.camera.scale, rel=0.03)
    assert rec.score > 0.8

    # The mesh lies where its colours say, which are its correspondence.
    reach = 130.0
    told = (rec.mesh.colors / 255.0 * 2 - 1) * reach
    error = np.linalg.norm(told - rec.mesh.vertices, axis=1)[rec.mesh.seen > 0.9]
    assert np.median(error) < 4.0


def test_mesh_is_sound(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="facevision")
    mesh = rec.mesh
    normals = face_normals(mesh.vertices, mesh.faces)
    assert (normals[:, 2] > 0).mean() > 0.995  # a frontal face's triangles face the front
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    assert np.unique(edges, axis=0, return_counts=True)[1].max() <= 2
    assert np.unique(mesh.faces).size == len(mesh.vertices)
    assert mesh.regions["face"].all()
    assert (mesh.seen == 1).all()
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1


def test_the_mesh_is_frontal_for_any_pose(draw_face: Any, coded_network: Any) -> None:
    meshes = []
    for yaw in (0.0, 40.0):
        face = draw_face(yaw)
        coded_network(face)
        meshes.append(facegeom.reconstruct(face.photo, box=face.box, pipeline="facevision").mesh.vertices)
    for quantile in (0.02, 0.5):
        low = [np.quantile(vertices[:, 1], quantile) for vertices in meshes]
        assert abs(low[0] - low[1]) < 5
    noses = [vertices[vertices[:, 2].argmax()] for vertices in meshes]
    assert np.linalg.norm(noses[0] - noses[1]) < 6


def test_maps_have_the_documented_frame_and_units(turned_coded_face: Any, coded_network: Any) -> None:
    coded_network(turned_coded_face)
    maps = facegeom.reconstruct(turned_coded_face.photo, box=turned_coded_face.box).maps
    assert maps.image.shape == (128, 128, 3)
    assert maps.mask.dtype == bool
    assert np.isnan(maps.depth[~maps.mask]).all()
    assert np.isfinite(maps.depth[maps.mask]).all()
    assert np.isnan(maps.correspondence[~maps.mask]).all()
    origin = turned_coded_face.camera.project([[0, 0, 0]])[0]
    x0, y0, x1, y1 = maps.box
    assert x0 < origin[0] < x1
    assert y0 < origin[1] < y1


def test_texture_is_the_crop_on_a_planar_atlas(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, texture=200, pipeline="facevision")
    mesh = rec.mesh
    assert mesh.texture.shape == (200, 200, 3)
    rows = np.clip(((1 - mesh.uv[:, 1]) * 200).astype(int), 0, 199)
    columns = np.clip((mesh.uv[:, 0] * 200).astype(int), 0, 199)
    difference = np.abs(mesh.texture[rows, columns].astype(int) - mesh.colors.astype(int))
    assert np.median(difference) <= 2


def test_the_second_crop_does_not_depend_on_the_box(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    x0, y0, x1, y1 = coded_face.box
    crops = [
        facegeom.reconstruct(coded_face.photo, box=box).maps.box
        for box in ((x0, y0, x1, y1), (x0 - 20, y0 + 15, x1 + 10, y1 + 25), (x0 + 10, y0 - 5, x1, y1 - 5, 0.7))
    ]
    for crop in crops[1:]:
        np.testing.assert_allclose(crop, crops[0], atol=4)


def test_an_inaccurate_box_gets_one_more_pass(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    x0, y0 = coded_face.box[:2]
    corner = (x0 - 30, y0 - 30, x0 + 25, y0 + 25)
    found = predict(coded_face.photo, corner)
    assert network.calls == [(1, False), (1, True), (1, True)]
    asked = predict(coded_face.photo, coded_face.box)
    assert abs(found.camera.scale / asked.camera.scale - 1) < 0.05


@pytest.mark.parametrize("quarters", [1, -1, 2])
def test_the_crop_of_a_rolled_face_is_turned_upright(coded_face: Any, coded_network: Any, quarters: int) -> None:
    network = coded_network(coded_face)
    upright = predict(coded_face.photo, coded_face.box)
    seen: list[np.ndarray] = []
    read = network.predict

    def recording(crops: np.ndarray, *, mirror: bool = True) -> Any:
        seen.append(crops[0])
        return read(crops, mirror=mirror)

    network.predict = recording
    size = len(coded_face.photo)
    photo = np.ascontiguousarray(np.rot90(coded_face.photo, quarters))
    corners = np.array(coded_face.box).reshape(2, 2)
    turn = np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), quarters % 4)  # of pixels, y down
    middle = (size - 1) / 2
    box = np.sort((corners - middle) @ turn.T + middle, axis=0).ravel()
    found = predict(photo, box)

    assert np.abs(seen[1].astype(int) - upright.maps.image).mean() < 12  # the second look sees the face upright
    np.testing.assert_array_equal(found.maps.image, np.rot90(seen[1], quarters))  # and the maps lie as the photo does
    expected = (upright.camera.project(upright.landmarks) - middle) @ turn.T + middle
    assert np.linalg.norm(found.camera.project(found.landmarks) - expected, axis=1).max() < 3
    assert np.linalg.norm(found.landmarks - upright.landmarks, axis=1).mean() < 1


def test_number_of_passes_and_mirror_averaging(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    predict(coded_face.photo, coded_face.box)
    assert network.calls == [(1, False), (1, True)]
    network.calls.clear()
    predict(coded_face.photo, coded_face.box, options=MapOptions(passes=1))
    assert network.calls == [(1, True)]


def test_the_same_photo_gives_the_same_bytes(coded_face: Any, coded_network: Any, tmp_path: Path) -> None:
    coded_network(coded_face)
    for name in ("a.glb", "b.glb"):
        facegeom.reconstruct(coded_face.photo, box=coded_face.box).save(tmp_path / name)
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


def test_false_detections_are_skipped_and_duplicates_merged(
    coded_face: Any, coded_network: Any, no_detector: Any
) -> None:
    coded_network(coded_face)
    box = coded_face.box
    shifted = tuple(v + 8 for v in box)
    no_detector([(5.0, 5.0, 40.0, 40.0, 0.95), (*box, 0.9), (*shifted, 0.8)])
    rec = facegeom.reconstruct(coded_face.photo)
    np.testing.assert_allclose(rec.maps.box, facegeom.reconstruct(coded_face.photo, box=box).maps.box, atol=3)
    assert len(rec.detections) == 3
    with pytest.raises(NoFaceFound, match="face_index is 1, but the photo has 1 face"):
        facegeom.reconstruct(coded_face.photo, face_index=1)


def test_several_faces(draw_face: Any, coded_network: Any, no_detector: Any) -> None:
    face = draw_face(0.0)
    coded_network(face)
    wide = np.hstack([face.photo, face.photo])
    x0, y0, x1, y1 = face.box
    no_detector([(x0 + 400, y0, x1 + 400, y1, 0.9), (x0, y0, x1, y1, 0.8)])
    best, second = (facegeom.reconstruct(wide, face_index=index) for index in (0, 1))
    assert best.camera.translation[0] - second.camera.translation[0] == pytest.approx(400, abs=2)


def test_no_face(coded_face: Any, coded_network: Any, no_detector: Any) -> None:
    coded_network(coded_face)
    no_detector([(5.0, 5.0, 60.0, 60.0, 0.9)])
    with pytest.raises(NoFaceFound, match="no face was found"):
        facegeom.reconstruct(np.zeros_like(coded_face.photo))
    with pytest.raises(NoFaceFound, match="no face in the given box"):
        facegeom.reconstruct(coded_face.photo, box=(2, 2, 20, 20))


def test_a_face_in_the_centre_is_found_without_a_detection(
    coded_face: Any, coded_network: Any, no_detector: Any
) -> None:
    coded_network(coded_face)
    no_detector([])
    found = facegeom.reconstruct(coded_face.photo)
    asked = facegeom.reconstruct(coded_face.photo, box=coded_face.box)
    np.testing.assert_allclose(found.maps.box, asked.maps.box, atol=8)
    with pytest.raises(NoFaceFound):
        facegeom.reconstruct(coded_face.photo, face_index=1)


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


def test_unsupported_requests_raise_an_error_that_names_the_alternative(
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


def test_bad_arguments(coded_face: Any, coded_network: Any) -> None:
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


def test_every_kind_of_image_is_accepted(coded_face: Any, coded_network: Any, tmp_path: Path) -> None:
    coded_network(coded_face)
    Image.fromarray(coded_face.photo).save(tmp_path / "face.png")
    first = facegeom.reconstruct(coded_face.photo, box=coded_face.box)
    for source in (str(tmp_path / "face.png"), (tmp_path / "face.png").read_bytes(), Image.fromarray(coded_face.photo)):
        again = facegeom.reconstruct(source, box=coded_face.box)
        np.testing.assert_array_equal(again.mesh.vertices, first.mesh.vertices)


def test_inconsistent_maps_have_a_low_plausibility(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    square = next_crop_box(coded_face.box)
    crop = facegeom.images.crop.crop_image(coded_face.photo, square, 128)
    maps = network.predict(crop[None])
    depth, correspondence, probability = maps.depth[0], maps.correspondence[0], maps.mask_probability[0]
    mask = probability > 0.5
    true = plausibility(depth, correspondence, probability, mask)
    assert true.score > 0.8
    assert true.misfit_mm < 2

    shuffled = correspondence.copy()
    shuffled[mask] = np.random.default_rng(0).permutation(shuffled[mask])
    assert plausibility(depth, shuffled, probability, mask).score < 0.1
    assert plausibility(-depth, correspondence, probability, mask).score < 0.3
    ragged = mask & (np.random.default_rng(0).random(mask.shape) > 0.7)
    assert plausibility(depth, correspondence, probability, ragged).compactness < 0.5
    assert plausibility(depth, correspondence, probability, np.zeros_like(mask)).score == 0
    assert plausibility(np.zeros_like(depth), np.zeros_like(correspondence), probability, mask).score == 0


def test_public_names() -> None:
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


def test_timings_name_every_stage(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, head=True)
    assert {"loading", "network", "fit", *rec.stages} == set(rec.timings)
