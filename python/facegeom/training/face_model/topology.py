"""Topology of the face model: one mesh of all parts, with regions and landmarks.

Order of the vertices: face, rest of the head, left eyeball, right eyeball, mouth interior (mouth socket, teeth, gums
and tongue), eye sockets. The triangles are in the same order. Triangles with vertices of two parts, such as the first
row of a socket at the lips or lids, belong to the later part, so that the triangles of the face leave openings at eyes
and mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Outline
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.training.face_model.eyes_and_mouth import eyeballs, inner_mouth, nearest_place
from facegeom.training.face_model.ict_head import IctHead
from facegeom.training.face_model.remesh import edge_table
from facegeom.training.face_model.skin_remeshing import (
    EYE_SOCKET,
    FACE,
    HEAD,
    MOUTH_SOCKET,
    EmbeddedMesh,
    SkinOptions,
    remesh_skin,
)

EYEBALL_LEFT, EYEBALL_RIGHT, TEETH, GUMS = 10, 11, 12, 13  # patches, in addition to those of the skin
_ORDER = (FACE, HEAD, EYEBALL_LEFT, EYEBALL_RIGHT, MOUTH_SOCKET, TEETH, GUMS, EYE_SOCKET)

# Symmetric counterparts of the 68 Multi-PIE landmarks.
FLIP68 = np.r_[
    16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1,
]  # fmt: skip


@dataclass(frozen=True)
class ModelTopology:
    """The mesh of the face model with its regions and landmarks."""

    mesh: EmbeddedMesh  # mesh with the patch of each triangle as label
    patch: IntArray  # (n,) patch of each vertex
    regions: dict[str, BoolArray]  # name of a region -> (n,) mask of vertices
    landmarks68: IntArray  # (68,) vertices of the Multi-PIE landmarks
    landmarks468_triangles: IntArray  # (468, 3) vertices of the triangles on which the FaceMesh landmarks lie
    landmarks468_barycentric: FloatArray  # (468, 3) barycentric coordinates of the landmarks in these triangles

    @property
    def face_vertex_count(self) -> int:
        """Return the number of vertices of the face, which come first."""
        return int((self.patch == FACE).sum())

    @property
    def face_triangle_count(self) -> int:
        """Return the number of triangles of the face, which come first."""
        return int((self.mesh.labels == FACE).sum())


def build_topology(
    head: IctHead,
    canonical_triangles: IntArray,
    canonical_barycentric: FloatArray,
    options: SkinOptions | None = None,
) -> ModelTopology:
    """Make the topology of the face model from the ICT head.

    Parameters
    ----------
    head : IctHead
    canonical_triangles : (468, 3) int array
        ICT vertices of the triangles on which the FaceMesh landmarks lie.
    canonical_barycentric : (468, 3) float array
        Barycentric coordinates of the FaceMesh landmarks in these triangles.
    options : SkinOptions, optional

    Returns
    -------
    ModelTopology
    """
    mesh, patch = _assemble(head, options)
    opened = head.vertices + 0.6 * head.expression[head.expression_names.index("jawOpen")]
    V, V_open = mesh.interpolate(head.vertices), mesh.interpolate(opened)
    landmarks = _landmarks68(head, mesh, patch, opened, V_open)
    points = np.einsum("ij,ijk->ik", canonical_barycentric, opened[canonical_triangles])
    outer = mesh.faces[np.isin(mesh.labels, [FACE, HEAD, EYEBALL_LEFT, EYEBALL_RIGHT])]
    triangles, barycentric = nearest_place(points, V_open, outer)
    return ModelTopology(
        mesh=mesh,
        patch=patch,
        regions=_regions(V, mesh, patch, landmarks),
        landmarks68=landmarks,
        landmarks468_triangles=triangles,
        landmarks468_barycentric=barycentric,
    )


def symmetric_positions(mesh: EmbeddedMesh, V: FloatArray) -> FloatArray:
    """Return the mean of positions V (n, 3) and their mirror images: exactly symmetric, with x = 0 on the midline."""
    return np.asarray(0.5 * (V + V[mesh.mirror] * np.array([-1.0, 1.0, 1.0])))


def _assemble(head: IctHead, options: SkinOptions | None) -> tuple[EmbeddedMesh, IntArray]:
    """Make all parts and join them in the order of the module docstring; return the mesh and the vertex patches."""
    balls, which = eyeballs(head)
    teeth = inner_mouth(head, "teeth", 2.3, 3.8)
    gums = inner_mouth(head, "gums_and_tongue", 4.2, 9.0)
    parts = [remesh_skin(head, options), balls, teeth, gums]
    labels = [
        parts[0].labels,
        np.where(which[balls.faces[:, 0]] == 1, EYEBALL_LEFT, EYEBALL_RIGHT),
        np.full(len(teeth.faces), TEETH),
        np.full(len(gums.faces), GUMS),
    ]
    start = np.concatenate([[0], np.cumsum([len(part.carrier) for part in parts])])
    faces = np.concatenate([p.faces + s for p, s in zip(parts, start[:-1], strict=True)])
    mirror = np.concatenate([p.mirror + s for p, s in zip(parts, start[:-1], strict=True)])
    label = np.concatenate(labels)
    patch = np.full(start[-1], -1)
    for name in reversed(_ORDER):  # a shared vertex belongs to the first of its patches
        patch[faces[label == name]] = name
    rank = np.array([_ORDER.index(name) for name in patch])
    # Vertices of a part are sorted from top to bottom, so that neighbours are near in memory.
    carrier = np.concatenate([p.carrier for p in parts])
    weight = np.concatenate([p.weight for p in parts])
    place = np.einsum("ij,ijk->ik", weight, head.vertices[carrier]).round(3)
    order = np.lexsort((place[:, 0], -place[:, 1], rank))
    new = np.empty(len(order), dtype=np.int64)
    new[order] = np.arange(len(order))
    faces = new[faces]
    by_part = np.lexsort((faces.min(axis=1), [_ORDER.index(name) for name in label]))
    mesh = EmbeddedMesh(
        carrier=carrier[order],
        weight=weight[order],
        faces=faces[by_part],
        labels=label[by_part],
        mirror=new[mirror[order]],
    )
    return mesh, patch[order]


def _landmarks68(
    head: IctHead, mesh: EmbeddedMesh, patch: IntArray, opened: FloatArray, V_open: FloatArray
) -> IntArray:
    """Return the face vertices nearest to the ICT landmarks with an open mouth, (68,), symmetric left and right."""
    V = mesh.interpolate(head.vertices)
    allowed = np.flatnonzero(patch == FACE)
    found = allowed[cKDTree(V_open[allowed]).query(opened[head.landmarks68])[1]]
    middle = allowed[np.abs(V[allowed, 0]) < 1e-6]
    on_line = middle[cKDTree(V_open[middle]).query(opened[head.landmarks68])[1]]
    for index in range(68):
        if FLIP68[index] == index:
            found[index] = on_line[index]
        elif V[found[index], 0] < 0:
            found[index] = mesh.mirror[found[FLIP68[index]]]
    return np.asarray(found)


def _regions(V: FloatArray, mesh: EmbeddedMesh, patch: IntArray, landmarks: IntArray) -> dict[str, BoolArray]:
    """Return region name -> vertex mask; positions on the neutral head define the regions of the skin."""
    face, rest = patch == FACE, patch == HEAD
    point = V[landmarks]
    rim = np.zeros((2, len(V)), dtype=bool)  # edges of the eye openings, and of the mouth opening
    rim[0, np.intersect1d(mesh.faces[mesh.labels == FACE], mesh.faces[mesh.labels == EYE_SOCKET])] = 1
    rim[1, np.intersect1d(mesh.faces[mesh.labels == FACE], mesh.faces[mesh.labels == MOUTH_SOCKET])] = 1
    skin = mesh.faces[mesh.labels == FACE]
    left = V[:, 0] > 0
    height, depth = V[:, 1], V[:, 2]
    ear = rest & _inside_ear(V)
    neck = rest & ~ear & (height < -68.0 - 0.25 * (depth + 80.0))
    lids = face & (geodesic_distance(V, skin, rim[0]) < 7.0)
    lips = _in_outline(V, point[48:60], 1.04) & (depth > point[[48, 54], 2].min() - 8.0)
    lips = face & (lips | (geodesic_distance(V, skin, rim[1]) < 3.0))
    regions = {
        "face": face,
        "head": face | rest,
        "map": ~rest & ~(face & under_jaw(V)),
        "scalp": rest & ~ear & ~neck,
        "neck": neck,
        "ear_left": ear & left,
        "ear_right": ear & ~left,
        "eyeball_left": patch == EYEBALL_LEFT,
        "eyeball_right": patch == EYEBALL_RIGHT,
        "mouth_interior": np.isin(patch, [MOUTH_SOCKET, TEETH, GUMS]),
        "teeth": patch == TEETH,
        "gums_and_tongue": patch == GUMS,
        "eye_sockets": patch == EYE_SOCKET,
        "lips": lips,
        "lip_rim": rim[1],
        "eyelids_left": lids & left,
        "eyelids_right": lids & ~left,
        "eye_rims": rim[0],
        "nose": face & _in_outline(V, _nose_outline(point), 1.0) & (depth > point[[39, 42], 2].min()),
        "midline": np.abs(V[:, 0]) < 1e-6,
    }
    for side, ids in (("right", np.arange(17, 22)), ("left", np.arange(22, 27))):
        near = np.min(np.linalg.norm(V[:, None, :2] - _dense(point[ids])[None, :, :2], axis=2), axis=1)
        regions[f"brow_{side}"] = face & (near < 4.5) & (depth > point[ids, 2].min() - 10.0)
    return {name: _symmetric(name, mask, regions, mesh.mirror) for name, mask in regions.items()}


def _symmetric(name: str, mask: BoolArray, regions: dict[str, BoolArray], mirror: IntArray) -> BoolArray:
    """Return the union of a mask and the mirror image of its counterpart, so that both masks are symmetric."""
    twin = name.replace("_left", "_@").replace("_right", "_left").replace("_@", "_right")
    return np.asarray(mask | regions[twin][mirror])


def under_jaw(V: FloatArray) -> BoolArray:
    """Return whether points of the mean head lie under the jaw, (n,) bool.

    The limit is a plane that descends from the angles of the jaw to 4 mm below the chin. Below the plane, a frontal
    depth map jumps from the chin to the throat within one pixel, so maps exclude this area.

    Parameters
    ----------
    V : (n, 3) float array, mm
        Points of the mean head.
    """
    return np.asarray(V[:, 1] < -121.0 + 0.61 * (19.0 - V[:, 2]))


def _inside_ear(V: FloatArray) -> BoolArray:
    """Return the vertices in an ellipse around the ear in side view, with the lower end tilted forwards, (n,) bool."""
    depth, height = V[:, 2] + 80.0, V[:, 1] + 25.0
    along, across = np.cos(0.25) * height - np.sin(0.25) * depth, np.cos(0.25) * depth + np.sin(0.25) * height
    return np.asarray((np.abs(V[:, 0]) > 60.0) & ((across / 22.0) ** 2 + (along / 38.0) ** 2 < 1.0))


def _nose_outline(point: FloatArray) -> FloatArray:
    """Return a polygon around the nose, (k, 3): from a point between the inner eye corners to below the nostrils."""
    top = 0.5 * (point[27] + 0.5 * (point[39] + point[42]))
    side = np.array([5.0, 0.0, 0.0])
    low = np.array([0.0, -3.0, 0.0])
    return np.stack(
        [
            top - side,
            top + side,
            0.5 * (point[29] + point[42]) - side,
            point[35] + 1.2 * side + [0.0, 10.0, 0.0],
            point[35] + 1.2 * side,
            point[35] + low,
            point[33] + low,
            point[31] + low,
            point[31] - 1.2 * side,
            point[31] - 1.2 * side + [0.0, 10.0, 0.0],
            0.5 * (point[29] + point[39]) + side,
        ]
    )


def _dense(chain: FloatArray) -> FloatArray:
    """Return a polyline (k, 3) resampled with ten times as many points."""
    at = np.linspace(0, len(chain) - 1, 10 * len(chain))
    index = np.arange(len(chain))
    return np.stack([np.interp(at, index, chain[:, axis]) for axis in range(3)], axis=1)


def _in_outline(V: FloatArray, outline: FloatArray, grow: float) -> BoolArray:
    """Return whether vertices lie in a polygon, scaled by `grow` about its centre, in frontal view, (n,) bool."""
    centre = outline.mean(axis=0)
    polygon = centre + grow * (outline - centre)
    return np.asarray(Outline(polygon[:, :2]).contains_points(V[:, :2]))


def geodesic_distance(V: FloatArray, F: IntArray, seeds: BoolArray) -> FloatArray:
    """Return the length of the shortest path along edges from any seed vertex.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    seeds : (n,) bool array
        True for seed vertices.

    Returns
    -------
    (n,) float array, mm
        Infinite for vertices that are not connected with a seed.
    """
    edges = edge_table(F)[0]
    length = np.linalg.norm(V[edges[:, 0]] - V[edges[:, 1]], axis=1)
    graph = sparse.csr_matrix((length, (edges[:, 0], edges[:, 1])), shape=(len(V), len(V)))
    return np.asarray(dijkstra(graph, directed=False, indices=np.flatnonzero(seeds), min_only=True), dtype=float)
