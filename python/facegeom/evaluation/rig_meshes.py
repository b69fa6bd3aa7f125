"""Meshes for `facegeom evaluate rig`: placed heads with known shape, harder ones, and meshes without a face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model import load_face_model
from facegeom.training.face_model.ict_head import IctHead, carriers, load_ict

UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Units in which the heads are stored."""

KINDS = ("clean", "expressions", "hair", "holes", "noise")
"""Kinds of heads: as they are; with expressions; with hair and shoulders; with holes; with 1 mm of noise."""

SHIFT_MM = 500.0  # standard deviation of the place of a head along each axis
NOISE_MM = 1.0  # standard deviation of the noise along each axis
HOLES, HOLE_MM = (4, 12), (8.0, 28.0)  # numbers of holes, and their radii in mm
HAIR_MM = (6.0, 30.0)  # thickness of the hair
SEED = 53


class PlacedHead(NamedTuple):
    """A mesh of a head in an unknown place, and the truth.

    Attributes
    ----------
    V, F : (n, 3) float array in `unit`, (m, 3) int array
    skin : (s, 3) float array, the vertices of the face model on the head, in the coordinates of the mesh
    clean_V, clean_F : the head without noise, holes and hair, in the coordinates of the mesh
    unit : key of `UNITS_MM`
    """

    V: FloatArray
    F: IntArray
    skin: FloatArray
    clean_V: FloatArray
    clean_F: IntArray
    unit: str


class HeadMaker:
    """Maker of placed ICT heads.

    Parameters
    ----------
    path : path of the file `ict_face_model.npz`
    """

    def __init__(self, path: str | Path) -> None:
        self.head: IctHead = load_ict(path)
        self.carrier, self.weight = carriers()
        self.shapes = np.flatnonzero([not name.startswith("Pupil") for name in self.head.expression_names])

    def make(self, kind: str, number: int) -> PlacedHead:
        """Return head `number` of a kind; the same one at every call."""
        rng = np.random.default_rng([SEED, KINDS.index(kind), number])
        head = self.head
        expression = np.zeros(len(head.expression_names))
        if kind == "expressions":
            chosen = rng.choice(self.shapes, 4, replace=False)
            expression[chosen] = rng.uniform(0.2, 0.8, len(chosen))
        clean = head.sample(rng.normal(0, 1, len(head.identity)), expression)
        V, F = clean, head.triangles
        if kind == "hair":
            V, F = _with_shoulders(*_with_hair(clean, F, head, rng), rng)
        elif kind == "holes":
            F = _with_holes(clean, F, rng)
        elif kind == "noise":
            V = clean + rng.normal(0, NOISE_MM, clean.shape)
        unit = str(rng.choice(list(UNITS_MM)))
        turn, shift = random_rotation(rng), rng.normal(0, SHIFT_MM, 3)

        def place(points: FloatArray) -> FloatArray:
            return np.asarray((points @ turn.T + shift) / UNITS_MM[unit])

        on_model = np.einsum("ij,ijk->ik", self.weight, clean[self.carrier])
        return PlacedHead(place(V), F, place(on_model), place(clean), head.triangles, unit)


def random_rotation(rng: np.random.Generator) -> FloatArray:
    """Return a rotation matrix (3, 3), uniformly distributed: that of a random unit quaternion (Shoemake, 1992)."""
    w, *axis = rng.normal(size=4).tolist()
    angle = 2 * np.arctan2(np.linalg.norm(axis), w)
    return np.asarray(cv2.Rodrigues(angle * np.array(axis) / np.linalg.norm(axis))[0], np.float64)


def _with_hair(V: FloatArray, F: IntArray, head: IctHead, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Return a head with a second, uneven surface above the scalp, which it hides."""
    first, last = head.parts["head_and_neck"]
    face = slice(*head.parts["face"])
    scalp = (V[:, 1] > 45.0 - 0.6 * np.clip(-40.0 - V[:, 2], 0, None)) & (V[:, 1] > -90.0)
    scalp[: face.start] = scalp[face.stop : first] = scalp[last:] = False
    scalp[face] &= (V[face, 1] > 60) | (V[face, 2] < -60)
    rows = scalp[F].all(axis=1)
    thickness = rng.uniform(*HAIR_MM)
    waves = rng.normal(0, 2 * np.pi / 40, (12, 3))
    rough = np.cos(V @ waves.T + rng.uniform(0, 2 * np.pi, 12)).sum(axis=1) / np.sqrt(24)
    grown = V + (thickness * (1 + 0.25 * rough) * scalp)[:, None] * geometry.vertex_normals(V, F)
    used = np.unique(F[rows])
    place = np.full(len(V), -1)
    place[used] = len(V) + np.arange(len(used))
    return np.concatenate([V, grown[used]]), np.concatenate([F, place[F[rows]]])


def _with_shoulders(V: FloatArray, F: IntArray, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Return a mesh with shoulders: an ellipsoid below the neck."""
    ball, faces = sphere(3)
    size = rng.uniform((170, 60, 70), (240, 100, 110))
    shoulders = ball * size + (0.0, float(V[:, 1].min()) - 0.4 * size[1], -75.0)
    return np.concatenate([V, shoulders]), np.concatenate([F, faces + len(V)])


def _with_holes(V: FloatArray, F: IntArray, rng: np.random.Generator) -> IntArray:
    """Return the triangles of a head that are outside some balls around vertices."""
    keep = np.ones(len(V), np.bool_)
    for _ in range(int(rng.integers(*HOLES))):
        centre = V[int(rng.integers(len(V)))]
        keep &= np.linalg.norm(V - centre, axis=1) > rng.uniform(*HOLE_MM)
    return np.ascontiguousarray(F[keep[F].all(axis=1)])


def sphere(rounds: int = 4) -> tuple[FloatArray, IntArray]:
    """Return a sphere of radius 1: an octahedron, subdivided `rounds` times."""
    V = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1.0]])
    F = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    for _ in range(rounds):
        V, F, *_ = geometry.subdivide(V, F, "midpoint")
        V = V / np.linalg.norm(V, axis=1, keepdims=True)
    return V, F


