"""Normals of triangles and vertices, compared with libigl."""

import numpy as np
import pytest

from facegeom.geometry import face_normals, vertex_normals

igl = pytest.importorskip("igl")


@pytest.mark.parametrize("library", ["facegeom", "libigl"])
def test_vertex_normals(mesh, library, measure):
    size, V, F = mesh
    area = igl.PER_VERTEX_NORMALS_WEIGHTING_TYPE_AREA
    calls = {"facegeom": lambda: vertex_normals(V, F), "libigl": lambda: igl.per_vertex_normals(V, F, area)}
    normals, expected = measure(f"vertex_normals, {size} vertices", library, calls)
    np.testing.assert_allclose(normals, expected, atol=1e-12)


@pytest.mark.parametrize("library", ["facegeom", "libigl"])
def test_face_normals(mesh, library, measure):
    size, V, F = mesh
    degenerate = np.zeros(3)
    calls = {"facegeom": lambda: face_normals(V, F), "libigl": lambda: igl.per_face_normals(V, F, degenerate)}
    normals, expected = measure(f"face_normals, {size} vertices", library, calls)
    np.testing.assert_allclose(normals, expected, atol=1e-12)
