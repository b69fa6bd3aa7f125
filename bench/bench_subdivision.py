"""Subdivision of a mesh, compared with libigl and trimesh."""

import numpy as np
import pytest

from facegeom.geometry import nearest, subdivide

igl = pytest.importorskip("igl")
trimesh = pytest.importorskip("trimesh")


@pytest.mark.parametrize("library", ["facegeom", "libigl", "trimesh"])
@pytest.mark.parametrize("scheme", ["loop", "midpoint"])
def test_subdivide(mesh, scheme, library, measure):
    size, V, F = mesh
    if scheme == "loop":
        peers = {
            "libigl": lambda: igl.loop(V, F, 1),
            "trimesh": lambda: trimesh.remesh.subdivide_loop(V, F, iterations=1),
        }
    else:
        peers = {"libigl": lambda: igl.upsample(V, F, 1), "trimesh": lambda: trimesh.remesh.subdivide(V, F)}
    calls = {"facegeom": lambda: subdivide(V, F, scheme)[:2], **peers}
    (X, T), (other_X, other_T) = measure(f"subdivide, {scheme}, {size} vertices", library, calls)
    assert (X.shape, T.shape) == (other_X.shape, other_T.shape)
    # The Loop schemes of the three libraries differ on the border.
    assert np.quantile(nearest(other_X, X)[1], 0.9) < 1e-9
