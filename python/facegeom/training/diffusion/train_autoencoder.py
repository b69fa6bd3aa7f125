"""First stage of `facegeom train diffusion`: the autoencoder.

The loss is that of Rombach et al. 2022, appendix G: reconstruction, a perceptual distance (Zhang et al., The
Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018), a patch discriminator and a very small
Kullback-Leibler divergence. The features of the perceptual distance are those of the segmentation network of the
package, which has seen the same crops; its channels have no learned weights.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal.arrays import ByteArray
from facegeom.face_model import load_face_model
from facegeom.measures.report import sheet
from facegeom.networks.devices import mixed_precision
from facegeom.networks.diffusion.autoencoder import AutoencoderConfig, HeadAutoencoder
from facegeom.networks.facevision import channels_last
from facegeom.networks.patchgan import PatchDiscriminator
from facegeom.networks.segmentation import SegmentationNetwork, load_segmentation
from facegeom.networks.weights import load_state, load_weights, save_weights
from facegeom.training.adversary import Balance
from facegeom.training.data.samples import NumberedStream, image_tensor
from facegeom.training.denoising.validation import psnr
from facegeom.training.diffusion.encoders import FaceEncoder
from facegeom.training.diffusion.head_photos import HeadPhotos
from facegeom.training.loop import NetworkTrainer, network_input, set_learning_rate, warmup_cosine_factor
from facegeom.training.maps.losses import adversarial

AUTOENCODER = "autoencoder"
"""Name of the weight file."""

EXAMINED, SHOWN, BATCH = 100, 8, 25
"""Validation photos, photos on the preview picture, and photos in one forward pass."""


@dataclass(frozen=True)
class AutoencoderOptions:
    """Options of a training run of the autoencoder."""

    network: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    batch: int = 16
    images: int = 50_000  # number of samples in the run; the learning rate reaches its minimum at the end
    learning_rate: float = 5e-4  # largest learning rate of Adam
    warmup: int = 50  # number of steps of the linear warm-up
    perceptual_weight: float = 0.1
    divergence_weight: float = 1e-4  # per value of the latents
    adversarial_weight: float = 0.02
    adversarial_start: float = 0.4  # share of the run without discriminator
    discriminator_width: int = 16  # channels of its first layer
    average_decay: float = 0.998  # decay per step of the averaged weights; these are evaluated and saved
    average_every: int = 2  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 5_000  # number of samples between two validations


class HeadStream(NumberedStream):
    """Random crops of heads, (3, S, S) uint8 each, half of them mirrored; see `NumberedStream`."""

    def __init__(self, photos: HeadPhotos, size: int, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.photos, self.size = photos, size

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one crop."""
        image = self.photos.random_crop(int(rng.integers(len(self.photos))), self.size, rng).image
        return (image_tensor(image[:, ::-1] if rng.random() < 0.5 else image),)


