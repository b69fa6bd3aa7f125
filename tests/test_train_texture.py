"""Training of texture completion: masks, losses in closed form, training, resuming and evaluation."""

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from facegeom.errors import FacegeomError
from facegeom.evaluation import texture as evaluation
from facegeom.networks.facevision import FaceVision, FaceVisionConfig, FaceVisionGenerator
from facegeom.networks.gated_inpainting import GatedInpainting, GatedInpaintingConfig, Inpainter, load_gated_inpainting
from facegeom.texture.completion import expected_hair
from facegeom.texture.texel_classes import EAR, FACE, NECK, NONE, SCALP
from facegeom.training.loop import CHECKPOINT, RunSettings
from facegeom.training.texture import train_texture
from facegeom.training.texture.losses import PerceptualLoss, critic_loss, gradient_penalty, weighted_l1
from facegeom.training.texture.samples import (
    TextureStream,
    areas,
    draw_known,
    draw_strokes,
    held_out_masks,
    mean_texture,
    scaled,
    training_masks,
    usual_hair,
)
from facegeom.training.texture.texture_set import TextureSet
from facegeom.training.texture.train_texture import TextureTrainer, TextureTrainingOptions, train

CPU = torch.device("cpu")
trains = pytest.mark.skipif(find_spec("tensorboard") is None, reason="training needs facegeom[train]")
SIZE = 48
SMALL = TextureTrainingOptions(
    size=SIZE, width=4, batch=4, images=32, epoch_images=16, warmup=1, critic_width=2, average_decay=0.0
)
GENERATOR = FaceVisionConfig(size=64, encoder_widths=(4,) * 5, encoder_blocks=(0, 0, 1, 0, 0), decoder_widths=(4,) * 4)


@pytest.fixture(scope="module")
def textures() -> TextureSet:
    """Return textures of symmetric waves in random colours: each side determines the other.

    The upper third is scalp, dark where it has hair: all of it on every other head. The 10 leftmost columns are not
    seen. The last training and the last test texture are skins.
    """
    rng, count = np.random.default_rng(0), 50
    y, x = np.indices((SIZE, SIZE)) / (SIZE - 1)
    waves = np.sin(12 * np.abs(x - 0.5)[..., None] * rng.uniform(0.5, 2, (count, 1, 1, 3)) + 5 * y[..., None])
    drawn = 128 + 50 * waves + rng.uniform(-40, 40, (count, 1, 1, 3))
    part = np.where(y < 0.35, SCALP, np.where(y > 0.75, NECK, FACE)).astype(np.uint8)
    part[20:28, 2:8] = part[20:28, -8:-2] = EAR
    part[(x - 0.5) ** 2 + (y - 0.5) ** 2 > 0.45] = NONE
    seen = np.repeat((part != NONE)[None], count, 0)
    seen[:, :, :10] = False
    kind = np.full(count, "photo")
    kind[[39, 49]] = "skin"
    hair = (np.arange(count) % 2 == 0)[:, None, None] & (part == SCALP)
    drawn[hair] *= 0.3
    return TextureSet(
        np.clip(np.rint(drawn), 0, 255).astype(np.uint8),
        seen,
        hair & seen,
        kind,
        np.array([f"Person_{i:02d}" for i in range(count)]),
        np.array(["training"] * 40 + ["validation"] * 5 + ["test"] * 5),
        np.stack([(x < edge) & (part != NONE) for edge in np.linspace(0.4, 0.8, 10)]),
        part,
    )


