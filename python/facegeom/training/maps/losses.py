"""Loss functions on predicted maps. Each docstring names the equation that the loss implements."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def masked_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error over the pixels of a mask.

    Parameters
    ----------
    predicted, target : (b, c, S, S) tensors
    mask : (b, 1, S, S) tensor
        1 inside the mask, 0 outside.

    Returns
    -------
    () tensor
        0 if the mask is empty.
    """
    return ((predicted - target).abs() * mask).sum() / (mask.sum() * predicted.shape[1]).clamp_min(1)


def relief_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of depth maps after subtraction of the mean error of each face.

    Parameters
    ----------
    predicted, target : (b, 1, S, S) tensors
    mask : (b, 1, S, S) tensor
        1 inside the mask, 0 outside.

    Returns
    -------
    () tensor

    Notes
    -----
    The distance of a face from the camera cannot be determined from one photo. In a plain L1 loss, the error of this
    distance dominates the error of the shape: while the whole face is predicted too near, the gradient is the same at
    every pixel.
    """
    error = (predicted - target) * mask
    mean = error.sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp_min(1)
    return masked_l1(error, mean, mask)


def gradient_l1(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of the spatial gradients (FaceVision-GAN, equation 1, third term).

    Gradients are forward differences between neighbouring pixels that are both inside the mask. The
    parameters are those of `masked_l1`.
    """
    error = predicted - target
    across = masked_l1(error[..., 1:], error[..., :-1], mask[..., 1:] * mask[..., :-1])
    down = masked_l1(error[..., 1:, :], error[..., :-1, :], mask[..., 1:, :] * mask[..., :-1, :])
    return across + down


def adversarial(logits: Tensor, real: bool) -> Tensor:
    """Return the binary cross-entropy of discriminator logits against one label (FaceVision-GAN, equation 1).

    For the generator, pass the logits of generated maps and `real=True`: the non-saturating loss of Goodfellow et al.
    2014.

    Parameters
    ----------
    logits : tensor of any shape
    real : bool
        The label of all logits.

    Returns
    -------
    () tensor
    """
    label = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return functional.binary_cross_entropy_with_logits(logits, label)


def depth_normals(depth: Tensor, spacing: Tensor) -> Tensor:
    """Return the unit normals of depth maps in the camera frame.

    Parameters
    ----------
    depth : (b, 1, S, S) tensor
        Depth; larger values are nearer to the camera.
    spacing : (b,) tensor
        Distance between neighbouring pixels, in the unit of the depth.

    Returns
    -------
    (b, 3, S - 1, S - 1) tensor
        Entry (r, c) is the normal of the triangle of pixel (r, c), its right neighbour and its lower neighbour.

    Notes
    -----
    Normals of a plane are exact. Forward differences correspond to a triangle mesh of the pixels; central differences
    would not detect alternating steps between neighbouring pixels.
    """
    step = spacing.reshape(-1, 1, 1, 1)
    here = depth[..., :-1, :-1]
    across, up = (depth[..., :-1, 1:] - here) / step, (here - depth[..., 1:, :-1]) / step  # y is up, rows go down
    normal = torch.cat([-across, -up, torch.ones_like(here)], 1)
    return functional.normalize(normal, dim=1)


def cells_within(mask: Tensor) -> Tensor:
    """Return the mask of normals: 1 where all three pixels of a normal of `depth_normals` are in the mask, else 0.

    Parameters
    ----------
    mask : (b, 1, S, S) tensor
        1 inside the mask, 0 outside.

    Returns
    -------
    (b, 1, S - 1, S - 1) tensor
    """
    return mask[..., :-1, :-1] * mask[..., :-1, 1:] * mask[..., 1:, :-1]


def normal_l1(predicted: Tensor, target: Tensor, mask: Tensor, spacing: Tensor) -> Tensor:
    """Return the mean absolute error of the normals of depth maps (Sela et al. 2017, equation 1).

    Parameters
    ----------
    predicted, target : (b, 1, S, S) tensors
    mask : (b, 1, S, S) tensor
        1 inside the mask, 0 outside.
    spacing : (b,) tensor
        Distance between neighbouring pixels, in the unit of the depth.

    Returns
    -------
    () tensor

    Notes
    -----
    The paper specifies neither how normals are computed from a depth map (see `depth_normals`) nor whether the norm is
    a sum or a mean. Here, the norm is the mean over the mask and the three components, as in `masked_l1`.
    """
    return masked_l1(depth_normals(predicted, spacing), depth_normals(target, spacing), cells_within(mask))
