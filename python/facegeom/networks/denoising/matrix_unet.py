"""U-shaped CNN with matrix decomposition (MD): the features of the whole image are replaced by a low-rank product.

Geng et al., Is Attention Better Than Matrix Decomposition? (ICLR 2021): the matrix of features is factorised into two
matrices of low rank without negative values, by multiplicative updates (Lee and Seung 1999). Noise has no low rank, so
that it does not pass. As there, gradients flow through the last update only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.denoising.layers import FOLDED, WIDTHS, Residual, convolution, correction, enlarged, fold, unfold

RANK, UPDATES = 64, 6
DECOMPOSED = (2, 3)
"""Levels with a decomposition, those of 1/8 and 1/16 of the resolution."""

SMALL = 1e-6


class LowRank(nn.Module):
    """Adds the low-rank part of rectified features, (b, c, h, w) -> (b, c, h, w); the input before training."""

    bases: Tensor  # (1, c, RANK), initial bases

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.zeros_(self.after.weight)
        generator = torch.Generator().manual_seed(channels)  # fixed: the same image gives the same answer
        bases = torch.rand(1, channels, RANK, generator=generator)
        self.register_buffer("bases", functional.normalize(bases, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        matrix = functional.relu(self.before(x)).flatten(2).float()  # (b, c, h w)
        with torch.no_grad():
            bases = self.bases
            codes = (bases.transpose(1, 2) @ matrix).softmax(1)  # (b, RANK, h w)
            for _ in range(UPDATES):
                codes = _updated(codes, bases.transpose(1, 2), matrix)
                bases = _updated(bases.transpose(1, 2), codes, matrix.transpose(1, 2)).transpose(1, 2)
        codes = _updated(codes, bases.transpose(1, 2), matrix)
        low = (bases @ codes).view_as(x).to(x.dtype)
        out: Tensor = x + self.after(low)
        return out


def _updated(codes: Tensor, bases: Tensor, matrix: Tensor) -> Tensor:
    """Return codes (b, r, n) after a multiplicative update, for bases (b, r, c) and a matrix (b, c, n)."""
    return codes * (bases @ matrix) / (bases @ bases.transpose(1, 2) @ codes + SMALL)


class MatrixUnet(nn.Module):
    """The network: noisy images (b, 3, h, w) -> images without noise."""

    def __init__(self) -> None:
        super().__init__()
        levels = range(len(WIDTHS))
        self.first = convolution(FOLDED, WIDTHS[0])
        self.levels = nn.ModuleList(
            nn.Sequential(Residual(WIDTHS[n]), *([LowRank(WIDTHS[n])] if n in DECOMPOSED else [])) for n in levels
        )
        self.down = nn.ModuleList(convolution(WIDTHS[n], WIDTHS[n + 1], stride=2) for n in levels[:-1])
        self.up = nn.ModuleList(convolution(WIDTHS[n + 1], WIDTHS[n]) for n in levels[:-1])
        self.merge = nn.ModuleList(Residual(WIDTHS[n]) for n in levels[:-1])
        self.last = correction(WIDTHS[0])

    def forward(self, image: Tensor) -> Tensor:
        """Return denoised images (b, 3, h, w); the sides must be multiples of 16."""
        x = self.levels[0](self.first(fold(image)))
        kept = []
        for down, level in zip(self.down, list(self.levels)[1:], strict=True):
            kept.append(x)
            x = level(down(x))
        for n in reversed(range(len(kept))):
            x = self.merge[n](kept[n] + self.up[n](enlarged(x)))
        return image + unfold(self.last(x))
