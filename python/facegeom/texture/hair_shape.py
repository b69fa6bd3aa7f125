"""Hair as shape: the skin of a head raised to the outline of the hair in a photo, and carried around the head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import load_face_model
from facegeom.face_model.covered_ears import SIDES, flat_ear, with_flat_ears
from facegeom.face_model.template import Template
from facegeom.images.camera import Camera
from facegeom.networks.segmentation_crop import COVER, HEAD_HAIR
from facegeom.texture.appearance import OWN
from facegeom.texture.diffusion import diffused
from facegeom.texture.hair import hairy_vertices
from facegeom.texture.hair_growth import SkinView, crown, hair_share
from facegeom.texture.hair_outline import AXIS_MM, BARE, CUT, HAIR, NONE, HairOutline, Rays, hair_outline, head_outline
from facegeom.texture.head_classes import SURE, HeadClasses

WINDOW, LEAST_NEAR = 4, 3  # rays on each side of the median of the outline, and more than how many must be known
SOFTNESS, AROUND = 3.0, 8.0  # standard deviations in rays of the mean after it, and of the height around
EVENNESS = (0.7, 1.4)  # least and largest height relative to that
OTHER_SIDE = 0.35  # weight of the height on the other side of a head that looks ahead
CUT_WEIGHT = 0.2  # weight of a height beyond the border of the photo
ROUNDS = 2  # rounds in which the outline of the raised head approaches that of the hair
NEAR_MM = 5.0  # distance from the outline at which the weight of a vertex falls to exp(-1)
LENGTH_MM = 6.0  # smoothing length of the height of the hair
PRIOR = 3e-4  # weight of the usual height; range LENGTH_MM / PRIOR^(1/4) = 46 mm
USUAL = 0.7  # usual height relative to the mean height at the outline
MIRRORED = 0.2  # weight of a height on the other side of the head
LOWEST_MM, HIGHEST_MM = 2.0, 75.0  # limits of the height
BARE_TAPER = 0.2  # the same relative to the distance from a bare scalp
TAPER = 0.5  # largest height of hair beside a free ear, relative to the distance from the ear
SHORT_MM = 20.0
"""Largest height of the hair beside a bald crown, which covers no ears: what is wider is background that the network
takes for hair."""
CHEEK_TOP_MM = 20.0  # height above the eyes of the top of the cheeks and temples
BROWS_MM, CHEEKS_MM = 32.0, 42.0  # height above the eyes, or distance from the midline, of hair before the face
EDGE_MM = (56.0, -15.0)  # distance from the midline from which, and depth to which the face lies beside the ears
FRINGE_REACH_MM = 45.0  # largest distance from the scalp and covered ears of hair before the face
BESIDE_MM = 8.0  # width of the seam between hair and skin of the face
FRINGE_MM, FRINGE_WEIGHT = 4.0, 0.3  # its height, and the weight of this height
SMOOTH_MM2 = 30.0  # diffusion time of the border between hair and face, mm^2: ragged borders would be torn to stripes
SLOPE = 1.2  # largest height of hair beside the face, / distance from the face: steeper hair shows no pixels
FACING = 0.2  # cosine between normal and line of sight from which a vertex of the face shows its pixel
LEAST_EAR = 0.5  # least share of an ear that the photo shows
LEAST_HAIR = 0.25  # least share of hair among the pixels of an ear that hair covers
COVERED = 0.45  # the same among those of hair and skin
AHEAD = 0.35  # sine of the yaw of a head up to which it looks ahead
AWAY = -0.12  # sine of the angle between the line of sight and an ear, from which the ear is like the other one
COVER_SHARE = 0.3  # least ratio of the pixels of a hat above the eyes to those of hair
LEAST_RAYS = 8  # rays with hair of a head with hair
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
    the smoothest one (biharmonic interpolation), near a usual height; it is 0 at the hairline.

    Parameters
    ----------
    template : Template of the whole head
    V : (n, 3) float array, vertices of the coarse topology, mm
    camera : Camera of the photo
    classes : HeadClasses of the photo, wide enough for the outline of the hair
    photo : width and height of the photo in pixels
    """
    if classes.hair is None or classes.hat or _below_a_cover(classes):
        return None
    coarse = template.coarse
    skin = coarse.skin_count
    rays = Rays.of(camera)
    bare = with_flat_ears(template, V[:skin], SIDES)
    shown = SkinView.of(template, V[:skin], camera, classes, photo)
    bare_scalp = hairy_vertices(template)[:skin] & (hair_share(template, shown) < OWN)
    bald = bare_scalp[crown(template)].mean() > OWN
    covered = () if bald else covered_ears(template, shown, camera)
    base = bare if covered == SIDES else with_flat_ears(template, V[:skin], covered)
    shown = SkinView.of(template, base, camera, classes, photo)
    head = head_outline(camera.view(bare), coarse.skin_faces, rays)
    outline = hair_outline(classes, camera, photo, rays, head, SHORT_MM if bald else HIGHEST_MM)
    if (outline.kind == HAIR).sum() < LEAST_RAYS:
        return None
    lowest = _lowest(rays, outline)
    member = _member(template, covered, lowest) & ~bare_scalp
    fringe, beside = _fringe(template, member, shown)
    member |= beside | _before_ears(template, covered, lowest, shown)
    member = _of_scalp(template, _smooth(template, member))
    highest = _highest(template, covered, bare_scalp & bald, member)
    height = _height(template, base, member, covered, fringe, highest, camera, rays, outline)
    if height is None:
        return None
    displacement = np.zeros_like(V)
    displacement[:skin] = base - V[:skin] + height[:, None] * outward(base)
    grown = np.zeros(len(V), np.bool_)
    grown[:skin] = member
    return HairShape(displacement, grown)


