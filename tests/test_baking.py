"""Baking of photos into an atlas, and the filling of unknown texels, tested on known textures."""

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.images.camera import Camera
from facegeom.texture.baking import Atlas, bake, fill_smoothly, sample
from textured_head import box_of, draw, smooth_texture, turned

SIZE = 192
SQUARE = np.array([[-50, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0.0]])
SQUARE_FACES = np.array([[0, 1, 2], [0, 2, 3]])
SQUARE_UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def atlas(model):
    return Atlas(model.faces, model.uv, model.uv_faces, SIZE)


def test_texel_positions_follow_the_uv_coordinates():
    atlas = Atlas(SQUARE_FACES, SQUARE_UV, SQUARE_FACES, 64)
    u = (np.arange(64) + 0.5) / 64
    image = atlas.image(atlas.carry(SQUARE_UV))
    assert atlas.covered.all()
    np.testing.assert_allclose(image[..., 0], np.tile(u, (64, 1)), atol=1e-6)
    np.testing.assert_allclose(image[..., 1], np.tile(1 - u[:, None], (1, 64)), atol=1e-6)


def test_the_face_models_atlas_is_symmetric(model, atlas):
    assert np.array_equal(atlas.covered, atlas.covered[:, ::-1])
    place = atlas.image(atlas.carry(model.mean))
    skin = atlas.region(np.arange(len(model.mean)) < model.face_vertex_count)
    both = skin & skin[:, ::-1]
    assert np.abs(place[both] - (place[:, ::-1] * (-1, 1, 1))[both]).max() < 0.5


def test_the_gutter_is_the_nearest_texel():
    uv = SQUARE_UV * 0.5 + 0.25
    atlas = Atlas(SQUARE_FACES, uv, SQUARE_FACES, 32)
    inside = np.zeros((32, 32), bool)
    inside[8:24, 8:24] = True
    assert np.array_equal(atlas.covered, inside)
    columns = np.tile(np.arange(32), (32, 1))
    assert np.array_equal(atlas.fill_gutter(columns), np.clip(columns, 8, 23))


@pytest.mark.parametrize("size", [16, 2048])
def test_the_smallest_and_the_largest_atlas_are_baked(size):
    photo = np.full((300, 300, 3), 77, np.uint8)
    atlas = Atlas(SQUARE_FACES, SQUARE_UV, SQUARE_FACES, size)
    baked = bake(atlas, photo, turned(0, side=300), SQUARE, np.ones((64, 64), bool), box_of(300))
    assert baked.known.all()
    assert (baked.texture == 77).all()


