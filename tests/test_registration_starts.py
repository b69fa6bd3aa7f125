"""Registration of meshes that are turned, split, in other units, of opposite winding, or with unused vertices."""

import numpy as np
import pytest

from facegeom.geometry import RegistrationOptions, register_affine, register_nonrigid
from operator_meshes import grid, icosphere

VERTEX = RegistrationOptions(matching="vertex", stiffness=1e8, max_iterations=8)


def turned(degrees, axis):
    """Return the matrix of a rotation about a coordinate axis."""
    a = np.radians(degrees)
    R = np.eye(3)
    u, v = (axis + 1) % 3, (axis + 2) % 3
    R[u, u], R[u, v], R[v, u], R[v, v] = np.cos(a), -np.sin(a), np.sin(a), np.cos(a)
    return R


def blob():
    """Return a closed shape without symmetry, about 100 mm, and its deformed copy."""
    V, F = icosphere(3)
    x, y, z = V.T
    bumps = 0.15 * np.sin(4 * x + 1) * np.cos(5 * y) * np.cos(4 * z) + 0.1 * np.sin(7 * y + 3 * z)
    V = 40 * V * (1 + 0.7 * z**2 + 0.15 * z + bumps)[:, None] * [1, 0.8, 1]
    wave = np.stack([np.sin(V[:, 1] / 25), np.sin(V[:, 2] / 30 + 1), np.cos(V[:, 0] / 28)], axis=1)
    return V, F, V + 4 * wave


def shell():
    """Return an open, curved surface like a face, and its deformed copy."""
    V, F = grid(25, seed=1)
    x, y = (V[:, :2] / 12 - 1).T
    V = 50 * np.stack([x, 1.3 * y, 0.9 - 0.8 * x**2 - 0.5 * y**2 + 0.15 * np.sin(5 * y + 1) * np.cos(4 * x)], axis=1)
    return V, F, V + 3 * np.stack([np.sin(V[:, 1] / 25), np.cos(V[:, 0] / 20), np.sin(V[:, 0] / 15)], axis=1)


def split(V, F):
    """Return the mesh with three vertices of its own for each triangle, as an STL file has, and the original rows."""
    return V[F.ravel()], np.arange(F.size).reshape(-1, 3), F.ravel()


def distance(A, B):
    return np.linalg.norm(A - B, axis=1)


MESHES = {"closed": blob(), "open": shell()}
IDS = {"closed": np.array([0, 120, 300, 500, 640]), "open": np.array([30, 44, 312, 560, 590])}