def _below_a_cover(classes: HeadClasses) -> bool:
    """Return whether a hat or a scarf hides a part of the hair: cover in the upper half of the crop."""
    upper = classes.probability[: len(classes.probability) // 2] > SURE
    return bool(upper[..., COVER].sum() > COVER_SHARE * upper[..., HEAD_HAIR].sum())


def outward(V: FloatArray) -> FloatArray:
    """Return the unit vectors (n, 3) from the nearest points of the axis of the head to points (n, 3), mm."""
    top, bottom = AXIS_MM
    along = np.clip((V - top) @ (bottom - top) / ((bottom - top) @ (bottom - top)), 0, 1)
    away = V - top - along[:, None] * (bottom - top)
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6))


def covered_ears(template: Template, shown: SkinView, camera: Camera) -> tuple[str, ...]:
    """Return the sides whose ears are covered by hair in the photo; a hidden ear is like the other.

    Parameters
    ----------
    template : Template of the whole head
    shown : SkinView of the head without hair
    camera : Camera of the photo
    """
    found: dict[str, bool] = {}
    for side, across in zip(SIDES, (1.0, -1.0), strict=True):
        ear = template.coarse.regions[f"ear_{side}"][: len(shown.facing)] & (shown.facing > FACING)
        if across * camera.rotation[2, 0] < AWAY or not ear.any():
            continue
        skin, hair, _, either = (shown.own[ear] > OWN).T
        if either.mean() > LEAST_EAR:
            found[side] = bool(hair.mean() > max(LEAST_HAIR, COVERED * (hair | skin).mean()))
    if len(found) == 1:
        return SIDES if next(iter(found.values())) else ()
    return tuple(side for side in SIDES if found.get(side, False))


def _fringe(template: Template, member: BoolArray, shown: SkinView) -> tuple[BoolArray, BoolArray]:
    """Return the vertices of forehead, temples and cheeks before which the photo shows hair, (s,), and those and the
    ones beside them, (s,).
    """
    skin = len(member)
    places = load_face_model().mean[template.vertices][:skin]
    aside = (places[:, 1] > BROWS_MM) | (np.abs(places[:, 0]) > CHEEKS_MM)
    near = np.flatnonzero(template.coarse.regions["face"][:skin] & ~member & aside & (shown.facing > FACING))
    near = near[geometry.nearest(places[member], places[near])[1] < FRINGE_REACH_MM]
    fringe, beside = np.zeros((2, skin), np.bool_)
    fringe[near] = shown.own[near, 1] > OWN
    near = near[shown.own[near, 2] > OWN]
    beside[near] = geometry.nearest(places[member | fringe], places[near])[1] < BESIDE_MM
    return fringe, beside


def _before_ears(template: Template, covered: tuple[str, ...], lowest: float, shown: SkinView) -> BoolArray:
    """Return the vertices of the face before covered ears at which the photo shows no skin, (s,)."""
    skin = template.coarse.skin_count
    x, y, z = load_face_model().mean[template.vertices][:skin].T
    out = np.zeros(skin, np.bool_)
    for side in covered:
        out |= (x if side == "left" else -x) > EDGE_MM[0]
    out &= template.coarse.regions["face"][:skin] & (z < EDGE_MM[1]) & (y > max(lowest, NECK_MM))
    return np.asarray(out & ~((shown.facing > FACING) & (shown.own[:, 0] > OWN)), np.bool_)


