"""Layers on the vertices of a mesh: graph convolutions, unpooling, and sampling of image features at the vertices.

Features have the shape (n, b, c): n vertices, b meshes with the same edges, c channels, so that the features of a
vertex are one contiguous row. Sums over neighbours are sums of rows. `embedding_bag` computes them on a CPU 20 to 40
times as fast as `index_add` or a gather with padded neighbour lists (0.2 ms for a mesh of 7,008 vertices and 64
channels in bfloat16, instead of 6 and 7 ms). On an undirected graph this operator is its own transpose.
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
    """The effect of one block of a network on b meshes.

    Attributes
    ----------
    before : (n, b, 3) float32, positions before the block, crop frame
    after : (n, b, 3) float32, positions after the block, crop frame
    """

    before: Tensor
    after: Tensor


class Graph(nn.Module):
    """The edges of a mesh, stored in the order that makes sums over neighbours fast.

    Parameters
    ----------
    edges : (e, 2) int array, each edge once
    count : int, number of vertices; each needs at least one neighbour

    Raises
    ------
    ValueError
        If a vertex has no neighbour.
    """

    index: Tensor  # (2 e,): the neighbours of vertex 0, then those of vertex 1, ...
    offsets: Tensor  # (n,): index of the first neighbour of each vertex in `index`
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
        """Return the sum of the neighbours' features for each vertex, (n, b, c) -> (n, b, c)."""
        result: Tensor = _NeighbourSum.apply(features, self.index, self.offsets)
        return result

    def smoothed(self, features: Tensor, steps: int) -> Tensor:
        """Smooth features (n, b, c): in each of `steps` steps, the features of a vertex are replaced by the
        mean of these features and the mean features of the neighbours.
        """
        for _ in range(steps):
            features = 0.5 * (features + self.sum_neighbours(features) / self.degree)
        return features


class _NeighbourSum(torch.autograd.Function):
    """Product of the adjacency matrix and features; the matrix is symmetric, so the backward pass equals the forward
    pass.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(index, offsets)
        rows = features.reshape(len(features), -1)
        return functional.embedding_bag(index, rows, offsets, mode="sum").view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _NeighbourSum.apply(gradients[0].contiguous(), *ctx.saved_tensors), None, None


class _GraphConvolution(torch.autograd.Function):
    """A graph convolution with its gradient: it makes fewer copies than the layers that it consists of."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, own: Tensor, neighbours: Tensor, bias: Tensor, index: Tensor, offsets: Tensor
    ) -> Tensor:
        rows = features.flatten(0, 1)
        ctx.save_for_backward(rows, own, neighbours, index, offsets)
        beside = (rows @ neighbours.t()).view(len(features), -1)
        out = rows.new_empty(*features.shape[:2], len(own))  # not a view, so that an activation may change it in place
        torch.addmm(bias, rows, own.t(), out=out.view(len(rows), -1))
        out.view(len(features), -1).add_(functional.embedding_bag(index, beside, offsets, mode="sum"))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, own, neighbours, index, offsets = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        summed = functional.embedding_bag(index, gradient.view(len(gradient), -1), offsets, mode="sum")
        gradient_rows = gradient.flatten(0, 1)
        summed = summed.view_as(gradient_rows)
        features = None
        if ctx.needs_input_grad[0]:
            features = (gradient_rows @ own).addmm_(summed, neighbours).view(*gradient.shape[:2], -1)
        return features, gradient_rows.t() @ rows, summed.t() @ rows, gradient_rows.sum(0), None, None


class GraphConv(nn.Module):
    """Graph convolution: f'_i = W0 f_i + sum over neighbours j of W1 f_j + bias, (n, b, c) -> (n, b, c').

    Wang et al., Pixel2Mesh (2018), equation 1, plus a bias. The sum is not divided by the number of neighbours, which
    is 6 almost everywhere. Neighbours have similar features, so W1 is initialised with a sixth of the standard
    deviation of W0.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.neighbours = nn.Linear(inputs, outputs, bias=False)
        deviation = 1 / math.sqrt(inputs)  # half of the variance for ReLU layers, because two matrices contribute
        nn.init.normal_(self.own.weight, 0.0, deviation)
        nn.init.normal_(self.neighbours.weight, 0.0, deviation / 6)
        nn.init.zeros_(self.own.bias)

    def start_at_zero(self) -> None:
        """Set all parameters to zero, so that the untrained layer returns zero."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, graph: Graph | None) -> Tensor:
        """Return features (n, b, c') for features (n, b, c); if `graph` is None, vertices have no neighbours."""
        own: Tensor
        if graph is None or not torch.is_grad_enabled():
            own = self.own(features)
            return own if graph is None else own.add_(graph.sum_neighbours(self.neighbours(features)))
        device = features.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
        parts = (features, self.own.weight, self.neighbours.weight, self.own.bias)
        own = _GraphConvolution.apply(*(part.to(dtype) for part in parts), graph.index, graph.offsets)
        return own


