"""The three networks of MTCNN: proposals over a whole image, then two closer looks at each of them.

Each scores a square window and says how the box of the 68 landmarks lies in it. Layers and input sizes (12, 24 and 48
pixels) are the paper's, with batch normalisation before each activation, one logit in the place of two classes, and no
landmark branch: facegeom's landmarks come from the face model.

References
----------
K. Zhang, Z. Zhang, Z. Li, Y. Qiao: Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks,
IEEE Signal Processing Letters 23 (2016), table I and figure 2. The third paper of `design.md` detects with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

WINDOWS = {"p": 12, "r": 24, "o": 48}
"""Side of the square window that each network sees, pixels."""

PROPOSAL_STRIDE = 2
"""Pixels between neighbouring windows of the proposal network."""


@dataclass(frozen=True)
class MtcnnConfig:
    """Channels of the three networks; the defaults are the paper's."""

    proposal: tuple[int, int, int] = (10, 16, 32)
    refine: tuple[int, int, int, int] = (28, 48, 64, 128)
    output: tuple[int, int, int, int, int] = (32, 64, 64, 128, 256)


class Mtcnn(nn.Module):
    """The proposal, refinement and output networks as one module with one state.

    Each takes (n, 3, side, side) float images scaled by `normalise` and returns logits and offsets: the box's centre
    minus the window's, x and y, and the logarithms of the box's width and height, all in units of the window's side.
    """

    def __init__(self, config: MtcnnConfig) -> None:
        super().__init__()
        self.config = config
        self.p = ProposalNet(config.proposal)
        self.r = RefineNet(config.refine)
        self.o = OutputNet(config.output)


class ProposalNet(nn.Module):
    """P-Net: fully convolutional, one window of 12 pixels every second pixel."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        a, b, c = channels
        self.body = nn.Sequential(
            *_block(3, a, 3, nn.MaxPool2d(2)),  # (n, a, (h - 2) // 2, (w - 2) // 2)
            *_block(a, b, 3),
            *_block(b, c, 3),  # (n, c, (h - 2) // 2 - 4, (w - 2) // 2 - 4)
        )
        self.head = nn.Conv2d(c, 5, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n, h', w') and offsets (n, 4, h', w')."""
        result = self.head(self.body(image))
        return result[:, 0], result[:, 1:]


class RefineNet(nn.Module):
    """R-Net: windows of 24 pixels."""

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        a, b, c, d = channels
        self.body = nn.Sequential(
            *_block(3, a, 3, nn.MaxPool2d(3, 2, ceil_mode=True)),  # (n, a, 22, 22), (n, a, 11, 11)
            *_block(a, b, 3, nn.MaxPool2d(3, 2)),  # (n, b, 9, 9), (n, b, 4, 4)
            *_block(b, c, 2),  # (n, c, 3, 3)
            nn.Flatten(),
            nn.Linear(9 * c, d),
            nn.PReLU(d),
        )
        self.head = nn.Linear(d, 5)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n,) and offsets (n, 4)."""
        result = self.head(self.body(image))
        return result[:, 0], result[:, 1:]


class OutputNet(nn.Module):
    """O-Net: windows of 48 pixels."""

    def __init__(self, channels: tuple[int, int, int, int, int]) -> None:
        super().__init__()
        a, b, c, d, e = channels
        self.body = nn.Sequential(
            *_block(3, a, 3, nn.MaxPool2d(3, 2, ceil_mode=True)),  # (n, a, 46, 46), (n, a, 23, 23)
            *_block(a, b, 3, nn.MaxPool2d(3, 2)),  # (n, b, 21, 21), (n, b, 10, 10)
            *_block(b, c, 3, nn.MaxPool2d(2)),  # (n, c, 8, 8), (n, c, 4, 4)
            *_block(c, d, 2),  # (n, d, 3, 3)
            nn.Flatten(),
            nn.Linear(9 * d, e),
            nn.PReLU(e),
        )
        self.head = nn.Linear(e, 5)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n,) and offsets (n, 4)."""
        result = self.head(self.body(image))
        return result[:, 0], result[:, 1:]


def normalise(image: Tensor) -> Tensor:
    """Return (n, h, w, 3) uint8 pixels as (n, 3, h, w) floats in [-1, 1]."""
    return image.permute(0, 3, 1, 2).to(torch.float32).sub_(127.5).div_(127.5).contiguous()


def _block(inputs: int, outputs: int, kernel: int, pool: nn.Module | None = None) -> tuple[nn.Module, ...]:
    """Convolution, pooling, normalisation, activation.

    Pooling comes before the activation, which is the same for rising activations and leaves a quarter of the elements.
    """
    pooling = () if pool is None else (pool,)
    return nn.Conv2d(inputs, outputs, kernel, bias=False), *pooling, nn.BatchNorm2d(outputs), nn.PReLU(outputs)
