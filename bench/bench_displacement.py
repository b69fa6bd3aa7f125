"""Displacement by image detail, compared with the low-pass filter that it contains, solved with SciPy."""

import numpy as np
import pytest

from facegeom.geometry import detail_displacement, heat_smooth

igl = pytest.importorskip("igl")
sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")

LOW_PASS = "libigl + scipy spsolve, low-pass filter only"


@pytest.mark.parametrize("library", ["facegeom", LOW_PASS])
def test_detail_displacement(mesh, library, measure):
    size, V, F = mesh
    intensity = np.random.default_rng(2).uniform(size=len(V))
    time_mm2 = 1.5
    M = sparse.diags_array(igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI).diagonal())
    calls = {
        "facegeom": lambda: detail_displacement(V, F, intensity, time_mm2=time_mm2),
        LOW_PASS: lambda: linalg.spsolve((M - time_mm2 * igl.cotmatrix(V, F)).tocsc(), M @ intensity),
    }
    answer, other = measure(f"detail_displacement, {size} vertices", library, calls)
    displaced, low = (answer, other) if library == "facegeom" else (other, answer)
    np.testing.assert_allclose(heat_smooth(V, F, intensity, time_mm2), low, atol=1e-6)
    assert np.abs(displaced - V).max() <= 0.5 + 1e-12