class PerceptualDistance(nn.Module):
    """Mean squared difference of normalised features of the segmentation network, at 1/2, 1/4 and 1/8 of the size."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        levels = nn.ModuleList([network.stem, *list(network.down)[:2]])
        self.levels = copy.deepcopy(levels).eval().requires_grad_(False)  # others use the network on the CPU

    def forward(self, image: Tensor, truth: Tensor) -> Tensor:
        """Return the distance () of images (b, 3, S, S) in [-1, 1]."""
        distance = image.new_zeros(())
        for level in self.levels:
            image, truth = level(image), level(truth)
            distance = (
                distance + (nn.functional.normalize(image) - nn.functional.normalize(truth)).square().sum(1).mean()
            )
        return distance


class AutoencoderTrainer(NetworkTrainer):
    """Trainer of the autoencoder and its discriminator, with averaged weights."""

    options: AutoencoderOptions
    parts = ("network", "averaged", "discriminator", "optimizer", "discriminator_optimizer", "balance")

    def __init__(self, options: AutoencoderOptions, device: torch.device) -> None:
        super().__init__(options, device)
        self.network, self.averaged = (channels_last(HeadAutoencoder(options.network).to(device)) for _ in range(2))
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.eval().requires_grad_(False)
        self.discriminator = channels_last(PatchDiscriminator(0, options.discriminator_width).to(device))
        self.perceptual = channels_last(PerceptualDistance(load_segmentation().network).to(device))
        self.optimizer = torch.optim.Adam(self.network.parameters(), options.learning_rate, betas=(0.9, 0.99))
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), options.learning_rate, betas=(0.5, 0.99)
        )
        self.balance = Balance().to(device)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to the folder of a run."""
        save_weights(folder / f"{AUTOENCODER}.safetensors", self.options.network, self.averaged.state_dict())

    def train_step(self, images: Tensor) -> dict[str, float]:
        """Make one training step on images (b, 3, S, S) uint8; return the loss terms."""
        o = self.options
        rate = o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup)
        for optimizer in (self.optimizer, self.discriminator_optimizer):
            set_learning_rate(optimizer, rate)
        photo = network_input(images, self.device)
        torch.manual_seed(hash((o.seed, self.step)) % 2**31)  # the random latents are the same after resuming
        opposed = self.step * o.batch >= o.adversarial_start * o.images
        terms = {}
        with mixed_precision(self.device):
            drawn = self.network.draw(photo)
            made = self.network.decode(drawn.latents).float()
            terms["l1"] = (made - photo).abs().mean()
            terms["perceptual"] = o.perceptual_weight * self.perceptual(made, photo).float()
            terms["divergence"] = o.divergence_weight * drawn.divergence
            if opposed and self.balance.generator_learns:
                self.discriminator.requires_grad_(False)
                terms["adversarial"] = o.adversarial_weight * adversarial(self.discriminator(made).float(), True)
                self.discriminator.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        values = {name: float(term.detach()) for name, term in terms.items()}
        if opposed:
            values["discriminator"] = self._train_discriminator(photo, made.detach())
        self.end_step(self.averaged, self.network)
        return values

    def _train_discriminator(self, real: Tensor, made: Tensor) -> float:
        """Make one step of the discriminator if it is not too strong; return its loss."""
        with mixed_precision(self.device):
            on_real, on_made = self.discriminator(torch.cat([real, made])).float().chunk(2)
        loss = (adversarial(on_real, True) + adversarial(on_made, False)) / 2
        learns = self.balance.discriminator_learns
        self.balance.observe(float(((on_real > 0).float().mean() + (on_made < 0).float().mean()) / 2))
        if learns:
            self.discriminator_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.discriminator_optimizer.step()
        return float(loss.detach())


class AutoencoderValidation:
    """Reconstructions of validation photos: PSNR, and how far points of the face move.

    Parameters
    ----------
    photos : HeadPhotos
    network : HeadAutoencoder
    size : side of the crops, pixels
    device : torch.device
    """

    def __init__(self, photos: HeadPhotos, network: HeadAutoencoder, size: int, device: torch.device) -> None:
        self.network, self.device = network, device
        rows = np.linspace(0, len(photos) - 1, min(EXAMINED, len(photos))).astype(int)
        self.crops = [photos.crop(int(row), size) for row in rows]
        self.encoder = FaceEncoder(load_face_model())
        self.seen = self.encoder.points([crop.image for crop in self.crops], [crop.fit for crop in self.crops])

    @torch.inference_mode()
    def reconstructed(self, count: int) -> list[ByteArray]:
        """Return the first `count` photos after encoding and decoding."""
        out: list[ByteArray] = []
        for start in range(0, count, BATCH):
            images = torch.stack([image_tensor(crop.image) for crop in self.crops[start : min(start + BATCH, count)]])
            made = self.network(network_input(images, self.device)).float()
            made = made.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
            out += list(made.permute(0, 2, 3, 1).contiguous().cpu().numpy())
        return out

    def measure(self) -> dict[str, float]:
        """Return the mean PSNR, dB, and mean and 95th percentile of the movement of points, pixels."""
        made = self.reconstructed(len(self.crops))
        fits = [crop.fit for crop in self.crops]
        moved = np.linalg.norm(self.encoder.points(made, fits) - self.seen, axis=2)  # mm
        pixels = moved * np.array([fit.scale for fit in fits])[:, None]
        return {
            "psnr": round(float(np.mean([psnr(a, c.image) for a, c in zip(made, self.crops, strict=True)])), 3),
            "moved_pixels": round(float(pixels.mean()), 3),
            "moved_pixels_p95": round(float(np.quantile(pixels.mean(1), 0.95)), 3),
        }

    def sheet(self) -> np.ndarray:
        """Return a picture: photos, and below them their reconstructions."""
        count = min(SHOWN, len(self.crops))
        tiles = [crop.image for crop in self.crops[:count]] + self.reconstructed(count)
        return sheet(tiles, count, len(tiles[0]))


def load_autoencoder(path: Path) -> HeadAutoencoder:
    """Load the autoencoder of the first stage from its weight file.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    """
    config, state = load_weights(AUTOENCODER, AutoencoderConfig, path)
    network = HeadAutoencoder(config)
    load_state(network, AUTOENCODER, state)
    return channels_last(network.eval().requires_grad_(False))
