"""Skins and environment maps brought to the face model."""

from pathlib import Path

import numpy as np
import pytest

from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.training.data.assets import (
    Assets,
    environment_backdrops,
    environment_lights,
    make_assets,
    skin_colours,
)
from facegeom.training.data.light import harmonics
from facegeom.training.data.makehuman import read_makehuman, register_head, texture_coordinates
from facegeom.training.identity.heads import IdentityHeads
from hair_cap import hair_cap

CC0 = Path(__file__).parents[2] / "shared" / "data" / "cc0"


def _assets() -> Assets:
    count = len(load_face_model().mean)
    skins = np.arange(10, dtype=np.uint8)[:, None, None] * 20 + np.zeros((10, count, 3), np.uint8)
    lights = np.zeros((10, 16, 9, 3), np.float32)
    lights[:, :, 0] = 1
    backdrops = np.zeros((10, 12, 48, 48, 3), np.uint8)
    names = np.array([f"{i}" for i in range(10)])
    return Assets(skins, names, lights, backdrops, names, (hair_cap(load_face_model()),) * 10, names)


def test_light_from_everywhere_has_no_direction() -> None:
    lights = environment_lights(np.ones((32, 64, 3)))
    np.testing.assert_allclose(lights[:, 0], 1, atol=0.01)
    np.testing.assert_allclose(lights[:, 1:], 0, atol=0.01)


def test_a_bright_sky_lights_what_faces_up() -> None:
    environment = np.full((32, 64, 3), 0.1)
    environment[:8] = 5.0
    up, down = (harmonics(np.array([[0, y, 0]], np.float32)) for y in (1, -1))
    for light in environment_lights(environment):
        assert (up @ light > 3 * np.abs(down @ light)).all()


def test_turning_by_half_a_circle_brings_the_light_from_the_other_side() -> None:
    environment = np.full((32, 64, 3), 0.1)
    environment[12:20, 14:18] = 50.0  # at 90 degrees
    lights = environment_lights(environment)
    np.testing.assert_allclose(lights[0, 1], -lights[8, 1], atol=0.02)
    assert abs(lights[0, 1, 0]) > 0.5


def test_backdrops_are_not_all_alike() -> None:
    environment = np.random.default_rng(0).gamma(1, 1, (128, 256, 3))
    pictures = environment_backdrops(environment)
    assert pictures.shape == (12, 48, 48, 3)
    assert pictures.std() > 10


def test_held_out_assets_train_nothing() -> None:
    assets = _assets()
    train, test = assets.part(held_out=False), assets.part(held_out=True)
    assert [len(part.hair) for part in (train, test)] == [8, 2]
    for name in ("skin_names", "light_names", "hair_names"):
        assert not set(getattr(train, name)) & set(getattr(test, name))
        assert set(getattr(train, name)) | set(getattr(test, name)) == set(getattr(assets, name))


def test_assets_are_read_as_they_were_written(tmp_path: Path) -> None:
    assets = _assets()
    assets.save(tmp_path / "assets.npz")
    again = Assets.load(tmp_path / "assets.npz")
    np.testing.assert_array_equal(again.skins, assets.skins)
    assert len(again.hair) == 10
    for name, values in assets.hair[3].arrays().items():
        np.testing.assert_array_equal(again.hair[3].arrays()[name], values)


def test_assets_of_an_older_version_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "old.npz", skins=np.zeros(1))
    with pytest.raises(FacegeomError, match="has no hair: make it again"):
        Assets.load(tmp_path / "old.npz")
    with pytest.raises(FileNotFoundError, match="prepare assets"):
        Assets.load(tmp_path / "none.npz")


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FacegeomError, match=r"makehuman_base\.obj"):
        make_assets(tmp_path)


def test_a_mesh_without_a_body_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n")
    with pytest.raises(FacegeomError, match="base mesh"):
        read_makehuman(tmp_path / "other.obj")


def test_heads_with_assets_are_drawn_alike_from_the_same_seed() -> None:
    model = load_face_model()
    first, second = (
        IdentityHeads(model, None, _assets()).draw_head(np.random.default_rng(3), 64)[0].image for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.data
def test_lips_and_nostrils_of_a_skin_lie_on_those_of_the_face_model() -> None:
    if not CC0.is_dir():
        pytest.skip("needs ../shared/data/cc0")
    from facegeom.images.image_files import load_image

    model = load_face_model()
    head = read_makehuman(CC0 / "makehuman_base.obj")
    uv = texture_coordinates(head, register_head(model, head))
    colours = skin_colours(model, load_image(CC0 / "skins" / "young_caucasian_female.png"), uv).astype(float)
    redness = colours[:, 0] / colours.sum(1)
    lips = model.regions["lips"] & ~model.regions["lip_rim"]
    cheeks = (np.abs(model.mean[:, 0]) > 25) & (np.abs(model.mean[:, 1] + 45) < 12) & (model.mean[:, 2] > 0)
    cheeks &= model.regions["map"]
    assert np.median(redness[lips]) > np.median(redness[cheeks]) + 0.01
    pairs = colours[: len(uv)], colours[model.mirror][: len(uv)]
    assert np.abs(pairs[0] - pairs[1]).mean() < 12
