"""The skin, mouth socket and eye sockets of the face model: one half remeshed, then mirrored.

ICT's skin and sockets are one connected surface with an edge line on x = 0.  The half with x >= 0
is cut below the neck and remeshed with the patches face, rest of the head, mouth socket and eye
socket; the curves between them (lips, eyelids, the face's border) and the midline stay edge
chains, so that mirroring and welding give an exactly symmetric mesh.
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
_LID = 4  # and up: strips of the face along the lids' edges, only while remeshing
_LID_STRIPS = 2  # ICT's first two rows around the eye: behind and across the lid's edge
_NECK_POINT = np.array([0.0, -172.0, -20.0])  # mm; the cut goes through here, below the chin
_NECK_NORMAL = np.array([0.0, 0.88, 0.475])  # and rises toward the nape


@dataclass(frozen=True)
class EmbeddedMesh:
    """A mesh whose vertices lie on triangles of the ICT head, left and right welded."""

    carrier: IntArray  # (n, 3) ICT vertex ids
    weight: FloatArray  # (n, 3) barycentric coordinates, sum 1
    faces: IntArray  # (m, 3)
    labels: IntArray  # (m,)
    mirror: IntArray  # (n,) left-right permutation

    def interpolate(self, field: NDArray[np.floating]) -> FloatArray:
        """Return an ICT vertex field, (..., ICT vertices, d), at this mesh's vertices."""
        weight = self.weight
        result: FloatArray = weight[:, 0, None] * field[..., self.carrier[:, 0], :]
        for corner in (1, 2):
            result += weight[:, corner, None] * field[..., self.carrier[:, corner], :]
        return result


@dataclass(frozen=True)
class SkinOptions:
    """Sizes of the remeshed skin."""

    face_vertices: int = 7000  # vertices of the face part, both halves
    head_vertices: int = 2250  # scalp, ears and neck, both halves
    finest_eyes: float = 0.32  # edge length at the eyelids against that of the cheeks
    finest_mouth: float = 0.40  # at the lips
    finest_nose: float = 0.50  # at the nostrils
    growth: float = 1 / 50.0  # how fast that ratio grows with the distance from them, per mm
    coarsest: float = 1.15  # and where it ends: forehead, jaw
    iterations: int = 12


def remesh_skin(head: IctHead, options: SkinOptions | None = None) -> EmbeddedMesh:
    """Remesh skin and sockets into a mesh of the face model's own, exactly symmetric.

    Parameters
    ----------
    head : IctHead
        The source, its triangles symmetric about x = 0 along an edge line.
    options : SkinOptions, optional
        Vertex counts and grading.

    Returns
    -------
    EmbeddedMesh
        Labelled with FACE, HEAD, MOUTH_SOCKET and EYE_SOCKET.
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
        log.info("remeshing %d: %s vertices", attempt, counts)
        wanted = {FACE: options.face_vertices, HEAD: options.head_vertices}
        if all(abs(counts[p] - wanted[p]) < 0.012 * wanted[p] for p in wanted):
            break
        factor = {p: factor[p] * (counts[p] / wanted[p]) ** 0.5 for p in wanted}
    carrier, weight = _on_ict(half, F, parent, corner)
    return mirror_and_weld(head, carrier, weight, half.faces, half.labels)


def mirror_and_weld(
    head: IctHead, carrier: IntArray, weight: FloatArray, faces: IntArray, labels: IntArray
) -> EmbeddedMesh:
    """Add the mirror image of a half mesh and share the vertices on x = 0."""
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
    """Return the half x >= 0 above the neck cut: V, F, labels, and each corner on its ICT triangle."""
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
    """Keep the side of positive distance; return V, F, each face's origin and its corners there."""
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
    """Return the labels with the rows of triangles along the lids' edges set apart.

    The lines between them are creases; kept as edge chains they stay sharp, and the lids meet.
    """
    strips = labels.copy()
    inside = _rim(F, labels, EYE_SOCKET)
    for row in range(_LID_STRIPS):
        touched = (strips == FACE) & np.isin(F, inside).any(axis=1)
        strips[touched] = _LID + row
        inside = np.unique(F[touched])
    return strips


def _corners(V: FloatArray, F: IntArray, strips: IntArray) -> IntArray:
    """Return the vertices at the eye's and the mouth's corners, which remeshing must keep."""
    mouth = _rim(F, strips, MOUTH_SOCKET)
    kept = [mouth[V[mouth, 0].argmax()]]
    chain = [EYE_SOCKET, *range(_LID, _LID + _LID_STRIPS), FACE]
    for inner, outer in pairwise(chain):
        loop = np.intersect1d(F[strips == inner], F[strips == outer])
        kept += [loop[V[loop, 0].argmin()], loop[V[loop, 0].argmax()]]
    return np.concatenate([kept, midline_ends(V, F)])


def midline_ends(V: FloatArray, F: IntArray) -> IntArray:
    """Return the vertices where the boundary of a half surface leaves the plane x = 0."""
    edges, faces, _ = edge_table(F)
    rim = edges[faces[:, 1] < 0]
    middle = np.abs(V[:, 0]) < 1e-6
    leaving = rim[middle[rim].any(axis=1) & ~middle[rim].all(axis=1)]
    return np.unique(leaving[middle[leaving]])


def _rim(F: IntArray, labels: IntArray, patch: int) -> IntArray:
    """Return the vertices shared by the face and another patch."""
    return np.intersect1d(F[labels == FACE], F[labels == patch])


def _target_length(
    V: FloatArray, F: IntArray, labels: IntArray, options: SkinOptions, factor: dict[int, float]
) -> FloatArray:
    """Return the wanted edge length at each source vertex, mm."""
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
        """Return the length by which `values` must be scaled for that many vertices in the half."""
        inside = labels == patch
        dense = area[inside] / (0.866 * values[F[inside]].mean(axis=1) ** 2)
        return float(np.sqrt(dense.sum() / (0.5 * count)))

    length = ratio * unit(ratio, FACE, options.face_vertices) * factor[FACE]
    border = np.unique(F[labels == FACE])
    gap, nearest = cKDTree(V[border]).query(V)
    own = _local_edge(V, F)
    own = np.clip(own, 2.2, 10.0) ** 1.4  # ICT's own grading, stressed: fine ears, coarse scalp
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
    """Return the mean length of the source's edges around each vertex, smoothed, mm."""
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
    """Return how many vertices each patch will have when mirrored; shared ones are the face's."""
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


def _on_ict(half: Remeshed, F: IntArray, parent: IntArray, corner: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the ICT triangle (n, 3) and the barycentrics (n, 3) there of each remeshed vertex."""
    weight = np.einsum("ij,ijk->ik", half.barycentric, corner[half.source_face])
    weight = np.maximum(weight, 0.0)
    return parent[half.source_face], weight / weight.sum(axis=1, keepdims=True)
