"""Values of pictures between and beyond their pixels: bilinear sampling, distances inside a mask, nearest known pixels.

Pixel centres are at integers, x to the right and y down.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray


def bilinear(image: npt.NDArray[Any], points: npt.NDArray[np.floating]) -> npt.NDArray[Any]:
    """Return the (n, k) values of an (h, w, k) image at (n, 2) pixels x, y, interpolated bilinearly.

    Points outside the image take the values of its border.

    Parameters
    ----------
    image : (h, w, k) uint8 or float array
    points : (n, 2) float array, finite

    Returns
    -------
    (n, k) array
        float32 where the image is float32, else float64.

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
    top = image[y, x] * (1 - u) + image[y, right] * u
    bottom = image[below, x] * (1 - u) + image[below, right] * u
    return np.asarray(top * (1 - v) + bottom * v, kind)


def distance_inside(mask: BoolArray) -> FloatArray:
    """Return for each pixel of a mask the Euclidean distance to the nearest pixel outside it, in pixels.

    Parameters
    ----------
    mask : (h, w) bool array; beyond the border of the image is outside

    Returns
    -------
    (h + 2, w + 2) float array
        With a border of one pixel, which is 0 like all pixels outside the mask.

    Notes
    -----
    OpenCV's distances are float32, and their last bit depends on where the array lies in memory. Squared distances
    between pixels are integers, so rounding the squares gives the exact distance, and the same one in every run.

    Examples
    --------
    >>> distance_inside(np.ones((1, 3), bool))[1]
    array([0., 1., 1., 1., 0.])
    """
    found = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.sqrt(np.rint(np.square(found, dtype=np.float64))))


def nearest_known(known: BoolArray) -> IntArray:
    """Return (h, w) flat indices of the known pixel nearest to each pixel, known pixels included.

    Parameters
    ----------
    known : (h, w) bool array with a known pixel

    Notes
    -----
    The distance is OpenCV's approximation of the Euclidean one by a 5 x 5 mask.

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
