"""Frames of a video with their times: from a file, a webcam, or an iterator. One frame at a time is in memory."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray
from facegeom._internal.outputs import printable
from facegeom.errors import VideoError
from facegeom.images.limits import MAX_PIXELS

Picture: TypeAlias = Callable[[], ByteArray]
"""Function that returns the image of a frame, (h, w, 3) uint8, RGB."""

VideoInput: TypeAlias = str | os.PathLike[str] | int | Iterable[Any]
"""A path, the number of a webcam, or frames."""

USUAL_FPS = 30.0
"""Frame rate that is taken for the rate of a webcam or a file that states none."""

FASTEST_FPS = 1000.0

_ENVIRONMENT = {
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # nothing: what is wrong with a file is in the exception
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file",  # a playlist must not open addresses
}


_TEXT = b"ansi"
"""Codec as which FFmpeg reads a text file: a video of the letters."""


class Frame(NamedTuple):
    """A frame of a video.

    Attributes
    ----------
    time : seconds since the first frame
    image : (h, w, 3) uint8 array, RGB, upright
    """

    time: float
    image: ByteArray


@dataclass(frozen=True)
class Video:
    """A video that can be read once, or again if it is a file.

    Attributes
    ----------
    source : path, number of a webcam, or iterable of frames
    fps : nominal frame rate; the times of the frames count, which may differ from it
    count : number of frames that the file states, or None
    seconds : frames from this time on are left out; None: all frames are read
    timed : whether an iterable yields pairs of time and frame
    """

    source: VideoInput
    fps: float
    count: int | None
    seconds: float | None
    timed: bool = False

    @property
    def is_file(self) -> bool:
        """Whether the frames can be read again."""
        return isinstance(self.source, (str, os.PathLike))

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order; times increase.

        Raises
        ------
        As `moments`.
        """
        for moment, image in self.moments():
            yield Frame(moment, image())

    def moments(self) -> Generator[tuple[float, Picture], None, None]:
        """Yield the time of each frame and a function that returns its image before the next frame is read.

        Frames of a file whose image is not asked for take less time.

        Raises
        ------
        VideoError
            If there is no frame, or the times do not increase.
        ValueError, TypeError
            If an iterable yields something else than frames.
        """
        first: float | None = None
        last = -math.inf
        for moment, image in self._read():
            first = moment if first is None else first
            passed = moment - first
            if passed <= last:
                if not self.is_file:
                    raise VideoError(f"the times of the frames must increase, got {passed:.6g} s after {last:.6g} s")
                passed = last + 1.0 / self.fps  # files with broken time stamps
            if self.seconds is not None and passed >= self.seconds:
                return
            last = passed
            yield passed, image
        if first is None:
            raise VideoError(f"{self._name} contains no frames")

    @property
    def _name(self) -> str:
        if isinstance(self.source, (str, os.PathLike)):
            return printable(Path(self.source).name)
        return f"webcam {self.source}" if isinstance(self.source, int) else "the video"

    def _read(self) -> Iterator[tuple[float, Picture]]:
        if isinstance(self.source, (str, os.PathLike)):
            yield from _read_file(_open_file(Path(self.source)), self.fps)
        elif isinstance(self.source, int):
            yield from _read_webcam(_open_webcam(self.source))
        else:
            for number, item in enumerate(self.source):
                if self.timed:
                    moment, image = _pair(item)
                    yield moment, partial(check.rgb_image, image, f"frame {number}")
                else:
                    yield number / self.fps, partial(check.rgb_image, item, f"frame {number}")


def open_video(source: VideoInput, fps: float | None = None, seconds: float | None = None) -> Video:
    """Return a video, whose first frame is not read yet.

    Parameters
    ----------
    source : path of a video file; number of a webcam, 0 for the first one; or an iterable of frames, (h, w, 3) uint8
        arrays in RGB (with `fps`), or of pairs (seconds, frame) (without)
    fps : frame rate of the frames of an iterable; None for files and webcams, whose frames have times
    seconds : longest time that is read; a webcam has no end of its own

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    VideoError
        If the file is no video that OpenCV can read, or has more than `facegeom.images.limits.MAX_PIXELS` pixels a
        frame.
    ValueError, TypeError
        If an argument is invalid.
    """
    limit = None if seconds is None else check.positive(seconds, "seconds")
    if isinstance(source, (str, os.PathLike, int)) and not isinstance(source, bool):
        if fps is not None:
            raise ValueError("fps is only for an iterable of frames: files and webcams have time stamps")
        if isinstance(source, int):
            return Video(check.count(source, "the number of a webcam"), USUAL_FPS, None, limit)
        capture = _open_file(Path(source))
        try:
            rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        finally:
            capture.release()
        rate = rate if math.isfinite(rate) and 0 < rate <= FASTEST_FPS else USUAL_FPS
        return Video(source, rate, int(count) if math.isfinite(count) and count > 0 else None, limit)
    if isinstance(source, (bytes, dict, bool)) or not isinstance(source, Iterable):
        raise TypeError(
            f"video must be a path, the number of a webcam or an iterable of frames, got {type(source).__name__}"
        )
    rate = USUAL_FPS if fps is None else check.in_range(fps, "fps", 1e-3, FASTEST_FPS)
    return Video(source, rate, None, limit, timed=fps is None)


def _pair(item: Any) -> tuple[float, Any]:
    """Return time and image of an item of an iterable without a frame rate."""
    if not isinstance(item, tuple) or len(item) != 2:
        raise TypeError(
            f"an iterable of frames needs fps=, or must yield pairs (seconds, frame), got {type(item).__name__}"
        )
    return check.in_range(item[0], "the time of a frame", -1e12, 1e12), item[1]


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Set the environment that OpenCV reads when it opens a file; settings of the user are kept."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
        for name in added:
            os.environ.pop(name, None)


def _open_file(path: Path) -> cv2.VideoCapture:
    name = printable(path.name)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {printable(str(path))}")
    if not path.is_file():
        raise VideoError(f"{name} is no file")
    with _environment():
        capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG)
    kind = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
    if not capture.isOpened() or kind == _TEXT:
        capture.release()
        raise VideoError(f"{name} is no video that can be read")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # the rotation that the file states
    pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if pixels > MAX_PIXELS:
        capture.release()
        raise VideoError(f"{name} has {pixels:.0f} pixels a frame, and at most {MAX_PIXELS} are read")
    return capture


def _read_file(capture: cv2.VideoCapture, fps: float) -> Iterator[tuple[float, Picture]]:
    """Yield the frames of a file with the times of their time stamps."""
    try:
        number = 0
        while capture.grab():
            stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
            moment = stamp if math.isfinite(stamp) and (stamp > 0 or not number) else number / fps
            yield moment, partial(_retrieved, capture)
            number += 1
    finally:
        capture.release()


def _retrieved(capture: cv2.VideoCapture) -> ByteArray:
    found, image = capture.retrieve()
    if not found:
        raise VideoError("a frame of the video cannot be decoded")
    return _rgb(image)


def _open_webcam(number: int) -> cv2.VideoCapture:
    with _environment():
        capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise VideoError(f"there is no webcam {number}, or another program uses it")
    return capture


def _read_webcam(capture: cv2.VideoCapture) -> Iterator[tuple[float, Picture]]:
    """Yield the frames of a webcam with the times at which they arrive."""
    try:
        while True:
            found, image = capture.read()
            if not found:
                return
            yield time.monotonic(), partial(_rgb, image)
    finally:
        capture.release()


def _rgb(image: Any) -> ByteArray:
    kind = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, kind), np.uint8)
