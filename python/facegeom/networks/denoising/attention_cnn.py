"""CNN with attention: a residual network whose channels are weighted by what the whole image shows.

Anwar and Barnes, Real Image Denoising with Feature Attention (ICCV 2019): blocks of dilated convolutions in two
branches, residual blocks, and feature attention. Here the features have a quarter of the image's resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.denoising.layers import FOLDED, Residual, convolution, correction, enlarged, fold, unfold

CHANNELS, BLOCKS, SQUEEZE = 80, 3, 16


class FeatureAttention(nn.Module):
    """Multiplies each channel by a factor in [0, 1], computed from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, channels // SQUEEZE, 1)
        self.wide = nn.Conv2d(channels // SQUEEZE, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        means = x.mean((2, 3), keepdim=True)
        return x * self.wide(functional.relu(self.narrow(means))).sigmoid()


class AttentionBlock(nn.Module):
    """Two branches of dilated convolutions, two residual blocks and feature attention, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Sequential(convolution(channels, channels), convolution(channels, channels, dilation=2))
        self.far = nn.Sequential(
            convolution(channels, channels, dilation=3), convolution(channels, channels, dilation=4)
        )
        self.merge = convolution(2 * channels, channels)
        self.rest = nn.Sequential(Residual(channels), Residual(channels), FeatureAttention(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        merged = x + self.merge(torch.cat([self.near(x), self.far(x)], 1))
        out: Tensor = x + self.rest(merged)
        return out


class AttentionCnn(nn.Module):
    """The network: noisy images (b, 3, h, w) -> images without noise."""

    def __init__(self) -> None:
        super().__init__()
        self.first = convolution(FOLDED, CHANNELS // 2)
        self.down = convolution(CHANNELS // 2, CHANNELS, stride=2)
        self.blocks = nn.Sequential(*(AttentionBlock(CHANNELS) for _ in range(BLOCKS)))
        self.up = convolution(CHANNELS, CHANNELS // 2)
        self.last = correction(CHANNELS // 2)

    def forward(self, image: Tensor) -> Tensor:
        """Return denoised images (b, 3, h, w); the sides must be multiples of 4."""
        fine = self.first(fold(image))
        deep = self.down(fine)
        features = fine + self.up(enlarged(deep + self.blocks(deep)))
        return image + unfold(self.last(features))
