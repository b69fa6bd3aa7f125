"""Pipelines pixel2mesh and gcn_igan, with a fake network that returns the true mesh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facegeom
from facegeom import FacegeomError, NoFaceFound, load_face_model
from facegeom.face_model.face_region import mean_depth
from facegeom.face_model.template import load_template
from facegeom.geometry import face_normals
from facegeom.images.camera import roll_deg
from facegeom.images.crop import apply_affine, crop_affine, crop_image, warp_image
from facegeom.networks.semi_sphere import mirror_images, semi_sphere
from facegeom.pipelines.mesh_prediction import _mirrored_landmarks, face_square, predict_mesh, square_around
from mesh_oracle import OracleMeshNetwork, semi_sphere_on
from test_mesh_fitting import degrees_between

DEFORMED = ["deformed1", "deformed2", "deformed3", "deformed4"]


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., OracleMeshNetwork]:
    """Install and return a function that puts an oracle in the place of a shipped mesh network."""

    def install(face: Any, **options: Any) -> OracleMeshNetwork:
        network = OracleMeshNetwork(face, **options)
        for pipeline in ("pixel2mesh", "gcn_igan"):
            monkeypatch.setattr(f"facegeom.pipelines.{pipeline}.mesh_network", lambda name, device: network)
        return network

    return install


@pytest.fixture
def detections(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Any]], None]:
    """Install boxes in the place of the detector's."""

    def install(boxes: list[Any]) -> None:
        monkeypatch.setattr("facegeom.detection.detector.find_faces", lambda photo, **options: boxes)

    return install


@pytest.mark.parametrize("yaw", [0.0, 50.0, -85.0])
def test_reconstruction_of_a_coded_face(draw_face: Any, oracle: Any, yaw: float) -> None:
    face = draw_face(yaw, shift=(20, -10))
    network = oracle(face)
    rec = facegeom.reconstruct(face.photo, box=face.box, pipeline="pixel2mesh")

    assert list(rec.stages) == DEFORMED
    assert rec.mesh is rec.stages["deformed4"]
    assert [len(mesh.vertices) for mesh in rec.stages.values()] == [141, 492, 1824, 7008]
    assert {"network", "fit", "maps", *DEFORMED} <= set(rec.timings)
    assert network.landmarks == [None]  # one look, without landmarks
    assert rec.score == 1.0
    assert rec.neutral is None

    assert degrees_between(rec.camera.rotation, face.camera.rotation) < 2.0
    assert rec.camera.scale == pytest.approx(face.camera.scale, rel=0.04)
    found, true = rec.camera.project(rec.landmarks), face.camera.project(face.landmarks)
    assert np.linalg.norm(found - true, axis=1).mean() < 2.5 * face.camera.scale
    assert np.linalg.norm(rec.mesh.vertices - semi_sphere_on(load_face_model().mean), axis=1).mean() < 3.0
    assert facegeom.geometry.closest_points(rec.mesh.vertices, rec.mesh.faces, rec.landmarks).distance.max() < 1e-6


def test_maps_are_rendered_from_the_mesh(turned_coded_face: Any, oracle: Any) -> None:
    network = oracle(turned_coded_face)
    maps = facegeom.reconstruct(turned_coded_face.photo, box=turned_coded_face.box, pipeline="pixel2mesh").maps
    assert maps.size == network.size
    np.testing.assert_allclose(maps.box, face_square(turned_coded_face.box), atol=10)
    shown = maps.image.max(axis=2) > 60
    assert (maps.mask & shown).sum() / (maps.mask | shown).sum() > 0.8
    told = (maps.image[maps.mask & shown] / 255.0 * 2 - 1) * 130.0
    assert np.median(np.linalg.norm(told - maps.correspondence[maps.mask & shown], axis=1)) < 4.0
    depth = maps.correspondence[maps.mask] @ turned_coded_face.camera.rotation[2]
    assert np.median(np.abs(depth - maps.depth[maps.mask])) < 3.0


