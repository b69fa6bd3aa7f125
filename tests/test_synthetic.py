"""Synthetic faces and the texture model: exact labels, reproducible samples, recovered vertex colours."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.geometry import rasterize
from facegeom.training.data import synthetic, texture_model
from facegeom.training.data.assets import Assets
from facegeom.training.data.labels import Labels
from facegeom.training.data.photo_data import Sources, load_training_data, synthetic_faces
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.renderer import Renderer
from facegeom.training.data.synthetic import SyntheticFaces, SyntheticOptions
from facegeom.training.data.texture_model import NormalOperator, TextureModel, TextureModelOptions
from hair_cap import hair_cap

SIZE = 96


def grey_assets(count: int) -> Assets:
    """Return ten grey skins for a face model of `count` vertices, ten uniform lights, and black backgrounds."""
    skins = np.arange(10, dtype=np.uint8)[:, None, None] * 20 + np.zeros((10, count, 3), np.uint8)
    lights = np.zeros((10, 16, 9, 3), np.float32)
    lights[:, :, 0] = 1
    names = np.array([f"{i}" for i in range(10)])
    hair = (hair_cap(load_face_model()),) * 5
    return Assets(skins, names, lights, np.zeros((10, 12, 48, 48, 3), np.uint8), names, hair, names[:5])


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


@pytest.fixture(scope="module")
def faces(model: FaceModel) -> SyntheticFaces:
    return SyntheticFaces(model)


def test_the_same_seed_gives_the_same_sample(faces: SyntheticFaces) -> None:
    faces.draw(np.random.default_rng(1), SIZE)  # previous draws must have no effect
    a, eyes_a = faces.draw(np.random.default_rng(7), SIZE)
    faces.draw(np.random.default_rng(2), SIZE)
    b, eyes_b = faces.draw(np.random.default_rng(7), SIZE)

    for name in ("image", "depth", "correspondence", "mask"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(eyes_a, eyes_b)


@pytest.mark.parametrize("size", [64, 128])
def test_shapes_types_and_zeros_outside_the_mask(faces: SyntheticFaces, size: int) -> None:
    sample, eyes = faces.draw(np.random.default_rng(3), size)

    assert sample.image.shape == (size, size, 3)
    assert sample.image.dtype == np.uint8
    assert sample.depth.dtype == sample.correspondence.dtype == np.float32
    assert sample.mask.dtype == np.bool_
    assert eyes.shape == (2, 2)
    assert not sample.depth[~sample.mask].any()
    assert not sample.correspondence[~sample.mask].any()


def test_every_pose_is_a_rotation_and_large_yaws_are_common(faces: SyntheticFaces) -> None:
    rng = np.random.default_rng(0)
    rotations = np.array([faces._rotation(rng) for _ in range(600)])

    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (600, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    yaw = np.degrees(np.arctan2(rotations[:, 0, 2], np.hypot(rotations[:, 1, 2], rotations[:, 2, 2])))
    assert np.abs(yaw).max() <= MixOptions().max_yaw_deg + 1e-9
    assert 0.45 < (np.abs(yaw) > 45).mean() < 0.7
    assert 0.4 < (yaw > 0).mean() < 0.6


def test_maps_agree_with_the_rendered_geometry(
    faces: SyntheticFaces, model: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The depth at a pixel is that of the surface point that the correspondence gives there."""
    kept = []
    draw = SyntheticFaces._vertices

    def remembered(self: SyntheticFaces, rng: np.random.Generator, *, raised: bool) -> np.ndarray:
        kept.append(draw(self, rng, raised=raised))
        return kept[-1]

    monkeypatch.setattr(SyntheticFaces, "_vertices", remembered)
    monkeypatch.setattr(SyntheticFaces, "_rotation", lambda self, rng: np.eye(3))
    sample, _ = faces.draw(np.random.default_rng(11), SIZE)
    rows, columns = np.nonzero(sample.mask)
    nearest = ((sample.correspondence[rows, columns][:, None] - model.mean[None].astype(np.float32)) ** 2).sum(2)
    at = nearest.argmin(1)
    close = nearest[np.arange(len(at)), at] < 1.0  # within a millimetre of a vertex

    assert close.sum() > 100
    error = sample.depth[rows, columns][close] - kept[-1][at[close], 2]
    assert np.abs(error).mean() < 0.5
    assert np.median(np.abs(error)) < 0.3


