"""Random surroundings of synthetic faces: backgrounds, and hair and clothes that are painted behind the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray


class Pictures(Protocol):
    """Images from which backgrounds are cut: a list of images, or a `PhotoStore`."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> ByteArray: ...


def random_backdrop(pictures: Pictures | Sequence[ByteArray], rng: np.random.Generator, size: int) -> Float32Array:
    """Return a random background, (size, size, 3) float32: part of a picture, a gradient, or multi-scale noise."""
    kind = rng.random()
    if kind < 0.55 and len(pictures):
        picture = pictures[int(rng.integers(len(pictures)))]
        height, width = picture.shape[:2]
        extent = int(rng.uniform(0.4, 1.0) * min(height, width))
        row, column = rng.integers(height - extent + 1), rng.integers(width - extent + 1)
        picture = picture[row : row + extent, column : column + extent]
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        interpolation = cv2.INTER_CUBIC if extent < size else cv2.INTER_AREA
        image = cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=interpolation)
        image = image.astype(np.float32)
    elif kind < 0.75:
        corners = np.array([grey_or_tinted(rng, rng.uniform(10, 245), 40) for _ in range(4)]).reshape(2, 2, 3)
        image = cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)
    else:
        image = np.ones((size, size, 3), np.float32) * grey_or_tinted(rng, rng.uniform(30, 225), 35)
        for cells in rng.integers(2, 40, 2):
            noise = rng.standard_normal((cells, cells, 3), np.float32) * np.float32(rng.uniform(3, 30))
            image += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        image = image + rng.standard_normal((size, size, 1), np.float32) * np.float32(rng.uniform(1, 10))
    return np.clip(image, 0, 255)


def paint_surroundings(
    image: Float32Array,
    points: FloatArray,
    neck: FloatArray | None,
    hair: Float32Array | None,
    rng: np.random.Generator,
) -> tuple[Float32Array, Float32Array]:
    """Paint clothes and hair behind the head, next to its outline; return the share of each in every pixel, (s, s).

    Hair is painted over clothes.

    Parameters
    ----------
    image : (s, s, 3) float32 array, changed in place
    points : (n, 2) float array, pixels of the vertices of the head
    neck : (2,) float array, pixel in the middle of the neck; None: the centre of the head
    hair : (3,) float32 array, colour; None for no hair
    rng : Generator
    """
    size = len(image)
    x, y = points[:, 0], points[:, 1]
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    centre, half = (low + high) / 2, (high - low) / 2
    neck = centre if neck is None else neck
    shares = [np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)]
    for kind, (chance, colour, middle, extent) in enumerate(
        (
            (
                0.5,
                grey_or_tinted(rng, rng.uniform(5, 240), 40),
                neck + (neck - centre) * 0.9,
                half * rng.uniform([1.2, 0.5], [2.2, 0.9]),
            ),
            (0.5, hair, centre - (neck - centre) * rng.uniform(-0.5, 0.35), half * rng.uniform(0.85, 1.3, 2)),
        )
    ):
        if rng.random() > chance or colour is None:
            continue
        shape = np.zeros((size, size), np.uint8)
        angle = float(np.degrees(np.arctan2(*(neck - centre)[::-1])) - 90)
        box = ((float(middle[0]), float(middle[1])), (float(2 * extent[0]), float(2 * extent[1])), angle)
        cv2.ellipse(shape, box, 255, -1)
        alpha = cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.5, 3.0) * size / 128)[..., None] / np.float32(255)
        strands = rng.standard_normal((size // 2, max(2, size // 16), 1), np.float32)
        texture = cv2.resize(strands, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
        if rng.random() < 0.6:
            texture = texture.transpose(1, 0, 2)
        paint = np.asarray(colour, np.float32) * (0.8 + rng.uniform(0.03, 0.2) * texture)
        image[:] = image * (1 - alpha) + np.clip(paint, 0, 255) * alpha
        shares[kind] = alpha[..., 0]
    return shares[0], shares[1]


def grey_or_tinted(rng: np.random.Generator, level: float, tint: float) -> Float32Array:
    """Return a random colour (3,) float32: the grey level plus normal noise of standard deviation `tint`."""
    return np.asarray(level + rng.normal(0, tint, 3), dtype=np.float32)
