"""Occlusion masks for texture completion: what heads in large poses hide, and what covers real faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom._internal.arrays import BoolArray, IntArray
from facegeom.texture.baking import bake
from facegeom.training.data.renderer import Pose
from facegeom.training.texture.photos import PhotoBaker


@dataclass(frozen=True)
class MaskOptions:
    """How masks are drawn; the paper has 1,000 of its photos' own."""

    count: int = 1000
    yaw_deg: tuple[float, float] = (15.0, 85.0)  # uniformly, to either side
    pitch_deg: float = 8.0  # standard deviation
    scale: float = 0.75  # pixels per mm, as the photos have
    seed: int = 0


def head_at(baker: PhotoBaker, row: int, yaw_deg: float, pitch_deg: float, scale: float) -> Pose:
    """Return the fitted head of a row of the labels, in another pose and in the middle of its picture."""
    upright = Pose(baker.renderer.pose(baker.labels.fit(row)).vertices, np.eye(3), scale, np.zeros(2))
    pose = upright.turned(yaw_deg, pitch_deg)
    middle = np.full(2, picture_side(scale) / 2)
    return Pose(pose.vertices, pose.rotation, scale, middle)


def picture_side(scale: float) -> int:
    """Return the side in pixels of a picture that holds any head of this scale."""
    return round(480 * scale)


def visible_texels(baker: PhotoBaker, pose: Pose) -> BoolArray:
    """Return the (S, S) mask of the texels that a photo of a head without occluders would show."""
    placed = baker.place(pose)
    side = picture_side(pose.scale)
    blank = np.zeros((side, side, 3), np.uint8)
    mask = baker.rendered_mask(placed)
    return bake(baker.atlas, blank, placed.camera, placed.vertices, mask, placed.box).known


def missing_texels(baker: PhotoBaker, row: int) -> BoolArray:
    """Return the (S, S) mask of the texels that a photo would show, were it all face, but for occluders and outline."""
    head = baker.place(baker.renderer.pose(baker.labels.fit(row)))
    everywhere = np.ones((baker.network.size,) * 2, bool)
    facing = bake(baker.atlas, baker.photo(row), head.camera, head.vertices, everywhere, head.box).known
    return facing & baker.region & ~baker.bake([row])[0].layer.known


def occlusion_mask(
    baker: PhotoBaker, head: int, real: int, rng: np.random.Generator, options: MaskOptions
) -> BoolArray:
    """Return one mask, (S, S), True where known: a fitted head turned, without what a real photo does not show.

    Parameters
    ----------
    baker : PhotoBaker
    head, real : rows of the labels: whose head is turned, and whose occluders and silhouette hide more of it
    rng : draws the pose
    options : MaskOptions
    """
    yaw = rng.uniform(*options.yaw_deg) * rng.choice([-1.0, 1.0])
    shown = visible_texels(baker, head_at(baker, head, yaw, rng.normal(0, options.pitch_deg), options.scale))
    return shown & baker.region & ~missing_texels(baker, real)


def draw_masks(
    baker: PhotoBaker, rows: IntArray, count: int, rng: np.random.Generator, options: MaskOptions
) -> BoolArray:
    """Return (count, S, S) masks of random heads and photos among `rows`."""
    pairs = rng.choice(rows, (count, 2))
    masks = [occlusion_mask(baker, int(head), int(real), rng, options) for head, real in pairs]
    return np.array(masks).reshape(count, *baker.region.shape)
