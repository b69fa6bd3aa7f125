"""The benchmark `evaluate registration`, and the maps of registered templates in `facegeom.measures.registered`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.cli import main
from facegeom.evaluation import registration, registration_sheet
from facegeom.images.crop import crop_box, crop_image
from facegeom.measures import registered
from facegeom.reconstruction import predict

ICT = Path(__file__).parents[2] / "shared" / "data" / "ict" / "ict_face_model.npz"


def coded_maps(face: Any, network: Any) -> tuple[Any, Any, Any, Any]:
    """Return the crop of a colour-coded face, and its depth, correspondence and mask."""
    crop = crop_image(face.photo, crop_box(face.box, 1.3), 128)
    maps = network.predict(crop[None])
    return crop, maps.depth[0], maps.correspondence[0], maps.mask_probability[0] > 0.5


@pytest.mark.parametrize("yaw", [0.0, 45.0])
def test_registered_maps_agree_with_the_maps_of_the_face(draw_face: Any, coded_network: Any, yaw: float) -> None:
    face = draw_face(yaw)
    crop, depth, place, mask = coded_maps(face, coded_network(face))
    found = registered.register_crop(crop, depth, place, mask)
    assert found is not None
    both = found.mask & mask
    assert both.sum() > 0.9 * mask.sum()
    difference = (found.depth - depth)[both]
    assert np.abs(difference - np.median(difference)).mean() < 1.0
    assert np.linalg.norm(found.correspondence - place, axis=2)[both].mean() < 2.0


def test_maps_without_a_face_are_unchanged(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    crop, depth, place, mask = coded_maps(coded_face, network)
    assert registered.register_crop(crop, depth, place, np.zeros_like(mask)) is None
    crops = np.stack([crop, np.zeros_like(crop)])
    plain, behind = network.predict(crops), registered.RegisteredNetwork(network).predict(crops)
    np.testing.assert_array_equal(behind.depth[1], plain.depth[1])
    assert not np.array_equal(behind.depth[0], plain.depth[0])


def test_registration_fills_a_hole_in_the_maps(coded_face: Any, coded_network: Any) -> None:
    crop, depth, place, mask = coded_maps(coded_face, coded_network(coded_face))
    disc = registration.erased_disc(mask, np.random.default_rng(0))
    assert disc.sum() == pytest.approx(0.2 * mask.sum(), rel=0.05)
    assert not (disc & ~mask).any()
    found = registered.register_crop(crop, depth, place, mask & ~disc)
    assert found is not None
    filled = disc & found.mask
    assert filled.sum() > 0.95 * disc.sum()
    shift = np.median((found.depth - depth)[mask & ~disc & found.mask])
    assert np.abs(found.depth - depth - shift)[filled].mean() < 1.5


def test_registered_landmarks_are_near_the_true_ones(coded_face: Any, coded_network: Any) -> None:
    network = coded_network(coded_face)
    face = registered.predict_registered(coded_face.photo, network, box=coded_face.box)
    error = np.linalg.norm(
        face.camera.project(face.landmarks) - coded_face.camera.project(coded_face.landmarks), axis=1
    )
    assert error.mean() < 2.0


def test_self_intersections_are_counted() -> None:
    pytest.importorskip("pymeshlab")
    model = load_face_model()
    F = model.faces[: model.face_triangle_count]
    assert registration.self_intersections(model.mean[: model.face_vertex_count], F) == 0
    crossed = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0.5, 0.5, -1], [0.6, 0.5, 1], [0.5, 0.6, 1]], float)
    assert registration.self_intersections(crossed, np.array([[0, 1, 2], [3, 4, 5]])) == 2


def test_means_by_expression() -> None:
    results = [
        registration.HeadResult("anger", 0, 3.0, 2.0, 1.0, 0.5),
        registration.HeadResult("anger", 1, 5.0, 4.0, np.nan, 0.5),
        registration.HeadResult("sad", 0, 1.0, 3.0, 3.0, 0.5),
    ]
    summary = registration.summarise(results)
    anger, sad, everyone = summary["expressions"]
    assert (anger["expression"], anger["maps"], anger["completed_mm"]) == ("anger", 4.0, 1.0)
    assert (sad["registered"], everyone["registered"]) == (3.0, 3.0)
    assert "surprise" not in registration.format_summary(summary)
    assert "completed" not in registration.format_summary(summary)
    assert "erased region" in registration.format_summary(summary)


def test_command_needs_photos_or_the_ict_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "registration"]) == 1
    assert "needs a folder with photos, --ict, or both" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.skipif(not ICT.exists(), reason="needs the ICT model")
def test_every_expression_is_rendered_for_the_same_subjects() -> None:
    heads = list(registration.expression_heads(str(ICT), 32))
    assert [(name, subject) for name, subject, _, _ in heads] == [
        (name, subject) for name in registration.EXPRESSIONS for subject in range(registration.SUBJECTS)
    ]
    assert all(sample.mask.any() for _, _, sample, _ in heads)


def test_projection_of_a_face_of_the_model_is_the_face_itself() -> None:
    model = load_face_model()
    rng = np.random.default_rng(0)
    weights = np.array([name == "jawOpen" for name in model.expression_names], dtype=float)
    face = model.vertices(rng.normal(size=40), weights)[: model.face_vertex_count]
    angle = np.radians(2)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    moved = face @ turn.T + [3, -2, 5]
    assert registration_sheet.project(moved).residual.mean() < 0.2
    bumpy = moved + rng.normal(0, 1, moved.shape)
    assert registration_sheet.project(bumpy).residual.mean() == pytest.approx(1.6, abs=0.3)


def test_textured_photo_maps_colours_by_the_correspondence(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    seen = predict(coded_face.photo, coded_face.box)
    model = load_face_model()
    told = (model.mean / 130.0 + 1.0) / 2.0 * 255.0  # the colours in the colour-coded photo
    picture = registration_sheet.textured_photo(seen.maps, told)
    np.testing.assert_array_equal(picture[~seen.maps.mask], seen.maps.image[~seen.maps.mask])
    assert np.abs(picture[seen.maps.mask].astype(int) - seen.maps.image[seen.maps.mask].astype(int)).mean() < 4


def test_caption_of_the_projection_states_the_mean_residual() -> None:
    model = load_face_model()
    pictures = registration_sheet.projection_pictures(model.mean[: model.face_vertex_count], np.eye(3), 48)
    assert list(pictures) == ["registered", "projected", "0.00 mm"]
    assert all(picture.shape == (48, 48, 3) for picture in pictures.values())
