"""Files of performances, read back by other readers: GLB, Live Link Face, BVH and JSON lines; preview videos."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pygltflib
import pytest
import trimesh

from facegeom import FacegeomError, FaceMesh, OutputError, Performance
from facegeom.face_model.blendshapes import ARKIT_NAMES
from facegeom.tracking.glb import DEGREE_TOLERANCE, WEIGHT_TOLERANCE
from facegeom.tracking.head import plain_head
from facegeom.tracking.live_link import HEADER, timecode
from facegeom.tracking.smoothing import rotation_matrices
from facegeom.tracking.video import open_video
from small_videos import write_video

COUNT, FPS = 40, 25.0
TIMES = np.arange(COUNT) / FPS
NAMES = list(ARKIT_NAMES)


def about(axis: int, degrees: np.ndarray) -> np.ndarray:
    """Right-handed rotations (n, 3, 3) about an axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    R = np.tile(np.eye(3), (len(degrees), 1, 1))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    R[:, i, i], R[:, i, j], R[:, j, i], R[:, j, j] = c, -s, s, c
    return R


YAW, PITCH, ROLL = 50 * np.sin(2 * TIMES), 12 * np.cos(3 * TIMES), 4 * np.sin(TIMES)


@pytest.fixture(scope="module")
def performance() -> Performance:
    """A head that speaks, blinks and turns, without a video."""
    weights = np.zeros((COUNT, len(NAMES)))
    weights[:, NAMES.index("jawOpen")] = 0.3 + 0.3 * np.sin(8 * TIMES)
    weights[20:23, NAMES.index("eyeBlinkLeft")] = (0.5, 1.0, 0.4)
    weights[:, NAMES.index("eyeLookOutLeft")] = weights[:, NAMES.index("eyeLookInRight")] = 0.5
    weights[:, NAMES.index("eyeLookDownLeft")] = weights[:, NAMES.index("eyeLookDownRight")] = 0.25
    identity = np.random.default_rng(0).normal(0, 0.4, 60)
    return Performance(
        times=TIMES,
        weights=weights,
        rotations=about(1, YAW) @ about(0, PITCH) @ about(2, ROLL),
        scales=np.full(COUNT, 0.5),
        translations=np.tile([64.0, 48.0], (COUNT, 1)),
        seen=np.arange(COUNT) != 5,
        scores=np.full(COUNT, 0.9),
        cuts=np.zeros(COUNT, bool),
        residuals_mm=np.ones(COUNT),
        identity=identity,
        head=plain_head(identity),
        fps=FPS,
        size=(128, 96),
    )


def accessor(file: pygltflib.GLTF2, number: int) -> np.ndarray:
    """The float32 numbers of an accessor, (count, components)."""
    found = file.accessors[number]
    view = file.bufferViews[found.bufferView]
    width = {"SCALAR": 1, "VEC4": 4}[found.type]
    start = (view.byteOffset or 0) + (found.byteOffset or 0)
    return np.frombuffer(file.binary_blob(), np.float32, found.count * width, start).reshape(-1, width)


