"""Ears and skull of a head, moved to the outline of the head in a photo.

A fit follows the face. Its camera has no perspective, so that skull and ears, which lie up to 100 mm behind the face,
come out too large: in photos from 1 to 1.5 m, ears lie 4 to 13 mm too far out. Where the photo shows the outline on
both sides of a head that looks ahead, this moves the skin behind the face smoothly towards it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.threads import load_once, one_thread
from facegeom.face_model import load_face_model
from facegeom.face_model.covered_ears import SIDES
from facegeom.face_model.template import Template
from facegeom.images.camera import Camera
from facegeom.texture.hair_outline import AXIS_MM, BARE, HAIR, ROW_MM, HairOutline, Rays, hair_outline, head_outline
from facegeom.texture.head_classes import HeadClasses

TURNED = 0.42  # sine of the yaw from which the photo does not show both sides of the head
LEAST_ROWS = 5  # rows with skin at the outline of an ear that is seen
ROOTS = 2  # rows at both ends of an ear that do not count
LARGEST_SPREAD_MM = 6.0  # largest interquartile range of the distances of an ear
EAR_MM = (-3.0, 14.0)  # limits of the motion of the ears inwards
UNEQUAL_MM = 3.0  # largest difference of the motion of one ear from the mean of both
LEAST_PAIRS = 8  # rays above the head with an outline on both sides
HAIR_MM = 4.0  # usual height of flat hair: the skull lies at least as far inside its outline
SIDES_MM, TOP_MM = (-3.0, 12.0), (-3.0, 9.0)  # limits of the motion inwards of the sides and of the top of the skull
RAY_MM = (-25.0, 5.0)  # limits of the distance on a single ray
WITH_EARS = 0.7  # least motion of the sides of the skull relative to that of the ears
BACK = 0.8  # motion of the back of the head, which no photo shows, relative to that of top and sides
SKULL_REACH_MM, EAR_REACH_MM = 60.0, 30.0  # distances from the face at which skull and ears move with full weight
BESIDE_MM = 25.0  # distance from an ear at which the skin no longer moves with it
NECK_MM = (-100.0, -40.0)  # heights below which nothing moves, and above which everything does


class HeadMotion(NamedTuple):
    """Motion inwards of parts of a head, mm.

    Attributes
    ----------
    sides, top : motion of the skull at its sides and at its top
    ears : motion of the left and of the right ear
    """

    sides: float
    top: float
    ears: tuple[float, float]


@one_thread()
def fitted_outline(
    template: Template, V: FloatArray, camera: Camera, classes: HeadClasses, photo: tuple[int, int]
) -> FloatArray:
    """Return the vertices (n, 3), mm, of a head whose skull and ears are moved to their outline in a photo.

    The face and what lies behind its openings stay. The motion is bounded, and needs evidence on both sides of the
    head; without it, as in profiles or below hats, the head stays as it is.

    Parameters
    ----------
    template : Template of the whole head
    V : (n, 3) float array, vertices of the coarse topology, mm
    camera : Camera of the photo
    classes : HeadClasses of the photo
    photo : width and height of the photo in pixels
    """
    motion = head_motion(template, V, camera, classes, photo)
    if motion is None:
        return V
    field = _field(template)
    inwards = field.skull @ (motion.sides, motion.top, 0.5 * BACK * (motion.sides + motion.top))
    skin = -inwards[:, None] * field.outward
    for near, aside, moved in zip(field.near, (1.0, -1.0), motion.ears, strict=True):
        skin *= (1.0 - near)[:, None]
        skin[:, 0] -= aside * moved * near * field.ear
    out = V.copy()
    out[: len(skin)] += skin
    return out


def head_motion(
    template: Template, V: FloatArray, camera: Camera, classes: HeadClasses, photo: tuple[int, int]
) -> HeadMotion | None:
    """Return how far the parts of a head move inwards, see `fitted_outline`; None if the photo does not tell."""
    if abs(camera.rotation[2, 0]) > TURNED:
        return None
    rays, outline, distance, rows = _distances(template, V, camera, classes, photo)
    ears = _ears(distance, outline, rows)
    skull = None if classes.hat else _skull(distance, outline, rays)
    if ears is None and skull is None:
        return None
    sides, top = (0.0, 0.0) if skull is None else skull
    if ears is None:
        return HeadMotion(sides, top, (max(sides, 0.0), max(sides, 0.0)))
    return HeadMotion(max(sides, WITH_EARS * 0.5 * sum(ears)), top, ears)


def ear_distances(
    template: Template, V: FloatArray, camera: Camera, classes: HeadClasses, photo: tuple[int, int]
) -> FloatArray:
    """Return how far the left and the right ear in a photo lie outside those of a head, median over rows, (2,) mm.

    It is negative if the ears of the head lie too far out, and NaN for an ear whose outline the photo does not show.
    The arguments are those of `fitted_outline`.
    """
    _, outline, distance, rows = _distances(template, V, camera, classes, photo)
    shown = [distance[row[outline.kind[row] == BARE]] for row in rows]
    return np.array([float(np.median(one)) if len(one) >= LEAST_ROWS else float("nan") for one in shown])


def _distances(
    template: Template, V: FloatArray, camera: Camera, classes: HeadClasses, photo: tuple[int, int]
) -> tuple[Rays, HairOutline, FloatArray, list[IntArray]]:
    """Return rays, the outline in the photo, how far it lies outside the head on each ray, and the rows of the ears."""
    rays, seen = Rays.of(camera), camera.view(V[: template.coarse.skin_count])
    head = head_outline(seen, template.coarse.skin_faces, rays)
    outline = hair_outline(classes, camera, photo, rays, head)
    rows = [_rows(template, side, seen, rays) for side in SIDES]
    return rays, outline, outline.distance - head, rows


def _rows(template: Template, side: str, seen: FloatArray, rays: Rays) -> IntArray:
    """Return the rays (k,) that cross the ear of a side, from its top; `seen` are vertices in the camera frame."""
    along = (seen[template.coarse.regions[f"ear_{side}"][: len(seen)], :2] - rays.top) @ rays.down
    first, last = (along.min() / ROW_MM + ROOTS, min(along.max() / ROW_MM - ROOTS, rays.rows))
    rows = np.arange(max(1, int(np.ceil(first))), int(last) + 1)
    return rays.rows - rows if side == "left" else rays.rows + rays.fan + rows


def _ears(distance: FloatArray, outline: HairOutline, rows: list[IntArray]) -> tuple[float, float] | None:
    """Return the motion inwards of both ears, mm; None if the photo does not show the outline of both."""
    found = []
    for row in rows:
        shown = distance[row[outline.kind[row] == BARE]]
        if len(shown) < LEAST_ROWS or np.subtract(*np.percentile(shown, [75, 25])) > LARGEST_SPREAD_MM:
            return None
        found.append(-float(np.median(shown)))
    if max(found) > 2 * EAR_MM[1] or min(found) < 2 * EAR_MM[0]:
        return None
    both = float(np.clip(np.mean(found), *EAR_MM))
    unequal = float(np.clip(0.5 * (found[0] - found[1]), -UNEQUAL_MM, UNEQUAL_MM))
    return both + unequal, both - unequal


def _skull(distance: FloatArray, outline: HairOutline, rays: Rays) -> tuple[float, float] | None:
    """Return the motion inwards of the sides and of the top of the skull, mm; None without an outline on both sides.

    A bald scalp lies at the outline. Hair tells only that the skull is smaller.
    """
    fan = slice(rays.rows, rays.rows + rays.fan + 1)
    kind = outline.kind[fan]
    wanted = np.where(kind == BARE, distance[fan], np.minimum(distance[fan] - HAIR_MM, 0.0))
    wanted = np.clip(np.where((kind == BARE) | (kind == HAIR), wanted, np.nan), *RAY_MM)
    both = 0.5 * (wanted + wanted[::-1])[: rays.fan // 2 + 1]
    known = np.flatnonzero(~np.isnan(both))
    if len(known) < LEAST_PAIRS:
        return None
    across = np.cos(np.linspace(0.0, np.pi, rays.fan + 1)[known]) ** 2
    parts = np.column_stack([across, 1.0 - across])
    normal = parts.T @ parts + np.eye(2)  # a part that few rays show stays
    sides, top = -np.linalg.solve(normal, parts.T @ both[known])
    return float(np.clip(sides, *SIDES_MM)), float(np.clip(top, *TOP_MM))


class _Field(NamedTuple):
    """Weights of the motion at the vertices of the coarse skin."""

    skull: FloatArray  # (s, 3), of the motion of sides, top and back
    outward: FloatArray  # (s, 3), unit vectors
    ear: FloatArray  # (s,), of the motion of an ear: 0 at the face, 1 at its rim
    near: tuple[FloatArray, FloatArray]  # (s,), share of the motion that is that of the left and the right ear


@load_once(maxsize=2)
def _field(template: Template) -> _Field:
    regions, skin = template.coarse.regions, template.coarse.skin_count
    places = load_face_model().mean[template.vertices][:skin]
    from_face = geometry.nearest(places[regions["face"][:skin]], places)[1]
    low, high = NECK_MM
    above = _soft((places[:, 1] - low) / (high - low))
    top, bottom = AXIS_MM
    along = np.clip((places - top) @ (bottom - top) / ((bottom - top) @ (bottom - top)), 0, 1)
    away = places - top - along[:, None] * (bottom - top)
    outward = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    skull = outward**2 * (_soft(from_face / SKULL_REACH_MM) * above)[:, None]
    near = [
        1.0 - _soft(geometry.nearest(places[regions[f"ear_{side}"][:skin]], places)[1] / BESIDE_MM) for side in SIDES
    ]
    ear = _soft(from_face / EAR_REACH_MM) * above
    return _Field(skull, outward, np.asarray(ear), (near[0], near[1]))


def _soft(share: FloatArray) -> FloatArray:
    """Return a smooth step from 0 to 1."""
    share = np.clip(share, 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))