def _box(size: FloatArray, centre: FloatArray) -> tuple[FloatArray, IntArray]:
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    F = np.array(
        [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
         [1, 5, 7], [1, 7, 3]]
    )  # fmt: skip
    V, F, *_ = geometry.subdivide(corners * size + centre, F, "midpoint")
    return geometry.subdivide(V, F, "midpoint")[:2]


def _joined(parts: list[tuple[FloatArray, IntArray]]) -> tuple[FloatArray, IntArray]:
    starts = np.cumsum([0, *(len(V) for V, _ in parts[:-1])])
    return (
        np.concatenate([V for V, _ in parts]),
        np.concatenate([F + start for (_, F), start in zip(parts, starts, strict=True)]),
    )


def _bumpy(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Return an ellipsoid with smooth bumps, like a potato."""
    V, F = sphere(5)
    waves = rng.normal(0, rng.uniform(1, 4), (8, 3))
    radius = 1 + rng.uniform(0.0, 0.25) * np.cos(V @ waves.T + rng.uniform(0, 6, 8)).mean(axis=1)
    return V * radius[:, None] * rng.uniform(0.5, 1.5, 3) * 100, F


def _furniture(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Return a table, a chair or a shelf of boxes."""
    wide, deep, high = rng.uniform((40, 30, 40), (140, 80, 90))
    legs = [
        _box(np.array([5.0, high, 5.0]), np.array([x * wide / 2, -high / 2, z * deep / 2]))
        for x in (-1, 1)
        for z in (-1, 1)
    ]
    parts = [*legs, _box(np.array([wide + 6, 4.0, deep + 6]), np.zeros(3))]
    if rng.random() < 0.5:
        parts.append(_box(np.array([wide, high, 4.0]), np.array([0.0, high / 2, -deep / 2])))
    for level in range(int(rng.integers(0, 4))):
        parts.append(_box(np.array([wide, 3.0, deep]), np.array([0.0, -high * (level + 1) / 5, 0.0])))
    return _joined(parts)


def _hand(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Return a palm with five fingers of ellipsoids."""
    ball, F = sphere(3)
    parts = [(ball * (40, 48, 14), F)]
    for finger, lean in enumerate((-1.1, -0.3, 0.0, 0.25, 0.5)):
        length = rng.uniform(28, 42) * (0.8 if finger == 0 else 1.0)
        along = np.array([np.sin(lean), np.cos(lean), 0.0])
        turned = (
            ball
            * (9, length, 9)
            @ np.array([[np.cos(lean), -np.sin(lean), 0], [np.sin(lean), np.cos(lean), 0], [0, 0, 1]])
        )
        parts.append((turned + (-22.0 + 13 * finger, 25.0, 0.0) + along * (20 + length), F))
    return _joined(parts)


def _limb(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Return a leg with a foot."""
    ball, F = sphere(4)
    thigh = (ball * (60, 220, 60) + (0, 200, 0), F)
    shin = (ball * (45, 200, 45) + (0, -150, rng.uniform(-20, 20)), F)
    foot = (ball * (45, 35, 130) + (0, -340, 70), F)
    return _joined([thigh, shin, foot])


def _back_of_head(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Return the part of a head without the face: scalp, ears and neck."""
    model = load_face_model()
    V = model.vertices(rng.normal(0, 1, 40))
    skin = int(model.regions["head"].sum())
    F = model.faces[(model.faces < skin).all(axis=1)]
    behind = V[:, 2] < rng.uniform(-60, -35)
    return V, np.ascontiguousarray(F[behind[F].all(axis=1)])


def _torso(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Return a trunk with arms and no head."""
    ball, F = sphere(4)
    parts = [(ball * (170, 300, 110), F)]
    for side in (-1, 1):
        parts.append((ball * (45, 280, 45) + (side * rng.uniform(200, 240), -20, 0), F))
        parts.append((ball * (70, 70, 60) + (side * 70, 110, 80), F))
    return _joined(parts)


NON_FACES = {
    "sphere": lambda rng: (sphere(5)[0] * rng.uniform(20, 200), sphere(5)[1]),
    "potato": _bumpy,
    "box": lambda rng: _box(rng.uniform(20, 200, 3), np.zeros(3)),
    "furniture": _furniture,
    "hand": _hand,
    "leg": _limb,
    "torso": _torso,
    "back of a head": _back_of_head,
}
"""Name of a kind of mesh without a face -> function that makes one."""


def non_faces(count: int) -> Iterator[tuple[str, FloatArray, IntArray]]:
    """Yield meshes without a face: name, vertices and triangles, in random places."""
    names = list(NON_FACES)
    for number in range(count):
        rng = np.random.default_rng([SEED, 99, number])
        name = names[number % len(names)]
        V, F = NON_FACES[name](rng)
        yield name, V @ random_rotation(rng).T + rng.normal(0, SHIFT_MM, 3), F
