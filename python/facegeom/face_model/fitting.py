"""Fitting of the face model to points: landmarks of a photo, or the maps that a network predicts.

All fits use one solver: Gauss-Newton iterations for the weak-perspective camera, the identity and the expression
together, with ridge priors (an identity coefficient has unit variance). Active sets keep the expression weights within
their bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.face_model.model import FaceModel
from facegeom.geometry import nearest


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit: the weights of the data and of the priors of the face model."""

    identity_count: int = 60  # number of identity components used, from the first
    identity_prior: float = 1.0  # weight of the identity prior; 1: the weight of one independent point
    expression_prior: float = 1.0  # weight of the expression prior, for a standard deviation of 0.3
    noise_mm: float = 1.5  # standard deviation in mm of the error of a point in the image plane
    depth_weight: float = 0.3  # weight of depth residuals relative to residuals in the image plane
    correlated_points: float = 45.0  # number of points per independent observation: errors of neighbours are correlated
    expression_bounds: tuple[float, float] = (0.0, 1.2)  # lower and upper bound of an expression weight
    huber_mm: float = 4.0  # residual in mm above which the Huber weight is below 1
    iterations: int = 5  # number of Gauss-Newton iterations
    slide: float = 0.1  # factor on residuals along the surface (not along the normal), if normals are given
    group_noise_mm: float = 0.8  # standard deviation in mm of the error of a point relative to the points of its group
    group_correlated: float = 4.0  # number of points of a group per independent observation
    seen_share: float = 1.0  # weight of points seen in the image, relative to all pixels of the maps
    contour_factor: float = 0.5  # factor on the deviations of contours: the expression prior holds closed lids open


@dataclass(frozen=True)
class FitPrior:
    """Normal distribution of the identity coefficients, for example an answer of the identity network.

    Attributes
    ----------
    mean : (k,) float array, standard deviations of the face model
    variance : (k,) float array, of the same unit squared, above zero; 1 is the spread of the face model

    Notes
    -----
    Where a fit uses more than k coefficients, the others have mean 0 and variance 1.
    """

    mean: FloatArray
    variance: FloatArray

    def resized(self, count: int) -> FitPrior:
        """Return the distribution of the first `count` coefficients."""
        given = min(count, len(self.mean))
        mean, variance = np.zeros(count), np.ones(count)
        mean[:given], variance[:given] = self.mean[:given], self.variance[:given]
        return FitPrior(mean, variance)


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


@dataclass(frozen=True)
class Fit:
    """A fitted face: coefficients and a weak-perspective camera.

    Attributes
    ----------
    identity : (k,) float array, identity coefficients in standard deviations
    expression : (e,) float array, weights of the expressions
    rotation : (3, 3) float array, rotation from the face frame to the camera frame
    scale : float, pixels per mm
    translation : (2,) float array, pixel (x, y) to which the origin of the face frame projects
    depth_offset : float, depth of the origin of the face frame relative to the zero of the given depths, mm
    residual_mm : float, root mean square residual in the image plane, mm
    prior : FitPrior or None, the given distribution of the identity that the fit used
    """

    identity: FloatArray
    expression: FloatArray
    rotation: FloatArray
    scale: float
    translation: FloatArray
    depth_offset: float
    residual_mm: float
    prior: FitPrior | None = None

    def vertices(self, model: FaceModel) -> FloatArray:
        """Return the vertices (n, 3) of the fitted face model in the face frame, mm."""
        return model.vertices(self.identity, self.expression)


class PointBasis:
    """The linear face model at m points: positions `base` (m, 3), mm, and derivatives `basis` (m, 3, k + e).

    The columns of `basis` belong to the k identity and the e expression coefficients.
    """

    def __init__(
        self, base: FloatArray, identity: npt.NDArray[np.floating], expression: npt.NDArray[np.floating]
    ) -> None:
        self.base = base
        self.identity_count = len(identity)
        self.basis = np.ascontiguousarray(np.concatenate([identity, expression]).transpose(1, 2, 0), dtype=np.float64)

    @classmethod
    def at_landmarks468(cls, model: FaceModel, options: FitOptions) -> PointBasis:
        """Return the linear face model at the 468 FaceMesh points."""
        return cls.at_surface(model, model.landmarks468_triangles, model.landmarks468_barycentric, options)

    @classmethod
    def at_surface(cls, model: FaceModel, ids: IntArray, weights: FloatArray, options: FitOptions) -> PointBasis:
        """Return the linear model at m points in triangles: vertices `ids` (m, 3), barycentric `weights` (m, 3)."""

        def carry(values: npt.NDArray[np.floating]) -> FloatArray:
            return np.asarray(np.einsum("...pcd,pc->...pd", values[..., ids, :], weights), dtype=np.float64)

        return cls(carry(model.mean), carry(model.identity[: options.identity_count]), carry(model.expression))

    def followed_by(self, other: PointBasis) -> PointBasis:
        """Return the linear model at these points and at those of `other`, which has the same coefficients."""
        joined = copy(self)
        joined.base = np.concatenate([self.base, other.base])
        joined.basis = np.concatenate([self.basis, other.basis])
        return joined

    @classmethod
    def at_vertices(cls, model: FaceModel, vertices: IntArray, base: FloatArray, options: FitOptions) -> PointBasis:
        """Return the linear model with the basis of m vertices and the positions `base` (m, 3) on the mean face."""
        return cls(base, model.identity[: options.identity_count][:, vertices], model.expression[:, vertices])


