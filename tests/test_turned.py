"""Photos whose head is turned: hidden parts of the head, hair around it, and the background."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom.face_model import load_face_model
from facegeom.geometry import vertex_normals
from facegeom.images.crop import warp_image
from facegeom.training.data.pose import Pose
from facegeom.training.data.renderer import Renderer
from facegeom.training.data.turned import Surroundings, fill_hidden, spread, visibility

MODEL = load_face_model()
SIZE = 256
POSE = Pose(MODEL.mean, np.eye(3), 0.7, np.array([128.0, 120.0]))
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
OUTER = np.flatnonzero(MODEL.regions["head"])
WALL, SKIN, HAIR = (40, 90, 160), (200, 150, 120), (30, 20, 10)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A head of one colour, with a block of hair beside its right ear, before a wall of one colour."""
    from facegeom.geometry import rasterize

    picture = np.full((SIZE, SIZE, 3), WALL, np.uint8)
    picture[80:160, 50:80] = HAIR  # the head begins at column 63
    picture[rasterize(POSE.pixels(), MODEL.faces, None, (SIZE, SIZE)).triangle >= 0] = SKIN
    return picture


def test_spread_keeps_known_pixels_and_fills_the_others_from_the_nearest() -> None:
    image = np.zeros((32, 48, 3), np.float32)
    image[:, :10], image[:, 38:] = (200, 0, 0), (0, 0, 200)
    weight = np.zeros((32, 48), np.float32)
    weight[:, :10] = weight[:, 38:] = 1
    filled = spread(image, weight)
    np.testing.assert_allclose(filled[weight == 1], image[weight == 1])
    assert filled[16, 14, 0] > 150 > 50 > filled[16, 14, 2]
    assert filled[16, 33, 2] > 150 > 50 > filled[16, 33, 0]
    np.testing.assert_allclose(spread(np.full((7, 5, 3), 9, np.float32), np.zeros((7, 5), np.float32) + 0.5), 9)


def test_the_middle_of_the_face_is_visible_and_its_outline_is_not() -> None:
    facing = vertex_normals(MODEL.mean, MODEL.faces)[:, 2]
    seen = visibility(POSE.pixels(), MODEL.faces, facing, POSE.scale)
    assert seen[MODEL.landmarks68[30]] == 1  # the tip of the nose
    assert not seen[MODEL.mean[:, 2] < -110].any()  # the back of the head
    widest = np.abs(MODEL.mean[:, 0]) > 88  # the outer edges of the ears
    assert seen[widest].max() < 0.35


def test_hidden_scalp_takes_the_colour_of_hair_and_hidden_skin_that_of_skin() -> None:
    head = np.ones((64, 64), bool)
    seen = np.zeros((64, 64), np.float32)
    seen[:, :32] = 1
    scalp = np.zeros((64, 64), np.float32)
    scalp[:32] = 1
    image = np.full((64, 64, 3), 255, np.float32)
    image[:32, :32], image[32:, :32] = HAIR, SKIN
    flat = np.full((64, 64), 0.5, np.float32)
    filled = fill_hidden(image, head, seen, 0 * seen, scalp, flat)
    np.testing.assert_allclose(filled[:, :32], image[:, :32], atol=1e-3)
    assert np.abs(filled[:30, 34:] - HAIR).max() < 15
    assert np.abs(filled[34:, 34:] - SKIN).max() < 3
    outside = fill_hidden(image, np.zeros((64, 64), bool), seen, 0 * seen, scalp, flat)
    np.testing.assert_array_equal(outside, image)


def test_hair_like_the_background_keeps_its_colour() -> None:
    """Where all of the scalp looks like background, it is hair of that colour and not skin."""
    head, seen, scalp = np.ones((64, 64), bool), np.ones((64, 64), np.float32), np.zeros((64, 64), np.float32)
    scalp[:32] = 1
    image = np.full((64, 64, 3), SKIN, np.float32)
    image[:32] = HAIR
    filled = fill_hidden(image, head, seen, scalp, scalp, np.full((64, 64), 0.5, np.float32))
    np.testing.assert_allclose(filled[:30], image[:30], atol=1)


def test_the_background_stays_and_the_head_leaves_it(photo: np.ndarray) -> None:
    around = Surroundings(photo, POSE.pixels()[OUTER, :2], POSE).turned(POSE.turned(60), IDENTITY, SIZE)
    far = np.ones((SIZE, SIZE), bool)
    far[:, 20:230] = False
    np.testing.assert_allclose(around[far], np.broadcast_to(WALL, around[far].shape), atol=1)
    head = MODEL.regions["head"] & (MODEL.mean[:, 1] > -40)
    columns, rows = np.rint(POSE.pixels()[head, :2]).astype(int).T
    skin = np.abs(around[rows, columns] - SKIN).max(1) < 20
    assert skin.mean() < 0.02


def test_hair_beside_the_head_turns_with_it(photo: np.ndarray) -> None:
    """Hair at x = -100, z = -75 mm is at x = -7 mm after a yaw of -50 degrees, and at x = -122 after one of 50."""
    for yaw, left, right in ((-50.0, -60, 20), (0.0, -115, -85), (50.0, -135, -100)):
        target = POSE.turned(yaw)
        around = Surroundings(photo, POSE.pixels()[OUTER, :2], POSE).turned(target, IDENTITY, SIZE)
        hair = np.abs(around - HAIR).max(2) < 30
        assert hair.sum() > 100, yaw
        x = (np.nonzero(hair)[1].mean() - 128) / 0.7
        assert left < x < right, yaw


def test_a_head_that_hardly_turns_looks_like_the_photo(photo: np.ndarray) -> None:
    renderer = Renderer(MODEL)
    still = renderer.render_turned(photo, POSE, POSE.turned(0.01), IDENTITY, SIZE)
    shown = warp_image(photo, IDENTITY, SIZE)
    inner = still.mask & (np.abs(shown.astype(int) - SKIN).max(2) < 5)
    assert np.abs(still.image[inner].astype(int) - shown[inner]).mean() < 4
    assert inner.sum() > 10_000


def test_the_back_of_a_turned_head_has_no_background_on_it(photo: np.ndarray) -> None:
    renderer = Renderer(MODEL)
    for yaw in (-80.0, 80.0):
        target = POSE.turned(yaw)
        image = renderer.render_turned(photo, POSE, target, IDENTITY, SIZE).image.astype(int)
        from facegeom.geometry import rasterize

        head = rasterize(target.pixels(), MODEL.faces, None, (SIZE, SIZE)).triangle >= 0
        rows = np.arange(SIZE)[:, None] < 150  # above the neck
        wall = (np.abs(image - WALL).max(2) < 40) & head & rows
        assert wall.sum() < 0.02 * (head & rows).sum(), yaw
