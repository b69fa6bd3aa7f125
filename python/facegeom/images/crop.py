"""Square crops of a photo: what networks are given, in training and afterwards.

A box is (x0, y0, x1, y1) in pixels of the photo, its sides where the crop's outermost pixels end. Pixel centres are at
integers in photo and crop alike, so that the box of a whole (h, w) image is (-0.5, -0.5, w - 0.5, h - 0.5), and crop
pixel j is centred on x0 + (j + 0.5) step with step = (x1 - x0) / size.

The functions do not check their arguments: photos and boxes are checked where the public functions receive them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom.images.boxes import Box, BoxLike

FIRST_CROP_FACTOR = 1.58
"""Side of the first crop over the mean side of the face's box (3DDFA's factor for the box of the 68 landmarks)."""

LARGEST_WARP = 2048
"""Side of the largest oversampled crop, pixels; beyond it the averaged samples lie more than a photo pixel apart."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A square crop of a photo.

    Attributes
    ----------
    image : (S, S, 3) uint8 array, RGB
        Black outside the photo.
    box : tuple of four floats
        x0, y0, x1, y1 of the square in pixels of the photo, before it is turned.
    affine : (2, 3) float array
        Pixels of the photo -> pixels of the crop.
    """

    image: ByteArray
    box: Box
    affine: FloatArray

    @classmethod
    def of(cls, photo: ByteArray, box: Box, size: int, angle: float = 0.0) -> Crop:
        """Return the crop of the (h, w, 3) photo's square `box`, `size` pixels wide; `angle` as in `crop_affine`."""
        affine = crop_affine(box, size, angle)
        return cls(warp_image(photo, affine, size), box, affine)

    @property
    def size(self) -> int:
        """Side of the crop, pixels."""
        return len(self.image)

    def to_crop(self, points: FloatArray) -> FloatArray:
        """Return (n, 2) pixels of the photo as pixels of the crop."""
        return apply_affine(self.affine, points)

    def to_photo(self, points: FloatArray) -> FloatArray:
        """Return (n, 2) pixels of the crop as pixels of the photo."""
        return apply_affine(invert_affine(self.affine), points)


def crop_box(box: BoxLike, factor: float = FIRST_CROP_FACTOR) -> Box:
    """Return the square box around the centre of `box` with `factor` times the mean of its sides.

    Parameters
    ----------
    box : x0, y0, x1, y1 in pixels, x0 < x1 and y0 < y1; a score may follow
    factor : side of the square over the mean side of `box`

    Returns
    -------
    tuple of four floats
        x0, y0, x1, y1 of the square; it may reach outside the photo.

    Examples
    --------
    >>> crop_box((10, 20, 30, 60), 1.0)
    (5.0, 25.0, 35.0, 55.0)
    """
    x0, y0, x1, y1 = (float(v) for v in box[:4])
    half = 0.25 * factor * ((x1 - x0) + (y1 - y0))
    x, y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    return x - half, y - half, x + half, y + half


def crop_affine(box: BoxLike, size: int, angle: float = 0.0) -> FloatArray:
    """Return the map from pixels of the photo to pixels of the crop of `box`.

    Parameters
    ----------
    box : x0, y0, x1, y1 in pixels of the photo
    size : side of the crop in pixels
    angle : degrees by which the content turns about the crop's centre, anticlockwise as seen

    Returns
    -------
    (2, 3) float array
        `A` such that crop pixel = A[:, :2] @ (x, y) + A[:, 2], pixel centres at integers on both sides.

    Examples
    --------
    >>> crop_affine((-0.5, -0.5, 3.5, 3.5), 2) @ [0.5, 2.5, 1.0]
    array([0., 1.])
    """
    x0, y0, x1, y1 = (float(v) for v in box[:4])
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[cosine, sine], [-sine, cosine]])  # y points down
    linear = turn @ np.diag([size / (x1 - x0), size / (y1 - y0)])
    centre = np.array([0.5 * (x0 + x1), 0.5 * (y0 + y1)])
    return np.column_stack([linear, 0.5 * (size - 1) - linear @ centre])


def crop_image(image: ByteArray, box: BoxLike, size: int) -> ByteArray:
    """Return the (size, size, 3) uint8 crop of `box`, anti-aliased, black outside the photo.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
    box : x0, y0, x1, y1 in pixels of the photo
    size : side of the crop in pixels
    """
    return warp_image(image, crop_affine(box, size), size)


def warp_image(image: ByteArray, affine: FloatArray, size: int) -> ByteArray:
    """Return the (size, size, 3) uint8 crop that `affine` (photo pixels -> crop pixels) describes.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
    affine : (2, 3) float array, as `crop_affine` returns it
    size : side of the crop in pixels

    Returns
    -------
    (size, size, 3) uint8 array

    Notes
    -----
    Bilinear where the crop enlarges. Where it reduces k-fold, the photo is sampled bilinearly at ceil(k) points a crop
    pixel in each direction and averaged, so that no pixel of the photo is skipped. Outside the photo the crop is black
    (`cv2.BORDER_CONSTANT`): a replicated border would show streaks that look like structure.
    """
    reduction = 1.0 / math.sqrt(abs(float(np.linalg.det(affine[:, :2]))))
    samples = int(np.clip(math.ceil(reduction - 1e-6), 1, max(1, LARGEST_WARP // size)))
    fine = affine * samples
    fine[:, 2] += 0.5 * (samples - 1)
    image, offset = _visible_part(image, affine, size, margin=2.0 * reduction + 2.0)
    fine[:, 2] += fine[:, :2] @ offset

    warped = cv2.warpAffine(
        image, fine, (size * samples, size * samples), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    if samples > 1:
        warped = cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(warped, dtype=np.uint8)


def apply_affine(affine: FloatArray, points: FloatArray | Float32Array) -> FloatArray:
    """Return (n, 2) `points` moved by the (2, 3) map `affine`."""
    return np.asarray(points @ affine[:, :2].T + affine[:, 2], dtype=np.float64)


def invert_affine(affine: FloatArray) -> FloatArray:
    """Return the inverse of the (2, 3) map `affine`: crop pixels -> photo pixels."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def _visible_part(image: ByteArray, affine: FloatArray, size: int, margin: float) -> tuple[ByteArray, FloatArray]:
    """Return the part of the photo that the crop shows, and its corner (x, y): OpenCV warps at most 32,766 pixels."""
    corners = apply_affine(
        invert_affine(affine), np.array([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5], [size - 0.5] * 2])
    )
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(corners.min(axis=0) - margin), 0, limit - 1).astype(np.int64)
    high = np.clip(np.ceil(corners.max(axis=0) + margin) + 1, low + 1, limit).astype(np.int64)
    return image[low[1] : high[1], low[0] : high[0]], low.astype(np.float64)