def fit_points(
    points: PointBasis,
    target: FloatArray,
    expression_free: BoolArray,
    options: FitOptions = FitOptions(),
    *,
    normals: FloatArray | None = None,
    groups: Sequence[IntArray] = (),
    group_noise_mm: Sequence[float] | None = None,
    axis_weight: FloatArray | None = None,
    prior: FitPrior | None = None,
    start: Fit | None = None,
) -> Fit:
    """Fit camera, identity and expression of the face model to points given in pixels.

    Parameters
    ----------
    points : PointBasis
        The m points of the face model that correspond to `target`.
    target : (m, 3) float array, pixel x, pixel y (down) and depth in pixels (greater is nearer, any origin)
    expression_free : (e,) bool array, True for expressions whose weight may differ from 0
    options : FitOptions
    normals : (m, 3) float array of unit normals in the camera frame (y up), or None
        For targets whose position along the surface is uncertain, such as closest points: residuals along the surface
        are multiplied by `slide`. None: all directions have the same weight.
    groups : sequence of (g,) int arrays
        Points whose positions relative to each other are more exact than their positions in the face, such as the
        points of a lid. The offsets from the centre of the group are observed in addition, in the image plane. Not with
        `normals`.
    group_noise_mm : sequence of float, optional
        Standard deviation of the offsets of each group. By default that of `options`.
    axis_weight : (m, 3) float array, optional
        Factors on the residuals of each point to the right, upwards and in depth; a depth with factor 0 is unknown. By
        default 1, 1 and `depth_weight`.
    prior : FitPrior, optional
        Distribution of the identity coefficients. By default mean 0 and variance 1.
    start : Fit, optional
        An earlier fit whose expression is the initial expression; fewer iterations are then enough.

    Returns
    -------
    Fit

    Notes
    -----
    The prior has the weight of `identity_prior` independent points. Residuals in mm have Huber weights, so that
    occluded points have little influence.
    """
    k = points.identity_count
    e = points.basis.shape[2] - k
    free = np.concatenate([np.ones(k, bool), expression_free])
    low = np.concatenate([np.full(k, -3.0), np.full(e, options.expression_bounds[0])])
    high = np.concatenate([np.full(k, 3.0), np.full(e, options.expression_bounds[1])])
    identity = FitPrior(np.zeros(k), np.ones(k)) if prior is None else prior.resized(k)
    mean = np.concatenate([identity.mean, np.zeros(e)])
    strength = np.concatenate(
        [options.identity_prior / identity.variance, np.full(e, options.expression_prior / 0.3**2)]
    )
    strength *= options.noise_mm**2 * options.correlated_points
    group_noise = [options.group_noise_mm] * len(groups) if group_noise_mm is None else group_noise_mm
    scatter = options.noise_mm**2 * options.correlated_points / options.group_correlated

    observed = target * np.array([1.0, -1.0, 1.0])  # y up, so that the camera is a rotation
    coefficients = np.clip(mean, low, high)
    if start is not None:
        coefficients[k:] = start.expression
    if axis_weight is None:
        axis_weight = np.tile([1.0, 1.0, options.depth_weight], (len(target), 1))
    known = axis_weight[:, 2] > 0
    rotation, scale, shift = similarity((points.base + points.basis @ coefficients)[known], observed[known])
    robust = np.ones(len(target))
    residual = np.zeros_like(observed)
    free_basis = points.basis[:, :, free]
    for _ in range(options.iterations):
        shape = points.base + points.basis @ coefficients
        turned = shape @ rotation.T
        residual = (observed - shift) / scale - turned  # mm
        counted = residual if normals is None else _across(residual[:, :, None], normals, options.slide)[:, :, 0]
        distance = np.sqrt(((counted * axis_weight) ** 2).sum(1))
        robust = np.minimum(1.0, options.huber_mm / np.maximum(distance, 1e-9))
        weight = np.sqrt(robust)[:, None] * axis_weight

        # Unknowns: rotation vector (3), log scale (1), shift in mm (3), coefficients.
        camera = np.zeros((len(target), 3, 7))
        camera[:, 0, 1], camera[:, 0, 2] = turned[:, 2], -turned[:, 1]
        camera[:, 1, 0], camera[:, 1, 2] = -turned[:, 2], turned[:, 0]
        camera[:, 2, 0], camera[:, 2, 1] = turned[:, 1], -turned[:, 0]
        camera[:, :, 3] = turned + residual
        camera[:, [0, 1, 2], [4, 5, 6]] = 1.0
        moves = np.concatenate([camera, rotation @ free_basis], axis=2)
        if normals is not None:
            moves = _across(moves, normals, options.slide)
        jacobian = (moves * weight[:, :, None]).reshape(-1, moves.shape[2])
        right = (counted * weight).reshape(-1)
        normal = jacobian.T @ jacobian
        gradient = jacobian.T @ right
        for group, noise in zip(groups, group_noise, strict=True):
            closeness = scatter / noise**2
            relative = np.sqrt(robust[group])[:, None, None] * _centred(moves[group, :2])
            offsets = np.sqrt(robust[group])[:, None] * _centred(counted[group, :2])
            relative = relative.reshape(-1, relative.shape[2])
            normal += closeness * relative.T @ relative
            gradient += closeness * relative.T @ offsets.reshape(-1)
        normal[np.arange(7, len(normal)), np.arange(7, len(normal))] += strength[free]
        gradient[7:] -= strength[free] * (coefficients - mean)[free]
        normal[np.arange(3), np.arange(3)] += 1e-6
        step = _bounded_step(normal, gradient, low[free] - coefficients[free], high[free] - coefficients[free])

        rotation = _rotation(step[:3]) @ rotation
        scale *= float(np.exp(np.clip(step[3], -0.5, 0.5)))
        shift = shift + step[4:7] * scale
        coefficients[free] += step[7:]

    image = residual[:, :2]
    rms = float(np.sqrt((robust[:, None] * image**2).sum() / robust.sum()))
    return Fit(
        coefficients[:k],
        coefficients[k:],
        rotation,
        scale,
        shift[:2] * np.array([1.0, -1.0]),
        float(shift[2] / scale),
        rms,
        prior,
    )


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
    return fit_points(points, target, free_expressions(model), options, groups=CONTOURS, prior=prior)


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
    return fit_points(points, landmarks, free_expressions(model), options)


