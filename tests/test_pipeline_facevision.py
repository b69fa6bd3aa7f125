"""Pipeline facevision: the mesh of the visible surface."""

from __future__ import annotations

from typing import Any

import numpy as np

import facegeom
from facegeom.geometry import face_normals


def test_the_mesh_is_a_frontal_surface_without_unused_vertices(coded_face: Any, coded_network: Any) -> None:
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


def test_the_texture_is_the_crop(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, texture=200, pipeline="facevision")
    mesh = rec.mesh
    assert mesh.texture.shape == (200, 200, 3)
    rows = np.clip(((1 - mesh.uv[:, 1]) * 200).astype(int), 0, 199)
    columns = np.clip((mesh.uv[:, 0] * 200).astype(int), 0, 199)
    difference = np.abs(mesh.texture[rows, columns].astype(int) - mesh.colors.astype(int))
    assert np.median(difference) <= 2
