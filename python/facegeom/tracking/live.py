"""`track_live`: the face in each frame of a webcam, as soon as the frame has arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model.blendshapes import ARKIT_NAMES
from facegeom.images.camera import Camera, Pose
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend
from facegeom.tracking.frame_fit import FrameFit
from facegeom.tracking.lids import BLINKS, Lids
from facegeom.tracking.smoothing import OneEuro, OneEuroOptions, quaternions, rotation_matrices
from facegeom.tracking.tracker import Tracker
from facegeom.tracking.video import Video, VideoInput, open_video
from facegeom.tracking.whole_video import frame_weights

WEIGHTS = OneEuroOptions(cutoff_hz=0.5, speed=30.0)
"""Filter of the weights; chosen on synthetic videos of validation portraits, see `facegeom evaluate track`."""

ROTATION = OneEuroOptions(cutoff_hz=0.3, speed=8.0)
"""Filter of the rotation, whose speed is in radians a second."""

PLACE = OneEuroOptions(cutoff_hz=0.5, speed=0.2)
"""Filter of the place of the face, in mm, and of 100 times the logarithm of its size."""


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """What a frame shows.

    Attributes
    ----------
    time : seconds since the first frame
    image : (h, w, 3) uint8 array, RGB
    seen : whether there is a face
    weights : dict from each of ARKit's names to float; empty if there is no face
    camera : Camera, projection from the face frame to pixels of the frame; None if there is no face
    identity : (k,) float array, identity coefficients as far as they are known; they are refined in the first frames
    score : plausibility of the predicted maps, in [0, 1]
    """

    time: float
    image: ByteArray
    seen: bool
    weights: dict[str, float]
    camera: Camera | None
    identity: FloatArray
    score: float

    @property
    def pose(self) -> Pose | None:
        """Yaw, pitch and roll of the face in degrees; None if there is no face."""
        return None if self.camera is None else self.camera.pose


def track_live(
    video: VideoInput = 0,
    *,
    fps: float | None = None,
    seconds: float | None = None,
    device: str = "cpu",
    backend: str = DEFAULT_BACKEND,
) -> Iterator[TrackedFrame]:
    """Track the face of one person frame by frame, with the One Euro filter (Casiez et al. 2012).

    Parameters
    ----------
    video, fps, seconds, device, backend : as in `facegeom.track`; by default the first webcam

    Yields
    ------
    TrackedFrame
        One for each frame, before the next frame is read.

    Raises
    ------
    VideoError, FileNotFoundError, FacegeomError, TypeError, ValueError
        As in `facegeom.track`. A video without a face is no error.

    Examples
    --------
    >>> for frame in facegeom.track_live(0):  # doctest: +SKIP
    ...     print(frame.time, frame.weights.get("jawOpen"))
    """
    check_backend(backend, device)
    return _frames(open_video(video, fps, seconds), Tracker(device, backend))


def _frames(video: Video, tracker: Tracker) -> Iterator[TrackedFrame]:
    live = LiveFilter()
    for time, image in video.frames():
        found = tracker.see(image)
        if tracker.settled:
            tracker.forget()
        if found is None or tracker.cut:
            live.reset()
        if found is None:
            yield TrackedFrame(time, image, False, {}, None, tracker.identity, 0.0)
            continue
        weights, camera = live(time, found[0])
        named = dict(zip(ARKIT_NAMES, weights.tolist(), strict=True))
        yield TrackedFrame(time, image, True, named, camera, tracker.identity, found[1])


class LiveFilter:
    """The filters of the weights, the rotation, the place and the size of a face."""

    def __init__(self) -> None:
        self._weights, self._place = OneEuro(WEIGHTS), OneEuro(PLACE)
        self._rotation = OneEuro(ROTATION, rotation=True)
        self._lids = Lids()

    def reset(self) -> None:
        """Forget the past, as at a cut; the lids of the person are kept."""
        for one in (self._weights, self._rotation, self._place):
            one.reset()

    def __call__(self, time: float, fit: FrameFit) -> tuple[FloatArray, Camera]:
        """Return the filtered weights (52,) and the filtered camera of a fit."""
        weights = frame_weights(fit)
        self._lids.see(time, weights[BLINKS])
        weights[BLINKS] = self._lids.weights(weights[BLINKS])
        weights = self._weights(time, weights)
        rotation = rotation_matrices(self._rotation(time, quaternions(fit.camera.rotation[None])[0])[None])[0]
        scale = fit.camera.scale
        place = self._place(time, np.append(fit.camera.translation / scale, 100.0 * np.log(scale)))
        size = float(np.exp(place[2] / 100.0))
        return weights, Camera(rotation, size, place[:2] * size)
