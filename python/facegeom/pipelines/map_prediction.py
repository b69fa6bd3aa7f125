"""From a photo to maps: where the face is, what the network sees there, and whether that is a face at all.

The detector's box is only a beginning. The network looks at a crop around it, its own mask says where the face really
is, and it looks again; whether what it then says hangs together as one view of one face decides if a face was found.
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
class LookOptions:
    """How the network looks at a photo, and what it must see there to call it a face."""

    first_look: float = FIRST_CROP_FACTOR  # side of the first crop over the mean side of the detector's box
    later_look: float = 1.15  # side of later crops over the longer side of the mask's box; training sees 0.95 to 1.5
    looks: int = 2  # crops in all; the last one is averaged with its mirror image
    steady: float = 0.75  # overlap (IoU) of the last crop with the one its mask asks for; below it, one more is made
    threshold: float = 0.5  # probability above which a pixel is face
    least_part: float = 0.1  # a separate part of the mask smaller than this share of the largest is dropped
    least_share: float = 0.01  # of the crop that the mask must cover for there to be anything to look at
    unsure: float = 0.76  # mean probability in the mask at which a view counts nothing
    sure: float = 0.94  # and at which it counts fully, as of all turned faces
    full_share: float = 0.15  # of the crop; a smaller mask counts less: after a later look even profiles cover 0.27
    misfit_mm: float = 10.0  # misfit at which a view counts half: 2 to 6 on faces, up to 8 beyond 60 degrees of yaw
    detection_score: float = 0.4  # of the detector's boxes that are looked at
    least_score: float = 0.55  # of the last look, below which there is no face
    clear_score: float = 0.62  # detections that look at least like this come before the others, whatever their order
    unasked_score: float = 0.6  # asked of a face in the middle of the photo that the detector did not find
    unasked_sides: tuple[float, ...] = (0.5, 0.3)  # boxes tried there, side over the photo's shorter side
    same_face: float = 0.4  # overlap (IoU) of mask boxes above which two detections are one face


@dataclass(frozen=True)
class Plausibility:
    """How far what the network says about a crop hangs together as one view of one face."""

    share: float  # of the crop covered by the mask
    confidence: float  # mean probability in the mask
    compactness: float  # area of the mask over that of its convex hull
    misfit_mm: float  # rms distance of pixels and depths from the best rigid view of their correspondence
    score: float  # all of these, in [0, 1]


@dataclass(frozen=True)
class Look:
    """What the network sees in one crop."""

    crop: Crop
    depth: Float32Array
    correspondence: Float32Array
    mask: BoolArray
    plausibility: Plausibility
    roll_deg: float  # how far the face is rolled in the photo, anticlockwise as seen; 0 where the mask is empty

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
    """What the network says about one face of a photo.

    Attributes
    ----------
    maps : FaceMaps
    camera : Camera
        Face frame -> photo.
    landmarks : (68, 3) float array
        Millimetres, face frame: points of the fitted face model, moved along the line of sight onto the depth map where
        they are seen.
    fit : Fit
        The face model fitted to the maps, in pixels of the crop.
    score : float in [0, 1], how plausible the view is
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
    """A network that sees depth, correspondence and mask in crops; `networks.facevision.FaceVision` is one."""

    size: int

    def predict(self, crops: ByteArray, *, mirror: bool = True) -> NetworkMaps:
        """Return the maps of (b, size, size, 3) crops."""
        ...


@lru_cache(maxsize=4)
def load_network(device: str) -> MapNetwork:
    """Return the shipped network on `device`, loaded once a process."""
    from facegeom.networks.facevision import load_facevision

    return load_facevision(device)


