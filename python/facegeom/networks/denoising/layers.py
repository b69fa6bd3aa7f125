"""Layers that the denoising networks share.

All networks see blocks of 2 x 2 pixels as one pixel with twelve channels, which makes them about four times as fast (as
Zhang et al. 2018, FFDNet). None has batch normalisation: its statistics would depend on the noise of a batch.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.interface import DENOISER_STEP

FOLD = 2
"""Side of the blocks of pixels that become one pixel."""

FOLDED = 3 * FOLD * FOLD
"""Channels of the folded image."""

WIDTHS = (48, 96, 160, 192)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution of the image."""

STEP = DENOISER_STEP
"""Sides of an image must be multiples of this number of pixels: `FOLD` times the reduction of the widths."""


def fold(image: Tensor) -> Tensor:
    """Return an image (b, 3, h, w) as (b, 12, h / 2, w / 2)."""
    return functional.pixel_unshuffle(image, FOLD)


def unfold(folded: Tensor) -> Tensor:
    """Return the image (b, 3, 2 h, 2 w) of a folded one (b, 12, h, w)."""
    return functional.pixel_shuffle(folded, FOLD)


def convolution(before: int, after: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution and a rectifier."""
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, dilation, dilation), nn.ReLU(True))


def enlarged(x: Tensor) -> Tensor:
    """Return features (b, c, 2 h, 2 w) of features (b, c, h, w)."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear")


class Residual(nn.Module):
    """Two 3 x 3 convolutions added to their input (He et al. 2016); the input is returned before training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner, self.last = convolution(channels, channels), nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        out: Tensor = x + self.last(self.inner(x))
        return out


def correction(channels: int) -> nn.Conv2d:
    """Return the last convolution of a network that predicts the noise: zero before training."""
    layer = nn.Conv2d(channels, FOLDED, 3, padding=1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
