"""The completion network: equation 2.9, attention in closed form, dependence of the output on its inputs, weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from facegeom.errors import WeightsError
from facegeom.networks.gated_inpainting import (
    ContextualAttention,
    GatedConv,
    GatedInpainting,
    GatedInpaintingConfig,
    Inpainter,
    composite,
    initial_fills,
    initialise,
    load_gated_inpainting,
)
from facegeom.networks.texture_critic import TextureCritic, critic_scores
from facegeom.networks.weights import save_weights

SMALL = GatedInpaintingConfig(size=48, width=4)


def small_network(config: GatedInpaintingConfig = SMALL) -> GatedInpainting:
    """Return a random network whose stages differ from the mean texture."""
    torch.manual_seed(0)
    network = GatedInpainting(config)
    initialise(network, 8**0.5)
    stages = [network.coarse] + ([network.refinement] if network.refinement is not None else [])
    for stage in stages:
        torch.nn.init.normal_(stage.decoder[-2].weight, 0.0, 0.05)
    return network.eval()


def textures(count: int, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8), rng.random((count, size, size)) < 0.5


def test_a_gated_convolution_is_equation_2_9() -> None:
    torch.manual_seed(0)
    layer, x = GatedConv(3, 5), torch.randn(2, 3, 9, 9)
    weight, bias = layer.both.weight, layer.both.bias
    assert bias is not None
    feature, gate = (
        torch.nn.functional.conv2d(x, weight[part], bias[part], padding=1) for part in (slice(5), slice(5, 10))
    )
    torch.testing.assert_close(layer(x), feature.relu() * gate.sigmoid())


@pytest.mark.parametrize("fold", [1, 2])
@pytest.mark.parametrize("size", [48, 96, 192])
def test_both_stages_preserve_the_resolution(fold: int, size: int) -> None:
    network = GatedInpainting(GatedInpaintingConfig(size=size, width=2, fold=fold)).eval()
    with torch.inference_mode():
        answer = network(torch.zeros(1, 3, size, size), torch.ones(1, 1, size, size))
    assert answer.refined is not None
    assert answer.coarse.shape == answer.refined.shape == (1, 3, size, size)


def test_width_64_without_folding_has_the_size_of_the_papers_network() -> None:
    paper = GatedInpaintingConfig(width=64, fold=1, guided=False)
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in GatedInpainting(config).parameters()) / 1e6
            for config in (paper, GatedInpaintingConfig(width=64, fold=1, guided=False, attention=False))
        ]
    assert counts == pytest.approx([28.96, 23.19], abs=0.01)


def test_an_untrained_network_returns_the_mean_texture_in_both_stages() -> None:
    network = GatedInpainting(SMALL)
    initialise(network, 8**0.5)
    network.mean.copy_(torch.rand(3, 48, 48) - 0.5)
    known = torch.zeros(1, 1, 48, 48)
    answer = network(torch.zeros(1, 3, 48, 48), known)
    torch.testing.assert_close(answer.coarse[0], network.mean)
    torch.testing.assert_close(answer.last[0], network.mean)


@pytest.mark.parametrize("refinement", [False, True])
def test_only_known_texels_of_the_region_affect_the_output(refinement: bool) -> None:
    network = small_network(GatedInpaintingConfig(size=48, width=4, refinement=refinement))
    network.region[:, :10] = False
    texture, known = torch.rand(1, 3, 48, 48), (torch.rand(1, 1, 48, 48) < 0.5).float()
    counts = known * network.region
    with torch.inference_mode():
        answer = network(texture, known).last
        elsewhere = torch.where(counts > 0, texture, torch.rand_like(texture))
        assert torch.equal(network(elsewhere, known).last, answer)
        assert not torch.equal(network(torch.where(counts > 0, 1 - texture, texture), known).last, answer)


def wavy(size: int = 48) -> torch.Tensor:
    """Return a symmetric texture (1, 3, S, S) whose sides differ by smooth lighting."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    detail = 0.3 * torch.cos(9 * x) * torch.sin(7 * y)
    return torch.stack([detail, 0.5 * detail + 0.1, -detail])[None]


def test_initial_fills_preserve_known_texels_and_constants() -> None:
    known = torch.zeros(1, 1, 48, 48)
    known[..., 20:40, 4:20] = 1
    texture = wavy()
    smooth_fill, mirror_fill = initial_fills(texture * known, known)
    torch.testing.assert_close(smooth_fill * known, texture * known)
    assert smooth_fill.isfinite().all()
    assert smooth_fill.abs().max() <= texture.abs().max() + 1e-5
    error = (mirror_fill - texture) * known.flip(3)  # none, because the texture is symmetric
    torch.testing.assert_close(error, torch.zeros_like(texture))
    smooth_fill, _ = initial_fills(0.4 * known.expand(1, 3, 48, 48), known)
    torch.testing.assert_close(smooth_fill, torch.full_like(smooth_fill, 0.4))
    assert all(filling.eq(0).all() for filling in initial_fills(0 * texture, 0 * known))


