"""The face model fitted to several photos of a person: one identity, and a pose and an expression for each photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.fitting import MAP_OPTIONS, fit_maps
from facegeom.face_model.point_fit import Fit, FitPrior
from facegeom.images.crop import apply_affine
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.contour_crop import predict_contours
from facegeom.networks.interface import ContourPredictor
from facegeom.person.shared_identity import common_identity
from facegeom.pipelines import map_prediction
from facegeom.pipelines.map_prediction import MapPrediction, photo_camera

FITTED_VARIANCE = 0.5
"""Variance of the coefficients of a fit without an answer of the identity network."""

FIXED_VARIANCE = 1e-6
"""Variance of the common identity in the fit to each photo, which then does not change it."""


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
    *,
    identity: FloatArray | None = None,
) -> list[MapPrediction]:
    """Fit the face model to several photos of a person.

    Parameters
    ----------
    photos : sequence of n (h, w, 3) uint8 arrays
    predictions : sequence of n MapPrediction, each of a face of its photo alone
    device, backend : where the contour network runs
    identity : (k,) float array, the identity if it is known; None: `shared_identity.common_identity`

    Returns
    -------
    list of n MapPrediction
        With the identity, and the camera, the expression and the depths of a fit to the maps and
        contours of the photo with this identity.
    """
    model = load_face_model()
    contours = map_prediction.contour_network(device, backend)
    if identity is None:
        fitted = np.array([prediction.fit.identity for prediction in predictions])
        identity = common_identity(fitted, [answer_of(prediction) for prediction in predictions])
    result: list[MapPrediction] = []
    for photo, prediction in zip(photos, predictions, strict=True):
        fit = _fit_with(model, identity, photo, prediction, contours)
        maps = replace(prediction.maps, depth=prediction.maps.depth - fit.depth_offset)
        landmarks = fit.vertices(model)[model.landmarks68]
        result.append(replace(prediction, maps=maps, camera=photo_camera(fit, maps), landmarks=landmarks, fit=fit))
    return result


def _fit_with(
    model: FaceModel,
    identity: FloatArray,
    photo: ByteArray,
    prediction: MapPrediction,
    network: ContourPredictor | None,
) -> Fit:
    """Return the fit to a photo with an identity (k,)."""
    maps, fit = prediction.maps, prediction.fit
    contours = None
    if network is not None:
        landmarks = prediction.camera.project(fit.vertices(model)[model.landmarks68])
        contours = predict_contours(network, model, photo, landmarks, fit.rotation)
        contours = replace(contours, places=apply_affine(maps.affine, contours.places))
    fixed = FitPrior(identity, np.full(len(identity), FIXED_VARIANCE))
    found = fit_maps(
        model, maps.depth, maps.correspondence, maps.mask, MAP_OPTIONS, prior=fixed, contours=contours, start=fit
    )
    return replace(found, identity=identity)