def test_the_mesh_is_sound_and_coloured(coded_face: Any, oracle: Any) -> None:
    oracle(coded_face)
    mesh = facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="pixel2mesh").mesh
    assert (face_normals(mesh.vertices, mesh.faces)[:, 2] > 0).mean() > 0.9
    np.testing.assert_array_equal(mesh.uv, semi_sphere().uv)
    assert mesh.regions["face"].all()
    seen = mesh.seen > 0.9
    assert seen.mean() > 0.4
    told = (mesh.colors / 255.0 * 2 - 1) * 130.0
    assert np.median(np.linalg.norm(told - mesh.vertices, axis=1)[seen]) < 4.0


def test_the_hidden_side_takes_the_colours_of_its_mirror_image(turned_coded_face: Any, oracle: Any) -> None:
    oracle(turned_coded_face)
    mesh = facegeom.reconstruct(turned_coded_face.photo, box=turned_coded_face.box, pipeline="pixel2mesh").mesh
    told = (mesh.colors / 255.0 * 2 - 1) * 130.0
    cheek = np.linalg.norm(mesh.vertices - [45.0, -40.0, 10.0], axis=1) < 12  # turned away from the camera
    assert cheek.sum() > 20
    assert mesh.seen[cheek].max() < 0.5
    # x, which is coded too, is what both sides differ in near by, and moves with it
    assert np.median(np.abs(told - mesh.vertices)[cheek, 1:]) < 6.0
    assert np.ptp(mesh.colors[cheek].astype(int), axis=0).max() < 80  # no patches


def test_texture_is_baked_on_the_fixed_planar_atlas(coded_face: Any, oracle: Any) -> None:
    oracle(coded_face)
    mesh = facegeom.reconstruct(coded_face.photo, box=coded_face.box, texture=200, pipeline="pixel2mesh").mesh
    assert mesh.texture.shape == (200, 200, 3)
    rows = np.clip(((1 - mesh.uv[:, 1]) * 200).astype(int), 0, 199)
    columns = np.clip((mesh.uv[:, 0] * 200).astype(int), 0, 199)
    difference = np.abs(mesh.texture[rows, columns].astype(int) - mesh.colors.astype(int))
    assert np.median(difference) <= 3
    assert (mesh.texture.max(axis=2) > 30).mean() > 0.9  # beyond the outline no black but that of the photo at it


def test_the_head_is_the_template_registered_to_the_mesh(coded_face: Any, oracle: Any, tmp_path: Path) -> None:
    oracle(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, head=True, pipeline="pixel2mesh")
    assert list(rec.stages) == [*DEFORMED, "registered", "completed", "detailed"]
    template, model = load_template(head=True), load_face_model()
    np.testing.assert_array_equal(rec.mesh.faces, template.fine.faces)
    assert len(rec.mesh.blendshapes) > 50
    error = np.linalg.norm(rec.stages["completed"].vertices - model.mean, axis=1)
    assert error[model.regions["head"]].mean() < 4
    np.testing.assert_allclose(rec.landmarks, rec.mesh.vertices[model.landmarks68])
    assert rec.neutral is not None
    rec.save(tmp_path / "head.glb", neutral=True)
    with pytest.raises(ValueError, match="texture must be at most 2048"):
        facegeom.reconstruct(coded_face.photo, box=coded_face.box, head=True, texture=2049, pipeline="pixel2mesh")


def test_the_mesh_goes_to_a_file_and_back(coded_face: Any, oracle: Any, tmp_path: Path) -> None:
    oracle(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="gcn_igan")
    rec.save(tmp_path / "face.glb")
    loaded = facegeom.FaceMesh.load(tmp_path / "face.glb")
    np.testing.assert_allclose(loaded.vertices, rec.mesh.vertices, atol=1e-3)
    with pytest.raises(FacegeomError, match="neutral=True needs the face model's topology"):
        rec.save(tmp_path / "neutral.glb", neutral=True)


