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

LENGTH_MM, LONGER_MM = 48.0, 45.0
"""Length in mm of the part of the tongue that moves, and by how much it becomes longer."""

DETOUR_MM = (11.0, 17.0)
"""Way along the surface to the tip minus distance in depth, in mm: tongue below the first, floor above the second."""

FLOOR_MM = (9.5, 12.0)
"""Height in mm below the tip at which the tongue ends, and at which the floor of the mouth begins."""

SLOPE = (
    (0.0, 7.0, 20.0, 34.0, 40.0, 46.0, 52.0, 58.0, 68.0, 78.0, 93.0),
    (6.0, 28.0, 32.0, 20.0, 10.0, -2.0, -14.0, -27.0, -43.0, -60.0, -72.0),
)
"""Distance in mm along the curve from the root -> slope of the curve in degrees. The tongue is high behind the lips, so
that it fills the mouth: beside and above a tongue that is lower, the dark throat is visible."""

FLAT = ((0.0, 25.0, 45.0, 93.0), (1.0, 0.95, 0.85, 0.75))
"""Distance in mm along the curve -> thickness of the tongue relative to that at rest."""

WIDE_MM = ((0.0, 20.0, 32.0, 48.0, 54.0, 60.0, 70.0, 77.0), (20.2, 23.0, 25.5, 25.0, 23.0, 20.0, 17.0, 16.0))
"""Distance in mm along the curve -> half width in mm of the tongue. It touches the corners of the mouth."""

HALF_WIDTH = (
    (0.0, 0.8, 3.6, 5.7, 7.5, 9.1, 13.4, 18.6, 23.1, 29.5, 40.0),
    (0.5, 3.8, 7.8, 9.5, 11.3, 13.3, 14.5, 16.5, 17.2, 19.3, 20.0),
)
"""Distance in mm behind the tip -> half width in mm of the tongue at rest."""

TIP_DEGREES, TIP_MM = ((0.0, 0.8, 3.6, 5.7, 7.5, 9.1, 13.4), (0.0, 18.0, 36.0, 50.0, 62.0, 74.0, 90.0)), 16.0
"""Distance in mm behind the tip at rest -> angle on half an ellipse that is the outline of the tip, and the length of
this half. The vertices of the outline, which are few, have equal distances on it."""

ROUND = {"above": 0.65, "below": 0.35}
"""How much thinner the tongue is at its sides than in the middle, on its upper and on its lower side."""

ARCH_MM = 6.0
"""Height in mm of its middle above its sides, which stay behind the corners of the mouth."""

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
    behind_tip, behind_root = LENGTH_MM - z, np.minimum(z, 0.0)
    length, tip_at_rest = LENGTH_MM + LONGER_MM, TIP_DEGREES[0][-1]
    rest = np.clip(z / (LENGTH_MM - tip_at_rest), 0.0, 1.0)
    along = _stretched(rest) * (length - TIP_MM)
    angle = np.radians(np.interp(behind_tip, *TIP_DEGREES))
    in_tip = behind_tip < tip_at_rest
    along = np.where(in_tip, length - TIP_MM * (1.0 - np.cos(angle)), along)
    width = np.interp(along, *WIDE_MM) * np.where(in_tip, np.sin(angle), 1.0)
    steps = np.linspace(0.0, length + 5.0, 400)
    slope = np.radians(np.interp(steps, *SLOPE))
    middle = np.column_stack([np.sin(slope), np.cos(slope)])
    middle = np.concatenate([np.zeros((1, 2)), np.cumsum(middle[:-1] * np.diff(steps)[:, None], axis=0)])
    up, forward = (np.interp(along, steps, line) for line in middle.T)
    tilt = np.interp(along, steps, slope)
    height = y * np.interp(along, *FLAT)
    out = np.clip((along - 20.0) / 20.0, 0.0, 1.0)
    across = x / half_width(behind_tip)
    side = np.minimum(np.abs(across), 1.0) ** 2
    height *= 1.0 - out * np.where(y > 0, ROUND["above"], ROUND["below"]) * side
    height -= ARCH_MM * out * side * width / WIDE_MM[1][0]
    height -= GROOVE_MM * out * np.exp(-((x / GROOVE_WIDTH_MM) ** 2)) * (y > 0)
    return np.column_stack(
        [
            np.where(z > 0, across * width, x),
            up + height * np.cos(tilt),
            forward - height * np.sin(tilt) + behind_root,
        ]
    )


def _stretched(rest: FloatArray) -> FloatArray:
    """Return where points (k,) of the tongue behind its tip are after stretching; 0 at the root, 1 at the tip."""
    return rest


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
