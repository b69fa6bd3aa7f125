"""The size of a face relative to the mean face, and faces of the mean face's size.

A photo does not show how large a face is. What a network or a fit says about the size is chance or a bias.
"""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model.model import FaceModel

RIDGE = 1000.0
"""Weight of the squared coefficients, in mm^2, against the squared error of all vertices: an exact scaling would need
large coefficients of components that hardly scale the face."""


def relative_size(model: FaceModel, identity: FloatArray) -> float:
    """Return the scale of the least-squares similarity from the mean face to the face with identity coefficients (k,).

    The rotation is left out: identity components do not rotate the face.
    """
    mean = _centred(model, model.mean)
    return float((mean * _centred(model, model.vertices(identity))).sum() / (mean * mean).sum())


def with_mean_size(model: FaceModel, identity: FloatArray) -> FloatArray:
    """Return identity coefficients (k,) of a face of the same shape, with the size of the mean face."""
    direction, size = _scaling(model, len(identity))
    return np.asarray(identity + (1.0 - relative_size(model, identity)) / size * direction)


@load_once(maxsize=4)
def _scaling(model: FaceModel, count: int) -> tuple[FloatArray, float]:
    """Return coefficients (count,) that enlarge the face, and by how much they change its relative size."""
    mean = _centred(model, model.mean)
    basis = np.stack([_centred(model, component) for component in model.identity[:count]]).reshape(count, -1)
    direction = np.linalg.solve(basis @ basis.T + RIDGE * np.eye(count), basis @ mean.ravel())
    return np.asarray(direction), float((direction @ basis) @ mean.ravel() / (mean * mean).sum())


def _centred(model: FaceModel, V: FloatArray) -> FloatArray:
    """Return the vertices of the face, without their mean, float64."""
    face = np.asarray(V[: model.face_vertex_count], np.float64)
    return np.asarray(face - face.mean(0))
