"""What the trainings of networks that deform the semi-sphere share: loss, learning rate, validation, arguments."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.geometry import nearest, rasterize, vertex_normals
from facegeom.measures.mesh_metrics import (
    EMD_POINTS,
    CloudDistances,
    cloud_distances,
    earth_movers_distance,
    sample_surface,
)
from facegeom.networks.gcn_igan import GcnIganGenerator
from facegeom.networks.graph import Deformation, Graph
from facegeom.networks.pixel2mesh import Pixel2MeshNetwork
from facegeom.networks.semi_sphere import semi_sphere
from facegeom.networks.weights import load_state, load_weights, save_weights
from facegeom.render import turn
from facegeom.training.data.landmark_errors import drawn_errors
from facegeom.training.maps.loop import Learner, Place, RunOptions, as_photo, run_training, update_average
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
    ZONES_MM,
    Drawing,
    MeshData,
    MeshSample,
    MeshSamples,
    MeshStream,
    MeshTensors,
)

log = logging.getLogger("facegeom")

VALIDATION_FACES = 100  # photos measured after every epoch
BATCH = 20
POINTS = 10_000  # by area on either surface; between two samplings of one surface the distance is about 2.1 mm
TAU_MM = 2.0
CELL = 192  # pixels, side of one picture of the preview
SIDE_DEG = 60.0  # by which the preview's last meshes are turned

Predict = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""(b, 3, S, S) in [-1, 1] and landmarks (b, 68, 3) in the crop frame -> four of (n, b, 3)."""


@dataclass(frozen=True)
class MeshWeights:
    """Weights of the terms of Liu et al., section 3.2, for lengths in mm / 100; zero leaves a term out."""

    chamfer: tuple[float, ...] = (0.5, 1.0, 1.0, 1.0)  # of each block
    normal: float = 1.6e-4
    laplacian: float = 0.5
    movement: float = 0.033  # not of the first block
    edges: float = 0.1
    placement: float = 1.0  # of a start that the network has placed; not in the paper


def placement_loss(start: Tensor, truth: MeshTensors) -> Tensor:
    """Return the mean squared distance of the vertices of a start mesh (n, b, 3) from their own places, (mm / 100)^2.

    Not in the papers, whose start is the same for every photo.
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
    """Return the weighted terms, each summed over the blocks; their sum is the loss.

    Parameters
    ----------
    deformations : one a block, crop frame
    truth : MeshTensors of the batch
    graphs : connectivity of each block
    weights : MeshWeights
    guided : weight of the correspondence term, the mean distance of vertices from their own places; 0: the paper's loss

    Notes
    -----
    A chamfer loss does not say which vertex belongs where, and a network that begins at random takes long to find out;
    where it is not sure, the loss wants a crumpled surface. Liu et al. begin with a decoder that had been trained on
    other objects; here each vertex's own place on the face guides it. The places are those of midpoint refinement, so
    that learned places of new vertices stay near the middle: compare unpoolings without guidance.
    """
    unit = (0.01 / truth.units_per_mm)[None, :, None]  # of the crop frame, in 100 mm
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


def stepped_factor(step: int, options: RunOptions, drops: Sequence[float], factor: float) -> float:
    """Return the factor of the learning rate at a step: multiplied by `factor` at each of `drops`, shares of the run.

    Liu et al.: 0.3 after 25, 40 and 60 of 80 epochs.
    """
    total = max(1, options.images // options.batch)
    return float(factor ** sum(step >= drop * total for drop in drops))


def term_shares(run: Path, names: Sequence[str], steps: int = 20) -> dict[str, dict[str, float]]:
    """Return each term's share of the loss, in percent, over the first and the last steps of a run's steps.jsonl.

    Only steps that hold the first of the names count; of a run without such a step: nothing.
    """
    with open(run / "steps.jsonl") as lines:
        rows = [row for row in map(json.loads, lines) if names[0] in row]
    shares = {}
    for when, part in (("start", rows[:steps]), ("end", rows[-steps:])) if rows else ():
        totals = {name: sum(row.get(name, 0.0) for row in part) for name in names}
        whole = sum(totals.values())
        shares[when] = {name: round(100 * total / whole, 2) for name, total in totals.items()}
    return shares


def check_drawing(share: float, overfit: int) -> None:
    """Raise ValueError where no points, or a negative number of photos, would be drawn."""
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    check.count(overfit, "overfit")


class MeshLearner(Learner):
    """What the trainers of both networks share.

    Attributes
    ----------
    name : of `MESH_PIPELINES`
    network : what is trained; its class takes a configuration
    averaged : the mean of its weights over the last steps, which is measured and shipped
    """

    name: str
    network: Pixel2MeshNetwork | GcnIganGenerator
    averaged: Pixel2MeshNetwork | GcnIganGenerator

    @property
    def graphs(self) -> list[Graph]:
        """The connectivity of each block."""
        return cast("list[Graph]", self.network.graphs)

    def start_from(self, path: Path) -> None:
        """Begin with the weights of a file.

        Raises
        ------
        WeightsError, FacegeomError
            When the file cannot be read, or is of another network than this.
        """
        config, weights = load_weights(self.name, type(self.network.config), path)
        if config != self.network.config:
            raise FacegeomError(f"{path.name} holds a network of {config}, not of {self.network.config}")
        for network in (self.network, self.averaged):
            load_state(network, self.name, weights)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights."""
        save_weights(folder / f"{self.name}.safetensors", self.averaged.config, self.averaged.state_dict())

    def predict(self, image: Tensor, landmarks: Tensor) -> list[Tensor]:
        """Return the four meshes (n, b, 3) that the averaged weights make of images (b, 3, S, S) and landmarks."""
        raise NotImplementedError

    def deform(self, truth: MeshTensors, landmarks: Tensor | None = None) -> list[Deformation]:
        """Return what the network makes of a batch."""
        with torch.autocast(self.device.type, torch.bfloat16):
            made: list[Deformation] = self.network(as_photo(truth.image, self.device), landmarks)
        return made

    def end_step(self) -> None:
        """Move the averaged weights and count the step."""
        if self.step % self.options.average_every == 0:
            update_average(
                self.averaged, self.network, self.step, self.options.average_decay, self.options.average_every
            )
        self.step += 1


