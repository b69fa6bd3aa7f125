"""The training loop of all networks except the detector.

The loop provides numbered samples, exact resuming from a checkpoint, a time limit, validation after every epoch, and
records.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from facegeom._internal.files import write_atomically
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError

log = logging.getLogger("facegeom")

CHECKPOINT = "checkpoint.pt"
SAVE_SECONDS = 300.0  # time between two checkpoints within an epoch, seconds
BOARD_STEPS = 20  # number of steps between two records of the training losses in TensorBoard


class NetworkTrainer:
    """Base class of the trainers: a training step, the step counter, and the state that a checkpoint stores.

    Parameters
    ----------
    options : dataclass
        Options of the training run. Training can resume only from a checkpoint with the same options.
    device : torch.device
        Device of the networks.

    Attributes
    ----------
    step : int
        Number of completed training steps.
    parts : tuple of str
        Names of the attributes (networks, optimisers) whose `state_dict` a checkpoint stores.
    train_step : method
        Method that makes one training step on the tensors of a batch and returns the values of the loss terms.
    """

    options: Any
    parts: tuple[str, ...] = ()
    train_step: Callable[..., dict[str, float]]

    def __init__(self, options: Any, device: torch.device) -> None:
        torch.manual_seed(options.seed)
        self.options, self.device, self.step = options, device, 0

    def state(self) -> dict[str, Any]:
        """Return the content of a checkpoint: the options, the step counter and the state of all `parts`."""
        return {"options": dataclasses.asdict(self.options), "step": self.step} | {
            name: getattr(self, name).state_dict() for name in self.parts
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore a trainer state that `state` returned.

        Parameters
        ----------
        state : dict
            Content of a checkpoint.

        Raises
        ------
        FacegeomError
            If the state belongs to a run with other options.
        """
        if state["options"] != dataclasses.asdict(self.options):
            raise FacegeomError(
                "the checkpoint was made with other options: use the same options, or another folder with --out"
            )
        self.step = state["step"]
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])

    def resume(self, folder: Path) -> bool:
        """Restore the checkpoint in the folder of a run, if there is one.

        Parameters
        ----------
        folder : Path

        Returns
        -------
        bool
            Whether the folder contains a checkpoint.
        """
        checkpoint = folder / CHECKPOINT
        if checkpoint.exists():
            self.load(torch.load(checkpoint, map_location=self.device, weights_only=True))
        return checkpoint.exists()

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to the folder of a run."""
        raise NotImplementedError

    def end_step(self, averaged: nn.Module, network: nn.Module) -> None:
        """Update the averaged weights every `options.average_every` steps, and increase the step counter."""
        o = self.options
        if self.step % o.average_every == 0:
            update_average(averaged, network, self.step, o.average_decay, o.average_every)
        self.step += 1


class Validation(Protocol):
    """Measurements and a preview picture that are made after each epoch."""

    def measure(self) -> dict[str, float]:
        """Return the measured values: name -> value."""

    def sheet(self) -> np.ndarray:
        """Return the preview picture, (h, w, 3) uint8 RGB."""


class RunOptions(Protocol):
    """The fields of training options that the training loop uses."""

    @property
    def batch(self) -> int:
        """Number of samples in one step."""

    @property
    def images(self) -> int:
        """Number of samples in the whole run."""

    @property
    def epoch_images(self) -> int:
        """Number of samples between two validations."""


@dataclass(frozen=True)
class RunSettings:
    """Folder, device, time limit and processes of one call. These settings do not change the trained network."""

    out: Path  # folder for the checkpoint, the weights, the records and the preview pictures
    device: str = "cpu"
    minutes: float = 110.0  # time limit of this call in minutes; the next call resumes the run
    workers: int = 2  # number of processes that make training samples


def run_training(
    trainer: NetworkTrainer,
    options: RunOptions,
    stream: Callable[[int, int], Dataset[tuple[Tensor, ...]]],
    validation: Validation,
    settings: RunSettings,
) -> dict[str, float]:
    """Train until `options.images` samples have been used or the time limit is reached.

    Parameters
    ----------
    trainer : NetworkTrainer
        New trainer, or trainer restored by `NetworkTrainer.resume`.
    options : RunOptions
    stream : callable
        `stream(start, end)` returns the data set of the samples with the numbers from `start` to `end` - 1.
    validation : Validation
    settings : RunSettings

    Returns
    -------
    dict of str to float
        Values of the last validation; empty if the run was already complete.

    Raises
    ------
    FacegeomError
        If the loss becomes infinite or NaN.

    Notes
    -----
    Files in `settings.out`: checkpoint.pt, the weights, steps.jsonl (loss terms of each step and values of each
    validation), the event files of TensorBoard, and one preview picture per epoch.
    """
    from torch.utils.tensorboard import SummaryWriter

    out = settings.out
    checkpoint = out / CHECKPOINT
    deadline = time.monotonic() + 60 * settings.minutes
    last_save = time.monotonic()
    total = options.images // options.batch
    epoch_steps = max(1, options.epoch_images // options.batch)
    loader = DataLoader(
        stream(trainer.step * options.batch, total * options.batch),
        options.batch,
        num_workers=settings.workers,
        prefetch_factor=4 if settings.workers else None,
        worker_init_fn=_initialise_worker,
    )
    measured: dict[str, float] = {}
    board = SummaryWriter(str(out / "tensorboard"))
    with open(out / "steps.jsonl", "a") as lines:

        def validate() -> None:
            nonlocal measured
            measured = validation.measure()
            images = trainer.step * options.batch
            lines.write(json.dumps({"step": trainer.step, "images": images, **measured}) + "\n")
            lines.flush()
            for name, value in measured.items():
                board.add_scalar(f"validation/{name}", value, trainer.step)
            sheet = cv2.cvtColor(validation.sheet(), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(out / f"preview_{images // 1000:05d}k.png"), sheet)
            log.info("%d images: %s", images, measured)
            save()

        def save() -> None:
            write_atomically(checkpoint, lambda path: torch.save(trainer.state(), path))
            trainer.save_weights(out)

        for batch in loader:
            terms = trainer.train_step(*batch)
            lines.write(json.dumps({"step": trainer.step, "time": round(time.time(), 2), **terms}) + "\n")
            if trainer.step % BOARD_STEPS == 0:
                for name, value in terms.items():
                    board.add_scalar(f"training/{name}", value, trainer.step)
            if not math.isfinite(sum(terms.values())):
                raise FacegeomError(f"the loss is not finite at step {trainer.step}; resume from {checkpoint}")
            if trainer.step % epoch_steps == 0:
                validate()
                last_save = time.monotonic()
            elif time.monotonic() - last_save > SAVE_SECONDS:
                save()
                last_save = time.monotonic()
            if time.monotonic() > deadline:
                break
        if trainer.step % epoch_steps:
            validate()
    board.close()
    return measured


def warmup_cosine_factor(step: int, options: RunOptions, warmup: int) -> float:
    """Return the learning rate factor of a step: linear warm-up times a half cosine, at least 0.001.

    Parameters
    ----------
    step : int
    options : RunOptions
        Options that determine the number of steps of the run.
    warmup : int
        Number of warm-up steps.

    Returns
    -------
    float in [0.001, 1]
    """
    total = max(1, options.images // options.batch)
    factor = min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    return max(factor, 1e-3)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def update_average(averaged: nn.Module, network: nn.Module, step: int, decay: float, every: int) -> None:
    """Update the exponential moving average of a network's weights in place.

    Parameters
    ----------
    averaged : nn.Module
        Network with the averaged weights; changed. Other state, such as integer counters, is copied.
    network : nn.Module
        Network that is trained.
    step : int
        Number of the current step.
    decay : float
        Decay of the average per step, in [0, 1].
    every : int
        Number of steps between two updates.

    Notes
    -----
    In the first steps the decay is smaller, so that the random initial weights soon have little influence on the
    average.
    """
    decay = min(decay**every, (step + 1) / (step + 10 * every))
    state = network.state_dict()
    for name, value in averaged.state_dict().items():
        if value.is_floating_point():
            value.lerp_(state[name], 1 - decay)
        else:
            value.copy_(state[name])


def network_input(image: Tensor, device: torch.device) -> Tensor:
    """Return images as input of the networks: on the device, scaled to [-1, 1], in channels-last memory format.

    Parameters
    ----------
    image : (b, 3, S, S) uint8 tensor
    device : torch.device

    Returns
    -------
    (b, 3, S, S) float32 tensor
    """
    return image.to(device).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def _initialise_worker(_: int) -> None:
    limit_worker_to_one_thread()
    os.nice(5)  # lower priority than the training process, whose threads also wait for each other
