"""Painted eyes: the gaze and the colours come from the photo, and the whole ball has a texture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from facegeom import FaceMesh, load_face_model
from facegeom.face_model.blendshapes import template_blendshapes
from facegeom.face_model.file_atlas import EYE_BOX, IRIS_DEGREES, STRIP, TEETH_BOX, disc_angle, disc_radius
from facegeom.face_model.lids import closing_blinks, covering_lids, lid_gap, lid_margin
from facegeom.face_model.template import load_template
from facegeom.geometry import rasterize
from facegeom.images.camera import Camera
from facegeom.mesh.parts import sphere_centre
from facegeom.render import Frame, render_mesh
from facegeom.texture.appearance import SCLERA, View
from facegeom.texture.eye_photo import eye_pictures, painted_pictures
from facegeom.texture.eyes import LEAST_WHITE, EyePicture, Eyes, Gaze, _light_enough, _not_mauve, directions, look
from facegeom.texture.file_texture import file_texture
from facegeom.training.face_model.atlas import coverage

TEMPLATE, HEAD = load_template(), load_template(head=True)
SKIN = (196, 150, 128)


def vertices() -> np.ndarray:
    return TEMPLATE.subdivide(load_face_model().mean[TEMPLATE.vertices])


def no_teeth(size: int) -> np.ndarray:
    rows, columns = TEETH_BOX.texels(size)
    return np.zeros((rows.stop - rows.start, columns.stop - columns.start, 3), np.uint8)


def photo_of(
    eyes: Eyes, size: int = 1024, *, pixels: int = 400, pictures: dict[str, np.ndarray] | None = None
) -> np.ndarray:
    """Return a picture (p, p, 3) of a skin-coloured face whose eyeballs look where `eyes` say, 200 mm wide."""
    V, fine = vertices(), TEMPLATE.fine
    for side in ("left", "right"):
        ball = fine.regions[f"eyeball_{side}"]
        centre, front = sphere_centre(V[ball]), np.array([0.0, 0.0, 1.0])
        axis = np.cross(front, eyes.gaze.direction)
        angle = np.arcsin(min(1.0, float(np.linalg.norm(axis))))
        turn = cv2.Rodrigues(axis / max(float(np.linalg.norm(axis)), 1e-9) * angle)[0]
        V[ball] = (V[ball] - centre) @ turn.T + centre
    texture = file_texture(
        np.full((size, size, 3), SKIN, np.uint8), pictures or painted_pictures(eyes, size), no_teeth(size)
    )
    mesh = FaceMesh(V, fine.faces, uv=TEMPLATE.file_uv, uv_faces=fine.uv_faces, texture=texture)
    return render_mesh(mesh, size=pixels, frame=Frame((0.0, -20.0, 0.0), 200.0), colors=True)


class Whole:
    """The part of FaceMaps that a View needs: a mask of everything."""

    size = 128
    step = 400 / 128
    box = (0.0, 0.0, 400.0, 400.0)
    mask = np.ones((128, 128), bool)


@pytest.mark.parametrize("gaze", [Gaze(0, 0), Gaze(20, 0), Gaze(-17.5, 5), Gaze(5, -10), Gaze(-5, 12.5)])
@pytest.mark.parametrize("iris", [(70, 95, 130), (40, 50, 72), (95, 60, 40)], ids=["blue", "dark blue", "brown"])
def test_gaze_and_colours_are_measured(gaze: Gaze, iris: tuple[int, int, int]) -> None:
    photo = photo_of(Eyes(gaze, np.array(iris, float), np.array(SCLERA)))
    camera = Camera(np.eye(3), 2.0, np.array([199.5, 199.5 - 40.0]))
    maps: Any = Whole()
    found = look(TEMPLATE, View(photo, maps, camera, vertices(), TEMPLATE.fine))
    assert abs(found.gaze.yaw - gaze.yaw) < 6.0
    assert abs(found.gaze.pitch - gaze.pitch) < 10.0  # lids hide the upper and the lower part of the iris
    assert (found.iris[2] > found.iris[0]) == (iris[2] > iris[0])
    assert found.white.min() > 100
    assert found.white.mean() > 1.5 * found.iris.mean()


def test_whites_in_a_deep_shadow_are_nearly_as_bright_as_the_skin_and_grey() -> None:
    white = np.array((70.0, 52.0, 40.0))
    skin = np.tile((190.0, 150.0, 130.0), (50, 1))
    lighter = _light_enough(white, skin)
    assert lighter.mean() == pytest.approx(LEAST_WHITE * skin.mean())
    assert np.ptp(lighter) / lighter.mean() < 0.6 * np.ptp(white) / white.mean()
    np.testing.assert_array_equal(_light_enough(np.array(SCLERA), skin), SCLERA)
    np.testing.assert_array_equal(_light_enough(white, skin[:0]), white)


@pytest.mark.parametrize("white", [(185, 165, 180), (158, 156, 172), (152, 118, 114)], ids=["mauve", "lilac", "pink"])
def test_whites_are_not_purple(white: tuple[int, int, int]) -> None:
    red, green, blue = _not_mauve(np.array(white, float))
    assert red == white[0]
    assert blue <= white[2]
    assert blue <= 0.5 * (red + green) + 0.5
    assert green >= 0.98 * 0.5 * (red + blue)
    for usual in (SCLERA, (180.0, 165.0, 140.0)):  # in the light of a lamp
        np.testing.assert_allclose(_not_mauve(np.array(usual)), usual)


def test_eyes_that_a_photo_does_not_show_look_ahead() -> None:
    photo = np.full((400, 400, 3), SKIN, np.uint8)
    maps: Any = Whole()
    found = look(
        TEMPLATE, View(photo, maps, Camera(np.eye(3), 2.0, np.array([199.5, 159.5])), vertices(), TEMPLATE.fine)
    )
    assert found.gaze == (0.0, 0.0)


def view_of(photo: np.ndarray) -> View:
    pixels = len(photo)
    maps: Any = Whole()
    maps.step, maps.box = pixels / 128, (0.0, 0.0, float(pixels), float(pixels))
    middle = pixels / 2 - 0.5
    camera = Camera(np.eye(3), pixels / 200, np.array([middle, middle - pixels / 10]))
    return View(photo, maps, camera, vertices(), TEMPLATE.fine)


def spotted(eyes: Eyes) -> dict[str, np.ndarray]:
    """Return painted eyes with a red spot on the iris, to the subject's left of the pupil and below it."""
    pictures = {side: picture.copy() for side, picture in painted_pictures(eyes, 1024).items()}
    for picture in pictures.values():
        middle = len(picture) // 2
        picture[middle + 8 : middle + 24, middle + 16 : middle + 34] = (220, 30, 30)
    return pictures


