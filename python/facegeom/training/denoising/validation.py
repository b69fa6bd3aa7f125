"""Validation of the denoising networks: PSNR on validation portraits, by kind and level of the noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from facegeom._internal.arrays import ByteArray
from facegeom.measures.report import sheet
from facegeom.networks.denoising.denoiser import Denoiser
from facegeom.training.denoising.noise import LEVELS, with_gaussian_noise, with_phone_noise
from facegeom.training.denoising.samples import FacePhotos

SIDE_MM = 250.0
"""Side of the crops, mm."""

BATCH, SHOWN = 25, 6
"""Images in one forward pass, and photos on the preview sheet."""


class DenoisingValidation:
    """Measures and draws what a network makes of noisy validation photos.

    Parameters
    ----------
    photos : FacePhotos
    size : side of the crops, pixels
    kind : kind of noise of the training, one of `KINDS`
    network : the network with averaged weights
    device : torch.device
    """

    def __init__(self, photos: FacePhotos, size: int, kind: str, network: nn.Module, device: torch.device) -> None:
        self.network, self.device = network, device
        self.clean = [photos.crop(item, size, SIDE_MM) for item in range(len(photos))]
        rng = np.random.default_rng(0)
        self.noisy: dict[str, list[ByteArray]] = {}
        if kind != "phone":
            for level in LEVELS:
                self.noisy[f"{level:g}"] = [with_gaussian_noise(image, level, rng) for image in self.clean]
        if kind != "gaussian":
            self.noisy["phone"] = [with_phone_noise(image, rng) for image in self.clean]

    def denoised(self, images: list[ByteArray]) -> list[ByteArray]:
        """Return the images without noise."""
        denoiser = Denoiser(self.network, self.device)
        parts = (np.stack(images[start : start + BATCH]) for start in range(0, len(images), BATCH))
        return [image for part in parts for image in denoiser.predict(part)]

    def measure(self) -> dict[str, float]:
        """Return the mean PSNR in dB by kind or level of the noise."""
        return {
            f"psnr_{name}": round(
                float(np.mean([psnr(a, b) for a, b in zip(self.denoised(images), self.clean, strict=True)])), 3
            )
            for name, images in self.noisy.items()
        }

    def sheet(self) -> np.ndarray:
        """Return a picture: photos, and below them with noise and denoised, by level."""
        rows = [self.clean[:SHOWN]]
        for images in self.noisy.values():
            rows += [images[:SHOWN], self.denoised(images[:SHOWN])]
        return sheet([tile for row in rows for tile in row], SHOWN, len(self.clean[0]))


def psnr(image: ByteArray, truth: ByteArray) -> float:
    """Return the peak signal-to-noise ratio (equation 4 of the GCN-IGAN paper), dB; 100 for equal images."""
    error = float(np.square(image.astype(np.float64) - truth).mean())
    return min(100.0, 10 * float(np.log10(255**2 / max(error, 1e-9))))
