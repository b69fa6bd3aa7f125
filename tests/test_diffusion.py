"""Networks, conditions and training of the latent diffusion of heads, and of Pix2Pix."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facegeom.cli import main
from facegeom.errors import FacegeomError, WeightsError
from facegeom.face_model import load_face_model
from facegeom.face_model.point_fit import Fit
from facegeom.images.crop import apply_affine
from facegeom.networks import segmentation_crop
from facegeom.networks.diffusion.autoencoder import AutoencoderConfig, HeadAutoencoder
from facegeom.networks.diffusion.latent_diffusion import (
    Condition,
    DiffusionConfig,
    DiffusionNetworks,
    LatentDiffusion,
    load_diffusion,
)
from facegeom.networks.diffusion.unet import ATTRIBUTES, MAPS, ConditionedUNet
from facegeom.networks.pix2pix import Pix2PixConfig, Pix2PixGenerator, load_pix2pix
from facegeom.networks.segmentation import load_segmentation
from facegeom.networks.segmentation_crop import CLASSES, head_affine
from facegeom.texture.light import harmonics
from facegeom.training.diffusion import train_autoencoder, train_diffusion, train_pix2pix
from facegeom.training.diffusion.conditions import (
    GLASSES,
    LIGHT,
    SMILE,
    HeadAttributes,
    HeadMaps,
    mirrored,
    posed,
    reduced,
)
from facegeom.training.diffusion.edits import KINDS, draw_edit, is_shown, turned
from facegeom.training.diffusion.head_photos import HeadPhotos, in_crop
from facegeom.training.diffusion.latents import LatentSet, LatentStream, latent_set
from facegeom.training.diffusion.pix2pix_pairs import CHANGES, PairStream, Pix2PixPairs
from facegeom.training.diffusion.train_autoencoder import (
    AutoencoderOptions,
    AutoencoderTrainer,
    HeadStream,
    load_autoencoder,
)
from facegeom.training.diffusion.train_diffusion import DiffusionOptions, DiffusionTrainer
from facegeom.training.diffusion.train_pix2pix import Pix2PixData, Pix2PixOptions, Pix2PixTrainer
from facegeom.training.loop import RunSettings

CPU = torch.device("cpu")
SMALL = DiffusionConfig(
    size=32, latent=4, autoencoder_widths=(16, 16, 32), unet_widths=(64, 64), attention=(1,), encoded=16, times=100
)
IDENTITY = np.eye(9, dtype=np.float32)[0]


def frontal(size: int = 128, scale: float | None = None) -> Fit:
    """Return the mean head in the middle of a crop."""
    scale = size / 280 if scale is None else scale
    return Fit(np.zeros(60), np.zeros(57), np.eye(3), scale, np.array([(size - 1) / 2, 0.46 * size]), 0.0, 0.0)


def condition(count: int, config: DiffusionConfig = SMALL, seed: int = 0) -> Condition:
    """Return a random condition."""
    rng = np.random.default_rng(seed)
    side = config.size // 4
    return Condition(
        rng.normal(0, 0.5, (count, MAPS, side, side)).astype(np.float32),
        rng.normal(0, 0.5, (count, len(ATTRIBUTES))).astype(np.float32),
    )


def small_model() -> LatentDiffusion:
    """Return a model whose U-Net predicts something else than zero."""
    torch.manual_seed(0)
    networks = DiffusionNetworks(SMALL)
    with torch.no_grad():
        for parameter in networks.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.05)
    return LatentDiffusion(networks, CPU)


# ---- networks --------------------------------------------------------------------------------------------------------


def test_networks_have_the_asked_sizes() -> None:
    networks = DiffusionNetworks()
    assert 10e6 < sum(parameter.numel() for parameter in networks.unet.parameters()) < 20e6
    images = torch.rand(1, 3, 128, 128) * 2 - 1
    latents = networks.autoencoder.encode(images)
    assert latents.shape == (1, 8, 16, 16)
    decoded = networks.autoencoder.decode(latents)
    assert decoded.shape == images.shape
    blocks = decoded.reshape(1, 3, 64, 2, 64, 2)  # before training the pixels of a block are equal
    torch.testing.assert_close(blocks, blocks[:, :, :, :1, :, :1].expand_as(blocks))


def test_every_weight_is_used() -> None:
    small = small_model().networks.requires_grad_(True)
    told = condition(3)
    maps, attributes = (torch.from_numpy(part) for part in told)
    known = torch.tensor([1.0, 0.0, 1.0])
    velocity = small.unet(torch.randn(3, 4, 4, 4), torch.tensor([1, 50, 100]), maps, attributes, known)
    drawn = small.autoencoder.draw(torch.rand(3, 3, 32, 32))
    (velocity.square().mean() + small.autoencoder.decode(drawn.latents).square().mean() + drawn.divergence).backward()
    assert [name for name, parameter in small.named_parameters() if parameter.grad is None] == []


def test_without_the_condition_nothing_of_it_matters() -> None:
    unet = small_model().networks.unet
    noisy, time = torch.randn(2, 4, 4, 4), torch.tensor([30, 30])
    one, other = ([torch.from_numpy(part) for part in condition(2, seed=seed)] for seed in (1, 2))
    without = [unet(noisy, time, *told, torch.zeros(2)) for told in (one, other)]
    torch.testing.assert_close(*without)
    told = [unet(noisy, time, *parts, torch.ones(2)) for parts in (one, other)]
    assert float((told[0] - told[1]).abs().max()) > 1e-3


def test_guidance_is_the_mixture_of_the_paper() -> None:
    model = small_model()
    told, noisy = condition(2), torch.randn(2, 4, 4, 4)
    maps, attributes = (torch.from_numpy(part) for part in told)
    time = torch.full((2,), 40)
    with torch.inference_mode():
        with_it, without = (
            model.networks.unet(noisy, time, maps, attributes, torch.full((2,), known)) for known in (1.0, 0.0)
        )
        for weight in (0.0, 1.0, 3.0):
            mixed = model.predictor(told, weight)(noisy, 40)
            torch.testing.assert_close(mixed, without + weight * (with_it - without), rtol=1e-4, atol=1e-5)


def test_an_image_does_not_depend_on_its_batch_and_inversion_returns_a_photo() -> None:
    model = small_model()
    told, noise = condition(3), model.noise([5, 6, 7])
    images = model.sample(told, noise, steps=5)
    assert images.shape == (3, 32, 32, 3)
    alone = model.sample(Condition(told.maps[1:2], told.attributes[1:2]), model.noise([6]), steps=5)
    assert np.abs(alone[0].astype(int) - images[1]).max() <= 1
    photos = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    back = model.sample(told, model.invert(photos, told, steps=10, rounds=20), steps=10, guidance=1.0)
    assert np.abs(back.astype(int) - model.decode(model.encode(photos))).max() <= 2
    np.testing.assert_array_equal(
        model.sample(told, noise, steps=5, eta=1.0, seed=3), model.sample(told, noise, steps=5, eta=1.0, seed=3)
    )


def test_weight_files_are_checked(tmp_path: Path) -> None:
    from facegeom.networks.weights import save_weights

    model = small_model()
    save_weights(tmp_path / "diffusion.safetensors", SMALL, model.networks.state_dict())
    again = load_diffusion(tmp_path / "diffusion.safetensors")
    assert again.config == SMALL
    with pytest.raises(WeightsError, match="cannot be read"):
        load_pix2pix(tmp_path / "diffusion.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        load_diffusion(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="a condition must have maps"):
        again.sample(Condition(np.zeros((1, MAPS, 3, 3)), np.zeros((1, 11))), again.noise([0]))
    with pytest.raises(ValueError, match="multiple of 16"):
        AutoencoderConfig(size=100)
    with pytest.raises(ValueError, match="size must be a multiple of 64"):
        Pix2PixConfig(size=100)


# ---- conditions ------------------------------------------------------------------------------------------------------


def test_a_fit_in_a_crop_projects_to_the_pixels_of_the_crop() -> None:
    model = load_face_model()
    fit = turned(frontal(200, 0.6), 25.0, 10.0)
    angle = np.radians(20)
    affine = np.array([[np.cos(angle), np.sin(angle), 3.0], [-np.sin(angle), np.cos(angle), -7.0]]) * 0.7
    moved = in_crop(fit, affine)
    before, after = posed(model, fit).pixels(), posed(model, moved).pixels()
    np.testing.assert_allclose(apply_affine(affine, before[:, :2]), after[:, :2], atol=1e-8)
    np.testing.assert_allclose(before[:, 2], after[:, 2], atol=1e-8)
    np.testing.assert_allclose(moved.rotation @ moved.rotation.T, np.eye(3), atol=1e-12)


def test_crops_show_the_head_where_the_label_is(folder: Path, labels: Any, tmp_path: Path) -> None:
    labels.save(tmp_path / "labels.npz")
    photos = HeadPhotos(folder, tmp_path / "labels.npz", "validation")
    crop = photos.crop(0, 64, roll_deg=15.0, scale=1.2, shift=(0.1, 0.0))
    fit = photos.labels.fit(int(photos.rows[0]))
    model = load_face_model()
    points = posed(model, crop.fit).pixels()[model.landmarks68, :2]
    original = posed(model, fit).pixels()[model.landmarks68, :2]
    photo = photos.store[0]
    inside = ((points > 2) & (points < 61)).all(1) & ((original > 2) & (original < 157)).all(1)
    assert inside.sum() > 40
    here = crop.image[tuple(np.rint(points[inside]).astype(int).T[::-1])].astype(float)
    there = photo[tuple(np.rint(original[inside]).astype(int).T[::-1])].astype(float)
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.8
    affine = head_affine(fit.rotation, fit.scale, fit.translation, 64)
    np.testing.assert_allclose(photos.crop(0, 64).fit.translation, apply_affine(affine, fit.translation[None])[0])
    assert len(HeadPhotos(folder, tmp_path / "labels.npz", "validation", 5)) == 5
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "other.png").write_bytes(b"")
    with pytest.raises(FacegeomError, match="no training photo below"):
        HeadPhotos(tmp_path / "empty", tmp_path / "labels.npz", "training")


def test_maps_are_those_of_the_head() -> None:
    maps = HeadMaps(load_face_model()).full(frontal(), 128)
    covered = maps[-1] > 0
    assert 0.2 < covered.mean() < 0.6
    assert not maps[:, ~covered].any()
    assert np.linalg.norm(maps[:3, covered], axis=0).mean() > 0.95
    assert (maps[2, covered] > -0.05).mean() > 0.97  # visible surfaces face the camera
    columns = np.broadcast_to(np.arange(128), (128, 128))[covered]
    x = 100 * maps[3, covered]  # the mean head, so that correspondence is position
    np.testing.assert_allclose(x, (columns - 63.5) * 280 / 128, atol=1e-3)
    np.testing.assert_allclose(reduced(maps)[:, 4, 5], maps[:, 16:20, 20:24].mean((1, 2)), atol=1e-6)


def test_the_mirror_image_of_a_symmetric_head_is_the_head() -> None:
    maps = HeadMaps(load_face_model()).full(turned(frontal(), 20, 0), 128)
    other = HeadMaps(load_face_model()).full(turned(frontal(), -20, 0), 128)
    attributes = np.zeros(len(ATTRIBUTES), np.float32)
    attributes[LIGHT] = np.arange(9)
    flipped, told = mirrored(maps, attributes)
    shared = (flipped[-1] > 0) & (other[-1] > 0)
    assert shared.sum() > 0.97 * (other[-1] > 0).sum()
    assert np.quantile(np.abs(flipped - other)[:, shared], 0.98) < 0.15
    normals = np.random.default_rng(0).normal(0, 1, (20, 3))
    np.testing.assert_allclose(
        harmonics(normals) @ attributes[LIGHT], harmonics(normals * [-1, 1, 1]) @ told[LIGHT], rtol=1e-5
    )


def test_light_is_read_from_shaded_skin() -> None:
    model = load_face_model()
    reader = HeadAttributes(model, load_segmentation())
    light = np.array([1.0, 0.4, -0.2, 0.15, 0, 0, 0, 0, 0], np.float32)
    fit = turned(frontal(), 15, 0)
    normals = reader.maps.full(fit, 128)[:3].reshape(3, -1).T
    shading = (harmonics(normals) @ light).reshape(128, 128)
    image = np.repeat(np.clip(120 * shading, 0, 255).astype(np.uint8)[..., None], 3, 2)
    found = harmonics(normals) @ reader.light(image, fit)
    face = reader.maps.full(fit, 128)[5].ravel() > 0  # in front of the ears
    expected = shading.ravel()[face]
    assert np.corrcoef(found[face], expected)[0, 1] > 0.97
    assert np.abs(found[face] / found[face].mean() - expected / expected.mean()).mean() < 0.05
    np.testing.assert_array_equal(reader.light(np.zeros_like(image), fit), IDENTITY)


def test_glasses_and_smile_are_read() -> None:
    class Fake:
        """A segmentation network that finds eyewear in bright pixels."""

        size = 128

        def predict(self, crops: np.ndarray) -> np.ndarray:
            """Return the probabilities (b, S, S, 7)."""
            bright = crops.min(3) > 200
            out = np.zeros((*bright.shape, len(CLASSES)), np.float32)
            out[..., segmentation_crop.EYEWEAR] = bright
            return out

    model = load_face_model()
    reader = HeadAttributes(model, Fake())
    image = np.full((64, 64, 3), 90, np.uint8)
    weights = np.zeros(57)
    weights[[name.startswith("mouthSmile") for name in model.expression_names]] = (0.3, 0.5)
    told = reader.read(image, replace(frontal(64), expression=weights))
    assert told[GLASSES] == 0
    assert told[SMILE] == pytest.approx(0.4)
    image[28:32, 20:44] = 255
    assert reader.read(image, frontal(64))[GLASSES] == 1


def test_edits_change_what_they_say_and_nothing_else() -> None:
    model, rng = load_face_model(), np.random.default_rng(0)
    fit, told = turned(frontal(), 30, 0), np.zeros(len(ATTRIBUTES), np.float32)
    told[LIGHT] = IDENTITY
    lights = rng.normal(0, 0.3, (3, 9)).astype(np.float32)
    made = {kind: draw_edit(model, kind, fit, told, lights, rng) for kind in KINDS}
    for kind in ("glasses", "light", "person"):
        assert made[kind].fit is fit
    for kind in ("pose", "person"):
        np.testing.assert_array_equal(made[kind].attributes, told)
    assert made["glasses"].attributes[GLASSES] == 1
    assert any((made["light"].attributes[LIGHT] == light).all() for light in lights)
    smile = made["smile"]
    rows = [name.startswith("mouthSmile") for name in model.expression_names]
    assert smile.fit.expression[rows].mean() == pytest.approx(smile.attributes[SMILE])
    assert 0.45 <= smile.attributes[SMILE] <= 0.9
    again = draw_edit(model, "smile", smile.fit, smile.attributes, lights, rng)
    if smile.attributes[SMILE] > 0.45:
        assert again.attributes[SMILE] == 0
    pose = made["pose"].fit
    np.testing.assert_array_equal(pose.identity, fit.identity)
    middle = np.array([[0.0, -10.0, -45.0]])

    def place(of: Fit) -> np.ndarray:
        return of.translation + of.scale * (middle @ of.rotation.T)[0, :2] * (1, -1)

    np.testing.assert_allclose(place(pose), place(fit), atol=1e-9)
    for seed in range(20):
        changed = draw_edit(model, "pose", fit, told, lights, np.random.default_rng(seed)).fit
        assert abs(np.degrees(np.arctan2(changed.rotation[0, 2], changed.rotation[2, 2]))) < 56
    for kind in KINDS:
        assert is_shown(made[kind], made[kind].attributes, told)
        assert is_shown(made[kind], told, told) == (kind not in ("glasses", "light"))
    with pytest.raises(ValueError, match="kind must be one of"):
        draw_edit(model, "age", fit, told, lights, rng)


# ---- training --------------------------------------------------------------------------------------------------------


def test_the_autoencoder_learns_images_and_resumes(tmp_path: Path) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 4, 4), dtype=np.uint8))
    images = images.repeat_interleave(8, 2).repeat_interleave(8, 3)
    options = AutoencoderOptions(
        network=SMALL.autoencoder, batch=4, images=160, warmup=1, learning_rate=3e-3, adversarial_start=0.8
    )
    trainer = AutoencoderTrainer(options, CPU)
    terms = [trainer.train_step(images) for _ in range(36)]
    assert terms[-1]["l1"] < 0.5 * terms[0]["l1"]
    assert terms[-1]["perceptual"] < 0.8 * terms[0]["perceptual"]
    assert "discriminator" in terms[-1]
    assert "discriminator" not in terms[0]
    torch.save(trainer.state(), tmp_path / "checkpoint.pt")
    again = AutoencoderTrainer(options, CPU)
    assert again.resume(tmp_path)
    assert again.train_step(images)["l1"] == pytest.approx(trainer.train_step(images)["l1"], rel=1e-4)
    trainer.save_weights(tmp_path)
    assert load_autoencoder(tmp_path / "autoencoder.safetensors").config == SMALL.autoencoder


def test_the_unet_learns_the_velocity_and_resumes_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    told = condition(4)
    latents = LatentSet(
        rng.normal(1.0, 3.0, (4, 4, 4, 4)).astype(np.float16), told.maps.astype(np.float16), told.attributes, "key"
    )
    options = DiffusionOptions(network=SMALL, batch=16, images=960, warmup=1, learning_rate=2e-3, average_decay=0.9)
    torch.manual_seed(0)
    trainer = DiffusionTrainer(options, HeadAutoencoder(SMALL.autoencoder), latents, CPU)
    assert float(trainer.normalised(torch.from_numpy(latents.latents.astype(np.float32))).std()) == pytest.approx(
        1, abs=0.1
    )

    def batch(number: int) -> tuple[torch.Tensor, ...]:
        stream = LatentStream(latents, SMALL.times, 0.1, 0, 16 * number, 16 * number + 16)
        return tuple(torch.stack(parts) for parts in zip(*(stream[n] for n in range(16)), strict=True))

    losses = [trainer.train_step(*batch(number))["velocity"] for number in range(59)]
    assert losses[0] == pytest.approx(1.0, abs=0.25)  # predicts zero before training
    assert np.mean(losses[-8:]) < 0.7
    torch.save(trainer.state(), tmp_path / "checkpoint.pt")
    again = DiffusionTrainer(options, HeadAutoencoder(SMALL.autoencoder), latents, CPU)
    assert again.resume(tmp_path)
    assert again.train_step(*batch(59)) == trainer.train_step(*batch(59))
    other = DiffusionTrainer(options, HeadAutoencoder(SMALL.autoencoder), replace(latents, key="other"), CPU)
    with pytest.raises(FacegeomError, match="another autoencoder or other photos"):
        other.resume(tmp_path)
    trainer.save_weights(tmp_path)
    model = load_diffusion(tmp_path / "diffusion.safetensors")
    assert model.networks.latent_deviation.mean() > 2


def test_samples_depend_on_seed_and_number_only(folder: Path, labels: Any, tmp_path: Path) -> None:
    labels.save(tmp_path / "labels.npz")
    photos = HeadPhotos(folder, tmp_path / "labels.npz", "training", 3)
    streams = [HeadStream(photos, 32, 3, start, 20) for start in (10, 0)]
    torch.testing.assert_close(streams[0][1], streams[1][11])
    pairs = Pix2PixPairs(load_face_model(), photos, load_segmentation())
    drawn = [PairStream(pairs, 64, 3, start, 20)[6 - start] for start in (5, 0)]
    for one, other in zip(*drawn, strict=True):
        torch.testing.assert_close(one, other)
    assert [tuple(part.shape) for part in drawn[0]] == [(3, 64, 64), (3, 64, 64), (MAPS, 64, 64), (len(ATTRIBUTES),)]


def test_latents_are_computed_once(folder: Path, labels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels.save(tmp_path / "labels.npz")
    photos = HeadPhotos(folder, tmp_path / "labels.npz", "training", 2)
    torch.manual_seed(0)
    network = HeadAutoencoder(SMALL.autoencoder).eval()
    made = latent_set(tmp_path / "latents.npz", photos, network, 2, 0, CPU)
    assert made.latents.shape == (4, 4, 4, 4)
    assert made.maps.shape == (4, MAPS, 8, 8)
    monkeypatch.setattr("facegeom.training.diffusion.latents._encoded", lambda *args: 1 / 0)
    again = latent_set(tmp_path / "latents.npz", photos, network, 2, 0, CPU)
    np.testing.assert_array_equal(made.latents, again.latents)
    with pytest.raises(ZeroDivisionError):  # another seed: they are computed again
        latent_set(tmp_path / "latents.npz", photos, network, 2, 1, CPU)


@pytest.mark.parametrize("kind", CHANGES)
def test_pairs_differ_by_their_change(kind: str, folder: Path, labels: Any, tmp_path: Path) -> None:
    labels.save(tmp_path / "labels.npz")
    photos = HeadPhotos(folder, tmp_path / "labels.npz", "training", 2)
    pairs = Pix2PixPairs(load_face_model(), photos, load_segmentation())
    bright, dark = IDENTITY.copy(), IDENTITY.copy()
    bright[1], dark[1] = 0.4, -0.4
    for item, light in ((0, bright), (1, dark)):
        pairs._attributes[item] = np.concatenate([[0, 0], light]).astype(np.float32)
    made = [pairs.pair(0, kind, 64, np.random.default_rng(seed), centred=True) for seed in range(6)]
    photo = photos.crop(0, 64).image
    differences = [np.abs(source.astype(int) - target).mean() for source, target, _, _ in made]
    assert max(differences) > 0.5
    for source, target, maps, told in made:
        assert (told[GLASSES] == 1) == (kind == "glasses" and not np.array_equal(target, photo))
        assert np.array_equal(target, photo) or (kind == "glasses" and np.array_equal(source, photo))
        np.testing.assert_array_equal(maps, pairs.reader.maps.full(photos.crop(0, 64).fit, 64))


def test_pix2pix_learns_a_change() -> None:
    options = Pix2PixOptions(
        size=64,
        batch=2,
        images=80,
        warmup=1,
        learning_rate=2e-3,
        discriminator_width=8,
        widths=Pix2PixConfig(64, 2, (16, 24, 32), (0, 1, 0), (16, 24)),
    )
    torch.manual_seed(0)
    trainer = Pix2PixTrainer(options, CPU)
    rng = np.random.default_rng(0)
    blocks = torch.from_numpy(rng.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8))
    source = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    maps, told = torch.from_numpy(rng.normal(0, 0.5, (2, MAPS, 64, 64))).float(), torch.zeros(2, len(ATTRIBUTES))
    terms = [trainer.train_step(source, 255 - source, maps, told) for _ in range(30)]
    assert terms[-1]["l1"] < 0.6 * terms[0]["l1"]
    photo = source / 127.5 - 1
    torch.testing.assert_close(Pix2PixGenerator(options.network)(photo, maps, told), photo)  # before training


def test_commands_train_in_miniature(
    folder: Path, labels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both stages of the diffusion, an interrupted first stage, and Pix2Pix."""
    pytest.importorskip("tensorboard")
    for module in (train_autoencoder, train_diffusion, train_pix2pix):
        monkeypatch.setattr(module, "EXAMINED", 4)
        monkeypatch.setattr(module, "SHOWN", 2)
    monkeypatch.setattr(train_diffusion, "SHOWN_STEPS", 2)
    labels.save(tmp_path / "labels.npz")
    data = [str(folder), "--labels", str(tmp_path / "labels.npz"), "--workers", "0"]
    run = tmp_path / "run"
    sizes = ["--size", "32", "--autoencoder-images", "4", "--autoencoder-batch", "2", "--images", "4", "--batch", "2"]
    command = ["train", "diffusion", *data, "--out", str(run), *sizes, "--versions", "1"]
    assert main([*command, "--minutes", "0"]) == 0  # stops after the first step
    assert "psnr" in json.loads(capsys.readouterr().out)
    assert not (run / "latents.npz").exists()
    assert main(command) == 0
    assert "velocity" in json.loads(capsys.readouterr().out)
    model = load_diffusion(run / "diffusion.safetensors")
    trained = load_autoencoder(run / "autoencoder" / "autoencoder.safetensors").state_dict()
    for name, value in model.networks.autoencoder.state_dict().items():
        torch.testing.assert_close(value, trained[name])
    assert len(list(run.glob("preview_*.png"))) == 1
    assert main([*command, "--size", "40"]) == 1
    assert "--size must be a multiple of 32" in capsys.readouterr().err

    settings = RunSettings(tmp_path / "pix2pix", workers=0)
    widths = Pix2PixConfig(64, 2, (16, 16, 16), (0, 0, 0), (16, 16))
    options = Pix2PixOptions(size=64, batch=2, images=4, discriminator_width=4, widths=widths)
    values = train_pix2pix.train(options, Pix2PixData(folder, tmp_path / "labels.npz"), settings)
    assert {"psnr_pose", "psnr_glasses_source"} <= set(values)
    assert load_pix2pix(tmp_path / "pix2pix" / "pix2pix.safetensors").size == 64


def test_unet_without_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="widths must be multiples of 64"):
        ConditionedUNet(replace(SMALL.unet, widths=(48,)))
