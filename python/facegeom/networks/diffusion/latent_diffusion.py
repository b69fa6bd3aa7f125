"""The trained model: autoencoder and U-Net in one weight file, and what a user does with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.networks.devices import check_device
from facegeom.networks.diffusion.autoencoder import FACTOR, AutoencoderConfig, HeadAutoencoder
from facegeom.networks.diffusion.samplers import Predict, ddim, invert
from facegeom.networks.diffusion.schedule import Schedule
from facegeom.networks.diffusion.unet import ATTRIBUTES, MAPS, MAPS_FACTOR, ConditionedUNet, UNetConfig
from facegeom.networks.interface import check_crops
from facegeom.networks.weights import load_state, load_weights


@dataclass(frozen=True)
class DiffusionConfig:
    """Sizes of both networks, see `AutoencoderConfig` and `UNetConfig`."""

    size: int = 128
    latent: int = 8
    autoencoder_widths: tuple[int, ...] = (48, 96, 192)
    autoencoder_blocks: tuple[int, ...] = (1, 1, 2)
    unet_widths: tuple[int, ...] = (128, 192, 256)
    unet_blocks: int = 1
    attention: tuple[int, ...] = (1, 2)
    encoded: int = 64
    times: int = 1000  # number of times T of the schedule

    @property
    def autoencoder(self) -> AutoencoderConfig:
        """The sizes of the autoencoder."""
        return AutoencoderConfig(self.size, self.latent, self.autoencoder_widths, self.autoencoder_blocks)

    @property
    def unet(self) -> UNetConfig:
        """The sizes of the U-Net."""
        return UNetConfig(self.latent, self.unet_widths, self.unet_blocks, self.attention, self.encoded)


class Condition(NamedTuple):
    """What b images shall show.

    Attributes
    ----------
    maps : (b, MAPS, S / 4, S / 4) float array, see `facegeom.networks.diffusion.unet.MAPS`
    attributes : (b, a) float array, in the order of `ATTRIBUTES`
    """

    maps: Float32Array
    attributes: Float32Array


class DiffusionNetworks(nn.Module):
    """Autoencoder, U-Net, and the mean and the deviation of the latents, which the U-Net sees normalised."""

    latent_mean: Tensor
    latent_deviation: Tensor

    def __init__(self, config: DiffusionConfig = DiffusionConfig()) -> None:
        super().__init__()
        self.config = config
        self.autoencoder, self.unet = HeadAutoencoder(config.autoencoder), ConditionedUNet(config.unet)
        self.register_buffer("latent_mean", torch.zeros(1, config.latent, 1, 1))
        self.register_buffer("latent_deviation", torch.ones(1, config.latent, 1, 1))


class LatentDiffusion:
    """A trained model that draws and changes crops of heads.

    Parameters
    ----------
    networks : DiffusionNetworks
    device : torch.device
    """

    def __init__(self, networks: DiffusionNetworks, device: torch.device) -> None:
        self.networks = networks.eval().requires_grad_(False)
        self.networks.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device, self.config = device, networks.config
        self.schedule = Schedule.cosine(networks.config.times)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.config.size

    @one_thread()
    @torch.inference_mode()
    def encode(self, images: ByteArray) -> Tensor:
        """Return the normalised latents (b, c, S / 8, S / 8) of images (b, S, S, 3) uint8.

        Raises
        ------
        ValueError
            If the images have another shape or type.
        """
        check_crops(images, self.size)
        photo = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self.device)
        photo = photo.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        latents = self.networks.autoencoder.encode(photo)
        out: Tensor = (latents - self.networks.latent_mean) / self.networks.latent_deviation
        return out

    @one_thread()
    @torch.inference_mode()
    def decode(self, latents: Tensor) -> ByteArray:
        """Return images (b, S, S, 3) uint8 of normalised latents."""
        plain = latents * self.networks.latent_deviation + self.networks.latent_mean
        images = self.networks.autoencoder.decode(plain).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Return standard normal latents, one for each seed; an image does not depend on the others of its batch."""
        side = self.size // FACTOR
        drawn = [
            torch.randn(self.config.latent, side, side, generator=torch.Generator().manual_seed(seed)) for seed in seeds
        ]
        return torch.stack(drawn).to(self.device)

    @one_thread()
    @torch.inference_mode()
    def sample(
        self,
        condition: Condition,
        noise: Tensor,
        *,
        steps: int = 20,
        guidance: float = 2.0,
        eta: float = 0.0,
        seed: int = 0,
    ) -> ByteArray:
        """Draw images by DDIM.

        Parameters
        ----------
        condition : Condition of b images
        noise : (b, c, S / 8, S / 8), latents of `noise` or `invert`
        steps : number of steps; 20 to 50 are usual
        guidance : weight of the condition; 1: without guidance, larger: the image follows the condition more closely
        eta : share of random noise in each step, see `ddim`
        seed : of this noise

        Returns
        -------
        (b, S, S, 3) uint8 array

        Raises
        ------
        ValueError, TypeError
            If the condition has another shape, or a number is outside its range.
        """
        generator = torch.Generator(self.device).manual_seed(seed) if eta > 0 else None
        predict = self.predictor(condition, guidance)
        return self.decode(ddim(predict, noise, self.schedule, self.schedule.times(steps), eta, generator))

    @one_thread()
    @torch.inference_mode()
    def invert(self, images: ByteArray, condition: Condition, *, steps: int = 20, rounds: int = 3) -> Tensor:
        """Return the latents of noise from which `sample` makes these images.

        Parameters
        ----------
        images : (b, S, S, 3) uint8 array
        condition : Condition that describes the images
        steps : number of steps of `sample`
        rounds : evaluations of the network in each step, see `facegeom.networks.diffusion.samplers.invert`

        Returns
        -------
        (b, c, S / 8, S / 8) tensor
        """
        predict = self.predictor(condition, 1.0)
        return invert(predict, self.encode(images), self.schedule, self.schedule.times(steps), rounds)

    def predictor(self, condition: Condition, guidance: float) -> Predict:
        """Return the prediction of the velocity under a condition, with classifier-free guidance."""
        check.positive(guidance, "guidance", zero=True)
        side = MAPS_FACTOR * self.size // FACTOR
        maps, attributes = (torch.from_numpy(np.asarray(part, np.float32)).to(self.device) for part in condition)
        if maps.shape[1:] != (MAPS, side, side) or attributes.shape != (len(maps), len(ATTRIBUTES)):
            raise ValueError(
                f"a condition must have maps (b, {MAPS}, {side}, {side}) and attributes (b, {len(ATTRIBUTES)}), "
                f"got {tuple(maps.shape)} and {tuple(attributes.shape)}"
            )
        return guided(self.networks.unet, maps, attributes, guidance)