def reddest(picture: np.ndarray) -> np.ndarray:
    """Return the centre (x, y) of the red texels of a picture, relative to its middle."""
    red = picture[..., 0].astype(int) - picture[..., 1] > 60
    y, x = np.nonzero(red)
    return np.array([x.mean(), y.mean()]) - len(picture) / 2


@pytest.mark.parametrize("gaze", [Gaze(0, 0), Gaze(14, -3), Gaze(-10, 4)])
def test_a_sharp_photo_shows_its_own_iris(gaze: Gaze) -> None:
    truth = Eyes(gaze, np.array((70.0, 95.0, 130.0)), np.array(SCLERA))
    view = view_of(photo_of(truth, pixels=1600, pictures=spotted(truth)))
    found = look(TEMPLATE, view)
    pictures = eye_pictures(TEMPLATE, view, found, 1024)
    for side, painted in painted_pictures(found, 1024).items():
        true = reddest(spotted(truth)[side])
        assert np.abs(reddest(pictures[side]) - true).max() < 14, side  # texels: 6 degrees
        assert not (painted[..., 0].astype(int) - painted[..., 1] > 60).any()
        rim = np.linalg.norm(np.indices(painted.shape[:2]) - len(painted) / 2, axis=0) > 0.95 * len(painted) / 2
        np.testing.assert_array_equal(pictures[side][rim], painted[rim])


def test_reflections_in_a_sharp_photo_are_not_on_the_eyes() -> None:
    """A reflection belongs to the light, not to the iris: it would turn with the eye."""
    truth = Eyes(Gaze(0, 0), np.array((70.0, 95.0, 130.0)), np.array(SCLERA))
    pictures = spotted(truth)
    for picture in pictures.values():
        middle = len(picture) // 2
        picture[middle - 9 : middle + 3, middle - 6 : middle + 6] = 250  # in the pupil
        picture[middle - 30 : middle - 18, middle - 24 : middle - 12] = 250  # on the iris
    view = view_of(photo_of(truth, pixels=1600, pictures=pictures))
    for picture in eye_pictures(TEMPLATE, view, look(TEMPLATE, view), 1024).values():
        middle = len(picture) // 2
        assert picture[middle - 9 : middle + 9, middle - 9 : middle + 9].max() < 80
        on_iris = picture[middle - 30 : middle - 18, middle - 24 : middle - 12]
        assert on_iris.astype(int).min(axis=2).max() < 150
        assert np.abs(reddest(picture) - reddest(pictures["left"])).max() < 14  # the photo's iris is there


