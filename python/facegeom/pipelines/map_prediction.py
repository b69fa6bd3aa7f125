"""Prediction of maps from a photo: detection, one or more passes of the network, and the check for a face.

The box of the detector gives the first crop. The pose of the face in this crop gives the next one, in which place,
scale and roll of the face are always the same (`aligned_box`): there, the network recognises the shape best.
The last prediction is accepted as a face if its maps are consistent with one weak-perspective view of a face.

The network sees a face upright: the crop is turned, and the maps are turned back. The roll comes from the detector in
the first pass, and from the maps of the previous pass in later ones. If the two contradict each other, the detector
searches the face again in the turned crop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom._internal.threads import load_once, one_thread
from facegeom.detection import Detector, detector, yunet
from facegeom.detection.found_face import FoundFace
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.fitting import MAP_OPTIONS, fit_maps
from facegeom.face_model.point_fit import Fit
from facegeom.images.boxes import Box, BoxLike, Detection, box_iou
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, crop_box
from facegeom.images.face_maps import FaceMaps
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.contour_crop import predict_contours
from facegeom.networks.identity_crop import see_identity
from facegeom.networks.interface import ContourPredictor, IdentityPredictor, MapNetwork
from facegeom.networks.loaders import load_contour_network, load_identity_network, load_map_network
from facegeom.pipelines.crop_prediction import (
    CropPrediction,
    aligned_square,
    predict_aligned,
    predict_crop,
    turn_of,
    within_half_turn,
)
from facegeom.pipelines.map_options import MapOptions
from facegeom.pipelines.noise_removal import NEVER, NoiseRemoval
from facegeom.pipelines.plausibility import doubt

log = logging.getLogger("facegeom")


FIRST_FIT, FIRST_POINTS = replace(MAP_OPTIONS, iterations=3), 500
"""Options and number of points of the fit that places the aligned crop: its landmarks differ by 0.4 mm from those of a
complete fit, less than by the noise with which the identity network was trained."""

IDENTITY_FIT = replace(MAP_OPTIONS, iterations=3, identity_prior=16.0)
"""Options of the fit whose prior is the answer of the identity network.

The weight of the prior is measured: the maps show a person's shape with a common error towards the mean face, not with
independent errors, so that the fit must not count them as observations of their own.
"""

LOOKS = 2
"""Number of looks of the identity and the contour network, each in crops that the fit before it places.

Measured with the maps network of a half-finished training: the second look takes 1 % off the distance of the 468
landmarks of validation portraits, and 3 % for turned heads (`facegeom evaluate landmarks --method predict`).
"""

IDENTITY_GAIN = 1.25
"""Factor of the identity network's answer as mean of the prior.