MAP_OPTIONS = FitOptions(depth_weight=0.5, correlated_points=30.0, noise_mm=2.0)
MAP_POINTS = 1500


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
        An earlier fit to the maps, see `fit_points`.

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
    vertices = ids[nearest(model.mean[ids], base)[0]]
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
    fit = fit_points(
        points,
        target,
        free_expressions(model),
        options,
        groups=groups,
        group_noise_mm=group_noise,
        axis_weight=weight,
        prior=prior,
        start=start,
    )
    return replace(fit, depth_offset=fit.depth_offset * fit.scale / scale)


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


def similarity(source: FloatArray, target: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """Return rotation (3, 3), scale and shift (3,) of the least-squares similarity that maps points `source` (m, 3) to
    `target` (m, 3) (Umeyama 1991).
    """
    ms, mt = source.mean(0), target.mean(0)
    a, b = source - ms, target - mt
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / (a**2).sum())
    return rotation, scale, mt - scale * rotation @ ms


def _across(vectors: FloatArray, normals: FloatArray, slide: float) -> FloatArray:
    """Return vectors (m, 3, k) whose component perpendicular to the normals (m, 3) is multiplied by `slide`."""
    part = normals[:, None, :] @ vectors
    return slide * vectors + (1.0 - slide) * normals[:, :, None] * part


def _centred(values: FloatArray) -> FloatArray:
    """Return values (g, ...) minus their mean over the first axis."""
    return np.asarray(values - values.mean(0))


def _rotation(vector: FloatArray) -> FloatArray:
    """Return the rotation matrix (3, 3) of a rotation vector (3,) by Rodrigues' formula."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-12:
        return np.asarray(np.eye(3) + cross)
    return np.asarray(np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross)


def _bounded_step(normal: FloatArray, gradient: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the vector `step` that solves normal @ step = gradient, with entries 7 and later limited to [low, high] by
    active sets.
    """
    step = np.zeros(len(gradient))
    fixed = np.zeros(len(gradient), bool)
    for _ in range(4):
        rest = ~fixed
        right = gradient[rest] - normal[np.ix_(rest, fixed)] @ step[fixed]
        step[rest] = np.linalg.solve(normal[np.ix_(rest, rest)], right)
        outside = np.zeros(len(gradient), bool)
        outside[7:] = ((step[7:] < low - 1e-9) | (step[7:] > high + 1e-9)) & ~fixed[7:]
        if not outside.any():
            break
        step[7:] = np.clip(step[7:], low, high)
        fixed |= outside
    step[7:] = np.clip(step[7:], low, high)
    return step


def _masked(values: npt.ArrayLike, mask: BoolArray, name: str, shape: tuple[int, ...]) -> FloatArray:
    """Validate the values of a map inside the mask; return an array of `shape`, zero outside the mask."""
    array = check.float_array(values, name, shape, allow_nan=True)
    inside = mask.reshape(mask.shape + (1,) * (array.ndim - 2))
    return check.float_array(np.where(inside, array, 0.0), name, shape)
