"""Spike removal and components beside the same with NumPy and trimesh."""

import numpy as np
import pytest

from facegeom.geometry import connected_components, depth_to_mesh, remove_spikes

trimesh = pytest.importorskip("trimesh")


@pytest.fixture(params=[6500, 100_000], ids=["6.5k", "100k"])
def stepped_mesh(request):
    size = 640
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    depth = 60 - 200 * (x**2 + y**2) - 30 * (y > 0.1)
    mesh = depth_to_mesh(depth, np.hypot(x / 0.8, y) < 0.44, scale=size / 200, vertex_count=request.param)
    return request.param, mesh.V, mesh.F


def with_trimesh(V, F):
    corners = V[F]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    keep = np.ones(len(F), bool)
    for value, factor in ((np.log(area), 8.0), (np.log(longest), 6.0)):
        deviation = 1.4826 * np.median(np.abs(value - np.median(value)))
        keep &= value <= np.median(value) + factor * max(0.3, deviation)
    F = F[keep]
    label = trimesh.graph.connected_component_labels(trimesh.graph.face_adjacency(F), node_count=len(F))
    size = np.bincount(label)
    return F[size[label] >= 0.05 * size.max()]


def test_remove_spikes(compare, stepped_mesh):
    count, V, F = stepped_mesh
    kept, peers = compare(
        f"remove_spikes {count}", lambda: remove_spikes(V, F), {"numpy + trimesh": lambda: with_trimesh(V, F)}
    )
    ours = {tuple(f) for f in kept.vertices[kept.F].tolist()}
    theirs = {tuple(f) for f in peers["numpy + trimesh"].tolist()}
    assert ours <= theirs
    assert len(theirs) - len(ours) < 1e-3 * len(F)  # fans that meet at a vertex only


def test_connected_components(compare, stepped_mesh):
    count, V, F = stepped_mesh
    F = F[np.ptp(V[F][:, :, 2], axis=1) < 15]
    label, peers = compare(
        f"connected_components {count}",
        lambda: connected_components(F, len(V)),
        {
            "trimesh": lambda: trimesh.graph.connected_component_labels(
                trimesh.graph.face_adjacency(F), node_count=len(F)
            )
        },
    )
    assert label.max() >= 1
    assert len(set(zip(label.tolist(), peers["trimesh"].tolist(), strict=True))) == label.max() + 1
