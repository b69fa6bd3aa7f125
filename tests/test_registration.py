import threading

import numpy as np
import pytest

from facegeom import SolverError
from facegeom.geometry import RegistrationOptions, closest_points, register_nonrigid, vertex_normals
from operator_meshes import grid, icosphere, rotation, shuffled

DEFAULT = RegistrationOptions()
FACE, FACE_F = grid(24, seed=2, relief=7.0)
"""A relief of 24 x 24 vertices with a spacing of one unit; its positions are its embedding."""


def bent(V, amount=1.0):
    """Return V plus a smooth displacement of a few units, similar to a facial expression."""
    x, y = V[:, 0] / 23, V[:, 1] / 23
    return V + amount * np.stack(
        [0.8 * np.sin(3 * y), 1.2 * np.sin(2 * x + 1) * y, 1.5 * np.sin(4 * x) * np.cos(3 * y)], axis=-1
    )


def target(size=47, amount=1.0):
    """Return the deformed face sampled on a finer grid, with its embedding: V, F, E."""
    E, F = grid(size)
    E = E[:, :2] * 23 / (size - 1)
    found = closest_points(np.c_[FACE[:, :2], 0 * FACE[:, 0]], FACE_F, np.c_[E, 0 * E[:, 0]])
    at = FACE_F[found.face]
    return (
        np.einsum("qk,qkd->qd", found.weights, bent(FACE, amount)[at]),
        F,
        np.einsum("qk,qkd->qd", found.weights, FACE[at]),
    )


TARGET_V, TARGET_F, TARGET_E = target()
TRUTH = bent(FACE)


def error(V, truth=TRUTH):
    return np.linalg.norm(V - truth, axis=1)


def register(V=FACE, F=FACE_F, E=FACE, TV=TARGET_V, TF=TARGET_F, TE=TARGET_E, options=DEFAULT, **more):
    return register_nonrigid(V, F, E, TV, TF, TE, options, **more)


def flips(V, truth, F):
    normals = [np.cross(X[F[:, 1]] - X[F[:, 0]], X[F[:, 2]] - X[F[:, 0]]) for X in (V, truth)]
    return int((np.einsum("ij,ij->i", *normals) <= 0).sum())


def without(drop, V, F, E):
    """Return the target without the vertices marked in `drop`."""
    F = F[~drop[F].any(axis=1)]
    used, F = np.unique(F, return_inverse=True)
    return V[used], F.reshape(-1, 3), E[used]


