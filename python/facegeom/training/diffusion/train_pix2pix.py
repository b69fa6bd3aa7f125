"""`facegeom train pix2pix`: train the network that changes a photo so that it shows a changed head.

Isola et al. 2017: a patch discriminator with patches of 70 x 70 pixels that sees source, maps and result, and the L1
distance with a weight of 100.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal.arrays import ByteArray
from facegeom.face_model import load_face_model
from facegeom.measures.report import sheet
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.diffusion.unet import MAPS
from facegeom.networks.facevision import channels_last
from facegeom.networks.patchgan import PatchDiscriminator
from facegeom.networks.pix2pix import Pix2Pix, Pix2PixConfig, Pix2PixGenerator
from facegeom.networks.segmentation import load_segmentation
from facegeom.networks.weights import load_state, load_weights, save_weights
from facegeom.training.adversary import Balance
from facegeom.training.arguments import add_initial_weights, add_run_settings, options_from, run_and_print, run_files
from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.denoising.validation import psnr
from facegeom.training.diffusion.head_photos import HeadPhotos
from facegeom.training.diffusion.pix2pix_pairs import CHANGES, PairStream, Pix2PixPairs
from facegeom.training.loop import (
    NetworkTrainer,
    RunSettings,
    network_input,
    run_training,
    set_learning_rate,
    warmup_cosine_factor,
)
from facegeom.training.maps.losses import adversarial

PIX2PIX = "pix2pix"
EXAMINED, SHOWN, BATCH = 48, 8, 16
"""Validation pairs, pairs on the preview picture, and images in one forward pass."""


@dataclass(frozen=True)
class Pix2PixOptions:
    """Options of a training run."""

    size: int = 128  # side length of the square crops, pixels; a multiple of 64
    batch: int = 8
    images: int = 30_000  # number of samples in the run; the learning rate reaches its minimum at the end
    learning_rate: float = 2e-4  # largest learning rate of generator and discriminator, from the paper
    warmup: int = 100  # number of steps of the linear warm-up
    l1_weight: float = 100.0  # weight lambda of the paper
    discriminator_width: int = 32  # number of channels of the first layer
    average_decay: float = 0.999  # decay per step of the averaged weights; these are evaluated and saved
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 5_000  # number of samples between two validations
    widths: Pix2PixConfig = field(default_factory=Pix2PixConfig)

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 64:
            raise ValueError(f"size must be a multiple of 64, got {self.size}")

    @property
    def network(self) -> Pix2PixConfig:
        """The configuration of the generator."""
        w = self.widths
        return Pix2PixConfig(self.size, w.fold, w.encoder_widths, w.encoder_blocks, w.decoder_widths)


class Pix2PixData(NamedTuple):
    """Inputs of a training: folder of the photos, and file of their labels."""

    photos: Path
    labels: Path


class Pix2PixTrainer(NetworkTrainer):
    """Trainer of generator and discriminator, with averaged weights of the generator."""

    options: Pix2PixOptions
    parts = ("generator", "averaged", "discriminator", "optimizer", "discriminator_optimizer", "balance")

    def __init__(self, options: Pix2PixOptions, device: torch.device) -> None:
        super().__init__(options, device)
        self.generator, self.averaged = (channels_last(Pix2PixGenerator(options.network).to(device)) for _ in range(2))
        self.averaged.load_state_dict(self.generator.state_dict())
        self.averaged.eval().requires_grad_(False)
        self.discriminator = channels_last(PatchDiscriminator(3 + MAPS, options.discriminator_width).to(device))
        self.optimizer, self.discriminator_optimizer = (
            torch.optim.Adam(network.parameters(), options.learning_rate, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        )
        self.balance = Balance().to(device)

    def start_from(self, path: Path) -> None:
        """Load the weights of the generator from a file.

        Raises
        ------
        WeightsError
            If the file cannot be read, or belongs to another network.
        """
        _, state = load_weights(PIX2PIX, Pix2PixConfig, path)
        for network in (self.generator, self.averaged):
            load_state(network, PIX2PIX, state)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to the folder of a run."""
        save_weights(folder / f"{PIX2PIX}.safetensors", self.options.network, self.averaged.state_dict())

    def train_step(self, source: Tensor, target: Tensor, maps: Tensor, attributes: Tensor) -> dict[str, float]:
        """Make one training step of generator and discriminator; return the loss terms.

        Parameters
        ----------
        source, target : (b, 3, S, S) uint8 tensors
        maps : (b, MAPS, S, S)
        attributes : (b, a)
        """
        o = self.options
        rate = o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup)
        for optimizer in (self.optimizer, self.discriminator_optimizer):
            set_learning_rate(optimizer, rate)
        self.generator.train()
        photo, truth = network_input(source, self.device), network_input(target, self.device)
        maps, attributes = maps.to(self.device), attributes.to(self.device)
        shown = torch.cat([photo, maps], 1)
        with mixed_precision(self.device):
            made = self.generator(photo, maps, attributes).float()
            terms = {"l1": o.l1_weight * (made - truth).abs().mean()}
            if self.balance.generator_learns:
                self.discriminator.requires_grad_(False)
                logits = self.discriminator(torch.cat([made, shown], 1)).float()
                terms["adversarial"] = adversarial(logits, True)
                self.discriminator.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), 100.0)
        self.optimizer.step()
        loss = self._train_discriminator(torch.cat([truth, shown], 1), torch.cat([made.detach(), shown], 1))
        self.end_step(self.averaged, self.generator)
        return {name: float(term.detach()) for name, term in terms.items()} | {"discriminator": loss}

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


