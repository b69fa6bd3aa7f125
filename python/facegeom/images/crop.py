"""Square crops of a photo, the input of the networks in training and in prediction.

The box (x0, y0, x1, y1) of a crop is in pixels of the photo. The sides of the box are the outer edges of the outermost
pixels of the crop. Pixel centres are at integers in the photo and in the crop. The box of a whole (h, w) image is
therefore (-0.5, -0.5, w - 0.5, h - 0.5), and the centre of crop column j is at x = x0 + (j + 0.5) step of the photo,
with step = (x1 - x0) / size.

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
"""Side length of the first crop divided by the mean of width and height of the face's box (the factor of 3DDFA)."""

ALIGNED_MM = 230.0
"""Side of the aligned crop in mm of the mean face. The face is 180 mm high, an open mouth adds up to 30 mm."""

ALIGNED_CENTRE = np.array([0.0, -31.0, -8.0])
"""Point of the face frame, mm, at the centre of the aligned crop: about the middle of the outline, for any yaw."""

LARGEST_WARP = 2048
"""Maximum side length in pixels of the oversampled crop. For a larger crop, the distance between the averaged samples
is more than one pixel of the photo."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A square crop of a photo.

    Attributes
    ----------
    image : (S, S, 3) uint8 array, RGB
        The pixels of the crop, black outside the photo.
    box : tuple of four floats
        x0, y0, x1, y1 of the square in pixels of the photo, before the rotation about the centre.
    affine : (2, 3) float array
        Affine map from pixels of the photo to pixels of the crop.
    """

    image: ByteArray
    box: Box
    affine: FloatArray

    @classmethod
    def of(cls, photo: ByteArray, box: Box, size: int, angle: float = 0.0) -> Crop:
        """Return the square `box` of a photo (h, w, 3) as a crop `size` pixels wide; `angle`: see `crop_affine`."""
        affine = crop_affine(box, size, angle)
        return cls(warp_image(photo, affine, size), box, affine)

    @property
    def size(self) -> int:
        """Side length of the crop in pixels."""
        return len(self.image)

    def to_crop(self, points: FloatArray) -> FloatArray:
        """Transform points (n, 2) from pixels of the photo to pixels of the crop."""
        return apply_affine(self.affine, points)

    def to_photo(self, points: FloatArray) -> FloatArray:
        """Transform points (n, 2) from pixels of the crop to pixels of the photo."""
        return apply_affine(invert_affine(self.affine), points)


def crop_box(box: BoxLike, factor: float = FIRST_CROP_FACTOR) -> Box:
    """Return the square with the centre of `box` and `factor` times the mean of width and height of `box`.

    Parameters
    ----------
    box : x0, y0, x1, y1 in pixels, x0 < x1 and y0 < y1; a score may follow
    factor : side length of the square divided by the mean of width and height of `box`

    Returns
    -------
    tuple of four floats
        x0, y0, x1, y1 of the square in pixels. The square may extend beyond the photo.

    Examples
    --------
    >>> crop_box((10, 20, 30, 60), 1.0)
    (5.0, 25.0, 35.0, 55.0)
    """
    x0, y0, x1, y1 = (float(v) for v in box[:4])
    half = 0.25 * factor * ((x1 - x0) + (y1 - y0))
    x, y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    return x - half, y - half, x + half, y + half


def aligned_box(rotation: FloatArray, scale: float, translation: FloatArray) -> Box:
    """Return the box of the aligned crop of a face, before the crop is turned by the roll of the face.

    In aligned crops, place and scale of faces are the same. A network learns faster from them what differs: the person.

    Parameters
    ----------
    rotation : (3, 3) float array
        Rotation from the face frame to the camera frame.
    scale : float
        Scale of the weak-perspective camera, pixels per mm.
    translation : (2,) float array
        Pixel onto which the face origin is projected.

    Returns
    -------
    tuple of four floats
        x0, y0, x1, y1 of the square in pixels. The square may extend beyond the photo.

    Examples
    --------
    >>> aligned_box(np.eye(3), 2.0, np.array([100.0, 100.0]))
    (-130.0, -68.0, 330.0, 392.0)
    """
    right, up = (rotation[:2] @ ALIGNED_CENTRE).tolist()
    x, y = float(translation[0]) + scale * right, float(translation[1]) - scale * up
    half = 0.5 * scale * ALIGNED_MM
    return x - half, y - half, x + half, y + half


def crop_affine(box: BoxLike, size: int, angle: float = 0.0) -> FloatArray:
    """Return the affine map from pixels of the photo to pixels of the crop of `box`.

    Parameters
    ----------
    box : x0, y0, x1, y1 in pixels of the photo
    size : side length of the crop in pixels
    angle : rotation of the image content about the centre of the crop, degrees counter-clockwise on the screen

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
    """Return the crop of `box` as a (size, size, 3) uint8 array, anti-aliased, black outside the photo.

    Parameters
    ----------
    image : (h, w, 3) uint8 array, the photo
    box : x0, y0, x1, y1 in pixels of the photo
    size : side length of the crop in pixels
    """
    return warp_image(image, crop_affine(box, size), size)


def warp_image(image: ByteArray, affine: FloatArray, size: int) -> ByteArray:
    """Return the crop that an affine map from pixels of the photo to pixels of the crop defines.

    Parameters
    ----------
    image : (h, w, 3) uint8 array, the photo
    affine : (2, 3) float array, a result of `crop_affine`
    size : side length of the crop in pixels

    Returns
    -------
    (size, size, 3) uint8 array

    Notes
    -----
    An enlarged crop is interpolated bilinearly. For a crop reduced by the factor k, the photo is sampled bilinearly at
    ceil(k) x ceil(k) points per crop pixel and the samples are averaged, so that no pixel of the photo is skipped.
    Outside the photo the crop is black (`cv2.BORDER_CONSTANT`): a replicated border would add streaks.
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
    """Map points (n, 2) by the affine map `affine` (2, 3); return the mapped points (n, 2)."""
    return np.asarray(points @ affine[:, :2].T + affine[:, 2], dtype=np.float64)


def invert_affine(affine: FloatArray) -> FloatArray:
    """Return the inverse (2, 3) of the affine map `affine` (2, 3)."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def _visible_part(image: ByteArray, affine: FloatArray, size: int, margin: float) -> tuple[ByteArray, FloatArray]:
    """Return the part of the photo that the crop contains, and the pixel (x, y) of the photo at its top-left corner.

    OpenCV can only warp images with sides of at most 32,766 pixels.
    """
    corners = apply_affine(
        invert_affine(affine), np.array([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5], [size - 0.5] * 2])
    )
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(corners.min(axis=0) - margin), 0, limit - 1).astype(np.int64)
    high = np.clip(np.ceil(corners.max(axis=0) + margin) + 1, low + 1, limit).astype(np.int64)
    return image[low[1] : high[1], low[0] : high[0]], low.astype(np.float64)
