"""GCN-IGAN: sizes, landmarks, ablations, discriminator, landmark errors and training."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from facegeom.cli import main
from facegeom.errors import FacegeomError, NoFaceFound, WeightsError
from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_region, mean_depth
from facegeom.face_model.point_fit import similarity
from facegeom.images.camera import Camera
from facegeom.networks.gcn_igan import STEM, GcnIganConfig, GcnIganGenerator, MobileEncoder
from facegeom.networks.graph import Graph
from facegeom.networks.interface import MESH_PIPELINES
from facegeom.networks.landmark_placement import place_by_landmarks
from facegeom.networks.loaders import load_mesh_network
from facegeom.networks.mesh_discriminator import MeshDiscriminator, MinibatchDiscrimination
from facegeom.networks.semi_sphere import CROP_FACTOR, mean_landmarks, semi_sphere
from facegeom.networks.semi_sphere_network import SemiSpherePlacement, SemiSpherePredictor
from facegeom.networks.weights import save_weights
from facegeom.training.data.landmark_errors import cached_errors, landmark_errors, sample_errors
from facegeom.training.data.samples import FaceSamples
from facegeom.training.meshes import validation as mesh_validation
from facegeom.training.meshes.samples import MESH_MIX, MeshSamples, MeshStream, MeshStreamOptions, MeshTensors
from facegeom.training.meshes.train_gcn_igan import PARTS, TERMS, GcnIganOptions, GcnIganTrainer

CPU = torch.device("cpu")
SMALL = GcnIganConfig(size=33, pooled=8, widths=(8, 8, 8, 8), identity_blocks=1)
SMALL_RUN = GcnIganOptions(size=33, batch=8, images=64, epoch_images=8, share=0.02, synthetic=False)
COUNTS = [141, 492, 1824, 7008]
FIGURES = ("chamfer_mm", "f_percent", "near_chamfer_mm", "near_f_percent", "emd_mm")
NO_ERRORS = torch.zeros(0, 68, 3)


@pytest.fixture
def small(monkeypatch):
    """Make the networks of the trainer small."""

    def config(**sizes):
        return replace(SMALL, **sizes)

    config.identity_blocks = SMALL.identity_blocks
    monkeypatch.setattr("facegeom.training.meshes.train_gcn_igan.GcnIganConfig", config)


@pytest.fixture(scope="module")
def faces(samples, labels):
    return FaceSamples(load_face_model(), samples.store, labels, np.arange(4), MESH_MIX)


@pytest.fixture(scope="module")
def batch(faces):
    stream = MeshStream(MeshSamples(faces), MeshStreamOptions(33, share=0.02), 0, 0, 8)
    return MeshTensors(*(torch.stack(tensors) for tensors in zip(*(stream[i] for i in range(8)), strict=True)))


def crops(count=2, size=33):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def marks(count=2):
    return np.random.default_rng(1).normal(0, 0.4, (count, 68, 3)).astype(np.float32)


def awake(config):
    """Return a generator with random weights in its last layers, which are 0 initially."""
    torch.manual_seed(0)
    network = GcnIganGenerator(config)
    for block in network.blocks:
        torch.nn.init.normal_(block.last.weight, 0, 0.05)
    for layer in network.encoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    return network


def test_the_encoder_has_the_sizes_of_the_paper():
    x = torch.zeros(1, 3, 113, 113)
    sizes = []
    with torch.inference_mode():
        for block in MobileEncoder().eval():
            x = block(x)
            sizes.append((x.shape[2], x.shape[3], x.shape[1]))
    assert sizes == [(111, 111, STEM), (111, 111, 16), (57, 57, 24), (29, 29, 80), (29, 29, 112), (29, 29, 192),
                     (29, 29, 320)]  # fmt: skip


def test_shipped_network_is_within_the_size_budget():
    network = GcnIganGenerator()
    assert network.config.size == 113
    assert sum(t.numel() * 2 for t in network.state_dict().values()) < 10e6


def test_an_untrained_network_returns_the_refined_semi_sphere_placed_by_the_landmarks():
    turns = Rotation.from_euler("xyz", [[10, -50, 5], [-20, 30, -60]], degrees=True).as_matrix()
    given = 0.7 * mean_landmarks() @ turns.transpose(0, 2, 1) + (0.1, -0.2, 0.3)
    stages = SemiSpherePredictor("gcn_igan", GcnIganGenerator(SMALL)).predict(crops(), given)
    assert [stage.shape for stage in stages] == [(2, count, 3) for count in COUNTS]
    for turn, meshes in zip(turns, zip(*stages[:3], strict=True), strict=True):
        V = 0.7 * semi_sphere().vertices @ turn.T + (0.1, -0.2, 0.3)
        for mesh, level in zip(meshes, semi_sphere().levels[:3], strict=True):
            V = V[level.parents].mean(axis=1)
            np.testing.assert_allclose(mesh, V, atol=1e-5)


def test_placement_by_landmarks_is_least_squares_without_reflection():
    mean = torch.from_numpy(mean_landmarks().astype(np.float32))
    noisy = mean + 0.05 * torch.randn(3, 68, 3, generator=torch.Generator().manual_seed(0))
    marks = torch.cat([noisy, mean[None] * torch.tensor([-1.0, 1, 1])])
    found = SemiSpherePlacement(*map(torch.from_numpy, place_by_landmarks(marks.numpy())))
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.ones(4))
    for row, points in enumerate(noisy.double().numpy()):
        rotation, scale, shift = similarity(mean.double().numpy(), points)
        np.testing.assert_allclose(found.rotation[row], rotation, atol=1e-5)
        np.testing.assert_allclose(found.scale[row], scale, rtol=1e-5)
        np.testing.assert_allclose(found.shift[row], shift, atol=1e-5)
    np.testing.assert_allclose(
        found.view_direction, found.rotation.transpose(1, 2) @ torch.tensor([0.0, 0, 1]), atol=1e-6
    )
    points = torch.randn(7, 4, 3)
    torch.testing.assert_close(found.to_sphere(found.to_crop(points)), points, atol=1e-5, rtol=0)


def test_mean_landmarks_are_those_of_the_frontal_mean_face():
    model = load_face_model()
    rotation, scale, shift = similarity(model.mean[model.landmarks68], mean_landmarks())
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-9)
    face = scale * model.mean + shift
    points = face[np.unique(face_region(model))][:, :2]
    assert np.ptp(points, axis=0).max() == pytest.approx(2 / CROP_FACTOR)
    np.testing.assert_allclose(points.min(axis=0) + points.max(axis=0), 0, atol=1e-6)
    assert mean_depth(model, face) == pytest.approx(0, abs=1e-6)


def test_result_depends_on_its_own_photo_and_landmarks_only():
    wrapped = SemiSpherePredictor("gcn_igan", awake(SMALL))
    both = wrapped.predict(crops(), marks())
    alone = wrapped.predict(crops()[1:], marks()[1:])
    elsewhere = wrapped.predict(crops(), marks()[::-1])
    for stage, one, other in zip(both, alone, elsewhere, strict=True):
        np.testing.assert_allclose(stage[1:], one, atol=1e-5)
        assert np.abs(stage - other).max() > 1e-3
    assert np.abs(wrapped.predict(crops()[::-1], marks())[-1] - both[-1]).max() > 1e-4


def test_landmark_features_equal_appended_columns_of_the_first_convolution():
    """Adding a term computed once per mesh equals a convolution of the appended features."""
    torch.manual_seed(0)
    level = semi_sphere().levels[0]
    graph = Graph(level.edges, level.count)
    block = GcnIganGenerator(SMALL).blocks[0]
    features, landmarks = torch.randn(141, 2, SMALL.pooled + 3 + SMALL.codes + 3), torch.randn(2, 204)
    whole = torch.cat([features, torch.nn.functional.leaky_relu(landmarks, 0.2).expand(141, -1, -1)], -1)
    own = torch.cat([block.first.own.weight, block.landmarks[0].weight], 1)
    beside = torch.cat([block.first.neighbours.weight, block.landmarks[1].weight], 1)
    expected = whole @ own.T + block.first.own.bias + graph.sum_neighbours(whole @ beside.T)
    expected = torch.nn.functional.leaky_relu(expected, 0.2)
    caught = []
    block.node[0].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].clone()))
    block(features, landmarks, graph)
    torch.testing.assert_close(caught[0], expected, atol=1e-5, rtol=1e-4)


def test_a_vertex_samples_the_features_at_its_projection():
    """The feature cells of the encoder lie at every fourth pixel from the first to the last."""
    stages = list(MobileEncoder())[:4]
    convolutions = [layer for stage in stages for layer in stage.modules() if isinstance(layer, torch.nn.Conv2d)]
    spatial = [layer for layer in convolutions if layer.kernel_size != (1, 1)]
    image = torch.zeros(1, 1, 113, 113)
    image[..., 40, 88] = 1.0
    for layer in spatial:
        kernel = torch.ones(1, 1, *layer.kernel_size)
        image = torch.nn.functional.conv2d(image, kernel, None, layer.stride, layer.padding)
    assert image.shape[-1] == 29
    rows, columns = torch.meshgrid(torch.arange(29.0), torch.arange(29.0), indexing="ij")
    assert float((image * rows).sum() / image.sum()) == pytest.approx(10.0, abs=0.1)
    assert float((image * columns).sum() / image.sum()) == pytest.approx(22.0, abs=0.1)
    ramp = torch.stack([rows, columns]).unsqueeze(0)
    position = torch.tensor([[[(2 * 88 + 1) / 113 - 1, 1 - (2 * 40 + 1) / 113, 0.0]]])
    seen = GcnIganGenerator().sample_features(ramp, position)
    torch.testing.assert_close(seen[0, 0], torch.tensor([10.0, 22.0]))


def test_without_the_graph_vertices_do_not_interact():
    for graph, alone in ((False, True), (True, False)):
        block = awake(replace(SMALL, graph=graph)).blocks[0]
        level = semi_sphere().levels[0]
        features = torch.zeros(141, 1, SMALL.pooled + 3 + SMALL.codes + 3)
        changed = features.clone()
        changed[0] = 1.0
        mesh = Graph(level.edges, level.count) if graph else None
        before, after = (block(each, torch.zeros(1, 204), mesh)[0] for each in (features, changed))
        moved = (before - after).abs().amax((1, 2)) > 0
        assert moved[0]
        assert (moved.sum() == 1) == alone


def test_folded_batch_norms_do_not_change_the_result():
    network = awake(SMALL)
    for layer in network.encoder.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -1, 1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    image, landmarks = torch.rand(2, 3, 33, 33), torch.from_numpy(marks())
    with torch.inference_mode():
        before = network.eval()(image, landmarks)[-1].after
        folded = SemiSpherePredictor("gcn_igan", network).network
        assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
        torch.testing.assert_close(folded(image, landmarks)[-1].after, before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("given", [None, marks(1), marks()[:, :60], np.full((2, 68, 3), np.nan)])
def test_missing_landmarks_are_refused(given):
    with pytest.raises(ValueError, match=r"needs landmarks|landmarks must"):
        SemiSpherePredictor("gcn_igan", GcnIganGenerator(SMALL)).predict(crops(), given)


def test_a_network_without_landmarks_refuses_landmarks():
    wrapped = SemiSpherePredictor("gcn_igan", GcnIganGenerator(replace(SMALL, landmarks=False)))
    assert not wrapped.needs_landmarks
    assert len(wrapped.predict(crops())) == 4
    with pytest.raises(ValueError, match="takes no landmarks"):
        wrapped.predict(crops(), marks())


def test_weights_round_trip_by_name(tmp_path):
    network = awake(SMALL)
    file = tmp_path / "some.safetensors"
    save_weights(file, SMALL, network.state_dict())
    loaded = load_mesh_network("gcn_igan", weights=file)
    assert (loaded.name, loaded.size, loaded.needs_landmarks) == ("gcn_igan", 33, True)
    for mine, theirs in zip(
        loaded.predict(crops(), marks()),
        SemiSpherePredictor("gcn_igan", network).predict(crops(), marks()),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, atol=5e-3)


def test_errors_of_loading_contain_the_reason(tmp_path):
    assert "gcn_igan" in MESH_PIPELINES
    with pytest.raises(WeightsError, match="missing"):
        load_mesh_network("gcn_igan", weights=tmp_path / "none.safetensors")
    file = tmp_path / "other.safetensors"
    save_weights(file, SMALL, {})
    with pytest.raises(WeightsError, match="another version"):
        load_mesh_network("gcn_igan", weights=file)


def test_the_discriminator_pools_96_features_and_the_mean_of_the_mesh():
    level = semi_sphere().levels[0]
    graph = Graph(level.edges, level.count)
    critic = MeshDiscriminator(minibatch=False)
    assert critic.last.in_features == 96
    meshes = torch.randn(141, 3, 3)
    np.testing.assert_allclose(
        critic(meshes, graph).detach()[1:], critic(meshes[:, 1:], graph).detach(), atol=1e-5
    )  # without minibatch discrimination the other meshes have no effect
    assert critic(meshes, graph).shape == (3,)


def test_minibatch_discrimination_measures_similarity_in_the_batch():
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(4, kernels=3, size=2)
    row = torch.randn(1, 4)
    same = layer(row.expand(5, -1))
    torch.testing.assert_close(same[:, 4:], torch.ones(5, 3))  # all meshes are equal
    apart = layer(100 * torch.randn(5, 4))
    assert apart[:, 4:].max() < 0.1
    assert torch.equal(layer(row)[:, 4:], torch.zeros(1, 3))  # no other mesh in the batch


def test_sampled_landmark_errors_have_the_measured_covariance():
    rng = np.random.default_rng(0)
    errors = torch.from_numpy(rng.normal(0, 1, (40, 68, 3)).astype(np.float32))
    errors[..., 2] *= 3
    drawn = sample_errors(errors, 4000, torch.Generator().manual_seed(0))
    assert drawn.shape == (4000, 68, 3)
    np.testing.assert_allclose(drawn.square().mean(0), errors.square().mean(0), rtol=0.15)


def test_landmark_errors_are_in_mm_in_the_camera_frame_and_cached(faces, tmp_path, monkeypatch):
    model = load_face_model()
    true = [faces.pose(item) for item in range(3)]
    calls = iter(range(3))

    def seen(photo, box):
        item = next(calls)
        if item == 1:
            raise NoFaceFound("nothing")
        pose = true[item]
        x0, _, x1, _ = box
        assert x1 - x0 > 60 * pose.scale  # width of the face in pixels
        return SimpleNamespace(
            camera=Camera(pose.rotation, pose.scale, pose.translation),
            fit=SimpleNamespace(vertices=lambda model: pose.vertices),
            landmarks=pose.vertices[model.landmarks68] + np.array([1.0, 2.0, 3.0]) @ pose.rotation,
        )

    monkeypatch.setattr("facegeom.training.data.landmark_errors.predict", seen)
    monkeypatch.setattr("facegeom.training.data.landmark_errors.PHOTOS", 3)
    errors = cached_errors(faces, tmp_path)
    assert errors.shape == (2, 68, 3)  # photos without a detected face give no errors
    np.testing.assert_allclose(errors, np.broadcast_to(np.array([1.0, 2.0, 3.0]), errors.shape), atol=0.02)
    assert np.array_equal(cached_errors(faces, tmp_path), errors)
    assert len(landmark_errors(faces, 0)) == 0


def test_a_step_changes_all_weights_of_both_networks(small, batch):
    torch.manual_seed(0)
    trainer = GcnIganTrainer(replace(SMALL_RUN, learning_rate=2e-3), CPU, torch.randn(3, 68, 3))
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    critic = {name: tensor.clone() for name, tensor in trainer.discriminator.state_dict().items()}
    rows = [trainer.train_step(*batch) for _ in range(16)]
    assert set(rows[0]) == {*TERMS, "critic", "critic_right", "balance"}
    losses = [sum(row.get(name, 0.0) for name in TERMS) for row in rows]
    assert losses[-1] < 0.9 * losses[0]
    after = trainer.network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"encoder", "reader", "blocks", "codes"}
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    assert any(not torch.equal(critic[name], tensor) for name, tensor in trainer.discriminator.state_dict().items())


def test_a_resumed_run_draws_the_same_landmark_errors(small, batch):
    errors = torch.randn(3, 68, 3)
    whole, first, second = (GcnIganTrainer(SMALL_RUN, CPU, errors) for _ in range(3))
    rows = [whole.train_step(*batch) for _ in range(2)]
    assert first.train_step(*batch) == rows[0]
    second.load(first.state())
    torch.manual_seed(99)
    assert second.train_step(*batch) == rows[1]
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_the_discriminator_learns_to_separate_meshes(small, batch):
    trainer = GcnIganTrainer(replace(SMALL_RUN, critic_rate=1e-2), CPU, NO_ERRORS)
    true = batch.vertices.transpose(0, 1)
    made = true + 0.2 * torch.randn_like(true)
    graph = trainer.network.graphs[-1]
    rows = [trainer._train_discriminator(true, made, graph) for _ in range(30)]
    assert rows[-1]["critic"] < 0.7 * rows[0]["critic"]
    assert rows[-1]["critic_right"] == 1.0


def test_a_discriminator_that_is_too_good_waits_for_the_generator(small, batch):
    trainer = GcnIganTrainer(SMALL_RUN, CPU, NO_ERRORS)
    for accuracy, learns in ((0.95, False), (0.75, True)):
        trainer.balance.running.fill_(accuracy)
        before = [tensor.clone() for tensor in trainer.discriminator.parameters()]
        trainer.train_step(*batch)
        after = trainer.discriminator.parameters()
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) == learns


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out(small, batch, part):
    trainer = GcnIganTrainer(replace(SMALL_RUN, without=(part,)), CPU, NO_ERRORS)
    row = trainer.train_step(*batch)
    assert ("adversarial" in row) == (part != "discriminator")
    config = trainer.network.config
    assert config.graph == (part != "graph")
    assert config.landmarks == (part != "landmarks")
    assert config.identity_blocks == (0 if part == "identity" else 1)
    assert trainer.targets == ((1.0, 0.0) if part == "smoothing" else (0.9, 0.01))
    assert isinstance(trainer.discriminator.minibatch, torch.nn.Identity) == (part == "minibatch")


def test_invalid_options_are_refused():
    with pytest.raises(ValueError, match="got 'mouth'"):
        GcnIganOptions(without=("mouth",))
    with pytest.raises(ValueError, match="batch of at least 8, got 7"):
        GcnIganOptions(batch=7)
    with pytest.raises(ValueError, match="size must be a multiple of 4 plus 1, got 112"):
        GcnIganOptions(size=112)
    with pytest.raises(ValueError, match="share must be above 0"):
        GcnIganOptions(share=0.0)
    with pytest.raises(ValueError, match="overfit must be at least 0"):
        GcnIganOptions(overfit=-1)
    assert GcnIganOptions(batch=1, without=("minibatch",)).batch == 1


def test_initial_weights_of_another_configuration_are_refused(small, tmp_path):
    trainer = GcnIganTrainer(SMALL_RUN, CPU, NO_ERRORS)
    file = tmp_path / "other.safetensors"
    save_weights(file, replace(SMALL, pooled=4), {})
    with pytest.raises(FacegeomError, match="contains a network with"):
        trainer.start_from(file)


def test_initial_weights_may_be_of_crops_of_another_size(small, tmp_path):
    trainer, other = (GcnIganTrainer(replace(SMALL_RUN, seed=seed), CPU, NO_ERRORS) for seed in (0, 1))
    file = tmp_path / "smaller.safetensors"
    save_weights(file, replace(SMALL, size=29), other.network.state_dict())
    trainer.start_from(file)
    for name, tensor in other.network.state_dict().items():
        torch.testing.assert_close(trainer.network.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)  # float16


@pytest.mark.slow
def test_the_command_trains_resumes_and_measures(small, tmp_path, labels, folder, monkeypatch, capsys):
    monkeypatch.setattr(mesh_validation, "VALIDATION_FACES", 2)
    monkeypatch.setattr(
        "facegeom.training.meshes.train_gcn_igan.cached_errors", lambda faces, out: np.ones((2, 68, 3), "f4")
    )
    labels.save(tmp_path / "labels.npz")
    arguments = [
        "train", "gcn_igan", str(folder), "--labels", str(tmp_path / "labels.npz"), "--no-synthetic",
        "--size", "33", "--batch", "8", "--images", "16", "--share", "0.02", "--workers", "0",
    ]  # fmt: skip
    assert main([*arguments, "-o", str(tmp_path / "run")]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(figures) == {f"{kind}_{what}" for kind in ("photo", "turned") for what in FIGURES}
    assert load_mesh_network("gcn_igan", weights=tmp_path / "run" / "gcn_igan.safetensors").size == 33
    assert main([*arguments, "-o", str(tmp_path / "run"), "--without", "graph"]) == 1
    assert "other options" in capsys.readouterr().err
    initial = ["--initial", str(tmp_path / "run" / "gcn_igan.safetensors")]
    assert main([*arguments, *initial, "-o", str(tmp_path / "more"), "--overfit", "2", "--adversarial", "0.1"]) == 0
    assert main([*arguments, "-o", str(tmp_path / "none"), "--overfit", "99999"]) == 1
    assert "overfit must be at most 17, the number of training photos" in capsys.readouterr().err
