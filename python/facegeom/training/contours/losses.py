"""Losses of the contour network."""

from __future__ import annotations

import torch
from torch import Tensor

from facegeom.networks.contour_crop import PARTS


def _opposite() -> tuple[Tensor, Tensor]:
    """Return the rows of opposite points: on the lower and on the upper lid, on the lower and on the upper lip."""
    eye = [(row, 16 - row) for row in range(1, 8)]
    lips = [(row, 20 - row) for row in range(1, 10)]
    pairs = [(a + first, b + first) for first in (0, 16) for a, b in eye]
    pairs += [(a + first, b + first) for first in (32, 52) for a, b in lips]
    lower, upper = zip(*pairs, strict=True)
    return torch.tensor(lower), torch.tensor(upper)


LOWER, UPPER = _opposite()


def contour_terms(places: Tensor, log_deviation: Tensor, truth: Tensor, *, opening_weight: float) -> dict[str, Tensor]:
    """Compute the loss terms of a batch.

    Parameters
    ----------
    places, truth : (b, 72, 2) tensors, mm
    log_deviation : (b, 3) tensor
        Logarithm of the mean absolute error, mm, of a point relative to its contour.
    opening_weight : weight of the openings

    Returns
    -------
    dict
        "position": mean absolute error of the centre of each contour, mm. "contour": negative log-likelihood of the
        errors relative to the centre, of a Laplace distribution whose scale the network predicts. "opening": mean
        absolute error of the vector between opposite points, mm.
    """
    error = places - truth
    position, contour = [], []
    for part, rows in enumerate(PARTS):
        own = error[:, rows]
        centre = own.mean(1, keepdim=True)
        position.append(centre.abs().mean())
        log_scale = log_deviation[:, part]
        contour.append(((own - centre).abs().mean((1, 2)) * torch.exp(-log_scale) + log_scale).mean())
    opening = (error[:, UPPER] - error[:, LOWER]).abs().mean()
    return {
        "position": torch.stack(position).mean(),
        "contour": torch.stack(contour).mean(),
        "opening": opening_weight * opening,
    }
