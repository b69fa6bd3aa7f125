"""Training of the segmentation network (`facegeom train segmentation`)."""

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
from torch import Tensor, nn

from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.segmentation import SegmentationConfig, SegmentationNetwork
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.arguments import (
    add_initial_weights,
    add_run_settings,
    options_from,
    run_files,
    run_settings_from,
)
from facegeom.training.loop import (
    NetworkTrainer,
    RunSettings,
    network_input,
    run_training,
    set_learning_rate,
    warmup_cosine_factor,
)
from facegeom.training.segmentation.crops import SegmentationCrops
from facegeom.training.segmentation.portrait_labels import UNKNOWN
from facegeom.training.segmentation.samples import SegmentationSampleOptions, SegmentationStream
from facegeom.training.segmentation.validation import SegmentationValidation

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class SegmentationTrainOptions:
    """Options of a training run."""

    batch: int = 16
    images: int = 16_000
    epoch_images: int = 4_000  # number of images between two validations
    learning_rate: float = 4e-3  # it decreases to zero over the run
    warmup: int = 100  # number of steps of the linear warm-up of the learning rate
    weight_decay: float = 0.01
    class_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.5, 3.0, 1.2, 1.0)  # rare and thin classes weigh more
    average_decay: float = 0.99  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 2  # number of steps between updates of the averaged weights
    seed: int = 0
    network: SegmentationConfig = field(default_factory=SegmentationConfig)
    samples: SegmentationSampleOptions = field(default_factory=SegmentationSampleOptions)


class SegmentationTrainer(NetworkTrainer):
    """Trainer of the segmentation network, with averaged weights."""

    options: SegmentationTrainOptions
    parts = ("network", "averaged", "optimizer")

    def __init__(self, options: SegmentationTrainOptions, device: torch.device) -> None:
        super().__init__(options, device)
        self.network = SegmentationNetwork(options.network)
        self.averaged = SegmentationNetwork(options.network).eval()
        self.averaged.load_state_dict(self.network.state_dict())
        for network in (self.network, self.averaged):
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        self.loss = nn.CrossEntropyLoss(torch.tensor(options.class_weights, device=device), ignore_index=UNKNOWN)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to segmentation.safetensors."""
        save_weights(folder / "segmentation.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, images: Tensor, classes: Tensor) -> dict[str, float]:
        """Make one training step on images (b, 3, S, S) uint8 and classes (b, S, S); return the loss."""
        o = self.options
        set_learning_rate(self.optimizer, o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup))
        self.network.train()
        with mixed_precision(self.device):
            logits = self.network(network_input(images, self.device))
        loss = self.loss(logits.float(), classes.to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.end_step(self.averaged, self.network)
        return {"cross_entropy": float(loss.detach())}


class _AveragedValidation:
    """Validation of the averaged weights."""

    def __init__(self, trainer: SegmentationTrainer, validation: SegmentationValidation) -> None:
        self.trainer, self.validation = trainer, validation

    def measure(self) -> dict[str, float]:
        """Return the measured values by name."""
        measured = self.validation.measure(self.trainer.averaged, self.trainer.device)
        return {name: round(value, 4) for name, value in measured.items()}

    def sheet(self) -> np.ndarray:
        """Return the preview picture."""
        return self.validation.sheet()


def train(
    crops: Path,
    validation: Path,
    options: SegmentationTrainOptions,
    settings: RunSettings,
    *,
    initial: Path | None = None,
) -> dict[str, float]:
    """Train the network, or resume from the checkpoint in `settings.out`; return the values of the last validation."""
    cv2.setNumThreads(0)
    size = options.network.size
    measured = SegmentationValidation(SegmentationCrops.load(validation), size)
    settings.out.mkdir(parents=True, exist_ok=True)
    trainer = SegmentationTrainer(options, check_device(settings.device))
    if trainer.resume(settings.out):
        log.info("resumed at step %d", trainer.step)
    elif initial is not None:
        _, weights = load_weights("segmentation", SegmentationConfig, initial)
        trainer.network.load_state_dict(weights)
        trainer.averaged.load_state_dict(weights)
    stream = partial(SegmentationStream, SegmentationCrops.load(crops), size, options.seed, options=options.samples)
    return run_training(trainer, options, stream, _AveragedValidation(trainer, measured), settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train segmentation` to a parser."""
    defaults = SegmentationTrainOptions()
    parser.add_argument("crops", type=Path, help="folder of `facegeom prepare segmentation`, training photos")
    parser.add_argument(
        "--validation", type=Path, required=True, help="folder of `facegeom prepare segmentation`, validation photos"
    )
    add_initial_weights(parser)
    add_run_settings(parser, "runs/segmentation", workers=0)
    for kind, name, text in (
        (int, "batch", "crops in one step"),
        (int, "images", "crops in the whole run"),
        (int, "epoch_images", "crops between two validations"),
        (int, "seed", "random seed"),
        (float, "learning_rate", "largest learning rate of AdamW"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=getattr(defaults, name),
            help=f"{text} (default: %(default)s)",
        )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, "segmentation")


def run(args: argparse.Namespace) -> int:
    """Train the segmentation network."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    options = options_from(args, SegmentationTrainOptions)
    figures = train(args.crops, args.validation, options, run_settings_from(args), initial=args.initial)
    log.info("%s", json.dumps(figures))
    return 0