@pytest.fixture
def untrained_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the shipped encoder by a small random one."""
    torch.manual_seed(0)
    network = FaceVision(FaceVisionGenerator(GENERATOR))
    for module in (train_texture, evaluation):
        monkeypatch.setattr(module, "load_facevision", lambda: network)


def test_masks_hide_and_show_enough_of_the_region(textures: TextureSet) -> None:
    rng = np.random.default_rng(0)
    sides = 0
    for _ in range(60):
        known = draw_known(rng, textures.masks, textures.region)
        assert not known[~textures.region].any()
        assert 0.05 <= known.sum() / textures.region.sum() <= 0.98
        sides += int(known[:, : SIZE // 2].sum() > known[:, SIZE // 2 :].sum())
    assert 10 < sides < 50  # half of the masks are mirrored
    with pytest.raises(FacegeomError, match="50 masks in a row"):
        draw_known(rng, textures.masks, np.zeros_like(textures.region))


def test_four_fifths_of_the_masks_are_occlusion_masks(textures: TextureSet) -> None:
    """Here occlusion masks hide nothing of the middle row, and strokes nearly always hide part of it."""
    masks = np.ones((1, SIZE, SIZE), bool)
    masks[:, : SIZE // 3] = False
    rng = np.random.default_rng(1)
    expected = masks[0] & textures.region
    same = [np.array_equal(draw_known(rng, masks, textures.region), expected) for _ in range(400)]
    assert np.mean(same) == pytest.approx(0.8, abs=0.05)


def test_strokes_start_in_the_region(textures: TextureSet) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        strokes = draw_strokes(rng, textures.region)
        assert (strokes & textures.region).any()
        assert 0 < strokes.mean() < 0.9


def test_held_out_masks_are_not_training_masks(textures: TextureSet) -> None:
    trained, held = training_masks(textures), held_out_masks(textures)
    assert len(trained) + len(held) == len(textures.masks)
    assert not any(np.array_equal(a, b) for a in trained for b in held)


def test_samples_are_reproducible_and_know_seen_texels_of_training_identities_only(textures: TextureSet) -> None:
    stream = TextureStream(textures, 0, 0, 40)
    texture, known, seen, hair = stream[7]
    assert texture.shape == (3, SIZE, SIZE)
    assert texture.dtype == torch.uint8
    assert all(torch.equal(a, b) for a, b in zip(stream[7], (texture, known, seen, hair), strict=True))
    assert set(stream.photos) == set(range(39))
    assert set(stream.skins) == {39}
    sides = 0
    for texture, known, seen, hair in (stream[i] for i in range(40)):
        assert known.any()
        assert not (known & ~seen).any()
        assert not (seen & ~torch.from_numpy(textures.region)).any()
        left, right = seen[..., :10].any(), seen[..., -10:].any()
        assert left != right  # the columns that are not seen, also in mirrored samples
        sides += int(left)
        dark = texture[:, known[0] & hair[0]].float().mean() if (known & hair).any() else 0.0
        assert dark < 80
    assert 10 < sides < 30


def test_hair_of_a_sample_depends_on_known_texels_only(textures: TextureSet) -> None:
    usual = usual_hair(textures)
    known = textures.masks[0] & textures.seen[0]
    for row in (0, 1):
        expected = expected_hair(textures.hair[row], known, usual)
        assert np.array_equal(expected, expected_hair(textures.hair[row] & known, known, usual))
        assert expected[textures.part == SCALP].mean() == pytest.approx(1 - row, abs=0.02)
        assert not expected[textures.part != SCALP].any()


def test_scaling_preserves_the_shares_of_masks(textures: TextureSet) -> None:
    half = scaled(textures, SIZE // 2)
    assert half.textures.shape == (50, SIZE // 2, SIZE // 2, 3)
    assert half.region.mean() == pytest.approx(textures.region.mean(), abs=0.03)
    assert half.masks.dtype == half.seen.dtype == half.hair.dtype == np.bool_
    assert scaled(textures, SIZE) is textures


def test_the_mean_texture_is_symmetric_and_of_seen_texels_of_training_identities(textures: TextureSet) -> None:
    changed = replace(textures, textures=np.where(textures.seen[..., None], textures.textures, 0))
    mean = mean_texture(changed)
    assert np.array_equal(mean, mean[:, ::-1])
    expected = textures.textures[:40].astype(float).mean(0)
    assert np.abs(mean - expected)[textures.seen[0] & textures.seen[0, :, ::-1]].max() <= 1
    only_right = textures.seen[0] & ~textures.seen[0, :, ::-1]
    assert np.abs(mean - expected)[only_right].max() <= 1


def test_usual_hair_is_the_share_of_photos_with_hair(textures: TextureSet) -> None:
    usual = usual_hair(textures)
    assert np.array_equal(usual, usual[:, ::-1])
    assert usual[textures.part == SCALP] == pytest.approx(20 / 39, abs=1e-6)
    assert not usual[textures.part != SCALP].any()
    few = replace(textures, split=np.array(["training"] * 4 + ["validation"] * 46))
    assert np.array_equal(usual_hair(few), textures.part == SCALP)


def test_areas_are_parts_of_the_seen_texels_and_the_hairline_is_near_both_classes(textures: TextureSet) -> None:
    found = areas(textures.part, textures.seen[0], textures.hair[0])
    for name, part in (("face", FACE), ("ears", EAR), ("neck", NECK), ("scalp", SCALP)):
        assert np.array_equal(found[name], (textures.part == part) & textures.seen[0])
    rows = np.flatnonzero(found["hairline"].any(axis=1))
    border = 0.35 * (SIZE - 1)
    assert rows.size > 0
    assert np.abs(rows - border).max() <= 2
    assert not areas(textures.part, textures.seen[1], textures.hair[1])["hairline"].any()  # a bald head


def test_weighted_l1_in_closed_form() -> None:
    error, weight = torch.zeros(1, 3, 2, 2), torch.tensor([[[[1.0, 1.0], [0.5, 0.0]]]])
    error[..., 0, 0], error[..., 1, 1] = 0.5, 9.0
    assert weighted_l1(error, torch.zeros_like(error), weight).item() == pytest.approx(0.5 / 2.5)
    assert weighted_l1(error, torch.zeros_like(error), 0 * weight).item() == 0


class Linear(torch.nn.Module):
    """A critic with a known gradient: the sum of all texels times a slope."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(slope))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :3].sum((1, 2, 3), keepdim=True) * self.slope


