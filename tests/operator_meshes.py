"""Meshes and transformations shared by the operator tests."""

from __future__ import annotations

import numpy as np

import meshes

SCALES = [1e-6, 1.0, 1e6]


def icosphere(level, radius=1.0):
    """Sphere of 20 * 4**level triangles, counter-clockwise from outside."""
    t = (1 + 5**0.5) / 2
    # Corners of three golden rectangles, one in each coordinate plane; three corners at distance 2 form a triangle.
    V = np.array([[s * 1, u * t, 0] for u in (1, -1) for s in (-1, 1)])
    V = np.concatenate([V, np.roll(V, 1, axis=1), np.roll(V, 2, axis=1)])
    near = np.linalg.norm(V[:, None] - V, axis=2) < 2.1
    F = [[a, b, c] for a in range(12) for b in range(a) for c in range(b) if near[a, b] and near[b, c] and near[c, a]]
    F = np.array([f if np.linalg.det(V[f]) > 0 else f[::-1] for f in F])
    for _ in range(level):
        edges = np.sort(F[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        m0, m1, m2 = (inverse.reshape(-1, 3) + len(V)).T
        V = np.concatenate([V, V[unique].mean(axis=1)])
        a, b, c = F.T
        F = np.stack([[a, m2, m1], [b, m0, m2], [c, m1, m0], [m0, m1, m2]]).transpose(2, 0, 1).reshape(-1, 3)
    return radius * V / np.linalg.norm(V, axis=1, keepdims=True), F


def grid(size, seed=None, relief=0.0):
    """Square of size x size vertices with a spacing of one unit, facing +z; its outline has 4 * (size - 1) edges.

    With a seed, vertices are moved randomly by up to 0.3 in x and y; outline vertices move along the outline only.
    """
    x, y = np.meshgrid(np.arange(size, dtype=float), np.arange(size, dtype=float))
    if seed is not None:
        rng = np.random.default_rng(seed)
        inside = (np.arange(size) > 0) & (np.arange(size) < size - 1)
        x += rng.uniform(-0.3, 0.3, x.shape) * inside
        y += rng.uniform(-0.3, 0.3, y.shape) * inside[:, None]
    z = relief * np.exp(-((x / size - 0.5) ** 2 + (y / size - 0.5) ** 2) * 8)
    ids = np.arange(size * size).reshape(size, size)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, :-1].ravel(), ids[1:, 1:].ravel()
    F = np.stack([[a, b, d], [a, d, c]]).transpose(2, 0, 1).reshape(-1, 3)
    return np.stack([x, y, z], axis=-1).reshape(-1, 3), F


def outline(F):
    """Boundary edges (edges of exactly one triangle), (e, 2) vertex pairs."""
    edges = np.sort(F[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    return unique[count == 1]


def one_rings(F, n):
    """Neighbours of each vertex, as a list of sets."""
    rings = [set() for _ in range(n)]
    for face in np.asarray(F).tolist():
        for i in range(3):
            rings[face[i]] |= {face[i - 1], face[i - 2]} - {face[i]}
    return rings


def rotation(seed=0):
    """A random rotation matrix."""
    Q, R = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    Q = Q * np.sign(np.diag(R))
    return Q * np.sign(np.linalg.det(Q))


def shuffled(V, F, seed=0):
    """The same mesh with vertices and triangles in another order; `order` maps new vertices to old ones."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(V))
    place = np.empty(len(V), np.int64)
    place[order] = np.arange(len(V))
    return V[order], place[F[rng.permutation(len(F))]], order


def mirrored(V, F):
    """Return the mesh mirrored in x, with reversed triangles so that normals still point outwards."""
    return V * [-1, 1, 1], F[:, ::-1]


OPEN = grid(12, seed=3, relief=4.0)
CLOSED = icosphere(2, 3.0)
MESHES = [("relief", OPEN), ("icosphere", CLOSED), *((name, make()) for name, make in meshes.ALL.items())]
