"""Gaps between the lips of a person, as they are seen from the front, and how lips move to close them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model.model import load_face_model
from facegeom.face_model.template import Template

COLUMNS = 40
"""Number of columns of the mouth, from corner to corner, in which the gap between the lips is measured."""

TAPER = 0.08
"""Distance from a corner, relative to the width of the mouth, from which a gap is closed wholly."""

ACROSS_MM, AROUND_MM = 4.0, 12.0
"""Standard deviation in mm with which the skin around the lips follows them, and largest distance of such skin."""

RIM_MM = 5.0
"""Distance in mm from the rim, where the inside of the mouth begins and nothing moves, at which a lip moves wholly."""

SLIT_MM = 1.5
"""Height in mm of the largest slit between closed lips."""

BEHIND_MM = 0.8
"""Standard deviation in mm of the distance from the seen part of the lips within which they close a slit."""

PIXELS_PER_MM = 12.0
"""Resolution of the picture in which slits are measured."""

ROUNDS = 6
"""Largest number of corrections; near the corners, where the rim is near, lips move by a part of the gap in each."""

UPPER_SHARE = 0.5
"""Share of a slit that the upper lip closes; the lower lip closes the rest."""


class Mouth(NamedTuple):
    """The lips and the skin around them, k fine vertices of a template.

    Attributes
    ----------
    vertices : (k,) int array, rows of the fine vertices
    upper, lips : (k,) bool arrays, vertices above the line between the lips; vertices of the lips
    along : (k,) float array, place along the mouth on the mean face: 0 and 1 at its right and left corner
    follow : (k,) float array, share of the motion of the lips
    corners : (2,) int array, rows of the fine vertices at the right and the left corner
    faces, teeth, inside : (m, 3), (t, 3) and (i, 3) int arrays, triangles of the lips with the skin around them, of the
        teeth, and of all that is inside the mouth
    upper_faces : (m,) bool array, triangles above the line between the lips
    """

    vertices: IntArray
    upper: BoolArray
    lips: BoolArray
    along: FloatArray
    follow: FloatArray
    corners: IntArray
    faces: IntArray
    teeth: IntArray
    inside: IntArray
    upper_faces: BoolArray


def slit_closing(template: Template, V: FloatArray) -> FloatArray:
    """Return the displacements (n, 3), mm, that close a thin slit between the lips, through which teeth would shine.

    Parameters
    ----------
    template : Template
    V : (n, 3) float array, mm, the fine vertices of a face
    """
    mouth, posed = mouth_of(template), V.copy()
    share = None
    for _ in range(ROUNDS):
        slits, lips = _slits(mouth, posed)
        if not slits.any() or slits.max() > SLIT_MM:  # an open mouth stays open, also at its corners
            break
        if share is None:  # behind the edges that are seen, lips often touch already
            behind = geometry.nearest(V[lips], V[mouth.vertices])[1]
            share = np.exp(-(behind**2) / (2 * BEHIND_MM**2)) * mouth.lips + ~mouth.lips
        smooth = np.convolve(np.pad(slits, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
        posed[mouth.vertices, 1] += share * _towards(mouth, smooth)
    return posed - V


def closing(mouth: Mouth, V: FloatArray, posed: FloatArray, overlap: float, largest: float) -> FloatArray:
    """Return the upward displacements (k,), mm, of a mouth with vertices `posed` (k, 3) that make the lips overlap.

    `V` (n, 3) are the vertices of the neutral face. `overlap` is in mm; gaps above `largest` mm stay.
    """
    return _towards(mouth, _gaps(mouth, V, posed, overlap, largest))


def _towards(mouth: Mouth, gaps: FloatArray) -> FloatArray:
    """Return the upward displacements (k,), mm, that close gaps (c,) in mm between the lips."""
    return np.asarray(np.where(mouth.upper, -UPPER_SHARE, 1.0 - UPPER_SHARE) * at_lips(mouth, gaps))


def at_lips(mouth: Mouth, columns: FloatArray) -> FloatArray:
    """Return values (c,) of the columns of a mouth at its vertices, (k,), falling to 0 away from the lips."""
    return np.asarray(np.interp(mouth.along, (np.arange(COLUMNS) + 0.5) / COLUMNS, columns) * mouth.follow)


def _gaps(mouth: Mouth, V: FloatArray, posed: FloatArray, overlap: float, largest: float) -> FloatArray:
    """Return the height in mm, (c,), that is missing to an `overlap` in each column of a mouth with vertices `posed`.

    It is 0 in columns whose gap is above `largest`.
    `V` (n, 3) are the vertices of the neutral face, from which the corners are taken.
    """
    right, left = V[mouth.corners, 0]
    place = (posed[:, 0] - right) / (left - right) * COLUMNS
    inside = mouth.lips & (place >= 0) & (place < COLUMNS)
    column, height = place[inside].astype(np.int64), posed[inside, 1]
    low, high = np.full(COLUMNS, np.inf), np.full(COLUMNS, -np.inf)
    upper = mouth.upper[inside]
    np.minimum.at(low, column[upper], height[upper])
    np.maximum.at(high, column[~upper], height[~upper])
    gap = low - high + overlap
    gap[~np.isfinite(gap) | (gap > largest)] = 0.0
    middles = (np.arange(COLUMNS) + 0.5) / COLUMNS
    gap = np.maximum(gap, 0.0) * np.clip(np.minimum(middles, 1.0 - middles) / TAPER, 0.0, 1.0)
    around = np.pad(gap, 1, mode="edge")
    return np.asarray(np.maximum(gap, (around[:-2] + around[1:-1] + around[2:]) / 3))


def _slits(mouth: Mouth, V: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the height in mm, (c,), of what a picture from the front shows of the mouth between the lips.

    Also return the vertices (v,) of the triangles of the lips that it shows.
    """
    right, left = V[mouth.corners, 0]
    low, high = (limit(V[mouth.vertices[mouth.lips], 1]) for limit in (np.min, np.max))
    per_column = max(1, round((left - right) * PIXELS_PER_MM / COLUMNS))
    scale = COLUMNS * per_column / (left - right), PIXELS_PER_MM
    points = (V - (right, high, 0.0)) * (scale[0], -scale[1], 1.0)
    size = math.ceil((high - low) * PIXELS_PER_MM) + 1, COLUMNS * per_column
    shown = geometry.rasterize(points, np.concatenate([mouth.faces, mouth.inside]), None, size).triangle
    slit = (shown >= len(mouth.faces)).sum(axis=0).reshape(COLUMNS, per_column).max(axis=1) / PIXELS_PER_MM
    lips = mouth.faces[np.unique(shown[(shown >= 0) & (shown < len(mouth.faces))])]
    return np.asarray(slit, np.float64), np.unique(lips)