def test_gradient_penalty_in_closed_form() -> None:
    real, fake, known = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    known[:, :, :2] = 1
    hidden = 3 * 8
    critic = Linear(2 / math.sqrt(hidden))
    penalty = gradient_penalty(critic, real, fake, known, torch.rand(2, 1, 1, 1))
    assert penalty.item() == pytest.approx(1.0, abs=1e-4)  # (2 - 1)^2
    penalty.backward()
    assert critic.slope.grad is not None
    assert critic.slope.grad.item() > 0


def test_critic_losses_in_closed_form() -> None:
    real, fake, known = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.25), torch.ones(1, 1, 2, 2)
    assert critic_loss(Linear(1.0), real, fake, known, "wgan").item() == pytest.approx(3.0 - 6.0)
    assert critic_loss(Linear(1.0), real, fake, known, "sn-patchgan").item() == pytest.approx(0.0 + 4.0)


def test_perceptual_loss_of_equal_textures_is_zero_and_scale_invariant() -> None:
    torch.manual_seed(0)
    loss = PerceptualLoss(FaceVisionGenerator(GENERATOR)).train()
    assert not any(module.training for module in loss.levels.modules())
    image = torch.rand(2, 3, 48, 48) * 2 - 1
    assert loss(image, image).item() == 0
    near, far = (loss(image + step * torch.randn_like(image), image).item() for step in (0.05, 0.5))
    assert 0 < near < far


@trains
def test_training_learns_and_resumes_exactly(textures: TextureSet, tmp_path: Path) -> None:
    options = replace(SMALL, width=8, images=1000, epoch_images=1000, learning_rate=2e-3)
    whole = train(options, textures, RunSettings(tmp_path / "whole", workers=0))
    untrained = TextureTrainer(options, textures, CPU)
    start = train_texture.TextureValidation(untrained, textures).measure()
    assert whole["coarse_percent"] < 0.9 * start["coarse_percent"]

    def steps(folder: str) -> list[float]:
        lines = [json.loads(line) for line in (tmp_path / folder / "steps.jsonl").read_text().splitlines()]
        return [line["coarse_l1"] for line in lines if "coarse_l1" in line]

    short = replace(options, images=40, epoch_images=20)
    train(short, textures, RunSettings(tmp_path / "one", workers=0))
    settings = RunSettings(tmp_path / "two", minutes=0, workers=0)  # ends after one step
    train(short, textures, settings)
    assert len(steps("two")) == 1
    train(short, textures, replace(settings, minutes=10))
    assert steps("two") == steps("one")
    with pytest.raises(FacegeomError, match="other options"):
        train(replace(short, seed=1), textures, settings)


