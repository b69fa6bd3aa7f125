"""`facegeom train gcn_igan`: trains the generator and the discriminator of Fathallah et al. (2024)."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facegeom.networks.devices import check_device
from facegeom.networks.facevision import channels_last
from facegeom.networks.gcn_igan import GcnIganConfig, GcnIganGenerator
from facegeom.networks.graph import Graph
from facegeom.networks.mesh_discriminator import MeshDiscriminator
from facegeom.training.data.landmark_errors import drawn_errors, kept_errors
from facegeom.training.data.photo_data import Sources
from facegeom.training.data.samples import MixOptions
from facegeom.training.maps.loop import Place, add_run_arguments, options_of, place_of, sources_of
from facegeom.training.meshes.mesh_training import (
    MeshLearner,
    MeshWeights,
    add_mesh_arguments,
    check_drawing,
    mesh_terms,
    stepped_factor,
    train_mesh_network,
)
from facegeom.training.meshes.samples import MESH_MIX, MeshTensors, load_mesh_data

PARTS = ("graph", "discriminator", "minibatch", "smoothing", "identity", "landmarks")
"""What an ablation can leave out."""

LEAST_BATCH = 8
"""With which a discriminator that compares the items of a batch makes sense."""

SMOOTHED, PLAIN = (0.9, 0.01), (1.0, 0.0)
"""The discriminator's targets for true and for made meshes (section 3.2)."""

ERROR_SEED = 1_000_003  # between the landmarks' errors of one seed's run and the next's

TERMS = ("chamfer", "normal", "laplacian", "movement", "edges", "correspondence", "adversarial")


@dataclass(frozen=True)
class GcnIganOptions:
    """One training run; generator and discriminator take one step each in turn."""

    size: int = 113
    batch: int = 8
    images: int = 128_000
    learning_rate: float = 4e-4  # the generator's
    critic_rate: float = 2e-4  # the discriminator's
    drops: tuple[float, ...] = (5 / 16, 1 / 2, 3 / 4)  # shares of the run after which both rates are multiplied
    drop_factor: float = 0.3
    without: tuple[str, ...] = ()  # of `PARTS`
    sampling: str = "far"  # key of `SAMPLINGS`
    share: float = 0.25  # of the sampling's points seen in a step
    guided: float = 1.0  # weight of the correspondence, see `mesh_terms`
    weights: MeshWeights = field(default_factory=MeshWeights)
    adversarial: float = 1e-4  # its gradient on the finest vertices is then a fifth of the chamfer distance's
    average_decay: float = 0.999  # a step, of the weights that are evaluated and shipped
    average_every: int = 4
    seed: int = 0
    epoch_images: int = 4_000
    overfit: int = 0  # above 0: this many photos again and again, which validation then measures
    synthetic: bool = True
    mix: MixOptions = MESH_MIX

    def __post_init__(self) -> None:
        unknown = [part for part in self.without if part not in PARTS]
        if unknown:
            raise ValueError(f"without must name some of {', '.join(PARTS)}, got {unknown[0]!r}")
        if self.size % 4 != 1:
            raise ValueError(f"size must be a multiple of 4 and one more, got {self.size}")
        if self.batch < LEAST_BATCH and not {"discriminator", "minibatch"} & set(self.without):
            raise ValueError(f"minibatch discrimination needs a batch of at least {LEAST_BATCH}, got {self.batch}")
        check_drawing(self.share, self.overfit)


