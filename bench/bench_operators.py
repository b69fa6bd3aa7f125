"""The operators on meshes and points beside the library that a user would take instead."""

import numpy as np
import pytest

from facegeom import geometry

igl = pytest.importorskip("igl")
scipy_sparse = pytest.importorskip("scipy.sparse")
scipy_linalg = pytest.importorskip("scipy.sparse.linalg")
scipy_spatial = pytest.importorskip("scipy.spatial")
trimesh = pytest.importorskip("trimesh")

SIZES = {"29k": 171, "117k": 342}


def face_like(size):
    """A jittered grid of 170 mm with the relief of a face: what a depth map of size x size gives."""
    x, y = np.meshgrid(np.arange(size, dtype=float), np.arange(size, dtype=float))
    bump = 40 * np.exp(-((x / size - 0.5) ** 2 + (y / size - 0.5) ** 2) * 6)
    x += np.random.default_rng(0).uniform(-0.3, 0.3, x.shape)
    V = np.stack([x * 170 / size, -y * 170 / size, bump], axis=-1).reshape(-1, 3)
    ids = np.arange(size * size).reshape(size, size)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, :-1].ravel(), ids[1:, 1:].ravel()
    return V, np.stack([[a, c, b], [b, c, d]]).transpose(2, 0, 1).reshape(-1, 3).copy()


@pytest.fixture(params=SIZES, scope="module")
def mesh(request):
    V, F = face_like(SIZES[request.param])
    return request.param, V, F


def test_vertex_normals(mesh, compare):
    size, V, F = mesh
    area = igl.PER_VERTEX_NORMALS_WEIGHTING_TYPE_AREA
    ours, peers = compare(
        f"vertex_normals {size}",
        lambda: geometry.vertex_normals(V, F),
        {"libigl": lambda: igl.per_vertex_normals(V, F, area)},
    )
    np.testing.assert_allclose(ours, peers["libigl"], atol=1e-12)


def test_face_normals(mesh, compare):
    size, V, F = mesh
    ours, peers = compare(
        f"face_normals {size}",
        lambda: geometry.face_normals(V, F),
        {"libigl": lambda: igl.per_face_normals(V, F, np.zeros(3))},
    )
    np.testing.assert_allclose(ours, peers["libigl"], atol=1e-12)


def test_cotangent_laplacian(mesh, compare):
    size, V, F = mesh
    ours, peers = compare(
        f"cotangent_laplacian {size}",
        lambda: geometry.cotangent_laplacian(V, F),
        {"libigl": lambda: igl.cotmatrix(V, F)},
    )
    assert abs(ours.to_scipy() + peers["libigl"]).max() < 1e-9


def adjacency(F, n):
    """What a SciPy user writes for the mean over neighbours."""
    edges = np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]])
    A = scipy_sparse.coo_array((np.ones(len(both)), both.T), (n, n)).tocsr()
    A.data[:] = 1
    return A


def test_uniform_laplacian(mesh, compare):
    size, V, F = mesh

    def with_scipy():
        A = adjacency(F, len(V))
        return scipy_sparse.diags_array(A.sum(axis=1)) - A

    ours, peers = compare(
        f"uniform_laplacian {size}", lambda: geometry.uniform_laplacian(F, len(V)), {"scipy": with_scipy}
    )
    assert abs(ours.to_scipy() - peers["scipy"]).max() == 0


def test_mass_matrix(mesh, compare):
    size, V, F = mesh
    ours, peers = compare(
        f"mass_matrix {size}",
        lambda: geometry.mass_matrix(V, F),
        {"libigl": lambda: igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI)},
    )
    np.testing.assert_allclose(ours, peers["libigl"].diagonal(), rtol=1e-9)


def test_laplacian_smooth(mesh, compare):
    size, V, F = mesh
    A = adjacency(F, len(V))
    ready = scipy_sparse.diags_array(1 / A.sum(axis=1)) @ A

    def iterate(mean):
        X = V
        for _ in range(10):
            X = X + 0.5 * (mean @ X - X)
        return X

    def with_scipy():
        A = adjacency(F, len(V))
        return iterate(scipy_sparse.diags_array(1 / A.sum(axis=1)) @ A)

    def with_trimesh():
        peer = trimesh.Trimesh(V, F, process=False)
        trimesh.smoothing.filter_laplacian(peer, lamb=0.5, iterations=10, volume_constraint=False)
        return peer.vertices

    ours, peers = compare(
        f"laplacian_smooth x10 {size}",
        lambda: geometry.laplacian_smooth(V, F),
        {"scipy": with_scipy, "scipy, matrix ready": lambda: iterate(ready), "trimesh": with_trimesh},
    )
    side = SIZES[size]
    inner = np.s_[11:-11, 11:-11]  # the peers let the outline shrink inwards
    for peer in peers.values():
        np.testing.assert_allclose(
            ours.reshape(side, side, 3)[inner], np.reshape(peer, (side, side, 3))[inner], atol=1e-9
        )


