"""Fitting of the face model to landmarks of a photo, or to the maps that a network predicts.

`point_fit` has the solver; the functions here say which points of the model an image shows, and where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.face_model.model import FaceModel
from facegeom.face_model.point_fit import Fit, FitOptions, FitPrior, Observations, PointBasis, fit_points
from facegeom.geometry import nearest


@dataclass(frozen=True)
class Contours:
    """The contours of the eyes and lips in an image, for example an answer of the contour network.

    Attributes
    ----------
    places : (72, 2) float array, pixels (x, y), in the order of `CONTOURS`
    deviation_mm : (3,) float array
        Standard deviation of a point relative to the other points of its contour, for the right eye, the left eye and
        the lips.
    """

    places: FloatArray
    deviation_mm: FloatArray


@dataclass(frozen=True)
class SeenPoints:
    """Points of the face in an image, for example those that the identity network predicts.

    Attributes
    ----------
    vertices : (p,) int array, vertices of the face model
    places : (p, 2) float array, pixels (x, y)
    """

    vertices: IntArray
    places: FloatArray


_OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
CONTOURS = (
    np.array([33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]),
    np.array([263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]),
    np.array([*_OUTER_LIPS, *_INNER_LIPS]),
)
"""Points of the 468 on the contours of the right eye, the left eye and the lips."""

CONTOUR_POINTS = np.concatenate(CONTOURS)
_CONTOUR_ROWS = tuple(np.split(np.arange(len(CONTOUR_POINTS)), np.cumsum([len(points) for points in CONTOURS])[:-1]))


def fit_landmarks(
    model: FaceModel,
    landmarks: FloatArray,
    points: PointBasis | None = None,
    options: FitOptions = FitOptions(),
    prior: FitPrior | None = None,
) -> Fit:
    """Fit the face model to the 468 FaceMesh landmarks of a photo.

    Parameters
    ----------
    model : FaceModel
    landmarks : (468, 3) float array, pixels; x right, y down, z away from the camera, as FaceMesh returns them
    points : result of `PointBasis.at_landmarks468`, to compute it once for many photos
    options : FitOptions
    prior : FitPrior, optional
        Distribution of the identity coefficients. By default mean 0 and variance 1.

    Returns
    -------
    Fit
        The fit, with scale and translation in pixels of the photo.

    Notes
    -----
    The points of each lid and of the lips are fitted as groups (`CONTOURS`). Without this, the prior keeps
    closed eyes open and open mouths too small: the lids are a few of 468 points.
    """
    landmarks = check.float_array(landmarks, "landmarks", (468, 3))
    points = points or PointBasis.at_landmarks468(model, options)
    target = landmarks * np.array([1.0, 1.0, -1.0])
    return fit_points(Observations(points, target, groups=CONTOURS), free_expressions(model), options, prior)


LANDMARK_OPTIONS = FitOptions(depth_weight=0.5, correlated_points=2.0)


def fit_landmarks68(model: FaceModel, landmarks: npt.ArrayLike, options: FitOptions = LANDMARK_OPTIONS) -> Fit:
    """Fit the face model to the 68 landmarks as `FaceModel.landmarks68` defines them.

    Parameters
    ----------
    model : FaceModel
    landmarks : (68, 3) float array, pixel x, pixel y (down) and depth in pixels (greater is nearer, any origin)
    options : FitOptions

    Returns
    -------
    Fit
        The fit, with scale and translation in the pixels of `landmarks`; `depth_offset` is the depth of the origin of
        the face frame, mm.
    """
    landmarks = check.float_array(landmarks, "landmarks", (68, 3))
    ids = model.landmarks68
    points = PointBasis.at_vertices(model, ids, model.mean[ids], options)
    return fit_points(Observations(points, landmarks), free_expressions(model), options)


MAP_OPTIONS = FitOptions(depth_weight=0.5, correlated_points=30.0, noise_mm=2.0)
MAP_POINTS = 1500


class MapPoints(NamedTuple):
    """Points of the face model in the maps of a crop.

    Attributes
    ----------
    seen : Observations, in pixels of the maps
    scale : float, pixels per mm of the depths in `seen`
    """

    seen: Observations
    scale: float

    def in_maps(self, fit: Fit) -> Fit:
        """Return a fit to these points with its depth offset in mm of the depth map."""
        return replace(fit, depth_offset=fit.depth_offset * fit.scale / self.scale)


class MapPlaces(NamedTuple):
    """Pixels of maps, distributed evenly over the face.

    Attributes
    ----------
    vertices : (m,) int array, the vertex of the face model nearest to each pixel's point
    base : (m, 3) float array, mm, the point on the mean face that the pixel shows
    target : (m, 3) float array, column, row and depth in pixels
    scale : float, pixels per mm
    """

    vertices: IntArray
    base: FloatArray
    target: FloatArray
    scale: float


def map_places(
    model: FaceModel, depth: npt.ArrayLike, correspondence: npt.ArrayLike, mask: npt.ArrayLike, point_count: int
) -> MapPlaces:
    """Return at most `point_count` pixels inside the mask of the maps of a crop; see `fit_maps`."""
    mask = check.bool_array(mask, "mask", (None, None))
    h, w = mask.shape
    heights = _masked(depth, mask, "depth", (h, w))
    places = _masked(correspondence, mask, "correspondence", (h, w, 3))
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    pixels = np.flatnonzero(inner)
    if len(pixels) < 50:
        raise ValueError(f"mask must have at least 50 pixels inside its outline, got {len(pixels)}")
    pixels = pixels[np.linspace(0, len(pixels) - 1, min(point_count, len(pixels))).astype(np.int64)]
    y, x = np.divmod(pixels, w)
    base = places.reshape(-1, 3)[pixels]

    # The scale from mm to pixels, from an affine camera fitted to correspondence and pixels.
    design = np.column_stack([base, np.ones(len(base))])
    affine = np.linalg.lstsq(design, np.column_stack([x, -y]).astype(np.float64), rcond=None)[0]
    scale = float(np.linalg.svd(affine[:3])[1].mean())
    target = np.column_stack([x, y, heights.reshape(-1)[pixels] * scale])
    ids = np.flatnonzero(model.regions["map"])
    return MapPlaces(ids[nearest(model.mean[ids], base)[0]], base, target, scale)


def map_points(
    model: FaceModel,
    depth: npt.ArrayLike,
    correspondence: npt.ArrayLike,
    mask: npt.ArrayLike,
    options: FitOptions = MAP_OPTIONS,
    point_count: int = MAP_POINTS,
    *,
    contours: Contours | None = None,
    seen: SeenPoints | None = None,
    start: Fit | None = None,
) -> MapPoints:
    """Return the points of the face model that the maps of a crop show; see `fit_maps` for parameters and errors."""
    vertices, base, target, scale = map_places(model, depth, correspondence, mask, point_count)
    points = PointBasis.at_vertices(model, vertices, base, options)
    weight = np.tile([1.0, 1.0, options.depth_weight], (len(target), 1))
    groups: list[IntArray] = []
    group_noise: list[float] = []

    def add(others: PointBasis, places: FloatArray, factor: float) -> None:
        nonlocal points, target, weight
        points = points.followed_by(others)
        target = np.concatenate([target, np.column_stack([places, np.zeros(len(places))])])
        weight = np.concatenate([weight, np.tile([factor, factor, 0.0], (len(places), 1))])

    if contours is not None:
        groups = [len(target) + rows for rows in _CONTOUR_ROWS]
        group_noise = list(options.contour_factor * contours.deviation_mm)
        ids, corners = model.landmarks468_triangles[CONTOUR_POINTS], model.landmarks468_barycentric[CONTOUR_POINTS]
        add(PointBasis.at_surface(model, ids, corners, options), contours.places, 1.0)
    if seen is not None:
        factor = float(np.sqrt(options.seen_share * len(base) / len(seen.vertices)))
        add(PointBasis.at_vertices(model, seen.vertices, model.mean[seen.vertices], options), seen.places, factor)
    observations = Observations(
        points, target, groups=groups, group_noise_mm=group_noise, axis_weight=weight, start=start
    )
    return MapPoints(observations, scale)


def fit_maps(
    model: FaceModel,
    depth: npt.ArrayLike,
    correspondence: npt.ArrayLike,
    mask: npt.ArrayLike,
    options: FitOptions = MAP_OPTIONS,
    point_count: int = MAP_POINTS,
    *,
    prior: FitPrior | None = None,
    contours: Contours | None = None,
    seen: SeenPoints | None = None,
    start: Fit | None = None,
) -> Fit:
    """Fit the face model to the depth map and the correspondence map of a crop.

    Parameters
    ----------
    model : FaceModel
    depth : (h, w) float array, mm in the camera frame, greater is nearer
    correspondence : (h, w, 3) float array, mm on the mean face
    mask : (h, w) bool array, True where the pixel shows the face
    options : FitOptions
    point_count : number of pixels used; they are distributed evenly over the mask
    prior : FitPrior, optional
        Distribution of the identity coefficients, such as the answer of the identity network. By default mean 0 and
        variance 1.
    contours : Contours, optional
        Contours of the eyes and lips in pixels of the maps, which observe the expression more exactly than the maps.
    seen : SeenPoints, optional
        Points of the face in pixels of the maps. Together they have the weight of `seen_share` of the map's pixels.
    start : Fit, optional
        An earlier fit to the maps, see `Observations`.

    Returns
    -------
    Fit
        The fit, with scale and translation in pixels of the maps; `depth_offset` is the depth of the origin of the face
        frame in the depth map, mm.

    Raises
    ------
    ValueError
        When the shapes of the maps differ, or the mask has fewer than 50 pixels inside its outline.

    Notes
    -----
    The outermost pixels of the mask are not used, because maps are blurred at the silhouette. The point of the face
    model for a pixel has the basis of the vertex nearest to the correspondence of the pixel, and the correspondence
    itself as the base, which avoids rounding to vertices.
    """
    shown = map_points(
        model, depth, correspondence, mask, options, point_count, contours=contours, seen=seen, start=start
    )
    return shown.in_maps(fit_points(shown.seen, free_expressions(model), options, prior))


def free_expressions(model: FaceModel) -> BoolArray:
    """Return a mask (e,) of the expressions that a fit may use: all except gaze and pupils, which no point shows."""
    return np.array([not name.startswith(("eyeLook", "Pupil")) for name in model.expression_names])


def possible_expression(model: FaceModel, expression: FloatArray) -> FloatArray:
    """Return expression weights (e,) in which `mouthClose` is at most as large as `jawOpen` allows.

    A fit to pressed lips may exceed this limit; the lips would then intersect.
    """
    names = model.expression_names
    weights = expression.copy()
    if {"mouthClose", "jawOpen"} <= set(names):
        close, jaw = names.index("mouthClose"), names.index("jawOpen")
        weights[close] = min(weights[close], max(weights[jaw], 0.0))
    return weights


def _masked(values: npt.ArrayLike, mask: BoolArray, name: str, shape: tuple[int, ...]) -> FloatArray:
    """Validate the values of a map inside the mask; return an array of `shape`, zero outside the mask."""
    array = check.float_array(values, name, shape, allow_nan=True)
    inside = mask.reshape(mask.shape + (1,) * (array.ndim - 2))
    return check.float_array(np.where(inside, array, 0.0), name, shape)
