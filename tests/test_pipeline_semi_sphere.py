"""Pipelines pixel2mesh and gcn_igan: stages, colours, texture and head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facegeom
from coded_photos import decode, degrees_between
from facegeom import FacegeomError, load_face_model
from facegeom.face_model.template import load_template
from facegeom.geometry import face_normals
from facegeom.networks.semi_sphere import semi_sphere
from mesh_oracle import semi_sphere_on

DEFORMED = ["deformed1", "deformed2", "deformed3", "deformed4"]


@pytest.mark.parametrize("yaw", [0.0, 50.0, -85.0])
def test_reconstruction_of_a_coded_face(draw_face: Any, mesh_oracle: Any, yaw: float) -> None:
    face = draw_face(yaw, shift=(20, -10))
    network = mesh_oracle(face)
    rec = facegeom.reconstruct(face.photo, box=face.box, pipeline="pixel2mesh")

    assert list(rec.stages) == DEFORMED
    assert rec.mesh is rec.stages["deformed4"]
    assert [len(mesh.vertices) for mesh in rec.stages.values()] == [141, 492, 1824, 7008]
    assert {"network", "fit", "maps", *DEFORMED} <= set(rec.timings)
    assert network.landmarks == [None]  # one pass, without landmarks
    assert rec.score == 1.0
    assert rec.neutral is None

    assert degrees_between(rec.camera.rotation, face.camera.rotation) < 2.0
    assert rec.camera.scale == pytest.approx(face.camera.scale, rel=0.04)
    found, true = rec.camera.project(rec.landmarks), face.camera.project(face.landmarks)
    assert np.linalg.norm(found - true, axis=1).mean() < 2.5 * face.camera.scale
    assert np.linalg.norm(rec.mesh.vertices - semi_sphere_on(load_face_model().mean), axis=1).mean() < 3.0
    assert facegeom.geometry.closest_points(rec.mesh.vertices, rec.mesh.faces, rec.landmarks).distance.max() < 1e-6


def test_the_mesh_faces_the_front_and_has_the_photos_colours(coded_face: Any, mesh_oracle: Any) -> None:
    mesh_oracle(coded_face)
    mesh = facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="pixel2mesh").mesh
    assert (face_normals(mesh.vertices, mesh.faces)[:, 2] > 0).mean() > 0.9
    np.testing.assert_array_equal(mesh.uv, semi_sphere().uv)
    assert mesh.regions["face"].all()
    seen = mesh.seen > 0.9
    assert seen.mean() > 0.4
    coded = decode(mesh.colors)
    assert np.median(np.linalg.norm(coded - mesh.vertices, axis=1)[seen]) < 4.0


def test_the_hidden_side_takes_the_colours_of_its_mirror_image(turned_coded_face: Any, mesh_oracle: Any) -> None:
    mesh_oracle(turned_coded_face)
    mesh = facegeom.reconstruct(turned_coded_face.photo, box=turned_coded_face.box, pipeline="pixel2mesh").mesh
    coded = decode(mesh.colors)
    cheek = np.linalg.norm(mesh.vertices - [45.0, -40.0, 10.0], axis=1) < 12  # turned away from the camera
    assert cheek.sum() > 20
    assert mesh.seen[cheek].max() < 0.5
    # The colours of the mirror image encode its x; only y and z are those of the hidden side.
    assert np.median(np.abs(coded - mesh.vertices)[cheek, 1:]) < 6.0
    assert np.ptp(mesh.colors[cheek].astype(int), axis=0).max() < 80  # no steps between sources of colour


def test_texture_is_baked_on_the_fixed_planar_atlas(coded_face: Any, mesh_oracle: Any) -> None:
    mesh_oracle(coded_face)
    mesh = facegeom.reconstruct(coded_face.photo, box=coded_face.box, texture=200, pipeline="pixel2mesh").mesh
    assert mesh.texture.shape == (200, 200, 3)
    rows = np.clip(((1 - mesh.uv[:, 1]) * 200).astype(int), 0, 199)
    columns = np.clip((mesh.uv[:, 0] * 200).astype(int), 0, 199)
    difference = np.abs(mesh.texture[rows, columns].astype(int) - mesh.colors.astype(int))
    assert np.median(difference) <= 3
    assert (mesh.texture.max(axis=2) > 30).mean() > 0.9  # texels outside the mesh are filled


def test_the_head_is_the_template_registered_to_the_mesh(coded_face: Any, mesh_oracle: Any, tmp_path: Path) -> None:
    mesh_oracle(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, head=True, pipeline="pixel2mesh")
    assert list(rec.stages) == [*DEFORMED, "registered", "completed", "outlined", "hair", "detailed"]
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


def test_the_mesh_is_saved_and_loaded(coded_face: Any, mesh_oracle: Any, tmp_path: Path) -> None:
    mesh_oracle(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="gcn_igan")
    rec.save(tmp_path / "face.glb")
    loaded = facegeom.FaceMesh.load(tmp_path / "face.glb")
    np.testing.assert_allclose(loaded.vertices, rec.mesh.vertices, atol=1e-3)
    with pytest.raises(FacegeomError, match="neutral=True needs the face model's topology"):
        rec.save(tmp_path / "neutral.glb", neutral=True)


def test_the_same_photo_gives_the_same_mesh(coded_face: Any, mesh_oracle: Any) -> None:
    mesh_oracle(coded_face)
    first, again = (facegeom.reconstruct(coded_face.photo, box=coded_face.box, pipeline="pixel2mesh") for _ in range(2))
    np.testing.assert_array_equal(first.mesh.vertices, again.mesh.vertices)