@pytest.mark.parametrize("fault", ["small", "blurred"])
def test_eyes_of_other_photos_are_painted(fault: str) -> None:
    truth = Eyes(Gaze(0, 0), np.array((70.0, 95.0, 130.0)), np.array(SCLERA))
    photo = photo_of(truth, pixels=400 if fault == "small" else 1600, pictures=spotted(truth))
    if fault == "blurred":
        photo = cv2.GaussianBlur(photo, (0, 0), 9.0)
    view = view_of(photo)
    found = look(TEMPLATE, view)
    painted = painted_pictures(found, 1024)
    for side, picture in eye_pictures(TEMPLATE, view, found, 1024).items():
        np.testing.assert_array_equal(picture, painted[side])


def test_the_iris_has_96_texels_of_a_texture_of_1024() -> None:
    eyes = Eyes(Gaze(0, 0), np.array([20.0, 40.0, 160.0]), np.array(SCLERA))
    square = EyePicture(eyes, 1024).colors.astype(int)
    blue = square[len(square) // 2, :, 2] > 1.15 * square[len(square) // 2, :, 0]
    assert np.ptp(np.flatnonzero(blue)) >= 92  # without the soft edge
    assert 2 * disc_radius(np.array([IRIS_DEGREES]))[0] * (STRIP / 2 - 0.0025) * 1024 >= 96


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_iris_is_round_on_the_triangles_of_the_ball(side: str) -> None:
    eyes = Eyes(Gaze(0, 0), np.array([30.0, 30.0, 30.0]), np.array([200.0, 200.0, 200.0]))
    picture, box = painted_pictures(eyes, 1024)[side].astype(float).mean(axis=2), EYE_BOX[side]
    V, fine = vertices(), TEMPLATE.fine
    ball = fine.regions[f"eyeball_{side}"]
    own = ball[fine.faces].all(axis=1)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), (own.sum(), 40))
    arms = np.einsum("mwc,mcd->mwd", weights, (V - sphere_centre(V[ball]))[fine.faces[own]]).reshape(-1, 3)
    uv = np.einsum("mwc,mcd->mwd", weights, TEMPLATE.file_uv[fine.uv_faces[own]]).reshape(-1, 2)
    degrees = np.degrees(np.arccos(arms[:, 2] / np.linalg.norm(arms, axis=1)))
    place = (uv - (box.left, box.high)) / (box.right - box.left) * (len(picture), -len(picture)) - 0.5
    x, y = np.clip(np.rint(place), 0, len(picture) - 1).astype(int).T
    shown = picture[y, x]
    inside, outside = degrees < 0.88 * IRIS_DEGREES, (degrees > 1.12 * IRIS_DEGREES) & (degrees < 60)
    assert inside.sum() > 300
    assert (shown[inside] < 90).mean() > 0.99
    assert (shown[outside] > 110).mean() > 0.99


def test_the_radius_of_the_disc_is_monotone_and_has_an_inverse() -> None:
    degrees = np.linspace(0, 180, 50)
    radius = disc_radius(degrees)
    assert (np.diff(radius) > 0).all()
    np.testing.assert_allclose(disc_angle(radius), degrees, atol=1e-9)


@pytest.mark.parametrize("head", [False, True])
def test_the_atlas_of_files_has_no_overlaps(head: bool) -> None:
    template = load_template(head)
    fine, V = template.fine, template.subdivide(load_face_model().mean[template.vertices])
    back = (V[fine.faces, 2] < V[fine.regions["eyeball_left"], 2].mean()).any(axis=1)
    balls = (fine.regions["eyeball_left"] | fine.regions["eyeball_right"])[fine.faces].all(axis=1)
    rows = fine.uv_faces[~(balls & back)]  # the white at the back of an eyeball may overlap
    corners = template.file_uv[rows]
    assert template.file_uv.min() >= 0
    assert template.file_uv.max() <= 1
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    assert (ax * by - ay * bx).min() > -1e-12
    chosen = rows if head is False else rows[::7]
    assert coverage(template.file_uv, chosen, 128).max() == 1


