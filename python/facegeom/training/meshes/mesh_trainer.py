"""Loss, learning rate, training and command-line arguments that Pixel2Mesh and GCN-IGAN share."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from facegeom._internal import check
from facegeom.errors import FacegeomError
from facegeom.networks.devices import mixed_precision
from facegeom.networks.gcn_igan import GcnIganGenerator
from facegeom.networks.graph import Deformation, Graph
from facegeom.networks.pixel2mesh import Pixel2MeshNetwork
from facegeom.networks.weights import load_state, load_weights, save_weights
from facegeom.training.arguments import add_initial_weights, add_no_synthetic, add_reshaped
from facegeom.training.loop import NetworkTrainer, RunOptions, RunSettings, network_input, run_training
from facegeom.training.meshes.losses import (
    CloudFinder,
    chamfer,
    edge_length_loss,
    edge_vectors,
    gather_points,
    laplacian_loss,
    movement_loss,
    normal_loss,
)
from facegeom.training.meshes.samples import (
    SAMPLINGS,
    MeshData,
    MeshStream,
    MeshStreamOptions,
    MeshTensors,
)
from facegeom.training.meshes.validation import MeshValidation

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class MeshWeights:
    """Weights of the loss terms of Liu et al., section 3.2, for lengths in units of 100 mm."""

    chamfer: tuple[float, ...] = (0.5, 1.0, 1.0, 1.0)  # weight of the chamfer distance of each deformation block
    normal: float = 1.6e-4
    laplacian: float = 0.5
    movement: float = 0.033  # weight of the movement term; the first deformation block has no movement term
    edges: float = 0.1
    placement: float = 1.0  # weight of `placement_loss`, if the network predicts the placement; not in the paper


def placement_loss(start: Tensor, truth: MeshTensors) -> Tensor:
    """Return the mean squared distance between the vertices of the start mesh and their true positions, in (100 mm)^2.

    This loss is not in the papers, where the start mesh is the same for every photo.

    Parameters
    ----------
    start : (n, b, 3) tensor, crop frame
        Vertices of the start mesh.
    truth : MeshTensors
        True meshes of the batch.

    Returns
    -------
    () tensor
    """
    apart = start - truth.vertices[:, : len(start)].transpose(0, 1)
    return (apart * (0.01 / truth.units_per_mm)[None, :, None]).square().sum(-1).mean()


def mesh_terms(
    deformations: Sequence[Deformation],
    truth: MeshTensors,
    graphs: Sequence[Graph],
    weights: MeshWeights,
    guided: float = 0.0,
) -> dict[str, Tensor]:
    """Return the weighted loss terms, each summed over the deformation blocks; their sum is the loss.

    Parameters
    ----------
    deformations : sequence of Deformation, crop frame
        Result of each deformation block.
    truth : MeshTensors
        True meshes of the batch.
    graphs : sequence of Graph
        Connectivity of the mesh in each block.
    weights : MeshWeights
    guided : float
        Weight of the correspondence term, which is the mean distance between the vertices and their true positions. The
        papers have no such term.

    Returns
    -------
    dict of str to () tensor

    Notes
    -----
    The chamfer distance does not define the correspondence between vertices and points of the face. A network with
    random weights learns the correspondence slowly. Where the correspondence is uncertain, the minimum of the chamfer
    distance is a folded surface. Liu et al. use a decoder trained on other objects; here the correspondence term
    replaces such a decoder. The true positions come from midpoint subdivision, so the term favours midpoints in the
    learned unpooling: compare unpoolings with `guided` 0.
    """
    unit = (0.01 / truth.units_per_mm)[None, :, None]  # unit of the crop frame, in units of 100 mm
    clouds = truth.points * unit.transpose(0, 1)
    finder = CloudFinder(clouds)
    terms: dict[str, Tensor] = {}

    def add(name: str, value: Tensor, weight: float) -> None:
        terms[name] = terms.get(name, torch.zeros((), device=value.device)) + weight * value

    if deformations[0].before.requires_grad:
        terms["placement"] = weights.placement * placement_loss(deformations[0].before, truth)
    for block, (deformation, graph) in enumerate(zip(deformations, graphs, strict=True)):
        before, after = deformation.before * unit, deformation.after * unit
        matches = finder.match(after)
        add("chamfer", chamfer(after, clouds, matches), weights.chamfer[block])
        vectors = edge_vectors(after, graph.edges)
        normals = gather_points(truth.normals, matches.to_cloud).transpose(0, 1)
        add("normal", normal_loss(vectors, graph.edges, normals), weights.normal)
        add("laplacian", laplacian_loss(before, after, graph), weights.laplacian)
        if block:
            add("movement", movement_loss(before, after), weights.movement)
        add("edges", edge_length_loss(vectors), weights.edges)
        if guided:
            own = truth.vertices[:, : len(after)].transpose(0, 1) * unit
            add("correspondence", (after - own).norm(dim=-1).mean(), guided)
    return terms


def step_decay_factor(step: int, options: RunOptions, drops: Sequence[float], factor: float) -> float:
    """Return the learning rate factor of a step with step decay (Liu et al.: 0.3 after 25, 40 and 60 of 80 epochs).

    Parameters
    ----------
    step : int
    options : RunOptions
        Options that determine the number of steps of the run.
    drops : sequence of float
        Times at which the learning rate is multiplied by `factor`, as fractions of the run.
    factor : float
        Factor of the learning rate at each of these times.
    """
    total = max(1, options.images // options.batch)
    return float(factor ** sum(step >= drop * total for drop in drops))


def term_shares(run: Path, names: Sequence[str], steps: int = 20) -> dict[str, dict[str, float]]:
    """Return the share of each term in the loss at the start and at the end of a run, in percent.

    Parameters
    ----------
    run : Path
        Folder of the run, with steps.jsonl. Steps without the first term of `names` are ignored.
    names : sequence of str
        Terms of the loss.
    steps : int
        Number of steps over which the shares are averaged.

    Returns
    -------
    dict of str to dict of str to float
        "start" and "end": the share of each term. Empty if no step has the first term.
    """
    with open(run / "steps.jsonl") as lines:
        rows = [row for row in map(json.loads, lines) if names[0] in row]
    shares = {}
    for when, part in (("start", rows[:steps]), ("end", rows[-steps:])) if rows else ():
        totals = {name: sum(row.get(name, 0.0) for row in part) for name in names}
        whole = sum(totals.values())
        shares[when] = {name: round(100 * total / whole, 2) for name, total in totals.items()}
    return shares


def check_sampling(share: float, overfit: int) -> None:
    """Raise ValueError unless `share` is in (0, 1] and `overfit` is at least 0."""
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    check.count(overfit, "overfit")


class MeshTrainer(NetworkTrainer):
    """Base class of the trainers of Pixel2Mesh and GCN-IGAN.

    Attributes
    ----------
    name : str
        Name of the network, one of `MESH_PIPELINES`.
    network : Pixel2MeshNetwork or GcnIganGenerator
        Network that is trained.
    averaged : Pixel2MeshNetwork or GcnIganGenerator
        Copy of the network with averaged weights, which is evaluated and saved.
    """

    name: str
    network: Pixel2MeshNetwork | GcnIganGenerator
    averaged: Pixel2MeshNetwork | GcnIganGenerator

    @property
    def graphs(self) -> list[Graph]:
        """Return the connectivity of the mesh in each deformation block."""
        return cast("list[Graph]", self.network.graphs)

    def start_from(self, path: Path) -> None:
        """Load the weights of a file into the network.

        Parameters
        ----------
        path : Path
            Weight file.

        Raises
        ------
        WeightsError
            If the file cannot be read.
        FacegeomError
            If the file contains a network with another configuration. The size of the crops may be another one.
        """
        config, weights = load_weights(self.name, type(self.network.config), path)
        if replace(config, size=self.network.config.size) != self.network.config:
            raise FacegeomError(f"{path.name} contains a network with {config}, expected {self.network.config}")
        for network in (self.network, self.averaged):
            load_state(network, self.name, weights)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to the folder of a run, as {name}.safetensors."""
        save_weights(folder / f"{self.name}.safetensors", self.averaged.config, self.averaged.state_dict())

    def predict(self, image: Tensor, landmarks: Tensor) -> list[Tensor]:
        """Return the four meshes that the averaged network predicts.

        Parameters
        ----------
        image : (b, 3, S, S) tensor in [-1, 1]
        landmarks : (b, 68, 3) tensor, crop frame

        Returns
        -------
        list of (n, b, 3) tensors, crop frame
        """
        raise NotImplementedError

    def deform(self, truth: MeshTensors, landmarks: Tensor | None = None) -> list[Deformation]:
        """Return the deformations of all blocks that the network in training predicts for a batch."""
        with mixed_precision(self.device):
            made: list[Deformation] = self.network(network_input(truth.image, self.device), landmarks)
        return made


