"""A score of a denoised image that needs no image without noise."""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray

PATCH = 8
"""Side of the patches in pixels."""

SIGNIFICANCE = 0.001
"""Probability that a patch of noise alone counts as one with structure."""

_ROOT = SIGNIFICANCE ** (1 / (PATCH**2 - 1))
LEAST_COHERENCE = ((1 - _ROOT) / (1 + _ROOT)) ** 0.5
"""Coherence from which a patch has structure: 0.23."""


def denoising_score(denoised: ByteArray) -> float:
    """Return how sharp the structure of an image is and how little noise is left in it; more is better.

    The metric Q of Zhu and Milanfar, Automatic Parameter Selection for Denoising Algorithms Using a No-Reference
    Measure of Image Content (IEEE Transactions on Image Processing, 2010). The gradients of a patch have the singular
    values s1 >= s2. Edges make s1 large, noise makes s2 large and blur makes both small; the score is the mean of
    s1 (s1 - s2) / (s1 + s2) over the patches, 0 for those whose coherence (s1 - s2) / (s1 + s2) noise could have.

    Scores can only be compared between versions of the same image.

    Parameters
    ----------
    denoised : (h, w, 3) uint8 array, h and w at least `PATCH`

    Returns
    -------
    float
        In grey values; 0 without structure and for an image that is smaller than a patch.

    Examples
    --------
    >>> edge = np.zeros((64, 64, 3), np.uint8)
    >>> edge[:, 30:] = 200
    >>> denoising_score(edge) > denoising_score(cv2.blur(edge, (5, 5))) > denoising_score(edge[:, :24])
    True
    """
    grey: FloatArray = np.asarray(cv2.cvtColor(denoised, cv2.COLOR_RGB2GRAY), np.float64)
    across, down = (cv2.Sobel(grey, -1, *order, ksize=3) / 8 for order in ((1, 0), (0, 1)))
    xx, yy, xy = (_patch_sums(values) for values in (across * across, down * down, across * down))
    if not xx.size:
        return 0.0
    middle, apart = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    first, second = np.sqrt(middle + apart), np.sqrt(np.maximum(middle - apart, 0))
    coherence = (first - second) / (first + second + 1e-9)
    return float((first * coherence * (coherence > LEAST_COHERENCE)).mean())


def _patch_sums(values: FloatArray) -> FloatArray:
    """Return the sums over the patches of values (h, w); what is left at the right and at the bottom does not count."""
    rows, columns = (length // PATCH for length in values.shape)
    cut = values[: rows * PATCH, : columns * PATCH]
    return np.asarray(cut.reshape(rows, PATCH, columns, PATCH).sum((1, 3)))
