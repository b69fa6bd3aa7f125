"""Crops of the heads of labelled photos; a label is moved to the pixels of the crop."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError
from facegeom.face_model.point_fit import Fit
from facegeom.images.crop import apply_affine, warp_image
from facegeom.networks.segmentation_crop import head_affine
from facegeom.training.data.labels import Labels, find_photos
from facegeom.training.data.samples import PhotoStore
from facegeom.training.data.split import split_names

SHIFT, SCALE, ROLL_DEG = 0.03, 0.07, 6.0
"""Standard deviations of the offset of a random crop / its side, of the logarithm of its scale, and of its roll."""


class HeadCrop(NamedTuple):
    """The crop of a head: (S, S, 3) uint8, and the fitted face model with the camera in pixels of the crop."""

    image: ByteArray
    fit: Fit


def in_crop(fit: Fit, affine: FloatArray) -> Fit:
    """Return a fit with its camera in pixels of a crop.

    Parameters
    ----------
    fit : Fit in pixels of a photo
    affine : (2, 3) float array, similarity transform from pixels of the photo to pixels of the crop, no mirroring
    """
    linear = affine[:, :2]
    zoom = math.sqrt(abs(float(np.linalg.det(linear))))
    spin = np.eye(3)
    spin[:2, :2] = linear / zoom * np.array([[1.0, -1.0], [-1.0, 1.0]])  # y is up in the camera frame, down in pixels
    place = apply_affine(affine, np.asarray(fit.translation, np.float64)[None])[0]
    return replace(fit, rotation=spin @ fit.rotation, scale=fit.scale * zoom, translation=place)


class HeadPhotos:
    """Photos of one part of the split with their labels.

    The crop is that of the segmentation network: upright, 280 mm wide, with the whole head.

    Parameters
    ----------
    folder : folder of the photos
    labels : file of `facegeom prepare labels`
    part : "training", "validation" or "test"
    most : largest number of photos, evenly spread; None: all

    Raises
    ------
    FacegeomError
        If no photo of the part has a label.
    """

    def __init__(self, folder: Path, labels: Path, part: str, most: int | None = None) -> None:
        cv2.setNumThreads(0)  # OpenCV's threads do not work in forked processes
        self.labels, photos = Labels.load(labels), find_photos(folder)
        names = [str(name) for name in self.labels.names]
        rows = np.intersect1d(getattr(split_names(names), part), self.labels.kept)
        self.rows = np.array([row for row in rows if names[row] in photos], np.int64)
        if not len(self.rows):
            raise FacegeomError(f"no {part} photo below {folder} has a label in {labels}")
        if most is not None and len(self.rows) > most:
            self.rows = self.rows[np.linspace(0, len(self.rows) - 1, most).astype(int)]
        self.names = [names[row] for row in self.rows]
        self.store = PhotoStore(photos, self.names)

    def __len__(self) -> int:
        return len(self.names)

    def crop(
        self, item: int, size: int, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0), roll_deg: float = 0.0
    ) -> HeadCrop:
        """Return the crop of a head.

        Parameters
        ----------
        item : number of the photo
        size : side of the crop in pixels
        scale : factor of the size of the head in the crop
        shift : offset of the head / side of the crop
        roll_deg : rotation of the crop, degrees counter-clockwise
        """
        fit = self.labels.fit(int(self.rows[item]))
        affine = head_affine(fit.rotation, fit.scale, fit.translation, size)
        angle = math.radians(roll_deg)
        turn = scale * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        middle = np.full(2, 0.5 * (size - 1))
        offset = turn @ (affine[:, 2] - middle) + middle + size * np.asarray(shift)
        affine = np.column_stack([turn @ affine[:, :2], offset])
        photo = self.store[item]
        border = max(photo.shape[:2]) // 4  # mirrored: a model would learn to draw black borders
        wide = np.asarray(cv2.copyMakeBorder(photo, *(border,) * 4, cv2.BORDER_REFLECT_101), np.uint8)
        moved = affine.copy()
        moved[:, 2] -= affine[:, :2].sum(1) * border
        return HeadCrop(warp_image(wide, moved, size), in_crop(fit, affine))

    def random_crop(self, item: int, size: int, rng: np.random.Generator) -> HeadCrop:
        """Return a crop with random errors of its place, scale and roll."""
        right, down = rng.normal(0, SHIFT, 2).tolist()
        scale = float(np.exp(rng.normal(0, SCALE)))
        return self.crop(item, size, scale, (right, down), float(rng.normal(0, ROLL_DEG)))
