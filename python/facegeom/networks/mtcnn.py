"""The three networks of MTCNN: proposals in a whole image, then two stages that refine and filter them.

Each network classifies a square window and predicts the box of the 68 landmarks relative to the window. Layers
and input sizes (12, 24 and 48 pixels) are those of the paper. Differences: batch normalisation before each activation,
one logit instead of two classes, and no landmark branch, because facegeom's landmarks come from the face model.

References
----------
K. Zhang, Z. Zhang, Z. Li, Y. Qiao: Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks,
IEEE Signal Processing Letters 23 (2016), table I and figure 2. Used by Liu et al., Pixel2Mesh for 3D Face
Reconstruction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

WINDOWS = {"p": 12, "r": 24, "o": 48}
"""Side length in pixels of the square window of each network."""

PROPOSAL_STRIDE = 2
"""Distance in pixels between neighbouring windows of the proposal network."""


@dataclass(frozen=True)
class MtcnnConfig:
    """Channels of the three networks; the defaults are the paper's."""

    proposal: tuple[int, int, int] = (10, 16, 32)
    refine: tuple[int, int, int, int] = (28, 48, 64, 128)
    output: tuple[int, int, int, int, int] = (32, 64, 64, 128, 256)


class Mtcnn(nn.Module):
    """The proposal, refinement and output networks in one module with one state dict.

    Each network takes (n, 3, side, side) float images scaled by `normalise` and returns logits and offsets. The four
    offsets are the centre of the box minus the centre of the window (x, y), and the logarithms of the width and the
    height of the box, all in units of the window's side.
    """

    def __init__(self, config: MtcnnConfig) -> None:
        super().__init__()
        self.config = config
        self.p = ProposalNet(config.proposal)
        self.r = RefineNet(config.refine)
        self.o = OutputNet(config.output)


class ProposalNet(nn.Module):
    """P-Net: fully convolutional; evaluates windows of 12 pixels with a stride of 2 pixels."""

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
        """Return face logits (n, h', w') and box offsets (n, 4, h', w'), one per window."""
        result = self.head(self.body(image))
        return result[:, 0], result[:, 1:]


class RefineNet(nn.Module):
    """R-Net: windows of 24 pixels, (n, 3, 24, 24)."""

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
        """Return the face logits (n,) and the box offsets (n, 4) of n windows."""
        result = self.head(self.body(image))
        return result[:, 0], result[:, 1:]


class OutputNet(nn.Module):
    """O-Net: windows of 48 pixels, (n, 3, 48, 48)."""

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
        """Return the face logits (n,) and the box offsets (n, 4) of n windows."""
        result = self.head(self.body(image))
        return result[:, 0], result[:, 1:]


def normalise(image: Tensor) -> Tensor:
    """Convert uint8 pixels (n, h, w, 3) to floats (n, 3, h, w) in [-1, 1]."""
    return image.permute(0, 3, 1, 2).to(torch.float32).sub_(127.5).div_(127.5).contiguous()


def _block(inputs: int, outputs: int, kernel: int, pool: nn.Module | None = None) -> tuple[nn.Module, ...]:
    """Return the layers of a block: convolution, pooling, batch normalisation, activation.

    Pooling precedes the activation: for increasing activations the result is the same, with a quarter of the elements.
    """
    pooling = () if pool is None else (pool,)
    return nn.Conv2d(inputs, outputs, kernel, bias=False), *pooling, nn.BatchNorm2d(outputs), nn.PReLU(outputs)
