"""Training samples of the denoising networks: random crops of portraits around the face, with and without noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.images.camera import Camera
from facegeom.images.crop import crop_affine, warp_image
from facegeom.measures.metrics import landmark_box
from facegeom.training.data.labels import Labels, find_photos, yaw_deg
from facegeom.training.data.samples import NumberedStream, PhotoStore, image_tensor
from facegeom.training.data.split import split_names
from facegeom.training.denoising.noise import LARGEST_LEVEL, with_gaussian_noise, with_phone_noise

SIDE_MM = (160.0, 320.0)
"""Range of the side of a crop, mm; the crops of the map networks have 250 to 300 mm."""

BELOW_EYES_MM = 28.0
"""Distance from the point between the eyes, the origin of the face frame, down to the centre of the crop, mm."""

SHIFT, ROLL_DEG = 0.1, 12.0
"""Standard deviations of the offset of a crop / its side, and of its rotation in degrees."""


class FacePhotos:
    """Photos of one part of the split, with the place and size of the face.

    Parameters
    ----------
    folder : folder of the photos
    labels : file of `facegeom prepare labels`
    part : "training", "validation" or "test"

    Raises
    ------
    FacegeomError
        If no photo of the part has a label.
    """

    def __init__(self, folder: Path, labels: Path, part: str) -> None:
        fits, photos = Labels.load(labels), find_photos(folder)
        names = [str(name) for name in fits.names]
        rows = np.intersect1d(getattr(split_names(names), part), fits.kept)
        rows = np.array([row for row in rows if names[row] in photos], np.int64)
        if not len(rows):
            raise FacegeomError(f"no {part} photo below {folder} has a label in {labels}")
        self.names = [names[row] for row in rows]
        self.fits, self.rows = fits, rows
        self.store = PhotoStore(photos, self.names)
        self.scale: FloatArray = fits.scale[rows].astype(np.float64)  # pixels per mm
        below = self.scale[:, None] * (0.0, BELOW_EYES_MM)
        self.centre: FloatArray = fits.translation[rows].astype(np.float64) + below  # pixels

    def __len__(self) -> int:
        return len(self.names)

    def box(self, item: int) -> FloatArray:
        """Return the box (4,) of the 68 landmarks of the label of a face, pixels."""
        model, fit = load_face_model(), self.fits.fit(int(self.rows[item]))
        camera = Camera(fit.rotation, fit.scale, np.asarray(fit.translation))
        return landmark_box(camera.project(fit.vertices(model)[model.landmarks68]))

    def frontal(self, largest_deg: float) -> list[int]:
        """Return the numbers of the faces whose absolute yaw is at most `largest_deg` degrees."""
        return np.flatnonzero(np.abs(yaw_deg(self.fits.rotation[self.rows])) <= largest_deg).tolist()

    def crop(
        self, item: int, size: int, side_mm: float, shift: Sequence[float] = (0.0, 0.0), roll_deg: float = 0.0
    ) -> ByteArray:
        """Return a crop (size, size, 3) around a face; `shift` is the offset of its centre / its side."""
        half = 0.5 * side_mm * self.scale[item]
        x, y = self.centre[item] + 2 * half * np.asarray(shift)
        return warp_image(self.store[item], crop_affine((x - half, y - half, x + half, y + half), size, roll_deg), size)


class DenoisingStream(NumberedStream):
    """Samples: an image with noise and the same without, (3, S, S) uint8 each.

    Parameters
    ----------
    photos : FacePhotos
    size : side S of the crops in pixels, even
    kind : "gaussian": a level that is uniform from 0 to `LARGEST_LEVEL`; "phone": see `with_phone_noise`; "mixed":
        each sample has one of the two, equally often
    seed, start, end : see `NumberedStream`
    """

    def __init__(self, photos: FacePhotos, size: int, kind: str, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.photos, self.size, self.kind = photos, size, kind

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one sample."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        item = int(rng.integers(len(self.photos)))
        shift, roll = rng.normal(0, SHIFT, 2).tolist(), float(rng.normal(0, ROLL_DEG))
        clean = self.photos.crop(item, self.size, float(rng.uniform(*SIDE_MM)), shift, roll)
        if rng.random() < 0.5:
            clean = np.ascontiguousarray(clean[:, ::-1])
        gaussian = rng.random() < 0.5 if self.kind == "mixed" else self.kind == "gaussian"
        if gaussian:
            noisy = with_gaussian_noise(clean, float(rng.uniform(0, LARGEST_LEVEL)), rng)
        else:
            noisy = with_phone_noise(clean, rng)
        return image_tensor(noisy), image_tensor(clean)
