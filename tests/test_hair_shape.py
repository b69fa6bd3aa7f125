"""Hair as shape: the outline of the raised head is that of the hair in the photo, and the face stays as it is."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from facegeom import FaceMesh, geometry, load_face_model, reconstruct
from facegeom.evaluation.hair import border_distance, hair_border, in_plane
from facegeom.face_model.covered_ears import SIDES, flat_ear, with_flat_ears
from facegeom.face_model.template import load_template
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine
from facegeom.networks.segmentation_crop import (
    BACKGROUND,
    CLASSES,
    COVER,
    FRAME_MM,
    HEAD_HAIR,
    SKIN,
    head_affine,
)
from facegeom.render import turn
from facegeom.texture.hair_growth import SkinView
from facegeom.texture.hair_outline import CUT, HAIR, NONE, Rays, hair_outline, head_outline
from facegeom.texture.hair_shape import HairShape, covered_ears, even_heights, hair_shape
from facegeom.texture.head_classes import WIDE, HeadClasses, head_classes

HEAD = load_template(head=True)
MEAN = load_face_model().mean[HEAD.vertices]
SKIN_COUNT = HEAD.coarse.skin_count
PHOTO = (500, 500)
COLOURS = {BACKGROUND: (90, 120, 200), SKIN: (200, 150, 120), HEAD_HAIR: (50, 35, 25), COVER: (20, 160, 60)}
SHORT, LONG = 0.0, -140.0  # mm, height down to which there is hair


def camera_of(yaw: float = 0.0) -> Camera:
    return Camera(turn(yaw), 1.5, (250.0, 260.0))


def photo_classes(camera: Camera, thickness: float, low: float = SHORT, kind: int = HEAD_HAIR) -> HeadClasses:
    """Return the classes of a photo of the mean head with hair of one thickness, mm, around its scalp."""
    size = round(WIDE * 128)
    affine = head_affine(camera.rotation, camera.scale, camera.translation, size, WIDE * FRAME_MM)
    scale = camera.scale * np.linalg.norm(affine[:, 0])
    pixels = apply_affine(affine, camera.project(MEAN[:SKIN_COUNT]))
    places = np.column_stack([pixels, camera.view(MEAN[:SKIN_COUNT])[:, 2]])
    raster = geometry.rasterize(places, HEAD.coarse.skin_faces, MEAN[:SKIN_COUNT], (size, size))
    head = raster.triangle >= 0
    scalp = HEAD.coarse.regions["scalp"][HEAD.coarse.skin_faces].any(axis=1)
    member = head & scalp[np.maximum(raster.triangle, 0)]
    reach = 2 * round(thickness * scale) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    height = apply_affine(affine, camera.project(np.array([[0.0, low, -75.0]])))[0, 1]
    rows = np.arange(size)[:, None] < height
    ears = HEAD.coarse.regions["ear_left"] | HEAD.coarse.regions["ear_right"]
    ear = head & ears[HEAD.coarse.skin_faces].any(axis=1)[np.maximum(raster.triangle, 0)] & (low < SHORT)
    around = cv2.dilate((member | ear).astype(np.uint8), disc) > 0
    classes = np.full((size, size), BACKGROUND)
    classes[head] = SKIN
    classes[(member | (around & ~head) | ear) & rows] = kind
    image = np.array([COLOURS.get(number, (0, 0, 0)) for number in range(len(CLASSES))], np.uint8)[classes]
    return HeadClasses(image, np.eye(len(CLASSES), dtype=np.float32)[classes], affine)


def shape_of(camera: Camera, classes: HeadClasses) -> HairShape:
    found = hair_shape(HEAD, MEAN, camera, classes, PHOTO)
    assert found is not None
    return found


def distances(camera: Camera, classes: HeadClasses, shape: HairShape) -> tuple[float, float]:
    """Return the distance of the outline of the hair from that of the head, without and with hair as shape."""
    kinds = np.asarray(classes.probability.argmax(-1), np.uint8)
    border = hair_border(in_plane(camera, kinds, classes.affine, BACKGROUND), camera)
    faces = HEAD.fine.faces
    before, after = (HEAD.subdivide(V) for V in (MEAN, MEAN + shape.displacement))
    return border_distance(border, before, faces, camera), border_distance(border, after, faces, camera)


@pytest.mark.parametrize("yaw", [0.0, 35.0, -80.0])
@pytest.mark.parametrize(("thickness", "low"), [(12.0, SHORT), (30.0, LONG)], ids=["short", "long"])
def test_the_outline_of_the_head_becomes_that_of_the_hair(yaw: float, thickness: float, low: float) -> None:
    camera = camera_of(yaw)
    classes = photo_classes(camera, thickness, low)
    before, after = distances(camera, classes, shape_of(camera, classes))
    assert before > 0.6 * thickness
    assert after < 0.4 * before
    if abs(yaw) < 60:  # in profile, the hair of this photo also stands before the hairline of the forehead
        assert after < 4.0


def test_symmetric_hair_is_symmetric() -> None:
    camera = camera_of()
    shape = shape_of(camera, photo_classes(camera, 20.0))
    mirrored = shape.displacement[HEAD.coarse.mirror] * (-1, 1, 1)
    assert np.abs(mirrored - shape.displacement)[:SKIN_COUNT].max() < 2.0


def test_the_hidden_side_is_like_the_visible_one() -> None:
    camera = camera_of(60.0)
    shape = shape_of(camera, photo_classes(camera, 20.0, LONG))
    assert shape.grown[HEAD.coarse.regions["ear_left"]].all()
    assert shape.grown[HEAD.coarse.regions["ear_right"]].all()
    height = np.linalg.norm(shape.displacement, axis=1)
    side = HEAD.coarse.regions["scalp"] & (MEAN[:, 1] > 20) & (np.abs(MEAN[:, 0]) > 50)
    left, right = height[side & (MEAN[:, 0] > 0)].mean(), height[side & (MEAN[:, 0] < 0)].mean()
    assert 0.5 < left / right < 2.0


def test_short_hair_leaves_face_ears_and_neck() -> None:
    camera = camera_of()
    shape = shape_of(camera, photo_classes(camera, 15.0))
    scalp = HEAD.coarse.regions["scalp"]
    away = geometry.nearest(MEAN[scalp], MEAN)[1]
    height = np.linalg.norm(shape.displacement, axis=1)
    assert away[shape.grown].max() < 12
    assert height[~scalp].max() < 10
    assert not height[away > 12].any()
    assert not height[HEAD.coarse.regions["ear_left"] | HEAD.coarse.regions["ear_right"]].any()
    assert np.linalg.norm(shape.displacement[scalp & (MEAN[:, 1] > 95)], axis=1).min() > 8


def test_hair_is_cut_off_at_the_neck() -> None:
    camera = camera_of()
    shape = shape_of(camera, photo_classes(camera, 30.0, LONG))
    end = MEAN[:, 1] < -100
    assert not shape.displacement[:SKIN_COUNT][end[:SKIN_COUNT]].any()
    assert not shape.displacement[HEAD.coarse.regions["neck_cap"]].any()
    nape = HEAD.coarse.regions["neck"] & (np.abs(MEAN[:, 1] + 70) < 8) & (MEAN[:, 2] < -80)
    assert np.linalg.norm(shape.displacement[nape], axis=1).mean() > 8


def test_a_raised_head_is_closed_and_larger() -> None:
    camera = camera_of()
    shape = shape_of(camera, photo_classes(camera, 25.0, LONG))
    solids = []
    for V in (MEAN, MEAN + shape.displacement):
        mesh = FaceMesh(HEAD.subdivide(V), HEAD.fine.faces, regions=HEAD.fine.regions)
        solids.append(trimesh.load_mesh(io.BytesIO(mesh.to_bytes("stl", watertight=True)), file_type="stl"))
    assert all(solid.is_watertight for solid in solids)
    assert solids[1].volume > 1.2 * solids[0].volume
    raised = solids[1].triangles.reshape(-1, 3)[:, 1].max()
    assert raised > solids[0].triangles.reshape(-1, 3)[:, 1].max() + 15


def test_no_hair_and_hats_raise_nothing() -> None:
    camera = camera_of()
    for classes in (photo_classes(camera, 20.0, kind=SKIN), photo_classes(camera, 40.0, kind=COVER)):
        assert hair_shape(HEAD, MEAN, camera, classes, PHOTO) is None
    classes = photo_classes(camera, 30.0, LONG)
    kinds = classes.probability.argmax(-1)
    brim = apply_affine(classes.affine, camera.project(np.array([[0, 60.0, 0]])))[0, 1]
    kinds[(np.arange(len(kinds))[:, None] < brim) & (kinds == HEAD_HAIR)] = COVER
    below = HeadClasses(classes.image, np.eye(len(CLASSES), dtype=np.float32)[kinds], classes.affine)
    assert hair_shape(HEAD, MEAN, camera, below, PHOTO) is None


def test_hair_below_a_row_without_hair_is_something_else() -> None:
    camera = camera_of()
    classes = photo_classes(camera, 20.0)
    kinds = classes.probability.argmax(-1)
    size = len(kinds)
    below = np.arange(size)[:, None] > apply_affine(classes.affine, camera.project(np.array([[0, -55.0, 0]])))[0, 1]
    kinds[below & (kinds == BACKGROUND)] = HEAD_HAIR
    changed = HeadClasses(classes.image, np.eye(len(CLASSES), dtype=np.float32)[kinds], classes.affine)
    one, other = shape_of(camera, classes), shape_of(camera, changed)
    np.testing.assert_array_equal(one.grown, other.grown)


def test_places_on_rays_are_the_inverse_of_their_samples() -> None:
    rays = Rays.of(camera_of(20.0))
    number, distance = rays.places(rays.samples()[:, 40])
    np.testing.assert_allclose(number, np.arange(len(rays)), atol=1e-6)
    np.testing.assert_allclose(distance, 40.0, atol=1e-9)


def test_the_outline_on_rays_is_where_head_and_hair_end() -> None:
    camera = camera_of()
    rays = Rays.of(camera)
    points = camera.view(MEAN[:SKIN_COUNT])
    head = head_outline(points, HEAD.coarse.skin_faces, rays)
    top = rays.rows + rays.fan // 2
    assert abs(head[top] - (MEAN[:, 1].max() - 25.0)) < 3
    found = hair_outline(photo_classes(camera, 15.0), camera, PHOTO, rays, head)
    assert found.kind[top] == HAIR
    assert abs(found.distance[top] - head[top] - 15.0) < 3


def test_hair_before_a_wall_of_its_colour_has_no_outline() -> None:
    camera = camera_of()
    rays, classes = Rays.of(camera), photo_classes(camera, 15.0)
    head = head_outline(camera.view(MEAN[:SKIN_COUNT]), HEAD.coarse.skin_faces, rays)
    image, half = classes.image.copy(), len(classes.image) // 2
    wall = (image == COLOURS[BACKGROUND]).all(axis=2)
    wall[:, :half] = False
    image[wall] = COLOURS[HEAD_HAIR]
    found = hair_outline(replace(classes, image=image), camera, PHOTO, rays, head)
    left, right = slice(-rays.rows - 20, -rays.rows), slice(rays.rows, rays.rows + 20)
    assert (found.kind[left] == HAIR).all()
    assert (found.kind[right] == NONE).all()
    shape = shape_of(camera, replace(classes, image=image))
    hidden = HEAD.coarse.regions["scalp"] & (MEAN[:, 1] > 60) & (MEAN[:, 0] > 20)
    assert 6 < np.linalg.norm(shape.displacement, axis=1)[hidden].mean() < 20


def test_a_wing_on_one_side_is_background() -> None:
    camera = camera_of()
    rays, classes = Rays.of(camera), photo_classes(camera, 10.0)
    head = head_outline(camera.view(MEAN[:SKIN_COUNT]), HEAD.coarse.skin_faces, rays)
    wide = photo_classes(camera, 55.0)
    kinds, half = wide.probability.argmax(-1), len(wide.image) // 2
    kinds[:, :half] = classes.probability.argmax(-1)[:, :half]
    image = np.array([COLOURS.get(number, (0, 0, 0)) for number in range(len(CLASSES))], np.uint8)[kinds]
    found = hair_outline(
        HeadClasses(image, np.eye(len(CLASSES), dtype=np.float32)[kinds], classes.affine), camera, PHOTO, rays, head
    )
    beside = slice(rays.rows, rays.rows + 10)
    assert (found.kind[beside] == NONE).all()
    assert (found.kind[::-1][beside] == HAIR).all()
    both = hair_outline(wide, camera, PHOTO, rays, head)
    assert (both.kind[beside] == HAIR).all()


def with_a_bald_top(camera: Camera, classes: HeadClasses) -> HeadClasses:
    middle = apply_affine(classes.affine, camera.project(np.array([[0.0, 50.0, -75.0]])))[0]
    rows, columns = np.indices(classes.image.shape[:2])
    scale = camera.scale * np.linalg.norm(classes.affine[:, 0])
    bald = (rows < middle[1]) & (np.abs(columns - middle[0]) < 50.0 * scale)
    kinds, image = classes.probability.argmax(-1), classes.image.copy()
    kinds[bald & (kinds == HEAD_HAIR)] = SKIN
    image[kinds == SKIN] = COLOURS[SKIN]
    return HeadClasses(image, np.eye(len(CLASSES), dtype=np.float32)[kinds], classes.affine)


def test_a_bald_crown_stays_low_and_bare() -> None:
    camera = camera_of()
    shape = shape_of(camera, with_a_bald_top(camera, photo_classes(camera, 15.0)))
    crown = HEAD.coarse.regions["scalp"] & (MEAN[:, 1] > 105)
    sides = HEAD.coarse.regions["scalp"] & (np.abs(MEAN[:, 0]) > 65) & (MEAN[:, 1] > 40) & (MEAN[:, 1] < 60)
    assert not shape.grown[crown].any()
    assert not shape.displacement[crown].any()
    assert shape.grown[sides].mean() > 0.7


def test_wide_sides_of_a_bald_head_are_background() -> None:
    camera = camera_of()
    classes = photo_classes(camera, 45.0, LONG)
    assert hair_shape(HEAD, MEAN, camera, classes, PHOTO) is not None
    assert hair_shape(HEAD, MEAN, camera, with_a_bald_top(camera, classes), PHOTO) is None


def test_hair_up_to_the_border_of_the_photo_is_told_from_an_outline() -> None:
    camera = camera_of()
    rays = Rays.of(camera)
    head = head_outline(camera.view(MEAN[:SKIN_COUNT]), HEAD.coarse.skin_faces, rays)
    low = Camera(camera.rotation, camera.scale, (250.0, 180.0))  # the crown is at the border
    found = hair_outline(photo_classes(low, 60.0), low, PHOTO, rays, head)
    top = rays.rows + rays.fan // 2
    assert found.kind[top] == CUT
    assert found.distance[top] < head[top] + 40


def test_heights_of_hair_have_no_bumps_and_no_flat_top() -> None:
    rays = Rays.of(camera_of())
    middle, none = len(rays) // 2, np.zeros(len(rays), np.bool_)
    level = np.full(len(rays), 12.0)
    np.testing.assert_allclose(even_heights(level, none, rays, ahead=True), level)

    bump = level.copy()
    bump[middle - 12 : middle - 8] = 40.0
    np.testing.assert_allclose(even_heights(bump, none, rays, ahead=True), level)

    sunken = level.copy()
    sunken[middle - 6 : middle + 7] = -4.0  # the skull is higher than the hair in the photo
    assert even_heights(sunken, none, rays, ahead=True).min() > 1.5
    assert even_heights(sunken, none, rays, ahead=True)[: rays.rows - 6] == pytest.approx(12.0)


def test_hair_beyond_the_photo_is_as_high_as_beside_it() -> None:
    rays = Rays.of(camera_of())
    middle, height, cut = len(rays) // 2, np.full(len(rays), 30.0), np.zeros(len(rays), np.bool_)
    height[middle - 6 : middle + 7], cut[middle - 6 : middle + 7] = 5.0, True
    np.testing.assert_allclose(even_heights(height, cut, rays, ahead=False), 30.0)

    height[middle - 6 : middle + 7] = 50.0  # the border of the photo is higher than the hair beside it
    assert even_heights(height, cut, rays, ahead=False)[middle] > 45.0

    height[: middle - 20] = np.nan
    even = even_heights(height, cut, rays, ahead=False)
    assert np.isnan(even[: middle - 20]).all()
    assert not np.isnan(even[middle - 20 :]).any()

    height[3] = 60.0  # a single ray is an error of the outline
    assert np.isnan(even_heights(height, cut, rays, ahead=False)[: middle - 20]).all()


@pytest.mark.parametrize("side", SIDES)
def test_a_flat_ear_lies_between_the_vertices_around_it(side: str) -> None:
    ear, ring, weights = flat_ear(HEAD, side)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-9)
    assert weights.min() > -1e-12
    flat = with_flat_ears(HEAD, MEAN[:SKIN_COUNT], (side,))
    sign = 1 if side == "left" else -1
    assert (sign * flat[ear, 0]).max() <= (sign * MEAN[ring, 0]).max()
    others = np.ones(SKIN_COUNT, bool)
    others[ear] = False
    np.testing.assert_array_equal(flat[others], MEAN[:SKIN_COUNT][others])


def test_ears_are_covered_where_the_photo_shows_hair() -> None:
    camera = camera_of()
    for classes, sides in ((photo_classes(camera, 30.0, LONG), SIDES), (photo_classes(camera, 10.0), ())):
        shown = SkinView.of(HEAD, MEAN[:SKIN_COUNT], camera, classes, PHOTO)
        assert covered_ears(HEAD, shown, camera) == sides


def test_a_wide_crop_shows_more_and_the_middle_is_that_of_the_usual_one() -> None:
    class Coloured:
        size = 128

        def predict(self, crops: np.ndarray) -> np.ndarray:
            kind = np.where(crops[..., 0] > 128, SKIN, BACKGROUND)
            return np.eye(len(CLASSES), dtype=np.float32)[kind]

    photo = np.zeros((500, 500, 3), np.uint8)
    photo[:, 250:] = 255
    usual, wide = (head_classes(photo, camera_of(), network=Coloured(), wide=flag) for flag in (False, True))
    start = (len(wide.probability) - len(usual.probability)) // 2
    inner = slice(start + 10, start + len(usual.probability) - 10)
    np.testing.assert_allclose(wide.probability[inner, inner], usual.probability[10:-10, 10:-10], atol=1e-6)
    places = np.array([[400.0, 200.0], [120.0, 300.0]])
    np.testing.assert_allclose(wide.at(places)[:, 0], [1, 0], atol=1e-6)
    np.testing.assert_allclose(apply_affine(wide.affine, places) - start, apply_affine(usual.affine, places), atol=1e-6)


class Combed:
    """A segmentation network that finds hair in the upper part of the head, and skin in a disc."""

    size = 128

    def predict(self, crops: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, (b, S, S, 7); wide crops show the same at a smaller scale."""
        rows, columns = np.indices(crops.shape[1:3])
        answers = []
        for number in range(len(crops)):
            scale = 1.0 if number == 0 else WIDE
            y, x = (rows - 63.5) * scale, (columns - 63.5) * scale
            kind = np.where(np.hypot(x, y) < 50, SKIN, BACKGROUND)
            kind[(np.hypot(x, y + 5) < 58) & (y < -20)] = HEAD_HAIR
            answers.append(np.eye(len(CLASSES), dtype=np.float32)[kind])
        return np.stack(answers)


