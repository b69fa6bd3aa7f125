"""Baking, blending and occluders, tested on known textures."""

import cv2
import numpy as np
import pytest

from facegeom import geometry, load_face_model
from facegeom.errors import WeightsError
from facegeom.images.camera import Camera
from facegeom.texture.baking import Atlas, bake, fill_smoothly, sample
from facegeom.texture.blending import Layer, match_colors, middle_third, overlay, three_views
from facegeom.texture.occluders import OccluderOptions, TextureStatistics, load_statistics, occluders, read_statistics

SIZE = 192
SQUARE = np.array([[-50, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0.0]])
SQUARE_FACES = np.array([[0, 1, 2], [0, 2, 3]])
SQUARE_UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])


def turned(yaw, scale=2.0, side=400):
    y = np.radians(yaw)
    rotation = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return Camera(rotation, scale, (side / 2, side / 2))


def smooth_texture(size, seed=0):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.uniform(40, 220, (6, 6, 3)), (size, size), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def atlas(model):
    return Atlas(model.faces, model.uv, model.uv_faces, SIZE)


def draw(model, atlas, texture, camera, side=400):
    """The model's head with a texture, lit by nothing, and the mask of what a network would call face."""
    points = np.column_stack([camera.project(model.mean), camera.view(model.mean)[:, 2]])
    corners = points[model.faces.ravel()]
    uv = model.uv[model.uv_faces.ravel()] * (1, -1) + (0, 1)
    raster = geometry.rasterize(corners, np.arange(len(corners)).reshape(-1, 3), uv, (side, side))
    place = (np.nan_to_num(raster.attributes) * len(texture) - 0.5).astype(np.float32)
    photo = cv2.remap(texture.astype(np.float32), place[..., 0], place[..., 1], cv2.INTER_LINEAR)
    head = raster.triangle >= 0
    shown = head & model.regions["map"][model.faces].all(axis=1)[raster.triangle]
    photo = np.where(head[..., None], np.clip(photo, 0, 255), 0)
    return np.rint(photo).astype(np.uint8), shown


def box_of(side):
    return (-0.5, -0.5, side - 0.5, side - 0.5)


# --- the atlas


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


# --- baking


def test_a_plane_is_baked_without_a_shift():
    """A gradient across the photo comes back where the texel's point falls, to a hundredth of a pixel."""
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
    """Stripes of one pixel come out as their mean however coarse the atlas; every second pixel would be all or none."""
    photo = np.zeros((512, 512, 3), np.uint8)
    photo[:, ::2] = 200
    camera = Camera(np.eye(3), 5.0, (255.5, 255.5))
    atlas = Atlas(SQUARE_FACES, SQUARE_UV, SQUARE_FACES, size)
    baked = bake(atlas, photo, camera, SQUARE, np.ones((64, 64), bool), box_of(512))
    assert np.abs(baked.texture[baked.known].astype(int) - 100).max() <= 12


def test_stripes_as_wide_as_texels_are_kept():
    photo = np.zeros((400, 400, 3), np.uint8)
    photo[:, ::2] = 200
    camera = Camera(np.eye(3), 4.0, (199.5, 199.5))  # a texel a pixel
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
    assert columns.max() == 48  # texel j covers pixels 2j, 2j + 1; the mask's last is 99, its last two are off
    moved = Camera(np.eye(3), 2.0, (149.5, 99.5))  # half of it beyond the photo
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
    assert np.percentile(difference, 98) < 6
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


# --- filling


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


# --- blending


def test_three_views_of_a_constant_are_that_constant():
    constant = np.full((SIZE, SIZE, 3), (120, 80, 60), np.uint8)
    assert np.abs(three_views(constant, constant, constant).astype(int) - constant).max() <= 1


