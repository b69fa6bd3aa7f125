"""Closed lips of the neutral face of a person.

The neutral face is the photographed face without its blendshapes. What the fit of a smile does not explain remains: a
slit between the lips, through which the teeth can be seen, or lips that overlap. The lips of the neutral face are
therefore closed, and the blendshapes of the mouth that the photo shows take the change, so that with the weights of the
photo they still give the photographed face.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facegeom._internal.arrays import Float32Array, FloatArray
from facegeom.face_model.template import Template

MOVERS = ("jaw", "mouth", "cheekPuff")
"""Beginnings of the names of the blendshapes that take the change."""

LARGEST_MM = (5.0, 9.0)
"""Distances in mm between opposite vertices of the lips: closed below the first, unchanged above the second."""

ROUNDS = 2
"""Number of corrections."""

WHOLE = 0.15
"""Sum of the squares of the weights of these blendshapes from which on the whole change is made."""


def closed_lips(
    template: Template, neutral: FloatArray, shapes: Mapping[str, Float32Array], weights: Mapping[str, float]
) -> tuple[FloatArray, dict[str, Float32Array]]:
    """Return the neutral face of a person with closed lips, and the blendshapes that change.

    Parameters
    ----------
    template : Template
    neutral : (n, 3) float array, mm, fine vertices: the photographed face without its blendshapes
    shapes : name -> (n, 3) float32 array, displacements at weight 1, mm
    weights : weight of each blendshape in the photo

    Returns
    -------
    (n, 3) float array, mm
        The neutral face.
    mapping from name to (n, 3) float32 array
        Changed displacements, read-only. The sum of the neutral face and all weighted shapes is as before.
    """
    moved = {name: weight for name, weight in weights.items() if weight > 0 and name.startswith(MOVERS)}
    power = sum(weight**2 for weight in moved.values())
    if not power:
        return neutral, {}
    skin = template.coarse.skin_count
    fine = np.zeros(neutral.shape)
    for _ in range(ROUNDS):
        change = np.zeros((len(template.vertices), 3))
        places = (neutral + fine)[:skin]
        change[:skin] = template.shut_lips(places, LARGEST_MM) - places
        fine += template.subdivide(change)
    fine *= min(1.0, power / WHOLE)
    result = {}
    for name, weight in moved.items():
        result[name] = (shapes[name] - fine * (weight / power)).astype(np.float32)
        result[name].flags.writeable = False
    # The rounded shapes decide, so that the photographed face does not change.
    return neutral + sum(
        (weight * (shapes[name].astype(np.float64) - result[name]) for name, weight in moved.items()), np.zeros(3)
    ), result
