"""Sets of edited photos with their meshes, the checks of their labels, and the measures of generated heads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from facegeom.cli import main
from facegeom.errors import FacegeomError
from facegeom.evaluation import diffusion as evaluation
from facegeom.face_model import load_face_model
from facegeom.face_model.point_fit import Fit
from facegeom.images.image_files import load_image
from facegeom.measures.distributions import frechet_distance, kernel_distance, nearest_features
from facegeom.networks.diffusion.latent_diffusion import DiffusionConfig, DiffusionNetworks
from facegeom.networks.pix2pix import Pix2PixConfig, Pix2PixGenerator
from facegeom.networks.weights import save_weights
from facegeom.reconstruction import demo_photo, predict
from facegeom.training.data.labels import REJECTIONS, Labels
from facegeom.training.data.photo_data import JoinedPhotos, Sources, load_training_data
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.diffusion import prepare_diffused
from facegeom.training.diffusion.diffused_poses import DiffusedPoses
from facegeom.training.diffusion.diffused_set import SOURCE_TYPE, DiffusedSet, Limits, Made
from facegeom.training.diffusion.edits import KINDS, turned
from facegeom.training.diffusion.label_check import LabelDistance, label_distance

SMALL = DiffusionConfig(
    size=32, latent=4, autoencoder_widths=(16, 16, 32), unet_widths=(64, 64), attention=(1,), encoded=16, times=100
)
GOOD, BAD = LabelDistance(0.5, 1.0, 1.0), LabelDistance(9.0, 20.0, 20.0)


# ---- measures --------------------------------------------------------------------------------------------------------


def test_frechet_distance_of_normal_distributions_is_the_closed_form() -> None:
    """|m - n|^2 + sum (s - t)^2 for covariances that commute; exact for sets that have these moments exactly."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (400, 3))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T  # unit covariance, zero mean
    turn = np.linalg.qr(rng.normal(0, 1, (3, 3)))[0]
    first, second = np.diag([1.0, 2.0, 3.0]), np.diag([2.0, 2.0, 0.5])
    a, b = x @ first @ turn.T, x[::-1] @ second @ turn.T + [1.0, 2.0, -2.0]
    assert frechet_distance(a, b) == pytest.approx(9 + 1 + 0 + 6.25, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_is_the_unbiased_sum_over_pairs() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, (5, 4)), rng.normal(1, 1, (6, 4))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 4 + 1) ** 3)

    within = [
        np.mean([kernel(a, b) for i, a in enumerate(part) for j, b in enumerate(part) if i != j]) for part in (x, y)
    ]
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within[0] + within[1] - 2 * between)
    same = [kernel_distance(*rng.normal(0, 1, (2, 200, 4))) for _ in range(20)]
    assert abs(np.mean(same)) < 0.02
    assert kernel_distance(rng.normal(0, 1, (200, 4)), rng.normal(0.5, 1, (200, 4))) > 0.2


