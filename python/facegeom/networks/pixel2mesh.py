"""Pixel2Mesh for faces: a photo's features deform a semi-sphere in four blocks, coarse to fine.

Liu et al., Pixel2Mesh for 3D Face Reconstruction, section 3.1, after Wang et al., Pixel2Mesh (2018).

Decisions where the papers are silent, or need more than fits here:

- The encoder is that of FaceVision-GAN without its last level, so that it can begin with weights of our own, where the
  paper has a ResNet-50. Vertices read from all four levels (480 channels; the paper's four have 960) at once: a 1x1
  convolution brings each to 64 channels, and bilinear enlargement and addition all to one map. Since reading is linear,
  this stands for the first graph convolution's matrix over the joined levels, in two factors.
- Blocks give displacements, zero at the start, not coordinates. From the second block on a vertex's features are what
  it reads, its position, and the hidden features of the block before, unpooled.
- The network says itself where the face is, see `PlacementHead`: the paper's semi-sphere begins at the same place in
  every photo.
- Parallel projection: a vertex lies over the pixel of its own x and y, since positions are in the crop's frame.
- Blocks are the narrower, the more vertices they have: at one width, the finest would cost more than all else together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.facevision import Encoder
from facegeom.networks.graph import GraphResNet
from facegeom.networks.semi_sphere_network import Placement, SemiSphereNetwork

GAIN = 10.0
"""By which the placement is learned faster than the rest, under an optimiser that takes steps of one size."""


@dataclass(frozen=True)
class Pixel2MeshConfig:
    """Sizes of the network."""

    size: int = 128  # side of the input in pixels, a multiple of 16
    encoder_widths: tuple[int, ...] = (32, 96, 160, 192)  # channels at 1/2, 1/4, 1/8, 1/16 of the size: FaceVision's
    encoder_blocks: tuple[int, ...] = (1, 2, 3, 2)  # residual blocks there
    pooled: int = 64  # channels that vertices read
    widths: tuple[int, ...] = (128, 128, 64, 32)  # of the hidden features of each block; Wang et al.: 192
    codes: int = 8  # learned features of each vertex of all levels but the finest
    spots: int = 32  # of an image, by which the semi-sphere is placed
    residuals: int = 6  # residual blocks in each: 14 graph convolutions
    adaptive: bool = True  # unpooling at learned places; else at the middles of the edges


class PlacementHead(nn.Module):
    """Where the face is, from the encoder's last level (b, c, h, w).

    Maps of weights say where the network looks; the means of place and of a value there, so weighted, go through two
    linear layers. Rotations are two vectors made orthonormal (Zhou et al. 2019). At the start nothing is moved.
    """

    def __init__(self, channels: int, spots: int, width: int = 64) -> None:
        super().__init__()
        self.spots = nn.Conv2d(channels, 2 * spots, 1)  # their weights and their values
        self.inner, self.last = nn.Linear(3 * spots, width), nn.Linear(width, 10)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, level: Tensor) -> Placement:
        """Return the placement of each crop."""
        with torch.autocast(level.device.type, enabled=False):
            weight, value = self.spots(level.float()).flatten(2).chunk(2, 1)
            share = weight.softmax(-1).unflatten(-1, level.shape[2:])  # (b, spots, h, w)
            down, right = (torch.linspace(-1, 1, side, device=level.device) for side in level.shape[2:])
            means = [share.sum(2) @ right, share.sum(3) @ down, (share.flatten(2) * value).sum(-1)]
            made = GAIN * self.last(functional.relu(self.inner(torch.cat(means, 1))))
            across, up, scale, shift = made.split((3, 3, 1, 3), 1)
            x = functional.normalize(across + made.new_tensor((1.0, 0.0, 0.0)), dim=1)
            up = up + made.new_tensor((0.0, 1.0, 0.0))
            y = functional.normalize(up - (x * up).sum(1, keepdim=True) * x, dim=1)
            return Placement(torch.stack([x, y, torch.linalg.cross(x, y)], 2), scale.exp(), shift)


class Pixel2MeshNetwork(SemiSphereNetwork):
    """The network: (b, 3, S, S) in [-1, 1] -> four deformations; it does not look at landmarks."""

    encoder: Encoder
    needs_landmarks = False

    def __init__(self, config: Pixel2MeshConfig = Pixel2MeshConfig()) -> None:
        super().__init__(config.pooled, config.widths, config.codes, adaptive=config.adaptive)
        self.config, self.size = config, config.size
        self.encoder = Encoder(config.encoder_widths, config.encoder_blocks)
        self.readers = nn.ModuleList(nn.Conv2d(width, config.pooled, 1) for width in config.encoder_widths)
        self.placement = PlacementHead(config.encoder_widths[-1], config.spots)
        self.blocks = nn.ModuleList(
            GraphResNet(inputs, width, config.residuals)
            for inputs, width in zip(self.inputs, config.widths, strict=True)
        )

    def look(self, image: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Placement]:
        """Return the map that vertices read from, (b, pooled, S/2, S/2), all levels together, and the placement."""
        made = self.encoder(image)
        levels = [reader(level) for reader, level in zip(self.readers, made, strict=True)]
        total = levels.pop()
        while levels:
            finer = levels.pop()
            total = finer + functional.interpolate(total, scale_factor=2.0, mode="bilinear")
        return total, self.placement(made[-1])

    def placed_start(self, image: Tensor) -> Tensor:
        """Return the vertices (141, b, 3) of the semi-sphere where the network places it, crop frame."""
        placement: Placement = self.placement(self.encoder(image)[-1])
        return placement.to_crop(self.start.expand(-1, len(image), -1))

    def displace(self, level: int, inputs: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what a block makes of its inputs."""
        made: tuple[Tensor, Tensor] = self.blocks[level](inputs, self.graphs[level])
        return made
