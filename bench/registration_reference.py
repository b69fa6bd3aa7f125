"""The yardstick of bench_registration.py: the registration loop of pix2vertex in NumPy and SciPy, written once."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import scipy.spatial

from facegeom.geometry import cotangent_laplacian, vertex_normals

ITERATIONS = 20
TOLERANCE = 1e-4
POINT, PLANE = 0.1, 1.0
STIFFNESS = (3.0, 0.2)  # first and last weight of the membrane, cotangent weights; a geometric series between
FARTHEST = (20.0, 3.0)  # rejection: first and last distance, mm
STEEPEST_DEG = 60.0
EMBEDDING_MM = 3.0


def similarity(P, Q):
    """Least-squares similarity that takes P to Q, applied to points."""
    p, q = P.mean(axis=0), Q.mean(axis=0)
    U, S, Wt = np.linalg.svd((Q - q).T @ (P - p))
    sign = np.diag([1, 1, np.sign(np.linalg.det(U @ Wt))])
    R = U @ sign @ Wt
    scale = np.trace(np.diag(S) @ sign) / ((P - p) ** 2).sum()
    return lambda X: scale * (X - p) @ R.T + q


def register(V, F, E, target_V, target_F, target_E):
    """Return the registered vertices (n, 3)."""
    n = len(V)
    distance, match = scipy.spatial.cKDTree(target_E).query(E)
    known = distance < EMBEDDING_MM
    start = similarity(V[known], target_V[match[known]])(V)

    K3 = scipy.sparse.kron(cotangent_laplacian(start, F).to_scipy(), scipy.sparse.eye_array(3)).tocsr()
    target_N = vertex_normals(target_V, target_F)
    steps = np.linspace(0, 1, ITERATIONS)
    stiffness = STIFFNESS[0] * (STIFFNESS[1] / STIFFNESS[0]) ** steps
    farthest = FARTHEST[0] * (FARTHEST[1] / FARTHEST[0]) ** steps

    X = start.copy()
    u = np.zeros(3 * n)
    for weight, limit in zip(stiffness, farthest, strict=True):
        N = vertex_normals(X, F)
        C, M = target_V[match], target_N[match]
        kept = known & (np.linalg.norm(X - C, axis=1) < limit)
        kept &= (N * M).sum(axis=1) > np.cos(np.radians(STEEPEST_DEG))
        blocks = kept[:, None, None] * (POINT * np.eye(3) + PLANE * M[:, :, None] * M[:, None, :])
        rows = np.arange(n + 1)
        D = scipy.sparse.bsr_array((blocks, rows[:-1], rows), (3 * n, 3 * n))
        A = (D + weight * K3).tocsr()
        b = np.einsum("nij,nj->ni", blocks, C - start).ravel()
        inverse = scipy.sparse.diags_array(1 / A.diagonal())
        u = scipy.sparse.linalg.cg(A, b, x0=u, rtol=TOLERANCE, M=inverse)[0]
        X = start + u.reshape(-1, 3)
    return X