class Pix2PixValidation:
    """PSNR of changed validation photos by kind of change, and of their sources.

    Parameters
    ----------
    pairs : Pix2PixPairs of validation photos
    network : Pix2PixGenerator
    size : side of the crops, pixels
    device : torch.device
    """

    def __init__(self, pairs: Pix2PixPairs, network: Pix2PixGenerator, size: int, device: torch.device) -> None:
        self.network, self.device = network, device
        count = min(EXAMINED, max(len(CHANGES), len(pairs.photos)))
        self.kinds = [CHANGES[number % len(CHANGES)] for number in range(count)]
        self.pairs = [
            pairs.pair(number % len(pairs.photos), kind, size, np.random.default_rng([0, number]), centred=True)
            for number, kind in enumerate(self.kinds)
        ]

    def changed(self, count: int) -> list[ByteArray]:
        """Return what the network makes of the first sources."""
        network = Pix2Pix(self.network, self.device)
        out: list[ByteArray] = []
        for start in range(0, count, BATCH):
            part = self.pairs[start : min(start + BATCH, count)]
            source, _, maps, told = (np.stack(values) for values in zip(*part, strict=True))
            out += list(network.predict(source, maps, told))
        return out

    def measure(self) -> dict[str, float]:
        """Return the mean PSNR in dB by kind of change, for the results and for the sources."""
        made, values = self.changed(len(self.pairs)), {}
        for kind in CHANGES:
            rows = [row for row, of in enumerate(self.kinds) if of == kind]
            before = [psnr(self.pairs[row][0], self.pairs[row][1]) for row in rows]
            after = [psnr(made[row], self.pairs[row][1]) for row in rows]
            values[f"psnr_{kind}"] = round(float(np.mean(after)), 3)
            values[f"psnr_{kind}_source"] = round(float(np.mean(before)), 3)
        return values

    def sheet(self) -> np.ndarray:
        """Return a picture: sources, results and targets, one column each."""
        count = min(SHOWN, len(self.pairs))
        shown = self.pairs[:count]
        tiles = [pair[0] for pair in shown] + self.changed(count) + [pair[1] for pair in shown]
        return sheet(tiles, count, len(tiles[0]))


def train(
    options: Pix2PixOptions, data: Pix2PixData, settings: RunSettings, *, initial: Path | None = None
) -> dict[str, float]:
    """Train Pix2Pix, or resume from the checkpoint in `settings.out`.

    Parameters
    ----------
    options : Pix2PixOptions
    data : Pix2PixData
    settings : RunSettings
    initial : Path, optional
        Weight file with the initial weights of a new run; not used if there is a checkpoint.

    Returns
    -------
    dict of str to float
        Values of the last validation.
    """
    model, segmentation = load_face_model(), load_segmentation()
    training, measured = (
        Pix2PixPairs(model, HeadPhotos(data.photos, data.labels, part), segmentation)
        for part in ("training", "validation")
    )
    settings.out.mkdir(parents=True, exist_ok=True)
    device = check_device(settings.device)
    trainer = Pix2PixTrainer(options, device)
    if not trainer.resume(settings.out) and initial is not None:
        trainer.start_from(initial)
    validation = Pix2PixValidation(measured, trainer.averaged, options.size, device)
    stream = partial(PairStream, training, options.size, options.seed)
    return run_training(trainer, options, stream, validation, settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train pix2pix` to a parser."""
    defaults = Pix2PixOptions()
    add_labelled_photos(parser)
    add_initial_weights(parser)
    add_run_settings(parser, "runs/pix2pix", workers=1)
    for kind, name, text in (
        (int, "size", "side length of the square crops in pixels, a multiple of 64"),
        (int, "batch", "number of samples in one step"),
        (int, "images", "number of samples in the whole run"),
        (int, "seed", "seed of all random numbers"),
        (float, "learning_rate", "largest learning rate of generator and discriminator"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=getattr(defaults, name),
            help=f"{text} (default: %(default)s)",
        )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, PIX2PIX)


def run(args: argparse.Namespace) -> int:
    """Train Pix2Pix; return the exit code."""
    torch.set_num_threads(1)
    data = Pix2PixData(Path(args.photos), Path(args.labels))
    return run_and_print(train, options_from(args, Pix2PixOptions), data, args)