def guided(unet: nn.Module, maps: Tensor, attributes: Tensor, guidance: float) -> Predict:
    """Return the velocity with classifier-free guidance (Ho and Salimans 2022): v_without + w (v_with - v_without).

    The paper mixes predicted noises with the weight w = 1 + its w. The velocity is linear in the noise, so that the
    mixture is the same.
    """
    known = torch.ones(len(maps), device=maps.device)

    def predict(noisy: Tensor, time: int) -> Tensor:
        times = torch.full((len(noisy),), time, device=noisy.device)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        if guidance == 1:
            return unet(noisy, times, maps, attributes, known).float()
        twice = [torch.cat([part, part]) for part in (noisy, times, maps, attributes)]
        with_it, without = unet(*twice, torch.cat([known, 0 * known])).float().chunk(2)
        out: Tensor = without + guidance * (with_it - without)
        return out

    return predict


@one_thread()
def load_diffusion(path: str | os.PathLike[str], device: str = "cpu") -> LatentDiffusion:
    """Load the model that `facegeom train diffusion` wrote; the package has none.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    ValueError
        If the device is not available.
    """
    where = check_device(device)
    config, state = load_weights("diffusion", DiffusionConfig, path)
    networks = DiffusionNetworks(config)
    load_state(networks, "diffusion", state)
    return LatentDiffusion(networks, where)
