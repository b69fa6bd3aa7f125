"""Registrations that a user could choose instead of facegeom's; each returns the vertices (n, 3) of the template.

All of them use the embedding in the same way: each template vertex is matched with the target vertex of the nearest
embedding, matches farther apart than 3 mm are dropped, and a similarity aligns the template. trimesh takes all matches
as landmarks, ARAP the 500 nearest as constraints, since more make its triangles flip.
"""

from __future__ import annotations

import warnings

import igl
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import scipy.spatial
import trimesh

from facegeom.geometry import cotangent_laplacian, vertex_normals
from registration_cases import similarity

MAX_EMBEDDING_MM = 3.0
ARAP_CONSTRAINTS = 500
ARAP_ITERATIONS = 50

# The loop in NumPy and SciPy.
ITERATIONS = 20
CG_TOLERANCE = 1e-4
POINT_WEIGHT, PLANE_WEIGHT = 0.1, 1.0
STIFFNESS = (3.0, 0.2)  # first and last, of the cotangent Laplacian; a geometric series between
MAX_DISTANCE_MM = (20.0, 3.0)  # first and last; a geometric series between
MAX_ANGLE_DEG = 60.0


def embedding_matches(subject):
    """Return for each template vertex the target vertex of the nearest embedding, and its distance in mm."""
    distance, match = scipy.spatial.cKDTree(subject.target_E).query(subject.V)
    return match, distance


def aligned_with_landmarks(subject, limit=None):
    """Return the aligned template, the ids of its matched vertices, at most `limit` of them, and their targets."""
    match, distance = embedding_matches(subject)
    near = np.flatnonzero(distance < MAX_EMBEDDING_MM)
    V = similarity(subject.V[near], subject.target_V[match[near]])(subject.V)
    ids = near if limit is None else near[np.argsort(distance[near], kind="stable")][:limit]
    return V, ids, subject.target_V[match[ids]]


def trimesh_registration(name, V, F, target_V, target_F, landmarks=(None, None)):
    source = trimesh.Trimesh(V, F, process=False)
    target = trimesh.Trimesh(target_V, target_F, process=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # singular matrices and deprecated calls inside trimesh
        return getattr(trimesh.registration, name)(
            source, target, source_landmarks=landmarks[0], target_positions=landmarks[1]
        )


def with_trimesh(name, subject):
    """Register with `trimesh.registration.nricp_amberg` or `nricp_sumner`."""
    V, ids, places = aligned_with_landmarks(subject)
    return trimesh_registration(name, V, subject.F, subject.target_V, subject.target_F, (ids, places))


def with_igl_arap(subject):
    """Deform as rigidly as possible, Sorkine and Alexa, 2007."""
    V, ids, places = aligned_with_landmarks(subject, ARAP_CONSTRAINTS)
    data = igl.ARAPData()
    data.max_iter = ARAP_ITERATIONS
    igl.arap_precomputation(V, subject.F, 3, ids.astype(np.int32), data)
    return igl.arap_solve(places, data, V)


def with_open3d_arap(subject):
    """Deform as rigidly as possible, with the extra `open3d`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the import warns where there is no CUDA device
        import open3d

    V, ids, places = aligned_with_landmarks(subject, ARAP_CONSTRAINTS)
    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(V), open3d.utility.Vector3iVector(subject.F.astype(np.int32))
    )
    deformed = mesh.deform_as_rigid_as_possible(
        open3d.utility.IntVector(ids.tolist()), open3d.utility.Vector3dVector(places), max_iter=ARAP_ITERATIONS
    )
    return np.asarray(deformed.vertices)


def with_scipy_loop(subject):
    """Register with the energy of Sela et al. (2017), equation 8, in 20 iterations of conjugate gradients.

    The cotangent Laplacian regularises the displacement from the aligned template. Matches are dropped by a distance
    that decreases and by the angle between the normals.
    """
    V, F, target_V = subject.V, subject.F, subject.target_V
    n = len(V)
    match, distance = embedding_matches(subject)
    known = distance < MAX_EMBEDDING_MM
    start = similarity(V[known], target_V[match[known]])(V)

    K3 = scipy.sparse.kron(cotangent_laplacian(start, F).to_scipy(), scipy.sparse.eye_array(3)).tocsr()
    target_N = vertex_normals(target_V, subject.target_F)
    steps = np.linspace(0, 1, ITERATIONS)
    stiffness = STIFFNESS[0] * (STIFFNESS[1] / STIFFNESS[0]) ** steps
    max_distance = MAX_DISTANCE_MM[0] * (MAX_DISTANCE_MM[1] / MAX_DISTANCE_MM[0]) ** steps

    X = start.copy()
    u = np.zeros(3 * n)
    for weight, limit in zip(stiffness, max_distance, strict=True):
        N = vertex_normals(X, F)
        C, M = target_V[match], target_N[match]
        kept = known & (np.linalg.norm(X - C, axis=1) < limit)
        kept &= (N * M).sum(axis=1) > np.cos(np.radians(MAX_ANGLE_DEG))
        blocks = kept[:, None, None] * (POINT_WEIGHT * np.eye(3) + PLANE_WEIGHT * M[:, :, None] * M[:, None, :])
        rows = np.arange(n + 1)
        D = scipy.sparse.bsr_array((blocks, rows[:-1], rows), (3 * n, 3 * n))
        A = (D + weight * K3).tocsr()
        b = np.einsum("nij,nj->ni", blocks, C - start).ravel()
        inverse = scipy.sparse.diags_array(1 / A.diagonal())
        u = scipy.sparse.linalg.cg(A, b, x0=u, rtol=CG_TOLERANCE, M=inverse)[0]
        X = start + u.reshape(-1, 3)
    return X
