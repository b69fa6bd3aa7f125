"""The template: the topology of reconstructed faces and heads, coarse and with the skin subdivided once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.file_atlas import file_uv
from facegeom.geometry.boundary import boundary_loops

FOLLOW_MM = 4.0
"""Standard deviation in mm of the Gaussian weights with which vertices behind the skin follow the vertices of a rim."""

TOUCHING_MM = 2.0
"""Maximum distance in mm between opposite vertices of the two lips on the mean face, whose mouth is closed."""

TOGETHER_MM = (2.0, 6.0)
"""Limits in mm for the distance between opposite lip vertices: below the first the two vertices move together, above
the second they move independently."""

JOINING_ROUNDS = 4
"""Number of iterations that couple the lips; each iteration reduces the difference between their motions."""

LEAST_PULL = 1e-6
"""Sum of the weights below which a vertex does not move with the lips; it would move by less than 0.1 micrometres."""

LIP_MM = 5.0
"""Standard deviation in mm of the Gaussian weights with which a correction at a lip edge extends over the lip."""

SHUT_MM = (1.0, 3.0)
"""Limits in mm for the gap between the lips, minus the gap of a closed mouth: below the first the mouth is closed,
above the second it is left open. Fits to photos of closed mouths leave gaps of 1 to 2 mm, about one pixel of the
maps."""

SLIT_MM = 0.5
"""Minimum gap in mm between the lips of the mean face that is removed from a closed mouth; otherwise the teeth would be
visible."""


@dataclass(frozen=True, eq=False)
class Topology:
    """Triangles and texture coordinates of one resolution: first the skin, then the parts behind the skin.

    The skin, the eye sockets and the mouth join at the rims of lids and lips. The last triangles of a head close the
    neck; they are those with three corners in the region `neck_cap`. All corners of such a triangle have one common
    texture coordinate, so that the triangles have no area in the atlas. A head without eyeballs, teeth and gums is
    therefore one closed surface.

    Attributes
    ----------
    faces, uv_faces : (m, 3) int arrays
    uv : (k, 2) float array, texture coordinates
    skin_count, skin_triangles : number of vertices and of triangles of the skin, which come first
    mirror : (n,) int array, the mirror vertex of each vertex
    regions : dict of (n,) bool arrays, named as in the face model
    """

    faces: IntArray
    uv: FloatArray
    uv_faces: IntArray
    skin_count: int
    skin_triangles: int
    mirror: IntArray
    regions: dict[str, BoolArray]

    @property
    def skin_faces(self) -> IntArray:
        """The triangles of the skin, (skin_triangles, 3)."""
        return self.faces[: self.skin_triangles]


class Lips(NamedTuple):
    """Pairs of opposite lip vertices, and the weights with which the skin moves when the distance of a pair is
    corrected; p pairs, k skin vertices that move.
    """

    upper: IntArray  # (p,), vertex of the upper lip in each pair
    lower: IntArray  # (p,), vertex of the lower lip in each pair
    moving: IntArray  # (k,), vertices of the skin that move with the lips
    pull: FloatArray  # (k, p), weights from -0.5 to 0.5: they move by -pull @ error (p, 3) of the pairs, mm
    shut: FloatArray  # (p, 3), vector in mm from the lower to the upper vertex of each pair in a closed mouth


@dataclass(frozen=True, eq=False)
class Template:
    """The skin of the face or head, with the eyeballs, eye sockets and mouth interior behind the openings of the skin.

    Attributes
    ----------
    vertices : (n,) int array, rows of the face model
    coarse : Topology of these vertices
    fine : Topology after one subdivision of the skin
    embedding : (s, 3) float array, mm, position of each skin vertex on the mean face, as in correspondence maps
    file_uv : texture coordinates of `fine` in the atlas of files; see `facegeom.face_model.file_atlas`
    """

    vertices: IntArray
    coarse: Topology
    fine: Topology
    embedding: FloatArray
    file_uv: FloatArray
    _rims: dict[str, tuple[IntArray, IntArray, FloatArray]]  # per part: vertices (a,), rim (r,), weights (a, r)
    _lips: Lips
    _parents: IntArray  # (f, 2), coarse vertices from which each vertex of the fine skin is interpolated

    def follow(self, before: FloatArray, skin: FloatArray) -> FloatArray:
        """Return all vertices (n, 3) after the skin has moved from `before` (n, 3) to `skin` (s, 3).

        An eyeball is translated by the mean motion of the rim of the eyelids, so that it stays round. Sockets and the
        mouth interior move with the nearest part of the rim of their opening.
        """
        moved = np.concatenate([skin, before[len(skin) :]])
        shift = skin - before[: len(skin)]
        for members, rim, weights in self._rims.values():
            moved[members] += weights @ shift[rim]
        return moved

    def join_lips(self, before: FloatArray, skin: FloatArray) -> FloatArray:
        """Return the skin (s, 3), mm, in which lips that touched in `before` move together, so that they do not
        intersect.

        Parameters
        ----------
        before : (s, 3) float array, the skin before registration, whose lips do not intersect
        skin : (s, 3) float array, mm, the skin after registration
        """
        upper, lower, moving, pull, _ = self._lips
        near, far = TOGETHER_MM
        together = np.clip((far - np.linalg.norm(before[upper] - before[lower], axis=1)) / (far - near), 0.0, 1.0)
        shift = skin - before
        for _ in range(JOINING_ROUNDS):
            shift[moving] -= pull @ ((shift[upper] - shift[lower]) * together[:, None])
        return before + shift

    def shut_lips(self, skin: FloatArray, limits: tuple[float, float] = SHUT_MM) -> FloatArray:
        """Return the skin (s, 3), mm, with small gaps between the lips closed; `limits` in mm as in `SHUT_MM`."""
        upper, lower, moving, pull, shut = self._lips
        near, far = limits
        skin = skin.copy()
        for _ in range(JOINING_ROUNDS):
            gap = skin[upper] - skin[lower] - shut
            closing = np.clip((far - np.linalg.norm(gap, axis=1)) / (far - near), 0.0, 1.0)
            skin[moving] -= pull @ (gap * closing[:, None])
        return skin

    def subdivide(self, vertices: FloatArray) -> FloatArray:
        """Return the fine vertices of coarse vertices (n, 3): Loop subdivision of the skin, the others unchanged."""
        skin = geometry.subdivide(vertices[: self.coarse.skin_count], self.coarse.skin_faces, "loop").V
        return np.concatenate([skin, vertices[self.coarse.skin_count :]])

    def carry(self, values: FloatArray | BoolArray) -> FloatArray:
        """Return values at the fine vertices, interpolated from (n, ...) values at the coarse vertices."""
        first, second = self._parents.T
        return np.concatenate([0.5 * (values[first] + values[second]), values[self.coarse.skin_count :]])


@load_once(maxsize=2)
def load_template(head: bool = False) -> Template:
    """Return the template of the package's face model; computed once per process.

    Parameters
    ----------
    head : True: the whole head, which begins with the vertices of the face; False: the face

    Raises
    ------
    WeightsError
        When the file of the face model is missing.
    """
    model = load_face_model()
    skin = int(model.regions["head"].sum()) if head else model.face_vertex_count
    count = int((model.faces < skin).all(axis=1).sum())  # the skin is a prefix of vertices and of triangles
    vertices = np.concatenate([np.arange(skin), np.flatnonzero(~model.regions["head"])])
    place = np.full(len(model.mean), -1)
    place[vertices] = np.arange(len(vertices))
    behind = (place[model.faces] >= 0).all(axis=1) & (place[model.faces] >= skin).any(axis=1)
    triangles = np.concatenate([np.arange(count), np.flatnonzero(behind)])
    rows, uv_faces = np.unique(model.uv_faces[triangles], return_inverse=True)
    coarse = Topology(
        place[model.faces[triangles]],
        model.uv[rows],
        uv_faces.reshape(-1, 3),
        skin,
        count,
        place[model.mirror[vertices]],
        {name: mask[vertices] for name, mask in model.regions.items() if mask[vertices].any()},
    )
    divided = geometry.subdivide(model.mean[:skin], coarse.skin_faces, "midpoint")
    behind_skin = model.mean[vertices[skin:]]
    fine = _refined(coarse, divided, behind_skin)
    both = np.concatenate([divided.V, behind_skin])
    if head:
        coarse = _with_neck_closed(coarse, model.mean[vertices])
        fine = _with_neck_closed(fine, both)
    balls = {side: fine.regions[f"eyeball_{side}"] for side in ("left", "right")}
    return Template(
        vertices,
        coarse,
        fine,
        model.mean[:skin].copy(),
        file_uv(both, fine.faces, fine.uv, fine.uv_faces, balls),
        _rims(model, place),
        _lips(model, skin),
        divided.parents,
    )


@load_once(maxsize=2)
def fine_landmarks468(template: Template) -> tuple[IntArray, FloatArray]:
    """Return where the 468 FaceMesh points lie on the fine mesh of a template of the package's face model.

    Returns
    -------
    (468, 3) int array, the corners of the triangle of each point; and (468, 3) float array, barycentric coordinates
    """
    model = load_face_model()
    skin = model.mean[: template.coarse.skin_count]
    fine = geometry.subdivide(skin, template.coarse.skin_faces, "midpoint")  # the same surface, in smaller triangles
    found = geometry.closest_points(fine.V, template.fine.skin_faces, model.landmarks468(model.mean))
    return template.fine.skin_faces[found.face], found.weights


def _refined(coarse: Topology, fine: geometry.Subdivision, behind_skin: FloatArray) -> Topology:
    """Return the topology after one subdivision of the skin.

    `fine` is the subdivided skin of the mean, `behind_skin` the vertices of the mean behind the skin.
    """
    skin, count = coarse.skin_count, coarse.skin_triangles
    flat = np.column_stack([coarse.uv, np.zeros(len(coarse.uv))])
    used = int(coarse.uv_faces[:count].max()) + 1
    uv = geometry.subdivide(flat[:used], coarse.uv_faces[:count], "midpoint")
    rows, rest = np.unique(coarse.uv_faces[count:], return_inverse=True)
    both = np.concatenate([fine.V, behind_skin])
    added = len(fine.V) - skin
    behind = coarse.faces[count:]  # some of these triangles have corners on the rims of the skin
    faces, behind_uv, behind_uv_faces = _joined_to_rims(
        np.where(behind < skin, behind, behind + added),
        coarse.uv[rows],
        rest.reshape(-1, 3),
        np.sort(fine.parents[skin:], axis=1),
        skin,
    )
    return Topology(
        np.concatenate([fine.F, faces]),
        np.concatenate([uv.V[:, :2], behind_uv]),
        np.concatenate([uv.F, behind_uv_faces + len(uv.V)]),
        len(fine.V),
        len(fine.F),
        geometry.nearest(both, both * (-1, 1, 1))[0],
        {name: np.concatenate([mask[fine.parents].all(axis=1), mask[skin:]]) for name, mask in coarse.regions.items()},
    )


def _joined_to_rims(
    faces: IntArray, uv: FloatArray, uv_faces: IntArray, edges: IntArray, first_middle: int
) -> tuple[IntArray, FloatArray, IntArray]:
    """Divide the triangles behind the skin at the middles of the edges that they share with the subdivided skin.

    Without this, the rims of lids and lips would be open.

    Parameters
    ----------
    faces, uv, uv_faces : (m, 3), (k, 2) and (m, 3) arrays, triangles behind the skin
    edges : (e, 2) int array, edges (a, b) of the skin, a < b
    first_middle : the vertex in the middle of the first edge; those of the others follow in order

    Returns
    -------
    faces, uv, uv_faces : as the arguments
    """
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2)
    count = 1 + max(int(faces.max()), int(edges.max()))
    shared = np.isin(ends @ (count, 1), edges @ (count, 1)).any(axis=1)
    used = np.flatnonzero(np.isin(edges @ (count, 1), ends[shared] @ (count, 1)))
    middles = {(a, b): first_middle + i for i, (a, b) in zip(used.tolist(), edges[used].tolist(), strict=True)}
    points, triangles = uv.tolist(), []
    whole = np.flatnonzero(~shared)
    order = whole.tolist()
    for row in np.flatnonzero(shared).tolist():
        corners, places = faces[row].tolist(), uv_faces[row].tolist()
        outline = []  # vertex, row of uv, and whether it is a middle
        for a, b, i, j in zip(corners, corners[1:] + corners[:1], places, places[1:] + places[:1], strict=True):
            outline.append((a, i, False))
            middle = middles.get((min(a, b), max(a, b)))
            if middle is not None:
                outline.append((middle, len(points), True))
                points.append([0.5 * (points[i][0] + points[j][0]), 0.5 * (points[i][1] + points[j][1])])
        first = next((place for place, (*_, is_middle) in enumerate(outline) if is_middle), 0)
        outline = outline[first:] + outline[:first]  # a fan from a middle has no triangle without area
        triangles += [(outline[0], outline[i], outline[i + 1]) for i in range(1, len(outline) - 1)]
        order += [row] * (len(outline) - 2)
    divided = np.array([[corner[:2] for corner in triangle] for triangle in triangles], np.int64).reshape(-1, 3, 2)
    rows = np.concatenate([np.stack([faces[whole], uv_faces[whole]], axis=2), divided])
    rows = rows[np.argsort(order, kind="stable")]  # in the order of the triangles that were divided
    return rows[:, :, 0], np.array(points), rows[:, :, 1]


def _with_neck_closed(topology: Topology, V: FloatArray) -> Topology:
    """Return the topology of a head with triangles that close the neck; `V` (n, 3) are the mean vertices."""
    skin = topology.skin_faces
    loop = min(boundary_loops(skin), key=lambda loop: V[loop, 1].min())[::-1]
    loop = np.roll(loop, -int(V[loop, 2].argmax()))  # starts at the front
    half = len(loop) // 2
    strips = []  # strips of triangles across the neck
    for i in range(half):
        left, right = loop[i : i + 2], loop[[-i, -i - 1]]
        strips += [(left[0], left[1], right[0]), (left[1], right[1], right[0])]
    cap = np.array([triangle for triangle in strips if len(set(triangle)) == 3])
    place = np.zeros(topology.skin_count, np.int64)
    place[skin.ravel()] = topology.uv_faces[: len(skin)].ravel()
    rim = np.zeros(len(V), np.bool_)
    rim[loop] = True
    return replace(
        topology,
        regions={**topology.regions, "neck_cap": rim},
        faces=np.concatenate([topology.faces, cap]),
        uv_faces=np.concatenate([topology.uv_faces, np.repeat(place[cap[:, :1]], 3, axis=1)]),
    )


def _lips(model: FaceModel, skin_count: int) -> Lips:
    """Return the pairs of opposite vertices of touching lips on the mean face, and the weights with which the skin (its
    first `skin_count` vertices) follows them; see `Lips`.
    """
    skin = model.mean[:skin_count]
    inner = model.mean[model.landmarks68_multipie[60:68]]  # corner, upper lip, corner, lower lip; from right to left
    line = np.stack([inner[0], *(inner[[1, 2, 3]] + inner[[7, 6, 5]]) / 2, inner[4]])
    above = skin[:, 1] > np.interp(skin[:, 0], line[:, 0], line[:, 1])
    lips = np.flatnonzero(model.regions["lips"][: len(skin)])
    upper, lower = lips[above[lips]], lips[~above[lips]]
    match, distance = geometry.nearest(skin[lower], skin[upper])
    touching = distance < TOUCHING_MM
    upper, opposite = upper[touching], lower[match[touching]]
    pull = np.zeros((len(skin), len(upper)))
    for side, ends, sign in ((above, upper, 0.5), (~above, opposite, -0.5)):
        squared = ((skin[side, None] - skin[None, ends]) ** 2).sum(axis=2)
        nearest = squared.min(axis=1, keepdims=True)
        shares = np.exp((nearest - squared) / (2 * FOLLOW_MM**2))
        pull[side] = sign * np.exp(-nearest / (2 * LIP_MM**2)) * shares / shares.sum(axis=1, keepdims=True)
    apart = skin[upper] - skin[opposite]
    moving = np.flatnonzero(np.abs(pull).sum(axis=1) > LEAST_PULL)
    return Lips(
        upper, opposite, moving, pull[moving], apart * (1 - SLIT_MM / np.linalg.norm(apart, axis=1, keepdims=True))
    )


def _rims(model: FaceModel, place: IntArray) -> dict[str, tuple[IntArray, IntArray, FloatArray]]:
    """Return for each part behind the skin its vertices, the rim of its opening, and the weights of the rim vertices.

    Key: name of the part. Value: the a vertices of the part, (a,), rows of the template; the r vertices of the skin at
    the rim, (r,); and the weights (a, r) with which the r rim vertices move each of the a vertices of the part. Each
    row of weights sums to 1. `place` is the template row of each vertex of the face model, or -1.
    """
    left = model.mean[:, 0] > 0
    regions = model.regions
    rim = regions["eye_rims"] & (np.arange(len(model.mean)) < model.face_vertex_count)
    lips = regions["lip_rim"] & (np.arange(len(model.mean)) < model.face_vertex_count)
    parts = {
        "eyeball_left": (regions["eyeball_left"], rim & left, np.inf),
        "eyeball_right": (regions["eyeball_right"], rim & ~left, np.inf),
        "socket_left": (regions["eye_sockets"] & left, rim & left, FOLLOW_MM),
        "socket_right": (regions["eye_sockets"] & ~left, rim & ~left, FOLLOW_MM),
        "mouth": (regions["mouth_interior"], lips, FOLLOW_MM),
    }
    out = {}
    for name, (members, around, reach) in parts.items():
        rows, ends = np.flatnonzero(members), np.flatnonzero(around)
        squared = ((model.mean[rows, None] - model.mean[None, ends]) ** 2).sum(axis=2)
        weights = np.exp((squared.min(axis=1, keepdims=True) - squared) / (2 * reach**2))
        out[name] = place[rows], ends, weights / weights.sum(axis=1, keepdims=True)
    return out
