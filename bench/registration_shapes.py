"""Closed shapes and their deformation by a smooth field and a rotation, for registration without embeddings."""

from __future__ import annotations

import numpy as np
import trimesh


def tube(around, across):
    """Return the triangles of a torus of around x across vertices; the index across changes fastest."""
    i, j = (g.ravel() for g in np.meshgrid(np.arange(around), np.arange(across), indexing="ij"))
    a, b = i * across + j, (i + 1) % around * across + j
    c, d = i * across + (j + 1) % across, (i + 1) % around * across + (j + 1) % across
    return np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])


def bumpy_knot(around=360, across=32):
    """Return a trefoil knot whose tube has bumps in both directions, (n, 3) in mm and (m, 3)."""
    t = 2 * np.pi * np.arange(around) / around

    def curve(t):
        radius = 2 + np.cos(3 * t)
        return np.stack([radius * np.cos(2 * t), radius * np.sin(2 * t), 1.2 * np.sin(3 * t)], axis=-1)

    step = 1e-4
    tangent = curve(t + step) - curve(t - step)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    up = np.array([0.0, 0, 1])
    side = np.cross(up, tangent)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    over = np.cross(tangent, side)
    angle = (2 * np.pi * np.arange(across) / across)[None, :]
    radius = 0.42 * (1 + 0.18 * np.sin(11 * t[:, None]) * np.cos(2 * angle) + 0.12 * np.cos(7 * t[:, None] + angle))
    ring = np.cos(angle)[..., None] * side[:, None] + np.sin(angle)[..., None] * over[:, None]
    V = curve(t)[:, None] + radius[..., None] * ring
    return 20 * V.reshape(-1, 3), outward(20 * V.reshape(-1, 3), tube(around, across))


def two_lobed_blob(level=5):
    """Return an icosphere stretched into two lobes of different size, with dents, (n, 3) in mm and (m, 3)."""
    sphere = trimesh.creation.icosphere(level)
    V, F = np.asarray(sphere.vertices), np.asarray(sphere.faces)
    x, y, z = V.T
    radius = (
        1
        + 0.7 * z**2
        + 0.15 * z
        + 0.15 * np.sin(4 * x + 1) * np.cos(5 * y) * np.cos(4 * z)
        + 0.1 * np.sin(7 * y + 3 * z)
    )
    V = 40 * V * radius[:, None] * [1, 0.8, 1]
    return V, outward(V, F)


def outward(V, F):
    """Return the triangles, reversed if the enclosed volume is negative."""
    volume = np.einsum("ij,ij->", V[F[:, 0]], np.cross(V[F[:, 1]], V[F[:, 2]]))
    return F if volume > 0 else F[:, ::-1].copy()


def diagonal(V):
    """Return the length of the diagonal of the bounding box."""
    return float(np.linalg.norm(np.ptp(V, axis=0)))


def deformed(V, seed, largest=0.15, degrees=20.0):
    """Return V deformed by a smooth random field, then rotated about its centre.

    The largest displacement is the share `largest` of the diagonal; `degrees` is the angle of the rotation.
    """
    rng = np.random.default_rng(seed)
    middle, size = V.mean(axis=0), diagonal(V)
    X = (V - middle) / size
    field = np.zeros_like(X)
    for _ in range(6):
        wave = rng.normal(size=3)
        wave *= 2 * np.pi * rng.uniform(0.4, 1.0) / np.linalg.norm(wave)
        field += np.sin(X @ wave + rng.uniform(0, 2 * np.pi))[:, None] * rng.normal(size=3)
    field -= field.mean(axis=0)
    field *= largest / np.linalg.norm(field, axis=1).max()
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    a = np.radians(degrees)
    K = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    R = np.eye(3) + np.sin(a) * K + (1 - np.cos(a)) * K @ K
    return size * (X + field) @ R.T + middle


def cut(V, F, share=0.2, direction=(0.3, 1.0, 0.5)):
    """Return the mesh without the given share of its vertices: those that lie farthest in a direction."""
    along = V @ np.asarray(direction, float)
    kept = along < np.quantile(along, 1 - share)
    F = F[kept[F].all(axis=1)]
    used, F = np.unique(F, return_inverse=True)
    return V[used], F.reshape(-1, 3)


SHAPES = {"bumpy knot": bumpy_knot, "two-lobed blob": two_lobed_blob}
