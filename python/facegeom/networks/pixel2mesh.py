"""Pixel2Mesh for faces: a photo's features deform a semi-sphere in four blocks, coarse to fine.

Liu et al., Pixel2Mesh for 3D Face Reconstruction, section 3.1, after Wang et al., Pixel2Mesh (2018).

Decisions where the papers are silent, or need more than fits here:

- The encoder is that of FaceVision-GAN without its last level, so that it can begin with weights of our own, where the
  paper has a ResNet-50. Vertices read from all four levels (480 channels; the paper's four have 960) at once: a 1x1
  convolution brings each to 64 channels, and bilinear enlargement and addition all to one map. Since reading is linear,
  this stands for the first graph convolution's matrix over the joined levels, in two factors.
- Blocks give displacements, zero at the start, not coordinates. From the second block on a vertex's features are what
  it reads, its position, and the hidden features of the block before, unpooled.
- Parallel projection: a vertex lies over the pixel of its own x and y, since positions are in the crop's frame.
- Blocks are the narrower, the more vertices they have: at one width, the finest would cost more than all else together.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.facevision import Encoder
from facegeom.networks.graph import GraphResNet
from facegeom.networks.semi_sphere_network import SemiSphereNetwork


@dataclass(frozen=True)
class Pixel2MeshConfig:
    """Sizes of the network."""

    size: int = 128  # side of the input in pixels, a multiple of 16
    encoder_widths: tuple[int, ...] = (32, 96, 160, 192)  # channels at 1/2, 1/4, 1/8, 1/16 of the size: FaceVision's
    encoder_blocks: tuple[int, ...] = (1, 2, 3, 2)  # residual blocks there
    pooled: int = 64  # channels that vertices read
    widths: tuple[int, ...] = (128, 128, 64, 32)  # of the hidden features of each block; Wang et al.: 192
    codes: int = 8  # learned features of each vertex of all levels but the finest
    residuals: int = 6  # residual blocks in each: 14 graph convolutions
    adaptive: bool = True  # unpooling at learned places; else at the middles of the edges


class Pixel2MeshNetwork(SemiSphereNetwork):
    """The network: (b, 3, S, S) in [-1, 1] -> four deformations; it does not look at landmarks."""

    encoder: Encoder
    needs_landmarks = False

    def __init__(self, config: Pixel2MeshConfig = Pixel2MeshConfig()) -> None:
        super().__init__(config.pooled, config.widths, config.codes, adaptive=config.adaptive)
        self.config, self.size = config, config.size
        self.encoder = Encoder(config.encoder_widths, config.encoder_blocks)
        self.readers = nn.ModuleList(nn.Conv2d(width, config.pooled, 1) for width in config.encoder_widths)
        self.blocks = nn.ModuleList(
            GraphResNet(inputs, width, config.residuals)
            for inputs, width in zip(self.inputs, config.widths, strict=True)
        )

    def read_map(self, image: Tensor) -> Tensor:
        """Return the map that vertices read from, (b, pooled, S/2, S/2): all levels of the encoder together."""
        levels = [reader(level) for reader, level in zip(self.readers, self.encoder(image), strict=True)]
        total = levels.pop()
        while levels:
            finer = levels.pop()
            total = finer + functional.interpolate(total, scale_factor=2.0, mode="bilinear")
        return total

    def displace(self, level: int, inputs: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what a block makes of its inputs."""
        made: tuple[Tensor, Tensor] = self.blocks[level](inputs, self.graphs[level])
        return made
