"""Losses on predicted maps; the equation each comes from is in its docstring."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def masked_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean |predicted - target| over masked pixels: (b, c, S, S), (b, c, S, S), (b, 1, S, S) -> scalar."""
    return ((predicted - target).abs() * mask).sum() / (mask.sum() * predicted.shape[1]).clamp_min(1)


def gradient_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return L1 of the difference of spatial gradients (FaceVision-GAN, equation 1, third term).

    Forward differences over neighbouring pixels that both lie in the mask; shapes as in `masked_l1`.
    """
    error = predicted - target
    across = masked_l1(error[..., 1:], error[..., :-1], mask[..., 1:] * mask[..., :-1])
    down = masked_l1(error[..., 1:, :], error[..., :-1, :], mask[..., 1:, :] * mask[..., :-1, :])
    return across + down


def adversarial(logits: Tensor, real: bool) -> Tensor:
    """Return the GAN log loss of patch logits against one label (FaceVision-GAN, equation 1; Goodfellow et al. 2014).

    For the generator use `real=True` on its own output: the non-saturating form of the same game.
    """
    label = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return functional.binary_cross_entropy_with_logits(logits, label)
