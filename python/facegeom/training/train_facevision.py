"""`facegeom train facevision`: trains FaceVision-GAN's generator against its two discriminators."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.files import write_atomically
from facegeom.networks.facevision import (
    MAP_UNIT_MM,
    ZERO_DEPTH_OFFSET,
    FaceVisionConfig,
    FaceVisionGenerator,
    channels_last,
    depth_and_probability,
)
from facegeom.networks.patchgan import PatchDiscriminator
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.labels import Labels, find_photos
from facegeom.training.losses import adversarial, gradient_l1, masked_l1
from facegeom.training.samples import FaceSamples, MixOptions, PhotoStore, SampleStream, as_tensors
from facegeom.training.split import split_names

log = logging.getLogger("facegeom")

VALIDATION_FACES = 200  # photos measured after every epoch


@dataclass(frozen=True)
class TrainOptions:
    """One training run. The loss weights are those of equation 1; the paper states none."""

    size: int = 128
    batch: int = 24
    images: int = 300_000  # the learning rate falls to zero over these
    learning_rate: float = 1.5e-3
    discriminator_learning_rate: float = 2e-4
    warmup: int = 300  # steps
    l1_weight: float = 1.0  # lambda_1: |error| in 100 mm
    gradient_weight: float = 2.0  # lambda_g: neighbouring pixels differ little, so the term is small by itself
    mask_weight: float = 0.1
    adversarial_weight: float = 0.002  # pix2pix weighs L1 100 to 1; errors here are a tenth of an image's
    adversarial_every: int = 6  # steps between adversarial ones: the discriminators cost as much as the generator
    discriminator_width: int = 32
    average_decay: float = 0.999  # a step, of the weights that are evaluated and shipped
    average_every: int = 4  # steps between updates of the average
    seed: int = 0
    epoch_images: int = 12_000  # validation and a preview sheet after each
    synthetic: bool = True
    foreground: str = "mask"
    mix: MixOptions = field(default_factory=MixOptions)


class Trainer:
    """Generator, discriminators, their optimisers and the averaged weights; everything that a checkpoint holds."""

    def __init__(self, options: TrainOptions, device: torch.device) -> None:
        torch.manual_seed(options.seed)
        self.options, self.device, self.step = options, device, 0
        config = FaceVisionConfig(size=options.size, foreground=options.foreground)
        self.generator = channels_last(FaceVisionGenerator(config).to(device))
        self.averaged = channels_last(FaceVisionGenerator(config).to(device)).eval()
        self.averaged.load_state_dict(self.generator.state_dict())
        self.discriminators = nn.ModuleDict(
            {
                "depth": PatchDiscriminator(1, options.discriminator_width),
                "correspondence": PatchDiscriminator(3, options.discriminator_width),
            }
        ).to(device)
        channels_last(self.discriminators)
        self.generator_optimizer = torch.optim.AdamW(
            self.generator.parameters(), options.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminators.parameters(), options.discriminator_learning_rate, betas=(0.5, 0.999)
        )

    def state(self) -> dict[str, Any]:
        """Everything needed to go on exactly."""
        return {
            "options": dataclasses.asdict(self.options),
            "step": self.step,
            "generator": self.generator.state_dict(),
            "averaged": self.averaged.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.step = state["step"]
        for name in ("generator", "averaged", "discriminators", "generator_optimizer", "discriminator_optimizer"):
            getattr(self, name).load_state_dict(state[name])

    def train_step(self, image: Tensor, target: Tensor, mask: Tensor) -> dict[str, float]:
        """One step on image (b, 3, S, S) uint8, target (b, 4, S, S), mask (b, 1, S, S); returns the loss terms."""
        o = self.options
        self._set_learning_rate()
        photo = image.to(self.device).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        target, mask = target.to(self.device), mask.to(self.device)
        self.generator.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            out = self.generator(photo)
        out = out.float()
        terms = self._map_terms(out, target, mask)
        loss = sum(terms.values())
        scores: dict[str, float] = {}
        play = o.adversarial_weight > 0 and self.step % o.adversarial_every == 0
        if play:
            fake, real = self._shown(out, mask), self._shown(self._truth(target, mask), mask)
            terms["adversarial"] = self._fool(photo, fake)
            loss = loss + o.adversarial_weight * o.adversarial_every * terms["adversarial"]
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[union-attr]
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), 5.0)
        self.generator_optimizer.step()
        if play:
            scores = self._judge(photo, real, {k: v.detach() for k, v in fake.items()})
        if self.step % o.average_every == 0:
            self._average()
        self.step += 1
        return {name: float(term.detach()) for name, term in terms.items()} | scores | {"gradient_norm": float(norm)}

    def _map_terms(self, out: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        o = self.options
        if o.foreground == "zero":
            everywhere = torch.ones_like(mask)
            maps = out[:, :4]
            truth = self._truth(target, mask)[:, :4]
            l1 = masked_l1(maps, truth, everywhere)
            gradient = gradient_l1(maps, truth, everywhere)
            return {"l1": o.l1_weight * 4 * l1, "gradient": o.gradient_weight * 4 * gradient}
        depth = masked_l1(out[:, :1], target[:, :1], mask)
        correspondence = masked_l1(out[:, 1:4], target[:, 1:], mask)
        gradient = gradient_l1(out[:, :1], target[:, :1], mask) + gradient_l1(out[:, 1:4], target[:, 1:], mask)
        return {
            "depth": o.l1_weight * depth,
            "correspondence": 2 * o.l1_weight * correspondence,
            "gradient": o.gradient_weight * gradient,
            "mask": o.mask_weight * functional.binary_cross_entropy_with_logits(out[:, 4:], mask),
        }

    def _truth(self, target: Tensor, mask: Tensor) -> Tensor:
        offset = ZERO_DEPTH_OFFSET if self.options.foreground == "zero" else 0.0
        return torch.cat([(target[:, :1] + offset) * mask, target[:, 1:], mask], 1)

    def _shown(self, out: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What each discriminator sees of (b, 5, S, S) maps: inside the true mask, since outside nothing is meant."""
        within = mask if self.options.foreground == "mask" else torch.ones_like(mask)
        return {"depth": out[:, :1] * within, "correspondence": out[:, 1:4] * within}

    def _fool(self, photo: Tensor, fake: dict[str, Tensor]) -> Tensor:
        self.discriminators.requires_grad_(False)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = [self.discriminators[task](torch.cat([photo, maps], 1)) for task, maps in fake.items()]
        self.discriminators.requires_grad_(True)
        return sum((adversarial(logit.float(), True) for logit in logits), torch.zeros((), device=self.device))

    def _judge(self, photo: Tensor, real: dict[str, Tensor], fake: dict[str, Tensor]) -> dict[str, float]:
        """Train both discriminators on their own log losses; return the shares of patches that they get right."""
        loss = torch.zeros((), device=self.device)
        scores = {}
        for task, discriminator in self.discriminators.items():
            with torch.autocast(self.device.type, torch.bfloat16):
                both = discriminator(torch.cat([torch.cat([photo, real[task]], 1), torch.cat([photo, fake[task]], 1)]))
            on_real, on_fake = both.float().chunk(2)
            loss = loss + (adversarial(on_real, True) + adversarial(on_fake, False)) / 2
            scores[f"{task}_real"] = float((on_real > 0).float().mean())
            scores[f"{task}_fake"] = float((on_fake < 0).float().mean())
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.discriminator_optimizer.step()
        return scores | {"discriminator": float(loss.detach())}

    def _set_learning_rate(self) -> None:
        o = self.options
        total = max(1, o.images // o.batch)
        factor = min(1.0, (self.step + 1) / o.warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / total)))
        for optimizer, rate in (
            (self.generator_optimizer, o.learning_rate),
            (self.discriminator_optimizer, o.discriminator_learning_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * max(factor, 1e-3)

    @torch.no_grad()
    def _average(self) -> None:
        every = self.options.average_every
        decay = min(self.options.average_decay**every, (self.step + 1) / (self.step + 10 * every))
        averaged, state = self.averaged.state_dict(), self.generator.state_dict()
        for name, value in averaged.items():
            if value.is_floating_point():
                value.lerp_(state[name], 1 - decay)
            else:
                value.copy_(state[name])


class Validation:
    """Fixed samples: every validation photo as it is and turned to a fixed yaw."""

    def __init__(self, samples: FaceSamples, size: int) -> None:
        count = min(VALIDATION_FACES, len(samples.rows))
        yaws = np.random.default_rng(0).uniform(30, 85, count)
        self.sets = {
            "photo": [as_tensors(samples.evaluation(i, size)) for i in range(count)],
            "turned": [as_tensors(samples.evaluation(i, size, float(yaws[i]))) for i in range(count)],
        }

    @torch.no_grad()
    def measure(self, generator: FaceVisionGenerator, device: torch.device) -> dict[str, float]:
        """Mean over faces: depth error in percent of the face's range (mean shift removed), mm, IoU."""
        result: dict[str, float] = {}
        for name, items in self.sets.items():
            rows = []
            for start in range(0, len(items), 25):
                image, target, mask = (torch.stack(t).to(device) for t in zip(*items[start : start + 25], strict=True))
                photo = image.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
                with torch.autocast(device.type, torch.bfloat16):
                    out = generator(photo)
                out = out.float()
                depth, probability = depth_and_probability(out, generator.config)
                rows += _map_errors(depth, out[:, 1:4], probability > 0.5, target, mask[:, 0] > 0)
            depth_error, correspondence, iou = np.nanmean(rows, axis=0)
            result |= {f"{name}_depth_percent": depth_error, f"{name}_mm": correspondence, f"{name}_iou": iou}
        return {name: round(float(value), 4) for name, value in result.items()}

    def sheet(self, generator: FaceVisionGenerator, device: torch.device, count: int = 8) -> np.ndarray:
        """A picture: photo, depth and correspondence, predicted and true, of the first faces of both sets."""
        lines = []
        for items in self.sets.values():
            image, target, mask = (torch.stack(t).to(device) for t in zip(*items[:count], strict=True))
            photo = image.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                out = generator(photo).float()
            depth, probability = depth_and_probability(out, generator.config)
            seen = (probability > 0.5).float()
            cells = [image.float() / 255]
            for d, c, m in ((depth, out[:, 1:4], seen), (target[:, 0], target[:, 1:], mask[:, 0])):
                cells += [((d + 1) / 2 * m)[:, None].repeat(1, 3, 1, 1), (c / 2 + 0.5) * m[:, None]]
            lines.append(torch.cat([torch.cat(list(cell), 2) for cell in cells], 1))
        sheet = torch.cat(lines, 1).clamp(0, 1).mul(255).byte().permute(1, 2, 0)
        return np.asarray(sheet.cpu().numpy())


def _map_errors(depth: Tensor, corr: Tensor, seen: Tensor, target: Tensor, mask: Tensor) -> list[list[float]]:
    rows = []
    for d, c, s, t, m in zip(depth, corr, seen, target, mask, strict=True):
        both = s & m
        if not both.any():
            rows.append([float("nan"), float("nan"), 0.0])
            continue
        error = d[both] - t[0][both]
        span = t[0][m].max() - t[0][m].min()
        rows.append(
            [
                float((error - error.mean()).abs().mean() / span * 100),
                float((c[:, both] - t[1:, both]).norm(dim=0).mean() * MAP_UNIT_MM),
                float(both.sum() / (s | m).sum()),
            ]
        )
    return rows


def train(
    options: TrainOptions,
    photos: Path,
    labels_file: Path,
    out: Path,
    *,
    device: str,
    minutes: float,
    workers: int,
    texture_model: Path | None = None,
    initial: Path | None = None,
) -> dict[str, float]:
    """Train until `options.images` are seen or `minutes` are over; resume from `out` if a checkpoint is there.

    Writes to `out`: checkpoint.pt, facevision.safetensors (the averaged weights), steps.jsonl, TensorBoard's files and
    one preview sheet an epoch. Returns the last validation.
    """
    from torch.utils.tensorboard import SummaryWriter

    cv2.setNumThreads(0)  # OpenCV's threads do not survive the fork of the loader's workers
    out.mkdir(parents=True, exist_ok=True)
    run_device = torch.device(device)
    model = load_face_model()
    labels = Labels.load(labels_file)
    found = find_photos(photos)
    split = split_names([str(n) for n in labels.names])
    parts = {}
    for name, rows in (("training", split.training), ("validation", split.validation)):
        rows = np.intersect1d(rows, labels.kept)
        if not len(rows):
            raise FacegeomError(f"the {len(labels)} labels leave no {name} photos: the split needs more than 843")
        parts[name] = rows, PhotoStore(found, [str(n) for n in labels.names[rows]])
    synthetic = None
    if options.synthetic:
        from facegeom.training.synthetic import SyntheticFaces

        if texture_model is None:
            raise FacegeomError("synthetic faces need --texture-model; make one, or give --no-synthetic")
        synthetic = SyntheticFaces(model, options.mix, texture_model).draw
    rows, store = parts["training"]
    samples = FaceSamples(model, store, labels, rows, options.mix, synthetic)
    validation = Validation(FaceSamples(model, parts["validation"][1], labels, parts["validation"][0]), options.size)

    trainer = Trainer(options, run_device)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=run_device, weights_only=True)
        if state["options"] != dataclasses.asdict(options):
            raise FacegeomError(f"{checkpoint} was made with other options; give them again or another --out")
        trainer.load(state)
    elif initial is not None:
        _, weights = load_weights("facevision", FaceVisionConfig, initial)
        trainer.generator.load_state_dict(weights)
        trainer.averaged.load_state_dict(weights)

    deadline = time.monotonic() + 60 * minutes
    last_save = time.monotonic()
    total = options.images // options.batch
    epoch_steps = max(1, options.epoch_images // options.batch)
    loader = DataLoader(
        SampleStream(samples, options.size, options.seed, trainer.step * options.batch, total * options.batch),
        options.batch,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_quiet_worker,
    )
    measured: dict[str, float] = {}
    board = SummaryWriter(str(out / "tensorboard"))
    with open(out / "steps.jsonl", "a") as lines:

        def validate() -> None:
            nonlocal measured
            measured = validation.measure(trainer.averaged, run_device)
            images = trainer.step * options.batch
            lines.write(json.dumps({"step": trainer.step, "images": images, **measured}) + "\n")
            lines.flush()
            for name, value in measured.items():
                board.add_scalar(f"validation/{name}", value, trainer.step)
            sheet = validation.sheet(trainer.averaged, run_device)
            cv2.imwrite(str(out / f"preview_{images // 1000:05d}k.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
            log.info("%d images: %s", images, measured)
            save()

        def save() -> None:
            write_atomically(checkpoint, lambda path: torch.save(trainer.state(), path))
            save_weights(out / "facevision.safetensors", trainer.averaged.config, trainer.averaged.state_dict())

        for image, target, mask in loader:
            terms = trainer.train_step(image, target, mask)
            lines.write(json.dumps({"step": trainer.step, "time": round(time.time(), 2), **terms}) + "\n")
            if trainer.step % 20 == 0:
                for name, value in terms.items():
                    board.add_scalar(f"training/{name}", value, trainer.step)
            if not math.isfinite(sum(terms.values())):
                raise FacegeomError(f"the loss is not finite at step {trainer.step}; resume from {checkpoint}")
            if trainer.step % epoch_steps == 0:
                validate()
                last_save = time.monotonic()
            elif time.monotonic() - last_save > 300:
                save()
                last_save = time.monotonic()
            if time.monotonic() > deadline:
                break
        if trainer.step % epoch_steps:
            validate()
    board.close()
    return measured


def _quiet_worker(_: int) -> None:
    torch.set_num_threads(1)
    os.nice(5)  # the trainer waits for nothing but samples; its threads wait for each other


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train facevision`."""
    defaults = TrainOptions()
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("--labels", required=True, help="file of `facegeom prepare labels`")
    parser.add_argument("--out", "-o", default="runs/facevision", help="folder of the run (default: %(default)s)")
    parser.add_argument("--texture-model", type=Path, help="file of `facegeom prepare texture-model`")
    parser.add_argument("--initial", type=Path, help="weight file to start from")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=110)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=defaults.size)
    parser.add_argument("--batch", type=int, default=defaults.batch)
    parser.add_argument("--images", type=int, default=defaults.images)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--l1-weight", type=float, default=defaults.l1_weight)
    parser.add_argument("--gradient-weight", type=float, default=defaults.gradient_weight)
    parser.add_argument("--adversarial-weight", type=float, default=defaults.adversarial_weight)
    parser.add_argument("--foreground", choices=("mask", "zero"), default=defaults.foreground)
    parser.add_argument("--no-synthetic", dest="synthetic", action="store_false")


def run(args: argparse.Namespace) -> int:
    """Train and print the last validation as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = TrainOptions(
        size=args.size,
        batch=args.batch,
        images=args.images,
        seed=args.seed,
        learning_rate=args.learning_rate,
        l1_weight=args.l1_weight,
        gradient_weight=args.gradient_weight,
        adversarial_weight=args.adversarial_weight,
        foreground=args.foreground,
        synthetic=args.synthetic,
    )
    measured = train(
        options,
        Path(args.photos),
        Path(args.labels),
        Path(args.out),
        device=args.device,
        minutes=args.minutes,
        workers=args.workers,
        texture_model=args.texture_model,
        initial=args.initial,
    )
    print(json.dumps(measured))
    return 0
