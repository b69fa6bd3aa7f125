import numpy as np
import pytest

from facegeom.errors import SolverError
from facegeom.geometry import biharmonic_interpolation, cotangent_laplacian, mass_matrix, vertex_normals
from operator_meshes import MESHES, OPEN, SCALES, grid, icosphere, mirrored, rotation, shuffled

meshes = pytest.mark.parametrize("mesh", [m for _, m in MESHES], ids=[name for name, _ in MESHES])


def slow_biharmonic_interpolation(V, F, values, weight, length, decay):
    mass = mass_matrix(V, F)
    L = cotangent_laplacian(V, F).to_scipy().toarray()
    K = L.T @ np.diag(1 / np.maximum(mass, 1e-3 * mass.mean())) @ L
    A = np.diag(mass * (weight + (length / decay) ** 4)) + length**4 * K
    return np.linalg.solve(A, (mass * weight)[:, None] * values)


def half_known(V):
    return (V[:, 0] < np.median(V[:, 0])).astype(float)


@meshes
@pytest.mark.parametrize(("length", "decay"), [(0.2, np.inf), (1.0, 5.0)])
def test_equals_the_dense_solve(mesh, length, decay):
    V, F = mesh
    rng = np.random.default_rng(0)
    values, weight = rng.normal(size=(len(V), 4)), rng.uniform(0, 1, len(V)) * half_known(V)
    found = biharmonic_interpolation(V, F, values, weight, length=length, decay=decay)
    np.testing.assert_allclose(
        found, slow_biharmonic_interpolation(V, F, values, weight, length, decay), rtol=1e-5, atol=1e-5
    )


@meshes
def test_a_constant_is_extended(mesh):
    V, F = mesh
    weight = np.zeros(len(V))
    weight[0] = 1
    np.testing.assert_allclose(biharmonic_interpolation(V, F, np.full(len(V), 7.0), weight, length=1.0), 7, rtol=1e-4)


def test_value_and_slope_are_continuous_at_the_border_of_the_known_region():
    V, F = icosphere(4, 50.0)
    known = (V[:, 2] > 0).astype(float)
    values = 3.0 * np.sin(V[:, 0] / 15.0)
    u = biharmonic_interpolation(V, F, values, known, length=0.5, decay=30.0)
    np.testing.assert_allclose(u[known > 0], values[known > 0], atol=0.05)
    moved = V * (1 + u[:, None] / 50)
    bend = np.einsum("ij,ij->i", vertex_normals(moved, F), vertex_normals(V, F))
    ends = np.abs(V[:, 2]) < 4
    truth = V * (1 + values[:, None] / 50)
    wanted = np.einsum("ij,ij->i", vertex_normals(truth, F), vertex_normals(V, F))
    assert np.abs(bend - wanted)[ends].max() < 0.04
    far = V[:, 2] < -49
    assert np.abs(u[far]).max() < 0.3


def test_detail_smaller_than_length_is_smoothed_away():
    V, F = grid(31)
    noise = np.random.default_rng(0).normal(size=len(V))
    smooth = biharmonic_interpolation(V, F, noise, np.ones(len(V)), length=4.0)
    assert smooth.std() < 0.15
    np.testing.assert_allclose(biharmonic_interpolation(V, F, noise, np.ones(len(V)), length=0.01), noise, atol=1e-5)


@meshes
@pytest.mark.parametrize("scale", SCALES)
def test_lengths_have_the_unit_of_the_mesh(mesh, scale):
    V, F = mesh
    values, weight = np.cos(V), half_known(V)
    found = biharmonic_interpolation(V, F, values, weight, length=0.5, decay=4.0)
    moved = scale * (V @ rotation().T + 3)
    scaled = biharmonic_interpolation(moved, F, values, weight, length=0.5 * scale, decay=4.0 * scale)
    np.testing.assert_allclose(scaled, found, atol=1e-5)
    np.testing.assert_allclose(
        biharmonic_interpolation(*mirrored(V, F), values, weight, length=0.5, decay=4.0), found, atol=1e-8
    )
    V2, F2, order = shuffled(V, F)
    np.testing.assert_allclose(
        biharmonic_interpolation(V2, F2, values[order], weight[order], length=0.5, decay=4.0), found[order], atol=1e-7
    )


def test_shapes_isolated_vertices_and_components_without_known_values():
    V = np.concatenate([OPEN[0], OPEN[0] + 1000, [[5.0, 6, 7]]])
    n = len(OPEN[0])
    F = np.concatenate([OPEN[1], OPEN[1] + n])
    weight = np.zeros(len(V))
    weight[:n] = 1
    values = np.arange(len(V), dtype=float)
    u = biharmonic_interpolation(V, F, values, weight, length=1e-3)
    assert u.shape == (len(V),)
    np.testing.assert_allclose(u[:n], values[:n], atol=1e-4)
    np.testing.assert_allclose(u[n:-1], 0, atol=1e-9)  # a component without known values
    assert u[-1] == values[-1]
    assert biharmonic_interpolation(V, F, np.zeros((len(V), 0)), weight, length=1).shape == (len(V), 0)
    empty = biharmonic_interpolation(np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros((0, 2)), np.zeros(0), length=1)
    assert empty.shape == (0, 2)


def test_a_length_that_overflows_raises_an_error():
    V, F = grid(5)
    with pytest.raises(SolverError, match="too distorted for this length"):
        biharmonic_interpolation(V, F, V[:, 1], half_known(V), length=1e90)
