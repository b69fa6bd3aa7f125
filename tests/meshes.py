"""Meshes for tests, grouped by property, and a validator that runs on all of them."""

from __future__ import annotations

import numpy as np


def check_mesh(V, F, *, closed=None, facing=None):
    """Assert that (V, F) is an oriented manifold without degenerate triangles.

    All indices are in range and every vertex is used. An edge has at most two triangles, which traverse it in opposite
    directions. The triangles of a vertex form one fan. Every area is above 1e-9 of the squared longest edge.

    closed: True: no boundary edge is allowed; False: the mesh must have some; None: not checked.
    facing: a direction (3,); every triangle normal must have a positive component along it.
    """
    V, F = np.asarray(V), np.asarray(F)
    assert V.ndim == 2
    assert V.shape[1] in (2, 3)
    assert np.isfinite(V).all()
    assert F.ndim == 2
    assert F.shape[1] == 3
    if len(F) == 0:
        return
    assert F.min() >= 0
    assert F.max() < len(V)
    assert len(np.unique(F)) == len(V), "unused vertices"

    P = np.column_stack([V, np.zeros(len(V))]) if V.shape[1] == 2 else V
    a, b, c = P[F[:, 0]], P[F[:, 1]], P[F[:, 2]]
    N = np.cross(b - a, c - a)
    longest = np.max([((b - a) ** 2).sum(1), ((c - b) ** 2).sum(1), ((a - c) ** 2).sum(1)], axis=0)
    assert (np.linalg.norm(N, axis=1) > 1e-9 * longest).all(), "triangles without area"
    if V.shape[1] == 2:
        facing = (0, 0, 1)
    if facing is not None:
        assert (N @ np.asarray(facing, float) > 0).all(), "flipped triangles"

    half_edges = np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]])
    keys = half_edges[:, 0] * len(V) + half_edges[:, 1]
    assert len(np.unique(keys)) == len(keys), "an edge used twice in one direction"
    open_edges = ~np.isin(half_edges[:, 1] * len(V) + half_edges[:, 0], keys)
    if closed is not None:
        assert open_edges.any() != closed
    # The triangles of each vertex form one fan: closed, or open with one first and one last edge.
    assert (np.bincount(half_edges[open_edges, 0], minlength=len(V)) <= 1).all(), "fans that meet at a vertex only"
    assert (_fans(F, len(V)) == 1).all(), "fans that meet at a vertex only"


def _fans(F, count):
    """Return the number of fans around each vertex."""
    follows = {}  # (vertex, neighbour) -> the next neighbour counter-clockwise
    for a, b, c in F.tolist():
        follows[a, b], follows[b, c], follows[c, a] = c, a, b
    entered = {(v, w) for (v, _), w in follows.items()}
    fans = np.zeros(count, int)
    seen = set()
    for starts in (follows.keys() - entered, follows.keys()):  # open fans first, then the closed ones
        for v, w in sorted(starts):
            if (v, w) in seen:
                continue
            fans[v] += 1
            while (v, w) in follows and (v, w) not in seen:
                seen.add((v, w))
                w = follows[v, w]
    return fans


def tetrahedron():
    V = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    return V, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def uv_sphere(around=24, down=12):
    """Unit sphere of `around` * (`down` - 1) * 2 triangles, one vertex at each pole (on the y axis)."""
    turn = 2 * np.pi * np.arange(around) / around
    tilt = np.pi * np.arange(1, down)[:, None] / down
    ring = np.stack([np.sin(tilt) * np.sin(turn), np.cos(tilt) + 0 * turn, np.sin(tilt) * np.cos(turn)], axis=-1)
    V = np.concatenate([[[0, 1, 0]], ring.reshape(-1, 3), [[0, -1, 0]]])
    i = np.arange(around)
    j = (i + 1) % around
    top = np.stack([0 * i, 1 + i, 1 + j], axis=1)
    base = 1 + around * np.arange(down - 2)[:, None]
    a, b, c, d = base + i, base + j, base + around + i, base + around + j
    body = np.concatenate([np.stack([a, c, b], axis=-1).reshape(-1, 3), np.stack([b, c, d], axis=-1).reshape(-1, 3)])
    last = 1 + around * (down - 2)
    bottom = np.stack([0 * i + len(V) - 1, last + j, last + i], axis=1)
    return V, np.concatenate([top, body, bottom])


def torus(around=24, across=10):
    turn, tube = np.meshgrid(2 * np.pi * np.arange(around) / around, 2 * np.pi * np.arange(across) / across)
    V = np.stack([(2 + np.cos(tube)) * np.cos(turn), (2 + np.cos(tube)) * np.sin(turn), np.sin(tube)], axis=-1).reshape(
        -1, 3
    )
    i, j = (g.ravel() for g in np.meshgrid(np.arange(around), np.arange(across)))
    a, b = j * around + i, j * around + (i + 1) % around
    c, d = (j + 1) % across * around + i, (j + 1) % across * around + (i + 1) % around
    return V, np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])


def square(cells=8):
    """Unit square in z = 0 that faces +z."""
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, 1, cells + 1), np.linspace(0, 1, cells + 1)))
    i, j = (g.ravel() for g in np.meshgrid(np.arange(cells), np.arange(cells)))
    a = j * (cells + 1) + i
    b, c, d = a + 1, a + cells + 1, a + cells + 2
    return np.stack([x, y, 0 * x], axis=1), np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])


def ring(around=20):
    """Flat ring between radius 1 and 2 that faces +z."""
    turn = 2 * np.pi * np.arange(around) / around
    circle = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    i = np.arange(around)
    j = (i + 1) % around
    return np.concatenate([circle, 2 * circle]), np.concatenate(
        [np.stack([i, i + around, j + around], axis=1), np.stack([i, j + around, j], axis=1)]
    )


def cap(around=24, down=12):
    """Open half of `uv_sphere`."""
    V, F = uv_sphere(around, down)
    F = F[(V[F, 1] > -1e-9).all(axis=1)]
    return V[: F.max() + 1], F


CLOSED = {"tetrahedron": tetrahedron, "sphere": uv_sphere, "torus": torus}
WITH_BORDER = {"square": square, "ring": ring, "cap": cap}
ALL = {**CLOSED, **WITH_BORDER}
EULER = {"tetrahedron": 2, "sphere": 2, "torus": 0, "square": 1, "ring": 0, "cap": 1}


def euler_characteristic(V, F):
    edges = np.unique(np.sort(np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]]), axis=1), axis=0)
    return len(V) - len(edges) + len(F)
