"""Training samples of the identity network: groups of versions of a photo, or of synthetic heads."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel
from facegeom.images.crop import apply_affine
from facegeom.networks.identity_crop import FRAME_MM, aligned_affine, aligned_template, face_points
from facegeom.networks.identity_units import ShapeUnits
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.samples import NumberedStream, image_tensor
from facegeom.training.identity.reshaped_photos import ReshapedPhotos


@dataclass(frozen=True)
class GroupOptions:
    """Size and kinds of the groups, and errors of the alignment of the crops.

    The errors are those of crops that are aligned by the fits to the shipped network's maps, measured on validation
    photos. Training with errors of twice this size is much slower: they are as large as the differences between faces.
    """

    count: int = 4  # images in a group
    heads: float = 0.3  # share of groups that show synthetic heads; the others show versions of a photo
    landmark_noise: float = 0.8  # standard deviation of the error of each landmark, pixels of a 128-pixel crop
    shift_noise: float = 0.5  # standard deviation of an error common to all landmarks, pixels of a 128-pixel crop
    turn_noise_deg: float = 0.6
    scale_noise: float = 0.012
    pose_noise_deg: float = 1.5  # standard deviation of the error of the rotation that is used for the alignment
    face_only: float = 0.2  # share of images without hair, clothes and background, see `_without_surroundings`


# Strong augmentation halves what the network learns from an image: the photos are diverse enough.
AUGMENT = AugmentOptions(
    colour=0.8,
    gray=0.2,
    light=0.12,
    occluder=0.04,
    glasses=0.02,
    low_resolution=0.08,
    blur=0.12,
    noise=0.1,
    jpeg=0.1,
    cut=0.02,
)


def noisy_crop(
    model: FaceModel,
    photos: ReshapedPhotos,
    version: int,
    size: int,
    rng: np.random.Generator,
    options: GroupOptions = GroupOptions(),
) -> tuple[ByteArray, FloatArray]:
    """Return the aligned crop of a version, with random errors of the landmarks and of the rotation.

    Parameters
    ----------
    model : FaceModel
    photos : ReshapedPhotos
    version : row
    size : side of the crop in pixels
    rng : the source of chance
    options : GroupOptions

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


class GroupStream(NumberedStream):
    """Groups of n images, each drawn by its number in the training run.

    A sample is images (n, 3, S, S) uint8, coefficients (n, k) float32 in mm, whether all images show the same photo, ()
    float32 (then all labels have the same error), and the positions of the points (n, p, 2) float32 as the network
    predicts them. All images of a group are mirrored, or none is.

    Parameters
    ----------
    model : FaceModel
    units : ShapeUnits
    photos, heads : ReshapedPhotos
        Versions of photos, and synthetic heads or None.
    size : side of the crops in pixels
    seed, start, end : as `NumberedStream` takes them
    options : GroupOptions

    Raises
    ------
    FacegeomError
        If a photo has fewer versions than a group has images.
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
        options: GroupOptions = GroupOptions(),
    ) -> None:
        super().__init__(seed, start, end)
        self.model, self.units, self.photos, self.heads = model, units, photos, heads
        self.size, self.options = size, options
        self.mirror = units.mirror.astype(np.float32)
        self.template = aligned_template(model, np.eye(3), face_points(model, photos.points.shape[1]))
        self.first = np.searchsorted(photos.photo, np.arange(len(photos.names) + 1))
        fewest = int(np.diff(self.first).min())
        if fewest < options.count:
            raise FacegeomError(
                f"a group has {options.count} versions of a photo, but there are {fewest}: "
                "make more with `facegeom prepare reshaped --reshaped N`"
            )

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one group."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        count = self.options.count
        if self.heads is not None and rng.random() < self.options.heads:
            source, rows, same = self.heads, rng.choice(len(self.heads), count, replace=False), 0.0
        else:
            photo = int(rng.integers(len(self.photos.names)))
            low, high = self.first[photo], self.first[photo + 1]
            source, rows, same = self.photos, low + rng.choice(high - low, count, replace=False), 1.0
        mirrored = bool(rng.random() < 0.5)
        drawn = [self._crop(source, int(row), mirrored, rng) for row in rows]
        images = torch.stack([image_tensor(image) for image, _, _ in drawn])
        labels, points = (np.stack(values).astype(np.float32) for values in list(zip(*drawn, strict=True))[1:])
        return images, torch.from_numpy(labels), torch.tensor(same), torch.from_numpy(points)

    def _crop(
        self, source: ReshapedPhotos, row: int, mirrored: bool, rng: np.random.Generator
    ) -> tuple[ByteArray, Float32Array, FloatArray]:
        image, affine = noisy_crop(self.model, source, row, self.size, rng, self.options)
        eyes = np.stack([source.landmarks[row, 19:25].mean(0), source.landmarks[row, 25:31].mean(0)])
        eyes = eyes.astype(np.float64) @ affine[:, :2].T + affine[:, 2]
        other = None
        if rng.random() < 0.1:
            other = np.asarray(self.photos.images[int(rng.integers(len(self.photos)))])
        image = augment(image, eyes, rng, other, AUGMENT)
        label = source.identity[row]
        points = apply_affine(affine, source.points[row].astype(np.float64))
        if rng.random() < self.options.face_only:
            image = _without_surroundings(image, points, rng)
        points = points - 0.5 * (self.size - 1)
        if mirrored:
            image, label = np.ascontiguousarray(image[:, ::-1]), self.mirror @ label
            points = np.roll(points, len(points) // 2, axis=0) * np.array([-1.0, 1.0])
        return image, label * self.units.scale, points * (FRAME_MM / self.size) - self.template


def _without_surroundings(image: ByteArray, points: FloatArray, rng: np.random.Generator) -> ByteArray:
    """Return a crop (S, S, 3) that has one colour outside the face, so that the face alone tells the shape.

    The kept part is the convex hull of the points (p, 2), pixels, randomly stretched and shifted: its outline does not
    show the shape.
    """
    centre = points.mean(axis=0)
    stretch = rng.uniform(0.95, 1.3, 2)
    shift = rng.normal(0, 0.02 * len(image), 2)
    outline = cv2.convexHull(((points - centre) * stretch + centre + shift).astype(np.float32))
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.rint(outline).astype(np.int32), 1)
    colour = np.zeros(3) if rng.random() < 0.6 else rng.uniform(0, 255, 3)
    return np.where(inside[..., None] > 0, image, colour.astype(np.uint8))


def _small_rotation(vector: FloatArray) -> FloatArray:
    return np.asarray(cv2.Rodrigues(vector)[0], dtype=np.float64)
