"""True vertex positions of the semi-sphere: the point of the face model that corresponds to each of its 7,008 vertices.

The correspondence is computed once on the mean face and holds for all identities and expressions. The face region with
filled eye openings is a disk with a hole at the mouth, like the semi-sphere. Both are parameterised over a cylinder,
whose lower edge is the boundary of the mouth and whose upper edge is the outline: boundary vertices lie at their
relative arc length, inner vertices at a weighted mean of their neighbours (Tutte's embedding, without flipped
triangles). Vertices with the same parameters correspond. Vertices in the eye openings are moved to the eyeballs, and
the outline is smoothed, because the outline of the face region is jagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import splu

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.face_model.face_region import eye_fronts, face_surface
from facegeom.geometry import closest_points
from facegeom.geometry.boundary import boundary_loops
from facegeom.networks.semi_sphere import SemiSphere, semi_sphere

TURN = 4.0
"""Circumference of the cylinder whose height is 1."""

OUTLINE_SMOOTHING = 20
"""Number of smoothing steps of the outline; each step moves vertices halfway to the mean of both neighbours."""


@dataclass(frozen=True, eq=False)
class Resampling:
    """Points on the surface of the face model, in barycentric coordinates."""

    ids: IntArray  # (n, 3) vertices of the face model
    weights: FloatArray  # (n, 3) barycentric coordinates

    def __call__(self, vertices: FloatArray) -> FloatArray:
        """Return the points (n, 3) on a face with the given vertices of the face model, in the dtype of `vertices`."""
        corners = vertices[self.ids]
        return np.asarray(np.einsum("pcd,pc->pd", corners, self.weights.astype(vertices.dtype)))


@lru_cache(maxsize=1)
def semi_sphere_on(model: FaceModel, sphere: SemiSphere | None = None) -> Resampling:
    """Return the points of the face model that correspond to the vertices of the finest semi-sphere.

    Parameters
    ----------
    model : FaceModel
    sphere : SemiSphere, optional
        By default, the semi-sphere of the package.

    Returns
    -------
    Resampling
        Vertices of coarser levels come first.
    """
    sphere = sphere or semi_sphere()
    faces = face_surface(model)
    loops = boundaries(faces, model.mean)
    mouth = max(loops[1:], key=lambda loop: int(model.regions["lips"][loop].sum()))
    eyes = [loop for loop in loops[1:] if loop is not mouth]
    middles = [model.mean[loop].mean(axis=0) for loop in eyes]
    closed = np.concatenate([model.mean, np.reshape(middles, (-1, 3))])
    fans = [
        np.column_stack([np.roll(loop, -1), loop, np.full(len(loop), len(model.mean) + number)])
        for number, loop in enumerate(eyes)
    ]
    flat = np.concatenate([faces, *fans])

    places = unrolled(sphere.fine, sphere.levels[-1].faces)
    soup = corners_unrolled(unrolled(closed, flat), flat)
    turn = np.array([TURN, 0.0])
    soup = np.concatenate([soup, soup + turn, soup - turn])  # three periods of the cylinder
    found = closest_points(_lifted(soup.reshape(-1, 2)), np.arange(3 * len(soup)).reshape(-1, 3), _lifted(places))
    triangle = found.face % len(flat)
    ids, weights = flat[triangle], found.weights

    within = triangle >= len(faces)
    fronts = eye_fronts(model)
    on_eyes = closest_points(model.mean, fronts, np.einsum("pcd,pc->pd", closed[ids[within]], weights[within]))
    ids[within], weights[within] = fronts[on_eyes.face], on_eyes.weights

    outline, _ = boundaries(sphere.levels[-1].faces, sphere.fine)
    curve = np.einsum("pcd,pc->pd", closed[ids[outline]], weights[outline])
    for _ in range(OUTLINE_SMOOTHING):
        curve = 0.5 * curve + 0.25 * (np.roll(curve, 1, axis=0) + np.roll(curve, -1, axis=0))
    skin = model.faces[: model.face_triangle_count]
    on_skin = closest_points(model.mean, skin, curve)
    ids[outline], weights[outline] = skin[on_skin.face], on_skin.weights
    return Resampling(ids, weights)


def unrolled(V: FloatArray, F: IntArray) -> FloatArray:
    """Return the parameters of the vertices of a face on the cylinder, (n, 2).

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array
        Disk with a hole at the mouth.

    Returns
    -------
    (n, 2) float array
        First coordinate: position around the mouth, from 0 above the mouth along the side x > 0 to `TURN`. Second
        coordinate: outward position, from 0 at the mouth to 1 at the outline.
    """
    outline, mouth = boundaries(F, V)
    place = np.full((len(V), 2), np.nan)
    for loop, height in ((outline, 1.0), (mouth, 0.0)):
        place[loop, 0] = _round(V[loop])
        place[loop, 1] = height
    return _tutte(place, V, F, float(V[mouth, 1].mean()))


def boundaries(F: IntArray, V: FloatArray) -> list[IntArray]:
    """Return the boundary loops of a mesh as arrays of vertex indices, in order of decreasing extent."""
    return sorted(boundary_loops(F), key=lambda loop: -float(np.ptp(V[loop], axis=0).sum()))


def corners_unrolled(place: FloatArray, F: IntArray) -> FloatArray:
    """Return the triangle corners on the cylinder, (m, 3, 2), with those across the seam shifted by one period."""
    corners = place[F]
    turns = np.rint((corners[:, :, 0] - corners[:, :1, 0]) / TURN)
    corners[:, :, 0] -= TURN * turns
    return corners


def _round(loop: FloatArray) -> FloatArray:
    """Return the position of each vertex of a boundary (k, 3) around the cylinder, (k,), proportional to arc length.

    The position is 0 at the top vertex nearest to the plane x = 0. It increases along the side x > 0 to half of `TURN`
    at the bottom, and along the other side to `TURN`.
    """
    upper = loop[:, 1] > loop[:, 1].mean()
    top = int(np.argmin(np.abs(loop[:, 0]) + 1e3 * ~upper))
    order = np.roll(np.arange(len(loop)), -top)
    if loop[order[1], 0] < loop[order[-1], 0]:
        order = np.roll(order[::-1], 1)
    ring = loop[order]
    bottom = int(np.argmin(np.abs(ring[:, 0]) + 1e3 * upper[order]))
    steps = np.linalg.norm(np.diff(np.vstack([ring, ring[:1]]), axis=0), axis=1)
    reached = np.concatenate([[0.0], steps.cumsum()])
    out = np.empty(len(loop))
    out[order] = np.interp(reached[:-1], [0.0, reached[bottom], reached[-1]], [0.0, TURN / 2, TURN])
    return out


def _tutte(place: FloatArray, V: FloatArray, F: IntArray, seam: float) -> FloatArray:
    """Return parameters (n, 2): given values, and at the other vertices of F the weighted mean of the neighbours.

    The weights are Floater's mean value coordinates, which are positive for all triangles. Edges that cross the plane
    x = 0 above the height `seam` connect to the next period of the cylinder.
    """
    used = np.unique(F)
    free = used[np.isnan(place[used, 0])]
    corner = np.concatenate([F, F[:, [1, 2, 0]], F[:, [2, 0, 1]]])
    here, right, left = V[corner].transpose(1, 0, 2)
    u, v = right - here, left - here
    lengths = np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)
    cosine = np.einsum("ij,ij->i", u, v) / np.maximum(lengths[0] * lengths[1], 1e-12)
    half = np.sqrt(np.maximum(1 - cosine, 0) / np.maximum(1 + cosine, 1e-6))  # tan(angle / 2)
    source = np.concatenate([corner[:, 0], corner[:, 0]])
    target = np.concatenate([corner[:, 1], corner[:, 2]])
    weight = np.concatenate([half / np.maximum(lengths[0], 1e-3), half / np.maximum(lengths[1], 1e-3)])
    right_side, above = V[:, 0] >= 0, V[source, 1] + V[target, 1] > 2 * seam
    turns = TURN * above * (right_side[target].astype(float) - right_side[source])  # from left to right: next period

    size = (len(V), len(V))
    pull = coo_array((weight, (source, target)), size).tocsr()
    on = np.zeros((len(V), 2))
    np.add.at(on[:, 0], source, weight * turns)
    matrix = (diags_array(np.asarray(pull.sum(axis=1)).ravel()) - pull).tocsr()[free]
    fixed = np.setdiff1d(used, free)
    out = place.copy()
    out[free] = splu(matrix[:, free].tocsc()).solve(on[free] - matrix[:, fixed] @ place[fixed])
    return out


def _lifted(plane: FloatArray) -> FloatArray:
    return np.column_stack([plane, np.zeros(len(plane))])
