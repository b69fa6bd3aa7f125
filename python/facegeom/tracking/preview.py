"""A video of the frames of a performance beside the head that it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom._internal.files import write_atomically
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.face_model.levels import at_level
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.render import Frame, render_mesh

if TYPE_CHECKING:
    from facegeom.tracking.performance import Performance

PREVIEW_SUFFIX = ".mp4"
MOST_HEIGHT = 480
"""Largest height of a preview, pixels; larger frames are reduced."""

DOT = (60, 255, 90)


def check_preview_suffix(path: Path) -> None:
    """Raise FacegeomError if no preview can be saved in this format."""
    if path.suffix.lower() != PREVIEW_SUFFIX:
        raise FacegeomError(f"cannot save a preview video as {path.name!r}: the suffix must be {PREVIEW_SUFFIX}")


def write_preview(performance: Performance, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a video (MPEG-4): each frame with the tracked landmarks, and the head in the same pose.

    Parameters
    ----------
    performance : Performance
    path : path of an .mp4 file
    progress : called after each frame with the number of frames so far and the number of frames

    Raises
    ------
    FacegeomError
        If the suffix is not .mp4, or the performance does not come from a video file, which is read a second time.
    OSError
        If the file cannot be written.
    """
    check_preview_suffix(path)
    if performance.video is None:
        raise FacegeomError("a preview video needs a video file: frames of webcams and iterables cannot be read again")
    write_atomically(path, lambda temporary: _write(performance, temporary, progress))


def _write(performance: Performance, path: Path, progress: Callable[[int, int], None] | None) -> None:
    video = performance.video
    assert video is not None
    height = min(MOST_HEIGHT, performance.size[1]) // 2 * 2
    width = max(2, round(performance.size[0] * height / performance.size[1]) // 2 * 2)
    head = at_level(performance.head, 1)
    names = list(head.blendshapes)
    shapes = np.stack([head.blendshapes[name] for name in names]).reshape(len(names), -1)
    order = [performance.names.index(name) for name in names]
    frame_of = Frame.around(head)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), performance.fps, (width + height, height)
    )
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write the video {path.name}")
    try:
        written = 0
        for number, frame in enumerate(video.frames()):
            if number >= len(performance):
                break
            due = round(float(performance.times[number]) * performance.fps) + 1
            if written < due:  # frames come at their times: the file has one interval between frames
                moved = (performance.weights[number, order].astype(np.float32) @ shapes).reshape(-1, 3)
                posed = replace(head, vertices=head.vertices + moved, blendshapes={}, weights={})
                picture = _side_by_side(performance, number, frame.image, posed, frame_of, (width, height))
                for _ in range(due - written):
                    writer.write(picture[..., ::-1])
                written = due
            if progress is not None:
                progress(number + 1, len(performance))
    finally:
        writer.release()


def _side_by_side(
    performance: Performance, number: int, image: ByteArray, head: FaceMesh, frame: Frame, size: tuple[int, int]
) -> ByteArray:
    """Return a frame with the landmarks of the head where a face was found, and the head."""
    width, height = size
    left = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if performance.seen[number]:
        landmarks = head.vertices[load_face_model().landmarks68]  # the coarse skin begins with that of the face model
        reduction = (width / image.shape[1], height / image.shape[0])
        for x, y in (performance.camera(number).project(landmarks) * reduction).tolist():
            cv2.circle(left, (round(x * 16), round(y * 16)), 20, DOT, -1, cv2.LINE_AA, 4)  # in sixteenths of a pixel
    rotation = performance.rotations[number]
    right = render_mesh(head, rotation, size=height, frame=frame, colors=head.texture is not None)
    return np.ascontiguousarray(np.hstack([left, right]), np.uint8)
