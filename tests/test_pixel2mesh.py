"""Pixel2Mesh for faces: shapes, size, start mesh, weight files, loss terms, validation and training."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from facegeom.cli import main
from facegeom.errors import FacegeomError, WeightsError
from facegeom.face_model import load_face_model
from facegeom.networks.facevision import FaceVisionConfig
from facegeom.networks.graph import Deformation
from facegeom.networks.interface import MESH_PIPELINES
from facegeom.networks.loaders import load_mesh_network
from facegeom.networks.pixel2mesh import Pixel2MeshConfig, Pixel2MeshNetwork, PlacementHead
from facegeom.networks.semi_sphere import mean_face, semi_sphere
from facegeom.networks.semi_sphere_network import SMOOTHING, SemiSpherePlacement, SemiSpherePredictor
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.data.samples import FaceSamples
from facegeom.training.meshes import validation as mesh_validation
from facegeom.training.meshes.mesh_trainer import (
    MeshWeights,
    mesh_terms,
    step_decay_factor,
    term_shares,
)
from facegeom.training.meshes.samples import MESH_MIX, MeshSamples, MeshStream, MeshStreamOptions, MeshTensors
from facegeom.training.meshes.train_pixel2mesh import (
    TERMS,
    Pixel2MeshOptions,
    Pixel2MeshTrainer,
    draw_places,
    start_encoder,
)
from facegeom.training.meshes.validation import MeshValidation, draw_mesh

CPU = torch.device("cpu")
SMALL = Pixel2MeshConfig(
    size=32, encoder_widths=(4, 4, 8, 8), encoder_blocks=(0, 0, 1, 0), pooled=8, widths=(8, 8, 8, 4), residuals=1
)
SMALL_RUN = Pixel2MeshOptions(size=32, batch=2, images=16, epoch_images=8, share=0.02, synthetic=False, placing=0.0)
COUNTS = [141, 492, 1824, 7008]
FIGURES = ("chamfer_mm", "f_percent", "near_chamfer_mm", "near_f_percent", "emd_mm")


@pytest.fixture
def small(monkeypatch):
    """Make the networks of the trainer small."""

    def config(**sizes):
        return replace(SMALL, **sizes)

    monkeypatch.setattr("facegeom.training.meshes.train_pixel2mesh.Pixel2MeshConfig", config)


@pytest.fixture(scope="module")
def meshes(samples, labels):
    return MeshSamples(FaceSamples(load_face_model(), samples.store, labels, np.arange(4), MESH_MIX))


@pytest.fixture(scope="module")
def batch(meshes):
    stream = MeshStream(meshes, MeshStreamOptions(32, share=0.02), 0, 0, 2)
    return MeshTensors(*(torch.stack(tensors) for tensors in zip(stream[0], stream[1], strict=True)))


def crops(count=2, size=32):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def finished(V):
    """Return refined vertices: the mean face plus the smoothed difference from it, computed in NumPy."""
    edges, mean = semi_sphere().levels[-1].edges, mean_face()
    ends = np.concatenate([edges, edges[:, ::-1]])
    different = V - mean[semi_sphere().levels[-1].parents].mean(axis=1)
    for _ in range(SMOOTHING):
        total = np.zeros_like(V)
        np.add.at(total, ends[:, 0], different[ends[:, 1]])
        different = (different + total / np.bincount(ends[:, 0])[:, None]) / 2
    return mean + different


def test_shipped_network_is_within_the_size_budget():
    network = Pixel2MeshNetwork()
    assert network.config.size == 128
    assert sum(t.numel() * 2 for t in network.state_dict().values()) < 10e6


def test_an_untrained_network_returns_the_refined_semi_sphere():
    stages = SemiSpherePredictor("pixel2mesh", Pixel2MeshNetwork(SMALL)).predict(crops())
    assert [stage.shape for stage in stages] == [(2, count, 3) for count in COUNTS]
    sphere = semi_sphere()
    V = sphere.vertices
    for stage, level in zip(stages, sphere.levels, strict=True):
        V = V[level.parents].mean(axis=1)
        assert stage.dtype == np.float32
        np.testing.assert_allclose(stage[1], V if level.count < COUNTS[-1] else finished(V), atol=1e-6)


def test_result_depends_on_its_own_photo_only():
    torch.manual_seed(0)
    network = Pixel2MeshNetwork(SMALL)
    for block in network.blocks:
        torch.nn.init.normal_(block.last.own.weight, 0, 0.02)
    wrapped = SemiSpherePredictor("pixel2mesh", network)
    both = wrapped.predict(crops())
    for stage, alone in zip(both, wrapped.predict(crops()[1:]), strict=True):
        np.testing.assert_allclose(stage[1:], alone, atol=1e-5)
        assert np.abs(stage[0] - stage[1]).max() > 1e-4


def test_placement_of_the_start_mesh_depends_on_the_photo():
    torch.manual_seed(0)
    head = PlacementHead(4, 3, 16)
    level = torch.randn(6, 4, 8, 8)
    still = head(level)
    torch.testing.assert_close(still.rotation, torch.eye(3).expand(6, 3, 3))
    assert (still.scale == 1).all()
    assert not still.shift.any()
    turns = torch.from_numpy(Rotation.random(6, random_state=0).as_matrix()).float()
    points = torch.randn(20, 6, 3)
    wanted = SemiSpherePlacement(turns, torch.linspace(0.5, 2, 6)[:, None], torch.randn(6, 3)).to_crop(points)
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(600):
        loss = (head(level).to_crop(points) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02
    found = head(level)
    torch.testing.assert_close(found.rotation @ found.rotation.transpose(1, 2), torch.eye(3).expand(6, 3, 3))
    assert (torch.linalg.det(found.rotation) > 0).all()


def test_refinement_adds_the_detail_of_the_mean_face_and_smooths_the_difference():
    network = Pixel2MeshNetwork(SMALL).requires_grad_(False)
    turns = torch.from_numpy(Rotation.random(2, random_state=1).as_matrix()).float()
    placement = SemiSpherePlacement(turns, torch.tensor([[0.5], [2.0]]), torch.randn(2, 3))
    mean = torch.from_numpy(mean_face()[:, None].astype(np.float32)).expand(-1, 2, -1)
    features, hidden = torch.zeros(2, SMALL.pooled, 16, 16), torch.zeros(COUNTS[2], 2, SMALL.widths[2])

    def finest(coarser):
        made, _ = network.deform(3, features, placement, *network.unpool(3, placement.to_crop(coarser), hidden))
        return placement.to_sphere(made)

    torch.testing.assert_close(finest(mean[: COUNTS[2]]), mean, atol=1e-5, rtol=0)
    rough = 0.02 * torch.randn(COUNTS[2], 2, 3, generator=torch.Generator().manual_seed(0))
    broad = 0.1 * mean[: COUNTS[2]]  # a face that is 10 % larger
    assert (finest(mean[: COUNTS[2]] + rough) - mean).std() < 0.35 * 0.02
    lost = (finest(mean[: COUNTS[2]] + broad) - 1.1 * mean).norm(dim=-1)  # the difference itself is up to 0.1
    assert lost.mean() < 0.005
    assert lost.max() < 0.03  # at the outline, where all neighbours lie on one side


def test_placement_of_the_start_mesh_has_a_loss_term(batch):
    graphs, still = Pixel2MeshNetwork(SMALL).graphs, start_positions()
    assert "placement" not in mesh_terms(still, batch, graphs, MeshWeights())
    own = batch.vertices[:, :141].transpose(0, 1)
    beside = (own + torch.tensor([0.0, 0.1, 0.0])).requires_grad_()
    placed = [Deformation(beside, still[0].after), *still[1:]]
    found = mesh_terms(placed, batch, graphs, MeshWeights(placement=2.0))["placement"]
    assert found.item() == pytest.approx(2 * (0.001 / batch.units_per_mm).square().mean().item(), rel=1e-3)


@pytest.mark.parametrize("given", [crops(size=48), crops().astype(np.float32), crops()[0]])
def test_crops_of_wrong_shape_or_type_are_refused(given):
    with pytest.raises(ValueError, match="crops must be uint8"):
        SemiSpherePredictor("pixel2mesh", Pixel2MeshNetwork(SMALL)).predict(given)


def test_landmarks_are_rejected():
    with pytest.raises(ValueError, match="no landmarks"):
        SemiSpherePredictor("pixel2mesh", Pixel2MeshNetwork(SMALL)).predict(crops(), np.zeros((2, 68, 3), np.float32))


def test_weights_round_trip_by_name(tmp_path):
    network = Pixel2MeshNetwork(SMALL)
    for unpooling in network.unpoolings:
        torch.nn.init.normal_(unpooling.logit)
    file = tmp_path / "some.safetensors"
    save_weights(file, SMALL, network.state_dict())
    loaded = load_mesh_network("pixel2mesh", weights=file)
    assert (loaded.name, loaded.size, loaded.needs_landmarks) == ("pixel2mesh", 32, False)
    for mine, theirs in zip(
        loaded.predict(crops()), SemiSpherePredictor("pixel2mesh", network).predict(crops()), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=2e-3)


def test_errors_of_loading_contain_the_reason(tmp_path):
    assert "pixel2mesh" in MESH_PIPELINES
    with pytest.raises(ValueError, match="name must be one of"):
        load_mesh_network("pixel3mesh")
    with pytest.raises(WeightsError, match="missing"):
        load_mesh_network("pixel2mesh", weights=tmp_path / "none.safetensors")
    file = tmp_path / "other.safetensors"
    save_weights(file, SMALL, {})
    with pytest.raises(WeightsError, match="another version"):
        load_mesh_network("pixel2mesh", weights=file)
    with pytest.raises(ValueError, match="device"):
        load_mesh_network("pixel2mesh", "abacus")


def test_the_encoder_is_initialised_from_facevision():
    config, weights = load_weights("facevision", FaceVisionConfig)
    network = Pixel2MeshNetwork(Pixel2MeshConfig(fold=config.fold))
    start_encoder(network)
    state = network.encoder.state_dict()
    assert len(state) > 20
    for name, tensor in state.items():
        assert torch.equal(tensor, weights[f"encoder.{name}"])
    with pytest.raises(FacegeomError, match="fold, widths and blocks"):
        start_encoder(Pixel2MeshNetwork(SMALL))


def start_positions():
    """Return deformations of two meshes that do not change the semi-sphere."""
    stages = [d.after for d in Pixel2MeshNetwork(SMALL)(torch.zeros(2, 3, 32, 32))]
    return [Deformation(stage.detach(), stage.detach()) for stage in stages]


def test_terms_are_weighted_and_the_first_block_has_no_movement_term(batch):
    network = Pixel2MeshNetwork(SMALL)
    still = start_positions()
    terms = mesh_terms(still, batch, network.graphs, MeshWeights())
    assert set(terms) == set(TERMS) - {"correspondence", "placement"}
    assert terms["laplacian"] == 0
    assert terms["movement"] == 0
    assert terms["chamfer"] > 0
    first = [Deformation(still[0].before - 0.1, still[0].after), *still[1:]]
    assert mesh_terms(first, batch, network.graphs, MeshWeights())["movement"] == 0
    second = [still[0], Deformation(still[1].before - 0.1, still[1].after), *still[2:]]
    moved = mesh_terms(second, batch, network.graphs, MeshWeights(movement=2.0))["movement"]
    unit = 0.01 / batch.units_per_mm
    assert moved.item() == pytest.approx(2 * (3 * (0.1 * unit) ** 2).mean().item(), rel=1e-4)
    assert mesh_terms(still, batch, network.graphs, MeshWeights(edges=0.0))["edges"] == 0


def test_correspondence_term_is_the_distance_to_the_true_positions(batch):
    graphs, still = Pixel2MeshNetwork(SMALL).graphs, start_positions()
    own = batch.vertices.transpose(0, 1)
    there = [Deformation(d.before, own[: len(d.after)]) for d in still]
    assert mesh_terms(there, batch, graphs, MeshWeights(), 1.0)["correspondence"] == 0
    beside = [Deformation(d.before, own[: len(d.after)] + torch.tensor([0.0, 0.0, 0.1])) for d in still]
    found = mesh_terms(beside, batch, graphs, MeshWeights(), 1.5)["correspondence"]
    assert found.item() == pytest.approx(4 * 1.5 * (0.001 / batch.units_per_mm).mean().item(), rel=1e-4)


def test_terms_do_not_depend_on_the_scale_of_the_crop(batch):
    """Lengths are in 100 mm for any scale of the crop."""
    graphs, still = Pixel2MeshNetwork(SMALL).graphs, start_positions()
    twice = [Deformation(2 * d.before, 2 * d.after) for d in still]
    other = batch._replace(points=2 * batch.points, units_per_mm=2 * batch.units_per_mm)
    terms, same = mesh_terms(still, batch, graphs, MeshWeights()), mesh_terms(twice, other, graphs, MeshWeights())
    for name, term in terms.items():
        assert same[name].item() == pytest.approx(term.item(), rel=1e-4)


def test_invalid_options_are_refused():
    with pytest.raises(ValueError, match="size must be a multiple of 16, got 100"):
        Pixel2MeshOptions(size=100)
    with pytest.raises(ValueError, match="placing must be in"):
        Pixel2MeshOptions(placing=1.5)
    with pytest.raises(ValueError, match="share must be above 0"):
        Pixel2MeshOptions(share=1.5)


def test_learning_rate_decays_as_in_the_paper():
    options = replace(SMALL_RUN, images=160)  # 80 steps, like the 80 epochs of the paper
    factors = [step_decay_factor(step, options, options.drops, options.drop_factor) for step in range(80)]
    np.testing.assert_allclose(factors, [1.0] * 25 + [0.3] * 15 + [0.09] * 20 + [0.027] * 20)


def test_term_shares_of_the_first_and_last_steps(tmp_path):
    rows = [{"step": i, "a": 1.0, "b": 3.0} for i in range(5)] + [{"step": 5, "photo_mm": 1.0}]
    rows += [{"step": i, "a": 1.0, "b": 0.0} for i in range(5)]
    (tmp_path / "steps.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert term_shares(tmp_path, ("a", "b"), steps=5) == {
        "start": {"a": 25.0, "b": 75.0}, "end": {"a": 100.0, "b": 0.0},
    }  # fmt: skip


def test_a_step_changes_all_trainable_weights(small, batch):
    torch.manual_seed(0)
    trainer = Pixel2MeshTrainer(replace(SMALL_RUN, encoder="scratch", learning_rate=2e-3), CPU)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    losses = [sum(trainer.train_step(*batch).values()) for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]
    after = trainer.network.state_dict()
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == {
        "encoder", "readers", "placement", "unpoolings", "blocks", "codes",
    }  # fmt: skip
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


def test_first_steps_train_only_the_placement(small, batch):
    torch.manual_seed(0)
    trainer = Pixel2MeshTrainer(replace(SMALL_RUN, encoder="scratch", placing=0.5, learning_rate=2e-3), CPU)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    steps = [trainer.train_step(*batch) for _ in range(4)]
    assert [set(terms) for terms in steps] == [{"placement"}] * 4
    assert steps[-1]["placement"] < steps[0]["placement"]
    after = trainer.network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"encoder", "placement"}
    assert "chamfer" in trainer.train_step(*batch)


def test_midpoint_unpooling_and_a_frozen_encoder_do_not_change(small, batch, monkeypatch):
    monkeypatch.setattr("facegeom.training.meshes.train_pixel2mesh.start_encoder", lambda network: None)
    trainer = Pixel2MeshTrainer(replace(SMALL_RUN, encoder="frozen", unpooling="midpoint"), CPU)
    before = {name: tensor.clone() for name, tensor in trainer.network.encoder.state_dict().items()}
    trainer.train_step(*batch)
    for name, tensor in trainer.network.encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all((unpooling.edge_positions() == 0.5).all() for unpooling in trainer.network.unpoolings)


@pytest.mark.parametrize("wrong", [{"encoder": "vgg"}, {"unpooling": "random"}])
def test_unknown_choices_are_rejected(wrong):
    with pytest.raises(ValueError, match="must be one of"):
        Pixel2MeshTrainer(replace(SMALL_RUN, **wrong), CPU)


def test_validation_measures_in_mm_and_ignores_the_mean_depth(meshes):
    sphere = semi_sphere()
    V = torch.from_numpy(sphere.vertices.copy()).float()
    stages = []
    for level in sphere.levels:
        V = V[torch.from_numpy(level.parents.copy())].mean(1)
        stages.append(V[:, None])

    def validation(shift):
        def predict(image, landmarks):
            assert landmarks.shape == (len(image), 68, 3)
            return [stage.expand(-1, len(image), -1) + torch.tensor(shift) for stage in stages]

        return MeshValidation(meshes, 32, predict, CPU, faces=2)

    measured = validation([0.0, 0, 0]).measure()
    assert set(measured) == {f"photo_{what}" for what in FIGURES}
    assert 5 < measured["photo_chamfer_mm"] < 40
    nearer = validation([0.0, 0, 0.3]).measure()
    assert nearer["photo_chamfer_mm"] == pytest.approx(measured["photo_chamfer_mm"], abs=0.02)
    aside = validation([1.0, 0, 0]).measure()
    assert aside["photo_chamfer_mm"] > 2 * measured["photo_chamfer_mm"]
    assert aside["photo_f_percent"] < measured["photo_f_percent"]
    assert validation([0.0, 0, 0]).sheet().shape == (2 * mesh_validation.CELL, 7 * mesh_validation.CELL, 3)


def test_draw_mesh_covers_the_projected_mesh():
    sphere = semi_sphere()
    drawn = draw_mesh(sphere.vertices, sphere.levels[0].faces, np.zeros((64, 64, 3), np.uint8))
    assert drawn[32, 32].max() > 100
    assert not drawn[2, 2].any()
    mouth = round((0.43 + 1) * 32 - 0.5)
    assert not drawn[mouth, 32].any()


def test_draw_places_shows_the_learned_positions():
    network = Pixel2MeshNetwork(SMALL)
    plain = draw_places(network, 200)
    assert plain.shape == (200, 600, 3)
    torch.nn.init.normal_(network.unpoolings[1].logit)
    assert (draw_places(network, 200) != plain).any()


@pytest.mark.slow
def test_command_trains_resumes_exactly_and_refuses_other_options(tmp_path, labels, folder, monkeypatch, capsys):
    monkeypatch.setattr(mesh_validation, "VALIDATION_FACES", 2)
    labels.save(tmp_path / "labels.npz")
    arguments = [
        "train", "pixel2mesh", str(folder), "--labels", str(tmp_path / "labels.npz"), "--no-synthetic",
        "--size", "32", "--batch", "2", "--images", "16", "--share", "0.02", "--workers", "0", "--placing", "0.25",
    ]  # fmt: skip
    assert main([*arguments, "-o", str(tmp_path / "whole")]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(figures) == {f"{kind}_{what}" for kind in ("photo", "turned") for what in FIGURES}
    assert (tmp_path / "whole" / "places.png").is_file()
    ticks = iter(range(10**6))
    with monkeypatch.context() as patch:
        patch.setattr("facegeom.training.loop.time.monotonic", lambda: next(ticks) * 20.0)
        assert main([*arguments, "-o", str(tmp_path / "parts"), "--minutes", "1"]) == 0
    half = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert 0 < half["step"] < 8
    assert main([*arguments, "-o", str(tmp_path / "parts")]) == 0
    whole, parts = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("whole", "parts"))
    for name, tensor in whole["network"].items():
        assert torch.equal(tensor, parts["network"][name]), name
    assert load_mesh_network("pixel2mesh", weights=tmp_path / "parts" / "pixel2mesh.safetensors").size == 32
    capsys.readouterr()
    assert main([*arguments, "-o", str(tmp_path / "parts"), "--unpooling", "midpoint"]) == 1
    assert "other options" in capsys.readouterr().err
    initial = ["--initial", str(tmp_path / "parts" / "pixel2mesh.safetensors")]
    assert main([*arguments, *initial, "-o", str(tmp_path / "more"), "--overfit", "3"]) == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])) == {f"photo_{what}" for what in FIGURES}
