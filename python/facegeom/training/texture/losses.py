"""Losses on completed textures; the paper each comes from is in its docstring."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.facevision import FaceVisionGenerator
from facegeom.networks.texture_critic import critic_scores

PERCEPTUAL_LEVELS = 3


def weighted_l1(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean |predicted - target| by weight: (b, c, S, S), (b, c, S, S), (b, 1, S, S) -> scalar.

    The published deepfillv2 divides by all texels: its weight of 100 stands for less the smaller the masks are.
    """
    return ((predicted - target).abs() * weight).sum() / (weight.sum() * predicted.shape[1]).clamp_min(1)


class PerceptualLoss(nn.Module):
    """Relative L1 of feature maps (Johnson et al. 2016), of FaceVision's encoder in place of VGG-16.

    Parameters
    ----------
    generator : FaceVisionGenerator
        Trained; its encoder's first three levels are used (1/2, 1/4 and 1/8 of the size that it is shown).

    Notes
    -----
    The encoder was trained on crops of 128 pixels, the face about 85 of them high, and shipped with this package; in a
    texture of 192 texels the face is nearly twice as high, so that it is shown at half the size.
    """

    def __init__(self, generator: FaceVisionGenerator) -> None:
        super().__init__()
        self.levels = nn.Sequential(*list(generator.encoder)[:PERCEPTUAL_LEVELS]).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stay as it is: the normalisation's statistics are those of the encoder's own training."""
        return self

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the mean over levels of sum |F(predicted) - F(target)| / sum |F(target)|; (b, 3, S, S) each."""
        x, y = functional.avg_pool2d(predicted, 2), functional.avg_pool2d(target, 2)
        ratios = []
        for level in self.levels:
            x = level(x)
            with torch.no_grad():
                y = level(y)
            ratios.append((x.float() - y.float()).abs().sum() / y.float().abs().sum().clamp_min(1e-6))
        return torch.stack(ratios).mean()


def critic_loss(critic: nn.Module, real: Tensor, fake: Tensor, known: Tensor, adversary: str) -> Tensor:
    """Return what the critic minimises but for the penalty: textures (b, 3, S, S), masks (b, 1, S, S) -> scalar.

    "wgan": the negative distance of the means (Arjovsky et al. 2017). "sn-patchgan": the hinge of every patch's score
    (Yu et al. 2019, equation 3).
    """
    scores = critic(torch.cat([torch.cat([real, known], 1), torch.cat([fake, known], 1)])).float()
    on_real, on_fake = scores.chunk(2)
    if adversary == "wgan":
        return on_fake.mean() - on_real.mean()
    return functional.relu(1 - on_real).mean() + functional.relu(1 + on_fake).mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, known: Tensor, share: Tensor) -> Tensor:
    """Return the mean squared distance from 1 of the norm of the critic's gradient (Gulrajani et al. 2017, eq. 3).

    Parameters
    ----------
    critic : module of (b, 4, S, S)
    real, fake : (b, 3, S, S)
    known : (b, 1, S, S)
        Where both are the same; the gradient counts elsewhere only (Yu et al. 2018, equation 4).
    share : (b, 1, 1, 1) in [0, 1], of the real texture in the mixture at which the gradient is taken
    """
    mixed = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic_scores(critic, mixed, known).sum(), mixed, create_graph=True)
    norm = ((gradient * (1 - known)) ** 2).sum((1, 2, 3)).add(1e-12).sqrt()
    return ((norm - 1) ** 2).mean()
