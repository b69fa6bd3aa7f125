"""Hair as shape: the skin of a head raised to the outline of the hair in a photo, and carried around the head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import load_face_model
from facegeom.face_model.covered_ears import SIDES, with_flat_ears
from facegeom.face_model.template import Template
from facegeom.images.camera import Camera
from facegeom.texture.appearance import OWN
from facegeom.texture.hair import hairy_vertices
from facegeom.texture.hair_outline import AXIS_MM, CUT, NONE, HairOutline, Rays, hair_outline, head_outline
from facegeom.texture.head_classes import HeadClasses

WINDOW = 2  # rays on each side from which the outline of a ray is smoothed
ROUNDS = 2  # rounds in which the outline of the raised head approaches that of the hair
NEAR_MM = 5.0  # distance from the outline at which the weight of a vertex falls to exp(-1)
LENGTH_MM = 6.0  # smoothing length of the height of the hair
PRIOR = 3e-4  # weight of the mean height; range LENGTH_MM / PRIOR^(1/4) = 46 mm
MIRRORED = 0.2  # weight of a height on the other side of the head
LOWEST_MM, HIGHEST_MM = -8.0, 75.0  # limits of the height
BROWS_MM, CHEEKS_MM = 32.0, 50.0  # height above the eyes, or distance from the midline, of hair before the face
EDGE_MM = (56.0, -15.0)  # distance from the midline from which, and depth to which the face lies beside the ears
FRINGE_REACH_MM = 45.0  # largest distance from the scalp and covered ears of hair before the face
FRINGE_MM, FRINGE_WEIGHT = 4.0, 0.3  # its height, and the weight of this height
FACING = 0.2  # cosine between normal and line of sight from which a vertex of the face shows its pixel
COVERED = 0.6  # share of hair among the pixels of an ear from which hair covers it
AWAY = -0.25  # sine of the angle between the line of sight and an ear, from which the ear is like the other one
LEAST_RAYS = 8  # rays with hair of a head with hair
LEAST_MM = 1.5  # mean height below which hair is no shape
NECK_MM = -55.0  # height below which hair is longer than the scalp
BEHIND_MM = -55.0  # depth behind which hair falls beside the neck


class HairShape(NamedTuple):
    """Hair as a shape of the head.

    Attributes
    ----------
    displacement : (n, 3) float array, mm, of the vertices of the coarse topology
    grown : (n,) bool array, vertices that are hair
    """

    displacement: FloatArray
    grown: BoolArray


@one_thread()
def hair_shape(
    template: Template, V: FloatArray, camera: Camera, classes: HeadClasses, photo: tuple[int, int]
) -> HairShape | None:
    """Return the shape of the hair in a photo, None for a head without hair, or with a hat.

    Where the photo shows the outline of the hair, the outline of the raised head is the same. The height elsewhere is
    the smoothest one (biharmonic interpolation), near its mean; it is 0 at the hairline.

    Parameters
    ----------
    template : Template of the whole head
    V : (n, 3) float array, vertices of the coarse topology, mm
    camera : Camera of the photo
    classes : HeadClasses of the photo, wide enough for the outline of the hair
    photo : width and height of the photo in pixels
    """
    if classes.hair is None or classes.hat:
        return None
    coarse = template.coarse
    skin = coarse.skin_count
    rays = Rays.of(camera)
    bare = with_flat_ears(template, V[:skin], SIDES)
    outline = hair_outline(classes, camera, photo, rays, head_outline(camera.view(bare), coarse.skin_faces, rays))
    if (outline.kind != NONE).sum() < LEAST_RAYS:
        return None
    covered = covered_ears(template, V[:skin], camera, classes)
    base = bare if covered == SIDES else with_flat_ears(template, V[:skin], covered)
    member = _member(template, rays, outline, covered)
    fringe, beside = _fringe(template, base, member, camera, classes)
    member |= beside | _before_ears(template, base, covered, outline, rays, camera, classes)
    height = _height(template, base, member, fringe, camera, rays, outline)
    if height is None:
        return None
    displacement = np.zeros_like(V)
    displacement[:skin] = base - V[:skin] + height[:, None] * outward(base)
    grown = np.zeros(len(V), np.bool_)
    grown[:skin] = member
    return HairShape(displacement, grown)


def outward(V: FloatArray) -> FloatArray:
    """Return the unit vectors (n, 3) from the nearest points of the axis of the head to points (n, 3), mm."""
    top, bottom = AXIS_MM
    along = np.clip((V - top) @ (bottom - top) / ((bottom - top) @ (bottom - top)), 0, 1)
    away = V - top - along[:, None] * (bottom - top)
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6))


def covered_ears(template: Template, V: FloatArray, camera: Camera, classes: HeadClasses) -> tuple[str, ...]:
    """Return the sides whose ears are covered by hair in the photo; a hidden ear is like the other.

    Parameters
    ----------
    template, camera, classes : as in `hair_shape`
    V : (s, 3) float array, vertices of the coarse skin, mm
    """
    skin = template.coarse.skin_count
    facing = geometry.vertex_normals(V, template.coarse.skin_faces) @ camera.rotation[2]
    found: dict[str, bool] = {}
    for side in SIDES:
        ear = template.coarse.regions[f"ear_{side}"][:skin] & (facing > FACING)
        toward = float(camera.rotation[2] @ (1.0 if side == "left" else -1.0, 0.0, 0.0))
        if toward < AWAY or not ear.any():
            continue
        shown = classes.at(camera.project(V[ear]))
        if (shown[:, 3] > OWN).mean() < 0.5:
            continue  # outside the photo, or behind something
        hair, own = shown[:, 1] > OWN, shown[:, 0] > OWN
        found[side] = bool(hair.sum() > COVERED * max(1, (hair | own).sum()))
    if len(found) == 1:
        return SIDES if next(iter(found.values())) else ()
    return tuple(side for side in SIDES if found.get(side, False))


def _fringe(
    template: Template, V: FloatArray, member: BoolArray, camera: Camera, classes: HeadClasses
) -> tuple[BoolArray, BoolArray]:
    """Return the vertices of forehead, temples and cheeks before which the photo shows hair, (s,), and those and the
    ones beside them, (s,).
    """
    coarse = template.coarse
    skin = coarse.skin_count
    places = load_face_model().mean[template.vertices][:skin]
    aside = (places[:, 1] > BROWS_MM) | (np.abs(places[:, 0]) > CHEEKS_MM)
    facing = geometry.vertex_normals(V, coarse.skin_faces) @ camera.rotation[2]
    near = np.flatnonzero(coarse.regions["face"][:skin] & ~member & aside & (facing > FACING))
    near = near[geometry.nearest(places[member], places[near])[1] < FRINGE_REACH_MM]
    shown = classes.at(camera.project(V[near]))
    fringe, beside = np.zeros((2, skin), np.bool_)
    fringe[near] = shown[:, 1] > OWN
    beside[near] = shown[:, 2] > OWN
    return fringe, beside


def _before_ears(
    template: Template,
    V: FloatArray,
    covered: tuple[str, ...],
    outline: HairOutline,
    rays: Rays,
    camera: Camera,
    classes: HeadClasses,
) -> BoolArray:
    """Return the vertices of the face before covered ears at which the photo shows no skin, (s,)."""
    coarse = template.coarse
    skin = coarse.skin_count
    x, y, z = load_face_model().mean[template.vertices][:skin].T
    facing = geometry.vertex_normals(V, coarse.skin_faces) @ camera.rotation[2]
    out = np.zeros(skin, np.bool_)
    for side in covered:
        out |= (x if side == "left" else -x) > EDGE_MM[0]
    out &= coarse.regions["face"][:skin] & (z < EDGE_MM[1]) & (y > max(_lowest(rays, outline), NECK_MM))
    rows = np.flatnonzero(out & (facing > FACING))
    out[rows] = classes.at(camera.project(V[rows]))[:, 0] <= OWN
    return out


def _member(
    template: Template,
    rays: Rays,
    outline: HairOutline,
    covered: tuple[str, ...],
) -> BoolArray:
    """Return the vertices of the coarse skin that hair may raise, (s,): the scalp, covered ears, and the neck beside
    long hair.
    """
    coarse = template.coarse
    skin = coarse.skin_count
    places = load_face_model().mean[template.vertices][:skin]
    member = hairy_vertices(template)[:skin].copy()
    for side in covered:
        sign = 1.0 if side == "left" else -1.0
        member |= coarse.regions[f"ear_{side}"][:skin] | (coarse.regions["scalp"][:skin] & (sign * places[:, 0] > 0))
    height = _lowest(rays, outline)
    if height < NECK_MM:
        low = coarse.regions["neck"][:skin] | coarse.regions["scalp"][:skin]
        member |= low & (places[:, 1] > height) & (places[:, 2] < BEHIND_MM)
    return member


def _lowest(rays: Rays, outline: HairOutline) -> float:
    """Return the height, mm in the face frame, of the lowest row at which the photo shows hair beside the head."""
    rows = np.concatenate([np.arange(rays.rows, 0, -1), np.zeros(rays.fan + 1), np.arange(1, rays.rows + 1)])
    seen = outline.kind != NONE
    if not seen.any():
        return float(AXIS_MM[0, 1])
    share = rows[seen].max() / rays.rows
    return float(AXIS_MM[0, 1] + share * (AXIS_MM[1, 1] - AXIS_MM[0, 1]))


def _height(
    template: Template,
    base: FloatArray,
    member: BoolArray,
    fringe: BoolArray,
    camera: Camera,
    rays: Rays,
    outline: HairOutline,
) -> FloatArray | None:
    """Return the height of the hair on the coarse skin, (s,) mm, 0 where no hair is; None if it is nearly 0."""
    coarse = template.coarse
    skin = coarse.skin_count
    triangles = coarse.skin_faces[member[coarse.skin_faces].any(axis=1)]
    rows = np.unique(triangles)
    place = np.full(skin, -1)
    place[rows] = np.arange(len(rows))
    faces, inside = place[triangles], member[rows]
    mirror = place[coarse.mirror[rows]]
    normal = outward(base[rows])
    across = camera.view(normal)[:, :2]
    known_fringe = fringe[rows]
    height = np.zeros(len(rows))
    target = np.where(outline.kind != NONE, outline.distance, np.nan)
    for number in range(ROUNDS):
        view = camera.view(base[rows] + height[:, None] * normal)
        now = head_outline(view, faces, rays)
        change = _smooth(target - now)
        ray, distance = rays.places(view[:, :2])
        slot = np.clip(np.rint(ray), 0, len(rays) - 1).astype(np.int64)
        on = (ray > -0.5) & (ray < len(rays) - 0.5) & inside & ~np.isnan(change[slot])
        along = np.maximum(np.einsum("nd,nd->n", across, rays.directions[slot]), 0.5)
        weight = np.where(on, np.exp(-(((now[slot] - distance) / NEAR_MM) ** 2)), 0.0)
        weight[outline.kind[slot] == CUT] *= 0.1
        wanted = height + np.where(on, np.nan_to_num(change[slot]), 0.0) / along
        wanted = np.clip(wanted, LOWEST_MM, HIGHEST_MM)
        if number == 0:
            if not weight.sum() > 1.0:
                return None
            mean = float((weight * wanted).sum() / weight.sum())
        values, weights = weight * wanted, weight.copy()
        both = mirror >= 0
        values[both] += MIRRORED * (weight * wanted)[mirror[both]]
        weights[both] += MIRRORED * weight[mirror[both]]
        values += PRIOR * mean
        weights += PRIOR
        values += np.where(known_fringe, FRINGE_WEIGHT * FRINGE_MM, 0.0)
        weights += np.where(known_fringe, FRINGE_WEIGHT, 0.0)
        values = np.where(inside, values / weights, 0.0)
        weights = np.where(inside, np.minimum(weights, 1.0), 1.0)
        height = geometry.biharmonic_interpolation(base[rows], faces, values, weights, length=LENGTH_MM)
        height = np.where(inside, np.clip(height, LOWEST_MM, HIGHEST_MM), 0.0)
    out = np.zeros(skin)
    out[rows] = height
    return out


def _smooth(values: FloatArray) -> FloatArray:
    """Return values (k,) smoothed along the rays, without outliers; unknown ones (NaN) stay unknown."""
    known = ~np.isnan(values)
    near = sliding_window_view(np.pad(values, WINDOW, constant_values=np.nan), 2 * WINDOW + 1)
    count = (~np.isnan(near)).sum(axis=1)
    middle = np.sort(near, axis=1)[np.arange(len(values)), np.maximum(count - 1, 0) // 2]  # NaN comes last
    kernel = np.exp(-0.5 * np.arange(-WINDOW, WINDOW + 1) ** 2)
    total = np.convolve(np.where(known, middle, 0.0), kernel, "same")
    weight = np.convolve(known.astype(np.float64), kernel, "same")
    return np.asarray(np.where(known, total / np.maximum(weight, 1e-9), np.nan))
