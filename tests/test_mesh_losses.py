"""Losses on meshes, compared with SciPy and closed forms."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from facegeom.networks.graph import Graph
from facegeom.networks.semi_sphere import semi_sphere
from facegeom.training.meshes import losses as mesh_losses
from facegeom.training.meshes.losses import (
    CloudFinder,
    chamfer,
    edge_length_loss,
    edge_vectors,
    laplacian_loss,
    movement_loss,
    normal_loss,
)

LEVEL = semi_sphere().levels[0]


def clouds(count, batch=2, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, count, 3)).astype(np.float32))


def by_scipy(meshes, points, power):
    """Return the sum and the mean of the powers of nearest distances in both directions, averaged over the batch."""
    sums, means = [], []
    for a, b in zip(meshes.numpy(), points.numpy(), strict=True):
        one, two = cKDTree(b).query(a)[0] ** power, cKDTree(a).query(b)[0] ** power
        sums.append(one.sum() + two.sum())
        means.append(one.mean() + two.mean())
    return np.mean(sums), np.mean(means)


@pytest.mark.parametrize(("squared", "power"), [(True, 2), (False, 1)])
def test_chamfer_equals_that_of_scipy(squared, power):
    meshes, points = clouds(40), clouds(70, seed=1)
    positions = meshes.transpose(0, 1)
    matches = CloudFinder(points).match(positions)
    for mean, expected in zip((False, True), by_scipy(meshes, points, power), strict=True):
        found = chamfer(positions, points, matches, squared=squared, mean=mean).item()
        assert found == pytest.approx(expected, rel=1e-5)


def test_brute_force_search_equals_the_k_d_trees(monkeypatch):
    meshes, points = clouds(50), clouds(33, seed=1)
    matches = CloudFinder(points).match(meshes.transpose(0, 1))
    monkeypatch.setattr(mesh_losses, "CHUNK", 200)
    for row in range(2):
        assert torch.equal(mesh_losses._brute_force_search(points[row], meshes[row]), matches.to_cloud[row])
        assert torch.equal(mesh_losses._brute_force_search(meshes[row], points[row]), matches.to_mesh[row])


def test_minimising_chamfer_moves_vertices_to_the_cloud():
    points = clouds(60, batch=1)
    positions = clouds(60, batch=1, seed=3).transpose(0, 1).clone().requires_grad_()
    finder = CloudFinder(points)
    losses = []
    for _ in range(30):
        loss = chamfer(positions, points, finder.match(positions))
        (gradient,) = torch.autograd.grad(loss, positions)
        positions = (positions - 10 * gradient).detach().requires_grad_()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_chamfer_of_equal_points_has_finite_gradients():
    points = clouds(20)
    positions = points.transpose(0, 1).clone().requires_grad_()
    chamfer(positions, points, CloudFinder(points).match(positions), squared=False).backward()
    assert torch.isfinite(positions.grad).all()


def test_normal_loss_of_edges_in_a_plane_is_zero():
    positions = torch.from_numpy(semi_sphere().vertices.copy()).float()[:, None]
    flat = positions * torch.tensor([1.0, 1.0, 0.0])
    edges = torch.from_numpy(LEVEL.edges.copy())
    vectors = edge_vectors(flat, edges)
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(flat)
    assert normal_loss(vectors, edges, up).item() == pytest.approx(0.0, abs=1e-7)
    along = torch.tensor([1.0, 0.0, 0.0]).expand_as(flat)
    expected = (vectors[..., 0].abs() / vectors.norm(dim=-1)).mean().item()
    assert normal_loss(vectors, edges, along).item() == pytest.approx(expected, rel=1e-6)
    assert normal_loss(3 * vectors, edges, along).item() == pytest.approx(expected, rel=1e-6)


def test_edge_length_loss_is_the_mean_squared_length():
    positions = torch.tensor([[0.0, 0, 0], [3, 0, 0], [3, 4, 0]])[:, None]
    edges = torch.tensor([[0, 1], [1, 2], [0, 2]])
    assert edge_length_loss(edge_vectors(positions, edges)).item() == pytest.approx((9 + 16 + 25) / 3)


def test_laplacian_loss_ignores_a_translation_but_not_one_moved_vertex():
    graph = Graph(LEVEL.edges, LEVEL.count)
    before = torch.from_numpy(semi_sphere().vertices.copy()).float()[:, None]
    assert laplacian_loss(before, before + 2, graph).item() == pytest.approx(0.0, abs=1e-9)
    after = before.clone()
    row = 100
    after[row] += torch.tensor([0.0, 0.0, 1.0])
    ring = [int(b if a == row else a) for a, b in LEVEL.edges if row in (a, b)]
    degree = np.bincount(LEVEL.edges.ravel())
    expected = (1 + sum(1 / degree[j] ** 2 for j in ring)) / LEVEL.count
    assert laplacian_loss(before, after, graph).item() == pytest.approx(expected, rel=1e-5)


def test_movement_loss_is_the_mean_squared_displacement():
    before = torch.zeros(5, 2, 3)
    assert movement_loss(before, before + torch.tensor([1.0, 2.0, 2.0])).item() == pytest.approx(9.0)
