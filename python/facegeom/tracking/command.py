"""The command `facegeom track`: it plans the files, tracks the video, shows the progress, and writes."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from facegeom._internal.outputs import Outputs
from facegeom.tracking.performance import Performance, check_performance_suffix
from facegeom.tracking.preview import check_preview_suffix
from facegeom.tracking.whole_video import track

Say = Callable[[str], None]

SHOW_EVERY = 0.5
"""Least time from one line of progress to the next, seconds."""


class UsageError(Exception):
    """The arguments contradict each other."""


def track_video(args: argparse.Namespace, say: Say, complain: Say) -> None:
    """Run the command. Frames without a face are reported and are no failure.

    Raises
    ------
    UsageError
        If no file is to be written, or a webcam has no end.
    FacegeomError, OSError, ValueError, TypeError
        As `track` and `Performance.save`; nothing is written then.
    """
    files = [*(args.out or []), *([args.csv] if args.csv else [])]
    if not files and args.preview_video is None:
        raise UsageError("give a file to write: -o performance.glb, --csv performance.csv or --preview-video FILE.mp4")
    video = _source(args)
    for path in files:
        check_performance_suffix(path)
    if args.csv is not None and args.csv.suffix.lower() != ".csv":
        raise UsageError(f"the suffix of --csv must be .csv, got {args.csv.name!r}")
    outputs = Outputs([video] if isinstance(video, Path) else [])
    for path in files:
        outputs.add(path, f"{path.name}, the performance,")
    if args.preview_video is not None:
        check_preview_suffix(args.preview_video)
        outputs.add(args.preview_video, "the preview video")
    heads = args.preview_video is not None or any(path.suffix.lower() == ".glb" for path in files)
    written = [*files, *([args.preview_video] if args.preview_video else [])]
    parts = parts_folder(written[0]) if isinstance(video, Path) else None
    with Progress("frames", quiet=args.json) as progress, _resumable(parts, complain):
        performance = track(
            video,
            seconds=args.seconds,
            texture=args.texture if heads else None,
            device=args.device,
            backend=args.backend,
            progress=progress,
            workers=args.workers,
            parts=parts,
        )
    outputs.make_folders()
    for path in files:
        performance.save(path)
    if args.preview_video is not None:
        with Progress("frames of the preview", quiet=args.json) as progress:
            performance.save_preview(args.preview_video, progress)
    if parts is not None:
        shutil.rmtree(parts, ignore_errors=True)
    if args.json:
        print(
            json.dumps({"video": str(video), "out": [str(path) for path in written], **performance.to_dict()}, indent=2)
        )
    else:
        _summary(performance, written, say)
    unseen = len(performance) - int(performance.seen.sum())
    if unseen:
        complain(f"no face was found in {unseen} of {len(performance)} frames: the curves are interpolated there")


def parts_folder(path: Path) -> Path:
    """Return the folder in which the parts of a video are kept while the file `path` is made."""
    return path.with_name(f"{path.name}.parts")


@contextlib.contextmanager
def _resumable(parts: Path | None, complain: Say) -> Iterator[None]:
    """Say after an error or Ctrl-C where the finished parts of the video are."""
    try:
        yield
    except BaseException:
        if parts is not None and parts.is_dir():
            complain(f"the finished parts of the video are in {parts}: the same command goes on from there")
        raise


def _source(args: argparse.Namespace) -> Path | int:
    """Return the path of the video file, or the number of the webcam."""
    text = args.video
    if not text.isdecimal() or os.path.lexists(text):
        return Path(text if os.path.lexists(text) else os.path.expanduser(text))
    if args.seconds is None:
        raise UsageError(f"give the length of the recording of webcam {text}: --seconds S")
    if args.preview_video is not None:
        raise UsageError("--preview-video needs a video file: the frames of a webcam cannot be read again")
    return int(text)


def _summary(performance: Performance, files: list[Path], say: Say) -> None:
    width = max(len(name) for name in performance.timings)
    for name, spent in performance.timings.items():
        say(f"{name:<{width}} {spent:9.0f} ms {spent / len(performance):7.1f} ms a frame")
    total = sum(performance.timings.values())
    say(f"{'total':<{width}} {total:9.0f} ms {total / len(performance):7.1f} ms a frame")
    say(
        f"{', '.join(map(str, files))}: {len(performance)} frames, {performance.times[-1]:.1f} s, "
        f"face in {int(performance.seen.sum())}"
    )


class Progress:
    """Shows the number of frames and their rate on the terminal, in one line of stderr; nothing elsewhere."""

    def __init__(self, unit: str, *, quiet: bool) -> None:
        self._unit = unit
        self._shown = sys.stderr.isatty() and not quiet
        self._start = self._last = time.monotonic()

    def __call__(self, done: int, count: int | None) -> None:
        """Show the progress, if the last line is old enough."""
        now = time.monotonic()
        if not self._shown or now - self._last < SHOW_EVERY:
            return
        self._last = now
        of = f" of {count}" if count is not None and count >= done else ""
        sys.stderr.write(f"\r{done}{of} {self._unit}, {done / (now - self._start):.1f} a second ")
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the line."""
        if self._shown and self._last > self._start:
            sys.stderr.write("\r" + " " * 70 + "\r")
            sys.stderr.flush()
