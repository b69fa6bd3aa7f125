"""What a photo shows of an atlas: the texels of the head that it shows in their own class, and their colours."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.face_model.template import Template
from facegeom.images.boxes import Box
from facegeom.images.crop import apply_affine, crop_affine, invert_affine
from facegeom.texture.appearance import OWN, View
from facegeom.texture.atlas_parts import LARGEST_SMOOTH, atlas_of, ears_of, enlarged, head_parts, zone_of
from facegeom.texture.baking import Atlas, Projection
from facegeom.texture.head_classes import HeadClasses, lab
from facegeom.texture.occluders import occluders

SURE_SKIN = 0.9  # probability of skin from which a texel with unusual colours is no occluder
ODD_LIGHT, ODD_COLOUR = 34.0, 22.0  # differences (L*, and a* with b*) from the face that skin of ears and neck has not
STRANGE, COLOURFUL = (-14.0, 26.0, -20.0), 12.0
"""Largest a*, least difference of a* with b*, and least L*, relative to the skin, of colours that no face has: green
and yellow ones, but not those of dark lenses; and their least chroma, which a grey beard does not have."""
FOREIGN_LIGHT, FOREIGN_COLOUR = 30.0, 18.0
"""Least differences (L*, brighter; a* with b*) from the hair of what is no hair: lamps behind it, hands, slides."""
OBJECT = (0.01, 0.05)  # least width of such an object, and width of its margin, relative to the side of the atlas
BRIGHT, LEAST_SCALE = 60.0, 0.4  # L* of skin below which these differences are smaller, and how much at most
LEAST_SEEN = 0.5  # minimum visibility of a known texel; the outline of the mask has an error of one or two pixels
HAIR_FACING = 0.3  # least cosine to the line of sight of hair on the face: at the outline, hair behind it shows through
EAR_MARGIN = 3  # width in pixels of the margin of skin on the ears, 2 mm on each side, see `HeadClasses`
LEAST_EAR = 0.15  # minimum visibility of a known texel of an ear, which a photo from the front shows from the side
BARE_EAR = 0.75  # minimum mean probability of skin on the visible texels of an ear that no hair covers


class ShownTexels(NamedTuple):
    """What a photo shows of an atlas.

    Attributes
    ----------
    texture : (S, S, 3) uint8 array, colours of the photo
    known : (S, S) bool array, texels that the photo shows in their own class
    refused : (S, S) bool array, texels at which the photo shows another class
    hair : (S, S) float32 array in [0, 1], texels of the face near the scalp at which the photo shows hair
    is_hair : (S, S) bool array, texels near the scalp and on it at which the photo shows hair
    """

    texture: ByteArray
    known: BoolArray
    refused: BoolArray
    hair: Float32Array
    is_hair: BoolArray


def shown_texels(
    template: Template,
    atlas: Atlas,
    view: View,
    classes: HeadClasses,
    grown: BoolArray | None = None,
) -> ShownTexels:
    """Return what a photo shows of an atlas.

    Texels of skin on the face have to be inside the mask of the maps, where the shape is sure. Those of bare ears have
    to be skin with a narrow margin; the others have to be inside the head of the photo. What the texels of a large
    atlas show is decided in an atlas with `LARGEST_SMOOTH` texels a side, which is as fine as the depth and the classes
    of the photo.

    Parameters
    ----------
    template : Template
    atlas : Atlas of the template's fine topology
    view : View of the fine vertices
    classes : HeadClasses of the photo
    grown : (n,) bool array, coarse vertices that are hair as shape
    """
    small = atlas_of(template, min(atlas.size, LARGEST_SMOOTH))
    projection = Projection(small, view.photo, view.camera, view.vertices)
    shown = _judged(template, small, projection, view, classes, grown)
    if small.size == atlas.size:
        return shown

    def from_small(picture: BoolArray | Float32Array) -> Float32Array:
        return enlarged(np.asarray(small.fill_gutter(picture.astype(np.float32)), np.float32), atlas.size)

    known, refused, is_hair = (
        np.asarray((from_small(mask) > 0.5) & atlas.covered, np.bool_)
        for mask in (shown.known, shown.refused, shown.is_hair)
    )
    rows = np.flatnonzero(atlas.texels(known))
    texture = atlas.image_of(rows, projection.on(atlas).colors(rows))
    hair = np.asarray(from_small(shown.hair) * atlas.covered, np.float32)
    return ShownTexels(np.asarray(texture, np.uint8), known, refused, hair, is_hair)


def _judged(
    template: Template,
    atlas: Atlas,
    projection: Projection,
    view: View,
    classes: HeadClasses,
    grown: BoolArray | None,
) -> ShownTexels:
    """Return what a photo shows of an atlas, decided for each of its texels."""
    parts = head_parts(template, atlas)
    zone, face = atlas.texels(zone_of(template, atlas, grown)), atlas.texels(parts.face)
    raised = np.zeros(len(atlas.triangle), np.float32)
    if grown is not None:
        raised = atlas.carry(template.carry(grown.astype(np.float64))[:, None])[:, 0]
    skin = atlas.triangle < template.fine.skin_triangles
    inner, sure_inner = projection.shown(view.maps.mask, view.maps.box, face)
    head, box = _head_mask(classes)
    outer, sure_outer = projection.shown(head, box, ~face | (zone > 0))
    bare = np.zeros(len(atlas.triangle), np.bool_)
    for ear in ears_of(template):
        bare[_bare_ear(atlas, projection, view, classes, box, atlas.inside(ear))] = True
    sure = np.full((2, len(atlas.triangle)), -1.0, np.float32)
    sure[0, inner], sure[1, outer] = sure_inner, sure_outer
    rows = np.flatnonzero((sure.max(axis=0) >= 0) | bare)
    sure_inner, sure_outer = sure[:, rows]
    bare = bare[rows]
    found = classes.at(atlas.carry(view.place, rows))
    is_skin = np.where(atlas.texels(parts.ears)[rows], bare, found[:, 0] > OWN)
    # Between hair and skin, such as at the end of a fringe, the photo shows the person, whichever of both it is.
    is_hair = (zone[rows] > 0.5) & ((found[:, 1] > OWN) | ((found[:, 3] > OWN) & ~is_skin))
    is_hair |= (found[:, 3] > OWN) & (raised[rows] > 0.5)
    is_hair &= ~face[rows] | (atlas.carry(view.facing[:, None], rows)[:, 0] > HAIR_FACING)
    of_face = face[rows] & ~is_hair
    near_scalp = zone[rows] > 0  # where the mask of the maps ends below the hairline
    seen_well = np.where(of_face & ~near_scalp, sure_inner, np.maximum(sure_inner, sure_outer)) > LEAST_SEEN
    seen_well |= bare
    colors = projection.colors(rows)
    known = seen_well & (is_skin | is_hair)
    known &= ~(atlas.texels(parts.ears)[rows] & (raised[rows] > 0.5))  # the folds of a covered ear are no hair

    def picture(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return atlas.image_of(rows, values)

    texture = np.asarray(picture(colors), np.uint8)
    covered = of_face & (found[:, 0] < SURE_SKIN)
    covered &= atlas.texels(occluders(texture, np.asarray(picture(known & of_face), np.bool_)))[rows]
    # The parts behind the skin are painted without the shadows of the photo.
    odd = seen_well & is_skin & ~face[rows]
    odd[odd] = unlike(colors[odd], classes.skin)
    objects = of_face & seen_well & is_skin & strange(colors, classes.skin)
    if objects.any():  # lenses may have such colours, too
        places = atlas.carry(view.place, rows[objects])
        objects[objects] = replace(classes, eyewear="remove").at(places)[:, 0] > OWN
        odd |= of_face & (atlas.texels(_grown(np.asarray(picture(objects), np.uint8)))[rows] > 0)
    objects = seen_well & is_hair & (found[:, 1] > OWN) & foreign(colors, classes.hair)
    if objects.any():
        odd |= is_hair & (atlas.texels(_grown(np.asarray(picture(objects), np.uint8)))[rows] > 0)
    known &= skin[rows] & ~covered & ~odd
    refused = skin[rows] & (covered | odd | (seen_well & ~is_skin & ~is_hair))
    hair = np.asarray(picture(found[:, 2] * zone[rows] * face[rows]), np.float32)
    soft = np.asarray(cv2.blur(hair, (5, 5)), np.float32)
    return ShownTexels(
        texture,
        np.asarray(picture(known), np.bool_),
        np.asarray(picture(refused), np.bool_),
        soft,
        np.asarray(picture(is_hair & ~is_skin), np.bool_),
    )


def _bare_ear(
    atlas: Atlas, projection: Projection, view: View, classes: HeadClasses, box: Box, ear: BoolArray
) -> IntArray:
    """Return the rows (r,) of the covered texels of an ear, a mask (t,) of them, at which the photo shows its skin.

    A photo from the front shows narrow stripes of an ear, so that the margin to other classes is narrow, too. An ear
    that is mostly hair in the photo lies below it, or elsewhere than in the photo: none of its texels count.
    """
    square = np.ones((len(classes.probability),) * 2, np.bool_)
    rows, seen = projection.shown(square, box, ear)
    rows = rows[seen > LEAST_EAR]
    places = atlas.carry(view.place, rows)
    if not len(rows) or replace(classes, margin=1).at(places)[:, 0].mean() < BARE_EAR:
        return rows[:0]
    return rows[replace(classes, margin=EAR_MARGIN).at(places)[:, 0] > OWN]


def unlike(colors: ByteArray, skin: FloatArray | None) -> BoolArray:
    """Return which colours (t, 3) are not those of the skin in any light, (t,), such as those of a collar."""
    if skin is None or not len(colors):
        return np.zeros(len(colors), np.bool_)
    usual = lab(skin[None, None])
    light, red, yellow = (lab(colors[:, None]) - usual)[:, 0].T
    scale = float(np.clip(usual[0, 0, 0] / BRIGHT, LEAST_SCALE, 1.0))  # all colours of a dark photo are near each other
    return np.asarray((np.abs(light) > scale * ODD_LIGHT) | (np.hypot(red, yellow) > scale * ODD_COLOUR), np.bool_)


def strange(colors: ByteArray, skin: FloatArray | None) -> BoolArray:
    """Return which colours (t, 3) no part of a face has, (t,): those of a ball that the network takes for skin."""
    if skin is None or not len(colors):
        return np.zeros(len(colors), np.bool_)
    found = lab(colors[:, None])
    light, red, yellow = (found - lab(skin[None, None]))[:, 0].T
    colourful = np.hypot(*found[:, 0, 1:].T) > COLOURFUL
    return np.asarray(
        colourful & (red < STRANGE[0]) & (np.hypot(red, yellow) > STRANGE[1]) & (light > STRANGE[2]), np.bool_
    )


def foreign(colors: ByteArray, hair: FloatArray | None) -> BoolArray:
    """Return which colours (t, 3) hair of some colour does not have, (t,)."""
    if hair is None or not len(colors):
        return np.zeros(len(colors), np.bool_)
    light, red, yellow = (lab(colors[:, None]) - lab(hair[None, None]))[:, 0].T
    return np.asarray((light > FOREIGN_LIGHT) | (np.hypot(red, yellow) > FOREIGN_COLOUR), np.bool_)


def _grown(mask: ByteArray) -> ByteArray:
    """Return the larger parts of a mask (S, S) with a margin, in which its edges are mixed with what is around."""
    least, margin = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, round(w * len(mask))),) * 2) for w in OBJECT)
    return np.asarray(cv2.dilate(cv2.morphologyEx(mask, cv2.MORPH_OPEN, least), margin), np.uint8)


def _head_mask(classes: HeadClasses) -> tuple[BoolArray, tuple[float, float, float, float]]:
    """Return a mask (M, M) of the pixels of skin and hair, and its box, an upright square in the photo."""
    size = len(classes.probability)
    corners = np.array([(-0.5, -0.5), (size - 0.5, -0.5), (size - 0.5, size - 0.5), (-0.5, size - 0.5)])
    in_photo = apply_affine(invert_affine(classes.affine), corners)
    middle, half = in_photo.mean(axis=0), 0.5 * float(np.ptp(in_photo, axis=0).max())
    box = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
    fine = 2 * size
    to_photo = invert_affine(crop_affine(box, fine))
    columns, rows = np.meshgrid(np.arange(fine), np.arange(fine))
    places = apply_affine(to_photo, np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64))
    found = classes.at(places)[:, 3].reshape(fine, fine)
    return np.asarray(found > OWN, np.bool_), (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
