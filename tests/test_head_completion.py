"""Completion of a registered face to a whole head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import facegeom
from facegeom import FacegeomError, load_face_model
from facegeom.face_model.head_completion import complete_head
from facegeom.face_model.template import load_template
from facegeom.geometry import face_normals


def person(seed: int) -> tuple[Any, Any]:
    """Return a head of the model, and the same head with a bulge on the cheek that the model cannot represent."""
    model = load_face_model()
    head = model.vertices(np.random.default_rng(seed).normal(size=40))
    own = head.copy()
    near = np.exp(-((head - [20.0, -30.0, 20.0]) ** 2).sum(axis=1) / 2 / 25.0**2)
    own[:, 2] += 3.0 * near
    return head, own


def frontal() -> Any:
    """Return the visibility (f,) of the skin of the mean face for a camera in front."""
    model = load_face_model()
    normals = facegeom.geometry.vertex_normals(model.mean, model.faces)[: model.face_vertex_count]
    return np.clip((normals[:, 2] - 0.3) / 0.3, 0.0, 1.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_head_has_the_shape_of_the_person(seed: int) -> None:
    model, template = load_face_model(), load_template(head=True)
    count = model.face_vertex_count
    truth, own = person(seed)
    seen = frontal()
    head = complete_head(model, template, model.mean, own[:count], seen)
    kept = np.linalg.norm(head[:count] - own[:count], axis=1)[seen == 1]
    assert kept.mean() < 0.05
    assert kept.max() < 0.5
    rest = np.arange(count, template.coarse.skin_count)
    error = np.linalg.norm(head - truth, axis=1)[rest].mean()
    assert error < 0.5 * np.linalg.norm(model.mean - truth, axis=1)[rest].mean()


def test_the_border_of_the_face_has_no_crease() -> None:
    model, template = load_face_model(), load_template(head=True)
    count = model.face_vertex_count
    truth, own = person(3)
    own[:count, 2] += 4.0  # the face is moved forward
    head = complete_head(model, template, truth, own[:count], np.ones(count))
    F = template.coarse.skin_faces
    edges = np.sort(F[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    order = np.lexsort(edges.T)
    pairs = order[:-1][(edges[order][1:] == edges[order][:-1]).all(axis=1)]
    others = order[1:][(edges[order][1:] == edges[order][:-1]).all(axis=1)]
    of_face = (count > F).all(axis=1)
    seam = of_face[pairs // 3] != of_face[others // 3]
    assert seam.sum() > 100

    def bends(V: Any) -> Any:
        N = face_normals(V, F)
        N = N / np.linalg.norm(N, axis=1, keepdims=True)
        return np.degrees(np.arccos(np.clip((N[pairs // 3] * N[others // 3]).sum(axis=1), -1, 1)))[seam]

    assert np.median(np.abs(bends(head) - bends(truth))) < 2
    stepped = truth.copy()
    stepped[:count] = own[:count]
    assert np.median(np.abs(bends(stepped) - bends(truth))) > 5


def test_an_unseen_face_gives_the_fitted_model() -> None:
    model, template = load_face_model(), load_template(head=True)
    identity = np.linspace(-0.5, 0.5, 20)
    vertices = model.vertices(identity)
    face = vertices[: model.face_vertex_count] + 5.0
    head = complete_head(model, template, vertices, face, np.zeros(len(face)))
    np.testing.assert_allclose(head, vertices, atol=1e-9)


def test_reconstruct_completes_the_head(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box, head=True)
    template = load_template(head=True)
    assert list(rec.stages) == ["raw", "aligned", "registered", "completed", "outlined", "hair", "detailed"]
    np.testing.assert_array_equal(rec.mesh.faces, template.fine.faces)
    regions = rec.mesh.regions
    assert {"scalp", "neck", "ear_left", "ear_right", "face", "teeth"} <= set(regions)
    assert rec.mesh.seen[regions["scalp"] | regions["neck"]].max() == 0
    assert rec.mesh.seen[regions["nose"]].mean() > 0.5
    model = load_face_model()
    error = np.linalg.norm(rec.stages["completed"].vertices - model.mean, axis=1)
    assert error[model.regions["head"]].mean() < 4
    assert rec.neutral is not None
    assert len(rec.neutral.vertices) == len(rec.mesh.vertices)
    np.testing.assert_allclose(rec.landmarks, rec.mesh.vertices[model.landmarks68])


def test_facevision_rejects_head(coded_face: Any) -> None:
    with pytest.raises(FacegeomError, match="cannot make a head"):
        facegeom.reconstruct(coded_face.photo, pipeline="facevision", head=True)
