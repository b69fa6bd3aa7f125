"""Segmentation: crop, labels of portraits, drawn covers, synthetic heads, network, training and outlines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from facegeom import load_face_model
from facegeom.errors import FacegeomError, WeightsError
from facegeom.evaluation.segmentation import drawn_classes, read_polygons
from facegeom.face_model import FaceModel
from facegeom.geometry import rasterize
from facegeom.images.crop import apply_affine
from facegeom.networks.segmentation import Segmentation, SegmentationConfig, SegmentationNetwork, load_segmentation
from facegeom.networks.segmentation_crop import (
    BACKGROUND,
    CENTRE_MM,
    CLASSES,
    CLOTHES,
    COVER,
    EYEWEAR,
    FACIAL_HAIR,
    HEAD_HAIR,
    SKIN,
    head_affine,
)
from facegeom.networks.weights import save_weights
from facegeom.training.data.pose import Pose
from facegeom.training.data.split import split_names
from facegeom.training.loop import RunSettings
from facegeom.training.segmentation.covers import KINDS, Covers
from facegeom.training.segmentation.crops import (
    CHANGED,
    HEAD,
    PORTRAIT,
    STORED_PIXELS,
    PersonMasks,
    PortraitCrops,
    SegmentationCrops,
    listed,
)
from facegeom.training.segmentation.heads import SegmentationHeads
from facegeom.training.segmentation.portrait_labels import UNKNOWN, head_parts, portrait_labels, triangle_parts
from facegeom.training.segmentation.samples import SegmentationStream, centred
from facegeom.training.segmentation.train_segmentation import SegmentationTrainer, SegmentationTrainOptions, train
from facegeom.training.segmentation.validation import confusion, intersection_over_union

SMALL = SegmentationConfig(size=32, widths=(8, 8, 16))
SKIN_RGB, HAIR_RGB, CLOTHES_RGB, WALL_RGB = (205, 150, 125), (60, 40, 30), (40, 90, 160), (150, 165, 150)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


def roll(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])


def portrait(model: FaceModel, size: int = 144, *, bald: bool = False) -> tuple[np.ndarray, np.ndarray, Any]:
    """A drawn portrait of the mean head: image, true classes, and the mask of the person; skin with soft shading."""
    frame = 315.0
    pose = Pose(model.mean, np.eye(3), 1.0, np.zeros(2))
    affine = head_affine(pose.rotation, 1.0, pose.translation, size, frame)
    points = pose.pixels()
    points[:, :2] = apply_affine(affine, points[:, :2])
    raster = rasterize(points, model.faces, model.mean, (size, size))
    parts = triangle_parts(model)[raster.triangle]
    classes = np.full((size, size), BACKGROUND, np.uint8)
    cv2.ellipse(classes, (size // 2, size + 10), (60, 40), 0, 0, 360, CLOTHES, -1)
    if not bald:
        cv2.ellipse(classes, (size // 2, size // 2 - 14), (46, 52), 0, 0, 360, HEAD_HAIR, -1)
    head = raster.triangle >= 0
    classes[head & (parts != 4)] = SKIN
    classes[head & (parts == 4)] = SKIN if bald else HEAD_HAIR
    colours = np.zeros((len(CLASSES), 3))
    for at, colour in ((SKIN, SKIN_RGB), (HEAD_HAIR, HAIR_RGB), (CLOTHES, CLOTHES_RGB), (BACKGROUND, WALL_RGB)):
        colours[at] = colour
    noise = np.random.default_rng(0).normal(0, 5, (size, size, 1))
    ramp = np.linspace(0.9, 1.08, size)[None, :, None]
    image = np.clip(colours[classes] * ramp + noise, 0, 255).astype(np.uint8)
    return image, classes, head_parts(model, triangle_parts(model), pose, affine, size)


# The crop


@pytest.mark.parametrize("degrees", [0.0, 35.0, -120.0, 180.0])
def test_the_crop_is_upright_and_centred_from_any_roll(degrees: float) -> None:
    rotation, scale, place = roll(degrees), 1.7, np.array([321.0, 210.0])
    affine = head_affine(rotation, scale, place, 128, 256.0)

    def crop_of(point: np.ndarray) -> np.ndarray:
        seen = rotation @ point
        return apply_affine(affine, place[None] + scale * seen[None, :2] * (1.0, -1.0))[0]

    np.testing.assert_allclose(crop_of(CENTRE_MM), [63.5, 63.5], atol=1e-9)
    np.testing.assert_allclose(crop_of(CENTRE_MM + np.array([0, 20, 0])) - crop_of(CENTRE_MM), [0, -10], atol=1e-9)
    np.testing.assert_allclose(crop_of(CENTRE_MM + np.array([20, 0, 0])) - crop_of(CENTRE_MM), [10, 0], atol=1e-9)


# Labels of portraits


@pytest.mark.parametrize("bald", [False, True])
def test_colours_of_the_photo_give_its_classes(model: FaceModel, bald: bool) -> None:
    image, classes, head = portrait(model, bald=bald)
    person = (classes != BACKGROUND).astype(np.float32)
    found = portrait_labels(image, head, cv2.GaussianBlur(person, (0, 0), 2), np.ones(classes.shape, bool))
    known = found != UNKNOWN
    assert known.mean() > 0.8
    assert (found[known] == classes[known]).mean() > 0.97
    values = intersection_over_union(confusion(found, np.where(known, classes, UNKNOWN)))
    assert values["skin"] > 0.9
    assert not bald or not (found == HEAD_HAIR).any()


def test_pixels_outside_the_photo_are_unknown(model: FaceModel) -> None:
    image, classes, head = portrait(model)
    inside = np.ones(classes.shape, bool)
    inside[:, :30] = False
    found = portrait_labels(image, head, (classes != BACKGROUND).astype(np.float32), inside)
    assert (found[:, :30] == UNKNOWN).all()


def test_a_dark_chin_and_lip_are_facial_hair(model: FaceModel) -> None:
    image, classes, head = portrait(model)
    x, y = head.place[..., 0], head.place[..., 1]
    beard = (classes == SKIN) & (head.part == 1) & (y < -84) & (y > -112)
    beard |= (classes == SKIN) & (np.abs(x) < 30) & (y < -52) & (y > -62)
    dark = image.copy()
    dark[beard] = (70, 48, 40)
    person = (classes != BACKGROUND).astype(np.float32)
    everywhere = np.ones(classes.shape, bool)
    assert (portrait_labels(dark, head, person, everywhere)[beard] == FACIAL_HAIR).mean() > 0.5
    assert not (portrait_labels(image, head, person, everywhere) == FACIAL_HAIR).any()


# Covers and synthetic heads


@pytest.mark.parametrize("kind", KINDS)
def test_every_cover_is_drawn_in_front_of_the_head(model: FaceModel, kind: str) -> None:
    covers = Covers(model, [])
    pose = Pose(model.mean, np.eye(3), 1.0, np.zeros(2))
    affine = head_affine(pose.rotation, 1.0, pose.translation, 96)
    points = pose.pixels()
    points[:, :2] = apply_affine(affine, points[:, :2])
    depth = rasterize(points, model.faces, None, (96, 96)).depth
    head = np.isfinite(depth)
    shares = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        solid = getattr(covers, f"_{kind}")(model.mean, np.full(3, 180.0), rng)
        assert np.isfinite(solid.V).all()
        assert solid.F.max() < len(solid.V) == len(solid.colours)
        image = np.full((96, 96, 3), 77, np.float32)
        drawn = covers.paint(image, solid, pose, affine, depth, rng)
        assert drawn.image.min() > -1
        assert drawn.image.max() < 256
        free = cv2.dilate((drawn.share > 0).astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
        np.testing.assert_allclose(drawn.image[free], 77, atol=1)
        shares.append(float((drawn.share > 0.5)[head].mean()))
    assert max(shares) > 0.01
    assert max(shares) < 0.7


def test_synthetic_heads_have_the_classes_that_they_show(model: FaceModel) -> None:
    heads = SegmentationHeads(model, None, None, 315.0)
    seen = np.zeros(len(CLASSES), bool)
    for number in range(24):
        image, classes = heads.draw_classes(np.random.default_rng(number), 64)
        assert image.shape == (64, 64, 3)
        assert classes.shape == (64, 64)
        assert classes.max() < len(CLASSES)
        assert 0.05 < (classes == SKIN).mean() < 0.7 or (classes == COVER).any()
        seen[np.unique(classes)] = True
    assert seen.all()
    first, again = (heads.draw_classes(np.random.default_rng(3), 64) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


@pytest.fixture(scope="module")
def portraits(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> PortraitCrops:
    """One drawn portrait with its fit and its mask."""
    from facegeom.training.data.labels import Labels

    folder = tmp_path_factory.mktemp("portrait")
    image, classes, _ = portrait(model, 300)
    cv2.imwrite(str(folder / "person_0001.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    affine = head_affine(np.eye(3), 1.0, np.zeros(2), 300, 315.0)
    labels = Labels(
        np.array(["person_0001.png"]),
        np.zeros((1, 60), np.float16),
        np.zeros((1, len(model.expression)), np.float16),
        np.eye(3, dtype=np.float32)[None],
        np.array([affine[0, 0]], np.float32),
        affine[:, 2].astype(np.float32)[None],
        np.zeros(1, np.int8),
    )
    mask = cv2.resize((255 * (classes != BACKGROUND)).astype(np.uint8), (128, 128), interpolation=cv2.INTER_AREA)
    np.savez(folder / "masks.npz", names=labels.names, masks=mask[None])
    paths = {"person_0001.png": folder / "person_0001.png"}
    backgrounds = [np.full((48, 48, 3), 90, np.uint8)]
    return PortraitCrops(model, labels, PersonMasks(folder / "masks.npz"), paths, backgrounds)


def test_changed_copies_of_portraits_wear_what_their_classes_say(portraits: PortraitCrops) -> None:
    crop = portraits.crop(0)
    assert crop.image.shape == (STORED_PIXELS, STORED_PIXELS, 3)
    known = crop.classes != UNKNOWN
    assert known.mean() > 0.7
    changed = [portraits.changed(crop, np.random.default_rng(seed)) for seed in range(12)]
    found = {int(value) for _, classes in changed for value in np.unique(classes)}
    assert {EYEWEAR, COVER} <= found
    for image, classes in changed:
        same = known & (classes == crop.classes) & (np.abs(image.astype(int) - crop.image).max(axis=2) < 90)
        assert same.mean() > 0.3


def test_what_is_worn_on_the_head_is_no_hair(portraits: PortraitCrops) -> None:
    bare = portraits.crop(0)
    portraits.capped = frozenset(["person_0001"])
    try:
        capped = portraits.crop(0)
    finally:
        portraits.capped = listed("headgear")
    hair = bare.classes == HEAD_HAIR
    assert set(np.unique(capped.classes[hair])) == {COVER, UNKNOWN}


def test_listed_portraits_train(pytestconfig: pytest.Config) -> None:
    names = [f"{name}.jpg" for kind in ("headgear", "glasses") for name in listed(kind)]
    assert len(names) > 200
    split = split_names(sorted({*names, *(f"sfhq_{number:04d}.jpg" for number in range(2156))}))
    assert len(split.training) > 1000


# Network and training


def test_probabilities_sum_to_one_and_the_answer_moves_with_the_picture() -> None:
    torch.manual_seed(0)
    network = SegmentationNetwork(SMALL).train()
    network(torch.rand(8, 3, 32, 32) * 2 - 1)
    predictor = Segmentation(network, torch.device("cpu"))
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    found = predictor.predict(crops)
    assert found.shape == (3, 32, 32, len(CLASSES))
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(predictor.predict(crops[1:2])[0], found[1], atol=1e-5)
    with pytest.raises(ValueError, match="crops must be uint8"):
        predictor.predict(crops[..., 0])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    state = SegmentationNetwork(SMALL).state_dict()
    save_weights(tmp_path / "some.safetensors", replace(SMALL, widths=(8, 8, 8)), state)
    with pytest.raises(WeightsError, match="another version"):
        load_segmentation("cpu", tmp_path / "some.safetensors")


@pytest.fixture(scope="module")
def stored(model: FaceModel, portraits: PortraitCrops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a portrait, changed copies of it and heads."""
    folder = tmp_path_factory.mktemp("crops")
    crop = portraits.crop(0)
    made = [(crop.image, crop.classes)] + [portraits.changed(crop, np.random.default_rng(seed)) for seed in range(2)]
    heads = SegmentationHeads(model, None, None, 315.0)
    made += [heads.draw_classes(np.random.default_rng(number), STORED_PIXELS) for number in range(3)]
    np.save(folder / "images.npy", np.array([image for image, _ in made]))
    np.save(folder / "classes.npy", np.array([classes for _, classes in made]))
    kinds = np.array([PORTRAIT, CHANGED, CHANGED, HEAD, HEAD, HEAD], np.int8)
    np.savez(folder / "table.npz", kind=kinds, names=np.array([f"n{i}" for i in range(6)]))
    return folder