class MeshValidation:
    """Fixed samples: validation photos as they are and turned to a fixed yaw, and what is said of their surfaces.

    Parameters
    ----------
    samples : MeshSamples
        Of the validation photos.
    size : side of the crops, pixels
    predict : the network's positions of each stage
    device : where the network is
    faces : only the first so many photos, as they are; 0: `VALIDATION_FACES`, turned too
    errors : (k, 68, 3) array, of which landmarks get some, see `landmark_errors`; None: they are true
    """

    def __init__(
        self,
        samples: MeshSamples,
        size: int,
        predict: Predict,
        device: torch.device,
        *,
        faces: int = 0,
        errors: np.ndarray | None = None,
    ) -> None:
        self.samples, self.predict, self.device = samples, predict, device
        count = min(faces or VALIDATION_FACES, len(samples))
        self.sets = {"photo": [samples.evaluation(i, size) for i in range(count)]}
        if not faces:
            yaws = np.random.default_rng(0).uniform(30, 85, count)
            self.sets["turned"] = [samples.evaluation(i, size, float(yaws[i])) for i in range(count)]
        generator = torch.Generator().manual_seed(0)
        self.landmarks: dict[str, np.ndarray] = {}
        for name, items in self.sets.items():
            true = np.stack([samples.surface.landmarks(sample.vertices) for sample in items])
            if errors is not None:
                units = np.array([sample.units_per_mm for sample in items], np.float32)[:, None, None]
                true += drawn_errors(torch.from_numpy(errors), count, generator).numpy() * units
            self.landmarks[name] = true

    def measure(self) -> dict[str, float]:
        """Return means over the faces of each set, of the finest mesh.

        chamfer_mm: mean distance to the true surface plus mean distance from it, between points by area, the mean
        depths set equal; f_percent: F-score at 2 mm; near_chamfer_mm, near_f_percent: the same of the points within 10
        mm of a true landmark; emd_mm: earth mover's distance of some of the points.
        """
        result: dict[str, float] = {}
        for name, items in self.sets.items():
            rows = []
            for start in range(0, len(items), BATCH):
                finest = self._stages(name, slice(start, start + BATCH))[-1]
                rows += [self._figures(*pair) for pair in zip(items[start : start + BATCH], finest, strict=True)]
            for figure in rows[0]:
                result[f"{name}_{figure}"] = round(float(np.mean([row[figure] for row in rows])), 4)
        return result

    def _figures(self, sample: MeshSample, V: FloatArray) -> dict[str, float]:
        surface = self.samples.surface
        true = sample_surface(sample.vertices, surface.faces, POINTS).points / sample.units_per_mm
        made = sample_surface(V, semi_sphere().levels[-1].faces, POINTS, seed=1).points / sample.units_per_mm
        made[:, 2] += true[:, 2].mean() - made[:, 2].mean()
        found = cloud_distances(made, true)
        landmarks = surface.landmarks(sample.vertices) / sample.units_per_mm
        near = CloudDistances(
            *(
                distance[close] if close.any() else distance
                for distance, close in (
                    (found.to_truth, nearest(landmarks, made)[1] < ZONES_MM[0]),
                    (found.to_predicted, nearest(landmarks, true)[1] < ZONES_MM[0]),
                )
            )
        )
        return {
            "chamfer_mm": found.chamfer_mean,
            "f_percent": 100 * found.f_score(TAU_MM),
            "near_chamfer_mm": near.chamfer_mean,
            "near_f_percent": 100 * near.f_score(TAU_MM),
            "emd_mm": earth_movers_distance(made[:EMD_POINTS], true[:EMD_POINTS]),
        }

    def sheet(self, count: int = 5) -> np.ndarray:
        """Return a picture of the first faces of each set: the crop, its four meshes, the last turned, the truth so."""
        rows = []
        side = turn(SIDE_DEG).T
        for name, items in self.sets.items():
            shown = slice(0, count)
            for sample, *stages in zip(items[shown], *self._stages(name, shown), strict=True):
                photo = cv2.resize(sample.image, (CELL, CELL), interpolation=cv2.INTER_CUBIC)
                levels = semi_sphere().levels
                cells = [photo] + [draw_mesh(V, level.faces, photo) for V, level in zip(stages, levels, strict=True)]
                white = np.full_like(photo, 255)
                cells.append(draw_mesh(stages[-1] @ side, levels[-1].faces, white))
                cells.append(draw_mesh(sample.vertices @ side, self.samples.surface.faces, white))
                rows.append(np.hstack(cells))
        return np.vstack(rows)

    @torch.no_grad()
    def _stages(self, name: str, rows: slice) -> list[FloatArray]:
        """Return the meshes (b, n, 3) of each stage, of some rows of a set."""
        crops = np.stack([sample.image for sample in self.sets[name][rows]])
        image = torch.from_numpy(crops.transpose(0, 3, 1, 2).copy())
        with torch.autocast(self.device.type, torch.bfloat16):
            stages = self.predict(
                as_photo(image, self.device), torch.from_numpy(self.landmarks[name][rows]).to(self.device)
            )
        return [stage.float().transpose(0, 1).cpu().double().numpy() for stage in stages]