def test_mirror_fill_has_the_lighting_of_its_own_side() -> None:
    """One side is brighter by a constant; a hidden patch of it is recovered from the other side."""
    texture = wavy()
    texture[..., 24:] += 0.25
    known = torch.ones(1, 1, 48, 48)
    known[..., 20:30, 32:40] = 0
    smooth_fill, mirror_fill = initial_fills(texture * known, known)
    hidden = (1 - known).bool().expand_as(texture)
    assert (mirror_fill - texture)[hidden].abs().max() < 0.02
    assert (smooth_fill - texture)[hidden].abs().mean() > 0.05


def test_an_untrained_guided_network_returns_the_mean_of_both_fills() -> None:
    network, known = GatedInpainting(SMALL), torch.ones(1, 1, 48, 48)
    initialise(network, 8**0.5)
    known[..., 26:] = 0
    shown = wavy() * known
    smooth_fill, mirror_fill = initial_fills(shown, known)
    answer = network(shown, known)
    hidden = slice(26, 48)
    for stage in answer:
        assert stage is not None
        torch.testing.assert_close(stage[..., hidden], ((smooth_fill + mirror_fill) / 2)[..., hidden])


# --- classes of texels

WITH_CLASSES = GatedInpaintingConfig(size=48, width=4, classes=True)


def test_the_smooth_fill_extends_hair_from_hair_and_skin_from_skin() -> None:
    """Dark hair above, bright skin below; of each, only a corner on the left is known."""
    hair = torch.zeros(1, 1, 48, 48)
    hair[..., :20, :] = 1
    texture = torch.where(hair > 0, -0.6, 0.4).expand(1, 3, 48, 48)
    known = torch.zeros(1, 1, 48, 48)
    known[..., 4:10, 4:20] = known[..., 25:40, 4:20] = 1
    smooth_fill, mirror_fill = initial_fills(texture * known, known, hair)
    torch.testing.assert_close(smooth_fill, texture.contiguous())
    shown = known.flip(3) > 0
    torch.testing.assert_close(mirror_fill[shown.expand_as(mirror_fill)], texture[shown.expand_as(texture)])
    assert (initial_fills(texture * known, known)[0] - texture).abs().max() > 0.3


def test_hair_and_parts_of_the_head_affect_the_output() -> None:
    network = small_network(WITH_CLASSES)
    network.part[:24], network.part[24:] = 4, 1
    texture, known = wavy(), (torch.rand(1, 1, 48, 48) < 0.5).float()
    hair = torch.zeros(1, 1, 48, 48)
    hair[..., :24, :] = 1
    with torch.inference_mode():
        answers = [network(texture, known, mask).last for mask in (hair, 1 - hair, hair)]
        network.part[:24] = 1
        bald = network(texture, known, 1 - hair).last
    assert torch.equal(answers[0], answers[2])
    assert not torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[1], bald)
    with pytest.raises(ValueError, match="needs hair"):
        network(texture, known)


def test_a_network_with_classes_completes_textures(tmp_path: Path) -> None:
    network = small_network(WITH_CLASSES)
    network.usual_hair.copy_(torch.rand(48, 48))
    file = tmp_path / "gated_inpainting.safetensors"
    save_weights(file, WITH_CLASSES, network.state_dict())
    inpainter = load_gated_inpainting(path=file)
    shown, known = textures(2)
    hair = np.zeros_like(known)
    out = inpainter.complete(shown, known, hair)
    assert np.array_equal(out[known], shown[known])
    assert inpainter.usual_hair is not None
    assert inpainter.usual_hair == pytest.approx(network.usual_hair.numpy(), abs=1e-3)
    with pytest.raises(ValueError, match="needs hair"):
        inpainter.predict(shown, known)
    with pytest.raises(ValueError, match="hair must have"):
        inpainter.predict(shown, known, hair[:1])
    without = Inpainter(small_network())
    assert without.usual_hair is None
    assert np.array_equal(without.predict(shown, known, hair), without.predict(shown, known))


def test_the_loss_of_the_refinement_has_no_gradient_in_the_coarse_stage() -> None:
    network = small_network()
    network(torch.rand(1, 3, 48, 48), torch.zeros(1, 1, 48, 48)).last.sum().backward()
    assert all(p.grad is None for p in network.coarse.parameters())
    assert network.refinement is not None
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.refinement.parameters())


