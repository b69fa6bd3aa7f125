"""Labels, renderer, samples and the training loop, on faces made here."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facegeom.crop import crop_affine
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.training import train_facevision
from facegeom.training.labels import LabelOptions, Labels, make_labels, yaw_deg
from facegeom.training.renderer import Pose, Renderer, Sample, crop_square
from facegeom.training.samples import FaceSamples, MixOptions, PhotoStore, SampleStream
from facegeom.training.train_facevision import Trainer, TrainOptions, train

PHOTO = 160


def _photo(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    return cv2.resize(noise, (PHOTO, PHOTO), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def labels() -> Labels:
    count, model = 860, load_face_model()  # 543 test, 300 validation, 17 training
    rng = np.random.default_rng(0)
    return Labels(
        np.array([f"Person_{i:03d}_0001.jpg" for i in range(count)]),
        rng.normal(0, 0.5, (count, 60)).astype(np.float16),
        np.zeros((count, len(model.expression)), np.float16),
        np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)),
        np.full(count, 0.55, np.float32),
        np.tile(np.array([80.0, 70.0], np.float32), (count, 1)),
        np.zeros(count, np.int8),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, labels: Labels) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    encoded = cv2.imencode(".jpg", _photo(0))[1].tobytes()
    for name in labels.names:
        (folder / str(name)).write_bytes(encoded)
    return folder


@pytest.fixture(scope="module")
def samples(labels: Labels, folder: Path) -> FaceSamples:
    rows = np.arange(4)
    store = PhotoStore({str(n): folder / str(n) for n in labels.names[rows]}, labels.names[rows])
    return FaceSamples(load_face_model(), store, labels, rows)


def test_labels_round_trip(tmp_path: Path, labels: Labels) -> None:
    labels.save(tmp_path / "labels.npz")
    again = Labels.load(tmp_path / "labels.npz")
    for name in Labels.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(labels, name))


def test_labels_refuse_a_face_that_is_turned_away_and_one_that_is_no_face() -> None:
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


def test_yaw_is_positive_to_image_right() -> None:
    pose = Pose(np.array([[0.0, 0, 100.0]]), np.eye(3), 1.0, np.zeros(2)).turned(30.0)
    assert yaw_deg(pose.rotation) == pytest.approx(30.0)
    assert pose.pixels()[0, 0] > 0


def test_rendered_labels_agree_with_the_camera(samples: FaceSamples) -> None:
    sample = samples.evaluation(0, 128)
    y, x = np.nonzero(sample.mask)
    box = crop_square(samples.renderer.face_box(samples._pose(0)), factor=1.15, shift=(0, 0))
    affine = crop_affine(box, 128)
    pose = samples._pose(0)
    # The correspondence is the mean's place of what the pixel sees: carried to this face it must project there.
    nearest = ((samples.renderer.model.mean[None] - sample.correspondence[y, x][::97, None]) ** 2).sum(2).argmin(1)
    pixels = pose.pixels()[nearest, :2] @ affine[:, :2].T + affine[:, 2]
    assert np.abs(pixels - np.column_stack([x, y])[::97]).mean() < 1.5
    assert np.abs(pose.pixels()[nearest, 2] - sample.depth[y, x][::97]).mean() < 3.0


def test_turned_sample_shows_the_pose_asked_for(samples: FaceSamples) -> None:
    sample = samples.evaluation(1, 128, 70.0)
    y, x = np.nonzero(sample.mask)
    design = np.column_stack([sample.correspondence[y, x], np.ones(len(x))])
    row = np.linalg.lstsq(design, x.astype(float), rcond=None)[0][:3]
    assert abs(np.degrees(np.arctan2(row[2], row[0]))) == pytest.approx(70.0, abs=6.0)


def test_flipping_twice_is_nothing_and_flips_the_persons_side(samples: FaceSamples) -> None:
    sample = samples.evaluation(2, 96)
    flipped = sample.flipped()
    again = flipped.flipped()
    for name in Sample.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(sample, name))
    left = sample.correspondence[..., 0][sample.mask]
    assert flipped.correspondence[..., 0][flipped.mask].mean() == pytest.approx(-left.mean(), abs=1e-4)


def test_outside_the_mask_labels_are_zero(samples: FaceSamples) -> None:
    for number in range(6):
        sample = samples.draw(np.random.default_rng(number), 64)
        assert not sample.depth[~sample.mask].any()
        assert not sample.correspondence[~sample.mask].any()
        assert np.isfinite(sample.depth).all()


def test_a_samples_number_decides_it(samples: FaceSamples) -> None:
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
    assert model.mean[model.faces[: model.face_triangle_count][~shown]][..., 1].mean() < -80  # mm: all that is left out


SMALL = TrainOptions(
    size=64, batch=2, images=16, warmup=1, epoch_images=8, adversarial_every=2, discriminator_width=4,
    synthetic=False, mix=MixOptions(synthetic=0.0),
)  # fmt: skip


@pytest.mark.slow
def test_training_resumes_exactly(
    tmp_path: Path, labels: Labels, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels.save(tmp_path / "labels.npz")
    arguments = {"device": "cpu", "workers": 0}
    monkeypatch.setattr(train_facevision, "VALIDATION_FACES", 2)
    train(SMALL, folder, tmp_path / "labels.npz", tmp_path / "whole", minutes=60, **arguments)
    ticks = iter(range(10**6))
    with monkeypatch.context() as patch:
        patch.setattr("facegeom.training.train_facevision.time.monotonic", lambda: next(ticks) * 20.0)
        train(SMALL, folder, tmp_path / "labels.npz", tmp_path / "parts", minutes=1, **arguments)
    half = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert 0 < half["step"] < 8
    train(SMALL, folder, tmp_path / "labels.npz", tmp_path / "parts", minutes=60, **arguments)
    whole, parts = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("whole", "parts"))
    assert whole["step"] == parts["step"] == 8
    for name, tensor in whole["generator"].items():
        assert torch.equal(tensor, parts["generator"][name]), name
    with pytest.raises(FacegeomError, match="other options"):
        train(replace(SMALL, seed=1), folder, tmp_path / "labels.npz", tmp_path / "parts", minutes=1, **arguments)


@pytest.mark.slow
def test_training_overfits_one_batch() -> None:
    options = TrainOptions(size=64, batch=2, images=10**6, warmup=1, adversarial_weight=0.0, learning_rate=2e-3)
    trainer = Trainer(options, torch.device("cpu"))
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


def test_both_discriminators_are_trained_and_scored() -> None:
    trainer = Trainer(SMALL, torch.device("cpu"))
    before = {k: v.clone() for k, v in trainer.discriminators.state_dict().items()}
    image = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    terms = trainer.train_step(image, torch.rand(2, 4, 64, 64), torch.ones(2, 1, 64, 64))
    assert {"depth_real", "depth_fake", "correspondence_real", "correspondence_fake"} <= set(terms)
    after = trainer.discriminators.state_dict()
    for task in ("depth", "correspondence"):
        assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith(task))
