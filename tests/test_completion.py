"""Texture completion: known texels are kept, no border is visible, grain matches, bad input is reported."""

import cv2
import numpy as np
import pytest

from facegeom.errors import WeightsError
from facegeom.networks.gated_inpainting import GatedInpainting, GatedInpaintingConfig, Inpainter
from facegeom.texture import completion
from facegeom.texture.completion import complete, reduced, spread, window_around

SIZE = 48


class Gray(Inpainter):
    """A fake of the network: gray at every texel, so that all other colours come from `complete`."""

    def predict(self, textures: np.ndarray, known: np.ndarray, hair: np.ndarray | None = None) -> np.ndarray:
        assert textures.shape[1:] == (*known.shape[1:], 3) == (SIZE, SIZE, 3)
        return np.full_like(textures, 128)


class DarkHair(Gray):
    """A fake of a network that knows classes: black where it is told that there is hair."""

    def predict(self, textures: np.ndarray, known: np.ndarray, hair: np.ndarray | None = None) -> np.ndarray:
        assert hair is not None
        assert hair.shape == known.shape
        return np.where(hair[..., None], 0, np.full_like(textures, 128)).astype(np.uint8)


@pytest.fixture(scope="module")
def network() -> Inpainter:
    module = GatedInpainting(GatedInpaintingConfig(size=SIZE, width=2, refinement=False))
    module.region[:4] = False
    return Gray(module)


def half_known(size: int) -> np.ndarray:
    known = np.zeros((size, size), bool)
    known[:, : size // 2] = True
    return known


def plain(size: int, value: float = 150.0, noise: float = 0.0) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(value, noise, (size, size, 1)).repeat(3, 2)
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [24, 48, 100, 192])
def test_known_texels_are_kept_and_unknown_values_are_ignored(network: Inpainter, size: int) -> None:
    rng = np.random.default_rng(1)
    texture, known = rng.integers(0, 256, (size, size, 3), dtype=np.uint8), rng.random((size, size)) < 0.7
    out = complete(texture, known, network=network)
    assert out.shape == texture.shape
    assert out.dtype == np.uint8
    assert np.array_equal(out[known], texture[known])
    hidden = np.where(known[..., None], texture, rng.integers(0, 256, texture.shape, dtype=np.uint8))
    assert np.array_equal(complete(hidden, known, network=network), out)


