"""The weak-perspective camera: projection of the face frame to pixels of the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import one_thread

ORTHONORMAL_TOLERANCE = 1e-6
"""Maximum entry of |R R^T - I| for an accepted rotation matrix R; products of float64 rotations stay below 1e-14."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A weak-perspective camera: projection from the face frame to pixels of the photo.

    Attributes
    ----------
    rotation : (3, 3) float array
        Rotation from the face frame to the camera frame (+x to the right of the photo, +y up, +z to the camera).
    scale : float
        Pixels of the photo per millimetre.
    translation : (2,) float array
        Pixel (x, y) of the photo to which the origin of the face frame projects.

    Raises
    ------
    ValueError, TypeError
        When `rotation` is not a rotation matrix (a reflection is not accepted) or `scale` is not above zero.

    Notes
    -----
    Pixel x = scale (R X)_x + t_x and pixel y = -scale (R X)_y + t_y, pixel centres at integers, y down; the depth
    of X is (R X)_z, and a greater depth is nearer to the camera.

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
            raise ValueError(
                "rotation must be a rotation matrix: orthonormal, with determinant 1; got "
                f"determinant {np.linalg.det(rotation):.6g} and error {error:.3g} of R R^T - I"
            )
        translation = check.float_array(self.translation, "translation", (2,)).copy()
        rotation.flags.writeable = translation.flags.writeable = False
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "scale", check.positive(self.scale, "scale"))
        object.__setattr__(self, "translation", translation)

    @one_thread()
    def view(self, points: npt.ArrayLike) -> FloatArray:
        """Transform points (n, 3), mm, from the face frame to the camera frame; return an (n, 3) array, mm."""
        return check.vertices(points, "points") @ self.rotation.T

    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Project points (n, 3) of the face frame, mm; return pixels x, y (n, 2) of the photo."""
        return self.view(points)[:, :2] * (self.scale, -self.scale) + self.translation

    @one_thread()
    def unproject(self, pixels: npt.ArrayLike, depth: npt.ArrayLike) -> FloatArray:
        """Return the points (n, 3) of the face frame, mm, with the given projections (n, 2) and depths (n,), mm."""
        pixels = check.float_array(pixels, "pixels", (None, 2))
        depth = check.float_array(depth, "depth", (len(pixels),))
        across = (pixels - self.translation) / (self.scale, -self.scale)
        return np.column_stack([across, depth]) @ self.rotation


def roll_deg(rotation: FloatArray) -> float:
    """Return the roll of a face in degrees, counter-clockwise in the photo, from the rotation (3, 3) of its camera.

    Examples
    --------
    >>> roll_deg(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
    90.0
    """
    return float(np.degrees(np.arctan2(-rotation[0, 1], rotation[1, 1])))
