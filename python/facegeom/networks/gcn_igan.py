"""GCN-IGAN: a photo's features and the 68 landmarks deform a semi-sphere in four reconstruction blocks.

Fathallah et al., Advanced 3D Face Reconstruction Using Enhanced Adversarial Neural Networks and Graph Neural Networks
(2024), section 3.3; the discriminator is in `facegeom.networks.mesh_discriminator`.

Decisions where the paper is silent, contradicts itself, or needs more than fits here:

- Seven blocks are counted with the first convolution: 32, 16, 24, 80, 112, 192 and 320 channels, those of
  EfficientNet-B0 without its block of 40. All convolutions of the paper's sizes: 113 pixels without padding give 111;
  a 5x5 kernel with stride 2 and padding 3 gives 57; then a 3x3 kernel with stride 2, 29. The other kernels are 3x3 too:
  B0's larger ones cost ten times as much to train on a CPU. For the same reason channels are not weighed and rectified
  units are plain, as in EfficientNet-Lite.
- Vertices read the last block's 320 channels through a 1x1 convolution.
- The semi-sphere begins where the landmarks are, placed by the similarity that brings those of the mean face nearest to
  them (least squares), and the landmarks are given in the frame of the semi-sphere so placed.
- The landmarks, the same for every vertex, are appended to every vertex's features; what a graph convolution makes of
  them is computed once a mesh and added, which is the same. The leaky ReLU that the paper has on the joined features is
  on those of the image and the landmarks; positions keep both signs alike.
- Blocks give displacements, zero at the start. Hidden features go on to the next block beside the positions, see
  `facegeom.networks.semi_sphere_network`.
- The identity blocks, residual pairs of graph convolutions, follow the node block's three convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.graph import Graph, GraphConv, GraphResidual, pool_features
from facegeom.networks.semi_sphere import mean_landmarks
from facegeom.networks.semi_sphere_network import LANDMARKS, Placement, SemiSphereNetwork, unplaced

SLOPE = 0.2
"""Of the leaky ReLUs on vertices."""


@dataclass(frozen=True)
class GcnIganConfig:
    """Sizes of the network."""

    size: int = 113  # side of the input in pixels, a multiple of 4 and one more: see `GcnIganGenerator.read`
    pooled: int = 96  # channels that vertices read
    widths: tuple[int, ...] = (128, 128, 64, 32)  # of the hidden features of each block
    codes: int = 8  # learned features of each vertex of all levels but the finest
    identity_blocks: int = 2  # in each reconstruction block
    graph: bool = True  # vertices see their neighbours; else each is by itself
    landmarks: bool = True  # vertices see the landmarks


@dataclass(frozen=True)
class Stage:
    """One block of the encoder: inverted bottlenecks, of which the first changes size and channels."""

    channels: int
    kernel: int
    stride: int
    padding: int  # of the first
    expansion: int
    layers: int


STEM = 32
STAGES = (
    Stage(16, 3, 1, 1, 1, 1),
    Stage(24, 5, 2, 3, 6, 1),
    Stage(80, 3, 2, 1, 6, 2),
    Stage(112, 3, 1, 1, 6, 2),
    Stage(192, 3, 1, 1, 6, 1),
    Stage(320, 3, 1, 1, 6, 1),
)


class Depthwise(nn.Conv2d):
    """A convolution of each channel by itself."""

    def __init__(self, channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)


class Float32Depthwise(Depthwise):
    """The same in float32 wherever it runs: in bfloat16 a CPU takes four times as long to train one with a stride."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float()).to(x.dtype)


class InvertedBottleneck(nn.Module):
    """MBConv (Tan and Le 2019): widen, convolve each channel by itself, narrow; identity where it fits."""

    def __init__(self, inputs: int, stage: Stage, *, first: bool) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        stride, padding = (stage.stride, stage.padding) if first else (1, stage.kernel // 2)
        self.identity = stride == 1 and inputs == stage.channels
        widen = [] if stage.expansion == 1 else [nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), _act()]
        self.widened = nn.Sequential(
            *widen,
            (Depthwise if stride == 1 else Float32Depthwise)(wide, stage.kernel, stride, padding),
            nn.BatchNorm2d(wide),
            _act(),
        )
        self.narrow = nn.Sequential(nn.Conv2d(wide, stage.channels, 1, bias=False), nn.BatchNorm2d(stage.channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.narrow(self.widened(x))
        return out + x if self.identity else out


class MobileEncoder(nn.Sequential):
    """EfficientNet in seven blocks: (b, 3, 113, 113) -> (b, 320, 29, 29); sizes between: see the module's text."""

    def __init__(self) -> None:
        blocks: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, STEM, 3, bias=False), nn.BatchNorm2d(STEM), _act())]
        below = STEM
        for stage in STAGES:
            layers = [
                InvertedBottleneck(below if n == 0 else stage.channels, stage, first=n == 0)
                for n in range(stage.layers)
            ]
            blocks.append(nn.Sequential(*layers))
            below = stage.channels
        super().__init__(*blocks)


