"""Teeth: closed rows with their borders in the gums, behind closed lips, painted with a line of gum and with enamel."""

from itertools import pairwise

import numpy as np
import pytest

from facegeom import geometry, load_face_model
from facegeom.face_model.blendshapes import template_blendshapes
from facegeom.face_model.file_atlas import TEETH_BOX
from facegeom.face_model.teeth import MILK_TEETH, childhood, find_teeth, milk_teeth, template_teeth
from facegeom.face_model.template import load_template
from facegeom.geometry.boundary import boundary_loops
from facegeom.texture.mouth import MouthLight
from facegeom.texture.teeth import teeth_picture

MODEL = load_face_model()
TEETH = MODEL.faces[MODEL.regions["teeth"][MODEL.faces].all(axis=1)]
GUMS = MODEL.faces[MODEL.regions["gums_and_tongue"][MODEL.faces].all(axis=1)]
FRONT = 6  # teeth of a row on each side, from the middle, that an open mouth shows


def heads(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [MODEL.mean, *(MODEL.vertices(rng.normal(0.0, 1.0, 50)) for _ in range(count))]


def rows_of_teeth() -> list[list[np.ndarray]]:
    """Return the vertices of the front teeth of each row, from the right to the left."""
    lower = MODEL.expression[MODEL.expression_names.index("jawOpen"), :, 1] < -2.0
    number, teeth = find_teeth(MODEL.mean, TEETH, lower)
    rows = []
    for up in (-1.0, 1.0):
        own = [k for k, tooth in enumerate(teeth) if tooth.up == up and tooth.number < FRONT]
        own.sort(key=lambda k: teeth[k].centre[0])
        rows.append([np.intersect1d(np.flatnonzero(number == k), TEETH) for k in own])
    assert [len(row) for row in rows] == [2 * FRONT, 2 * FRONT]
    return rows


def above_gums(V: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the height of points above the gums, mm."""
    found = geometry.closest_points(V, GUMS, points)
    corners = GUMS[found.face]
    normal = np.einsum("qc,qcd->qd", found.weights, geometry.vertex_normals(V, GUMS)[corners])
    away = points - np.einsum("qc,qcd->qd", found.weights, V[corners])
    return np.copysign(found.distance, np.einsum("qd,qd->q", away, normal))


@pytest.mark.parametrize("V", heads(4))
def test_there_is_no_gap_between_neighbouring_teeth(V: np.ndarray) -> None:
    for row in rows_of_teeth():
        for first, second in pairwise(row):
            across = V[second].mean(axis=0) - V[first].mean(axis=0)
            across[1] = 0.0
            across /= np.linalg.norm(across)
            assert (V[second] @ across).min() < (V[first] @ across).max()


def test_the_borders_of_teeth_are_in_the_gums() -> None:
    loops = [loop for loop in boundary_loops(TEETH) if MODEL.mean[loop, 2].mean() > 5.0]
    assert len(loops) == 16
    for loop in loops:
        outer = loop[MODEL.mean[loop, 2] > MODEL.mean[loop, 2].mean()]
        assert above_gums(MODEL.mean, MODEL.mean[outer]).max() < -0.4


def test_the_borders_of_teeth_are_no_zigzag() -> None:
    for loop in boundary_loops(TEETH):
        P = MODEL.mean[loop] - MODEL.mean[loop].mean(axis=0)
        off = P @ np.linalg.svd(P)[2][2]
        assert np.sqrt((off**2).mean()) < 0.6


@pytest.mark.parametrize("V", heads(4))
def test_closed_lips_hide_the_teeth_and_do_not_cross_them(V: np.ndarray) -> None:
    skin = MODEL.faces[: MODEL.face_triangle_count]
    used = np.unique(TEETH)
    front = used[V[used, 2] > V[used, 2].max() - 8.0]
    low, scale, side = V[front].min(axis=0) - 2.0, 8.0, 400
    points = (V - (low[0], low[1], 0.0)) * (scale, scale, 1.0)
    teeth, cover = (geometry.rasterize(points, faces, None, (side, side)) for faces in (TEETH, skin))
    both = (teeth.triangle >= 0) & np.isin(cover.triangle, np.flatnonzero(MODEL.regions["lips"][skin].any(axis=1)))
    assert both.sum() > 1000
    assert (cover.depth - teeth.depth)[both].min() > 0.0


def test_the_picture_has_enamel_gum_and_dark_gaps() -> None:
    template, light = load_template(), MouthLight(np.ones(3), np.array([238.0, 232.0, 222.0]))
    picture = teeth_picture(template, 1024, light).astype(float)
    rows, columns = TEETH_BOX.texels(1024)
    assert picture.shape == (rows.stop - rows.start, columns.stop - columns.start, 3)
    redness = picture[..., 0] - picture[..., 1]
    assert 0.15 < (redness > 40).mean() < 0.75  # gum
    assert ((redness < 20) & (picture.mean(axis=2) > 180)).mean() > 0.05  # enamel of front teeth
    assert np.abs(picture - picture[:, ::-1]).mean() < 4.0
    half = teeth_picture(template, 1024, MouthLight(np.full(3, 0.5), light.edge / 2)).astype(float)
    np.testing.assert_allclose(half, picture / 2, atol=1.0)


@pytest.mark.parametrize("size", [16, 100, 333])
def test_pictures_of_all_sizes_fill_their_rectangle(size: int) -> None:
    picture = teeth_picture(load_template(), size, MouthLight(np.ones(3), np.full(3, 200.0)))
    rows, columns = TEETH_BOX.texels(size)
    assert picture.shape == (rows.stop - rows.start, columns.stop - columns.start, 3)
    assert picture.min() > 5


def test_lower_teeth_follow_the_jaw_as_a_whole() -> None:
    template = load_template()
    jaw = template_blendshapes(template)["jawOpen"][template.fine.regions["teeth"]]
    moved = jaw[:, 1] < -1.0
    assert 0.3 < moved.mean() < 0.7
    assert np.abs(jaw[~moved]).max() < 0.3


def test_faces_with_high_chin_and_nose_are_those_of_small_children() -> None:
    points = MODEL.mean[MODEL.landmarks68_multipie]
    assert childhood(points) == 0.0
    child = points.copy()
    child[[8, 33], 1] *= 0.77
    assert childhood(child) == 1.0
    assert childhood(0.6 * child) == 1.0  # whatever the size
    shares = [childhood((1 - t) * points + t * child) for t in np.linspace(0.0, 1.0, 11)]
    assert shares == sorted(shares)


def test_milk_teeth_are_shorter_and_only_ten_are_white() -> None:
    template = load_template()
    motion, (number, teeth) = milk_teeth(template), template_teeth(template)
    others = ~template.fine.regions["teeth"]
    assert not motion[others].any()
    for k, tooth in enumerate(teeth):
        own = motion[(number == k) & ~others, 1] * tooth.up
        assert own.min() >= 0.0
        assert (own.max() > 4.0) == (tooth.number >= MILK_TEETH)
        assert own.max() > 1.5
    light = MouthLight(np.ones(3), np.array([238.0, 232.0, 222.0]))
    white = []
    for child in (0.0, 0.5, 1.0):
        picture = teeth_picture(template, 1024, light, child).astype(float)
        white.append((picture[..., 0] - picture[..., 1] < 20).mean())
    assert white[2] < 0.7 * white[0]
