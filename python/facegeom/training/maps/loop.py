"""The run that every network of maps shares: numbered samples, exact resuming, time limit, validation, records."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from facegeom._internal.files import write_atomically
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError
from facegeom.training.data.photo_data import Sources

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger("facegeom")

Options = TypeVar("Options", bound="DataclassInstance")

CHECKPOINT = "checkpoint.pt"
SAVE_SECONDS = 300.0  # between checkpoints inside an epoch
BOARD_STEPS = 20  # between lines of training losses in TensorBoard


class Learner:
    """What is trained: a step, its counter, and `parts`, the attributes whose state a checkpoint holds.

    Parameters
    ----------
    options : dataclass of options
        A checkpoint goes on with the same ones only.
    device : where the networks are
    """

    options: Any
    parts: tuple[str, ...] = ()
    train_step: Callable[..., dict[str, float]]  # on the tensors of a batch; returns the loss terms

    def __init__(self, options: Any, device: torch.device) -> None:
        torch.manual_seed(options.seed)
        self.options, self.device, self.step = options, device, 0

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on exactly."""
        return {"options": dataclasses.asdict(self.options), "step": self.step} | {
            name: getattr(self, name).state_dict() for name in self.parts
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        FacegeomError
            When it was made with other options.
        """
        if state["options"] != dataclasses.asdict(self.options):
            raise FacegeomError("the checkpoint was made with other options; give them again or another --out")
        self.step = state["step"]
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])

    def resume(self, folder: Path) -> bool:
        """Go on from the checkpoint in the folder of a run; return whether there was one."""
        checkpoint = folder / CHECKPOINT
        if checkpoint.exists():
            self.load(torch.load(checkpoint, map_location=self.device, weights_only=True))
        return checkpoint.exists()

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to the folder of a run."""
        raise NotImplementedError


class Examination(Protocol):
    """What is measured and drawn after each epoch."""

    def measure(self) -> dict[str, float]:
        """Return the figures."""

    def sheet(self) -> np.ndarray:
        """Return a picture, (h, w, 3) uint8."""


class RunOptions(Protocol):
    """What the loop reads of a dataclass of options."""

    @property
    def batch(self) -> int:
        """Samples a step."""

    @property
    def images(self) -> int:
        """Samples of the whole run."""

    @property
    def epoch_images(self) -> int:
        """Samples between validations."""


@dataclass(frozen=True)
class Place:
    """Where one call of a run works, and how long: none of it changes what is learned."""

    out: Path  # folder of checkpoint, weights, records and previews
    device: str = "cpu"
    minutes: float = 110.0  # the call ends after these; the next goes on
    workers: int = 2  # processes that make samples


def run_training(
    learner: Learner,
    options: RunOptions,
    stream: Callable[[int, int], Dataset[tuple[Tensor, ...]]],
    examination: Examination,
    place: Place,
) -> dict[str, float]:
    """Train until `options.images` are seen or the minutes are over.

    Parameters
    ----------
    learner : Learner
        Fresh, or after `Learner.resume`.
    options : RunOptions
    stream : the samples from one number of the run to another
    examination : Examination
    place : Place

    Returns
    -------
    dict
        The last figures of the examination; empty when there was nothing left to do.

    Raises
    ------
    FacegeomError
        When the loss is no longer finite.

    Notes
    -----
    Writes to `place.out`: checkpoint.pt, the weights, steps.jsonl, TensorBoard's files and a preview sheet an epoch.
    """
    from torch.utils.tensorboard import SummaryWriter

    out = place.out
    checkpoint = out / CHECKPOINT
    deadline = time.monotonic() + 60 * place.minutes
    last_save = time.monotonic()
    total = options.images // options.batch
    epoch_steps = max(1, options.epoch_images // options.batch)
    loader = DataLoader(
        stream(learner.step * options.batch, total * options.batch),
        options.batch,
        num_workers=place.workers,
        prefetch_factor=4 if place.workers else None,
        worker_init_fn=_quiet_worker,
    )
    measured: dict[str, float] = {}
    board = SummaryWriter(str(out / "tensorboard"))
    with open(out / "steps.jsonl", "a") as lines:

        def examine() -> None:
            nonlocal measured
            measured = examination.measure()
            images = learner.step * options.batch
            lines.write(json.dumps({"step": learner.step, "images": images, **measured}) + "\n")
            lines.flush()
            for name, value in measured.items():
                board.add_scalar(f"validation/{name}", value, learner.step)
            sheet = cv2.cvtColor(examination.sheet(), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(out / f"preview_{images // 1000:05d}k.png"), sheet)
            log.info("%d images: %s", images, measured)
            save()

        def save() -> None:
            write_atomically(checkpoint, lambda path: torch.save(learner.state(), path))
            learner.save_weights(out)

        for batch in loader:
            terms = learner.train_step(*batch)
            lines.write(json.dumps({"step": learner.step, "time": round(time.time(), 2), **terms}) + "\n")
            if learner.step % BOARD_STEPS == 0:
                for name, value in terms.items():
                    board.add_scalar(f"training/{name}", value, learner.step)
            if not math.isfinite(sum(terms.values())):
                raise FacegeomError(f"the loss is not finite at step {learner.step}; resume from {checkpoint}")
            if learner.step % epoch_steps == 0:
                examine()
                last_save = time.monotonic()
            elif time.monotonic() - last_save > SAVE_SECONDS:
                save()
                last_save = time.monotonic()
            if time.monotonic() > deadline:
                break
        if learner.step % epoch_steps:
            examine()
    board.close()
    return measured


def learning_factor(step: int, options: RunOptions, warmup: int) -> float:
    """Return the factor of the learning rate at a step: a linear start, then half a cosine down to a thousandth."""
    total = max(1, options.images // options.batch)
    factor = min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    return max(factor, 1e-3)


@torch.no_grad()
def update_average(averaged: nn.Module, network: nn.Module, step: int, decay: float, every: int) -> None:
    """Move the averaged weights toward the network's; `decay` is that of one step, `every` the steps between calls.

    In the first steps the average reaches back less far, so that it does not hold on to the random start.
    """
    decay = min(decay**every, (step + 1) / (step + 10 * every))
    state = network.state_dict()
    for name, value in averaged.state_dict().items():
        if value.is_floating_point():
            value.lerp_(state[name], 1 - decay)
        else:
            value.copy_(state[name])


def as_photo(image: Tensor, device: torch.device) -> Tensor:
    """Return images (b, 3, S, S) uint8 as networks take them: on the device, in [-1, 1], channels last."""
    return image.to(device).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def add_run_arguments(parser: argparse.ArgumentParser, defaults: Any, out: str) -> None:
    """Declare what every training takes; `defaults` is its dataclass of options."""
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("--labels", required=True, help="file of `facegeom prepare labels`")
    parser.add_argument("--out", "-o", default=out, help="folder of the run (default: %(default)s)")
    parser.add_argument("--texture-model", type=Path, help="file of `facegeom prepare texture-model`")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=110)
    parser.add_argument("--workers", type=int, default=2)
    for name in ("size", "batch", "images", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)


def options_of(args: argparse.Namespace, kind: type[Options], **others: Any) -> Options:
    """Return a dataclass of options whose fields are the arguments of the same name, and `others`."""
    named = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind) if hasattr(args, field.name)}
    return kind(**(named | others))


def place_of(args: argparse.Namespace) -> Place:
    """Return the place that the arguments of `add_run_arguments` name."""
    return Place(Path(args.out), args.device, args.minutes, args.workers)


def sources_of(args: argparse.Namespace) -> Sources:
    """Return the files that the arguments of `add_run_arguments` name."""
    return Sources(Path(args.photos), Path(args.labels), args.texture_model)


def _quiet_worker(_: int) -> None:
    limit_worker_to_one_thread()
    os.nice(5)  # the trainer waits for nothing but samples; its threads wait for each other
