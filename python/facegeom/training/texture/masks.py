"""Occlusion masks for texture completion: texels hidden by the pose of the head and by real occluders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facegeom._internal.arrays import BoolArray
from facegeom.training.texture.head_textures import HeadBaker


@dataclass(frozen=True)
class MaskOptions:
    """Parameters of the random masks. The thesis on fully textured heads uses 1,000 masks from real photos."""

    count: int = 1000  # number of masks
    yaw_deg: tuple[float, float] = (15.0, 85.0)  # range of the absolute yaw, degrees; uniform, to both sides
    pitch_deg: float = 8.0  # standard deviation of the pitch, degrees
    scale: float = 0.75  # scale of the rendered head, pixels per mm, as in the photos
    seed: int = 0


def draw_masks(
    baker: HeadBaker,
    rows: Sequence[int],
    refused: Sequence[BoolArray],
    rng: np.random.Generator,
    options: MaskOptions,
) -> BoolArray:
    """Return occlusion masks, (m, S, S) bool: texels visible on a turned head, minus those occluded in a photo.

    Parameters
    ----------
    baker : HeadBaker
    rows : sequence of m int
        Rows of the labels whose heads are turned.
    refused : sequence of m (S, S) bool arrays
        Texels that other photos show as something else, see `HeadTexture`.
    rng : Generator
        Random number generator of the poses.
    options : MaskOptions
        `count` is not used.
    """
    masks = []
    for row, hidden in zip(rows, refused, strict=True):
        yaw = rng.uniform(*options.yaw_deg) * rng.choice([-1.0, 1.0])
        pose = baker.head_at(int(row), yaw, rng.normal(0, options.pitch_deg), options.scale)
        masks.append(baker.visible(pose) & ~hidden)
    return np.array(masks, np.bool_).reshape(len(masks), *baker.part.shape)