class Trainer(MeshLearner):
    """Both networks, their optimisers and the generator's averaged weights.

    Parameters
    ----------
    options : GcnIganOptions
    device : where the networks are
    errors : (k, 68, 3) array, from which those of the landmarks are drawn, see `landmark_errors`
    """

    name = "gcn_igan"
    options: GcnIganOptions
    network: GcnIganGenerator
    averaged: GcnIganGenerator
    parts = ("network", "averaged", "discriminator", "optimizer", "critic_optimizer")

    def __init__(self, options: GcnIganOptions, device: torch.device, errors: Tensor) -> None:
        super().__init__(options, device)
        self.errors = errors
        config = GcnIganConfig(
            size=options.size,
            graph="graph" not in options.without,
            landmarks="landmarks" not in options.without,
            identity_blocks=0 if "identity" in options.without else GcnIganConfig.identity_blocks,
        )
        self.network = GcnIganGenerator(config).to(device)
        self.averaged = GcnIganGenerator(config).to(device).eval()
        self.averaged.load_state_dict(self.network.state_dict())
        for network in (self.network, self.averaged):
            channels_last(network.encoder)
        self.discriminator = MeshDiscriminator(minibatch="minibatch" not in options.without).to(device)
        self.targets = PLAIN if "smoothing" in options.without else SMOOTHED
        self.optimizer = torch.optim.Adam(self.network.parameters(), options.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), options.critic_rate, betas=(0.5, 0.999), fused=True
        )

    def predict(self, image: Tensor, landmarks: Tensor) -> list[Tensor]:
        """Return the four meshes (n, b, 3) that the averaged weights make of (b, 3, S, S) images and landmarks."""
        return [deformation.after for deformation in self.averaged(image, landmarks)]

    def train_step(self, *batch: Tensor) -> dict[str, float]:
        """Take a step of either network on the tensors of `MeshTensors`, b of each; returns the loss terms."""
        o = self.options
        factor = stepped_factor(self.step, o, o.drops, o.drop_factor)
        for optimizer, rate in ((self.optimizer, o.learning_rate), (self.critic_optimizer, o.critic_rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        truth = MeshTensors(*(tensor.to(self.device) for tensor in batch))
        landmarks = truth.landmarks
        if len(self.errors):
            rng = torch.Generator().manual_seed(o.seed * ERROR_SEED + self.step)
            errors = drawn_errors(self.errors, len(landmarks), rng)
            landmarks = landmarks + errors.to(self.device) * truth.units_per_mm[:, None, None]
        self.network.train()
        graphs = self.graphs
        deformations = self.deform(truth, landmarks)
        made = deformations[-1].after
        critic = {}
        if "discriminator" not in o.without:
            critic = self._criticise(truth.vertices.transpose(0, 1), made, graphs[-1])
        terms = mesh_terms(deformations, truth, graphs, o.weights, o.guided)
        if critic:
            self.discriminator.requires_grad_(False)
            terms["adversarial"] = o.adversarial * functional.softplus(-self._judge(made, graphs[-1])).mean()
            self.discriminator.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        self.end_step()
        return {name: float(term.detach()) for name, term in terms.items()} | critic

    def _judge(self, meshes: Tensor, graph: Graph) -> Tensor:
        """Return the discriminator's logits (b,)."""
        with torch.autocast(self.device.type, torch.bfloat16):
            logits: Tensor = self.discriminator(meshes, graph)
        return logits

    def _criticise(self, true: Tensor, made: Tensor, graph: Graph) -> dict[str, float]:
        """Train the discriminator on true and made meshes (n, b, 3) by equation 2; returns its loss and share right."""
        loss = torch.zeros((), device=self.device)
        logits = []
        for meshes, target in zip((true, made.detach()), self.targets, strict=True):
            logits.append(self._judge(meshes, graph))
            loss = loss + functional.binary_cross_entropy_with_logits(logits[-1], torch.full_like(logits[-1], target))
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimizer.step()
        right = torch.cat([logits[0] > 0, logits[1] < 0]).float().mean()
        return {"critic": float(loss.detach()), "critic_right": float(right)}


def train(options: GcnIganOptions, sources: Sources, place: Place, *, initial: Path | None = None) -> dict[str, float]:
    """Train as `train_mesh_network` does; writes landmark_errors.npy to `place.out` too."""
    place.out.mkdir(parents=True, exist_ok=True)
    data = load_mesh_data(sources, options.mix, synthetic=options.synthetic and not options.overfit)
    errors = kept_errors(data.validation.faces, place.out)
    trainer = Trainer(options, check_device(place.device), torch.from_numpy(errors))
    return train_mesh_network(trainer, data, place, initial=initial, terms=TERMS, errors=errors)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train gcn_igan`."""
    defaults = GcnIganOptions()
    add_run_arguments(parser, defaults, "runs/gcn_igan")
    add_mesh_arguments(parser, defaults.sampling, defaults.share, defaults.guided)
    parser.add_argument(
        "--without",
        nargs="+",
        choices=PARTS,
        default=(),
        metavar="PART",
        help=f"leave out some of {', '.join(PARTS)}, to see what they are good for",
    )
    parser.add_argument(
        "--adversarial",
        type=float,
        default=defaults.adversarial,
        help="weight of the generator's adversarial term (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Train and print the last validation as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.without = tuple(args.without)
    options = options_of(args, GcnIganOptions)
    measured = train(options, sources_of(args), place_of(args), initial=args.initial)
    print(json.dumps(measured))
    return 0