def test_a_plane_is_baked_without_a_shift():
    """The photo is a gradient, so that a colour tells the position in the photo from which it was sampled."""
    rows, columns = np.indices((240, 240))
    photo = np.dstack([columns, rows, (columns + rows) // 2]).astype(np.uint8)
    camera = Camera(np.eye(3), 2.0, (119.25, 118.5))
    atlas = Atlas(SQUARE_FACES, SQUARE_UV, SQUARE_FACES, 512)  # finer than the photo: 0.39 pixels a texel
    baked = bake(atlas, photo, camera, SQUARE, np.ones((128, 128), bool), box_of(240))
    x = (np.arange(512) + 0.5) / 512 * 200 - 100 + 119.25
    assert baked.known.all()
    assert np.abs(baked.texture[..., 0] - x).max() <= 0.51
    assert np.abs(baked.texture[..., 1] - (x - 119.25 + 118.5)[:, None]).max() <= 0.51


@pytest.mark.parametrize("size", [16, 64, 128])
def test_a_photo_finer_than_the_atlas_does_not_alias(size):
    """Stripes one pixel wide are averaged; sampling every second pixel would give one of the two colours."""
    photo = np.zeros((512, 512, 3), np.uint8)
    photo[:, ::2] = 200
    camera = Camera(np.eye(3), 5.0, (255.5, 255.5))
    atlas = Atlas(SQUARE_FACES, SQUARE_UV, SQUARE_FACES, size)
    baked = bake(atlas, photo, camera, SQUARE, np.ones((64, 64), bool), box_of(512))
    assert np.abs(baked.texture[baked.known].astype(int) - 100).max() <= 12


def test_stripes_as_wide_as_texels_are_kept():
    photo = np.zeros((400, 400, 3), np.uint8)
    photo[:, ::2] = 200
    camera = Camera(np.eye(3), 4.0, (199.5, 199.5))  # one texel per pixel
    atlas = Atlas(SQUARE_FACES, SQUARE_UV, SQUARE_FACES, 400)
    baked = bake(atlas, photo, camera, SQUARE, np.ones((64, 64), bool), box_of(400))
    inner = baked.known.copy()
    assert np.array_equal(baked.texture[inner], photo[inner])


def test_samples_are_averages_of_whole_blocks():
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    got = sample(photo, np.array([[3.5, 3.5], [11.5, 3.5]], np.float32), np.full(2, 8.0, np.float32))
    np.testing.assert_allclose(got, [photo[:8, :8].mean((0, 1)), photo[:8, 8:].mean((0, 1))], atol=0.51)


def test_texels_outside_mask_or_photo_or_at_grazing_angles_are_unknown():
    photo = np.full((200, 200, 3), 90, np.uint8)
    atlas = Atlas(SQUARE_FACES, SQUARE_UV, SQUARE_FACES, 100)
    camera = Camera(np.eye(3), 2.0, (99.5, 99.5))
    mask = np.zeros((200, 200), bool)
    mask[:, :100] = True
    known = bake(atlas, photo, camera, SQUARE, mask, box_of(200)).known
    columns = np.flatnonzero(known.any(axis=0))
    assert columns.max() == 48  # texel j: pixels 2j, 2j + 1; the mask ends at 99, two are left out
    moved = Camera(np.eye(3), 2.0, (149.5, 99.5))  # half of the square is outside the photo
    assert np.flatnonzero(bake(atlas, photo, moved, SQUARE, ~mask | mask, box_of(200)).known.any(axis=0)).max() < 75
    for yaw, expected in ((65, True), (80, False), (100, False)):
        found = bake(atlas, photo, turned(yaw, 1.5, 200), SQUARE, ~mask | mask, box_of(200))
        assert found.known.any() == expected
        assert (found.seen[~found.known] == 0).all()
        assert (found.texture[~found.known] == 0).all()


def test_texels_behind_a_nearer_surface_are_unknown():
    front = SQUARE * (0.5, 0.5, 1) + (0, 0, 20)
    V = np.concatenate([SQUARE, front])
    uv = np.concatenate([SQUARE_UV * (0.5, 1), SQUARE_UV * (0.5, 1) + (0.5, 0)])
    faces = np.concatenate([SQUARE_FACES, SQUARE_FACES + 4])
    atlas = Atlas(faces, uv, faces, 128)
    photo = np.full((300, 300, 3), 50, np.uint8)
    known = bake(atlas, photo, turned(0, 2.5, 300), V, np.ones((150, 150), bool), box_of(300)).known
    assert known[:, 64:].all()
    assert not known[34:94, 18:46].any()
    assert known[:25, :60].mean() > 0.9
    assert known[:, :8].mean() > 0.9


@pytest.mark.parametrize("yaw", [0, 25, -50])
def test_baking_a_rendered_head_recovers_its_texture(model, atlas, yaw):
    texture = smooth_texture(SIZE, seed=1)
    camera = turned(yaw)
    photo, shown = draw(model, atlas, texture, camera)
    baked = bake(atlas, photo, camera, model.mean, shown, box_of(400))
    skin = baked.known & atlas.region(np.arange(len(model.mean)) < model.face_vertex_count)
    assert skin.mean() > 0.2
    difference = np.abs(baked.texture.astype(float) - np.clip(texture, 0, 255))[skin].max(axis=1)
    assert np.percentile(difference, 98) < 6.5
    right, left = skin[:, : SIZE // 2].sum(), skin[:, SIZE // 2 :].sum()
    if yaw:
        assert (right > 1.2 * left) == (yaw > 0)  # turned to the subject's left: the right side is seen


def test_baking_reports_bad_input(atlas, model):
    photo, mask = np.zeros((64, 64, 3), np.uint8), np.ones((8, 8), bool)
    camera = turned(0)
    with pytest.raises(ValueError, match="V must have the"):
        bake(atlas, photo, camera, model.mean[:10], mask, (0, 0, 9, 9))
    with pytest.raises(ValueError, match="mask must be square"):
        bake(atlas, photo, camera, model.mean, mask[:4], (0, 0, 9, 9))
    with pytest.raises(ValueError, match="box"):
        bake(atlas, photo, camera, model.mean, mask, (9, 0, 0, 9))
    for size, message in ((15, "at least 16"), (2049, "at most 2048")):
        with pytest.raises(ValueError, match=message):
            Atlas(SQUARE_FACES, SQUARE_UV, SQUARE_FACES, size)
    with pytest.raises(ValueError, match="cover no texel"):
        Atlas(SQUARE_FACES, SQUARE_UV * 1e-4, SQUARE_FACES, 16)


def test_a_photo_without_the_mesh_bakes_no_texel(atlas, model):
    baked = bake(atlas, np.zeros((64, 64, 3), np.uint8), turned(0), model.mean, np.zeros((8, 8), bool), (0, 0, 9, 9))
    assert not baked.known.any()
    assert not baked.texture.any()


def test_a_smooth_fill_keeps_constants_and_known_texels():
    rng = np.random.default_rng(0)
    known = rng.random((100, 75)) > 0.7
    known[30:70, 20:50] = False
    assert np.abs(fill_smoothly(np.full((100, 75, 3), 88.0), known) - 88).max() < 1e-3
    values = rng.uniform(0, 255, (100, 75, 3)).astype(np.float32)
    filled = fill_smoothly(values, known)
    assert np.array_equal(filled[known], values[known])
    low, high = values[known].min(axis=0), values[known].max(axis=0)
    assert (filled >= low - 1e-3).all()
    assert (filled <= high + 1e-3).all()
    with pytest.raises(ValueError, match="known texel"):
        fill_smoothly(values, np.zeros((100, 75), bool))
