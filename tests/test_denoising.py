"""The denoising networks, their noise and their training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from facegeom.cli import main
from facegeom.errors import FacegeomError
from facegeom.evaluation.denoising import NOISY, evaluate, mean_with_interval, measure_choice, non_local_means
from facegeom.networks.denoising.autoencoder import VariationalAutoencoder
from facegeom.networks.denoising.denoiser import METHODS, Denoiser, DenoiserConfig, load_denoiser
from facegeom.networks.denoising.matrix_unet import RANK, SMALL, LowRank
from facegeom.networks.weights import save_weights
from facegeom.training.denoising import validation
from facegeom.training.denoising.noise import (
    LEVELS,
    PAPER_PSNR,
    demosaiced,
    with_gaussian_noise,
    with_phone_noise,
    with_psnr,
)
from facegeom.training.denoising.samples import DenoisingStream, FacePhotos
from facegeom.training.denoising.train_denoiser import (
    DenoiserOptions,
    DenoiserTrainer,
    DenoisingData,
    train,
)
from facegeom.training.denoising.validation import psnr
from facegeom.training.loop import RunSettings

CPU = torch.device("cpu")


def smooth(size: int = 64) -> np.ndarray:
    """Return a smooth coloured image (size, size, 3) uint8."""
    y, x = np.mgrid[:size, :size] / (size - 1)
    return np.rint(255 * (0.1 + 0.8 * np.dstack([x, y, 1 - 0.5 * (x + y)]))).astype(np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_networks_have_the_asked_size_and_keep_the_shape(method: str) -> None:
    torch.manual_seed(0)
    network = METHODS[method]()
    assert 1.5e6 < sum(parameter.numel() for parameter in network.parameters()) < 4e6
    image = torch.rand(2, 3, 32, 48) * 2 - 1
    out = network(image)
    assert out.shape == image.shape
    out.square().mean().backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert unused == []


@pytest.mark.parametrize("method", ["attention", "dense_unet", "matrix_unet"])
def test_networks_that_predict_the_noise_change_nothing_before_training(method: str) -> None:
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(METHODS[method]()(image), image)


def test_the_decomposition_has_the_low_rank_of_the_multiplicative_updates() -> None:
    """NumPy's updates of the same start give the same product; its rank is at most that of the bases."""
    torch.manual_seed(1)
    layer = LowRank(96)
    torch.nn.init.eye_(layer.after.weight.view(96, 96))
    x = torch.randn(1, 96, 12, 12)
    product = (layer(x) - x)[0].flatten(1).detach().numpy().astype(np.float64)
    V = torch.relu(layer.before(x))[0].flatten(1).detach().numpy().astype(np.float64)
    W = layer.bases[0].numpy().astype(np.float64)
    weights = np.exp(W.T @ V)
    H = weights / weights.sum(0)
    for _ in range(6):
        H *= (W.T @ V) / (W.T @ W @ H + SMALL)
        W *= (V @ H.T) / (W @ (H @ H.T) + SMALL)
    H *= (W.T @ V) / (W.T @ W @ H + SMALL)
    np.testing.assert_allclose(product, W @ H, rtol=1e-3, atol=1e-4)
    assert np.linalg.matrix_rank(W @ H) <= RANK
    assert np.linalg.norm(V - W @ H) < 0.75 * np.linalg.norm(V)


