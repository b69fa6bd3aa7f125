"""Parts of `facegeom evaluate track`: the curves, the renders, and the measures on tracks with known errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.cli import main
from facegeom.evaluation import track_sequences as sequences
from facegeom.evaluation.track import MEASURED, axes_of, errors_of, evaluate_blinks, gaze_degrees, lag_frames
from facegeom.evaluation.track_sequences import PARTS, Actor, Curves, camera_of, draw_curves, render_frames, rotation_of
from facegeom.face_model.blendshapes import ARKIT_NAMES, gaze_weights
from facegeom.images.camera import Camera
from facegeom.tracking.head import plain_head


@pytest.fixture(scope="module")
def curves() -> Curves:
    return draw_curves(np.random.default_rng(1))


def test_curves_rest_speak_blink_and_turn(curves: Curves) -> None:
    assert set(curves.part) == set(PARTS)
    rest = curves.of("rest")
    assert not curves.weights[rest].any()
    assert not curves.angles[rest].any()
    assert np.abs(curves.angles[curves.of("turns"), 0]).max() == pytest.approx(60, abs=1)
    jaw = curves.weights[curves.of("speech"), ARKIT_NAMES.index("jawOpen")]
    assert jaw.max() > 0.2
    eye = curves.weights[:, ARKIT_NAMES.index("eyeBlinkLeft")]
    assert len(curves.blinks) >= 3
    for frame in curves.blinks:
        assert eye[frame] > 0.7
        assert eye[frame - 3] == eye[frame + 3] == 0
    assert curves.weights.min() >= 0
    assert curves.weights.max() <= 1.01


def test_some_parts_alone_have_the_same_movements_and_only_their_measures(curves: Curves) -> None:
    short = draw_curves(np.random.default_rng(1), parts=["blinks"])
    assert set(short.part) == {"blinks"}
    assert len(short.blinks) == len(curves.blinks)
    true = short.weights, np.array([rotation_of(angles) for angles in short.angles])
    measures = errors_of(true, short, np.eye(3))
    assert measures["blinks: weights"] == 0
    assert measures["blinks with 80% of the peak, %"] == 100
    assert not any("rest" in name or "lag" in name or "looks" in name for name in measures)


@pytest.mark.parametrize("angles", [(25.0, 0.0, 0.0), (0.0, 10.0, 0.0), (-40.0, 12.0, -7.0)])
def test_angles_are_those_of_the_camera(angles: tuple[float, float, float]) -> None:
    assert Camera(rotation_of(np.array(angles)), 1.0, (0, 0)).pose == pytest.approx(angles)


def test_a_frame_shows_the_head_in_its_pose(curves: Curves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "SIZE", (160, 120))
    monkeypatch.setattr(sequences, "SCALE", 0.3)
    head = replace(plain_head(np.zeros(1)), texture=np.full((16, 16, 3), 200, np.uint8))
    actor = Actor(head, np.full((120, 160, 3), 30, np.uint8))
    short = Curves(*(values[[0, 330]] for values in curves[:4]), ("rest", "fast"), ())
    still, moving = render_frames(actor, short, np.random.default_rng(0))
    assert still.shape == (120, 160, 3)
    nose = camera_of(short, 0).project(load_face_model().mean[load_face_model().landmarks68[[30]]])[0]
    assert still[round(nose[1]), round(nose[0])].mean() > 120
    assert still[:5, :5].mean() == pytest.approx(30, abs=4)
    assert np.abs(still.astype(float) - moving).mean() > 1


def test_the_measures_of_known_errors(curves: Curves) -> None:
    true = np.array([rotation_of(angles) for angles in curves.angles])
    offset = rotation_of(np.array([3.0, -6.0, 1.0]))
    found = errors_of((curves.weights + 0.05, true @ offset), curves, np.eye(3))
    for part in PARTS:
        assert found[f"{part}: pose, degrees"] == pytest.approx(6.8, abs=0.1)
        assert found[f"{part}: pose without the offset at rest, degrees"] == pytest.approx(0, abs=1e-5)
        assert found[f"{part}: weights"] == pytest.approx(0.05)
    assert found["rest: jitter of weights"] == pytest.approx(0, abs=1e-9)
    assert found["looks: yaw of the eyes, degrees"] == pytest.approx(0, abs=1e-9)  # 0.05 in all directions
    assert found["blinks with 80% of the peak, %"] == 100.0
    noisy = curves.weights.copy()
    noisy[::2, MEASURED] += 0.1  # second differences of 0.2
    late = np.roll(true, 1, axis=0)
    found = errors_of((noisy, late), curves, np.eye(3))
    assert found["rest: jitter of weights"] == pytest.approx(0.2)
    assert found["lag of the yaw, frames"] == pytest.approx(1.0, abs=0.25)


def test_axes_of_a_turned_face_are_its_rotation() -> None:
    turned = rotation_of(np.array([4.0, -3.0, 2.0]))
    vertices = 1.1 * load_face_model().mean @ turned.T + 5.0
    np.testing.assert_allclose(axes_of(vertices), turned, atol=1e-9)


def test_the_gaze_of_weights_is_in_degrees(curves: Curves) -> None:
    weights = np.zeros((1, len(ARKIT_NAMES)))
    for name, weight in gaze_weights(-12.0, 7.0).items():
        weights[0, ARKIT_NAMES.index(name)] = weight
    assert gaze_degrees(weights)[0] == pytest.approx([-12.0, 7.0])
    looks = gaze_degrees(curves.weights[curves.of("looks")])
    assert np.ptp(looks[:, 0]) > 10


def test_lag_is_measured_in_parts_of_a_frame() -> None:
    frames = np.arange(80.0)
    curve = np.sin(frames / 5)
    assert lag_frames(2.0 + 0.5 * np.sin((frames - 0.5) / 5), curve) == pytest.approx(0.5)
    assert lag_frames(curve, curve) == 0


def test_blinks_are_kept() -> None:
    found = evaluate_blinks(count=20)
    assert found["whole video"] >= 95
    assert found["live"] >= 95


def test_bad_arguments_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "track", "--limit", "0"]) == 1
    assert capsys.readouterr().err == "facegeom: --limit must be at least 1, got 0\n"
