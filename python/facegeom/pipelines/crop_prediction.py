"""Prediction of maps from one crop of a photo, and the crop in which the face that it shows is aligned.

The network sees a face upright: the crop is turned, and the maps are turned back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom.images.boxes import Box
from facegeom.images.crop import Crop, aligned_box, crop_affine
from facegeom.networks.interface import MapNetwork, NetworkMaps
from facegeom.pipelines.map_options import MapOptions
from facegeom.pipelines.plausibility import Plausibility, RigidView, rigid_view, scored

ROLL_STEP_DEG = 0.5
"""Step to which the roll of aligned crops is rounded, degrees."""


@dataclass(frozen=True)
class CropPrediction:
    """The prediction of the network for one crop."""

    crop: Crop
    depth: Float32Array
    correspondence: Float32Array
    mask: BoolArray
    plausibility: Plausibility
    view: RigidView | None  # the face in the crop; None if there is no such view, as for an empty mask
    turn_deg: float = 0.0  # angle by which the network's input was turned clockwise
    earlier_score: float = 1.0  # score of the prediction that placed the crop; 1 if the crop is that of a box
    shown: ByteArray | None = None  # the photo without noise that the network saw; None: it saw the photo itself

    @property
    def roll_deg(self) -> float:
        """Roll of the face in degrees, counter-clockwise in the photo; 0 if it is not known."""
        return 0.0 if self.view is None else self.view.roll_deg

    @property
    def residual_deg(self) -> float:
        """Roll of the face in the network's input, from -180 to 180 degrees."""
        return within_half_turn(self.roll_deg - self.turn_deg)

    @property
    def face_box(self) -> Box:
        """The box of the mask in pixels of the photo."""
        left, top, right, _ = self.crop.box
        step = (right - left) / len(self.mask)
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return (
            left + step * float(columns[0]),
            top + step * float(rows[0]),
            left + step * float(columns[-1] + 1),
            top + step * float(rows[-1] + 1),
        )


def predict_crop(
    network: MapNetwork,
    photo: ByteArray,
    square: Box,
    options: MapOptions,
    *,
    mirror: bool,
    turn: float = 0.0,
) -> CropPrediction:
    """Return the prediction for the crop `square` of the photo, oriented as the photo. The network sees the crop turned
    clockwise by `turn` degrees.
    """
    crop = Crop.of(photo, square, network.size)
    if turn % 90 == 0:
        quarters = round(turn / 90)
        maps = network.predict(np.ascontiguousarray(np.rot90(crop.image, -quarters))[None], mirror=mirror)
        depth, correspondence, probability = (
            np.ascontiguousarray(np.rot90(values[0], quarters))
            for values in (maps.depth, maps.correspondence, maps.mask_probability)
        )
    else:
        maps = network.predict(Crop.of(photo, square, network.size, -turn).image[None], mirror=mirror)
        depth, correspondence, probability = _turned_maps(maps, turn, options)
    mask = _large_parts(probability > options.threshold, options.min_part_share)
    view = rigid_view(depth, correspondence, mask)
    plausible = scored(probability, mask, np.inf if view is None else view.misfit_mm, options)
    return CropPrediction(crop, depth, correspondence, mask, plausible, view, turn)


def turn_of(roll_deg: float, largest_deg: float) -> float:
    """Return the angle by which the crop of a face with `roll_deg` is turned, clockwise.

    It is a multiple of 90 degrees if the roll that remains is at most `largest_deg`: these turns need no interpolation.
    """
    quarter = 90.0 * round(roll_deg / 90)
    return quarter if abs(roll_deg - quarter) <= largest_deg else roll_deg


def _turned_maps(
    maps: NetworkMaps, degrees: float, options: MapOptions
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return depth, correspondence and probability of the mask (S, S, ...) of one crop, turned counter-clockwise.

    Pixels outside the mask take no part in the interpolation of depth and correspondence inside it.
    """
    size = maps.depth.shape[1]
    affine = crop_affine((-0.5, -0.5, size - 0.5, size - 0.5), size, degrees)
    probability = maps.mask_probability[0].astype(np.float32)
    inside = (probability > options.threshold).astype(np.float32)
    planes = np.dstack([maps.depth[0], maps.correspondence[0]]).astype(np.float32)
    turned, weighted, weight = (
        np.asarray(cv2.warpAffine(plane, affine, (size, size), flags=cv2.INTER_LINEAR), dtype=np.float32)
        for plane in (probability, planes * inside[..., None], inside)
    )
    values = (weighted / np.maximum(weight, 1e-3)[..., None]).astype(np.float32)
    shown = np.where(weight > 0, turned, np.minimum(turned, np.float32(options.threshold)))
    return np.ascontiguousarray(values[..., 0]), np.ascontiguousarray(values[..., 1:]), shown.astype(np.float32)


def predict_aligned(
    network: MapNetwork, photo: ByteArray, previous: CropPrediction, options: MapOptions, *, mirror: bool
) -> CropPrediction:
    """Return the prediction for the aligned crop of the face that an earlier prediction shows, in the same photo or in
    the next frame of a video.
    """
    turn = turn_of(ROLL_STEP_DEG * round(previous.roll_deg / ROLL_STEP_DEG), options.aligned_deg)
    found = predict_crop(network, photo, aligned_square(previous), options, mirror=mirror, turn=turn)
    return replace(found, earlier_score=previous.plausibility.score)


def predict_again(
    network: MapNetwork, photo: ByteArray, previous: CropPrediction, options: MapOptions, *, mirror: bool
) -> CropPrediction:
    """Return the prediction for the crop of an earlier prediction in the next frame of a video."""
    return predict_crop(network, photo, previous.crop.box, options, mirror=mirror, turn=previous.turn_deg)


def aligned_square(prediction: CropPrediction) -> Box:
    """Return the box of the aligned crop, before it is turned, of the face of a prediction.

    It is rounded to about half a pixel of the crop, because the maps of two computers or backends differ a little.
    """
    view, crop = prediction.view, prediction.crop
    if view is None:
        return crop.box
    scale = view.scale * (crop.box[2] - crop.box[0]) / crop.size
    x0, y0, x1, _ = aligned_box(view.rotation, scale, crop.to_photo(view.origin[None])[0])
    unit = 2.0 ** round(math.log2((x1 - x0) / (2 * crop.size)))
    left, top, side = (unit * round(value / unit) for value in (x0, y0, x1 - x0))
    return left, top, left + side, top + side


def within_half_turn(degrees: float) -> float:
    """Return the same angle from -180 to 180 degrees."""
    return (degrees + 180.0) % 360.0 - 180.0


def _large_parts(mask: BoolArray, min_part_share: float) -> BoolArray:
    """Return the mask without connected parts smaller than `min_part_share` of the largest part."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count <= 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.concatenate([[False], areas >= min_part_share * areas.max()])
    return np.asarray(keep[labels], dtype=np.bool_)
