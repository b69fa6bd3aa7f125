"""The face region: the part of the face model in depth maps, in meshes of graph networks, and in mesh metrics."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model.model import FaceModel
from facegeom.geometry import face_normals

EYE_FRONT = 0.5
"""Minimum z of the unit normal (on the mean face) of an eyeball triangle that belongs to the face region."""


@load_once(maxsize=1)
def face_surface(model: FaceModel) -> IntArray:
    """Return the triangles (m, 3) of the face's skin: `regions["map"]`, with openings at eyes and mouth."""
    faces = model.faces[: model.face_triangle_count]
    return np.ascontiguousarray(faces[model.regions["map"][faces].all(axis=1)])


@load_once(maxsize=1)
def eye_fronts(model: FaceModel) -> IntArray:
    """Return the triangles (m, 3) at the front of the eyeballs of the mean face."""
    eyes = (model.regions["eyeball_left"] | model.regions["eyeball_right"])[model.faces].all(axis=1)
    return model.faces[eyes & (face_normals(model.mean, model.faces)[:, 2] > EYE_FRONT)]


@load_once(maxsize=1)
def face_region(model: FaceModel) -> IntArray:
    """Return the triangles (m, 3) of the face region: the skin and the front of the eyeballs.

    Like the semi-sphere, the surface has one hole, the mouth.
    """
    return np.concatenate([face_surface(model), eye_fronts(model)])


def mean_depth(model: FaceModel, vertices: FloatArray) -> float:
    """Return the area-weighted mean depth (z) of the face region of `vertices` (n, 3), in the unit of the vertices.

    The vertices are those of the face model, in the camera frame.
    """
    a, b, c = (vertices[face_region(model)[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return float(area @ (a + b + c)[:, 2] / 3 / area.sum())
