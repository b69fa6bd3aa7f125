"""Layers that the autoencoder and the U-Net share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

GROUP = 16
"""Channels per group of the group normalisation, which does not depend on the other images of a batch."""


def activated(channels: int) -> nn.Sequential:
    """Return group normalisation and SiLU."""
    return nn.Sequential(nn.GroupNorm(channels // GROUP, channels), nn.SiLU())


def convolution(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3 x 3 convolution: (b, before, h, w) -> (b, after, h / stride, w / stride)."""
    return nn.Conv2d(before, after, 3, stride, 1)


def zeroed(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Return the layer with weights of zero, so that a residual block is the identity before training."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def enlarged(x: Tensor) -> Tensor:
    """Return features (b, c, 2 h, 2 w) of features (b, c, h, w)."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Residual(nn.Module):
    """Two normalised 3 x 3 convolutions added to their input: (b, c, h, w) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            activated(channels),
            convolution(channels, channels),
            activated(channels),
            zeroed(convolution(channels, channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        out: Tensor = x + self.layers(x)
        return out
