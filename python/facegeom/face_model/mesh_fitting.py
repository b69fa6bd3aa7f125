"""Fitting of the face model to a mesh of a face with another topology and no known correspondence.

First the mean face is aligned to the mesh by closest points in both directions (symmetric ICP), from several initial
yaw angles. Then camera, identity and expression are fitted to closest points, which are updated in each iteration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model.face_region import face_surface
from facegeom.face_model.fitting import free_expressions
from facegeom.face_model.model import FaceModel
from facegeom.face_model.point_fit import Fit, FitOptions, Observations, PointBasis, fit_points, similarity
from facegeom.geometry import NearestFinder, closest_points, vertex_normals

CLOSEST_POINT_FIT = FitOptions(depth_weight=1.0, correlated_points=3.0, noise_mm=2.0, iterations=2)


@dataclass(frozen=True)
class MeshFitOptions:
    """Options of the fit of the face model to a mesh."""

    start_yaws_deg: tuple[float, ...] = (-70.0, -35.0, 0.0, 35.0, 70.0)  # initial yaws, degrees; ICP converges from 25
    start_points: int = 250  # number of points sampled on each surface (mesh and mean face) for ICP
    start_rounds: int = 3  # number of ICP iterations from each initial yaw
    later_rounds: int = 10  # number of further ICP iterations, only from the alignment with the smallest distance
    points: int = 300  # number of points sampled on the mesh for the fit of the face model
    rounds: int = 5  # number of updates of the closest points during the fit of the face model
    fit: FitOptions = CLOSEST_POINT_FIT


class MeanFaceAlignment(NamedTuple):
    """Similarity from the mean face to a mesh: rotation (3, 3), scale, shift (3,); and the mean distance in mm between
    the aligned mean face and the mesh.
    """

    rotation: FloatArray
    scale: float
    shift: FloatArray
    distance: float


def fit_mesh(model: FaceModel, V: npt.ArrayLike, F: npt.ArrayLike, options: MeshFitOptions = MeshFitOptions()) -> Fit:
    """Fit the face model and a weak-perspective camera to a mesh of the face region.

    Parameters
    ----------
    model : FaceModel
    V : (n, 3) float array, pixel x, pixel y (down) and depth in pixels (greater is nearer, any origin)
    F : (m, 3) int array, at least 50 triangles, of about the region of `face_surface`
    options : MeshFitOptions

    Returns
    -------
    Fit
        The fit, with scale and translation in pixels; `depth_offset` is the depth of the origin of the face frame, mm.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, too few triangles, or a mesh whose vertices all coincide.
    """
    V, F = check.mesh(V, F)
    if len(F) < 50:
        raise ValueError(f"F must hold at least 50 triangles, got {len(F)}")
    observed = V * (1.0, -1.0, 1.0)  # y up, so that the camera is a rotation
    placed = place_mean_face(model, observed, F, options)

    target = _spread(V, F, options.points)
    seen = ((target * (1.0, -1.0, 1.0) - placed.shift) / placed.scale) @ placed.rotation  # mm, face frame
    surface = face_surface(model)
    skin, rotation = model.mean[: model.face_vertex_count], placed.rotation
    free = free_expressions(model)
    for _ in range(options.rounds):
        found = closest_points(skin, surface, seen)
        ids = surface[found.face]
        normals = (vertex_normals(skin, surface)[ids] * found.weights[:, :, None]).sum(axis=1)
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True) @ rotation.T
        points = PointBasis.at_surface(model, ids, found.weights, options.fit)
        fit = fit_points(Observations(points, target, normals), free, options.fit)
        skin, rotation = fit.vertices(model)[: model.face_vertex_count], fit.rotation
        across = (target[:, :2] - fit.translation) / (fit.scale, -fit.scale)
        seen = np.column_stack([across, target[:, 2] / fit.scale - fit.depth_offset]) @ fit.rotation
    return fit


def place_mean_face(
    model: FaceModel, observed: FloatArray, F: IntArray, options: MeshFitOptions = MeshFitOptions()
) -> MeanFaceAlignment:
    """Return the similarity that aligns the mean face to a mesh with vertices `observed` (n, 3), y up, by symmetric
    ICP.

    Notes
    -----
    The scale is free. With closest points in one direction only, the mean face could shrink onto a part of the mesh, or
    grow until the mesh covers only a part of the face.
    """
    surface = face_surface(model)
    face, finder = _mean_points(model)
    sample = _spread(observed, F, options.start_points)
    mean_sample = _spread(model.mean, surface, options.start_points)
    target = NearestFinder(observed)
    middle, size = sample.mean(axis=0), float(np.linalg.norm(sample - sample.mean(axis=0)))
    if not size > 0:
        raise ValueError("V must span a surface, but all vertices coincide")
    mean_middle = mean_sample.mean(axis=0)
    scale = size / float(np.linalg.norm(mean_sample - mean_middle))

    def iterate(placed: MeanFaceAlignment, rounds: int) -> MeanFaceAlignment:
        rotation, scale, shift, distance = placed
        for _ in range(rounds):
            there = finder.nearest((sample - shift) / scale @ rotation)
            back = target.nearest(scale * mean_sample @ rotation.T + shift)
            distance = float((there[1].mean() + back[1].mean() / scale) / 2)
            source = np.concatenate([face[there[0]], mean_sample])
            rotation, scale, shift = similarity(source, np.concatenate([sample, observed[back[0]]]))
        return MeanFaceAlignment(rotation, scale, shift, distance)

    starts = []
    for yaw in np.radians(options.start_yaws_deg):
        rotation = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        shift = middle - scale * rotation @ mean_middle
        starts.append(iterate(MeanFaceAlignment(rotation, scale, shift, np.inf), options.start_rounds))
    return iterate(min(starts, key=lambda start: start.distance), options.later_rounds)


@load_once(maxsize=1)
def _mean_points(model: FaceModel) -> tuple[FloatArray, NearestFinder]:
    """Return the vertices (p, 3), mm, of the mean face in the face region, and a finder of the nearest of these
    vertices.
    """
    points = model.mean[np.unique(face_surface(model))]
    return points, NearestFinder(points)


def _spread(V: FloatArray, F: IntArray, count: int) -> FloatArray:
    """Return sample points (count, 3) of a mesh: the centroids of triangles, which are chosen at equal steps of the
    cumulative area of the triangles `F`.
    """
    a, b, c = (V[F[:, corner]] for corner in range(3))
    reached = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    chosen = F[np.searchsorted(reached, (np.arange(count) + 0.5) / count * reached[-1])]
    return np.asarray(V[chosen].mean(axis=1))
