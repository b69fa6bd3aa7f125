"""`facegeom train identity`: trains the identity network on pairs of reshaped photos and synthetic heads."""

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
from facegeom.networks.identity import IdentityConfig, IdentityNetwork, IdentityTensors, shape_units
from facegeom.networks.weights import save_weights
from facegeom.training.arguments import add_run_settings, options_from, run_settings_from
from facegeom.training.identity.losses import identity_terms
from facegeom.training.identity.reshaped_photos import ReshapedPhotos
from facegeom.training.identity.samples import PairOptions, PairStream
from facegeom.training.identity.validation import IdentityValidation
from facegeom.training.loop import NetworkTrainer, RunSettings, network_input, run_training, update_average

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class IdentityTrainOptions:
    """One training run. A sample is a pair of images: `batch`, `images` and `epoch_images` count pairs."""

    batch: int = 16
    images: int = 500_000
    epoch_images: int = 25_000  # validation after each
    learning_rate: float = 1.5e-3  # constant until the last part of the run, so that a longer run can go on from it
    warmup: int = 300  # number of steps in which the learning rate rises from 0
    decay_share: float = 0.25  # last part of the run, in which the learning rate falls to zero
    weight_decay: float = 0.02
    label_weight: float = 0.3  # weight of the labels of photos, which the prior of the fit has shrunk
    pair_weight: float = 3.0
    variance_weight: float = 1.0
    landmark_weight: float = 1.0
    landmarks_first: int = 1500  # steps in which the terms of identity rise to their weight: their noise at the start
    # is ten times the gradient of anything that can be learnt, and nothing was learnt in 17,000 images without this
    average_decay: float = 0.9995  # a step, of the weights that are evaluated and shipped
    average_every: int = 4  # steps between updates of the average
    seed: int = 0
    network: IdentityConfig = field(default_factory=IdentityConfig)
    pairs: PairOptions = field(default_factory=PairOptions)


class IdentityTrainer(NetworkTrainer):
    """The network, its optimiser and the averaged weights."""

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
        """Write the averaged weights."""
        save_weights(folder / "identity.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, images: Tensor, label: Tensor, same: Tensor, landmarks: Tensor) -> dict[str, float]:
        """One step on what `PairStream` draws, in batches; returns the loss terms."""
        o = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = o.learning_rate * learning_factor(self.step, o)
        self.network.train()
        torch.manual_seed(o.seed + self.step)  # dropout; a resumed run draws the same
        answer = self.network(network_input(images.flatten(0, 1), self.device))
        pairs = IdentityTensors(*(values.unflatten(0, (-1, 2)) for values in answer))
        rise = min(1.0, (self.step + 1) / max(1, o.landmarks_first))
        terms = identity_terms(
            pairs,
            label.to(self.device),
            same.to(self.device),
            landmarks.to(self.device),
            label_weight=o.label_weight,
            pair_weight=o.pair_weight,
            variance_weight=o.variance_weight,
            landmark_weight=o.landmark_weight,
        )
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack([value * (1.0 if name == "landmarks" else rise) for name, value in terms.items()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 50.0)
        self.optimizer.step()
        self.step += 1
        if self.step % o.average_every == 0:
            update_average(self.averaged, self.network, self.step, o.average_decay, o.average_every)
        return {name: float(value.detach()) for name, value in terms.items()}


def learning_factor(step: int, options: IdentityTrainOptions) -> float:
    """Return the factor of the learning rate: it rises linearly, stays constant, then falls linearly to zero."""
    total = max(1, options.images // options.batch)
    left = (total - step) / max(1.0, options.decay_share * total)
    return float(max(min(1.0, (step + 1) / options.warmup, left), 1e-3))


class _Examination:
    """Validation of the averaged weights."""

    def __init__(self, trainer: IdentityTrainer, validation: IdentityValidation) -> None:
        self.trainer, self.validation = trainer, validation

    def measure(self) -> dict[str, float]:
        """Return the figures."""
        return {name: round(value, 4) for name, value in self.validation.measure(self.trainer.averaged).items()}

    def sheet(self) -> np.ndarray:
        """Return crops as the network sees them."""
        return self.validation.sheet()


@dataclass(frozen=True)
class IdentitySources:
    """Folders of `facegeom prepare reshaped` and `facegeom prepare heads`."""

    training: Path
    validation: Path
    heads: Path | None = None
    validation_heads: Path | None = None


def train(sources: IdentitySources, options: IdentityTrainOptions, settings: RunSettings) -> dict[str, float]:
    """Train, or go on from the checkpoint in `settings.out`; return the last figures."""
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
        log.info("going on from step %d", trainer.step)
    photos = ReshapedPhotos.load(sources.training)
    stream = partial(PairStream, model, units, photos, heads, size, options.seed, options=options.pairs)
    return run_training(trainer, options, stream, _Examination(trainer, validation), settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train identity`."""
    defaults = IdentityTrainOptions()
    parser.add_argument("reshaped", type=Path, help="folder of `facegeom prepare reshaped`, training photos")
    parser.add_argument("--validation", type=Path, required=True, help="the same of validation photos")
    parser.add_argument("--heads", type=Path, help="folder of `facegeom prepare heads`")
    parser.add_argument("--validation-heads", type=Path, help="the same with another seed")
    add_run_settings(parser, "runs/identity", workers=2)
    for name in ("batch", "images", "epoch_images", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(defaults, name))
    for name in ("learning_rate", "label_weight", "pair_weight", "decay_share", "weight_decay"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))


def run(args: argparse.Namespace) -> int:
    """Train the identity network."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    options = options_from(args, IdentityTrainOptions)
    sources = IdentitySources(args.reshaped, args.validation, args.heads, args.validation_heads)
    figures = train(sources, options, run_settings_from(args))
    log.info("%s", json.dumps(figures))
    return 0
