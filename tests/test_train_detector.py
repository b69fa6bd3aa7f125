"""Training of the detector: scenes, labels of windows, and a run of a few steps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeom.detection.mtcnn_search import place


@pytest.fixture
def tiles() -> object:
    """Tiles that show a white disc instead of a face, with 68 landmarks on its circle."""
    data = pytest.importorskip("facegeom.training.detector.scenes")
    rng = np.random.default_rng(0)
    images = rng.integers(60, 90, (6, data.TILE_SIDE, data.TILE_SIDE, 4), dtype=np.uint8)
    images[..., 3] = 255
    points = np.empty((6, 68, 2), dtype=np.float32)
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points[:] = 63.5 + 32 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for image in images:
        rgb = np.ascontiguousarray(image[..., :3])
        cv2.circle(rgb, (63, 63), 32, (250, 250, 250), -1)
        image[..., :3] = rgb
    return data.Tiles(images, points, np.zeros(6, dtype=np.float32))


def test_equal_seeds_give_equal_scenes(tiles: object) -> None:
    from facegeom.training.detector.scenes import SceneMaker

    maker = SceneMaker(tiles)  # type: ignore[arg-type]
    first, second = (maker.draw(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.boxes, second.boxes)


def test_faces_of_scenes_match_their_boxes(tiles: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faces are white discs on black, so their box is the box of the white pixels."""
    from facegeom.training.detector import scenes

    monkeypatch.setattr(scenes, "augment", lambda image, *rest: image)
    monkeypatch.setattr(scenes, "_feather", lambda rng: np.ones((128, 128, 1), dtype=np.float32))
    maker = scenes.SceneMaker(tiles)  # type: ignore[arg-type]
    monkeypatch.setattr(maker, "background", lambda rng, size: np.zeros((size, size, 3), dtype=np.uint8))
    checked = 0
    for seed in range(40):
        scene = maker.draw(np.random.default_rng(seed), faces=1)
        (box,) = scene.boxes
        inside = (box[:2] > 2).all() and (box[2:] < scene.image.shape[0] - 2).all()
        if inside and (box[2:] - box[:2]).min() > 20:
            y, x = np.nonzero(scene.image.max(axis=2) > 170)
            np.testing.assert_allclose([x.min(), y.min(), x.max() + 1, y.max() + 1], box, atol=2.5)
            checked += 1
    assert checked > 10


def test_windows_are_labelled_by_overlap_with_the_face() -> None:
    data = pytest.importorskip("facegeom.training.detector.scenes")
    scene = data.Scene(np.zeros((100, 100, 3), np.uint8), np.array([[40.0, 40, 60, 60]]), np.array([0]))
    boxes = np.array([[40.0, 40, 60, 60], [46, 40, 66, 60], [48, 48, 68, 68], [0, 0, 20, 20], [43, 43, 60, 60]])
    windows = data.label_windows(scene, boxes, 12)
    np.testing.assert_array_equal(windows.kind, [1, -1, 0, 0, 1])
    np.testing.assert_allclose(place(boxes[[1]], windows.offsets[[1]].astype(np.float64)), scene.boxes, atol=1e-5)
    assert not windows.offsets[windows.kind == 0].any()


@pytest.mark.slow
def test_an_interrupted_run_gives_the_result_of_an_uninterrupted_one(tiles: object, tmp_path: Path) -> None:
    train = pytest.importorskip("facegeom.training.detector.train_detector")
    weights = []
    for name, stops in (("whole", 0), ("stopped", 3)):
        out = tmp_path / name
        out.mkdir()
        for part in ("training", "validation"):
            tiles.save(out / f"tiles_{part}.npz")  # type: ignore[attr-defined]
        options = train.DetectorOptions(out=str(out), steps=(3, 2, 2, 2), batch=(16, 16, 16, 16), scenes=(6, 6, 6, 6))
        for _ in range(stops):
            from dataclasses import replace

            assert train.train_detector(replace(options, minutes=0.0)) is None
        path = train.train_detector(options)
        weights.append(Path(path).read_bytes())
        assert len((out / "validation.json").read_text()) > 10
    assert weights[0] == weights[1]
