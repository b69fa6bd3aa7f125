"""Units of the identity network: identity components as displacements of the face in mm, computed with NumPy.

Each coefficient is multiplied by the root mean square displacement (mm) that one standard deviation of its component
causes. Rotation, translation and scale are removed from the component first, because a photo does not show them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.networks.interface import IdentityAnswer


class ShapeUnits(NamedTuple):
    """Identity components as displacements of the face, without rotation, translation and scale.

    Attributes
    ----------
    vertices : (n,) int array, vertices of the face part that the depth map shows
    basis : (k, n, 3) float array, mm per standard deviation
    scale : (k,) float array, mm: root mean square of each component of the basis over the vertices
    mirror : (k, k) float array; the mirror image of a face has the coefficients `mirror @ coefficients`
    """

    vertices: IntArray
    basis: FloatArray
    scale: FloatArray
    mirror: FloatArray

    def rms_mm(self, coefficients: FloatArray) -> FloatArray:
        """Return the root mean square displacement of the vertices for coefficients (..., k), (...) mm."""
        flat = self.basis.reshape(len(self.basis), -1)
        gram = flat @ flat.T / len(self.vertices)
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", coefficients, gram, coefficients)))


def shape_units(model: FaceModel, count: int = 60) -> ShapeUnits:
    """Return the first identity components of a face model as displacements.

    Parameters
    ----------
    model : FaceModel
    count : int
        Number of components.

    Notes
    -----
    Rotation, translation and scale are removed to first order at the mean face: each component is projected onto the
    space orthogonal to these seven directions.
    """
    vertices = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
    identity = model.identity[:count].astype(np.float64)
    flat = identity[:, vertices].reshape(count, -1)
    mirrored = (identity[:, model.mirror] * np.array([-1.0, 1.0, 1.0]))[:, vertices].reshape(count, -1)
    mirror = np.linalg.solve(flat @ flat.T, flat @ mirrored.T)  # least squares; the components are nearly orthogonal
    points = model.mean[vertices]
    rigid = np.linalg.qr(similarity_directions(points, points.mean(0)).reshape(7, -1).T)[0]
    flat = flat - (flat @ rigid) @ rigid.T
    scale = np.sqrt((flat**2).sum(1) / len(vertices))
    return ShapeUnits(vertices, flat.reshape(count, -1, 3), scale, mirror)


def similarity_directions(points: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the displacements (7, n, 3) of points under translations, rotations and scaling, to first order.

    Parameters
    ----------
    points : (n, 3) float array
    centre : (3,) float array, centre of the rotations and of the scaling
    """
    directions = np.zeros((7, *points.shape))
    for axis in range(3):
        directions[axis, :, axis] = 1.0
        directions[3 + axis] = np.cross(np.eye(3)[axis], points - centre)
    directions[6] = points - centre
    return directions


def answers(
    units: ShapeUnits,
    mean: npt.NDArray[np.floating],
    log_variance: npt.NDArray[np.floating],
    points: npt.NDArray[np.floating],
    count: int,
) -> list[IdentityAnswer]:
    """Return the answer for each of `count` crops from the outputs of the identity network.

    Parameters
    ----------
    units : ShapeUnits
    mean, log_variance : (count, k) or (2 count, k) arrays, mm and the logarithm of squared mm
        With twice as many rows, the second half belongs to the mirror images of the crops. Mean and points are then
        averaged over both; the variance is that of the crop itself.
    points : (count, p, 2) or (2 count, p, 2) array, mm, in the order of `identity_crop.face_points`
    count : int
    """
    found = mean.astype(np.float64) / units.scale
    deviation = np.exp(0.5 * log_variance[:count].astype(np.float64)) / units.scale
    places = points.astype(np.float64)
    if len(found) > count:
        found = 0.5 * (found[:count] + found[count:] @ units.mirror.T)
        mirrored = np.roll(places[count:], places.shape[1] // 2, axis=1) * np.array([-1.0, 1.0])
        places = 0.5 * (places[:count] + mirrored)
    return [IdentityAnswer(*answer) for answer in zip(found, deviation, places, strict=True)]
