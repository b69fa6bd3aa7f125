"""Fitting the face model to a mesh of a face that has a topology of its own and says nothing of which point is which.

The mean face is laid onto the mesh by closest points both ways, begun from several yaws; then camera, identity and
expression follow together, again by closest points, which are found anew on the model as it is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model.face_region import face_surface
from facegeom.face_model.fitting import Fit, FitOptions, PointBasis, fit_points, free_expressions, similarity
from facegeom.face_model.model import FaceModel
from facegeom.geometry import NearestFinder, closest_points, vertex_normals

CLOSEST_POINT_FIT = FitOptions(depth_weight=1.0, correlated_points=3.0, noise_mm=2.0, iterations=2)


@dataclass(frozen=True)
class MeshFitOptions:
    """How the face model is fitted to a mesh."""

    start_yaws_deg: tuple[float, ...] = (-70.0, -35.0, 0.0, 35.0, 70.0)  # closest points reach about 25 degrees
    start_points: int = 250  # on either side
    start_rounds: int = 3  # from each yaw; then the best goes on
    later_rounds: int = 10
    points: int = 300  # of the mesh that the model is fitted to
    rounds: int = 5  # of closest points on the fitted model
    fit: FitOptions = CLOSEST_POINT_FIT


class Placement(NamedTuple):
    """The mean face laid onto a mesh: rotation (3, 3), scale and shift (3,), and the mean distance left, mm."""

    rotation: FloatArray
    scale: float
    shift: FloatArray
    distance: float


def fit_mesh(model: FaceModel, V: npt.ArrayLike, F: npt.ArrayLike, options: MeshFitOptions = MeshFitOptions()) -> Fit:
    """Fit the face model to a mesh of the face region, seen by a weak-perspective camera.

    Parameters
    ----------
    model : FaceModel
    V : (n, 3) float array, pixel x, pixel y (down) and depth in pixels (greater is nearer, any origin)
    F : (m, 3) int array, at least 50 triangles; what `face_surface` holds, more or less
    options : MeshFitOptions

    Returns
    -------
    Fit
        In pixels; `depth_offset` is the depth of the face's origin, mm.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, too few triangles, or a mesh that is a single point.
    """
    V, F = check.mesh(V, F)
    if len(F) < 50:
        raise ValueError(f"F must hold at least 50 triangles, got {len(F)}")
    observed = V * (1.0, -1.0, 1.0)  # y up, so that the camera is a rotation
    placed = place_mean_face(model, observed, F, options)

    target = _spread(V, F, options.points)
    seen = ((target * (1.0, -1.0, 1.0) - placed.shift) / placed.scale) @ placed.rotation  # mm, in the face's frame
    surface = face_surface(model)
    skin, rotation = model.mean[: model.face_vertex_count], placed.rotation
    free = free_expressions(model)
    for _ in range(options.rounds):
        found = closest_points(skin, surface, seen)
        ids = surface[found.face]
        normals = (vertex_normals(skin, surface)[ids] * found.weights[:, :, None]).sum(axis=1)
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True) @ rotation.T
        points = PointBasis.at_surface(model, ids, found.weights, options.fit)
        fit = fit_points(points, target, free, options.fit, normals=normals)
        skin, rotation = fit.vertices(model)[: model.face_vertex_count], fit.rotation
        across = (target[:, :2] - fit.translation) / (fit.scale, -fit.scale)
        seen = np.column_stack([across, target[:, 2] / fit.scale - fit.depth_offset]) @ fit.rotation
    return fit


def place_mean_face(
    model: FaceModel, observed: FloatArray, F: IntArray, options: MeshFitOptions = MeshFitOptions()
) -> Placement:
    """Return the similarity that lays the mean face onto a mesh (n, 3), y up, by closest points both ways.

    Notes
    -----
    Both ways, since with a free scale the face could else shrink onto a part of the mesh or grow until the mesh is one
    of its parts.
    """
    surface = face_surface(model)
    face, finder = _mean_points(model)
    sample = _spread(observed, F, options.start_points)
    mean_sample = _spread(model.mean, surface, options.start_points)
    target = NearestFinder(observed)
    middle, size = sample.mean(axis=0), float(np.linalg.norm(sample - sample.mean(axis=0)))
    if not size > 0:
        raise ValueError("V must span a surface, got a single point")
    mean_middle = mean_sample.mean(axis=0)
    scale = size / float(np.linalg.norm(mean_sample - mean_middle))

    def go_on(placed: Placement, rounds: int) -> Placement:
        rotation, scale, shift, distance = placed
        for _ in range(rounds):
            there = finder.nearest((sample - shift) / scale @ rotation)
            back = target.nearest(scale * mean_sample @ rotation.T + shift)
            distance = float((there[1].mean() + back[1].mean() / scale) / 2)
            source = np.concatenate([face[there[0]], mean_sample])
            rotation, scale, shift = similarity(source, np.concatenate([sample, observed[back[0]]]))
        return Placement(rotation, scale, shift, distance)

    starts = []
    for yaw in np.radians(options.start_yaws_deg):
        rotation = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        shift = middle - scale * rotation @ mean_middle
        starts.append(go_on(Placement(rotation, scale, shift, np.inf), options.start_rounds))
    return go_on(min(starts, key=lambda start: start.distance), options.later_rounds)


@lru_cache(maxsize=1)
def _mean_points(model: FaceModel) -> tuple[FloatArray, NearestFinder]:
    """Return the mean face's vertices in the face region, and a finder among them."""
    points = model.mean[np.unique(face_surface(model))]
    return points, NearestFinder(points)


def _spread(V: FloatArray, F: IntArray, count: int) -> FloatArray:
    """Return centroids (count, 3) of triangles that follow each other at even steps of the area."""
    a, b, c = (V[F[:, corner]] for corner in range(3))
    reached = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    chosen = F[np.searchsorted(reached, (np.arange(count) + 0.5) / count * reached[-1])]
    return np.asarray(V[chosen].mean(axis=1))
