import numpy as np
import pytest

from facegeom import geometry
from facegeom.geometry import (
    cotangent_laplacian,
    detail_displacement,
    face_normals,
    heat_smooth,
    image_high_pass,
    subdivide,
    vertex_normals,
)
from operator_meshes import OPEN, SCALES, grid, icosphere, mirrored, one_rings, outline, rotation, shuffled


def slow_displacement(V, F, signal, gain, max_step, weight):
    out = V.copy()
    N = vertex_normals(V, F)
    for i, ring in enumerate(one_rings(F, len(V))):
        if not ring:
            continue
        ring = sorted(ring)
        lengths = np.linalg.norm(V[ring] - V[i], axis=1)
        a = np.exp(-lengths / lengths.mean())
        mean = (signal[i] + a @ signal[ring]) / (1 + a.sum())
        out[i] += np.clip(gain * weight[i] * mean, -max_step, max_step) * N[i]
    return out


def slow_high_pass(gray, sigma, mask):
    radius = max(1, round(4 * sigma))
    y, x = np.mgrid[: gray.shape[0], : gray.shape[1]]
    out = np.zeros_like(gray)
    for i, j in np.argwhere(mask):
        near = mask & (np.abs(y - i) <= radius) & (np.abs(x - j) <= radius)
        w = np.exp(-((y - i) ** 2 + (x - j) ** 2) / (2 * sigma**2)) * near
        out[i, j] = gray[i, j] - (w * gray).sum() / w.sum()
    return out


def image_detail(V, F, signal, **options):
    return geometry.detail_displacement(V, F, signal, low_pass="image", **options)


class TestImageDetail:
    def test_a_constant_signal_inflates_the_sphere(self):
        V, F = icosphere(3, 80.0)
        moved = image_detail(V, F, np.full(len(V), 0.1), gain=5.0)
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 80.5, atol=1e-3)

    def test_a_plane_moves_along_z_by_the_weighted_mean_of_the_one_ring(self):
        V, F = grid(5)
        signal = np.zeros(25)
        signal[12] = 0.2
        moved = image_detail(V, F, signal, gain=1.0, max_step=9.0) - V
        assert np.abs(moved[:, :2]).max() == 0
        # At vertex 12: four edges of length 1 and two of length sqrt 2.
        mean = (4 + 2 * 2**0.5) / 6
        total = 1 + 4 * np.exp(-1 / mean) + 2 * np.exp(-(2**0.5) / mean)
        assert moved[12, 2] == pytest.approx(0.2 / total)
        assert moved[0, 2] == 0

    def test_equals_the_reference_implementation(self):
        V, F = OPEN
        rng = np.random.default_rng(0)
        signal, weight = rng.normal(0, 0.2, len(V)), rng.uniform(size=len(V))
        moved = image_detail(V, F, signal, gain=4.0, max_step=0.3, weight=weight)
        np.testing.assert_allclose(moved, slow_displacement(V, F, signal, 4.0, 0.3, weight), atol=1e-14)

    def test_no_step_is_longer_than_max_step(self):
        V, F = OPEN
        signal = np.random.default_rng(0).normal(0, 10, len(V))
        step = np.linalg.norm(image_detail(V, F, signal, max_step=0.25) - V, axis=1)
        assert step.max() == pytest.approx(0.25)

    def test_zero_gain_or_signal_changes_nothing(self):
        V, F = OPEN
        signal = np.random.default_rng(0).normal(size=len(V))
        for options in ({"gain": 0.0}, {"max_step": 0.0}, {"weight": np.zeros(len(V))}):
            np.testing.assert_array_equal(image_detail(V, F, signal, **options), V)
        np.testing.assert_array_equal(image_detail(V, F, 0 * signal), V)

    def test_vertices_without_triangles_do_not_move(self):
        V = np.concatenate([OPEN[0], [[5, 6, 7]]])
        moved = image_detail(V, OPEN[1], np.ones(len(V)))
        np.testing.assert_array_equal(moved[-1], [5, 6, 7])

    @pytest.mark.parametrize("scale", SCALES)
    def test_result_follows_rigid_motion_and_unit(self, scale):
        V, F = OPEN
        R = rotation()
        signal = np.random.default_rng(0).normal(0, 0.1, len(V))
        moved = image_detail(V, F, signal, gain=5.0, max_step=0.4)
        there = image_detail(scale * V @ R.T, F, signal, gain=5.0 * scale, max_step=0.4 * scale)
        np.testing.assert_allclose(there, scale * moved @ R.T, atol=1e-12 * scale)
        np.testing.assert_allclose(
            image_detail(*mirrored(V, F), signal, gain=5.0, max_step=0.4), moved * [-1, 1, 1], atol=1e-14
        )
        V2, F2, order = shuffled(V, F)
        np.testing.assert_allclose(
            image_detail(V2, F2, signal[order], gain=5.0, max_step=0.4), moved[order], atol=1e-14
        )


