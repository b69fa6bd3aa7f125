"""`facegeom train gcn_igan`: train the generator and the discriminator of GCN-IGAN (Fathallah et al. 2024)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.facevision import channels_last
from facegeom.networks.gcn_igan import GcnIganConfig, GcnIganGenerator
from facegeom.networks.graph import Graph
from facegeom.networks.mesh_discriminator import MeshDiscriminator
from facegeom.training.adversary import Balance
from facegeom.training.arguments import add_photo_training, options_from, run_and_print, run_files, sources_from
from facegeom.training.data.landmark_errors import cached_errors, sample_errors
from facegeom.training.data.photo_data import Sources
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.loop import RunSettings, set_learning_rate
from facegeom.training.meshes.mesh_trainer import (
    MeshTrainer,
    MeshWeights,
    add_mesh_arguments,
    check_sampling,
    mesh_terms,
    step_decay_factor,
    train_mesh_network,
)
from facegeom.training.meshes.samples import MESH_MIX, MeshTensors, load_mesh_data

PARTS = ("graph", "discriminator", "minibatch", "smoothing", "identity", "landmarks")
"""Names of the parts of the method that an ablation can omit."""

LEAST_BATCH = 8
"""Smallest batch for minibatch discrimination, which compares the meshes of a batch."""

SMOOTHED, PLAIN = (0.9, 0.01), (1.0, 0.0)
"""Targets of the discriminator for true and predicted meshes, with and without label smoothing (section 3.2)."""

ERROR_SEED = 1_000_003  # factor of the run seed in the landmark error seed of each step

TERMS = ("chamfer", "normal", "laplacian", "movement", "edges", "correspondence", "adversarial")


@dataclass(frozen=True)
class GcnIganOptions:
    """Options of one training run. Each training step is one step of the discriminator and one of the generator."""

    size: int = 113  # side length of the square crops, pixels
    batch: int = 8
    images: int = 128_000  # number of samples in the run
    learning_rate: float = 4e-4  # learning rate of the generator
    critic_rate: float = 2e-4  # learning rate of the discriminator
    drops: tuple[float, ...] = (5 / 16, 1 / 2, 3 / 4)  # times at which the learning rates decay, fractions of the run
    drop_factor: float = 0.3  # factor by which each decay multiplies both learning rates
    without: tuple[str, ...] = ()  # omitted parts of the method, from `PARTS`
    sampling: str = "far"  # key of `SAMPLINGS`
    share: float = 0.25  # share of the numbers of points in `SAMPLINGS` that one step uses
    guided: float = 1.0  # weight of the correspondence term, see `mesh_terms`
    weights: MeshWeights = field(default_factory=MeshWeights)
    adversarial: float = 1e-4  # weight of the adversarial loss; its gradient is 1/5 of the chamfer gradient
    average_decay: float = 0.999  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 4_000  # number of samples between two validations
    overfit: int = 0  # if above 0, number of photos for training without augmentation and for validation
    synthetic: bool = True  # whether to train on synthetic faces, too
    mix: MixOptions = MESH_MIX

    def __post_init__(self) -> None:
        unknown = [part for part in self.without if part not in PARTS]
        if unknown:
            raise ValueError(f"without must be some of {', '.join(PARTS)}, got {unknown[0]!r}")
        if self.size % 4 != 1:
            raise ValueError(f"size must be a multiple of 4 plus 1, got {self.size}")
        if self.batch < LEAST_BATCH and not {"discriminator", "minibatch"} & set(self.without):
            raise ValueError(f"minibatch discrimination needs a batch of at least {LEAST_BATCH}, got {self.batch}")
        check_sampling(self.share, self.overfit)


class GcnIganTrainer(MeshTrainer):
    """Trainer of the generator and of the discriminator.

    Parameters
    ----------
    options : GcnIganOptions
    device : torch.device
    errors : (k, 68, 3) tensor, mm
        Measured landmark errors, see `landmark_errors`, from which errors of the input landmarks are drawn. If k is 0,
        the input landmarks are the true landmarks.
    """

    name = "gcn_igan"
    options: GcnIganOptions
    network: GcnIganGenerator
    averaged: GcnIganGenerator
    parts = ("network", "averaged", "discriminator", "balance", "optimizer", "critic_optimizer")

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
        self.balance = Balance()
        self.targets = PLAIN if "smoothing" in options.without else SMOOTHED
        self.optimizer = torch.optim.Adam(self.network.parameters(), options.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), options.critic_rate, betas=(0.5, 0.999), fused=True
        )

    def predict(self, image: Tensor, landmarks: Tensor) -> list[Tensor]:
        """Return the four meshes that the averaged network predicts, see `MeshTrainer.predict`."""
        return [deformation.after for deformation in self.averaged(image, landmarks)]

    def train_step(self, *batch: Tensor) -> dict[str, float]:
        """Make one step of the discriminator and one of the generator.

        Parameters
        ----------
        batch : the tensors of `MeshTensors`, batched: b samples

        Returns
        -------
        dict of str to float
            Loss terms of the generator, and the loss and accuracy of the discriminator.
        """
        o = self.options
        factor = step_decay_factor(self.step, o, o.drops, o.drop_factor)
        set_learning_rate(self.optimizer, o.learning_rate * factor)
        set_learning_rate(self.critic_optimizer, o.critic_rate * factor)
        truth = MeshTensors(*(tensor.to(self.device) for tensor in batch))
        landmarks = truth.landmarks
        if len(self.errors):
            rng = torch.Generator().manual_seed(o.seed * ERROR_SEED + self.step)
            errors = sample_errors(self.errors, len(landmarks), rng)
            landmarks = landmarks + errors.to(self.device) * truth.units_per_mm[:, None, None]
        self.network.train()
        graphs = self.graphs
        deformations = self.deform(truth, landmarks)
        made = deformations[-1].after
        critic = {}
        if "discriminator" not in o.without:
            critic = self._train_discriminator(truth.vertices.transpose(0, 1), made, graphs[-1])
        terms = mesh_terms(deformations, truth, graphs, o.weights, o.guided)
        if critic:
            self.discriminator.requires_grad_(False)
            terms["adversarial"] = torch.zeros((), device=self.device)
            if self.balance.generator_learns:
                terms["adversarial"] = o.adversarial * functional.softplus(-self._logits(made, graphs[-1])).mean()
            self.discriminator.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        self.end_step(self.averaged, self.network)
        return {name: float(term.detach()) for name, term in terms.items()} | critic

    def _logits(self, meshes: Tensor, graph: Graph) -> Tensor:
        """Return the logits of the discriminator, (b,)."""
        with mixed_precision(self.device):
            logits: Tensor = self.discriminator(meshes, graph)
        return logits

    def _train_discriminator(self, true: Tensor, made: Tensor, graph: Graph) -> dict[str, float]:
        """Make one step of the discriminator (equation 2) on true and predicted meshes (n, b, 3).

        A discriminator that is too good for the generator does not learn. Return the loss, the accuracy and the running
        accuracy of the discriminator.
        """
        loss = torch.zeros((), device=self.device)
        logits = []
        for meshes, target in zip((true, made.detach()), self.targets, strict=True):
            logits.append(self._logits(meshes, graph))
            loss = loss + functional.binary_cross_entropy_with_logits(logits[-1], torch.full_like(logits[-1], target))
        if self.balance.discriminator_learns:
            self.critic_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.critic_optimizer.step()
        right = float(torch.cat([logits[0] > 0, logits[1] < 0]).float().mean())
        self.balance.observe(right)
        return {"critic": float(loss.detach()), "critic_right": right, "balance": self.balance.accuracy}


def train(
    options: GcnIganOptions, sources: Sources, settings: RunSettings, *, initial: Path | None = None
) -> dict[str, float]:
    """Train GCN-IGAN, or resume from the checkpoint in `settings.out`.

    Parameters
    ----------
    options : GcnIganOptions
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
    Writes the files of `run_training`, with the weights in gcn_igan.safetensors, and landmark_errors.npy.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    data = load_mesh_data(sources, options.mix, synthetic=options.synthetic and not options.overfit)
    errors = cached_errors(data.validation.faces, settings.out)
    trainer = GcnIganTrainer(options, check_device(settings.device), torch.from_numpy(errors))
    return train_mesh_network(trainer, data, settings, initial=initial, terms=TERMS, errors=errors)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train gcn_igan` to a parser."""
    defaults = GcnIganOptions()
    add_photo_training(parser, defaults, "runs/gcn_igan")
    add_mesh_arguments(parser, defaults.sampling, defaults.share, defaults.guided)
    parser.add_argument(
        "--without",
        nargs="+",
        choices=PARTS,
        default=(),
        metavar="PART",
        help=f"parts to omit in an ablation, from {', '.join(PARTS)}",
    )
    parser.add_argument(
        "--adversarial",
        type=float,
        default=defaults.adversarial,
        help="weight of the adversarial loss of the generator (default: %(default)s)",
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, "gcn_igan")


def run(args: argparse.Namespace) -> int:
    """Train the network and print the values of the last validation as JSON; return the exit code."""
    args.without = tuple(args.without)
    return run_and_print(train, options_from(args, GcnIganOptions), sources_from(args), args)
