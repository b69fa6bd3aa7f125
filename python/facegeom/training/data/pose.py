"""A face in a photo: vertices and camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom._internal.arrays import FloatArray


@dataclass(frozen=True)
class Pose:
    """A face in a photo: its vertices in the face frame and a weak-perspective camera."""

    vertices: FloatArray  # (n, 3) vertices in the face frame, mm
    rotation: FloatArray  # (3, 3) rotation from the face frame to the camera frame
    scale: float  # scale of the camera, pixels per mm
    translation: FloatArray  # (2,) pixel onto which the face origin is projected

    def pixels(self) -> FloatArray:
        """Return the projected vertices, (n, 3): pixel x, pixel y, and depth in mm (larger is nearer to the camera)."""
        camera = self.vertices @ self.rotation.T
        out = np.empty_like(camera)
        out[:, 0] = camera[:, 0] * self.scale + self.translation[0]
        out[:, 1] = -camera[:, 1] * self.scale + self.translation[1]
        out[:, 2] = camera[:, 2]
        return out

    def turned(self, yaw_deg: float, pitch_deg: float = 0.0) -> Pose:
        """Return the pose after a rotation about the vertical (yaw) and then the horizontal (pitch) camera axis."""
        y, p = np.radians([yaw_deg, pitch_deg])
        yaw = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        pitch = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        return Pose(self.vertices, pitch @ yaw @ self.rotation, self.scale, self.translation)

    def origin_and_scale(self, affine: FloatArray) -> tuple[tuple[float, float], float]:
        """Return the face origin (column, row) and the scale (pixels per mm) in a crop of the photo.

        Parameters
        ----------
        affine : (2, 3) float array
            Similarity transform from photo pixels to crop pixels.
        """
        column, row = affine[:, :2] @ self.translation + affine[:, 2]
        return (float(column), float(row)), float(self.scale * np.sqrt(abs(np.linalg.det(affine[:, :2]))))
