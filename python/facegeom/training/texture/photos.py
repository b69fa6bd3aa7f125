"""Partial textures of labelled photos: baked through the fitted head, without what is not face or covers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import FaceModel, load_face_model
from facegeom.geometry import rasterize
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, crop_affine, crop_image
from facegeom.pipelines.map_prediction import MapNetwork
from facegeom.texture.baking import Atlas, bake
from facegeom.texture.blending import Layer
from facegeom.texture.occluders import TextureStatistics, occluders
from facegeom.training.data.labels import Labels
from facegeom.training.data.renderer import Pose, Renderer, crop_square

SIZE = 192
"""Side of the textures, as in the paper."""

CROP_FACTOR = 1.15  # side of the network's crop over the face part's longer side, as in its training
BATCH = 16  # crops the network sees at once

REJECTIONS = ("kept", "small", "exposure", "mask", "covered", "little")


@dataclass(frozen=True)
class PhotoOptions:
    """Which photos give no texture."""

    least_scale: float = 0.4  # pixels per mm; below it a face is narrower than 60 pixels
    least_brightness: float = 25.0  # median of the known texels, of 255
    most_brightness: float = 235.0
    least_overlap: float = 0.8  # of the network's mask with the fitted face's, intersection over union
    most_covered: float = 0.3  # share of the shown texels that something covers
    least_known: float = 0.35  # share of the region that is left


class PhotoTexture(NamedTuple):
    """What one photo says.

    Attributes
    ----------
    layer : the texture and its known texels
    covered : (S, S) bool array, texels of the region where something is in front of the face
    reason : index into `REJECTIONS`
    """

    layer: Layer
    covered: BoolArray
    reason: int


class Placed(NamedTuple):
    """A head in a photo and the crop in which a network looks at it."""

    vertices: FloatArray
    camera: Camera
    box: Box
    pose: Pose


class PhotoBaker:
    """Bakes labelled photos into the face model's atlas.

    Parameters
    ----------
    network : sees which pixels are face
    photos : paths by name
    labels : Labels
    statistics : of faces' colours, to tell occluders; None: occluders stay
    size : side of the textures
    """

    def __init__(
        self,
        network: MapNetwork,
        photos: dict[str, Path],
        labels: Labels,
        statistics: TextureStatistics | None,
        options: PhotoOptions = PhotoOptions(),
        size: int = SIZE,
    ) -> None:
        self.network, self.photos, self.labels = network, photos, labels
        self.statistics, self.options = statistics, options
        self.model = load_face_model()
        self.renderer = Renderer(self.model)
        self.atlas = Atlas(self.model.faces, self.model.uv, self.model.uv_faces, size)
        self.region = covered_region(self.model, self.atlas)

    def last_layers(self) -> list[Layer]:
        """Return what completes a texture where neither a photo nor its mirror image does: the mean texture."""
        if self.statistics is None:
            return []
        return [Layer(self.statistics.color, self.statistics.shown)]

    def place(self, pose: Pose) -> Placed:
        """Return a pose's head with the crop around it."""
        camera = Camera(pose.rotation, pose.scale, pose.translation)
        box = crop_square(self.renderer.face_box(pose), factor=CROP_FACTOR, shift=(0.0, 0.0))
        return Placed(pose.vertices, camera, box, pose)

    def rendered_mask(self, placed: Placed) -> BoolArray:
        """Return the mask that the network should see of a head in its crop."""
        size = self.network.size
        points = placed.pose.pixels()
        points[:, :2] = apply_affine(crop_affine(placed.box, size), points[:, :2])
        triangle = rasterize(points, self.model.faces, None, (size, size)).triangle
        return np.asarray(self.renderer.in_map[triangle] & (triangle >= 0))

    def photo(self, row: int) -> ByteArray:
        """Return the photo of a row of the labels."""
        data = np.fromfile(self.photos[str(self.labels.names[row])], np.uint8)
        return np.asarray(cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB))

    def bake(self, rows: Sequence[int]) -> list[PhotoTexture]:
        """Return the textures of these rows of the labels."""
        out: list[PhotoTexture] = []
        for start in range(0, len(rows), BATCH):
            chunk = rows[start : start + BATCH]
            images = [self.photo(row) for row in chunk]
            heads = [self.place(self.renderer.pose(self.labels.fit(row))) for row in chunk]
            crops = [crop_image(image, head.box, self.network.size) for image, head in zip(images, heads, strict=True)]
            with one_thread():
                probability = self.network.predict(np.array(crops), mirror=False).mask_probability
            out += [
                self._texture(image, head, mask)
                for image, head, mask in zip(images, heads, probability > 0.5, strict=True)
            ]
        return out

    def _texture(self, image: ByteArray, head: Placed, mask: BoolArray) -> PhotoTexture:
        options = self.options
        baked = bake(self.atlas, image, head.camera, head.vertices, mask, head.box)
        known = baked.known & self.region
        covered = np.zeros_like(known)
        if self.statistics is not None:
            covered = occluders(baked.texture, baked.known, self.statistics) & known
        left = known & ~covered
        expected = self.rendered_mask(head)
        union = float((mask | expected).sum())
        brightness = float(np.median(baked.texture[left])) if left.any() else 0.0
        failures = {
            "small": head.camera.scale < options.least_scale,
            "exposure": not options.least_brightness <= brightness <= options.most_brightness,
            "mask": float((mask & expected).sum()) < options.least_overlap * union,
            "covered": covered.sum() > options.most_covered * known.sum(),
            "little": left.sum() < options.least_known * self.region.sum(),
        }
        reason = next((REJECTIONS.index(name) for name, failed in failures.items() if failed), 0)
        return PhotoTexture(Layer(baked.texture, left), covered, reason)


def covered_region(model: FaceModel, atlas: Atlas) -> BoolArray:
    """Return the (S, S) mask of the texels that ground truth covers: what a depth map shows of the skin, and eyeballs.

    That leaves out scalp, ears, neck and the underside of the jaw, which the network's mask does, and the inside of the
    mouth.
    """
    skin = model.regions["map"] & (np.arange(len(model.mean)) < model.face_vertex_count)
    eyeballs = model.regions["eyeball_left"] | model.regions["eyeball_right"]
    return atlas.region(skin) | atlas.region(eyeballs)
