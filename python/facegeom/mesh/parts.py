"""The parts of a mesh that become nodes of their own in scene files: the two eyeballs, and all the rest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.mesh.mesh_arrays import MeshArrays

EYES = {"eyeball_left": "eye_left", "eyeball_right": "eye_right"}
"""Region of an eyeball -> name of its node."""

LOBE = 10.0
"""Percentile of the heights of the ears' vertices at which the head turns about the neck."""


GROUPS = (
    "eyeball_left", "eyeball_right", "teeth", "gums_and_tongue", "mouth_interior", "eye_sockets", "neck_cap", "scalp",
    "ear_left", "ear_right", "neck", "face",
)  # fmt: skip
"""Regions that are groups of a file; a triangle belongs to the first that contains its three corners."""

SKIN = "skin"
"""Name of the group of the triangles in no other group."""


class Part(NamedTuple):
    """A part of a mesh with one texture coordinate per vertex (`MeshArrays.unrolled`).

    Attributes
    ----------
    name : name of the node
    rows : (p,) int array, unrolled vertices of the part, ascending
    triangles : (t,) int array, triangles of the part, ascending
    faces : (t, 3) int array, the triangles as indices of `rows`
    pivot : (3,) float array, mm, the point about which the part turns
    """

    name: str
    rows: IntArray
    triangles: IntArray
    faces: IntArray
    pivot: FloatArray


def split(mesh: MeshArrays, source: IntArray, faces: IntArray, neck: FloatArray) -> list[Part]:
    """Return the parts of a mesh: each eyeball that is a closed part of its own, after all the rest.

    Parameters
    ----------
    mesh : MeshArrays
    source, faces : (k,) and (m, 3) int arrays, as `MeshArrays.unrolled` returns them
    neck : (3,) float array, mm, pivot of all that is no eyeball
    """
    rest, eyes = np.ones(len(mesh.vertices), bool), []
    for region, name in EYES.items():
        ball = mesh.regions.get(region)
        if ball is None or not ball.any() or not _separate(ball[source][faces]):
            continue
        eyes.append((name, ball, sphere_centre(mesh.vertices[ball])))
        rest &= ~ball
    skin = [("skin", rest, neck)] if rest.any() or not eyes else []
    return [_part(name, members[source], faces, pivot) for name, members, pivot in [*skin, *eyes]]


def _separate(corners: BoolArray) -> bool:
    """Return whether there is a triangle (m, 3) inside a part, and none with corners inside and outside."""
    inside = corners.all(axis=1)
    return bool(inside.any() and (inside == corners.any(axis=1)).all())


def _part(name: str, members: BoolArray, faces: IntArray, pivot: FloatArray) -> Part:
    rows = np.flatnonzero(members)
    triangles = np.flatnonzero(members[faces].all(axis=1))
    place = np.zeros(len(members), np.int64)
    place[rows] = np.arange(len(rows))
    return Part(name, rows, triangles, place[faces[triangles]], pivot)


def groups(mesh: MeshArrays) -> list[tuple[str, IntArray]]:
    """Return the triangles of a mesh in groups: the name and the triangles (t,), ascending, of each group.

    A mesh without a region of `GROUPS` is one group without a name.
    """
    named = [name for name in GROUPS if name in mesh.regions and mesh.regions[name].any()]
    if not named:
        return [("", np.arange(len(mesh.faces)))]
    number = np.full(len(mesh.faces), len(named))
    for place in reversed(range(len(named))):
        number[mesh.regions[named[place]][mesh.faces].all(axis=1)] = place
    found = [(name, np.flatnonzero(number == place)) for place, name in enumerate([*named, SKIN])]
    return [(name, rows) for name, rows in found if len(rows)]


def neck_joint(mesh: MeshArrays) -> FloatArray:
    """Return the point (3,) about which a head turns, mm: on the midline, between the lobes of the ears.

    The skull rests on the spine there. A mesh without ears turns about the origin.
    """
    ears = [mesh.regions[name] for name in ("ear_left", "ear_right") if name in mesh.regions]
    if len(ears) < 2 or not all(ear.any() for ear in ears):
        return np.zeros(3)
    points = [mesh.vertices[ear] for ear in ears]
    lobes = [np.array([*ear[:, [0, 2]].mean(axis=0), np.percentile(ear[:, 1], LOBE)]) for ear in points]
    x, z, y = np.mean(lobes, axis=0)
    return np.array([x, y, z])


def sphere_centre(points: FloatArray) -> FloatArray:
    """Return the centre (3,) of an eyeball with vertices (k, 3): the sphere is fitted to all vertices except the front,
    where the cornea bulges.
    """
    depth = points[:, 2]
    round_part = points[depth < depth.max() - 0.2 * np.ptp(depth)]
    # |p|^2 = 2 p.c + (r^2 - |c|^2) is linear in the centre c and in r^2 - |c|^2.
    system = np.column_stack([2.0 * round_part, np.ones(len(round_part))])
    return np.asarray(np.linalg.lstsq(system, (round_part**2).sum(axis=1), rcond=None)[0][:3])
