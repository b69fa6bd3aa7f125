"""The complete texture of a person: baked photo, network completion of the face, continued colours elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.covered_ears import SIDES
from facegeom.face_model.template import Template
from facegeom.images.boxes import Box
from facegeom.images.crop import apply_affine, crop_affine, invert_affine
from facegeom.images.sampling import bilinear
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import TextureNetwork
from facegeom.texture.appearance import OWN, View, behind_colors
from facegeom.texture.baking import Atlas, Projection
from facegeom.texture.completion import Window, complete, texture_network, window_around
from facegeom.texture.continuation import continued_colors, skin_trust
from facegeom.texture.hair import hair_zone, strands
from facegeom.texture.head_classes import HeadClasses, is_grey, lab, without_colour
from facegeom.texture.lid_skin import lid_texels, with_lid_skin
from facegeom.texture.lip_skin import lip_texels, no_lips, with_plain_corners, with_whole_lips
from facegeom.texture.occluders import occluders

FEATHER = 0.06  # width of the blend from the completed face to the extended colours, as a fraction of the atlas side
SIDES_MM, FOREHEAD_MM = (52.0, 64.0), (38.0, 52.0)  # |x| and y on the mean face between which this blend is made, too
CHEEKS_MM = (40.0, 52.0)  # |x| on the cheeks and jaws instead, which have no brows and no corners of the eyes
CHEEK_TOP_MM = (-8.0, -20.0)  # y below which the second of these limits begins to apply, and below which it does
LEAST_PART = 0.1  # minimum area of a known part, as a fraction of the largest; smaller parts have wrong colours
SOFT_FACE = 0.012  # width of the blend from known to completed texels of the face, relative to the side of the atlas
SOFT_EAR = 0.006  # the same for ears, of which a photo from the front shows narrow stripes
SOFT = 0.02  # the same for neck and scalp, where the extended colours follow
SOFT_HAIR = 0.04  # the same for hair on the face, such as a fringe that ends at the temple, where skin follows
LEAST_HIDDEN = 0.02  # minimum area of a hidden part with a soft border, as a fraction of the atlas
SURE_SKIN = 0.9  # probability of skin from which a texel with unusual colours is no occluder
ODD_LIGHT, ODD_COLOUR = 34.0, 26.0  # differences (L*, and a* with b*) from the face that skin of ears and neck has not
LEAST_KNOWN = 0.5  # minimum share of known or completed colours at a vertex from which colours are continued
ZONE_EDGE = 0.4  # change of `hair_zone` over which hair of the photo ends on the face
WHOLE = 0.98  # share of the photo from which the network sees a texel of the face
LARGEST_SMOOTH = 512  # side of the largest atlas in which what the photo shows and colours of vertices are computed
BAND = 128  # number of rows of the atlas that are mixed at a time
LEAST_SEEN = 0.5  # minimum visibility of a known texel; the outline of the mask has an error of one or two pixels
EAR_MARGIN = 3  # width in pixels of the margin of skin on the ears, 2 mm on each side, see `HeadClasses`
LEAST_EAR = 0.15  # minimum visibility of a known texel of an ear, which a photo from the front shows from the side
BARE_EAR = 0.75  # minimum mean probability of skin on the visible texels of an ear that no hair covers


class Painted(NamedTuple):
    """The complete texture of a mesh, and the mask of the texels that come from the photo.

    Attributes
    ----------
    texture : (S, S, 3) uint8 array, the complete texture
    known : (S, S) bool array, texels that the photo shows
    colors : (n, 3) uint8 array, the texture at the template's fine vertices
    """

    texture: ByteArray
    known: BoolArray
    colors: ByteArray


def paint(
    template: Template,
    view: View,
    classes: HeadClasses,
    size: int,
    *,
    network: TextureNetwork | None = None,
    backend: str = DEFAULT_BACKEND,
    grown: BoolArray | None = None,
) -> Painted:
    """Make the complete texture of the template's fine topology from a photo.

    Texels that the photo shows in their own class have the colours of the photo: skin on face, ears and neck, hair or
    skin on the scalp. The inpainting network completes the other texels of the face. All other texels get the colours
    of `continued_colors` and `behind_colors`, without a network. The texture of a photo without colours has none.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template
    classes : HeadClasses of the photo
    size : side length of the atlas in texels, 16 to 2048
    network : TextureNetwork; None: the network that comes with facegeom
    backend : "torch" or "onnx", in which the network that comes with facegeom runs
    grown : (n,) bool array, coarse vertices that are hair as shape; None: hair grows on the scalp only

    Raises
    ------
    ValueError
        When the size is out of range.
    WeightsError
        When the network's weights are missing.
    """
    coarse, places = template.coarse, _places(template, size)
    atlas = _atlas(template, size)
    fixed = _fixed(template, atlas)
    face_texels = fixed.face
    baked, known, refused, hair, is_hair = shown_texels(template, atlas, view, classes, grown)
    known &= ~face_texels | without_slivers(known & face_texels)
    lips = lip_texels(template, atlas)
    known &= ~no_lips(baked, known, lips, 1.0 / view.camera.scale)
    skin = coarse.skin_count
    column, row = np.clip(np.rint(places[:skin]), 0, size - 1).astype(np.int64).T
    hair_seen = known[row, column] & is_hair[row, column]
    sure = _at_texels(template, atlas, skin_trust(template, view, known[row, column] & ~hair_seen))
    of_photo = photo_share(fixed.skin, known, refused, face_texels, is_hair, fixed.ears)
    given = of_photo >= WHOLE  # also in unusual light: the hidden side of a face is like the side that is seen
    of_photo *= np.maximum(sure, np.maximum(is_hair, hair))  # the shadow of a fringe belongs to it
    of_photo[is_hair] *= np.clip((_zone(template, atlas, grown)[is_hair] - 0.5) / ZONE_EDGE, 0.0, 1.0)
    of_face = fixed.trust * sure
    of_face *= 1 - hair
    np.maximum(of_face, of_photo, out=of_face)
    del refused, sure, hair  # a large atlas takes much memory
    layer = _completed(baked, is_hair, known, given, of_photo, fixed, network or texture_network(backend))
    layer = with_plain_corners(with_whole_lips(layer, known, lips), lips)
    for lids in lid_texels(template, atlas):
        layer = with_lid_skin(layer, lids)

    face = (coarse.regions["map"] & coarse.regions["face"])[:skin]
    known_here = np.where(face, of_face[row, column], of_photo[row, column])
    known_here[known_here < LEAST_KNOWN] = 0
    continued = continued_colors(
        template, view, classes, bilinear(layer, places[:skin]), known_here.astype(np.float64), hair_seen, grown
    )
    behind = behind_colors(template, view)
    colors = template.carry(np.concatenate([continued.colors, behind]))
    cover = template.carry(np.concatenate([continued.grown, np.zeros(len(behind))])) * classes.hair_contrast
    texture = _with_beyond(template, atlas, layer, of_face, colors, cover)
    texture = without_colour(texture) if is_grey(classes.image) else texture
    at_vertices = np.rint(bilinear(texture, places)).astype(np.uint8)
    return Painted(texture, known, at_vertices)


def _at_texels(template: Template, atlas: Atlas, values: FloatArray) -> Float32Array:
    """Return values (s,) of the coarse skin at the texels, (S, S); 1 behind the skin."""
    behind = np.ones(len(template.vertices) - len(values))
    carried = template.carry(np.concatenate([values, behind])[:, None])
    return _enlarged(_smooth(template, atlas.size, np.clip(carried, 0, 1))[..., 0], atlas.size)


def _smooth(template: Template, size: int, values: FloatArray) -> Float32Array:
    """Return values (n, k) of the fine vertices in an atlas of at most `LARGEST_SMOOTH` texels a side, (s, s, k)."""
    atlas = _atlas(template, min(size, LARGEST_SMOOTH))
    return np.asarray(atlas.fill_gutter(atlas.image(atlas.carry(values))), np.float32)


def _enlarged(picture: Float32Array, size: int) -> Float32Array:
    """Return a picture (s, s) enlarged to (S, S)."""
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _completed(
    baked: ByteArray,
    is_hair: BoolArray,
    known: BoolArray,
    given: BoolArray,
    of_photo: Float32Array,
    fixed: _Fixed,
    network: TextureNetwork,
) -> ByteArray:
    """Return the photo's texture (S, S, 3) with the face completed by the network, which sees the texels `given`.

    A network that knows the classes of texels sees the whole head, another one the face only.
    """
    window = fixed.window
    seen = (fixed.face if network.usual_hair is None else fixed.skin) & given
    completed = complete(baked, seen, hair=is_hair, window=window, network=network)
    layer = baked.copy()
    share = of_photo[window].copy()
    share[known[window] & (~fixed.face[window] | is_hair[window])] = 1
    layer[window] = cv2.blendLinear(np.ascontiguousarray(layer[window]), completed, share, 1 - share)
    return layer


def _with_beyond(
    template: Template,
    atlas: Atlas,
    layer: ByteArray,
    of_face: Float32Array,
    colors: FloatArray,
    cover: FloatArray,
) -> ByteArray:
    """Return the texture (S, S, 3) that is `layer` with the weight `of_face` (S, S), and elsewhere the colours (n, 3)
    of the fine vertices, with strands where `cover` (n,) is not 0.
    """
    smooth, pattern = _smooth(template, atlas.size, np.column_stack([colors, cover])), strands(template, atlas)
    place = ((np.arange(atlas.size) + 0.5) * (len(smooth) / atlas.size) - 0.5).astype(np.float32)
    result = np.empty_like(layer)
    for start in range(0, atlas.size, BAND):
        rows = slice(start, start + BAND)
        x, y = np.meshgrid(place, place[rows])
        *planes, shade = cv2.split(cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        shade *= pattern[rows]
        shade += 1
        beyond = cv2.merge([plane * shade for plane in planes])
        beyond = np.clip(np.rint(beyond, out=beyond), 0, 255, out=beyond).astype(np.uint8)
        result[rows] = cv2.blendLinear(layer[rows], beyond, of_face[rows], 1 - of_face[rows])
    return np.asarray(atlas.fill_gutter(result), np.uint8)


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
    small = _atlas(template, min(atlas.size, LARGEST_SMOOTH))
    projection = Projection(small, view.photo, view.camera, view.vertices)
    shown = _judged(template, small, projection, view, classes, grown)
    if small.size == atlas.size:
        return shown

    def enlarged(picture: BoolArray | Float32Array) -> Float32Array:
        return _enlarged(np.asarray(small.fill_gutter(picture.astype(np.float32)), np.float32), atlas.size)

    known, refused, is_hair = (
        np.asarray((enlarged(mask) > 0.5) & atlas.covered, np.bool_)
        for mask in (shown.known, shown.refused, shown.is_hair)
    )
    rows = np.flatnonzero(atlas.texels(known))
    texture = atlas.image_of(rows, projection.on(atlas).colors(rows))
    hair = np.asarray(enlarged(shown.hair) * atlas.covered, np.float32)
    return ShownTexels(np.asarray(texture, np.uint8), known, refused, hair, is_hair)


def _zone(template: Template, atlas: Atlas, grown: BoolArray | None) -> Float32Array:
    """Return where hair of the photo is kept, (S, S) in [0, 1]; also where hair as shape has `grown`."""
    zone = hair_zone(template, atlas)
    if grown is None:
        return zone
    of_shape = _smooth(template, atlas.size, template.carry(grown.astype(np.float64))[:, None])[..., 0]
    return np.asarray(np.maximum(zone, _enlarged(of_shape, atlas.size)), np.float32)


def _judged(
    template: Template,
    atlas: Atlas,
    projection: Projection,
    view: View,
    classes: HeadClasses,
    grown: BoolArray | None,
) -> ShownTexels:
    """Return what a photo shows of an atlas, decided for each of its texels."""
    fixed = _fixed(template, atlas)
    face_texels = fixed.face
    zone, face = atlas.texels(_zone(template, atlas, grown)), atlas.texels(face_texels)
    raised = np.zeros(len(atlas.triangle), np.float32)
    if grown is not None:
        raised = atlas.carry(template.carry(grown.astype(np.float64))[:, None])[:, 0]
    skin = atlas.triangle < template.fine.skin_triangles
    inner, sure_inner = projection.shown(view.maps.mask, view.maps.box, face)
    head, box = _head_mask(classes)
    outer, sure_outer = projection.shown(head, box, ~face | (zone > 0))
    bare = np.zeros(len(atlas.triangle), np.bool_)
    for ear in _ears(template):
        bare[_bare_ear(atlas, projection, view, classes, box, atlas.inside(ear))] = True
    sure = np.full((2, len(atlas.triangle)), -1.0, np.float32)
    sure[0, inner], sure[1, outer] = sure_inner, sure_outer
    rows = np.flatnonzero((sure.max(axis=0) >= 0) | bare)
    sure_inner, sure_outer = sure[:, rows]
    bare = bare[rows]
    found = classes.at(atlas.carry(view.place, rows))
    is_skin = np.where(atlas.texels(fixed.ears)[rows], bare, found[:, 0] > OWN)
    # Between hair and skin, such as at the end of a fringe, the photo shows the person, whichever of both it is.
    is_hair = (zone[rows] > 0.5) & ((found[:, 1] > OWN) | ((found[:, 3] > OWN) & ~is_skin))
    is_hair |= (found[:, 3] > OWN) & (raised[rows] > 0.5)
    of_face = face[rows] & ~is_hair
    seen_well = np.where(of_face, sure_inner, sure_outer) > LEAST_SEEN
    seen_well |= bare
    colors = projection.colors(rows)
    known = seen_well & (is_skin | is_hair)

    def picture(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return atlas.image_of(rows, values)

    texture = np.asarray(picture(colors), np.uint8)
    covered = of_face & (found[:, 0] < SURE_SKIN)
    covered &= atlas.texels(occluders(texture, np.asarray(picture(known & of_face), np.bool_)))[rows]
    # The parts behind the skin are painted without the shadows of the photo.
    odd = seen_well & is_skin & ~face[rows]
    odd[odd] = unlike(colors[odd], classes.skin)
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


def _ears(template: Template) -> list[BoolArray]:
    """Return the fine vertices (n,) of each ear; a template of the face has none."""
    regions = template.fine.regions
    return [regions[f"ear_{side}"] for side in SIDES if f"ear_{side}" in regions]


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
    light, red, yellow = (lab(colors[:, None]) - lab(skin[None, None]))[:, 0].T
    return np.asarray((np.abs(light) > ODD_LIGHT) | (np.hypot(red, yellow) > ODD_COLOUR), np.bool_)


class _Fixed(NamedTuple):
    """What is the same for all photos in an atlas.

    Attributes
    ----------
    face, skin, ears : (S, S) bool arrays, texels of the face, of the skin and of the ears
    trust : (S, S) float32 array, share of completed texels of the face in the texture; the rest are extended colours
    window : the part of the atlas around the face
    """

    face: BoolArray
    skin: BoolArray
    ears: BoolArray
    trust: Float32Array
    window: Window


@load_once(maxsize=4)
def _fixed(template: Template, atlas: Atlas) -> _Fixed:
    """Return what is the same for all photos in an atlas.

    The network knows eyes, nose and mouth, but paints hair at the temples and at the top of the forehead.
    """
    fine = template.fine
    face = atlas.region(fine.regions["map"] & fine.regions["face"])
    skin = np.asarray(atlas.image(atlas.triangle < fine.skin_triangles), np.bool_)
    x, y, _ = load_face_model().mean[template.vertices].T
    heights = [-limit for limit in CHEEK_TOP_MM]
    low, high = (np.interp(-y, heights, pair) for pair in zip(SIDES_MM, CHEEKS_MM, strict=True))
    side = (np.abs(x) - low) / (high - low)
    top = (y - FOREHEAD_MM[0]) / (FOREHEAD_MM[1] - FOREHEAD_MM[0])
    share = 1 - np.clip(np.maximum(side, top), 0, 1)
    trust = _enlarged(_smooth(template, atlas.size, template.carry(share)[:, None])[..., 0], atlas.size)
    whole = _without_holes(face)
    trust *= _inward(whole, ~whole, max(1.0, FEATHER * atlas.size))
    ears = atlas.region(np.any([np.zeros_like(fine.regions["face"]), *_ears(template)], axis=0))
    return _Fixed(face, skin, ears, trust, window_around(face))


def photo_share(
    skin: BoolArray,
    known: BoolArray,
    refused: BoolArray,
    face_texels: BoolArray,
    hair: BoolArray,
    ears: BoolArray,
) -> Float32Array:
    """Return the share (S, S) of the photo in each texel: 1 inside the known texels, falling to 0 at their border.

    Small unknown parts that are only hidden, such as the rims of the lids, have a sharp border.
    """
    size = len(skin)
    unknown = skin & ~known
    labels, stats = cv2.connectedComponentsWithStats(unknown.astype(np.uint8), connectivity=8)[1:3]
    large = stats[:, cv2.CC_STAT_AREA] > LEAST_HIDDEN * size**2
    large[labels[refused]] = True
    large[0] = False
    border = large[labels]
    del labels  # a large atlas takes much memory
    least = np.float32(1.0)
    width = np.where(face_texels, max(least, np.float32(SOFT_FACE * size)), max(least, np.float32(SOFT * size)))
    width[hair & face_texels] = max(least, np.float32(SOFT_HAIR * size))
    width[ears] = max(least, np.float32(SOFT_EAR * size))
    return _inward(known, border, width)


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


def _inward(mask: BoolArray, outside: BoolArray, width: float | Float32Array) -> Float32Array:
    """Return a ramp (S, S) on a mask: 0 at texels `outside` (S, S), 1 at `width` texels, at least 1, from them."""
    away = np.asarray(cv2.distanceTransform((~outside).astype(np.uint8), cv2.DIST_L2, 3), np.float32)
    away -= np.float32(0.5)  # in place: a large atlas takes much memory
    away /= np.asarray(width, np.float32)
    np.clip(away, 0, 1, out=away)
    away *= mask
    return away


def _without_holes(mask: BoolArray) -> BoolArray:
    """Return the mask (S, S) with its holes, such as the openings of the eyes and of the mouth."""
    labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)[1]
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.asarray(~np.isin(labels, border[border > 0]), np.bool_)


def without_slivers(known: BoolArray) -> BoolArray:
    """Return the mask (S, S) of known texels without connected parts smaller than `LEAST_PART` of the largest part."""
    labels, stats = cv2.connectedComponentsWithStats(known.astype(np.uint8), connectivity=8)[1:3]
    areas = stats[1:, cv2.CC_STAT_AREA]
    if len(areas) < 2:
        return known
    kept = np.concatenate([[False], areas >= LEAST_PART * areas.max()])
    return np.asarray(known & kept[labels], np.bool_)


@load_once(maxsize=4)
def _atlas(template: Template, size: int) -> Atlas:
    return Atlas(template.fine.faces, template.fine.uv, template.fine.uv_faces, size)


def _places(template: Template, size: int) -> FloatArray:
    """Return the texel (x, y) of each fine vertex, (n, 2); for a vertex on a seam, one of its texels."""
    fine = template.fine
    row = np.zeros(len(fine.mirror), np.int64)
    row[fine.faces.ravel()] = fine.uv_faces.ravel()
    return np.asarray(fine.uv[row] * (size, -size) + (-0.5, size - 0.5))
