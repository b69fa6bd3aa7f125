"""`facegeom train pixel2mesh`: train the network of Liu et al., Pixel2Mesh for 3D Face Reconstruction."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal import check
from facegeom.errors import FacegeomError
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.facevision import FaceVisionConfig, channels_last
from facegeom.networks.graph import Unpooling
from facegeom.networks.pixel2mesh import Pixel2MeshConfig, Pixel2MeshNetwork
from facegeom.networks.weights import load_weights
from facegeom.training.arguments import add_photo_training, options_from, run_and_print, run_files, sources_from
from facegeom.training.data.photo_data import Sources
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.loop import RunSettings, network_input, set_learning_rate
from facegeom.training.meshes.mesh_trainer import (
    MeshTrainer,
    MeshWeights,
    add_mesh_arguments,
    check_sampling,
    mesh_terms,
    placement_loss,
    step_decay_factor,
    train_mesh_network,
)
from facegeom.training.meshes.samples import MESH_MIX, MeshTensors, load_mesh_data

ENCODERS = ("facevision", "frozen", "scratch")
UNPOOLINGS = ("adaptive", "midpoint")
TERMS = ("chamfer", "normal", "laplacian", "movement", "edges", "placement", "correspondence")


@dataclass(frozen=True)
class Pixel2MeshOptions:
    """Options of one training run."""

    size: int = 128  # side length of the square crops, pixels
    batch: int = 8  # number of samples in one step; 1 in the paper
    images: int = 128_000  # number of samples in the run: 80 epochs of 1,600 photos, as in the paper
    learning_rate: float = 1e-4  # learning rate of the paper, where the decoder is pretrained
    drops: tuple[float, ...] = (5 / 16, 1 / 2, 3 / 4)  # times at which the learning rate decays, fractions of the run
    drop_factor: float = 0.3  # factor by which each decay multiplies the learning rate
    encoder: str = "facevision"  # initial encoder weights, one of `ENCODERS`; "scratch": random weights
    unpooling: str = "adaptive"  # "adaptive": learned positions of new vertices on the edges; "midpoint": fixed
    sampling: str = "far"  # key of `SAMPLINGS`
    share: float = 0.25  # share of the numbers of points in `SAMPLINGS` that one step uses
    guided: float = 1.0  # weight of the correspondence term, see `mesh_terms`
    placing: float = 0.1  # initial fraction of the run that trains only the placement of the semi-sphere
    weights: MeshWeights = field(default_factory=MeshWeights)
    average_decay: float = 0.999  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 4_000  # number of samples between two validations
    overfit: int = 0  # if above 0, number of photos for training without augmentation and for validation
    synthetic: bool = True  # whether to train on synthetic faces, too
    mix: MixOptions = MESH_MIX

    def __post_init__(self) -> None:
        if self.size % 16:
            raise ValueError(f"size must be a multiple of 16, got {self.size}")
        if not 0 <= self.placing <= 1:
            raise ValueError(f"placing must be in [0, 1], got {self.placing}")
        check_sampling(self.share, self.overfit)


class Pixel2MeshTrainer(MeshTrainer):
    """Trainer of the Pixel2Mesh network.

    Parameters
    ----------
    options : Pixel2MeshOptions
    device : torch.device
    """

    name = "pixel2mesh"
    options: Pixel2MeshOptions
    network: Pixel2MeshNetwork
    averaged: Pixel2MeshNetwork
    parts = ("network", "averaged", "optimizer")

    def __init__(self, options: Pixel2MeshOptions, device: torch.device) -> None:
        super().__init__(options, device)
        check.choice(options.encoder, "encoder", ENCODERS)
        check.choice(options.unpooling, "unpooling", UNPOOLINGS)
        fold = load_weights("facevision", FaceVisionConfig)[0].fold
        config = Pixel2MeshConfig(size=options.size, fold=fold, adaptive=options.unpooling == "adaptive")
        self.network = Pixel2MeshNetwork(config)
        if options.encoder != "scratch":
            start_encoder(self.network)
        self.network.to(device)
        self.averaged = Pixel2MeshNetwork(config).to(device).eval()
        self.averaged.load_state_dict(self.network.state_dict())
        for network in (self.network, self.averaged):
            channels_last(network.encoder)
        self.network.encoder.requires_grad_(options.encoder != "frozen")
        learned = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(learned, options.learning_rate, fused=True)

    def predict(self, image: Tensor, _: Tensor) -> list[Tensor]:
        """Return the four meshes that the averaged network predicts, see `MeshTrainer.predict`."""
        return [deformation.after for deformation in self.averaged(image)]

    def train_step(self, *batch: Tensor) -> dict[str, float]:
        """Make one training step and return the loss terms.

        Parameters
        ----------
        batch : the tensors of `MeshTensors`, batched: b samples
        """
        o = self.options
        set_learning_rate(self.optimizer, o.learning_rate * step_decay_factor(self.step, o, o.drops, o.drop_factor))
        truth = MeshTensors(*(tensor.to(self.device) for tensor in batch))
        self.network.train()
        if o.encoder == "frozen":
            self.network.encoder.eval()
        if self.step < o.placing * (o.images // o.batch):
            with mixed_precision(self.device):
                start = self.network.placed_start(network_input(truth.image, self.device))
            terms = {"placement": o.weights.placement * placement_loss(start, truth)}
        else:
            deformations = self.deform(truth)
            terms = mesh_terms(deformations, truth, self.graphs, o.weights, o.guided)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        self.end_step(self.averaged, self.network)
        return {name: float(term.detach()) for name, term in terms.items()}


def start_encoder(network: Pixel2MeshNetwork) -> None:
    """Initialise the encoder with the weights of the shipped FaceVision network, whose first levels are the same.

    Parameters
    ----------
    network : Pixel2MeshNetwork

    Raises
    ------
    FacegeomError
        If the fold, the widths or the numbers of blocks of the levels differ.
    """
    config, weights = load_weights("facevision", FaceVisionConfig)
    levels = len(network.config.encoder_widths)
    ours = network.config.fold, network.config.encoder_widths, network.config.encoder_blocks
    theirs = config.fold, config.encoder_widths[:levels], config.encoder_blocks[:levels]
    if ours != theirs:
        raise FacegeomError(
            f"the encoder has the fold, widths and blocks {ours}, but that of facevision has {theirs}: "
            "use encoder scratch"
        )
    own = network.encoder.state_dict()
    network.encoder.load_state_dict({name: weights[f"encoder.{name}"] for name in own})


def train(
    options: Pixel2MeshOptions, sources: Sources, settings: RunSettings, *, initial: Path | None = None
) -> dict[str, float]:
    """Train Pixel2Mesh, or resume from the checkpoint in `settings.out`.

    Parameters
    ----------
    options : Pixel2MeshOptions
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
    Writes the files of `run_training`, with the weights in pixel2mesh.safetensors, and places.png, a picture of the
    learned unpooling, see `draw_places`.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    data = load_mesh_data(sources, options.mix, synthetic=options.synthetic and not options.overfit)
    trainer = Pixel2MeshTrainer(options, check_device(settings.device))
    result = train_mesh_network(trainer, data, settings, initial=initial, terms=TERMS)
    cv2.imwrite(str(settings.out / "places.png"), cv2.cvtColor(draw_places(trainer.averaged), cv2.COLOR_RGB2BGR))
    return result


