"""`facegeom train detector`: train the three networks of the face detector (MTCNN), one after the other.

The refinement network is trained on windows that the proposal network accepts. The output network is trained on windows
that the other two networks accept. Random windows are added for all three networks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.files import write_atomically, write_bytes, write_npz
from facegeom.detection.mtcnn_search import SearchOptions, propose, refine, search
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.images.boxes import iou
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.mtcnn import WINDOWS, Mtcnn, MtcnnConfig, OutputNet, normalise
from facegeom.networks.weights import save_weights
from facegeom.training.data.labels import Labels, find_photos
from facegeom.training.data.split import split_names
from facegeom.training.detector.scenes import (
    TRAINING_SAMPLES,
    Scene,
    SceneMaker,
    Tiles,
    Windows,
    label_windows,
    make_tiles,
    random_windows,
)
from facegeom.training.loop import set_learning_rate

log = logging.getLogger("facegeom")

STAGES = ("p", "r", "o", "o")
"""Network trained in each stage. The output network is trained twice; the second stage adds its false positives."""

MINING = SearchOptions(proposal_score=0.3, refine_score=0.2, most_proposals=60, most_refined=30)
"""Options of the search for training windows. Lower score thresholds include windows near the usual thresholds."""

SMALLEST_FACE = 16.0
"""Side length of the smallest face that is searched for in the scenes, pixels."""


@dataclass(frozen=True)
class DetectorOptions:
    """Options of one training run. Each tuple has one value per stage of `STAGES`."""

    photos: str = ""  # folder that contains the photos, also in subfolders
    labels: str = "runs/labels.npz"  # file written by `facegeom prepare labels`
    out: str = "runs/detector"  # folder for checkpoint, tiles, windows, records and weights
    device: str = "cpu"
    minutes: float = math.inf  # time limit of one call in minutes; the next call resumes the run
    steps: tuple[int, ...] = (5_000, 2_500, 3_000, 3_000)  # number of training steps
    batch: tuple[int, ...] = (512, 384, 192, 192)  # number of windows in one step
    scenes: tuple[int, ...] = (
        10_000,
        8_000,
        10_000,
        10_000,
    )  # number of scenes per stage of `STAGES`
    most_photos: int = 8_000  # largest number of training photos
    turned: int = 1  # number of tiles with a turned head per training photo
    learning_rate: float = 2e-3  # initial learning rate; decreases to 0 along a half cosine
    offset_weight: float = 2.0  # weight of the offset loss relative to the cross-entropy; 0.5 in the paper
    seed: int = 0
    checkpoint_steps: int = 250  # number of steps between two checkpoints
    network: MtcnnConfig = field(default_factory=MtcnnConfig)


def train_detector(options: DetectorOptions) -> Path | None:
    """Train the three networks, or resume from the checkpoint in `options.out`.

    Parameters
    ----------
    options : DetectorOptions

    Returns
    -------
    Path or None
        The weight file detector.safetensors; None if the time limit was reached first.

    Raises
    ------
    FacegeomError
        If there are no labels of training photos, or if the checkpoint contains networks of another size.

    Notes
    -----
    An interrupted run gives the same result as an uninterrupted one: each step has its own random seed. The last file
    written is validation.json, with the values of `found_rates` on validation photos.
    """
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    training, validation = _tiles(options, out)
    maker = SceneMaker(training, training_backgrounds())
    trainer = DetectorTrainer(options, out)
    for stage, name in enumerate(STAGES):
        if trainer.stage > stage:
            continue
        windows = _windows(trainer.network, maker, stage, options, out)
        if not trainer.train(windows):
            log.info("time limit reached at step %d of the %s-net; call again to resume", trainer.step, name)
            return None
        trainer.finish_stage()
        _window_file(out, stage).unlink(missing_ok=True)
        log.info("training of the %s-net is complete", name)
    weights = out / "detector.safetensors"
    save_weights(weights, options.network, trainer.network.state_dict())
    found = found_rates(trainer.network, SceneMaker(validation, training_backgrounds()), options.seed)
    write_bytes(out / "validation.json", (json.dumps(found, indent=2) + "\n").encode())
    log.info("detection rates and false positives per scene on validation photos: %s", found)
    return weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train detector` to a parser."""
    default = DetectorOptions()
    parser.add_argument("photos", help="folder that contains the photos, also in subfolders")
    parser.add_argument(
        "--labels", default=default.labels, help="file written by `facegeom prepare labels` (default: %(default)s)"
    )
    parser.add_argument(
        "--out", "-o", default=default.out, help="folder of the run, with checkpoint and weights (default: %(default)s)"
    )
    parser.add_argument(
        "--device",
        default=default.device,
        help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=default.minutes,
        help="time limit in minutes; the same command resumes the run (default: %(default)s)",
    )
    stages: dict[str, Any] = {"type": int, "nargs": len(STAGES), "metavar": ("P", "R", "O", "O2")}
    parser.add_argument(
        "--steps", default=default.steps, help="number of training steps in each stage (default: %(default)s)", **stages
    )
    parser.add_argument(
        "--batch",
        default=default.batch,
        help="number of windows in one step of each stage (default: %(default)s)",
        **stages,
    )
    parser.add_argument(
        "--scenes",
        default=default.scenes,
        help="number of scenes from which windows are cut, for each stage (default: %(default)s)",
        **stages,
    )
    parser.add_argument(
        "--most-photos",
        type=int,
        default=default.most_photos,
        help="largest number of training photos (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=default.seed, help="seed of all random numbers (default: %(default)s)"
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return [Path(args.out) / name for name in ("checkpoint.pt", "detector.safetensors", "validation.json")]


def run(args: argparse.Namespace) -> int:
    """Train the detector, or resume its training; return the exit code."""
    train_detector(
        DetectorOptions(
            photos=args.photos,
            labels=args.labels,
            out=args.out,
            device=args.device,
            minutes=args.minutes,
            steps=tuple(args.steps),
            batch=tuple(args.batch),
            scenes=tuple(args.scenes),
            most_photos=args.most_photos,
            seed=args.seed,
        )
    )
    return 0


class DetectorTrainer:
    """Trainer of the three networks, one network per stage; a checkpoint stores the progress.

    Parameters
    ----------
    options : DetectorOptions
    out : Path
        Folder of the run. A checkpoint in this folder is loaded.

    Attributes
    ----------
    network : Mtcnn
        The three networks.
    stage : int
        Index into `STAGES` of the network that is trained.
    step : int
        Number of completed steps in this stage.
    """

    def __init__(self, options: DetectorOptions, out: Path) -> None:
        torch.manual_seed(options.seed)
        self.options, self.out = options, out
        self.device = check_device(options.device)
        self.network = Mtcnn(options.network)
        self.stage, self.step = 0, 0
        self.end = time.monotonic() + 60.0 * options.minutes
        self.optimizer_state: dict[str, Any] | None = None
        self.checkpoint = out / "checkpoint.pt"
        if self.checkpoint.is_file():
            self._load()

    def train(self, windows: Windows) -> bool:
        """Train the network of the current stage.

        Parameters
        ----------
        windows : Windows
            Training windows of this stage.

        Returns
        -------
        bool
            True if the stage is complete, False if the time limit was reached.
        """
        options, stage = self.options, self.stage
        name = STAGES[stage]
        network: nn.Module = getattr(self.network, name).to(self.device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(network.parameters(), options.learning_rate, weight_decay=1e-4)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        steps, batch = options.steps[stage], options.batch[stage]
        by_kind = [np.flatnonzero(windows.kind == kind) for kind in (1, -1, 0)]
        counts = (round(0.3 * batch), round(0.15 * batch), batch - round(0.3 * batch) - round(0.15 * batch))
        network.train()
        for step in tqdm(range(self.step, steps), initial=self.step, total=steps, unit="step", desc=f"{name}-net"):
            rng = np.random.default_rng((options.seed, stage, step))
            rows = np.concatenate([rng.choice(r, n) for r, n in zip(by_kind, counts, strict=True) if len(r)])
            set_learning_rate(optimizer, 0.5 * options.learning_rate * (1 + math.cos(math.pi * step / steps)))
            terms = self._step(network, optimizer, windows, rows, rng)
            self.step = step + 1
            over = time.monotonic() > self.end
            if self.step % 50 == 0:
                self._record(name, {key: float(term) for key, term in terms.items()})
            if self.step % options.checkpoint_steps == 0 or over:
                self._save(optimizer.state_dict())
            if over:
                return False
        network.eval().to("cpu").to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return True

    def finish_stage(self) -> None:
        """Start the next stage and write a checkpoint."""
        self.stage, self.step, self.optimizer_state = self.stage + 1, 0, None
        self._save(None)

    def _step(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        windows: Windows,
        rows: np.ndarray,
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        kind = torch.from_numpy(windows.kind[rows]).to(self.device)
        offsets = torch.from_numpy(windows.offsets[rows]).to(self.device)
        images = _jitter(normalise(torch.from_numpy(windows.crops[rows])).to(self.device), rng)
        if rng.random() < 0.5:
            images = images.flip(3)
            offsets = offsets * torch.tensor([-1.0, 1.0, 1.0, 1.0], device=self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        with mixed_precision(self.device):
            logits, guess = network(images)
        logits, guess = logits.float().reshape(len(rows)), guess.float().reshape(len(rows), 4)
        sure, holds = kind >= 0, kind != 0
        score = functional.binary_cross_entropy_with_logits(logits[sure], kind[sure].float())
        offset = functional.smooth_l1_loss(guess[holds], offsets[holds], beta=0.1)
        optimizer.zero_grad(set_to_none=True)
        (score + self.options.offset_weight * offset).backward()
        optimizer.step()
        accuracy = ((logits[sure] > 0) == (kind[sure] > 0)).float().mean()
        return {"score": score, "offset": offset, "accuracy": accuracy}

    def _record(self, name: str, terms: dict[str, float]) -> None:
        line = {"network": name, "step": self.step, **terms}
        with open(self.out / "metrics.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def _save(self, optimizer: dict[str, Any] | None) -> None:
        state = {
            "options": dataclasses.asdict(self.options),
            "stage": self.stage,
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": optimizer,
        }
        write_atomically(self.checkpoint, lambda path: torch.save(state, path))

    def _load(self) -> None:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        if state["options"]["network"] != dataclasses.asdict(self.options.network):
            raise FacegeomError(f"{self.checkpoint} contains networks of another size: use another folder with --out")
        self.stage, self.step = state["stage"], state["step"]
        self.network.load_state_dict(state["network"])
        self.network.eval()
        self.optimizer_state = state["optimizer"]


def training_backgrounds() -> list[ByteArray]:
    """Return the training backgrounds of `TRAINING_SAMPLES`, each (h, w, 3) uint8."""
    pictures = [np.asarray(getattr(skimage.data, name)()) for name in TRAINING_SAMPLES]
    return [np.repeat(p[..., None], 3, axis=2) if p.ndim == 2 else np.ascontiguousarray(p[..., :3]) for p in pictures]


def found_rates(network: Mtcnn, maker: SceneMaker, seed: int, count: int = 300) -> dict[str, float]:
    """Return the detection rates by yaw and the number of false positives per scene, over random scenes.

    A face is detected if a box with a score of at least 0.5 has an intersection over union (IoU) of at least 0.5 with
    its landmark box. A box whose IoU with every face is below 0.3 is a false positive.

    Parameters
    ----------
    network : Mtcnn
    maker : SceneMaker
    seed : int
        Seed of the scenes.
    count : int
        Number of scenes.

    Returns
    -------
    dict of str to float
        yaw_0, yaw_30 and yaw_60: detection rates in [0, 1] of faces with an absolute yaw of 0 to 30, 30 to 60 and above
        60 degrees, each only if there are such faces; and false_alarms_per_scene.
    """
    hits: dict[str, list[bool]] = {}
    alarms = 0
    for index in range(count):
        scene = maker.draw(np.random.default_rng((seed, 7, index)))
        found = search(network, scene.image, SMALLEST_FACE, np.empty((0, 4)), SearchOptions())
        found = found[np.flatnonzero(found.scores >= 0.5)]
        overlap = iou(scene.boxes, found.boxes) if len(found) else np.zeros((len(scene.boxes), 1))
        for tile, best in zip(scene.tiles, overlap.max(axis=1), strict=True):
            step = min(int(abs(maker.tiles.yaw_deg[tile]) // 30), 2) * 30
            hits.setdefault(f"yaw_{step}", []).append(bool(best >= 0.5))
        if len(found):
            best = overlap.max(axis=0) if len(scene.boxes) else np.zeros(len(found))
            alarms += int((best < 0.3).sum())
    rates = {name: float(np.mean(value)) for name, value in sorted(hits.items())}
    return rates | {"false_alarms_per_scene": alarms / count}


def _tiles(options: DetectorOptions, out: Path) -> tuple[Tiles, Tiles]:
    """Return the tiles of the training and the validation photos; read the file in `out`, or make and store it."""
    files = out / "tiles_training.npz", out / "tiles_validation.npz"
    if not all(file.is_file() for file in files):
        labels, photos, model = Labels.load(options.labels), find_photos(options.photos), load_face_model()
        split = split_names([str(name) for name in labels.names])
        rng = np.random.default_rng(options.seed)
        training = np.intersect1d(split.training, labels.kept)
        if not len(training):
            raise FacegeomError(f"{options.labels} contains no usable label of a training photo")
        training = np.sort(rng.permutation(training)[: options.most_photos])
        validation = np.intersect1d(split.validation, labels.kept)
        make_tiles(model, photos, labels, training, options.turned, options.seed).save(files[0])
        make_tiles(model, photos, labels, validation, 2, options.seed + 1).save(files[1])
    return Tiles.load(files[0]), Tiles.load(files[1])


def _windows(network: Mtcnn, maker: SceneMaker, stage: int, options: DetectorOptions, out: Path) -> Windows:
    """Return the training windows of a stage; read the file in `out`, or make and store it."""
    file, name = _window_file(out, stage), STAGES[stage]
    again = name in STAGES[:stage]
    if not file.is_file():
        parts = []
        mine = _miner(network, name)
        for index in tqdm(range(options.scenes[stage]), unit="scene", desc=f"windows of the {name}-net"):
            rng = np.random.default_rng((options.seed, 1 + stage, index))
            scene = maker.draw(rng, faces=0 if again and index % 2 else None)
            boxes = np.concatenate([random_windows(scene, rng), mine(scene)])
            windows = label_windows(scene, boxes, WINDOWS[name])
            parts.append(_with_false_positives(network.o, windows, rng) if again else _subsample(windows, rng))
        windows = Windows.joined(parts)
        arrays = {"crops": windows.crops, "kind": windows.kind, "offsets": windows.offsets}
        write_npz(file, arrays, compressed=False)
        return windows
    with np.load(file) as data:
        return Windows(data["crops"], data["kind"], data["offsets"])


def _miner(network: Mtcnn, name: str) -> Callable[[Scene], FloatArray]:
    """Return the function scene -> windows (n, 4) that all networks before the network `name` accept."""

    def proposals(scene: Scene) -> FloatArray:
        return propose(network, scene.image, SMALLEST_FACE, MINING).boxes

    def refined(scene: Scene) -> FloatArray:
        return refine(network, scene.image, proposals(scene), MINING).boxes

    return {"p": lambda scene: np.empty((0, 4)), "r": proposals, "o": refined}[name]


def _subsample(windows: Windows, rng: np.random.Generator, most: int = 30) -> Windows:
    """Return all windows with a face or part of one, and a random choice of at most `most` of the other windows."""
    none = np.flatnonzero(windows.kind == 0)
    rows = np.concatenate([np.flatnonzero(windows.kind != 0), rng.permutation(none)[:most]])
    return Windows(windows.crops[rows], windows.kind[rows], windows.offsets[rows])


@torch.inference_mode()
def _with_false_positives(network: OutputNet, windows: Windows, rng: np.random.Generator) -> Windows:
    """Return the windows with a face or part of one, the false positives, and three random other windows."""
    none = np.flatnonzero(windows.kind == 0)
    score = torch.sigmoid(network(normalise(torch.from_numpy(windows.crops[none])))[0]).numpy()
    rows = np.concatenate([np.flatnonzero(windows.kind != 0), none[score > 0.1], rng.permutation(none)[:3]])
    return Windows(windows.crops[rows], windows.kind[rows], windows.offsets[rows])


def _window_file(out: Path, stage: int) -> Path:
    return out / f"windows_{stage}{STAGES[stage]}.npz"


def _jitter(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return training images (n, 3, h, w) in [-1, 1] with small random changes of contrast and brightness."""
    count = len(images)
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.2, count)).astype(np.float32)).to(images.device)
    lift = torch.from_numpy(rng.normal(0, 0.1, count).astype(np.float32)).to(images.device)
    return (images * gain[:, None, None, None] + lift[:, None, None, None]).clamp_(-1, 1)