Maps and points pull the fit towards the mean face, because a network answers with the mean of all possible faces. The
factor makes up for this; the model card of the identity network states what it gains and costs.
"""


@dataclass(frozen=True)
class MapPrediction:
    """Maps, camera and landmarks of one face of a photo.

    Attributes
    ----------
    maps : FaceMaps
    camera : Camera
        Projection from the face frame to pixels of the photo.
    landmarks : (68, 3) float array
        Landmarks of the fitted face model in the face frame, mm. Visible landmarks are moved along the line of sight
        onto the depth map.
    fit : Fit
        The face model fitted to the maps, in pixels of the crop.
    score : float in [0, 1], see `plausibility`
    detections : boxes of the detector, best first; empty if the caller gave the box
    timings : dict from step name to milliseconds
    clean : (h, w, 3) uint8 array or None
        The photo without noise around the face, which the networks saw; None if they saw the photo itself.
    """

    maps: FaceMaps
    camera: Camera
    landmarks: FloatArray
    fit: Fit
    score: float
    detections: tuple[Detection, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    clean: ByteArray | None = None

    @property
    def landmarks468(self) -> FloatArray:
        """The 468 FaceMesh points (468, 3) of the fitted face model, mm; visible ones are moved as `landmarks`."""
        model = load_face_model()
        return _onto_depth(model.landmarks468(self.fit.vertices(model)), self.camera, self.maps)


@load_once(maxsize=4)
def load_network(device: str, backend: str = DEFAULT_BACKEND) -> MapNetwork:
    """Return the map network that comes with facegeom on `device`; it is loaded once per process."""
    return load_map_network(device, backend)


@load_once(maxsize=4)
def identity_network(device: str, backend: str = DEFAULT_BACKEND) -> IdentityPredictor:
    """Return the identity network that comes with facegeom on `device`; it is loaded once per process."""
    return load_identity_network(device, backend=backend)


@load_once(maxsize=4)
def contour_network(device: str, backend: str = DEFAULT_BACKEND) -> ContourPredictor:
    """Return the contour network that comes with facegeom on `device`; it is loaded once per process."""
    return load_contour_network(device, backend=backend)


def predict_maps(
    photo: ByteArray,
    box: BoxLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    *,
    network: MapNetwork | None = None,
    options: MapOptions = MapOptions(),
    detector: Detector = "yunet",
    min_face: float | None = None,
    backend: str = DEFAULT_BACKEND,
    identity: IdentityPredictor | None = None,
    contours: ContourPredictor | None = None,
    removal: NoiseRemoval = NEVER,
) -> MapPrediction:
    """Predict the maps, the camera and the landmarks of a face; `facegeom.predict` also validates the arguments.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    box : x0, y0, x1, y1 of the face in pixels of the photo (a score may follow); None: detect faces
    device : torch device on which the network runs: "cpu", "cuda", "cuda:1", "mps"
    face_index : index of the face among the detections that the maps confirm, see `_verified_faces`
    network : map network to use; None: the network that comes with facegeom
    options : MapOptions
    detector, min_face : as in `facegeom.detect`
    backend : "torch" or "onnx", in which the networks that come with facegeom run
    identity : network whose answer is the prior of the fit's identity; None: the one that comes with facegeom
    contours : network whose answer places the lids and lips of the fit; None: the one that comes with facegeom
    removal : whether the networks see the photo without noise

    Raises
    ------
    NoFaceFound
        When fewer than `face_index` + 1 faces are found, or the network finds no face in the given box.
    """
    timings: dict[str, float] = {}
    network = network or load_network(device, backend)
    identity = identity or identity_network(device, backend)
    contours = contours or contour_network(device, backend)
    faces: list[FoundFace] = []
    if box is not None:
        with stopwatch(timings, "network"), one_thread():
            prediction = _predict_in_box(network, photo, box, options, removal)
    else:
        faces = _detected(photo, detector, min_face, timings)
        with stopwatch(timings, "network"), one_thread():
            search = partial(removal.search, photo, detector, min_face)
            verified = _verified_faces(network, photo, faces, _trusting(options, detector), removal, search)
            prediction = _select(verified, face_index)
    return _fitted(photo, prediction, faces, timings, identity, contours)


def find_face(
    photo: ByteArray,
    network: MapNetwork,
    options: MapOptions = MapOptions(),
    near: Box | None = None,
) -> CropPrediction | None:
    """Return the prediction of the network for a face that the detector finds in a photo, without a fit.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    network : MapNetwork
    options : MapOptions
    near : box in pixels of the photo; of several faces, the one that overlaps it most counts, else the first

    Returns
    -------
    CropPrediction, or None if there is no face
    """
    faces = detector.find_faces(photo)
    if near is not None:
        box = near
        faces.sort(key=lambda face: -box_iou(face.box, box))  # stable: the detector's order, where none overlaps
    with one_thread():
        return next(_verified_faces(network, photo, faces, replace(options, fallback_sides=())), None)


def predict_all_maps(
    photo: ByteArray,
    device: str = "cpu",
    *,
    network: MapNetwork | None = None,
    options: MapOptions = MapOptions(),
    detector: Detector = "yunet",
    min_face: float | None = None,
    backend: str = DEFAULT_BACKEND,
    identity: IdentityPredictor | None = None,
    contours: ContourPredictor | None = None,
    removal: NoiseRemoval = NEVER,
) -> list[MapPrediction]:
    """Predict the maps of all faces in a photo, in the order of `face_index` of `predict_maps`; [] if there is none."""
    shared: dict[str, float] = {}
    network = network or load_network(device, backend)
    identity = identity or identity_network(device, backend)
    contours = contours or contour_network(device, backend)
    faces = _detected(photo, detector, min_face, shared)
    with stopwatch(shared, "network"), one_thread():
        search = partial(removal.search, photo, detector, min_face)
        predictions = list(_verified_faces(network, photo, faces, _trusting(options, detector), removal, search))
    return [_fitted(photo, prediction, faces, dict(shared), identity, contours) for prediction in predictions]


def _trusting(options: MapOptions, name: Detector) -> MapOptions:
    """Return the options for a detector: a high score of MTCNN is no reason to trust it, its errors have them, too."""
    return options if name == "yunet" else replace(options, trusted_min_score=options.last_min_score)


def _detected(photo: ByteArray, name: Detector, min_face: float | None, timings: dict[str, float]) -> list[FoundFace]:
    with stopwatch(timings, "detection"):
        return detector.find_faces(photo, min_face=min_face, detector=name)


def _fitted(
    photo: ByteArray,
    prediction: CropPrediction,
    faces: list[FoundFace],
    timings: dict[str, float],
    identity: IdentityPredictor | None,
    contours: ContourPredictor | None,
) -> MapPrediction:
    """Return the maps of a prediction with the face model fitted to them, and add the times to `timings`.

    A first fit places the crops of the identity and of the contour network, `LOOKS` times: what they see gives the next
    fit, in which their crops are placed better.
    """
    model = load_face_model()
    photo = photo if prediction.shown is None else prediction.shown
    seen = prediction.depth, prediction.correspondence, prediction.mask
    with stopwatch(timings, "fit"), one_thread():
        fit = fit_maps(model, *seen, FIRST_FIT, FIRST_POINTS)
    for _ in range(1 if identity is None and contours is None else LOOKS):
        maps = _face_maps(prediction, fit)
        camera, rotation = photo_camera(fit, maps), fit.rotation
        landmarks = camera.project(fit.vertices(model)[model.landmarks68])
        prior = points = outlines = None
        if identity is not None:
            with stopwatch(timings, "identity"), one_thread():
                prior, points = see_identity(identity, model, photo, landmarks, rotation)
            prior = replace(prior, mean=IDENTITY_GAIN * prior.mean)
            if points is not None:
                points = replace(points, places=apply_affine(maps.affine, points.places))
        if contours is not None:
            with stopwatch(timings, "contours"), one_thread():
                outlines = predict_contours(contours, model, photo, landmarks, rotation)
            outlines = replace(outlines, places=apply_affine(maps.affine, outlines.places))
        options = MAP_OPTIONS if prior is None else IDENTITY_FIT
        with stopwatch(timings, "fit"), one_thread():
            fit = fit_maps(model, *seen, options, prior=prior, contours=outlines, seen=points, start=fit)
    with stopwatch(timings, "fit"), one_thread():
        maps = _face_maps(prediction, fit)
        camera = photo_camera(fit, maps)
        landmarks = _onto_depth(fit.vertices(model)[model.landmarks68], camera, maps)
    detections = tuple(face.detection for face in faces)
    score = prediction.plausibility.score
    return MapPrediction(maps, camera, landmarks, fit, score, detections, timings, prediction.shown)


def _face_maps(prediction: CropPrediction, fit: Fit) -> FaceMaps:
    return FaceMaps(
        prediction.crop.image,
        prediction.depth.astype(np.float64) - fit.depth_offset,
        prediction.correspondence.astype(np.float64),
        prediction.mask,
        prediction.crop.box,
    )


def photo_camera(fit: Fit, maps: FaceMaps) -> Camera:
    """Return the camera of a fit, converted from pixels of the crop to pixels of the photo."""
    corner = np.array(maps.box[:2])
    return Camera(fit.rotation, fit.scale * maps.step, corner + (np.asarray(fit.translation) + 0.5) * maps.step)


def _predict_crops(network: MapNetwork, photo: ByteArray, face: FoundFace, options: MapOptions) -> CropPrediction:
    """Return the prediction for the last crop: the first crop is around `face`, each later crop is aligned with the
    face that the previous prediction shows.

    No crop follows a mask smaller than `min_mask_share`. A much less plausible prediction of a trusted face does
    not count: the aligned crop can show a second face that touches the first. One more crop follows if the last
    crop and the one that would follow overlap by less than `stable_iou`, or if the face is not upright in the last
    crop.
    """
    square = crop_box(face.upright, options.first_crop)
    trusted = face.score >= options.trusted_detection
    turn = turn_of(face.roll_deg, options.upright_deg)
    prediction = predict_crop(network, photo, square, options, mirror=options.passes == 1, turn=turn)
    for remaining in range(options.passes - 2, -1, -1):
        if prediction.plausibility.share < options.min_mask_share:
            return prediction
        following = predict_aligned(network, photo, prediction, options, mirror=remaining == 0)
        if trusted and following.plausibility.score < options.kept_score * prediction.plausibility.score:
            return prediction
        prediction = following
    if options.passes > 1 and prediction.plausibility.share >= options.min_mask_share:
        moved = box_iou(aligned_square(prediction), prediction.crop.box) < options.stable_iou
        turned = abs(prediction.residual_deg) > options.contradiction_deg
        if moved or turned:  # the first crop had a large error, so the second has one, too
            prediction = predict_aligned(network, photo, prediction, options, mirror=True)
    return prediction


def _predict_in_box(
    network: MapNetwork, photo: ByteArray, box: BoxLike, options: MapOptions, removal: NoiseRemoval
) -> CropPrediction:
    """Return the prediction for the face in a given box, with any roll.

    Raises
    ------
    NoFaceFound
        When the network finds no face, a face whose roll remains unclear, or maps with a score below `box_min_score`.
    """
    given, photo = photo, removal.around(photo, box)
    seen = yunet.find_in_box(photo, box)
    face = FoundFace.of_box(box, roll_deg=0.0 if seen is None else seen.roll_deg)
    prediction = _predict_crops(network, photo, face, options)
    if prediction.plausibility.share < options.min_mask_share and face.roll_deg:  # the roll may be wrong
        face = FoundFace.of_box(box)
        prediction = _predict_crops(network, photo, face, options)
    if prediction.plausibility.share < options.min_mask_share:
        raise NoFaceFound("the network finds no face in the given box")
    if abs(prediction.residual_deg) > options.contradiction_deg:
        raise NoFaceFound("the network finds no upright face in the given box, however the crop is turned")
    best = _better_way_up(network, photo, face, prediction, options)
    if best.plausibility.score < options.box_min_score:
        raise NoFaceFound("what the network finds in the given box is hardly a face")
    return _with_shown(best, given, photo)


def _with_shown(prediction: CropPrediction, photo: ByteArray, shown: ByteArray) -> CropPrediction:
    """Return a prediction with the photo that the network saw, unless it is the photo itself."""
    return prediction if shown is photo else replace(prediction, shown=shown)


def _better_way_up(
    network: MapNetwork, photo: ByteArray, face: FoundFace, prediction: CropPrediction, options: MapOptions
) -> CropPrediction:
    """Return the prediction for a face, or for the same face turned by 180 degrees if that is more plausible.

    The detector takes some upside-down faces for upright ones, and the network then makes a face of a lower score.
    """
    if prediction.plausibility.score >= options.sure_score:
        return prediction
    turned = FoundFace.of_box(face.box, face.score, within_half_turn(face.roll_deg + 180.0))
    other = _predict_crops(network, photo, turned, options)
    if other.plausibility.share < options.min_mask_share or abs(other.residual_deg) > options.contradiction_deg:
        return prediction
    return min(prediction, other, key=lambda one: doubt(one.plausibility, options))


def _predict_detected(network: MapNetwork, photo: ByteArray, face: FoundFace, options: MapOptions) -> CropPrediction:
    """Return the prediction for a detected face. If the maps contradict the detected roll or are not clearly a face,
    the detector searches the turned crop, and the more plausible prediction counts.
    """
    prediction = _predict_crops(network, photo, face, options)
    wrong = within_half_turn(prediction.roll_deg - face.roll_deg)
    if prediction.plausibility.score >= options.clear_score and abs(wrong) <= options.contradiction_deg:
        return _better_way_up(network, photo, face, prediction, options)
    other = yunet.find_in_box(photo, face.box)
    if other is None or abs(within_half_turn(other.roll_deg - face.roll_deg)) <= options.contradiction_deg:
        if face.score < options.trusted_detection:  # most false detections, which are not given a second chance
            return prediction
        return _better_way_up(network, photo, face, prediction, options)
    again = _predict_crops(network, photo, other, options)
    return max(prediction, again, key=lambda one: one.plausibility.score)


def _verified_faces(
    network: MapNetwork,
    photo: ByteArray,
    detections: Iterable[FoundFace],
    options: MapOptions,
    removal: NoiseRemoval = NEVER,
    search: Callable[[], Iterable[FoundFace]] = tuple,
) -> Iterator[CropPrediction]:
    """Yield the predictions that are accepted as faces, each face once; faces with a clear score come first.

    If there is none, those of the detections that `search` returns follow.
    """
    faces: list[Box] = []
    doubtful: list[CropPrediction] = []
    for found in detections:
        shown = removal.around(photo, found.box)
        prediction = _with_shown(_predict_detected(network, shown, found, options), photo, shown)
        score = min(prediction.plausibility.score, prediction.earlier_score + options.largest_rise)
        log.debug("detection %s: %s", found, prediction.plausibility)
        trusted = found.score >= options.trusted_detection
        if score < (options.trusted_min_score if trusted else options.last_min_score) or any(
            box_iou(prediction.face_box, face) > options.duplicate_iou for face in faces
        ):
            continue
        if score < options.clear_score:
            doubtful.append(prediction)
            continue
        faces.append(prediction.face_box)
        yield prediction
    for prediction in sorted(doubtful, key=lambda prediction: -prediction.plausibility.score):
        if all(box_iou(prediction.face_box, face) <= options.duplicate_iou for face in faces):
            faces.append(prediction.face_box)
            yield prediction
    if not faces:
        again = list(search())
        if again:
            yield from _verified_faces(network, photo, again, options, removal)
        else:
            yield from _fallback(network, photo, options, removal)


def _fallback(
    network: MapNetwork, photo: ByteArray, options: MapOptions, removal: NoiseRemoval
) -> Iterator[CropPrediction]:
    """Yield the best prediction of the centre crops, if its score is high: for photos without a detection."""
    height, width = photo.shape[:2]
    predictions = []
    for share in options.fallback_sides:
        half = 0.5 * share * min(height, width)
        x, y = 0.5 * (width - 1), 0.5 * (height - 1)
        face = FoundFace.of_box((x - half, y - half, x + half, y + half))
        shown = removal.around(photo, face.box)
        predictions.append(_with_shown(_predict_crops(network, shown, face, options), photo, shown))
    best = max(predictions, key=lambda prediction: prediction.plausibility.score, default=None)
    if best is not None and best.plausibility.score >= options.fallback_min_score:
        yield best


def _select(predictions: Iterator[CropPrediction], face_index: int) -> CropPrediction:
    count = 0
    for prediction in predictions:
        if count == face_index:
            return prediction
        count += 1
    if count == 0:
        raise NoFaceFound("no face was found in the photo; give its place as box=(x0, y0, x1, y1)")
    raise NoFaceFound(f"face_index is {face_index}, but the photo has {count} face{'s' if count > 1 else ''}")


ON_DEPTH_MM = 6.0
"""Maximum distance in mm between the depth map and a visible landmark of the fitted face model."""


def _onto_depth(landmarks: FloatArray, camera: Camera, maps: FaceMaps) -> FloatArray:
    """Move the visible landmarks along the line of sight onto the depth map; return all landmarks (n, 3)."""
    pixels = camera.project(landmarks)
    places = np.rint(apply_affine(maps.affine, pixels)).astype(np.int64)
    inside = ((places >= 0) & (places < maps.size)).all(axis=1)
    column, row = np.clip(places, 0, maps.size - 1).T
    seen_depth = maps.depth[row, column]
    depth = camera.view(landmarks)[:, 2]
    seen = inside & (np.abs(np.nan_to_num(seen_depth, nan=np.inf) - depth) < ON_DEPTH_MM)
    return camera.unproject(pixels, np.where(seen, np.nan_to_num(seen_depth), depth))