class TestWithEmbeddings:
    def test_recovers_a_known_deformation(self):
        found = register()
        assert found.converged
        assert error(found.vertices).mean() < 0.02
        assert flips(found.vertices, TRUTH, FACE_F) == 0

    def test_recovers_an_affine_deformation_exactly(self):
        A = rotation(4) @ np.diag([1.2, 0.9, 1.1])
        found = register(TV=TARGET_E @ A.T + [5, 6, 7])
        assert error(found.vertices, FACE @ A.T + [5, 6, 7]).max() < 1e-6

    def test_result_follows_rigid_motion_of_the_target(self):
        R = rotation(1)
        found, moved = register(), register(TV=TARGET_V @ R.T + [3, 2, 1])
        np.testing.assert_allclose(moved.vertices, found.vertices @ R.T + [3, 2, 1], atol=2e-3)

    @pytest.mark.parametrize("scale", [1e-3, 1e3])
    def test_result_does_not_depend_on_the_unit(self, scale):
        found = register()
        scaled = register(scale * FACE, FACE_F, scale * FACE, scale * TARGET_V, TARGET_F, scale * TARGET_E)
        np.testing.assert_allclose(scaled.vertices / scale, found.vertices, atol=1e-3)

    def test_result_does_not_depend_on_the_order_of_vertices(self):
        V, F, order = shuffled(FACE, FACE_F)
        TV, TF, target_order = shuffled(TARGET_V, TARGET_F, seed=1)
        found = register(V, F, V, TV, TF, TARGET_E[target_order])
        np.testing.assert_allclose(found.vertices, register().vertices[order], atol=2e-3)

    def test_noise_in_the_embedding_is_averaged_out(self):
        noise = np.random.default_rng(0).normal(0, 0.6, TARGET_E.shape)
        found = register(TE=TARGET_E + noise)
        assert error(found.vertices).mean() < 0.3
        assert flips(found.vertices, TRUTH, FACE_F) == 0

    def test_the_noise_of_a_subsampled_target_is_still_estimated(self):
        V, F, E = target(139)
        E = E + np.random.default_rng(0).normal(0, 0.6, E.shape)
        found = register(TV=V, TF=F, TE=E, options=RegistrationOptions(max_samples=6000))
        assert found.history[0].matches < 10_000
        assert error(found.vertices).mean() < 0.25

    def test_registration_to_itself_is_exact_up_to_the_border(self):
        found = register(TV=TRUTH, TF=FACE_F, TE=FACE)
        assert error(found.vertices).max() < 0.1

    def test_spikes_do_not_attract_the_template(self):
        V = TARGET_V.copy()
        spikes = np.random.default_rng(0).permutation(len(V))[:40]
        V[spikes, 2] += 30
        assert error(register(TV=V).vertices).max() < 0.5

    def test_regions_missing_in_the_target_follow_the_thin_plate_energy(self):
        hole = np.hypot(TARGET_E[:, 0] - 14, TARGET_E[:, 1] - 9) < 4
        found = register(FACE, FACE_F, FACE, *without(hole, TARGET_V, TARGET_F, TARGET_E))
        assert error(found.vertices).mean() < 0.05
        assert error(found.vertices).max() < 0.8
        inside = np.hypot(FACE[:, 0] - 14, FACE[:, 1] - 9) < 3
        assert (found.matches.kind[inside] == 0).all()
        assert (found.matches.target[inside] == -1).all()

    def test_a_target_larger_than_the_template_does_not_attract_its_border(self):
        inner = (FACE[:, :2] > 4.5).all(axis=1) & (FACE[:, :2] < 18.5).all(axis=1)
        V, F, E = without(~inner, FACE, FACE_F, FACE)
        assert error(register(V, F, E).vertices, bent(V)).max() < 0.2

    def test_matches_refer_to_the_correct_target_vertices(self):
        found = register()
        matched = found.matches.kind == 1
        assert matched.mean() > 0.9
        assert np.linalg.norm(TARGET_E[found.matches.target[matched]] - FACE[matched], axis=1).max() < 1.5

    def test_an_embedding_of_another_dimension_works_too(self):
        lift = np.random.default_rng(1).normal(size=(3, 6))
        found = register(E=FACE @ lift, TE=TARGET_E @ lift)
        assert error(found.vertices).mean() < 0.02

    def test_landmarks_reach_their_positions(self):
        ids = np.array([100, 300])
        places = TRUTH[ids] + [[0, 0, 1.0], [0.5, 0, 0]]
        found = register(landmarks=(ids, places), landmark_weight=1e4)
        assert np.linalg.norm(found.vertices[ids] - places, axis=1).max() < 0.05

    def test_vertices_of_weight_zero_follow_the_thin_plate_energy(self):
        V = TARGET_V + [0, 0, 2] * (TARGET_E[:, :1] > 15)
        found = register(TV=V, weights=(FACE[:, 0] <= 13).astype(float))
        left = FACE[:, 0] < 12
        assert error(found.vertices)[left].mean() < 0.05
        assert (found.matches.target[FACE[:, 0] > 15] == -1).all()


class TestWithoutEmbeddings:
    @staticmethod
    def blob():
        V, F = icosphere(3)
        x, y, z = V.T
        radius = (
            1
            + 0.7 * z**2
            + 0.15 * z
            + 0.15 * np.sin(4 * x + 1) * np.cos(5 * y) * np.cos(4 * z)
            + 0.1 * np.sin(7 * y + 3 * z)
        )
        V = 40 * V * radius[:, None] * [1, 0.8, 1]
        wave = np.stack([np.sin(V[:, 1] / 25), np.sin(V[:, 2] / 30 + 1), np.cos(V[:, 0] / 28)], axis=1)
        a = np.radians(20)
        turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        return V, F, (V + 8 * wave) @ turn.T

    def test_recovers_a_rotated_and_deformed_shape(self):
        V, F, truth = self.blob()
        found = register_nonrigid(V, F, None, truth, F, None)
        size = np.linalg.norm(np.ptp(V, axis=0))
        assert error(found.vertices, truth).mean() < 0.005 * size
        assert flips(found.vertices, truth, F) == 0
        assert found.history[-1].kind == "physical"

    def test_a_target_with_a_missing_part_is_completed(self):
        V, F, truth = self.blob()
        found = register_nonrigid(
            V, F, None, *without(truth[:, 1] > np.quantile(truth[:, 1], 0.8), truth, F, truth)[:2], None
        )
        assert error(found.vertices, truth).mean() < 0.01 * np.linalg.norm(np.ptp(V, axis=0))

    def test_registration_to_the_same_shape_changes_nothing(self):
        V, F = icosphere(3, 30.0)
        V = V * [1, 1.3, 0.8]
        found = register_nonrigid(V, F, None, V, F, None)
        assert error(found.vertices, V).max() < 0.1