@trains
@pytest.mark.usefixtures("untrained_features")
@pytest.mark.parametrize("adversary", ["wgan", "sn-patchgan"])
def test_both_stages_train_against_the_critic(textures: TextureSet, tmp_path: Path, adversary: str) -> None:
    coarse = train(SMALL, textures, RunSettings(tmp_path / "coarse", workers=0))
    options = replace(SMALL, stage="both", adversary=adversary)
    trainer = TextureTrainer(options, textures, CPU)
    trainer.start_from(tmp_path / "coarse" / "gated_inpainting.safetensors")
    examined = train_texture.TextureValidation(trainer, textures).measure()
    assert examined["coarse_percent"] == pytest.approx(coarse["coarse_percent"], abs=0.05)  # float16
    assert examined["refined_percent"] == examined["coarse_percent"]  # the untrained refinement stage changes nothing

    before = {name: value.clone() for name, value in trainer.critic.state_dict().items()}
    batch = [torch.stack(t) for t in zip(*(TextureStream(textures, 0, 0, 4)[i] for i in range(4)), strict=True)]
    terms = trainer.train_step(*batch)
    assert {"coarse_l1", "refined_l1", "perceptual", "gan", "critic"} <= set(terms)
    assert ("penalty" in terms) == (adversary == "wgan")
    assert all(math.isfinite(value) for value in terms.values())
    assert any(not torch.equal(before[name], value) for name, value in trainer.critic.state_dict().items())

    done = train(options, textures, RunSettings(tmp_path / "both", workers=0))
    assert {"coarse_percent", "refined_percent", "refined_face_percent", "coarse_scalp_percent"} <= set(done)
    assert (tmp_path / "both" / CHECKPOINT).exists()
    assert load_gated_inpainting(path=tmp_path / "both" / "gated_inpainting.safetensors").network.refinement is not None


@trains
def test_initial_weights_may_be_of_textures_of_another_size(textures: TextureSet, tmp_path: Path) -> None:
    train(SMALL, textures, RunSettings(tmp_path, workers=0))
    size = SIZE // 2
    trainer = TextureTrainer(replace(SMALL, size=size), scaled(textures, size), CPU)
    mean = trainer.network.mean.clone()
    trainer.start_from(tmp_path / "gated_inpainting.safetensors")
    torch.testing.assert_close(trainer.network.mean, mean)
    learned = load_gated_inpainting(path=tmp_path / "gated_inpainting.safetensors").network.state_dict()
    for name, tensor in trainer.network.named_parameters():
        torch.testing.assert_close(tensor.detach(), learned[name])


@trains
def test_weights_of_another_configuration_are_refused(textures: TextureSet, tmp_path: Path) -> None:
    train(SMALL, textures, RunSettings(tmp_path, workers=0))
    other = TextureTrainer(replace(SMALL, width=8), textures, CPU)
    with pytest.raises(FacegeomError, match="contains a network with"):
        other.start_from(tmp_path / "gated_inpainting.safetensors")


def test_textures_without_validation_identities_are_refused(textures: TextureSet, tmp_path: Path) -> None:
    lacking = replace(textures, split=np.full(50, "training"))
    with pytest.raises(FacegeomError, match="none of the validation identities"):
        train(SMALL, lacking, RunSettings(tmp_path, workers=0))


def test_test_textures_of_another_file_replace_its_own(textures: TextureSet) -> None:
    other = replace(textures, textures=255 - textures.textures, masks=textures.masks[:1])
    joined = textures.with_test_of(other)
    of_test = joined.split == "test"
    np.testing.assert_array_equal(joined.textures[of_test], other.textures[other.split == "test"])
    np.testing.assert_array_equal(joined.textures[~of_test], textures.textures[textures.split != "test"])
    np.testing.assert_array_equal(joined.masks, textures.masks)
    np.testing.assert_array_equal(mean_texture(joined), mean_texture(textures))
    with pytest.raises(FacegeomError, match="different sizes"):
        textures.with_test_of(replace(textures, part=np.zeros_like(textures.part)))


def test_learning_rates_are_halved_after_half_of_the_run(textures: TextureSet) -> None:
    trainer = TextureTrainer(SMALL, textures, CPU)
    rates = []
    for step in range(8):
        trainer.step = step
        trainer._set_learning_rates()
        rates.append(trainer.optimizer.param_groups[0]["lr"] / SMALL.learning_rate)
    assert rates == [1.0] * 4 + [0.5] * 4


