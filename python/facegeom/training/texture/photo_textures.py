"""Partial textures of labelled photos, baked with the fitted head, without occluders and background."""

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
from facegeom.networks.interface import MapNetwork
from facegeom.texture.baking import Atlas, bake
from facegeom.texture.blending import Layer
from facegeom.texture.occluders import TextureStatistics, occluders
from facegeom.training.data.labels import Labels
from facegeom.training.data.pose import Pose
from facegeom.training.data.renderer import Renderer, crop_square

SIZE = 192
"""Side length of the square textures in texels, as in the thesis on fully textured heads."""

CROP_FACTOR = 1.15  # side of the crop divided by the longer side of the face box, as in the validation of the network
BATCH = 16  # number of crops in one forward pass of the network

REJECTIONS = ("kept", "small", "exposure", "mask", "covered", "little")


@dataclass(frozen=True)
class PhotoOptions:
    """Limits beyond which a photo is rejected."""

    least_scale: float = 0.4  # smallest scale, pixels per mm; at a smaller scale a face is narrower than 60 pixels
    least_brightness: float = 25.0  # smallest median of the known texels, in [0, 255]
    most_brightness: float = 235.0  # largest median of the known texels, in [0, 255]
    least_overlap: float = 0.8  # smallest intersection over union of the predicted and the rendered mask
    most_covered: float = 0.3  # largest share of the visible texels that are occluded
    least_known: float = 0.35  # smallest known share of the texels of the face, see `covered_region`


class PhotoTexture(NamedTuple):
    """Partial texture of one photo.

    Attributes
    ----------
    layer : Layer
        The texture and its known texels.
    covered : (S, S) bool array
        Texels of the face, see `covered_region`, that an occluder hides in the photo.
    reason : int
        Index into `REJECTIONS`: 0 for a usable texture, otherwise the reason for which the texture was rejected.
    """

    layer: Layer
    covered: BoolArray
    reason: int


class HeadCrop(NamedTuple):
    """A head in a photo, and the crop that is the input of a network."""

    vertices: FloatArray  # (n, 3) vertices in the face frame, mm
    camera: Camera
    box: Box  # square crop, pixels of the photo
    pose: Pose  # vertices and camera of the head


class PhotoBaker:
    """Baker of partial textures of labelled photos in the atlas of the face model.

    Parameters
    ----------
    network : MapNetwork
        Network that predicts the mask of the face.
    photos : dict of str to Path
        File name of a photo -> path.
    labels : Labels
        Fits of the photos.
    statistics : TextureStatistics or None
        Colour statistics of faces, used to detect occluders. With None, occluders are not removed.
    options : PhotoOptions
    size : int
        Side length S of the square textures in texels.
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

    def head_crop(self, pose: Pose) -> HeadCrop:
        """Return the head of a pose, with the crop around its face."""
        camera = Camera(pose.rotation, pose.scale, pose.translation)
        box = crop_square(self.renderer.face_box(pose), factor=CROP_FACTOR, shift=(0.0, 0.0))
        return HeadCrop(pose.vertices, camera, box, pose)

    def rendered_mask(self, head: HeadCrop) -> BoolArray:
        """Return the true mask of a head in its crop, (size, size) bool at the input size of the network."""
        size = self.network.size
        points = head.pose.pixels()
        points[:, :2] = apply_affine(crop_affine(head.box, size), points[:, :2])
        triangle = rasterize(points, self.model.faces, None, (size, size)).triangle
        return np.asarray(self.renderer.in_map[triangle] & (triangle >= 0))

    def photo(self, row: int) -> ByteArray:
        """Return the photo of a row of the labels, (h, w, 3) uint8 RGB."""
        data = np.fromfile(self.photos[str(self.labels.names[row])], np.uint8)
        return np.asarray(cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB))

    def bake(self, rows: Sequence[int]) -> list[PhotoTexture]:
        """Return the partial textures of rows of the labels, in order."""
        out: list[PhotoTexture] = []
        for start in range(0, len(rows), BATCH):
            chunk = rows[start : start + BATCH]
            images = [self.photo(row) for row in chunk]
            heads = [self.head_crop(self.renderer.pose(self.labels.fit(row))) for row in chunk]
            crops = [crop_image(image, head.box, self.network.size) for image, head in zip(images, heads, strict=True)]
            with one_thread():
                probability = self.network.predict(np.array(crops), mirror=False).mask_probability
            out += [
                self._texture(image, head, mask)
                for image, head, mask in zip(images, heads, probability > 0.5, strict=True)
            ]
        return out

    def _texture(self, image: ByteArray, head: HeadCrop, mask: BoolArray) -> PhotoTexture:
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
    """Return the texels with ground truth, (S, S) bool: the skin that depth maps contain, and the eyeballs.

    Scalp, ears, neck and the underside of the jaw are excluded, as in the mask of the network. The inside of the mouth
    is excluded, too.

    Parameters
    ----------
    model : FaceModel
    atlas : Atlas
        Texture atlas of the face model.
    """
    skin = model.regions["map"] & (np.arange(len(model.mean)) < model.face_vertex_count)
    eyeballs = model.regions["eyeball_left"] | model.regions["eyeball_right"]
    return atlas.region(skin) | atlas.region(eyeballs)