def train_mesh_network(
    learner: MeshLearner,
    data: MeshData,
    place: Place,
    *,
    initial: Path | None,
    terms: Sequence[str],
    errors: np.ndarray | None = None,
) -> dict[str, float]:
    """Train until `options.images` are seen or the minutes are over; resume if a checkpoint is there.

    Writes to `place.out` what `run_training` does, and the averaged weights. Logs each term's share of the loss at the
    start and at the end. Returns the last validation.

    Parameters
    ----------
    learner : MeshLearner, fresh
    data : MeshData
    place : Place
    initial : weight file to start from where there is no checkpoint, or None
    terms : the loss's
    errors : see `MeshValidation`
    """
    o = learner.options
    if not learner.resume(place.out) and initial is not None:
        learner.start_from(initial)
    drawing = Drawing(o.size, o.sampling, o.share, o.overfit)

    def stream(start: int, end: int) -> MeshStream:
        return MeshStream(data.training, drawing, o.seed, start, end)

    measured = data.training if o.overfit else data.validation
    if o.overfit > len(measured):
        raise ValueError(f"overfit must be at most the {len(measured)} training photos, got {o.overfit}")
    validation = MeshValidation(measured, o.size, learner.predict, learner.device, faces=o.overfit, errors=errors)
    result = run_training(learner, o, stream, validation, place)
    for when, shares in term_shares(place.out, terms).items():
        log.info("shares of the loss at the %s, percent: %s", when, shares)
    return result


def draw_mesh(V: FloatArray, F: IntArray, background: np.ndarray) -> np.ndarray:
    """Return a picture (S, S, 3) uint8 of a mesh in the crop frame, over a background of that size.

    Of a coarse mesh the edges are drawn too.
    """
    size = len(background)
    points = np.column_stack([(V[:, 0] + 1) * (size / 2) - 0.5, (1 - V[:, 1]) * (size / 2) - 0.5, V[:, 2]])
    raster = rasterize(points, F, vertex_normals(V, F), (size, size))
    covered = raster.triangle >= 0
    light = 60 + 180 * np.clip(raster.attributes[covered] @ (-0.35, 0.35, 0.87), 0, 1)
    picture = background.copy()
    picture[covered] = (0.25 * picture[covered] + 0.75 * light[:, None]).astype(np.uint8)
    if len(F) < 1000:
        corners = np.rint(points[F][:, :, :2] * 16).astype(np.int32)
        cv2.polylines(picture, list(corners), True, (200, 90, 40), 1, cv2.LINE_AA, 4)
    return picture


def add_mesh_arguments(parser: argparse.ArgumentParser, sampling: str, share: float, guided: float) -> None:
    """Declare what the trainings of networks that make meshes take beside `add_run_arguments`."""
    parser.add_argument("--initial", type=Path, help="weight file to start from")
    parser.add_argument(
        "--sampling",
        choices=sorted(SAMPLINGS),
        default=sampling,
        help="true points far from landmarks, between and near them: 11,000, 4,000, 3,000 (far), half of these (half), "
        "or 2,000, 3,000, 4,000 (near); default: %(default)s",
    )
    parser.add_argument(
        "--share", type=float, default=share, help="of the sampling's points seen in a step (default: %(default)s)"
    )
    parser.add_argument(
        "--guided",
        type=float,
        default=guided,
        metavar="WEIGHT",
        help="of the mean distance of vertices from their own places on the face; 0: the paper's loss alone (default: "
        "%(default)s)",
    )
    parser.add_argument("--no-synthetic", dest="synthetic", action="store_false", help="photos alone, turned or not")
    parser.add_argument(
        "--overfit",
        type=int,
        default=0,
        metavar="N",
        help="see N photos again and again, as they are, and measure those",
    )