def test_hair_moves_neither_landmarks_nor_blendshapes(
    draw_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = draw_face()
    coded_network(face)
    monkeypatch.setattr("facegeom.texture.head_classes.segmentation_network", lambda backend: Combed())
    monkeypatch.setattr("facegeom.texture.hair_outline.EDGE_COLOUR", -1.0)  # the photo has one colour around the face
    monkeypatch.setattr(HeadClasses, "hair", property(lambda self: np.array([40.0, 30.0, 20.0])))
    plain = reconstruct(face.photo, box=face.box, head=True, hair=False)
    hairy = reconstruct(face.photo, box=face.box, head=True)
    assert list(hairy.stages) == ["raw", "aligned", "registered", "completed", "outlined", "hair", "detailed"]
    change = np.linalg.norm(hairy.mesh.vertices - plain.mesh.vertices, axis=1)
    scalp = HEAD.fine.regions["scalp"]
    assert change[scalp].max() > 3
    assert change[HEAD.fine.regions["nose"]].max() < 0.3
    np.testing.assert_allclose(hairy.landmarks, plain.landmarks, atol=0.6)
    np.testing.assert_allclose(hairy.landmarks468, plain.landmarks468, atol=0.6)
    assert hairy.mesh.blendshapes.keys() == plain.mesh.blendshapes.keys()
    for name in ("jawOpen", "browInnerUp", "mouthSmileLeft"):
        np.testing.assert_array_equal(hairy.mesh.blendshapes[name], plain.mesh.blendshapes[name])
    assert hairy.neutral is not None
    assert plain.neutral is not None
    moved = np.linalg.norm(hairy.neutral.vertices - plain.neutral.vertices, axis=1)
    np.testing.assert_allclose(moved, change, atol=0.6)


def test_hair_is_a_flag() -> None:
    with pytest.raises(TypeError, match="hair must be"):
        reconstruct(np.zeros((8, 8, 3), np.uint8), head=True, hair="yes")  # type: ignore[arg-type]


def test_the_distance_of_a_circle_from_a_larger_disc() -> None:
    """A head that is a disc of radius 60 mm, and hair that ends on a circle of radius 70 mm."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    V = np.concatenate([[[0.0, 25.0, 0.0]], np.column_stack([60 * np.cos(angle), 25 + 60 * np.sin(angle), 0 * angle])])
    F = np.column_stack([np.zeros(400, int), np.arange(1, 401), 1 + np.roll(np.arange(400), -1)])
    camera = Camera(np.eye(3), 1.0, (250.0, 250.0))
    size = 500
    rows, columns = np.indices((size, size))
    circle = np.hypot(columns - 250, rows - 225) < 70
    classes = np.where(circle, HEAD_HAIR, BACKGROUND).astype(np.uint8)
    border = hair_border(in_plane(camera, classes, np.eye(2, 3), BACKGROUND), camera)
    assert abs(border_distance(border, V, F, camera) - 10.0) < 1.0
    assert np.isnan(border_distance(np.zeros_like(border), V, F, camera))
