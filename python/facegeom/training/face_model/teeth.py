"""The shape of the teeth: the few vertices of each tooth are placed so that its surface follows that of the ICT head.

Remeshing leaves a tooth of the face model about 30 vertices and a jagged border in the gums. Here, for the same
triangles, the surface between the vertices is fitted to the crown, the border goes to one depth in the gums, and
teeth become wide enough to touch their neighbours. Each tooth moves with all identities and expressions as the nearest
places of the ICT head do.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from facegeom import geometry
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.files import write_npz
from facegeom.geometry.boundary import boundary_loops
from facegeom.training.face_model.atlas import mirror_triangles, teeth_charts
from facegeom.training.face_model.eyes_and_mouth import nearest_place
from facegeom.training.face_model.ict_head import IctHead, load_ict

log = logging.getLogger("facegeom")

BURIED_MM = 0.8  # least depth of the border of a tooth in the gums, mm
CROWN_MM = (4.0, 10.0)  # smallest and largest distance of this border from the edge of the tooth, mm
STEP_MM = 0.5  # height of the slices of a tooth, mm
OVERLAP_MM = 0.3  # width by which neighbouring teeth overlap, mm
BACK_MM = 0.4  # by how much teeth are moved back in the end, mm: lips that roll inwards must not touch them
SAMPLE_MM = 0.5  # distance of the points on a crown to which a tooth is fitted, mm
ROUNDS = 40  # number of steps of the fit
STIFFNESS = (1.0, 0.02)  # weight of the smoothness of a tooth in the first and in the last step
SPREAD = 0.05  # weight that spreads the vertices over the tooth, relative to the smoothness
HELD, PULLED, ONTO = 3.0, 4.0, 0.3  # weights of the border, of points on the crown, and of vertices on its surface
SECTOR = 0.25  # standard deviation of the angles around a tooth over which its border is averaged, radians


class Source(NamedTuple):
    """The part of a tooth of the ICT head that a tooth of the face model represents.

    Attributes
    ----------
    vertices, faces : (k, 3) float array, mm, and (m, 3) int array
    crown : (p, 3) float array, mm, points on its surface, about `SAMPLE_MM` apart, from the border to the edge
    ring : (r, 3) float array, mm, points on its surface near the border
    axis : (3,) float array, unit vector from the root to the crown
    """

    vertices: FloatArray
    faces: IntArray
    crown: FloatArray
    ring: FloatArray
    axis: FloatArray


def shape_teeth(arrays: dict[str, NDArray[np.generic]], head: IctHead) -> None:
    """Give the teeth of a face model their shape; its arrays, as `build_face_model` writes them, change in place.

    Triangles, regions and the number of vertices stay. The components of a tooth at its new vertices are an affine
    function of place, fitted to those at the vertices before: a tooth hardly bends.

    Parameters
    ----------
    arrays : name -> array
    head : IctHead, of which the face model was made
    """
    mean = np.asarray(arrays["mean"], np.float64)
    faces, uv_faces = (np.asarray(arrays[name], np.int64) for name in ("faces", "uv_faces"))
    mirror = np.asarray(arrays["mirror"], np.int64)
    regions = dict(zip(arrays["region_names"].tolist(), np.asarray(arrays["regions"], np.bool_), strict=True))
    of_teeth = regions["teeth"][faces].all(axis=1)
    left = of_teeth & (mean[faces, 0] > 0).all(axis=1)
    gums = faces[regions["gums_and_tongue"][faces].all(axis=1)]
    V = shaped_teeth(mean, faces[left], gums, head)
    vertices, inverse = np.unique(faces[left], return_inverse=True)
    member = _pieces(inverse.reshape(-1, 3), len(vertices))
    for name in ("identity", "expression"):
        components = np.array(arrays[name], np.float64)  # (k, 3, n), whole numbers
        for k in range(member.max() + 1):
            for own, sign in ((vertices[member == k], 1.0), (mirror[vertices[member == k]], -1.0)):
                new = V[own] if sign > 0 else V[mirror[own]] * (-1.0, 1.0, 1.0)
                components[:, :, own] = _carried(mean[own], new, components[:, :, own])
        arrays[name] = np.rint(components).astype(arrays[name].dtype)
    V[mirror[vertices]] = V[vertices] * (-1.0, 1.0, 1.0)
    both = np.concatenate([vertices, mirror[vertices]])
    carrier, weight = nearest_place(V[both], head.vertices, head.part_faces("teeth"))
    arrays["carrier"], arrays["carrier_weight"] = arrays["carrier"].copy(), arrays["carrier_weight"].copy()
    arrays["carrier"][both], arrays["carrier_weight"][both] = carrier, weight
    corner_uv = np.asarray(arrays["uv"], np.float64)[uv_faces]
    corner_uv[left] = teeth_charts(V, faces[left])
    mirror_triangles(faces, mirror, np.flatnonzero(left), corner_uv)
    uv = np.array(arrays["uv"], np.float64)
    uv[uv_faces[of_teeth]] = corner_uv[of_teeth]
    arrays["mean"], arrays["uv"] = V, uv


def shape_teeth_of(path: str | Path, ict_path: str | Path, output: str | Path) -> Path:
    """Write a copy of a face model whose teeth have their shape, see `shape_teeth`.

    Parameters
    ----------
    path : str or Path
        The face model, as `build_face_model` wrote it.
    ict_path : str or Path
        Path of `ict_face_model.npz`, ICT FaceKit Light as arrays.
    output : str or Path
        The .npz file to write.

    Returns
    -------
    Path
        The argument `output`.
    """
    with np.load(Path(path)) as data:
        arrays = dict(data)
    shape_teeth(arrays, load_ict(ict_path))
    output = Path(output)
    write_npz(output, arrays)
    return output


def _carried(before: FloatArray, after: FloatArray, values: FloatArray) -> FloatArray:
    """Return values (k, 3, n) of places `before` (n, 3) at the places `after` (n, 3), by an affine function."""
    middle = before.mean(axis=0)
    known = np.column_stack([before - middle, np.ones(len(before))])
    slopes = np.linalg.lstsq(known, values.reshape(-1, len(before)).T, rcond=None)[0]
    new = np.column_stack([after - middle, np.ones(len(after))])
    return np.asarray((new @ slopes).T.reshape(values.shape))


def shaped_teeth(V: FloatArray, teeth: IntArray, gums: IntArray, head: IctHead) -> FloatArray:
    """Return the vertices (n, 3), mm, of a face model with the teeth of the left half of the head in shape.

    Parameters
    ----------
    V : (n, 3) float array, mm, vertices of the mean head
    teeth : (m, 3) int array, triangles of the teeth of the left half of the head
    gums : (g, 3) int array, triangles of all gums
    head : IctHead
    """
    result = V.copy()
    vertices, inverse = np.unique(teeth, return_inverse=True)
    member = _pieces(inverse.reshape(-1, 3), len(vertices))
    sources = _sources(V, gums, head)
    crowns = np.array([source.crown.mean(axis=0) for source in sources])
    rows = [vertices[member == k] for k in range(member.max() + 1)]
    for own in rows:
        place = np.full(len(V), -1)
        place[own] = np.arange(len(own))
        faces = place[teeth[np.isin(teeth, own).all(axis=1)]]
        source = sources[int(np.linalg.norm(crowns - V[own].mean(axis=0), axis=1).argmin())]
        border = boundary_loops(faces)[0]
        held = _bury(_border(source, V[own][border]), V, gums)
        result[own] = _fitted(V[own], faces, source, border, held)
    _touch(result, rows)
    result[vertices, 2] -= BACK_MM
    return result


def _pieces(F: IntArray, count: int) -> IntArray:
    """Return the number of the connected part of each of `count` vertices."""
    pairs = np.roll(F, 1, axis=1).ravel(), F.ravel()
    links = sparse.csr_matrix((np.ones(F.size), pairs), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1])


def _sources(V: FloatArray, gums: IntArray, head: IctHead) -> list[Source]:
    """Return the teeth of the left half of the ICT head; `gums` are triangles of the face model with vertices V."""
    faces = head.part_faces("teeth")
    vertices, inverse = np.unique(faces, return_inverse=True)
    local = inverse.reshape(-1, 3)
    member = _pieces(local, len(vertices))
    result = []
    for k in range(member.max() + 1):
        own = np.flatnonzero(member == k)
        P = head.vertices[vertices[own]]
        if P[:, 0].mean() < 0:
            continue
        place = np.full(len(vertices), -1)
        place[own] = np.arange(len(own))
        F = place[local[(member == k)[local].all(axis=1)]]
        points = _points(P, F)
        height = _height(points, V, gums)[0]
        axis = np.linalg.svd(P - P.mean(axis=0), full_matrices=False)[2][0]
        axis *= np.sign((points[height > 0].mean(axis=0) - P.mean(axis=0)) @ axis)
        along = points @ axis
        level = _level(along, height)
        result.append(Source(P, F, points[along > level], points[np.abs(along - level) < STEP_MM], axis))
    return result


def _level(along: FloatArray, height: FloatArray) -> float:
    """Return the place along the axis of a tooth of the first slice below the crown that lies in the gums all around.

    `along` and `height` (p,) are the places of points along the axis and their heights above the gums, mm.
    """
    levels = along.max() - np.arange(*CROWN_MM, STEP_MM)
    highest = np.array([height[np.abs(along - level) < STEP_MM].max() for level in levels])
    buried = np.flatnonzero(highest < -BURIED_MM)
    return float(levels[buried[0] if len(buried) else highest.argmin()])


def _height(points: FloatArray, V: FloatArray, gums: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the height (p,) in mm of points above the surface of the gums, negative below, and its normals (p, 3)."""
    found = geometry.closest_points(V, gums, points)
    corners = gums[found.face]
    normal = np.einsum("qc,qcd->qd", found.weights, geometry.vertex_normals(V, gums)[corners])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    away = points - np.einsum("qc,qcd->qd", found.weights, V[corners])
    return np.copysign(found.distance, np.einsum("qd,qd->q", away, normal)), normal


