"""Blendshapes under which closed lips stay closed and do not cross.

The expressions of the face model were made for one face, in which the lips cross under some shapes (`mouthPucker`,
`mouthPress`), part under `cheekPuff`, and overlap by 6 mm under `mouthShrugLower` and `jawOpen` with `mouthClose`. Here
the displacements of the lips are corrected on the mean face: lips that part or overlap move together, and lips that
cross are pushed apart until they touch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model.model import FaceModel, load_face_model

CLOSING = ("mouthPucker", "mouthPressLeft", "mouthPressRight", "mouthDimpleLeft", "mouthDimpleRight")
"""Blendshapes under which closed lips cross; the shapes of both sides are corrected together."""

TOGETHER = ("cheekPuff",)
"""Blendshapes under which closed lips part."""

OVERLAPPING = ("mouthShrugLower",)
"""Blendshapes under which closed lips overlap, beside those of `CLOSED_WITH`."""

CLOSED_WITH = {"mouthClose": "jawOpen"}
"""Blendshape that closes the lips -> the blendshape that opens them; they are corrected together."""

ROLLS = ("mouthRollUpper", "mouthRollLower")
"""Blendshapes of the upper and of the lower lip under which lips cross if both have weight 1."""

CLEARANCE_MM = 0.15
"""Distance in mm between lips that touch."""

ROLLED_CLEARANCE_MM = 0.4
"""Distance in mm between rolled lips of the mean face, whose lips are farther apart than those of a closed mouth."""

LEAST_UP = 0.25
"""Smallest vertical part of the normal of a lip at the place where the other lip crosses it."""

LARGEST_MM = 2.5
"""Largest correction in mm."""

DEEPEST_MM = 3.0
"""Largest depth in mm to which lips cross."""

AROUND_MM = 9.0
"""Distance in mm from the lips of the skin that moves with them."""

CORNER_MM = 1.0
"""Distance in mm from a corner of the mouth below which upper and lower lip are one surface."""

ROUNDS = 10
"""Number of corrections."""

SMOOTHINGS, SMOOTH_GAIN = 3, 2.0
"""Number of averages over neighbours that spread a correction, and largest factor that restores its size."""

MIDDLE_MM = 4.0
"""Half width in mm of the middle of the mouth, where the shapes of both sides share a correction."""

TOUCHING_MM = 2.0
"""Largest distance in mm between vertices of the two lips of the mean face that touch."""

CONTACT_MM = 1.0
"""Standard deviation in mm of the weight of a contact, which depends on the distance of the lips there."""

FREE_MM = 4.0
"""Standard deviation in mm of the region around the contact of the lips in which a shape may change."""

KEPT = 0.004
"""Weight of the original displacement at the contact, relative to that of the smoothness; away from it, it is 1."""

JOINED = 10.0
"""Weight of the equal motion of lips that touch, relative to that of the smoothness."""

JAW_AROUND_MM, JAW_FREE_MM, JAW_KEPT = 22.0, 9.0, 0.0007
"""The two distances above and `KEPT` for lips that stay closed while the jaw opens: the skin beside the corners of the
mouth must stretch, too, or it folds."""


class _Lip(NamedTuple):
    """One lip with the skin around it.

    Attributes
    ----------
    vertices : (k,) int array, rows of the face model
    faces : (m, 3) int array, triangles of these vertices
    tested : (k,) bool array, vertices that may cross the other lip
    smoothing : (k, k) float array, averages of neighbours
    """

    vertices: IntArray
    faces: IntArray
    tested: BoolArray
    smoothing: FloatArray


def with_lip_contact(model: FaceModel, shapes: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
    """Return the blendshapes whose lips change: those of all groups.

    Parameters
    ----------
    model : FaceModel
    shapes : name -> (n, 3) float32 array, displacements of the vertices of the face model at weight 1, mm

    Returns
    -------
    dict from name to (n, 3) float32 array
    """
    lips = _lips(model)
    joint = _joint(lips, model)
    result = {name: shapes[name].astype(np.float64) for name in (*CLOSING, *TOGETHER, *OVERLAPPING, *ROLLS)}
    for name in TOGETHER:
        result[name] = _join(joint, result[name])
    for name in OVERLAPPING:
        closed = _join(joint, result[name])
        result[name] = closed + _apart(lips, model.mean + closed)
    jaw = _joint(_lips(model, JAW_AROUND_MM), model, JAW_FREE_MM, JAW_KEPT)
    for name, opening in CLOSED_WITH.items():
        closed = _join(jaw, shapes[name].astype(np.float64) + shapes[opening])
        result[name] = closed + _apart(lips, model.mean + closed) - shapes[opening]
    # An upper lip that rolls would show the teeth. A lower lip that rolls goes behind the upper lip, and may go deeper.
    upper, lower = ROLLS
    result[upper] = _join(joint, result[upper])
    result[upper] += _apart(lips, model.mean + result[upper], ROLLED_CLEARANCE_MM)
    result[lower] += _apart(lips, model.mean + result[upper] + result[lower], ROLLED_CLEARANCE_MM)
    share = _left_share(model.mean[:, :1])
    for name in CLOSING:
        if name.endswith("Right"):
            continue
        both = (name, f"{name.removesuffix('Left')}Right") if name.endswith("Left") else (name,)
        change = _apart(lips, model.mean + np.sum([shapes[part] for part in both], axis=0))
        if len(both) == 1:
            result[name] += change
        else:  # each side takes the change on its half of the mouth
            result[both[0]] += share * change
            result[both[1]] += (1.0 - share) * change
    return {name: shape.astype(np.float32) for name, shape in result.items()}


def lips_apart(V: FloatArray) -> FloatArray:
    """Return the displacements (n, 3), mm, that part the lips of a face which cross, until they touch.

    Parameters
    ----------
    V : (n, 3) float array, mm, vertices that begin with the face of the package's face model
    """
    return _apart(_package_lips(), V)


@load_once(maxsize=1)
def _package_lips() -> tuple[_Lip, _Lip]:
    return _lips(load_face_model())


def _left_share(x: FloatArray) -> FloatArray:
    """Return the share of the left side at places x in mm: 0 on the right, 1 on the left, smooth in the middle."""
    share = np.clip((x + MIDDLE_MM) / (2 * MIDDLE_MM), 0.0, 1.0)
    return np.asarray(share**2 * (3.0 - 2.0 * share))


def _lips(model: FaceModel, around: float = AROUND_MM) -> tuple[_Lip, _Lip]:
    """Return the upper and the lower lip of the face model, with the skin up to `around` mm from them."""
    skin = model.mean[: model.face_vertex_count]
    inner = model.mean[model.landmarks68_multipie[60:68]]  # corner, upper lip, corner, lower lip; from right to left
    line = np.stack([inner[0], *(inner[[1, 2, 3]] + inner[[7, 6, 5]]) / 2, inner[4]])
    above = skin[:, 1] > np.interp(skin[:, 0], line[:, 0], line[:, 1])
    lips = model.regions["lips"][: len(skin)]
    near = geometry.nearest(skin[lips], skin)[1] < around
    faces = model.faces[(model.faces < len(skin)).all(axis=1)]
    corners = np.abs(line[[0, -1], 0]).mean()
    found = []
    for side in (above, ~above):
        vertices = np.flatnonzero(near & side)
        place = np.full(len(skin), -1)
        place[vertices] = np.arange(len(vertices))
        own = place[faces]
        own = own[(own >= 0).all(axis=1)]
        tested = lips[vertices] & (np.abs(skin[vertices, 0]) < corners - CORNER_MM)
        links = np.eye(len(vertices))
        for a, b in ((0, 1), (1, 2), (2, 0)):
            links[own[:, a], own[:, b]] = links[own[:, b], own[:, a]] = 1.0
        found.append(_Lip(vertices, own, tested, links / links.sum(axis=1, keepdims=True)))
    return found[0], found[1]


def _apart(lips: tuple[_Lip, _Lip], posed: FloatArray, clearance: float = CLEARANCE_MM) -> FloatArray:
    """Return the displacements (n, 3), mm, that part lips which cross in `posed` (n, 3) until they touch, at a distance
    of `clearance` mm.
    """
    change = [np.zeros((len(lip.vertices), 3)) for lip in lips]
    for number in range(ROUNDS):
        places = [posed[lip.vertices] + moved for lip, moved in zip(lips, change, strict=True)]
        pushes = [_push(lips[i], places[i], lips[1 - i], places[1 - i], 1.0 - 2.0 * i, clearance) for i in (0, 1)]
        if not any(push.any() for push in pushes):
            break
        for i, (lip, push) in enumerate(zip(lips, pushes, strict=True)):
            step = 0.6 * push
            if number < ROUNDS - 2:
                for _ in range(SMOOTHINGS):
                    step = lip.smoothing @ step
                step *= min(SMOOTH_GAIN, float(np.abs(push).max()) / max(float(np.abs(step).max()), 1e-9))
            change[i] += step
            size = np.linalg.norm(change[i], axis=1, keepdims=True)
            change[i] *= np.minimum(1.0, LARGEST_MM / np.maximum(size, 1e-9))
    result = np.zeros_like(posed)
    for lip, moved in zip(lips, change, strict=True):
        result[lip.vertices] = moved
    return result


def _push(lip: _Lip, places: FloatArray, other: _Lip, surface: FloatArray, up: float, clearance: float) -> FloatArray:
    """Return the displacements (k, 3) that move the vertices of a lip out of the other lip, up (1) or down (-1)."""
    push = np.zeros_like(places)
    rows = np.flatnonzero(lip.tested)
    found = geometry.closest_points(surface, other.faces, places[rows])
    corners = surface[other.faces[found.face]]
    nearest = np.einsum("qc,qcd->qd", found.weights, corners)
    normals = geometry.vertex_normals(surface, other.faces)
    normal = np.einsum("qc,qcd->qd", found.weights, normals[other.faces[found.face]])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    height = np.einsum("qd,qd->q", places[rows] - nearest, normal)
    inside = (height < clearance) & (found.distance < DEEPEST_MM)
    # At the border of the other lip the closest point tells nothing about the side.
    inside &= np.abs(height) > 0.7 * found.distance
    inside &= up * normal[:, 1] > LEAST_UP  # lips meet one above the other; their inner sides may touch elsewhere
    push[rows[inside]] = normal[inside] * (clearance - height[inside])[:, None]
    return push


class _Joint(NamedTuple):
    """The linear map that joins lips which touch, on the k vertices of both lips and the skin around them."""

    vertices: IntArray  # (k,), rows of the face model
    smoothed: FloatArray  # (k, k), from the displacements of a shape to those of joined lips


def _joint(lips: tuple[_Lip, _Lip], model: FaceModel, free: float = FREE_MM, kept: float = KEPT) -> _Joint:
    """Return the map to smooth displacements near those of a shape, equal at places of the two lips that touch.

    `free` and `kept` are as `FREE_MM` and `KEPT`.
    Both lips and their corners are one surface for the smoothness, so that no fold remains at the corners.
    """
    vertices = np.concatenate([lip.vertices for lip in lips])
    place = np.full(model.face_vertex_count, -1)
    place[vertices] = np.arange(len(vertices))
    faces = place[model.faces[(model.faces < model.face_vertex_count).all(axis=1)]]
    links = np.zeros((len(vertices), len(vertices)))
    inside = (faces >= 0).all(axis=1)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        links[faces[inside, a], faces[inside, b]] = links[faces[inside, b], faces[inside, a]] = 1.0
    border = np.zeros(len(vertices), np.bool_)
    outside = faces[~inside]
    border[outside[outside >= 0]] = True
    laplacian = np.eye(len(vertices)) - links / links.sum(axis=1, keepdims=True)
    laplacian[border] = 0.0
    contacts, touching = [], []
    for lip, other in (lips, lips[::-1]):
        own = lip.vertices[model.regions["lips"][lip.vertices]]
        found = geometry.closest_points(model.mean[other.vertices], other.faces, model.mean[own])
        near = found.distance < TOUCHING_MM
        weight = np.exp(-(found.distance[near] ** 2) / (4 * CONTACT_MM**2))  # of both sides of the equation
        rows = np.arange(near.sum())
        contact = np.zeros((len(rows), len(vertices)))
        contact[rows, place[own[near]]] = weight
        corners = place[other.vertices[other.faces[found.face[near]]]]
        contact[rows[:, None], corners] -= weight[:, None] * found.weights[near]
        contacts.append(contact)
        touching.append(own[near])
    away = geometry.nearest(model.mean[np.concatenate(touching)], model.mean[vertices])[1]
    stays = kept + 1.0 - np.exp(-(away**2) / (2 * free**2))
    stays[border] = 1e3
    both = np.concatenate(contacts)
    energy = laplacian.T @ laplacian + np.diag(stays) + JOINED * both.T @ both
    return _Joint(vertices, np.linalg.solve(energy, np.diag(stays)))


def _join(joint: _Joint, shape: FloatArray) -> FloatArray:
    """Return a shape (n, 3) in which lips that touch on the mean face move together."""
    result = shape.copy()
    result[joint.vertices] = joint.smoothed @ shape[joint.vertices]
    return result
