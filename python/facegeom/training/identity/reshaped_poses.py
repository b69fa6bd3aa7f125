"""Reshaped photos as posed faces, so that they train networks of maps and meshes (`--reshaped`).

The shape of a reshaped photo is known exactly, and it varies as widely as that of the face model. Fits to photos vary
less: a network that sees nothing else learns a mean shape.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel
from facegeom.networks.identity_crop import face_points
from facegeom.training.data.pose import Pose
from facegeom.training.identity.reshaped_photos import ReshapedPhotos

CHECKED = 16
"""Number of versions whose points are compared with their coefficients when a folder is read."""

LARGEST_RESIDUAL = 0.05
"""Largest RMS distance, in pixels, between stored points and points from the coefficients; only rounding differs."""


class ReshapedPoses:
    """Images of reshaped photos, and the heads in them; a sequence of (image, `Pose`).

    Parameters
    ----------
    model : FaceModel
    photos : ReshapedPhotos
        Written by `facegeom prepare reshaped`.

    Raises
    ------
    FacegeomError
        If the stored points do not belong to the stored coefficients. The heads of `facegeom prepare heads`, for
        example, have more identity components than are stored.
    """

    def __init__(self, model: FaceModel, photos: ReshapedPhotos) -> None:
        self.model, self.photos = model, photos
        self._points = face_points(model)
        for row in np.linspace(0, len(photos) - 1, min(CHECKED, len(photos))).astype(int):
            placed = self[int(row)][1].pixels()[self._points, :2]
            residual = float(np.sqrt(((placed - photos.points[row]) ** 2).sum(1).mean()))
            if residual > LARGEST_RESIDUAL:
                raise FacegeomError(
                    f"version {row} of the reshaped photos does not show its coefficients (residual {residual:.1f} "
                    "pixels): the folder must be made by `facegeom prepare reshaped`"
                )

    @classmethod
    def load(cls, model: FaceModel, folder: str | os.PathLike[str], training: Sequence[str]) -> ReshapedPoses:
        """Read a folder of `facegeom prepare reshaped`.

        Parameters
        ----------
        model : FaceModel
        folder : path
        training : names of the training photos

        Raises
        ------
        FacegeomError
            If the folder is incomplete, or contains versions of a photo that is not a training photo.
        """
        photos = ReshapedPhotos.load(folder)
        others = sorted({str(name) for name in photos.names} - set(training))
        if others:
            raise FacegeomError(
                f"{folder} contains {len(others)} photos that are not in the training set, such as {others[0]}"
            )
        return cls(model, photos)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> tuple[ByteArray, Pose]:
        """Return the image of a version, (160, 160, 3) uint8, and the head in it."""
        photos = self.photos
        vertices = self.model.vertices(photos.identity[row], photos.expression[row])
        return np.array(photos.images[row]), _pose(vertices, self._points, photos.points[row].astype(np.float64))


def _pose(vertices: FloatArray, points: np.ndarray, pixels: FloatArray) -> Pose:
    """Return the pose of vertices (n, 3) whose `points` (p,) project to pixels (p, 2).

    The projection is a weak-perspective one, so that the linear least-squares solution is exact.
    """
    places = vertices[points]
    middle, centre = places.mean(0), pixels.mean(0)
    linear = np.linalg.lstsq(places - middle, (pixels - centre) * (1, -1), rcond=None)[0].T  # (2, 3)
    left, stretch, right = np.linalg.svd(linear, full_matrices=False)
    rows, scale = left @ right, float(stretch.mean())
    rotation = np.vstack([rows, np.cross(rows[0], rows[1])])
    translation = centre - scale * (rows @ middle) * (1, -1)
    return Pose(vertices, rotation, scale, translation)