class TestPaper:
    def test_ends_when_the_stiffness_is_below_its_limit(self):
        options = RegistrationOptions.paper()
        found = register(TV=target(47, 0.3)[0], options=options)
        truth = bent(FACE, 0.3)
        assert found.converged
        assert found.history[-1].stiffness >= 1e6
        stiffness = [step.stiffness for step in found.history]
        assert stiffness[0] == 1e8
        assert set(np.divide(stiffness[:-1], stiffness[1:])) <= {1.0, 2.0}
        assert flips(found.vertices, truth, FACE_F) == 0

    def test_the_switch_to_physical_neighbours_is_permanent(self):
        found = register(TV=target(47, 0.3)[0], options=RegistrationOptions.paper())
        kinds = [step.kind for step in found.history]
        assert kinds[0] == "embedding"
        assert kinds == sorted(kinds)

    def test_reaching_max_iterations_is_not_convergence(self):
        options = RegistrationOptions(matching="vertex", stiffness=1e8, max_iterations=2)
        found = register(options=options)
        assert not found.converged
        assert "limit" in found.reason
        assert len(found.history) == 2


class TestLoop:
    @pytest.mark.parametrize(
        ("E", "TE", "options"),
        [
            (FACE, TARGET_E, RegistrationOptions()),
            (None, None, RegistrationOptions(max_iterations=5)),
            (FACE, TARGET_E, RegistrationOptions(matching="vertex", stiffness=1e8, max_iterations=5)),
        ],
        ids=["embedded", "shape", "paper"],
    )
    def test_results_repeat_bit_for_bit(self, E, TE, options):
        one = register(E=E, TE=TE, options=options)
        results = []
        threads = [threading.Thread(target=lambda: results.append(register(E=E, TE=TE, options=options))) for _ in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {r.vertices.tobytes() for r in results} == {one.vertices.tobytes()}
        assert results[0].history == one.history

    def test_the_callback_receives_each_iteration_and_can_cancel(self):
        steps = []
        found = register(progress=steps.append)
        assert tuple(steps) == found.history
        cancelled = register(progress=lambda step: False)
        assert len(cancelled.history) == 1
        assert not cancelled.converged
        assert "cancelled" in cancelled.reason

    def test_an_exception_in_the_callback_is_passed_on(self):
        def fail(step):
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            register(progress=fail)

    def test_the_history_shows_decreasing_motion(self):
        history = register().history
        assert history[0].motion > 10 * history[-1].motion
        assert all(step.matches > 1000 and step.thin_plate_energy > 0 for step in history)

    def test_inputs_are_not_modified_and_unreferenced_vertices_follow_the_alignment(self):
        V = np.concatenate([FACE, [[100.0, 0, 0]]])
        before = V.copy(), TARGET_V.copy()
        found = register(V, FACE_F, V)
        np.testing.assert_array_equal(V, before[0])
        np.testing.assert_array_equal(TARGET_V, before[1])
        assert np.isfinite(found.vertices).all()
        np.testing.assert_allclose(found.vertices[:-1], register().vertices, atol=1e-2)

    def test_folded_triangles_are_flattened(self):
        places = TRUTH.copy()
        V = TARGET_V.copy()
        patch = np.hypot(TARGET_E[:, 0] - 12, TARGET_E[:, 1] - 12) < 2
        V[patch, :2] = 2 * V[patch].mean(axis=0)[:2] - V[patch, :2]  # a patch rotated by 180 degrees
        found = register(TV=V)
        N = vertex_normals(found.vertices, FACE_F)
        assert N[:, 2].min() > 0
        assert flips(found.vertices, places, FACE_F) == 0

    def test_a_failed_solve_raises_solver_error(self):
        assert issubclass(SolverError, Exception)
