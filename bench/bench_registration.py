"""Non-rigid registration beside trimesh's, and beside the loop of pix2vertex in NumPy and SciPy.

    python -m pytest bench/bench_registration.py -s

Errors are distances to the true place of the visible vertices. "flipped" counts triangles of three visible vertices
that face away from their true normal; "own" counts those among them that the truth itself has turned by 75 degrees or
more from the template aligned to it (slivers of 0.02 mm^2 in the lids' folds that the ICT shapes fold over, and that
face away from the camera): no data show them, and they are not counted against any method.
"""

from __future__ import annotations

import statistics
import time
import warnings

import numpy as np
import pytest

import registration_cases as cases
import registration_reference as reference
import registration_shapes as shapes
from facegeom.geometry import RegistrationOptions, register_affine, register_nonrigid, vertex_normals

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("rtree", reason="trimesh.registration needs rtree")
needs_ict = pytest.mark.skipif(not cases.ICT.exists(), reason=f"needs {cases.ICT}")

ROUNDS = 5
DEFAULT, PAPER = RegistrationOptions(), RegistrationOptions.paper()
LEAST_SPEEDUP = {"nricp_amberg": 30.0, "reference loop": 2.5}


@pytest.fixture(scope="module")
def model():
    return cases.face_model()


def timed(call, rounds=ROUNDS):
    """The result and the median of the CPU seconds of one thread: other processes do not count."""
    seconds = []
    for _ in range(rounds):
        start = time.thread_time()
        result = call()
        seconds.append(time.thread_time() - start)
    return result, statistics.median(seconds)


def own_folds(subject):
    """Which triangles the truth has turned by 75 degrees from the aligned template."""
    aligned = reference.similarity(subject.V, subject.truth)(subject.V)
    a, b = cases.area_normals(aligned, subject.F), cases.area_normals(subject.truth, subject.F)
    cosine = np.einsum("ij,ij->i", a, b) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return cosine <= np.cos(np.radians(75))


def report(name, subject, V, seconds, ours=None):
    error = subject.error(V)
    flipped = subject.flipped_triangles(V)
    own = int((flipped & own_folds(subject)).sum())
    share = f"  {seconds / ours:6.1f}x" if ours else " " * 9
    print(
        f"  {name:34s} {seconds:8.3f} s{share}   mean {error.mean():.3f}   p95 {np.quantile(error, 0.95):.3f}"
        f"   flipped {flipped.sum():4d} (own {own}) of {subject.visible[subject.F].all(axis=1).sum()}"
    )
    return error.mean(), int(flipped.sum()) - own


def ours(subject, options=DEFAULT):
    return register_nonrigid(
        subject.V, subject.F, subject.V, subject.target_V, subject.target_F, subject.target_E, options
    )


def loop(subject):
    return reference.register(subject.V, subject.F, subject.V, subject.target_V, subject.target_F, subject.target_E)


def peer(name, subject, landmarks):
    """One of trimesh's registrations, from the same similarity; landmarks: the 500 most certain matches."""
    source = trimesh.Trimesh(subject.V, subject.F, process=False)
    target = trimesh.Trimesh(subject.target_V, subject.target_F, process=False)
    distance, match = reference.scipy.spatial.cKDTree(subject.target_E).query(subject.V)
    near = np.flatnonzero(distance < reference.EMBEDDING_MM)
    source.vertices = reference.similarity(subject.V[near], subject.target_V[match[near]])(subject.V)
    picked = near[np.argsort(distance[near], kind="stable")][:500] if landmarks else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(trimesh.registration, name)(
            source,
            target,
            source_landmarks=picked,
            target_positions=subject.target_V[match[picked]] if landmarks else None,
        )


@needs_ict
@pytest.mark.parametrize("size", [128, 256, 512])
@pytest.mark.parametrize("case", cases.CASES)
@pytest.mark.parametrize("seed", cases.EXPRESSIONS)
def test_faces(model, seed, case, size):
    subject = cases.spoiled(cases.subject(model, seed, size), case, seed)
    print(f"\nsubject {seed}, {case}, {size} px: {len(subject.target_V)} target, {subject.visible.sum()} visible")
    found, seconds = timed(lambda: ours(subject))
    error, flipped = report("facegeom", subject, found.vertices, seconds)
    V, loop_seconds = timed(lambda: loop(subject), 3)
    loop_error, _ = report("reference loop", subject, V, loop_seconds, seconds)
    assert found.converged or case == "noisy depth"
    assert error < 0.9 * loop_error
    assert flipped <= (0 if case == "clean" else 0.001 * len(subject.F))
    if size == 256:
        if case == "clean":
            assert 0.23 <= loop_error <= 0.30, "the reference loop does not reproduce its anchor"
        elif case == "noisy embedding":
            assert 0.42 <= loop_error <= 0.50, "the reference loop does not reproduce its anchor"
        assert loop_seconds > LEAST_SPEEDUP["reference loop"] * seconds