def train_mesh_network(
    trainer: MeshTrainer,
    data: MeshData,
    settings: RunSettings,
    *,
    initial: Path | None,
    terms: Sequence[str],
    errors: np.ndarray | None = None,
) -> dict[str, float]:
    """Train a network that deforms the semi-sphere, or resume from the checkpoint in `settings.out`.

    Parameters
    ----------
    trainer : MeshTrainer
        New trainer, without a restored checkpoint.
    data : MeshData
    settings : RunSettings
    initial : Path or None
        Weight file with the initial weights of a new run; not used if there is a checkpoint.
    terms : sequence of str
        Names of the loss terms. Their shares in the loss at the start and at the end are logged.
    errors : (k, 68, 3) float array, optional, mm
        Landmark errors, see `MeshValidation`.

    Returns
    -------
    dict of str to float
        Values of the last validation.

    Raises
    ------
    ValueError
        If `options.overfit` is larger than the number of training photos.
    """
    o = trainer.options
    if not trainer.resume(settings.out) and initial is not None:
        trainer.start_from(initial)
    stream_options = MeshStreamOptions(o.size, o.sampling, o.share, o.overfit)

    def stream(start: int, end: int) -> MeshStream:
        return MeshStream(data.training, stream_options, o.seed, start, end)

    measured = data.training if o.overfit else data.validation
    if o.overfit > len(measured):
        raise ValueError(f"overfit must be at most {len(measured)}, the number of training photos, got {o.overfit}")
    validation = MeshValidation(measured, o.size, trainer.predict, trainer.device, faces=o.overfit, errors=errors)
    result = run_training(trainer, o, stream, validation, settings)
    for when, shares in term_shares(settings.out, terms).items():
        log.info("share of each term in the loss at the %s, percent: %s", when, shares)
    return result


def add_mesh_arguments(parser: argparse.ArgumentParser, sampling: str, share: float, guided: float) -> None:
    """Add the arguments that both trainings share, except those of `add_photo_training`, to a parser."""
    add_initial_weights(parser)
    parser.add_argument(
        "--sampling",
        choices=sorted(SAMPLINGS),
        default=sampling,
        help="numbers of true points far from, at medium distance from, and near the landmarks; far: 11,000, 4,000 and "
        "3,000; half: half of these numbers; near: 2,000, 3,000 and 4,000 (default: %(default)s)",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=share,
        help="share of the points of --sampling used in one step (default: %(default)s)",
    )
    parser.add_argument(
        "--guided",
        type=float,
        default=guided,
        metavar="WEIGHT",
        help="weight of the mean distance between vertices and true positions; 0 in the paper (default: %(default)s)",
    )
    add_no_synthetic(parser)
    add_reshaped(parser)
    parser.add_argument(
        "--overfit",
        type=int,
        default=0,
        metavar="N",
        help="train on N photos without augmentation and validate on these photos, to test the network (default: off)",
    )
