"""Training images without a face, for which the true mask is empty: textures, photos without the head, mosaics."""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray


def faceless_crop(photo: ByteArray, head: FloatArray, rng: np.random.Generator, size: int) -> ByteArray:
    """Return a random image that contains no face.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
        Photo of a face.
    head : (n, 2) float array, pixels
        Projected vertices of the whole head in the photo.
    rng : Generator
        Random number generator.
    size : int
        Side length S of the square image in pixels.

    Returns
    -------
    (S, S, 3) uint8 array
        A procedural texture, the photo with the head replaced, a corner of the photo, or a mosaic of shuffled cells of
        the photo. The mosaic contains colours and parts of a face, but no face.
    """
    kind = rng.random()
    if kind < 0.3:
        return texture(rng, size)
    if kind < 0.6:
        picture = _without_head(photo, head, rng)
    elif kind < 0.75:
        extent = max(8, min(photo.shape[:2]) // int(rng.integers(4, 7)))
        picture = photo[:extent, :extent] if rng.random() < 0.5 else photo[:extent, -extent:]
    else:
        picture = _mosaic(photo, rng)
    method = cv2.INTER_AREA if len(picture) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=method), dtype=np.uint8)


def _without_head(photo: ByteArray, head: FloatArray, rng: np.random.Generator) -> ByteArray:
    height, width = photo.shape[:2]
    hole = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(hole, cv2.convexHull(head.astype(np.float32)).astype(np.int32), 255)
    if rng.random() < 0.4:
        fill = cv2.resize(texture(rng, 64), (width, height), interpolation=cv2.INTER_CUBIC)
    elif rng.random() < 0.5:
        fill = np.roll(photo, (height // 2, width // 2), axis=(0, 1))
    else:  # a strongly blurred copy of the photo
        fill = cv2.GaussianBlur(photo, (0, 0), 0.2 * width)
    alpha = cv2.GaussianBlur(hole, (0, 0), rng.uniform(0.5, 3))[..., None] / np.float32(255)
    return np.asarray((fill * alpha + photo * (1 - alpha)).astype(np.uint8))


def _mosaic(photo: ByteArray, rng: np.random.Generator) -> ByteArray:
    """Return a picture without a face, (s, s, 3) uint8: the middle of a photo as shuffled and rotated squares."""
    cells = int(rng.integers(4, 8))
    side = min(photo.shape[:2]) // cells
    top, left = (np.array(photo.shape[:2]) - cells * side) // 2
    grid = [
        photo[top + side * row : top + side * (row + 1), left + side * column : left + side * (column + 1)]
        for row, column in np.ndindex(cells, cells)
    ]
    order = rng.permutation(cells * cells)
    turned = [np.rot90(grid[cell], int(rng.integers(4))) for cell in order]
    return np.vstack([np.hstack(turned[cells * row : cells * (row + 1)]) for row in range(cells)])


def texture(rng: np.random.Generator, size: int) -> ByteArray:
    """Return a random procedural image (size, size, 3) uint8: multi-octave noise, stripes, shapes or a gradient."""
    kind = int(rng.integers(5))
    colours = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    if kind == 0:
        field = _octaves(rng, size, float(rng.uniform(0.3, 0.9)), 3)
        image = colours[0] + (field - 0.5) * rng.uniform(60, 500)
    elif kind == 1:
        axis = np.arange(size, dtype=np.float32)
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 60)
        phase = (np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None]) / period
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * (phase + 0.5 * _octaves(rng, size, 0.5, 1)[..., 0]))
        wave = (wave > 0.5).astype(np.float32) if rng.random() < 0.5 else wave
        image = colours[0] + (colours[1] - colours[0]) * wave[..., None]
    elif kind in (2, 3):
        image = np.broadcast_to(colours[0], (size, size, 3)).copy()
        for _ in range(int(rng.integers(3, 30))):
            _shape(image, rng, size)
        image += (_octaves(rng, size, 0.7, 1) - 0.5) * rng.uniform(0, 80)
    else:
        ramp = np.linspace(0, 1, size, dtype=np.float32)
        ramp = ramp[None, :, None] if rng.random() < 0.5 else ramp[:, None, None]
        end = colours[1] if rng.random() < 0.6 else colours[0] * (rng.random() > 0.4)
        image = end + np.broadcast_to((colours[0] - end) * ramp, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def _octaves(rng: np.random.Generator, size: int, persistence: float, channels: int) -> Float32Array:
    total = np.zeros((size, size, channels), dtype=np.float32)
    weight, sum_of_weights, cells = 1.0, 0.0, 3
    while cells < size:
        grid = rng.random((cells, cells, channels), dtype=np.float32)
        level = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, channels)
        total += weight * level
        sum_of_weights += weight
        weight, cells = weight * persistence, cells * 2
    return total / np.float32(sum_of_weights)


def _shape(image: Float32Array, rng: np.random.Generator, size: int) -> None:
    colour = tuple(float(c) for c in rng.uniform(0, 255, 3))
    x, y = (int(v) for v in rng.integers(0, size, 2))
    a, b = (int(v) for v in rng.integers(2, max(4, size // 3), 2))
    kind = int(rng.integers(4))
    if kind == 0:
        cv2.ellipse(image, (x, y), (a, b), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    elif kind == 1:
        cv2.rectangle(image, (x, y), (x + a, y + b), colour, -1 if rng.random() < 0.7 else 2)
    elif kind == 2:
        corners = rng.integers(-a, a + 1, (int(rng.integers(3, 6)), 2)) + np.array([x, y])
        cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    else:
        text = "".join(chr(int(c)) for c in rng.integers(48, 123, int(rng.integers(1, 8))))
        cv2.putText(image, text, (x // 2, y), int(rng.integers(8)), float(rng.uniform(0.3, 2)), colour, 1 + a // 8)