def test_samples_depend_on_seed_and_number_only(stored: Path) -> None:
    crops = SegmentationCrops.load(stored)
    whole, part = (SegmentationStream(crops, 64, 5, start, 8) for start in (0, 3))
    for number in range(3, 8):
        for one, other in zip(whole[number], part[number - 3], strict=True):
            assert torch.equal(one, other)
    image, classes = whole[0]
    assert image.shape == (3, 64, 64)
    assert classes.shape == (64, 64)
    assert set(np.unique(classes)) <= {*range(len(CLASSES)), UNKNOWN}


def test_the_centre_of_a_stored_crop_is_the_crop_of_the_network(stored: Path) -> None:
    crops = SegmentationCrops.load(stored)
    image, classes = centred(crops, 0, 128)
    np.testing.assert_array_equal(image, crops.images[0][8:136, 8:136])
    np.testing.assert_array_equal(classes, crops.classes[0][8:136, 8:136])


def test_missing_crops_are_named(tmp_path: Path) -> None:
    with pytest.raises(FacegeomError, match="prepare segmentation"):
        SegmentationCrops.load(tmp_path)


def test_a_step_reduces_the_loss_and_unknown_pixels_train_nothing() -> None:
    options = SegmentationTrainOptions(batch=4, images=400, warmup=1, learning_rate=1e-2, network=SMALL)
    trainer = SegmentationTrainer(options, torch.device("cpu"))
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    classes = (images[:, 0] > 128).long()
    losses = [trainer.train_step(images, classes)["cross_entropy"] for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    classes[:, :16] = UNKNOWN
    logits = torch.randn(4, len(CLASSES), 32, 32, requires_grad=True)
    trainer.loss(logits, classes).backward()
    assert logits.grad is not None
    assert (logits.grad[:, :, :16] == 0).all()
    assert before


def test_training_resumes_where_it_stopped(stored: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    options = SegmentationTrainOptions(batch=2, images=8, epoch_images=4, warmup=1, network=replace(SMALL, size=64))
    whole = train(stored, stored, options, RunSettings(tmp_path / "whole", workers=0))
    train(stored, stored, options, RunSettings(tmp_path / "parts", minutes=0.0, workers=0))
    for _ in range(4):
        resumed = train(stored, stored, options, RunSettings(tmp_path / "parts", workers=0))
    assert (tmp_path / "parts" / "segmentation.safetensors").is_file()
    lines = [json.loads(line) for line in (tmp_path / "parts" / "steps.jsonl").read_text().splitlines()]
    last = [line for line in lines if "heads/skin" in line][-1]
    assert whole["heads/skin"] == last["heads/skin"]
    assert not resumed or resumed["heads/skin"] == whole["heads/skin"]


# Measures and outlines


def test_intersection_over_union_counts_known_pixels() -> None:
    truth = np.array([[SKIN, SKIN, SKIN, HEAD_HAIR, UNKNOWN]], np.uint8)
    found = np.array([[SKIN, SKIN, HEAD_HAIR, HEAD_HAIR, COVER]], np.uint8)
    values = intersection_over_union(confusion(found, truth))
    assert values == {"skin": pytest.approx(2 / 3), "head_hair": pytest.approx(1 / 2)}


def test_later_outlines_are_drawn_over_earlier_ones() -> None:
    shapes = [
        {"class": "skin", "points": [0, 0, 100, 0, 100, 100, 0, 100]},
        {"class": "unknown", "points": [50, 0, 100, 0, 100, 100, 50, 100]},
        {"class": "eyewear", "points": [0, 50, 100, 50], "width": 10},
    ]
    found = drawn_classes(shapes, (40, 60))
    assert found[5, 10] == SKIN
    assert found[5, 50] == UNKNOWN
    assert found[20, 30] == EYEWEAR
    with pytest.raises(ValueError, match="class must be one of"):
        drawn_classes([{"class": "hat", "points": [0, 0, 1, 1, 0, 1]}], (9, 9))


def test_outlines_lie_in_photos_of_the_test_part() -> None:
    outlines = read_polygons()
    assert len(outlines) >= 12
    for shapes in outlines.values():
        for outline in shapes:
            points = np.array(outline["points"], float).reshape(-1, 2)
            assert points.min() >= 0
            assert points.max() <= 100
            assert len(points) >= (2 if "width" in outline else 3)
    assert {outline["class"] for shapes in outlines.values() for outline in shapes} >= {*CLASSES} - {"background"}