class TestLandmarks:
    @pytest.mark.parametrize("count", [3, 5])
    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("degrees", [90, 180])
    @pytest.mark.parametrize("kind", MESHES)
    def test_three_landmarks_give_the_orientation(self, kind, degrees, axis, count):
        V, F, truth = MESHES[kind]
        truth = truth @ turned(degrees, axis).T + [5, 300, 20]
        ids = IDS[kind][:count]
        found = register_nonrigid(V, F, None, truth, F, None, landmarks=(ids, truth[ids]))
        assert found.converged, found.reason
        assert distance(found.vertices, truth).mean() < 2

    @pytest.mark.parametrize("alignment", ["rigid", "similarity", "affine"])
    def test_every_alignment_starts_from_them(self, alignment):
        V, F, truth = MESHES["open"]
        truth = truth @ turned(180, 1).T
        ids = IDS["open"]
        options = RegistrationOptions(alignment=alignment)
        found = register_nonrigid(V, F, None, truth, F, None, options, landmarks=(ids, truth[ids]))
        upright = truth @ turned(180, 1)
        same = register_nonrigid(V, F, None, upright, F, None, options, landmarks=(ids, upright[ids]))
        assert distance(found.vertices, truth).mean() < 3
        assert distance(found.vertices, same.vertices @ turned(180, 1).T).max() < 1e-6

    def test_matching_of_vertices_starts_from_them(self):
        V, F, truth = MESHES["open"]
        truth = truth @ turned(90, 2).T
        ids = IDS["open"]
        found = register_nonrigid(V, F, None, truth, F, None, VERTEX, landmarks=(ids, truth[ids]))
        assert distance(found.vertices, truth).mean() < 3

    def test_landmarks_on_a_line_leave_the_start_as_it_is(self):
        V, F, truth = MESHES["open"]
        V = V.copy()
        V[[0, 1, 2]] = [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
        found = register_nonrigid(V, F, None, truth, F, None, landmarks=([0, 1, 2], truth[:3]), landmark_weight=1e-6)
        assert distance(found.vertices, truth).mean() < 3

    @pytest.mark.parametrize("E", [None, MESHES["open"][0]], ids=["shape", "embedding"])
    def test_a_result_far_from_a_landmark_is_not_converged(self, E):
        V, F, truth = MESHES["open"]
        place = truth[[312]] + [0, 0, 60]
        found = register_nonrigid(V, F, E, truth, F, E, landmarks=([312], place), landmark_weight=1e-6)
        assert not found.converged
        assert "a landmark is" in found.reason
        near = register_nonrigid(V, F, E, truth, F, E, landmarks=([312], truth[[312]]), landmark_weight=1e-6)
        assert near.converged

    @pytest.mark.parametrize("empty", [[], (), ([], []), (np.zeros(0, int), np.zeros((0, 3)))])
    def test_an_empty_list_is_accepted(self, empty):
        V, F, truth = MESHES["open"]
        found = register_nonrigid(V, F, V, truth, F, V, landmarks=empty)
        assert np.array_equal(found.vertices, register_nonrigid(V, F, V, truth, F, V).vertices)

    def test_a_landmark_in_no_triangle_is_refused(self):
        V, F, truth = MESHES["open"]
        with pytest.raises(ValueError, match="every landmark must be a vertex of a triangle"):
            register_nonrigid(np.r_[V, [[0, 0, 0]]], F, None, truth, F, None, landmarks=([len(V)], [[0, 0, 0]]))

    @pytest.mark.parametrize(("kind", "count"), [("affine", 5), ("similarity", 5), ("similarity", 3)])
    def test_few_pairs_align_points(self, kind, count):
        P = np.random.default_rng(0).normal(size=(count, 3)) * 40
        Q = 1.2 * P @ turned(70, 1).T + [1, 2, 3]
        found = register_affine(P, Q, kind=kind)
        assert found.inliers.all()
        np.testing.assert_allclose(found.apply(P), Q, atol=1e-9)


class TestSplitVertices:
    @pytest.mark.parametrize("embedded", [True, False], ids=["embedding", "shape"])
    @pytest.mark.parametrize("options", [RegistrationOptions(), VERTEX], ids=["surface", "vertex"])
    def test_a_template_without_shared_vertices_is_not_torn(self, options, embedded):
        V, F, truth = MESHES["open"]
        E = V if embedded else None
        whole = register_nonrigid(V, F, E, truth, F, E, options)
        W, G, rows = split(V, F)
        found = register_nonrigid(W, G, W if embedded else None, truth, F, E, options)
        first = np.unique(rows, return_index=True)[1]
        assert np.array_equal(found.vertices, found.vertices[first][rows])
        assert distance(found.vertices, whole.vertices[rows]).max() < 0.5
        assert np.array_equal(found.matches.target, found.matches.target[first][rows])

    def test_a_seam_stays_closed(self):
        V, F, truth = MESHES["closed"]
        seam = np.flatnonzero(np.abs(V[:, 0]) < 8)
        copies = {old: len(V) + new for new, old in enumerate(seam)}
        G = F.copy()
        right = V[F].mean(axis=1)[:, 0] > 0
        G[right] = [[copies.get(v, v) for v in face] for face in F[right]]
        found = register_nonrigid(np.r_[V, V[seam]], G, None, truth, F, None)
        used = np.isin(np.arange(len(V), len(V) + len(seam)), G) & np.isin(seam, G)
        assert used.sum() > 20
        assert np.array_equal(found.vertices[len(V) :][used], found.vertices[seam][used])

    def test_zeros_of_both_signs_are_one_position(self):
        V, F, truth = MESHES["open"]
        V = V - V[312]
        W, G, rows = split(V, F)
        at = np.flatnonzero(rows == 312)
        W[at[::2]] = -0.0
        found = register_nonrigid(W, G, None, truth, F, None)
        assert np.ptp(found.vertices[at], axis=0).max() == 0

    def test_a_target_without_shared_vertices_gives_the_same_result(self):
        V, F, truth = MESHES["open"]
        W, G, rows = split(truth, F)
        whole = register_nonrigid(V, F, V, truth, F, V)
        found = register_nonrigid(V, F, V, W, G, V[rows])
        assert distance(found.vertices, whole.vertices).max() < 0.05
        matched = found.matches.target >= 0
        assert distance(W[found.matches.target[matched]], truth[whole.matches.target[matched]]).mean() < 0.5

    def test_the_largest_weight_at_a_position_counts(self):
        V, F, truth = MESHES["open"]
        W, G, rows = split(V, F)
        weights = np.zeros(len(W))
        weights[np.unique(rows, return_index=True)[1]] = 1
        found = register_nonrigid(W, G, None, truth, F, None, weights=weights)
        assert np.array_equal(found.vertices, register_nonrigid(W, G, None, truth, F, None).vertices)


class TestUnusedVertices:
    @pytest.mark.parametrize("embedded", [True, False], ids=["embedding", "shape"])
    @pytest.mark.parametrize("options", [RegistrationOptions(), VERTEX], ids=["surface", "vertex"])
    def test_they_have_no_influence(self, options, embedded):
        V, F, truth = MESHES["closed"]
        far = np.array([[1e4, 0, 0], [0, 3e4, 5]])
        E, more = (V, np.r_[V, far]) if embedded else (None, None)
        found = register_nonrigid(np.r_[V, far], F, more, np.r_[truth, far], F, more, options)
        alone = register_nonrigid(V, F, E, truth, F, E, options)
        assert np.array_equal(found.vertices[:-2], alone.vertices)
        assert found.history == alone.history
        assert found.matches.target[-2:].tolist() == [-1, -1]

    def test_they_follow_the_alignment(self):
        V, F, _ = MESHES["closed"]
        R = turned(30, 1)
        found = register_nonrigid(np.r_[V, [[500.0, 3, 2]]], F, np.r_[V, V[:1]], V @ R.T + 7, F, V)
        np.testing.assert_allclose(found.vertices[-1], R @ [500.0, 3, 2] + 7, atol=1e-6)


class TestUnits:
    @pytest.mark.parametrize("embedded", [True, False], ids=["embedding", "shape"])
    @pytest.mark.parametrize("unit", [1e-3, 0.1, 10, 1e3])
    def test_a_template_in_other_units_converges(self, unit, embedded):
        V, F, truth = MESHES["closed"]
        E = V if embedded else None
        found = register_nonrigid(unit * V, F, E, truth, F, E)
        same = register_nonrigid(V, F, E, truth, F, E)
        assert found.converged, found.reason
        assert len(found.history) == len(same.history)
        assert distance(found.vertices, same.vertices).max() < 0.5


class TestOrientation:
    @pytest.mark.parametrize("kind", MESHES)
    @pytest.mark.parametrize("embedded", [True, False], ids=["embedding", "shape"])
    @pytest.mark.parametrize("options", [RegistrationOptions(), VERTEX], ids=["surface", "vertex"])
    def test_opposite_winding_is_named(self, options, embedded, kind):
        V, F, truth = MESHES[kind]
        E = V if embedded else None
        with pytest.raises(ValueError, match="have opposite winding: reverse the rows of one of them"):
            register_nonrigid(V, F[:, ::-1], E, truth, F, E, options)

    def test_an_open_surface_seen_from_behind_is_named(self):
        V, F, truth = MESHES["open"]
        shallow = [1, 1, 0.15]
        with pytest.raises(ValueError, match="turned by more than 90 degrees from the target"):
            register_nonrigid(V * shallow, F, None, truth * shallow @ turned(180, 1).T, F, None)

    def test_a_mirrored_target_is_named(self):
        V, F, truth = MESHES["closed"]
        with pytest.raises(ValueError, match="the target is a mirror image of the template"):
            register_nonrigid(V, F, V, truth * [-1, 1, 1], F[:, ::-1], V)

    def test_a_flat_surface_may_be_either(self):
        V, F = grid(12)
        with pytest.raises(ValueError, match="have opposite winding, or one of the meshes is turned"):
            register_nonrigid(V, F[:, ::-1], V, V, F, V, RegistrationOptions(alignment="rigid"))
