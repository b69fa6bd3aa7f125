"""Biharmonic interpolation, compared with a sparse LU factorisation of libigl's matrices by SciPy."""

import numpy as np
import pytest

from facegeom.geometry import biharmonic_interpolation

igl = pytest.importorskip("igl")
sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")


@pytest.mark.parametrize("library", ["facegeom", "libigl + scipy splu"])
def test_biharmonic_interpolation(mesh, library, measure):
    size, V, F = mesh
    if size != "29k":
        pytest.skip("the LU factorisation of the peer takes half a minute at 117k vertices")
    known = (V[:, 0] < np.median(V[:, 0])).astype(float)
    length, decay = 2.0, 50.0

    def with_scipy():
        area = igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI).diagonal()
        L = igl.cotmatrix(V, F)
        K = L @ sparse.diags_array(1 / area) @ L
        A = length**4 * K + sparse.diags_array(area * (known + (length / decay) ** 4))
        return linalg.splu(A.tocsc()).solve((area * known)[:, None] * V)

    calls = {
        "facegeom": lambda: biharmonic_interpolation(V, F, V, known, length=length, decay=decay),
        "libigl + scipy splu": with_scipy,
    }
    values, other = measure(f"biharmonic_interpolation, {size} vertices", library, calls)
    np.testing.assert_allclose(values, other, atol=1e-3)