@pytest.mark.parametrize("rate", [1, 2])
def test_attention_copies_the_most_similar_known_position(rate: int) -> None:
    """Two equal halves, the right one unknown: each position copies its equal position, at any rate."""
    torch.manual_seed(0)
    half = torch.randn(1, 64, 8, 8)
    x = torch.cat([half, half], 3)
    known = torch.zeros(1, 1, 32, 64)
    known[..., :32] = 1
    attention = ContextualAttention(rate)
    sharp = attention(x * 1.0, known)
    inner = slice(2, 6)  # patches across the seam have no equal
    correlation = torch.nn.functional.cosine_similarity(sharp[:, :, inner, 10:14], x[:, :, inner, 10:14], dim=1)
    assert correlation.min() > 0.95


def test_attention_preserves_constants_and_copies_nothing_from_unknown_positions() -> None:
    attention = ContextualAttention(1)
    constant = torch.full((1, 4, 8, 8), 3.0)
    torch.testing.assert_close(attention(constant, torch.zeros(1, 1, 32, 32)), constant)
    x, known = torch.full((1, 1, 8, 8), 2.0), torch.zeros(1, 1, 8, 8)
    x[..., :4], known[..., :4] = 1.0, 1.0
    assert attention(x, known)[..., 4:].max() < 1.4  # a third of a 3 x 3 patch at the border is from the other side


def test_known_texels_are_returned_unchanged() -> None:
    inpainter = Inpainter(small_network())
    shown, known = textures(3)
    out = inpainter.complete(shown, known)
    assert np.array_equal(out[known], shown[known])
    assert not np.array_equal(out[~known], shown[~known])
    texture, mask = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., 0] = 1
    out = composite(texture, mask, torch.full((1, 3, 4, 4), 5.0))
    assert out[..., 0].eq(0).all()
    assert out[..., 1:].eq(1).all()


def test_textures_of_a_batch_are_independent() -> None:
    inpainter = Inpainter(small_network())
    shown, known = textures(3)
    together = inpainter.predict(shown, known).astype(int)
    alone = np.concatenate([inpainter.predict(shown[i : i + 1], known[i : i + 1]) for i in range(3)]).astype(int)
    assert np.abs(together - alone).max() <= 1


def test_invalid_input_is_rejected() -> None:
    inpainter = Inpainter(small_network())
    shown, known = textures(1)
    with pytest.raises(ValueError, match="textures must be uint8"):
        inpainter.predict(shown[:, :24], known)
    with pytest.raises(TypeError, match="known must be a bool array"):
        inpainter.predict(shown, known.astype(np.uint8))  # type: ignore[arg-type]
    for config, message in (
        (GatedInpaintingConfig(size=44), "multiple of 8"),
        (GatedInpaintingConfig(fold=3), "fold must be"),
        (GatedInpaintingConfig(width=0), "width must be"),
    ):
        with pytest.raises(ValueError, match=message):
            GatedInpainting(config)


@pytest.mark.parametrize("refinement", [False, True])
def test_weights_round_trip_through_a_file(tmp_path: Path, refinement: bool) -> None:
    config = GatedInpaintingConfig(size=48, width=4, refinement=refinement)
    network = small_network(config)
    network.region[:5] = False
    file = tmp_path / "gated_inpainting.safetensors"
    save_weights(file, config, network.state_dict())
    loaded = load_gated_inpainting(path=file)
    assert loaded.network.config == config
    assert np.array_equal(loaded.region, network.region.numpy())
    shown, known = textures(2)
    before = Inpainter(network).predict(shown, known).astype(int)
    assert np.abs(loaded.predict(shown, known).astype(int) - before).max() <= 2  # the file stores float16


def test_unusable_weights_are_reported(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="the weights of gated_inpainting are missing"):
        load_gated_inpainting(path=tmp_path / "none.safetensors")
    file = tmp_path / "other.safetensors"
    save_weights(file, GatedInpaintingConfig(size=48, width=8), small_network().state_dict())
    with pytest.raises(WeightsError, match="another version"):
        load_gated_inpainting(path=file)
    save_weights(file, GatedInpaintingConfig(size=44, width=4), small_network().state_dict())
    with pytest.raises(WeightsError, match="cannot be used: size must be"):
        load_gated_inpainting(path=file)


def test_spectral_normalisation_bounds_the_critics_layers() -> None:
    torch.manual_seed(0)
    critic = TextureCritic(4, spectral=True)
    for _ in range(30):  # power iterations
        critic(torch.randn(1, 4, 64, 64))
    for layer in critic.eval():
        if isinstance(layer, torch.nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
    assert critic_scores(critic, torch.zeros(2, 3, 192, 192), torch.ones(2, 1, 192, 192)).shape == (2,)
