"""What trained networks of the package see in crops of heads: points of the face, and an embedding of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import Fit
from facegeom.images.crop import warp_image
from facegeom.networks.identity import Identity, load_identity
from facegeom.networks.identity_crop import INNER_LANDMARKS, aligned_affine
from facegeom.training.diffusion.conditions import posed
from facegeom.training.diffusion.head_photos import HeadPhotos

BATCH = 64


class FaceEncoder:
    """The identity network as an encoder of aligned crops.

    Its embedding is the last hidden layer, from which the network predicts the shape of a face.

    Parameters
    ----------
    model : FaceModel
    identity : Identity, optional
        By default the network of the package.
    """

    def __init__(self, model: FaceModel, identity: Identity | None = None) -> None:
        self.model, self.identity = model, identity or load_identity()

    def embed(self, images: Sequence[ByteArray], fits: Sequence[Fit]) -> Float32Array:
        """Return the embeddings (n, e) of n crops of heads (S, S, 3) with known fits in pixels of the crops."""
        return self._see(images, fits)[0]

    def embed_photos(self, photos: HeadPhotos, size: int, what: str) -> Float32Array:
        """Return the embeddings (p, e) of all photos in crops of `size` pixels; `what` is the name of the bar."""
        parts = []
        for start in tqdm(range(0, len(photos), BATCH), desc=what, unit="batch"):
            crops = [photos.crop(row, size) for row in range(start, min(start + BATCH, len(photos)))]
            parts.append(self.embed([crop.image for crop in crops], [crop.fit for crop in crops]))
        return np.concatenate(parts)

    def points(self, images: Sequence[ByteArray], fits: Sequence[Fit]) -> FloatArray:
        """Return points that the network sees in crops, (n, p, 2), in mm from their places on the mean face."""
        return self._see(images, fits)[1].astype(np.float64)

    @one_thread()
    @torch.inference_mode()
    def _see(self, images: Sequence[ByteArray], fits: Sequence[Fit]) -> tuple[Float32Array, Float32Array]:
        network, size = self.identity.network, self.identity.size
        found: tuple[list[Float32Array], list[Float32Array]] = ([], [])
        for start in range(0, len(images), BATCH):
            pairs = zip(images[start : start + BATCH], fits[start : start + BATCH], strict=True)
            crops = np.stack([self._aligned(image, fit, size) for image, fit in pairs]).transpose(0, 3, 1, 2)
            photo = torch.from_numpy(np.ascontiguousarray(crops)).to(self.identity.device).float().div(127.5).sub(1)
            hidden = network.hidden(network.features(photo))
            found[0].append(hidden.float().cpu().numpy())
            found[1].append(network.points(hidden).float().unflatten(1, (-1, 2)).cpu().numpy())
        return np.concatenate(found[0]), np.concatenate(found[1])

    def _aligned(self, image: ByteArray, fit: Fit, size: int) -> ByteArray:
        places = posed(self.model, fit).pixels()[self.model.landmarks68[INNER_LANDMARKS], :2]
        return warp_image(image, aligned_affine(self.model, places, fit.rotation, size), size)
