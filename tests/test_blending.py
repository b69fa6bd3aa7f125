"""Blending of partial textures: matching of colours, layers, three views."""

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.texture.baking import Atlas, bake
from facegeom.texture.blending import Layer, match_colors, middle_third, overlay, three_views
from textured_head import box_of, draw, smooth_texture, turned

SIZE = 192


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def atlas(model):
    return Atlas(model.faces, model.uv, model.uv_faces, SIZE)


def test_three_constant_views_give_that_constant():
    constant = np.full((SIZE, SIZE, 3), (120, 80, 60), np.uint8)
    assert np.abs(three_views(constant, constant, constant).astype(int) - constant).max() <= 1


@pytest.mark.parametrize("size", [SIZE, 100, 131])
def test_three_equal_views_give_that_texture_without_a_shift(size):
    rng = np.random.default_rng(0)
    texture = np.clip(smooth_texture(size) + rng.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
    joined = three_views(texture, texture, texture)
    assert np.abs(joined.astype(int) - texture).max() <= 3
    shifted = np.roll(texture, 1, axis=1)
    assert np.abs(shifted.astype(int) - texture).mean() > 5  # the tolerance above is smaller than a shift of one texel


def test_each_third_of_the_texture_comes_from_its_view():
    rng = np.random.default_rng(0)
    base = smooth_texture(SIZE)
    views = [np.clip(base + rng.normal(0, 10, base.shape), 0, 255).astype(np.uint8) for _ in range(3)]
    joined = three_views(*views)
    middle = middle_third(SIZE)
    assert (middle.start, middle.stop) == (64, 128)
    for view, part in zip(views, (slice(2, 62), slice(68, 124), slice(130, 190)), strict=True):
        own = joined[4:-4, part].astype(float) - base[4:-4, part]
        assert np.corrcoef(own.ravel(), (view - base)[4:-4, part].ravel())[0, 1] > 0.9


def test_views_of_different_brightness_join_without_a_seam():
    base = smooth_texture(SIZE)
    views = [np.clip(base + shift, 0, 255).astype(np.uint8) for shift in (10, 0, -10)]
    joined = three_views(*views).astype(float)
    for column in (64, 96, 128):
        step = np.abs(joined[4:-4, column] - joined[4:-4, column - 1]) - np.abs(
            base[4:-4, column] - base[4:-4, column - 1]
        )
        assert step.mean() < 1.5


def test_views_of_a_rendered_head_join_to_its_texture(model, atlas):
    """Three photos of one head in different light give its texture at all texels that one of them shows."""
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
    assert np.abs(out - np.clip(base, 0, 255))[~known].mean() < 3  # the difference between the layers was subtracted
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
