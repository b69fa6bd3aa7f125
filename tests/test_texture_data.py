"""Training data of texture completion: baked and joined photos, masks and files, on photos with known textures."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeom import geometry, load_face_model
from facegeom.errors import FacegeomError
from facegeom.networks.interface import NetworkMaps
from facegeom.networks.segmentation_crop import BACKGROUND, CLASSES, HEAD_HAIR
from facegeom.networks.segmentation_crop import SKIN as SKIN_CLASS
from facegeom.texture.blending import Layer, middle_third
from facegeom.texture.completion import expected_hair
from facegeom.texture.occluders import features
from facegeom.texture.texel_classes import EAR, FACE, NECK, NONE, SCALP
from facegeom.training.data.assets import Assets
from facegeom.training.data.labels import LabelOptions, Labels, find_photos, make_labels
from facegeom.training.data.split import split_names
from facegeom.training.segmentation.crops import listed
from facegeom.training.texture.complete_textures import (
    TextureDataOptions,
    join_views,
    make_textures,
    person_textures,
    plan,
)
from facegeom.training.texture.head_textures import REJECTIONS, SIZE, HeadBaker, ears_seen, head_atlas
from facegeom.training.texture.masks import MaskOptions, draw_masks
from facegeom.training.texture.photo_textures import REJECTIONS as FACE_REJECTIONS
from facegeom.training.texture.photo_textures import PhotoBaker
from facegeom.training.texture.skin_textures import LIGHTS, skin_textures
from facegeom.training.texture.statistics import StatisticsOptions, choose_rows, texture_statistics
from facegeom.training.texture.texture_set import TextureSet, read_textures

LFW = Path(__file__).parents[2] / "shared" / "data" / "lfw"
SIDE = 260
SCALE = 0.9
SKIN, HAIR, GREEN = (190, 140, 115), (40, 30, 20), (0, 255, 0)


def is_green(image):
    return (image[..., 1] > 200) & (image[..., 0] < 60)


class GreenScreen:
    """A maps network that predicts a face where the image shows skin."""

    size = 128

    def predict(self, crops, *, mirror=True):
        face = ~is_green(crops) & (crops.max(axis=-1) > 60)
        nothing = np.zeros(crops.shape[:3], np.float32)
        return NetworkMaps(nothing, np.zeros(crops.shape, np.float32), face.astype(np.float32))


class ByColour:
    """A segmentation network: green is background, dark is hair, everything else skin."""

    size = 112

    def predict(self, crops):
        kind = np.where(crops.max(axis=-1) < 60, HEAD_HAIR, SKIN_CLASS)
        return np.eye(len(CLASSES), dtype=np.float32)[np.where(is_green(crops), BACKGROUND, kind)]


def rotation(yaw):
    y = np.radians(yaw)
    return np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])


YAWS = {"Both_Sides": (0, 35, -38), "One_Side": (4, 30), "In_Front": (8,), "Turned": (40,)}


@pytest.fixture(scope="module")
def colors():
    """Return vertex colours of a head: skin redder towards one side and darker downwards, dark brows and hair."""
    model = load_face_model()
    out = np.array(SKIN) + np.column_stack([0.35 * model.mean[:, 0], 0.25 * model.mean[:, 1], 0.2 * model.mean[:, 1]])
    out[model.regions["brow_left"] | model.regions["brow_right"]] *= 0.5
    out[model.regions["scalp"]] = HAIR
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
            head = (raster.triangle >= 0)[..., None]
            photo = np.where(head, np.nan_to_num(raster.attributes) * (1.0 - 0.05 * i), GREEN)
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


def baker_of(people, **changed):
    photos, labels = people
    return HeadBaker(photos, replace(labels, **changed), network=ByColour())


@pytest.fixture(scope="module")
def baker(people):
    return baker_of(people)


def rows_of(labels, person):
    return [i for i, name in enumerate(labels.names) if str(name).startswith(person)]


@pytest.fixture(scope="module")
def truth(baker, colors):
    """Return the true texture of the head."""
    template = baker.template
    return baker.atlas.image(baker.atlas.carry(template.carry(colors[template.vertices])))


def test_every_texel_of_the_skin_belongs_to_a_part(baker):
    part = baker.part
    assert np.array_equal(part, part[:, ::-1])
    shares = {kind: (part == kind).mean() for kind in (NONE, FACE, EAR, NECK, SCALP)}
    assert 0.35 < shares[FACE] < 0.5
    assert shares[NONE] < 0.15
    assert min(shares.values()) > 0.02
    assert (part[~baker.atlas.covered] == NONE).all()
    middle = SIZE // 2
    assert part[middle, middle] == FACE
    assert part[0, middle] == part[middle, 0] == SCALP
    assert {part[middle, column] for column in range(middle)} == {FACE, EAR, SCALP}


def test_baked_photos_have_the_true_colours_and_classes(baker, truth):
    for row, name in enumerate(baker.labels.names):
        baked = baker.bake(row)
        assert REJECTIONS[baked.reason] == "kept", name
        known = baked.layer.known
        assert known[baker.part == FACE].mean() > 0.35
        assert not (known & (baker.part == NONE)).any()
        assert not (baked.hair & ~known).any()
        assert baked.hair[known & (baker.part == SCALP)].mean() > 0.95
        assert not baked.hair[(baker.part == NECK) | (baker.part == EAR)].any()
        assert not is_green(baked.layer.texture[known]).any()
        ratio = np.median(baked.layer.texture[known] / np.maximum(truth[known], 1))
        assert np.percentile(np.abs(baked.layer.texture[known] - ratio * truth[known]), 95) < 14


def test_a_turned_photo_shows_one_ear(baker):
    front, turned = (baker.bake(rows_of(baker.labels, person)[0]).layer.known for person in ("In_Front", "Turned"))
    ear = baker.part == EAR
    left, right = turned[:, SIZE // 2 :][ear[:, SIZE // 2 :]], turned[:, : SIZE // 2][ear[:, : SIZE // 2]]
    assert right.mean() > 0.25 > left.mean()  # the nose points to the image's right
    assert ears_seen(np.stack([turned, turned[:, ::-1], front & ~ear]), baker.part).tolist() == [True, True, False]


def test_a_hat_is_neither_hair_nor_scalp(people, tmp_path):
    photos, labels = people
    row, name = rows_of(labels, "In_Front")[0], f"{sorted(listed('headgear'))[0]}.png"
    names = labels.names.astype("U40")
    names[row] = name
    bare, capped = baker_of(people).bake(row), None
    capped = HeadBaker({name: photos[str(labels.names[row])]}, replace(labels, names=names), network=ByColour())
    baked = capped.bake(row)
    assert bare.hair.sum() > 500
    assert not baked.hair.any()
    assert not baked.layer.known[capped.part == SCALP].any()
    assert baked.refused[bare.hair].all()
    assert np.array_equal(baked.layer.known, bare.layer.known & ~bare.hair & (capped.part != SCALP))


def test_faces_are_baked_inside_the_mask_of_a_maps_network(people):
    """The textures of the statistics of face colours."""
    photos, labels = people
    baker = PhotoBaker(GreenScreen(), photos, labels, None)
    row = rows_of(labels, "In_Front")[0]
    (baked,) = baker.bake([row])
    assert FACE_REJECTIONS[baked.reason] == "kept"
    assert not (baked.layer.known & ~baker.region).any()
    head = baker_of(people).bake(row).layer
    both = baked.layer.known & head.known
    assert both.sum() > 8000
    assert np.abs(baked.layer.texture[both].astype(int) - head.texture[both]).mean() < 3


@pytest.mark.parametrize("person", list(YAWS))
def test_textures_of_each_kind_of_person(baker, truth, person):
    made, counts = person_textures(baker, rows_of(baker.labels, person), TextureDataOptions())
    kinds = {
        "Both_Sides": ["three", *["photo"] * 3],
        "One_Side": ["two", *["photo"] * 2],
        "In_Front": ["photo"],
        "Turned": ["photo"],
    }
    assert [texture.kind for texture in made] == kinds[person]
    assert counts["photo: kept"] == len(YAWS[person])
    assert sum(n for name, n in counts.items() if name.startswith("texture: ")) == len(made)
    for texture in made:
        assert texture.identity == person
        assert texture.texture.shape == (SIZE, SIZE, 3)
        assert not (texture.seen & (baker.part == NONE)).any()
        assert not (texture.hair & ~texture.seen).any()
        assert texture.hair[texture.seen & (baker.part == SCALP)].mean() > 0.9
        shown, expected = texture.texture[texture.seen].astype(float), truth[texture.seen]
        brightness = np.median(shown / np.maximum(expected, 1))  # photos of one person differ in it
        assert np.abs(shown - brightness * expected).mean() < 8
    if person == "Both_Sides":
        assert made[0].seen.sum() > made[1].seen.sum()


def test_photos_with_other_lighting_or_expression_are_not_joined(people):
    labels = people[1]
    rows = rows_of(labels, "One_Side")
    expression = labels.expression.copy()
    expression[rows[1], 20:45] = 0.3
    made, counts = person_textures(baker_of(people, expression=expression), rows, TextureDataOptions())
    assert "two" not in [texture.kind for texture in made]
    assert counts["pair: expression"] == 1
    made, counts = person_textures(baker_of(people), rows, TextureDataOptions(most_misfit=1e-6))
    assert counts["pair: light"] == 1
    assert [texture.kind for texture in made] == ["photo", "photo"]


def test_rejected_photos_have_a_reason(people):
    labels = people[1]
    row = rows_of(labels, "In_Front")[0]
    small = baker_of(people, scale=np.full(len(labels), 0.3, np.float32)).bake(row)
    away = baker_of(people, translation=labels.translation + np.float32(70)).bake(row)
    assert REJECTIONS[small.reason] == "small"
    assert REJECTIONS[away.reason] in ("covered", "little")


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
    (rows,) = plan(many, np.arange(len(many)), options, all_photos=True)
    assert len(rows) == len(many)
    turned = np.flatnonzero(np.abs(np.linspace(-50, 50, len(labels))) > 25)
    (rows,) = plan(many, turned, options)  # without a frontal photo, nothing is joined
    assert len(rows) == options.photos_per_person


# --- occlusion masks


def test_visible_texels_of_a_turned_head_are_on_the_visible_side(baker):
    shares = []
    for yaw in (0, 30, 60, 85):
        shown = baker.visible(baker.head_at(0, yaw, 0, 0.75))
        face = shown & (baker.part == FACE)
        shares.append(face.sum() / (baker.part == FACE).sum())
        right, left = shown[:, : SIZE // 2].sum(), shown[:, SIZE // 2 :].sum()
        assert right > 1.15 * left if yaw else 0.98 < right / left < 1.02
        assert not shown[baker.part == NONE].any()
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.55
    assert 0.1 < shares[3] < 0.4


def test_masks_depend_only_on_the_seed_and_hide_what_photos_refuse(baker):
    refused = np.zeros((SIZE, SIZE), bool)
    refused[:, SIZE // 3 : SIZE // 2] = True
    masks = draw_masks(baker, [0, 1], [refused, ~refused], np.random.default_rng(1), MaskOptions())
    assert masks.shape == (2, SIZE, SIZE)
    assert masks.any(axis=(1, 2)).all()
    assert not (masks[0] & refused).any()
    assert not (masks[1] & ~refused).any()
    again = draw_masks(baker, [0, 1], [refused, ~refused], np.random.default_rng(1), MaskOptions())
    assert np.array_equal(masks, again)


# --- classes of texels and skins


def test_hair_is_expected_as_known_then_as_mirrored_then_as_nearby():
    usual = np.zeros((64, 64), np.float32)
    usual[:24] = 0.9
    known, hair = np.zeros((2, 64, 64), bool)
    assert np.array_equal(expected_hair(hair, known, usual), usual > 0.5)
    known[10:40, 8:20] = hair[10:20, 8:20] = True
    expected = expected_hair(hair, known, usual)
    assert expected[known].tolist() == hair[known].tolist()
    assert np.array_equal(expected[:, ::-1][known], hair[known])
    assert not expected[40:].any()
    bald = expected_hair(np.zeros_like(hair), known, usual)
    assert not bald[:24].any()  # of the scalp, only bald parts are known


def test_skins_are_whole_textures_in_their_own_colours():
    head, count = head_atlas(SIZE), len(load_face_model().mean)
    colours = np.array([(200, 150, 130), (90, 60, 50)], np.uint8)
    lights = np.zeros((1, 16, 9, 3), np.float32)
    lights[..., 0, :] = 0.5  # half of the even light
    nothing = np.zeros((0,))
    skins = np.repeat(colours[:, None], count, 1)
    skins[1, load_face_model().regions["scalp"]] = 10
    assets = Assets(skins, np.array(["a", "b"]), lights, nothing, nothing, (), nothing)
    textures, hair, names = skin_textures(head.template, head.atlas, assets)
    assert textures.shape == (2 * LIGHTS, SIZE, SIZE, 3)
    assert names.tolist() == ["a"] * LIGHTS + ["b"] * LIGHTS
    bare = np.isin(head.part, (FACE, NECK))  # at the border of the scalp, colours of both are mixed
    for number, colour in ((0, colours[0]), (LIGHTS, colours[1])):
        assert (np.abs(textures[number][bare].astype(int) - colour).max(axis=1) <= 1).mean() > 0.95
    assert 0.6 < textures[1].mean() / textures[0].mean() < 0.8  # half of the light is 0.73 of the grey level
    assert not hair[:LIGHTS].any()
    assert not hair[LIGHTS:, head.part != SCALP].any()
    assert hair[LIGHTS:, head.part == SCALP].mean() > 0.9


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
        rng.random((4, 20, 20)) > 0.5,
        np.array(["three", "two", "photo", "skin"]),
        np.array(["A", "B", "C", "D"]),
        np.array(["training", "training", "validation", "test"]),
        rng.random((7, 20, 20)) > 0.5,
        rng.integers(0, 5, (20, 20)).astype(np.uint8),
    )
    given.save(tmp_path / "t.npz")
    got = read_textures(tmp_path / "t.npz")
    for name in TextureSet.__dataclass_fields__:
        assert np.array_equal(getattr(got, name), getattr(given, name)), name
    assert np.array_equal(got.region, given.part > 0)
    with pytest.raises(FileNotFoundError, match="facegeom prepare textures"):
        read_textures(tmp_path / "none.npz")
    np.savez(tmp_path / "old.npz", size=20, region=given.region)
    with pytest.raises(FacegeomError, match="make it again"):
        read_textures(tmp_path / "old.npz")


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
    assert textures.seen[:, textures.part == FACE].mean(axis=1).min() >= 0.35
    assert not (textures.seen & ~textures.region).any()
    assert not (textures.hair & ~textures.seen).any()
    assert counts["photo: kept"] > 0
