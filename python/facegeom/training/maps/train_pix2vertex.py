"""`facegeom train pix2vertex`: trains the networks of Sela et al. 2017 by L1 and the normals' L1 (equation 1).

The depth has a third term, see `losses.relief_l1`.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.errors import FacegeomError
from facegeom.networks.devices import check_device
from facegeom.networks.facevision import channels_last
from facegeom.networks.pix2vertex import Pix2VertexConfig, Pix2VertexNetworks
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
from facegeom.training.maps.losses import masked_l1, normal_l1, relief_l1
from facegeom.training.maps.validation import Validation

NETWORKS = {
    "both": ("geometry", "correspondence"),
    "geometry": ("geometry",),
    "correspondence": ("correspondence",),
    "joint": ("joint",),
}

SYNTHETIC_ONLY = MixOptions(turned=0.0, synthetic=1.0, faceless=0.0)
"""Renders of model faces alone, as the paper trained. Their texture and backgrounds still come from photos."""

STEP_SEED = 1_000_003  # between the dropout of one seed's run and the next's


@dataclass(frozen=True)
class Pix2VertexOptions:
    """One training run. Maps are in 100 mm, so that errors have the size of those of the paper's images in [-1, 1]."""

    network: str = "both"  # key of `NETWORKS`
    size: int = 128
    width: int = 24
    batch: int = 24
    images: int = 300_000  # the learning rate falls to zero over these
    learning_rate: float = 1.5e-3  # as train_facevision's
    warmup: int = 300  # steps
    l1_weight: float = 100.0  # lambda_L1 of the paper
    normal_weight: float = 10.0  # lambda_N of the paper
    relief_weight: float = (
        100.0  # z's L1 but for the face's distance; not in the paper, the most useful of facevision's
    )
    mask_weight: float = 50.0  # cross-entropy and L1 end near 0.03 both; the paper has no mask. 10 learns it late
    clip: float = 100.0  # norm of one network's gradient, 20 to 80 in the first steps: stops outliers only
    average_decay: float = 0.999  # a step, of the weights that are evaluated and shipped
    average_every: int = 4  # steps between updates of the average
    seed: int = 0
    epoch_images: int = 12_000  # validation and a preview sheet after each
    synthetic: bool = True
    translator: str = ""  # weight file of `facegeom train translate`
    mix: MixOptions = field(default_factory=MixOptions)


