"""The tracker: it finds the face in each frame, refines the identity, and fits pose and expression.

A frame costs one look of the map network in the crop that the last frame gives, one of the contour network, and a fit
without identity. The detector runs in the first frame, at cuts, and where the network's score is too low. The identity
network looks at some of the first frames only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom._internal.threads import one_thread
from facegeom.face_model import load_face_model
from facegeom.face_model.fitting import fit_maps
from facegeom.images.boxes import Box, box_iou
from facegeom.images.crop import apply_affine, crop_affine
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.contour_crop import predict_contours
from facegeom.networks.identity_crop import see_identity
from facegeom.networks.interface import ContourPredictor, IdentityPredictor
from facegeom.pipelines import crop_prediction, map_prediction
from facegeom.pipelines.crop_prediction import CropPrediction, aligned_square
from facegeom.pipelines.map_options import MapOptions
from facegeom.pipelines.map_prediction import IDENTITY_FIT, IDENTITY_GAIN
from facegeom.tracking.frame_fit import FrameFit, FrameFitter, Shown, with_contours


@dataclass(frozen=True)
class TrackerOptions:
    """Options of the tracker."""

    least_score: float = 0.58  # score of the maps below which the detector searches the face
    stable_iou: float = 0.75  # IoU of the crop and the next one below which the network looks again: fast motion
    same_iou: float = 0.95  # the same above which the crop stays: at rest, each move of the crop is noise in the pose
    same_roll_deg: float = 1.0  # largest roll of the face in a crop that stays
    cut_difference: float = 30.0  # mean absolute difference of two frames, of 255, above which there is a cut
    search_frames: int = 5  # frames without a face after which only every n-th frame is searched
    looks: int = 12  # looks of the identity network, after which the identity is held
    look_interval: int = 4  # frames from one of these looks to the next
    look_yaw_deg: float = 40.0  # largest yaw of a face at which the identity network looks
    look_score: float = 0.7  # smallest score for such a look
    most_unsettled: int = 300  # frames with a face after which the identity is held, however few looks there were


THUMBNAIL = (32, 18)
"""Width and height of the small pictures in which cuts are found."""


class GoodFrame(NamedTuple):
    """A frame that shows the face well.

    Attributes
    ----------
    clarity : how well
    side : 0 from the front, -1 or 1 from a side
    number : number of the frame
    box : box of the face in pixels of the frame
    image : (h, w, 3) uint8 array; None where it has to be read again
    """

    clarity: float
    side: int
    number: int
    box: Box
    image: ByteArray | None = None


class Tracker:
    """Follows one face through the frames of a video.

    Parameters
    ----------
    device, backend : where the networks run
    keep_images : whether `good_frames` have their images
    options : TrackerOptions
    identity : (k,) float array, the identity if it is known
    number : number of the first frame that the tracker sees
    near : box of the face in the frame before, pixels; None: the face that the detector puts first

    Attributes
    ----------
    timings : dict from stage to milliseconds, all frames together
    counts : dict from "frames", "detections" and "looks" to their number
    """

    def __init__(
        self,
        device: str = "cpu",
        backend: str = DEFAULT_BACKEND,
        *,
        keep_images: bool = False,
        options: TrackerOptions = TrackerOptions(),
        identity: FloatArray | None = None,
        number: int = 0,
        near: Box | None = None,
    ) -> None:
        self.options, self.maps = options, MapOptions()
        self.model = load_face_model()
        self.fitter = FrameFitter(self.model)
        self.timings: dict[str, float] = {}
        self.counts = {"frames": number, "detections": 0, "looks": 0}
        self.settled = identity is not None
        if identity is not None:
            self.fitter.identify(identity)
        self.cut = False
        self._network = map_prediction.load_network(device, backend)
        self._identity: IdentityPredictor | None = map_prediction.identity_network(device, backend)
        self._contours: ContourPredictor | None = map_prediction.contour_network(device, backend)
        self._last: CropPrediction | None = None
        self._near = near
        self._expression: FloatArray | None = None
        self._thumbnail: FloatArray | None = None
        self._lost = 0
        self._seen = 0
        self._looked = -(10**9)
        self._weighted: FloatArray | None = None
        self._weight: FloatArray | None = None
        self._unsettled: list[tuple[int, Shown]] = []
        self._keep_images = keep_images
        self._good: dict[int, GoodFrame] = {}

    @property
    def identity(self) -> FloatArray:
        """The identity coefficients (k,) of the person, as far as they are known."""
        return self.fitter.identity

    @property
    def good_frames(self) -> list[GoodFrame]:
        """The frames that show the face best: one each from the front, the left and the right, best first."""
        return best_frames(self._good.values())

    @property
    def face_box(self) -> Box | None:
        """The box of the face in the last frame, pixels; None if it shows none."""
        return None if self._last is None else self._last.face_box

    @one_thread()
    def see(self, image: ByteArray) -> tuple[FrameFit, float] | None:
        """Return pose and expression in the next frame, (h, w, 3) uint8, and the score; None if there is no face.

        The attribute `cut` is then whether the frame begins another shot.
        """
        number = self.counts["frames"]
        self.counts["frames"] += 1
        with stopwatch(self.timings, "cuts"):
            self.cut = self._is_cut(image)
        prediction = self._find(image, number)
        self._last = prediction
        shown = None
        if prediction is not None:
            with stopwatch(self.timings, "fit"):
                shown = self.fitter.shown(prediction)
        if prediction is None or shown is None:
            self._last = None
            self._lost += 1
            self._expression = None
            self.fitter.gaze.forget()
            return None
        self._lost = 0
        self._seen += 1
        if self.cut:
            self._expression = None
            self.fitter.gaze.forget()
        shown = self._with_contours(image, prediction, shown)
        if not self.settled:
            self._refine(image, number, prediction, shown)
        with stopwatch(self.timings, "fit"):
            found = self.fitter.fit(shown, self._expression)
        self._expression = found.expression
        self._keep(image, prediction, found, number)
        return found, prediction.plausibility.score

    @one_thread()
    def refit(self) -> Iterator[tuple[int, FrameFit]]:
        """Yield the numbers and the fits of the frames that were seen before the identity was settled, fitted again.

        The identity counts as settled from then on.
        """
        self.settled = True
        frames, self._unsettled = self._unsettled, []
        last: FloatArray | None = None
        before = -2
        for number, shown in frames:
            with stopwatch(self.timings, "fit"):
                found = self.fitter.fit(shown, last if number == before + 1 else None)
            last, before = found.expression, number
            yield number, found

    def forget(self) -> None:
        """Drop what `refit` needs, where the frames before the identity was settled are not fitted again."""
        self._unsettled.clear()

    def _is_cut(self, image: ByteArray) -> bool:
        """Return whether the frame begins another shot."""
        small = cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float64).mean(axis=2)
        before, self._thumbnail = self._thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > self.options.cut_difference

    def _find(self, image: ByteArray, number: int) -> CropPrediction | None:
        """Return the prediction of the map network for the face in a frame."""
        options, last = self.options, self._last
        near = self._near if last is None else last.face_box
        self._near = None
        if last is not None and not self.cut:
            with stopwatch(self.timings, "network"):
                still = box_iou(aligned_square(last), last.crop.box) > options.same_iou
                steady = still and abs(last.residual_deg) < options.same_roll_deg
                look = crop_prediction.predict_again if steady else crop_prediction.predict_aligned
                found = look(self._network, image, last, self.maps, mirror=True)
                if found.plausibility.score > 0:
                    if box_iou(aligned_square(found), found.crop.box) < options.stable_iou:
                        found = crop_prediction.predict_aligned(self._network, image, found, self.maps, mirror=True)
                    if found.plausibility.score >= options.least_score:
                        return found
        if self._lost >= options.search_frames and number % options.search_frames and not self.cut:
            return None
        with stopwatch(self.timings, "detection"):
            self.counts["detections"] += 1
            return map_prediction.find_face(image, self._network, self.maps, near)

    def _with_contours(self, image: ByteArray, prediction: CropPrediction, shown: Shown) -> Shown:
        """Return what a frame shows, with the answer of the contour network.

        Its crops are placed by the expression of the last frame, or by a first fit if there is none.
        """
        expression = self._expression
        if expression is None:
            with stopwatch(self.timings, "fit"):
                expression = self.fitter.fit(shown, None).expression
        if self._contours is None:
            return shown
        with stopwatch(self.timings, "contours"):
            landmarks, camera = self.fitter.landmarks(shown, expression)
            contours = predict_contours(self._contours, self.model, image, landmarks, camera.rotation)
        with stopwatch(self.timings, "gaze"):
            gaze = self.fitter.gaze.look(image, camera, contours.places)
        return with_contours(shown, contours, gaze, prediction)

    def _refine(self, image: ByteArray, number: int, prediction: CropPrediction, shown: Shown) -> None:
        """Look at the identity, if the frame shows the face well and the last look is some time ago."""
        options = self.options
        self._unsettled.append((number, shown))
        turned = prediction.view is None or prediction.view.rotation[2, 2] < np.cos(np.radians(options.look_yaw_deg))
        soon = number - self._looked < options.look_interval
        first = self._weight is None
        if not first and (soon or turned or prediction.plausibility.score < options.look_score):
            self.settled = self._seen >= options.most_unsettled
            return
        self._looked = number
        self.counts["looks"] += 1
        with stopwatch(self.timings, "identity"):
            self._look(image, prediction, shown)
        self.settled = self.counts["looks"] >= options.looks

    def _look(self, image: ByteArray, prediction: CropPrediction, shown: Shown) -> None:
        """Add what a frame shows of the identity to the mean by certainty; see `facegeom.person.shared_identity`."""
        expression = self.fitter.fit(shown, self._expression).expression
        landmarks, camera = self.fitter.landmarks(shown, expression)
        prior = points = None
        if self._identity is not None:
            prior, points = see_identity(self._identity, self.model, image, landmarks, camera.rotation)
            prior = replace(prior, mean=IDENTITY_GAIN * prior.mean)
            if points is not None:
                affine = crop_affine(prediction.crop.box, prediction.crop.size)
                points = replace(points, places=apply_affine(affine, points.places))
        fit = fit_maps(
            self.model,
            prediction.depth,
            prediction.correspondence,
            prediction.mask,
            IDENTITY_FIT,
            prior=prior,
            contours=shown.contours,
            seen=points,
        )
        weight = np.ones(len(fit.identity)) if prior is None else 1.0 / prior.resized(len(fit.identity)).variance
        if self._weighted is None or self._weight is None:
            self._weighted, self._weight = weight * fit.identity, weight
        else:
            self._weighted, self._weight = self._weighted + weight * fit.identity, self._weight + weight
        self.fitter.identify(self._weighted / self._weight)

    def _keep(self, image: ByteArray, prediction: CropPrediction, found: FrameFit, number: int) -> None:
        """Keep the frame if it shows the face better than those before, from the front or from its side."""
        yaw, names = found.camera.pose.yaw, self.model.expression_names
        if abs(yaw) > 65.0:
            return
        opened = float(found.expression[[names.index(name) for name in EXPRESSIVE]].clip(0.0).sum())
        detail = float(np.abs(cv2.Laplacian(prediction.crop.image, cv2.CV_32F)).mean())
        clarity = min(found.camera.scale, 2.0) * float(found.camera.rotation[2, 2]) * detail * np.exp(-opened)
        side = int(np.sign(yaw)) if abs(yaw) > SIDE_DEG else 0
        if side not in self._good or clarity > self._good[side].clarity:
            kept = image.copy() if self._keep_images else None
            self._good[side] = GoodFrame(clarity, side, number, prediction.face_box, kept)


def best_frames(frames: Iterable[GoodFrame]) -> list[GoodFrame]:
    """Return the best of the frames from each side, best first."""
    best: dict[int, GoodFrame] = {}
    for frame in frames:
        if frame.side not in best or frame.clarity > best[frame.side].clarity:
            best[frame.side] = frame
    return sorted(best.values(), key=lambda frame: -frame.clarity)


EXPRESSIVE = ("jawOpen", "eyeBlink_L", "eyeBlink_R")
"""Expressions that a frame for the texture should not show."""

SIDE_DEG = 20.0
"""Yaw from which a frame shows a side of the head."""