@pytest.mark.parametrize("size", [SIZE, 100, 131])
def test_three_views_of_one_texture_are_that_texture_without_a_shift(size):
    rng = np.random.default_rng(0)
    texture = np.clip(smooth_texture(size) + rng.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
    joined = three_views(texture, texture, texture)
    assert np.abs(joined.astype(int) - texture).max() <= 3
    shifted = np.roll(texture, 1, axis=1)
    assert np.abs(shifted.astype(int) - texture).mean() > 5  # a shift of a texel would show


def test_each_third_comes_from_its_view():
    rng = np.random.default_rng(0)
    base = smooth_texture(SIZE)
    views = [np.clip(base + rng.normal(0, 10, base.shape), 0, 255).astype(np.uint8) for _ in range(3)]
    joined = three_views(*views)
    middle = middle_third(SIZE)
    assert (middle.start, middle.stop) == (64, 128)
    for view, part in zip(views, (slice(2, 62), slice(68, 124), slice(130, 190)), strict=True):
        own = joined[4:-4, part].astype(float) - base[4:-4, part]
        assert np.corrcoef(own.ravel(), (view - base)[4:-4, part].ravel())[0, 1] > 0.9


def test_a_seam_between_views_of_other_brightness_disappears():
    base = smooth_texture(SIZE)
    views = [np.clip(base + shift, 0, 255).astype(np.uint8) for shift in (10, 0, -10)]
    joined = three_views(*views).astype(float)
    for column in (64, 96, 128):
        step = np.abs(joined[4:-4, column] - joined[4:-4, column - 1]) - np.abs(
            base[4:-4, column] - base[4:-4, column - 1]
        )
        assert step.mean() < 1.5


def test_views_of_a_rendered_head_join_to_its_texture(model, atlas):
    """Three photos of one textured head, each of another colour, give that texture wherever one of them shows it."""
    texture = np.clip(smooth_texture(SIZE, seed=3), 0, 255)
    layers = []
    for yaw, gain in ((35, 0.85), (0, 1.0), (-35, 1.1)):
        camera = turned(yaw)
        photo, shown = draw(model, atlas, texture, camera)
        photo = np.clip(np.rint(photo * gain), 0, 255).astype(np.uint8)
        baked = bake(atlas, photo, camera, model.mean, shown, box_of(400))
        layers.append(Layer(baked.texture, baked.known))
    left, center, right = layers
    matched = [match_colors(side, center) for side in (left, right)]
    assert max(m.misfit for m in matched) < 0.05
    left, right = (m.layer for m in matched)
    joined = three_views(*(overlay([own, center, left, right]) for own in (left, center, right)))
    skin = atlas.region(np.arange(len(model.mean)) < model.face_vertex_count)
    shown = skin & (left.known | center.known | right.known)
    difference = np.abs(joined.astype(float) - texture)[shown]
    assert difference.mean() < 4
    assert np.percentile(difference, 95) < 12


def test_colors_are_matched_by_the_median_ratio():
    rng = np.random.default_rng(0)
    texture = rng.integers(60, 120, (64, 64, 3)).astype(np.uint8)
    known = np.ones((64, 64), bool)
    darker = np.clip(texture * (0.7, 0.8, 0.9), 0, 255).astype(np.uint8)
    darker[:10] = 0  # a shadow over less than half
    matched = match_colors(Layer(darker, known), Layer(texture, known))
    assert np.abs(matched.layer.texture[12:].astype(int) - texture[12:]).mean() < 2
    assert matched.misfit < 0.03
    nothing = match_colors(Layer(darker, ~known), Layer(texture, known))
    assert nothing.misfit == np.inf


def test_an_overlay_keeps_known_texels_without_a_visible_border():
    base = smooth_texture(SIZE)
    known = np.zeros((SIZE, SIZE), bool)
    known[:, :110] = True
    first = Layer(np.clip(base, 0, 255).astype(np.uint8), known)
    second = Layer(np.clip(base + 20, 0, 255).astype(np.uint8), ~known | np.roll(known, -60, axis=1))
    out = overlay([first, second]).astype(float)
    assert np.array_equal(out[known], first.texture[known])
    assert np.abs(out - np.clip(base, 0, 255))[~known].mean() < 3  # moved by the difference between the layers
    assert np.abs(np.diff(out, axis=1)[:, 109] - np.diff(base, axis=1)[:, 109]).mean() < 2


def test_blending_reports_bad_input():
    texture, known = np.zeros((32, 32, 3), np.uint8), np.ones((32, 32), bool)
    with pytest.raises(ValueError, match="square of one size"):
        three_views(texture, texture, texture[:, :16])
    with pytest.raises(ValueError, match=r"layers\[1\]"):
        overlay([Layer(texture, known), Layer(texture[:16], known[:16])])
    with pytest.raises(ValueError, match="at least one"):
        overlay([])
    with pytest.raises(ValueError, match="known texel"):
        overlay([Layer(texture, ~known)])


# --- occluders


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
