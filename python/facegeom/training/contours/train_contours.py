"""Training of the contour network (`facegeom train contours`)."""

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

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model import FaceModel, load_face_model
from facegeom.networks.contour_crop import FRAMES_MM, PARTS
from facegeom.networks.contours import ContourConfig, ContourNetwork
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.arguments import (
    add_initial_weights,
    add_run_settings,
    options_from,
    run_files,
    run_settings_from,
)
from facegeom.training.contours.losses import contour_terms
from facegeom.training.contours.samples import (
    ContourMix,
    ContourStream,
    LandmarkedPhotos,
    ShownFace,
    crops_of,
    load_stored,
    stored_face,
)
from facegeom.training.loop import NetworkTrainer, RunSettings, run_training, set_learning_rate, warmup_cosine_factor

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class ContourTrainOptions:
    """Options of a training run. A sample is a face."""

    batch: int = 64
    images: int = 400_000
    epoch_images: int = 40_000  # number of samples between two validations
    learning_rate: float = 2e-3  # it decreases to zero over the run
    warmup: int = 200  # number of steps of the linear warm-up of the learning rate
    weight_decay: float = 0.02
    opening_weight: float = 1.0
    average_decay: float = 0.998  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    network: ContourConfig = field(default_factory=ContourConfig)
    mix: ContourMix = field(default_factory=ContourMix)