def test_an_inaccurate_box_gets_a_second_pass(coded_face: Any, oracle: Any) -> None:
    network = oracle(coded_face)
    x0, y0, x1, y1 = coded_face.box
    rec = facegeom.reconstruct(coded_face.photo, box=(x0 - 90, y0 - 60, x1 + 30, y1 + 60), pipeline="pixel2mesh")
    assert len(network.landmarks) == 2
    np.testing.assert_allclose(rec.maps.box, face_square(coded_face.box), atol=12)


@pytest.mark.parametrize("degrees", [30.0, -100.0])
@pytest.mark.parametrize("needs_landmarks", [False, True])
def test_a_rolled_face_is_predicted_from_an_upright_crop(
    coded_face: Any, oracle: Any, monkeypatch: pytest.MonkeyPatch, degrees: float, needs_landmarks: bool
) -> None:
    size = len(coded_face.photo)
    turned = crop_affine((-0.5, -0.5, size - 0.5, size - 0.5), size, degrees)
    photo = warp_image(coded_face.photo, turned, size)
    network = oracle(coded_face, needs_landmarks=needs_landmarks)
    looks = []
    monkeypatch.setattr(
        network, "predict", lambda crops, given, look=network.predict: looks.append(crops) or look(crops, given)
    )
    depth = coded_face.camera.view(coded_face.landmarks)[:, 2:] * coded_face.camera.scale
    landmarks = np.hstack([apply_affine(turned, coded_face.camera.project(coded_face.landmarks)), depth])
    if needs_landmarks:
        found = predict_mesh(photo, network, landmarks=landmarks)
        assert len(looks) == 1
    else:
        x, y = apply_affine(turned, np.array([np.reshape(coded_face.box, (2, 2)).mean(axis=0)]))[0]
        half = 0.25 * sum(coded_face.box[2:]) - 0.25 * sum(coded_face.box[:2])
        found = predict_mesh(photo, network, (x - half, y - half, x + half, y + half))
        assert len(looks) == 2  # lying, then upright
    assert roll_deg(found.camera.rotation) == pytest.approx(degrees, abs=2)
    true = apply_affine(turned, coded_face.camera.project(coded_face.landmarks))
    assert np.linalg.norm(found.camera.project(found.landmarks) - true, axis=1).mean() < 3 * coded_face.camera.scale
    upright = crop_image(coded_face.photo, square_around(coded_face.camera.project(found.vertices[-1])), network.size)
    both = (looks[-1].max(axis=3)[0] > 60) & (upright.max(axis=2) > 60)
    assert np.median(np.abs(looks[-1][0].astype(int) - upright)[both]) < 12


def test_face_index_selects_a_detection_by_score(draw_face: Any, oracle: Any, detections: Any) -> None:
    face = draw_face(0.0)
    oracle(face)
    wide = np.hstack([face.photo, face.photo])
    x0, y0, x1, y1 = face.box
    detections([(x0 + 400, y0, x1 + 400, y1, 0.9), (x0, y0, x1, y1, 0.8)])
    best, second = (facegeom.reconstruct(wide, face_index=index, pipeline="pixel2mesh") for index in (0, 1))
    assert best.camera.translation[0] - second.camera.translation[0] == pytest.approx(400, abs=1)
    assert (best.score, second.score) == (0.9, 0.8)
    assert len(best.detections) == 2
    with pytest.raises(NoFaceFound, match="face_index is 2, but the photo has 2 detections"):
        facegeom.reconstruct(wide, face_index=2, pipeline="pixel2mesh")


def test_without_a_detection_the_average_crop_is_used(coded_face: Any, oracle: Any, detections: Any) -> None:
    oracle(coded_face)
    detections([])
    rec = facegeom.reconstruct(coded_face.photo, pipeline="pixel2mesh")
    assert rec.score == 0.0
    asked = facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="pixel2mesh")
    np.testing.assert_allclose(rec.camera.translation, asked.camera.translation, atol=4)