class Trainer(Learner):
    """The networks, their optimiser and the averaged weights; dropout is drawn by the number of the step."""

    options: Pix2VertexOptions
    parts = ("networks", "averaged", "optimizer")

    def __init__(self, options: Pix2VertexOptions, device: torch.device) -> None:
        super().__init__(options, device)
        config = Pix2VertexConfig(options.size, options.width, NETWORKS[options.network])
        self.networks = channels_last(Pix2VertexNetworks(config).to(device))
        self.averaged = channels_last(Pix2VertexNetworks(config).to(device)).eval()
        self.averaged.load_state_dict(self.networks.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), options.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )

    def start_from(self, path: Path) -> None:
        """Begin with the weights of a file.

        Raises
        ------
        WeightsError, FacegeomError
            When the file cannot be read, or is of other networks than these.
        """
        config, weights = load_weights("pix2vertex", Pix2VertexConfig, path)
        if config != self.networks.config:
            raise FacegeomError(f"{path.name} holds networks of {config}, not of {self.networks.config}")
        self.networks.load_state_dict(weights)
        self.averaged.load_state_dict(weights)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights of all networks to one file."""
        save_weights(folder / "pix2vertex.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(
        self, image: Tensor, target: Tensor, mask: Tensor, position: Tensor, spacing: Tensor
    ) -> dict[str, float]:
        """Take one step on what `as_placed_tensors` makes, stacked to b; returns the loss terms."""
        o = self.options
        torch.manual_seed(o.seed * STEP_SEED + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = o.learning_rate * learning_factor(self.step, o, o.warmup)
        target, mask, position, spacing = (t.to(self.device) for t in (target, mask, position, spacing))
        self.networks.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            out = self.networks(as_photo(image, self.device))
        terms: dict[str, Tensor] = {}
        for name, maps in out.items():
            terms |= self._terms(name, maps.float(), target, mask, position, spacing)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        norms = {
            f"{name}_gradient_norm": nn.utils.clip_grad_norm_(network.parameters(), o.clip)
            for name, network in self.networks.networks.items()
        }
        self.optimizer.step()
        if self.step % o.average_every == 0:
            update_average(self.averaged, self.networks, self.step, o.average_decay, o.average_every)
        self.step += 1
        return {name: float(value.detach()) for name, value in (terms | norms).items()}

    def _terms(
        self, name: str, out: Tensor, target: Tensor, mask: Tensor, position: Tensor, spacing: Tensor
    ) -> dict[str, Tensor]:
        """The losses of one network; a joint one has those of the two separate ones, and one mask."""
        o = self.options
        terms = {f"{name}_mask": o.mask_weight * functional.binary_cross_entropy_with_logits(out[:, -1:], mask)}
        if name in ("geometry", "joint"):
            truth = torch.cat([position, target[:, :1]], 1)
            terms["geometry_l1"] = o.l1_weight * masked_l1(out[:, :3], truth, mask)
            if o.relief_weight > 0:
                terms["relief"] = o.relief_weight * relief_l1(out[:, 2:3], target[:, :1], mask)
            if o.normal_weight > 0:
                terms["normals"] = o.normal_weight * normal_l1(out[:, 2:3], target[:, :1], mask, spacing)
        if name in ("correspondence", "joint"):
            terms["correspondence_l1"] = o.l1_weight * masked_l1(out[:, -4:-1], target[:, 1:], mask)
        return terms


def train(
    options: Pix2VertexOptions, sources: Sources, place: Place, *, initial: Path | None = None
) -> dict[str, float]:
    """Train until `options.images` are seen or the minutes are over; resume if a checkpoint is there.

    Writes to `place.out` what `run_training` does, the averaged weights as pix2vertex.safetensors. Returns the last
    validation.
    """
    place.out.mkdir(parents=True, exist_ok=True)
    if options.translator:
        sources = replace(sources, translator=Path(options.translator))
    data = load_training_data(sources, options.mix, synthetic=options.synthetic)
    trainer = Trainer(options, check_device(place.device))
    if not trainer.resume(place.out) and initial is not None:
        trainer.start_from(initial)

    def stream(start: int, end: int) -> SampleStream:
        return SampleStream(data.training, options.size, options.seed, start, end, placed=True)

    validation = Validation(data.validation, options.size, trainer.averaged.maps, trainer.device, surface=True)
    return run_training(trainer, options, stream, validation, place)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train pix2vertex`."""
    defaults = Pix2VertexOptions()
    add_run_arguments(parser, defaults, "runs/pix2vertex")
    parser.add_argument("--initial", type=Path, help="weight file to start from")
    parser.add_argument(
        "--network",
        choices=sorted(NETWORKS),
        default=defaults.network,
        help="separate networks (both, or one of them), or one joint network (default: %(default)s)",
    )
    parser.add_argument("--width", type=int, default=defaults.width, help="channels of the first level; the paper: 64")
    parser.add_argument("--no-normals", dest="normals", action="store_false", help="without the normals' L1")
    parser.add_argument("--relief-weight", type=float, default=defaults.relief_weight, help="0: as in the paper")
    samples = parser.add_mutually_exclusive_group()
    samples.add_argument("--synthetic-only", action="store_true", help="renders of model faces alone, as in the paper")
    samples.add_argument("--no-synthetic", dest="synthetic", action="store_false", help="photos alone, turned or not")
    parser.add_argument("--translator", default="", help="file of `facegeom train translate` that renders go through")


def run(args: argparse.Namespace) -> int:
    """Train and print the last validation as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = options_of(
        args,
        Pix2VertexOptions,
        normal_weight=Pix2VertexOptions.normal_weight if args.normals else 0.0,
        mix=SYNTHETIC_ONLY if args.synthetic_only else MixOptions(),
    )
    measured = train(options, sources_of(args), place_of(args), initial=args.initial)
    print(json.dumps(measured))
    return 0
