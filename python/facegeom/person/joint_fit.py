"""The face model fitted to several photos of a person: one identity, and a pose and an expression for each photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.fitting import MAP_OPTIONS, MapPoints, free_expressions, map_points
from facegeom.face_model.point_fit import FitPrior, fit_together
from facegeom.images.crop import apply_affine
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.contour_crop import predict_contours
from facegeom.networks.identity_crop import see_identity
from facegeom.networks.interface import ContourPredictor, IdentityPredictor
from facegeom.person.shared_identity import combined
from facegeom.pipelines import map_prediction
from facegeom.pipelines.map_prediction import IDENTITY_FIT, IDENTITY_GAIN, MapPrediction, photo_camera

FITTED_VARIANCE = 0.5
"""Variance of the coefficients of a fit without an answer of the identity network."""


def answer_of(prediction: MapPrediction) -> FitPrior:
    """Return what a photo alone says of the identity: the answer of the identity network, else the fit to the maps."""
    fit = prediction.fit
    if fit.prior is not None:
        return fit.prior
    return FitPrior(fit.identity, np.full(len(fit.identity), FITTED_VARIANCE))


@one_thread()
def fit_person(
    photos: Sequence[ByteArray],
    predictions: Sequence[MapPrediction],
    device: str = "cpu",
    backend: str = DEFAULT_BACKEND,
) -> list[MapPrediction]:
    """Fit the face model to several photos of a person.

    Parameters
    ----------
    photos : sequence of n (h, w, 3) uint8 arrays
    predictions : sequence of n MapPrediction, each of a face of its photo alone
    device, backend : where the identity and the contour network run

    Returns
    -------
    list of n MapPrediction
        With one identity, and the camera, the expression and the depths of the joint fit.

    Notes
    -----
    The networks look once more, in crops that the fit of each photo places. The prior of the joint fit is the
    combination of their answers. The maps of all photos have a common error towards the mean face, which more photos do
    not average out: the prior keeps the weight that it has for one photo, relative to the maps of all.
    """
    model = load_face_model()
    identity = map_prediction.identity_network(device, backend)
    contours = map_prediction.contour_network(device, backend)
    answers: list[FitPrior] = []
    shown: list[MapPoints] = []
    for photo, prediction in zip(photos, predictions, strict=True):
        answer, points = _observed(model, photo, prediction, identity, contours)
        answers += [] if answer is None else [answer]
        shown.append(points)
    if answers:
        prior = combined(answers)
        options = replace(IDENTITY_FIT, identity_prior=IDENTITY_FIT.identity_prior * len(shown))
    else:
        prior, options = None, MAP_OPTIONS
    fits = fit_together([points.seen for points in shown], free_expressions(model), options, prior)
    result: list[MapPrediction] = []
    for prediction, points, raw in zip(predictions, shown, fits, strict=True):
        fit = points.in_maps(raw)
        maps = replace(prediction.maps, depth=prediction.maps.depth - fit.depth_offset)
        landmarks = fit.vertices(model)[model.landmarks68]
        result.append(replace(prediction, maps=maps, camera=photo_camera(fit, maps), landmarks=landmarks, fit=fit))
    return result


def _observed(
    model: FaceModel,
    photo: ByteArray,
    prediction: MapPrediction,
    identity: IdentityPredictor | None,
    contours: ContourPredictor | None,
) -> tuple[FitPrior | None, MapPoints]:
    """Return the answer of the identity network for a photo, and the points of the face that the photo shows."""
    maps, fit = prediction.maps, prediction.fit
    landmarks = prediction.camera.project(fit.vertices(model)[model.landmarks68])
    answer = points = outlines = None
    if identity is not None:
        answer, points = see_identity(identity, model, photo, landmarks, fit.rotation)
        answer = replace(answer, mean=IDENTITY_GAIN * answer.mean)
        if points is not None:
            points = replace(points, places=apply_affine(maps.affine, points.places))
    if contours is not None:
        outlines = predict_contours(contours, model, photo, landmarks, fit.rotation)
        outlines = replace(outlines, places=apply_affine(maps.affine, outlines.places))
    options = MAP_OPTIONS if identity is None else IDENTITY_FIT
    seen = maps.depth, maps.correspondence, maps.mask
    return answer, map_points(model, *seen, options, contours=outlines, seen=points, start=fit)