def test_the_whole_ball_is_painted_without_an_edge() -> None:
    eyes = Eyes(Gaze(0, 0), np.array([90.0, 60.0, 40.0]), np.array(SCLERA))
    size = 512
    texture = file_texture(np.zeros((size, size, 3), np.uint8), painted_pictures(eyes, size), no_teeth(size)).astype(
        int
    )
    for side, box in EYE_BOX.items():
        square = texture[size - round(STRIP * size) :, round(box.left * size) : round(box.right * size)]
        degrees = np.degrees(np.arccos(directions(len(square))[..., 2]))
        degrees = degrees if side == "left" else degrees[:, ::-1]
        white = square[degrees > 1.3 * IRIS_DEGREES]
        assert white.min() > 90, side
        steps = np.abs(np.diff(square.sum(axis=2), axis=1))[degrees[:, 1:] > 1.3 * IRIS_DEGREES]
        assert steps.max() < 40, side


def neutral_heads(count: int) -> list[np.ndarray]:
    model, rng = load_face_model(), np.random.default_rng(3)
    head = load_template(head=True)
    return [head.subdivide(model.vertices(rng.normal(0, 1, 100))[head.vertices]) for _ in range(count)]


def assert_blinks_close(count: int) -> None:
    template = load_template(head=True)
    lids = template.fine.regions["face"] & (
        np.abs(template.subdivide(load_face_model().mean[template.vertices])[:, 1]) < 30
    )
    usual = template_blendshapes(template)
    for V in neutral_heads(count):
        shapes = closing_blinks(template, V)
        for side in ("left", "right"):
            shape = shapes[f"eyeBlink{side.capitalize()}"]
            assert lid_gap(template, V + shape, side) < 0.3
            change = np.linalg.norm(shape - usual[f"eyeBlink{side.capitalize()}"], axis=1)
            assert not change[~lids].any()
            assert change.max() < 8.0


def test_blinks_of_different_people_close() -> None:
    assert_blinks_close(50)


def ball_before_lids(V: np.ndarray, side: str) -> float:
    """Return the area, mm^2, seen from the front, in which an eyeball is in front of the skin of its lids."""
    margin, fine, pixels = lid_margin(HEAD, side), HEAD.fine, 6.0
    outer = (margin.distance > 0.5) & (margin.distance < 14.0)
    lids = fine.skin_faces[outer[fine.skin_faces].all(axis=1)]
    ball = fine.faces[fine.regions[f"eyeball_{side}"][fine.faces].all(axis=1)]
    low, high = V[lids.ravel()].min(axis=0) - 1, V[lids.ravel()].max(axis=0) + 1
    width, height = np.ceil((high - low)[:2] * pixels).astype(int).tolist()
    points = (V - (low[0], high[1], 0)) * (pixels, -pixels, 1)
    depths = [rasterize(points, faces, None, (height, width)).depth for faces in (ball, lids)]
    return float((depths[0] > depths[1]).sum()) / pixels**2


def test_the_eyeball_does_not_come_through_moving_lids() -> None:
    usual, worst, worst_before = template_blendshapes(HEAD), 0.0, 0.0
    for V in neutral_heads(6):
        own = {**closing_blinks(HEAD, V), **covering_lids(HEAD, V)}
        at_rest = ball_before_lids(V, "left")
        for name, weight in (("eyeBlinkLeft", 0.5), ("eyeLookDownLeft", 1.0), ("eyeSquintLeft", 1.0)):
            worst = max(worst, ball_before_lids(V + weight * own[name], "left") - at_rest)
            worst_before = max(worst_before, ball_before_lids(V + weight * usual[name], "left") - at_rest)
            ball = HEAD.fine.regions["eyeball_left"]
            np.testing.assert_array_equal(own[name][ball], usual[name][ball])
            assert np.linalg.norm(own[name] - usual[name], axis=1).max() < 8.0
    assert worst < 4.0
    assert worst_before > 20.0


def test_an_eyeball_that_turns_to_a_corner_stays_behind_the_lids() -> None:
    usual, before = template_blendshapes(HEAD), []
    for V in neutral_heads(6):
        own, at_rest = covering_lids(HEAD, V), ball_before_lids(V, "left")
        for name in ("eyeLookInLeft", "eyeLookOutLeft"):
            before.append(ball_before_lids(V + usual[name], "left") - at_rest)
            assert ball_before_lids(V + own[name], "left") - at_rest < 1.6
    assert max(before) > 3.0


@pytest.mark.slow
def test_blinks_of_many_people_close() -> None:
    assert_blinks_close(200)
