"""Losses on meshes that deform; the equation each comes from is in its docstring.

Positions of b meshes of one connectivity are (n, b, 3), as the networks have them; clouds of points to which they are
compared are (b, m, 3). All results are means over the batch. Training gives lengths in mm / 100: faces then have the
size of the objects that Wang et al. chose the terms' weights for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facegeom.geometry import NearestFinder
from facegeom.networks.graph import Graph

CHUNK = 1 << 26
"""Distances of one block of a full search on a device, entries."""


class Matches(NamedTuple):
    """Nearest neighbours between meshes and clouds.

    Attributes
    ----------
    to_cloud : (b, n) int64, the nearest point of the cloud to each vertex
    to_mesh : (b, m) int64, the nearest vertex to each point of the cloud
    """

    to_cloud: Tensor
    to_mesh: Tensor


class CloudFinder:
    """Nearest neighbours of several meshes to the same clouds.

    Parameters
    ----------
    clouds : (b, m, 3) tensor

    Notes
    -----
    On a CPU by the core's k-d trees: both ways between 7,008 vertices and 4,500 points take 6 ms, of which the core's
    tree of the cloud serves all stages of a network, where the full search takes 300. On other devices by full search.
    """

    def __init__(self, clouds: Tensor) -> None:
        self.clouds = clouds.detach()
        self.trees = [NearestFinder(cloud.numpy()) for cloud in self.clouds] if clouds.device.type == "cpu" else []

    @torch.no_grad()
    def match(self, positions: Tensor) -> Matches:
        """Return the nearest neighbours of vertices (n, b, 3) among the clouds' points, and the other way round."""
        meshes = positions.detach().transpose(0, 1)
        if not self.trees:
            pairs = zip(meshes, self.clouds, strict=True)
            both = [(_full_search(cloud, mesh), _full_search(mesh, cloud)) for mesh, cloud in pairs]
            return Matches(*(torch.stack(rows) for rows in zip(*both, strict=True)))
        to_cloud, to_mesh = [], []
        for mesh, cloud, tree in zip(meshes.double().numpy(), self.clouds.numpy(), self.trees, strict=True):
            to_cloud.append(tree.nearest(mesh)[0])
            to_mesh.append(NearestFinder(mesh).nearest(cloud)[0])
        return Matches(torch.from_numpy(np.stack(to_cloud)), torch.from_numpy(np.stack(to_mesh)))


def _full_search(points: Tensor, queries: Tensor) -> Tensor:
    """Return the row of `points` (n, 3) nearest to each of `queries` (q, 3)."""
    rows = max(1, CHUNK // len(points))
    return torch.cat([torch.cdist(part, points).argmin(1) for part in queries.split(rows)])


def chamfer(positions: Tensor, clouds: Tensor, matches: Matches, *, squared: bool = True, mean: bool = True) -> Tensor:
    """Return the chamfer distance of meshes to clouds: to the nearest point of the cloud, plus the other way round.

    Parameters
    ----------
    positions : (n, b, 3)
    clouds : (b, m, 3)
    matches : Matches, between them; they carry no gradient
    squared : squares of distances (both papers' equations), or distances
    mean : means over the n vertices and the m points, as the code of Wang et al. has it; or sums (Liu et al. do not
        say; equation 6 of GCN-IGAN and equation 2 of Wang et al. are sums)
    """
    meshes = positions.transpose(0, 1)
    total = torch.zeros((), device=positions.device)
    for own, other, index in ((meshes, clouds, matches.to_cloud), (clouds, meshes, matches.to_mesh)):
        apart = (own - gather_points(other, index)).square().sum(-1)  # (b, n) or (b, m)
        if not squared:
            apart = apart.clamp_min(1e-12).sqrt()
        total = total + (apart.mean() if mean else apart.sum(1).mean())
    return total


def gather_points(values: Tensor, index: Tensor) -> Tensor:
    """Return rows of each of b tables: values (b, n, c), index (b, m) -> (b, m, c)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def edge_vectors(positions: Tensor, edges: Tensor) -> Tensor:
    """Return the vectors (e, b, 3) along edges (e, 2) of meshes (n, b, 3)."""
    return positions.index_select(0, edges[:, 0]) - positions.index_select(0, edges[:, 1])


def normal_loss(vectors: Tensor, edges: Tensor, normals: Tensor) -> Tensor:
    """Return the mean |cosine| between edges and the normals of the surface at their ends (Wang et al., equation 3).

    Parameters
    ----------
    vectors : (e, b, 3), of `edge_vectors`
    edges : (e, 2)
    normals : (n, b, 3), unit: those of the cloud's point nearest to each vertex

    Notes
    -----
    The equation squares the product of the normal and the edge itself, which depends on how fine the mesh is; the code
    of Wang et al., whose weights Liu et al. took over (1.6e-4 is its 0.5 against 3,000), has the absolute cosine.
    """
    directions = functional.normalize(vectors, dim=-1)
    cosines = [(directions * normals.index_select(0, edges[:, end])).sum(-1).abs().mean() for end in (0, 1)]
    return 0.5 * (cosines[0] + cosines[1])


def edge_length_loss(vectors: Tensor) -> Tensor:
    """Return the mean squared length of edges (e, b, 3).

    The l_loc of Liu et al., which they do not define: the edge length regularisation that they name, equation 5 of Wang
    et al., whose weight (0.1) it has.
    """
    return vectors.square().sum(-1).mean()


def laplacian_loss(before: Tensor, after: Tensor, graph: Graph) -> Tensor:
    """Return the mean squared change of the uniform Laplacian coordinate (Wang et al., equation 4).

    Parameters
    ----------
    before, after : (n, b, 3), positions before and after a block
    graph : Graph
        The Laplacian coordinate of a vertex is its position less the mean of its neighbours'.
    """
    moved = after - before
    return (moved - graph.sum_neighbours(moved) / graph.degree).square().sum(-1).mean()


def movement_loss(before: Tensor, after: Tensor) -> Tensor:
    """Return the mean squared displacement of vertices by a block, (n, b, 3) each.

    The l_mov of Liu et al., which they do not define; Wang et al. have it in their code, beside the Laplacian.
    """
    return (after - before).square().sum(-1).mean()


def sinkhorn_distance(first: Tensor, second: Tensor, *, blur: float, iterations: int = 50) -> Tensor:
    """Return the mean distance over which the points of one cloud are carried onto another: earth mover's distance.

    Parameters
    ----------
    first : (b, n, 3)
    second : (b, m, 3)
    blur : length
        Entropy's weight: the carriage is spread over about this distance. The smaller, the nearer to the exact
        distance, and the more iterations it takes.
    iterations : of Sinkhorn's algorithm, in logarithms (Cuturi 2013)

    Notes
    -----
    No shipped network was trained with it.

    The gradient is that of the distances under the final carriage, which by the envelope theorem is all there is of it
    once the iterations have converged.
    """
    apart = (first[:, :, None] - second[:, None]).square().sum(-1).clamp_min(1e-12).sqrt()  # (b, n, m)
    with torch.no_grad():
        kernel = apart / -blur
        rows = torch.zeros_like(kernel[:, :, :1])
        for _ in range(iterations):
            columns = -torch.logsumexp(kernel + rows, 1, keepdim=True)
            rows = -torch.logsumexp(kernel + columns, 2, keepdim=True)
        carriage = (kernel + rows + columns).exp() / apart.shape[1]
    return (carriage * apart).sum((1, 2)).mean()
