"""Prediction of the meshes: crops, passes, landmarks and maps, with a fake network that returns the true mesh."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import facegeom
from coded_photos import decode, degrees_between
from facegeom import NoFaceFound, load_face_model
from facegeom.face_model.face_region import mean_depth
from facegeom.images.camera import roll_deg
from facegeom.images.crop import apply_affine, crop_affine, crop_image, warp_image
from facegeom.networks.semi_sphere import mirror_images, semi_sphere
from facegeom.pipelines.mesh_prediction import _mirrored_landmarks, face_square, predict_mesh, square_around
from mesh_oracle import OracleMeshNetwork


def test_maps_are_rendered_from_the_mesh(turned_coded_face: Any, mesh_oracle: Any) -> None:
    network = mesh_oracle(turned_coded_face)
    maps = facegeom.reconstruct(turned_coded_face.photo, box=turned_coded_face.box, pipeline="pixel2mesh").maps
    assert maps.size == network.size
    np.testing.assert_allclose(maps.box, face_square(turned_coded_face.box), atol=10)
    shown = maps.image.max(axis=2) > 60
    assert (maps.mask & shown).sum() / (maps.mask | shown).sum() > 0.8
    truth = decode(maps.image[maps.mask & shown])
    assert np.median(np.linalg.norm(truth - maps.correspondence[maps.mask & shown], axis=1)) < 4.0
    depth = maps.correspondence[maps.mask] @ turned_coded_face.camera.rotation[2]
    assert np.median(np.abs(depth - maps.depth[maps.mask])) < 3.0


def test_an_inaccurate_box_gets_a_second_pass(coded_face: Any, mesh_oracle: Any) -> None:
    network = mesh_oracle(coded_face)
    x0, y0, x1, y1 = coded_face.box
    rec = facegeom.reconstruct(coded_face.photo, box=(x0 - 90, y0 - 60, x1 + 30, y1 + 60), pipeline="pixel2mesh")
    assert len(network.landmarks) == 2
    np.testing.assert_allclose(rec.maps.box, face_square(coded_face.box), atol=12)


@pytest.mark.parametrize("degrees", [30.0, -100.0])
@pytest.mark.parametrize("needs_landmarks", [False, True])
def test_a_rolled_face_is_predicted_from_an_upright_crop(
    coded_face: Any, mesh_oracle: Any, monkeypatch: pytest.MonkeyPatch, degrees: float, needs_landmarks: bool
) -> None:
    size = len(coded_face.photo)
    turned = crop_affine((-0.5, -0.5, size - 0.5, size - 0.5), size, degrees)
    photo = warp_image(coded_face.photo, turned, size)
    network = mesh_oracle(coded_face, needs_landmarks=needs_landmarks)
    crops = []
    monkeypatch.setattr(
        network, "predict", lambda both, given, predict=network.predict: crops.append(both) or predict(both, given)
    )
    depth = coded_face.camera.view(coded_face.landmarks)[:, 2:] * coded_face.camera.scale
    landmarks = np.hstack([apply_affine(turned, coded_face.camera.project(coded_face.landmarks)), depth])
    if needs_landmarks:
        found = predict_mesh(photo, network, landmarks=landmarks)
        assert len(crops) == 1
    else:
        x, y = apply_affine(turned, np.array([np.reshape(coded_face.box, (2, 2)).mean(axis=0)]))[0]
        half = 0.25 * sum(coded_face.box[2:]) - 0.25 * sum(coded_face.box[:2])
        found = predict_mesh(photo, network, (x - half, y - half, x + half, y + half))
        assert len(crops) == 2  # the second crop is upright
    assert roll_deg(found.camera.rotation) == pytest.approx(degrees, abs=2)
    true = apply_affine(turned, coded_face.camera.project(coded_face.landmarks))
    assert np.linalg.norm(found.camera.project(found.landmarks) - true, axis=1).mean() < 3 * coded_face.camera.scale
    upright = crop_image(coded_face.photo, square_around(coded_face.camera.project(found.vertices[-1])), network.size)
    both = (crops[-1].max(axis=3)[0] > 60) & (upright.max(axis=2) > 60)
    assert np.median(np.abs(crops[-1][0].astype(int) - upright)[both]) < 12


def test_face_index_selects_a_detection_by_score(draw_face: Any, mesh_oracle: Any, detections: Any) -> None:
    face = draw_face(0.0)
    mesh_oracle(face)
    wide = np.hstack([face.photo, face.photo])
    x0, y0, x1, y1 = face.box
    detections([(x0 + 400, y0, x1 + 400, y1, 0.9), (x0, y0, x1, y1, 0.8)])
    best, second = (facegeom.reconstruct(wide, face_index=index, pipeline="pixel2mesh") for index in (0, 1))
    assert best.camera.translation[0] - second.camera.translation[0] == pytest.approx(400, abs=1)
    assert (best.score, second.score) == (0.9, 0.8)
    assert len(best.detections) == 2
    with pytest.raises(NoFaceFound, match="face_index is 2, but the photo has 2 detections"):
        facegeom.reconstruct(wide, face_index=2, pipeline="pixel2mesh")


def test_without_a_detection_the_average_crop_is_used(coded_face: Any, mesh_oracle: Any, detections: Any) -> None:
    mesh_oracle(coded_face)
    detections([])
    rec = facegeom.reconstruct(coded_face.photo, pipeline="pixel2mesh")
    assert rec.score == 0.0
    expected = facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="pixel2mesh")
    np.testing.assert_allclose(rec.camera.translation, expected.camera.translation, atol=4)


def test_landmarks_come_from_facevision_maps_in_the_crop_frame(
    draw_face: Any, mesh_oracle: Any, coded_network: Any
) -> None:
    face = draw_face(30.0, shift=(20, -10))
    coded_network(face)
    network = mesh_oracle(face, needs_landmarks=True)
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