def test_nearest_features_leave_out_the_excluded_row() -> None:
    features = np.array([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    distances, rows = nearest_features([[0.0, 0.0], [0.0, 0.0], [9.0, 0.0]], features, [0, -1, -1])
    np.testing.assert_allclose(distances, [5, 0, 1])
    np.testing.assert_array_equal(rows, [1, 0, 2])
    with pytest.raises(ValueError, match="one row more"):
        nearest_features([[0.0, 0.0]], features[:1], [0])
    with pytest.raises(ValueError, match="at least 2 rows"):
        kernel_distance([[0.0]], [[1.0], [2.0]])


def test_the_check_sees_whether_a_photo_shows_its_label() -> None:
    photo = load_image(demo_photo())
    found = predict(photo)
    camera = found.camera
    label = replace(found.fit, rotation=camera.rotation, scale=camera.scale, translation=np.asarray(camera.translation))
    model = load_face_model()
    right = label_distance(model, photo, label)
    wrong = label_distance(model, photo, turned(label, 15.0, 0.0))
    assert right is not None
    assert wrong is not None
    assert right.landmarks_mm < 3
    assert right.maps_mm < 4
    assert right.landmarks_px == pytest.approx(right.landmarks_mm * label.scale)
    assert wrong.landmarks_mm > right.landmarks_mm + 3
    assert label_distance(model, np.full_like(photo, 120), label) is None


# ---- sets ------------------------------------------------------------------------------------------------------------


def made(number: int, distance: LabelDistance | None = GOOD, nearest: float = 5.0, shown: bool = True) -> Made:
    """Return an image of a set."""
    fit = Fit(np.full(60, 0.1 * number), np.zeros(57), np.eye(3), 0.2, np.array([16.0, 14.0]), 0.0, 0.0)
    return Made(f"a_{number}_pose.png", "pose", f"a_{number}.jpg", fit, distance, nearest, "b_1.jpg", 2.0, shown)


def limits() -> Limits:
    """Return limits of real photos."""
    return Limits.of([LabelDistance(0.5, 1.0 + 0.1 * n, 2.0) for n in range(11)], np.linspace(1.0, 3.0, 101), 4.0)


def test_limits_are_quantiles_of_real_photos() -> None:
    found = limits()
    assert found.landmarks_mm == pytest.approx(1.95)
    assert found.maps_mm == pytest.approx(2.0)
    assert found.copy == pytest.approx(1.02)
    assert found.strangers == 4.0
    assert found.real_landmarks_mm == pytest.approx(1.5)
    images = made(1), made(1, BAD), made(1, None), made(1, nearest=0.5), made(1, shown=False)
    names = [REJECTIONS[found.reason(one)] for one in images]
    assert names == ["kept", "residual", "landmarks", "identity", "identity"]
    with pytest.raises(FacegeomError, match="found no face in the held-out photos"):
        Limits.of([], np.ones(3), 4.0)


def test_a_set_is_marked_as_synthetic_and_has_labels_of_the_usual_form(tmp_path: Path) -> None:
    out = DiffusedSet(tmp_path / "set", {"seed": 0})
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for number, distance in enumerate((GOOD, GOOD, BAD)):
        out.add(f"a_{number}.jpg", [image], [made(number, distance)], "pix2pix")
    report = out.finish(limits())
    assert report["rejected_by_label"] == pytest.approx(1 / 3)
    assert report["kept"] == 2
    assert report["to_source"] == 2.0
    assert report["ratio_to_real"] == pytest.approx(1.0 / 1.5)
    with Image.open(tmp_path / "set" / "images" / "a_1_pose.png") as picture:
        assert picture.text["Synthetic"] == "yes"
        assert picture.text["DigitalSourceType"] == SOURCE_TYPE
        assert "a_1.jpg changed (pose) by pix2pix" in picture.text["Description"]
        np.testing.assert_array_equal(np.asarray(picture), image)
    documents = [*(tmp_path / "set").glob("*.json"), *(tmp_path / "set" / "records").glob("*.json")]
    assert len(documents) == 5
    assert all(json.loads(path.read_text())["synthetic"] is True for path in documents)
    labels = Labels.load(tmp_path / "set" / "labels.npz")
    np.testing.assert_array_equal(labels.kept, [0, 1])
    np.testing.assert_allclose(labels.fit(1).identity, 0.1, atol=1e-4)
    for one, row in zip(out.made(), range(3), strict=True):
        np.testing.assert_allclose(one.fit.translation, labels.fit(row).translation)


def test_a_set_whose_images_do_not_show_their_labels_has_no_labels(tmp_path: Path) -> None:
    out = DiffusedSet(tmp_path / "set", {"seed": 0})
    image = np.zeros((32, 32, 3), np.uint8)
    for number, distance in enumerate((GOOD, BAD, None)):
        out.add(f"a_{number}.jpg", [image], [made(number, distance)], "pix2pix")
    with pytest.raises(FacegeomError, match=r"rejects 67 % of the images, and at most 40 % may be"):
        out.finish(limits())
    assert not (tmp_path / "set" / "labels.npz").exists()
    assert json.loads((tmp_path / "set" / "report.json").read_text())["images"] == 3
    with pytest.raises(FacegeomError, match="a set with another seed"):
        DiffusedSet(tmp_path / "set", {"seed": 1})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A weight file of a small diffusion model without training."""
    torch.manual_seed(0)
    save_weights(tmp_path / "small.safetensors", SMALL, DiffusionNetworks(SMALL).state_dict())
    return tmp_path / "small.safetensors"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only few real photos are measured, and all images show their labels."""
    monkeypatch.setattr(prepare_diffused, "REFERENCE_PHOTOS", 2)
    monkeypatch.setattr(prepare_diffused, "LIGHTS", 2)
    monkeypatch.setattr(prepare_diffused, "label_distance", lambda *args: GOOD)
    monkeypatch.setattr(prepare_diffused.HeadPhotos, "__len__", lambda photos: min(6, len(photos.names)))


@pytest.mark.usefixtures("few")
def test_command_makes_a_set_resumes_it_and_a_training_uses_it(
    folder: Path,
    labels: Any,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels.save(tmp_path / "labels.npz")
    out = tmp_path / "diffused"
    command = ["prepare", "diffused", str(folder), "--labels", str(tmp_path / "labels.npz"), "--weights", str(weights)]
    command += ["--out", str(out), "--steps", "2", "--limit", "3"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 3 * len(KINDS)
    assert report["synthetic"] is True
    images = sorted(path.name for path in (out / "images").iterdir())
    assert len(images) == 3 * len(KINDS)
    assert all((out / name).is_file() for name in ("sheet.png", "sheet_meshes.png", "labels.npz", "report.json"))
    first = {name: (out / "images" / name).read_bytes() for name in images}

    record = sorted((out / "records").iterdir())[0]
    record.unlink()  # as if the command had been stopped while it made the images of this photo
    calls = []
    make = prepare_diffused.Preparation.make
    monkeypatch.setattr(prepare_diffused.Preparation, "make", lambda self, item: calls.append(item) or make(self, item))
    assert main(command) == 0
    assert len(calls) == 1
    assert first == {name: (out / "images" / name).read_bytes() for name in images}
    capsys.readouterr()
    assert main([*command, "--seed", "1"]) == 1
    assert "a set with another seed" in capsys.readouterr().err

    stored = Labels.load(out / "labels.npz")
    names = [str(name) for name in labels.names]
    poses = DiffusedPoses.load(load_face_model(), out, names)
    assert len(poses) == len(stored.kept)
    image, pose = poses[0]
    assert image.shape == (32, 32, 3)
    np.testing.assert_allclose(pose.translation, stored.translation[stored.kept[0]])
    with pytest.raises(FacegeomError, match="not in the training set"):
        DiffusedPoses.load(load_face_model(), out, [])
    with pytest.raises(FacegeomError, match="there are no labels in"):
        DiffusedPoses.load(load_face_model(), tmp_path / "none", names)
    sources = Sources(folder, tmp_path / "labels.npz", diffused=out)
    training = load_training_data(sources, MixOptions(reshaped=1.0), synthetic=False).training
    assert training.draw(np.random.default_rng(0), 32).image.shape == (32, 32, 3)
    joined = JoinedPhotos([poses, [poses[0]]])
    assert len(joined) == 2 * len(poses)
    np.testing.assert_array_equal(joined[len(joined) - 1][0], image)


@pytest.mark.usefixtures("few")
def test_pix2pix_makes_a_set_without_other_people(
    folder: Path, labels: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.save(tmp_path / "labels.npz")
    config = Pix2PixConfig(64, 2, (16, 16, 16), (0, 0, 0), (16, 16))
    save_weights(tmp_path / "pix2pix.safetensors", config, Pix2PixGenerator(config).state_dict())
    command = ["prepare", "diffused", str(folder), "--labels", str(tmp_path / "labels.npz"), "--limit", "1"]
    command += ["--weights", str(tmp_path / "pix2pix.safetensors"), "--out", str(tmp_path / "set")]
    assert main([*command, "--edits", "person"]) == 1
    assert "pix2pix cannot make the change person" in capsys.readouterr().err
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["images"] == len(KINDS) - 1
    assert main([*command, "--guidance", "-1"]) == 1
    assert "guidance" in capsys.readouterr().err


def test_command_measures_a_model(
    folder: Path,
    labels: Any,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = iter([GOOD, BAD, GOOD, None] + [GOOD] * 4)
    monkeypatch.setattr(evaluation, "label_distance", lambda *args: next(answers))
    labels.save(tmp_path / "labels.npz")
    command = ["evaluate", "diffusion", str(folder), "--labels", str(tmp_path / "labels.npz"), "--weights"]
    files = [str(tmp_path / name) for name in ("sheet.png", "nearest.png", "out.json")]
    options = ["--samples", "4", "--steps", "2", "--sheet", files[0], "--nearest", files[1], "--json", files[2]]
    assert main([*command, str(weights), *options]) == 0
    text = capsys.readouterr().out
    assert "features of the identity network" in text
    results = json.loads(Path(files[2]).read_text())["results"]
    assert results["labels"]["rejected"] == 0.5
    assert results["labels"]["no_face"] == 0.25
    assert results["labels"]["ratio"] == 1
    assert results["features"]["training photos"]["images"] == 4
    assert 0 <= results["copies"]["share"] <= 1
    assert results["returned"]["inversion_psnr"] > 3
    assert all(Path(file).is_file() for file in files)
