"""Pairs of photos for Pix2Pix: a photo is the target, the source is a rendering of the same head with a change.

The target is always a photo, so that the network learns to draw what photos look like. The source is made from it: the
fitted head with the colours of the photo in another pose or with another smile, the photo in other light, or with drawn
glasses. With glasses, half of the pairs are turned round, because a photo in which the glasses were drawn is the only
target of which the same photo without them is known.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import Fit
from facegeom.networks.interface import SegmentationPredictor
from facegeom.texture.light import harmonics
from facegeom.training.data.eyewear import Eyewear, eyewear_pixels
from facegeom.training.data.light import LEAST_LIGHT
from facegeom.training.data.renderer import Renderer
from facegeom.training.data.samples import NumberedStream, image_tensor
from facegeom.training.diffusion.conditions import GLASSES, LIGHT, HeadAttributes, mirrored, posed
from facegeom.training.diffusion.edits import draw_edit
from facegeom.training.diffusion.head_photos import HeadPhotos

CHANGES = ("pose", "smile", "glasses", "light")
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
LARGEST_RATIO, BLUR = 1.8, 0.012
"""Largest factor of the light, and standard deviation of its smoothing / side of the crop."""

LIGHTS = 64
"""Photos whose light the others get."""


class Pix2PixPairs:
    """Makes pairs of a source and a target.

    Parameters
    ----------
    model : FaceModel
    photos : HeadPhotos
    segmentation : SegmentationPredictor
    """

    def __init__(self, model: FaceModel, photos: HeadPhotos, segmentation: SegmentationPredictor) -> None:
        self.model, self.photos = model, photos
        self.renderer, self.eyewear = Renderer(model), Eyewear(model)
        self.reader = HeadAttributes(model, segmentation)
        self._attributes: dict[int, Float32Array] = {}

    @one_thread()
    def attributes(self, item: int) -> Float32Array:
        """Return the attributes of a photo; they are read once."""
        if item not in self._attributes:
            crop = self.photos.crop(item, self.reader.segmentation.size)
            self._attributes[item] = self.reader.read(crop.image, crop.fit)
        return self._attributes[item]

    def pair(
        self, item: int, kind: str, size: int, rng: np.random.Generator, *, centred: bool = False
    ) -> tuple[ByteArray, ByteArray, Float32Array, Float32Array]:
        """Return source and target (S, S, 3) uint8, and maps (MAPS, S, S) and attributes (a,) of the target.

        Parameters
        ----------
        item : number of the photo
        kind : one of `CHANGES`
        size : side of the crops in pixels, a multiple of 64
        rng : Generator
        centred : True: the head is in the middle of the crop
        """
        cv2.setRNGSeed(int(rng.integers(2**31)))
        target, fit = self.photos.crop(item, size) if centred else self.photos.random_crop(item, size, rng)
        told = self.attributes(item)
        other = self.attributes(int(rng.integers(min(LIGHTS, len(self.photos)))))[LIGHT]
        edit = draw_edit(self.model, kind, fit, told, other[None], rng)
        if kind == "glasses" and not told[GLASSES]:
            source = self._with_glasses(target, fit, rng)
            if rng.random() < 0.5:
                source, target, told = target, source, edit.attributes
        elif kind == "light":
            source = self._relit(target, fit, told[LIGHT], other)
        elif kind in ("pose", "smile"):
            before, after = posed(self.model, fit), posed(self.model, edit.fit)
            source = self.renderer.render_turned(target, before, after, IDENTITY, size).image
        else:
            source = target  # a photo with glasses: what is behind them is not known
        return source, target, self.reader.maps.full(fit, size), told

    def _with_glasses(self, image: ByteArray, fit: Fit, rng: np.random.Generator) -> ByteArray:
        """Return a photo with drawn glasses."""
        pose = posed(self.model, fit)
        depth = self.reader.maps.render(fit, len(image))[0].depth
        drawn = eyewear_pixels(self.eyewear.draw(pose.vertices, rng), pose, IDENTITY, depth)
        if drawn is None:
            return image
        colour = rng.uniform(5, 90) + rng.normal(0, 15, 3) if rng.random() < 0.7 else rng.uniform(20, 235, 3)
        lit = np.clip(colour * (0.5 + 0.6 * np.clip(drawn.normal[:, 2:], 0, 1)), 2, 250).astype(np.float32)
        painted, _ = drawn.paint(image.astype(np.float32), lit, self.photos.store, rng)
        return np.clip(painted + 0.5, 0, 255).astype(np.uint8)

    def _relit(self, image: ByteArray, fit: Fit, before: Float32Array, after: Float32Array) -> ByteArray:
        """Return a photo whose head is in other light."""
        maps = self.reader.maps.full(fit, len(image))
        normals = maps[:3].reshape(3, -1).T
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
        old, new = (np.maximum(harmonics(normals) @ light, LEAST_LIGHT) for light in (before, after))
        ratio = np.log(np.clip(new / old, 1 / LARGEST_RATIO, LARGEST_RATIO)).reshape(image.shape[:2]) * maps[-1]
        smooth = np.exp(cv2.GaussianBlur(ratio.astype(np.float32), (0, 0), BLUR * len(image)))
        return np.clip(image * smooth[..., None] + 0.5, 0, 255).astype(np.uint8)


class PairStream(NumberedStream):
    """Samples of Pix2Pix: source and target (3, S, S) uint8, maps (MAPS, S, S) and attributes (a,) of the target."""

    def __init__(self, pairs: Pix2PixPairs, size: int, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.pairs, self.size = pairs, size

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one pair."""
        item, kind = int(rng.integers(len(self.pairs.photos))), str(rng.choice(CHANGES))
        source, target, maps, told = self.pairs.pair(item, kind, self.size, rng)
        if rng.random() < 0.5:
            source, target = source[:, ::-1], target[:, ::-1]
            maps, told = mirrored(maps, told)
        return image_tensor(source), image_tensor(target), torch.from_numpy(maps), torch.from_numpy(told)
