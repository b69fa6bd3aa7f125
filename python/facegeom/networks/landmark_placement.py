"""The placement of the semi-sphere by the 68 landmarks, computed with NumPy: an input of GCN-IGAN's network.

It is outside the network because ONNX has no singular value decomposition.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import Float32Array
from facegeom.networks.semi_sphere import mean_landmarks


class LandmarkPlacement(NamedTuple):
    """Similarities from the semi-sphere's frame to the crop frame, for b crops.

    Attributes
    ----------
    rotation : (b, 3, 3) float32 array
    scale : (b, 1) float32 array
    shift : (b, 3) float32 array
    """

    rotation: Float32Array
    scale: Float32Array
    shift: Float32Array


def place_by_landmarks(landmarks: npt.NDArray[np.floating]) -> LandmarkPlacement:
    """Return the similarities that map the landmarks of the mean face to landmarks (b, 68, 3) in the crop frame, by
    least squares (Umeyama 1991); never a reflection.
    """
    mean, points = mean_landmarks(), np.asarray(landmarks, np.float64)
    own, centre = mean - mean.mean(axis=0), points.mean(axis=1)
    left, size, right = np.linalg.svd((points - centre[:, None]).transpose(0, 2, 1) @ own)
    sign = np.ones_like(size)
    sign[:, 2] = np.sign(np.linalg.det(left @ right))
    rotation = (left * sign[:, None]) @ right
    scale = (size * sign).sum(axis=1, keepdims=True) / (own**2).sum()
    shift = centre - scale * (rotation @ mean.mean(axis=0))
    return LandmarkPlacement(*(part.astype(np.float32) for part in (rotation, scale, shift)))
