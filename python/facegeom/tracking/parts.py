"""A video in parts: several processes track them at the same time, and an interrupted run goes on from those that are
finished.

The first frames, until the identity of the person is settled, are one part. The others have a fixed length and start
some frames earlier with a tracker of their own, so that crop and expression have settled when they begin. A part whose
face is elsewhere than at the end of the part before, as with several people in a video, is tracked again from there.
"""

from __future__ import annotations

import os
import zipfile
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from facegeom import __version__
from facegeom._internal.arrays import FloatArray
from facegeom._internal.lock import locked
from facegeom._internal.stopwatch import stopwatch
from facegeom.errors import FacegeomError, OutputError
from facegeom.images.boxes import Box, box_iou
from facegeom.tracking.recording import Recording
from facegeom.tracking.tracker import GoodFrame, Tracker, best_frames
from facegeom.tracking.video import Frame, Picture, Video

Progress = Callable[[int, int | None], None]
"""Called with the number of frames that are done and that of the video, or None if it is not known."""

PART_FRAMES, LEAD = 240, 8
"""Number of frames of a part, and of those before it with which its tracker starts."""

SAME_FACE = 0.3
"""IoU of two boxes of the face in one frame below which they are two people."""


@dataclass(frozen=True)
class Job:
    """A part of a video that is tracked with a known identity.

    Attributes
    ----------
    video : Video, a file
    start, count : number of the first frame, and of frames
    identity : (k,) float array
    device, backend : where the networks run
    near : box of the face in the frame before the lead, or None
    """

    video: Video
    start: int
    count: int
    identity: FloatArray
    device: str
    backend: str
    near: Box | None = None


@dataclass(frozen=True)
class Part:
    """A tracked part.

    Attributes
    ----------
    recording : Recording
    entry : box of the face in the frame before the first, or None
    ended : whether the video ends in this part
    """

    recording: Recording
    entry: Box | None
    ended: bool


def record(
    video: Video, tracker: Tracker, progress: Progress | None = None, *, frames: Iterator[Frame] | None = None,
    until_settled: bool = False,
) -> Recording:  # fmt: skip
    """Return what a tracker finds in the frames of a video, all fitted with its final identity.

    Parameters
    ----------
    video : Video
    tracker : Tracker
    progress : called after each frame
    frames : the frames; None: all of the video
    until_settled : True: end after the frame in which the identity is settled
    """
    recording = Recording()
    source = video.frames() if frames is None else frames
    while True:
        with stopwatch(tracker.timings, "reading"):
            frame = next(source, None)
        if frame is None:
            break
        size = (frame.image.shape[1], frame.image.shape[0])
        if not recording.times:
            recording.size = size
        elif recording.size != size:
            raise ValueError("all frames must have the same size")
        found = tracker.see(frame.image)
        recording.times.append(frame.time)
        recording.fits.append(None if found is None else found[0])
        recording.scores.append(0.0 if found is None else found[1])
        recording.cuts.append(tracker.cut)
        recording.boxes.append(tracker.face_box)
        if progress is not None:
            progress(len(recording.times), video.count)
        if tracker.settled:
            _refit(tracker, recording)
            if until_settled:
                break
    _refit(tracker, recording)
    recording.good = tracker.good_frames
    recording.timings = dict(tracker.timings)
    recording.identity = tracker.identity
    return recording


def _refit(tracker: Tracker, recording: Recording) -> None:
    for number, fit in tracker.refit():
        recording.fits[number] = fit


class Reader:
    """Reads parts of a video file one after the other, and goes back by at most `LEAD` frames without a new start."""

    def __init__(self, video: Video) -> None:
        self.video = video
        self._open()

    def _open(self) -> None:
        self._moments: Generator[tuple[float, Picture], None, None] = self.video.moments()
        self._next = 0
        self._before: deque[tuple[int, Frame]] = deque(maxlen=LEAD)

    def frames(self, start: int, count: int) -> Iterator[Frame]:
        """Yield at most `count` frames from the one with the number `start`."""
        earliest = self._before[0][0] if self._before else self._next
        if start < earliest:
            self._moments.close()
            self._open()
        for number, frame in list(self._before):
            if start <= number < start + count:
                yield frame
        while self._next < start + count:
            item = next(self._moments, None)
            if item is None:
                return
            number, self._next = self._next, self._next + 1
            if number >= start - LEAD:  # kept, in case the next part starts here
                frame = Frame(item[0], item[1]())
                self._before.append((number, frame))
                if number >= start:
                    yield frame


_reader: Reader | None = None


def track_part(job: Job, progress: Progress | None = None) -> Part:
    """Track a part of a video; the file stays open for the next part."""
    global _reader
    if _reader is None or _reader.video != job.video:
        _reader = Reader(job.video)
    first = max(0, job.start - LEAD)
    tracker = Tracker(job.device, job.backend, identity=job.identity, number=first, near=job.near)
    frames = _reader.frames(first, job.start - first + job.count)
    for _ in range(job.start - first):
        frame = next(frames, None)
        if frame is not None:
            tracker.see(frame.image)
    entry = tracker.face_box
    recording = record(job.video, tracker, progress, frames=frames)
    return Part(recording, entry, len(recording.times) < job.count)