def _act() -> nn.Module:
    return nn.ReLU6(inplace=True)


class ReconstructionBlock(nn.Module):
    """Vertex features and landmarks -> displacements: a node block, identity blocks, a linear layer.

    Node block: f' = leaky ReLU(W0 f + sum over neighbours of W1 f), three times (section 3.3.1).
    """

    def __init__(self, inputs: int, width: int, config: GcnIganConfig) -> None:
        super().__init__()
        self.first = GraphConv(inputs, width)
        if config.landmarks:  # columns of the first convolution's two matrices
            self.landmarks = nn.ModuleList(nn.Linear(3 * LANDMARKS, width, bias=False) for _ in range(2))
        self.node = nn.ModuleList(GraphConv(width, width) for _ in range(2))
        self.identity = nn.ModuleList(GraphResidual(width, SLOPE) for _ in range(config.identity_blocks))
        self.last = nn.Linear(width, 3)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor, landmarks: Tensor | None, graph: Graph | None) -> tuple[Tensor, Tensor]:
        """Return displacements (n, b, 3) float32 and hidden features (n, b, width).

        Parameters
        ----------
        features : (n, b, inputs)
        landmarks : (b, 204), or None
        graph : the mesh; None: every vertex by itself
        """
        hidden = self.first(features, graph)
        if landmarks is not None:
            own, beside = (matrix(functional.leaky_relu(landmarks, SLOPE)) for matrix in self.landmarks)
            hidden = hidden + (own if graph is None else own + graph.degree.to(own.dtype) * beside)
        hidden = functional.leaky_relu(hidden, SLOPE, inplace=True)
        for layer in self.node:
            hidden = functional.leaky_relu(layer(hidden, graph), SLOPE, inplace=True)
        for block in self.identity:
            hidden = block(hidden, graph)
        return self.last(hidden).float(), hidden


def place_by_landmarks(mean: Tensor, landmarks: Tensor) -> Placement:
    """Return the similarities that bring points (68, 3) nearest to landmarks (b, 68, 3), squared (Umeyama 1991)."""
    with torch.autocast(landmarks.device.type, enabled=False):
        own = mean - mean.mean(0)
        centre = landmarks.float().mean(1)
        left, size, right = torch.linalg.svd((landmarks.float() - centre[:, None]).transpose(1, 2) @ own)
        sign = torch.ones_like(size)
        sign[:, 2] = torch.linalg.det(left @ right).sign()
        rotation = (left * sign[:, None]) @ right
        scale = (size * sign).sum(1, keepdim=True) / own.square().sum()
        return Placement(rotation, scale, centre - scale * (rotation @ mean.mean(0)))


class GcnIganGenerator(SemiSphereNetwork):
    """The generator: (b, 3, S, S) in [-1, 1] and landmarks -> four deformations."""

    mean_landmarks: Tensor

    def __init__(self, config: GcnIganConfig = GcnIganConfig()) -> None:
        super().__init__(config.pooled, config.widths, config.codes, adaptive=False)
        self.config, self.size, self.needs_landmarks = config, config.size, config.landmarks
        mean = torch.from_numpy(mean_landmarks().astype(np.float32))
        self.register_buffer("mean_landmarks", mean, persistent=False)
        self.encoder = MobileEncoder()
        self.reader = nn.Conv2d(STAGES[-1].channels, config.pooled, 1)
        self.blocks = nn.ModuleList(
            ReconstructionBlock(inputs, width, config) for inputs, width in zip(self.inputs, config.widths, strict=True)
        )

    def look(self, image: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Placement]:
        """Return the map that vertices read from, (b, pooled, 29, 29), and the placement by the landmarks."""
        read: Tensor = self.reader(self.encoder(image))
        if landmarks is None or not self.needs_landmarks:
            return read, unplaced(image)
        return read, place_by_landmarks(self.mean_landmarks, landmarks)

    def read(self, features: Tensor, position: Tensor) -> Tensor:
        """Return what vertices read: cell j lies on pixel 4 j, the outermost ones on the crop's outermost pixels."""
        place = position * (self.size / (4 * features.shape[-1]))
        return functional.leaky_relu(pool_features([features], place), SLOPE, inplace=True)

    def displace(self, level: int, inputs: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what a block makes of its inputs and the landmarks."""
        given = landmarks.flatten(1) if self.needs_landmarks and landmarks is not None else None
        graph = self.graphs[level] if self.config.graph else None
        made: tuple[Tensor, Tensor] = self.blocks[level](inputs, given, graph)
        return made
