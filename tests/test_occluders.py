"""Occluders: texels that show something in front of the face."""

import cv2
import numpy as np
import pytest

from facegeom.errors import WeightsError
from facegeom.texture.occluders import OccluderOptions, TextureStatistics, load_statistics, occluders, read_statistics

SIZE = 192


@pytest.fixture(scope="module")
def plain_face():
    """The mean texture as a photo would show it, and its known texels."""
    statistics = load_statistics()
    inner = cv2.erode(statistics.support.astype(np.uint8), np.ones((3, 3)))
    known = cv2.resize(inner, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST) > 0
    return statistics.color, known & statistics.shown


def test_the_mean_face_has_no_occluders_in_any_light(plain_face):
    texture, known = plain_face
    assert known.mean() > 0.25
    assert not occluders(texture, known).any()
    ramp = np.linspace(0.45, 1.25, SIZE)[None, :, None]
    for lit in (texture * ramp, texture * ramp[:, ::-1], texture * (0.6, 0.9, 1.3), texture * 0.5):
        assert occluders(np.clip(lit, 0, 255).astype(np.uint8), known).sum() <= 0.01 * known.sum()


@pytest.mark.parametrize("color", [(30, 30, 34), (40, 60, 160), (225, 225, 225)], ids=["microphone", "sleeve", "paper"])
@pytest.mark.parametrize("side", [1, -1])
def test_an_occluder_of_one_cheek_is_found_on_that_side_only(plain_face, color, side):
    texture, known = plain_face
    covered = np.zeros((SIZE, SIZE), np.uint8)
    cv2.circle(covered, (96 + 36 * side, 112), 14, 1, -1)
    photo = np.where(covered[..., None] > 0, np.array(color, np.uint8), texture)
    found = occluders(photo, known)
    hidden = (covered > 0) & known
    assert found[hidden].mean() > 0.9
    assert found[known & ~hidden].mean() < 0.08  # the spot is widened by four texels
    assert not found[:, ::-1][hidden].any()


def test_unknown_texels_are_never_occluders(plain_face):
    texture, known = plain_face
    assert not occluders(texture, np.zeros_like(known)).any()
    noise = np.random.default_rng(0).integers(0, 256, texture.shape).astype(np.uint8)
    assert not occluders(noise, known)[~known].any()


def test_statistics_are_written_and_read(tmp_path):
    statistics = load_statistics()
    statistics.save(tmp_path / "s.npz")
    again = read_statistics(tmp_path / "s.npz")
    for name in TextureStatistics.__dataclass_fields__:
        assert np.array_equal(getattr(again, name), getattr(statistics, name))
    assert np.array_equal(statistics.support, statistics.support[:, ::-1])
    with pytest.raises(WeightsError, match="no texture statistics"):
        read_statistics(tmp_path / "none.npz")


def test_occluders_reports_bad_input(plain_face):
    texture, known = plain_face
    with pytest.raises(ValueError, match="known must have shape"):
        occluders(texture, known[:10])
    with pytest.raises(ValueError, match="square"):
        occluders(texture[:10], known[:10])
    assert OccluderOptions().low < OccluderOptions().high < OccluderOptions().high_alone
