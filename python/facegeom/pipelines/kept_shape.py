"""The shape of the fit, kept by the registration.

The fit combines the maps with the answers of the identity and of the contour network. The maps alone contain little of
a person's shape: of a known change of identity they show a fifth of what the network recovers. They also open mouths
less far than the photos do. A registration that follows the maps everywhere therefore takes shape and expression back.
Here its motion contributes only detail: what neither the identity components and expressions of the face model nor a
change of pose and size can represent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import Float32Array, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import FaceModel
from facegeom.networks.identity_units import shape_units, similarity_directions

NOT_OF_THE_SKIN = ("eyeLook", "Pupil")
"""Beginnings of the names of expressions that move the eyeballs."""

SMALLEST = 1e-4
"""Singular values below this fraction of the largest one are left out: some expressions are nearly sums of others."""


class _Components(NamedTuple):
    """What the face model can represent: k identity components, seven rigid motions and scaling, and e expressions."""

    vertices: IntArray  # (n,), the vertices that depth maps show
    inverse: FloatArray  # (k + 7 + e, k + 7 + e), pseudo-inverse of the normal matrix over these vertices
    skin: Float32Array  # (k + 7 + e, s, 3), all vertices of the face


@load_once(maxsize=2)
def _components(model: FaceModel) -> _Components:
    units, skin = shape_units(model), model.mean[: model.face_vertex_count]
    directions = similarity_directions(skin, skin[units.vertices].mean(0))
    rows = [row for row, name in enumerate(model.expression_names) if not name.startswith(NOT_OF_THE_SKIN)]
    shapes = (model.identity[: len(units.scale)], model.expression[rows])
    identity, expressions = (values[:, : len(skin)].astype(np.float64) for values in shapes)
    parts = np.concatenate([identity, directions, expressions])
    seen = parts[:, units.vertices].reshape(len(parts), -1)
    squared, axes = np.linalg.eigh(seen @ seen.T)  # of a matrix much smaller than `seen`
    kept = squared > SMALLEST**2 * squared[-1]
    axes = axes[:, kept] / np.sqrt(squared[kept])
    return _Components(units.vertices, axes @ axes.T, parts.astype(np.float32))


def detail_of(model: FaceModel, motion: FloatArray) -> FloatArray:
    """Return the motion of the skin (s, 3) without what the face model can represent.

    Parameters
    ----------
    model : FaceModel
    motion : (s, 3) float array, mm, motion of the vertices of the face part

    Returns
    -------
    (s, 3) float array
        The least-squares part of the components of `shape_units`, of the expressions, and of rotation, translation and
        scale, over the vertices that depth maps show is removed.
    """
    components = _components(model)
    seen = np.zeros_like(motion)
    seen[components.vertices] = motion[components.vertices]
    coefficients = components.inverse @ np.tensordot(components.skin, seen, 2)
    return np.asarray(motion - np.tensordot(coefficients, components.skin, 1))