def test_heat_smooth(mesh, compare):
    size, V, F = mesh
    time = 1.0

    def with_scipy():
        M = scipy_sparse.diags_array(igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI).diagonal())
        A = (M - time * igl.cotmatrix(V, F)).tocsr()
        scale = scipy_sparse.diags_array(1 / A.diagonal())
        b = M @ V
        return np.stack([scipy_linalg.cg(A, b[:, k], x0=V[:, k], rtol=1e-8, M=scale)[0] for k in range(3)], axis=1)

    ours, peers = compare(
        f"heat_smooth, 3 columns {size}",
        lambda: geometry.heat_smooth(V, F, V, time),
        {"libigl + scipy CG": with_scipy},
    )
    np.testing.assert_allclose(ours, peers["libigl + scipy CG"], atol=1e-3)


def test_biharmonic_interpolation(mesh, compare):
    size, V, F = mesh
    if size != "29k":
        pytest.skip("a factor of the bilaplacian takes half a minute at 117k vertices")
    known = (V[:, 0] < np.median(V[:, 0])).astype(float)
    length, decay = 2.0, 50.0

    def with_scipy():
        area = igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI).diagonal()
        L = igl.cotmatrix(V, F)
        K = L @ scipy_sparse.diags_array(1 / area) @ L
        A = length**4 * K + scipy_sparse.diags_array(area * (known + (length / decay) ** 4))
        return scipy_linalg.splu(A.tocsc()).solve((area * known)[:, None] * V)

    ours, peers = compare(
        f"biharmonic_interpolation, 3 columns {size}",
        lambda: geometry.biharmonic_interpolation(V, F, V, known, length=length, decay=decay),
        {"libigl + scipy splu": with_scipy},
    )
    np.testing.assert_allclose(ours, peers["libigl + scipy splu"], atol=1e-3)


def test_mesh_solver(mesh, compare):
    size, V, F = mesh
    solver = geometry.MeshSolver(V, F, 1.0)
    M = scipy_sparse.diags_array(igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI).diagonal())
    factor = scipy_linalg.splu((M - igl.cotmatrix(V, F)).tocsc())
    b = M @ V
    ours, peers = compare(
        f"MeshSolver.smooth, 3 columns {size}", lambda: solver.smooth(V), {"scipy splu": lambda: factor.solve(b)}
    )
    np.testing.assert_allclose(ours, peers["scipy splu"], atol=1e-9)


CLOUDS = {"surface": 3, "embedding": 6, "random": 3, "random 8-d": 8}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_nearest(mesh, cloud, compare):
    size, V, _ = mesh
    rng = np.random.default_rng(1)
    if cloud.startswith("random"):
        count = len(V) if cloud == "random" else 3000
        points, queries = rng.uniform(size=(2, count, CLOUDS[cloud]))
    else:
        queries = V + rng.normal(0, 1, V.shape)
        points = V
        if cloud == "embedding":
            points, queries = np.c_[points, 0.3 * points[:, ::-1]], np.c_[queries, 0.3 * queries[:, ::-1]]
    ours, peers = compare(
        f"nearest, {cloud} {size}",
        lambda: geometry.nearest(points, queries),
        {"scipy cKDTree": lambda: scipy_spatial.cKDTree(points).query(queries)},
    )
    np.testing.assert_allclose(ours[1], peers["scipy cKDTree"][0], rtol=1e-12)


@pytest.mark.parametrize("scheme", ["loop", "midpoint"])
def test_subdivide(mesh, scheme, compare):
    size, V, F = mesh
    peer = {"loop": igl.loop, "midpoint": igl.upsample}[scheme]
    again = {"loop": trimesh.remesh.subdivide_loop, "midpoint": trimesh.remesh.subdivide}[scheme]
    options = {"iterations": 1} if scheme == "loop" else {}
    ours, peers = compare(
        f"subdivide, {scheme} {size}",
        lambda: geometry.subdivide(V, F, scheme),
        {"libigl": lambda: peer(V, F, 1), "trimesh": lambda: again(V, F, **options)},
    )
    for theirs in peers.values():
        assert (theirs[0].shape, theirs[1].shape) == (ours.V.shape, ours.F.shape)
    distance = geometry.nearest(peers["libigl"][0], ours.V)[1]
    assert np.quantile(distance, 0.9) < 1e-9  # libigl's Loop has other rules on the outline


def test_detail_displacement(mesh, compare):
    size, V, F = mesh
    tau = np.random.default_rng(2).uniform(size=len(V))
    time = 1.5
    M = scipy_sparse.diags_array(igl.massmatrix(V, F, igl.MASSMATRIX_TYPE_VORONOI).diagonal())

    def low_pass_alone():
        return scipy_linalg.spsolve((M - time * igl.cotmatrix(V, F)).tocsc(), M @ tau)

    ours, peers = compare(
        f"detail_displacement {size}",
        lambda: geometry.detail_displacement(V, F, tau, time_mm2=time),
        {"scipy spsolve, the low-pass alone": low_pass_alone},
    )
    low = peers["scipy spsolve, the low-pass alone"]
    np.testing.assert_allclose(geometry.heat_smooth(V, F, tau, time), low, atol=1e-6)
    assert np.abs(ours - V).max() <= 0.5 + 1e-12
