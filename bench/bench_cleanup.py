"""Spike removal and connected components, compared with NumPy and trimesh."""

import numpy as np
import pytest

from facegeom.geometry import connected_components, depth_to_mesh, remove_spikes

trimesh = pytest.importorskip("trimesh")


@pytest.fixture(params=[6500, 100_000], ids=["6.5k", "100k"], scope="module")
def stepped_mesh(request):
    """Number of vertices asked for, vertices in mm and triangles of a depth map with a step of 30 mm."""
    size = 640
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    depth = 60 - 200 * (x**2 + y**2) - 30 * (y > 0.1)
    mesh = depth_to_mesh(depth, np.hypot(x / 0.8, y) < 0.44, scale=size / 200, vertex_count=request.param)
    return request.param, mesh.V, mesh.F


def largest_parts(F, smallest=0.05):
    """Return the triangles of the parts that have at least this share of the largest part's triangles."""
    label = trimesh.graph.connected_component_labels(trimesh.graph.face_adjacency(F), node_count=len(F))
    size = np.bincount(label)
    return F[size[label] >= smallest * size.max()]


@pytest.mark.parametrize("library", ["facegeom", "numpy + trimesh"])
def test_remove_spikes(stepped_mesh, library, measure):
    count, V, F = stepped_mesh

    def with_facegeom():
        kept = remove_spikes(V, F)
        return kept.vertices[kept.F]

    def with_trimesh():
        corners = V[F]
        longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        keep = np.ones(len(F), bool)
        for value, factor in ((np.log(area), 8.0), (np.log(longest), 6.0)):
            deviation = 1.4826 * np.median(np.abs(value - np.median(value)))
            keep &= value <= np.median(value) + factor * max(0.3, deviation)
        return largest_parts(F[keep])

    calls = {"facegeom": with_facegeom, "numpy + trimesh": with_trimesh}
    answer, other = measure(f"remove_spikes, {count} vertices", library, calls)
    ours, theirs = (answer, other) if library == "facegeom" else (other, answer)
    ours, theirs = ({tuple(f) for f in triangles.tolist()} for triangles in (ours, theirs))
    assert ours <= theirs
    # facegeom also removes fans of triangles that touch the rest in a single vertex.
    assert len(theirs) - len(ours) < 1e-3 * len(F)


@pytest.mark.parametrize("library", ["facegeom", "trimesh"])
def test_connected_components(stepped_mesh, library, measure):
    count, V, F = stepped_mesh
    F = F[np.ptp(V[F][:, :, 2], axis=1) < 15]
    calls = {
        "facegeom": lambda: connected_components(F, len(V)),
        "trimesh": lambda: trimesh.graph.connected_component_labels(trimesh.graph.face_adjacency(F), node_count=len(F)),
    }
    label, other = measure(f"connected_components, {count} vertices", library, calls)
    assert label.max() >= 1
    assert len(set(zip(label.tolist(), other.tolist(), strict=True))) == label.max() + 1
