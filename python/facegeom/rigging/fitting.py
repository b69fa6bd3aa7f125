"""The face model fitted to a scan: first to the maps of a picture with the depth of the scan, then to its surface."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.errors import NoFaceFound
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import MAP_OPTIONS, free_expressions, map_points
from facegeom.face_model.point_fit import Fit, FitOptions, Observations, PointBasis, fit_points, similarity
from facegeom.geometry.boundary import boundary_loops
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine
from facegeom.rigging.placement import Placement
from facegeom.rigging.scan import Scan
from facegeom.rigging.search import Seen
from facegeom.rigging.surface import Surface

CLOSED = 0.65
"""Mean weight of eyeBlink in the prediction for a picture from which the eyes of a scan are closed. Blank eyeballs of
meshes without colours, which look like lids, have up to 0.5."""

LIFTED = replace(MAP_OPTIONS, depth_weight=1.0, iterations=4)
"""Options of the fit to the maps, whose depth is that of the scan."""


@dataclass(frozen=True)
class ScanFitOptions:
    """Options of the fit of the face model to the surface of a scan."""

    points: int = 1200  # number of points of the scan
    reach_mm: tuple[float, ...] = (15.0, 10.0, 7.0, 5.0, 4.0, 4.0)  # largest distance of a pair of points in each round
    facing: float = 0.6  # smallest cosine between the normals of a pair of points
    landmark_share: float = 0.1  # weight of the caller's landmarks relative to that of the points of the scan
    landmark_reach_mm: float = 5.0  # reach from which on landmarks no longer count
    least_pairs: int = 150  # number of pairs below which the scan shows no face
    fit: FitOptions = FitOptions(
        identity_count=80, depth_weight=1.0, correlated_points=2.0, noise_mm=1.5, iterations=2, huber_mm=2.0
    )


def fit_seen(scan: Scan, seen: Seen, model: FaceModel) -> tuple[Fit, Placement]:
    """Fit the face model to the maps of a picture of a scan, with the depth of the scan in place of the predicted one.

    Raises
    ------
    NoFaceFound
        If the maps show little of the scan.
    """
    prediction, camera = seen.prediction, seen.picture.camera
    maps = prediction.maps
    affine = maps.affine
    closer = Camera(
        camera.rotation, camera.scale * float(affine[0, 0]), apply_affine(affine, camera.translation[None])[0]
    )
    depth = scan.seen_by(closer, maps.size).depth
    mask: BoolArray = np.asarray(maps.mask & np.isfinite(depth))
    if mask.sum() < 0.5 * maps.mask.sum():
        raise NoFaceFound("what looks like a face on the mesh lies beside its surface")
    pixels = closer.scale * depth
    heights = pixels - np.median(pixels[mask])
    try:
        points = map_points(model, heights, maps.correspondence, mask, LIFTED, start=prediction.fit)
    except ValueError as error:
        raise NoFaceFound(f"the scan shows too little of the face: {error}") from error
    target = points.seen.target / (1.0, 1.0, points.scale)  # depths in pixels, as they were given
    weight = points.seen.axis_weight
    fit = fit_points(
        replace(points.seen, target=target, axis_weight=weight), free_expressions(model), LIFTED, prediction.fit.prior
    )
    # A point x of the scan is at closer.scale * rotation @ x + corner in pixels with y up.
    corner = np.array([closer.translation[0], -closer.translation[1], -np.median(pixels[mask])])
    return fit, Placement(closer.rotation, closer.scale, corner).refined(fit)


def fit_landmarked(ids: IntArray, points: FloatArray, model: FaceModel) -> tuple[Fit, Placement]:
    """Place the mean face by landmarks of a scan.

    Parameters
    ----------
    ids : (k,) int array, vertices of the face model, at least three
    points : (k, 3) float array, where they are on the normalised scan
    model : FaceModel
    """
    rotation, scale, shift = similarity(points, model.mean[ids])
    fit = Fit(np.zeros(1), np.zeros(len(model.expression)), np.eye(3), 1.0, np.zeros(2), 0.0, float("nan"))
    return fit, Placement(rotation, scale, shift)


def fit_surface(
    surface: Surface,
    start: tuple[Fit, Placement],
    landmarks: tuple[IntArray, FloatArray] | None,
    model: FaceModel,
    options: ScanFitOptions = ScanFitOptions(),
) -> tuple[Fit, Placement]:
    """Fit the face model to the surface of a scan by closest points.

    Parameters
    ----------
    surface : Surface in the placement of `start`
    start : an earlier fit with its placement
    landmarks : vertices (k,) of the face model, and where the caller says that they are on the normalised scan, (k, 3);
        none if the search has placed the face, because landmarks of renders are less exact than closest points
    model : FaceModel
    options : ScanFitOptions

    Raises
    ------
    NoFaceFound
        If the surface near the face model is too small.
    """
    fit, placement = start
    skin_faces = _fitted_faces(model)
    ids, marks = (np.zeros(0, np.int64), np.zeros((0, 3))) if landmarks is None else landmarks
    begin = placement
    near = np.flatnonzero(_near(model, fit, surface.V, 2 * options.reach_mm[0]))
    chosen = (
        near[np.linspace(0, len(near) - 1, min(len(near), 4 * options.points)).astype(np.int64)] if len(near) else near
    )
    sample = Surface(surface.V[chosen], surface.N[chosen], np.zeros((0, 3), np.int64))
    free = free_expressions(model)
    for reach in options.reach_mm:
        here = sample.moved(begin, placement)
        skin = model.vertices(fit.identity, fit.expression)[: len(_skin(model))]
        found = geometry.closest_points(skin, skin_faces, here.V)
        triangle = skin_faces[found.face]
        normals = (geometry.vertex_normals(skin, skin_faces)[triangle] * found.weights[:, :, None]).sum(axis=1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        used = (found.distance < reach) & ((normals * here.N).sum(axis=1) > options.facing)
        used &= ~_border(model)[triangle].any(axis=1)
        rows = np.flatnonzero(used)
        if len(rows) < options.least_pairs:
            raise NoFaceFound("the surface of the mesh does not have the shape of a face where it looks like one")
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), options.points)).astype(np.int64)]
        points = PointBasis.at_surface(model, triangle[rows], found.weights[rows], options.fit)
        target, normal = here.V[rows], normals[rows]
        weight = np.ones((len(rows), 3))
        if (
            len(ids) and reach > options.landmark_reach_mm
        ):  # three observations of each landmark, along each axis, because their normals do not count
            own = PointBasis.at_vertices(model, ids, model.mean[ids], options.fit)
            share = np.sqrt(options.landmark_share * len(rows) / len(ids))
            for axis in np.eye(3):
                points = points.followed_by(own)
                target = np.concatenate([target, placement(marks)])
                normal = np.concatenate([normal, np.tile(axis, (len(ids), 1))])
                weight = np.concatenate([weight, np.full((len(ids), 3), share)])
        seen = Observations(points, target * (1.0, -1.0, 1.0), normal, axis_weight=weight, start=fit)
        fit = fit_points(seen, free, options.fit)
        placement = placement.refined(fit)
    return fit, placement


def with_closed_lids(model: FaceModel, fit: Fit, seen: Fit) -> Fit:
    """Return a fit with closed lids if the prediction for a picture, `seen`, has closed eyes.

    Closest points do not close the lids: those of a closed lid lie beyond the rim of an open one, like an eyeball.
    """
    rows = [model.expression_names.index(name) for name in ("eyeBlink_L", "eyeBlink_R")]
    blink = seen.expression[rows]
    if blink.mean() < CLOSED:
        return fit
    expression = fit.expression.copy()
    expression[rows] = np.clip(np.maximum(expression[rows], blink), 0.0, 1.0)
    return replace(fit, expression=expression)


@load_once(maxsize=1)
def _skin(model: FaceModel) -> IntArray:
    """Return the vertices of the skin of the head, which come first."""
    return np.arange(int(model.regions["head"].sum()))


@load_once(maxsize=1)
def _fitted_faces(model: FaceModel) -> IntArray:
    """Return the triangles of the head's skin."""
    return np.ascontiguousarray(model.faces[(model.faces < len(_skin(model))).all(axis=1)])


@load_once(maxsize=1)
def _border(model: FaceModel) -> BoolArray:
    """Return the vertices of the skin, (s,), to which no point of a scan is matched: borders, scalp, ears and neck.

    Hair and clothes hide them, or their shape differs too much for closest points.
    """
    faces = _fitted_faces(model)
    members = model.regions["scalp"] | model.regions["neck"] | model.regions["ear_left"] | model.regions["ear_right"]
    result = members[: len(_skin(model))].copy()
    for loop in boundary_loops(faces):
        result[loop] = True
    return result


def _near(model: FaceModel, fit: Fit, points: FloatArray, reach: float) -> BoolArray:
    """Return which points (n, 3) are near the fitted skin."""
    skin = model.vertices(fit.identity, fit.expression)[: len(_skin(model)) : 4]
    return np.asarray(geometry.nearest(skin, points)[1] < reach)
