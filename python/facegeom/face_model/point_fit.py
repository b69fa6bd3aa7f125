"""The solver of all fits of the face model: points of the model are moved to points of an image.

Gauss-Newton iterations for the weak-perspective camera, the identity and the expression together, with ridge priors (an
identity coefficient has unit variance). Active sets keep the coefficients within their bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.face_model.model import FaceModel

CAMERA = 7
"""Number of unknowns of a camera: rotation vector (3), logarithm of the scale (1), shift in mm (3)."""

MOST_IDENTITY = 3.0
"""Largest absolute value of an identity coefficient, standard deviations."""


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
    def of_expressions(cls, base: FloatArray, basis: FloatArray) -> PointBasis:
        """Return the linear model of a known person: positions `base` (m, 3), mm, derivatives `basis` (m, 3, e)."""
        points = cls.__new__(cls)
        points.base, points.basis, points.identity_count = base, basis, 0
        return points

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


@dataclass(frozen=True)
class Observations:
    """Points of the face model and where they are in an image.

    Attributes
    ----------
    points : PointBasis
        The m points of the face model that correspond to `target`.
    target : (m, 3) float array, pixel x, pixel y (down) and depth in pixels (greater is nearer, any origin)
    normals : (m, 3) float array of unit normals in the camera frame (y up), or None
        For targets whose position along the surface is uncertain, such as closest points: residuals along the surface
        are multiplied by `slide`. None: all directions have the same weight.
    groups : sequence of (g,) int arrays
        Points whose positions relative to each other are more exact than their positions in the face, such as the
        points of a lid. The offsets from the centre of the group are observed in addition, in the image plane. Not with
        `normals`.
    group_noise_mm : sequence of float, or None
        Standard deviation of the offsets of each group. None: that of the options.
    axis_weight : (m, 3) float array, or None
        Factors on the residuals of each point to the right, upwards and in depth; a depth with factor 0 is unknown.
        None: 1, 1 and `depth_weight`.
    start : Fit or None
        An earlier fit whose expression is the initial expression; fewer iterations are then enough.
    """

    points: PointBasis
    target: FloatArray
    normals: FloatArray | None = None
    groups: Sequence[IntArray] = ()
    group_noise_mm: Sequence[float] | None = None
    axis_weight: FloatArray | None = None
    start: Fit | None = None


class _View:
    """The state of a fit to the points of one image: camera, coefficients and residuals.

    The unknowns are those of the camera, then the free coefficients: identity, expression. Residuals count in mm of the
    mean face's scale: in mm of the current scale, a smaller face with a larger scale would have smaller residuals, and
    faces would become 3 to 8 % too small.
    """

    def __init__(self, seen: Observations, coefficients: FloatArray, free: BoolArray, options: FitOptions) -> None:
        self.points, self.normals, self.options, self.free = seen.points, seen.normals, options, free
        self.groups = seen.groups
        noise = seen.group_noise_mm
        self.group_noise = [options.group_noise_mm] * len(seen.groups) if noise is None else noise
        self.observed = seen.target * np.array([1.0, -1.0, 1.0])  # y up, so that the camera is a rotation
        self.coefficients = coefficients.copy()
        if seen.start is not None:
            self.coefficients[seen.points.identity_count :] = seen.start.expression
        if seen.axis_weight is None:
            self.axis_weight = np.tile([1.0, 1.0, options.depth_weight], (len(seen.target), 1))
        else:
            self.axis_weight = seen.axis_weight
        known = self.axis_weight[:, 2] > 0
        start = seen.points.base + seen.points.basis @ self.coefficients
        self.rotation, self.scale, self.shift = similarity(start[known], self.observed[known])
        self.unit = similarity(seen.points.base[known], self.observed[known])[1]
        self.robust = np.ones(len(seen.target))
        self.residual = np.zeros_like(self.observed)
        self._free_basis = seen.points.basis[:, :, free]

    def equations(self) -> tuple[FloatArray, FloatArray]:
        """Return the normal matrix and the right side of a Gauss-Newton step, without priors."""
        points, options = self.points, self.options
        shape = points.base + points.basis @ self.coefficients
        turned = shape @ self.rotation.T
        residual = self.residual = (self.observed - self.shift) / self.scale - turned  # mm
        normals = self.normals
        counted = residual if normals is None else _across(residual[:, :, None], normals, options.slide)[:, :, 0]
        distance = np.sqrt(((counted * self.axis_weight) ** 2).sum(1))
        robust = self.robust = np.minimum(1.0, options.huber_mm / np.maximum(distance, 1e-9))
        unit = self.scale / self.unit
        weight = unit * np.sqrt(robust)[:, None] * self.axis_weight

        camera = np.zeros((len(residual), 3, CAMERA))
        camera[:, 0, 1], camera[:, 0, 2] = turned[:, 2], -turned[:, 1]
        camera[:, 1, 0], camera[:, 1, 2] = -turned[:, 2], turned[:, 0]
        camera[:, 2, 0], camera[:, 2, 1] = turned[:, 1], -turned[:, 0]
        camera[:, :, 3] = turned
        camera[:, [0, 1, 2], [4, 5, 6]] = 1.0
        moves = np.concatenate([camera, self.rotation @ self._free_basis], axis=2)
        if normals is not None:
            moves = _across(moves, normals, options.slide)
        jacobian = (moves * weight[:, :, None]).reshape(-1, moves.shape[2])
        right = (counted * weight).reshape(-1)
        normal = jacobian.T @ jacobian
        gradient = jacobian.T @ right
        scatter = options.noise_mm**2 * options.correlated_points / options.group_correlated
        for group, noise in zip(self.groups, self.group_noise, strict=True):
            closeness = unit**2 * scatter / noise**2
            relative = np.sqrt(robust[group])[:, None, None] * _centred(moves[group, :2])
            offsets = np.sqrt(robust[group])[:, None] * _centred(counted[group, :2])
            relative = relative.reshape(-1, relative.shape[2])
            normal += closeness * relative.T @ relative
            gradient += closeness * relative.T @ offsets.reshape(-1)
        return normal, gradient

    def move(self, step: FloatArray) -> None:
        """Change the camera and the free coefficients by a step."""
        self.rotation = _rotation(step[:3]) @ self.rotation
        self.scale *= float(np.exp(np.clip(step[3], -0.5, 0.5)))
        self.shift = self.shift + step[4:CAMERA] * self.scale
        self.coefficients[self.free] += step[CAMERA:]

    def fit(self, prior: FitPrior | None) -> Fit:
        """Return the result."""
        image = self.residual[:, :2]
        rms = float(np.sqrt((self.robust[:, None] * image**2).sum() / self.robust.sum()))
        k = self.points.identity_count
        return Fit(
            self.coefficients[:k],
            self.coefficients[k:],
            self.rotation,
            self.scale,
            self.shift[:2] * np.array([1.0, -1.0]),
            float(self.shift[2] / self.scale),
            rms,
            prior,
        )


def fit_points(
    seen: Observations,
    expression_free: BoolArray,
    options: FitOptions = FitOptions(),
    prior: FitPrior | None = None,
    expression: FitPrior | None = None,
) -> Fit:
    """Fit camera, identity and expression of the face model to points of an image.

    Parameters
    ----------
    seen : Observations
    expression_free : (e,) bool array, True for expressions whose weight may differ from 0
    options : FitOptions
    prior : FitPrior, optional
        Distribution of the identity coefficients. By default mean 0 and variance 1.
    expression : FitPrior, optional
        Distribution of the weights of the expressions. By default mean 0 and a standard deviation of 0.3.

    Returns
    -------
    Fit

    Notes
    -----
    The prior has the weight of `identity_prior` independent points. Residuals in mm have Huber weights, so that
    occluded points have little influence.
    """
    k = seen.points.identity_count
    e = seen.points.basis.shape[2] - k
    free = np.concatenate([np.ones(k, bool), expression_free])
    low = np.concatenate([np.full(k, -MOST_IDENTITY), np.full(e, options.expression_bounds[0])])
    high = np.concatenate([np.full(k, MOST_IDENTITY), np.full(e, options.expression_bounds[1])])
    identity = FitPrior(np.zeros(k), np.ones(k)) if prior is None else prior.resized(k)
    weights = FitPrior(np.zeros(e), np.full(e, 0.3**2)) if expression is None else expression
    mean = np.concatenate([identity.mean, weights.mean])
    strength = np.concatenate([options.identity_prior / identity.variance, options.expression_prior / weights.variance])
    strength *= options.noise_mm**2 * options.correlated_points
    view = _View(seen, np.clip(mean, low, high), free, options)
    unknowns = CAMERA + int(np.count_nonzero(free))
    lowest, highest = np.full(unknowns, -np.inf), np.full(unknowns, np.inf)
    for _ in range(options.iterations):
        normal, gradient = view.equations()
        pull = strength[free]
        normal[np.arange(CAMERA, unknowns), np.arange(CAMERA, unknowns)] += pull
        gradient[CAMERA:] -= pull * (view.coefficients - mean)[free]
        normal[np.arange(3), np.arange(3)] += 1e-6
        lowest[CAMERA:], highest[CAMERA:] = (low - view.coefficients)[free], (high - view.coefficients)[free]
        view.move(_bounded_step(normal, gradient, lowest, highest))
    return view.fit(prior)


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
    """Return the vector `step` that solves normal @ step = gradient, limited to [low, high] by active sets."""
    step = np.zeros(len(gradient))
    fixed = np.zeros(len(gradient), bool)
    for _ in range(4):
        rest = ~fixed
        right = gradient[rest] - normal[np.ix_(rest, fixed)] @ step[fixed]
        step[rest] = np.linalg.solve(normal[np.ix_(rest, rest)], right)
        outside = ((step < low - 1e-9) | (step > high + 1e-9)) & ~fixed
        if not outside.any():
            break
        step = np.clip(step, low, high)
        fixed |= outside
    return np.asarray(np.clip(step, low, high))
