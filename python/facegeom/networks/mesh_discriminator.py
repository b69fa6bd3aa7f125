"""GCN-IGAN's discriminator: classifies meshes with the same triangles as real faces or meshes of the generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.graph import Graph, GraphConv

SLOPE = 0.2  # negative slope of the leaky ReLUs
WIDTH, LAYERS = 16, 5  # channels per graph convolution, and convolutions after the first: 96 channels in total
KERNELS, KERNEL_SIZE = 16, 8  # number and dimension of the kernels of the minibatch discrimination
OFFSET_SCALE = 100.0  # factor on the offset of a vertex from the mean of its neighbours (about 0.003; crop width 2)


class MinibatchDiscrimination(nn.Module):
    """Appends features that measure the similarity of each item to the others of its batch: (b, c) -> (b, c + kernels).

    Salimans et al., Improved Techniques for Training GANs (2016), section 3.2: for each kernel, M = T f and the sum
    over the other items j of exp(-|M_i - M_j|_1). Here the sum is divided by the number of other items, so that it does
    not grow with the batch size.
    """

    def __init__(self, inputs: int, kernels: int = KERNELS, size: int = KERNEL_SIZE) -> None:
        super().__init__()
        self.kernels, self.size = kernels, size
        self.projection = nn.Linear(inputs, kernels * size, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        rows = self.projection(features).view(len(features), self.kernels, self.size)
        distance = (rows[:, None] - rows[None]).abs().sum(-1)  # (b, b, kernels)
        similarity = ((-distance).exp().sum(1) - 1) / max(1, len(rows) - 1)  # mean over the other items of the batch
        return torch.cat([features, similarity], 1)


class MeshDiscriminator(nn.Module):
    """Meshes with the same triangles -> for each mesh, the logit of being a real face (section 3.3.2).

    The features of a vertex are its position and, scaled up, its offset from the mean of its neighbours. With positions
    alone, the discriminator did not learn to separate the classes in 1,000 steps.

    Layers: a graph convolution; five graph convolutions of 16 channels, each of which takes the outputs of all previous
    layers (96 channels in total); the mean over the vertices; minibatch discrimination; a linear layer.

    Parameters
    ----------
    minibatch : bool
        Whether the logit of a mesh depends on the other meshes of its batch.
    """

    def __init__(self, *, minibatch: bool = True) -> None:
        super().__init__()
        self.first = GraphConv(6, WIDTH)
        self.layers = nn.ModuleList(GraphConv(WIDTH * (1 + n), WIDTH) for n in range(LAYERS))
        features = WIDTH * (1 + LAYERS)
        self.minibatch = MinibatchDiscrimination(features) if minibatch else nn.Identity()
        self.last = nn.Linear(features + (KERNELS if minibatch else 0), 1)

    def forward(self, positions: Tensor, graph: Graph) -> Tensor:
        """Return the logits (b,) of meshes (n, b, 3) in the crop frame; `graph` contains their edges."""
        with torch.autocast(positions.device.type, enabled=False):  # bfloat16 would round positions to 0.4 mm
            offset = positions - graph.sum_neighbours(positions) / graph.degree
            features = torch.cat([positions, OFFSET_SCALE * offset], -1)
            features = functional.leaky_relu(self.first(features, graph), SLOPE)
        for layer in self.layers:
            features = torch.cat([features, functional.leaky_relu(layer(features, graph), SLOPE)], -1)
        logits: Tensor = self.last(self.minibatch(features.mean(0)))[:, 0]
        return logits.float()
