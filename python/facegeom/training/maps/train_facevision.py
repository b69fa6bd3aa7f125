"""`facegeom train facevision`: train the generator of FaceVision-GAN and its two discriminators."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom._internal import check
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.facevision import FOLD, ZERO_DEPTH_OFFSET, FaceVisionConfig, FaceVisionGenerator, channels_last
from facegeom.networks.patchgan import PatchDiscriminator
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.adversary import Balance
from facegeom.training.arguments import (
    add_initial_weights,
    add_no_synthetic,
    add_photo_training,
    add_reshaped,
    options_from,
    run_and_print,
    run_files,
    sources_from,
)
from facegeom.training.data.photo_data import Sources, load_training_data
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.samples import SampleStream
from facegeom.training.loop import (
    NetworkTrainer,
    RunSettings,
    network_input,
    run_training,
    set_learning_rate,
    warmup_cosine_factor,
)
from facegeom.training.maps.losses import adversarial, gradient_l1, masked_l1, relief_l1
from facegeom.training.maps.validation import MapValidation

MIX = MixOptions(aligned=0.6, extremes=0.25, stretched=0.6, faceless=0.1, synthetic=0.35)
"""Three fifths of the crops are those of the second pass of the pipeline, the others those of the first."""


@dataclass(frozen=True)
class FaceVisionOptions:
    """Options of one training run. The loss weights appear in equation 1 of the paper, which gives no values."""

    size: int = 128  # side length of the square crops, pixels
    fold: int = FOLD  # see `FaceVisionConfig`; that of the initial weights, if there are any
    batch: int = 24
    images: int = 300_000  # number of samples in the run; the learning rate reaches its minimum at the end
    learning_rate: float = 1.5e-3  # largest learning rate of the generator
    discriminator_learning_rate: float = 2e-4
    warmup: int = 300  # number of steps of the linear warm-up of both learning rates
    l1_weight: float = 1.0  # weight lambda_1 of the L1 loss in equation 1, for errors in units of 100 mm
    relief_weight: float = 4.0  # weight of `relief_l1`, relative to l1_weight; not used with foreground "zero"
    gradient_weight: float = 0.3  # weight lambda_g of the gradient loss in equation 1; 2 slows the start down
    mask_weight: float = 0.1  # weight of the cross-entropy of the mask
    adversarial_weight: float = 0.002  # weight of the adversarial loss; pix2pix has L1 : adversarial = 100 : 1
    adversarial_every: int = 6  # interval, in steps, of the adversarial loss, which doubles the time of a step
    discriminator_width: int = 32  # number of channels of the first layer
    average_decay: float = 0.999  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 12_000  # number of samples between two validations
    synthetic: bool = True  # whether to train on synthetic faces, too
    foreground: str = "mask"  # "mask": the network predicts a mask; "zero": zero depth marks the background (the paper)
    mix: MixOptions = MIX


class FaceVisionTrainer(NetworkTrainer):
    """Trainer of the generator, of a discriminator of depth maps, and of a discriminator of correspondence maps.

    Parameters
    ----------
    options : FaceVisionOptions
    device : torch.device
    """

    options: FaceVisionOptions
    parts = ("generator", "averaged", "discriminators", "balance", "generator_optimizer", "discriminator_optimizer")

    def __init__(self, options: FaceVisionOptions, device: torch.device) -> None:
        check.count(options.adversarial_every, "adversarial_every", 1)
        super().__init__(options, device)
        config = FaceVisionConfig(size=options.size, fold=options.fold, foreground=options.foreground)
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
        self.balance = Balance()
        self.generator_optimizer = torch.optim.AdamW(
            self.generator.parameters(), options.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminators.parameters(), options.discriminator_learning_rate, betas=(0.5, 0.999)
        )

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights of the generator to the folder of a run."""
        save_weights(folder / "facevision.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, image: Tensor, target: Tensor, mask: Tensor) -> dict[str, float]:
        """Make one training step on the tensors of `as_tensors`, batched: b samples.

        Parameters
        ----------
        image : (b, 3, S, S) uint8 tensor
        target : (b, 4, S, S) tensor, in 100 mm
            True depth and correspondence.
        mask : (b, 1, S, S) tensor
            True mask.

        Returns
        -------
        dict of str to float
            Loss terms, discriminator scores and the gradient norm.
        """
        o = self.options
        self._set_learning_rate()
        photo = network_input(image, self.device)
        target, mask = target.to(self.device), mask.to(self.device)
        self.generator.train()
        with mixed_precision(self.device):
            out = self.generator(photo)
        out = out.float()
        terms = self._map_terms(out, target, mask)
        loss = sum(terms.values())
        scores: dict[str, float] = {}
        adversarial_step = o.adversarial_weight > 0 and self.step % o.adversarial_every == 0
        if adversarial_step:
            fake = self._discriminator_maps(out, mask)
            real = self._discriminator_maps(self._true_maps(target, mask), mask)
            if self.balance.generator_learns:
                terms["adversarial"] = self._adversarial_loss(photo, fake)
                loss = loss + o.adversarial_weight * o.adversarial_every * terms["adversarial"]
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[union-attr]
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), 5.0)
        self.generator_optimizer.step()
        if adversarial_step:
            scores = self._train_discriminators(photo, real, {k: v.detach() for k, v in fake.items()})
        self.end_step(self.averaged, self.generator)
        return {name: float(term.detach()) for name, term in terms.items()} | scores | {"gradient_norm": float(norm)}

    def _map_terms(self, out: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        o = self.options
        if o.foreground == "zero":
            everywhere = torch.ones_like(mask)
            maps = out[:, :4]
            truth = self._true_maps(target, mask)[:, :4]
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

    def _true_maps(self, target: Tensor, mask: Tensor) -> Tensor:
        offset = ZERO_DEPTH_OFFSET if self.options.foreground == "zero" else 0.0
        return torch.cat([(target[:, :1] + offset) * mask, target[:, 1:], mask], 1)

    def _discriminator_maps(self, out: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Return the input of each discriminator, from maps (b, 5, S, S): zero outside the true mask."""
        within = mask if self.options.foreground == "mask" else torch.ones_like(mask)
        return {"depth": out[:, :1] * within, "correspondence": out[:, 1:4] * within}

    def _adversarial_loss(self, photo: Tensor, fake: dict[str, Tensor]) -> Tensor:
        """Return the adversarial loss of the generator, summed over both discriminators."""
        self.discriminators.requires_grad_(False)
        with mixed_precision(self.device):
            logits = [self.discriminators[task](torch.cat([photo, maps], 1)) for task, maps in fake.items()]
        self.discriminators.requires_grad_(True)
        return sum((adversarial(logit.float(), True) for logit in logits), torch.zeros((), device=self.device))

    def _train_discriminators(
        self, photo: Tensor, real: dict[str, Tensor], fake: dict[str, Tensor]
    ) -> dict[str, float]:
        """Make one step of both discriminators, unless they are too good for the generator.

        Return their loss, their accuracies on patches, and the running accuracy: name -> value.
        """
        loss = torch.zeros((), device=self.device)
        scores = {}
        for task, discriminator in self.discriminators.items():
            with mixed_precision(self.device):
                both = discriminator(torch.cat([torch.cat([photo, real[task]], 1), torch.cat([photo, fake[task]], 1)]))
            on_real, on_fake = both.float().chunk(2)
            loss = loss + (adversarial(on_real, True) + adversarial(on_fake, False)) / 2
            scores[f"{task}_real"] = float((on_real > 0).float().mean())
            scores[f"{task}_fake"] = float((on_fake < 0).float().mean())
        if self.balance.discriminator_learns:
            self.discriminator_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.discriminator_optimizer.step()
        self.balance.observe(sum(scores.values()) / len(scores))
        return scores | {"discriminator": float(loss.detach()), "balance": self.balance.accuracy}

    def _set_learning_rate(self) -> None:
        o = self.options
        factor = warmup_cosine_factor(self.step, o, o.warmup)
        set_learning_rate(self.generator_optimizer, o.learning_rate * factor)
        set_learning_rate(self.discriminator_optimizer, o.discriminator_learning_rate * factor)


def train(
    options: FaceVisionOptions, sources: Sources, settings: RunSettings, *, initial: Path | None = None
) -> dict[str, float]:
    """Train FaceVision-GAN, or resume from the checkpoint in `settings.out`.

    Parameters
    ----------
    options : FaceVisionOptions
    sources : Sources
    settings : RunSettings
    initial : Path, optional
        Weight file with the initial weights of a new run; not used if there is a checkpoint.

    Returns
    -------
    dict of str to float
        Values of the last validation.

    Notes
    -----
    Writes the files of `run_training`; the weights are in facevision.safetensors.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    data = load_training_data(sources, options.mix, synthetic=options.synthetic)
    weights = None
    if initial is not None:
        config, weights = load_weights("facevision", FaceVisionConfig, initial)
        options = replace(options, fold=config.fold)
    trainer = FaceVisionTrainer(options, check_device(settings.device))
    if not trainer.resume(settings.out) and weights is not None:
        trainer.generator.load_state_dict(weights)
        trainer.averaged.load_state_dict(weights)

    def stream(start: int, end: int) -> SampleStream:
        return SampleStream(data.training, options.size, options.seed, start, end)

    validation = MapValidation(data.validation, options.size, trainer.averaged.maps, trainer.device)
    return run_training(trainer, options, stream, validation, settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train facevision` to a parser."""
    defaults = FaceVisionOptions()
    add_photo_training(parser, defaults, "runs/facevision")
    add_initial_weights(parser)
    weights = {
        "l1_weight": "L1 loss of the maps",
        "relief_weight": "L1 loss of the depth minus its mean error, relative to the L1 weight",
        "gradient_weight": "L1 loss of the spatial gradients",
        "adversarial_weight": "adversarial loss",
    }
    for name, text in weights.items():
        default = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=float, default=default, help=f"weight of the {text} (default: %(default)s)")
    parser.add_argument(
        "--adversarial-every",
        type=int,
        default=defaults.adversarial_every,
        help="steps from one adversarial loss to the next (default: %(default)s)",
    )
    parser.add_argument(
        "--foreground",
        choices=("mask", "zero"),
        default=defaults.foreground,
        help="mask: predict a mask; zero: zero depth marks the background, as in the paper (default: %(default)s)",
    )
    add_no_synthetic(parser)
    add_reshaped(parser)


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, "facevision")


def run(args: argparse.Namespace) -> int:
    """Train the network and print the values of the last validation as JSON; return the exit code."""
    return run_and_print(train, options_from(args, FaceVisionOptions), sources_from(args), args)