def _bury(points: FloatArray, V: FloatArray, gums: IntArray) -> FloatArray:
    """Return points (b, 3) that are at least `BURIED_MM` deep in the gums."""
    for _ in range(3):
        height, normal = _height(points, V, gums)
        points = points - np.maximum(height + BURIED_MM, 0.0)[:, None] * normal
    return points


def _points(V: FloatArray, F: IntArray) -> FloatArray:
    """Return the vertices of the surface after subdivision, at most about `SAMPLE_MM` apart."""
    while np.linalg.norm(V[F] - V[np.roll(F, 1, axis=1)], axis=2).max() > 2 * SAMPLE_MM:
        divided = geometry.subdivide(V, F, "midpoint")
        V, F = divided.V, divided.F
    return V


def _fitted(V: FloatArray, F: IntArray, source: Source, border: IntArray, held: FloatArray) -> FloatArray:
    """Return the vertices (k, 3) of a tooth with triangles F (m, 3) after the fit to a tooth of the ICT head.

    The vertices `border` (b,) are held at places `held` (b, 3).
    """
    count = len(V)
    V = V.copy()
    V[border] = held
    points = source.crown
    links = np.zeros((count, count))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        links[F[:, a], F[:, b]] = links[F[:, b], F[:, a]] = 1.0
    laplacian = np.eye(count) - links / links.sum(axis=1, keepdims=True)
    laplacian[border] = 0.0
    bends = laplacian @ laplacian
    smooth = (bends.T @ bends + SPREAD * laplacian.T @ laplacian) / count
    fixed = np.zeros((len(border), count))
    fixed[np.arange(len(border)), border] = HELD
    for stiffness in np.geomspace(*STIFFNESS, ROUNDS):
        near = geometry.closest_points(source.vertices, source.faces, V)
        onto = np.einsum("qc,qcd->qd", near.weights, source.vertices[source.faces[near.face]])
        found = geometry.closest_points(V, F, points)
        carried = np.zeros((len(points), count))
        carried[np.arange(len(points))[:, None], F[found.face]] = found.weights
        carried *= PULLED / len(points)
        equations = fixed.T @ fixed + stiffness * smooth + ONTO / count * np.eye(count)
        pulls = (len(points) / PULLED) * carried.T
        V = np.linalg.solve(
            equations + pulls @ carried, HELD * fixed.T @ held + ONTO / count * onto + carried.T @ points
        )
    log.info("tooth at %s: %.2f mm on average from the ICT head", V.mean(axis=0).round(), float(found.distance.mean()))
    return np.asarray(V)