@pytest.mark.parametrize("size", [48, 96, 192])
def test_a_biased_output_is_corrected_at_the_border(network: Inpainter, size: int) -> None:
    """The network returns 128, the known texels are 150: no step at the border, 128 far from it."""
    out = complete(plain(size), half_known(size), network=network).astype(int)
    border = out[:, size // 2]
    assert np.abs(border - 150).max() <= 3
    assert np.abs(np.diff(out[size // 2, :, 0])).max() <= np.ceil(22 * 48 / size)
    assert np.abs(out[:, -size // 6 :] - 128).max() <= 2


def test_grain_has_the_deviation_of_known_texels(network: Inpainter) -> None:
    size = 192
    known = half_known(size)
    known[: size // 2] = ~known[: size // 2]  # above the middle, the mirror image of every hidden texel is known
    known[size // 2 :, ::3] &= False
    texture = plain(size, noise=6.0)
    out = complete(texture, known, network=network).astype(np.float32)
    high = out - cv2.GaussianBlur(out, (0, 0), 2.0)
    assert high[~known].std() == pytest.approx(high[known].std(), rel=0.3)
    smooth = complete(plain(size), known, network=network).astype(np.float32)
    assert (smooth - cv2.GaussianBlur(smooth, (0, 0), 1.0)).std() < 1.0  # smooth textures get no grain


def test_fine_detail_comes_from_the_other_side_of_the_face(network: Inpainter) -> None:
    """Stripes finer than the network's texels, known on the left only, appear mirrored on the right."""
    size = 192
    texture = plain(size, 128.0)
    texture[:, : size // 2][:, ::2] += 40
    out = complete(texture, half_known(size), network=network).astype(np.float32)
    left, right = (out - cv2.GaussianBlur(out, (0, 0), 1.0))[60:130, :, 0][:, 20:70], None
    right = (out - cv2.GaussianBlur(out, (0, 0), 1.0))[60:130, ::-1, 0][:, 20:70]
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.9


def test_no_known_texel_gives_the_mean_texture_and_all_known_texels_the_texture(network: Inpainter) -> None:
    texture = plain(SIZE)
    assert np.array_equal(complete(texture, np.zeros((SIZE, SIZE), bool), network=network), network.mean)
    only_beyond = np.zeros((SIZE, SIZE), bool)
    only_beyond[:4] = True
    out = complete(texture, only_beyond, network=network)
    assert np.array_equal(out[4:], network.mean[4:])
    assert np.array_equal(out[:4], texture[:4])
    assert np.array_equal(complete(texture, np.ones((SIZE, SIZE), bool), network=network), texture)


def test_the_same_input_gives_the_same_output(network: Inpainter) -> None:
    texture, known = plain(96, noise=6.0), half_known(96)
    assert np.array_equal(complete(texture, known, network=network), complete(texture, known, network=network))


def test_bad_input_is_reported(network: Inpainter) -> None:
    texture, known = plain(SIZE), half_known(SIZE)
    for bad, message, error in (
        (None, "texture must be an .* got dtype object", TypeError),
        (texture.astype(np.float32), "texture must be an .* got dtype float32", TypeError),
        (texture[:, :30], r"texture must be square .* got \(48, 30\)", ValueError),
        (texture[:8, :8], "at least 16", ValueError),
    ):
        with pytest.raises(error, match=message):
            complete(bad, known, network=network)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="known must have shape"):
        complete(texture, known[:10], network=network)
    with pytest.raises(TypeError, match="known must be a bool array"):
        complete(texture, known.astype(float), network=network)  # type: ignore[arg-type]


def test_missing_weights_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Inpainter:
        raise WeightsError("the weights of gated_inpainting are missing")

    monkeypatch.setattr("facegeom.networks.gated_inpainting.load_gated_inpainting", missing)
    completion.texture_network.cache_clear()
    with pytest.raises(WeightsError, match="missing"):
        complete(plain(SIZE), half_known(SIZE))


@pytest.mark.parametrize("size", [48, 96])
def test_a_network_that_knows_classes_is_told_where_hair_is_expected(size: int) -> None:
    """The left half is known: hair above. It is expected on the right side, too."""
    network = DarkHair(GatedInpainting(GatedInpaintingConfig(size=SIZE, width=2, refinement=False, classes=True)))
    network.usual_hair = np.full((SIZE, SIZE), 0.4, np.float32)
    known, hair = half_known(size), np.zeros((size, size), bool)
    hair[: size // 3] = True
    texture = np.where(hair[..., None], np.uint8(0), np.uint8(128)).repeat(3, 2)
    out = complete(texture, known, hair=hair & known, network=network)
    rows = slice(2, size // 3 - 2), slice(size // 3 + 2, size)
    assert out[rows[0]].max() < 20
    assert np.abs(out[rows[1]].astype(int) - 128).max() < 20
    bald = complete(texture, known, hair=hair & known, growing=np.zeros_like(hair), network=network)
    assert np.array_equal(bald[known], out[known])
    assert np.abs(bald[rows[0]][:, -size // 4 :].astype(int) - 128).max() < 30
    grown = complete(texture, known, hair=hair & known, growing=np.ones_like(hair), network=network)
    assert grown[rows[1]][:, -size // 8 :].max() < 60
    with pytest.raises(ValueError, match="growing must have shape"):
        complete(texture, known, growing=hair[:10], network=network)  # not square
    with pytest.raises(ValueError, match="hair must have shape"):
        complete(texture, known, hair=hair[:10], network=network)


def test_reduction_averages_known_texels_only() -> None:
    texture, known = plain(8, 100.0), np.ones((8, 8), bool)
    texture[:, ::2], known[:, ::2] = 0, False
    small, small_known = reduced(texture, known, 4)
    assert np.allclose(small, 100)
    assert small_known.all()
    known[:2, :2] = False
    small, small_known = reduced(texture, known, 4)
    assert small[0, 0].tolist() == [0, 0, 0]
    assert not small_known[0, 0]


def test_spreading_keeps_known_values_and_constants() -> None:
    rng = np.random.default_rng(2)
    weight = (rng.random((50, 50)) < 0.1).astype(np.float32)
    values = rng.normal(size=(50, 50, 3)).astype(np.float32)
    out = spread(values, weight)
    assert np.allclose(out[weight > 0], values[weight > 0], atol=1e-6)
    assert np.isfinite(out).all()
    assert np.allclose(spread(np.full((50, 50, 3), 7, np.float32), weight), 7, atol=1e-4)
    corner = np.zeros((64, 64), np.float32)
    corner[:4, :4] = 1
    near = spread(np.ones((64, 64, 3), np.float32), corner, reach=8)[..., 0]
    assert near[:4, :4].min() == 1
    assert near[20:, 20:].max() < 0.05


@pytest.mark.parametrize("size", [100, SIZE, 256])
def test_a_part_of_an_atlas_is_completed_as_in_the_whole(network: Inpainter, size: int) -> None:
    face = np.zeros((size, size), bool)
    face[size // 3 : 2 * size // 3, size // 4 : -size // 4] = True
    known = half_known(size) & face
    window = window_around(face)
    assert face[window].sum() == face.sum()
    assert window.columns.start == size - window.columns.stop
    whole = complete(plain(size), known, network=network).astype(int)
    part = complete(plain(size), known, window=window, network=network).astype(int)
    assert np.array_equal(part[known[window]], whole[window][known[window]])
    off = np.abs(part - whole[window])[face[window]]  # the grain differs
    assert off.mean() < 2


def test_the_window_of_nothing_is_the_whole_atlas() -> None:
    assert window_around(np.zeros((8, 8), bool)) == (slice(0, 8), slice(0, 8))
