"""`track`: the performance in a whole video, smoothed over all frames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.blendshapes import ARKIT_NAMES, arkit_weights
from facegeom.face_model.fitting import possible_expression
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend
from facegeom.texture.baking import SIZES
from facegeom.tracking.frame_fit import FrameFit
from facegeom.tracking.head import plain_head, textured_head
from facegeom.tracking.lids import BLINKS, Lids
from facegeom.tracking.parts import Progress, record, record_parts, with_images
from facegeom.tracking.performance import Performance
from facegeom.tracking.recording import Recording
from facegeom.tracking.smoothing import smooth, smooth_rotations
from facegeom.tracking.tracker import Tracker
from facegeom.tracking.video import VideoInput, open_video

WEIGHT_NOISE, ROTATION_NOISE = (2e-3, 0.02), (2e-4, 2e-3)
PLACE_NOISE_MM, SIZE_NOISE = (0.02, 0.3), (2e-4, 3e-3)
"""Smallest and largest standard deviations of the noise of weights, quaternions, the place of the face in mm and the
logarithm of its size. The largest are about twice those of synthetic videos."""


def track(
    video: VideoInput,
    *,
    fps: float | None = None,
    seconds: float | None = None,
    texture: int | None = None,
    device: str = "cpu",
    backend: str = DEFAULT_BACKEND,
    progress: Progress | None = None,
    workers: int = 1,
    parts: str | os.PathLike[str] | None = None,
) -> Performance:
    """Track the face of one person through a video.

    Parameters
    ----------
    video : path of a video file; number of a webcam, 0 for the first one; or an iterable of frames, (h, w, 3) uint8
        arrays in RGB (with `fps`), or of pairs (seconds, frame) (without)
    fps : frame rate of the frames of an iterable
    seconds : longest time that is read; a webcam has no end of its own
    texture : side length of the texture of the head in pixels, from 16 to 2048, taken from the best frames; None: the
        head has no colours
    device, backend : as in `facegeom.reconstruct`
    progress : called after each frame with the number of frames so far and that of the video, or None if it is not
        known; with several workers after each part of some seconds
    workers : number of processes that track parts of a file at the same time; each takes about 400 MB
    parts : folder in which the finished parts of a file are kept. A call that was interrupted goes on from them; the
        folder may be removed after the last call. None: nothing is kept

    Returns
    -------
    Performance
        One identity, and weights, pose and camera for each frame, smoothed over the whole video without lag.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    VideoError
        When the input cannot be read as a video, or contains no frames.
    NoFaceFound
        When no frame shows a face.
    OutputError
        When `parts` has those of another video or of other options, or another process uses the folder.
    FacegeomError
        When `backend` is not installed, or a worker ends.
    WeightsError
        When the weights of a network cannot be loaded.
    TypeError, ValueError
        When an argument is invalid.

    Notes
    -----
    One person is tracked: the face that the detector puts first, and from then on the same face. Where no face is seen,
    the curves are interpolated. No frame is kept in memory, or three for the texture if the video is no file; the
    result has about 1 kB a frame. With several workers, a script that calls this needs `if __name__ == "__main__":`.

    Examples
    --------
    >>> performance = facegeom.track("clip.mp4", texture=1024)  # doctest: +SKIP
    >>> performance.save("performance.glb")  # doctest: +SKIP
    """
    if texture is not None:
        texture = check.count(texture, "texture", *SIZES)
    check_backend(backend, device)
    workers = check.count(workers, "workers", 1)
    opened = open_video(video, fps, seconds)
    if opened.is_file:
        recording = record_parts(opened, device, backend, workers, None if parts is None else Path(parts), progress)
    else:
        recording = record(opened, Tracker(device, backend, keep_images=texture is not None), progress)
    if not recording.seen.any():
        raise NoFaceFound(f"no face was found in any of the {len(recording.times)} frames of the video")
    timings = dict(recording.timings)
    with stopwatch(timings, "head"):
        if texture is None:
            head = plain_head(recording.identity)
        else:
            good = with_images(opened, recording.good) if opened.is_file else recording.good
            head = textured_head(good, recording.identity, texture, device, backend)
    with stopwatch(timings, "smoothing"):
        curves = smoothed(recording)
    return Performance(
        times=np.array(recording.times),
        weights=curves.weights,
        rotations=curves.rotations,
        scales=curves.scales,
        translations=curves.translations,
        seen=recording.seen,
        scores=np.array(recording.scores),
        cuts=np.array(recording.cuts, np.bool_),
        residuals_mm=np.array([np.nan if fit is None else fit.residual_mm for fit in recording.fits]),
        identity=recording.identity,
        head=head,
        fps=opened.fps,
        size=recording.size,
        timings=timings,
        video=opened if opened.is_file else None,
    )


@dataclass(frozen=True)
class Curves:
    """Weights (n, 52), rotations (n, 3, 3), scales (n,) and translations (n, 2) of n frames."""

    weights: FloatArray
    rotations: FloatArray
    scales: FloatArray
    translations: FloatArray


def raw(recording: Recording) -> Curves:
    """Return the curves of a recording as they are; frames without a face have those of the last face before."""
    first = next(fit for fit in recording.fits if fit is not None)
    filled: list[FrameFit] = []
    for fit in recording.fits:
        filled.append(fit or (filled[-1] if filled else first))
    return Curves(
        np.array([frame_weights(fit) for fit in filled]),
        np.array([fit.camera.rotation for fit in filled]),
        np.array([fit.camera.scale for fit in filled]),
        np.array([fit.camera.translation for fit in filled]),
    )


def frame_weights(fit: FrameFit) -> FloatArray:
    """Return the weights (52,) of `ARKIT_NAMES` of a fit."""
    weights = arkit_weights(possible_expression(load_face_model(), fit.expression))
    return np.array([weights[name] for name in ARKIT_NAMES])


def smoothed(recording: Recording) -> Curves:
    """Return the curves of a recording, smoothed; each shot is smoothed on its own."""
    curves, times, seen = raw(recording), np.array(recording.times), recording.seen
    starts = [0, *(number for number, cut in enumerate(recording.cuts) if cut and number), len(times)]
    parts: list[Curves] = []
    for start, stop in pairwise(starts):
        own = slice(start, stop)
        t, counted = times[own], seen[own]
        if not counted.any():
            counted = np.ones(stop - start, np.bool_)
        scale = curves.scales[own]
        size = np.exp(smooth(t, np.log(scale)[:, None], counted, noise=SIZE_NOISE)[:, 0])
        unit = float(np.median(scale))
        place = unit * smooth(t, curves.translations[own] / unit, counted, groups=True, noise=PLACE_NOISE_MM)
        parts.append(
            Curves(
                np.clip(smooth(t, curves.weights[own], counted, noise=WEIGHT_NOISE), 0.0, None),
                smooth_rotations(t, curves.rotations[own], counted, noise=ROTATION_NOISE),
                size,
                place,
            )
        )
    names = ("weights", "rotations", "scales", "translations")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    lids, weights = Lids(), joined["weights"]
    for frame in np.flatnonzero(seen).tolist():
        lids.see(float(times[frame]), weights[frame, BLINKS])
    weights[:, BLINKS] = lids.weights(weights[:, BLINKS])
    return Curves(**joined)