def _member(template: Template, covered: tuple[str, ...], lowest: float) -> BoolArray:
    """Return the vertices of the coarse skin that hair may raise, (s,): the scalp, covered ears, and the neck beside
    long hair.
    """
    coarse = template.coarse
    skin = coarse.skin_count
    x, y, z = load_face_model().mean[template.vertices][:skin].T
    scalp, neck = coarse.regions["scalp"][:skin], coarse.regions["neck"][:skin]
    member = hairy_vertices(template)[:skin].copy()
    for side in covered:
        member |= coarse.regions[f"ear_{side}"][:skin] | (scalp & ((x if side == "left" else -x) > 0))
    if lowest < NECK_MM:
        member |= (neck | scalp) & (y > lowest) & (z < BEHIND_MM)
    return member


def _smooth(template: Template, member: BoolArray) -> BoolArray:
    """Return a mask (s,) of vertices of hair that has a smooth border on the face."""
    soft = diffused(template, member.astype(np.float64)[:, None], SMOOTH_MM2)[:, 0]
    return np.asarray(np.where(template.coarse.regions["face"][: len(member)], soft > 0.5, member))


def _of_scalp(template: Template, member: BoolArray) -> BoolArray:
    """Return the vertices (s,) of a mask that are connected to the scalp."""
    coarse = template.coarse
    faces = coarse.skin_faces[member[coarse.skin_faces].all(axis=1)]
    part = geometry.connected_components(faces, len(member))
    top = part[coarse.regions["scalp"][faces].all(axis=1)]
    out = np.zeros(len(member), np.bool_)
    out[faces[part == np.bincount(top).argmax()]] = True
    return out


def _lowest(rays: Rays, outline: HairOutline) -> float:
    """Return the height, mm in the face frame, of the lowest row at which the photo shows hair beside the head."""
    rows = np.concatenate([np.arange(rays.rows, 0, -1), np.zeros(rays.fan + 1), np.arange(1, rays.rows + 1)])
    share = rows[outline.hairy].max() / rays.rows
    return float(AXIS_MM[0, 1] + share * (AXIS_MM[1, 1] - AXIS_MM[0, 1]))


def _height(
    template: Template,
    base: FloatArray,
    member: BoolArray,
    covered: tuple[str, ...],
    fringe: BoolArray,
    highest: FloatArray,
    camera: Camera,
    rays: Rays,
    outline: HairOutline,
) -> FloatArray | None:
    """Return the height of the hair on the coarse skin, (s,) mm, 0 where no hair is; None if it is nearly 0.

    `highest` (s,) is the largest height.
    """
    coarse = template.coarse
    skin = coarse.skin_count
    ears = [flat_ear(template, side) for side in covered]
    solved = member.copy()
    for ear in ears:
        solved[ear.ear] = False
    of_ear = member & ~solved
    corners = coarse.skin_faces
    triangles = corners[solved[corners].any(axis=1) & ~of_ear[corners].any(axis=1)]
    rows = np.unique(triangles)
    place = np.full(skin, -1)
    place[rows] = np.arange(len(rows))
    faces, inside = place[triangles], member[rows]
    mirror = place[coarse.mirror[rows]]
    normal = outward(base[rows])
    across = camera.view(normal)[:, :2]
    known_fringe = fringe[rows]
    highest = highest[rows]
    height = np.zeros(len(rows))
    # Above the middle of the skull, skin at the outline is a bald part of the head; below, it is an ear or a cheek.
    bare_ray = outline.kind == BARE
    bare_ray[rays.rows : len(rays) - rays.rows] = False
    target = np.where((outline.kind != NONE) & ~bare_ray, outline.distance, np.nan)
    ahead = abs(camera.rotation[2, 0]) < AHEAD
    for number in range(ROUNDS):
        view = camera.view(base[rows] + height[:, None] * normal)
        now = head_outline(view, faces, rays)
        if number == 0:
            target = now + even_heights(target - now, outline.kind == CUT, rays, ahead=ahead)
        change = target - now
        ray, distance = rays.places(view[:, :2])
        slot = np.clip(np.rint(ray), 0, len(rays) - 1).astype(np.int64)
        on = (ray > -0.5) & (ray < len(rays) - 0.5) & inside & (bare_ray | ~np.isnan(target))[slot]
        bare = bare_ray[slot]
        along = np.maximum(np.einsum("nd,nd->n", across, rays.directions[slot]), 0.5)
        weight = np.where(on, np.exp(-(((now[slot] - distance) / NEAR_MM) ** 2)), 0.0)
        weight[outline.kind[slot] == CUT] *= CUT_WEIGHT
        wanted = np.where(bare, 0.0, height + np.nan_to_num(change[slot]) / along)
        wanted = np.clip(wanted, LOWEST_MM, highest)
        if number == 0:
            of_hair = np.where(bare, 0.0, weight)
            if not of_hair.sum() > 1.0:
                return None
            usual = USUAL * float((of_hair * wanted).sum() / of_hair.sum())
        values, weights = weight * wanted, weight.copy()
        both = mirror >= 0
        values[both] += MIRRORED * (weight * wanted)[mirror[both]]
        weights[both] += MIRRORED * weight[mirror[both]]
        values += PRIOR * usual
        weights += PRIOR
        values += np.where(known_fringe, FRINGE_WEIGHT * FRINGE_MM, 0.0)
        weights += np.where(known_fringe, FRINGE_WEIGHT, 0.0)
        values = np.where(inside, values / weights, 0.0)
        weights = np.where(inside, np.minimum(weights, 1.0), 1.0)
        height = geometry.biharmonic_interpolation(base[rows], faces, values, weights, length=LENGTH_MM)
        height = np.where(inside, np.clip(height, LOWEST_MM, highest), 0.0)
    out = np.zeros(skin)
    out[rows] = height
    for ear in ears:
        out[ear.ear] = ear.weights @ out[ear.ring]
    return out


