"""D-U-Net: a U-Net whose levels are dense blocks, in which each layer sees the outputs of all layers before it.

Guan et al., Fully Dense UNet for 2-D Sparse Photoacoustic Tomography Artifact Removal (2020); dense blocks: Huang et
al., Densely Connected Convolutional Networks (CVPR 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegeom.networks.denoising.layers import FOLDED, convolution, correction, enlarged, fold, unfold

INPUTS, GROWTH, LAYERS = (32, 64, 96, 128), (16, 24, 40, 56), 4
"""Channels before the dense block of each level, channels that each of its layers adds, and number of these layers."""


class DenseBlock(nn.Module):
    """Convolutions, each of which adds channels: (b, c, h, w) -> (b, c + LAYERS * growth, h, w)."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(convolution(inputs + n * growth, growth) for n in range(LAYERS))
        self.channels = inputs + LAYERS * growth

    def forward(self, x: Tensor) -> Tensor:
        """Return the input and what the layers add to it."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class DenseUnet(nn.Module):
    """The network: noisy images (b, 3, h, w) -> images without noise."""

    def __init__(self) -> None:
        super().__init__()
        self.first = convolution(FOLDED, INPUTS[0])
        self.blocks = nn.ModuleList(DenseBlock(*sizes) for sizes in zip(INPUTS, GROWTH, strict=True))
        made = [int(block.channels) for block in self.blocks]  # type: ignore[arg-type]
        self.down = nn.ModuleList(
            convolution(channels, after, stride=2) for channels, after in zip(made, INPUTS[1:], strict=False)
        )
        self.up, self.merge, self.back = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        below = made[-1]
        for level in reversed(range(len(INPUTS) - 1)):
            width = INPUTS[level]
            self.up.append(convolution(below, width))
            self.merge.append(nn.Sequential(nn.Conv2d(width + made[level], width, 1), nn.ReLU(True)))
            block = DenseBlock(width, GROWTH[level])
            self.back.append(block)
            below = block.channels
        self.last = correction(below)

    def forward(self, image: Tensor) -> Tensor:
        """Return denoised images (b, 3, h, w); the sides must be multiples of 16."""
        x = self.first(fold(image))
        kept = []
        for level, block in enumerate(self.blocks):
            x = block(x)
            if level < len(self.down):
                kept.append(x)
                x = self.down[level](x)
        for up, merge, back in zip(self.up, self.merge, self.back, strict=True):
            x = back(merge(torch.cat([up(enlarged(x)), kept.pop()], 1)))
        return image + unfold(self.last(x))
