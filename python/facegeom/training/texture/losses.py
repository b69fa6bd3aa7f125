"""Loss functions on completed textures. Each docstring names the paper of the loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.facevision import FaceVisionGenerator, fold_pixels
from facegeom.networks.texture_critic import critic_scores

PERCEPTUAL_LEVELS = 3  # number of levels of the encoder that the perceptual loss uses


def weighted_l1(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean absolute error.

    Parameters
    ----------
    predicted, target : (b, c, S, S) tensors
    weight : (b, 1, S, S) tensor
        Weight of each texel.

    Returns
    -------
    () tensor

    Notes
    -----
    The published code of DeepFill v2 divides by the number of all texels, so the loss in that code depends on the
    size of the masks.
    """
    return ((predicted - target).abs() * weight).sum() / (weight.sum() * predicted.shape[1]).clamp_min(1)


class PerceptualLoss(nn.Module):
    """Perceptual loss: relative L1 error of feature maps (Johnson et al. 2016) of the FaceVision encoder, not VGG-16.

    Parameters
    ----------
    generator : FaceVisionGenerator
        Trained network. The loss uses the first three levels of the encoder.

    Notes
    -----
    Textures are reduced to half their size. The encoder was trained on crops of 128 pixels with a face height of about
    85 pixels; in a texture of 192 texels the face is nearly twice as high.
    """

    def __init__(self, generator: FaceVisionGenerator) -> None:
        super().__init__()
        self.fold = generator.encoder.fold
        self.levels = nn.Sequential(*list(generator.encoder)[:PERCEPTUAL_LEVELS]).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Return the module unchanged: normalisation layers always use the statistics of the encoder training."""
        return self

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the relative L1 difference of the encoder's features, as a mean over its levels.

        For each level: sum |f(predicted) - f(target)| / sum |f(target)|, with the features f of the level.

        Parameters
        ----------
        predicted, target : (b, 3, S, S) tensors in [-1, 1]

        Returns
        -------
        () tensor
        """
        x, y = (fold_pixels(functional.avg_pool2d(texture, 2), self.fold) for texture in (predicted, target))
        ratios = []
        for level in self.levels:
            x = level(x)
            with torch.no_grad():
                y = level(y)
            ratios.append((x.float() - y.float()).abs().sum() / y.float().abs().sum().clamp_min(1e-6))
        return torch.stack(ratios).mean()


def critic_loss(critic: nn.Module, real: Tensor, fake: Tensor, known: Tensor, adversary: str) -> Tensor:
    """Return the loss of the critic without the gradient penalty.

    Parameters
    ----------
    critic : nn.Module
        Network whose input is texture and mask, (b, 4, S, S).
    real, fake : (b, 3, S, S) tensors
        True and completed textures.
    known : (b, 1, S, S) tensor
        Mask of the known texels.
    adversary : str
        "wgan": mean score of `fake` minus mean score of `real` (Arjovsky et al. 2017). "sn-patchgan": hinge loss of the
        scores of all patches (Yu et al. 2019, equation 3).

    Returns
    -------
    () tensor
    """
    scores = critic(torch.cat([torch.cat([real, known], 1), torch.cat([fake, known], 1)])).float()
    on_real, on_fake = scores.chunk(2)
    if adversary == "wgan":
        return on_fake.mean() - on_real.mean()
    return functional.relu(1 - on_real).mean() + functional.relu(1 + on_fake).mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, known: Tensor, share: Tensor) -> Tensor:
    """Return the gradient penalty of the critic, the mean of (|gradient| - 1)^2 (Gulrajani et al. 2017, equation 3).

    Parameters
    ----------
    critic : nn.Module
        Network whose input is texture and mask, (b, 4, S, S).
    real, fake : (b, 3, S, S) tensors
        True and completed textures.
    known : (b, 1, S, S) tensor
        Mask of the known texels, where the gradient is ignored (Yu et al. 2018, equation 4).
    share : (b, 1, 1, 1) tensor in [0, 1]
        Share of `real` in the mixture at which the gradient is computed.

    Returns
    -------
    () tensor
    """
    mixed = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic_scores(critic, mixed, known).sum(), mixed, create_graph=True)
    norm = ((gradient * (1 - known)) ** 2).sum((1, 2, 3)).add(1e-12).sqrt()
    return ((norm - 1) ** 2).mean()
