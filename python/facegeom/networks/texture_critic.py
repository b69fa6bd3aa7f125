"""Discriminator of the texture completion: scores patches of a texture and its mask.

Yu et al. 2019, section 3.3: 5 x 5 convolutions with stride 2. With spectral normalisation it is their SN-PatchGAN.
Without any normalisation it is the critic of a WGAN-GP (Gulrajani et al. 2017), whose gradient penalty needs a critic
that treats each texture independently.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class TextureCritic(nn.Sequential):
    """Texture and mask (b, 4, S, S) -> patch scores (b, 1, S / 32, S / 32), sizes rounded up.

    Parameters
    ----------
    width : int
        Channels of the first layer; the second has twice and the others four times as many.
    spectral : bool
        Normalise the weights of every layer by their largest singular value.
    """

    def __init__(self, width: int = 32, *, spectral: bool = False) -> None:
        widths = [4, width, 2 * width, 4 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [_layer(inputs, outputs, 2, spectral), nn.LeakyReLU(0.2)]
        super().__init__(*layers, _layer(widths[-1], 1, 1, spectral))


def _layer(inputs: int, outputs: int, stride: int, spectral: bool) -> nn.Module:
    """Return a 5 x 5 convolution, with spectral normalisation if requested."""
    convolution = nn.Conv2d(inputs, outputs, 5, stride, 2)
    return spectral_norm(convolution) if spectral else convolution


def critic_scores(critic: nn.Module, textures: Tensor, known: Tensor) -> Tensor:
    """Return the mean patch score (b,) of textures (b, 3, S, S) with masks of known texels (b, 1, S, S)."""
    return critic(torch.cat([textures, known], 1)).float().mean((1, 2, 3))
