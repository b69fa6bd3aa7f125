"""`facegeom train facevision`: trains FaceVision-GAN's generator against its two discriminators."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.devices import check_device
from facegeom.networks.facevision import ZERO_DEPTH_OFFSET, FaceVisionConfig, FaceVisionGenerator, channels_last
from facegeom.networks.patchgan import PatchDiscriminator
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.data.photo_data import Sources, load_training_data
from facegeom.training.data.samples import MixOptions, SampleStream
from facegeom.training.maps.loop import (
    Learner,
    Place,
    add_run_arguments,
    as_photo,
    learning_factor,
    options_of,
    place_of,
    run_training,
    sources_of,
    update_average,
)
from facegeom.training.maps.losses import adversarial, gradient_l1, masked_l1, relief_l1
from facegeom.training.maps.validation import Validation


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
    relief_weight: float = 4.0  # times l1_weight: the depth's L1 but for the face's distance; not with "zero"
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


class Trainer(Learner):
    """Generator, discriminators, their optimisers and the averaged weights; everything that a checkpoint holds."""

    options: TrainOptions
    parts = ("generator", "averaged", "discriminators", "generator_optimizer", "discriminator_optimizer")

    def __init__(self, options: TrainOptions, device: torch.device) -> None:
        super().__init__(options, device)
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

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights."""
        save_weights(folder / "facevision.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, image: Tensor, target: Tensor, mask: Tensor) -> dict[str, float]:
        """One step on image (b, 3, S, S) uint8, target (b, 4, S, S), mask (b, 1, S, S); returns the loss terms."""
        o = self.options
        self._set_learning_rate()
        photo = as_photo(image, self.device)
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
            update_average(self.averaged, self.generator, self.step, o.average_decay, o.average_every)
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
        relief = relief_l1(out[:, :1], target[:, :1], mask)
        correspondence = masked_l1(out[:, 1:4], target[:, 1:], mask)
        gradient = gradient_l1(out[:, :1], target[:, :1], mask) + gradient_l1(out[:, 1:4], target[:, 1:], mask)
        return {
            "depth": o.l1_weight * depth,
            "relief": o.l1_weight * o.relief_weight * relief,
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
        factor = learning_factor(self.step, o, o.warmup)
        for optimizer, rate in (
            (self.generator_optimizer, o.learning_rate),
            (self.discriminator_optimizer, o.discriminator_learning_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor


def train(options: TrainOptions, sources: Sources, place: Place, *, initial: Path | None = None) -> dict[str, float]:
    """Train until `options.images` are seen or the minutes are over; resume if a checkpoint is there.

    Writes to `place.out` what `run_training` does, the averaged weights as facevision.safetensors. Returns the last
    validation.
    """
    place.out.mkdir(parents=True, exist_ok=True)
    data = load_training_data(sources, options.mix, synthetic=options.synthetic)
    trainer = Trainer(options, check_device(place.device))
    if not trainer.resume(place.out) and initial is not None:
        _, weights = load_weights("facevision", FaceVisionConfig, initial)
        trainer.generator.load_state_dict(weights)
        trainer.averaged.load_state_dict(weights)

    def stream(start: int, end: int) -> SampleStream:
        return SampleStream(data.training, options.size, options.seed, start, end)

    validation = Validation(data.validation, options.size, trainer.averaged.maps, trainer.device)
    return run_training(trainer, options, stream, validation, place)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train facevision`."""
    defaults = TrainOptions()
    add_run_arguments(parser, defaults, "runs/facevision")
    parser.add_argument("--initial", type=Path, help="weight file to start from")
    parser.add_argument("--l1-weight", type=float, default=defaults.l1_weight)
    parser.add_argument("--relief-weight", type=float, default=defaults.relief_weight)
    parser.add_argument("--gradient-weight", type=float, default=defaults.gradient_weight)
    parser.add_argument("--adversarial-weight", type=float, default=defaults.adversarial_weight)
    parser.add_argument("--foreground", choices=("mask", "zero"), default=defaults.foreground)
    parser.add_argument("--no-synthetic", dest="synthetic", action="store_false")


def run(args: argparse.Namespace) -> int:
    """Train and print the last validation as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = options_of(args, TrainOptions)
    measured = train(options, sources_of(args), place_of(args), initial=args.initial)
    print(json.dumps(measured))
    return 0