def predict_maps(
    photo: ByteArray,
    box: BoxLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    *,
    network: MapNetwork | None = None,
    options: LookOptions = LookOptions(),
) -> MapPrediction:
    """Return the maps, the camera and the landmarks of a face; see `facegeom.predict`, which checks its arguments.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    box : x0, y0, x1, y1 of the face in pixels of the photo (a score may follow); None: detect
    device : where the network runs: "cpu", "cuda", "cuda:1", "mps"
    face_index : which of the detected faces, 0 is the best
    network : another network than the shipped one
    options : LookOptions

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
            look = _settle(network, photo, crop_box(box, options.first_look), options)
        if look.plausibility.share < options.least_share:
            raise NoFaceFound("the network sees no face in the given box")
    else:
        with stopwatch(timings, "detection"):
            detections = tuple(detector.find_faces(photo, min_score=options.detection_score))
        with stopwatch(timings, "network"), one_thread():
            look = _choose(_verified(network, photo, detections, options), face_index)

    model = load_face_model()
    with stopwatch(timings, "fit"), one_thread():
        fit = fit_maps(model, look.depth, look.correspondence, look.mask)
        maps = FaceMaps(
            look.crop.image,
            look.depth.astype(np.float64) - fit.depth_offset,
            look.correspondence.astype(np.float64),
            look.mask,
            look.crop.box,
        )
        camera = photo_camera(fit, maps)
        landmarks = _onto_depth(fit.vertices(model)[model.landmarks68], camera, maps)
    return MapPrediction(maps, camera, landmarks, fit, look.plausibility.score, detections, timings)


def photo_camera(fit: Fit, maps: FaceMaps) -> Camera:
    """Return the camera of a fit made in the crop's pixels, in pixels of the photo."""
    corner = np.array(maps.box[:2])
    return Camera(fit.rotation, fit.scale * maps.step, corner + (np.asarray(fit.translation) + 0.5) * maps.step)


def plausibility(
    depth: Float32Array,
    correspondence: Float32Array,
    probability: Float32Array,
    mask: BoolArray,
    options: LookOptions = LookOptions(),
) -> Plausibility:
    """Return how far maps of a crop hang together as one view of one face.

    Parameters
    ----------
    depth : (S, S) float array, mm
    correspondence : (S, S, 3) float array, mm
    probability : (S, S) float array
    mask : (S, S) bool array, the part of it that is kept
    options : LookOptions

    Notes
    -----
    The network has seen crops without a face, and still finds something like one in some pictures. What gives these
    away is that it is less sure of it, and that pixel grid, correspondence and depth do not agree on one
    weak-perspective camera. The thresholds of the scores were chosen on 150 validation photos of LFW, two thirds of
    them turned, and 250 pictures without a face that no benchmark uses, with an earlier network than the shipped one;
    what goes into the score, with one before that.
    """
    return _judged(probability, mask, _rigid_view(depth, correspondence, mask)[1], options)


def _judged(probability: Float32Array, mask: BoolArray, misfit: float, options: LookOptions) -> Plausibility:
    share = float(mask.mean())
    if share < options.least_share:
        return Plausibility(share, 0.0, 0.0, float("inf"), 0.0)
    confidence = float(probability[mask].mean())
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    hull = float(cv2.contourArea(cv2.convexHull(points))) + 1.0
    compactness = min(1.0, float(mask.sum()) / hull)
    certainty = float(np.clip((confidence - options.unsure) / (options.sure - options.unsure), 0.0, 1.0))
    size = min(1.0, share / options.full_share)
    score = certainty * size * compactness / (1.0 + (misfit / options.misfit_mm) ** 2)
    return Plausibility(share, confidence, compactness, misfit, score)


