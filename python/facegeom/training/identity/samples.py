"""Training samples of the identity network: pairs of two versions of a photo, or of two synthetic heads."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom.face_model import FaceModel
from facegeom.images.crop import apply_affine
from facegeom.networks.identity import FRAME_MM, ShapeUnits, aligned_affine, aligned_template, face_points
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.samples import NumberedStream, image_tensor
from facegeom.training.identity.reshaped_photos import ReshapedPhotos


@dataclass(frozen=True)
class PairOptions:
    """Share of synthetic heads, and errors of the alignment of the crops."""

    heads: float = 0.25  # share of pairs that show synthetic heads; the others show reshaped photos
    landmark_noise: float = 1.2  # standard deviation of the error of each landmark, pixels of a 128-pixel crop
    shift_noise: float = 1.0  # standard deviation of an error common to all landmarks, pixels of a 128-pixel crop
    turn_noise_deg: float = 1.5
    scale_noise: float = 0.02
    pose_noise_deg: float = (
        3.0  # standard deviation of the error of the rotation that is used for the alignment, degrees
    )


AUGMENT = AugmentOptions(
    colour=0.8, light=0.2, occluder=0.12, glasses=0.04, low_resolution=0.2, blur=0.2, noise=0.2, jpeg=0.2, cut=0.03
)


def noisy_crop(
    model: FaceModel,
    photos: ReshapedPhotos,
    version: int,
    size: int,
    rng: np.random.Generator,
    options: PairOptions = PairOptions(),
) -> tuple[ByteArray, FloatArray]:
    """Return the aligned crop of a version, with random errors of the landmarks and of the rotation.

    Parameters
    ----------
    model : FaceModel
    photos : ReshapedPhotos
    version : row
    size : side of the crop in pixels
    rng : the source of chance
    options : PairOptions

    Returns
    -------
    (size, size, 3) uint8 array, and (2, 3) float array: pixels of the stored image to those of the crop
    """
    noise = size / 128
    landmarks = photos.landmarks[version].astype(np.float64)
    rotation = _small_rotation(rng.normal(0, np.radians(options.pose_noise_deg), 3)) @ photos.rotation[version]
    landmarks = landmarks + rng.normal(0, options.landmark_noise * noise, landmarks.shape)
    angle, scale = np.radians(rng.normal(0, options.turn_noise_deg)), np.exp(rng.normal(0, options.scale_noise))
    centre = landmarks.mean(0)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = (landmarks - centre) @ turn.T + centre + rng.normal(0, options.shift_noise * noise, 2)
    affine = aligned_affine(model, landmarks, rotation, size)
    image = cv2.warpAffine(photos.images[version], affine, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(image, dtype=np.uint8), affine


class PairStream(NumberedStream):
    """Pairs, each drawn by its number in the training run.

    A sample is images (2, 3, S, S) uint8, coefficients (2, k) float32 in mm, whether both images show the same photo,
    () float32 (then both labels have the same error), and the positions of the points (2, p, 2) float32 as
    the network predicts them.

    Parameters
    ----------
    model : FaceModel
    units : ShapeUnits
    photos, heads : ReshapedPhotos
        Versions of photos, and synthetic heads or None.
    size : side of the crops in pixels
    seed, start, end : as `NumberedStream` takes them
    options : PairOptions
    """

    def __init__(
        self,
        model: FaceModel,
        units: ShapeUnits,
        photos: ReshapedPhotos,
        heads: ReshapedPhotos | None,
        size: int,
        seed: int,
        start: int,
        end: int,
        options: PairOptions = PairOptions(),
    ) -> None:
        super().__init__(seed, start, end)
        self.model, self.units, self.photos, self.heads = model, units, photos, heads
        self.size, self.options = size, options
        self.mirror = units.mirror.astype(np.float32)
        self.template = aligned_template(model, np.eye(3), face_points(model, photos.points.shape[1]))
        self.first = np.searchsorted(photos.photo, np.arange(len(photos.names) + 1))

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one pair."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        if self.heads is not None and rng.random() < self.options.heads:
            source, rows, same = self.heads, rng.choice(len(self.heads), 2, replace=False), 0.0
        else:
            photo = int(rng.integers(len(self.photos.names)))
            low, high = self.first[photo], self.first[photo + 1]
            source, rows, same = self.photos, low + rng.choice(high - low, 2, replace=False), 1.0
        drawn = [self._crop(source, int(row), rng) for row in rows]
        images = torch.stack([image_tensor(image) for image, _, _ in drawn])
        labels, points = (np.stack(values).astype(np.float32) for values in list(zip(*drawn, strict=True))[1:])
        return images, torch.from_numpy(labels), torch.tensor(same), torch.from_numpy(points)

    def _crop(
        self, source: ReshapedPhotos, row: int, rng: np.random.Generator
    ) -> tuple[ByteArray, Float32Array, FloatArray]:
        image, affine = noisy_crop(self.model, source, row, self.size, rng, self.options)
        eyes = np.stack([source.landmarks[row, 19:25].mean(0), source.landmarks[row, 25:31].mean(0)])
        eyes = eyes.astype(np.float64) @ affine[:, :2].T + affine[:, 2]
        other = None
        if rng.random() < 0.1:
            other = np.asarray(self.photos.images[int(rng.integers(len(self.photos)))])
        image = augment(image, eyes, rng, other, AUGMENT)
        label = source.identity[row]
        points = apply_affine(affine, source.points[row].astype(np.float64)) - 0.5 * (self.size - 1)
        if rng.random() < 0.5:
            image, label = np.ascontiguousarray(image[:, ::-1]), self.mirror @ label
            points = np.roll(points, len(points) // 2, axis=0) * np.array([-1.0, 1.0])
        return image, label * self.units.scale, points * (FRAME_MM / self.size) - self.template


def _small_rotation(vector: FloatArray) -> FloatArray:
    return np.asarray(cv2.Rodrigues(vector)[0], dtype=np.float64)
