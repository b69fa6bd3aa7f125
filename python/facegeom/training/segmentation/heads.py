"""Synthetic heads with the class of every pixel."""

from __future__ import annotations

import os

import numpy as np

from facegeom._internal.arrays import AnyArray, ByteArray, Float32Array, FloatArray
from facegeom.face_model import FaceModel
from facegeom.images.crop import apply_affine
from facegeom.networks.segmentation_crop import (
    BACKGROUND,
    CLOTHES,
    COVER,
    EYEWEAR,
    FACIAL_HAIR,
    HEAD_HAIR,
    SKIN,
    head_affine,
)
from facegeom.training.data.assets import Assets
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.synthetic import DrawnLayers, SyntheticFaces, SyntheticOptions
from facegeom.training.segmentation.covers import Covers

HEADS = SyntheticOptions(pitch_deg=10.0, eyewear=0.25)
MOST_YAW_DEG = 75.0
COVERED = 0.4  # share of heads with a cover
COLLAR_MM = (-165.0, -120.0)  # range of the height of a collar on the neck, mean head
WORN = 0.7  # share of heads with a collar
CLEAR_LENS = 0.45  # share of a pixel that glasses hide from which it shows the glasses
BEARD = 0.35  # share of hair in the colour of the skin from which it is a beard


class SegmentationHeads(SyntheticFaces):
    """Draws synthetic heads in the crop of the segmentation network.

    Parameters
    ----------
    model : FaceModel
    texture_path : path of a texture model; None: plain skin of random colour
    assets : skins, hair and lights, used beside those of the texture model
    frame_mm : side of the crop, mm
    """

    def __init__(
        self,
        model: FaceModel,
        texture_path: str | os.PathLike[str] | None,
        assets: Assets | None,
        frame_mm: float,
    ) -> None:
        super().__init__(model, MixOptions(max_yaw_deg=MOST_YAW_DEG), texture_path, options=HEADS, assets=assets)
        self.frame_mm = frame_mm
        self.covers = Covers(model, self.backgrounds)
        self._turn = np.eye(3)
        self._share: Float32Array | None = None
        self._layers: DrawnLayers | None = None
        self._collar = -np.inf
        self._cloth = np.zeros(3)

    def draw_classes(self, rng: np.random.Generator, size: int) -> tuple[ByteArray, ByteArray]:
        """Draw one head; return the image (size, size, 3) and the class of each pixel (size, size), both uint8."""
        self._collar = rng.uniform(*COLLAR_MM) if rng.random() < WORN else -np.inf
        self._cloth = np.clip(rng.uniform(5, 240) + rng.normal(0, 40, 3), 0, 255)
        image = self.draw(rng, size)[0].image
        return image, self._classes()

    def _classes(self) -> ByteArray:
        layers = self._layers
        if layers is None:
            raise RuntimeError("no head has been drawn")
        out = np.full(layers.head.shape, BACKGROUND, np.uint8)
        out[layers.clothes > 0.5] = CLOTHES
        out[layers.hair_behind > 0.5] = HEAD_HAIR
        corners = self.model.faces[layers.raster.triangle[layers.head]]
        shown = np.full(len(corners), SKIN, np.uint8)
        shown[self.painted_beard[corners].mean(1) > BEARD] = FACIAL_HAIR
        shown[self.painted_hair[corners].mean(1) > 0.5] = HEAD_HAIR
        shown[(self.mean32[corners, 1].mean(1) < self._collar)] = CLOTHES
        out[layers.head] = shown
        out[layers.eyewear > CLEAR_LENS] = EYEWEAR
        out[layers.strands > 0.5] = HEAD_HAIR
        if self._share is not None:
            out[self._share > 0.5] = COVER
        return out

    def _colours(
        self, rng: np.random.Generator, hair: Float32Array, beard: Float32Array, covered: ByteArray | None = None
    ) -> Float32Array:
        colours = super()._colours(rng, hair, beard, covered)
        below = (self.mean32[:, 1] < self._collar) & self.skin
        colours[below] = np.clip(self._cloth + 12 * self._waves(rng)[below, None], 4, 252)
        return colours

    def _rotation(self, rng: np.random.Generator) -> FloatArray:
        yaw = rng.choice([-1.0, 1.0]) * self.mix.max_yaw_deg * rng.random() ** 1.5
        y, p = np.radians([yaw, rng.normal(0, self.options.pitch_deg)])
        turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        self._turn = turn @ nod
        return self._turn

    def _crop(self, pose: Pose, rng: np.random.Generator, size: int) -> FloatArray:
        return head_affine(self._turn, 1.0, np.zeros(2), size, self.frame_mm)

    def _in_front(
        self, image: AnyArray, pose: Pose, affine: FloatArray, depth: FloatArray, rng: np.random.Generator
    ) -> AnyArray:
        self._share = None
        if rng.random() >= COVERED:
            return image
        nose = apply_affine(affine, pose.pixels()[self.model.landmarks68[[30, 2, 14]], :2])
        column, row = np.clip(np.rint(nose), 0, len(image) - 1).astype(int).T
        skin = np.asarray(image)[row, column].mean(0)
        solid = self.covers.draw(pose.vertices, skin, rng)
        image, self._share = self.covers.paint(image, solid, pose, affine, depth, rng)
        return image

    def _note(self, layers: DrawnLayers) -> None:
        self._layers = layers
