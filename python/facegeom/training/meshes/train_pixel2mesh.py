"""`facegeom train pixel2mesh`: trains the network of Liu et al., Pixel2Mesh for 3D Face Reconstruction."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal import check
from facegeom.errors import FacegeomError
from facegeom.networks.devices import check_device
from facegeom.networks.facevision import FaceVisionConfig, channels_last
from facegeom.networks.graph import Unpooling
from facegeom.networks.pixel2mesh import Pixel2MeshConfig, Pixel2MeshNetwork
from facegeom.networks.weights import load_weights
from facegeom.training.data.photo_data import Sources
from facegeom.training.data.samples import MixOptions
from facegeom.training.maps.loop import Place, add_run_arguments, as_photo, options_of, place_of, sources_of
from facegeom.training.meshes.mesh_training import (
    MeshLearner,
    MeshWeights,
    add_mesh_arguments,
    check_drawing,
    mesh_terms,
    placement_loss,
    stepped_factor,
    train_mesh_network,
)
from facegeom.training.meshes.samples import MESH_MIX, MeshTensors, load_mesh_data

ENCODERS = ("facevision", "frozen", "scratch")
UNPOOLINGS = ("adaptive", "midpoint")
TERMS = ("chamfer", "normal", "laplacian", "movement", "edges", "placement", "correspondence")


@dataclass(frozen=True)
class Pixel2MeshOptions:
    """One training run."""

    size: int = 128
    batch: int = 8  # 1 in the paper
    images: int = 128_000  # as many as the paper's 80 epochs of 1,600 photos
    learning_rate: float = 1e-4  # the paper's, for a decoder that had been trained before
    drops: tuple[float, ...] = (5 / 16, 1 / 2, 3 / 4)  # shares of the run after which the rate is multiplied
    drop_factor: float = 0.3
    encoder: str = "facevision"  # start with FaceVision's weights; "frozen": and keep them; "scratch": at random
    unpooling: str = "adaptive"
    sampling: str = "far"  # key of `SAMPLINGS`
    share: float = 0.25  # of the sampling's points seen in a step
    guided: float = 1.0  # weight of the correspondence, see `mesh_terms`
    placing: float = 0.1  # share of the run in which the encoder learns to place the semi-sphere, and nothing else
    weights: MeshWeights = field(default_factory=MeshWeights)
    average_decay: float = 0.999  # a step, of the weights that are evaluated and shipped
    average_every: int = 4  # steps between updates of the average
    seed: int = 0
    epoch_images: int = 4_000  # validation and a preview sheet after each
    overfit: int = 0  # above 0: this many photos again and again, which validation then measures
    synthetic: bool = True
    mix: MixOptions = MESH_MIX

    def __post_init__(self) -> None:
        if self.size % 16:
            raise ValueError(f"size must be a multiple of 16, got {self.size}")
        if not 0 <= self.placing <= 1:
            raise ValueError(f"placing must be from 0 to 1, got {self.placing}")
        check_drawing(self.share, self.overfit)


class Trainer(MeshLearner):
    """The network, its optimiser and the averaged weights."""

    name = "pixel2mesh"
    options: Pixel2MeshOptions
    network: Pixel2MeshNetwork
    averaged: Pixel2MeshNetwork
    parts = ("network", "averaged", "optimizer")

    def __init__(self, options: Pixel2MeshOptions, device: torch.device) -> None:
        super().__init__(options, device)
        check.choice(options.encoder, "encoder", ENCODERS)
        check.choice(options.unpooling, "unpooling", UNPOOLINGS)
        config = Pixel2MeshConfig(size=options.size, adaptive=options.unpooling == "adaptive")
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
        """Return the four meshes (n, b, 3) that the averaged weights make of (b, 3, S, S) images."""
        return [deformation.after for deformation in self.averaged(image)]

    def train_step(self, *batch: Tensor) -> dict[str, float]:
        """Take one step on the tensors of `MeshTensors`, b of each; returns the loss terms."""
        o = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = o.learning_rate * stepped_factor(self.step, o, o.drops, o.drop_factor)
        truth = MeshTensors(*(tensor.to(self.device) for tensor in batch))
        self.network.train()
        if o.encoder == "frozen":
            self.network.encoder.eval()
        if self.step < o.placing * (o.images // o.batch):
            with torch.autocast(self.device.type, torch.bfloat16):
                start = self.network.placed_start(as_photo(truth.image, self.device))
            terms = {"placement": o.weights.placement * placement_loss(start, truth)}
        else:
            deformations = self.deform(truth)
            terms = mesh_terms(deformations, truth, self.graphs, o.weights, o.guided)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        self.end_step()
        return {name: float(term.detach()) for name, term in terms.items()}


def start_encoder(network: Pixel2MeshNetwork) -> None:
    """Give the network's encoder the weights of the levels that it shares with the shipped FaceVision network.

    Raises
    ------
    FacegeomError
        When their sizes differ.
    """
    config, weights = load_weights("facevision", FaceVisionConfig)
    levels = len(network.config.encoder_widths)
    ours = network.config.encoder_widths, network.config.encoder_blocks
    theirs = config.encoder_widths[:levels], config.encoder_blocks[:levels]
    if ours != theirs:
        raise FacegeomError(f"the encoder has widths and blocks {ours}, facevision's has {theirs}")
    own = network.encoder.state_dict()
    network.encoder.load_state_dict({name: weights[f"encoder.{name}"] for name in own})


def train(
    options: Pixel2MeshOptions, sources: Sources, place: Place, *, initial: Path | None = None
) -> dict[str, float]:
    """Train as `train_mesh_network` does; writes places.png, the places of unpooled vertices, to `place.out` too."""
    place.out.mkdir(parents=True, exist_ok=True)
    data = load_mesh_data(sources, options.mix, synthetic=options.synthetic and not options.overfit)
    trainer = Trainer(options, check_device(place.device))
    result = train_mesh_network(trainer, data, place, initial=initial, terms=TERMS)
    cv2.imwrite(str(place.out / "places.png"), cv2.cvtColor(draw_places(trainer.averaged), cv2.COLOR_RGB2BGR))
    return result


def draw_places(network: Pixel2MeshNetwork, size: int = 600) -> np.ndarray:
    """Return a picture of the start mesh's plane at the first three levels, each edge's new vertex where t puts it."""
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
        text = f"{len(edges)} edges, |t - 0.5|: mean {np.abs(places - 0.5).mean():.3f}, largest {reach:.3f}"
        cv2.putText(cell, text, (8, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
        cells.append(cell)
    return np.hstack(cells)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train pixel2mesh`."""
    defaults = Pixel2MeshOptions()
    add_run_arguments(parser, defaults, "runs/pixel2mesh")
    add_mesh_arguments(parser, defaults.sampling, defaults.share, defaults.guided)
    parser.add_argument("--unpooling", choices=UNPOOLINGS, default=defaults.unpooling, help="default: %(default)s")
    parser.add_argument(
        "--placing",
        type=float,
        default=defaults.placing,
        help="share of the run in which the encoder learns to place the semi-sphere, and nothing else; three times as "
        "fast (default: %(default)s)",
    )
    parser.add_argument(
        "--encoder",
        choices=ENCODERS,
        default=defaults.encoder,
        help="its weights at the start: facevision's, facevision's and kept so, or random (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Train and print the last validation as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = options_of(args, Pixel2MeshOptions)
    measured = train(options, sources_of(args), place_of(args), initial=args.initial)
    print(json.dumps(measured))
    return 0
