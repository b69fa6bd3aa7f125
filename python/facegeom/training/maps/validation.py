"""What all networks of maps are measured by while they train: errors on fixed samples, and a preview sheet."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facegeom.networks.facevision import MAP_UNIT_MM, MapTensors
from facegeom.networks.pix2vertex import position_per_pixel
from facegeom.training.data.samples import FaceSamples, as_placed_tensors
from facegeom.training.maps.loop import as_photo
from facegeom.training.maps.losses import cells_within, depth_normals

VALIDATION_FACES = 200  # photos measured after every epoch
BATCH = 25

Predict = Callable[[Tensor], MapTensors]  # (b, 3, S, S) in [-1, 1] -> maps


class Truth(NamedTuple):
    """True maps of b crops, in 100 mm: depth and correspondence (b, 4, S, S), mask (b, 1, S, S), spacing (b,)."""

    maps: Tensor
    mask: Tensor
    spacing: Tensor


class Validation:
    """Fixed samples: every validation photo as it is and turned to a fixed yaw.

    Parameters
    ----------
    samples : FaceSamples
        Of the validation photos.
    size : side of the crops, pixels
    predict : the network's maps of (b, 3, S, S) images in [-1, 1]
    device : where the network is
    surface : also measure the normals, and the scale where the network says it
    """

    def __init__(
        self, samples: FaceSamples, size: int, predict: Predict, device: torch.device, *, surface: bool = False
    ) -> None:
        count = min(VALIDATION_FACES, len(samples.rows))
        yaws = np.random.default_rng(0).uniform(30, 85, count)
        self.predict, self.device, self.surface = predict, device, surface
        self.sets = {
            "photo": [as_placed_tensors(samples.evaluation(i, size)) for i in range(count)],
            "turned": [as_placed_tensors(samples.evaluation(i, size, float(yaws[i]))) for i in range(count)],
        }

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Return means over the faces of each set, of what the network predicts.

        depth_percent: depth error in percent of the face's range (mean shift removed); mm: correspondence error; iou:
        of the masks; with `surface` normal_deg: angle between the normals, and scale_percent: error of the scale.
        """
        result: dict[str, float] = {}
        for name, items in self.sets.items():
            rows: list[dict[str, float]] = []
            for start in range(0, len(items), BATCH):
                image, maps, mask, _, spacing = (
                    torch.stack(t).to(self.device) for t in zip(*items[start : start + BATCH], strict=True)
                )
                with torch.autocast(self.device.type, torch.bfloat16):
                    out = self.predict(as_photo(image, self.device))
                rows += map_errors(out, Truth(maps, mask, spacing), surface=self.surface)
            result |= {f"{name}_{error}": known_mean([row[error] for row in rows]) for error in rows[0]}
        return {name: round(value, 4) for name, value in result.items()}

    @torch.no_grad()
    def sheet(self, count: int = 8) -> np.ndarray:
        """Return a picture: photo, depth and correspondence, predicted and true, of the first faces of both sets.

        With `surface` the lit surface comes after each of the two, as in Sela et al. 2017, figure 5.
        """
        lines = []
        for items in self.sets.values():
            image, maps, mask, _, spacing = (torch.stack(t).to(self.device) for t in zip(*items[:count], strict=True))
            cells = [image.float() / 255]
            for shown in (self.predict(as_photo(image, self.device)), MapTensors(maps[:, 0], maps[:, 1:], mask[:, 0])):
                cells += map_cells(shown)
                if self.surface and shown.depth is not None:
                    cells.append(lit_surface(shown.depth[:, None], (shown.probability > 0.5)[:, None].float(), spacing))
            lines.append(in_rows(cells))
        return as_picture(torch.cat(lines, 1))


def map_errors(out: MapTensors, truth: Truth, *, surface: bool = False) -> list[dict[str, float]]:
    """Return the errors of each of b crops, NaN where the masks do not meet; see `Validation.measure`."""
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
            row["mm"] = float(error.mean() * MAP_UNIT_MM)  # NaN of no pixels
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


def known_mean(values: list[float]) -> float:
    """Return the mean of what is not NaN, NaN where nothing is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _depth_error(depth: Tensor, truth: Tensor, both: Tensor, mask: Tensor) -> float:
    if not both.any():
        return float("nan")
    error = depth[both] - truth[both]
    span = truth[mask].max() - truth[mask].min()
    return float((error - error.mean()).abs().mean() / span * 100)


def map_cells(maps: MapTensors) -> list[Tensor]:
    """Return depth and correspondence as pictures (b, 3, S, S), black outside the mask and where there is none."""
    seen = (maps.probability > 0.5).float()
    nothing = torch.zeros_like(seen)[:, None].repeat(1, 3, 1, 1)
    depth = nothing if maps.depth is None else ((maps.depth + 1) / 2 * seen)[:, None].repeat(1, 3, 1, 1)
    correspondence = nothing if maps.correspondence is None else (maps.correspondence / 2 + 0.5) * seen[:, None]
    return [depth, correspondence]


def lit_surface(depth: Tensor, mask: Tensor, spacing: Tensor) -> Tensor:
    """Return the surface of depth maps (b, 1, S, S) as pictures (b, 3, S, S), lit from the upper left, black outside.

    Shapes as in `depth_normals`.
    """
    light = functional.normalize(torch.tensor([-0.4, 0.4, 1.0], device=depth.device), dim=0)
    shading = (depth_normals(depth, spacing) * light[:, None, None]).sum(1, keepdim=True).clamp_min(0)
    return functional.pad(shading * cells_within(mask), (0, 1, 0, 1)).repeat(1, 3, 1, 1)


def in_rows(cells: list[Tensor]) -> Tensor:
    """Return k lists of b pictures (3, S, S) as one, (3, k S, b S): one row a list."""
    return torch.cat([torch.cat(list(cell), 2) for cell in cells], 1)


def as_picture(image: Tensor) -> np.ndarray:
    """Return an image (3, h, w) in [0, 1] as (h, w, 3) uint8."""
    return np.asarray(image.clamp(0, 1).mul(255).byte().permute(1, 2, 0).cpu().numpy())
