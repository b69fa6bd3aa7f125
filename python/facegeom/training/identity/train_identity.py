"""Training of the identity network on pairs of reshaped photos and synthetic heads (`facegeom train identity`)."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom.face_model import load_face_model
from facegeom.networks.devices import check_device
from facegeom.networks.identity import (
    IdentityConfig,
    IdentityNetwork,
    IdentityTensors,
    aligned_template,
    face_points,
    shape_units,
)
from facegeom.networks.weights import save_weights
from facegeom.training.arguments import add_run_settings, options_from, run_files, run_settings_from
from facegeom.training.identity.losses import identity_terms
from facegeom.training.identity.reshaped_photos import ReshapedPhotos
from facegeom.training.identity.samples import PairOptions, PairStream
from facegeom.training.identity.validation import IdentityValidation
from facegeom.training.loop import NetworkTrainer, RunSettings, network_input, run_training, set_learning_rate

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class IdentityTrainOptions:
    """Options of a training run. A sample is a pair of images: `batch`, `images` and `epoch_images` count pairs."""

    batch: int = 16
    images: int = 500_000
    epoch_images: int = 25_000  # number of pairs between two validations
    learning_rate: float = (
        1.5e-3  # learning rate, constant until the last part of the run, so that the run can be extended
    )
    warmup: int = 300  # number of steps of the linear warm-up of the learning rate
    decay_share: float = 0.25  # share of the run, at its end, in which the learning rate decreases to zero
    weight_decay: float = 0.02
    label_weight: float = 0.3  # weight of the labels of photos, which the prior of the fit biases towards the mean face
    pair_weight: float = 3.0
    variance_weight: float = 1.0
    point_weight: float = 1.0
    points_first: int = (
        1500  # number of steps in which the weights of the other terms rise linearly from zero. With full
    )
    # weights from the start their gradient noise dominates: the network learned nothing from 17,000 images
    average_decay: float = 0.9995  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    network: IdentityConfig = field(default_factory=IdentityConfig)
    pairs: PairOptions = field(default_factory=PairOptions)


class IdentityTrainer(NetworkTrainer):
    """Trainer of the identity network, with averaged weights."""

    options: IdentityTrainOptions
    parts = ("network", "averaged", "optimizer")

    def __init__(self, options: IdentityTrainOptions, device: torch.device) -> None:
        super().__init__(options, device)
        self.network = IdentityNetwork(options.network)
        template = aligned_template(
            load_face_model(), np.eye(3), face_points(load_face_model(), options.network.points)
        )
        self.network.template.copy_(torch.from_numpy(template))
        self.averaged = IdentityNetwork(options.network).eval()
        self.averaged.load_state_dict(self.network.state_dict())
        for network in (self.network, self.averaged):
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), options.learning_rate, weight_decay=options.weight_decay, fused=True
        )

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to identity.safetensors."""
        save_weights(folder / "identity.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, images: Tensor, label: Tensor, same: Tensor, points: Tensor) -> dict[str, float]:
        """Make one training step on a batch of `PairStream`; return the loss terms."""
        o = self.options
        set_learning_rate(self.optimizer, o.learning_rate * learning_factor(self.step, o))
        self.network.train()
        torch.manual_seed(o.seed + self.step)  # dropout; a resumed run draws the same
        answer = self.network(network_input(images.flatten(0, 1), self.device))
        pairs = IdentityTensors(*(values.unflatten(0, (-1, 2)) for values in answer))
        rise = min(1.0, (self.step + 1) / max(1, o.points_first))
        terms = identity_terms(
            pairs,
            label.to(self.device),
            same.to(self.device),
            points.to(self.device),
            label_weight=o.label_weight,
            pair_weight=o.pair_weight,
            variance_weight=o.variance_weight,
            point_weight=o.point_weight,
        )
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack([value * (1.0 if name == "points" else rise) for name, value in terms.items()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 50.0)
        self.optimizer.step()
        self.end_step(self.averaged, self.network)
        return {name: float(value.detach()) for name, value in terms.items()}


def learning_factor(step: int, options: IdentityTrainOptions) -> float:
    """Return the factor of the learning rate: linear increase, constant, linear decrease to zero."""
    total = max(1, options.images // options.batch)
    left = (total - step) / max(1.0, options.decay_share * total)
    return float(max(min(1.0, (step + 1) / options.warmup, left), 1e-3))


class _AveragedValidation:
    """Validation of the averaged weights."""

    def __init__(self, trainer: IdentityTrainer, validation: IdentityValidation) -> None:
        self.trainer, self.validation = trainer, validation

    def measure(self) -> dict[str, float]:
        """Return the measured values by name."""
        return {name: round(value, 4) for name, value in self.validation.measure(self.trainer.averaged).items()}

    def sheet(self) -> np.ndarray:
        """Return the preview picture."""
        return self.validation.sheet()


@dataclass(frozen=True)
class IdentitySources:
    """Input folders, made by `facegeom prepare reshaped` and `facegeom prepare heads`."""

    training: Path
    validation: Path
    heads: Path | None = None
    validation_heads: Path | None = None


def train(sources: IdentitySources, options: IdentityTrainOptions, settings: RunSettings) -> dict[str, float]:
    """Train the network, or resume from the checkpoint in `settings.out`; return the values of the last validation."""
    cv2.setNumThreads(0)
    model = load_face_model()
    units = shape_units(model, options.network.coefficients)
    size = options.network.size
    heads = None if sources.heads is None else ReshapedPhotos.load(sources.heads)
    examined = None if sources.validation_heads is None else ReshapedPhotos.load(sources.validation_heads)
    validation = IdentityValidation(
        model, units, ReshapedPhotos.load(sources.validation), examined, size, options.pairs
    )
    settings.out.mkdir(parents=True, exist_ok=True)
    trainer = IdentityTrainer(options, check_device(settings.device))
    if trainer.resume(settings.out):
        log.info("resumed at step %d", trainer.step)
    photos = ReshapedPhotos.load(sources.training)
    stream = partial(PairStream, model, units, photos, heads, size, options.seed, options=options.pairs)
    return run_training(trainer, options, stream, _AveragedValidation(trainer, validation), settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train identity` to a parser."""
    defaults = IdentityTrainOptions()
    parser.add_argument("reshaped", type=Path, help="folder of `facegeom prepare reshaped`, training photos")
    parser.add_argument(
        "--validation", type=Path, required=True, help="folder of `facegeom prepare reshaped`, validation photos"
    )
    parser.add_argument("--heads", type=Path, help="folder of `facegeom prepare heads` for training")
    parser.add_argument("--validation-heads", type=Path, help="folder of `facegeom prepare heads` for validation")
    add_run_settings(parser, "runs/identity", workers=0)
    counts = {
        "batch": "pairs in one step",
        "images": "pairs in the whole run",
        "epoch_images": "pairs between two validations",
        "seed": "random seed",
    }
    rates = {
        "learning_rate": "learning rate of AdamW",
        "label_weight": "weight of the labels of photos",
        "pair_weight": "weight of the differences of pairs",
        "decay_share": "last part of the run, in which the learning rate decreases",
        "weight_decay": "weight decay of AdamW",
    }
    for kind, helps in ((int, counts), (float, rates)):
        for name, text in helps.items():
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                type=kind,
                default=getattr(defaults, name),
                help=f"{text} (default: %(default)s)",
            )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, "identity")


def run(args: argparse.Namespace) -> int:
    """Train the identity network."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    options = options_from(args, IdentityTrainOptions)
    sources = IdentitySources(args.reshaped, args.validation, args.heads, args.validation_heads)
    figures = train(sources, options, run_settings_from(args))
    log.info("%s", json.dumps(figures))
    return 0