def _rigid_view(depth: Float32Array, correspondence: Float32Array, mask: BoolArray) -> tuple[float, float]:
    """Roll in degrees of the best weak-perspective view of the correspondence, and the misfit.

    The misfit is the rms distance of (pixel, depth) from that view in mm, infinite where there is no view.
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


def _look(
    network: MapNetwork,
    photo: ByteArray,
    square: Box,
    options: LookOptions,
    *,
    mirror: bool,
    roll_deg: float = 0.0,
) -> Look:
    """Look at a crop, turned by the quarter that brings a face of that roll nearest to upright."""
    quarters = round(roll_deg / 90)
    crop = Crop.of(photo, square, network.size)
    maps = network.predict(np.ascontiguousarray(np.rot90(crop.image, -quarters))[None], mirror=mirror)
    depth, correspondence, probability = (
        np.ascontiguousarray(np.rot90(values[0], quarters))
        for values in (maps.depth, maps.correspondence, maps.mask_probability)
    )
    mask = _main_parts(probability > options.threshold, options.least_part)
    roll, misfit = _rigid_view(depth, correspondence, mask)
    return Look(crop, depth, correspondence, mask, _judged(probability, mask, misfit, options), roll)


def _settle(network: MapNetwork, photo: ByteArray, square: Box, options: LookOptions) -> Look:
    """Look at `square`, then where the mask is, upright; stop where the network sees nothing."""
    look = _look(network, photo, square, options, mirror=options.looks == 1)
    for remaining in range(options.looks - 2, -1, -1):
        if look.plausibility.share < options.least_share:
            return look
        square = later_square(look.face_box, options)
        look = _look(network, photo, square, options, mirror=remaining == 0, roll_deg=look.roll_deg)
    if options.looks > 1 and look.plausibility.share >= options.least_share:
        square = later_square(look.face_box, options)
        if box_iou(square, look.crop.box) < options.steady:  # the first look was so far off that the second was, too
            look = _look(network, photo, square, options, mirror=True, roll_deg=look.roll_deg)
    return look


def later_square(face_box: Box, options: LookOptions = LookOptions()) -> Box:
    """Return the crop of a later look at a face whose mask has the box `face_box`."""
    x0, y0, x1, y1 = face_box
    half = 0.5 * options.later_look * max(x1 - x0, y1 - y0)
    x, y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    return x - half, y - half, x + half, y + half


def _verified(
    network: MapNetwork, photo: ByteArray, detections: Iterable[Detection], options: LookOptions
) -> Iterator[Look]:
    """Yield the looks at detections that turn out to be faces, each face once, the clear ones first."""
    faces: list[Box] = []
    doubtful: list[Look] = []
    for found in detections:
        look = _settle(network, photo, crop_box(found, options.first_look), options)
        score = look.plausibility.score
        log.debug("detection %s: %s", found, look.plausibility)
        if score < options.least_score or any(box_iou(look.face_box, face) > options.same_face for face in faces):
            continue
        if score < options.clear_score:
            doubtful.append(look)
            continue
        faces.append(look.face_box)
        yield look
    for look in sorted(doubtful, key=lambda look: -look.plausibility.score):
        if all(box_iou(look.face_box, face) <= options.same_face for face in faces):
            faces.append(look.face_box)
            yield look
    if not faces:
        yield from _unasked(network, photo, options)


def _unasked(network: MapNetwork, photo: ByteArray, options: LookOptions) -> Iterator[Look]:
    """Yield the best look at the middle of a photo where the detector has found nothing, if it is beyond doubt."""
    height, width = photo.shape[:2]
    looks = []
    for share in options.unasked_sides:
        half = 0.5 * share * min(height, width)
        x, y = 0.5 * (width - 1), 0.5 * (height - 1)
        looks.append(
            _settle(network, photo, crop_box((x - half, y - half, x + half, y + half), options.first_look), options)
        )
    best = max(looks, key=lambda look: look.plausibility.score)
    if best.plausibility.score >= options.unasked_score:
        yield best


def _choose(looks: Iterator[Look], face_index: int) -> Look:
    count = 0
    for look in looks:
        if count == face_index:
            return look
        count += 1
    if count == 0:
        raise NoFaceFound("no face was found in the photo; box= says where it is")
    raise NoFaceFound(f"face_index is {face_index}, but the photo has {count} face{'s' if count > 1 else ''}")


def _main_parts(mask: BoolArray, least_part: float) -> BoolArray:
    """Return the mask without parts smaller than `least_part` of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count <= 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.concatenate([[False], areas >= least_part * areas.max()])
    return np.asarray(keep[labels], dtype=np.bool_)


ON_DEPTH_MM = 6.0
"""A landmark of the fitted model counts as seen when the depth map passes within this of it."""


def _onto_depth(landmarks: FloatArray, camera: Camera, maps: FaceMaps) -> FloatArray:
    """Return the landmarks moved along the line of sight onto the depth map where it shows them."""
    pixels = camera.project(landmarks)
    places = np.rint(apply_affine(maps.affine, pixels)).astype(np.int64)
    inside = ((places >= 0) & (places < maps.size)).all(axis=1)
    column, row = np.clip(places, 0, maps.size - 1).T
    seen_depth = maps.depth[row, column]
    depth = camera.view(landmarks)[:, 2]
    seen = inside & (np.abs(np.nan_to_num(seen_depth, nan=np.inf) - depth) < ON_DEPTH_MM)
    return camera.unproject(pixels, np.where(seen, np.nan_to_num(seen_depth), depth))
