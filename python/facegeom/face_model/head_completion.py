"""The whole head behind a registered face: where the photo shows nothing, the face model says what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.template import Template


@dataclass(frozen=True)
class HeadOptions:
    """How a registered face becomes a head."""

    identity_count: int = 60  # leading identity components that may change
    noise_mm: float = 1.5  # standard deviation of a registered vertex
    correlated_vertices: float = 45.0  # vertices an independent observation: neighbouring errors are alike
    length_mm: float = 1.0  # down to this the registered surface is kept
    decay_mm: float = 60.0  # beyond this from what was seen, the head is the model's


def complete_head(
    model: FaceModel,
    template: Template,
    vertices: FloatArray,
    face: FloatArray,
    seen: FloatArray,
    options: HeadOptions = HeadOptions(),
) -> FloatArray:
    """Return the head that continues a registered face.

    The model's identity is fitted once more, now to the registered face where the photo showed it. What is left between
    the two goes on over the rest of the skin and fades away, by biharmonic interpolation: no step and no crease.

    Parameters
    ----------
    model : FaceModel
    template : Template of the whole head
    vertices : (n, 3) float array, mm, the face model fitted to the photo
    face : (f, 3) float array, mm, the registered skin of the face
    seen : (f,) float array in [0, 1], how far the photo showed it
    options : HeadOptions

    Returns
    -------
    (n, 3) float array, mm
        The face where it was seen, the rest as follows from it; eyes and mouth follow their rims.
    """
    head = vertices + model_change(model, face - vertices[: len(face)], seen, options)
    skin = template.coarse.skin_count
    residual, weight = np.zeros((skin, 3)), np.zeros(skin)
    if seen.max() > 0:
        residual[: len(face)], weight[: len(face)] = face - head[: len(face)], seen
        residual = geometry.biharmonic_interpolation(
            head[:skin],
            template.coarse.skin_faces,
            residual,
            weight,
            length=options.length_mm,
            decay=options.decay_mm,
        )
    return template.follow(head, head[:skin] + residual)


def model_change(model: FaceModel, residual: FloatArray, seen: FloatArray, options: HeadOptions) -> FloatArray:
    """Return by how much the model (n, 3) moves when its identity explains the residual (f, 3) of its first vertices.

    Ridge regression with the unit variance of the model's coefficients, about those that were fitted before.
    """
    count = min(options.identity_count, len(model.identity))
    flat = model.identity[:count].reshape(count, -1)
    components = flat[:, : residual.size].astype(np.float64)
    weight = np.repeat(seen, 3) / (options.noise_mm**2 * options.correlated_vertices)
    weighted = components * weight
    normal = weighted @ components.T + np.eye(count)
    change = np.linalg.solve(normal, weighted @ residual.ravel())
    return np.asarray((change.astype(np.float32) @ flat).reshape(model.mean.shape), np.float64)
