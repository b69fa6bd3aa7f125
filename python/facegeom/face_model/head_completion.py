"""Completion of a registered face to a whole head: parts that the photo does not show come from the face model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.face_model.template import Template

RINGS = 3
"""Number of edges from vertices that are not wholly visible up to which the residual is smoothed."""


@dataclass(frozen=True)
class HeadOptions:
    """Options of the completion of a registered face to a head."""

    identity_count: int = 60  # number of identity components that may change, from the first
    noise_mm: float = 1.5  # standard deviation in mm of the position of a registered vertex
    correlated_vertices: float = 45.0  # number of vertices per independent observation (errors are correlated)
    length_mm: float = 1.0  # smoothing length in mm of the residual: registered minus fitted vertex positions
    decay_mm: float = 60.0  # decay length of the residual with the distance from visible vertices, mm


def complete_head(
    model: FaceModel,
    template: Template,
    vertices: FloatArray,
    face: FloatArray,
    seen: FloatArray,
    options: HeadOptions = HeadOptions(),
) -> FloatArray:
    """Return the vertices of the whole head whose face is a registered face.

    First the model's identity is fitted to the registered face where the face is visible. Then biharmonic
    interpolation extends the remaining residual over the rest of the skin without a step or crease; the residual decays
    with the distance from the visible face. Where the face is wholly visible, more than a few vertices from all that is
    not, it stays as registered.

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
        The registered face where it is visible, and the completed head elsewhere. The parts behind the skin (eyes,
        mouth) move with the rims of their openings.
    """
    head = vertices + model_change(model, face - vertices[: len(face)], seen, options)
    skin = template.coarse.skin_count
    residual, weight = np.zeros((skin, 3)), np.zeros(skin)
    if seen.max() > 0:
        residual[: len(face)], weight[: len(face)] = face - head[: len(face)], seen
        around, F = _part(template.coarse.skin_faces, _around(template.coarse.skin_faces, weight < 1.0))
        residual[around] = geometry.biharmonic_interpolation(
            head[around], F, residual[around], weight[around], length=options.length_mm, decay=options.decay_mm
        )
    return template.follow(head, head[:skin] + residual)


def _around(F: IntArray, members: BoolArray) -> BoolArray:
    """Return some vertices (s,) and those that at most `RINGS` edges of the triangles (m, 3) separate from them."""
    for _ in range(RINGS):
        touched = F[members[F].any(axis=1)]
        members = members.copy()
        members[touched] = True
    return members


def _part(F: IntArray, members: BoolArray) -> tuple[IntArray, IntArray]:
    """Return the members (k,) of a mask (s,), and the triangles (m, 3) between them as rows of these."""
    rows = np.flatnonzero(members)
    place = np.cumsum(members) - 1
    return rows, np.asarray(place[F[members[F].all(axis=1)]])


def model_change(model: FaceModel, residual: FloatArray, seen: FloatArray, options: HeadOptions) -> FloatArray:
    """Return the displacement (n, 3), mm, of the face model by the change of identity that best fits a residual (f, 3).

    The residual belongs to the first f vertices. The change is found by ridge regression; its prior is the unit
    variance of the coefficients around the coefficients of the previous fit.
    """
    count = min(options.identity_count, len(model.identity))
    flat = model.identity[:count].reshape(count, -1)
    components = flat[:, : residual.size].astype(np.float64)
    weight = np.repeat(seen, 3) / (options.noise_mm**2 * options.correlated_vertices)
    weighted = components * weight
    normal = weighted @ components.T + np.eye(count)
    change = np.linalg.solve(normal, weighted @ residual.ravel())
    return np.asarray((change.astype(np.float32) @ flat).reshape(model.mean.shape), np.float64)
