"""Prediction of the maps: crops, passes, selection of the face, plausibility."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import facegeom
from facegeom import NoFaceFound
from facegeom.detection.found_face import FoundFace
from facegeom.face_model import load_face_model
from facegeom.face_model.fitting import CONTOUR_POINTS
from facegeom.images.crop import warp_image
from facegeom.measures.openings import openings
from facegeom.networks.contour_crop import contour_affines, to_crops
from facegeom.networks.identity_crop import CHANGED_CROPS, INNER_LANDMARKS, aligned_affine, changed_crops
from facegeom.networks.interface import ContourAnswer, IdentityAnswer
from facegeom.pipelines.map_options import MapOptions
from facegeom.pipelines.map_prediction import (
    IDENTITY_GAIN,
    LOOKS,
    predict_all_maps,
    predict_maps,
)
from facegeom.pipelines.plausibility import plausibility
from facegeom.reconstruction import predict


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


def test_the_second_crop_does_not_depend_on_the_box(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    x0, y0, x1, y1 = coded_face.box
    crops = [
        facegeom.reconstruct(coded_face.photo, box=box).maps.box
        for box in ((x0, y0, x1, y1), (x0 - 20, y0 + 15, x1 + 10, y1 + 25), (x0 + 10, y0 - 5, x1, y1 - 5, 0.7))
    ]
    for crop in crops[1:]:
        np.testing.assert_allclose(crop, crops[0], atol=4)


def test_answer_of_an_identity_network_is_the_prior_of_the_fit(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    plain = predict_maps(coded_face.photo, coded_face.box, network=network)
    believed = np.linspace(-0.5, 0.5, 60)
    seen: list[np.ndarray] = []

    class Believer:
        size = 64

        def predict(self, crops: np.ndarray, *, mirror: bool = True) -> list[IdentityAnswer]:
            seen.extend(crops)
            return [IdentityAnswer(believed, np.full(60, 1e-4))] * len(crops)

    found = predict_maps(coded_face.photo, coded_face.box, network=network, identity=Believer())
    np.testing.assert_allclose(found.fit.identity[:60], IDENTITY_GAIN * believed, atol=1e-2)
    model = load_face_model()
    landmarks = plain.camera.project(plain.fit.vertices(model)[model.landmarks68[INNER_LANDMARKS]])
    affine = aligned_affine(model, landmarks, plain.camera.rotation, 64)
    expected = warp_image(coded_face.photo, changed_crops(affine, 64)[0], 64).astype(int)
    assert np.abs(seen[0] - expected).mean() < 0.2 * np.abs(np.roll(expected, 3, axis=0) - expected).mean()
    assert found.timings["identity"] > 0
    assert "identity" not in plain.timings


def test_answer_of_a_contour_network_opens_the_mouth_of_the_fit(coded_face: Any, coded_network: Any) -> None:
    network, model = coded_network(coded_face), load_face_model()
    plain = predict_maps(coded_face.photo, coded_face.box, network=network)
    wide = plain.fit.expression.copy()
    wide[model.expression_names.index("jawOpen")] = 1.0
    points = plain.camera.project(model.landmarks468(model.vertices(plain.fit.identity, wide)))[CONTOUR_POINTS]
    landmarks = plain.camera.project(plain.fit.vertices(model)[model.landmarks68[INNER_LANDMARKS]])
    affines = contour_affines(model, landmarks, plain.camera.rotation, 64)

    class Gaping:
        size = 64

        def predict(self, crops: np.ndarray) -> list[ContourAnswer]:
            assert crops.shape == (1, 3, 64, 64, 3)
            return [ContourAnswer(to_crops(affines, points, 64), np.full(3, 0.3))]

    found = predict_maps(coded_face.photo, coded_face.box, network=network, contours=Gaping())
    before, after, asked = (
        openings(model.landmarks468(model.vertices(plain.fit.identity, weights))).mouth
        for weights in (plain.fit.expression, found.fit.expression, wide)
    )
    assert asked - before > 0.2
    assert after - before > 0.6 * (asked - before)
    assert found.timings["contours"] > 0
    assert "contours" not in plain.timings


def test_every_face_gets_its_own_identity(coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network = coded_network(coded_face)
    monkeypatch.setattr("facegeom.detection.detector.find_faces", lambda photo, **options: faces)
    faces = [FoundFace.of_box(coded_face.box, 0.9)]

    class Counter:
        size, calls = 64, 0

        def predict(self, crops: np.ndarray, *, mirror: bool = True) -> list[IdentityAnswer]:
            self.calls += len(crops)
            return [IdentityAnswer(np.full(60, 0.1), np.full(60, 1e-4))] * len(crops)

    identity = Counter()
    (found,) = predict_all_maps(coded_face.photo, network=network, identity=identity)
    assert identity.calls == LOOKS * len(CHANGED_CROPS)
    np.testing.assert_allclose(found.fit.identity[:60], 0.1 * IDENTITY_GAIN, atol=1e-2)


def test_an_inaccurate_box_gives_the_same_aligned_crop(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    x0, y0 = coded_face.box[:2]
    found = predict(coded_face.photo, (x0 - 30, y0 - 30, x0 + 25, y0 + 25))
    assert network.calls == [(1, False), (1, True)]
    camera = coded_face.camera
    expected = facegeom.images.crop.aligned_box(camera.rotation, camera.scale, camera.translation)
    np.testing.assert_allclose(found.maps.box, expected, atol=3)


def test_an_inaccurate_first_prediction_gets_one_more_pass(
    coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = coded_network(coded_face)
    exact, predicted = predict(coded_face.photo, coded_face.box), network.predict
    network.calls.clear()

    def small_at_first(crops: np.ndarray, *, mirror: bool = True) -> Any:
        maps = predicted(crops, mirror=mirror)
        wrong = maps.correspondence * (2.0 if len(network.calls) == 1 else 1.0)
        return maps._replace(correspondence=wrong)

    monkeypatch.setattr(network, "predict", small_at_first)
    found = predict(coded_face.photo, coded_face.box)
    assert network.calls == [(1, False), (1, True), (1, True)]
    np.testing.assert_allclose(found.maps.box, exact.maps.box, atol=2)


def test_a_second_crop_that_shows_another_face_too_does_not_count(
    coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = coded_network(coded_face)
    predicted = network.predict

    def mixed(crops: np.ndarray, *, mirror: bool = True) -> Any:
        maps = predicted(crops, mirror=mirror)
        return maps._replace(depth=-2 * maps.depth) if mirror else maps  # the last crop is the mirrored one

    monkeypatch.setattr(network, "predict", mixed)
    found = predict_maps(coded_face.photo, coded_face.box)
    assert found.score > 0.8
    places = found.camera.project(found.landmarks)[:, :2]
    x0, y0, x1, y1 = coded_face.box
    np.testing.assert_allclose([*places.min(0), *places.max(0)], [x0, y0, x1, y1], atol=0.1 * (x1 - x0))


@pytest.mark.parametrize("quarters", [1, -1, 2])
def test_the_crop_of_a_rolled_face_is_turned_upright(coded_face: Any, coded_network: Any, quarters: int) -> None:
    network = coded_network(coded_face)
    upright = predict(coded_face.photo, coded_face.box)
    crops_seen: list[np.ndarray] = []
    predict_maps = network.predict

    def recording(crops: np.ndarray, *, mirror: bool = True) -> Any:
        crops_seen.append(crops[0])
        return predict_maps(crops, mirror=mirror)

    network.predict = recording
    size = len(coded_face.photo)
    photo = np.ascontiguousarray(np.rot90(coded_face.photo, quarters))
    corners = np.array(coded_face.box).reshape(2, 2)
    turn = np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), quarters % 4)  # of pixels, y down
    middle = (size - 1) / 2
    box = np.sort((corners - middle) @ turn.T + middle, axis=0).ravel()
    found = predict(photo, box)

    assert np.abs(crops_seen[1].astype(int) - upright.maps.image).mean() < 12  # the second crop shows the face upright
    np.testing.assert_array_equal(found.maps.image, np.rot90(crops_seen[1], quarters))  # oriented as the photo
    expected = (upright.camera.project(upright.landmarks) - middle) @ turn.T + middle
    assert np.linalg.norm(found.camera.project(found.landmarks) - expected, axis=1).max() < 3
    assert np.linalg.norm(found.landmarks - upright.landmarks, axis=1).mean() < 1


def test_a_face_that_the_network_takes_for_an_upright_one_is_tried_upside_down(
    coded_face: Any, coded_network: Any, detections: Any
) -> None:
    network = coded_network(coded_face)
    predict_maps = network.predict

    def fooled(crops: np.ndarray, *, mirror: bool = True) -> Any:
        """Predict an upright face in every crop, with less certainty where the face is upside down."""
        maps = predict_maps(crops, mirror=mirror)
        rows, columns = np.nonzero(maps.mask_probability[0] > 0.5)
        if len(rows) == 0 or np.corrcoef(rows, maps.correspondence[0, rows, columns, 1])[0, 1] < 0:
            return maps
        maps = predict_maps(np.ascontiguousarray(np.rot90(crops, 2, axes=(1, 2))), mirror=mirror)
        return maps._replace(mask_probability=0.9 * maps.mask_probability)

    network.predict = fooled
    x0, y0, x1, y1 = coded_face.box
    last = len(coded_face.photo) - 1
    box = (last - x1, last - y1, last - x0, last - y0)
    detections([(*box, 0.91)])
    photo = np.ascontiguousarray(np.rot90(coded_face.photo, 2))
    assert abs(predict(photo).camera.pose.roll) > 175
    assert abs(predict(photo, box).camera.pose.roll) > 175
    assert abs(predict(photo, options=MapOptions(sure_score=0.0)).camera.pose.roll) < 5


def test_a_wrong_roll_of_the_detector_does_not_hide_the_face_in_a_given_box(
    coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = coded_network(coded_face)
    predict_maps = network.predict

    def strict(crops: np.ndarray, *, mirror: bool = True) -> Any:
        """Predict upright faces only."""
        maps = predict_maps(crops, mirror=mirror)
        rows, columns = np.nonzero(maps.mask_probability[0] > 0.5)
        if len(rows) and np.corrcoef(rows, maps.correspondence[0, rows, columns, 1])[0, 1] < -0.8:
            return maps
        return maps._replace(mask_probability=0.0 * maps.mask_probability)

    network.predict = strict
    wrong = FoundFace.of_box(coded_face.box, 0.9, 130.0)
    monkeypatch.setattr("facegeom.detection.yunet.find_in_box", lambda photo, box: wrong)
    assert abs(predict(coded_face.photo, coded_face.box).camera.pose.roll) < 5


def test_a_wide_open_mouth_does_not_turn_the_face_upside_down(
    coded_face: Any, coded_network: Any, detections: Any
) -> None:
    network = coded_network(coded_face)
    predict_maps = network.predict

    def fooled(crops: np.ndarray, *, mirror: bool = True) -> Any:
        """Predict the true face with a large misfit; upside down a face that fits well, with less certainty."""
        maps = predict_maps(crops, mirror=mirror)
        rows, columns = np.nonzero(maps.mask_probability[0] > 0.5)
        if len(rows) == 0:
            return maps
        if np.corrcoef(rows, maps.correspondence[0, rows, columns, 1])[0, 1] < 0:
            waves = 12.0 * np.sin(np.arange(crops.shape[1]) / 5.0).astype(np.float32)
            return maps._replace(depth=maps.depth + waves[:, None])
        maps = predict_maps(np.ascontiguousarray(np.rot90(crops, 2, axes=(1, 2))), mirror=mirror)
        return maps._replace(mask_probability=0.97 * maps.mask_probability)

    network.predict = fooled
    detections([(*coded_face.box, 0.91)])
    upright, turned = predict(coded_face.photo), predict(coded_face.photo, coded_face.box)
    assert upright.score < MapOptions().sure_score
    for found in (upright, turned):
        assert abs(found.camera.pose.roll) < 5


def test_the_last_of_two_passes_is_averaged_with_its_mirror_image(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    predict(coded_face.photo, coded_face.box)
    assert network.calls == [(1, False), (1, True)]
    network.calls.clear()
    predict(coded_face.photo, coded_face.box, options=MapOptions(passes=1))
    assert network.calls == [(1, True)]


def test_false_detections_are_skipped_and_duplicates_merged(
    coded_face: Any, coded_network: Any, detections: Any
) -> None:
    coded_network(coded_face)
    box = coded_face.box
    shifted = tuple(v + 8 for v in box)
    detections([(5.0, 5.0, 40.0, 40.0, 0.95), (*box, 0.9), (*shifted, 0.8)])
    rec = facegeom.reconstruct(coded_face.photo)
    np.testing.assert_allclose(rec.maps.box, facegeom.reconstruct(coded_face.photo, box=box).maps.box, atol=3)
    assert len(rec.detections) == 3
    with pytest.raises(NoFaceFound, match="face_index is 1, but the photo has 1 face"):
        facegeom.reconstruct(coded_face.photo, face_index=1)


def test_face_index_selects_a_face_by_score(draw_face: Any, coded_network: Any, detections: Any) -> None:
    face = draw_face(0.0)
    coded_network(face)
    wide = np.hstack([face.photo, face.photo])
    x0, y0, x1, y1 = face.box
    detections([(x0 + 400, y0, x1 + 400, y1, 0.9), (x0, y0, x1, y1, 0.8)])
    best, second = (facegeom.reconstruct(wide, face_index=index) for index in (0, 1))
    assert best.camera.translation[0] - second.camera.translation[0] == pytest.approx(400, abs=2)


def test_photos_and_boxes_without_a_face_raise_no_face_found(
    coded_face: Any, coded_network: Any, detections: Any
) -> None:
    coded_network(coded_face)
    detections([(5.0, 5.0, 60.0, 60.0, 0.9)])
    with pytest.raises(NoFaceFound, match="no face was found"):
        facegeom.reconstruct(np.zeros_like(coded_face.photo))
    with pytest.raises(NoFaceFound, match="no face in the given box"):
        facegeom.reconstruct(coded_face.photo, box=(2, 2, 20, 20))


def test_implausible_maps_in_a_given_box_are_no_face(
    coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = coded_network(coded_face)
    predicted = network.predict

    def hollow(crops: np.ndarray, *, mirror: bool = True) -> Any:
        maps = predicted(crops, mirror=mirror)
        return maps._replace(depth=-2 * maps.depth)

    monkeypatch.setattr(network, "predict", hollow)
    with pytest.raises(NoFaceFound, match="hardly a face"):
        facegeom.reconstruct(coded_face.photo, box=coded_face.box)


def test_a_detection_that_becomes_a_face_in_the_second_crop_only_is_none(
    coded_face: Any, coded_network: Any, detections: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = coded_network(coded_face)
    detections([(*coded_face.box, 0.9)])
    predicted, options = network.predict, dataclasses.replace(MapOptions(), fallback_min_score=2.0)
    assert predict_maps(coded_face.photo, options=options).score > 0.8

    def hollow_at_first(crops: np.ndarray, *, mirror: bool = True) -> Any:
        maps = predicted(crops, mirror=mirror)
        return maps if mirror else maps._replace(depth=-2 * maps.depth)

    monkeypatch.setattr(network, "predict", hollow_at_first)
    with pytest.raises(NoFaceFound):
        predict_maps(coded_face.photo, options=options)


def test_a_face_in_the_centre_is_found_without_a_detection(
    coded_face: Any, coded_network: Any, detections: Any
) -> None:
    coded_network(coded_face)
    detections([])
    found = facegeom.reconstruct(coded_face.photo)
    expected = facegeom.reconstruct(coded_face.photo, box=coded_face.box)
    np.testing.assert_allclose(found.maps.box, expected.maps.box, atol=8)
    with pytest.raises(NoFaceFound):
        facegeom.reconstruct(coded_face.photo, face_index=1)


def test_inconsistent_maps_have_a_low_plausibility(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    square = facegeom.images.crop.crop_box(coded_face.box, 1.3)
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
