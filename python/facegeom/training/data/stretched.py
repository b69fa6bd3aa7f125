"""Mouths that are opened further, or less far, by stretching a photo: photos with wide open mouths are rare."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from facegeom._internal.arrays import AnyArray, FloatArray
from facegeom.training.data.renderer import Sample

OPEN_MM = 5.0
"""Smallest opening of a mouth that is stretched, mm: its inside is visible."""

RECEDES = 0.75
"""By how many mm the lower lip and the chin recede for each mm that they go down. For the shape `jawOpen` of the face
model it is 0.6 at the lower lip and 1.0 at the chin."""


class RowStretch:
    """Stretches the rows of an image between two heights, and shifts those below.

    Parameters
    ----------
    top : row where the stretched part begins, pixels
    gap : its height, pixels
    factor : factor of its height
    """

    def __init__(self, top: float, gap: float, factor: float) -> None:
        self.top, self.gap, self.factor = top, gap, factor

    def shift(self, rows: FloatArray) -> FloatArray:
        """Return by how much rows of the image move down, pixels."""
        return np.asarray(np.clip(rows - self.top, 0, self.gap) * (self.factor - 1))

    def image(self, image: AnyArray) -> AnyArray:
        """Return the stretched image (h, w) or (h, w, c)."""
        height, width = image.shape[:2]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), self.sources(height).astype(np.float32))
        return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def sources(self, height: int) -> FloatArray:
        """Return the row of the image that each row of the stretched image shows."""
        rows = np.arange(height, dtype=np.float64)
        within = np.clip(rows - self.top, 0, self.gap * self.factor)
        return np.asarray(rows - within * (1 - 1 / self.factor))


def stretched_sample(sample: Sample, lips: FloatArray, factor: float, widest: float) -> Sample:
    """Return a sample whose mouth is open further, or less far, with its maps.

    Parameters
    ----------
    sample : Sample, upright
    lips : (4, 2) float array, pixels: middle of the upper and of the lower inner lip, right and left corner
    factor : factor of the opening
    widest : largest opening after stretching / width of the mouth
    """
    gap, width = float(lips[1, 1] - lips[0, 1]), float(abs(lips[3, 0] - lips[2, 0]))
    if gap <= 0:
        return sample
    stretch = RowStretch(float(lips[0, 1]), gap, min(factor, max(1.0, widest * width / gap)))
    weight = stretch.image(sample.mask.astype(np.float32))
    mask = weight > 0.5
    maps = stretch.image(np.dstack([sample.depth, sample.correspondence]).astype(np.float32))
    maps = (maps / np.maximum(weight, 0.5)[..., None] * mask[..., None]).astype(np.float32)
    shift = stretch.shift(stretch.sources(len(mask))) / sample.scale
    depth = (maps[..., 0] - RECEDES * shift[:, None] * mask).astype(np.float32)
    return replace(
        sample,
        image=stretch.image(sample.image),
        depth=depth,
        correspondence=np.ascontiguousarray(maps[..., 1:]),
        mask=mask,
    )
