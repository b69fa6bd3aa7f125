"""Pipeline pix2vertex, with a fake network that decodes the true maps from the photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facegeom
from facegeom import FaceMesh, NoFaceFound, load_face_model
from facegeom.face_model.blendshapes import arkit_weights, template_blendshapes
from facegeom.face_model.template import load_template
from facegeom.images.face_maps import FaceMaps
from facegeom.measures.shapes import ShapeSpace, rms_mm
from facegeom.networks.identity_units import shape_units
from facegeom.networks.interface import IdentityAnswer
from facegeom.pipelines import pix2vertex
from facegeom.pipelines.interface import PipelineOptions
from facegeom.pipelines.kept_shape import detail_of
from facegeom.pipelines.map_prediction import IDENTITY_GAIN
from facegeom.pipelines.pix2vertex import target_mesh
from facegeom.pipelines.template_stages import without_expression
from facegeom.reconstruction import predict


@pytest.mark.parametrize("yaw", [0.0, 40.0, -75.0])
def test_the_registered_template_matches_the_face(draw_face: Any, coded_network: Any, yaw: float) -> None:
    face = draw_face(yaw)
    coded_network(face)
    rec = facegeom.reconstruct(face.photo, box=face.box)
    model, template = load_face_model(), load_template()
    truth = model.mean[template.vertices]
    shown = model.regions["map"][template.vertices]
    for stage in ("aligned", "registered"):
        error = np.linalg.norm(rec.stages[stage].vertices - truth, axis=1)[shown]
        assert error.mean() < 2.5
    np.testing.assert_allclose(rec.landmarks, rec.mesh.vertices[model.landmarks68])
    assert rec.mesh.seen.min() >= 0
    assert 0.1 < rec.mesh.seen.mean() < 0.9
    if yaw:  # the far cheek is hidden, the near cheek is visible
        far = np.sign(-yaw) * truth[: template.coarse.skin_count, 0] > 40
        near = np.sign(yaw) * truth[: template.coarse.skin_count, 0] > 40
        seen = rec.mesh.seen[: template.coarse.skin_count]
        assert min(seen[far].mean(), seen[near].mean()) < 0.1
        assert max(seen[far].mean(), seen[near].mean()) > 0.4


def test_all_photos_give_the_same_topology(draw_face: Any, coded_network: Any) -> None:
    found = []
    for yaw in (0.0, 60.0):
        face = draw_face(yaw)
        coded_network(face)
        found.append(facegeom.reconstruct(face.photo, box=face.box).mesh)
    np.testing.assert_array_equal(found[0].faces, found[1].faces)
    np.testing.assert_array_equal(found[0].uv, found[1].uv)
    assert set(found[0].regions) == set(found[1].regions) >= {"lips", "nose", "eyeball_left", "mouth_interior"}


def test_the_neutral_face_has_no_expression(coded_face: Any, coded_network: Any, tmp_path: Path) -> None:
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box)
    assert rec.neutral is not None
    rec.save(tmp_path / "neutral.glb", neutral=True)
    loaded = FaceMesh.load(tmp_path / "neutral.glb")
    assert len(loaded.faces) == len(rec.mesh.faces)
    model = load_face_model()
    weights = np.array([name == "jawOpen" for name in model.expression_names], dtype=float)
    neutral = without_expression(rec.mesh.vertices, template_blendshapes(load_template()), arkit_weights(weights))
    chin = 8  # of the 68 points
    moved = (rec.mesh.vertices - neutral)[model.landmarks68[chin]]
    np.testing.assert_allclose(moved, weights @ model.expression[:, model.landmarks68[chin]], atol=0.05)


def test_the_neutral_head_has_the_expression_as_weights(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    mesh = facegeom.reconstruct(coded_face.photo, box=coded_face.box, head=True).mesh
    neutral = without_expression(mesh.vertices, mesh.blendshapes, {"jawOpen": 0.5})
    posed = neutral + 0.5 * mesh.blendshapes["jawOpen"]
    np.testing.assert_allclose(posed, mesh.vertices, atol=1e-6)


def test_the_texture_has_the_colours_of_the_vertices(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    mesh = facegeom.reconstruct(coded_face.photo, box=coded_face.box, texture=256).mesh
    assert mesh.texture.shape == (256, 256, 3)
    corner_of = np.full(len(mesh.vertices), -1)
    corner_of[mesh.faces.ravel()] = mesh.uv_faces.ravel()
    u, v = mesh.uv[corner_of].T
    texel = mesh.texture[np.clip(((1 - v) * 256).astype(int), 0, 255), np.clip((u * 256).astype(int), 0, 255)]
    difference = np.abs(texel.astype(int) - mesh.colors.astype(int))[mesh.seen > 0.9]
    assert np.median(difference) <= 4


def test_a_large_atlas_has_detail_finer_than_the_vertices(draw_face: Any, coded_network: Any) -> None:
    face = draw_face(0.0, size=1200, scale=4.2)
    coded_network(face)
    seen = predict(face.photo, face.box)
    rows, columns = np.indices(face.photo.shape[:2])
    checks = np.where(((rows // 3 + columns // 3) % 2 == 0)[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    fine, coarse = (pix2vertex.run(checks, seen, PipelineOptions(texture=size)).final.texture for size in (1024, 128))
    middle = slice(3 * 1024 // 8, 5 * 1024 // 8)
    assert fine[middle, middle].std() > 40
    assert coarse[48:80, 48:80].std() < 40


def test_hidden_skin_takes_the_colour_of_the_other_side(draw_face: Any, coded_network: Any) -> None:
    face = draw_face(50.0)
    coded_network(face)
    photo = np.where(face.photo.max(axis=2, keepdims=True) > 60, np.uint8([200, 150, 120]), np.uint8(0))
    seen = predict(face.photo, face.box)
    mesh = pix2vertex.run(photo, seen, PipelineOptions()).final
    skin = load_template().fine.skin_count
    hidden = mesh.seen[:skin] == 0
    assert 0.2 < hidden.mean() < 0.8
    assert np.abs(mesh.colors[:skin][hidden].astype(int) - [200, 150, 120]).mean() < 25


def test_maps_without_a_face_raise_no_face_found(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    seen = predict(coded_face.photo, coded_face.box)
    maps = seen.maps
    lone = np.zeros_like(maps.mask)
    lone[::4, ::4] = maps.mask[::4, ::4]  # pixels without neighbours make no triangle
    alone = FaceMaps(maps.image, maps.depth, maps.correspondence, lone, maps.box)
    with pytest.raises(NoFaceFound, match="contains no triangle"):
        pix2vertex.run(coded_face.photo, replace(seen, maps=alone), PipelineOptions())
    far = FaceMaps(maps.image, maps.depth, np.nan_to_num(maps.correspondence) + 500, maps.mask, maps.box)
    with pytest.raises(NoFaceFound, match="do not show enough of the face: fewer than 4"):
        pix2vertex.run(coded_face.photo, replace(seen, maps=far), PipelineOptions())


def test_the_target_has_every_pixel_in_the_face_frame(turned_coded_face: Any, coded_network: Any) -> None:
    coded_network(turned_coded_face)
    seen = predict(turned_coded_face.photo, turned_coded_face.box)
    target = target_mesh(seen.maps, seen.camera, 10.0)
    assert len(target.V) > 0.98 * seen.maps.mask.sum()
    error = np.linalg.norm(target.V - target.E, axis=1)  # the mean face: its own correspondence
    assert np.median(error) < 3


# The identity of the fit


class Believer:
    """An identity network that is sure of a shape."""

    size = 64

    def __init__(self, coefficients: np.ndarray) -> None:
        self.coefficients = coefficients

    def predict(self, crops: np.ndarray, *, mirror: bool = True) -> list[IdentityAnswer]:
        return [IdentityAnswer(self.coefficients, np.full(60, 1e-3))] * len(crops)


@pytest.mark.parametrize("yaw", [0.0, 50.0])
def test_the_registration_keeps_the_shape_of_the_identity_network(
    draw_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch, yaw: float
) -> None:
    """The maps show the mean face. Without the network they alone decide."""
    face = draw_face(yaw)
    coded_network(face)
    space, model = ShapeSpace(load_face_model()), load_face_model()
    shape = np.random.default_rng(0).normal(0, 0.8, 60)
    right = space.displacement(model.vertices(IDENTITY_GAIN * shape))
    plain = facegeom.reconstruct(face.photo, box=face.box)
    monkeypatch.setattr("facegeom.pipelines.map_prediction.identity_network", lambda *_: Believer(shape))
    found = facegeom.reconstruct(face.photo, box=face.box)
    np.testing.assert_allclose(found.identity, IDENTITY_GAIN * shape, atol=0.05)
    for rec, least, most in ((plain, -0.2, 0.2), (found, 0.9, 1.1)):
        assert rec.neutral is not None
        moved = space.displacement(rec.neutral.vertices)
        slope = float((moved * right).sum() / (right**2).sum())
        assert least < slope < most
    assert found.neutral is not None
    assert float(rms_mm(space.displacement(found.neutral.vertices) - right)) < 0.6 * float(rms_mm(right))


def test_shape_pose_and_size_are_removed_from_a_motion_and_nothing_else() -> None:
    model = load_face_model()
    skin = model.mean[: model.face_vertex_count]
    vertices = shape_units(model).vertices
    rng = np.random.default_rng(1)
    turn = np.cross(rng.normal(0, 0.05, 3), skin - skin[vertices].mean(0))
    pose = rng.normal(size=3) + turn + 0.02 * (skin - skin[vertices].mean(0))
    assert np.abs(detail_of(model, pose)).max() < 1e-3 * np.abs(pose).max()
    detail = 0.3 * np.sin(2.0 * skin[:, :1]) * [0.0, 0.0, 1.0]  # wavelength 3 mm
    assert np.abs(detail_of(model, detail) - detail).max() < 0.1
    identity = np.einsum("k,kvc->vc", rng.normal(0, 0.8, 60), model.identity[:60, : len(skin)].astype(float))
    weights = np.zeros(len(model.expression_names))
    for name, weight in (("jawOpen", 0.8), ("mouthSmile_L", 0.5), ("eyeBlink_R", 1.0)):
        weights[model.expression_names.index(name)] = weight
    expression = np.einsum("e,evc->vc", weights, model.expression[:, : len(skin)].astype(float))
    rest = detail_of(model, identity + expression + pose)[vertices]
    assert np.abs(rest).max() < 0.1