def draw_places(network: Pixel2MeshNetwork, size: int = 600) -> np.ndarray:
    """Return a picture of the learned unpooling on the start mesh, (size, 3 * size, 3) uint8.

    For each of the first three levels, the picture shows the edges, and the new vertex on each edge at the learned
    position t in (0, 1); the colour of the vertex shows |t - 0.5|.
    """
    position = network.start
    cells = []
    for unpooling in cast("list[Unpooling]", network.unpoolings):
        edges = unpooling.edges.cpu().numpy()
        places = unpooling.edge_positions().detach().cpu().numpy()
        position = unpooling(position).detach()
        plane = np.rint((position[:, 0, :2].cpu().numpy() * (1, -1) + 1) * (size / 2) * 16).astype(np.int32)
        cell = np.full((size, size, 3), 255, np.uint8)
        cv2.polylines(cell, list(plane[edges]), False, (170, 170, 170), 1, cv2.LINE_AA, 4)
        reach = max(float(np.abs(places - 0.5).max()), 1e-6)
        for (x, y), place in zip(plane[len(plane) - len(edges) :].tolist(), places, strict=True):
            shade = round(255 * abs(float(place) - 0.5) / reach)
            cv2.circle(cell, (x, y), 40, (shade, 60, 255 - shade), -1, cv2.LINE_AA, 4)
        text = f"{len(edges)} edges, |t - 0.5|: mean {np.abs(places - 0.5).mean():.3f}, maximum {reach:.3f}"
        cv2.putText(cell, text, (8, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
        cells.append(cell)
    return np.hstack(cells)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train pixel2mesh` to a parser."""
    defaults = Pixel2MeshOptions()
    add_photo_training(parser, defaults, "runs/pixel2mesh")
    add_mesh_arguments(parser, defaults.sampling, defaults.share, defaults.guided)
    parser.add_argument(
        "--unpooling",
        choices=UNPOOLINGS,
        default=defaults.unpooling,
        help="position of new vertices on each edge: learned (adaptive) or midpoint (default: %(default)s)",
    )
    parser.add_argument(
        "--placing",
        type=float,
        default=defaults.placing,
        help="initial fraction of the run that trains only the placement of the semi-sphere; these steps are three "
        "times as fast (default: %(default)s)",
    )
    parser.add_argument(
        "--encoder",
        choices=ENCODERS,
        default=defaults.encoder,
        help="initial encoder weights; frozen: facevision, not trained; scratch: random (default: %(default)s)",
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, "pixel2mesh")


def run(args: argparse.Namespace) -> int:
    """Train the network and print the values of the last validation as JSON; return the exit code."""
    return run_and_print(train, options_from(args, Pixel2MeshOptions), sources_from(args), args)