def test_the_mirror_baseline_copies_known_texels_of_the_other_side(textures: TextureSet) -> None:
    truth, mean = textures.textures[45], mean_texture(textures)
    known = np.zeros((SIZE, SIZE), bool)
    known[:30, : SIZE // 2] = True
    out = evaluation.complete_by_mirror(truth, known, mean)
    assert np.array_equal(out[:30, SIZE // 2 :], truth[:30, : SIZE // 2][:, ::-1])
    shift = (truth[known].astype(float) - mean[known]).mean(0)
    assert np.abs(out[30:] - np.clip(mean[30:] + shift, 0, 255)).max() <= 1


def test_the_telea_baseline_uses_known_texels_only(textures: TextureSet) -> None:
    texture = np.full((SIZE, SIZE, 3), 90, np.uint8)
    known = textures.masks[4] & textures.region
    texture[~known] = 255
    out = evaluation.complete_by_telea(texture, known, textures.region)
    assert np.abs(out[textures.region].astype(int) - 90).max() <= 4  # Telea's method accumulates rounding errors


@trains
@pytest.mark.usefixtures("untrained_features")
def test_evaluation_uses_seen_hidden_texels_of_test_identities(textures: TextureSet, tmp_path: Path) -> None:
    train(replace(SMALL, stage="both"), textures, RunSettings(tmp_path, workers=0))
    network = load_gated_inpainting(path=tmp_path / "gated_inpainting.safetensors")
    checkpoint = tmp_path / CHECKPOINT
    errors, tiles, captions = evaluation.evaluate(network, textures, rows=[1], checkpoint=checkpoint)
    assert {error.method for error in errors} == {"coarse", "refined", "mirror", "telea"}
    assert {error.identity for error in errors} == {f"Person_{i}" for i in range(45, 50)}
    assert len(tiles) == len(captions) == 6
    assert all(math.isfinite(value) for error in errors for value in (error.perceptual, error.critic, error.gan))
    repeated = evaluation.evaluate(network, textures, checkpoint=checkpoint)[0]
    assert [error.masked for error in repeated] == [error.masked for error in errors]
    assert all(math.isnan(error.gan) for error in evaluation.evaluate(network, textures, limit=1)[0])
    with pytest.raises(FacegeomError, match="no checkpoint of a training of both stages"):
        evaluation.load_critic(tmp_path / "steps.jsonl")

    case = evaluation.masked_cases(textures, textures.region)[0]
    assert not case.counted[:, :10].any()  # not shown by any photo
    assert not (case.counted & case.known).any()
    wrong = np.where(case.counted[..., None], 255 - case.truth, case.truth)
    judges = evaluation.Judges(PerceptualLoss(FaceVisionGenerator(GENERATOR)))
    error = evaluation.measure("wrong", wrong, case, judges)
    expected = np.abs(255.0 - 2 * case.truth[case.counted].astype(float)).mean() / 2.55
    assert error.masked == pytest.approx(expected, rel=1e-4)
    assert error.whole == pytest.approx(expected * case.counted.mean(), rel=1e-4)
    scalp = case.counted & (textures.part == SCALP)
    wanted = np.abs(255.0 - 2 * case.truth[scalp].astype(float)).mean() / 2.55
    assert error.areas["scalp"] == pytest.approx(wanted, rel=1e-4)

    summary = evaluation.summarise(errors)
    overall = {row["method"]: row for row in summary["rows"] if row["masks"] == "all"}
    assert {row["textures"] for row in overall.values()} == {4}
    assert {row["textures"] for row in summary["rows"] if row["masks"] == "skins"} == {1}
    for name in ("masked", "face"):
        better = min(overall[method][f"{name}_percent"] for method in ("mirror", "telea"))
        gain = summary["lower_than_better_baseline_percent"]["coarse"][name]
        assert gain == pytest.approx(100 * (1 - overall["coarse"][f"{name}_percent"] / better))
    assert "L1 masked %" in evaluation.format_summary(summary)


@pytest.mark.usefixtures("untrained_features")
def test_a_network_of_the_face_has_no_figures_elsewhere(textures: TextureSet) -> None:
    network = Inpainter(GatedInpainting(GatedInpaintingConfig(size=SIZE, width=4)))
    network.region = network.region & (textures.part == FACE)
    errors = evaluation.evaluate(network, textures, limit=4)[0]
    assert all(math.isfinite(error.areas["face"]) for error in errors)
    assert all(math.isnan(error.areas[name]) for error in errors for name in ("ears", "neck", "scalp"))
    assert "nan" in evaluation.format_summary(evaluation.summarise(errors))
