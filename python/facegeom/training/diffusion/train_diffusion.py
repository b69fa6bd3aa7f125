"""`facegeom train diffusion`: train the autoencoder, compute the latents of all photos once, train the U-Net.

The U-Net learns by the loss of Ho et al. 2020 (equation 14) on the velocity instead of the noise (Salimans and Ho 2022,
appendix D): the squared error of every time has a similar size. A share of the samples has no condition, for
classifier-free guidance.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray
from facegeom.errors import FacegeomError
from facegeom.measures.report import sheet
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.diffusion.autoencoder import HeadAutoencoder
from facegeom.networks.diffusion.latent_diffusion import (
    Condition,
    DiffusionConfig,
    DiffusionNetworks,
    LatentDiffusion,
)
from facegeom.networks.diffusion.schedule import Schedule
from facegeom.networks.facevision import channels_last
from facegeom.networks.weights import save_weights
from facegeom.training.arguments import add_run_settings, run_settings_from
from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.diffusion.head_photos import HeadPhotos
from facegeom.training.diffusion.latents import LatentSet, LatentStream, latent_set
from facegeom.training.diffusion.train_autoencoder import (
    AUTOENCODER,
    AutoencoderOptions,
    AutoencoderTrainer,
    AutoencoderValidation,
    HeadStream,
    load_autoencoder,
)
from facegeom.training.loop import (
    CHECKPOINT,
    NetworkTrainer,
    RunSettings,
    run_training,
    set_learning_rate,
    warmup_cosine_factor,
)

log = logging.getLogger("facegeom")

DIFFUSION = "diffusion"
"""Name of the weight file."""

VALIDATION_SEED = 12345
EXAMINED_TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the last time at which the error is measured."""

SHOWN, SHOWN_STEPS, GUIDANCE = 8, 20, 2.0
"""Images on the preview picture, their steps of DDIM, and their guidance."""

BATCH, EXAMINED = 64, 128
"""Latents in one forward pass, and validation photos."""


@dataclass(frozen=True)
class DiffusionOptions:
    """Options of a training run of the U-Net."""

    network: DiffusionConfig = field(default_factory=DiffusionConfig)
    batch: int = 32
    images: int = 150_000  # number of samples in the run; the learning rate reaches its minimum at the end
    learning_rate: float = 2e-4  # largest learning rate of AdamW
    warmup: int = 200  # number of steps of the linear warm-up
    weight_decay: float = 0.01
    dropped: float = 0.1  # share of the samples without condition
    versions: int = 4  # crops of each photo
    average_decay: float = 0.9995  # decay per step of the averaged weights; these are evaluated and saved
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 15_000  # number of samples between two validations


