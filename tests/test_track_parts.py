"""Videos in parts: several processes, interrupted runs, several people, and memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import facegeom
from facegeom import OutputError, Performance
from facegeom.reconstruction import demo_photo
from facegeom.tracking import parts
from facegeom.tracking.recording import Recording
from facegeom.tracking.tracker import Tracker
from facegeom.tracking.video import Frame, open_video
from small_videos import write_video

FPS, COUNT, PART = 25.0, 78, 14


def moved(x: float) -> np.ndarray:
    """The demo portrait, small and moved to the right."""
    portrait = facegeom.load_image(demo_photo())[40:250, 110:330]
    affine = np.array([[1.0, 0.0, x], [0.0, 1.0, 0.0]])
    return cv2.warpAffine(portrait, affine, (220, 210), borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is long enough for the identity to be settled, and for two more parts and a bit."""
    frames = [moved(8.0 * np.sin(0.2 * number)) for number in range(COUNT)]
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames, FPS)


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_FRAMES", PART)


@pytest.fixture(scope="module")
def whole(clip: Path) -> Performance:
    """The performance of the clip in parts, by this process alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_FRAMES", PART)
        return facegeom.track(clip)


def assert_equal(found: Performance, expected: Performance) -> None:
    for name in ("times", "weights", "rotations", "translations", "seen", "identity", "scores"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_parts_follow_each_other_without_a_step(whole: Performance, clip: Path) -> None:
    assert len(whole) == COUNT
    assert whole.times == pytest.approx(np.arange(COUNT) / FPS, abs=1e-3)
    assert whole.seen.all()
    assert not whole.cuts.any()
    at_once = parts.record(open_video(clip), Tracker())
    x = np.array([fit.camera.translation[0] for fit in at_once.fits if fit is not None])
    assert np.abs(whole.translations[:, 0] - x).max() < 1.0
    np.testing.assert_allclose(whole.identity, at_once.identity, atol=1e-9)


def test_two_workers_find_the_same(clip: Path, whole: Performance) -> None:
    calls: list[tuple[int, int | None]] = []
    found = facegeom.track(clip, workers=2, progress=lambda done, count: calls.append((done, count)))
    assert_equal(found, whole)
    assert calls[-1] == (COUNT, COUNT)


def test_an_interrupted_run_goes_on(clip: Path, whole: Performance, tmp_path: Path) -> None:
    folder = tmp_path / "kept"

    def interrupt(done: int, _: int | None) -> None:
        if done == 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        facegeom.track(clip, parts=folder, progress=interrupt)
    kept = sorted(path.name for path in folder.glob("*.npz"))
    assert len(kept) >= 2
    tracked: list[int] = []
    found = facegeom.track(clip, parts=folder, progress=lambda done, _: tracked.append(done))
    assert_equal(found, whole)
    assert len(tracked) < COUNT - 40  # finished parts report once
    (folder / kept[-1]).write_bytes(b"damaged")
    assert_equal(facegeom.track(clip, parts=folder), whole)
    with pytest.raises(OutputError, match="parts of another video"):
        facegeom.track(clip, parts=folder, seconds=3.0)


def test_a_part_with_another_face_is_tracked_again(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector of the second part takes somebody else: the part starts again from the face before it."""
    jobs: list[parts.Job] = []
    original = parts.track_part

    def track_part(job: parts.Job, progress: parts.Progress | None = None) -> parts.Part:
        jobs.append(job)
        part = original(job, progress)
        strange = len(jobs) == 2 and part.entry is not None
        return replace(part, entry=(0.0, 0.0, 5.0, 5.0)) if strange else part

    monkeypatch.setattr(parts, "track_part", track_part)
    recording = parts.record_parts(open_video(clip), "cpu", "torch")
    assert len(recording.times) == COUNT
    assert [job.start for job in jobs[1:3]] == [jobs[1].start] * 2
    assert jobs[2].near is not None
    assert recording.boxes[jobs[1].start - 1 - parts.LEAD] == jobs[2].near


def test_a_recording_is_kept_in_a_file(clip: Path, tmp_path: Path) -> None:
    tracker = Tracker()
    recording = parts.record(open_video(clip, seconds=0.1), tracker)
    recording.fits.append(None)
    for name, value in (("times", 9.0), ("scores", 0.0), ("cuts", True), ("boxes", None)):
        getattr(recording, name).append(value)
    recording.save(tmp_path / "part.npz", {"note": "x"})
    loaded, about = Recording.load(tmp_path / "part.npz")
    assert about == {"note": "x"}
    assert (loaded.times, loaded.scores, loaded.cuts) == (recording.times, recording.scores, recording.cuts)
    assert loaded.boxes == recording.boxes
    assert loaded.good == recording.good
    assert loaded.fits[-1] is None
    first, again = recording.fits[0], loaded.fits[0]
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.expression, again.expression)
    np.testing.assert_array_equal(first.camera.rotation, again.camera.rotation)
    assert first.residual_mm == again.residual_mm


def test_the_reader_goes_back_by_the_lead_only(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    original = parts.Reader._open
    monkeypatch.setattr(parts.Reader, "_open", lambda self: (opened.append(1), original(self))[1])
    reader = parts.Reader(open_video(clip))
    assert [round(frame.time * FPS) for frame in reader.frames(10, 12)] == list(range(10, 22))
    assert [round(frame.time * FPS) for frame in reader.frames(22 - parts.LEAD, 10)] == list(range(14, 24))
    assert [round(frame.time * FPS) for frame in reader.frames(70, 20)] == list(range(70, COUNT))
    assert len(opened) == 1
    assert [round(frame.time * FPS) for frame in reader.frames(2, 1)] == [2]
    assert len(opened) == 2


def test_few_frames_are_in_memory_at_a_time() -> None:
    """Frames that were seen are released: an hour of video takes no more memory than a minute."""
    made: list[weakref.ref[np.ndarray]] = []
    most = 0

    def frames() -> Iterator[Frame]:
        nonlocal most
        for number in range(40):
            image = np.full((60, 80, 3), number, np.uint8)
            made.append(weakref.ref(image))
            gc.collect()
            most = max(most, sum(one() is not None for one in made))
            yield Frame(number / FPS, image)

    parts.record(open_video(iter([]), FPS), Tracker(), frames=frames())
    assert most <= 3


def test_workers_must_be_positive(clip: Path) -> None:
    with pytest.raises(ValueError, match="workers must be at least 1"):
        facegeom.track(clip, workers=0)
