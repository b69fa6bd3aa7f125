"""Training samples of the segmentation network: stored crops, moved, mirrored and changed in colour."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.random_surroundings import random_backdrop
from facegeom.training.data.samples import NumberedStream, image_tensor
from facegeom.training.segmentation.crops import CHANGED, HEAD, PORTRAIT, SegmentationCrops
from facegeom.training.segmentation.portrait_labels import UNKNOWN


@dataclass(frozen=True)
class SegmentationSampleOptions:
    """Shares of the kinds of crops, and distributions of their changes."""

    portraits: float = 0.45
    changed: float = 0.35  # the rest are synthetic heads
    roll_deg: float = 6.0  # standard deviation of the rotation
    scale: float = 0.07  # standard deviation of the logarithm of the scale
    near: float = 0.2  # share of crops that show a part of the head, as in photos that end near the face
    near_scale: float = 1.45  # largest scale of these
    shift: float = 0.025  # standard deviation of the shift relative to the side
    filled: float = 0.6  # share of crops whose part outside the photo is not black
    augment: AugmentOptions = field(
        default_factory=lambda: AugmentOptions(gray=0.12, occluder=0.0, glasses=0.0, cut=0.05)
    )


class SegmentationStream(NumberedStream):
    """Samples (image (3, S, S) uint8, classes (S, S) int64, with 255 for unknown) of stored crops."""

    def __init__(
        self,
        crops: SegmentationCrops,
        size: int,
        seed: int,
        start: int,
        end: int,
        *,
        options: SegmentationSampleOptions = SegmentationSampleOptions(),
    ) -> None:
        super().__init__(seed, start, end)
        self.crops, self.size, self.options = crops, size, options
        self.rows = {kind: np.flatnonzero(crops.kind == kind) for kind in (PORTRAIT, CHANGED, HEAD)}

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw one sample."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        o = self.options
        share = rng.random()
        kind = PORTRAIT if share < o.portraits else CHANGED if share < o.portraits + o.changed else HEAD
        rows = self.rows[kind] if len(self.rows[kind]) else np.arange(len(self.crops))
        row = int(rows[rng.integers(len(rows))])
        image, classes = np.array(self.crops.images[row]), np.array(self.crops.classes[row])
        if rng.random() < o.filled:
            outside = (image.max(2) < 3) & (classes == UNKNOWN)
            image[outside] = random_backdrop([], rng, len(image))[outside]
        image, classes = moved(image, classes, self.size, self._affine(rng, len(image)))
        if rng.random() < 0.5:
            image, classes = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(classes[:, ::-1])
        image = augment(image, np.zeros((2, 2)), rng, None, o.augment)
        return image_tensor(image), torch.from_numpy(classes.astype(np.int64))

    def _affine(self, rng: np.random.Generator, stored: int) -> FloatArray:
        """Return a random transform from the stored crop to the crop of the network, (2, 3)."""
        o = self.options
        zoom = np.exp(rng.normal(0, o.scale))
        zoom = rng.uniform(1.0, o.near_scale) if rng.random() < o.near else zoom
        angle = np.radians(rng.normal(0, o.roll_deg))
        linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = 0.5 * (self.size - 1) + rng.normal(0, o.shift, 2) * self.size
        return np.column_stack([linear, middle - linear @ np.full(2, 0.5 * (stored - 1))])


def moved(image: ByteArray, classes: ByteArray, size: int, affine: FloatArray) -> tuple[ByteArray, ByteArray]:
    """Return an image and its classes after a transform, (size, size, 3) and (size, size); unknown outside."""
    shape = (size, size)
    warped = cv2.warpAffine(image, affine, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    found = cv2.warpAffine(
        classes, affine, shape, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(UNKNOWN,)
    )
    return np.asarray(warped, np.uint8), np.asarray(found, np.uint8)


def centred(crops: SegmentationCrops, row: int, size: int) -> tuple[ByteArray, ByteArray]:
    """Return a stored crop and its classes in the crop of the network, without changes."""
    image, classes = np.array(crops.images[row]), np.array(crops.classes[row])
    start = (len(image) - size) // 2
    end = start + size
    return image[start:end, start:end], classes[start:end, start:end]
