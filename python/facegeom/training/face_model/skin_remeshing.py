"""Skin, mouth socket and eye sockets of the face model: the left half is remeshed, then mirrored.

Skin and sockets of the ICT head are one connected surface with edges along the plane x = 0. The half x >= 0 is cut
below the neck and remeshed with four patches: face, rest of the head, mouth socket, eye socket. The curves between the
patches (lips, eyelids, border of the face) and the midline are preserved as chains of edges, so that the mesh is
exactly symmetric after mirroring and merging.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.training.face_model.ict_head import IctHead
from facegeom.training.face_model.remesh import Remeshed, Remesher, SourceSurface, edge_table

FACE, HEAD, MOUTH_SOCKET, EYE_SOCKET = 0, 1, 2, 3  # patches of the remeshed half
_LID = 4  # first label of the strips of the face along the lid edges, which exist only during remeshing
_LID_STRIPS = 2  # number of strips: the first two rows of ICT triangles around the eye opening
_NECK_POINT = np.array([0.0, -172.0, -20.0])  # point on the plane that cuts the neck, below the chin, mm
_NECK_NORMAL = np.array([0.0, 0.88, 0.475])  # normal of the plane that cuts the neck; the plane rises towards the nape


@dataclass(frozen=True)
class EmbeddedMesh:
    """A symmetric mesh whose vertices lie on triangles of the ICT head."""

    carrier: IntArray  # (n, 3) ICT vertices of the triangle on which each vertex lies
    weight: FloatArray  # (n, 3) barycentric coordinates of each vertex in this triangle
    faces: IntArray  # (m, 3) triangles
    labels: IntArray  # (m,) patch of each triangle
    mirror: IntArray  # (n,) symmetric counterpart of each vertex

    def interpolate(self, field: NDArray[np.floating]) -> FloatArray:
        """Interpolate values at the ICT vertices, (..., N, d), at the vertices of this mesh, (..., n, d)."""
        weight = self.weight
        result: FloatArray = weight[:, 0, None] * field[..., self.carrier[:, 0], :]
        for corner in (1, 2):
            result += weight[:, corner, None] * field[..., self.carrier[:, corner], :]
        return result


@dataclass(frozen=True)
class SkinOptions:
    """Numbers of vertices of the remeshed skin, and edge lengths relative to the edge length at the cheeks."""

    face_vertices: int = 7000  # number of vertices of the face, both halves
    head_vertices: int = 2250  # number of vertices of scalp, ears and neck, both halves
    finest_eyes: float = 0.32  # edge length at the eyelids / edge length at the cheeks
    finest_mouth: float = 0.40  # edge length at the lips / edge length at the cheeks
    finest_nose: float = 0.50  # edge length at the nostrils / edge length at the cheeks
    growth: float = 1 / 50.0  # increase of the relative edge length per mm of distance from eyelids, lips and nostrils
    coarsest: float = 1.15  # largest edge length, at forehead and jaw / edge length at the cheeks
    iterations: int = 12  # number of remeshing rounds


def remesh_skin(head: IctHead, options: SkinOptions | None = None) -> EmbeddedMesh:
    """Return the remeshed skin and sockets, exactly symmetric.

    Parameters
    ----------
    head : IctHead
        ICT head, whose triangles must be symmetric, with edges along x = 0.
    options : SkinOptions, optional

    Returns
    -------
    EmbeddedMesh
        Mesh with the labels FACE, HEAD, MOUTH_SOCKET and EYE_SOCKET.
    """
    options = options or SkinOptions()
    V, F, labels, parent, corner = _half_surface(head)
    strips = _lid_strips(F, labels)
    source = SourceSurface(V, F, strips, _corners(V, F, strips))
    factor = {FACE: 1.0, HEAD: 1.0}
    log = logging.getLogger("facegeom")
    for attempt in range(4):
        target = _target_length(V, F, labels, options, factor)
        half = Remesher(source, target).run(options.iterations)
        half = replace(half, labels=np.where(half.labels >= _LID, FACE, half.labels))
        counts = _count(half, source)
        log.info("remeshing attempt %d: vertices of each patch: %s", attempt, counts)
        wanted = {FACE: options.face_vertices, HEAD: options.head_vertices}
        if all(abs(counts[p] - wanted[p]) < 0.012 * wanted[p] for p in wanted):
            break
        factor = {p: factor[p] * (counts[p] / wanted[p]) ** 0.5 for p in wanted}
    carrier, weight = _on_ict(half, parent, corner)
    return mirror_and_weld(head, carrier, weight, half.faces, half.labels)


def mirror_and_weld(
    head: IctHead, carrier: IntArray, weight: FloatArray, faces: IntArray, labels: IntArray
) -> EmbeddedMesh:
    """Return a half mesh together with its mirror image; both share the vertices on x = 0.

    Parameters
    ----------
    head : IctHead
    carrier, weight, faces, labels : arrays
        Attributes of the half mesh, see `EmbeddedMesh`.
    """
    x = np.einsum("ij,ij->i", weight, head.vertices[carrier][..., 0])
    middle = np.abs(x) < 1e-6
    count = len(carrier)
    image = np.where(middle, np.arange(count), count - 1 + np.cumsum(~middle))
    flipped = image[faces][:, ::-1]
    away = np.flatnonzero(~middle)
    mirror = np.concatenate([image, away])
    return EmbeddedMesh(
        carrier=np.concatenate([carrier, head.mirror[carrier[away]]]),
        weight=np.concatenate([weight, weight[away]]),
        faces=np.concatenate([faces, flipped]),
        labels=np.concatenate([labels, labels]),
        mirror=mirror,
    )


def _half_surface(
    head: IctHead,
) -> tuple[FloatArray, IntArray, IntArray, IntArray, FloatArray]:
    """Return the half x >= 0 of the ICT skin above the neck cut.

    Return vertices, triangles and labels, and for each triangle the ICT triangle that contains it, (m, 3) ICT vertices,
    and the barycentric coordinates of its corners in this ICT triangle, (m, 3, 3).
    """
    stop = head.parts["eye_socket_right"][1]
    F = head.triangles[(head.triangles < stop).all(axis=1)]
    F = F[(head.vertices[F, 0] >= -1e-6).all(axis=1)]
    skin = head.parts["head_and_neck"][1]
    narrow = head.parts["face_narrow"][1]
    mouth = head.parts["mouth_socket"][1]
    inner = F.max(axis=1)
    labels = np.full(len(F), FACE)
    labels[inner >= narrow] = HEAD
    labels[inner >= skin] = MOUTH_SOCKET
    labels[inner >= mouth] = EYE_SOCKET
    distance = (head.vertices - _NECK_POINT) @ _NECK_NORMAL
    distance[:narrow] = distance[skin:] = 1.0
    V, G, origin, corner = _cut(head.vertices, F, distance)
    used, inverse = np.unique(G, return_inverse=True)
    V = V[used]
    V[np.abs(V[:, 0]) < 1e-6, 0] = 0.0
    return V, inverse.reshape(-1, 3), labels[origin], F[origin], corner


def _cut(V: FloatArray, F: IntArray, distance: FloatArray) -> tuple[FloatArray, IntArray, IntArray, FloatArray]:
    """Cut a mesh where a vertex value is 0, and keep the side of positive values.

    Return the vertices (also unused ones), the triangles (k, 3), the original triangle of each triangle (k,), and
    the barycentric coordinates of its corners in the original triangle (k, 3, 3).
    """
    points = list(V)
    known: dict[tuple[int, int], int] = {}
    faces: list[list[int]] = []
    origin: list[int] = []
    corners: list[FloatArray] = []
    for index, face in enumerate(F):
        d = distance[face]
        ring: list[tuple[int, FloatArray]] = []
        for i in range(3):
            j = (i + 1) % 3
            if d[i] > 0:
                ring.append((int(face[i]), np.eye(3)[i]))
            if (d[i] > 0) != (d[j] > 0):
                s = d[i] / (d[i] - d[j])
                key = (int(min(face[i], face[j])), int(max(face[i], face[j])))
                if key not in known:
                    known[key] = len(points)
                    points.append((1 - s) * V[face[i]] + s * V[face[j]])
                ring.append((known[key], (1 - s) * np.eye(3)[i] + s * np.eye(3)[j]))
        for k in range(1, len(ring) - 1):
            triple = [ring[0], ring[k], ring[k + 1]]
            faces.append([vertex for vertex, _ in triple])
            corners.append(np.stack([place for _, place in triple]))
            origin.append(index)
    return np.array(points), np.array(faces), np.array(origin), np.stack(corners)


def _lid_strips(F: IntArray, labels: IntArray) -> IntArray:
    """Return the labels with a separate label for each row of triangles along the lid edges.

    The lines between these rows are creases. As feature curves, the creases stay sharp, and closed lids touch.
    """
    strips = labels.copy()
    inside = _rim(F, labels, EYE_SOCKET)
    for row in range(_LID_STRIPS):
        touched = (strips == FACE) & np.isin(F, inside).any(axis=1)
        strips[touched] = _LID + row
        inside = np.unique(F[touched])
    return strips


def _corners(V: FloatArray, F: IntArray, strips: IntArray) -> IntArray:
    """Return the vertices (k,) that remeshing must keep: the corners of eye and mouth, and the midline ends."""
    mouth = _rim(F, strips, MOUTH_SOCKET)
    kept = [mouth[V[mouth, 0].argmax()]]
    chain = [EYE_SOCKET, *range(_LID, _LID + _LID_STRIPS), FACE]
    for inner, outer in pairwise(chain):
        loop = np.intersect1d(F[strips == inner], F[strips == outer])
        kept += [loop[V[loop, 0].argmin()], loop[V[loop, 0].argmax()]]
    return np.concatenate([kept, midline_ends(V, F)])


def midline_ends(V: FloatArray, F: IntArray) -> IntArray:
    """Return the vertices at which the boundary of a half surface leaves the plane x = 0."""
    edges, faces, _ = edge_table(F)
    rim = edges[faces[:, 1] < 0]
    middle = np.abs(V[:, 0]) < 1e-6
    leaving = rim[middle[rim].any(axis=1) & ~middle[rim].all(axis=1)]
    return np.unique(leaving[middle[leaving]])


def _rim(F: IntArray, labels: IntArray, patch: int) -> IntArray:
    """Return the indices (k,) of the vertices on the border between the patch FACE and the patch `patch`."""
    return np.intersect1d(F[labels == FACE], F[labels == patch])


def _target_length(
    V: FloatArray, F: IntArray, labels: IntArray, options: SkinOptions, factor: dict[int, float]
) -> FloatArray:
    """Return the target edge length at each source vertex, (n,) mm."""
    tip = V[np.argmax(V[:, 2])]
    wings = V[np.linalg.norm(V - (tip + np.array([12.0, -6.0, -12.0])), axis=1) < 9.0]
    ratio = np.full(len(V), options.coarsest)
    for finest, points in (
        (options.finest_eyes, V[_rim(F, labels, EYE_SOCKET)]),
        (options.finest_mouth, V[_rim(F, labels, MOUTH_SOCKET)]),
        (options.finest_nose, wings),
    ):
        ratio = np.minimum(ratio, finest + options.growth * cKDTree(points).query(V)[0])
    corners = V[F]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)

    def unit(values: FloatArray, patch: int, count: int) -> float:
        """Return the factor of the edge lengths `values` that gives `count` vertices in both halves of a patch."""
        inside = labels == patch
        dense = area[inside] / (0.866 * values[F[inside]].mean(axis=1) ** 2)
        return float(np.sqrt(dense.sum() / (0.5 * count)))

    length = ratio * unit(ratio, FACE, options.face_vertices) * factor[FACE]
    border = np.unique(F[labels == FACE])
    gap, nearest = cKDTree(V[border]).query(V)
    own = _local_edge(V, F)
    own = np.clip(own, 2.2, 10.0) ** 1.4  # ICT edge lengths with increased contrast: fine ears, coarse scalp
    own *= unit(own, HEAD, options.head_vertices) * factor[HEAD]
    patch = np.full(len(V), FACE)
    for p in (HEAD, MOUTH_SOCKET, EYE_SOCKET):
        patch[np.setdiff1d(F[labels == p], border)] = p
    grown = length[border][nearest]
    result = length.copy()
    result[patch == HEAD] = np.minimum(own, grown + 0.3 * gap)[patch == HEAD]
    result[patch == MOUTH_SOCKET] = np.minimum(11.0, grown + 0.6 * gap)[patch == MOUTH_SOCKET]
    result[patch == EYE_SOCKET] = np.minimum(6.0, grown + 0.5 * gap)[patch == EYE_SOCKET]
    return result


def _local_edge(V: FloatArray, F: IntArray) -> FloatArray:
    """Return the mean edge length around each vertex, smoothed, (n,) mm."""
    edges = edge_table(F)[0]
    length = np.linalg.norm(V[edges[:, 0]] - V[edges[:, 1]], axis=1)
    total, count = np.zeros(len(V)), np.zeros(len(V))
    for side in range(2):
        np.add.at(total, edges[:, side], length)
        np.add.at(count, edges[:, side], 1.0)
    value = total / np.maximum(count, 1.0)
    for _ in range(5):
        total = value.copy()
        for i, j in ((0, 1), (1, 0)):
            np.add.at(total, edges[:, i], value[edges[:, j]])
        value = total / (count + 1.0)
    return value


def _count(half: Remeshed, source: SourceSurface) -> dict[int, int]:
    """Return the number of vertices of each patch after mirroring; a shared vertex belongs to the first patch."""
    counts = {}
    across = source.positions(half.source_face, half.barycentric)[:, 0]
    copies = np.where(np.abs(across) < 1e-6, 1, 2)
    seen = np.zeros(len(half.tags), dtype=bool)
    for patch in (FACE, HEAD, MOUTH_SOCKET, EYE_SOCKET):
        inside = np.zeros(len(half.tags), dtype=bool)
        inside[half.faces[half.labels == patch]] = True
        counts[patch] = int(copies[inside & ~seen].sum())
        seen |= inside
    return counts


def _on_ict(half: Remeshed, parent: IntArray, corner: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the ICT triangle (n, 3) and the barycentric coordinates (n, 3) of each remeshed vertex."""
    weight = np.einsum("ij,ijk->ik", half.barycentric, corner[half.source_face])
    weight = np.maximum(weight, 0.0)
    return parent[half.source_face], weight / weight.sum(axis=1, keepdims=True)
