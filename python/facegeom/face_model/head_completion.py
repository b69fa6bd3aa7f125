"""Completion of a registered face to a whole head: hidden parts follow from the face model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.template import Template


@dataclass(frozen=True)
class HeadOptions:
    """How a registered face is completed to a head."""

    identity_count: int = 60  # leading identity components that may change
    noise_mm: float = 1.5  # standard deviation of a registered vertex
    correlated_vertices: float = 45.0  # vertices per independent observation, since errors of neighbours are correlated
    length_mm: float = 1.0  # length scale below which the residual is smoothed
    decay_mm: float = 60.0  # distance from visible vertices over which the residual decays


def complete_head(
    model: FaceModel,
    template: Template,
    vertices: FloatArray,
    face: FloatArray,
    seen: FloatArray,
    options: HeadOptions = HeadOptions(),
) -> FloatArray:
    """Return the head that continues a registered face.

    First the model's identity is fitted to the registered face where it is visible. Then the remaining residual is
    extended over the rest of the skin, where it decays, by biharmonic interpolation, which leaves no step or crease.

    Parameters
    ----------
    model : FaceModel
    template : Template of the whole head
    vertices : (n, 3) float array, mm, the face model fitted to the photo
    face : (f, 3) float array, mm, the registered skin of the face
    seen : (f,) float array in [0, 1], visibility in the photo
    options : HeadOptions

    Returns
    -------
    (n, 3) float array, mm
        The registered face where it is visible, the completed head elsewhere; eyes and mouth follow their rims.
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
    """Return the change of the model (n, 3) whose identity best explains the residual (f, 3) of its first vertices.

    Ridge regression, with the unit variance of the coefficients as prior around those fitted before.
    """
    count = min(options.identity_count, len(model.identity))
    flat = model.identity[:count].reshape(count, -1)
    components = flat[:, : residual.size].astype(np.float64)
    weight = np.repeat(seen, 3) / (options.noise_mm**2 * options.correlated_vertices)
    weighted = components * weight
    normal = weighted @ components.T + np.eye(count)
    change = np.linalg.solve(normal, weighted @ residual.ravel())
    return np.asarray((change.astype(np.float32) @ flat).reshape(model.mean.shape), np.float64)
