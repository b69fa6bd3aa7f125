"""Layers on meshes, compared with dense matrices, grid_sample and finite differences."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from facegeom.networks.graph import (
    Graph,
    GraphConv,
    GraphResidual,
    GraphResNet,
    Unpooling,
    pool_features,
    unpoolings,
)
from facegeom.networks.semi_sphere import semi_sphere

LEVEL = semi_sphere().levels[0]


def adjacency(edges, count):
    matrix = torch.zeros(count, count)
    for a, b in edges.tolist():
        matrix[a, b] = matrix[b, a] = 1
    return matrix


def test_sums_over_neighbours_and_their_gradients_are_those_of_the_matrix():
    graph, matrix = Graph(LEVEL.edges, LEVEL.count), adjacency(LEVEL.edges, LEVEL.count)
    features = torch.randn(LEVEL.count, 3, 5, requires_grad=True)
    weight = torch.randn(LEVEL.count, 3, 5)
    ours = graph.sum_neighbours(features)
    torch.testing.assert_close(ours, torch.einsum("ij,jbc->ibc", matrix, features))
    (gradient,) = torch.autograd.grad((ours * weight).sum(), features)
    torch.testing.assert_close(gradient, torch.einsum("ji,jbc->ibc", matrix, weight))


def test_smoothing_converges_to_a_constant_and_preserves_constants():
    graph = Graph(LEVEL.edges, LEVEL.count)
    features = torch.randn(LEVEL.count, 2, 3) + 5
    matrix = adjacency(LEVEL.edges, LEVEL.count)
    once = 0.5 * features + 0.5 * torch.einsum("ij,jbc->ibc", matrix, features) / graph.degree
    torch.testing.assert_close(graph.smoothed(features, 1), once)
    mean = (graph.degree * features).sum(0) / graph.degree.sum()
    torch.testing.assert_close(graph.smoothed(features, 3000), mean.expand_as(features), atol=1e-3, rtol=0)
    assert graph.smoothed(features, 0) is features


def test_a_vertex_without_neighbours_is_rejected():
    with pytest.raises(ValueError, match="vertex 2 has no neighbour"):
        Graph(np.array([[0, 1]]), 3)


def test_convolution_equals_the_formula_of_the_paper_and_uses_one_ring():
    torch.manual_seed(0)
    graph, layer = Graph(LEVEL.edges, LEVEL.count), GraphConv(4, 6)
    features = torch.randn(LEVEL.count, 2, 4)
    out = layer(features, graph)
    row = 30
    ring = [int(b if a == row else a) for a, b in LEVEL.edges if row in (a, b)]
    expected = layer.own.weight @ features[row, 1] + layer.own.bias
    expected = expected + sum(layer.neighbours.weight @ features[j, 1] for j in ring)
    torch.testing.assert_close(out[row, 1], expected)
    other = features.clone()
    other[row] += 1
    changed = (layer(other, graph) != out).any(-1).any(-1)
    assert sorted(torch.nonzero(changed).ravel().tolist()) == sorted([row, *ring])


def test_gradients_of_a_convolution_are_those_of_dense_matrices():
    torch.manual_seed(0)
    graph, layer = Graph(LEVEL.edges, LEVEL.count), GraphConv(4, 6)
    matrix = adjacency(LEVEL.edges, LEVEL.count)
    features, weight = torch.randn(LEVEL.count, 2, 4, requires_grad=True), torch.randn(LEVEL.count, 2, 6)
    wanted = [features, *layer.parameters()]
    dense = layer.own(features) + torch.einsum("ij,jbc->ibc", matrix, layer.neighbours(features))
    expected = torch.autograd.grad((dense * weight).sum(), wanted)
    ours = layer(features, graph)
    torch.testing.assert_close(ours, dense)
    for gradient, right in zip(torch.autograd.grad((ours * weight).sum(), wanted), expected, strict=True):
        torch.testing.assert_close(gradient, right, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(layer(features, graph), dense)


def test_convolution_preserves_the_magnitude_of_smooth_features():
    torch.manual_seed(0)
    graph, layer = Graph(LEVEL.edges, LEVEL.count), GraphConv(64, 64)
    features = functional.relu(torch.randn(1, 1, 64)).expand(LEVEL.count, 4, 64)
    out = functional.relu(layer(features, graph))
    assert 0.5 < (out.square().mean() / features.square().mean()).sqrt() < 1.6


def test_meshes_of_a_batch_are_independent():
    torch.manual_seed(0)
    graph, block = Graph(LEVEL.edges, LEVEL.count), GraphResNet(4, 8, 2)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    features = torch.randn(LEVEL.count, 3, 4)
    both = block(features, graph)
    for part, whole in zip(block(features[:, 1:2], graph), both, strict=True):
        torch.testing.assert_close(part, whole[:, 1:2])


def test_residual_block_starts_as_the_identity_of_rectified_features():
    graph, block = Graph(LEVEL.edges, LEVEL.count), GraphResidual(6)
    features = torch.rand(LEVEL.count, 1, 6)
    torch.testing.assert_close(block(features, graph), features)


def test_resnet_has_14_convolutions_and_starts_without_displacement():
    block = GraphResNet(9, 8)
    assert sum(isinstance(module, GraphConv) for module in block.modules()) == 14
    displacement, hidden = block(torch.randn(LEVEL.count, 2, 9), Graph(LEVEL.edges, LEVEL.count))
    assert displacement.shape == (141, 2, 3)
    assert not displacement.any()
    assert hidden.shape == (141, 2, 8)
    (displacement - 1).square().sum().backward()
    assert block.last.own.weight.grad.any()


def test_unpooling_starts_at_the_midpoints():
    sphere = semi_sphere()
    values = torch.randn(141, 2, 5)
    for adaptive in (True, False):
        unpooled = values
        for unpool, level in zip(unpoolings(sphere.levels, adaptive), sphere.levels[1:], strict=True):
            coarse = unpooled
            unpooled = unpool(unpooled)
            torch.testing.assert_close(unpooled, coarse[torch.from_numpy(level.parents.copy())].mean(1))
        assert unpooled.shape == (7008, 2, 5)


def test_adaptive_unpooling_uses_its_edge_positions_and_learns_them():
    edges = np.array([[0, 1], [1, 2]])
    unpool = Unpooling(edges, True)
    with torch.no_grad():
        unpool.logit.copy_(torch.tensor([0.0, np.log(3.0)]))
    torch.testing.assert_close(unpool.edge_positions(), torch.tensor([0.5, 0.75]))
    values = torch.tensor([[0.0], [4.0], [8.0]])[:, None]
    out = unpool(values)
    torch.testing.assert_close(out[:, 0, 0], torch.tensor([0.0, 4.0, 8.0, 2.0, 7.0]))
    out[3:].sum().backward()
    torch.testing.assert_close(unpool.logit.grad, 4 * torch.tensor([0.25, 0.1875]))
    fixed = Unpooling(edges, False)
    assert not list(fixed.parameters())
    assert not fixed.state_dict()


def test_pooling_and_its_gradients_are_those_of_grid_sample():
    torch.manual_seed(0)
    maps = [torch.randn(2, c, s, s, requires_grad=True) for c, s in ((3, 16), (4, 8), (2, 1))]
    positions = torch.rand(50, 2, 3) * 2.6 - 1.3
    grid = (positions[..., :2] * torch.tensor([1.0, -1.0])).transpose(0, 1)[:, :, None]
    expected = torch.cat(
        [functional.grid_sample(m, grid, padding_mode="border", align_corners=False)[..., 0] for m in maps], 1
    ).permute(2, 0, 1)
    ours = pool_features(maps, positions)
    torch.testing.assert_close(ours, expected)
    weight = torch.randn_like(ours)
    for mine, theirs in zip(
        torch.autograd.grad((ours * weight).sum(), maps),
        torch.autograd.grad((expected * weight).sum(), maps),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_a_vertex_at_a_pixel_centre_samples_this_pixel():
    size = 8
    image = torch.arange(size * size, dtype=torch.float32).reshape(1, 1, size, size)
    column, row = 5, 2
    place = torch.tensor([(2 * column + 1) / size - 1, 1 - (2 * row + 1) / size, 0.3])
    assert pool_features([image], place[None, None])[0, 0, 0] == image[0, 0, row, column]


def test_layers_work_in_bfloat16():
    graph, block = Graph(LEVEL.edges, LEVEL.count), GraphResNet(4, 8, 1)
    maps = [torch.randn(2, 4, 8, 8, requires_grad=True)]
    with torch.autocast("cpu", torch.bfloat16):
        features = pool_features([m.bfloat16() for m in maps], torch.zeros(141, 2, 3))
        displacement, hidden = block(features, graph)
    assert displacement.dtype == torch.float32
    assert hidden.dtype == torch.bfloat16
    hidden.float().sum().backward()
    assert maps[0].grad is not None
