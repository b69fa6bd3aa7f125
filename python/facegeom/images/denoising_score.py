"""A score of a denoised image that needs no image without noise."""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array

WINDOW = 8
"""Side in pixels of the windows in which structures are compared."""

SMALL = 1e-6
"""Added to products of standard deviations of grey values in [0, 1]: a window without structure is like no other."""


def denoising_score(noisy: ByteArray, denoised: ByteArray) -> float:
    """Return how well the noise of an image was separated from its structure, in [-1, 1]; more is better.

    Kong et al., A New Image Quality Metric for Image Auto-Denoising (ICCV 2013). Where the image is flat, what was
    removed should look like the noisy image; where it has structure, what is left should. The two similarities, of
    windows around each pixel, are therefore opposed over the image: the score is minus their correlation.

    Parameters
    ----------
    noisy, denoised : (h, w, 3) uint8 arrays

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(-20, 21, (64, 64, 1))
    >>> clean = np.where(np.indices((64, 64)).sum(0)[..., None] % 32 < 16, 60, 180) + np.zeros(3, int)
    >>> noisy = (clean + noise).astype(np.uint8)
    >>> denoising_score(noisy, clean.astype(np.uint8)) > denoising_score(noisy, cv2.blur(noisy, (9, 9)))
    True
    """
    first, second = _grey(noisy), _grey(denoised)
    removed, kept = _similarity(first, first - second).ravel(), _similarity(first, second).ravel()
    deviations = float(removed.std() * kept.std())
    if deviations < 1e-9:
        return 0.0
    return -float(((removed - removed.mean()) * (kept - kept.mean())).mean()) / deviations


def _grey(image: ByteArray) -> Float32Array:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32) / 255


def _similarity(first: Float32Array, second: Float32Array) -> Float32Array:
    """Return the structural term of SSIM (Wang et al. 2004) in the window around each pixel."""
    windows = (WINDOW, WINDOW)
    means = [cv2.blur(values, windows) for values in (first, second)]
    one, two = (
        np.sqrt(np.maximum(cv2.blur(values * values, windows) - mean * mean, 0))
        for values, mean in zip((first, second), means, strict=True)
    )
    both = cv2.blur(first * second, windows) - means[0] * means[1]
    return np.asarray(both / (one * two + SMALL), np.float32)
