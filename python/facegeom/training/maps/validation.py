"""Validation of networks that predict maps: errors on fixed samples, and a preview picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facegeom.networks.devices import mixed_precision
from facegeom.networks.facevision import MapTensors
from facegeom.networks.interface import MAP_UNIT_MM
from facegeom.networks.pix2vertex import position_per_pixel
from facegeom.training.data.samples import FaceSamples, as_position_tensors
from facegeom.training.loop import network_input
from facegeom.training.maps.losses import cells_within, depth_normals

VALIDATION_FACES = 200  # number of validation photos
BATCH = 25  # number of images in one forward pass

Predict = Callable[[Tensor], MapTensors]
"""Type of a network: images (b, 3, S, S) in [-1, 1] -> predicted maps."""


class TrueMaps(NamedTuple):
    """True maps of b crops, in units of 100 mm."""

    maps: Tensor  # (b, 4, S, S) depth and correspondence
    mask: Tensor  # (b, 1, S, S), 1 inside the face, 0 outside
    spacing: Tensor  # (b,) distance between neighbouring pixels


class MapValidation:
    """Validation of a network on photos, without and with the head turned to a yaw drawn once per photo.

    Parameters
    ----------
    samples : FaceSamples
        Samples of the validation photos.
    size : int
        Side length of the square crops in pixels.
    predict : Predict
        The network that is measured.
    device : torch.device
    surface : bool
        Whether to measure the normals, too, and the scale if the network predicts positions.
    """

    def __init__(
        self, samples: FaceSamples, size: int, predict: Predict, device: torch.device, *, surface: bool = False
    ) -> None:
        count = min(VALIDATION_FACES, len(samples.rows))
        yaws = np.random.default_rng(0).uniform(30, 85, count)
        self.predict, self.device, self.surface = predict, device, surface
        self.sets = {
            "photo": [as_position_tensors(samples.evaluation(i, size)) for i in range(count)],
            "turned": [as_position_tensors(samples.evaluation(i, size, float(yaws[i]))) for i in range(count)],
        }

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Return the mean errors of each set; names begin with "photo_" or "turned_".

        Returns
        -------
        dict of str to float
            depth_percent: mean absolute depth error after subtraction of the mean error, in percent of the depth range
            of the face; mm: mean correspondence error, mm; iou: intersection over union of the masks. With `surface`
            also normal_deg: mean angle between true and predicted normals, degrees; scale_percent: error of the scale,
            percent.
        """
        result: dict[str, float] = {}
        for name, items in self.sets.items():
            rows: list[dict[str, float]] = []
            for start in range(0, len(items), BATCH):
                image, maps, mask, _, spacing = (
                    torch.stack(t).to(self.device) for t in zip(*items[start : start + BATCH], strict=True)
                )
                with mixed_precision(self.device):
                    out = self.predict(network_input(image, self.device))
                rows += map_errors(out, TrueMaps(maps, mask, spacing), surface=self.surface)
            result |= {f"{name}_{error}": mean_without_nan([row[error] for row in rows]) for error in rows[0]}
        return {name: round(value, 4) for name, value in result.items()}

    @torch.no_grad()
    def sheet(self, count: int = 8) -> np.ndarray:
        """Return a picture of the first `count` faces of both sets: photo, predicted maps, true maps.

        With `surface`, the picture also contains a shaded surface after the maps, as in figure 5 of Sela et al. 2017.
        """
        lines = []
        for items in self.sets.values():
            image, maps, mask, _, spacing = (torch.stack(t).to(self.device) for t in zip(*items[:count], strict=True))
            cells = [image.float() / 255]
            for shown in (
                self.predict(network_input(image, self.device)),
                MapTensors(maps[:, 0], maps[:, 1:], mask[:, 0]),
            ):
                cells += map_cells(shown)
                if self.surface and shown.depth is not None:
                    cells.append(lit_surface(shown.depth[:, None], (shown.probability > 0.5)[:, None].float(), spacing))
            lines.append(in_rows(cells))
        return as_picture(torch.cat(lines, 1))


