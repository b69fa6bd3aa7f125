"""GCN-IGAN's discriminator: tells meshes that the generator made from true faces in the same triangulation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.graph import Graph, GraphConv

SLOPE = 0.2
WIDTH, LAYERS = 16, 5  # 16 + 5 x 16 = 96 features a vertex
KERNELS, KERNEL_SIZE = 16, 8
ENLARGED = 100.0  # in the crop frame an edge is 0.03 long, and the surface bends by a tenth of that


class MinibatchDiscrimination(nn.Module):
    """Features that say how near each item of a batch is to the others: (b, c) -> (b, c + kernels).

    Salimans et al., Improved Techniques for Training GANs (2016), section 3.2: sum over the other items j of
    exp(-|M_i - M_j|_1), M = T f for each kernel. Divided by their number here, so that it does not grow with the batch.
    """

    def __init__(self, inputs: int, kernels: int = KERNELS, size: int = KERNEL_SIZE) -> None:
        super().__init__()
        self.kernels, self.size = kernels, size
        self.projection = nn.Linear(inputs, kernels * size, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        rows = self.projection(features).view(len(features), self.kernels, self.size)
        apart = (rows[:, None] - rows[None]).abs().sum(-1)  # (b, b, kernels)
        near = ((-apart).exp().sum(1) - 1) / max(1, len(rows) - 1)  # itself excepted
        return torch.cat([features, near], 1)


class MeshDiscriminator(nn.Module):
    """Meshes of one connectivity -> logits that they are true faces (section 3.3.2).

    Of each vertex it sees the position and, enlarged, where it lies from the middle of its neighbours: from positions
    alone it did not learn to tell in 1,000 steps.

    A graph convolution, a block of five of 16 channels, each of which sees what all before it gave (96 channels
    together), the mean over the vertices, minibatch discrimination, a linear layer.

    Parameters
    ----------
    minibatch : whether an item's logit depends on the others of its batch
    """

    def __init__(self, *, minibatch: bool = True) -> None:
        super().__init__()
        self.first = GraphConv(6, WIDTH)
        self.layers = nn.ModuleList(GraphConv(WIDTH * (1 + n), WIDTH) for n in range(LAYERS))
        features = WIDTH * (1 + LAYERS)
        self.minibatch = MinibatchDiscrimination(features) if minibatch else nn.Identity()
        self.last = nn.Linear(features + (KERNELS if minibatch else 0), 1)

    def forward(self, positions: Tensor, graph: Graph) -> Tensor:
        """Return the logits (b,) of meshes (n, b, 3) in the crop frame, whose edges are the graph's."""
        with torch.autocast(positions.device.type, enabled=False):  # bfloat16 would round positions to 0.4 mm
            beside = positions - graph.sum_neighbours(positions) / graph.degree
            features = torch.cat([positions, ENLARGED * beside], -1)
            features = functional.leaky_relu(self.first(features, graph), SLOPE)
        for layer in self.layers:
            features = torch.cat([features, functional.leaky_relu(layer(features, graph), SLOPE)], -1)
        logits: Tensor = self.last(self.minibatch(features.mean(0)))[:, 0]
        return logits.float()