def slow_shading(V, F, tau, *, time, gain, max_step, weight, attenuate):
    """Equations 9 to 14 vertex by vertex, without the limit that prevents folds."""
    seen = weight > 0
    level = tau[seen][0]
    heat = np.stack([np.where(seen, tau - level, 0), seen.astype(float)], axis=1)
    low = heat_smooth(V, F, heat, time, tolerance=1e-12)
    mu = np.where(seen, heat[:, 0] - low[:, 0] / low[:, 1], 0)
    N, L = vertex_normals(V, F), cotangent_laplacian(V, F).to_scipy().toarray()
    border = set(outline(F).ravel())
    out = V.copy()
    for i, ring in enumerate(one_rings(F, len(V))):
        rise, weights, fairing, cotangents = 0.0, 0.0, 0.0, 0.0
        for j in sorted(ring):
            edge = V[i] - V[j]
            length, height = np.linalg.norm(edge), edge @ N[i]
            c = max(0.0, -L[i, j])
            fairing, cotangents = fairing - c * height, cotangents + c
            if seen[i] and seen[j]:
                a, step = np.exp(-length), gain * (mu[i] - mu[j])
                rise += a * (step * (1 - abs(height) / length) if attenuate else step - height)
                weights += a
        delta = 0.2 * weight[i] * rise / weights if weights else 0.0
        delta += 0.8 * 0.5 * fairing / cotangents if cotangents and i not in border else 0.0
        out[i] += np.clip(delta, -max_step, max_step) * N[i]
    return out


class TestShading:
    @pytest.mark.parametrize("attenuate", [True, False])
    @pytest.mark.parametrize("masked", [True, False])
    def test_equals_the_reference_implementation(self, attenuate, masked):
        pytest.importorskip("scipy.sparse")
        V, F = grid(9, seed=2, relief=3.0)
        rng = np.random.default_rng(0)
        tau = rng.uniform(size=len(V))
        weight = rng.uniform(size=len(V)) * (rng.uniform(size=len(V)) < 0.7) if masked else np.ones(len(V))
        moved = detail_displacement(V, F, tau, time_mm2=2.0, gain=2.0, max_step=0.2, weight=weight, attenuate=attenuate)
        options = {"time": 2.0, "gain": 2.0, "max_step": 0.2, "weight": weight, "attenuate": attenuate}
        np.testing.assert_allclose(moved, slow_shading(V, F, tau, **options), atol=1e-6)

    def test_a_dark_line_becomes_a_groove_and_a_bright_one_a_ridge(self):
        V, F = grid(41)
        V *= 0.5
        for sign in (1, -1):
            tau = 0.5 + sign * 0.2 * np.exp(-((V[:, 0] - 10) ** 2) / (2 * 0.5**2))
            height = (detail_displacement(V, F, tau, gain=3.0) - V)[:, 2].reshape(41, 41)[20]
            assert np.argmax(sign * height) == 20
            assert sign * height[20] > 0.01
            assert np.abs(height[:10]).max() < 0.05 * abs(height[20])
        assert np.abs((detail_displacement(V, F, tau, gain=3.0) - V)[:, :2]).max() == 0

    def test_a_constant_intensity_gives_only_the_fairing_term(self):
        V, F = icosphere(3, 20.0)
        constant = detail_displacement(V, F, np.full(len(V), 0.37))
        np.testing.assert_array_equal(
            constant, detail_displacement(V, F, np.random.default_rng(0).uniform(size=len(V)), gain=0.0)
        )
        radius = np.linalg.norm(constant, axis=1)
        edge = np.linalg.norm(V[F[:, 0]] - V[F[:, 1]], axis=1)
        # On a sphere a neighbour at distance h lies h^2 / 2 r below the tangent plane.
        assert (20 - radius).mean() == pytest.approx(0.4 * (edge**2).mean() / 40, rel=0.05)
        plane, triangles = grid(7, seed=0)
        np.testing.assert_array_equal(detail_displacement(plane, triangles, np.full(49, 0.2)), plane)

    def test_the_intensity_of_invisible_vertices_is_ignored(self):
        V, F = OPEN
        rng = np.random.default_rng(1)
        tau, weight = rng.uniform(size=len(V)), (rng.uniform(size=len(V)) < 0.6).astype(float)
        moved = detail_displacement(V, F, tau, weight=weight)
        other = np.where(weight > 0, tau, rng.uniform(-9, 9, len(V)))
        np.testing.assert_array_equal(detail_displacement(V, F, other, weight=weight), moved)
        fairing = detail_displacement(V, F, tau, weight=np.zeros(len(V)))
        np.testing.assert_array_equal(moved[weight == 0], fairing[weight == 0])

    def test_a_slow_change_of_light_is_not_detail(self):
        V, F = subdivide(*grid(30), "midpoint")[:2]
        inner = (np.abs(V[:, :2] - 14.5) < 8).all(axis=1)
        moved = detail_displacement(V, F, V[:, 0] / 30, gain=3.0)
        assert np.abs(moved - V)[inner].max() < 1e-3

    @pytest.mark.parametrize("attenuate", [True, False])
    def test_no_triangle_folds_for_any_gain(self, attenuate):
        V, F = icosphere(4, 6.0)
        tau = np.random.default_rng(0).uniform(size=len(V))
        moved = detail_displacement(V, F, tau, gain=500.0, max_step=50.0, attenuate=attenuate)
        cosine = np.einsum("ij,ij->i", face_normals(V, F), face_normals(moved, F))
        assert cosine.min() >= 0.5 - 1e-12
        assert np.linalg.norm(moved - V, axis=1).max() > 0.05
        assert np.linalg.norm(detail_displacement(V, F, tau, gain=500.0, max_step=0.1) - V, axis=1).max() <= 0.1 + 1e-12

    def test_result_follows_rigid_motion(self):
        V, F = OPEN
        R = rotation()
        tau = np.random.default_rng(0).uniform(size=len(V))
        moved = detail_displacement(V, F, tau)
        np.testing.assert_allclose(detail_displacement(V @ R.T, F, tau), moved @ R.T, atol=1e-6)
        np.testing.assert_allclose(detail_displacement(*mirrored(V, F), tau), moved * [-1, 1, 1], atol=1e-6)
        V2, F2, order = shuffled(V, F)
        np.testing.assert_allclose(detail_displacement(V2, F2, tau[order]), moved[order], atol=1e-6)

    def test_vertices_without_triangles_do_not_move(self):
        V = np.concatenate([OPEN[0], [[5, 6, 7]]])
        tau = np.random.default_rng(0).uniform(size=len(V))
        np.testing.assert_array_equal(detail_displacement(V, OPEN[1], tau)[-1], [5, 6, 7])
        np.testing.assert_array_equal(detail_displacement(V[:0], OPEN[1][:0], tau[:0]), V[:0])


