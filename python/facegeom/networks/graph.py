"""Layers on the vertices of a mesh: graph convolutions, unpooling, and features of an image read at the vertices.

Features are kept vertex first, (n, b, c), n vertices of b meshes of one connectivity, so that a vertex's features are
one row. Sums over neighbours are then sums of rows, which `embedding_bag` does 20 to 40 times as fast on a CPU as
`index_add` or a gather of padded neighbour lists do (0.2 ms a mesh of 7,008 vertices and 64 channels in bfloat16,
against 6 and 7), and which on a graph without direction are their own transpose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom._internal.arrays import IntArray
from facegeom.networks.semi_sphere import Level


class Deformation(NamedTuple):
    """What one block of a network does to b meshes: positions before and after it, (n, b, 3) float32, crop frame."""

    before: Tensor
    after: Tensor


class Graph(nn.Module):
    """Which vertices of a mesh are neighbours.

    Parameters
    ----------
    edges : (e, 2) int array, each edge once
    count : number of vertices, each with one neighbour at least
    """

    index: Tensor  # (2 e,): the neighbours of vertex 0, of vertex 1, ...
    offsets: Tensor  # (n,): where those of each vertex begin
    edges: Tensor  # (e, 2)
    degree: Tensor  # (n, 1, 1) float32: number of neighbours

    def __init__(self, edges: IntArray, count: int) -> None:
        super().__init__()
        ends = np.concatenate([edges, edges[:, ::-1]])
        ends = ends[np.lexsort((ends[:, 1], ends[:, 0]))]
        degree = np.bincount(ends[:, 0], minlength=count)
        if not degree.all():
            raise ValueError(f"vertex {int(np.argmin(degree))} has no neighbour")
        self.register_buffer("index", torch.from_numpy(ends[:, 1].copy()), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(np.cumsum(degree) - degree), persistent=False)
        self.register_buffer("edges", torch.from_numpy(edges.copy()), persistent=False)
        self.register_buffer("degree", torch.from_numpy(degree[:, None, None].astype(np.float32)), persistent=False)

    def sum_neighbours(self, features: Tensor) -> Tensor:
        """Return for each vertex the sum of its neighbours' features, (n, b, c) -> (n, b, c)."""
        result: Tensor = _NeighbourSum.apply(features, self.index, self.offsets)
        return result

    def smoothed(self, features: Tensor, steps: int) -> Tensor:
        """Return features (n, b, c) after steps that each take them halfway to the mean of their neighbours'."""
        for _ in range(steps):
            features = 0.5 * (features + self.sum_neighbours(features) / self.degree)
        return features


