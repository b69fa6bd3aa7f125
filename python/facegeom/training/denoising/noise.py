"""Noise that is added to photos: Gaussian noise of a known level, and the noise of a phone in the dark.

The GCN-IGAN paper names the levels 0.10, 0.25, 0.50 and 0.75 and no kind of noise. Gaussian noise is our choice. Its
noisy images have a PSNR of 18.31, 17.31, 12.34 and 8.34 dB, which fits no Gaussian noise of these standard deviations
(20, 12, 6 and 2.5 dB before values are clipped). `with_psnr` therefore makes noise of these PSNRs, too.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray

LEVELS = (0.1, 0.25, 0.5, 0.75)
"""Standard deviations of the noise / full scale."""

PAPER_PSNR = dict(zip(LEVELS, (18.31, 17.31, 12.34, 8.34), strict=True))
"""PSNR of the noisy images of table 1 of the paper, by level, dB."""

KINDS = ("gaussian", "phone", "mixed")
"""Kinds of noise of a training; mixed: each sample has one of the two others."""

LARGEST_LEVEL = 0.8
"""Largest standard deviation of the Gaussian noise in training, of full scale."""

GAMMA = 2.2
DARKEST = 0.08
"""Darkest exposure of a phone, relative to a full one."""

SHOT, READ = (0.0005, 0.008), (0.001, 0.012)
"""Ranges of the variance of the shot noise of a white pixel, and of the standard deviation of the read noise, both of
full scale before the brightness is restored."""


def with_gaussian_noise(image: ByteArray, level: float, rng: np.random.Generator) -> ByteArray:
    """Add Gaussian noise and clip the values, as a camera does.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
    level : standard deviation of the noise / full scale
    rng : Generator

    Returns
    -------
    (h, w, 3) uint8 array
    """
    return _quantised(image / 255 + rng.normal(0.0, level, image.shape))


def with_psnr(image: ByteArray, psnr: float, rng: np.random.Generator) -> ByteArray:
    """Add Gaussian noise and clip the values; the level is such that the result has a given PSNR.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
    psnr : of the noisy image, dB; at least 4
    rng : Generator

    Returns
    -------
    (h, w, 3) uint8 array
        The PSNR is right to 0.05 dB, if noise can reach it: clipped values differ by full scale at most.
    """
    noise = rng.normal(0.0, 1.0, image.shape)
    low, high = 0.0, 16.0
    for _ in range(24):
        middle = 0.5 * (low + high)
        error = _quantised(image / 255 + middle * noise).astype(np.float64) - image
        if np.square(error).mean() / 255**2 < 10 ** (-psnr / 10):
            low = middle
        else:
            high = middle
    return _quantised(image / 255 + high * noise)


def with_phone_noise(image: ByteArray, rng: np.random.Generator) -> ByteArray:
    """Return an image as a phone takes it in low light.

    Blur of the lens, a dark exposure, shot and read noise of a sensor with a Bayer pattern, demosaicing, brightness as
    before, and JPEG compression.

    Parameters
    ----------
    image : (h, w, 3) uint8 array; h and w are even
    rng : Generator

    Returns
    -------
    (h, w, 3) uint8 array
    """
    linear: FloatArray = (image / 255) ** GAMMA
    if rng.random() < 0.5:
        linear = np.asarray(cv2.GaussianBlur(linear, (0, 0), float(rng.uniform(0.3, 1.0))), np.float64)
    exposure = float(np.exp(rng.uniform(np.log(DARKEST), 0.0)))
    shot, read = (float(np.exp(rng.uniform(*np.log(ends)))) for ends in (SHOT, READ))
    bayer = _bayer(linear * exposure)
    noisy = bayer + np.sqrt(shot * bayer + read**2) * rng.standard_normal(bayer.shape)
    colours = demosaiced(np.clip(noisy / exposure, 0, 1))
    noisy_image = _quantised(colours ** (1 / GAMMA))
    if rng.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))]
        encoded = cv2.imencode(".jpg", noisy_image, quality)[1]
        noisy_image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return noisy_image


def with_noise(image: ByteArray, kind: str, rng: np.random.Generator) -> ByteArray:
    """Add noise of a kind that `noise_kind` accepts to an image (h, w, 3) uint8 of any size.

    A last row or column of an odd number gets the phone's noise of the row or column beside it.
    """
    if kind != "phone":
        return with_gaussian_noise(image, float(kind), rng) if float(kind) else image
    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(with_phone_noise(even, rng)[:height, :width])


def noise_kind(text: str) -> str:
    """Return a kind of noise as it is: "phone", or the standard deviation of Gaussian noise / full scale.

    Raises
    ------
    ValueError
        When it is neither.
    """
    try:
        known = text == "phone" or 0 <= float(text) <= 1
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"noise must be phone or a number from 0 to 1, got {text!r}")
    return text


def _bayer(linear: FloatArray) -> FloatArray:
    """Return what the pixels of a sensor see, (h, w): red, green / green, blue."""
    mosaic = linear[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = linear[::2, ::2, 0], linear[1::2, 1::2, 2]
    return mosaic


def demosaiced(mosaic: FloatArray) -> FloatArray:
    """Return the colours (h, w, 3) of a Bayer image (h, w) in [0, 1], red first, interpolated bilinearly."""
    levels = np.rint(mosaic * 65535).astype(np.uint16)
    return np.asarray(cv2.cvtColor(levels, cv2.COLOR_BayerRGGB2RGB)) / 65535


def _quantised(values: FloatArray) -> ByteArray:
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)
