"""The denoising networks by name, and a trained network that is ready to use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import load_once, one_thread
from facegeom.networks.denoising.attention_cnn import AttentionCnn
from facegeom.networks.denoising.autoencoder import Autoencoder, VariationalAutoencoder
from facegeom.networks.denoising.dense_unet import DenseUnet
from facegeom.networks.denoising.matrix_unet import MatrixUnet
from facegeom.networks.devices import check_device
from facegeom.networks.interface import check_noisy_images
from facegeom.networks.weights import load_state, load_weights

METHODS: dict[str, Callable[[], nn.Module]] = {
    "attention": AttentionCnn,
    "vae": VariationalAutoencoder,
    "autoencoder": Autoencoder,
    "dense_unet": DenseUnet,
    "matrix_unet": MatrixUnet,
}
"""Name of a method -> its network, in the order of the paper's table 1."""


@dataclass(frozen=True)
class DenoiserConfig:
    """The network of a weight file."""

    method: str  # key of `METHODS`
    noise: str  # kind of noise of the training, see `facegeom.training.denoising.noise`

    def __post_init__(self) -> None:
        check.choice(self.method, "method", tuple(METHODS))


class Denoiser:
    """A trained network.

    Parameters
    ----------
    network : one of `METHODS`
    device : torch.device
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network.eval().requires_grad_(False)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device

    @one_thread()
    @torch.inference_mode()
    def predict(self, images: ByteArray) -> ByteArray:
        """Remove the noise of images.

        Parameters
        ----------
        images : (b, h, w, 3) uint8 array, RGB; h and w are multiples of 16

        Returns
        -------
        (b, h, w, 3) uint8 array

        Raises
        ------
        ValueError, TypeError
            If the shape or the dtype is wrong.
        """
        images = check_noisy_images(images)
        photo = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self.device)
        photo = photo.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        out = self.network(photo).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(out.permute(0, 2, 3, 1).cpu().numpy())


@load_once(maxsize=8)
def load_denoiser(method: str, device: str = "cpu", path: str | os.PathLike[str] | None = None) -> Denoiser:
    """Load a denoising network of the package, or the one at `path`; later calls return the same object.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    ValueError
        If there is no such method.
    """
    check.choice(method, "method", tuple(METHODS))
    config, state = load_weights(f"denoiser_{method}", DenoiserConfig, path)
    network = METHODS[config.method]()
    load_state(network, f"denoiser_{method}", state)
    return Denoiser(network, check_device(device))
