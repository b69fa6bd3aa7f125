"""The head of MakeHuman's base mesh, and the registration of the face model to it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import similarity
from facegeom.geometry import RegistrationOptions, closest_points, rasterize, register_nonrigid
from facegeom.training.data.texture_model import skin_vertices

log = logging.getLogger("facegeom")

EYES_MM = 63.0  # between the eye centres of the mean face
BOTTOM_MM = -160.0  # lower limit of the used part of the MakeHuman mesh, relative to the eyes
SIDE_MM = 110.0  # half of the width of the used part
VIEW_YAWS = (-130.0, -90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0, 130.0, 180.0)  # views for finding the outer surface
VIEW_PITCHES = (-35.0, 0.0, 40.0)
VIEW_PIXELS = 640
LANDMARKS_MM = {  # landmark number -> x, y in mm from the midpoint of the eyes, measured in a picture
    36: (-45.2, 0.2),
    39: (-17.0, -1.6),
    42: (17.0, -1.6),
    45: (45.2, 0.2),
    30: (0.0, -35.2),
    33: (0.0, -46.0),
    48: (-26.8, -68.6),
    54: (26.8, -68.6),
    51: (0.0, -59.4),
    62: (0.0, -67.4),
    66: (0.0, -71.0),
    57: (0.0, -81.6),
}
REGISTRATION = RegistrationOptions(alignment="none", reach=0.12, least_reach=0.02)
LANDMARK_WEIGHT = 300.0


class HeadMesh(NamedTuple):
    """Outer surface of the head of MakeHuman.

    Attributes
    ----------
    V : (n, 3) float array, mm from the midpoint of the eyes, axes of the face model
    F : (m, 3) int array
    uv : (p, 2) float array
    uv_faces : (m, 3) int array
    middle : (3,) float array, midpoint of the eyes in units of the file
    unit_mm : float, unit of the file
    """

    V: FloatArray
    F: IntArray
    uv: FloatArray
    uv_faces: IntArray
    middle: FloatArray
    unit_mm: float

    def place(self, points: FloatArray) -> FloatArray:
        """Return points (v, 3) of the file in the axes and the unit of this mesh."""
        return (points - self.middle) * self.unit_mm


def read_makehuman(path: str | os.PathLike[str]) -> HeadMesh:
    """Read the head of the MakeHuman base mesh.

    Raises
    ------
    FacegeomError
        If the file is not this mesh.
    """
    vertices, uv = [], []
    groups: dict[str, list[list[list[int]]]] = {}
    group = ""
    for line in Path(path).read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(word) for word in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(word) for word in words[1:3]])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            groups.setdefault(group, []).append([[int(n) - 1 for n in word.split("/")[:2]] for word in words[1:]])
    if not {"body", "joint-l-eye", "joint-r-eye"} <= set(groups):
        raise FacegeomError(f"{path} is not the base mesh of MakeHuman: it lacks body, joint-l-eye or joint-r-eye")
    V = np.array(vertices)
    left, right = (
        V[np.unique([corner[0] for face in groups[f"joint-{side}-eye"] for corner in face])].mean(0) for side in "lr"
    )
    middle, unit_mm = 0.5 * (left + right), EYES_MM / float(np.linalg.norm(left - right))
    V = (V - middle) * unit_mm
    quads = np.array(groups["body"])  # (q, 4, 2)
    near = (V[quads[:, :, 0], 1] > BOTTOM_MM).all(1) & (np.abs(V[quads[:, :, 0], 0]) < SIDE_MM).all(1)
    triangles = np.concatenate([quads[near][:, [0, 1, 2]], quads[near][:, [0, 2, 3]]])
    F, uv_faces = (np.ascontiguousarray(triangles[..., k], dtype=np.int64) for k in (0, 1))
    outside = _seen(V, F)
    return HeadMesh(V, F[outside], np.array(uv), uv_faces[outside], middle, unit_mm)


def _seen(V: FloatArray, F: IntArray) -> IntArray:
    """Return the triangles that are visible from outside, without the inside of the mouth, the nose and the eyes."""
    scale, seen = VIEW_PIXELS / 320.0, np.zeros(len(F), bool)
    for yaw in np.radians(VIEW_YAWS):
        for pitch in np.radians(VIEW_PITCHES):
            turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
            nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
            points = V @ (nod @ turn).T * scale * np.array([1.0, -1.0, 1.0])
            points[:, :2] += VIEW_PIXELS / 2
            triangle = rasterize(points, F, None, (VIEW_PIXELS + 60, VIEW_PIXELS)).triangle
            seen[triangle[triangle >= 0]] = True
    return np.flatnonzero(seen)


def register_head(model: FaceModel, head: HeadMesh) -> FloatArray:
    """Register the face model to the head; return its skin vertices there, (s, 3) mm."""
    skin = skin_vertices(model)
    count = int(skin.sum())
    faces = model.faces[skin[model.faces].all(1)]
    scale = 5.0
    points = head.V * scale * np.array([1.0, -1.0, 1.0]) + np.array([480.0, 220.0, 0.0])
    surface = rasterize(points, head.F, head.V, (900, 960)).attributes
    ids = model.landmarks68[list(LANDMARKS_MM)]
    places = np.array([surface[round(220 - scale * y), round(480 + scale * x)] for x, y in LANDMARKS_MM.values()])
    rotation, size, shift = similarity(model.mean[ids], places)
    start = size * model.mean[:count] @ rotation.T + shift
    moved = register_nonrigid(
        start,
        faces,
        None,
        head.V,
        head.F,
        None,
        REGISTRATION,
        landmarks=(ids, places),
        landmark_weight=LANDMARK_WEIGHT,
    ).vertices
    found = closest_points(head.V, head.F, moved)
    log.info("mean distance after registration: %.2f mm", float(found.distance.mean()))
    return moved


def texture_coordinates(head: HeadMesh, registered: FloatArray) -> FloatArray:
    """Return the texture coordinates, (s, 2), v up, of points (s, 3) on the head."""
    found = closest_points(head.V, head.F, registered)
    return np.asarray((head.uv[head.uv_faces[found.face]] * found.weights[:, :, None]).sum(1), dtype=np.float64)
