"""Pix2Pix: a U-Net that changes a photo so that it shows a changed head.

Isola et al., Image-to-Image Translation with Conditional Adversarial Networks (CVPR 2017); algorithm 1 of the GCN-IGAN
paper names it as the other way to make edited photos. The U-Net is that of FaceVision-GAN with one decoder, which
halves the resolution by strided convolutions and keeps the levels of the encoder as skip connections, like that of the
paper. Inputs are the photo, the maps of the changed head at full resolution, and the changed attributes as constant
planes. Unlike in the paper, the U-Net predicts the change of the photo and is the identity before training, because
most of the photo stays as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.networks.devices import check_device
from facegeom.networks.diffusion.layers import zeroed
from facegeom.networks.diffusion.unet import ATTRIBUTES, MAPS
from facegeom.networks.facevision import Decoder, Encoder, FaceVisionConfig
from facegeom.networks.interface import check_crops
from facegeom.networks.weights import load_state, load_weights

CHANNELS = 3 + MAPS + len(ATTRIBUTES)
"""Channels of the input: photo, maps of the changed head, attributes of the changed photo."""


@dataclass(frozen=True)
class Pix2PixConfig:
    """Sizes of the U-Net, which is fully convolutional."""

    size: int = 128  # side of the images of the training in pixels, a multiple of 64
    fold: int = 2  # blocks of fold x fold pixels become one pixel
    encoder_widths: tuple[int, ...] = (48, 96, 160, 192, 256)  # channels at 1/2, ..., 1/32 of the folded resolution
    encoder_blocks: tuple[int, ...] = (1, 1, 2, 2, 1)
    decoder_widths: tuple[int, ...] = (48, 64, 96, 128)

    def __post_init__(self) -> None:
        step = self.fold * 2 ** len(self.encoder_widths)
        if self.size % step:
            raise ValueError(f"size must be a multiple of {step}, got {self.size}")


class Pix2PixGenerator(nn.Module):
    """The U-Net: photo, maps and attributes -> changed photo (b, 3, S, S), about in [-1, 1]."""

    def __init__(self, config: Pix2PixConfig = Pix2PixConfig()) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder_widths, config.encoder_blocks, config.fold, CHANNELS)
        self.decoder = Decoder(
            FaceVisionConfig(
                config.size, config.fold, config.encoder_widths, config.encoder_blocks, config.decoder_widths
            ),
            3,
        )
        zeroed(cast(nn.Conv2d, self.decoder.head[0]))

    def forward(self, photo: Tensor, maps: Tensor, attributes: Tensor) -> Tensor:
        """Return changed photos for photos (b, 3, S, S) in [-1, 1], maps (b, MAPS, S, S) and attributes (b, a)."""
        planes = attributes[:, :, None, None].expand(-1, -1, *photo.shape[2:])
        out: Tensor = photo + self.decoder(self.encoder(torch.cat([photo, maps, planes], 1)))
        return out


class Pix2Pix:
    """A trained generator.

    Parameters
    ----------
    generator : Pix2PixGenerator
    device : torch.device
    """

    def __init__(self, generator: Pix2PixGenerator, device: torch.device) -> None:
        self.generator = generator.eval().requires_grad_(False)
        self.generator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.generator.config.size

    @one_thread()
    @torch.inference_mode()
    def predict(self, images: ByteArray, maps: Float32Array, attributes: Float32Array) -> ByteArray:
        """Change photos.

        Parameters
        ----------
        images : (b, S, S, 3) uint8 array
        maps : (b, MAPS, S, S) float array, maps of the changed heads
        attributes : (b, a) float array, of the changed photos

        Returns
        -------
        (b, S, S, 3) uint8 array

        Raises
        ------
        ValueError
            If the images have another shape or type.
        """
        check_crops(images, self.size)
        photo = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self.device)
        photo = photo.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        others = (torch.from_numpy(np.asarray(part, np.float32)).to(self.device) for part in (maps, attributes))
        out = self.generator(photo, *others).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(out.permute(0, 2, 3, 1).cpu().numpy())


@one_thread()
def load_pix2pix(path: str | os.PathLike[str], device: str = "cpu") -> Pix2Pix:
    """Load the network that `facegeom train pix2pix` wrote; the package has none.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    ValueError
        If the device is not available.
    """
    where = check_device(device)
    config, state = load_weights("pix2pix", Pix2PixConfig, path)
    generator = Pix2PixGenerator(config)
    load_state(generator, "pix2pix", state)
    return Pix2Pix(generator, where)
