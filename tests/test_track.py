"""`track` and `track_live` on a short video of the demo portrait, and the command `track`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import facegeom
from facegeom import FaceMesh, NoFaceFound, Performance
from facegeom.cli import main
from facegeom.reconstruction import demo_photo
from facegeom.tracking import command
from small_videos import write_video

FPS, GREY = 25.0, np.full((210, 220, 3), 127, np.uint8)
SHIFT = 1.5
"""Pixels by which the portrait moves to the right in each frame."""


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """The demo portrait, moving to the right; two grey frames; and the portrait again, at another place."""
    portrait = facegeom.load_image(demo_photo())[40:250, 110:330]

    def moved(x: float) -> np.ndarray:
        affine = np.array([[1.0, 0.0, x], [0.0, 1.0, 0.0]])
        return cv2.warpAffine(portrait, affine, (220, 210), borderMode=cv2.BORDER_REPLICATE)

    return [*(moved(SHIFT * i) for i in range(6)), GREY, GREY, moved(-8.0), moved(-8.0)]


@pytest.fixture(scope="module")
def clip(frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames, FPS)


@pytest.fixture(scope="module")
def performance(clip: Path) -> Performance:
    return facegeom.track(clip)


def test_the_face_is_followed_through_the_video(performance: Performance, frames: list[np.ndarray]) -> None:
    assert performance.seen.tolist() == [True] * 6 + [False] * 2 + [True] * 2
    assert performance.times == pytest.approx(np.arange(10) / FPS, abs=1e-3)
    assert performance.cuts[6]
    assert performance.size == (220, 210)
    x = performance.translations[:, 0]
    assert np.diff(x[:6]).mean() == pytest.approx(SHIFT, abs=0.25)
    assert x[8] == pytest.approx(x[0] - 8.0, abs=1.0)
    single = facegeom.predict(frames[0])
    assert performance.pose(0).yaw == pytest.approx(single.camera.pose.yaw, abs=3)
    assert performance.pose(0).pitch == pytest.approx(single.camera.pose.pitch, abs=3)
    assert performance.scales[0] == pytest.approx(single.camera.scale, rel=0.05)
    assert performance.weights.min() >= 0
    assert performance.blendshapes(2)["mouthSmileLeft"] > 0.1  # the person in the photo smiles
    assert np.ptp(performance.weights[:6], axis=0).max() < 0.3
    assert np.isfinite(performance.residuals_mm[performance.seen]).all()


def test_the_head_has_the_identity_of_the_video(performance: Performance) -> None:
    model = facegeom.load_face_model()
    head, count = performance.head, model.face_vertex_count
    neutral = model.vertices(performance.identity)
    assert np.linalg.norm(neutral - model.mean, axis=1)[:count].mean() > 1
    assert np.abs(head.vertices[:count] - neutral[:count]).mean() < 1
    assert len(head.blendshapes) == 52
    assert head.texture is None
    assert {"reading", "network", "contours", "fit", "identity", "smoothing"} <= set(performance.timings)
    json.dumps(performance.to_dict())


def test_the_live_tracker_gives_each_frame_at_once(frames: list[np.ndarray], performance: Performance) -> None:
    read: list[int] = []

    def source() -> Any:
        for number, frame in enumerate(frames):
            read.append(number)
            yield number / FPS, frame

    for number, frame in enumerate(facegeom.track_live(source())):
        assert read == list(range(number + 1))
        assert frame.seen == performance.seen[number]
        if frame.seen:
            assert frame.pose is not None
            assert frame.pose.yaw == pytest.approx(performance.pose(number).yaw, abs=2)
            assert set(frame.weights) == set(performance.names)
        else:
            assert frame.pose is None
            assert frame.weights == {}


@pytest.mark.parametrize(
    ("video", "options", "error", "words"),
    [
        ([GREY, GREY], {"fps": 10}, NoFaceFound, "no face was found in any of the 2 frames"),
        ([GREY, GREY[:100]], {"fps": 10}, ValueError, "same size"),
        ("none.mp4", {}, FileNotFoundError, "none.mp4"),
        ([GREY], {"fps": 10, "texture": 3}, ValueError, "texture must be at least 16"),
        ([GREY], {"fps": 10, "backend": "none"}, ValueError, "backend"),
    ],
)
def test_bad_videos(video: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        facegeom.track(video, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def tracked(performance: Performance, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """The performance as the result of the command; the calls are listed."""
    calls: list[tuple[Any, dict[str, Any]]] = []

    def track(video: Any, **options: Any) -> Performance:
        calls.append((video, options))
        options["progress"](1, 10)
        return performance

    monkeypatch.setattr(command, "track", track)
    return calls


def test_command_track_writes_all_files(
    clip: Path, tracked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    files = [out / name for name in ("head.glb", "curves.jsonl", "head.bvh", "curves.csv", "preview.mp4")]
    arguments = ["-o", str(files[0]), "-o", str(files[1]), "-o", str(files[2]), "--csv", str(files[3])]
    assert main(["track", str(clip), *arguments, "--preview-video", str(files[4]), "--texture", "64"]) == 0
    printed, errors = capsys.readouterr()
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in files)
    assert "10 frames, 0.4 s, face in 8" in printed
    assert "ms a frame" in printed
    assert errors == "facegeom: no face was found in 2 of 10 frames: the curves are interpolated there\n"
    assert tracked[0][0] == clip
    assert tracked[0][1]["texture"] == 64
    assert len(FaceMesh.load(files[0]).vertices) > 30_000
    assert len(list(csv.reader(files[3].read_text().splitlines()))) == 11


def test_command_track_needs_no_texture_for_curves(
    clip: Path, tracked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["track", str(clip), "--csv", str(tmp_path / "a.csv"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["seen"]) == (10, 8)
    assert tracked[0][1]["texture"] is None
    assert main(["track", "0", "--csv", str(tmp_path / "a.csv"), "--seconds", "2"]) == 0
    assert tracked[1][0] == 0
    assert tracked[1][1]["seconds"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["clip.mp4"], "give a file to write"),
        (["0", "-o", "head.glb"], "--seconds"),
        (["0", "--seconds", "2", "--preview-video", "a.mp4"], "needs a video file"),
        (["clip.mp4", "--csv", "a.glb"], "suffix of --csv"),
    ],
)
def test_command_track_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["track", *arguments])
    assert end.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "out", "code", "words"),
    [
        ("none.mp4", "new/head.glb", 1, "no file"),
        ("text.mp4", "new/head.glb", 1, "text.mp4 is no video"),
        ("grey.mp4", "new/head.csv", 1, "no face was found in any of the 2 frames"),
        ("grey.mp4", "new/head.obj", 1, "the suffix must be one of"),
        ("grey.mp4", "grey.mp4", 1, "the suffix must be one of"),
    ],
)
def test_command_track_writes_nothing_after_an_error(
    name: str, out: str, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    write_video(tmp_path / "grey.mp4", [GREY, GREY])
    before = sorted(tmp_path.iterdir())
    assert main(["track", str(tmp_path / name), "-o", str(tmp_path / out)]) == code
    errors = capsys.readouterr().err
    assert len(errors.splitlines()) == 1
    assert words in errors
    assert sorted(tmp_path.iterdir()) == before


def test_command_track_does_not_overwrite_the_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_video(tmp_path / "clip.mp4", [GREY])
    assert main(["track", str(path), "--preview-video", str(path)]) == 2
    assert "would overwrite the input" in capsys.readouterr().err


def test_command_track_keeps_parts_until_all_files_are_written(
    clip: Path, performance: Performance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "curves.csv"
    calls: list[dict[str, Any]] = []

    def track(video: Any, **options: Any) -> Performance:
        calls.append(options)
        options["parts"].mkdir(exist_ok=True)
        (options["parts"] / "000000000.npz").write_bytes(b"")
        if len(calls) == 1:
            raise facegeom.FacegeomError("a process ended")
        return performance

    monkeypatch.setattr(command, "track", track)
    arguments = ["track", str(clip), "--csv", str(out), "--workers", "3"]
    assert main(arguments) == 1
    errors = capsys.readouterr().err
    assert f"the finished parts of the video are in {tmp_path / 'curves.csv.parts'}" in errors
    assert (tmp_path / "curves.csv.parts").is_dir()
    assert main(arguments) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["curves.csv"]
    assert calls[0]["workers"] == 3
    assert calls[0]["parts"] == tmp_path / "curves.csv.parts"
