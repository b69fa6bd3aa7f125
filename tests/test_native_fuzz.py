"""Native functions with damaged arguments: a result that is finite, or an error of one line. Never a crash.

Two fuzzers: `native_fuzz.py` damages valid arguments at random, with a seed, in a process of its own; hypothesis makes
arrays of any content.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import facegeom
from facegeom import _core
from facegeom import geometry as g
from native_cases import PUBLIC
from native_fuzz import REFUSALS, fault_of, misaligned

HERE = Path(__file__).parent
QUICK_CALLS, SLOW_CALLS = 1500, 20_000


def run_fuzzer(calls, seed, tmp_path):
    log = tmp_path / "call.txt"
    command = [sys.executable, "-P", "-X", "faulthandler", HERE / "native_fuzz.py"]
    result = subprocess.run(
        [*command, "--calls", str(calls), "--seed", str(seed), "--log", log],
        capture_output=True,
        text=True,
        env=with_path(),
    )
    where = log.read_text(encoding="utf-8").strip() if log.exists() else "no call"
    assert result.returncode == 0, f"last call: {where}\n{result.stdout[-4000:]}{result.stderr[-4000:]}"


def with_path():
    """Return the environment with absolute paths of the modules of this process."""
    path = os.pathsep.join([str(HERE), *(str(Path(part).resolve()) for part in sys.path if part)])
    return {**os.environ, "PYTHONPATH": path}


def test_damaged_arguments_give_a_result_or_an_error(tmp_path):
    run_fuzzer(QUICK_CALLS, 0, tmp_path)


@pytest.mark.slow
def test_20000_damaged_calls_give_a_result_or_an_error(tmp_path):
    run_fuzzer(SLOW_CALLS, 1, tmp_path)


def test_every_operator_is_fuzzed():
    operators = {
        name for name in g.__all__ if callable(getattr(g, name)) and not hasattr(getattr(g, name), "_fields")
    } - {"RegistrationOptions"}
    assert operators - set(PUBLIC) == set()


FLOATS = st.one_of(
    st.floats(-100, 100),
    st.floats(width=64),
    st.sampled_from([0.0, 5e-324, 1e-300, 1e-77, 1e29, 1e30, 1e31, 1e154, np.inf, np.nan]),
)


@st.composite
def any_mesh(draw):
    n = draw(st.integers(0, 12))
    V = draw(hnp.arrays(np.float64, (n, 3), elements=FLOATS))
    m = draw(st.integers(0, 12 if n else 0))
    F = draw(hnp.arrays(np.int64, (m, 3), elements=st.integers(0, max(0, n - 1))))
    return V, F


MESH_CALLS = {
    "face_normals": g.face_normals,
    "vertex_normals": g.vertex_normals,
    "cotangent_laplacian": lambda V, F: g.cotangent_laplacian(V, F).data,
    "mass_matrix": g.mass_matrix,
    "mean_curvature_normals": g.mean_curvature_normals,
    "laplacian_smooth": lambda V, F: g.laplacian_smooth(V, F, iterations=3),
    "heat_smooth": lambda V, F: g.heat_smooth(V, F, V, 1.0),
    "MeshSolver": lambda V, F: g.MeshSolver(V, F, 1.0).smooth(V),
    "biharmonic_interpolation": lambda V, F: g.biharmonic_interpolation(V, F, V, np.ones(len(V)), length=1.0),
    "detail_displacement": lambda V, F: g.detail_displacement(V, F, np.linspace(0, 1, len(V))),
    "detail_displacement, image": lambda V, F: g.detail_displacement(V, F, np.linspace(0, 1, len(V)), low_pass="image"),
    "remove_spikes": g.remove_spikes,
    "subdivide": g.subdivide,
    "closest_points": lambda V, F: g.closest_points(V, F, V),
    "nearest": lambda V, F: g.nearest(V, V),
    "delaunay": lambda V, F: g.delaunay(V[:, :2]),
    "rasterize": lambda V, F: g.rasterize(V, F, V, (9, 11)),
    "register_nonrigid": lambda V, F: g.register_nonrigid(V, F, None, V + 1, F, None),
    "register_nonrigid, embedding": lambda V, F: g.register_nonrigid(V, F, V, V + 1, F, V),
}


@pytest.mark.parametrize("name", MESH_CALLS)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(mesh=any_mesh())
def test_any_mesh_gives_a_finite_result_or_an_error(name, mesh):
    assert fault_of(name.split(",")[0], MESH_CALLS[name], {"V": mesh[0], "F": mesh[1]}) is None


def test_misaligned_arrays_give_the_same_results():
    V = np.random.default_rng(0).normal(size=(30, 3))
    F = np.arange(30).reshape(-1, 3)
    assert not misaligned(V).flags.aligned
    assert np.array_equal(g.vertex_normals(misaligned(V), misaligned(F)), g.vertex_normals(V, F))


def test_reversed_arrays_of_one_row_are_accepted():
    V = np.random.default_rng(0).normal(size=(1, 3))
    assert g.nearest(V[::-1], V[::-1])[0].tolist() == [0]
    L = g.uniform_laplacian(np.zeros((0, 3), int), 1)
    assert L._replace(data=L.data[::-1], indices=L.indices[::-1]) @ [2.0] == 0


def test_the_core_refuses_misaligned_arrays_and_indices_out_of_range():
    V = np.random.default_rng(0).normal(size=(30, 3))
    F = np.arange(30).reshape(-1, 3)
    with pytest.raises(ValueError, match="V must be an aligned C-contiguous array"):
        _core.vertex_normals(misaligned(V), F)
    with pytest.raises(ValueError, match=r"F must lie in \[0, 30\)"):
        _core.vertex_normals(V, F + 1)
    with pytest.raises(ValueError, match="V must be finite"):
        _core.vertex_normals(V * np.nan, F)


def test_steps_end_at_huge_coordinates():
    V, F = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.3]]), [[0, 1, 2], [1, 3, 2]]
    for exponent in range(20, 30):
        assert np.isfinite(g.detail_displacement(V * 10.0**exponent, F, [0.0, 1, 0, 1])).all()
    for exponent in range(31, 80):
        with pytest.raises(ValueError, match="V must lie within"):
            g.detail_displacement(V * 10.0**exponent, F, [0.0, 1, 0, 1])


def test_a_vertex_with_very_many_triangles_takes_no_quadratic_time_or_memory():
    count = 300_000
    angle = np.linspace(0, 6, count)
    V = np.concatenate([[[0, 0, 1]], np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)])
    ring = np.random.default_rng(0).permutation(np.arange(1, count))
    F = np.stack([0 * ring, ring, ring + 1], axis=1)
    assert g.uniform_laplacian(F, len(V)).data[0] == count
    with pytest.raises(ValueError, match="too many triangles share a vertex"):
        g.biharmonic_interpolation(V, F, V, np.ones(len(V)), length=1.0)


def test_refusals_are_the_documented_ones():
    assert (ValueError, TypeError, facegeom.FacegeomError) == REFUSALS
