"""Frames of videos: files with time stamps and rotation, webcams, iterables, and what is none of these."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

import facegeom
from facegeom import VideoError
from facegeom.tracking import video as reading
from facegeom.tracking.video import open_video
from small_videos import turned_quarter, with_intervals, write_video

COLORS = [20, 80, 140, 200, 60, 120]


def plain(value: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A frame whose left half has the red level `value`, on black."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[:, : width // 2, 0] = value
    return frame


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A file with six frames of known colours at 25 frames a second."""
    return write_video(tmp_path / "clip.mp4", [plain(value) for value in COLORS])


def reds(frames: list[Any]) -> list[float]:
    """The red levels of the left halves."""
    return [float(frame.image[20:-20, 10:50, 0].mean()) for frame in frames]


def test_a_file_has_its_frames_in_rgb_with_times(clip: Path) -> None:
    video = open_video(clip)
    assert (video.fps, video.count) == (25.0, 6)
    frames = list(video.frames())
    assert [frame.time for frame in frames] == pytest.approx(np.arange(6) / 25.0, abs=1e-3)
    assert frames[0].image.shape == (96, 128, 3)
    np.testing.assert_allclose(reds(frames), COLORS, atol=12)
    assert frames[3].image[20:-20, 80:120].max() < 60
    assert len(list(video.frames())) == 6  # a file can be read again


def test_a_motion_jpeg_file_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", [plain(value) for value in COLORS], codec="MJPG")
    assert len(list(open_video(path).frames())) == 6


def test_a_variable_frame_rate_is_respected(clip: Path) -> None:
    with_intervals(clip, [(3, 512), (2, 2560), (1, 512)])  # units of 1 / 12,800 s
    times = [frame.time for frame in open_video(clip).frames()]
    assert times == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.32, 0.52], abs=2e-3)


def test_rotation_metadata_is_respected(clip: Path) -> None:
    turned_quarter(clip)
    frame = next(open_video(clip).frames())
    assert frame.image.shape == (128, 96, 3)
    # The left half of the stored picture is the top after a turn clockwise.
    assert frame.image[10:50, 20:-20, 0].mean() > frame.image[80:120, 20:-20, 0].mean() + 10


def test_reading_ends_after_the_given_time(clip: Path) -> None:
    assert len(list(open_video(clip, seconds=0.1).frames())) == 3


class Webcam:
    """A stand-in for `cv2.VideoCapture` with four frames in BGR."""

    opened: ClassVar[list[Any]] = []

    def __init__(self, source: Any, *_: Any) -> None:
        self.opened.append(source)
        self.left = 4
        self.released = False

    def isOpened(self) -> bool:
        return self.opened[-1] == 0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return self.left >= 0, np.array([[[0, 0, 200]]], np.uint8).repeat(48, 0).repeat(64, 1)

    def release(self) -> None:
        self.released = True


def test_a_webcam_gives_frames_with_the_times_of_their_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.05, 100.08, 100.2])
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    monkeypatch.setattr(reading.time, "monotonic", lambda: next(clock))
    frames = list(open_video(0).frames())
    assert [frame.time for frame in frames] == pytest.approx([0.0, 0.05, 0.08, 0.2])
    assert frames[0].image[0, 0].tolist() == [200, 0, 0]
    with pytest.raises(VideoError, match="no webcam 3"):
        list(open_video(3).frames())


def test_frames_of_an_iterable_have_the_frame_rate_or_their_own_times() -> None:
    frames = [plain(value) for value in COLORS]
    assert [frame.time for frame in open_video(iter(frames), fps=10).frames()] == pytest.approx(np.arange(6) / 10)
    assert len(list(open_video(np.stack(frames), fps=10).frames())) == 6
    timed = open_video((5.0 + 0.1 * i**2, frame) for i, frame in enumerate(frames)).frames()
    assert [frame.time for frame in timed] == pytest.approx(0.1 * np.arange(6) ** 2)


def silence(path: Path) -> None:
    """Write an audio file."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))


@pytest.mark.parametrize("name", ["text.mp4", "text.txt", "empty.mp4", "sound.wav", "zero.mp4", "folder"])
def test_what_is_no_video_is_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("hello\n" * 100)
    elif name == "empty.mp4":
        path.write_bytes(b"")
    elif name == "sound.wav":
        silence(path)
    elif name == "zero.mp4":
        cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (64, 64)).release()
    else:
        path.mkdir()
    with pytest.raises(VideoError, match=name) as caught:
        list(open_video(path).frames())
    assert "\n" not in str(caught.value)


READ = """
import sys
from facegeom import FacegeomError
from facegeom.tracking.video import open_video
for path in sys.argv[1:]:
    try:
        print(len(list(open_video(path).frames())))
    except FacegeomError as error:
        print(error)
"""


def test_ffmpeg_says_nothing(clip: Path) -> None:
    """In a fresh process, because FFmpeg decides at its first use what it prints."""
    content = clip.read_bytes()
    damaged, text = clip.with_name("damaged.mp4"), clip.with_name("text.mp4")
    damaged.write_bytes(content[:60] + bytes(340) + content[400:])
    text.write_text("hello\n" * 100)
    command = [sys.executable, "-c", READ, str(damaged), str(text)]
    env = {"PYTHONPATH": str(Path(facegeom.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    first, second = done.stdout.splitlines()
    assert int(first) <= 6
    assert second == "text.mp4 is no video that can be read"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        ("none.mp4", {}, FileNotFoundError, "no file none.mp4"),
        (3.5, {}, TypeError, "got float"),
        (b"abc", {}, TypeError, "got bytes"),
        (True, {}, TypeError, "got bool"),
        (-1, {}, ValueError, "number of a webcam must be at least 0"),
        (0, {"fps": 30}, ValueError, "fps is only for"),
        ([], {"fps": 0}, ValueError, "fps must lie in"),
        ([], {"fps": 10}, VideoError, "contains no frames"),
        ([], {"seconds": -1}, ValueError, "seconds must be above 0"),
        ([plain(1)], {}, TypeError, "needs fps="),
        ([(0.0, plain(1)), (0.0, plain(1))], {}, VideoError, "must increase"),
        ([plain(1).astype(float)], {"fps": 10}, TypeError, "frame 0 must be"),
        ([plain(1)[..., 0]], {"fps": 10}, ValueError, "frame 0 must be"),
    ],
)
def test_bad_arguments(source: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        list(open_video(source, **options).frames())
    assert "\n" not in str(caught.value)