def test_an_animated_glb_has_channels_for_rotation_and_weights(performance: Performance, tmp_path: Path) -> None:
    path = tmp_path / "performance.glb"
    performance.save(path)
    file = pygltflib.GLTF2().load(str(path))
    (animation,) = file.animations
    targets = {(file.nodes[channel.target.node].name, channel.target.path) for channel in animation.channels}
    meshes = {node.name for node in file.nodes if node.mesh is not None}
    assert meshes == {"skin", "eye_left", "eye_right"}
    # Eyes are moved by shapes only: their nodes do not turn.
    assert targets == {("head", "rotation"), *((name, "weights") for name in meshes)}
    assert file.meshes[0].extras["targetNames"] == NAMES

    keys = {}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        assert sampler.interpolation == "LINEAR"
        times = accessor(file, sampler.input)[:, 0]
        assert file.accessors[sampler.input].min == [0.0]
        assert file.accessors[sampler.input].max == pytest.approx([TIMES[-1]])
        assert (np.diff(times) > 0).all()
        keys[channel.target.path] = times, accessor(file, sampler.output)
    times, values = keys["weights"]
    values = values.reshape(len(times), len(NAMES))
    assert len(times) < COUNT
    played = np.column_stack([np.interp(TIMES, times, column) for column in values.T])
    assert np.abs(played - performance.weights).max() <= WEIGHT_TOLERANCE + 1e-6
    times, q = keys["rotation"]
    assert len(times) < COUNT
    assert ((q[1:] * q[:-1]).sum(axis=1) > 0).all()
    between = np.column_stack([np.interp(TIMES, times, column) for column in q.T])
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    R = rotation_matrices(between[:, [3, 0, 1, 2]])
    cosine = 0.5 * (np.einsum("nij,nij->n", R, performance.rotations) - 1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() <= 2 * DEGREE_TOLERANCE


def test_an_animated_glb_is_a_head_for_other_readers(performance: Performance, tmp_path: Path) -> None:
    path = tmp_path / "performance.glb"
    performance.save(path)
    scene = trimesh.load(path)
    assert set(scene.geometry) >= {"skin", "eye_left", "eye_right"}
    again = FaceMesh.load(path)
    np.testing.assert_allclose(again.vertices, performance.head.vertices, atol=0.2)
    assert again.weights["jawOpen"] == pytest.approx(0.3, abs=1e-6)


def test_a_live_link_table_has_the_columns_of_the_app(performance: Performance, tmp_path: Path) -> None:
    path = tmp_path / "performance.csv"
    performance.save(path)
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == COUNT
    columns = list(rows[0])
    assert columns == list(HEADER)
    assert columns[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert columns[16:20] == ["JawForward", "JawRight", "JawLeft", "JawOpen"]
    assert columns[53:57] == ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll"]
    assert {row["BlendShapeCount"] for row in rows} == {"61"}
    assert len(columns) == 63
    assert [float(row["JawOpen"]) for row in rows] == pytest.approx(
        performance.weights[:, NAMES.index("jawOpen")].tolist(), abs=1e-9
    )
    for name, angles in (("HeadYaw", YAW), ("HeadPitch", PITCH), ("HeadRoll", ROLL)):
        assert [float(row[name]) for row in rows] == pytest.approx(np.radians(angles).tolist(), abs=1e-8)
    # Both eyes look to the subject's left by 15 degrees and down by 5.
    for side in ("Left", "Right"):
        assert float(rows[0][f"{side}EyeYaw"]) == pytest.approx(np.radians(15))
        assert float(rows[0][f"{side}EyePitch"]) == pytest.approx(np.radians(5))
    assert rows[0]["Timecode"] == "00:00:00:00.000"
    assert rows[30]["Timecode"] == "00:00:01:05.000"


@pytest.mark.parametrize(
    ("seconds", "fps", "code"),
    [(0.0, 30.0, "00:00:00:00.000"), (0.99999, 30.0, "00:00:01:00.000"), (59.5, 29.97, "00:00:59:15.000"),
     (7322.02, 60.0, "02:02:02:01.200")],
)  # fmt: skip
def test_time_codes(seconds: float, fps: float, code: str) -> None:
    assert timecode(seconds, fps) == code


def test_a_bvh_file_has_the_rotation(performance: Performance, tmp_path: Path) -> None:
    path = tmp_path / "performance.bvh"
    performance.save(path)
    text = path.read_text()
    channels = re.search(r"CHANNELS 3 (\w+) (\w+) (\w+)", text)
    assert channels is not None
    assert float(re.search(r"Frame Time: (\S+)", text)[1]) == pytest.approx(1 / FPS)  # type: ignore[index]
    assert int(re.search(r"Frames: (\d+)", text)[1]) == COUNT  # type: ignore[index]
    rows = np.loadtxt(io.StringIO(text.split("Frame Time:")[1].split("\n", 1)[1]))
    R = np.tile(np.eye(3), (COUNT, 1, 1))
    for name, degrees in zip(channels.groups(), rows.T, strict=True):
        R = R @ about("XYZ".index(name[0]), degrees)
    np.testing.assert_allclose(R, performance.rotations, atol=1e-6)


def test_json_lines_have_a_line_for_each_frame(performance: Performance, tmp_path: Path) -> None:
    path = tmp_path / "performance.jsonl"
    performance.save(path)
    about_video, *frames = [json.loads(line) for line in path.read_text().splitlines()]
    assert about_video["frames"] == len(frames) == COUNT
    assert about_video["names"] == NAMES
    assert [frame["seen"] for frame in frames].count(False) == 1
    assert frames[7]["pose"]["yaw"] == pytest.approx(performance.pose(7).yaw, abs=1e-3)
    np.testing.assert_allclose([frame["weights"] for frame in frames], performance.weights, atol=1e-5)


def test_frames_of_a_performance(performance: Performance) -> None:
    assert len(performance) == COUNT
    assert performance.blendshapes(21)["eyeBlinkLeft"] == 1.0
    moved = performance.vertices(0) - performance.head.vertices
    assert 5 < np.abs(moved).max() < 40
    mesh = performance.mesh(21)
    assert mesh.weights["eyeBlinkLeft"] == 1.0
    assert "40 frames, 1.6 s, seen=39" in repr(performance)
    assert performance.camera(0).project(np.zeros((1, 3)))[0] == pytest.approx([64, 48])


@pytest.mark.parametrize("name", ["performance.obj", "performance", "performance.mp4"])
def test_other_files_are_refused(performance: Performance, name: str, tmp_path: Path) -> None:
    with pytest.raises(FacegeomError, match=r"the suffix must be one of \.glb, \.csv, \.jsonl, \.bvh"):
        performance.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def filmed(performance: Performance, tmp_path: Path) -> Performance:
    """The performance with a video of its length."""
    frames = [np.full((96, 128, 3), 6 * i, np.uint8) for i in range(COUNT)]
    return replace(performance, video=open_video(write_video(tmp_path / "clip.mp4", frames, FPS)))


def test_a_preview_shows_frames_beside_the_head(filmed: Performance, tmp_path: Path) -> None:
    short = replace(filmed, **{name: getattr(filmed, name)[:6] for name in ("times", "seen", "rotations", "weights")})
    calls: list[Any] = []
    short.save_preview(tmp_path / "preview.mp4", lambda *numbers: calls.append(numbers))
    assert calls[-1] == (6, 6)
    capture = cv2.VideoCapture(str(tmp_path / "preview.mp4"))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    assert len(pictures) == 6
    assert pictures[0].shape == (96, 128 + 96, 3)
    assert pictures[3][:10, :20].mean() == pytest.approx(18, abs=8)
    right = pictures[3][:, 128:].astype(float)
    assert right[:5].mean() > 230  # background
    assert right[30:60, 30:60].mean() < 220  # the head
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "preview.mp4"]


def test_a_preview_needs_a_video_file_and_a_name(performance: Performance, filmed: Performance, tmp_path: Path) -> None:
    with pytest.raises(FacegeomError, match="needs a video file"):
        performance.save_preview(tmp_path / "preview.mp4")
    with pytest.raises(FacegeomError, match=r"the suffix must be \.mp4"):
        filmed.save_preview(tmp_path / "preview.avi")
    with pytest.raises(OutputError, match="would overwrite the input"):
        filmed.save_preview(tmp_path / "clip.mp4")
