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
) -> dict[str, Tensor]:
    """Compute the loss terms of a batch of pairs.

    Parameters
    ----------
    answer : IdentityTensors
        Of both images of b pairs: (b, 2, k) and (b, 2, p, 2).
    label : (b, 2, k), mm
    same : (b,), one where both images show the same photo
    points : (b, 2, p, 2), mm, in the format of the network
    label_weight : of the squared error of photos; 1 where the label is exact, as for synthetic heads
    pair_weight : of the squared error of differences
    variance_weight : of the likelihood
    point_weight : of the squared errors of the points

    Returns
    -------
    dict
        "label": squared error, summed over the coefficients, mm^2. "pair": squared error of the difference between the
        images of a pair; errors that both labels have in common cancel. "variance": negative log-likelihood of the
        errors; its gradient reaches the variances only. "points": mean squared error of a point, mm^2. The
        shape follows from these positions, which are much easier to learn.
    """
    error = answer.mean - label
    square = error.square()
    difference = (error[:, 0] - error[:, 1]).square().sum(1)
    variance = answer.log_variance
    likelihood = 0.5 * (square.detach() * torch.exp(-variance) + variance)
    return {
        "label": (square.sum(2).mean(1) * (1 - (1 - label_weight) * same)).mean(),
        "pair": pair_weight * (difference * same).sum() / same.sum().clamp(min=1),
        "variance": variance_weight * likelihood.mean(),
        "points": point_weight * (answer.points - points).square().sum(-1).mean(),
    }
