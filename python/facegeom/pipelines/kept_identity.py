"""The identity of the fit, kept by the registration.

The fit combines the maps with the answer of the identity network. The maps alone contain little of a person's shape: of
a known change of identity they show a fifth of what the network recovers. A registration that follows the maps
everywhere therefore takes the shape back. Here its motion contributes what the identity components of the face model
cannot represent: detail, and errors of the expression.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import FaceModel
from facegeom.networks.identity_units import shape_units, similarity_directions


class _Components(NamedTuple):
    """Identity components without rotation, translation and scale, mm per standard deviation."""

    vertices: IntArray  # (n,), the vertices that depth maps show
    inverse: FloatArray  # (3 n, k), pseudo-inverse over these vertices
    skin: FloatArray  # (k, s, 3), all vertices of the face


@load_once(maxsize=2)
def _components(model: FaceModel) -> _Components:
    units, skin = shape_units(model), model.mean[: model.face_vertex_count]
    count = len(units.scale)
    identity = model.identity[:count, : len(skin)].astype(np.float64)
    directions = similarity_directions(skin, skin[units.vertices].mean(0))
    removed = (identity[:, units.vertices] - units.basis).reshape(count, -1)
    shares = np.linalg.lstsq(directions[:, units.vertices].reshape(7, -1).T, removed.T, rcond=None)[0]
    basis = identity - np.einsum("dk,dvc->kvc", shares, directions)
    inverse = np.asarray(np.linalg.pinv(units.basis.reshape(count, -1)), dtype=np.float64)
    return _Components(units.vertices, inverse, basis)


def without_identity(model: FaceModel, motion: FloatArray) -> FloatArray:
    """Return the motion of the skin (s, 3) without its part in the identity components of `shape_units`.

    Parameters
    ----------
    model : FaceModel
    motion : (s, 3) float array, mm, motion of the vertices of the face part

    Returns
    -------
    (s, 3) float array
        The least-squares part of the components over the vertices that depth maps show is removed. Rotation,
        translation and scale remain.
    """
    components = _components(model)
    coefficients = motion[components.vertices].reshape(-1) @ components.inverse
    return np.asarray(motion - np.einsum("k,kvc->vc", coefficients, components.skin))
