"""Denoising autoencoder, and variational autoencoder: the image passes through a small code, without skip connections.

Autoencoder: Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders (ICML 2008), with
convolutions. Variational autoencoder: Kingma and Welling, Auto-Encoding Variational Bayes (ICLR 2014); the code is
random during the training, and its mean at run time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from facegeom.networks.denoising.layers import FOLDED, WIDTHS, Residual, convolution, enlarged, fold, unfold

CODE = 128
"""Channels of the code at 1/16 of the resolution."""


class Encoder(nn.Sequential):
    """Images (b, 3, h, w) -> (b, channels, h / 16, w / 16)."""

    def __init__(self, channels: int) -> None:
        layers: list[nn.Module] = [convolution(FOLDED, WIDTHS[0])]
        for before, after in pairwise(WIDTHS):
            layers += [convolution(before, after, stride=2), Residual(after)]
        super().__init__(*layers, nn.Conv2d(WIDTHS[-1], channels, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return the code."""
        code: Tensor = super().forward(fold(image))
        return code


class Decoder(nn.Module):
    """Codes (b, CODE, h / 16, w / 16) -> images (b, 3, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = convolution(CODE, WIDTHS[-1])
        self.levels = nn.ModuleList(
            nn.Sequential(Residual(before), convolution(before, after)) for before, after in pairwise(WIDTHS[::-1])
        )
        self.last = nn.Conv2d(WIDTHS[0], FOLDED, 3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        """Return the images."""
        x = self.first(code)
        for level in self.levels:
            x = level(enlarged(x))
        return unfold(self.last(x))


class Autoencoder(nn.Module):
    """The autoencoder: noisy images (b, 3, h, w) -> images without noise."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(CODE), Decoder()

    def forward(self, image: Tensor) -> Tensor:
        """Return denoised images (b, 3, h, w); the sides must be multiples of 16."""
        out: Tensor = self.decoder(self.encoder(image))
        return out


class Drawn(NamedTuple):
    """An answer of a variational autoencoder for a random code.

    Attributes
    ----------
    image : (b, 3, h, w)
    divergence : () Kullback-Leibler divergence of the code from a standard normal distribution, per value of the image
    """

    image: Tensor
    divergence: Tensor


class VariationalAutoencoder(nn.Module):
    """The variational autoencoder: noisy images (b, 3, h, w) -> images without noise."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(2 * CODE), Decoder()

    def forward(self, image: Tensor) -> Tensor:
        """Return denoised images (b, 3, h, w) for the mean code; the sides must be multiples of 16."""
        out: Tensor = self.decoder(self.encoder(image).chunk(2, 1)[0])
        return out

    def draw(self, image: Tensor) -> Drawn:
        """Return denoised images for a random code, and the divergence of the code, for the training."""
        mean, log_variance = self.encoder(image).chunk(2, 1)
        log_variance = log_variance.clamp(-12, 8)
        code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / image.numel()
        return Drawn(self.decoder(code), divergence)
