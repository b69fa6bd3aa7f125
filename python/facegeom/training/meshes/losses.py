"""Loss functions on deformed meshes. Each docstring names the equation that the loss implements.

Vertex positions of b meshes with the same connectivity have the shape (n, b, 3), as in the networks; point clouds have
the shape (b, m, 3).
All losses are averaged over the batch. In training, lengths are in units of 100 mm, so that faces have the size of the
objects for which Wang et al. chose the weights of the terms.
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
"""Number of distances computed together in the brute-force search, to limit memory."""


class Matches(NamedTuple):
    """Nearest neighbours between meshes and point clouds.

    Attributes
    ----------
    to_cloud : (b, n) int64 tensor
        Nearest point of the cloud to each vertex.
    to_mesh : (b, m) int64 tensor
        Nearest vertex to each point of the cloud.
    """

    to_cloud: Tensor
    to_mesh: Tensor


class CloudFinder:
    """Search for nearest neighbours between several meshes and the same point clouds.

    Parameters
    ----------
    clouds : (b, m, 3) tensor
        Points of the b clouds.

    Notes
    -----
    On the CPU, the search uses k-d trees; the trees of the clouds are built only once. Both searches between 7,008
    vertices and 4,500 points take 6 ms; a brute-force search takes 300 ms. On other devices the search is brute force.
    """

    def __init__(self, clouds: Tensor) -> None:
        self.clouds = clouds.detach()
        self.trees = [NearestFinder(cloud.numpy()) for cloud in self.clouds] if clouds.device.type == "cpu" else []

    @torch.no_grad()
    def match(self, positions: Tensor) -> Matches:
        """Return the nearest neighbours between vertices and points in both directions.

        Parameters
        ----------
        positions : (n, b, 3) tensor
            Vertices of the meshes.

        Returns
        -------
        Matches
        """
        meshes = positions.detach().transpose(0, 1)
        if not self.trees:
            pairs = zip(meshes, self.clouds, strict=True)
            both = [(_brute_force_search(cloud, mesh), _brute_force_search(mesh, cloud)) for mesh, cloud in pairs]
            return Matches(*(torch.stack(rows) for rows in zip(*both, strict=True)))
        to_cloud, to_mesh = [], []
        for mesh, cloud, tree in zip(meshes.double().numpy(), self.clouds.numpy(), self.trees, strict=True):
            to_cloud.append(tree.nearest(mesh)[0])
            to_mesh.append(NearestFinder(mesh).nearest(cloud)[0])
        return Matches(torch.from_numpy(np.stack(to_cloud)), torch.from_numpy(np.stack(to_mesh)))


def _brute_force_search(points: Tensor, queries: Tensor) -> Tensor:
    """Return the row of `points` (n, 3) nearest to each of `queries` (q, 3)."""
    rows = max(1, CHUNK // len(points))
    return torch.cat([torch.cdist(part, points).argmin(1) for part in queries.split(rows)])


def chamfer(positions: Tensor, clouds: Tensor, matches: Matches, *, squared: bool = True, mean: bool = True) -> Tensor:
    """Return the chamfer distance: from each vertex to the nearest point, plus from each point to the nearest vertex.

    Parameters
    ----------
    positions : (n, b, 3) tensor
        Vertices of the meshes.
    clouds : (b, m, 3) tensor
    matches : Matches
        Nearest neighbours, treated as constants in the gradient.
    squared : bool
        Whether to use squared distances (equation 6 of GCN-IGAN, equation 2 of Wang et al.) or distances.
    mean : bool
        Whether to average over the n vertices and the m points, as the published code of Wang et al. does, or to sum,
        as both equations do. Liu et al. do not specify which.

    Returns
    -------
    () tensor
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
    """Return the rows `index` (b, m) of `values` (b, n, c), as (b, m, c)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def edge_vectors(positions: Tensor, edges: Tensor) -> Tensor:
    """Return the vectors (e, b, 3) along the edges (e, 2) of meshes with the vertices (n, b, 3)."""
    return positions.index_select(0, edges[:, 0]) - positions.index_select(0, edges[:, 1])


def normal_loss(vectors: Tensor, edges: Tensor, normals: Tensor) -> Tensor:
    """Return the mean absolute cosine between the edges and the true normals at their ends (Wang et al., equation 3).

    Parameters
    ----------
    vectors : (e, b, 3) tensor
        Edge vectors, from `edge_vectors`.
    edges : (e, 2) int tensor
    normals : (n, b, 3) tensor
        Unit normal of the cloud point nearest to each vertex.

    Returns
    -------
    () tensor

    Notes
    -----
    The equation squares the scalar product of the normal and the edge, which depends on the edge length. The published
    code of Wang et al. uses the absolute cosine instead, with weight 0.5; its weight of the chamfer distance is 3,000.
    The weight of Liu et al., 1.6e-4, is the ratio of these weights.
    """
    directions = functional.normalize(vectors, dim=-1)
    cosines = [(directions * normals.index_select(0, edges[:, end])).sum(-1).abs().mean() for end in (0, 1)]
    return 0.5 * (cosines[0] + cosines[1])


def edge_length_loss(vectors: Tensor) -> Tensor:
    """Return the mean squared length of edge vectors (e, b, 3).

    Liu et al. call this term edge length regularisation (l_loc), without an equation. Equation 5 of Wang et al. is the
    same term with the same weight, 0.1.
    """
    return vectors.square().sum(-1).mean()


def laplacian_loss(before: Tensor, after: Tensor, graph: Graph) -> Tensor:
    """Return the mean squared change of the uniform Laplacian coordinates (Wang et al., equation 4).

    The Laplacian coordinate of a vertex is its position minus the mean position of its neighbours.

    Parameters
    ----------
    before, after : (n, b, 3) tensors
        Vertices before and after a deformation block.
    graph : Graph
        Connectivity of the mesh.

    Returns
    -------
    () tensor
    """
    moved = after - before
    return (moved - graph.sum_neighbours(moved) / graph.degree).square().sum(-1).mean()


def movement_loss(before: Tensor, after: Tensor) -> Tensor:
    """Return the mean squared displacement of the vertices (n, b, 3) by a deformation block.

    The term is called l_mov by Liu et al., who give no equation; the published code of Wang et al. contains it.
    """
    return (after - before).square().sum(-1).mean()
