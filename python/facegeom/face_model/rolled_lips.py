"""Lips of a person that stay closed while one of them rolls inwards, so that no teeth are seen between them.

The displacements of `mouthRollUpper` and `mouthRollLower` are those of one face. Lips that are shorter or thinner than
those of that face would leave a slit as high as the difference, and a lip that is nearer to the teeth would roll
through them. For each person, the lips of these blendshapes are therefore moved forward, before the teeth, and towards
each other until, seen from the front, they overlap.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import Float32Array, FloatArray
from facegeom.face_model.lip_contact import ROLLS
from facegeom.face_model.lip_gap import COLUMNS, Mouth, at_lips, closing, mouth_of
from facegeom.face_model.template import Template

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

ROUNDS = 3
"""Number of corrections."""


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
    mouth = mouth_of(template)
    result = {}
    for name in ROLLS:
        shape = shapes[name].copy()
        shape[mouth.vertices, 2] += _forward(mouth, V, V + shape)
        for _ in range(ROUNDS):
            posed = V[mouth.vertices] + shape[mouth.vertices]
            shape[mouth.vertices, 1] += closing(mouth, V, posed, OVERLAP_MM, LARGEST_MM)
        shape.flags.writeable = False
        result[name] = shape
    return result


def _forward(mouth: Mouth, V: FloatArray, posed: FloatArray) -> FloatArray:
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
        result += lip * at_lips(mouth, np.maximum(most, smooth))
    return result
