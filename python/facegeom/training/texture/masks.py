"""Occlusion masks for texture completion: texels hidden by the pose of the head and by real occluders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom._internal.arrays import BoolArray, IntArray
from facegeom.texture.baking import bake
from facegeom.training.data.pose import Pose
from facegeom.training.texture.photo_textures import PhotoBaker


@dataclass(frozen=True)
class MaskOptions:
    """Parameters of the random masks. The thesis on fully textured heads uses 1,000 masks from real photos."""

    count: int = 1000  # number of masks
    yaw_deg: tuple[float, float] = (15.0, 85.0)  # range of the absolute yaw, degrees; uniform, to both sides
    pitch_deg: float = 8.0  # standard deviation of the pitch, degrees
    scale: float = 0.75  # scale of the rendered head, pixels per mm, as in the photos
    seed: int = 0


def head_at(baker: PhotoBaker, row: int, yaw_deg: float, pitch_deg: float, scale: float) -> Pose:
    """Return the fitted head of a row of the labels in another pose, in the middle of an image of `picture_side`."""
    upright = Pose(baker.renderer.pose(baker.labels.fit(row)).vertices, np.eye(3), scale, np.zeros(2))
    pose = upright.turned(yaw_deg, pitch_deg)
    middle = np.full(2, picture_side(scale) / 2)
    return Pose(pose.vertices, pose.rotation, scale, middle)


def picture_side(scale: float) -> int:
    """Return the side length in pixels of a square image that contains any head at `scale` pixels per mm."""
    return round(480 * scale)


def visible_texels(baker: PhotoBaker, pose: Pose) -> BoolArray:
    """Return the texels, (S, S) bool, that a photo of the head without occluders would show."""
    head = baker.head_crop(pose)
    side = picture_side(pose.scale)
    blank = np.zeros((side, side, 3), np.uint8)
    mask = baker.rendered_mask(head)
    return bake(baker.atlas, blank, head.camera, head.vertices, mask, head.box).known


def missing_texels(baker: PhotoBaker, row: int) -> BoolArray:
    """Return the visible texels, (S, S) bool, that a photo does not show because of occluders or the silhouette."""
    head = baker.head_crop(baker.renderer.pose(baker.labels.fit(row)))
    everywhere = np.ones((baker.network.size,) * 2, bool)
    facing = bake(baker.atlas, baker.photo(row), head.camera, head.vertices, everywhere, head.box).known
    return facing & baker.region & ~baker.bake([row])[0].layer.known


def occlusion_mask(
    baker: PhotoBaker, head: int, real: int, rng: np.random.Generator, options: MaskOptions
) -> BoolArray:
    """Return a random occlusion mask: texels visible on a turned head, minus texels occluded in a photo.

    Parameters
    ----------
    baker : PhotoBaker
    head : int
        Row of the labels whose head is turned.
    real : int
        Row of the labels whose photo gives the occluders and the silhouette.
    rng : Generator
        Random number generator of the pose.
    options : MaskOptions

    Returns
    -------
    (S, S) bool array
        True for known texels, which are not masked.
    """
    yaw = rng.uniform(*options.yaw_deg) * rng.choice([-1.0, 1.0])
    shown = visible_texels(baker, head_at(baker, head, yaw, rng.normal(0, options.pitch_deg), options.scale))
    return shown & baker.region & ~missing_texels(baker, real)


def draw_masks(
    baker: PhotoBaker, rows: IntArray, count: int, rng: np.random.Generator, options: MaskOptions
) -> BoolArray:
    """Return occlusion masks, (count, S, S) bool, of random heads and photos among the rows of the labels."""
    pairs = rng.choice(rows, (count, 2))
    masks = [occlusion_mask(baker, int(head), int(real), rng, options) for head, real in pairs]
    return np.array(masks).reshape(count, *baker.region.shape)
