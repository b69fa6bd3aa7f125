"""Meshes from depth maps, compared with SciPy's Delaunay triangulation of all foreground pixels."""

import numpy as np
import pytest

from facegeom.geometry import depth_to_mesh

spatial = pytest.importorskip("scipy.spatial")


@pytest.mark.parametrize("library", ["facegeom", "scipy, every pixel"])
@pytest.mark.parametrize("size", [128, 256, 512])
def test_depth_to_mesh(size, library, measure):
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    mask = np.hypot(x / 0.8, y) < 0.44
    depth = 90 * np.sqrt(np.clip(1 - (x / 0.4) ** 2 - (y / 0.5) ** 2, 0, None))

    def with_facegeom():
        mesh = depth_to_mesh(depth, mask)
        return mesh.V, mesh.F

    def with_scipy():
        row, col = np.nonzero(mask)
        V = np.column_stack([col, -row, depth[row, col]]).astype(float)
        F = spatial.Delaunay(V[:, :2]).simplices
        middle = V[F].mean(axis=1)
        return V, F[mask[np.rint(-middle[:, 1]).astype(int), np.rint(middle[:, 0]).astype(int)]]

    calls = {"facegeom": with_facegeom, "scipy, every pixel": with_scipy}
    (V, F), _ = measure(f"depth_to_mesh, {size} px", library, calls)
    if library == "facegeom":
        assert 6300 < len(V) < 6700
    corners = V[F][:, :, :2]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2
    # Triangles between pixel centres leave out half a pixel along the outline.
    np.testing.assert_allclose(area, mask.sum(), rtol=0.02 if library == "facegeom" else 4 / size + 0.02)