class GraphResidual(nn.Module):
    """Two graph convolutions added to their input, (n, b, width) -> (n, b, width); returns the input before training.

    With slope 0, a ReLU follows the sum. With a positive slope (leaky ReLU between the convolutions) no activation
    follows the sum, because it would shrink negative values in every block.
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
    """G-ResNet: a graph convolution, residual blocks, and a graph convolution that returns the displacements.

    With six residual blocks these are 14 graph convolutions. In the papers the last one returns coordinates; here it
    returns the displacement from the input coordinates, which is zero before training.
    """

    def __init__(self, inputs: int, width: int, blocks: int = 6) -> None:
        super().__init__()
        self.first, self.last = GraphConv(inputs, width), GraphConv(width, 3)
        self.blocks = nn.ModuleList(GraphResidual(width) for _ in range(blocks))
        self.last.start_at_zero()

    def forward(self, features: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Return displacements (n, b, 3) float32 and hidden features (n, b, width) for features (n, b, inputs)."""
        hidden = functional.relu_(self.first(features, graph))
        for block in self.blocks:
            hidden = block(hidden, graph)
        return self.last(hidden, graph).float(), hidden


class VertexCodes(nn.Module):
    """Learned features of each vertex of a level, the same for all photos: (n, 1, c), expanded to (n, b, c).

    These features are not in the papers, where only the coordinates distinguish vertices. Without these features, after
    7,000 training images of GCN-IGAN and 27,000 of Pixel2Mesh, more than a third of the mean squared error of the first
    block (validation photos, face frame) was a constant bias: an error vector per vertex, equal for all faces.
    """

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(count, 1, channels))

    def forward(self, like: Tensor) -> Tensor:
        """Return the features for as many meshes as in `like` (n, b, any), in its dtype."""
        return self.codes.to(like.dtype).expand(-1, like.shape[1], -1)


class Unpooling(nn.Module):
    """Refines a mesh: adds a vertex on each edge, at (1 - t) a + t b for the end vertices a and b.

    Adaptive (Liu et al., section 3.1.3): t in (0, 1) is learned for each edge and is the same for all photos. It is the
    sigmoid of a parameter and 0.5 before training. Not adaptive: t is 0.5, the midpoint.

    Parameters
    ----------
    edges : (e, 2) int array
        Edges of the coarser level, in the order of the new vertices of the finer level.
    adaptive : bool, whether t is learned
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

    def edge_positions(self) -> Tensor:
        """Return t (e,), the relative position of the new vertex on each edge."""
        return self.logit.sigmoid()

    def forward(self, values: Tensor) -> Tensor:
        """Return positions or features of the finer level, (n, b, c) -> (n + e, b, c)."""
        t = self.edge_positions().to(values.dtype)[:, None, None]
        low, high = values.index_select(0, self.edges[:, 0]), values.index_select(0, self.edges[:, 1])
        return torch.cat([values, torch.lerp(low, high, t)])


def unpoolings(levels: Sequence[Level], adaptive: bool) -> nn.ModuleList:
    """Return the unpooling layers from each level to the next finer one."""
    return nn.ModuleList(Unpooling(level.edges, adaptive) for level in levels[:-1])


class _WeightedRowSum(torch.autograd.Function):
    """Weighted sums (q, c) of rows of a table (r, c), four rows per sum; differentiable only in the table.

    The last axis of `index` and `weight` has length 4; the other axes together have q elements.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight)
        ctx.rows = len(table)
        return _weighted_row_sums(
            table, index.reshape(-1), weight, torch.arange(0, index.numel(), 4, device=index.device)
        )

    @staticmethod
    def symbolic(g: Any, table: Any, index: Any, weight: Any) -> Any:
        """Return the same sums in ONNX, which has no `embedding_bag`."""
        weighted = g.op("Mul", g.op("Gather", table, index, axis_i=0), _unsqueezed(g, weight))
        return g.op("ReduceSum", weighted, _constant(g, -2), keepdims_i=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        index, weight = ctx.saved_tensors
        index = index.reshape(-1)
        order = index.argsort(stable=True)
        count = torch.bincount(index, minlength=ctx.rows)
        offsets = count.cumsum(0) - count
        return _weighted_row_sums(gradients[0].contiguous(), order // 4, weight.reshape(-1)[order], offsets), None, None


def _unsqueezed(g: Any, value: Any) -> Any:
    """Return an ONNX value with one more axis at the end."""
    return g.op("Unsqueeze", value, _constant(g, -1))


def _constant(g: Any, axis: int) -> Any:
    """Return an ONNX constant that names one axis."""
    return g.op("Constant", value_t=torch.tensor([axis]))


def _weighted_row_sums(table: Tensor, index: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    """Return weighted sums (q, c) of rows of a table (r, c): sum i adds weight[j] * table[index[j]] for all j from
    offsets[i] up to, but not including, offsets[i + 1].
    """
    weight = weight.reshape(-1).to(table.dtype)
    return functional.embedding_bag(index, table, offsets, mode="sum", per_sample_weights=weight)


def pool_features(maps: Sequence[Tensor], positions: Tensor) -> Tensor:
    """Sample image features at vertices: perceptual feature pooling with a parallel projection.

    Parameters
    ----------
    maps : sequence of (b, c, h, w) tensors that cover the crop
    positions : (n, b, 3) float32
        Vertex positions in the crop frame: the crop is x and y from -1 to 1, x to the right and y up. A vertex is
        projected along z.

    Returns
    -------
    (n, b, sum of c) tensor
        Features by bilinear interpolation; positions beyond the outermost cell centres are clamped to these centres.

    Notes
    -----
    Equals `grid_sample` with padding "border" but is ten times as fast. Gradients flow to the maps, not to the
    positions: the slope of a feature map contains little information on which position has better features.
    """
    positions = positions.detach()
    count, batch = positions.shape[0], positions.shape[1]  # not a slice: the ONNX graph must not contain the numbers
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
        blended: Tensor = _WeightedRowSum.apply(table, index, weight)
        pooled.append(blended.view(count, batch, channels))
    return torch.cat(pooled, -1)
