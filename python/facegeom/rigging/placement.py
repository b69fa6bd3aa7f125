"""The similarity from a scan to the face frame, and the units in which scans are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.face_model.point_fit import Fit
from facegeom.images.camera import Camera
from facegeom.rigging.scan import Scan

UNITS_MM = {"mm": 1.0, "cm": 10.0, "in": 25.4, "dm": 100.0, "m": 1000.0}
"""Units of length in which meshes are stored, mm."""

MOST_UNLIKE = 1.22
"""Largest ratio of the size of a face in a unit and that of an average face: the unit is then believed."""


@dataclass(frozen=True)
class Placement:
    """Where the face frame lies: a point x of the normalised scan is at scale * rotation @ x + shift, mm."""

    rotation: FloatArray
    scale: float
    shift: FloatArray

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return points (n, 3) of the normalised scan in the face frame, mm."""
        return np.asarray(self.scale * points @ self.rotation.T + self.shift)

    def back(self, points: FloatArray) -> FloatArray:
        """Return points (n, 3) of the face frame, mm, on the normalised scan."""
        return np.asarray((points - self.shift) @ self.rotation / self.scale)

    def camera(self, rotation: FloatArray, pixels_per_mm: float, centre: FloatArray, size: int) -> Camera:
        """Return the camera of a square picture of the scan, in its own coordinates.

        Parameters
        ----------
        rotation : (3, 3) float array, from the face frame to the frame of the camera
        pixels_per_mm : scale of the picture
        centre : (3,) float array, point of the face frame in the middle of the picture, mm
        size : side of the picture, pixels
        """
        scale = pixels_per_mm * self.scale
        whole = rotation @ self.rotation
        at = scale * whole @ self.back(centre[None])[0]
        middle = 0.5 * (size - 1)
        return Camera(whole, scale, np.array([middle - at[0], middle + at[1]]))

    def refined(self, fit: Fit) -> Placement:
        """Return the placement after a fit of the face model to points of the face frame, with y down, mm."""
        shift = np.array([fit.translation[0], -fit.translation[1], fit.scale * fit.depth_offset])
        rotation = fit.rotation.T
        return Placement(rotation @ self.rotation, self.scale / fit.scale, rotation @ (self.shift - shift) / fit.scale)

    def resized(self, factor: float) -> Placement:
        """Return the placement in a face frame whose coordinates are larger by a factor."""
        return Placement(self.rotation, self.scale * factor, self.shift * factor)

    def moved(self, shift: FloatArray) -> Placement:
        """Return the placement in a face frame in which all coordinates are larger by `shift` (3,), mm."""
        return Placement(self.rotation, self.scale, self.shift + shift)

    def matrix(self, scan: Scan) -> FloatArray:
        """Return the matrix (4, 4) from coordinates of the given mesh to the face frame, mm."""
        result = np.eye(4)
        result[:3, :3] = self.scale / scan.unit * self.rotation
        result[:3, 3] = self.shift - result[:3, :3] @ scan.centre
        return result


def unit_of(mm_per_unit: float) -> tuple[str | None, float]:
    """Return the name and the length in mm of the unit of a mesh whose face would have the average size.

    Parameters
    ----------
    mm_per_unit : length of the mesh's unit in mm, if the face had the average size

    Returns
    -------
    The name is None, and the length is the given one, if no known unit gives a face of a usual size.

    Examples
    --------
    >>> unit_of(9.4)
    ('cm', 10.0)
    >>> unit_of(300.0)
    (None, 300.0)
    """
    name, length = min(UNITS_MM.items(), key=lambda one: abs(np.log(one[1] / mm_per_unit)))
    if abs(np.log(length / mm_per_unit)) > np.log(MOST_UNLIKE):
        return None, mm_per_unit
    return name, length