def _border(source: Source, border: FloatArray) -> FloatArray:
    """Return places (b, 3) for the border of a tooth, in order, in the gums; `border` (b, 3) is before.

    The border goes around the tooth with even steps between the angles that its vertices had and equal ones.
    """
    side = np.cross(source.axis, (0.0, 0.0, 1.0))
    side /= np.linalg.norm(side)
    front = np.cross(side, source.axis)
    ring = source.ring
    middle = ring.mean(axis=0)
    frame = np.stack([side, front, source.axis])
    x, y, along = frame @ (ring - middle).T
    around, radius = np.arctan2(y, x), np.hypot(x, y)
    x, y, _ = frame @ (border - middle).T
    turn = np.unwrap(np.arctan2(y, x))
    even = np.copysign(np.arange(len(turn)) * 2 * np.pi / len(turn), turn[-1] - turn[0])
    turn = 0.5 * (turn + even + (turn - even).mean())
    apart = np.abs((around - turn[:, None] + np.pi) % (2 * np.pi) - np.pi)
    weight = np.exp(-0.5 * (apart / SECTOR) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    distance = weight @ radius
    return np.asarray(
        middle + np.column_stack([distance * np.cos(turn), distance * np.sin(turn), weight @ along]) @ frame
    )


def _touch(V: FloatArray, rows: list[IntArray]) -> None:
    """Widen teeth, in place, until each overlaps its neighbours by `OVERLAP_MM`; `rows` are the vertices of each."""
    middles = np.array([V[own].mean(axis=0) for own in rows])
    split = _middle_gap(middles[:, 1])
    for lower in (False, True):
        chosen = np.flatnonzero((middles[:, 1] < split) == lower)
        chain = [rows[k] for k in chosen[np.argsort(-middles[chosen, 2] + middles[chosen, 0])]]
        places = [V[own].mean(axis=0) for own in chain]
        mirrored = places[0] * (-1.0, 1.0, 1.0)
        wider = np.zeros((len(chain), 2))  # by how much each tooth grows towards the middle and away from it
        reach = []
        for k, own in enumerate(chain):
            before = mirrored if k == 0 else places[k - 1]
            after = places[min(k + 1, len(chain) - 1)]
            along = (after - before) * (1.0, 0.0, 1.0)
            along /= np.linalg.norm(along)
            reach.append(along)
            if k == 0:
                wider[k, 0] = max(0.0, V[own, 0].min() + 0.5 * OVERLAP_MM)
                continue
            last = chain[k - 1]
            across = (places[k] - places[k - 1]) * (1.0, 0.0, 1.0)
            across /= np.linalg.norm(across)
            missing = (V[own] @ across).min() - (V[last] @ across).max() + OVERLAP_MM
            wider[k, 0] = wider[k - 1, 1] = max(0.0, 0.5 * missing)
        for own, along, centre, (inward, outward) in zip(chain, reach, places, wider, strict=True):
            s = (V[own] - centre) @ along
            V[own] += np.outer(np.where(s < 0, s / -s.min() * inward, s / s.max() * outward), along)


def _middle_gap(heights: FloatArray) -> float:
    """Return the middle of the widest gap between heights, which separates lower and upper teeth."""
    ordered = np.sort(heights)
    gap = int(np.diff(ordered).argmax())
    return float(0.5 * (ordered[gap] + ordered[gap + 1]))
