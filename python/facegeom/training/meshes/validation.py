"""Validation of networks that deform the semi-sphere: errors on fixed samples, and a preview picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.geometry import nearest, rasterize, vertex_normals
from facegeom.measures.mesh_metrics import (
    EMD_POINTS,
    CloudDistances,
    cloud_distances,
    earth_movers_distance,
    sample_surface,
)
from facegeom.networks.devices import mixed_precision
from facegeom.networks.semi_sphere import semi_sphere
from facegeom.render import turn
from facegeom.training.data.landmark_errors import sample_errors
from facegeom.training.loop import network_input
from facegeom.training.meshes.samples import ZONES_MM, MeshSample, MeshSamples

VALIDATION_FACES = 100  # number of validation photos
BATCH = 20  # number of images in one forward pass
POINTS = 10_000  # number of points per surface; two samples of one surface have a chamfer distance of about 2.1 mm
TAU_MM = 2.0  # distance threshold of the F-score, mm
CELL = 192  # side length of each square image of the preview picture, pixels
SIDE_DEG = 60.0  # yaw of the side views of both meshes in the preview picture, degrees

Predict = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""Type of a network: images (b, 3, S, S) in [-1, 1], landmarks (b, 68, 3), crop frame -> four meshes (n, b, 3)."""


class MeshValidation:
    """Validation of a network on photos, without and with the head turned to a yaw drawn once per photo.

    Parameters
    ----------
    samples : MeshSamples
        Samples of the validation photos.
    size : int
        Side length of the square crops in pixels.
    predict : Predict
        The network that is measured.
    device : torch.device
    faces : int
        If above 0, only the first `faces` photos are measured, without turned heads. By default `VALIDATION_FACES`
        photos are measured.
    errors : (k, 68, 3) float array, optional, mm
        Measured landmark errors, see `landmark_errors`, from which errors of the input landmarks are drawn. By default,
        the input landmarks are the true landmarks.
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
                true += sample_errors(torch.from_numpy(errors), count, generator).numpy() * units
            self.landmarks[name] = true

    def measure(self) -> dict[str, float]:
        """Return mean errors of the finest mesh, for photos ("photo_...") and turned renders of them ("turned_...").

        Returns
        -------
        dict of str to float
            chamfer_mm: mean distance from the predicted to the true points plus mean distance from the true to the
            predicted points, mm; the points are uniform by area, and both surfaces are shifted to the same mean depth;
            f_percent: F-score at 2 mm; near_chamfer_mm and near_f_percent: both measures for points within 10 mm of a
            true landmark; emd_mm: earth mover's distance of a subset of the points, mm.
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
        """Return a picture of the first `count` faces of each set, one row per face.

        A row shows the crop, the four predicted meshes, and side views of the finest predicted and the true mesh.
        """
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
        """Return the vertices (b, n, 3) after each network stage for the crops `rows` of the validation set `name`."""
        crops = np.stack([sample.image for sample in self.sets[name][rows]])
        image = torch.from_numpy(crops.transpose(0, 3, 1, 2).copy())
        with mixed_precision(self.device):
            stages = self.predict(
                network_input(image, self.device), torch.from_numpy(self.landmarks[name][rows]).to(self.device)
            )
        return [stage.float().transpose(0, 1).cpu().double().numpy() for stage in stages]


def draw_mesh(V: FloatArray, F: IntArray, background: np.ndarray) -> np.ndarray:
    """Return a shaded picture of a mesh in the crop frame; the edges of coarse meshes are drawn, too.

    Parameters
    ----------
    V : (n, 3) float array, crop frame
    F : (m, 3) int array
    background : (S, S, 3) uint8 array

    Returns
    -------
    (S, S, 3) uint8 array
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
