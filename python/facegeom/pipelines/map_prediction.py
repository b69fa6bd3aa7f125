"""From a photo to maps: detection, one or more passes of the network, and the check that the result is a face.

The detector's box gives the first crop. The mask that the network predicts there gives the next, tighter crop. The last
prediction counts as a face if its maps are consistent with one weak-perspective view of a face.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom._internal.threads import one_thread
from facegeom.detection import detector
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.fitting import Fit, fit_maps
from facegeom.images.boxes import Box, BoxLike, Detection, box_iou
from facegeom.images.camera import Camera, roll_deg
from facegeom.images.crop import FIRST_CROP_FACTOR, Crop, apply_affine, crop_box
from facegeom.images.face_maps import FaceMaps

if TYPE_CHECKING:
    from facegeom.networks.facevision import NetworkMaps

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class MapOptions:
    """How the network is applied to crops of a photo, and when its prediction counts as a face."""

    first_crop: float = FIRST_CROP_FACTOR  # side of the first crop over the mean side of the detector's box
    later_crop: float = 1.15  # side of later crops over the longer side of the mask's box; training uses 0.95 to 1.5
    passes: int = 2  # number of crops; the prediction of the last one is averaged with that of its mirror image
    stable_iou: float = 0.75  # if the last crop and the crop that its mask suggests overlap less, one more pass is made
    threshold: float = 0.5  # probability above which a pixel belongs to the mask
    min_part_share: float = 0.1  # connected parts of the mask smaller than this share of the largest are removed
    min_mask_share: float = 0.01  # share of the crop; a smaller mask means that there is no face
    confidence_low: float = 0.76  # mean probability inside the mask that is mapped to certainty 0
    confidence_high: float = 0.94  # mean probability inside the mask that is mapped to certainty 1
    full_mask_share: float = 0.15  # smaller masks reduce the score; in later crops even profiles cover 0.27
    misfit_mm: float = 10.0  # misfit at which the score is halved: 2 to 6 on faces, up to 8 beyond 60 degrees of yaw
    detection_score: float = 0.4  # detections with a lower score are ignored
    last_min_score: float = 0.55  # score of the last pass below which there is no face
    clear_score: float = 0.62  # faces with at least this score come first, in the detector's order
    fallback_min_score: float = 0.6  # score required of a face in a centre crop, where the detector found none
    fallback_sides: tuple[float, ...] = (0.5, 0.3)  # sides of the centre crops' boxes over the photo's shorter side
    duplicate_iou: float = 0.4  # mask boxes that overlap more show the same face


@dataclass(frozen=True)
class Plausibility:
    """How consistent the maps of a crop are with one view of one face."""

    share: float  # of the crop that the mask covers
    confidence: float  # mean probability inside the mask
    compactness: float  # area of the mask over that of its convex hull
    misfit_mm: float  # rms distance of pixels and depths from the best rigid view of their correspondence
    score: float  # product of terms in [0, 1] for each of these


@dataclass(frozen=True)
class CropPrediction:
    """The prediction of the network for one crop."""

    crop: Crop
    depth: Float32Array
    correspondence: Float32Array
    mask: BoolArray
    plausibility: Plausibility
    roll_deg: float  # rotation of the face in the image plane, anticlockwise as seen; 0 where the mask is empty

    @property
    def face_box(self) -> Box:
        """The box of the mask in pixels of the photo."""
        left, top, right, _ = self.crop.box
        step = (right - left) / len(self.mask)
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return (
            left + step * float(columns[0]),
            top + step * float(rows[0]),
            left + step * float(columns[-1] + 1),
            top + step * float(rows[-1] + 1),
        )


@dataclass(frozen=True)
class MapPrediction:
    """Maps, camera and landmarks of one face of a photo.

    Attributes
    ----------
    maps : FaceMaps
    camera : Camera
        Face frame -> photo.
    landmarks : (68, 3) float array
        Millimetres, face frame: points of the fitted face model, the visible ones moved along the line of sight onto
        the depth map.
    fit : Fit
        The face model fitted to the maps, in pixels of the crop.
    score : float in [0, 1], see `plausibility`
    detections : the detector's boxes, best first; empty when the box was given
    timings : milliseconds of each step
    """

    maps: FaceMaps
    camera: Camera
    landmarks: FloatArray
    fit: Fit
    score: float
    detections: tuple[Detection, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)


class MapNetwork(Protocol):
    """A network that predicts depth, correspondence and mask of crops, such as `networks.facevision.FaceVision`."""

    size: int

    def predict(self, crops: ByteArray, *, mirror: bool = True) -> NetworkMaps:
        """Return the maps of (b, size, size, 3) crops."""
        ...


@lru_cache(maxsize=4)
def load_network(device: str) -> MapNetwork:
    """Return the shipped network on `device`; loaded once per process."""
    from facegeom.networks.facevision import load_facevision

    return load_facevision(device)


def predict_maps(
    photo: ByteArray,
    box: BoxLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    *,
    network: MapNetwork | None = None,
    options: MapOptions = MapOptions(),
) -> MapPrediction:
    """Return the maps, the camera and the landmarks of a face; see `facegeom.predict`, which checks its arguments.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    box : x0, y0, x1, y1 of the face in pixels of the photo (a score may follow); None: detect
    device : where the network runs: "cpu", "cuda", "cuda:1", "mps"
    face_index : which of the detected faces, 0 is the best
    network : another network than the shipped one
    options : MapOptions

    Raises
    ------
    NoFaceFound
        When the photo has no face `face_index`, or the network sees nothing in the given box.
    """
    timings: dict[str, float] = {}
    network = network or load_network(device)
    detections: tuple[Detection, ...] = ()
    if box is not None:
        with stopwatch(timings, "network"), one_thread():
            prediction = _predict_crops(network, photo, crop_box(box, options.first_crop), options)
        if prediction.plausibility.share < options.min_mask_share:
            raise NoFaceFound("the network sees no face in the given box")
    else:
        with stopwatch(timings, "detection"):
            detections = tuple(detector.find_faces(photo, min_score=options.detection_score))
        with stopwatch(timings, "network"), one_thread():
            prediction = _select(_verified_faces(network, photo, detections, options), face_index)

    model = load_face_model()
    with stopwatch(timings, "fit"), one_thread():
        fit = fit_maps(model, prediction.depth, prediction.correspondence, prediction.mask)
        maps = FaceMaps(
            prediction.crop.image,
            prediction.depth.astype(np.float64) - fit.depth_offset,
            prediction.correspondence.astype(np.float64),
            prediction.mask,
            prediction.crop.box,
        )
        camera = photo_camera(fit, maps)
        landmarks = _onto_depth(fit.vertices(model)[model.landmarks68], camera, maps)
    return MapPrediction(maps, camera, landmarks, fit, prediction.plausibility.score, detections, timings)


def photo_camera(fit: Fit, maps: FaceMaps) -> Camera:
    """Return the camera in pixels of the photo, of a fit in pixels of the crop."""
    corner = np.array(maps.box[:2])
    return Camera(fit.rotation, fit.scale * maps.step, corner + (np.asarray(fit.translation) + 0.5) * maps.step)


def plausibility(
    depth: Float32Array,
    correspondence: Float32Array,
    probability: Float32Array,
    mask: BoolArray,
    options: MapOptions = MapOptions(),
) -> Plausibility:
    """Return how consistent the maps of a crop are with one weak-perspective view of one face.

    Parameters
    ----------
    depth : (S, S) float array, mm
    correspondence : (S, S, 3) float array, mm
    probability : (S, S) float array
    mask : (S, S) bool array, the thresholded probability without small parts
    options : MapOptions

    Notes
    -----
    The network was trained on crops without a face too, and still predicts a face in some of them. Such predictions
    have a lower probability, and their pixels, correspondence and depth do not agree on one weak-perspective camera.
    The thresholds were chosen with an earlier network, on 150 validation photos of LFW, two thirds of them turned, and
    on 250 pictures without a face that no benchmark uses.
    """
    return _plausibility(probability, mask, _rigid_view(depth, correspondence, mask)[1], options)


def _plausibility(probability: Float32Array, mask: BoolArray, misfit: float, options: MapOptions) -> Plausibility:
    share = float(mask.mean())
    if share < options.min_mask_share:
        return Plausibility(share, 0.0, 0.0, float("inf"), 0.0)
    confidence = float(probability[mask].mean())
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    hull = float(cv2.contourArea(cv2.convexHull(points))) + 1.0
    compactness = min(1.0, float(mask.sum()) / hull)
    certainty = float(
        np.clip((confidence - options.confidence_low) / (options.confidence_high - options.confidence_low), 0.0, 1.0)
    )
    size = min(1.0, share / options.full_mask_share)
    score = certainty * size * compactness / (1.0 + (misfit / options.misfit_mm) ** 2)
    return Plausibility(share, confidence, compactness, misfit, score)


def _rigid_view(depth: Float32Array, correspondence: Float32Array, mask: BoolArray) -> tuple[float, float]:
    """Return the roll, degrees, of the best weak-perspective view of the correspondence, and the misfit, mm.

    The misfit is the rms distance of (pixel, depth) from that view, infinite where there is none.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < 8:
        return 0.0, float("inf")
    stride = max(1, len(rows) // 1500)
    rows, columns = rows[::stride], columns[::stride]
    canonical = correspondence[rows, columns].astype(np.float64)
    canonical -= canonical.mean(axis=0)
    pixels = np.column_stack([columns, -rows]).astype(np.float64)
    pixels -= pixels.mean(axis=0)
    height = depth[rows, columns].astype(np.float64)
    height -= height.mean()

    view = np.linalg.lstsq(canonical, pixels, rcond=1e-6)[0].T  # (2, 3)
    left, stretch, right = np.linalg.svd(view, full_matrices=False)
    scale = float(stretch.mean())
    if not np.isfinite(scale) or scale <= 1e-6:
        return 0.0, float("inf")
    across = left @ right  # the nearest pair of orthonormal rows
    rotation = np.vstack([across, np.cross(across[0], across[1])])
    seen = np.column_stack([pixels / scale, height])
    misfit = float(np.sqrt(((canonical @ rotation.T - seen) ** 2).sum(axis=1).mean()))
    return roll_deg(rotation), misfit


def _predict_crop(
    network: MapNetwork,
    photo: ByteArray,
    square: Box,
    options: MapOptions,
    *,
    mirror: bool,
    roll_deg: float = 0.0,
) -> CropPrediction:
    """Apply the network to a crop, turned by a multiple of 90 degrees so that a face of that roll is nearly upright."""
    quarters = round(roll_deg / 90)
    crop = Crop.of(photo, square, network.size)
    maps = network.predict(np.ascontiguousarray(np.rot90(crop.image, -quarters))[None], mirror=mirror)
    depth, correspondence, probability = (
        np.ascontiguousarray(np.rot90(values[0], quarters))
        for values in (maps.depth, maps.correspondence, maps.mask_probability)
    )
    mask = _large_parts(probability > options.threshold, options.min_part_share)
    roll, misfit = _rigid_view(depth, correspondence, mask)
    return CropPrediction(crop, depth, correspondence, mask, _plausibility(probability, mask, misfit, options), roll)


def _predict_crops(network: MapNetwork, photo: ByteArray, square: Box, options: MapOptions) -> CropPrediction:
    """Apply the network to `square`, then to the upright crop that its mask suggests; stop where the mask is empty."""
    prediction = _predict_crop(network, photo, square, options, mirror=options.passes == 1)
    for remaining in range(options.passes - 2, -1, -1):
        if prediction.plausibility.share < options.min_mask_share:
            return prediction
        square = next_crop_box(prediction.face_box, options)
        prediction = _predict_crop(network, photo, square, options, mirror=remaining == 0, roll_deg=prediction.roll_deg)
    if options.passes > 1 and prediction.plausibility.share >= options.min_mask_share:
        square = next_crop_box(prediction.face_box, options)
        moved = box_iou(square, prediction.crop.box) < options.stable_iou
        if moved:  # the first crop was so far off that the second is, too
            prediction = _predict_crop(network, photo, square, options, mirror=True, roll_deg=prediction.roll_deg)
    return prediction


def next_crop_box(face_box: Box, options: MapOptions = MapOptions()) -> Box:
    """Return the square that the next crop covers, for a face whose mask has the box `face_box`."""
    x0, y0, x1, y1 = face_box
    half = 0.5 * options.later_crop * max(x1 - x0, y1 - y0)
    x, y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    return x - half, y - half, x + half, y + half


def _verified_faces(
    network: MapNetwork, photo: ByteArray, detections: Iterable[Detection], options: MapOptions
) -> Iterator[CropPrediction]:
    """Yield the predictions of detections that are faces, each face once, those with a clear score first."""
    faces: list[Box] = []
    doubtful: list[CropPrediction] = []
    for found in detections:
        prediction = _predict_crops(network, photo, crop_box(found, options.first_crop), options)
        score = prediction.plausibility.score
        log.debug("detection %s: %s", found, prediction.plausibility)
        if score < options.last_min_score or any(
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
        yield from _fallback(network, photo, options)


def _fallback(network: MapNetwork, photo: ByteArray, options: MapOptions) -> Iterator[CropPrediction]:
    """Yield the best prediction of the centre crops, if its score is high: for photos without a detection."""
    height, width = photo.shape[:2]
    predictions = []
    for share in options.fallback_sides:
        half = 0.5 * share * min(height, width)
        x, y = 0.5 * (width - 1), 0.5 * (height - 1)
        predictions.append(
            _predict_crops(
                network, photo, crop_box((x - half, y - half, x + half, y + half), options.first_crop), options
            )
        )
    best = max(predictions, key=lambda prediction: prediction.plausibility.score)
    if best.plausibility.score >= options.fallback_min_score:
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


def _large_parts(mask: BoolArray, min_part_share: float) -> BoolArray:
    """Return the mask without connected parts smaller than `min_part_share` of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count <= 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.concatenate([[False], areas >= min_part_share * areas.max()])
    return np.asarray(keep[labels], dtype=np.bool_)


ON_DEPTH_MM = 6.0
"""A landmark of the fitted model is visible when the depth map lies within this distance of it."""


def _onto_depth(landmarks: FloatArray, camera: Camera, maps: FaceMaps) -> FloatArray:
    """Return the landmarks (68, 3), those that are visible moved along the line of sight onto the depth map."""
    pixels = camera.project(landmarks)
    places = np.rint(apply_affine(maps.affine, pixels)).astype(np.int64)
    inside = ((places >= 0) & (places < maps.size)).all(axis=1)
    column, row = np.clip(places, 0, maps.size - 1).T
    seen_depth = maps.depth[row, column]
    depth = camera.view(landmarks)[:, 2]
    seen = inside & (np.abs(np.nan_to_num(seen_depth, nan=np.inf) - depth) < ON_DEPTH_MM)
    return camera.unproject(pixels, np.where(seen, np.nan_to_num(seen_depth), depth))