@pytest.mark.parametrize("worn", [0.0, 1.0])
def test_maps_equal_those_of_the_photo_renderer(model: FaceModel, worn: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The renderer of photo labels gives the same maps for the same geometry: those under hair and glasses."""
    drawn: dict[str, np.ndarray] = {}
    for name in ("_vertices", "_rotation", "_crop"):
        method = getattr(SyntheticFaces, name)

        def remembered(
            self: SyntheticFaces, *arguments: object, name: str = name, method: object = method, **named: object
        ) -> object:
            drawn[name] = method(self, *arguments, **named)  # type: ignore[operator]
            return drawn[name]

        monkeypatch.setattr(SyntheticFaces, name, remembered)
    faces = SyntheticFaces(
        model, options=SyntheticOptions(hair_mesh=worn, eyewear=worn), assets=grey_assets(len(model.mean))
    )
    for seed in range(4):
        sample, _ = faces.draw(np.random.default_rng(seed), SIZE)
        pose = Pose(drawn["_vertices"], drawn["_rotation"], 1.0, np.zeros(2))
        expected = Renderer(model).render_photo(np.zeros((4, 4, 3), np.uint8), pose, drawn["_crop"], SIZE)
        np.testing.assert_array_equal(sample.mask, expected.mask)
        np.testing.assert_allclose(sample.depth, expected.depth, atol=1e-4)
        np.testing.assert_allclose(sample.correspondence, expected.correspondence, atol=1e-4)


def test_image_shows_the_face_where_the_mask_is(model: FaceModel, texture: TextureModel, tmp_path: Path) -> None:
    """With one bright colour on a black background, the bright pixels of the head are those of the mask."""
    texture.save(tmp_path / "texture.npz")
    options = SyntheticOptions(hair=0, beard=0, hair_volume=0, pixel_noise=0)
    black = [np.zeros((32, 32, 3), np.uint8)]
    faces = SyntheticFaces(model, MixOptions(), tmp_path / "texture.npz", black, options)
    bright = []
    for seed in range(20):
        sample, _ = faces.draw(np.random.default_rng(seed), SIZE)
        inner = cv2.erode(sample.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        bright.append(sample.image[inner].mean() if inner.any() else 0)
    assert np.median(bright) > 60


def test_eyes_lie_inside_the_mask_of_frontal_faces(model: FaceModel) -> None:
    still = MixOptions(max_yaw_deg=20, loose_crops=0, shift=0, any_roll=0, roll_deg=0)
    faces = SyntheticFaces(model, still)
    for seed in range(10):
        sample, eyes = faces.draw(np.random.default_rng(seed), SIZE)
        columns, rows = np.rint(eyes).astype(int).T
        assert sample.mask[rows, columns].all()
        assert eyes[0, 0] < eyes[1, 0]  # the right eye of the person is on the left in the image


@pytest.mark.parametrize("even_light", [1.0, 0.0])
def test_uniform_lighting_gives_no_shading(model: FaceModel, even_light: float) -> None:
    options = SyntheticOptions(even_light=even_light, harmonics=0.0)
    faces = SyntheticFaces(model, options=options)
    rng = np.random.default_rng(4)
    normals = rng.normal(size=(50, 3)).astype(np.float32)
    shown = faces.light.shade(np.full((50, 3), 120, np.float32), normals, np.ones(50, np.float32), rng)
    assert (np.ptp(shown, axis=0).max() < 1e-3) == (even_light == 1.0)


def test_expressions_are_plausible(faces: SyntheticFaces, model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    weights = np.array([faces._expression(rng) for _ in range(400)])
    names = list(model.expression_names)

    assert weights.min() >= 0
    assert weights.max() <= 1.5
    assert (weights[:, names.index("mouthClose")] <= weights[:, names.index("jawOpen")]).all()
    assert (weights > 0.02).sum(1).mean() < 20  # sparse
    for name in ("jawOpen", "mouthSmile_L", "eyeBlink_R"):
        assert (weights[:, names.index(name)] > 0.3).mean() > 0.03
    blinking = weights[:, names.index("eyeBlink_L")] > 0.3
    assert not weights[blinking, names.index("eyeWide_L")].any()


def test_lids_and_jaw_cover_their_whole_range(faces: SyntheticFaces, model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    weights = np.array([faces._expression(rng) for _ in range(400)])
    names = list(model.expression_names)

    closed = (weights[:, [names.index("eyeBlink_L"), names.index("eyeBlink_R")]] > 0.85).all(1)
    assert 0.08 < closed.mean() < 0.2
    assert 0.02 < (weights[:, names.index("jawOpen")] > 0.9).mean() < 0.1


def test_skins_lights_and_backgrounds_of_the_assets_are_used(model: FaceModel) -> None:
    assets = grey_assets(len(model.mean))
    faces = SyntheticFaces(model, options=SyntheticOptions(harmonics=1.0, even_light=0.0), assets=assets)
    rng = np.random.default_rng(0)

    skins = [np.ptp(faces._albedo(rng)[:, 0]) == 0 for _ in range(200)]  # each grey skin has one level, plain skin not
    assert 0.4 < np.mean(skins) < 0.6
    normals = np.array([[0, 1, 0], [0, -1, 0]], np.float32)
    colour, gloss = np.full((2, 3), 120, np.float32), np.zeros(2, np.float32)
    even = [np.ptp(faces.light.shade(colour, normals, gloss, rng)) < 1e-3 for _ in range(200)]
    assert 0.7 < np.mean(even) < 0.9  # the environments of these assets are uniform, the other lights are not
    assert len(faces.backgrounds) == 10 * 12
    plain = SyntheticFaces(model)
    assert not any(np.ptp(plain._albedo(rng)[:, 0]) == 0 for _ in range(20))


def test_assets_of_another_face_model_are_refused(model: FaceModel) -> None:
    with pytest.raises(ValueError, match="the skins have 7 vertices"):
        SyntheticFaces(model, assets=grey_assets(7))


def test_validation_faces_have_the_held_out_assets(
    model: FaceModel, texture: TextureModel, labels: Labels, folder: Path, tmp_path: Path
) -> None:
    grey_assets(len(model.mean)).save(tmp_path / "assets.npz")
    labels.save(tmp_path / "labels.npz")
    texture.save(tmp_path / "texture.npz")
    sources = Sources(folder, tmp_path / "labels.npz", tmp_path / "texture.npz", assets=tmp_path / "assets.npz")

    parts = synthetic_faces(sources, MixOptions())
    names = [set(faces.assets.skin_names) for faces in parts if faces.assets is not None]
    assert [len(part) for part in names] == [8, 2]
    assert not names[0] & names[1]
    data = load_training_data(sources, MixOptions())
    assert data.training.synthetic is not None
    assert data.validation.synthetic is not None
    seeds = [np.random.default_rng(5) for _ in range(2)]
    shown = [part.render(rng, 32).image for part, rng in zip(data, seeds, strict=True)]
    assert (shown[0] != shown[1]).any()
    same = synthetic_faces(replace(sources, assets=None), MixOptions())
    assert same.training is same.validation


def test_a_texture_model_of_another_face_model_is_refused(
    model: FaceModel, texture: TextureModel, tmp_path: Path
) -> None:
    short = TextureModel(texture.mean[:10], texture.components[:, :10], texture.deviations, texture.backgrounds)
    short.save(tmp_path / "texture.npz")

    with pytest.raises(ValueError, match="10 vertices"):
        SyntheticFaces(model, MixOptions(), tmp_path / "texture.npz")
    with pytest.raises(FileNotFoundError, match="no texture model"):
        SyntheticFaces(model, MixOptions(), tmp_path / "none.npz")


@pytest.mark.parametrize("size", [0, 8, -1])
def test_sizes_too_small_are_refused(faces: SyntheticFaces, size: int) -> None:
    with pytest.raises(ValueError, match="size must be at least 16"):
        faces.draw(np.random.default_rng(0), size)


def test_command_writes_a_sheet_and_labels(texture: TextureModel, tmp_path: Path) -> None:
    texture.save(tmp_path / "texture.npz")
    parser = argparse.ArgumentParser()
    synthetic.add_arguments(parser)
    arguments = ["--texture-model", str(tmp_path / "texture.npz"), "-o", str(tmp_path / "out"), "--count", "3"]

    assert synthetic.run(parser.parse_args([*arguments, "--size", "32"])) == 0

    assert cv2.imread(str(tmp_path / "out" / "sheet.png")) is not None
    with np.load(tmp_path / "out" / "samples_000.npz") as data:
        assert data["image"].shape == (3, 32, 32, 3)
        assert data["correspondence"].shape == (3, 32, 32, 3)
        assert data["mask"].dtype == np.bool_


def test_texture_model_file_round_trip(texture: TextureModel, tmp_path: Path) -> None:
    texture.save(tmp_path / "texture.npz")
    again = TextureModel.load(tmp_path / "texture.npz")

    np.testing.assert_allclose(again.mean, texture.mean, atol=0.13)  # float16
    np.testing.assert_array_equal(again.backgrounds, texture.backgrounds)
    np.testing.assert_allclose(again.colours(np.zeros(5, np.float32)), again.mean)
    np.testing.assert_allclose(again.colours(np.float32([0, 1])), again.mean + again.components[1], rtol=1e-5)


def test_normals_of_a_sphere_point_outward() -> None:
    theta, phi = np.meshgrid(np.linspace(0.05, np.pi - 0.05, 40), np.linspace(0, 2 * np.pi, 80), indexing="ij")
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    corner = (np.arange(39)[:, None] * 80 + np.arange(79)).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 80, corner + 1], 1), np.stack([corner + 1, corner + 80, corner + 81], 1)]
    )
    normals = NormalOperator(faces, len(points))(points.astype(np.float32))

    inner = np.abs(points[:, 2]) < 0.95
    assert (normals * points).sum(1)[inner].min() > 0.995


def test_visible_colours_recovers_known_vertex_colours(model: FaceModel) -> None:
    """Visible vertices of a rendered face have the known colours; the far side is not visible."""
    colours = np.clip(128 + model.mean, 0, 255)
    turned = Pose(model.mean, np.eye(3), 1.6, np.array([160.0, 150.0])).turned(35)
    raster = rasterize(turned.pixels(), model.faces, colours, (320, 320))
    photo = np.nan_to_num(raster.attributes).astype(np.uint8)

    found, seen, normals = texture_model.visible_colours(
        photo, turned, model, NormalOperator(model.faces, len(model.mean)), TextureModelOptions()
    )

    skin = texture_model.skin_vertices(model)
    # Medians, because the inside of the mouth is visible at the edge of the closed lips.
    error = np.abs(found - colours).max(1)[seen & skin]
    assert np.median(error) < 2
    assert np.percentile(error, 95) < 8
    assert (normals[seen, 2] > 0.35).all()
    assert not seen[model.mean[:, 2] < -110].any()  # the back of the head
    assert seen[model.landmarks68[30]]  # the tip of the nose


def test_remove_light_recovers_unshaded_colours(model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    normals = NormalOperator(model.faces, len(model.mean))(model.mean.astype(np.float32))
    mean = rng.uniform(100, 180, (len(normals), 3)).astype(np.float32)
    skin = texture_model.skin_vertices(model) & (normals[:, 2] > 0.3)
    lit = mean * (0.9 + 0.3 * normals[:, :1]) * np.float32([1.0, 0.8, 0.7])

    plain = texture_model.remove_light(lit, skin, normals, mean, skin)

    ratio = plain[skin] / mean[skin]
    assert ratio.std(0).max() < 0.02  # the remainder is the colour of the person, which is constant here
    before = (lit / mean)[skin].std(0).max()
    assert before > 0.1


def test_principal_colours_estimates_missing_values() -> None:
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((120, 3)) * [9, 6, 4]
    axes = rng.standard_normal((3, 60))
    truth = (scores @ axes + 100).reshape(120, 20, 3).astype(np.float32)
    known = rng.random((120, 20)) > 0.3
    values = np.where(known[..., None], truth, 0).astype(np.float32)

    mean, components = texture_model.principal_colours(values, known, 3, 12)

    assert np.abs(values - truth)[~known].mean() < 1.0
    expected = np.linalg.norm((truth - truth.mean(0)).reshape(120, -1), 2) / np.sqrt(120)
    assert np.linalg.norm(components[0]) == pytest.approx(expected, rel=0.02)
    np.testing.assert_allclose(mean, truth.mean(0), atol=2.0)


def test_extend_is_harmonic() -> None:
    """On a strip with known ends the values in between are linear."""
    n = 11
    faces = np.array([[i, i + 1, i + 2] for i in range(2 * n - 2)])
    known = np.zeros(2 * n, bool)
    known[[0, 1, -2, -1]] = True
    values = np.zeros((2 * n, 1), np.float32)
    values[-2:] = 10

    filled = texture_model.extend(values, known, faces)[:, 0]

    assert filled[0] == filled[1] == 0
    assert (np.diff(filled[1:-1]) > 0).all()
    np.testing.assert_allclose(filled + filled[::-1], 10, atol=1e-4)


def test_too_few_photos_are_refused(model: FaceModel) -> None:
    k, e = len(model.identity), len(model.expression)
    labels = Labels(
        np.array(["A_0001.jpg"]),
        np.zeros((1, k), np.float16),
        np.zeros((1, e), np.float16),
        np.eye(3, dtype=np.float32)[None],
        np.ones(1, np.float32),
        np.zeros((1, 2), np.float32),
        np.zeros(1, np.int8),
    )
    with pytest.raises(FacegeomError, match="need more photos"):
        texture_model.build_texture_model(model, {}, labels)


DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "lfw").is_dir(), reason="needs ../shared/data")
def test_texture_model_of_real_photos(model: FaceModel) -> None:
    """Made from about sixty training photos of 940 names: the skin has skin colours, and the lips are redder."""
    from facegeom.training.data.labels import LabelOptions, find_photos, make_labels

    with np.load(DATA / "lfw" / "landmarks.npz") as data:
        labels = make_labels(data["names"][:940], data["landmarks"][:940], LabelOptions(), processes=1)
    options = TextureModelOptions(photos=80, components=8, rounds=1, photos_per_person=80, backgrounds=4)
    texture = texture_model.build_texture_model(model, find_photos(DATA / "lfw" / "photos"), labels, options)

    assert texture.components.shape == (8, len(model.mean), 3)
    assert texture.backgrounds.shape == (4, 48, 48, 3)
    assert np.isfinite(texture.components).all()
    nose = texture.mean[model.regions["nose"]].mean(0)
    lips = texture.mean[model.regions["lips"]].mean(0)
    assert nose[0] > nose[1] > nose[2] > 30
    assert lips[0] / lips[1] > nose[0] / nose[1]
    assert (np.diff(texture.deviations) <= 1e-3).all()
