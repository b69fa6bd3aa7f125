"""The software renderer: projection, colours and lighting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trimesh

import facegeom
from facegeom import FaceMesh
from facegeom.images.pictures import depth_picture
from facegeom.render import Frame, preview_sheet, render_mesh, tile, turn

WHITE = 243


@pytest.fixture(scope="module")
def ball() -> FaceMesh:
    sphere = trimesh.creation.icosphere(4, radius=50.0)
    colors = np.where(sphere.vertices[:, :1] > 0, [[220, 30, 30]], [[30, 30, 220]]).astype(np.uint8)
    return FaceMesh(sphere.vertices, sphere.faces, colors=colors)


def test_sphere_is_rendered_as_a_centred_disk(ball: FaceMesh) -> None:
    picture = render_mesh(ball, size=100, frame=Frame((0.0, 0.0, 0.0), 200.0))
    covered = np.abs(picture.astype(int) - WHITE).max(axis=2) > 3
    assert covered.mean() == pytest.approx(np.pi / 16, rel=0.03)
    rows, columns = np.nonzero(covered)
    assert rows.mean() == pytest.approx(49.5, abs=0.5)
    assert columns.mean() == pytest.approx(49.5, abs=0.5)


def test_the_key_light_comes_from_the_upper_left(ball: FaceMesh) -> None:
    picture = render_mesh(ball, size=100, frame=Frame((0.0, 0.0, 0.0), 100.0)).astype(int)
    assert picture[30, 30].sum() > picture[70, 70].sum() + 60
    assert picture[50, 50].sum() > 150  # nothing is black


def test_vertex_colours_rotate_with_the_mesh(ball: FaceMesh) -> None:
    front = render_mesh(ball, size=64, colors=True).astype(int)
    red, blue = front[32, 44], front[32, 20]  # +x, the left side of the face, is on the right of the picture
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60
    turned = render_mesh(ball, turn(90.0), size=64, colors=True).astype(int)  # +x now points away from the camera
    assert turned[32, 32, 2] > turned[32, 32, 0] + 60


def test_texture_is_drawn_upright() -> None:
    texture = np.zeros((40, 40, 3), np.uint8)
    texture[:20] = (250, 20, 20)
    texture[20:] = (20, 20, 250)
    square = FaceMesh(
        [[-10, -10, 0], [10, -10, 0], [10, 10, 0], [-10, 10, 0.0]],
        [[0, 1, 2], [0, 2, 3]],
        uv=[[0, 0], [1, 0], [1, 1], [0, 1.0]],
        texture=texture,
    )
    picture = render_mesh(square, size=40, colors=True).astype(int)
    assert picture[12, 20, 0] > picture[12, 20, 2] + 60
    assert picture[28, 20, 2] > picture[28, 20, 0] + 60


def test_back_faces_are_lit() -> None:
    flipped = FaceMesh([[-10, -10, 0], [10, -10, 0], [0, 10, 0.0]], [[0, 2, 1]])
    assert render_mesh(flipped, size=40)[20, 20].min() > 60


def test_empty_mesh_gives_an_empty_picture() -> None:
    empty = FaceMesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    assert (np.abs(render_mesh(empty, size=16).astype(int) - WHITE) <= 1).all()


def test_turn_is_a_rotation_to_the_subjects_left() -> None:
    rotation = turn(30.0, 10.0)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert (turn(30.0) @ [0, 0, 1])[0] == pytest.approx(0.5)
    assert (turn(0.0, 30.0) @ [0, 0, 1])[1] == pytest.approx(-0.5)  # nodded down


def test_preview_sheet(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box)
    sheet = preview_sheet(rec, coded_face.photo, size=64)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] > (len(rec.stages) + 1) * 64
    assert sheet.shape[0] > 4 * 64
    depth = depth_picture(rec.maps.depth)
    assert (depth[~rec.maps.mask] == 255).all()
    nose = np.unravel_index(np.nanargmax(rec.maps.depth), rec.maps.depth.shape)
    assert depth[nose].sum() > np.median(depth[rec.maps.mask].sum(axis=1))


def test_tile_lays_out_rows() -> None:
    gray = np.full((32, 32, 3), 90, np.uint8)
    sheet = tile([[("a", gray), ("b", gray)], [("c", gray)]], 32, 2)
    assert (sheet == 90).all(axis=2).sum() >= 3 * 32 * 32
