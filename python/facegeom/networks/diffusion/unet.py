"""The U-Net that predicts the velocity of noisy latents, conditioned on maps of the head and on attributes.

Ho et al. 2020 (U-Net with group normalisation and attention at low resolutions), with the time as scale and shift after
the normalisation (Dhariwal and Nichol 2021, section 3). The maps, normals and correspondence of the fitted head, say
where each part of the head is: pose, identity and expression. They are encoded to the grid of the latents and
concatenated. The attributes are added to the embedding of the time. Without the condition (classifier-free guidance, Ho
and Salimans 2022) the features of the maps are zero and the attributes are a learned vector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.diffusion.layers import GROUP, activated, convolution, enlarged, zeroed

MAPS = 7
"""Channels of the maps: normals x, y, z, correspondence x, y, z in 100 mm, and the mask of the head."""

ATTRIBUTES = ("glasses", "smile", *(f"light{n}" for n in range(9)))
"""Names of the attributes: glasses 0 or 1, smile in [0, 1], and the nine harmonics of the light on the face."""

MAPS_FACTOR = 2
"""Side of the maps / side of the latents."""

HEAD_CHANNELS = 64  # channels of one head of the attention
FASTEST_TIME = 1e4  # ratio of the slowest and the fastest wave in the embedding of the time


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of the U-Net."""

    latent: int = 8  # channels of the latents
    widths: tuple[int, ...] = (128, 192, 256)  # channels at 1, 1/2 and 1/4 of the resolution, multiples of 64
    blocks: int = 1  # residual blocks at each resolution on the way down, and one more on the way up
    attention: tuple[int, ...] = (1, 2)  # levels with attention
    encoded: int = 64  # channels of the encoded maps

    def __post_init__(self) -> None:
        if not self.widths or any(width % HEAD_CHANNELS for width in self.widths) or self.encoded % GROUP:
            raise ValueError(
                f"widths must be multiples of {HEAD_CHANNELS} and encoded of {GROUP}, got {self.widths}, {self.encoded}"
            )


class TimedResidual(nn.Module):
    """Two convolutions added to the input; the embedding (b, e) scales and shifts what is between them."""

    def __init__(self, before: int, after: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Sequential(activated(before), convolution(before, after))
        self.normal = nn.GroupNorm(after // GROUP, after)
        self.timed = nn.Linear(embedding, 2 * after)
        self.second = zeroed(convolution(after, after))
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return features (b, after, h, w)."""
        scale, shift = self.timed(embedding)[:, :, None, None].chunk(2, 1)
        inner = functional.silu(self.normal(self.first(x)) * (1 + scale) + shift)
        out: Tensor = self.skip(x) + self.second(inner)
        return out


class Attention(nn.Module):
    """Self-attention over all places (Vaswani et al. 2017), added to the input: (b, c, h, w) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normal = nn.GroupNorm(channels // GROUP, channels)
        self.before, self.after = nn.Conv2d(channels, 3 * channels, 1), zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        batch, channels, height, width = x.shape
        parts = self.before(self.normal(x)).reshape(batch, 3, channels // HEAD_CHANNELS, HEAD_CHANNELS, -1)
        query, key, value = parts.transpose(3, 4).unbind(1)  # (b, heads, h w, HEAD_CHANNELS)
        seen = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = x + self.after(seen.transpose(2, 3).reshape(batch, channels, height, width))
        return out


class Level(nn.Module):
    """A residual block and, at some levels, attention."""

    def __init__(self, before: int, after: int, embedding: int, attention: bool) -> None:
        super().__init__()
        self.residual = TimedResidual(before, after, embedding)
        self.attention = Attention(after) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return features (b, after, h, w)."""
        out: Tensor = self.attention(self.residual(x, embedding))
        return out


class ConditionedUNet(nn.Module):
    """The U-Net.

    Parameters
    ----------
    config : UNetConfig
    """

    def __init__(self, config: UNetConfig = UNetConfig()) -> None:
        super().__init__()
        self.config = config
        widths, embedding = config.widths, 4 * config.widths[0]
        self.time = nn.Sequential(nn.Linear(widths[0], embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.attributes = nn.Sequential(
            nn.Linear(len(ATTRIBUTES), embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.without = nn.Parameter(torch.zeros(embedding))
        self.maps = nn.Sequential(
            convolution(MAPS, config.encoded),
            nn.SiLU(),
            convolution(config.encoded, config.encoded, MAPS_FACTOR),
            nn.SiLU(),
            convolution(config.encoded, config.encoded),
        )
        self.first = convolution(config.latent + config.encoded, widths[0])
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        kept, before = [widths[0]], widths[0]
        for level, width in enumerate(widths):
            blocks = nn.ModuleList()
            for _ in range(config.blocks):
                blocks.append(Level(before, width, embedding, level in config.attention))
                before = width
                kept.append(width)
            self.down.append(blocks)
            if level + 1 < len(widths):
                self.shrink.append(convolution(width, width, 2))
                kept.append(width)
        self.middle = nn.ModuleList([Level(before, before, embedding, n == 0) for n in range(2)])
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(widths))):
            blocks = nn.ModuleList()
            for _ in range(config.blocks + 1):
                blocks.append(Level(before + kept.pop(), widths[level], embedding, level in config.attention))
                before = widths[level]
            self.up.append(blocks)
            if level:
                self.grow.append(convolution(before, before))
        self.last = nn.Sequential(activated(before), zeroed(convolution(before, config.latent)))

    def forward(self, noisy: Tensor, time: Tensor, maps: Tensor, attributes: Tensor, known: Tensor) -> Tensor:
        """Return the velocity of noisy latents, (b, c, h, w).

        Parameters
        ----------
        noisy : (b, c, h, w)
        time : (b,) times of the schedule
        maps : (b, MAPS, 2 h, 2 w)
        attributes : (b, a), in the order of `ATTRIBUTES`
        known : (b,) 1: with the condition, 0: without
        """
        known = known.to(noisy)
        told = known[:, None] * self.attributes(attributes) + (1 - known[:, None]) * self.without
        embedding = functional.silu(self.time(waves(time, self.config.widths[0]).to(noisy)) + told)
        x = self.first(torch.cat([noisy, known[:, None, None, None] * self.maps(maps)], 1))
        kept = [x]
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, embedding)
                kept.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
                kept.append(x)
        for block in self.middle:
            x = block(x, embedding)
        for number, blocks in enumerate(self.up):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(torch.cat([x, kept.pop()], 1), embedding)
            if number < len(self.grow):
                x = self.grow[number](enlarged(x))
        out: Tensor = self.last(x)
        return out


def waves(time: Tensor, channels: int) -> Tensor:
    """Return sines and cosines of times (b,), (b, channels): the embedding of positions of Vaswani et al. 2017."""
    half = channels // 2
    rates = torch.exp(-math.log(FASTEST_TIME) * torch.arange(half, device=time.device) / half)
    angles = time.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