@load_once(maxsize=2)
def mouth_of(template: Template) -> Mouth:
    """Return the lips and the skin around them."""
    model, fine = load_face_model(), template.fine
    skin = fine.skin_count
    V = template.subdivide(model.mean[template.vertices])[:skin]
    lips, rim = (fine.regions[name][:skin] for name in ("lips", "lip_rim"))
    away = geometry.nearest(V[lips], V)[1]
    vertices = np.flatnonzero(away < AROUND_MM)
    inner = model.mean[model.landmarks68_multipie[60:68]]  # corner, upper lip, corner, lower lip; from right to left
    line = np.stack([inner[0], *(inner[[1, 2, 3]] + inner[[7, 6, 5]]) / 2, inner[4]])
    corners = geometry.nearest(V, line[[0, -1]])[0]
    places = V[vertices]
    right, left = V[corners, 0]
    from_rim = geometry.nearest(V[rim], places)[1]
    follow = np.exp(-(away[vertices] ** 2) / (2 * ACROSS_MM**2)) * np.clip(from_rim / RIM_MM, 0.0, 1.0)
    above = V[:, 1] > np.interp(V[:, 0], line[:, 0], line[:, 1])
    faces = fine.skin_faces[(away < AROUND_MM)[fine.skin_faces].all(axis=1)]
    return Mouth(
        vertices,
        above[vertices],
        lips[vertices],
        (places[:, 0] - right) / (left - right),
        follow,
        corners,
        faces,
        fine.faces[fine.regions["teeth"][fine.faces].all(axis=1)],
        fine.faces[fine.regions["mouth_interior"][fine.faces].all(axis=1)],
        np.asarray(above[faces].sum(axis=1) > 1, np.bool_),
    )
