"""All faces of a photo, and faces with any roll, by the shipped networks and by fake ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import facegeom
from facegeom import NoFaceFound
from facegeom.images.crop import apply_affine, crop_affine, warp_image
from facegeom.reconstruction import demo_photo, predict


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return facegeom.load_image(demo_photo())[40:250, 110:330]


def test_all_faces_are_returned_in_the_order_of_face_index(draw_face: Any, coded_network: Any, detections: Any) -> None:
    face = draw_face(0.0)
    coded_network(face)
    wide = np.hstack([face.photo, face.photo])
    x0, y0, x1, y1 = face.box
    detections([(x0 + 400, y0, x1 + 400, y1, 0.9), (x0, y0, x1, y1, 0.8), (5.0, 5.0, 40.0, 40.0, 0.7)])
    found = facegeom.reconstruct_all(wide, pipeline="facevision")
    assert len(found) == 2
    for number, rec in enumerate(found):
        alone = facegeom.reconstruct(wide, pipeline="facevision", face_index=number)
        np.testing.assert_array_equal(rec.mesh.vertices, alone.mesh.vertices)
        assert rec.camera.translation.tolist() == alone.camera.translation.tolist()
        assert rec.detections == alone.detections
        assert set(rec.timings) == set(alone.timings)


@pytest.mark.parametrize("pipeline", ["pix2vertex", "facevision", "pixel2mesh", "gcn_igan"])
def test_a_photo_without_a_face_gives_an_empty_list(pipeline: str) -> None:
    assert facegeom.reconstruct_all(np.full((200, 200, 3), 127, np.uint8), pipeline=pipeline) == []


def test_pixel2mesh_reconstructs_all_detections(draw_face: Any, mesh_oracle: Any, detections: Any) -> None:
    face = draw_face(0.0)
    mesh_oracle(face)
    wide = np.hstack([face.photo, face.photo])
    x0, y0, x1, y1 = face.box
    detections([(x0 + 400, y0, x1 + 400, y1, 0.9), (x0, y0, x1, y1, 0.8)])
    found = facegeom.reconstruct_all(wide, pipeline="pixel2mesh")
    assert [rec.score for rec in found] == [0.9, 0.8]
    assert found[0].camera.translation[0] - found[1].camera.translation[0] == pytest.approx(400, abs=1)


@pytest.mark.parametrize("options", [{"detector": "haar"}, {"min_face": -1}, {"texture": 3}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    photo = np.zeros((64, 64, 3), np.uint8)
    for function in (facegeom.reconstruct, facegeom.reconstruct_all):
        with pytest.raises(ValueError, match=next(iter(options))):
            function(photo, **options)


@pytest.mark.parametrize("degrees", [40.0, 135.0, -135.0, 180.0])
@pytest.mark.parametrize("given", [False, True], ids=["detected", "box given"])
def test_a_face_with_any_roll_gets_the_landmarks_of_the_upright_face(
    portrait: np.ndarray, degrees: float, given: bool
) -> None:
    side = 320
    x, y = 0.5 * (portrait.shape[1] - 1), 0.5 * (portrait.shape[0] - 1)
    affine = crop_affine((x - 160, y - 160, x + 160, y + 160), side, degrees)
    photo = warp_image(portrait, affine, side)
    upright = predict(portrait)
    truth = apply_affine(affine, upright.camera.project(upright.landmarks))
    low, high = truth.min(axis=0), truth.max(axis=0)
    found = predict(photo, (*low, *high) if given else None)
    off = np.linalg.norm(found.camera.project(found.landmarks) - truth, axis=1).mean()
    assert off < 0.03 * (high - low).mean()
    assert np.linalg.norm(found.landmarks - upright.landmarks, axis=1).mean() < 2.5


def test_a_given_box_whose_face_is_never_upright_is_an_error(
    coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = coded_network(coded_face)
    right_way = network.predict

    seen: list[Any] = []

    def upside_down(crops: np.ndarray, *, mirror: bool = True) -> Any:
        """Return the maps of the first crop, upside down, however the crop is turned."""
        seen.append(right_way(crops, mirror=mirror))
        return type(seen[0])(*(values[:, ::-1, ::-1] for values in seen[0][:3]))

    monkeypatch.setattr(network, "predict", upside_down)
    with pytest.raises(NoFaceFound, match="no upright face in the given box"):
        predict(coded_face.photo, coded_face.box)
