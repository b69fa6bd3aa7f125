"""Ctrl-C ends a long native function within a second, and the process can go on.

Each case runs in a process of its own: a thread sends SIGINT to the process while the main thread is in the native
function. Elapsed time is processor time, so that a busy machine does not matter.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 1.0

PREAMBLE = """
import os, signal, sys, threading, time
import numpy as np
from facegeom import geometry as g
from operator_meshes import grid, icosphere

# A process that a shell started in the background ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(0)

def soup(count):
    V = rng.normal(size=(count, 3))
    return V, rng.integers(0, count, (2 * count, 3))

def net(size):  # size x size vertices, made faster than by operator_meshes.grid
    y, x = np.mgrid[:size, :size].reshape(2, -1).astype(float)
    a = (np.arange(size) + size * np.arange(size)[:, None])[:-1, :-1].ravel()
    F = np.concatenate([np.stack([a, a + 1, a + size + 1], 1), np.stack([a, a + size + 1, a + size], 1)])
    return np.stack([x, y, np.sin(x / 9) * np.cos(y / 7)], axis=1), F
"""

MEASURE = """
sent = []

def interrupt():
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer({delay}, interrupt).start()
try:
    {call}
except KeyboardInterrupt:
    elapsed = time.process_time() - sent[0]
else:
    sys.exit("the call ended before the signal")
assert g.delaunay([[0, 0], [1, 0], [0, 1]]).shape == (1, 3)
print(elapsed)
"""

CASES = {
    "delaunay": ("P = rng.uniform(size=(3_000_000, 2))", "g.delaunay(P)"),
    "delaunay, points on a circle": (
        "t = rng.uniform(0, 7, 400_000); P = np.stack([np.cos(t), np.sin(t)], 1)",
        "g.delaunay(P)",
    ),
    "laplacian_smooth": ("V, F = icosphere(5)", "g.laplacian_smooth(V, F, iterations=10**7)"),
    "heat_smooth": ("V, F = net(500)", "g.heat_smooth(V, F, rng.normal(size=(len(V), 32)), 1e4, tolerance=1e-12)"),
    "subdivide": ("V, F = net(1400)", "g.subdivide(V, F)"),
    "detail_displacement": (
        "V, F = net(500); I = rng.uniform(size=len(V))",
        "[g.detail_displacement(V, F, I, time_mm2=1e5) for _ in range(9)]",
    ),
    "detail_displacement, image": (
        "V, F = net(1200); I = rng.uniform(size=len(V))",
        "g.detail_displacement(V, F, I, low_pass='image')",
    ),
    "nearest": ("P = rng.normal(size=(200_000, 8))", "g.nearest(P, P + 0.3)"),
    "nearest, equal points": ("P = np.zeros((300_000, 3)); Q = rng.normal(size=(2000, 3))", "g.nearest(P, Q)"),
    "closest_points": ("V, F = soup(100_000)", "g.closest_points(V, F, rng.normal(size=(10**6, 3)))"),
    "remove_spikes": ("V, F = net(1200)", "g.remove_spikes(V, F)"),
    "connected_components": ("V, F = soup(2_000_000)", "g.connected_components(F, len(V))"),
    "rasterize": (
        "V = rng.uniform(-2000, 4000, (3000, 3)); F = np.arange(3000).reshape(-1, 3)",
        "g.rasterize(V, F, None, (2000, 2000))",
    ),
    "register_affine": ("P = rng.normal(size=(2000, 3)) * 90", "g.register_affine(P, P[::-1], iterations=10**9)"),
    "register_nonrigid": (
        "V, F = net(100); T, TF = net(300)",
        "g.register_nonrigid(V * 3, F, None, T, TF, None, g.RegistrationOptions(reach_decay=0.999))",
    ),
    "register_nonrigid, embedding": (
        "V, F = net(100); T, TF = net(400)",
        "[g.register_nonrigid(V * 4, F, V * 4, T, TF, T, "
        "g.RegistrationOptions(motion_tolerance=1e-30, max_samples=10**6)) for _ in range(9)]",
    ),
    "depth_to_mesh": (
        "M = rng.uniform(size=(1500, 1500)) < 0.9; D = rng.normal(size=M.shape)",
        "g.depth_to_mesh(D, M, vertex_count=10**6)",
    ),
    "MeshSolver": ("V, F = net(500)", "g.MeshSolver(V, F, 1.0)"),
    "biharmonic_interpolation": (
        "V, F = net(300)",
        "g.biharmonic_interpolation(V, F, V, rng.uniform(size=len(V)), length=1.0)",
    ),
}
HERE = Path(__file__).parent
QUICK = ("delaunay", "laplacian_smooth", "subdivide", "detail_displacement", "nearest", "remove_spikes")


def run(script):
    """Run a script in a process that finds the modules of this one; return its output."""
    path = os.pathsep.join([str(HERE), *(str(Path(part).resolve()) for part in sys.path if part)])
    result = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in (*QUICK, "register_nonrigid") else pytest.mark.slow) for name in CASES],
)
def test_ctrl_c_ends_a_long_call_within_a_second(name):
    setup, call = CASES[name]
    elapsed = run(PREAMBLE + setup + MEASURE.format(delay=0.3, call=call))
    assert float(elapsed) < LIMIT_S


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_handler_that_does_not_raise_does_not_end_the_call():
    script = (
        PREAMBLE
        + """
calls = []
signal.signal(signal.SIGINT, lambda number, frame: calls.append(time.process_time()))
V, F = icosphere(4)
plain = g.laplacian_smooth(V, F, iterations=20_000)
threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
assert np.array_equal(g.laplacian_smooth(V, F, iterations=20_000), plain)
assert len(calls) == 1
"""
    )
    run(script)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_call_in_another_thread_is_not_ended():
    script = (
        PREAMBLE
        + """
V, F = icosphere(5)
results = []
worker = threading.Thread(target=lambda: results.append(g.laplacian_smooth(V, F, iterations=3000)))
worker.start()
time.sleep(0.05)
try:
    os.kill(os.getpid(), signal.SIGINT)
    while worker.is_alive():
        worker.join(0.01)
except KeyboardInterrupt:
    worker.join()
assert np.array_equal(results[0], g.laplacian_smooth(V, F, iterations=3000))
"""
    )
    run(script)
