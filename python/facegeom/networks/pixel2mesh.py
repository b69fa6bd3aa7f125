"""Pixel2Mesh for faces: image features deform a semi-sphere in four blocks, from coarse to fine.

Liu et al., Pixel2Mesh for 3D Face Reconstruction, section 3.1, after Wang et al., Pixel2Mesh (2018).

Decisions where the papers are silent or too expensive here:

- The encoder is the encoder of FaceVision-GAN without the last level, so that it can be initialised with the weights of
  facegeom's FaceVision-GAN; the paper has a ResNet-50. The paper samples each of the four encoder levels at the
  vertices and concatenates the sampled features. Here a 1x1 convolution maps each level to 64 channels, the levels are
  enlarged bilinearly to one resolution and summed, and the vertices sample only the sum. Sampling is linear, so the
  effect is that the weight matrix of the first graph convolution is a product of two matrices. The four levels have 480
  channels here and 960 in the paper.
- Blocks return displacements instead of coordinates; the displacements are zero before training. From the second block
  on, the input of a vertex consists of its image features, its position, and the unpooled hidden features of the
  previous block.
- The network itself predicts the placement of the semi-sphere, see `PlacementHead`. In the paper the semi-sphere has
  the same initial position in every photo.
- Parallel projection: positions are in the crop frame, so a vertex is projected to its own x and y.
- Blocks with more vertices have fewer channels: with equal widths, the finest block would cost more than all others
  together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.facevision import Encoder
from facegeom.networks.graph import GraphResNet
from facegeom.networks.semi_sphere_network import SemiSphereNetwork, SemiSpherePlacement

PLACEMENT_GAIN = 10.0
"""Factor on the output of the placement head. Optimisers such as Adam change all parameters by steps of similar size,
so the factor makes the placement change faster than the other outputs."""


@dataclass(frozen=True)
class Pixel2MeshConfig:
    """Configuration of the network."""

    size: int = 128  # side length of the input in pixels, a multiple of 16 fold
    fold: int = 1  # blocks of fold x fold pixels become one pixel, as in the FaceVision network that starts the encoder
    encoder_widths: tuple[int, ...] = (32, 96, 160, 192)  # channels at 1/2, ..., 1/16 of the folded resolution
    encoder_blocks: tuple[int, ...] = (1, 2, 3, 2)  # residual blocks at these resolutions
    pooled: int = 64  # channels of the image features at a vertex
    widths: tuple[int, ...] = (128, 128, 64, 32)  # channels of the hidden features of each block; Wang et al.: 192
    codes: int = 8  # number of learned features per vertex, at all levels except the finest
    spots: int = 32  # number of attention maps of the placement head
    residuals: int = 6  # number of residual blocks per deformation block; 6 make 14 graph convolutions
    adaptive: bool = True  # adaptive unpooling; False: new vertices at the midpoints of edges


class PlacementHead(nn.Module):
    """Predicts the placement of the semi-sphere from the last level of the encoder (b, c, h, w).

    Each attention map gives a mean position and a mean value, which are the input of two linear layers. The rotation is
    predicted as two vectors, which are then orthonormalised (Zhou et al. 2019). Before training, the placement is the
    identity.
    """

    def __init__(self, channels: int, spots: int, width: int = 64) -> None:
        super().__init__()
        self.spots = nn.Conv2d(channels, 2 * spots, 1)  # per attention map: logits, then values
        self.inner, self.last = nn.Linear(3 * spots, width), nn.Linear(width, 10)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, level: Tensor) -> SemiSpherePlacement:
        """Return the placement of the semi-sphere in each of the b crops."""
        with torch.autocast(level.device.type, enabled=False):
            weight, value = self.spots(level.float()).flatten(2).chunk(2, 1)
            share = weight.softmax(-1).unflatten(-1, level.shape[2:])  # (b, spots, h, w)
            down, right = (torch.linspace(-1, 1, side, device=level.device) for side in level.shape[2:])
            means = [share.sum(2) @ right, share.sum(3) @ down, (share.flatten(2) * value).sum(-1)]
            made = PLACEMENT_GAIN * self.last(functional.relu(self.inner(torch.cat(means, 1))))
            across, up, scale, shift = made.split((3, 3, 1, 3), 1)
            x = functional.normalize(across + made.new_tensor((1.0, 0.0, 0.0)), dim=1)
            up = up + made.new_tensor((0.0, 1.0, 0.0))
            y = functional.normalize(up - (x * up).sum(1, keepdim=True) * x, dim=1)
            return SemiSpherePlacement(torch.stack([x, y, torch.linalg.cross(x, y)], 2), scale.exp(), shift)


class Pixel2MeshNetwork(SemiSphereNetwork):
    """The network: images (b, 3, S, S) in [-1, 1] -> four deformations; landmarks are not used."""

    encoder: Encoder
    needs_landmarks = False

    def __init__(self, config: Pixel2MeshConfig = Pixel2MeshConfig()) -> None:
        super().__init__(config.pooled, config.widths, config.codes, adaptive=config.adaptive)
        self.config, self.size = config, config.size
        self.encoder = Encoder(config.encoder_widths, config.encoder_blocks, config.fold)
        self.readers = nn.ModuleList(nn.Conv2d(width, config.pooled, 1) for width in config.encoder_widths)
        self.placement = PlacementHead(config.encoder_widths[-1], config.spots)
        self.blocks = nn.ModuleList(
            GraphResNet(inputs, width, config.residuals)
            for inputs, width in zip(self.inputs, config.widths, strict=True)
        )

    def encode_image(self, image: Tensor, landmarks: Tensor | None) -> tuple[Tensor, SemiSpherePlacement]:
        """Return the sum of all projected levels at the resolution of the first, and the placement."""
        made = self.encoder(image)
        levels = [reader(level) for reader, level in zip(self.readers, made, strict=True)]
        total = levels.pop()
        while levels:
            finer = levels.pop()
            total = finer + functional.interpolate(total, scale_factor=2.0, mode="bilinear")
        return total, self.placement(made[-1])

    def placed_start(self, image: Tensor) -> Tensor:
        """Return the vertices (141, b, 3) of the placed semi-sphere before the first block, crop frame."""
        placement: SemiSpherePlacement = self.placement(self.encoder(image)[-1])
        return placement.to_crop(self.start.expand(-1, len(image), -1))

    def displace(self, level: int, inputs: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Apply a block to its inputs (n, b, c); return displacements (n, b, 3) and hidden features (n, b, width)."""
        made: tuple[Tensor, Tensor] = self.blocks[level](inputs, self.graphs[level])
        return made
