"""Training of the identity network on reshaped photos and synthetic heads (`facegeom train identity`)."""

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
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.identity import IdentityConfig, IdentityNetwork, IdentityTensors
from facegeom.networks.identity_units import shape_units
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.arguments import (
    add_initial_weights,
    add_run_settings,
    options_from,
    run_files,
    run_settings_from,
)
from facegeom.training.data.labels import Labels
from facegeom.training.identity.expression_bias import without_expression
from facegeom.training.identity.losses import identity_terms
from facegeom.training.identity.reshaped_photos import ReshapedPhotos
from facegeom.training.identity.samples import GroupOptions, GroupStream
from facegeom.training.identity.validation import IdentityValidation
from facegeom.training.loop import (
    NetworkTrainer,
    RunSettings,
    network_input,
    run_training,
    set_learning_rate,
    warmup_cosine_factor,
)

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class IdentityTrainOptions:
    """Options of a training run. A sample is a group of images: `batch`, `images` and `epoch_images` count groups."""

    batch: int = 8
    images: int = 250_000
    epoch_images: int = 12_500  # number of groups between two validations
    learning_rate: float = 2e-3  # it decreases to zero over the run
    warmup: int = 300  # number of steps of the linear warm-up of the learning rate
    weight_decay: float = 0.02
    label_weight: float = 0.3  # weight of the labels of photos, which the prior of the fit biases towards the mean face
    pair_weight: float = 3.0
    variance_weight: float = 0.1
    point_weight: float = 0.1
    point_pair_weight: float = 0.15
    average_decay: float = 0.998  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    network: IdentityConfig = field(default_factory=IdentityConfig)
    groups: GroupOptions = field(default_factory=GroupOptions)


class IdentityTrainer(NetworkTrainer):
    """Trainer of the identity network, with averaged weights."""

    options: IdentityTrainOptions
    parts = ("network", "averaged", "optimizer")

    def __init__(self, options: IdentityTrainOptions, device: torch.device) -> None:
        super().__init__(options, device)
        self.network = IdentityNetwork(options.network)
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
        """Make one training step on a batch of `GroupStream`; return the loss terms."""
        o = self.options
        set_learning_rate(self.optimizer, o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup))
        self.network.train()
        photos = network_input(images.flatten(0, 1), self.device)
        with mixed_precision(self.device):
            answer = self.network(photos)
        terms = identity_terms(
            IdentityTensors(*(values.unflatten(0, images.shape[:2]) for values in answer)),
            label.to(self.device),
            same.to(self.device),
            points.to(self.device),
            label_weight=o.label_weight,
            pair_weight=o.pair_weight,
            variance_weight=o.variance_weight,
            point_weight=o.point_weight,
            point_pair_weight=o.point_pair_weight,
        )
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        self.end_step(self.averaged, self.network)
        return {name: float(value.detach()) for name, value in terms.items()}


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
    """Input of the training: folders of `prepare reshaped` and of `prepare heads`, labels and weights."""

    training: Path
    validation: Path
    heads: Path | None = None
    validation_heads: Path | None = None
    labels: Path | None = None  # file of `facegeom prepare labels`; its identities, see `without_expression`, replace
    # those of `training`
    initial: Path | None = None  # weight file that initialises a new run


def train(sources: IdentitySources, options: IdentityTrainOptions, settings: RunSettings) -> dict[str, float]:
    """Train the network, or resume from the checkpoint in `settings.out`; return the values of the last validation."""
    cv2.setNumThreads(0)
    model = load_face_model()
    units = shape_units(model, options.network.coefficients)
    size = options.network.size
    heads = None if sources.heads is None else ReshapedPhotos.load(sources.heads)
    examined = None if sources.validation_heads is None else ReshapedPhotos.load(sources.validation_heads)
    validation = IdentityValidation(
        model, units, ReshapedPhotos.load(sources.validation), examined, size, options.groups
    )
    settings.out.mkdir(parents=True, exist_ok=True)
    trainer = IdentityTrainer(options, check_device(settings.device))
    if trainer.resume(settings.out):
        log.info("resumed at step %d", trainer.step)
    elif sources.initial is not None:
        _, weights = load_weights("identity", IdentityConfig, sources.initial)
        trainer.network.load_state_dict(weights)
        trainer.averaged.load_state_dict(weights)
    photos = ReshapedPhotos.load(sources.training)
    if sources.labels is not None:
        names = {str(name) for name in photos.names}
        photos = photos.with_labels(without_expression(model, Labels.load(sources.labels), names))
    stream = partial(GroupStream, model, units, photos, heads, size, options.seed, options=options.groups)
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
    parser.add_argument(
        "--labels",
        type=Path,
        help="file of `facegeom prepare labels --identity`: labels of a later round (default: those of the photos)",
    )
    add_initial_weights(parser)
    add_run_settings(parser, "runs/identity", workers=0)
    counts = {
        "batch": "groups in one step",
        "images": "groups in the whole run, four images each",
        "epoch_images": "groups between two validations",
        "seed": "random seed",
    }
    rates = {
        "learning_rate": "learning rate of AdamW",
        "label_weight": "weight of the labels of photos",
        "pair_weight": "weight of the differences between versions of a photo",
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
    sources = IdentitySources(
        args.reshaped, args.validation, args.heads, args.validation_heads, args.labels, args.initial
    )
    figures = train(sources, options, run_settings_from(args))
    log.info("%s", json.dumps(figures))
    return 0