def test_the_code_of_the_variational_autoencoder_is_random_in_training_only() -> None:
    torch.manual_seed(0)
    network, image = VariationalAutoencoder(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        first, second = network.draw(image), network.draw(image)
    assert float((first.image - second.image).abs().max()) > 1e-3
    assert float(first.divergence) == pytest.approx(float(second.divergence))
    assert float(first.divergence) > 0
    torch.testing.assert_close(network(image), network(image))


def test_gaussian_noise_has_its_level_and_is_clipped() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = with_gaussian_noise(grey, 0.1, np.random.default_rng(0))
    assert noisy.std() / 255 == pytest.approx(0.1, rel=0.02)
    dark = with_gaussian_noise(np.zeros((200, 200, 3), np.uint8), 0.1, np.random.default_rng(0))
    assert (dark == 0).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("level", LEVELS)
def test_noise_of_a_given_psnr_has_it(level: float) -> None:
    image = smooth()
    noisy = with_psnr(image, PAPER_PSNR[level], np.random.default_rng(1))
    assert psnr(noisy, image) == pytest.approx(PAPER_PSNR[level], abs=0.05)


def test_demosaicing_inverts_the_bayer_pattern_of_a_smooth_image() -> None:
    image = smooth() / 255.0
    mosaic = image[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = image[::2, ::2, 0], image[1::2, 1::2, 2]
    np.testing.assert_allclose(demosaiced(mosaic)[2:-2, 2:-2], image[2:-2, 2:-2], atol=0.005)


def test_phone_noise_differs_but_keeps_the_brightness() -> None:
    image = smooth()
    made = [with_phone_noise(image, np.random.default_rng(seed)) for seed in range(12)]
    values = [psnr(noisy, image) for noisy in made]
    assert max(values) > 30
    assert min(values) < 25
    blurred = [noisy.reshape(8, 8, 8, 8, 3).mean((1, 3)) for noisy in made]
    errors = [float(np.abs(noisy - image.reshape(8, 8, 8, 8, 3).mean((1, 3))).mean()) for noisy in blurred]
    assert np.median(errors) < 12


def test_samples_depend_on_seed_and_number_only(folder: Path, labels: Any, tmp_path: Path) -> None:
    labels.save(tmp_path / "labels.npz")
    photos = FacePhotos(folder, tmp_path / "labels.npz", "validation")
    for kind in ("gaussian", "phone"):
        stream = DenoisingStream(photos, 32, kind, 3, 10, 20)
        again = DenoisingStream(photos, 32, kind, 3, 0, 20)
        noisy, clean = stream[1]
        assert noisy.shape == clean.shape == (3, 32, 32)
        torch.testing.assert_close(again[11], (noisy, clean))
        assert not torch.equal(noisy, clean)


def test_crops_are_around_the_face(folder: Path, labels: Any, tmp_path: Path) -> None:
    labels.save(tmp_path / "labels.npz")
    photos = FacePhotos(folder, tmp_path / "labels.npz", "test")
    crop = photos.crop(0, 32, 40.0)
    x, y = photos.centre[0]
    half = 20 * photos.scale[0]
    shown = photos.store[0][int(y - half) : int(y + half), int(x - half) : int(x + half)]
    assert np.abs(shown.mean((0, 1)) - crop.mean((0, 1))).max() < 10


def test_photos_without_a_label_are_refused(labels: Any, tmp_path: Path) -> None:
    labels.save(tmp_path / "labels.npz")
    cv2.imwrite(str(tmp_path / "other.jpg"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(FacegeomError, match="no validation photo below"):
        FacePhotos(tmp_path, tmp_path / "labels.npz", "validation")


def test_training_removes_noise_resumes_and_writes_weights(
    folder: Path, labels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(validation, "LEVELS", (0.5,))
    labels.save(tmp_path / "labels.npz")
    data = DenoisingData(folder, tmp_path / "labels.npz")
    options = DenoiserOptions(size=32, batch=8, images=160, epoch_images=1000, warmup=1, average_decay=0.5)
    settings = RunSettings(tmp_path / "run", workers=0)
    measured = train(options, data, settings)
    photos = FacePhotos(folder, tmp_path / "labels.npz", "validation")
    clean = photos.crop(0, 32, validation.SIDE_MM)
    noisy = with_gaussian_noise(clean, 0.5, np.random.default_rng(0))
    assert measured["psnr_0.5"] > psnr(noisy, clean) + 0.5
    assert train(options, data, settings) == measured  # complete: it is only validated again
    path = tmp_path / "run" / "denoiser_matrix_unet.safetensors"
    network = load_denoiser("matrix_unet", path=path)
    out = network.predict(noisy[None])
    assert out.dtype == np.uint8
    assert psnr(out[0], clean) > psnr(noisy, clean)
    np.testing.assert_array_equal(out, network.predict(noisy[None]))
    other = DenoiserTrainer(DenoiserOptions(method="dense_unet"), CPU)
    with pytest.raises(FacegeomError, match="matrix_unet, expected dense_unet"):
        other.start_from(path)


def test_every_method_makes_a_training_step() -> None:
    noisy, clean = torch.randint(0, 256, (2, 2, 3, 32, 32), dtype=torch.uint8)
    for method in METHODS:
        trainer = DenoiserTrainer(DenoiserOptions(method=method, size=32, batch=2), CPU)
        before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
        terms = trainer.train_step(noisy, clean)
        assert all(np.isfinite(value) for value in terms.values())
        changed = [not torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True)]
        assert any(changed)
        assert ("divergence" in terms) == (method == "vae")


def test_bad_input_is_named(tmp_path: Path) -> None:
    network = Denoiser(METHODS["matrix_unet"](), CPU)
    with pytest.raises(ValueError, match="multiples of 16"):
        network.predict(np.zeros((1, 20, 32, 3), np.uint8))
    with pytest.raises(TypeError, match="uint8"):
        network.predict(np.zeros((1, 32, 32, 3)))
    with pytest.raises(ValueError, match="method must be one of"):
        load_denoiser("median")
    with pytest.raises(ValueError, match="multiple of 16"):
        DenoiserOptions(size=100)
    with pytest.raises(ValueError, match="noise must be one of"):
        DenoiserOptions(noise="salt")
    save_weights(tmp_path / "a.safetensors", DenoiserConfig("vae", "phone"), METHODS["vae"]().state_dict())
    assert load_denoiser("vae", path=tmp_path / "a.safetensors").network.training is False


def test_a_method_that_knows_the_photo_is_perfect_and_noise_has_the_papers_psnr() -> None:
    photos = [smooth(32), smooth(32)[::-1].copy()]
    known = iter(photos * len(LEVELS))
    results = evaluate(photos, {"oracle": lambda noisy: next(known)}, ["paper"])["paper"]
    for level in LEVELS:
        found = results[f"{level:g}"]
        assert found["oracle"].psnr == 100
        assert found["oracle"].ssim == pytest.approx(100)
        assert found[NOISY].psnr == pytest.approx(PAPER_PSNR[level], abs=0.05)
    assert results["0.1"][NOISY].ssim > results["0.75"][NOISY].ssim


def test_non_local_means_removes_noise_from_a_smooth_image() -> None:
    image = smooth()
    noisy = with_gaussian_noise(image, 0.1, np.random.default_rng(0))
    assert psnr(non_local_means(noisy), image) > psnr(noisy, image) + 6


def test_intervals_contain_the_mean_and_shrink_with_the_number_of_values() -> None:
    rng = np.random.default_rng(0)
    mean, half = mean_with_interval(rng.normal(30, 2, 100))
    assert abs(mean - 30) < 2 * half
    assert half == pytest.approx(1.96 * 2 / 10, rel=0.25)
    assert mean_with_interval(rng.normal(30, 2, 1600))[1] < 0.4 * half


def test_command_measures_networks_and_draws_a_sheet(
    folder: Path, labels: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.save(tmp_path / "labels.npz")
    torch.manual_seed(0)
    state = METHODS["matrix_unet"]().state_dict()
    save_weights(tmp_path / "mine.safetensors", DenoiserConfig("matrix_unet", "gaussian"), state)
    command = ["evaluate", "denoising", str(folder), "--labels", str(tmp_path / "labels.npz"), "--limit", "2"]
    outputs = ["--sheet", str(tmp_path / "sheet.png"), "--json", str(tmp_path / "result.json")]
    assert main([*command, "--weights", str(tmp_path / "mine.safetensors"), *outputs]) == 0
    assert "matrix_unet" in capsys.readouterr().out
    report = json.loads((tmp_path / "result.json").read_text())
    level = report["results"]["sigma"]["0.25"]
    assert level["matrix_unet"] == level[NOISY]  # an untrained network changes nothing
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] > 13 * 112
    assert main([*command, "--limit", "0"]) == 1


def test_the_choice_is_right_where_one_network_is_clearly_better() -> None:
    """A network that knows the photo always wins, and one that returns the noisy image always loses."""
    photos = []
    for radius in (12, 18, 24):
        photos.append(
            cv2.circle(np.full((64, 64, 3), 60, np.uint8), (30, 34), radius, (200, 150, 120), -1, cv2.LINE_AA)
        )
    known = iter(photos)
    found = measure_choice(photos, (lambda noisy: noisy, lambda noisy: next(known)), "0.25")
    assert found.right == 100
    assert found.chosen == found.best == found.always[1] == 100
    assert found.always[0] < 15
    assert found.better == (0, 100)


def test_command_measures_the_choice(
    folder: Path, labels: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.save(tmp_path / "labels.npz")
    files = []
    for method in ("dense_unet", "matrix_unet"):
        files.append(str(tmp_path / f"{method}.safetensors"))
        save_weights(files[-1], DenoiserConfig(method, "phone"), METHODS[method]().state_dict())
    command = ["evaluate", "denoising", str(folder), "--labels", str(tmp_path / "labels.npz"), "--limit", "1"]
    report = tmp_path / "choice.json"
    assert main([*command, "--choice", "--weights", *files, "--json", str(report)]) == 0
    assert "always dense_unet" in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert found["networks"] == ["dense_unet", "matrix_unet"]
    assert found["choice"]["phone"]["right"] == 100  # untrained networks change nothing: both are right
    assert main([*command, "--choice", "--weights", files[0]]) == 1
    assert "two networks" in capsys.readouterr().err
