"""`tongueOut`: a tongue that comes out of an open mouth, lies on the lower teeth and the lip, and hangs down.

The tongue of the face model is one surface with the gums and the floor of the mouth. It is what is about as near to
the tip along this surface as in a straight line. Its cross sections are moved along a curve from its root over the
lower teeth and out of the mouth, and become flatter. The curve is given by its slope, so that lengths along it are
known.
"""

from __future__ import annotations

import heapq

import numpy as np

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray
from facegeom.face_model.model import FaceModel

JAW_MM = 2.0
"""Displacement in mm downwards by jawOpen above which gums belong to the lower jaw."""

BEHIND_TEETH_MM, BELOW_TEETH_MM = 6.0, 7.0
"""The tip of the tongue lies farther than the first behind the front teeth, and less than the second below their edge;
in mm."""

LENGTH_MM, LONGER_MM = 48.0, 42.0
"""Length in mm of the part of the tongue that moves, and by how much it becomes longer."""

DETOUR_MM = (11.0, 17.0)
"""Way along the surface to the tip minus distance in depth, in mm: tongue below the first, floor above the second."""

FLOOR_MM = (9.5, 12.0)
"""Height in mm below the tip at which the tongue ends, and at which the floor of the mouth begins."""

SLOPE = ((0.0, 15.0, 34.0, 48.0, 62.0, 74.0, 90.0), (3.0, 8.0, 24.0, 2.0, -30.0, -54.0, -62.0))
"""Distance in mm along the curve from the root -> slope of the curve in degrees."""

FLAT = ((0.0, 25.0, 45.0, 90.0), (1.0, 0.9, 0.78, 0.72))
"""Distance in mm along the curve -> thickness of the tongue relative to that at rest."""

NARROW = ((0.0, 25.0, 58.0, 74.0, 86.0), (1.0, 0.88, 0.94, 1.13, 1.55))
"""Distance in mm along the curve -> width of the tongue relative to that at rest."""

HALF_WIDTH = ((0.0, 4.0, 8.0, 15.0, 25.0, 38.0), (1.5, 7.0, 11.0, 14.5, 17.0, 19.5))
"""Distance in mm behind the tip -> half width in mm of the tongue at rest."""

BLUNT_MM, BLUNT = 5.0, 0.35
"""Length in mm of the tip, and by how much it becomes shorter, so that it is round."""

ROUND = {"above": 0.6, "below": 0.35}
"""How much thinner the tongue is at its sides than in the middle, on its upper and on its lower side."""

GROOVE_MM, GROOVE_WIDTH_MM = 1.5, 3.0
"""Depth and half width in mm of the groove in the middle of its upper side."""


def tongue_out(model: FaceModel) -> Float32Array:
    """Return the displacements (n, 3), mm, of the blendshape tongueOut; only the tongue moves.

    Parameters
    ----------
    model : FaceModel
    """
    V, (share, tip) = model.mean, _found(model)
    shape = np.zeros(V.shape, np.float32)
    rows = np.flatnonzero(share > 0)
    root = np.array([0.0, V[tip, 1], V[tip, 2] - LENGTH_MM])
    shape[rows] = share[rows, None] * (_moved(V[rows] - root) + root - V[rows])
    return shape


def half_width(behind: FloatArray) -> FloatArray:
    """Return the half width (k,) in mm of the tongue at rest, at distances (k,) in mm behind its tip."""
    return np.interp(behind, *HALF_WIDTH)


def tongue_share(model: FaceModel) -> FloatArray:
    """Return how much each vertex belongs to the tongue, (n,) in [0, 1]: 0 on gums and on the floor of the mouth."""
    return _found(model)[0]


def _found(model: FaceModel) -> tuple[FloatArray, int]:
    """Return the result of `tongue_share`, and the vertex at the tip."""
    V = model.mean
    down = -model.expression[model.expression_names.index("jawOpen"), :, 1]
    lower = model.regions["gums_and_tongue"] & (down > JAW_MM)
    teeth = V[model.regions["teeth"] & (down > JAW_MM)]
    front = teeth[teeth[:, 2] > teeth[:, 2].max() - BEHIND_TEETH_MM]
    near = lower & (np.abs(V[:, 0]) < 1.0) & (V[:, 2] < front[:, 2].max() - BEHIND_TEETH_MM)
    near &= V[:, 1] > front[:, 1].max() - BELOW_TEETH_MM
    tip = int(np.flatnonzero(near)[V[near, 2].argmax()])
    detour = _way(model, lower, tip) - np.abs(V[tip, 2] - V[:, 2])
    return _falling(detour, *DETOUR_MM) * _falling(V[tip, 1] - V[:, 1], *FLOOR_MM) * lower, tip


def _moved(places: FloatArray) -> FloatArray:
    """Return the places (k, 3), mm, relative to the root of the tongue, after the tongue has come out."""
    x, y, z = places.T
    z = z - BLUNT * np.maximum(z - LENGTH_MM + BLUNT_MM, 0.0)  # the tongue at rest has a tip of one vertex
    rest = np.clip(z / LENGTH_MM, 0.0, 1.0)
    along = np.maximum(z, 0.0) + LONGER_MM * rest**2 * (2.0 - rest)  # more at the root, which the lips hide
    steps = np.linspace(0.0, LENGTH_MM + LONGER_MM + 5.0, 400)
    slope = np.radians(np.interp(steps, *SLOPE))
    middle = np.column_stack([np.sin(slope), np.cos(slope)])
    middle = np.concatenate([np.zeros((1, 2)), np.cumsum(middle[:-1] * np.diff(steps)[:, None], axis=0)])
    up, forward = (np.interp(along, steps, line) for line in middle.T)
    angle = np.interp(along, steps, slope)
    height = y * np.interp(along, *FLAT)
    out = np.clip((along - 30.0) / 20.0, 0.0, 1.0)
    side = np.minimum(np.abs(x) / half_width(LENGTH_MM - z), 1.0) ** 2
    height *= 1.0 - out * np.where(y > 0, ROUND["above"], ROUND["below"]) * side
    height -= GROOVE_MM * out * np.exp(-((x / GROOVE_WIDTH_MM) ** 2)) * (y > 0)
    behind = np.minimum(z, 0.0)
    return np.column_stack(
        [
            x * np.interp(along, *NARROW),
            up + height * np.cos(angle),
            forward - height * np.sin(angle) + behind,
        ]
    )


def _falling(values: FloatArray, low: float, high: float) -> FloatArray:
    """Return 1 below `low`, 0 above `high`, and a smooth step between."""
    share = np.clip((high - values) / (high - low), 0.0, 1.0)
    return np.asarray(share**2 * (3.0 - 2.0 * share))


def _way(model: FaceModel, members: BoolArray, start: int) -> FloatArray:
    """Return the shortest way (n,) in mm along edges between members from the vertex `start`; infinite elsewhere."""
    faces = model.faces[members[model.faces].all(axis=1)]
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    lengths = np.linalg.norm(model.mean[edges[:, 0]] - model.mean[edges[:, 1]], axis=1)
    beside: dict[int, list[tuple[int, float]]] = {}
    for (a, b), length in zip(edges.tolist(), lengths.tolist(), strict=True):
        beside.setdefault(a, []).append((b, length))
        beside.setdefault(b, []).append((a, length))
    way = np.full(len(members), np.inf)
    way[start] = 0.0
    queue = [(0.0, start)]
    while queue:
        here, vertex = heapq.heappop(queue)
        if here > way[vertex]:
            continue
        for other, length in beside[vertex]:
            if here + length < way[other]:
                way[other] = here + length
                heapq.heappush(queue, (here + length, other))
    return way
