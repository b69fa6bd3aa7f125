"""Meshes from depth maps beside SciPy's Delaunay triangulation of the foreground pixels."""

import numpy as np
import pytest

from facegeom.geometry import depth_to_mesh

spatial = pytest.importorskip("scipy.spatial")


@pytest.mark.parametrize("size", [128, 256, 512])
def test_depth_to_mesh(compare, size):
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    mask = np.hypot(x / 0.8, y) < 0.44
    depth = 90 * np.sqrt(np.clip(1 - (x / 0.4) ** 2 - (y / 0.5) ** 2, 0, None))

    def every_pixel():
        row, col = np.nonzero(mask)
        V = np.column_stack([col, -row, depth[row, col]]).astype(float)
        F = spatial.Delaunay(V[:, :2]).simplices
        middle = V[F].mean(axis=1)
        inside = mask[np.rint(-middle[:, 1]).astype(int), np.rint(middle[:, 0]).astype(int)]
        return V, F[inside]

    mesh, _ = compare(f"depth_to_mesh {size} px", lambda: depth_to_mesh(depth, mask), {"scipy": every_pixel})
    assert 6300 < len(mesh.V) < 6700
    corners = mesh.V[mesh.F][:, :, :2]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    np.testing.assert_allclose((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2, mask.sum(), rtol=0.02)
