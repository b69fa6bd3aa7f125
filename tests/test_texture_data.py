"""Training data of texture completion: joined views, masks and files, on photos with known textures."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeom import geometry, load_face_model
from facegeom.networks.interface import NetworkMaps
from facegeom.texture.blending import Layer, middle_third
from facegeom.texture.occluders import features
from facegeom.training.data.labels import LabelOptions, Labels, find_photos, make_labels
from facegeom.training.data.split import split_names
from facegeom.training.texture.complete_textures import (
    TextureDataOptions,
    TextureSet,
    join_views,
    make_textures,
    person_textures,
    plan,
    read_textures,
)
from facegeom.training.texture.masks import MaskOptions, draw_masks, head_at, visible_texels
from facegeom.training.texture.photo_textures import REJECTIONS, SIZE, PhotoBaker
from facegeom.training.texture.statistics import StatisticsOptions, choose_rows, texture_statistics

LFW = Path(__file__).parents[2] / "shared" / "data" / "lfw"
SIDE = 260
SCALE = 0.9
SKIN = (190, 140, 115)


class GreenScreen:
    """A network that predicts a face where the image is not green."""

    size = 128

    def predict(self, crops, *, mirror=True):
        face = (crops[..., 1] < 200) | (crops[..., 0] > 60)
        nothing = np.zeros(crops.shape[:3], np.float32)
        return NetworkMaps(nothing, np.zeros(crops.shape, np.float32), face.astype(np.float32))


def rotation(yaw):
    y = np.radians(yaw)
    return np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])


YAWS = {"Both_Sides": (0, 35, -38), "One_Side": (4, 30), "In_Front": (8,), "Turned": (40,)}


@pytest.fixture(scope="module")
def colors():
    """Return vertex colours of a head: skin redder towards one side and darker downwards, dark brows."""
    model = load_face_model()
    out = np.array(SKIN) + np.column_stack([0.35 * model.mean[:, 0], 0.25 * model.mean[:, 1], 0.2 * model.mean[:, 1]])
    out[model.regions["brow_left"] | model.regions["brow_right"]] *= 0.5
    return np.clip(out, 0, 255)


@pytest.fixture(scope="module")
def people(tmp_path_factory, colors):
    """Return photos of four people with the same head on a green background, and their labels."""
    model = load_face_model()
    folder = tmp_path_factory.mktemp("people")
    names, turns, photos = [], [], {}
    for person, yaws in YAWS.items():
        for i, yaw in enumerate(yaws):
            turn = rotation(yaw)
            points = model.mean @ turn.T * (SCALE, -SCALE, 1) + (SIDE / 2, SIDE / 2, 0)
            raster = geometry.rasterize(points, model.faces, colors, (SIDE, SIDE))
            shown = (raster.triangle >= 0) & model.regions["map"][model.faces].all(1)[raster.triangle]
            photo = np.where(shown[..., None], np.nan_to_num(raster.attributes), (0, 255, 0)) * (1.0 - 0.05 * i)
            name = f"{person}_{i + 1:04d}.png"
            cv2.imwrite(str(folder / name), np.rint(photo).astype(np.uint8)[..., ::-1])
            names.append(name)
            turns.append(turn)
            photos[name] = folder / name
    n = len(names)
    return photos, Labels(
        np.array(names),
        np.zeros((n, 60), np.float16),
        np.zeros((n, len(model.expression)), np.float16),
        np.array(turns, np.float32),
        np.full(n, SCALE, np.float32),
        np.full((n, 2), SIDE / 2, np.float32),
        np.zeros(n, np.int8),
    )


@pytest.fixture(scope="module")
def baker(people):
    photos, labels = people
    return PhotoBaker(GreenScreen(), photos, labels, None)


def rows_of(labels, person):
    return [i for i, name in enumerate(labels.names) if str(name).startswith(person)]


@pytest.fixture(scope="module")
def truth(baker, colors):
    """Return the true texture of the head."""
    return baker.atlas.image(baker.atlas.carry(colors))


def test_the_region_is_symmetric_and_about_half_of_the_atlas(baker):
    assert np.array_equal(baker.region, baker.region[:, ::-1])
    assert 0.4 < baker.region.mean() < 0.55
    assert not (baker.region & ~baker.atlas.covered).any()


def test_baked_photos_equal_the_true_texture(baker, truth):
    rows = range(len(baker.labels))
    for row, baked in zip(rows, baker.bake(list(rows)), strict=True):
        assert REJECTIONS[baked.reason] == "kept", baker.labels.names[row]
        known = baked.layer.known
        assert not (known & ~baker.region).any()
        ratio = np.median(baked.layer.texture[known] / np.maximum(truth[known], 1))
        assert np.percentile(np.abs(baked.layer.texture[known] - ratio * truth[known]), 95) < 12


@pytest.mark.parametrize("person", list(YAWS))
def test_textures_of_each_kind_of_person(baker, truth, person):
    made, counts = person_textures(baker, rows_of(baker.labels, person), TextureDataOptions(least_seen=0.5))
    kinds = {"Both_Sides": ["three", "frontal"], "One_Side": ["two", "frontal"], "In_Front": ["frontal"], "Turned": []}
    assert [texture.kind for texture in made] == kinds[person]
    assert sum(n for name, n in counts.items() if name.endswith("kept")) >= len(made)
    for texture in made:
        assert texture.identity == person
        assert texture.texture.shape == (SIZE, SIZE, 3)
        assert not (texture.seen & ~baker.region).any()
        difference = np.abs(texture.texture.astype(float) - truth)[texture.seen]
        assert difference.mean() < 6
    if person == "Both_Sides":
        assert made[0].seen.sum() > made[1].seen.sum()
        inside = cv2.erode(baker.region.astype(np.uint8), np.ones((9, 9))) > 0
        assert np.abs(made[0].texture.astype(float) - truth)[inside].mean() < 8


def test_photos_with_other_lighting_or_expression_are_not_joined(people):
    photos, labels = people
    rows = rows_of(labels, "One_Side")
    expression = labels.expression.copy()
    expression[rows[1], :20] = 1
    changed = PhotoBaker(GreenScreen(), photos, replace(labels, expression=expression), None)
    # the fitted head changes too, but the pair is rejected first because of its expression
    made, counts = person_textures(changed, rows, TextureDataOptions(least_seen=0.5))
    assert "two" not in [texture.kind for texture in made]
    assert counts["pair: expression"] + counts["photo: mask"] > 0
    strict = TextureDataOptions(most_misfit=1e-6, least_seen=0.5)
    made, counts = person_textures(PhotoBaker(GreenScreen(), photos, labels, None), rows, strict)
    assert counts["pair: light"] == 1
    assert [texture.kind for texture in made] == ["frontal"]


def test_rejected_photos_have_a_reason(people):
    photos, labels = people
    row = rows_of(labels, "In_Front")[0]
    small = replace(labels, scale=np.full(len(labels), 0.2, np.float32))
    away = replace(labels, translation=labels.translation + np.float32(70))
    for changed, reason in ((small, "small"), (away, "mask")):
        assert REJECTIONS[PhotoBaker(GreenScreen(), photos, changed, None).bake([row])[0].reason] == reason


def test_joined_constant_views_are_constant_and_seen_is_per_third():
    texture = np.full((SIZE, SIZE, 3), (150, 110, 90), np.uint8)
    rows = np.zeros((3, SIZE, SIZE), bool)
    rows[0, 40:150, :100] = rows[1, 60:120] = rows[2, 40:150, 92:] = True
    left, center, right = (Layer(np.where(k[..., None], texture, np.uint8(0)), k) for k in rows)
    joined, seen, kind = join_views(center, left, right)
    assert kind == "three"
    assert np.abs(joined.astype(int) - texture).max() <= 2
    assert np.array_equal(seen, rows.any(axis=0))
    joined, seen, kind = join_views(center, left, None)
    assert kind == "two"
    assert np.abs(joined.astype(int) - texture).max() <= 2
    assert np.array_equal(seen, rows[:2].any(axis=0))  # the mirrored side is not shown by a photo
    with pytest.raises(ValueError, match="at least one"):
        join_views(center, None, None)
    assert middle_third(SIZE) == slice(64, 128)


def test_the_plan_limits_the_photos_of_a_person(labels):
    many = replace(
        labels,
        names=np.array([f"Same_Person_{i:04d}.jpg" for i in range(len(labels))]),
        rotation=np.array([rotation(y) for y in np.linspace(-50, 50, len(labels))], np.float32),
    )
    options = TextureDataOptions()
    (rows,) = plan(many, np.arange(len(many)), options)
    assert len(rows) == options.photos_per_person + 2 * options.tries
    (rows,) = plan(many, np.arange(len(many)), options, all_frontal=True)
    assert len(rows) > 300
    turned = np.flatnonzero(np.abs(np.linspace(-50, 50, len(labels))) > 25)
    assert plan(many, turned, options) == []


# --- occlusion masks


def test_visible_texels_of_a_turned_head_are_on_the_visible_side(baker):
    shares = []
    for yaw in (0, 30, 60, 85):
        shown = visible_texels(baker, head_at(baker, 0, yaw, 0, 0.75)) & baker.region
        shares.append(shown.sum() / baker.region.sum())
        right, left = shown[:, : SIZE // 2].sum(), shown[:, SIZE // 2 :].sum()
        assert right > 1.15 * left if yaw else 0.98 < right / left < 1.02
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.7
    assert 0.15 < shares[3] < 0.5


def test_masks_depend_only_on_the_seed_and_lie_in_the_region(baker):
    rows = np.arange(len(baker.labels))
    masks = draw_masks(baker, rows, 3, np.random.default_rng(1), MaskOptions())
    assert masks.shape == (3, SIZE, SIZE)
    assert masks.dtype == bool
    assert not (masks & ~baker.region).any()
    assert masks.any(axis=(1, 2)).all()
    assert np.array_equal(masks, draw_masks(baker, rows, 3, np.random.default_rng(1), MaskOptions()))


# --- statistics


def test_statistics_recover_a_face_from_different_lighting():
    rng = np.random.default_rng(0)
    face = cv2.resize(rng.uniform(80, 160, (12, 12, 3)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    face = (face + face[:, ::-1]) / 2
    known = np.zeros((SIZE, SIZE), bool)
    known[30:160, 30:162] = True
    layers = []
    for _ in range(12):
        ramp = 1 + rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, SIZE)[None, :, None]
        lit = np.clip(face * ramp * rng.uniform(0.7, 1.2, 3), 0, 255)
        layers.append(Layer(np.where(known[..., None], lit, 0).astype(np.uint8), known))
    found = texture_statistics(layers, StatisticsOptions(least_share=0.5))
    inside = cv2.erode(found.support.astype(np.uint8), np.ones((5, 5))) > 0
    assert found.support.sum() == 65 * 66
    small = cv2.resize(face.astype(np.float32), (96, 96), interpolation=cv2.INTER_AREA)
    shape = (features(small) - found.mean)[inside]
    assert (shape - shape.mean(axis=0)).std() < 0.1
    assert (found.deviation[inside] <= (0.2, 0.1, 0.1)).all()
    assert np.allclose(found.mean, found.mean[:, ::-1], atol=1e-5)
    assert np.array_equal(found.shown, known | known[:, ::-1])
    color, want = found.color[known].astype(float), face[known]
    assert np.abs(color / color.mean(axis=0) - want / want.mean(axis=0)).mean() < 0.06


def test_statistics_use_one_photo_of_each_training_identity(labels):
    rows = choose_rows(labels, StatisticsOptions(photos=10))
    training = split_names([str(name) for name in labels.names]).training
    assert len(rows) == 10
    assert set(rows) <= set(training.tolist())


# --- all steps together, and the file


def test_texture_set_file_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    given = TextureSet(
        rng.integers(0, 256, (4, 20, 20, 3)).astype(np.uint8),
        rng.random((4, 20, 20)) > 0.5,
        np.array(["three", "two", "frontal", "frontal"]),
        np.array(["A", "B", "C", "D"]),
        np.array(["training", "training", "validation", "test"]),
        rng.random((7, 20, 20)) > 0.5,
        rng.random((20, 20)) > 0.5,
    )
    given.save(tmp_path / "t.npz")
    got = read_textures(tmp_path / "t.npz")
    for name in TextureSet.__dataclass_fields__:
        assert np.array_equal(getattr(got, name), getattr(given, name)), name
    with pytest.raises(FileNotFoundError, match="facegeom prepare textures"):
        read_textures(tmp_path / "none.npz")


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not LFW.is_dir(), reason=f"needs {LFW}")
def test_textures_of_real_photos():
    with np.load(LFW / "landmarks.npz") as data:
        names, landmarks = data["names"], data["landmarks"]
    rows = np.flatnonzero([str(name).startswith(("Abdullah_Gul_", "Ai_Sugiyama_")) for name in names])
    labels = make_labels(names[rows], landmarks[rows], LabelOptions(), processes=1)
    textures, counts = make_textures(find_photos(LFW / "photos"), labels, masks=4, processes=1)
    assert len(textures.textures) >= 5
    assert set(textures.identity) <= {"Abdullah_Gul", "Ai_Sugiyama"}
    assert textures.masks.shape == (4, SIZE, SIZE)
    assert textures.seen.sum(axis=(1, 2)).min() >= TextureDataOptions().least_seen * textures.region.sum()
    assert not (textures.seen & ~textures.region).any()
    assert counts["photo: kept"] > 0
