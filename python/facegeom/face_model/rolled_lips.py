"""Lips of a person that stay closed while one of them rolls inwards, so that no teeth are seen between them.

The displacements of `mouthRollUpper` and `mouthRollLower` are those of one face. Lips that are shorter or thinner than
those of that face would leave a slit as high as the difference, and a lip that is nearer to the teeth would roll
through them. For each person, the lips of these blendshapes are therefore moved forward, before the teeth, and towards
each other until, seen from the front, they overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model.lip_contact import ROLLS
from facegeom.face_model.model import load_face_model
from facegeom.face_model.template import Template

COLUMNS = 40
"""Number of columns of the mouth, from corner to corner, in which the gap between the lips is measured."""

OVERLAP_MM = 0.15
"""Height in mm by which rolled lips overlap, so that no gap is left between vertices."""

LARGEST_MM = 4.0
"""Largest gap in mm that is closed; a mouth that is opened wider stays open."""

CLEARANCE_MM = 0.3
"""Least distance in mm of a rolled lip from the teeth behind it."""

DEEPEST_MM = 3.0
"""Largest distance in mm by which a lip is moved forward."""

PIXELS_PER_MM = 2.0
"""Resolution of the map of the depth of the teeth."""

UPPER_SHARE = 0.5
"""Share of a gap that the upper lip closes; the lower lip closes the rest."""

TAPER = 0.08
"""Distance from a corner, relative to the width of the mouth, from which a gap is closed wholly."""

ACROSS_MM, AROUND_MM = 4.0, 12.0
"""Standard deviation in mm with which the skin around the lips follows them, and largest distance of such skin."""

RIM_MM = 5.0
"""Distance in mm from the rim, where the inside of the mouth begins and nothing moves, at which a lip moves wholly."""

ROUNDS = 3
"""Number of corrections."""


class _Mouth(NamedTuple):
    """The lips and the skin around them, k fine vertices of a template.

    Attributes
    ----------
    vertices : (k,) int array, rows of the fine vertices
    upper, lips : (k,) bool arrays, vertices above the line between the lips; vertices of the lips
    along : (k,) float array, place along the mouth on the mean face: 0 and 1 at its right and left corner
    follow : (k,) float array, share of the motion of the lips
    corners : (2,) int array, rows of the fine vertices at the right and the left corner
    faces, teeth : (m, 3) and (t, 3) int arrays, triangles of the lips with the skin around them, and of the teeth
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
    upper_faces: BoolArray


def closing_rolls(template: Template, V: FloatArray, shapes: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
    """Return the shapes mouthRollUpper and mouthRollLower of a person.

    Parameters
    ----------
    template : Template
    V : (n, 3) float array, mm, the fine vertices of the neutral face
    shapes : name -> (n, 3) float32 array, displacements at weight 1, mm

    Returns
    -------
    mapping from name to (n, 3) float32 array
        Displacements at weight 1, mm; read-only.
    """
    mouth = _mouth(template)
    result = {}
    for name in ROLLS:
        shape = shapes[name].copy()
        shape[mouth.vertices, 2] += _forward(mouth, V, V + shape)
        for _ in range(ROUNDS):
            gap = _gaps(mouth, V, V[mouth.vertices] + shape[mouth.vertices])
            closing = np.interp(mouth.along, (np.arange(COLUMNS) + 0.5) / COLUMNS, gap) * mouth.follow
            shape[mouth.vertices, 1] += np.where(mouth.upper, -UPPER_SHARE, 1.0 - UPPER_SHARE) * closing
        shape.flags.writeable = False
        result[name] = shape
    return result


def _forward(mouth: _Mouth, V: FloatArray, posed: FloatArray) -> FloatArray:
    """Return by how many mm, (k,), the lips of a mouth move forward so that no teeth come through them.

    `V` and `posed` (n, 3) are the vertices of the neutral face and those under a blendshape.
    """
    places = posed[mouth.vertices]
    low, high = places.min(axis=0), places.max(axis=0)
    width, height = np.ceil((high - low)[:2] * PIXELS_PER_MM).astype(int).tolist()
    points = (posed - (low[0], high[1], 0.0)) * (PIXELS_PER_MM, -PIXELS_PER_MM, 1.0)
    teeth, lips = (geometry.rasterize(points, faces, None, (height, width)) for faces in (mouth.teeth, mouth.faces))
    missing = np.where(lips.triangle >= 0, teeth.depth - lips.depth + CLEARANCE_MM, 0.0)
    row, pixel = np.nonzero(np.nan_to_num(missing) > 0)
    missing = np.minimum(missing[row, pixel], DEEPEST_MM)
    of_upper = mouth.upper_faces[lips.triangle[row, pixel]]
    right, left = V[mouth.corners, 0]
    column = np.clip((pixel / PIXELS_PER_MM + low[0] - right) / (left - right) * COLUMNS, 0, COLUMNS - 1)
    result = np.zeros(len(places))
    for lip, own in ((mouth.upper, of_upper), (~mouth.upper, ~of_upper)):
        most = np.zeros(COLUMNS)
        np.maximum.at(most, column[own].astype(np.int64), missing[own])
        around = np.pad(most, 2, mode="edge")
        smooth = np.mean([around[i : i + COLUMNS] for i in range(5)], axis=0)
        along = np.interp(mouth.along, (np.arange(COLUMNS) + 0.5) / COLUMNS, np.maximum(most, smooth))
        result += lip * along * mouth.follow
    return result


def _gaps(mouth: _Mouth, V: FloatArray, posed: FloatArray) -> FloatArray:
    """Return the height in mm, (c,), that is missing to an overlap in each column of a mouth with vertices `posed`.

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
    gap = low - high + OVERLAP_MM
    gap[~np.isfinite(gap) | (gap > LARGEST_MM)] = 0.0
    middles = (np.arange(COLUMNS) + 0.5) / COLUMNS
    gap = np.maximum(gap, 0.0) * np.clip(np.minimum(middles, 1.0 - middles) / TAPER, 0.0, 1.0)
    around = np.pad(gap, 1, mode="edge")
    return np.asarray(np.maximum(gap, (around[:-2] + around[1:-1] + around[2:]) / 3))


@load_once(maxsize=2)
def _mouth(template: Template) -> _Mouth:
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
    return _Mouth(
        vertices,
        above[vertices],
        lips[vertices],
        (places[:, 0] - right) / (left - right),
        follow,
        corners,
        faces,
        fine.faces[fine.regions["teeth"][fine.faces].all(axis=1)],
        np.asarray(above[faces].sum(axis=1) > 1, np.bool_),
    )
