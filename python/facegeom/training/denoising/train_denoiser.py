"""`facegeom train denoiser`: train one of the five networks that remove noise."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from facegeom._internal import check
from facegeom.errors import FacegeomError
from facegeom.networks.denoising.autoencoder import VariationalAutoencoder
from facegeom.networks.denoising.denoiser import METHODS, DenoiserConfig
from facegeom.networks.denoising.layers import STEP
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.arguments import add_initial_weights, add_run_settings, options_from, run_and_print, run_files
from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.denoising.noise import KINDS
from facegeom.training.denoising.samples import DenoisingStream, FacePhotos
from facegeom.training.denoising.validation import DenoisingValidation
from facegeom.training.loop import (
    NetworkTrainer,
    RunSettings,
    network_input,
    run_training,
    set_learning_rate,
    warmup_cosine_factor,
)


@dataclass(frozen=True)
class DenoiserOptions:
    """Options of a training run."""

    method: str = "matrix_unet"  # key of `METHODS`
    noise: str = "gaussian"  # one of `KINDS`
    size: int = 112  # side of the square crops, pixels
    batch: int = 4  # twice the images in half the steps is worse: 400 steps of 8 images, 800 of 4: 21.7, 22.6 dB
    images: int = 40_000  # number of samples in the run; the learning rate reaches its minimum at the end
    learning_rate: float = 8e-3  # largest learning rate of Adamax; the paper's 1e-5 hardly moves in 40,000 images
    warmup: int = 30  # number of steps of the linear warm-up
    divergence_weight: float = 0.01  # weight of the divergence of the code of the variational autoencoder
    average_decay: float = 0.995  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 2  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 8_000  # number of samples between two validations

    def __post_init__(self) -> None:
        check.choice(self.method, "method", tuple(METHODS))
        check.choice(self.noise, "noise", KINDS)
        if self.size % STEP:
            raise ValueError(f"size must be a multiple of {STEP}, got {self.size}")


class DenoisingData(NamedTuple):
    """Inputs of a training: folder of the photos, and file of their labels."""

    photos: Path
    labels: Path


class DenoiserTrainer(NetworkTrainer):
    """Trainer of a denoising network, with averaged weights.

    The loss is the mean absolute error, which gives a higher PSNR than the squared error (Zhao et al. 2017).
    """

    options: DenoiserOptions
    parts = ("network", "averaged", "optimizer")

    def __init__(self, options: DenoiserOptions, device: torch.device) -> None:
        super().__init__(options, device)
        self.network, self.averaged = METHODS[options.method](), METHODS[options.method]().eval()
        self.averaged.load_state_dict(self.network.state_dict())
        for network in (self.network, self.averaged):
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adamax(self.network.parameters(), options.learning_rate)

    def start_from(self, path: Path) -> None:
        """Load the weights of a file of the same method.

        Raises
        ------
        WeightsError
            If the file cannot be read.
        FacegeomError
            If it contains the network of another method.
        """
        config, weights = load_weights(f"denoiser_{self.options.method}", DenoiserConfig, path)
        if config.method != self.options.method:
            raise FacegeomError(f"{path.name} contains the network {config.method}, expected {self.options.method}")
        for network in (self.network, self.averaged):
            network.load_state_dict(weights)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to the folder of a run."""
        o = self.options
        config = DenoiserConfig(o.method, o.noise)
        save_weights(folder / f"denoiser_{o.method}.safetensors", config, self.averaged.state_dict())

    def train_step(self, noisy: Tensor, clean: Tensor) -> dict[str, float]:
        """Make one training step on images (b, 3, S, S) uint8 with and without noise; return the loss terms."""
        o = self.options
        set_learning_rate(self.optimizer, o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup))
        self.network.train()
        photo, truth = network_input(noisy, self.device), network_input(clean, self.device)
        terms = {}
        with mixed_precision(self.device):
            if isinstance(self.network, VariationalAutoencoder):
                out, divergence = self.network.draw(photo)
                terms["divergence"] = o.divergence_weight * divergence.float()
            else:
                out = self.network(photo)
        terms["l1"] = (out.float() - truth).abs().mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.end_step(self.averaged, self.network)
        return {name: float(term.detach()) for name, term in terms.items()}


def train(
    options: DenoiserOptions, data: DenoisingData, settings: RunSettings, *, initial: Path | None = None
) -> dict[str, float]:
    """Train a denoising network, or resume from the checkpoint in `settings.out`.

    Parameters
    ----------
    options : DenoiserOptions
    data : DenoisingData
    settings : RunSettings
    initial : Path, optional
        Weight file with the initial weights of a new run; not used if there is a checkpoint.

    Returns
    -------
    dict of str to float
        Values of the last validation.
    """
    photos, measured = (FacePhotos(data.photos, data.labels, part) for part in ("training", "validation"))
    settings.out.mkdir(parents=True, exist_ok=True)
    device = check_device(settings.device)
    trainer = DenoiserTrainer(options, device)
    if not trainer.resume(settings.out) and initial is not None:
        trainer.start_from(initial)
    validation = DenoisingValidation(measured, options.size, options.noise, trainer.averaged, device)
    stream = partial(DenoisingStream, photos, options.size, options.noise, options.seed)
    return run_training(trainer, options, stream, validation, settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train denoiser` to a parser."""
    defaults = DenoiserOptions()
    add_labelled_photos(parser)
    parser.add_argument(
        "--method", choices=tuple(METHODS), default=defaults.method, help="network (default: %(default)s)"
    )
    parser.add_argument(
        "--noise",
        choices=KINDS,
        default=defaults.noise,
        help="gaussian: of a random level; phone: of a phone in low light; mixed: half of each (default: %(default)s)",
    )
    add_initial_weights(parser)
    add_run_settings(parser, "runs/denoiser", workers=1)
    for kind, name, text in (
        (int, "size", "side length of the square crops in pixels"),
        (int, "batch", "number of samples in one step"),
        (int, "images", "number of samples in the whole run"),
        (int, "seed", "seed of all random numbers"),
        (float, "learning_rate", "largest learning rate of Adamax"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=getattr(defaults, name),
            help=f"{text} (default: %(default)s)",
        )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, f"denoiser_{args.method}")


def run(args: argparse.Namespace) -> int:
    """Train a denoising network; return the exit code."""
    torch.set_num_threads(1)
    data = DenoisingData(Path(args.photos), Path(args.labels))
    return run_and_print(train, options_from(args, DenoiserOptions), data, args)