def map_errors(out: MapTensors, truth: TrueMaps, *, surface: bool = False) -> list[dict[str, float]]:
    """Return the errors of each of b crops, see `MapValidation.measure`; NaN if the masks do not overlap."""
    rows = []
    seen, mask = out.probability > 0.5, truth.mask[:, 0] > 0
    slopes = None
    if surface and out.depth is not None:
        slopes = [depth_normals(depth, truth.spacing) for depth in (out.depth[:, None], truth.maps[:, :1])]
    for i in range(len(seen)):
        both = seen[i] & mask[i]
        row: dict[str, float] = {}
        if out.depth is not None:
            row["depth_percent"] = _depth_error(out.depth[i], truth.maps[i, 0], both, mask[i])
        if out.correspondence is not None:
            error = (out.correspondence[i][:, both] - truth.maps[i, 1:, both]).norm(dim=0)
            row["mm"] = float(error.mean() * MAP_UNIT_MM)  # NaN if the masks do not overlap
        row["iou"] = float(both.sum() / (seen[i] | mask[i]).sum().clamp_min(1))
        if slopes is not None:
            within = cells_within(both[None, None].float())[0, 0] > 0
            cosine = (slopes[0][i] * slopes[1][i]).sum(0)[within].clamp(-1, 1)
            row["normal_deg"] = float(cosine.arccos().rad2deg().mean())
        if surface and out.position is not None:
            step = position_per_pixel(out.position[i].permute(1, 2, 0).cpu().numpy(), both.cpu().numpy())
            row["scale_percent"] = abs(step / float(truth.spacing[i]) - 1) * 100
        rows.append(row)
    return rows


def mean_without_nan(values: list[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _depth_error(depth: Tensor, truth: Tensor, both: Tensor, mask: Tensor) -> float:
    if not both.any():
        return float("nan")
    error = depth[both] - truth[both]
    span = truth[mask].max() - truth[mask].min()
    return float((error - error.mean()).abs().mean() / span * 100)


def map_cells(maps: MapTensors) -> list[Tensor]:
    """Convert depth and correspondence to images (b, 3, S, S) in [0, 1], black outside the mask or if missing."""
    seen = (maps.probability > 0.5).float()
    nothing = torch.zeros_like(seen)[:, None].repeat(1, 3, 1, 1)
    depth = nothing if maps.depth is None else ((maps.depth + 1) / 2 * seen)[:, None].repeat(1, 3, 1, 1)
    correspondence = nothing if maps.correspondence is None else (maps.correspondence / 2 + 0.5) * seen[:, None]
    return [depth, correspondence]


def lit_surface(depth: Tensor, mask: Tensor, spacing: Tensor) -> Tensor:
    """Return shaded images of depth maps, (b, 3, S, S), lit from the upper left, black outside the mask.

    Parameters
    ----------
    depth, mask : (b, 1, S, S) tensors
    spacing : (b,) tensor
        Distance between neighbouring pixels, in the unit of the depth.
    """
    light = functional.normalize(torch.tensor([-0.4, 0.4, 1.0], device=depth.device), dim=0)
    shading = (depth_normals(depth, spacing) * light[:, None, None]).sum(1, keepdim=True).clamp_min(0)
    return functional.pad(shading * cells_within(mask), (0, 1, 0, 1)).repeat(1, 3, 1, 1)


def in_rows(cells: list[Tensor]) -> Tensor:
    """Return k tensors of b images (3, S, S) as one image (3, k S, b S) with a row for each tensor."""
    return torch.cat([torch.cat(list(cell), 2) for cell in cells], 1)


def as_picture(image: Tensor) -> np.ndarray:
    """Return an image tensor (3, h, w) in [0, 1] as an array (h, w, 3) uint8."""
    return np.asarray(image.clamp(0, 1).mul(255).byte().permute(1, 2, 0).cpu().numpy())
