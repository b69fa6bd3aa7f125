"""The level of the noise in an image, estimated from the image alone."""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray

KERNEL = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
"""Difference of two Laplacians: zero on planes and on straight edges along the axes (Immerkaer 1996)."""

GAIN = 1.4826 / 6.0  # standard deviation of normal values / their median absolute value, and / the norm of the kernel

DARK, BRIGHT = 4, 251
"""Values outside this range may be clipped, so that their noise is smaller; pixels with such a value do not count."""

LEAST_PIXELS = 100
"""Smallest number of pixels that are not clipped; with fewer, all pixels count."""


def noise_level(image: ByteArray) -> float:
    """Return the standard deviation of the noise / full scale.

    Parameters
    ----------
    image : (h, w, 3) uint8 array

    Returns
    -------
    float
        Mean over the channels of the median absolute response of a filter that ignores smooth shading, Immerkaer, Fast
        Noise Variance Estimation (1996), with a median as by Donoho (1995). Above 0.3, where most values are clipped,
        the estimate is too low.

    Examples
    --------
    >>> noise_level(np.full((50, 50, 3), 90, np.uint8))
    0.0
    """
    levels = []
    for channel in range(3):
        values = image[..., channel]
        response = cv2.filter2D(values.astype(np.float64), -1, KERNEL)[1:-1, 1:-1]
        inner = values[1:-1, 1:-1]
        whole: FloatArray = np.abs(response[(inner > DARK) & (inner < BRIGHT)])
        if whole.size < LEAST_PIXELS:
            whole = np.abs(response).ravel()
        levels.append(GAIN * float(np.median(whole)) / 255)
    return float(np.mean(levels))
