"""Augmentation of training images that does not change the labels.

The augmentation changes colour, lighting, sharpness, resolution, noise and compression, and adds occluders and glasses.
Geometric augmentation (scale, shift, in-plane rotation, mirroring) is part of the rendering, so that labels are never
resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facegeom._internal.arrays import AnyArray, FloatArray


@dataclass(frozen=True)
class AugmentOptions:
    """Probability in [0, 1] of each kind of augmentation."""

    colour: float = 0.9  # changed gamma, gain, contrast, brightness and saturation
    gray: float = 0.08  # conversion to grey
    light: float = 0.25  # brightness that varies across the image
    occluder: float = 0.3  # a hand, bar, patch or disc in front of the face
    glasses: float = 0.08  # drawn glasses
    low_resolution: float = 0.35  # downscaling followed by upscaling
    blur: float = 0.25  # Gaussian or motion blur
    noise: float = 0.3  # Gaussian noise
    jpeg: float = 0.35  # JPEG compression
    cut: float = 0.12  # black area on one side, as in a crop that extends beyond the photo


def augment(
    image: AnyArray, eyes: FloatArray, rng: np.random.Generator, other: AnyArray | None, options: AugmentOptions
) -> AnyArray:
    """Return a randomly augmented copy of an image.

    Parameters
    ----------
    image : (S, S, 3) uint8 array, RGB
    eyes : (2, 2) float array, pixels
        Centres of the right and the left eye, x and y, at which glasses are drawn.
    rng : Generator
        Random number generator.
    other : (h, w, 3) uint8 array or None
        Another photo, whose parts are the texture of occluders. With None, occluders have one colour.
    options : AugmentOptions

    Returns
    -------
    (S, S, 3) uint8 array
    """

    def chance(p: float) -> bool:
        return bool(rng.random() < p)

    size = image.shape[0]
    image = image.copy()
    if chance(options.glasses):
        _glasses(image, eyes, rng)
    if chance(options.occluder):
        _occluder(image, rng, other)
    if chance(options.light):
        image = _light(image, rng)
    if chance(options.colour):
        image = _colour(image, rng)
    if chance(options.gray):
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance(options.low_resolution):
        small = int(size * np.exp(rng.uniform(np.log(0.15), np.log(0.7))))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if chance(options.blur):
        if chance(0.3):
            image = cv2.filter2D(image, -1, _motion_kernel(rng, size))
        else:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6) * size / 128)
    if chance(options.noise):
        noise = rng.standard_normal((size, size, 1 if chance(0.4) else 3), np.float32) * rng.uniform(2, 16)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if chance(options.jpeg):
        quality = int(rng.integers(10, 75))
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    if chance(options.cut):
        _cut(image, rng)
    return image


def _cut(image: AnyArray, rng: np.random.Generator) -> None:
    """Set the pixels of `image` on one side of a random line to black, as in a crop that extends beyond the photo.

    Half of the lines are not axis-parallel.
    """
    size = image.shape[0]
    angle = np.pi / 2 * rng.integers(4) + (rng.normal(0, 0.5) if rng.random() < 0.5 else 0.0)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    across = np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None]
    image[across > rng.uniform(0.1, 1.0)] = 0


def _colour(image: AnyArray, rng: np.random.Generator) -> AnyArray:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)
    gamma = np.exp(rng.normal(0, 0.28))
    gain = np.exp(rng.normal(0, 0.16)) * np.exp(rng.normal(0, 0.08, 3))
    contrast, brightness = np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.06)
    table = np.clip((ramp[:, None] ** gamma - 0.5) * gain * contrast + 0.5 + brightness, 0, 1)
    image = cv2.LUT(image, (table * 255).astype(np.uint8)[None])
    saturation = float(np.clip(rng.normal(1, 0.3), 0, 1.8))
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, saturation, gray, 1 - saturation, 0)


def _light(image: AnyArray, rng: np.random.Generator) -> AnyArray:
    size = image.shape[0]
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    ramp = np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None]
    if rng.random() < 0.4:  # the edge of a shadow instead of a linear gradient
        ramp = np.tanh((ramp - rng.uniform(-0.4, 0.4)) * rng.uniform(3, 12))
    factor = 1 + rng.uniform(0.15, 0.7) * ramp.astype(np.float32)
    return np.clip(image * factor[..., None], 0, 255).astype(np.uint8)


def _motion_kernel(rng: np.random.Generator, size: int) -> np.ndarray:
    length = int(rng.integers(3, max(4, size // 16)))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle = (length - 1) / 2
    dx, dy = np.cos(angle) * middle, np.sin(angle) * middle
    start, end = (round(middle - dx), round(middle - dy)), (round(middle + dx), round(middle + dy))
    cv2.line(kernel, start, end, 1.0)
    return kernel / kernel.sum()


def _occluder(image: AnyArray, rng: np.random.Generator, other: AnyArray | None) -> None:
    """Draw an occluder into `image`: a hand, bar, patch or disc with soft edges.

    The occluder has one colour or the texture of the photo `other`.
    """
    size = image.shape[0]
    shape = np.zeros((size, size), np.uint8)
    kind = rng.choice(["hand", "bar", "patch", "disc"])
    centre = rng.uniform(0.05, 0.95, 2) * size
    if kind == "hand":
        direction = rng.uniform(0, 2 * np.pi)
        along = np.array([np.cos(direction), np.sin(direction)])
        palm = rng.uniform(0.10, 0.18) * size
        cv2.circle(shape, _pixel(centre), int(palm), 255, -1)
        cv2.line(shape, _pixel(centre), _pixel(centre - along * size), 255, int(palm * 1.4))
        for spread in np.linspace(-0.5, 0.5, 4) * rng.uniform(0.5, 1.2):
            tip = direction + spread
            finger = centre + np.array([np.cos(tip), np.sin(tip)]) * palm * rng.uniform(1.8, 2.5)
            cv2.line(shape, _pixel(centre), _pixel(finger), 255, max(2, int(palm * 0.42)))
    elif kind == "bar":
        direction = rng.uniform(0, np.pi)
        along = np.array([np.cos(direction), np.sin(direction)]) * 2 * size
        cv2.line(shape, _pixel(centre - along), _pixel(centre + along), 255, int(rng.uniform(0.03, 0.12) * size))
    elif kind == "patch":
        half = rng.uniform(0.06, 0.2, 2) * size
        corners = cv2.boxPoints((tuple(centre), tuple(half * 2), float(rng.uniform(0, 90))))
        cv2.fillConvexPoly(shape, corners.astype(np.int32), 255)
    else:
        axes = _pixel(rng.uniform(0.05, 0.2, 2) * size)
        cv2.ellipse(shape, _pixel(centre), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    if other is not None and rng.random() < 0.5:
        y, x = (int(rng.integers(0, max(1, extent // 2))) for extent in other.shape[:2])
        paint = cv2.resize(other[y : y + other.shape[0] // 2, x : x + other.shape[1] // 2], (size, size))
    else:
        skin = image[tuple(rng.integers(size // 3, 2 * size // 3, 2))].astype(np.float64)
        colour = skin * rng.uniform(0.7, 1.2) if kind == "hand" else rng.uniform(0, 255, 3)
        paint = np.broadcast_to(np.clip(colour, 0, 255).astype(np.uint8), image.shape)
    alpha = cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.4, 1.5))[..., None] / 255.0
    image[:] = (paint * alpha + image * (1 - alpha)).astype(np.uint8)


def _glasses(image: AnyArray, eyes: FloatArray, rng: np.random.Generator) -> None:
    right, left = np.asarray(eyes, float)
    apart = float(np.linalg.norm(left - right))
    if not 4 < apart < 2 * image.shape[0]:
        return
    angle = float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))
    axes = _pixel(apart * rng.uniform([0.32, 0.22], [0.46, 0.38]))
    colour = tuple(int(c) for c in rng.integers(0, 90, 3))
    thickness = max(1, round(apart * rng.uniform(0.02, 0.09)))
    drawn = image.copy()
    for eye in (right, left):
        if rng.random() < 0.5:
            tinted = image.copy()
            cv2.ellipse(tinted, _pixel(eye), axes, angle, 0, 360, colour, -1)
            opacity = rng.uniform(0.2, 1.0)
            drawn = cv2.addWeighted(tinted, opacity, drawn, 1 - opacity, 0)
        cv2.ellipse(drawn, _pixel(eye), axes, angle, 0, 360, colour, thickness, cv2.LINE_AA)
    bridge = (left - right) / apart * axes[0]
    if axes[0] * 2 < apart:
        cv2.line(drawn, _pixel(right + bridge), _pixel(left - bridge), colour, thickness, cv2.LINE_AA)
    image[:] = drawn


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
