"""Edges, boundary and angles of meshes, and the mirror images of the 68 landmarks, without code of facegeom."""

from __future__ import annotations

import numpy as np

FLIP68 = np.r_[
    16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1,
]  # fmt: skip
"""Row of the mirror image of each of the 68 landmarks."""


def directed_edges(F: np.ndarray) -> np.ndarray:
    """Return the directed edges (3 m, 2) of triangles (m, 3)."""
    return np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]])


def boundary_vertices(F: np.ndarray) -> np.ndarray:
    """Return the vertices on edges that belong to one triangle."""
    edges, count = np.unique(np.sort(directed_edges(F), axis=1), axis=0, return_counts=True)
    return np.unique(edges[count == 1])


def smallest_angles(V: np.ndarray, F: np.ndarray) -> np.ndarray:
    """Return the smallest angle (m,) of each triangle, degrees."""
    T = V[F]
    cosines = []
    for i in range(3):
        a, b = T[:, (i + 1) % 3] - T[:, i], T[:, (i + 2) % 3] - T[:, i]
        cosines.append((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    return np.degrees(np.arccos(np.clip(np.max(cosines, axis=0), -1.0, 1.0)))