class DiffusionTrainer(NetworkTrainer):
    """Trainer of the U-Net, with averaged weights.

    Parameters
    ----------
    options : DiffusionOptions
    autoencoder : HeadAutoencoder, trained
    latents : LatentSet, whose mean and deviation normalise the latents
    device : torch.device
    """

    options: DiffusionOptions
    parts = ("network", "averaged", "optimizer")

    def __init__(
        self, options: DiffusionOptions, autoencoder: HeadAutoencoder, latents: LatentSet, device: torch.device
    ) -> None:
        super().__init__(options, device)
        self.key = latents.key
        whole = DiffusionNetworks(options.network)
        whole.autoencoder.load_state_dict(autoencoder.state_dict())
        for buffer, values in zip((whole.latent_mean, whole.latent_deviation), latents.moments(), strict=True):
            buffer.copy_(torch.from_numpy(values).reshape(buffer.shape))
        self.whole = channels_last(whole.to(device))
        self.averaged = self.whole.unet.eval().requires_grad_(False)
        self.network = channels_last(DiffusionNetworks(options.network).unet.to(device))
        self.averaged.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), options.learning_rate, weight_decay=options.weight_decay
        )
        self.schedule = Schedule.cosine(options.network.times)

    def state(self) -> dict[str, object]:
        """Return the content of a checkpoint, with the digest of the latents."""
        return super().state() | {"latents": self.key}

    def load(self, state: dict[str, object]) -> None:
        """Restore a checkpoint.

        Raises
        ------
        FacegeomError
            If it belongs to a run with other options, or to other latents.
        """
        if state["latents"] != self.key:
            raise FacegeomError("the checkpoint was made with another autoencoder or other photos: use another --out")
        super().load(state)

    def save_weights(self, folder: Path) -> None:
        """Write the autoencoder and the averaged weights of the U-Net to the folder of a run."""
        save_weights(folder / f"{DIFFUSION}.safetensors", self.options.network, self.whole.state_dict())

    def normalised(self, latents: Tensor) -> Tensor:
        """Return latents (b, c, s, s) as the U-Net sees them."""
        moved = latents.to(self.device) - self.whole.latent_mean
        return (moved / self.whole.latent_deviation).contiguous(memory_format=torch.channels_last)

    def error(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Return the mean squared error of the velocity for the tensors of a batch, see `LatentStream`."""
        latents, maps, attributes, noise, time, known = batch
        clean, noise = self.normalised(latents), noise.to(self.device)
        maps, attributes, known = (part.to(self.device) for part in (maps, attributes, known))
        noisy = self.schedule.noisy(clean, noise, time).contiguous(memory_format=torch.channels_last)
        with mixed_precision(self.device):
            velocity = network(noisy, time.to(self.device), maps, attributes, known)
        return nn.functional.mse_loss(velocity.float(), self.schedule.velocity(clean, noise, time))

    def train_step(self, *batch: Tensor) -> dict[str, float]:
        """Make one training step on the tensors of a batch, see `LatentStream`; return the loss."""
        o = self.options
        set_learning_rate(self.optimizer, o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup))
        loss = self.error(self.network, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.end_step(self.averaged, self.network)
        return {"velocity": float(loss.detach()), "gradient_norm": float(norm)}


class DiffusionValidation:
    """Error of the velocity on validation photos, and images drawn under their conditions.

    Parameters
    ----------
    trainer : DiffusionTrainer
    latents : LatentSet of validation photos
    photos : (SHOWN or fewer) crops of the first of these photos, (S, S, 3) uint8 each
    """

    def __init__(self, trainer: DiffusionTrainer, latents: LatentSet, photos: list[ByteArray]) -> None:
        self.trainer, self.latents, self.photos = trainer, latents, photos

    @torch.inference_mode()
    def measure(self) -> dict[str, float]:
        """Return the error by time, and its mean; noise and times are always the same."""
        rng = np.random.default_rng(VALIDATION_SEED)
        noise = rng.standard_normal(self.latents.latents.shape, np.float32)
        errors = {}
        for share in EXAMINED_TIMES:
            when = max(1, round(share * self.trainer.schedule.last))
            total = 0.0
            for start in range(0, len(self.latents), BATCH):
                rows = slice(start, start + BATCH)
                arrays = self.latents.latents[rows], self.latents.maps[rows], self.latents.attributes[rows], noise[rows]
                tensors = tuple(torch.from_numpy(array.astype(np.float32)) for array in arrays)
                count = len(tensors[0])
                batch = (*tensors, torch.full((count,), when), torch.ones(count))
                total += count * float(self.trainer.error(self.trainer.averaged, batch))
            errors[f"velocity_{share:g}"] = round(total / len(self.latents), 5)
        return {"velocity": round(float(np.mean(list(errors.values()))), 5)} | errors

    def sheet(self) -> np.ndarray:
        """Return a picture: photos, the normals of their fitted heads, and images drawn under the same conditions."""
        count = len(self.photos)
        condition = Condition(
            self.latents.maps[:count].astype(np.float32), self.latents.attributes[:count].astype(np.float32)
        )
        model = LatentDiffusion(self.trainer.whole, self.trainer.device)
        drawn = model.sample(condition, model.noise(range(count)), steps=SHOWN_STEPS, guidance=GUIDANCE)
        normals = [normal_picture(maps) for maps in condition.maps]
        return sheet([*self.photos, *normals, *drawn], count, len(self.photos[0]))


def normal_picture(maps: np.ndarray) -> ByteArray:
    """Return the normals of maps (MAPS, s, s) as a picture (s, s, 3) uint8."""
    values = np.where(maps[-1:] > 0, 127.5 * (maps[:3] + 1), 40)
    return np.ascontiguousarray(np.rint(values).clip(0, 255).transpose(1, 2, 0).astype(np.uint8))


@dataclass(frozen=True)
class DiffusionData:
    """Inputs of a training: folder of the photos, file of their labels, and a trained autoencoder or None."""

    photos: Path
    labels: Path
    autoencoder: Path | None = None


def train_autoencoder(
    options: AutoencoderOptions, data: DiffusionData, settings: RunSettings
) -> tuple[bool, dict[str, float]]:
    """Train the autoencoder in the folder `settings.out`, or resume.

    Returns
    -------
    tuple of bool and dict
        Whether the training is complete, and the values of the last validation; they are empty if it was complete.
    """
    device, size = check_device(settings.device), options.network.size
    settings.out.mkdir(parents=True, exist_ok=True)
    trainer = AutoencoderTrainer(options, device)
    trainer.resume(settings.out)
    steps = options.images // options.batch
    if trainer.step >= steps:
        return True, {}
    photos, measured = (HeadPhotos(data.photos, data.labels, part) for part in ("training", "validation"))
    validation = AutoencoderValidation(measured, trainer.averaged, size, device)
    stream = partial(HeadStream, photos, size, options.seed)
    values = run_training(trainer, options, stream, validation, settings)
    return trainer.step >= steps, values


def train(
    options: DiffusionOptions, first: AutoencoderOptions, data: DiffusionData, settings: RunSettings
) -> dict[str, float]:
    """Train the autoencoder unless there is one, then the U-Net, or resume from what is in `settings.out`.

    Parameters
    ----------
    options : DiffusionOptions
    first : AutoencoderOptions
    data : DiffusionData
    settings : RunSettings
        The time limit is that of all stages together.

    Returns
    -------
    dict of str to float
        Values of the last validation of the stage that was reached.
    """
    end = time.monotonic() + 60 * settings.minutes
    device = check_device(settings.device)
    path = data.autoencoder
    if path is None:
        folder = settings.out / AUTOENCODER
        complete, measured = train_autoencoder(first, data, replace(settings, out=folder))
        if not complete:
            return measured
        path = folder / f"{AUTOENCODER}.safetensors"
    network = load_autoencoder(path).to(device)
    if network.config != options.network.autoencoder:
        raise FacegeomError(f"{path} has {network.config}, expected {options.network.autoencoder}")
    settings.out.mkdir(parents=True, exist_ok=True)
    photos = HeadPhotos(data.photos, data.labels, "training")
    measured_photos = HeadPhotos(data.photos, data.labels, "validation", EXAMINED)
    latents = latent_set(settings.out / "latents.npz", photos, network, options.versions, options.seed, device)
    held_out = latent_set(settings.out / "latents_validation.npz", measured_photos, network, 1, options.seed, device)
    trainer = DiffusionTrainer(options, network, latents, device)
    trainer.resume(settings.out)
    count = min(SHOWN, len(measured_photos))
    shown = [measured_photos.crop(row, options.network.size).image for row in range(count)]
    validation = DiffusionValidation(trainer, held_out, shown)
    stream = partial(LatentStream, latents, options.network.times, options.dropped, options.seed)
    left = replace(settings, minutes=max(0.0, (end - time.monotonic()) / 60))
    return run_training(trainer, options, stream, validation, left)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train diffusion` to a parser."""
    defaults, first = DiffusionOptions(), AutoencoderOptions()
    add_labelled_photos(parser)
    add_run_settings(parser, "runs/diffusion", workers=1)
    parser.add_argument(
        "--autoencoder",
        type=Path,
        metavar="FILE",
        help="weight file of a trained autoencoder (default: train one first, in the folder autoencoder of the run)",
    )
    for kind, name, value, text in (
        (int, "size", defaults.network.size, "side length of the square crops in pixels, a multiple of 32"),
        (int, "latent", defaults.network.latent, "channels of the latents"),
        (int, "autoencoder_images", first.images, "number of samples in the run of the autoencoder"),
        (int, "autoencoder_batch", first.batch, "number of samples in one step of the autoencoder"),
        (int, "images", defaults.images, "number of samples in the run of the U-Net"),
        (int, "batch", defaults.batch, "number of samples in one step of the U-Net"),
        (int, "versions", defaults.versions, "number of crops of each photo whose latents are computed"),
        (int, "seed", defaults.seed, "seed of all random numbers"),
        (float, "learning_rate", defaults.learning_rate, "largest learning rate of the U-Net"),
    ):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=value, help=f"{text} (default: %(default)s)")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    out = Path(args.out)
    second = [out / name for name in (CHECKPOINT, f"{DIFFUSION}.safetensors", "steps.jsonl", "latents.npz")]
    return [*second, *(out / AUTOENCODER / name for name in (CHECKPOINT, f"{AUTOENCODER}.safetensors", "steps.jsonl"))]


def run(args: argparse.Namespace) -> int:
    """Train autoencoder and U-Net, and print the values of the last validation as JSON; return the exit code."""
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.size < 32 or args.size % 32:
        raise ValueError(f"--size must be a multiple of 32, got {args.size}")
    network = DiffusionConfig(size=args.size, latent=check.count(args.latent, "--latent", 1))
    first = AutoencoderOptions(
        network=network.autoencoder,
        batch=check.count(args.autoencoder_batch, "--autoencoder-batch", 1),
        images=check.count(args.autoencoder_images, "--autoencoder-images", 1),
        seed=args.seed,
    )
    options = DiffusionOptions(
        network=network,
        batch=check.count(args.batch, "--batch", 1),
        images=check.count(args.images, "--images", 1),
        learning_rate=check.positive(args.learning_rate, "--learning-rate"),
        versions=check.count(args.versions, "--versions", 1),
        seed=args.seed,
    )
    data = DiffusionData(Path(args.photos), Path(args.labels), args.autoencoder)
    print(json.dumps(train(options, first, data, run_settings_from(args))))
    return 0
