import numpy as np
import pytest

from facegeom.geometry import detail_displacement, image_high_pass, vertex_normals
from operator_meshes import OPEN, SCALES, grid, icosphere, mirrored, one_rings, rotation, shuffled


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


class TestDetailDisplacement:
    def test_a_constant_signal_blows_the_sphere_up(self):
        V, F = icosphere(3, 80.0)
        moved = detail_displacement(V, F, np.full(len(V), 0.1), gain=5.0)
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 80.5, atol=1e-3)

    def test_a_plane_moves_along_z_by_the_mean_of_the_ring(self):
        V, F = grid(5)
        signal = np.zeros(25)
        signal[12] = 0.2
        moved = detail_displacement(V, F, signal, gain=1.0, max_step=9.0) - V
        assert np.abs(moved[:, :2]).max() == 0
        # At vertex 12: four edges of length 1 and two of length sqrt 2.
        mean = (4 + 2 * 2**0.5) / 6
        total = 1 + 4 * np.exp(-1 / mean) + 2 * np.exp(-(2**0.5) / mean)
        assert moved[12, 2] == pytest.approx(0.2 / total)
        assert moved[0, 2] == 0

    def test_equals_the_slow_reference(self):
        V, F = OPEN
        rng = np.random.default_rng(0)
        signal, weight = rng.normal(0, 0.2, len(V)), rng.uniform(size=len(V))
        moved = detail_displacement(V, F, signal, gain=4.0, max_step=0.3, weight=weight)
        np.testing.assert_allclose(moved, slow_displacement(V, F, signal, 4.0, 0.3, weight), atol=1e-14)

    def test_no_step_is_longer_than_the_longest(self):
        V, F = OPEN
        signal = np.random.default_rng(0).normal(0, 10, len(V))
        step = np.linalg.norm(detail_displacement(V, F, signal, max_step=0.25) - V, axis=1)
        assert step.max() == pytest.approx(0.25)

    def test_nothing_to_add(self):
        V, F = OPEN
        signal = np.random.default_rng(0).normal(size=len(V))
        for options in ({"gain": 0.0}, {"max_step": 0.0}, {"weight": np.zeros(len(V))}):
            np.testing.assert_array_equal(detail_displacement(V, F, signal, **options), V)
        np.testing.assert_array_equal(detail_displacement(V, F, 0 * signal), V)

    def test_vertices_without_triangles_stay(self):
        V = np.concatenate([OPEN[0], [[5, 6, 7]]])
        moved = detail_displacement(V, OPEN[1], np.ones(len(V)))
        np.testing.assert_array_equal(moved[-1], [5, 6, 7])

    @pytest.mark.parametrize("scale", SCALES)
    def test_moves_with_the_mesh_and_its_unit(self, scale):
        V, F = OPEN
        R = rotation()
        signal = np.random.default_rng(0).normal(0, 0.1, len(V))
        moved = detail_displacement(V, F, signal, gain=5.0, max_step=0.4)
        there = detail_displacement(scale * V @ R.T, F, signal, gain=5.0 * scale, max_step=0.4 * scale)
        np.testing.assert_allclose(there, scale * moved @ R.T, atol=1e-12 * scale)
        np.testing.assert_allclose(
            detail_displacement(*mirrored(V, F), signal, gain=5.0, max_step=0.4), moved * [-1, 1, 1], atol=1e-14
        )
        V2, F2, order = shuffled(V, F)
        np.testing.assert_allclose(
            detail_displacement(V2, F2, signal[order], gain=5.0, max_step=0.4), moved[order], atol=1e-14
        )


class TestImageHighPass:
    @pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 40.0])
    @pytest.mark.parametrize("masked", [False, True])
    def test_equals_the_slow_reference(self, sigma, masked):
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

    def test_a_constant_has_no_detail(self):
        mask = np.arange(30).reshape(5, 6) % 7 != 0
        np.testing.assert_array_equal(image_high_pass(np.full((5, 6), 0.7), 2.0, mask=mask), 0)
        np.testing.assert_array_equal(image_high_pass(np.full((5, 6), 0.7), 2.0), 0)

    def test_what_the_mask_hides_does_not_count(self):
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
