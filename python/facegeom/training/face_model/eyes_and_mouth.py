"""Eyeballs, teeth, gums and tongue of the face model, embedded in the surface of the ICT head."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.training.face_model.ict_head import IctHead
from facegeom.training.face_model.remesh import Remesher, SourceSurface, closest_on_triangles
from facegeom.training.face_model.skin_remeshing import EmbeddedMesh, midline_ends, mirror_and_weld

_ROOT_DEPTH = 1.2  # triangles of the teeth deeper than this in the gums are omitted, mm


def geodesic_sphere(frequency: int) -> tuple[FloatArray, IntArray]:
    """Return a unit sphere: an icosahedron with each edge subdivided into `frequency` parts, and a vertex at +z.

    Returns
    -------
    V : (10 * frequency**2 + 2, 3) float array
    F : (20 * frequency**2, 3) int array, counter-clockwise from outside
    """
    height, radius = 1 / np.sqrt(5), 2 / np.sqrt(5)
    turn = 2 * np.pi * np.arange(5) / 5
    upper = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.full(5, height)], axis=1)
    turn += np.pi / 5
    lower = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.full(5, -height)], axis=1)
    corners = np.concatenate([[[0.0, 0.0, 1.0]], upper, lower, [[0.0, 0.0, -1.0]]])
    sides = []
    for i in range(5):
        j = (i + 1) % 5
        sides += [(0, 1 + i, 1 + j), (1 + i, 6 + i, 1 + j), (1 + j, 6 + i, 6 + j), (11, 6 + j, 6 + i)]
    points: list[FloatArray] = []
    faces: list[tuple[int, int, int]] = []
    for a, b, c in corners[np.array(sides)]:
        index: dict[tuple[int, int], int] = {}
        for i in range(frequency + 1):
            for j in range(frequency + 1 - i):
                index[i, j] = len(points)
                points.append(a + (i * (b - a) + j * (c - a)) / frequency)
        for i in range(frequency):
            for j in range(frequency - i):
                faces.append((index[i, j], index[i + 1, j], index[i, j + 1]))
                if i + j < frequency - 1:
                    faces.append((index[i + 1, j], index[i + 1, j + 1], index[i, j + 1]))
    V = np.array(points)
    _, first, inverse = np.unique(V.round(9), axis=0, return_index=True, return_inverse=True)
    V = V[first]
    return V / np.linalg.norm(V, axis=1, keepdims=True), inverse.reshape(-1)[np.array(faces)]


def eyeballs(head: IctHead, frequency: int = 5) -> tuple[EmbeddedMesh, IntArray]:
    """Return the eyeballs: a geodesic sphere projected onto the outer surface of each ICT eyeball.

    Parameters
    ----------
    head : IctHead
    frequency : int
        Number of subdivisions of each icosahedron edge, see `geodesic_sphere`.

    Returns
    -------
    mesh : EmbeddedMesh
        Both eyeballs; the vertices of the left one come first.
    side : (n,) int array
        1 for vertices of the left eyeball, 2 for vertices of the right eyeball.
    """
    V, F = geodesic_sphere(frequency)
    faces = head.part_faces("eyeball_left")
    points = head.vertices[slice(*head.parts["eyeball_left"])]
    centre = 0.5 * (points.min(axis=0) + points.max(axis=0))
    reach = 1.1 * np.linalg.norm(points - centre, axis=1).max()
    carrier, weight = nearest_place(centre + reach * V, head.vertices, faces)
    count = len(V)
    both = EmbeddedMesh(
        carrier=np.concatenate([carrier, head.mirror[carrier]]),
        weight=np.concatenate([weight, weight]),
        faces=np.concatenate([F, F[:, ::-1] + count]),
        labels=np.zeros(2 * len(F), dtype=np.int64),
        mirror=np.r_[np.arange(count) + count, np.arange(count)],
    )
    return both, np.repeat([1, 2], count)


def inner_mouth(head: IctHead, part: str, front: float, back: float) -> EmbeddedMesh:
    """Return a remeshed part of the mouth interior: the remeshed left half and its mirror image.

    Parameters
    ----------
    head : IctHead
    part : str
        "teeth" or "gums_and_tongue".
    front, back : float
        Edge lengths at the front and at the back of the part, mm.

    Returns
    -------
    EmbeddedMesh
        The halves share their vertices on x = 0.
    """
    faces = head.part_faces(part)
    if part == "teeth":
        faces = _without_roots(head, faces)
    across = head.vertices[faces, 0]
    faces = faces[(across >= -1e-3).all(axis=1) & (across > 1e-3).any(axis=1)]
    used, inverse = np.unique(faces, return_inverse=True)
    V, F = head.vertices[used].copy(), inverse.reshape(-1, 3)
    V[np.abs(V[:, 0]) < 1e-3, 0] = 0.0
    depth = (V[:, 2].max() - V[:, 2]) / np.ptp(V[:, 2])
    length = front + (back - front) * np.clip(1.4 * depth, 0.0, 1.0)
    source = SourceSurface(V, F, np.zeros(len(F), dtype=np.int64), midline_ends(V, F))
    half = Remesher(source, length).run(10)
    carrier = faces[half.source_face]
    return mirror_and_weld(head, carrier, half.barycentric, half.faces, half.labels)


def _without_roots(head: IctHead, faces: IntArray) -> IntArray:
    """Return the tooth triangles `faces` (m, 3) except the triangles deep in the gums, which are never visible."""
    gums = head.part_faces("gums_and_tongue")
    vertices = np.unique(faces)
    corners, weight = nearest_place(head.vertices[vertices], head.vertices, gums)
    place = head.vertices[corners]
    normal = np.cross(place[:, 1] - place[:, 0], place[:, 2] - place[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    gap = head.vertices[vertices] - np.einsum("ij,ijk->ik", weight, place)
    deep = np.zeros(len(head.vertices), dtype=bool)
    deep[vertices] = np.einsum("ij,ij->i", gap, normal) < -_ROOT_DEPTH
    return faces[~deep[faces].any(axis=1)]


def nearest_place(P: FloatArray, V: FloatArray, F: IntArray) -> tuple[IntArray, FloatArray]:
    """Return the closest points on a surface: corners of the triangle (k, 3) and barycentric coordinates (k, 3).

    The result is exact: all triangles are tested whose centre is nearer than the nearest vertex plus the largest
    distance between centre and corner of a triangle.

    Parameters
    ----------
    P : (k, 3) float array, query points
    V : (n, 3) float array, vertices of the surface
    F : (m, 3) int array, triangles of the surface
    """
    centre = V[F].mean(axis=1)
    size = np.linalg.norm(V[F] - centre[:, None], axis=2).max()
    reach = cKDTree(V[np.unique(F)]).query(P)[0] + size + 1e-9
    near = cKDTree(centre).query_ball_point(P, reach)
    count = np.array([len(found) for found in near])
    candidate = np.concatenate([np.array(found, dtype=np.int64) for found in near])
    square, place = closest_on_triangles(np.repeat(P, count, axis=0), V[F[candidate]])
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    best = np.array([s + np.argmin(square[s : s + n]) for s, n in zip(start, count, strict=True)])
    place = np.maximum(place[best], 0.0)
    return F[candidate[best]], place / place.sum(axis=1, keepdims=True)