@needs_ict
def test_closed_eyes(model):
    """The rims of half-closed lids roll over where no pixel sees them: a few triangles there cannot be known."""
    subject = cases.subject(model, 2, 256, cases.CLOSED_EYES)
    print("\nsubject 2 with closed eyes, clean, 256 px")
    found, seconds = timed(lambda: ours(subject))
    _, flipped = report("facegeom", subject, found.vertices, seconds)
    report("reference loop", subject, *timed(lambda: loop(subject), 1), seconds)
    assert flipped <= 0.001 * len(subject.F)


@needs_ict
@pytest.mark.parametrize("case", cases.CASES[:2])
def test_peers_at_256_px(model, case):
    subject = cases.spoiled(cases.subject(model, 1, 256), case, 1)
    print(f"\nsubject 1, {case}, 256 px")
    found, seconds = timed(lambda: ours(subject))
    error, _ = report("facegeom", subject, found.vertices, seconds)
    for name in ("nricp_amberg", "nricp_sumner"):
        for landmarks in (False, True):
            V, peer_seconds = timed(lambda name=name, on=landmarks: peer(name, subject, on), 1)
            title = f"trimesh {name}" + (", embedding as landmarks" if landmarks else "")
            peer_error, _ = report(title, subject, V, peer_seconds, seconds)
            assert error < peer_error
            assert peer_seconds > LEAST_SPEEDUP.get(name, 1.0) * seconds


STARVED = pytest.mark.xfail(
    strict=True,
    reason="jawOpen 0.6: 1 mm and 5 degrees leave 8 % of the vertices, none on the jaw, and the membrane extrapolates",
)


@needs_ict
@pytest.mark.parametrize("seed", [pytest.param(1, marks=STARVED), 2, 3])
def test_paper(model, seed):
    subject = cases.subject(model, seed, 256)
    found, seconds = timed(lambda: ours(subject, PAPER), 1)
    distance, match = reference.scipy.spatial.cKDTree(subject.target_E).query(subject.V)
    near = distance < reference.EMBEDDING_MM
    affine = register_affine(subject.V[near], subject.target_V[match[near]]).apply(subject.V)
    print(f"\nsubject {seed}, clean, 256 px, RegistrationOptions.paper(): {found.reason}")
    affine_error, _ = report("affine alone", subject, affine, 0.0)
    error, flipped = report("paper", subject, found.vertices, seconds)
    print("  matches", [step.matches for step in found.history])
    print("  by     ", "".join(step.kind[0] for step in found.history))
    assert found.converged
    assert error < affine_error
    assert flipped < 0.01 * len(subject.F)


@needs_ict
def test_growth(model):
    """Time by the size of the target, and of the template up to 100k vertices."""
    print("\ngrowth with the target:")
    for size in (128, 256, 512, 1024):
        subject = cases.subject(model, 1, size)
        _, seconds = timed(lambda s=subject: ours(s), 3)
        print(f"  {len(subject.V):7d} template, {len(subject.target_V):7d} target   {seconds:.3f} s")
    print("growth with the template:")
    subject = cases.subject(model, 1, 256)
    V, F = subject.V, subject.F
    for _ in range(3):
        result, seconds = timed(
            lambda V=V, F=F: register_nonrigid(V, F, V, subject.target_V, subject.target_F, subject.target_E),
            1,
        )
        assert result.converged
        print(f"  {len(V):7d} template, {len(subject.target_V):7d} target   {seconds:.3f} s")
        V, F = trimesh.remesh.subdivide(V, F)


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("name", shapes.SHAPES)
@pytest.mark.parametrize("seed", [1, 2])
def test_shapes_without_embeddings(name, seed, missing):
    V, F = shapes.SHAPES[name]()
    truth = shapes.deformed(V, seed)
    target_V, target_F = shapes.cut(truth, F) if missing else (truth, F)
    size = shapes.diagonal(V)
    found, seconds = timed(lambda: register_nonrigid(V, F, None, target_V, target_F, None), 1)

    def line(title, X, seconds):
        error = np.linalg.norm(X - truth, axis=1) / size
        flipped = int((np.einsum("ij,ij->i", cases.area_normals(X, F), cases.area_normals(truth, F)) <= 0).sum())
        print(f"  {title:14s} {seconds:7.2f} s   mean {100 * error.mean():.3f} %   flipped {flipped}")
        return error.mean(), flipped

    print(f"\n{name} {seed}{', 20 % cut away' if missing else ''}: {len(V)} vertices, {found.reason}")
    error, flipped = line("facegeom", found.vertices, seconds)
    assert np.isfinite(vertex_normals(found.vertices, F)).all()
    if not missing:
        source, target = (trimesh.Trimesh(X, T, process=False) for X, T in ((V, F), (target_V, target_F)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            X, peer_seconds = timed(lambda: trimesh.registration.nricp_amberg(source, target), 1)
        peer_error, _ = line("nricp_amberg", X, peer_seconds)
        assert error < peer_error
        assert flipped == 0
    assert error < (0.01 if missing else 0.005)
