"""How far the eyes and the mouth of a face are open, by its FaceMesh points or by what is visible through the openings.

The FaceMesh points of the face model lie up to 3 mm from the edges of lids and lips. On the closed eye of a mesh they
are still an eighth of its width apart, on a closed mouth a sixteenth: whether lids and lips of a mesh touch is measured
by what is visible. Wide openings are compared by the points, in the mesh and in the photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.geometry import rasterize

LID_PAIRS = {"right": ((160, 144), (159, 145), (158, 153)), "left": ((385, 380), (386, 374), (387, 373))}
"""Opposite points of the upper and the lower lid, of the person's right and left eye."""

EYE_CORNERS = {"right": (33, 133), "left": (263, 362)}
"""Outer and inner corner of each eye."""

LIP_PAIRS = ((82, 87), (13, 14), (312, 317))
"""Opposite points of the inner edges of the upper and the lower lip."""

MOUTH_CORNERS = (61, 291)
"""Outer corners of the mouth."""


BEHIND = {
    "right": ("eyeball_right", "eye_sockets"),
    "left": ("eyeball_left", "eye_sockets"),
    "mouth": ("mouth_interior",),
}
"""Regions of the face model that are visible through each opening."""

STEP_MM = 0.1
"""Side length of the pixels in which a mesh is drawn."""

MARGIN_MM = (4.0, 30.0)
"""Distance beside and distance above and below the corners of an eye or mouth that is drawn."""

CENTRAL = 0.4
"""Central share of the width, over which the visible height is averaged. It spans the three pairs of points."""


class Openings(NamedTuple):
    """Openings of a face, each divided by the width of the eye or mouth.

    Attributes
    ----------
    right_eye, left_eye : distance between the lids / distance between the corners of the eye
    mouth : distance between the inner edges of the lips / distance between the corners of the mouth
    """

    right_eye: float
    left_eye: float
    mouth: float


def openings(points: FloatArray) -> Openings:
    """Return the openings of a face by its FaceMesh points: means of three distances each.

    Parameters
    ----------
    points : (468 or more, 3) float array
        Points in the order of FaceMesh, in any unit that is the same for all axes.
    """
    points = check.float_array(points, "points", (None, 3))
    if len(points) < 468:
        raise ValueError(f"points must contain the 468 points of FaceMesh, got {len(points)}")
    right, left = (_ratio(points, LID_PAIRS[side], EYE_CORNERS[side]) for side in ("right", "left"))
    return Openings(right, left, _ratio(points, LIP_PAIRS, MOUTH_CORNERS))


def mesh_openings(V: FloatArray, F: IntArray, regions: Mapping[str, BoolArray], points: FloatArray) -> Openings:
    """Return the openings of a mesh with the regions of the face model, seen from the front of the face.

    Parameters
    ----------
    V : (n, 3) float array, vertices in the face frame, mm
    F : (m, 3) int array
    regions : mapping to (n,) bool arrays, at least those of `BEHIND`
    points : (468, 3) float array, the FaceMesh points on the mesh, mm

    Returns
    -------
    Openings
        Mean visible height of what lies behind the opening, over the central part of its width, divided by the
        distance between the corners.
    """
    corners = {**EYE_CORNERS, "mouth": MOUTH_CORNERS}
    shares = {}
    for name, behind in BEHIND.items():
        inside = np.logical_or.reduce([regions[region] for region in behind])
        shares[name] = _visible_height(V, F, inside, points[list(corners[name])])
    return Openings(shares["right"], shares["left"], shares["mouth"])


def _visible_height(V: FloatArray, F: IntArray, inside: BoolArray, corners: FloatArray) -> float:
    """Return the mean visible height of the vertices `inside` between two corners (2, 3), divided by their distance."""
    low, high = corners[:, :2].min(0) - MARGIN_MM, corners[:, :2].max(0) + MARGIN_MM
    width, height = np.ceil((high - low) / STEP_MM).astype(int)
    placed = np.column_stack([(V[:, 0] - low[0]) / STEP_MM, (high[1] - V[:, 1]) / STEP_MM, V[:, 2]])
    triangle = rasterize(placed, F, None, (int(height), int(width))).triangle
    through: BoolArray = np.asarray(inside[F].all(axis=1))
    seen = (triangle >= 0) & through[triangle]
    x = low[0] + STEP_MM * np.arange(width)
    span = abs(float(corners[0, 0] - corners[1, 0]))
    central = np.abs(x - corners[:, 0].mean()) < 0.5 * CENTRAL * check.positive(span, "the width")
    return float(seen[:, central].sum(axis=0).mean() * STEP_MM / np.linalg.norm(corners[0] - corners[1]))


def _ratio(points: FloatArray, pairs: tuple[tuple[int, int], ...], corners: tuple[int, int]) -> float:
    ends = points[np.array(pairs)]
    gap = float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).mean())
    return gap / check.positive(float(np.linalg.norm(points[corners[0]] - points[corners[1]])), "the width")