def _highest(template: Template, covered: tuple[str, ...], bare_scalp: BoolArray, member: BoolArray) -> FloatArray:
    """Return the largest height of hair on the coarse skin, (s,) mm: hair is flat beside free ears, a bald crown, and
    the cheeks before covered ears.
    """
    coarse = template.coarse
    skin = coarse.skin_count
    places = load_face_model().mean[template.vertices][:skin]
    highest = np.full(skin, HIGHEST_MM)
    for side in SIDES:
        if side not in covered:
            away = geometry.nearest(places[coarse.regions[f"ear_{side}"][:skin]], places)[1]
            highest = np.minimum(highest, LOWEST_MM + TAPER * away)
    cheeks = coarse.regions["face"][:skin] & ~member & (places[:, 1] < CHEEK_TOP_MM)
    if covered and cheeks.any():
        away = geometry.nearest(places[cheeks], places)[1]
        highest = np.minimum(highest, LOWEST_MM + SLOPE * away)
    if bare_scalp.any():
        away = geometry.nearest(places[bare_scalp], places)[1]
        highest = np.minimum(highest, LOWEST_MM + BARE_TAPER * away)
    return highest


def even_heights(height: FloatArray, cut: BoolArray, rays: Rays, *, ahead: bool) -> FloatArray:
    """Return heights of hair (k,), mm, without bumps and steps; NaN where no or hardly any ray around has a height.

    Hair that goes on beyond the border of the photo has the height of the nearest rays on both sides, at least what the
    photo shows. Above the middle of the skull, heights are limited relative to the mean height around. The least height
    matters where the skull is higher than the hair in the photo: the top would become flat.

    Parameters
    ----------
    height : (k,) float array, mm, height of the outline of the hair above that of the head; NaN: not known
    cut : (k,) bool array, rays on which hair goes on beyond the border of the photo
    rays : Rays
    ahead : whether the head looks ahead, so that both of its sides are alike
    """
    number = np.arange(len(height))
    shown = ~np.isnan(height) & ~cut
    shown &= np.convolve(shown, np.ones(2 * WINDOW + 1), "same") > LEAST_NEAR
    if not shown.any():
        return height
    median = _windowed(np.where(shown, height, np.nan), WINDOW)
    even = np.interp(number, number[shown], median[shown])
    even = np.where(cut, np.fmax(even, height), even)
    known = shown | cut
    around = _mean(even, known, AROUND)
    above = (number >= rays.rows) & (number <= rays.rows + rays.fan)
    even = np.where(above, np.clip(even, *(limit * np.maximum(around, 0.0) for limit in EVENNESS)), even)
    even = np.where(known, _mean(even, known, SOFTNESS), np.nan)
    if ahead:
        both = known & known[::-1]
        even[both] += OTHER_SIDE * (even[::-1] - even)[both]
    return np.asarray(even)


def _windowed(values: FloatArray, reach: int) -> FloatArray:
    """Return the median (k,) of the known values (k,) within `reach`; NaN is not known."""
    near = np.sort(sliding_window_view(np.pad(values, reach, constant_values=np.nan), 2 * reach + 1), axis=1)
    count = (~np.isnan(near)).sum(axis=1)  # NaN comes last
    return np.asarray(near[np.arange(len(values)), np.maximum(count - 1, 0) // 2])


def _mean(values: FloatArray, known: BoolArray, deviation: float) -> FloatArray:
    """Return the mean (k,) of the known values (k,) with Gaussian weights of a standard deviation in rays."""
    reach = np.arange(-int(3 * deviation), int(3 * deviation) + 1)
    kernel = np.exp(-0.5 * (reach / deviation) ** 2)
    total, weight = (
        np.convolve(part, kernel)[len(reach) // 2 :][: len(values)] for part in (np.where(known, values, 0.0), known)
    )
    return np.asarray(total / np.maximum(weight, 1e-9))