def test_landmarks_come_from_facevision_maps_in_the_crop_frame(draw_face: Any, oracle: Any, coded_network: Any) -> None:
    face = draw_face(30.0, shift=(20, -10))
    coded_network(face)
    network = oracle(face, needs_landmarks=True)
    rec = facegeom.reconstruct(face.photo, box=face.box, pipeline="gcn_igan")
    (given,) = network.landmarks
    x0, y0, x1, _ = rec.maps.box
    half = (x1 - x0) / 2
    pixels = given[0, :, :2] * (half, -half) + (x0 + half, y0 + half)
    assert np.linalg.norm(pixels - face.camera.project(face.landmarks), axis=1).mean() < 3
    true = face.camera.view(face.landmarks)[:, 2]
    depth = given[0, :, 2] * half / face.camera.scale
    assert np.abs((depth - depth.mean()) - (true - true.mean())).mean() < 3
    middle = mean_depth(load_face_model(), face.camera.view(load_face_model().mean))
    assert depth.mean() == pytest.approx(true.mean() - middle, abs=2)
    assert "landmarks" in rec.timings
    assert rec.score > 0.8
    assert degrees_between(rec.camera.rotation, face.camera.rotation) < 2.0


def test_given_landmarks_select_the_crop_only(draw_face: Any) -> None:
    face = draw_face(30.0)
    network = OracleMeshNetwork(face, needs_landmarks=True)
    depth = face.camera.view(face.landmarks)[:, 2:] * face.camera.scale
    points = np.hstack([face.camera.project(face.landmarks), depth + 50.0])
    exact = predict_mesh(face.photo, network, landmarks=points)
    rng = np.random.default_rng(0)
    noisy = predict_mesh(face.photo, network, landmarks=points + rng.normal(0, 4, points.shape))
    assert degrees_between(exact.camera.rotation, face.camera.rotation) < 2.0
    assert degrees_between(exact.camera.rotation, noisy.camera.rotation) < 0.5
    first, second = network.landmarks
    assert np.abs(first - second).max() > 0.02
    with pytest.raises(ValueError, match=r"landmarks must have shape \(68, 3\)"):
        predict_mesh(face.photo, network, landmarks=points[:, :2])


def test_contradictory_arguments_are_rejected(coded_face: Any) -> None:
    network = OracleMeshNetwork(coded_face)
    with pytest.raises(NoFaceFound, match="outside the photo"):
        predict_mesh(coded_face.photo, network, (4000, 4000, 4100, 4100))
    with pytest.raises(ValueError, match="oracle takes no landmarks"):
        predict_mesh(coded_face.photo, network, landmarks=np.zeros((68, 3)))
    network.needs_landmarks = True
    with pytest.raises(ValueError, match="omit box"):
        predict_mesh(coded_face.photo, network, coded_face.box, landmarks=np.zeros((68, 3)))


def test_mirror_images_are_exact() -> None:
    landmarks = _mirrored_landmarks(load_face_model())
    mean = load_face_model().mean[load_face_model().landmarks68]
    np.testing.assert_allclose(mean[landmarks], mean * (-1, 1, 1), atol=1e-6)
    V = semi_sphere().vertices
    for level, mirror in zip(semi_sphere().levels, mirror_images(), strict=True):
        V = V[level.parents].mean(axis=1)
        np.testing.assert_allclose(V[mirror], V * (-1, 1, 1), atol=1e-12)
        np.testing.assert_array_equal(mirror[mirror], np.arange(level.count))


def test_the_same_photo_gives_the_same_mesh(coded_face: Any, oracle: Any) -> None:
    oracle(coded_face)
    first, again = (facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="pixel2mesh") for _ in range(2))
    np.testing.assert_array_equal(first.mesh.vertices, again.mesh.vertices)
