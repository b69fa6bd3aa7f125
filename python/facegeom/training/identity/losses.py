"""Losses of the identity network."""

from __future__ import annotations

import torch
from torch import Tensor

from facegeom.networks.identity import IdentityTensors


def identity_terms(
    answer: IdentityTensors,
    label: Tensor,
    same: Tensor,
    landmarks: Tensor,
    *,
    label_weight: float,
    pair_weight: float,
    variance_weight: float,
    landmark_weight: float,
) -> dict[str, Tensor]:
    """Return the loss terms of pairs.

    Parameters
    ----------
    answer : IdentityTensors
        Of both images of b pairs: (b, 2, k) and (b, 2, 51, 2).
    label : (b, 2, k), mm
    same : (b,), one where both images show the same photo
    landmarks : (b, 2, 51, 2), mm, as the network says them
    label_weight : of the squared error of photos; 1 where the label is exact, as for synthetic heads
    pair_weight : of the squared error of differences
    variance_weight : of the likelihood
    landmark_weight : of the squared errors of landmarks

    Returns
    -------
    dict
        "label": squared error summed over the coefficients, mm^2. "pair": squared error of the difference of a pair, in
        which the error that both labels share cancels. "variance": negative log-likelihood of the errors under the
        variances; the means do not learn from it. "landmarks": mean squared error of a landmark, mm^2. It teaches the
        network where things are, from which the shape follows.
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
        "landmarks": landmark_weight * (answer.landmarks - landmarks).square().sum(-1).mean(),
    }