def record_parts(
    video: Video, device: str, backend: str, workers: int = 1, folder: Path | None = None,
    progress: Progress | None = None,
) -> Recording:  # fmt: skip
    """Return what the frames of a video file show.

    Parameters
    ----------
    video : Video, a file
    device, backend : where the networks run
    workers : number of processes that track parts; 1: this process alone
    folder : folder in which finished parts are kept, and from which they are taken; None: nowhere
    progress : called after each frame, or after each part if there are several processes

    Raises
    ------
    OutputError
        If the folder belongs to another video or to other options, or another run uses it.
    FacegeomError
        If a process ends.
    VideoError, OSError, ValueError
        As `Video.moments` and `record`.
    """
    with Store(folder, video, backend) as store, _pool(workers) as pool:
        part = store.load(0)
        if part is None:
            part = _first_part(video, Tracker(device, backend), progress)
            if not part.ended:
                store.keep(0, part)
        whole, waiting = part.recording, deque[tuple[Job, Part | Future[Part]]]()
        following = len(whole.times)
        while not part.ended:
            while len(waiting) < (1 if pool is None else 2 * workers):
                job = Job(video, following, PART_FRAMES, whole.identity, device, backend)
                known: Part | Future[Part] | None = store.load(job.start)
                if known is None and pool is None:
                    known = track_part(job, _after(progress, following))
                elif known is None and pool is not None:
                    known = pool.submit(track_part, job)
                assert known is not None
                waiting.append((job, known))
                following += PART_FRAMES
            job, result = waiting.popleft()
            part = result if isinstance(result, Part) else _result(result)
            if _is_elsewhere(whole.boxes[-1], part.entry):
                before = whole.boxes[-1 - LEAD] if len(whole.boxes) > LEAD else None
                part = track_part(replace(job, near=before or whole.boxes[-1]))
            store.keep(job.start, part)
            whole.add(part.recording)
            if progress is not None:
                progress(len(whole.times), video.count)
    whole.good = best_frames(whole.good)
    return whole


def _first_part(video: Video, tracker: Tracker, progress: Progress | None) -> Part:
    """Track the frames until the identity is settled."""
    frames = video.frames()
    recording = record(video, tracker, progress, frames=frames, until_settled=True)
    return Part(recording, None, next(frames, None) is None)


def _after(progress: Progress | None, done: int) -> Progress | None:
    """Return the progress of a part before which a number of frames are done."""
    return None if progress is None else lambda number, count: progress(done + number, count)


def _is_elsewhere(last: Box | None, entry: Box | None) -> bool:
    return last is not None and entry is not None and box_iou(last, entry) < SAME_FACE


def _result(waiting: Future[Part]) -> Part:
    try:
        return waiting.result()
    except BrokenProcessPool as error:
        raise FacegeomError("a process that tracks a part of the video ended, perhaps for lack of memory") from error


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Yield the processes, or None if one is enough."""
    if workers == 1:
        yield None
        return
    # Spawned, because the threads of torch do not work in forked processes.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class Store:
    """The finished parts of a video in a folder, which is made with the first one and locked until the store is closed.

    Parameters
    ----------
    folder : the folder; None: nothing is kept
    video : Video, a file
    backend : name of the backend
    """

    def __init__(self, folder: Path | None, video: Video, backend: str) -> None:
        self._folder, self._stack, self._locked = folder, ExitStack(), False
        source = Path(str(video.source))
        state = source.stat()
        self._about = {
            "video": os.path.abspath(source),
            "bytes": state.st_size,
            "changed": state.st_mtime_ns,
            "seconds": video.seconds,
            "backend": backend,
            "facegeom": __version__,
            "part": [PART_FRAMES, LEAD],
        }

    def __enter__(self) -> Store:
        if self._folder is not None and self._folder.is_dir():
            self._lock(self._folder)
        return self

    def _lock(self, folder: Path) -> None:
        if not self._locked:
            self._stack.enter_context(locked(folder / "lock", f"the folder {folder}"))
            self._locked = True

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def load(self, start: int) -> Part | None:
        """Return the part that starts at a frame, or None if it is not finished.

        Raises
        ------
        OutputError
            If it is a part of another video, or of the video with other options.
        """
        if self._folder is None:
            return None
        try:
            recording, about = Recording.load(self._path(start))
            entry, ended = about.pop("entry"), bool(about.pop("ended"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        if about != self._about:
            raise OutputError(
                f"the folder {self._folder} has parts of another video, of an earlier version of it, or of a run with "
                "other options: remove it, or write to another file"
            )
        return Part(recording, None if entry is None else (entry[0], entry[1], entry[2], entry[3]), ended)

    def keep(self, start: int, part: Part) -> None:
        """Write a part, if it is not there yet."""
        if self._folder is not None and self.load(start) is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock(self._folder)
            part.recording.save(self._path(start), {**self._about, "entry": part.entry, "ended": part.ended})

    def _path(self, start: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{start:09d}.npz"


def with_images(video: Video, good: list[GoodFrame]) -> list[GoodFrame]:
    """Return frames with their images, which are read from the video file."""
    wanted = {frame.number for frame in good}
    images = {}
    for number, (_, image) in enumerate(video.moments()):
        if number in wanted:
            images[number] = image()
        if number >= max(wanted):
            break
    return [frame._replace(image=images[frame.number]) for frame in good]
