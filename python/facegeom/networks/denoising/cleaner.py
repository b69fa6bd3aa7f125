"""Images without noise by the networks of the package: the better of two answers, and large images in tiles."""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.images.denoising_score import denoising_score
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import DENOISER_STEP, DenoisingNetwork
from facegeom.networks.loaders import load_denoising_network

SHIPPED = ("dense_unet",)
"""The networks of the package. Of several, the one whose answer has the best `denoising_score` is chosen for each image
(algorithm 1 of the GCN-IGAN paper, which compares PSNR and SSIM to the image without noise). The choice between
"matrix_unet" and "dense_unet" is not better than "dense_unet" alone, see its model card, and takes twice the time."""

LOCAL = "dense_unet"
"""The network of `SHIPPED` for tiles, if it is there: the answer of one that looks at the whole image would differ
between tiles."""

TILE, OVERLAP = 256, 32
"""Side of a tile, and width of the part that two neighbours share, pixels."""


class Cleaner:
    """Removes the noise of images with the networks of the package.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1" or "mps"; with `backend` "onnx" only "cpu"
    backend : "torch" or "onnx"

    Raises
    ------
    WeightsError
        When the weights are missing or damaged.
    """

    def __init__(self, device: str = "cpu", backend: str = DEFAULT_BACKEND) -> None:
        self.networks: dict[str, DenoisingNetwork] = {
            method: load_denoising_network(method, device, backend=backend) for method in SHIPPED
        }

    def clean(self, image: ByteArray) -> ByteArray:
        """Return an image (h, w, 3) without noise: the best answer of the networks."""
        answers = [_whole(network, image) for network in self.networks.values()]
        if len(answers) == 1:
            return answers[0]
        return max(answers, key=denoising_score)

    def clean_in_tiles(self, image: ByteArray) -> ByteArray:
        """Return a large image (h, w, 3) without noise, computed in overlapping tiles with little memory."""
        network = self.networks.get(LOCAL, next(iter(self.networks.values())))
        height, width = image.shape[:2]
        total = np.zeros(image.shape, np.float32)
        weight = np.zeros((height, width, 1), np.float32)
        for top in _starts(height):
            for left in _starts(width):
                part = (slice(top, top + TILE), slice(left, left + TILE))
                made = _whole(network, image[part])
                share = _ramp(made.shape[0])[:, None, None] * _ramp(made.shape[1])[None, :, None]
                total[part] += share * made
                weight[part] += share
        return np.asarray(np.rint(total / weight), np.uint8)


def _whole(network: DenoisingNetwork, image: ByteArray) -> ByteArray:
    """Return what a network makes of one image of any size, which is enlarged by its mirror images."""
    height, width = image.shape[:2]
    right, down = -width % DENOISER_STEP, -height % DENOISER_STEP
    padded = np.asarray(cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REFLECT), np.uint8)
    return np.ascontiguousarray(network.predict(padded[None])[0, :height, :width])


def _starts(length: int) -> range:
    """Return the first pixels of the tiles along a side; the last tile may be narrower, but not below the overlap."""
    return range(0, max(1, length - OVERLAP), TILE - OVERLAP)


def _ramp(length: int) -> FloatArray:
    """Return the weights (length,) of the pixels of a tile: they rise from its ends over the width of the overlap."""
    from_end = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
    return np.minimum(from_end / OVERLAP, 1.0)
