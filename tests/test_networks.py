"""The networks: shapes, receptive fields, symmetry, weight files."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from facegeom.cli import main
from facegeom.errors import WeightsError
from facegeom.networks import devices
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.facevision import FaceVision, FaceVisionConfig, FaceVisionGenerator, load_facevision
from facegeom.networks.patchgan import RECEPTIVE_FIELD, PatchDiscriminator
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.data.photo_data import Sources
from facegeom.training.loop import RunSettings
from facegeom.training.maps import train_facevision

SMALL = FaceVisionConfig(
    size=64, encoder_widths=(8, 8, 8, 8, 8), encoder_blocks=(0, 0, 1, 0, 0), decoder_widths=(8,) * 4
)


@pytest.mark.parametrize("size", [64, 128, 192])
def test_generator_preserves_the_resolution(size: int) -> None:
    with torch.inference_mode():
        out = FaceVisionGenerator(SMALL).eval()(torch.zeros(2, 3, size, size))
    assert out.shape == (2, 5, size, size)


def test_folding_keeps_resolution_and_receives_every_pixel() -> None:
    generator = FaceVisionGenerator(replace(SMALL, fold=2)).eval()
    image = torch.randn(1, 3, 64, 64, requires_grad=True)
    out = generator(image)
    assert out.shape == (1, 5, 64, 64)
    out[0, :, 32, 32].sum().backward()
    assert image.grad is not None
    near = image.grad[0, :, 28:36, 28:36].abs()
    assert (near > 0).all()  # no pixel of a block is lost


def test_a_run_folds_like_its_initial_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = FaceVisionConfig(size=64)
    save_weights(tmp_path / "first.safetensors", config, FaceVisionGenerator(config).state_dict())
    folds = []

    def stop(trainer: train_facevision.FaceVisionTrainer, *_: object) -> dict[str, float]:
        folds.append(trainer.generator.config.fold)
        return {}

    monkeypatch.setattr(train_facevision, "load_training_data", lambda *_, **__: SimpleNamespace(validation=None))
    monkeypatch.setattr(train_facevision, "MapValidation", lambda *_: None)
    monkeypatch.setattr(train_facevision, "run_training", stop)
    options, settings = train_facevision.FaceVisionOptions(size=64), RunSettings(tmp_path / "run")
    sources = Sources(tmp_path, tmp_path / "labels.npz")
    train_facevision.train(options, sources, settings)
    train_facevision.train(options, sources, settings, initial=tmp_path / "first.safetensors")
    assert folds == [2, 1]


def test_generator_has_one_encoder_and_two_separate_decoders() -> None:
    generator = FaceVisionGenerator(SMALL)
    image = torch.randn(2, 3, 64, 64)
    generator(image)[:, :1].sum().backward()

    def moved(module: torch.nn.Module) -> list[bool]:
        return [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters()]

    assert not any(moved(generator.correspondence_decoder))
    assert any(moved(generator.encoder))
    assert any(moved(generator.depth_decoder))


@pytest.mark.parametrize("channels", [1, 3])
def test_discriminators_receptive_field_is_70_pixels(channels: int) -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(channels, 4)
    for i, layer in enumerate(discriminator):  # without normalisation, whose receptive field is the whole map
        if isinstance(layer, torch.nn.InstanceNorm2d):
            discriminator[i] = torch.nn.Identity()
    photo = torch.randn(1, 3, 128, 128, requires_grad=True)
    maps = torch.randn(1, channels, 128, 128, requires_grad=True)
    logits = discriminator(torch.cat([photo, maps], 1))
    assert logits.shape == (1, 1, 14, 14)
    logits[0, 0, 7, 7].backward()
    for gradient in (photo.grad, maps.grad):
        assert gradient is not None
        seen = gradient[0].abs().sum(0) > 0
        rows, columns = torch.nonzero(seen.any(1)).ravel(), torch.nonzero(seen.any(0)).ravel()
        assert rows[-1] - rows[0] + 1 == RECEPTIVE_FIELD
        assert columns[-1] - columns[0] + 1 == RECEPTIVE_FIELD


def test_mirror_averaging_makes_the_maps_equivariant() -> None:
    torch.manual_seed(0)
    network = FaceVision(FaceVisionGenerator(SMALL))
    crop = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    maps = network.predict(crop)
    other = network.predict(np.ascontiguousarray(crop[:, :, ::-1]))
    np.testing.assert_allclose(other.depth[:, :, ::-1], maps.depth, atol=1e-3)
    np.testing.assert_allclose(other.correspondence[:, :, ::-1] * [-1, 1, 1], maps.correspondence, atol=1e-3)
    np.testing.assert_allclose(other.mask_probability[:, :, ::-1], maps.mask_probability, atol=1e-4)


def test_predict_rejects_crops_of_another_size_or_type() -> None:
    network = FaceVision(FaceVisionGenerator(SMALL))
    with pytest.raises(ValueError, match="crops must be uint8"):
        network.predict(np.zeros((1, 32, 32, 3), np.uint8))


def test_weights_round_trip_as_float16(tmp_path: Path) -> None:
    generator = FaceVisionGenerator(SMALL)
    file = tmp_path / "small.safetensors"
    save_weights(file, SMALL, generator.state_dict())
    config, state = load_weights("facevision", FaceVisionConfig, file)
    assert config == SMALL
    for name, tensor in generator.state_dict().items():
        assert torch.equal(state[name], tensor.half().float() if tensor.is_floating_point() else tensor)


def test_missing_and_damaged_weight_files_are_reported(tmp_path: Path) -> None:
    file = tmp_path / "bad.safetensors"
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        load_weights("facevision", FaceVisionConfig, file)
    file.write_bytes(b"no tensors here")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights("facevision", FaceVisionConfig, file)
    save_file({"x": torch.zeros(1)}, file, {"config": '{"unknown": 1}'})
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights("facevision", FaceVisionConfig, file)


def test_the_packaged_network_loads_and_meets_its_size_limit() -> None:
    network = load_facevision()
    assert network.size >= 128
    parameters = sum(p.numel() for p in network.generator.parameters())
    assert parameters * 2 < 14e6


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_an_unavailable_device_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="got 'cuda'"):
        check_device("cuda")
    with pytest.raises(ValueError, match="got 'cpu:x'"):
        check_device("cpu:x")
    assert check_device("cpu") == torch.device("cpu")
    file = str(tmp_path / "photo.png")
    Image.new("RGB", (64, 64)).save(file)
    assert main(["reconstruct", file, "-o", str(tmp_path / "face.glb"), "--device", "cuda"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "face.glb").exists()


def test_an_unknown_device_is_rejected() -> None:
    with pytest.raises(ValueError, match="device"):
        load_facevision("abacus")


@pytest.mark.parametrize("unit", [None, "amx_bf16", "avx512_bf16"])
def test_networks_run_in_bfloat16_on_a_cpu_with_a_unit_for_it_only(
    unit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices._fast_bfloat16.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False, str(unit): True})
    try:
        with mixed_precision(torch.device("cpu")):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
    finally:
        devices._fast_bfloat16.cache_clear()
    assert product.dtype == (torch.float32 if unit is None else torch.bfloat16)
