"""The weak-perspective camera: projection of the face frame to pixels of the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray

ORTHONORMAL_TOLERANCE = 1e-6
"""Largest allowed entry of R R^T - I; products of float64 rotations stay below 1e-14."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A weak-perspective camera, face frame to photo.

    Attributes
    ----------
    rotation : (3, 3) float array
        Face frame -> camera frame (+x to the subject's left when frontal, +y up, +z to the camera).
    scale : float
        Pixels of the photo per millimetre.
    translation : (2,) float array
        Pixel (x, y) of the photo to which the origin of the face frame projects.

    Raises
    ------
    ValueError, TypeError
        When `rotation` is not a rotation (reflections included) or `scale` is not above zero.

    Notes
    -----
    Pixel x = scale (R X)_x + t_x and pixel y = -scale (R X)_y + t_y, pixel centres at integers, y down; the depth
    of X is (R X)_z, greater is nearer to the camera.

    Examples
    --------
    >>> camera = Camera(np.eye(3), 2.0, (100.0, 80.0))
    >>> camera.project([[0, 0, 0], [10, 5, 30.0]])
    array([[100.,  80.],
           [120.,  70.]])
    """

    rotation: FloatArray
    scale: float
    translation: FloatArray

    def __post_init__(self) -> None:
        rotation = check.float_array(self.rotation, "rotation", (3, 3)).copy()
        error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        if error > ORTHONORMAL_TOLERANCE or np.linalg.det(rotation) < 0:
            raise ValueError(f"rotation must be a rotation matrix, got determinant {np.linalg.det(rotation):.6g}")
        translation = check.float_array(self.translation, "translation", (2,)).copy()
        rotation.flags.writeable = translation.flags.writeable = False
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "scale", check.positive(self.scale, "scale"))
        object.__setattr__(self, "translation", translation)

    def view(self, points: npt.ArrayLike) -> FloatArray:
        """Return (n, 3) `points` of the face frame in the camera frame, mm, +z to the camera."""
        return check.vertices(points, "points") @ self.rotation.T

    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Return the (n, 2) pixels of the photo to which (n, 3) `points` of the face frame project."""
        return self.view(points)[:, :2] * (self.scale, -self.scale) + self.translation

    def unproject(self, pixels: npt.ArrayLike, depth: npt.ArrayLike) -> FloatArray:
        """Return the (n, 3) points of the face frame, mm, that project to (n, 2) `pixels` and have (n,) `depth`, mm."""
        pixels = check.float_array(pixels, "pixels", (None, 2))
        depth = check.float_array(depth, "depth", (len(pixels),))
        across = (pixels - self.translation) / (self.scale, -self.scale)
        return np.column_stack([across, depth]) @ self.rotation


def roll_deg(rotation: FloatArray) -> float:
    """Return the roll of a face, degrees anticlockwise as seen, from the (3, 3) rotation of its camera.

    Examples
    --------
    >>> roll_deg(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
    90.0
    """
    return float(np.degrees(np.arctan2(-rotation[0, 1], rotation[1, 1])))
