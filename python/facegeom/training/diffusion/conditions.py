"""What a diffusion model is told about a head: rendered maps of the fitted face model, and attributes.

Image and mesh share every change, because the maps are renders of the mesh: the approach of the GCN-IGAN paper,
algorithm 1, steps 11 and 12.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import Fit
from facegeom.geometry import Raster, rasterize, vertex_normals
from facegeom.networks.diffusion.autoencoder import FACTOR
from facegeom.networks.diffusion.unet import ATTRIBUTES, MAPS, MAPS_FACTOR
from facegeom.networks.interface import MAP_UNIT_MM, SegmentationPredictor
from facegeom.networks.segmentation_crop import EYEWEAR, FRAME_MM
from facegeom.training.data.light import HARMONICS, estimate_light
from facegeom.training.data.pose import Pose

GLASSES_MM2 = 60.0
"""Area of eyewear in the crop, mm^2, from which a head wears glasses."""

FACING, BEHIND_MM = 0.35, 3.0
"""Least cosine of the angle to the camera of a vertex whose colour is used, and largest depth behind the surface."""

LEAST_VERTICES = 200
"""Vertices with a colour from which the light is estimated; with fewer it is taken as uniform."""

GREY = np.array([0.299, 0.587, 0.114])
MEAN_GREY = 128.0
NOT_SKIN = ("brow_left", "brow_right", "eyelids_left", "eyelids_right", "eye_rims", "lips", "lip_rim")

GLASSES, SMILE, LIGHT = 0, 1, slice(2, 2 + HARMONICS)
"""Places of the attributes in `ATTRIBUTES`."""

MIRRORED_LIGHT = np.array([1, -1, 1, 1, -1, 1, -1, 1, 1], np.float32)
"""Signs of the harmonics of the light in a mirror: those that are odd in x change."""


def posed(model: FaceModel, fit: Fit) -> Pose:
    """Return the vertices and the camera of a fit."""
    return Pose(fit.vertices(model), fit.rotation, fit.scale, fit.translation)


class HeadMaps:
    """Renders normals, correspondence and mask of fitted heads.

    Parameters
    ----------
    model : FaceModel
    """

    def __init__(self, model: FaceModel) -> None:
        self.model = model

    def render(self, fit: Fit, size: int) -> tuple[Raster, FloatArray]:
        """Return the raster with normals and correspondence, and the normals (n, 3) in the frame of the crop."""
        pose = posed(self.model, fit)
        normals = vertex_normals(pose.vertices, self.model.faces) @ fit.rotation.T
        values = np.column_stack([normals, self.model.mean / MAP_UNIT_MM])
        return rasterize(pose.pixels(), self.model.faces, values, (size, size)), normals

    def full(self, fit: Fit, size: int) -> Float32Array:
        """Return the maps of a fit in a crop of `size` pixels, (MAPS, size, size); zero beside the head."""
        raster, _ = self.render(fit, size)
        covered = raster.triangle >= 0
        maps = np.zeros((MAPS, size, size), np.float32)
        maps[:-1] = np.where(covered[..., None], np.nan_to_num(raster.attributes), 0).transpose(2, 0, 1)
        maps[-1] = covered
        return maps

    def reduced(self, fit: Fit, size: int) -> Float32Array:
        """Return the maps averaged over squares of pixels, as the U-Net sees them, (MAPS, size / 4, size / 4)."""
        return reduced(self.full(fit, size))


def reduced(maps: Float32Array) -> Float32Array:
    """Return maps (MAPS, S, S) averaged over squares of pixels, (MAPS, S / 4, S / 4)."""
    block = FACTOR // MAPS_FACTOR
    side = maps.shape[1] // block
    return np.asarray(maps.reshape(len(maps), side, block, side, block).mean((2, 4)), np.float32)


def mirrored(maps: Float32Array, attributes: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return maps (MAPS, s, s) and attributes (a,) of the mirrored head."""
    signs = np.ones((MAPS, 1, 1), np.float32)
    signs[[0, 3]] = -1
    out = attributes.copy()
    out[LIGHT] *= MIRRORED_LIGHT
    return np.ascontiguousarray(maps[:, :, ::-1] * signs), out


class HeadAttributes:
    """Reads the attributes of photos.

    Parameters
    ----------
    model : FaceModel
    segmentation : SegmentationPredictor
    """

    def __init__(self, model: FaceModel, segmentation: SegmentationPredictor) -> None:
        self.model, self.segmentation = model, segmentation
        self.maps = HeadMaps(model)
        self.smile = np.array([name.startswith("mouthSmile") for name in model.expression_names])
        self.skin: BoolArray = model.regions["map"] & ~np.any([model.regions[name] for name in NOT_SKIN], axis=0)

    def read(self, image: ByteArray, fit: Fit) -> Float32Array:
        """Return the attributes (a,) of a crop (S, S, 3) of a head, in the order of `ATTRIBUTES`."""
        out = np.zeros(len(ATTRIBUTES), np.float32)
        out[GLASSES] = self.glasses_mm2(image) > GLASSES_MM2
        out[SMILE] = float(np.clip(fit.expression[self.smile].mean(), 0, 1))
        out[LIGHT] = self.light(image, fit)
        return out

    def glasses_mm2(self, image: ByteArray) -> float:
        """Return the area of eyewear in a crop, mm^2."""
        side = self.segmentation.size
        small = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        share = self.segmentation.predict(small[None])[0, ..., EYEWEAR]
        return float((share > 0.5).sum()) * (FRAME_MM / side) ** 2

    def light(self, image: ByteArray, fit: Fit) -> Float32Array:
        """Return the harmonics (9,) of the light on the skin, whose mean shading is one."""
        size = len(image)
        raster, normals = self.maps.render(fit, size)
        points = posed(self.model, fit).pixels()
        columns, rows = np.rint(points[:, :2]).astype(np.int64).T
        inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
        columns, rows = columns.clip(0, size - 1), rows.clip(0, size - 1)
        front = points[:, 2] > np.nan_to_num(raster.depth, nan=-1e9)[rows, columns] - BEHIND_MM
        grey = image[rows, columns] @ GREY
        seen = self.skin & inside & front & (normals[:, 2] > FACING) & (grey > 8)
        if seen.sum() < LEAST_VERTICES:
            return np.eye(HARMONICS, dtype=np.float32)[0]
        albedo = np.full(len(grey), MEAN_GREY, np.float32)
        return estimate_light(grey.astype(np.float32), albedo, normals.astype(np.float32), seen)
