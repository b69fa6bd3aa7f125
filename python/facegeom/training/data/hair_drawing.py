"""Drawing of hair meshes over a rendered head, in layers from back to front."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray
from facegeom.geometry import rasterize
from facegeom.training.data.hair_meshes import OPAQUE, PATTERN_UNIT, HairMesh

# Parts of the hair, by depth. Within a part the nearest strip hides the others, even where it is transparent.
LAYERS = 4
LEAST_ALPHA = 0.05
EDGE = 0.5  # width of the edges of strips, standard deviation in pixels
NEAR_MM = 0.5  # hair that is this far inside the head is still drawn


class HairPixels(NamedTuple):
    """Pixels of hair, those of the farthest layer first.

    Attributes
    ----------
    place : (q,) int array, row times width plus column of the image
    alpha : (q,) float32 array, opacity
    pattern : (q,) float32 array, brightness relative to the mean of the hair
    normal : (q, 3) float32 array, in the frame of the normals that were given
    ends : tuple of int, end of each layer
    """

    place: IntArray
    alpha: Float32Array
    pattern: Float32Array
    normal: Float32Array
    ends: tuple[int, ...]

    def share(self, mask: BoolArray) -> float:
        """Return the share of the pixels of a mask (h, w) that hair covers."""
        covered = np.unique(self.place[self.alpha > OPAQUE])
        return float(mask.ravel()[covered].sum() / max(int(mask.sum()), 1))

    def picture(self, colour: Float32Array, shape: tuple[int, int]) -> Float32Array:
        """Return the hair in colours (q, 3), as a picture (h, w, 4): colour times opacity, and opacity in [0, 1]."""
        flat = np.zeros((shape[0] * shape[1], 4), np.float32)
        values = np.column_stack([colour, np.ones(len(colour), np.float32)])
        for start, end in pairwise((0, *self.ends)):  # no pixel occurs twice in a layer
            at = self.place[start:end]
            flat[at] += self.alpha[start:end, None] * (values[start:end] - flat[at])
        return np.asarray(cv2.GaussianBlur(flat.reshape(*shape, 4), (0, 0), EDGE), dtype=np.float32)


def hair_pixels(hair: HairMesh, points: FloatArray, normals: Float32Array, depth: FloatArray) -> HairPixels:
    """Return the pixels of hair that the head does not hide.

    Parameters
    ----------
    hair : HairMesh
    points : (v, 3) float array
        Pixel x, pixel y and depth in mm of the vertices of the hair.
    normals : (v, 3) float32 array
        Their normals, camera frame; turned towards the camera, because strips have two sides.
    depth : (h, w) float array, mm
        Depth of the head, NaN where there is none.
    """
    height, width = depth.shape
    attributes = np.concatenate([hair.uv, normals], axis=1)
    corners = points[hair.F]  # (m, 3, 3)
    low, high = corners[..., :2].min(1), corners[..., :2].max(1)
    shown = np.flatnonzero((high >= 0).all(1) & (low[:, 0] < width) & (low[:, 1] < height))
    order = shown[np.argsort(corners[shown, :, 2].sum(1), kind="stable")]
    limit = np.where(np.isnan(depth), -np.inf, depth - NEAR_MM)
    texture = hair.texture.astype(np.float32)
    found, ends, total = [], [], 0
    for part in np.array_split(order, LAYERS):
        if not len(part):
            continue
        used, F = np.unique(hair.F[part], return_inverse=True)
        raster = rasterize(points[used], F.reshape(-1, 3), attributes[used], depth.shape)
        place = np.flatnonzero((raster.triangle >= 0) & (raster.depth > limit))
        values = raster.attributes.reshape(-1, 5)[place].astype(np.float32)
        look = _texels(texture, values[:, :2])
        keep = look[:, 1] > 255 * LEAST_ALPHA
        found.append((place[keep], look[keep], values[keep, 2:]))
        total += int(keep.sum())
        ends.append(total)
    if not found:
        found = [(np.zeros(0, np.int64), np.zeros((0, 2), np.float32), np.zeros((0, 3), np.float32))]
    place, look, normal = (np.concatenate(parts) for parts in zip(*found, strict=True))
    normal = normal * np.where(normal[:, 2:] < 0, np.float32(-1), np.float32(1))
    return HairPixels(place, look[:, 1] / np.float32(255), look[:, 0] / np.float32(PATTERN_UNIT), normal, tuple(ends))


def _texels(texture: Float32Array, uv: Float32Array) -> Float32Array:
    """Return the values (q, 2) of a texture (t, t, 2) at texture coordinates (q, 2), v up; the texture repeats."""
    if not len(uv):
        return np.zeros((0, 2), np.float32)
    size = len(texture)
    wrapped = uv - np.floor(uv)
    x, y = wrapped[:, 0] * size - 0.5, (1 - wrapped[:, 1]) * size - 0.5
    rows = -(-len(uv) // 1024)  # OpenCV's images have at most 32767 rows or columns
    maps = [np.resize(axis.astype(np.float32), (rows, 1024)) for axis in (x, y)]
    found = cv2.remap(texture, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found.reshape(-1, 2)[: len(uv)], dtype=np.float32)
