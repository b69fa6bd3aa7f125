"""The fit of pose and expression to one frame of a video, for a person whose identity is known.

It is the fit of `face_model.fitting` to maps and contours, without the identity: the points of the model are those of
the person, which halves the number of unknowns. The expression of the last frame starts the fit, and is part of its
prior: what a frame does not show stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import CONTOUR_POINTS, CONTOURS, MAP_OPTIONS, Contours, free_expressions, map_places
from facegeom.face_model.point_fit import Fit, FitOptions, FitPrior, Observations, PointBasis, fit_points, similarity
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, crop_affine
from facegeom.pipelines.crop_prediction import CropPrediction
from facegeom.texture.eyes import Gaze
from facegeom.tracking.gaze import GazeFinder

FRAME_OPTIONS = replace(MAP_OPTIONS, iterations=2, identity_count=0, expression_prior=2.0)
"""Options of the fit to a frame, chosen on synthetic videos of two validation portraits: a third iteration changes
nothing, and a prior of 1, as for photos, spreads an expression over many small weights."""

FRAME_POINTS = 1000
"""Number of pixels in the fit; with 500 the pose has half as much noise again, with 1,500 hardly less."""

FIRST_ITERATIONS = 10
"""Iterations of a fit without an expression of the last frame: in later frames the fit goes on from there."""

REST_DEVIATION = 0.3
"""Standard deviation of the weight of an expression about 0, as in the fit to a photo."""

FRAME_DEVIATION = 0.6
"""Standard deviation of the weight of an expression about that of the last frame."""

BLINK_DEVIATION = 1.0
"""Standard deviation of the weight of a blink about 0; a blink is over within three frames, and its last weight does
not count."""


class Shown(NamedTuple):
    """What a frame shows of the face.

    Attributes
    ----------
    rows : (m,) int array, rows of `FrameFitter.vertices` nearest to the points on the face
    places : (m, 3) float32 array, the points on the mean face, mm
    target : (m, 3) float32 array, column, row and depth of the points in pixels of the crop
    contours : Contours in pixels of the crop, or None
    gaze : direction of the eyes relative to the face, or None where it is not seen
    corner, step : pixel of the photo at the corner of the crop, (2,), and pixels of the photo for one of the crop
    """

    rows: IntArray
    places: Float32Array
    target: Float32Array
    contours: Contours | None
    gaze: Gaze | None
    corner: FloatArray
    step: float

    def camera(self, rotation: FloatArray, scale: float, translation: FloatArray) -> Camera:
        """Return the camera in pixels of the photo of a camera in pixels of the crop."""
        return Camera(rotation, scale * self.step, self.corner + (np.asarray(translation) + 0.5) * self.step)


@dataclass(frozen=True)
class FrameFit:
    """Pose and expression in a frame.

    Attributes
    ----------
    camera : Camera, projection from the face frame to pixels of the frame
    expression : (e,) float array, weights of the face model's expressions
    residual_mm : root mean square residual in the image plane, mm
    """

    camera: Camera
    expression: FloatArray
    residual_mm: float


class FrameFitter:
    """Fits a person to frames.

    Parameters
    ----------
    model : FaceModel
    options : FitOptions
    """

    def __init__(self, model: FaceModel, options: FitOptions = FRAME_OPTIONS) -> None:
        self.model, self.options = model, options
        self.vertices: IntArray = np.flatnonzero(model.regions["map"])
        self._row = np.full(len(model.mean), -1)
        self._row[self.vertices] = np.arange(len(self.vertices))
        self._free: BoolArray = free_expressions(model)
        self._basis = np.ascontiguousarray(model.expression[:, self.vertices].transpose(1, 2, 0), np.float64)
        contours = PointBasis.at_surface(
            model,
            model.landmarks468_triangles[CONTOUR_POINTS],
            model.landmarks468_barycentric[CONTOUR_POINTS],
            replace(options, identity_count=0),
        )
        self._contour_basis = contours.basis
        self._blinks = [model.expression_names.index(f"eyeBlink_{side}") for side in "LR"]
        self.gaze = GazeFinder(model)
        self._groups = np.split(np.arange(len(CONTOUR_POINTS)), np.cumsum([len(part) for part in CONTOURS])[:-1])
        self.identify(np.zeros(1))

    def identify(self, identity: FloatArray) -> None:
        """Set the identity coefficients (k,) of the person."""
        model = self.model
        self.identity = identity
        neutral = model.vertices(identity)
        self.gaze.identify(neutral)
        self._shift = (neutral - model.mean)[self.vertices]
        corners = neutral[model.landmarks468_triangles[CONTOUR_POINTS]]
        weights = model.landmarks468_barycentric[CONTOUR_POINTS]
        self._contour_base = np.asarray(np.einsum("pcd,pc->pd", corners, weights), np.float64)
        self._landmarks = neutral[model.landmarks68]
        self._landmark_basis = model.expression[:, model.landmarks68].astype(np.float64)

    def shown(self, prediction: CropPrediction) -> Shown | None:
        """Return the points of the face that the maps of a frame show, or None if they show too few."""
        try:
            points = map_places(self.model, prediction.depth, prediction.correspondence, prediction.mask, FRAME_POINTS)
        except ValueError:  # fewer than 50 pixels inside the outline
            return None
        box = prediction.crop.box
        return Shown(
            self._row[points.vertices],
            points.base.astype(np.float32),
            points.target.astype(np.float32),
            None,
            None,
            np.array(box[:2]),
            (box[2] - box[0]) / prediction.crop.size,
        )

    def landmarks(self, shown: Shown, expression: FloatArray) -> tuple[FloatArray, Camera]:
        """Return the 68 landmarks (68, 2) in pixels of the photo, and the camera, of a face with an expression (e,)
        that is moved to the points which a frame shows.
        """
        places = shown.places + self._shift[shown.rows] + self._basis[shown.rows] @ expression
        rotation, scale, shift = similarity(places, shown.target * np.array([1.0, -1.0, 1.0]))
        camera = shown.camera(rotation, scale, shift[:2] * (1.0, -1.0))
        return camera.project(self._landmarks + np.tensordot(expression, self._landmark_basis, 1)), camera

    def fit(self, shown: Shown, last: FloatArray | None) -> FrameFit:
        """Return pose and expression in a frame; `last` (e,) is the expression of the frame before, or None."""
        rows, count = shown.rows, len(shown.rows)
        points = PointBasis.of_expressions(shown.places + self._shift[rows], self._basis[rows])
        target = np.asarray(shown.target, np.float64)
        weight = np.tile([1.0, 1.0, self.options.depth_weight], (count, 1))
        groups: list[IntArray] = []
        noise: list[float] = []
        if shown.contours is not None:
            points = points.followed_by(PointBasis.of_expressions(self._contour_base, self._contour_basis))
            more = len(self._contour_base)
            target = np.concatenate([target, np.column_stack([shown.contours.places, np.zeros(more)])])
            weight = np.concatenate([weight, np.tile([1.0, 1.0, 0.0], (more, 1))])
            groups = [count + part for part in self._groups]
            noise = list(self.options.contour_factor * shown.contours.deviation_mm)
        e = len(self._free)
        mean, variance = np.zeros(e), np.full(e, REST_DEVIATION**2)
        turned = np.zeros(e) if last is None else last  # the fit does not change the weights of the gaze
        if shown.gaze is not None:
            turned = self.gaze.turned(turned, shown.gaze)
        start, options = None, replace(self.options, iterations=FIRST_ITERATIONS)
        if last is not None:
            options = self.options
            precision = 1.0 / REST_DEVIATION**2 + 1.0 / FRAME_DEVIATION**2
            mean, variance = last / FRAME_DEVIATION**2 / precision, np.full(e, 1.0 / precision)
            start = Fit(np.zeros(0), turned, np.eye(3), 1.0, np.zeros(2), 0.0, 0.0)
        mean = np.where(self._free, mean, turned)
        mean[self._blinks], variance[self._blinks] = 0.0, BLINK_DEVIATION**2
        seen = Observations(points, target, groups=groups, group_noise_mm=noise, axis_weight=weight, start=start)
        found = fit_points(seen, self._free, options, None, FitPrior(mean, variance))
        camera = shown.camera(found.rotation, found.scale, found.translation)
        return FrameFit(camera, found.expression, found.residual_mm)


def with_contours(shown: Shown, contours: Contours, gaze: Gaze | None, prediction: CropPrediction) -> Shown:
    """Return what a frame shows, with contours in pixels of the photo and the gaze."""
    affine = crop_affine(prediction.crop.box, prediction.crop.size)
    return shown._replace(contours=replace(contours, places=apply_affine(affine, contours.places)), gaze=gaze)
