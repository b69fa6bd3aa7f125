"""Bilinear sampling of images, distances to the outside of a mask, and the nearest known pixels.

Pixel centres are at integer coordinates, x to the right and y down.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray

WIDEST = 4096
"""Points in a row of the image in which `looked_up` passes them to OpenCV, whose images have at most 32,767 columns."""


def bilinear(image: npt.NDArray[Any], points: npt.NDArray[np.floating]) -> npt.NDArray[Any]:
    """Sample an image bilinearly; return the values (n, k) at n points.

    At a point outside the image, the result is the value of the nearest point on the border of the image.

    Parameters
    ----------
    image : (h, w, k) uint8 or float array
    points : (n, 2) float array, finite: x and y in pixels

    Returns
    -------
    (n, k) array
        Interpolated values: float32 if the image is float32, else float64.

    Examples
    --------
    >>> bilinear(np.array([[[0, 0, 0], [200, 100, 50]]], np.uint8), np.array([[0.5, 0.0]]))
    array([[100.,  50.,  25.]])
    """
    kind = np.float32 if image.dtype == np.float32 else np.float64
    limit = np.array([image.shape[1] - 1, image.shape[0] - 1])
    points = np.clip(points, 0, limit)
    x, y = np.minimum(points.astype(np.int64), np.maximum(limit - 1, 0)).T
    right, below = np.minimum(x + 1, limit[0]), np.minimum(y + 1, limit[1])
    u, v = ((points[:, axis] - start).astype(kind)[:, None] for axis, start in enumerate((x, y)))
    pixels, y, below = image.reshape(-1, image.shape[2]), y * image.shape[1], below * image.shape[1]
    top = pixels.take(y + x, axis=0) * (1 - u) + pixels.take(y + right, axis=0) * u
    bottom = pixels.take(below + x, axis=0) * (1 - u) + pixels.take(below + right, axis=0) * u
    return np.asarray(top * (1 - v) + bottom * v, kind)


def looked_up(image: npt.NDArray[Any], points: npt.NDArray[np.floating]) -> Float32Array:
    """Sample an image at many points, as `bilinear`, but fast: positions are rounded to 1/32 of a pixel.

    Parameters
    ----------
    image : (h, w, k) float array, k at most 4
    points : (n, 2) float array, finite: x and y in pixels

    Returns
    -------
    (n, k) float32 array

    Examples
    --------
    >>> looked_up(np.array([[[0, 0, 0], [200, 100, 50]]], np.float32), np.array([[0.5, 0.0]]))
    array([[100.,  50.,  25.]], dtype=float32)
    """
    count, channels = len(points), image.shape[2]
    if not count:
        return np.zeros((0, channels), np.float32)
    rows = -(-count // WIDEST)
    places = np.zeros((2, rows * WIDEST), np.float32)
    places[:, :count] = points.T
    x, y = places.reshape(2, rows, WIDEST)
    found = cv2.remap(image.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found.reshape(-1, channels)[:count], np.float32)


def distance_inside(mask: BoolArray) -> FloatArray:
    """Return for each pixel of a mask the Euclidean distance to the nearest pixel outside it, in pixels.

    Parameters
    ----------
    mask : (h, w) bool array; all pixels beyond the border of the array are outside the mask

    Returns
    -------
    (h + 2, w + 2) float array
        Distance of each pixel in pixels, 0 outside the mask, with an additional border of one pixel, where it is 0.

    Notes
    -----
    OpenCV's distances are float32, and their last bit depends on where the array lies in memory. Squared distances
    between pixels are integers, so rounding the squares gives exact distances that are equal in every run.

    Examples
    --------
    >>> distance_inside(np.ones((1, 3), bool))[1]
    array([0., 1., 1., 1., 0.])
    """
    found = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.sqrt(np.rint(np.square(found, dtype=np.float64))))


def nearest_known(known: BoolArray) -> IntArray:
    """Return for each pixel the flat index of the nearest known pixel, (h, w); for a known pixel, its own index.

    Parameters
    ----------
    known : (h, w) bool array, True at known pixels; at least one pixel must be known

    Notes
    -----
    Distances are OpenCV's approximation of the Euclidean distance with a 5 x 5 mask.

    Examples
    --------
    >>> nearest_known(np.array([[True, False, False, False, True]]))
    array([[0, 0, 0, 4, 4]])
    """
    labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    of_label = np.zeros(int(labels.max()) + 1, np.int64)
    of_label[labels[known]] = np.flatnonzero(known)
    return np.asarray(of_label[labels])
