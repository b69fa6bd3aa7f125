"""A video of the frames of a performance beside the head that it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom._internal.files import write_atomically
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.face_model.levels import at_level
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.render import Frame, render_mesh
from facegeom.tracking.motion import Motion
from facegeom.tracking.video import Video

PREVIEW_SUFFIX = ".mp4"
MOST_HEIGHT = 480
"""Largest height of a preview, pixels; larger frames are reduced."""

DOT = (60, 255, 90)


def check_preview_suffix(path: Path) -> None:
    """Raise FacegeomError if no preview can be saved in this format."""
    if path.suffix.lower() != PREVIEW_SUFFIX:
        raise FacegeomError(f"cannot save a preview video as {path.name!r}: the suffix must be {PREVIEW_SUFFIX}")


def write_preview(
    video: Video | None,
    motion: Motion,
    head: FaceMesh,
    path: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a video (MPEG-4): each frame with the tracked landmarks, and the head in the same pose.

    Parameters
    ----------
    video : the video of the motion, which is read a second time, or None if it was no file
    motion : Motion
    head : FaceMesh, neutral, with the blendshapes `motion.names`
    path : path of an .mp4 file
    progress : called after each frame with the number of frames so far and the number of frames

    Raises
    ------
    FacegeomError
        If the suffix is not .mp4, or there is no video file.
    OSError
        If the file cannot be written.
    """
    check_preview_suffix(path)
    if video is None:
        raise FacegeomError("a preview video needs a video file: frames of webcams and iterables cannot be read again")
    write_atomically(path, lambda temporary: _write(video, motion, head, temporary, progress))


def _write(
    video: Video, motion: Motion, head: FaceMesh, path: Path, progress: Callable[[int, int], None] | None
) -> None:
    height = min(MOST_HEIGHT, motion.size[1]) // 2 * 2
    width = max(2, round(motion.size[0] * height / motion.size[1]) // 2 * 2)
    head = at_level(head, 1)
    names = list(head.blendshapes)
    shapes = np.stack([head.blendshapes[name] for name in names]).reshape(len(names), -1)
    order = [motion.names.index(name) for name in names]
    frame_of = Frame.around(head)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), motion.fps, (width + height, height)
    )
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write the video {path.name}")
    try:
        written = 0
        for number, frame in enumerate(video.frames()):
            if number >= len(motion):
                break
            due = round(float(motion.times[number]) * motion.fps) + 1
            if written < due:  # frames come at their times: the file has one interval between frames
                moved = (motion.weights[number, order].astype(np.float32) @ shapes).reshape(-1, 3)
                posed = replace(head, vertices=head.vertices + moved, blendshapes={}, weights={})
                picture = _side_by_side(motion, number, frame.image, posed, frame_of, (width, height))
                for _ in range(due - written):
                    writer.write(picture[..., ::-1])
                written = due
            if progress is not None:
                progress(number + 1, len(motion))
    finally:
        writer.release()


def _side_by_side(
    motion: Motion, number: int, image: ByteArray, head: FaceMesh, frame: Frame, size: tuple[int, int]
) -> ByteArray:
    """Return a frame with the landmarks of the head where a face was found, and the head."""
    width, height = size
    left = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if motion.seen[number]:
        landmarks = head.vertices[load_face_model().landmarks68]  # the coarse skin begins with that of the face model
        reduction = (width / image.shape[1], height / image.shape[0])
        for x, y in (motion.camera(number).project(landmarks) * reduction).tolist():
            cv2.circle(left, (round(x * 16), round(y * 16)), 20, DOT, -1, cv2.LINE_AA, 4)  # in sixteenths of a pixel
    rotation = motion.rotations[number]
    right = render_mesh(head, rotation, size=height, frame=frame, colors=head.texture is not None)
    return np.ascontiguousarray(np.hstack([left, right]), np.uint8)
