"""The networks of pix2vertex and their training: shapes, sizes, mirroring, estimated scale, losses."""

import doctest
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facegeom.cli import main
from facegeom.errors import FacegeomError, WeightsError
from facegeom.measures.predictor import load_network
from facegeom.networks import pix2vertex
from facegeom.networks.facevision import FaceVision, MapTensors, load_facevision
from facegeom.networks.pix2vertex import (
    PAPER_WIDTH,
    MapUNet,
    Pix2Vertex,
    Pix2VertexConfig,
    Pix2VertexNetworks,
    level_count,
    load_pix2vertex,
    placement_from_positions,
    position_per_pixel,
)
from facegeom.networks.weights import save_weights
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.samples import FaceSamples, SampleStream, as_position_tensors, as_tensors
from facegeom.training.maps import validation
from facegeom.training.maps.train_pix2vertex import NETWORKS, Pix2VertexOptions, Pix2VertexTrainer
from facegeom.training.maps.validation import MapValidation, TrueMaps, map_errors

SMALL = Pix2VertexConfig(size=32, width=4)
SMALL_RUN = Pix2VertexOptions(
    size=32, width=4, batch=2, images=16, warmup=1, epoch_images=8, synthetic=False, mix=MixOptions(synthetic=0.0)
)
CPU = torch.device("cpu")


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def batch(size: int, count: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Return saddle-shaped depth and correspondence in a square mask, and pixel positions with 2 mm spacing."""
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8))
    ramp = torch.linspace(-1, 1, size)
    target = 0.5 * (ramp[:, None] * ramp).repeat(count, 4, 1, 1)
    mask = torch.zeros(count, 1, size, size)
    mask[..., size // 4 : -size // 4, size // 4 : -size // 4] = 1
    half = 0.02 * (torch.arange(size) - size / 2)
    position = torch.stack([half.expand(size, size), -half[:, None].expand(size, size)]).repeat(count, 1, 1, 1)
    return image, target, mask, position, torch.full((count,), 0.02)


def test_docstring_examples() -> None:
    result = doctest.testmod(pix2vertex)
    assert result.attempted > 0
    assert result.failed == 0


def test_full_width_has_the_layers_of_the_paper() -> None:
    network = MapUNet(256, PAPER_WIDTH, 4).eval()
    assert parameters(network) == 54_546_052
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 4, 256, 256)
    encoder = [level[0].out_channels for level in network.encoder]
    assert encoder == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [level[0].out_channels for level in network.decoder] == [512, 512, 512, 512, 256, 128, 64, 64]
    assert [layer.out_channels for layer in network.head.modules() if isinstance(layer, torch.nn.Conv2d)] == [64, 32, 4]
    drops = [any(isinstance(m, torch.nn.Dropout) for m in block) for block in network.decoder]
    assert drops == [True] * 3 + [False] * 5


def test_shipped_network_is_within_the_size_budget() -> None:
    networks = Pix2VertexNetworks()
    assert networks.config.size == 128
    assert parameters(networks) == 2 * 4_133_332
    assert sum(t.numel() * 2 for t in networks.state_dict().values()) < 18e6


@pytest.mark.parametrize("size", [32, 64, 96, 128, 192])
def test_maps_have_the_size_of_the_image(size: int) -> None:
    network = MapUNet(size, 4, 4).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 4, size, size)
    assert len(network.encoder) == level_count(size)


@pytest.mark.parametrize("size", [8, 100, 300])
def test_sizes_not_divisible_by_the_stride_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size must be"):
        Pix2VertexNetworks(Pix2VertexConfig(size=size))


def test_unknown_networks_are_rejected() -> None:
    with pytest.raises(ValueError, match="networks must be some of geometry, correspondence, joint"):
        Pix2VertexNetworks(Pix2VertexConfig(networks=("depth",)))
    with pytest.raises(ValueError, match="geometry and correspondence are both required, got only geometry"):
        Pix2Vertex(Pix2VertexNetworks(replace(SMALL, networks=("geometry",))))


def test_separate_networks_share_no_weights() -> None:
    networks = Pix2VertexNetworks(SMALL)
    networks(torch.randn(2, 3, 32, 32))["geometry"].sum().backward()
    moved = {name: any(p.grad is not None for p in net.parameters()) for name, net in networks.networks.items()}
    assert moved == {"geometry": True, "correspondence": False}


@pytest.mark.parametrize("names", [("geometry", "correspondence"), ("joint",)])
def test_mirror_averaging_makes_the_maps_equivariant(names: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = Pix2Vertex(Pix2VertexNetworks(replace(SMALL, networks=names)))
    crop = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    maps = network.predict(crop)
    other = network.predict(np.ascontiguousarray(crop[:, :, ::-1]))
    assert maps.depth.shape == maps.mask_probability.shape == (2, 32, 32)
    assert maps.position is not None
    assert other.position is not None
    np.testing.assert_allclose(other.depth[:, :, ::-1], maps.depth, atol=1e-3)
    np.testing.assert_allclose(other.mask_probability[:, :, ::-1], maps.mask_probability, atol=1e-4)
    np.testing.assert_allclose(other.correspondence[:, :, ::-1] * [-1, 1, 1], maps.correspondence, atol=1e-3)
    np.testing.assert_allclose(other.position[:, :, ::-1] * [-1, 1], maps.position, atol=1e-3)


def test_maps_and_predictions_are_equal() -> None:
    network = Pix2Vertex(Pix2VertexNetworks(SMALL))
    crop = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    predicted = network.predict(crop, mirror=False)
    maps = network.maps(torch.from_numpy(crop).permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert maps.depth is not None
    assert maps.position is not None
    np.testing.assert_allclose(maps.depth.numpy() * 100, predicted.depth, atol=1e-3)
    np.testing.assert_allclose(maps.position.permute(0, 2, 3, 1).numpy() * 100, predicted.position, atol=1e-3)
    assert maps.coordinates().shape == (1, 6, 32, 32)


def test_gradients_flow_to_the_image_and_not_to_the_weights() -> None:
    network = Pix2Vertex(Pix2VertexNetworks(SMALL))
    image = torch.randn(1, 3, 32, 32, requires_grad=True)
    network.maps(image).coordinates().sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.networks.parameters())


def test_predict_rejects_crops_of_another_size() -> None:
    with pytest.raises(
        ValueError, match=r"crops must be uint8 of shape \(any, 32, 32, 3\), got uint8 \(1, 64, 64, 3\)"
    ):
        Pix2Vertex(Pix2VertexNetworks(SMALL)).predict(np.zeros((1, 64, 64, 3), np.uint8))


def test_placement_is_estimated_from_noisy_positions() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.indices((64, 64))
    position = np.stack([(columns - 30.25) / 0.6, (28.5 - rows) / 0.6], axis=-1)
    mask = (columns - 34) ** 2 + (rows - 30) ** 2 < 20**2
    exact = placement_from_positions(np.where(mask[..., None], position, np.nan), mask)
    assert exact.scale == pytest.approx(0.6)
    assert exact.origin == pytest.approx((30.25, 28.5))
    noisy = placement_from_positions(position + rng.normal(0, 3.0, position.shape), mask)
    assert noisy.scale == pytest.approx(0.6, rel=5e-3)
    assert noisy.origin == pytest.approx((30.25, 28.5), abs=0.3)


def test_placement_needs_increasing_positions() -> None:
    position = np.zeros((8, 8, 2))
    with pytest.raises(ValueError, match="the positions of 64 pixels do not determine a scale"):
        placement_from_positions(position, np.ones((8, 8), bool))
    assert np.isnan(position_per_pixel(position, np.zeros((8, 8), bool)))


def test_weights_of_all_networks_file_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    torch.manual_seed(3)
    networks = Pix2VertexNetworks(SMALL)
    save_weights(file, SMALL, networks.state_dict())
    again = load_pix2vertex(file)
    assert again.networks.config == SMALL
    assert again.size == 32
    for name, value in networks.state_dict().items():
        assert torch.equal(
            again.networks.state_dict()[name], value.half().float() if value.is_floating_point() else value
        )
    assert isinstance(load_network(str(file)), Pix2Vertex)
    assert isinstance(load_network(), FaceVision)


def test_incompatible_weights_are_refused(tmp_path: Path) -> None:
    facevision, alone, old = (tmp_path / f"{name}.safetensors" for name in ("facevision", "alone", "old"))
    generator = load_facevision().generator
    save_weights(facevision, generator.config, generator.state_dict())
    with pytest.raises(WeightsError, match="cannot be read"):
        load_pix2vertex(facevision)
    config = replace(SMALL, networks=("geometry",))
    save_weights(alone, config, Pix2VertexNetworks(config).state_dict())
    with pytest.raises(WeightsError, match="geometry and correspondence are both required"):
        load_pix2vertex(alone)
    save_weights(old, SMALL, Pix2VertexNetworks(config).state_dict())
    with pytest.raises(WeightsError, match="another version"):
        load_pix2vertex(old)
    with pytest.raises(WeightsError, match="are missing"):
        load_pix2vertex(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="device"):
        load_pix2vertex(facevision, "abacus")


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_each_network_has_its_loss_terms(network: str) -> None:
    terms = Pix2VertexTrainer(replace(SMALL_RUN, network=network), CPU).train_step(*batch(32))
    geometry = {"geometry_l1", "relief", "normals"} if network != "correspondence" else set()
    correspondence = {"correspondence_l1"} if network != "geometry" else set()
    own = {f"{name}_{what}" for name in NETWORKS[network] for what in ("mask", "gradient_norm")}
    assert set(terms) == geometry | correspondence | own
    assert np.isfinite(list(terms.values())).all()


def test_normal_loss_is_optional_and_has_the_weight_of_the_paper() -> None:
    assert "normals" not in Pix2VertexTrainer(replace(SMALL_RUN, normal_weight=0.0), CPU).train_step(*batch(32))
    assert "relief" not in Pix2VertexTrainer(replace(SMALL_RUN, relief_weight=0.0), CPU).train_step(*batch(32))
    assert (Pix2VertexOptions.l1_weight, Pix2VertexOptions.normal_weight) == (100.0, 10.0)


def test_training_with_dropout_resumes_exactly() -> None:
    whole, first, second = (Pix2VertexTrainer(SMALL_RUN, CPU) for _ in range(3))
    for step in range(4):
        whole.train_step(*batch(32, seed=step))
    for step in range(2):
        first.train_step(*batch(32, seed=step))
    torch.rand(17)  # random numbers drawn in between must have no effect
    second.load(first.state())
    for step in range(2, 4):
        second.train_step(*batch(32, seed=step))
    for name, tensor in whole.networks.state_dict().items():
        assert torch.equal(tensor, second.networks.state_dict()[name]), name


def test_a_step_on_a_batch_without_faces_has_a_finite_loss() -> None:
    image, target, mask, position, spacing = batch(32)
    terms = Pix2VertexTrainer(SMALL_RUN, CPU).train_step(image, target * 0, mask * 0, position * 0, spacing)
    assert np.isfinite(list(terms.values())).all()


def test_initial_weights_of_another_configuration_are_refused(tmp_path: Path) -> None:
    trainer = Pix2VertexTrainer(SMALL_RUN, CPU)
    trainer.save_weights(tmp_path)
    again = Pix2VertexTrainer(replace(SMALL_RUN, seed=5), CPU)
    again.start_from(tmp_path / "pix2vertex.safetensors")
    for name, value in trainer.networks.state_dict().items():
        torch.testing.assert_close(again.networks.state_dict()[name], value, rtol=1e-3, atol=1e-5)
    with pytest.raises(FacegeomError, match="contains networks with"):
        Pix2VertexTrainer(replace(SMALL_RUN, network="joint"), CPU).start_from(tmp_path / "pix2vertex.safetensors")


def test_true_maps_have_no_error(samples: FaceSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "VALIDATION_FACES", 2)
    known = [as_position_tensors(samples.evaluation(i, 64)) for i in range(2)]
    turn = iter([known, None, known])

    def predict(image: torch.Tensor) -> MapTensors:
        crops = next(turn) or [as_position_tensors(samples.evaluation(i, 64, float(yaws[i]))) for i in range(2)]
        _, maps, mask, position, _ = (torch.stack(t) for t in zip(*crops, strict=True))
        assert image.shape == (2, 3, 64, 64)
        return MapTensors(maps[:, 0] + 0.1, maps[:, 1:], mask[:, 0], position)

    yaws = np.random.default_rng(0).uniform(30, 85, 2)
    checks = MapValidation(samples, 64, predict, CPU, surface=True)
    for name, value in checks.measure().items():
        assert value == pytest.approx(1.0 if name.endswith("iou") else 0.0, abs=0.1), name


def test_map_errors_in_closed_form() -> None:
    """Other slope of a plane, correspondence shifted by (3, 4, 0) mm, mask of twice the area, scale 10 % too large."""
    size, spacing = 20, 0.02
    columns = torch.arange(float(size)).expand(size, size)
    mask = torch.zeros(1, 1, size, size)
    mask[..., :10] = 1
    truth = TrueMaps(
        torch.cat([torch.zeros(3, size, size), columns[None] * 0.1])[None][:, [3, 0, 1, 2]],
        mask,
        torch.tensor([spacing]),
    )
    depth = columns[None] * 0.1 * 1.5 + 7.0
    shift = torch.tensor([0.03, 0.04, 0.0])[None, :, None, None].expand(1, 3, size, size)
    rows = torch.arange(float(size))[:, None].expand(size, size)
    position = torch.stack([columns, -rows])[None] * spacing * 1.1
    row = map_errors(MapTensors(depth, shift, torch.ones(1, size, size), position), truth, surface=True)[0]
    assert row["depth_percent"] == pytest.approx(0.05 * np.abs(np.arange(10) - 4.5).mean() / 0.9 * 100, rel=1e-4)
    assert row["mm"] == pytest.approx(5.0, rel=1e-4)
    assert row["iou"] == pytest.approx(0.5)
    assert row["normal_deg"] == pytest.approx(np.degrees(np.arctan(7.5) - np.arctan(5.0)), rel=1e-3)
    assert row["scale_percent"] == pytest.approx(10.0, rel=1e-4)
    nothing = map_errors(MapTensors(depth, shift, torch.zeros(1, size, size), position), truth, surface=True)[0]
    assert nothing.pop("iou") == 0.0
    assert np.isnan(list(nothing.values())).all()


def test_samples_with_and_without_positions_are_equal(samples: FaceSamples) -> None:
    plain, located = (SampleStream(samples, 32, 3, 0, 4, positions=p) for p in (False, True))
    for number in range(4):
        assert len(located[number]) == 5
        for a, b in zip(plain[number], located[number], strict=False):
            assert torch.equal(a, b)
    sample = samples.evaluation(0, 64)
    maps, position, spacing = as_tensors(sample)[1], *as_position_tensors(sample)[3:]
    assert maps.shape == (4, 64, 64)
    assert position_per_pixel(position.permute(1, 2, 0).numpy(), sample.mask) == pytest.approx(float(spacing), rel=1e-4)


@pytest.mark.slow
def test_full_width_overfits_one_batch() -> None:
    options = Pix2VertexOptions(
        network="geometry",
        size=256,
        width=PAPER_WIDTH,
        images=10**6,
        warmup=1,
        learning_rate=1e-3,
        relief_weight=0.0,  # as in the paper
    )
    trainer = Pix2VertexTrainer(options, CPU)
    assert parameters(trainer.networks) == 54_546_052
    tensors = batch(256)
    first = trainer.train_step(*tensors)
    for _ in range(25):
        last = trainer.train_step(*tensors)
    assert last["geometry_l1"] < 0.3 * first["geometry_l1"]


@pytest.mark.slow
def test_the_compact_networks_overfit_one_batch() -> None:
    trainer = Pix2VertexTrainer(Pix2VertexOptions(size=64, batch=2, images=10**6, warmup=1, learning_rate=2e-3), CPU)
    tensors = batch(64)
    first = trainer.train_step(*tensors)
    for _ in range(60):
        last = trainer.train_step(*tensors)
    for name, share in (("geometry_l1", 0.3), ("correspondence_l1", 0.3), ("normals", 0.7), ("geometry_mask", 0.7)):
        assert last[name] < share * first[name], name


@pytest.mark.slow
def test_the_command_trains_resumes_and_saves(
    tmp_path: Path, labels: object, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.save(tmp_path / "labels.npz")  # type: ignore[attr-defined]
    monkeypatch.setattr(validation, "VALIDATION_FACES", 2)
    arguments = [
        "train", "pix2vertex", str(folder), "--labels", str(tmp_path / "labels.npz"), "--no-synthetic", "--size", "32",
        "--width", "4", "--batch", "2", "--images", "16", "--workers", "0",
    ]  # fmt: skip
    assert main([*arguments, "-o", str(tmp_path / "whole")]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = {
        f"{kind}_{what}" for kind in ("photo", "turned") for what in ("depth_percent", "mm", "iou", "normal_deg")
    }
    assert expected <= set(figures)
    ticks = iter(range(10**6))
    with monkeypatch.context() as patch:
        patch.setattr("facegeom.training.loop.time.monotonic", lambda: next(ticks) * 20.0)
        assert main([*arguments, "-o", str(tmp_path / "parts"), "--minutes", "1"]) == 0
    half = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert 0 < half["step"] < 8
    assert main([*arguments, "-o", str(tmp_path / "parts")]) == 0
    whole, parts = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("whole", "parts"))
    for name, tensor in whole["networks"].items():
        assert torch.equal(tensor, parts["networks"][name]), name
    assert load_pix2vertex(tmp_path / "parts" / "pix2vertex.safetensors").size == 32
    assert main([*arguments, "-o", str(tmp_path / "parts"), "--no-normals"]) == 1
    assert "other options" in capsys.readouterr().err