class TestImageHighPass:
    @pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 40.0])
    @pytest.mark.parametrize("masked", [False, True])
    def test_equals_the_reference_implementation(self, sigma, masked):
        rng = np.random.default_rng(0)
        gray = rng.uniform(size=(13, 17))
        mask = rng.uniform(size=gray.shape) < 0.7 if masked else np.ones(gray.shape, bool)
        fine = image_high_pass(gray, sigma, mask=mask if masked else None)
        np.testing.assert_allclose(fine, slow_high_pass(gray, sigma, mask), atol=1e-13)

    def test_equals_scipy_away_from_the_border(self):
        ndimage = pytest.importorskip("scipy.ndimage")
        gray = np.random.default_rng(0).uniform(size=(40, 50))
        peer = gray - ndimage.gaussian_filter(gray, 2.0, truncate=4.0)
        np.testing.assert_allclose(image_high_pass(gray, 2.0)[8:-8, 8:-8], peer[8:-8, 8:-8], atol=1e-13)

    def test_a_constant_image_gives_zero(self):
        mask = np.arange(30).reshape(5, 6) % 7 != 0
        np.testing.assert_array_equal(image_high_pass(np.full((5, 6), 0.7), 2.0, mask=mask), 0)
        np.testing.assert_array_equal(image_high_pass(np.full((5, 6), 0.7), 2.0), 0)

    def test_pixels_outside_the_mask_are_ignored(self):
        rng = np.random.default_rng(0)
        gray, mask = rng.uniform(size=(20, 20)), np.zeros((20, 20), bool)
        mask[4:15, 3:17] = True
        other = np.where(mask, gray, 50.0)
        fine = image_high_pass(gray, 3.0, mask=mask)
        np.testing.assert_allclose(image_high_pass(other, 3.0, mask=mask), fine, atol=1e-13)
        assert (fine[~mask] == 0).all()
        np.testing.assert_array_equal(image_high_pass(gray, 3.0, mask=np.zeros_like(mask)), 0)

    def test_fine_stripes_pass_and_coarse_ones_do_not(self):
        x = np.arange(200.0)
        fine, coarse = np.sin(2 * np.pi * x / 4), np.sin(2 * np.pi * x / 100)
        assert np.abs(image_high_pass(fine[None], 3.0)[0, 50:-50] - fine[50:-50]).max() < 1e-3
        assert np.abs(image_high_pass(coarse[None], 3.0)[0, 50:-50]).max() < 0.05

    def test_empty_image(self):
        assert image_high_pass(np.zeros((0, 4)), 1.0).shape == (0, 4)
