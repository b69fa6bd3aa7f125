"""The completion network: equation 2.9, attention in closed form, what may and may not change the answer, weights."""

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
    composed,
    fillings,
    initialise,
    load_gated_inpainting,
)
from facegeom.networks.texture_critic import TextureCritic, critic_scores
from facegeom.networks.weights import save_weights

SMALL = GatedInpaintingConfig(size=48, width=4)


def small_network(config: GatedInpaintingConfig = SMALL) -> GatedInpainting:
    """A random network whose stages say something other than the mean."""
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
def test_both_stages_keep_the_size(fold: int, size: int) -> None:
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


def test_a_new_network_says_the_mean_texture_in_both_stages() -> None:
    network = GatedInpainting(SMALL)
    initialise(network, 8**0.5)
    network.mean.copy_(torch.rand(3, 48, 48) - 0.5)
    known = torch.zeros(1, 1, 48, 48)
    answer = network(torch.zeros(1, 3, 48, 48), known)
    torch.testing.assert_close(answer.coarse[0], network.mean)
    torch.testing.assert_close(answer.last[0], network.mean)


@pytest.mark.parametrize("refinement", [False, True])
def test_only_known_texels_of_the_region_reach_the_answer(refinement: bool) -> None:
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
    """A symmetric texture (1, 3, S, S) whose sides differ by a smooth light."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    detail = 0.3 * torch.cos(9 * x) * torch.sin(7 * y)
    return torch.stack([detail, 0.5 * detail + 0.1, -detail])[None]


def test_fillings_keep_what_is_known_and_a_constant() -> None:
    known = torch.zeros(1, 1, 48, 48)
    known[..., 20:40, 4:20] = 1
    texture = wavy()
    near, across = fillings(texture * known, known)
    torch.testing.assert_close(near * known, texture * known)
    assert near.isfinite().all()
    assert near.abs().max() <= texture.abs().max() + 1e-5
    torch.testing.assert_close((across - texture) * known.flip(3), torch.zeros_like(texture))  # symmetric: found again
    near, _ = fillings(0.4 * known.expand(1, 3, 48, 48), known)
    torch.testing.assert_close(near, torch.full_like(near, 0.4))
    assert all(filling.eq(0).all() for filling in fillings(0 * texture, 0 * known))


def test_across_has_the_light_of_its_own_side() -> None:
    """One side is brighter by a constant; a hidden patch of it comes back right from the other side."""
    texture = wavy()
    texture[..., 24:] += 0.25
    known = torch.ones(1, 1, 48, 48)
    known[..., 20:30, 32:40] = 0
    near, across = fillings(texture * known, known)
    hidden = (1 - known).bool().expand_as(texture)
    assert (across - texture)[hidden].abs().max() < 0.02
    assert (near - texture)[hidden].abs().mean() > 0.05


def test_a_new_guided_network_is_the_mean_of_both_fillings() -> None:
    network, known = GatedInpainting(SMALL), torch.ones(1, 1, 48, 48)
    initialise(network, 8**0.5)
    known[..., 26:] = 0
    shown = wavy() * known
    near, across = fillings(shown, known)
    answer = network(shown, known)
    hidden = slice(26, 48)
    for stage in answer:
        assert stage is not None
        torch.testing.assert_close(stage[..., hidden], ((near + across) / 2)[..., hidden])


def test_the_refinements_loss_does_not_reach_the_coarse_stage() -> None:
    network = small_network()
    network(torch.rand(1, 3, 48, 48), torch.zeros(1, 1, 48, 48)).last.sum().backward()
    assert all(p.grad is None for p in network.coarse.parameters())
    assert network.refinement is not None
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.refinement.parameters())


@pytest.mark.parametrize("rate", [1, 2])
def test_attention_copies_the_known_place_that_looks_alike(rate: int) -> None:
    """Two halves of the same pattern, the right one unknown: every place finds its twin, at any rate."""
    torch.manual_seed(0)
    half = torch.randn(1, 64, 8, 8)
    x = torch.cat([half, half], 3)
    known = torch.zeros(1, 1, 32, 64)
    known[..., :32] = 1
    attention = ContextualAttention(rate)
    sharp = attention(x * 1.0, known)
    inner = slice(2, 6)  # patches over the seam between the halves have no twin
    correlation = torch.nn.functional.cosine_similarity(sharp[:, :, inner, 10:14], x[:, :, inner, 10:14], dim=1)
    assert correlation.min() > 0.95


def test_attention_keeps_a_constant_and_takes_nothing_from_unknown_places() -> None:
    attention = ContextualAttention(1)
    constant = torch.full((1, 4, 8, 8), 3.0)
    torch.testing.assert_close(attention(constant, torch.zeros(1, 1, 32, 32)), constant)
    x, known = torch.full((1, 1, 8, 8), 2.0), torch.zeros(1, 1, 8, 8)
    x[..., :4], known[..., :4] = 1.0, 1.0
    assert attention(x, known)[..., 4:].max() < 1.4  # of 3 x 3 patches at the border one third is of the other side


def test_known_texels_come_back_unchanged() -> None:
    inpainter = Inpainter(small_network())
    shown, known = textures(3)
    out = inpainter.complete(shown, known)
    assert np.array_equal(out[known], shown[known])
    assert not np.array_equal(out[~known], shown[~known])
    texture, mask = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., 0] = 1
    out = composed(texture, mask, torch.full((1, 3, 4, 4), 5.0))
    assert out[..., 0].eq(0).all()
    assert out[..., 1:].eq(1).all()


def test_one_texture_is_completed_as_a_batch_of_them_is() -> None:
    inpainter = Inpainter(small_network())
    shown, known = textures(3)
    together = inpainter.predict(shown, known).astype(int)
    alone = np.concatenate([inpainter.predict(shown[i : i + 1], known[i : i + 1]) for i in range(3)]).astype(int)
    assert np.abs(together - alone).max() <= 1


def test_bad_input_is_refused() -> None:
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
def test_weights_go_through_a_file(tmp_path: Path, refinement: bool) -> None:
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
    assert np.abs(loaded.predict(shown, known).astype(int) - before).max() <= 2  # float16


def test_unusable_weights_are_named(tmp_path: Path) -> None:
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
