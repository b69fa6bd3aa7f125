import numpy as np
import pytest

from facegeom.geometry import register_affine
from operator_meshes import rotation

KINDS = ["affine", "similarity"]


def pairs(kind, n=400, seed=0):
    rng = np.random.default_rng(seed)
    P = rng.normal(size=(n, 3)) * [40, 60, 20]
    linear = 1.3 * rotation(seed + 1)
    if kind == "affine":
        linear = linear @ (np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
    shift = rng.normal(size=3) * 100
    return P, P @ linear.T + shift, linear, shift


@pytest.mark.parametrize("kind", KINDS)
def test_recovers_the_map_and_the_inliers_despite_outliers(kind):
    P, Q, linear, shift = pairs(kind)
    rng = np.random.default_rng(5)
    outliers = rng.permutation(len(P))[: len(P) * 2 // 5]
    Q[outliers] += rng.choice([-1, 1], (len(outliers), 3)) * rng.uniform(20, 200, (len(outliers), 3))
    found = register_affine(P, Q, kind=kind)
    np.testing.assert_allclose(found.linear, linear, atol=1e-9)
    np.testing.assert_allclose(found.shift, shift, atol=1e-7)
    assert set(np.flatnonzero(~found.inliers)) == set(outliers)
    inliers = found.inliers
    np.testing.assert_allclose(found.apply(P[inliers]), Q[inliers], atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_result_is_the_least_squares_fit_to_its_inliers(kind):
    P, Q, _, _ = pairs(kind)
    Q = Q + np.random.default_rng(1).normal(0, 0.3, Q.shape)
    found = register_affine(P, Q, kind=kind)
    assert found.inliers.all()
    residual = found.apply(P) - Q
    np.testing.assert_allclose(residual.mean(axis=0), 0, atol=1e-9)
    if kind == "affine":
        expected = np.linalg.lstsq(np.c_[P, np.ones(len(P))], Q, rcond=None)[0]
        np.testing.assert_allclose(found.linear, expected[:3].T, atol=1e-9)
    else:
        scale = np.cbrt(np.linalg.det(found.linear))
        np.testing.assert_allclose(found.linear @ found.linear.T, scale**2 * np.eye(3), atol=1e-12)
        for step in (-1e-4, 1e-4):  # a small change of the map never reduces the error
            for nearby in ((1 + step) * np.eye(3), np.eye(3) + step * np.cross(np.eye(3), [1, 2, 3])):
                moved = (found.apply(P) - found.apply(P).mean(axis=0)) @ nearby.T + Q.mean(axis=0)
                assert ((moved - Q) ** 2).sum() > (residual**2).sum()


def test_a_similarity_is_never_a_reflection():
    P = pairs("similarity")[0]
    found = register_affine(P, P * [-1, 1, 1], kind="similarity", threshold=1e3)
    assert np.linalg.det(found.linear) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_result_does_not_depend_on_the_unit(kind, scale):
    P, Q, _, _ = pairs(kind)
    Q = Q + np.random.default_rng(1).normal(0, 1.5, Q.shape)
    found = register_affine(P, Q, kind=kind)
    scaled = register_affine(scale * P, scale * Q, kind=kind, threshold=3 * scale)
    np.testing.assert_array_equal(scaled.inliers, found.inliers)
    np.testing.assert_allclose(scaled.linear, found.linear, atol=1e-9)
    assert 0 < (~found.inliers).sum() < 200


def test_the_same_seed_gives_bit_identical_results():
    P, Q, _, _ = pairs("affine")
    Q = Q + np.random.default_rng(1).normal(0, 2, Q.shape)
    one, two, other = (register_affine(P, Q, seed=seed) for seed in (3, 3, 4))
    assert one.linear.tobytes() == two.linear.tobytes()
    np.testing.assert_allclose(other.linear, one.linear, atol=0.02)


def test_coplanar_samples_are_skipped():
    rng = np.random.default_rng(2)
    P = np.column_stack([rng.normal(size=(300, 2)) * 50, np.zeros(300)])
    P[::30, 2] = rng.uniform(10, 30, 10)  # most samples of four lie in the plane
    linear = np.diag([1.1, 0.9, 1.4])
    found = register_affine(P, P @ linear, iterations=1000)
    assert found.inliers.all()
    np.testing.assert_allclose(found.linear, linear, atol=1e-9)


def test_coplanar_points_determine_a_similarity():
    P = np.column_stack([np.random.default_rng(2).normal(size=(50, 2)) * 50, np.zeros(50)])
    R = rotation(3)
    found = register_affine(P, 2 * P @ R.T, kind="similarity")
    np.testing.assert_allclose(found.linear, 2 * R, atol=1e-9)
