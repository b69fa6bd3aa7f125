"""GCN-IGAN: image features and the 68 landmarks deform a semi-sphere in four reconstruction blocks.

Fathallah et al., Advanced 3D Face Reconstruction Using Enhanced Adversarial Neural Networks and Graph Neural Networks
(2024), section 3.3. The discriminator is in `facegeom.networks.mesh_discriminator`.

Decisions where the paper is silent, contradicts itself, or is too expensive here:

- Encoder: the first convolution is one of the paper's seven blocks. The blocks have 32, 16, 24, 80, 112, 192 and 320
  channels, like EfficientNet-B0 without the block of 40 channels. The resolutions are those of the paper: a 3x3 kernel
  without padding gives 111 from 113 pixels; a 5x5 kernel with stride 2 and padding 3 gives 57; a 3x3 kernel with stride
  2 gives 29. All other kernels are 3x3 too, because B0's larger kernels make training on a CPU ten times as expensive.
  For the same reason there are no squeeze-and-excitation layers, and activations are ReLU6, as in EfficientNet-Lite.
- Vertices sample the 320 channels of the last encoder block after a 1x1 convolution to fewer channels.
- The semi-sphere is first placed by the similarity that maps the landmarks of the mean face to the given landmarks
  (least squares). The landmarks are then expressed in the semi-sphere's frame.
- The landmarks are concatenated to the features of every vertex. Because they are equal for all vertices, the product
  of the landmarks and the weights of the graph convolution is computed once per mesh and added to every vertex, which
  gives the same result. The paper applies a
  leaky ReLU to the concatenated features; here the leaky ReLU is applied to the image features and the landmarks but
  not to the positions, where negative values are as important as positive ones.
- Blocks return displacements instead of coordinates; the displacements are zero before training. The next block gets
  the hidden features in addition to the positions, see `facegeom.networks.semi_sphere_network`.
- The identity blocks, residual pairs of graph convolutions, follow the three convolutions of the node block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.graph import Graph, GraphConv, GraphResidual, pool_features
from facegeom.networks.interface import LANDMARKS
from facegeom.networks.landmark_placement import place_by_landmarks
from facegeom.networks.semi_sphere_network import SemiSphereNetwork, SemiSpherePlacement, identity_placement

SLOPE = 0.2
"""Negative slope of the leaky ReLUs on vertex features."""


@dataclass(frozen=True)
class GcnIganConfig:
    """Configuration of the network."""

    size: int = 113  # side length of the input in pixels, 4 k + 1 for an integer k: see `sample_features`
    pooled: int = 96  # channels of the image features at a vertex
    widths: tuple[int, ...] = (128, 128, 64, 32)  # channels of the hidden features of each block
    codes: int = 8  # number of learned features per vertex, at all levels except the finest
    identity_blocks: int = 2  # number of residual blocks ("identity blocks") in each reconstruction block
    graph: bool = True  # False: ablation without sums over neighbours
    landmarks: bool = True  # False: ablation without landmarks


@dataclass(frozen=True)
class EncoderStage:
    """One block of the encoder: inverted bottlenecks, the first of which changes resolution and channels."""

    channels: int
    kernel: int
    stride: int
    padding: int  # zero padding of the first bottleneck, pixels
    expansion: int
    layers: int


STEM = 32  # channels of the first convolution
ENCODER_STAGES = (
    EncoderStage(16, 3, 1, 1, 1, 1),
    EncoderStage(24, 5, 2, 3, 6, 1),
    EncoderStage(80, 3, 2, 1, 6, 2),
    EncoderStage(112, 3, 1, 1, 6, 2),
    EncoderStage(192, 3, 1, 1, 6, 1),
    EncoderStage(320, 3, 1, 1, 6, 1),
)


class Depthwise(nn.Conv2d):
    """Depthwise convolution: each channel is filtered separately."""

    def __init__(self, channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)


class Float32Depthwise(Depthwise):
    """`Depthwise` that computes in float32 also under autocast, and returns the dtype of its input.

    On a CPU, a training step of a convolution with a stride above 1 takes four times as long in bfloat16 as in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float()).to(x.dtype)


class InvertedBottleneck(nn.Module):
    """MBConv (Tan and Le 2019): expand, depthwise convolution, project; the input is added if the shapes match."""

    def __init__(self, inputs: int, stage: EncoderStage, *, first: bool) -> None:
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
    """EfficientNet-style encoder of seven blocks: (b, 3, 113, 113) -> (b, 320, 29, 29); see the module docstring."""

    def __init__(self) -> None:
        blocks: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, STEM, 3, bias=False), nn.BatchNorm2d(STEM), _act())]
        below = STEM
        for stage in ENCODER_STAGES:
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

    Node block, three times: f' = leaky ReLU(W0 f + sum over neighbours of W1 f) (section 3.3.1).
    """

    def __init__(self, inputs: int, width: int, config: GcnIganConfig) -> None:
        super().__init__()
        self.first = GraphConv(inputs, width)
        if config.landmarks:  # the columns of W0 and W1 of the first convolution that multiply the landmarks
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
        graph : Graph of the mesh, or None to ignore neighbours
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


class GcnIganGenerator(SemiSphereNetwork):
    """The generator: images (b, 3, S, S) in [-1, 1] and landmarks (b, 68, 3) -> four deformations."""

    def __init__(self, config: GcnIganConfig = GcnIganConfig()) -> None:
        super().__init__(config.pooled, config.widths, config.codes, adaptive=False)
        self.config, self.size, self.needs_landmarks = config, config.size, config.landmarks
        self.encoder = MobileEncoder()
        self.reader = nn.Conv2d(ENCODER_STAGES[-1].channels, config.pooled, 1)
        self.blocks = nn.ModuleList(
            ReconstructionBlock(inputs, width, config) for inputs, width in zip(self.inputs, config.widths, strict=True)
        )

    def encode_image(self, image: Tensor, landmarks: Tensor | None) -> tuple[Tensor, SemiSpherePlacement]:
        """Return the feature map (b, pooled, 29, 29) and the placement computed from the landmarks."""
        features = self.image_features(image)
        if landmarks is None or not self.needs_landmarks:
            return features, identity_placement(image)
        placed = place_by_landmarks(landmarks.detach().cpu().numpy())
        return features, SemiSpherePlacement(*(torch.from_numpy(part).to(image.device) for part in placed))

    def image_features(self, image: Tensor) -> Tensor:
        """Return the feature map (b, pooled, 29, 29) of images (b, 3, 113, 113)."""
        features: Tensor = self.reader(self.encoder(image))
        return features

    def sample_features(self, features: Tensor, position: Tensor) -> Tensor:
        """Sample the feature map at vertices (n, b, 3) in the crop frame; return features (n, b, pooled).

        Cell j of the map is centred on pixel 4 j, so the outermost cells are centred on the outermost pixels.
        """
        place = position * (self.size / (4 * features.shape[-1]))
        return functional.leaky_relu(pool_features([features], place), SLOPE, inplace=True)

    def displace(self, level: int, inputs: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Apply a block to its inputs (n, b, c) and the landmarks; return displacements and hidden features."""
        given = landmarks.flatten(1) if self.needs_landmarks and landmarks is not None else None
        graph = self.graphs[level] if self.config.graph else None
        made: tuple[Tensor, Tensor] = self.blocks[level](inputs, given, graph)
        return made
