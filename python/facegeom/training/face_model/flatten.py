"""Parameterisation of disc-like surfaces without flipped triangles.

Tutte's embedding with uniform weights is the initial map. The symmetric Dirichlet energy is then minimised by the
reweighted local-global method of Rabinovich, Poranne, Panozzo & Sorkine-Hornung, "Scalable locally injective mappings"
(TOG 2017). Single coordinates can be fixed, so that a boundary vertex can slide along a straight side. The orientation
of all triangles stays positive; if the boundary lies on a convex outline, the map is therefore bijective.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.training.face_model.remesh import edge_table


def tutte(F: IntArray, fixed: IntArray, places: FloatArray) -> FloatArray:
    """Return Tutte's embedding: each free vertex lies at the mean of its neighbours.

    Parameters
    ----------
    F : (m, 3) int array
    fixed : (k,) int array
        Vertices with given positions.
    places : (k, 2) float array
        Positions of the vertices `fixed`.

    Returns
    -------
    (n, 2) float array
    """
    edges = edge_table(F)[0]
    count = int(F.max()) + 1
    ones = np.ones(len(edges))
    graph = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    graph = graph + graph.T
    laplacian = sparse.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph
    free = np.setdiff1d(np.arange(count), fixed)
    uv = np.zeros((count, 2))
    uv[fixed] = places
    right = -laplacian[free][:, fixed] @ places
    uv[free] = spsolve(laplacian[free][:, free].tocsc(), right)
    return uv


def flat_triangles(T: FloatArray) -> FloatArray:
    """Return congruent copies of triangles in the plane, (m, 3, 2), with the first corner at the origin.

    Parameters
    ----------
    T : (m, 3, 3) float array
        Corners of the triangles.
    """
    a, b = T[:, 1] - T[:, 0], T[:, 2] - T[:, 0]
    length = np.linalg.norm(a, axis=1)
    x = np.einsum("ij,ij->i", a, b) / length
    y = np.linalg.norm(np.cross(a, b), axis=1) / length
    flat = np.zeros((len(T), 3, 2))
    flat[:, 1, 0], flat[:, 2, 0], flat[:, 2, 1] = length, x, y
    return flat


def jacobians(rest: FloatArray, uv: FloatArray, F: IntArray) -> FloatArray:
    """Return the linear map of each triangle from its rest shape to the plane, (m, 2, 2).

    Parameters
    ----------
    rest : (m, 3, 2) float array
        Rest shapes of the triangles.
    uv : (n, 2) float array
        Vertices in the plane.
    F : (m, 3) int array
    """
    source = np.stack([rest[:, 1] - rest[:, 0], rest[:, 2] - rest[:, 0]], axis=2)
    goal = np.stack([uv[F[:, 1]] - uv[F[:, 0]], uv[F[:, 2]] - uv[F[:, 0]]], axis=2)
    return np.asarray(goal @ np.linalg.inv(source))


def symmetric_dirichlet(J: FloatArray, weight: FloatArray) -> float:
    """Return the symmetric Dirichlet energy, the weighted sum of |J|^2 + |J^-1|^2.

    Parameters
    ----------
    J : (m, 2, 2) float array
        Jacobians of the triangles, from `jacobians`.
    weight : (m,) float array
        Weight of each triangle.

    Returns
    -------
    float
        Infinite if a triangle is degenerate or flipped.
    """
    det = np.linalg.det(J)
    if det.min() <= 0:
        return float("inf")
    square = (J**2).sum(axis=(1, 2))
    return float((weight * (square + square / det**2)).sum())


def relax(
    rest: FloatArray,
    F: IntArray,
    uv: FloatArray,
    free: BoolArray,
    weight: FloatArray,
    iterations: int = 60,
) -> FloatArray:
    """Minimise the symmetric Dirichlet energy of a map without flipped triangles (Rabinovich et al. 2017).

    Parameters
    ----------
    rest : (m, 3, 2) float array
        Target shape and size of each triangle.
    F : (m, 3) int array
    uv : (n, 2) float array
        Initial map; all triangles must have positive orientation.
    free : (n, 2) bool array
        Coordinates that may change.
    weight : (m,) float array
        Weight of each triangle, such as its target area.
    iterations : int
        Largest number of global steps. The iteration stops early if the relative decrease of the energy is below 1e-6.

    Returns
    -------
    (n, 2) float array
        The optimised map; all triangles have positive orientation.
    """
    m, n = len(F), len(uv)
    inverse = np.linalg.inv(np.stack([rest[:, 1] - rest[:, 0], rest[:, 2] - rest[:, 0]], axis=2))
    # The Jacobian of triangle t is J[t, i, j] = sum over the triangle corners c of gradient[t, j, c] * uv[F[t, c], i].
    gradient = np.zeros((m, 2, 3))
    gradient[:, :, 1], gradient[:, :, 2] = inverse[:, 0], inverse[:, 1]
    gradient[:, :, 0] = -inverse.sum(axis=1)
    moving = np.flatnonzero(free.T.ravel())  # indices of the free coordinates, with all u before all v
    root = np.sqrt(weight / weight.sum())
    energy = symmetric_dirichlet(jacobians(rest, uv, F), weight)
    for _ in range(iterations):
        J = jacobians(rest, uv, F)
        U, S, Vt = np.linalg.svd(J)
        S = np.maximum(S, 1e-9)
        rotation = U @ Vt
        near = np.abs(S - 1.0) < 1e-6
        ratio = (S - S**-3) / np.where(near, 1.0, S - 1.0)
        W = (U * np.sqrt(np.where(near, 4.0, ratio))[:, None, :]) @ U.transpose(0, 2, 1)
        # Least-squares system of the global step: row (t, a, j) is root[t] * sum_i W[t, a, i] * J[t, i, j].
        entry = np.einsum("tai,tjc->tajic", W, gradient) * root[:, None, None, None, None]
        row = np.broadcast_to(np.arange(4 * m).reshape(m, 2, 2, 1, 1), entry.shape)
        column = np.arange(2)[None, None, None, :, None] * n + F[:, None, None, None, :]
        matrix = sparse.csr_matrix(
            (entry.ravel(), (row.ravel(), np.broadcast_to(column, entry.shape).ravel())),
            shape=(4 * m, 2 * n),
        )
        goal = (np.einsum("tai,tij->taj", W, rotation) * root[:, None, None]).ravel()
        start = uv.T.ravel()
        part = matrix[:, moving]
        normal = (part.T @ part + 1e-9 * sparse.identity(len(moving))).tocsc()
        step = np.zeros(2 * n)
        step[moving] = spsolve(normal, part.T @ (goal - matrix @ start))
        direction = step.reshape(2, n).T
        reach = min(1.0, 0.9 * _first_flip(uv, direction, F))
        while reach > 1e-9:
            trial = uv + reach * direction
            lower = symmetric_dirichlet(jacobians(rest, trial, F), weight)
            if lower < energy:
                break
            reach *= 0.5
        else:
            break
        settled = energy - lower < 1e-6 * energy
        uv, energy = trial, lower
        if settled:
            break
    return uv


def _first_flip(uv: FloatArray, direction: FloatArray, F: IntArray) -> float:
    """Return the smallest positive step length at which the area of a triangle becomes 0; infinity if there is none."""
    a, b = uv[F[:, 1]] - uv[F[:, 0]], uv[F[:, 2]] - uv[F[:, 0]]
    p, q = direction[F[:, 1]] - direction[F[:, 0]], direction[F[:, 2]] - direction[F[:, 0]]
    c2 = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    c1 = a[:, 0] * q[:, 1] - a[:, 1] * q[:, 0] + p[:, 0] * b[:, 1] - p[:, 1] * b[:, 0]
    c0 = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    root = np.sqrt(np.maximum(c1**2 - 4 * c2 * c0, 0.0))
    stable = -0.5 * (c1 + np.where(c1 < 0, -1.0, 1.0) * root)
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.stack([stable / c2, c0 / stable])
    real = np.broadcast_to(c1**2 >= 4 * c2 * c0, roots.shape)
    roots = roots[real & np.isfinite(roots) & (roots > 0)]
    return float(roots.min()) if roots.size else float("inf")
