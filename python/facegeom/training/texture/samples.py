"""Samples to train and measure texture completion: textures and random masks of known texels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, IntArray
from facegeom.errors import FacegeomError
from facegeom.texture.completion import expected_hair
from facegeom.texture.texel_classes import EAR, FACE, NECK, SCALP
from facegeom.training.data.samples import NumberedStream, image_tensor
from facegeom.training.texture.texture_set import TextureSet

REAL_MASKS = 0.8  # share of occlusion masks; the rest: random strokes (thesis on fully textured heads, section 3.4)
HELD_OUT = 5  # every fifth occlusion mask is not used in training
LEAST_HIDDEN, LEAST_KNOWN = 0.02, 0.05  # smallest masked and known share of the seen texels in a sample
SKINS = 0.1  # share of the samples that are whole textures of skins
LEAST_COUNTED = 20  # smallest number of textures from which the share of hair at a texel is known
TRIES = 50  # largest number of masks drawn until one has permitted shares
STROKES, TURNS = (1, 4), (3, 10)  # ranges of the number of strokes, and of the straight pieces in a stroke
STROKE_WIDTH, STROKE_LENGTH = (0.04, 0.14), (0.05, 0.3)  # ranges of stroke width and length / texture side length
HAIRLINE = 0.03  # largest distance from both hair and skin of a texel at the hairline / texture side length
AREAS = ("face", "ears", "neck", "scalp", "hairline")  # parts of a texture whose errors are measured
BRIGHTNESS, TINT = 0.2, 0.05  # largest relative change of all colour channels together, and of one channel


def scaled(textures: TextureSet, size: int) -> TextureSet:
    """Return the texture set with textures and masks resized to `size` x `size` texels.

    A texel of a resized mask is True if more than half of its area was True.

    Parameters
    ----------
    textures : TextureSet
    size : int
        New side length in texels, at least 16.

    Returns
    -------
    TextureSet
    """
    size = check.count(size, "size", 16)
    if textures.textures.shape[1] == size:
        return textures
    shrink = cv2.INTER_AREA if size < textures.textures.shape[1] else cv2.INTER_LINEAR

    def image(values: ByteArray) -> ByteArray:
        return np.stack([cv2.resize(v, (size, size), interpolation=shrink) for v in values]).astype(np.uint8)

    def mask(values: BoolArray) -> BoolArray:
        return image(values.astype(np.uint8) * 255) > 127

    return replace(
        textures,
        textures=image(textures.textures),
        seen=mask(textures.seen),
        hair=mask(textures.hair),
        masks=mask(textures.masks),
        part=np.asarray(cv2.resize(textures.part, (size, size), interpolation=cv2.INTER_NEAREST), np.uint8),
    )


def rows_of(textures: TextureSet, split: str) -> IntArray:
    """Return the rows of the textures in one part of the split, (r,) int array.

    Parameters
    ----------
    textures : TextureSet
    split : str
        "training", "validation" or "test".

    Raises
    ------
    FacegeomError
        If there are no such textures.
    """
    rows = np.flatnonzero(textures.split == split).astype(np.int64)
    if not len(rows):
        raise FacegeomError(f"the file of textures contains none of the {split} identities")
    return rows


def training_masks(textures: TextureSet) -> BoolArray:
    """Return the occlusion masks used in training: all masks except every fifth."""
    return textures.masks[np.arange(len(textures.masks)) % HELD_OUT != HELD_OUT - 1]


def held_out_masks(textures: TextureSet) -> BoolArray:
    """Return the occlusion masks not used in training: every fifth mask, or all masks if there are fewer than five."""
    return textures.masks[HELD_OUT - 1 :: HELD_OUT] if len(textures.masks) >= HELD_OUT else textures.masks


def mean_texture(textures: TextureSet) -> ByteArray:
    """Return the symmetric mean of the training textures over seen texels, (S, S, 3) uint8.

    Texels that no training texture shows have the mean of the made-up colours; outside the region, the mean colour.
    """
    total, weight = np.zeros(textures.textures.shape[1:]), np.zeros(textures.part.shape)
    for row in rows_of(textures, "training"):
        share = textures.seen[row] + 1e-6
        total += textures.textures[row] * share[..., None]
        weight += share
    mean = (total + total[:, ::-1]) / (weight + weight[:, ::-1])[..., None]
    mean[~textures.region] = mean[textures.region].mean(0)
    return np.rint(mean).astype(np.uint8)


def usual_hair(textures: TextureSet) -> Float32Array:
    """Return the share of the training photos with hair at each texel that they show, (S, S) float32, symmetric.

    On the scalp where too few photos show it, hair grows; elsewhere it does not.
    """
    rows = rows_of(textures, "training")
    rows = rows[textures.kind[rows] != "skin"]
    seen, hair = (masks[rows].sum(axis=0) for masks in (textures.seen, textures.hair & textures.seen))
    seen, hair = seen + seen[:, ::-1], hair + hair[:, ::-1]
    return np.where(seen >= LEAST_COUNTED, hair / np.maximum(seen, 1), textures.part == SCALP).astype(np.float32)


def areas(part: ByteArray, seen: BoolArray, hair: BoolArray) -> dict[str, BoolArray]:
    """Return the seen texels of each of `AREAS`, (S, S) bool.

    Hair on the face, such as a fringe, is no part of the face. The hairline are texels near both hair and skin.

    Parameters
    ----------
    part : (S, S) uint8 array, as in `TextureSet`
    seen, hair : (S, S) bool arrays, as in `TextureSet`
    """
    reach = 2 * max(1, round(HAIRLINE * len(part))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = [cv2.dilate((seen & mask).astype(np.uint8), kernel) > 0 for mask in (hair, ~hair & (part != NECK))]
    return {
        "face": seen & (part == FACE) & ~hair,
        "ears": seen & (part == EAR),
        "neck": seen & (part == NECK),
        "scalp": seen & (part == SCALP),
        "hairline": seen & near[0] & near[1],
    }


def draw_known(rng: np.random.Generator, masks: BoolArray, region: BoolArray) -> BoolArray:
    """Draw a mask of known texels: with probability 0.8 an occlusion mask, otherwise all texels outside random strokes.

    Occlusion masks are mirrored with probability 1/2.

    Parameters
    ----------
    rng : Generator
        Random number generator.
    masks : (m, S, S) bool array
        Occlusion masks, True for known texels.
    region : (S, S) bool array
        Texels that a texture shows.

    Returns
    -------
    (S, S) bool array
        Known texels in the region: at least 5 % and at most 98 % of the region.

    Raises
    ------
    FacegeomError
        If 50 masks in a row mask less than 2 % or leave less than 5 % of the region known.
    """
    for _ in range(TRIES if region.any() else 0):
        if len(masks) and rng.random() < REAL_MASKS:
            known = masks[rng.integers(len(masks))]
            known = known[:, ::-1] if rng.random() < 0.5 else known
        else:
            known = ~draw_strokes(rng, region)
        known = known & region
        share = known.sum() / max(1, region.sum())
        if LEAST_KNOWN <= share <= 1 - LEAST_HIDDEN:
            return known
    raise FacegeomError(f"{TRIES} masks in a row hide less than 2 % of the region or show less than 5 % of it")


def draw_strokes(rng: np.random.Generator, region: BoolArray) -> BoolArray:
    """Draw random free-form strokes that start in a region (Yu et al. 2019, section 3.2).

    A stroke is a polyline of random length and width with rounded corners that turns left and right alternately.

    Parameters
    ----------
    rng : Generator
        Random number generator.
    region : (S, S) bool array

    Returns
    -------
    (S, S) bool array
        True for texels in the strokes.
    """
    size, starts = len(region), np.argwhere(region)
    canvas = np.zeros((size, size), np.uint8)
    for _ in range(rng.integers(*STROKES, endpoint=True)):
        point = starts[rng.integers(len(starts))][::-1].astype(np.float64)  # x, y
        width = max(1, round(rng.uniform(*STROKE_WIDTH) * size))
        heading = rng.uniform(0, 2 * np.pi)
        for turn in range(rng.integers(*TURNS, endpoint=True)):
            heading += rng.uniform(0.3, 1.3) * (1 if turn % 2 else -1)
            length = rng.uniform(*STROKE_LENGTH) * size
            end = np.clip(point + length * np.array([np.cos(heading), np.sin(heading)]), 0, size - 1)
            ends = [tuple(int(v) for v in np.rint(p)) for p in (point, end)]
            cv2.line(canvas, ends[0], ends[1], 1, width)
            cv2.circle(canvas, ends[1], width // 2, 1, -1)
            point = end
    return canvas > 0


class TextureStream(NumberedStream):
    """Stream of training samples: the four tensors that `TextureTrainer.train_step` takes, without the first axis.

    Texels that the texture does not show are neither known nor counted.

    Parameters
    ----------
    textures : TextureSet
        Set whose training textures and training masks are used.
    seed, start, end : int
        See `NumberedStream`.
    """

    def __init__(self, textures: TextureSet, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.textures, self.masks, self.usual = textures, training_masks(textures), usual_hair(textures)
        rows = rows_of(textures, "training")
        of_skins = textures.kind[rows] == "skin"
        self.photos, self.skins = rows[~of_skins], rows[of_skins]

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw a texture with a small random change of colour, mirrored with probability 1/2, and a mask."""
        data = self.textures
        drawn = rng.random() < SKINS
        rows = self.skins if len(self.skins) and (drawn or not len(self.photos)) else self.photos
        row = rows[rng.integers(len(rows))]
        texture, seen, hair = data.textures[row], data.seen[row], data.hair[row]
        if rng.random() < 0.5:
            texture, seen, hair = texture[:, ::-1], seen[:, ::-1], hair[:, ::-1]
        gain = (1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS)) * (1 + rng.uniform(-TINT, TINT, 3))
        texture = np.clip(np.rint(texture * gain), 0, 255).astype(np.uint8)
        known = draw_known(rng, self.masks, seen)
        masks = (known, seen, expected_hair(hair, known, self.usual))
        return image_tensor(texture), *(torch.from_numpy(mask[None].copy()) for mask in masks)
