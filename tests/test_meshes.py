"""The test meshes are valid, and the validator rejects invalid meshes."""

import numpy as np
import pytest

import meshes
import operator_meshes


@pytest.mark.parametrize("name", meshes.ALL)
def test_fixture_is_a_valid_mesh(name):
    V, F = meshes.ALL[name]()
    meshes.check_mesh(V, F, closed=name in meshes.CLOSED)
    assert meshes.euler_characteristic(V, F) == meshes.EULER[name]


def test_meshes_of_the_operator_tests_are_valid():
    meshes.check_mesh(*operator_meshes.OPEN, closed=False, facing=(0, 0, 1))
    meshes.check_mesh(*operator_meshes.CLOSED, closed=True)


BROKEN = {
    "index out of range": ([[0, 1, 2], [1, 0, 9]], 3),
    "unused vertex": ([[0, 1, 2]], 4),
    "no area": ([[0, 1, 1]], 2),
    "inconsistent orientation": ([[0, 1, 2], [0, 1, 3]], 4),
    "two fans at a vertex": ([[0, 1, 2], [0, 3, 4]], 5),
    "three triangles at an edge": ([[0, 1, 2], [1, 0, 3], [0, 1, 4]], 5),
}


@pytest.mark.parametrize("name", BROKEN)
def test_validator_rejects(name):
    F, count = BROKEN[name]
    V = np.random.default_rng(0).random((count, 3))
    with pytest.raises(AssertionError):
        meshes.check_mesh(V, F)


def test_validator_rejects_two_closed_fans_at_a_vertex():
    V, F = meshes.tetrahedron()
    W, G = meshes.tetrahedron()
    G = np.where(G == 0, 0, G + 3)
    with pytest.raises(AssertionError):
        meshes.check_mesh(np.concatenate([V, W[1:] + 5]), np.concatenate([F, G]))


def test_validator_rejects_flipped_triangles():
    V, F = meshes.square()
    with pytest.raises(AssertionError):
        meshes.check_mesh(V, F, facing=(0, 0, -1))