class _NeighbourSum(torch.autograd.Function):
    """A sum of rows by a symmetric matrix of ones: backward is forward."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(index, offsets)
        rows = features.reshape(len(features), -1)
        return functional.embedding_bag(index, rows, offsets, mode="sum").view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _NeighbourSum.apply(gradients[0].contiguous(), *ctx.saved_tensors), None, None


class GraphConv(nn.Module):
    """f'_i = W0 f_i + sum over neighbours j of W1 f_j + bias, (n, b, c) -> (n, b, c').

    Wang et al., Pixel2Mesh (2018), equation 1; the bias is not in it. The sum is not divided by the number of
    neighbours, which is 6 nearly everywhere. Neighbours' features are alike, so W1 starts at a sixth of W0's size.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.neighbours = nn.Linear(inputs, outputs, bias=False)
        deviation = 1 / math.sqrt(inputs)  # that of rectified layers, halved in square: two matrices share it
        nn.init.normal_(self.own.weight, 0.0, deviation)
        nn.init.normal_(self.neighbours.weight, 0.0, deviation / 6)
        nn.init.zeros_(self.own.bias)

    def start_at_zero(self) -> None:
        """Make the layer return zero until it is trained."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, graph: Graph | None) -> Tensor:
        """Return (n, b, c') features; without a graph, of every vertex by itself."""
        own: Tensor = self.own(features)
        return own if graph is None else own.add_(graph.sum_neighbours(self.neighbours(features)))


class GraphResidual(nn.Module):
    """Two graph convolutions and the identity, which is what the block is at the start.

    With a slope above 0 the sum is not activated again: that would shrink what is negative in every block.
    """

    def __init__(self, width: int, slope: float = 0.0) -> None:
        super().__init__()
        self.first, self.second, self.slope = GraphConv(width, width), GraphConv(width, width), slope
        self.second.start_at_zero()

    def forward(self, features: Tensor, graph: Graph | None) -> Tensor:
        inner = functional.leaky_relu(self.first(features, graph), self.slope, inplace=True)
        total = self.second(inner, graph).add_(features)
        return total if self.slope else functional.relu_(total)


class GraphResNet(nn.Module):
    """G-ResNet: a graph convolution, residual blocks, and a last convolution to the vertices' displacements.

    With six blocks, 14 convolutions. Where the papers have the last one give coordinates, here it gives the
    displacement from the coordinates that came in, zero at the start.
    """

    def __init__(self, inputs: int, width: int, blocks: int = 6) -> None:
        super().__init__()
        self.first, self.last = GraphConv(inputs, width), GraphConv(width, 3)
        self.blocks = nn.ModuleList(GraphResidual(width) for _ in range(blocks))
        self.last.start_at_zero()

    def forward(self, features: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Return displacements (n, b, 3) float32 and hidden features (n, b, width) of features (n, b, inputs)."""
        hidden = functional.relu_(self.first(features, graph))
        for block in self.blocks:
            hidden = block(hidden, graph)
        return self.last(hidden, graph).float(), hidden


class VertexCodes(nn.Module):
    """Learned features of the vertices of a level, the same for all photos: (n, 1, c), given as (n, b, c).

    Not in the papers, whose vertices know themselves by their coordinates alone. Without these, more than a third of
    the first block's squared error (validation photos, the face's frame) was the same on every face after 7,000 images
    of GCN-IGAN and 27,000 of Pixel2Mesh.
    """

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(count, 1, channels))

    def forward(self, like: Tensor) -> Tensor:
        """Return the features for as many meshes as `like` (n, b, any) holds, in its dtype."""
        return self.codes.to(like.dtype).expand(-1, like.shape[1], -1)


class Unpooling(nn.Module):
    """From a mesh to its refinement: a new vertex on each edge, at (1 - t) a + t b of its ends a and b.

    Adaptive (Liu et al., section 3.1.3): t in (0, 1) is learned, one for each edge, the same for all photos: the
    sigmoid of a parameter, 0.5 at the start. Else it stays 0.5, the middle.

    Parameters
    ----------
    edges : (e, 2) int array
        Of the coarser level, in the order of the finer one's new vertices.
    adaptive : whether t is learned
    """

    edges: Tensor

    def __init__(self, edges: IntArray, adaptive: bool) -> None:
        super().__init__()
        self.register_buffer("edges", torch.from_numpy(edges.copy()), persistent=False)
        start = torch.zeros(len(edges))
        if adaptive:
            self.logit = nn.Parameter(start)
        else:
            self.register_buffer("logit", start, persistent=False)

    def places(self) -> Tensor:
        """Return t (e,)."""
        return self.logit.sigmoid()

    def forward(self, values: Tensor) -> Tensor:
        """Return positions or features of the finer level, (n, b, c) -> (n + e, b, c)."""
        place = self.places().to(values.dtype)[:, None, None]
        low, high = values.index_select(0, self.edges[:, 0]), values.index_select(0, self.edges[:, 1])
        return torch.cat([values, torch.lerp(low, high, place)])


def unpoolings(levels: Sequence[Level], adaptive: bool) -> nn.ModuleList:
    """Return the unpoolings from each level to the next."""
    return nn.ModuleList(Unpooling(level.edges, adaptive) for level in levels[:-1])


class _RowBlend(torch.autograd.Function):
    """Weighted sums of four rows of a table: the gradient reaches the table, not the weights."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight)
        ctx.rows = len(table)
        return _blend(table, index.reshape(-1), weight, torch.arange(0, index.numel(), 4, device=index.device))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        index, weight = ctx.saved_tensors
        index = index.reshape(-1)
        order = index.argsort(stable=True)
        count = torch.bincount(index, minlength=ctx.rows)
        offsets = count.cumsum(0) - count
        return _blend(gradients[0].contiguous(), order // 4, weight.reshape(-1)[order], offsets), None, None


def _blend(table: Tensor, index: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    weight = weight.reshape(-1).to(table.dtype)
    return functional.embedding_bag(index, table, offsets, mode="sum", per_sample_weights=weight)


def pool_features(maps: Sequence[Tensor], positions: Tensor) -> Tensor:
    """Return the features of an image at vertices: perceptual feature pooling by parallel projection.

    Parameters
    ----------
    maps : tensors (b, c, h, w) over the crop
    positions : (n, b, 3) float32
        Crop frame: x and y from -1 to 1 are the crop, x to the right and y up; a vertex falls onto its own x and y.

    Returns
    -------
    (n, b, sum of c) tensor
        Bilinear; beyond the centres of the outermost cells their features go on.

    Notes
    -----
    As `grid_sample` with padding "border", which takes ten times as long. Gradients reach the maps; where a vertex
    looks carries none, since the slope of a feature map says little about where it would be better to look.
    """
    positions = positions.detach()
    count, batch = positions.shape[:2]
    pooled = []
    for features in maps:
        channels, height, width = features.shape[1:]
        x = ((positions[..., 0] + 1) * (0.5 * width) - 0.5).clamp(0, width - 1)  # (n, b), cells
        y = ((1 - positions[..., 1]) * (0.5 * height) - 0.5).clamp(0, height - 1)
        left, top = x.floor().clamp(max=max(width - 2, 0)), y.floor().clamp(max=max(height - 2, 0))
        u, v = x - left, y - top
        weight = torch.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], -1)
        first = torch.arange(batch, device=x.device) * (height * width)
        corner = (top * width + left).long() + first
        right, below = min(1, width - 1), width * min(1, height - 1)
        index = torch.stack([corner, corner + right, corner + below, corner + below + right], -1)
        table = features.permute(0, 2, 3, 1).reshape(-1, channels)
        blended: Tensor = _RowBlend.apply(table, index, weight)
        pooled.append(blended.view(count, batch, channels))
    return torch.cat(pooled, -1)
