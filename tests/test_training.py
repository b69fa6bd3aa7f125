"""Labels, renderer, training samples and the training loop, on faces made in the tests."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.images.crop import crop_affine
from facegeom.training.data.labels import LabelOptions, Labels, make_labels, read_landmark_files, yaw_deg
from facegeom.training.data.landmarks468 import calibrate_landmarks468
from facegeom.training.data.photo_data import Sources
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.renderer import Renderer, Sample, crop_square
from facegeom.training.data.samples import FaceSamples, PhotoStore, SampleStream
from facegeom.training.loop import RunSettings
from facegeom.training.maps import validation
from facegeom.training.maps.train_facevision import FaceVisionOptions, FaceVisionTrainer, train


def test_labels_round_trip(tmp_path: Path, labels: Labels) -> None:
    labels.save(tmp_path / "labels.npz")
    again = Labels.load(tmp_path / "labels.npz")
    for name in Labels.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(labels, name))


def test_labels_reject_large_yaw_and_implausible_shapes() -> None:
    model = load_face_model()
    points = np.einsum("pcd,pc->pd", model.mean[model.landmarks468_triangles], model.landmarks468_barycentric)
    turn = Pose(points, np.eye(3), 1.0, np.zeros(2)).turned(75.0).rotation
    rng = np.random.default_rng(0)
    faces = [points, points @ turn.T, rng.normal(0, 60, points.shape)]
    landmarks = np.array([f * [1, -1, -1] + 150 for f in faces])
    packed = np.zeros((3, 478, 3), np.int16)
    packed[:, :468] = np.rint(landmarks * 16)
    labels = make_labels(np.array(["a_1", "b_1", "c_1"]), packed, LabelOptions(), processes=1)
    assert labels.reason[0] == 0
    assert (labels.reason[1:] > 0).all()
    assert abs(yaw_deg(labels.rotation[1].astype(float)) - 75) < 5


def test_yaw_is_positive_if_the_nose_points_to_the_right() -> None:
    pose = Pose(np.array([[0.0, 0, 100.0]]), np.eye(3), 1.0, np.zeros(2)).turned(30.0)
    assert yaw_deg(pose.rotation) == pytest.approx(30.0)
    assert pose.pixels()[0, 0] > 0


def test_rendered_labels_agree_with_the_camera(samples: FaceSamples) -> None:
    sample = samples.evaluation(0, 128)
    y, x = np.nonzero(sample.mask)
    box = crop_square(samples.renderer.face_box(samples.pose(0)), factor=1.15, shift=(0, 0))
    affine = crop_affine(box, 128)
    pose = samples.pose(0)
    # A pixel's correspondence is a point of the mean face; the same point of this face must project onto the pixel.
    nearest = ((samples.renderer.model.mean[None] - sample.correspondence[y, x][::97, None]) ** 2).sum(2).argmin(1)
    pixels = pose.pixels()[nearest, :2] @ affine[:, :2].T + affine[:, 2]
    assert np.abs(pixels - np.column_stack([x, y])[::97]).mean() < 1.5
    assert np.abs(pose.pixels()[nearest, 2] - sample.depth[y, x][::97]).mean() < 3.0


@pytest.mark.parametrize("roll", [0.0, 35.0])
def test_position_is_in_the_camera_frame_rotated_with_the_crop(samples: FaceSamples, roll: float) -> None:
    source = samples.pose(0)
    pose = source.turned(25.0)
    box = crop_square(samples.renderer.face_box(pose), factor=1.2, shift=(0.03, -0.05))
    affine = crop_affine(box, 128, roll)
    turn = np.radians(roll)  # counter-clockwise in the image
    turned = pose.vertices @ pose.rotation.T
    x = np.cos(turn) * turned[:, 0] - np.sin(turn) * turned[:, 1]
    y = np.sin(turn) * turned[:, 0] + np.cos(turn) * turned[:, 1]
    pixels = pose.pixels()[:, :2] @ affine[:, :2].T + affine[:, 2]
    for sample in (
        samples.renderer.render_photo(samples.store[0], pose, affine, 128),
        samples.renderer.render_turned(samples.store[0], source, pose, affine, 128),
    ):
        columns, rows = np.rint(pixels).astype(int).clip(0, 127).T
        near = sample.mask[rows, columns] & (np.abs(pixels - np.column_stack([columns, rows])) <= 0.5).all(1)
        assert near.sum() > 100
        step = 1 / sample.scale
        error = sample.position()[rows, columns] - np.column_stack([x, y])
        assert np.abs(error[near]).max() < 0.501 * step
        column, row = sample.origin
        between = error[near] - step * (np.column_stack([columns, rows]) - pixels)[near] * [1, -1]
        np.testing.assert_allclose(between, 0, atol=1e-4)
        np.testing.assert_allclose(
            [(pixels[0, 0] - column) / sample.scale, (row - pixels[0, 1]) / sample.scale], [x[0], y[0]], atol=1e-9
        )
    assert not sample.position()[~sample.mask].any()


def test_turned_sample_shows_the_target_pose(samples: FaceSamples) -> None:
    sample = samples.evaluation(1, 128, 70.0)
    y, x = np.nonzero(sample.mask)
    design = np.column_stack([sample.correspondence[y, x], np.ones(len(x))])
    row = np.linalg.lstsq(design, x.astype(float), rcond=None)[0][:3]
    assert abs(np.degrees(np.arctan2(row[2], row[0]))) == pytest.approx(70.0, abs=6.0)


def test_flipping_swaps_sides_and_twice_is_the_identity(samples: FaceSamples) -> None:
    sample = samples.evaluation(2, 96)
    flipped = sample.flipped()
    again = flipped.flipped()
    for name in Sample.__dataclass_fields__:
        np.testing.assert_allclose(getattr(again, name), getattr(sample, name), rtol=0, atol=1e-9)
    np.testing.assert_allclose(flipped.position(), sample.position()[:, ::-1] * [-1, 1], atol=1e-5)
    left = sample.correspondence[..., 0][sample.mask]
    assert flipped.correspondence[..., 0][flipped.mask].mean() == pytest.approx(-left.mean(), abs=1e-4)


def test_outside_the_mask_labels_are_zero(samples: FaceSamples) -> None:
    for number in range(6):
        sample = samples.draw(np.random.default_rng(number), 64)
        assert not sample.depth[~sample.mask].any()
        assert not sample.correspondence[~sample.mask].any()
        assert np.isfinite(sample.depth).all()


def test_a_sample_depends_only_on_its_seed_and_number(samples: FaceSamples) -> None:
    first, second = SampleStream(samples, 64, 7, 0, 20), SampleStream(samples, 64, 7, 12, 20)
    for a, b in zip(first[15], second[3], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first[15][0], first[14][0])


def test_the_store_must_match_the_rows(labels: Labels) -> None:
    with pytest.raises(ValueError, match="the store holds 0 photos"):
        FaceSamples(load_face_model(), PhotoStore({}, []), labels, np.arange(3))


def test_maps_show_neither_ears_nor_neck_nor_the_underside_of_the_jaw() -> None:
    renderer = Renderer(load_face_model())
    model = renderer.model
    assert not model.regions["ear_left"][model.faces[renderer.in_map]].any()
    shown = renderer.in_map[: model.face_triangle_count]
    assert shown.mean() > 0.9
    assert model.mean[model.faces[: model.face_triangle_count][~shown]][..., 1].mean() < -80  # mm: the excluded area


SMALL = FaceVisionOptions(
    size=64, batch=2, images=16, warmup=1, epoch_images=8, adversarial_every=2, discriminator_width=4,
    synthetic=False, mix=MixOptions(synthetic=0.0),
)  # fmt: skip


@pytest.mark.slow
def test_training_resumes_exactly(
    tmp_path: Path, labels: Labels, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels.save(tmp_path / "labels.npz")
    sources = Sources(folder, tmp_path / "labels.npz")
    monkeypatch.setattr(validation, "VALIDATION_FACES", 2)
    train(SMALL, sources, RunSettings(tmp_path / "whole", minutes=60, workers=0))
    ticks = iter(range(10**6))
    with monkeypatch.context() as patch:
        patch.setattr("facegeom.training.loop.time.monotonic", lambda: next(ticks) * 20.0)
        train(SMALL, sources, RunSettings(tmp_path / "parts", minutes=1, workers=0))
    half = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert 0 < half["step"] < 8
    train(SMALL, sources, RunSettings(tmp_path / "parts", minutes=60, workers=0))
    whole, parts = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("whole", "parts"))
    assert whole["step"] == parts["step"] == 8
    for name, tensor in whole["generator"].items():
        assert torch.equal(tensor, parts["generator"][name]), name
    with pytest.raises(FacegeomError, match="other options"):
        train(replace(SMALL, seed=1), sources, RunSettings(tmp_path / "parts", workers=0))


@pytest.mark.slow
def test_training_overfits_one_batch() -> None:
    options = FaceVisionOptions(size=64, batch=2, images=10**6, warmup=1, adversarial_weight=0.0, learning_rate=2e-3)
    trainer = FaceVisionTrainer(options, torch.device("cpu"))
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 256, (2, 3, 64, 64), dtype=np.uint8))
    ramp = torch.linspace(-1, 1, 64)
    saddle = (ramp[None, :, None] * ramp[None, None, :]).repeat(2, 4, 1, 1)
    target = saddle * torch.tensor([0.5, -0.5])[:, None, None, None]
    mask = torch.zeros(2, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    first = trainer.train_step(image, target, mask)
    for _ in range(60):
        last = trainer.train_step(image, target, mask)
    assert last["depth"] < 0.3 * first["depth"]
    assert last["mask"] < 0.3 * first["mask"]


@pytest.mark.parametrize("accuracy", [0.5, 0.75, 0.95])
def test_accuracy_of_the_discriminators_decides_who_learns(accuracy: float) -> None:
    trainers = [
        FaceVisionTrainer(replace(SMALL, adversarial_weight=weight, warmup=1), torch.device("cpu"))
        for weight in (0.5, 1e-12)
    ]
    image = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    target, mask = torch.rand(2, 4, 64, 64, generator=generator), torch.ones(2, 1, 64, 64)
    for trainer in trainers:
        trainer.balance.running.fill_(accuracy)
        before = copy.deepcopy(trainer.discriminators.state_dict())
        terms = trainer.train_step(image, target, mask)
        learned = any(not torch.equal(before[k], v) for k, v in trainer.discriminators.state_dict().items())
        assert learned == (accuracy <= 0.9)
        assert terms["balance"] == pytest.approx(accuracy, abs=0.05)
    heavy, light = (trainer.generator.depth_decoder.head[0].weight for trainer in trainers)
    assert torch.equal(heavy, light) == (accuracy < 0.6)


def test_running_accuracy_is_part_of_the_checkpoint() -> None:
    first, second = (FaceVisionTrainer(SMALL, torch.device("cpu")) for _ in range(2))
    first.balance.observe(1.0)
    second.load(first.state())
    assert second.balance.accuracy == first.balance.accuracy > 0.5


def test_both_discriminators_are_trained_and_measured() -> None:
    trainer = FaceVisionTrainer(SMALL, torch.device("cpu"))
    before = {k: v.clone() for k, v in trainer.discriminators.state_dict().items()}
    image = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    terms = trainer.train_step(image, torch.rand(2, 4, 64, 64), torch.ones(2, 1, 64, 64))
    assert {"depth_real", "depth_fake", "correspondence_real", "correspondence_fake"} <= set(terms)
    after = trainer.discriminators.state_dict()
    for task in ("depth", "correspondence"):
        assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith(task))


def test_calibration_recovers_the_positions_of_the_468_landmarks() -> None:
    """Landmarks detected at other positions move there, symmetrically, despite outliers."""
    model = load_face_model()
    rng = np.random.default_rng(0)
    true = np.einsum("pcd,pc->pd", model.mean[model.landmarks468_triangles], model.landmarks468_barycentric)
    elsewhere = replace(
        model,
        landmarks468_triangles=np.roll(model.landmarks468_triangles, 1, axis=1),  # other points, about 1 mm away
    )
    places, landmarks = [], []
    for _ in range(24):
        yaw, pitch = rng.normal(0, 0.3, 2)
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        view = (nod @ turn)[:2] * np.array([[1.3], [-1.3]])
        places.append(model.mean @ view.T + 100)
        seen = true @ view.T + 100
        seen[rng.random(468) < 0.05] += 60
        landmarks.append(seen)
    found, moved = calibrate_landmarks468(elsewhere, np.array(places, np.float32), np.array(landmarks))
    after = np.einsum("pcd,pc->pd", model.mean[found.landmarks468_triangles], found.landmarks468_barycentric)
    before = np.einsum("pcd,pc->pd", model.mean[elsewhere.landmarks468_triangles], elsewhere.landmarks468_barycentric)
    assert np.linalg.norm(before - true, axis=1).mean() > 0.7
    assert np.linalg.norm(after - true, axis=1).mean() < 0.25
    np.testing.assert_allclose(moved, np.linalg.norm(after - before, axis=1))
    assert found.landmarks468_barycentric.min() >= 0
    np.testing.assert_allclose(found.landmarks468_barycentric.sum(axis=1), 1)


def test_some_samples_have_no_face(samples: FaceSamples, labels: Labels) -> None:
    only = FaceSamples(load_face_model(), samples.store, labels, np.arange(4), MixOptions(faceless=1.0, synthetic=0.0))
    images = set()
    for seed in range(12):
        sample = only.draw(np.random.default_rng(seed), 48)
        assert not sample.mask.any()
        assert not sample.depth.any()
        assert sample.image.shape == (48, 48, 3)
        images.add(sample.image.tobytes())
    assert len(images) == 12
    never = FaceSamples(load_face_model(), samples.store, labels, np.arange(4), MixOptions(faceless=0.0))
    assert all(never.draw(np.random.default_rng(seed), 48).mask.any() for seed in range(12))


def test_a_step_on_a_batch_without_faces_has_a_finite_loss() -> None:
    trainer = FaceVisionTrainer(SMALL, torch.device("cpu"))
    image = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    terms = trainer.train_step(image, torch.zeros(2, 4, 64, 64), torch.zeros(2, 1, 64, 64))
    assert np.isfinite(list(terms.values())).all()


def test_files_of_landmarks_are_joined_and_must_not_name_a_photo_twice(tmp_path: Path) -> None:
    values = np.arange(2 * 478 * 3, dtype=np.int16).reshape(2, 478, 3)
    np.savez(tmp_path / "a.npz", names=np.array(["a.jpg", "b.jpg"]), landmarks=values)
    np.savez(tmp_path / "c.npz", names=np.array(["longer_name.jpg"]), landmarks=values[1:])
    names, landmarks = read_landmark_files([tmp_path / "a.npz", tmp_path / "c.npz"])
    assert names.tolist() == ["a.jpg", "b.jpg", "longer_name.jpg"]
    np.testing.assert_array_equal(landmarks, values[[0, 1, 1]])
    with pytest.raises(FacegeomError, match=r"b\.jpg|a\.jpg"):
        read_landmark_files([tmp_path / "a.npz", tmp_path / "a.npz"])