class ContourTrainer(NetworkTrainer):
    """Trainer of the contour network, with averaged weights."""

    options: ContourTrainOptions
    parts = ("network", "averaged", "optimizer")

    def __init__(self, options: ContourTrainOptions, device: torch.device) -> None:
        super().__init__(options, device)
        self.network = ContourNetwork(options.network)
        self.averaged = ContourNetwork(options.network).eval()
        self.averaged.load_state_dict(self.network.state_dict())
        for network in (self.network, self.averaged):
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), options.learning_rate, weight_decay=options.weight_decay, fused=True
        )

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to contours.safetensors."""
        save_weights(folder / "contours.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, crops: Tensor, truth: Tensor) -> dict[str, float]:
        """Make one training step on a batch of `ContourStream`; return the loss terms."""
        o = self.options
        set_learning_rate(self.optimizer, o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup))
        self.network.train()
        with mixed_precision(self.device):
            places, log_deviation = self.network(_input(crops, self.device))
        terms = contour_terms(places, log_deviation, truth.to(self.device), opening_weight=o.opening_weight)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.end_step(self.averaged, self.network)
        return {name: float(value.detach()) for name, value in terms.items()}


def _input(crops: Tensor, device: torch.device) -> Tensor:
    return crops.to(device).float().div(127.5).sub(1)


class ContourValidation:
    """Errors on validation photos and on held-out synthetic heads, with errors of the crops but no augmentation."""

    def __init__(
        self, model: FaceModel, trainer: ContourTrainer, photos: LandmarkedPhotos, heads: list[ShownFace]
    ) -> None:
        size, mix = trainer.options.network.size, trainer.options.mix
        rng = np.random.default_rng(0)
        self.trainer = trainer
        self.sets = {}
        for name, faces in (("photos", [photos[row] for row in range(len(photos))]), ("heads", heads)):
            if faces:
                shifts = rng.normal(0, mix.shift_noise_mm, (len(faces), 3, 2))
                made = [crops_of(model, face, size, shift) for face, shift in zip(faces, shifts, strict=True)]
                self.sets[name] = tuple(np.stack(values) for values in zip(*made, strict=True))

    def measure(self) -> dict[str, float]:
        """Return the measured values by name.

        Errors of the points relative to the mean of their contour, RMS in mm: `eyes` and `lips`. Mean absolute error of
        gap / width: `eye_gap` and `mouth_gap`; `closed` is the mean predicted gap of eyes whose true gap is below 0.15.
        """
        values: dict[str, float] = {}
        for name, (crops, truth) in self.sets.items():
            places = self._predict(crops)
            for part, rows in (("eyes", PARTS[0]), ("eyes", PARTS[1]), ("lips", PARTS[2])):
                error = places[:, rows] - truth[:, rows]
                error -= error.mean(1, keepdims=True)
                key = f"{name}_{part}"
                values[key] = values.get(key, 0.0) + float(np.sqrt((error**2).sum(2).mean())) / (1 + (part == "eyes"))
            gaps, true_gaps = gap_shares(places), gap_shares(truth)
            values[f"{name}_eye_gap"] = float(np.abs(gaps - true_gaps)[:, :2].mean())
            values[f"{name}_mouth_gap"] = float(np.abs(gaps - true_gaps)[:, 2].mean())
            shut = true_gaps[:, :2] < 0.15
            if shut.any():
                values[f"{name}_closed"] = float(gaps[:, :2][shut].mean())
        return {name: round(value, 4) for name, value in values.items()}

    def _predict(self, crops: ByteArray) -> FloatArray:
        network, device = self.trainer.averaged, self.trainer.device
        made = []
        with torch.inference_mode():
            for start in range(0, len(crops), 64):
                image = torch.from_numpy(np.ascontiguousarray(crops[start : start + 64].transpose(0, 1, 4, 2, 3)))
                made.append(network(_input(image, device))[0].cpu().numpy())
        return np.concatenate(made).astype(np.float64)

    def sheet(self) -> np.ndarray:
        """Return a picture: the crops of some validation photos with the predicted contours, four times as large."""
        crops = self.sets["photos"][0][:: max(1, len(self.sets["photos"][0]) // 12)][:12]
        places, size, zoom = self._predict(crops), crops.shape[2], 4
        rows = []
        for face, points in zip(crops, places, strict=True):
            parts = []
            for crop, part, frame in zip(face, PARTS, FRAMES_MM, strict=True):
                picture = cv2.resize(crop, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
                for x, y in (points[part] * (size / frame) + 0.5 * size) * zoom:
                    cv2.circle(picture, (round(x), round(y)), 2, (0, 255, 0), -1)
                parts.append(picture)
            rows.append(np.concatenate(parts, 1))
        half = len(rows) // 2
        return np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half : 2 * half])], 1)


def gap_shares(places: FloatArray) -> FloatArray:
    """Return gap / width of the right eye, the left eye and the mouth, (b, 3), of contours (b, 72, 2)."""
    shares = []
    for first, count, corners in ((0, 16, (0, 8)), (16, 16, (0, 8)), (52, 20, (0, 10))):
        ring = places[:, first : first + count]
        middle = count // 4
        rows = np.arange(middle - 1, middle + 2)
        gap = np.linalg.norm(ring[:, rows] - ring[:, count - rows], axis=2).mean(1)
        outer = ring if count == 16 else places[:, 32:52]
        shares.append(gap / np.linalg.norm(outer[:, corners[0]] - outer[:, corners[1]], axis=1))
    return np.stack(shares, 1)


@dataclass(frozen=True)
class ContourSources:
    """Input of the training: photos, labels, landmarks, and folders of `prepare reshaped` and `prepare heads`."""

    photos: Path
    labels: Path
    landmarks: Path
    rendered: tuple[Path, ...] = ()
    validation_heads: Path | None = None
    initial: Path | None = None  # weight file that initialises a new run


def train(sources: ContourSources, options: ContourTrainOptions, settings: RunSettings) -> dict[str, float]:
    """Train the network, or resume from the checkpoint in `settings.out`; return the values of the last validation."""
    cv2.setNumThreads(0)
    model = load_face_model()
    photos, examined = (
        LandmarkedPhotos(model, sources.photos, sources.labels, sources.landmarks, part)
        for part in ("training", "validation")
    )
    heads: list[ShownFace] = []
    if sources.validation_heads is not None:
        (rendered,) = load_stored([sources.validation_heads])
        heads = [stored_face(rendered, row) for row in range(len(rendered))]
    settings.out.mkdir(parents=True, exist_ok=True)
    trainer = ContourTrainer(options, check_device(settings.device))
    if trainer.resume(settings.out):
        log.info("resumed at step %d", trainer.step)
    elif sources.initial is not None:
        _, weights = load_weights("contours", ContourConfig, sources.initial)
        trainer.network.load_state_dict(weights)
        trainer.averaged.load_state_dict(weights)
    stored = load_stored(sources.rendered)
    stream = partial(ContourStream, model, photos, stored, options.network.size, options.seed, mix=options.mix)
    return run_training(trainer, options, stream, ContourValidation(model, trainer, examined, heads), settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train contours` to a parser."""
    defaults = ContourTrainOptions()
    parser.add_argument("photos", type=Path, help="folder that contains the photos, also in subfolders")
    parser.add_argument("--labels", type=Path, required=True, help="file written by `facegeom prepare labels`")
    parser.add_argument("--landmarks", type=Path, required=True, help="file written by `facegeom prepare landmarks`")
    parser.add_argument(
        "--rendered",
        type=Path,
        nargs="*",
        default=[],
        metavar="FOLDER",
        help="folders of `facegeom prepare reshaped` and `facegeom prepare heads` for training",
    )
    parser.add_argument("--validation-heads", type=Path, help="folder of `facegeom prepare heads` for validation")
    add_initial_weights(parser)
    add_run_settings(parser, "runs/contours", workers=0)
    helps = {
        "batch": "faces in one step",
        "images": "faces in the whole run",
        "epoch_images": "faces between two validations",
        "seed": "random seed",
    }
    for name, text in helps.items():
        default = getattr(defaults, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=default, help=f"{text} (default: %(default)s)"
        )
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=defaults.learning_rate,
        help="learning rate of AdamW (default: %(default)s)",
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, "contours")


def run(args: argparse.Namespace) -> int:
    """Train the contour network."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    options = options_from(args, ContourTrainOptions)
    sources = ContourSources(
        args.photos, args.labels, args.landmarks, tuple(args.rendered), args.validation_heads, args.initial
    )
    figures = train(sources, options, run_settings_from(args))
    log.info("%s", json.dumps(figures))
    return 0
