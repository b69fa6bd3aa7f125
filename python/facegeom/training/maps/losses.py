"""Losses on predicted maps; the equation each comes from is in its docstring."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def masked_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean |predicted - target| over masked pixels: (b, c, S, S), (b, c, S, S), (b, 1, S, S) -> scalar."""
    return ((predicted - target).abs() * mask).sum() / (mask.sum() * predicted.shape[1]).clamp_min(1)


def relief_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the L1 of depth maps (b, 1, S, S) after removing each face's mean difference over its mask (b, 1, S, S).

    How near the whole face is cannot be told from its picture: that guess must not hide the error of the shape, as it
    does in a plain L1, whose gradient is the same at every pixel while the face as a whole is too near.
    """
    error = (predicted - target) * mask
    mean = error.sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp_min(1)
    return masked_l1(error, mean, mask)


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


def depth_normals(depth: Tensor, spacing: Tensor) -> Tensor:
    """Return the unit normals of a depth map in the camera frame: (b, 1, S, S), (b,) -> (b, 3, S - 1, S - 1).

    Cell (r, c) holds the normal of the triangle of pixel (r, c), the one to its right and the one below, so a plane's
    normals are exact. Forward differences see what a mesh of the pixels shows; central ones are blind to steps from
    pixel to pixel. `spacing` is the distance of neighbouring pixels in the unit of the depth.
    """
    step = spacing.reshape(-1, 1, 1, 1)
    here = depth[..., :-1, :-1]
    across, up = (depth[..., :-1, 1:] - here) / step, (here - depth[..., 1:, :-1]) / step  # y is up, rows go down
    normal = torch.cat([-across, -up, torch.ones_like(here)], 1)
    return functional.normalize(normal, dim=1)


def cells_within(mask: Tensor) -> Tensor:
    """Return where all three pixels of a cell of `depth_normals` are in the mask: (b, 1, S, S) -> (b, 1, S-1, S-1)."""
    return mask[..., :-1, :-1] * mask[..., :-1, 1:] * mask[..., 1:, :-1]


def normal_l1(predicted: Tensor, target: Tensor, mask: Tensor, spacing: Tensor) -> Tensor:
    """Return L1 of the difference of the normals of two depth maps (Sela et al. 2017, equation 1).

    The paper does not say how normals are taken from a depth map, see `depth_normals`, nor whether its norm is a sum
    or a mean: this is the mean over cells in the mask and over the three components, like `masked_l1` of the depths
    that it is added to. Shapes as in `masked_l1` and `depth_normals`.
    """
    return masked_l1(depth_normals(predicted, spacing), depth_normals(target, spacing), cells_within(mask))
