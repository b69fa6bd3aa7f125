"""Colour pictures of maps for visual inspection, and scaling of images to fit into a square."""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray

CORRESPONDENCE_LIMIT_MM = 90.0
"""Maximum absolute coordinate in mm that `correspondence_picture` displays: the colour channels 0 to 255 represent
face-frame coordinates from minus to plus this value."""


def depth_picture(depth: FloatArray, low: float | None = None, high: float | None = None) -> ByteArray:
    """Return a picture of a depth map in the "magma" colours: near is bright, far is dark, not finite is white.

    Parameters
    ----------
    depth : (h, w) float array, mm, +z toward the camera
    low, high : depths in mm of the darkest and the brightest colour; None: the smallest and the largest finite depth

    Returns
    -------
    (h, w, 3) uint8 array
    """
    depth = np.asarray(depth, dtype=np.float64)
    known = np.isfinite(depth)
    brightness = np.zeros(depth.shape)
    if known.any():
        values = depth[known]
        low = float(values.min()) if low is None else low
        high = float(values.max()) if high is None else high
        brightness[known] = 0.12 + 0.88 * (np.clip(values, low, high) - low) / max(high - low, 1e-6)
    levels = np.asarray(np.rint(255 * brightness), dtype=np.uint8)
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_MAGMA)[:, :, ::-1]
    return np.ascontiguousarray(np.where(known[:, :, None], colors, 255), dtype=np.uint8)


def correspondence_picture(correspondence: FloatArray) -> ByteArray:
    """Return a picture of a correspondence map with x, y and z as red, green and blue; not finite is white.

    Parameters
    ----------
    correspondence : (h, w, 3) float array, mm in the face frame; `CORRESPONDENCE_LIMIT_MM` gives the colour range

    Returns
    -------
    (h, w, 3) uint8 array
    """
    known = np.isfinite(correspondence).all(axis=2)
    limit = CORRESPONDENCE_LIMIT_MM
    picture = np.full(correspondence.shape, 255, np.uint8)
    levels = np.clip((correspondence[known] + limit) / (2.0 * limit), 0.0, 1.0)
    picture[known] = np.rint(255 * levels).astype(np.uint8)
    return picture


def fit_square(image: ByteArray, size: int, background: int = 0) -> ByteArray:
    """Scale an image to fit into a square, keep its aspect ratio, and centre the image in the square.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
    size : side length of the square in pixels
    background : gray level, 0 to 255, of the parts of the square that the image does not cover

    Returns
    -------
    (size, size, 3) uint8 array
    """
    image = check.rgb_image(image)
    height, width = image.shape[:2]
    factor = size / max(height, width)
    scaled_size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = cv2.resize(image, scaled_size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    square = np.full((size, size, 3), background, np.uint8)
    top, left = (size - scaled_size[1]) // 2, (size - scaled_size[0]) // 2
    square[top : top + scaled_size[1], left : left + scaled_size[0]] = scaled
    return square
