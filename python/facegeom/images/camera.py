"""The weak-perspective camera: projection of the face frame to pixels of the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import one_thread

ORTHONORMAL_TOLERANCE = 1e-6
"""Maximum entry of |R R^T - I| for an accepted rotation matrix R; products of float64 rotations stay below 1e-14."""

CLIP_DEPTH_MM = 500.0
"""Largest distance in mm, before and behind the origin of the face frame, that is inside the clip volume of `matrix`;
a whole head reaches about 250 mm."""


class Pose(NamedTuple):
    """The pose of a face, in degrees; all three are 0 for a face that looks straight into the camera.

    The rotation from the face frame to the camera frame (+x to the right of the photo, +y up, +z to the camera) is
    Rz(roll) Rx(-pitch) Ry(yaw), with right-handed rotations about the axes of the camera.

    Attributes
    ----------
    yaw : from -180 to 180; positive: the face turns to the subject's left, and the nose moves to the right in the photo
    pitch : from -90 to 90; positive: the face looks up
    roll : from -180 to 180; positive: the face is turned counter-clockwise in the photo
    """

    yaw: float
    pitch: float
    roll: float


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

    @property
    def pose(self) -> Pose:
        """The pose of the face, in degrees."""
        across, up, ahead = self.rotation[2].tolist()  # of the camera's direction, in the face frame
        yaw, pitch = np.arctan2(-across, ahead), np.arctan2(-up, np.hypot(across, ahead))
        return Pose(float(np.degrees(yaw)) + 0.0, float(np.degrees(pitch)) + 0.0, roll_deg(self.rotation) + 0.0)

    def matrix(self, convention: str = "opencv", size: tuple[int, int] | None = None) -> FloatArray:
        """Return the camera as a matrix that multiplies homogeneous points (X, Y, Z, 1) of the face frame, mm.

        Parameters
        ----------
        convention : "opencv" or "opengl"
        size : width and height of the picture in pixels; needed for "opengl" and only there

        Returns
        -------
        (3, 4) float array for "opencv"
            The product is (pixel x, pixel y, 1), pixel centres at integers, y down. Its last row is (0, 0, 0, 1), as in
            every affine camera.
        (4, 4) float array for "opengl"
            An orthographic projection to the clip volume, whose three coordinates range from -1 to 1: x to the right
            and y up in the picture, from edge to edge, and z away from the camera. Points up to `CLIP_DEPTH_MM` before
            and behind the origin of the face frame are inside. As in all formulas of OpenGL, the matrix multiplies
            columns; OpenGL stores it in column-major order, so that it is transposed for `glUniformMatrix4fv`.

        Raises
        ------
        ValueError, TypeError
            When `convention` is neither of the two, or `size` is missing, superfluous or not above zero.

        Examples
        --------
        >>> camera = Camera(np.eye(3), 2.0, (100.0, 80.0))
        >>> camera.matrix("opencv") @ [10.0, 5.0, 30.0, 1.0]
        array([120.,  70.,   1.])
        >>> camera.matrix("opengl", (200, 160)) @ [0.0, 0.0, 500.0, 1.0]  # pixel (100, 80) is right of the middle
        array([ 0.005  , -0.00625, -1.     ,  1.     ])
        """
        if convention not in ("opencv", "opengl"):
            raise ValueError(f"convention must be 'opencv' or 'opengl', got {convention!r}")
        pixel = np.zeros((3, 4))
        pixel[:2, :3] = self.rotation[:2] * [[self.scale], [-self.scale]]
        pixel[:, 3] = *self.translation, 1.0
        if convention == "opencv":
            if size is not None:
                raise ValueError("size is only for the convention 'opengl'")
            return pixel
        if size is None:
            raise ValueError("size must be the width and height of the picture for the convention 'opengl'")
        width, height = (check.positive(side, "size") for side in check.float_array(size, "size", (2,)).tolist())
        # Pixel centres are at integers: the picture reaches from -0.5 to width - 0.5.
        x = (2.0 * pixel[0] + pixel[2]) / width - pixel[2]
        y = pixel[2] - (2.0 * pixel[1] + pixel[2]) / height
        z = np.append(self.rotation[2] / -CLIP_DEPTH_MM, 0.0)
        return np.array([x, y, z, pixel[2]])


def roll_deg(rotation: FloatArray) -> float:
    """Return the roll of a face in degrees, counter-clockwise in the photo, from the rotation (3, 3) of its camera.

    Examples
    --------
    >>> roll_deg(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
    90.0
    """
    return float(np.degrees(np.arctan2(-rotation[0, 1], rotation[1, 1])))
