"""`facegeom train pix2vertex`: train the networks of Sela et al. 2017.

The loss is the L1 error of the maps plus the L1 error of the normals (equation 1). The depth has an additional term,
see `facegeom.training.maps.losses.relief_l1`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.errors import FacegeomError
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.facevision import channels_last
from facegeom.networks.pix2vertex import Pix2VertexConfig, Pix2VertexNetworks
from facegeom.networks.weights import load_weights, save_weights
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
from facegeom.training.maps.losses import masked_l1, normal_l1, relief_l1
from facegeom.training.maps.validation import MapValidation

NETWORKS = {
    "both": ("geometry", "correspondence"),
    "geometry": ("geometry",),
    "correspondence": ("correspondence",),
    "joint": ("joint",),
}

SYNTHETIC_ONLY = MixOptions(reshaped=0.0, turned=0.0, synthetic=1.0, faceless=0.0)
"""Distribution with synthetic faces only, as in the paper. Their textures and backgrounds are from photos."""

STEP_SEED = 1_000_003  # factor of the run seed in the dropout seed of each step


@dataclass(frozen=True)
class Pix2VertexOptions:
    """Options of one training run. Maps are in units of 100 mm, so that most values are in [-1, 1]."""

    network: str = "both"  # key of `NETWORKS`
    size: int = 128  # side length of the square crops, pixels
    width: int = 24  # number of channels of the first level; 64 in the paper
    batch: int = 24
    images: int = 300_000  # number of samples in the run; the learning rate reaches its minimum at the end
    learning_rate: float = 1.5e-3  # largest learning rate, equal to that of FaceVision
    warmup: int = 300  # number of steps of the linear warm-up of the learning rate
    l1_weight: float = 100.0  # weight of the L1 loss, lambda_L1 of the paper
    normal_weight: float = 10.0  # weight of the normal loss, lambda_N of the paper
    relief_weight: float = 100.0  # weight of `relief_l1` of the depth; not in the paper
    mask_weight: float = 50.0  # weight of the cross-entropy of the mask, which is not in the paper; 10 is too small
    clip: float = 100.0  # largest gradient norm of one network; typical norms in the first steps: 20 to 80
    average_decay: float = 0.999  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 12_000  # number of samples between two validations
    synthetic: bool = True  # whether to train on synthetic faces, too
    translator: str = ""  # weight file of `facegeom train translate`, applied to synthetic faces; empty for none
    mix: MixOptions = field(default_factory=MixOptions)


class Pix2VertexTrainer(NetworkTrainer):
    """Trainer of the geometry and correspondence networks; the dropout depends only on the run seed and the step.

    Parameters
    ----------
    options : Pix2VertexOptions
    device : torch.device
    """

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
        """Load the weights of a file into the networks.

        Parameters
        ----------
        path : Path
            Weight file.

        Raises
        ------
        WeightsError
            If the file cannot be read.
        FacegeomError
            If the file contains networks with another configuration.
        """
        config, weights = load_weights("pix2vertex", Pix2VertexConfig, path)
        if config != self.networks.config:
            raise FacegeomError(f"{path.name} contains networks with {config}, expected {self.networks.config}")
        self.networks.load_state_dict(weights)
        self.averaged.load_state_dict(weights)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights of all networks to one file in the folder of a run."""
        save_weights(folder / "pix2vertex.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(
        self, image: Tensor, target: Tensor, mask: Tensor, position: Tensor, spacing: Tensor
    ) -> dict[str, float]:
        """Make one training step on the tensors of `as_position_tensors`, batched: b samples.

        Parameters
        ----------
        image : (b, 3, S, S) uint8 tensor
        target : (b, 4, S, S) tensor, in 100 mm
            True depth and correspondence.
        mask : (b, 1, S, S) tensor
            True mask.
        position : (b, 2, S, S) tensor, in 100 mm
            Camera-frame x and y of every pixel.
        spacing : (b,) tensor, in 100 mm
            Distance between neighbouring pixels.

        Returns
        -------
        dict of str to float
            Loss terms and gradient norms.
        """
        o = self.options
        torch.manual_seed(o.seed * STEP_SEED + self.step)
        set_learning_rate(self.optimizer, o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup))
        target, mask, position, spacing = (t.to(self.device) for t in (target, mask, position, spacing))
        self.networks.train()
        with mixed_precision(self.device):
            out = self.networks(network_input(image, self.device))
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
        self.end_step(self.averaged, self.networks)
        return {name: float(value.detach()) for name, value in (terms | norms).items()}

    def _terms(
        self, name: str, out: Tensor, target: Tensor, mask: Tensor, position: Tensor, spacing: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted loss terms of one network: name -> scalar.

        A joint network has all terms of both networks, but only one mask term.
        """
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
    options: Pix2VertexOptions, sources: Sources, settings: RunSettings, *, initial: Path | None = None
) -> dict[str, float]:
    """Train the networks, or resume from the checkpoint in `settings.out`.

    Parameters
    ----------
    options : Pix2VertexOptions
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
    Writes the files of `run_training`; the weights are in pix2vertex.safetensors.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    if options.translator:
        sources = replace(sources, translator=Path(options.translator))
    data = load_training_data(sources, options.mix, synthetic=options.synthetic)
    trainer = Pix2VertexTrainer(options, check_device(settings.device))
    if not trainer.resume(settings.out) and initial is not None:
        trainer.start_from(initial)

    def stream(start: int, end: int) -> SampleStream:
        return SampleStream(data.training, options.size, options.seed, start, end, positions=True)

    validation = MapValidation(data.validation, options.size, trainer.averaged.maps, trainer.device, surface=True)
    return run_training(trainer, options, stream, validation, settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train pix2vertex` to a parser."""
    defaults = Pix2VertexOptions()
    add_photo_training(parser, defaults, "runs/pix2vertex")
    add_initial_weights(parser)
    parser.add_argument(
        "--network",
        choices=sorted(NETWORKS),
        default=defaults.network,
        help="networks to train: both separate networks, one of the two, or one joint network (default: %(default)s)",
    )
    parser.add_argument(
        "--width",
        type=int,
        default=defaults.width,
        help="number of channels of the first level; 64 in the paper (default: %(default)s)",
    )
    parser.add_argument(
        "--no-normals", dest="normals", action="store_false", help="train without the L1 loss of the normals"
    )
    parser.add_argument(
        "--relief-weight",
        type=float,
        default=defaults.relief_weight,
        help="weight of the L1 loss of the depth minus its mean error; 0 in the paper (default: %(default)s)",
    )
    samples = parser.add_mutually_exclusive_group()
    samples.add_argument("--synthetic-only", action="store_true", help="train on synthetic faces only, as in the paper")
    add_no_synthetic(samples)
    add_reshaped(parser)
    parser.add_argument(
        "--translator",
        default="",
        help="weight file of `facegeom train translate`, applied to synthetic faces (default: none)",
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, "pix2vertex")


def run(args: argparse.Namespace) -> int:
    """Train the network and print the values of the last validation as JSON; return the exit code."""
    options = options_from(
        args,
        Pix2VertexOptions,
        normal_weight=Pix2VertexOptions.normal_weight if args.normals else 0.0,
        mix=SYNTHETIC_ONLY if args.synthetic_only else MixOptions(),
    )
    return run_and_print(train, options, sources_from(args), args)
