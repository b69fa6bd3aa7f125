"""Losses of the identity network."""

from __future__ import annotations

import torch
from torch import Tensor

from facegeom.networks.identity import IdentityTensors


def identity_terms(
    answer: IdentityTensors,
    label: Tensor,
    same: Tensor,
    points: Tensor,
    *,
    label_weight: float,
    pair_weight: float,
    variance_weight: float,
    point_weight: float,
    point_pair_weight: float,
) -> dict[str, Tensor]:
    """Compute the loss terms of a batch of groups of images.

    Parameters
    ----------
    answer : IdentityTensors
        Of the n images of each of b groups: (b, n, k) and (b, n, p, 2); n is at least 2.
    label : (b, n, k), mm
    same : (b,), one where all images of the group show the same photo
    points : (b, n, p, 2), mm, in the format of the network
    label_weight : of the squared error of photos; 1 where the label is exact, as for synthetic heads
    pair_weight : of the squared error of differences
    variance_weight : of the likelihood
    point_weight, point_pair_weight : of the squared errors of the points, and of their differences

    Returns
    -------
    dict
        "label": squared error, summed over the coefficients, mm^2. "pair": squared error of the difference between two
        images, mean over all pairs of a group; errors that the labels of a photo have in common cancel. "variance":
        negative log-likelihood of the errors; its gradient reaches the variances only. "points" and "point_pairs": mean
        squared error of a point, and of its difference between two images, mm^2.
    """
    error = answer.mean - label
    square = error.square()
    variance = answer.log_variance
    likelihood = 0.5 * (square.detach() * torch.exp(-variance) + variance)
    misplaced = answer.points - points
    return {
        "label": (square.sum(2).mean(1) * (1 - (1 - label_weight) * same)).mean(),
        "pair": pair_weight * (_pair_squares(error).sum(1) * same).sum() / same.sum().clamp(min=1),
        "variance": variance_weight * likelihood.mean(),
        "points": point_weight * misplaced.square().sum(-1).mean(),
        "point_pairs": point_pair_weight * _pair_squares(misplaced).sum(-1).mean(),
    }


def _pair_squares(values: Tensor) -> Tensor:
    """Return the squared difference of two values of a group (b, n, ...), mean over all pairs, (b, ...)."""
    centred = values - values.mean(1, keepdim=True)
    return 2 * centred.square().sum(1) / (values.shape[1] - 1)
