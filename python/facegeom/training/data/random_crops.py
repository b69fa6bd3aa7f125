"""Shares of the kinds of training samples, and random crops around a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.images.camera import roll_deg
from facegeom.images.crop import aligned_box, crop_affine
from facegeom.training.data.pose import Pose
from facegeom.training.data.renderer import Renderer, crop_square

MAX_ROLL_DEG = 100.0  # largest in-plane rotation, degrees; the first of two passes gets crops that are not upright
LARGE_ERRORS, LARGE_FACTOR = 0.2, 2.5  # share of aligned crops with larger errors, and the factor of these errors


@dataclass(frozen=True)
class MixOptions:
    """Shares of the kinds of samples, and random distributions of the pose and the crop."""

    reshaped: float = 0.3  # share of samples of reshaped photos, if there are any; the other shares are of the rest
    turned: float = 0.42  # share of samples of photos rendered with the head turned to a larger yaw
    synthetic: float = 0.22  # share of samples of synthetic faces
    faceless: float = 0.06  # share of samples without a face, whose true mask is empty
    extremes: float = 0.0  # share of the photos that have closed or wide open eyes, or a wide open mouth
    stretched: float = 0.0  # share of open mouths that are opened further or less far, see `stretched_sample`
    max_yaw_deg: float = 88.0  # largest absolute yaw of turned and of synthetic heads, degrees
    aligned: float = 0.0  # share of aligned crops, with the errors of the pose that the first pass of a pipeline finds
    aligned_shift: float = 0.015  # standard deviation of the offset of an aligned crop / its side
    aligned_scale: float = 0.03  # standard deviation of the logarithm of its scale
    aligned_roll_deg: float = 2.0  # standard deviation of its in-plane rotation, degrees
    crop_factor: tuple[float, float] = (0.95, 1.5)  # range of the crop side divided by the longer side of the face box
    loose_crops: float = 0.15  # share of inaccurate crops, which imitate poor detections
    loose_factor: tuple[float, float] = (0.8, 2.3)  # range of `crop_factor` for inaccurate crops
    shift: float = 0.07  # standard deviation of the crop offset / crop side; twice this value for inaccurate crops
    roll_deg: float = 10.0  # standard deviation of the in-plane rotation, degrees
    any_roll: float = 0.2  # share of crops with a uniform in-plane rotation of at most `MAX_ROLL_DEG` instead


def random_affine(mix: MixOptions, renderer: Renderer, pose: Pose, rng: np.random.Generator, size: int) -> FloatArray:
    """Draw a crop of a face, as the (2, 3) similarity transform from pixels of the photo to pixels of the crop."""
    if mix.aligned and rng.random() < mix.aligned:
        return _aligned_affine(mix, renderer, pose, rng, size)
    loose = rng.random() < mix.loose_crops
    factor = rng.uniform(*(mix.loose_factor if loose else mix.crop_factor))
    shift = rng.normal(0, mix.shift * (2 if loose else 1), 2)
    any_roll = rng.random() < mix.any_roll
    angle = rng.uniform(-MAX_ROLL_DEG, MAX_ROLL_DEG) if any_roll else rng.normal(0, mix.roll_deg)
    box = crop_square(renderer.face_box(pose), factor=factor, shift=(shift[0], shift[1]))
    return crop_affine(box, size, angle)


def _aligned_affine(mix: MixOptions, renderer: Renderer, pose: Pose, rng: np.random.Generator, size: int) -> FloatArray:
    errors = LARGE_FACTOR if rng.random() < LARGE_ERRORS else 1.0
    scale = float(np.exp(rng.normal(0, mix.aligned_scale * errors)))
    right, down = rng.normal(0, mix.aligned_shift * errors, 2).tolist()
    return aligned_affine(
        renderer, pose, size, scale, (right, down), float(rng.normal(0, mix.aligned_roll_deg * errors))
    )


def aligned_affine(
    renderer: Renderer,
    pose: Pose,
    size: int,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    angle: float = 0.0,
) -> FloatArray:
    """Return the aligned crop of a face, with errors.

    Parameters
    ----------
    renderer : Renderer
    pose : Pose
    size : side length of the crop in pixels
    scale : factor of the side in mm
    shift : offset of the centre in x and y / side
    angle : roll of the face in the crop, degrees counter-clockwise

    Returns
    -------
    (2, 3) float array
        Similarity transform from pixels of the photo to pixels of the crop. Its scale is that of the mean face, as a
        pipeline finds it from correspondences.
    """
    mean, shape = (points[renderer.face_vertices] for points in (renderer.model.mean, pose.vertices))
    mean, shape = mean - mean.mean(0), shape - shape.mean(0)
    scale *= pose.scale * float((mean * shape).sum() / (mean * mean).sum())
    x0, y0, x1, y1 = aligned_box(pose.rotation, scale, pose.translation)
    right, down = shift[0] * (x1 - x0), shift[1] * (x1 - x0)
    return crop_affine((x0 + right, y0 + down, x1 + right, y1 + down), size, angle - roll_deg(pose.rotation))
