"""The complete texture of a person: baked photo, network completion of the face, continued colours elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float16Array, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.images.sampling import bilinear
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import TextureNetwork
from facegeom.texture.appearance import OWN, View, behind_colors
from facegeom.texture.atlas_parts import at_texels, atlas_of, enlarged, head_parts, places_of, smooth, zone_of
from facegeom.texture.baking import Atlas
from facegeom.texture.beard import full_beard
from facegeom.texture.completion import Window, complete, texture_network, window_around
from facegeom.texture.continuation import continued_colors, from_both_sides, growing_hair, skin_trust
from facegeom.texture.hair import strands
from facegeom.texture.hair_growth import SkinView
from facegeom.texture.head_classes import HeadClasses, is_grey, without_colour
from facegeom.texture.lid_skin import LidTexels, lid_texels, with_lid_skin
from facegeom.texture.lip_skin import lip_texels, no_lips, with_plain_corners, with_whole_lips
from facegeom.texture.occlusion import mean_occlusion
from facegeom.texture.several_photos import PhotoOfHead, with_detail_of
from facegeom.texture.shown_texels import shown_texels

FEATHER = 0.06  # width of the blend from the completed face to the extended colours, as a fraction of the atlas side
SIDES_MM, FOREHEAD_MM = (52.0, 64.0), (38.0, 52.0)  # |x| and y on the mean face between which this blend is made, too
CHEEKS_MM = (40.0, 52.0)  # |x| on the cheeks and jaws instead, which have no brows and no corners of the eyes
CHEEK_TOP_MM = (-8.0, -20.0)  # y below which the second of these limits begins to apply, and below which it does
LEAST_PART = 0.1  # minimum area of a known part, as a fraction of the largest; smaller parts have wrong colours
SOFT_FACE = 0.02  # width of the blend from known to completed texels of the face, relative to the side of the atlas
SOFT_MIRROR = 0.01  # the same for what is mirrored from the other side
SOFT_EAR = 0.006  # the same for ears, of which a photo from the front shows narrow stripes
SOFT = 0.02  # the same for neck and scalp, where the extended colours follow
SOFT_HAIR = 0.04  # the same for hair on the face, such as a fringe that ends at the temple, where skin follows
LEAST_HIDDEN = 0.02  # minimum area of a hidden part with a soft border, as a fraction of the atlas
LEAST_KNOWN = 0.5  # minimum share of known or completed colours at a vertex from which colours are continued
ZONE_EDGE = 0.4  # change of `hair_zone` over which hair of the photo ends on the face
NOSTRILS = (0.4, 0.7)  # ambient occlusion of the nose: no network below the first, the network alone above the second
GROWING = 0.5  # share of hair from which it grows at a texel, for a network that knows classes
WHOLE = 0.98  # share of the photo from which the network sees a texel of the face
POOR = (0.25, 0.55)  # cosines to the line of sight: poorly shown below the second, fully so below the first
GRAZING = (0.35, 0.65)  # cosines between which skin at the sides of the face goes over into painted skin
GAPS, GAP = 128, 0.1  # side of the atlas in which gaps between known texels are found, and their width relative to it
NEAR = (0.15, 0.35)  # shares of known texels nearby: the other side counts fully below the first, not above the second
BETTER = (0.1, 0.4)  # differences of these cosines from which the other side is shown better, and much better
SPOT_WIDTHS = (0.001, 0.003)  # standard deviations of spots of the skin, relative to the side of the atlas
ENDS, END_WIDTH = 0.35, 0.9  # shift of the border of painted hair by its strands, and its width, in shares of hair
BAND = 128  # number of rows of the atlas that are mixed at a time


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
    others: Sequence[PhotoOfHead] = (),
) -> Painted:
    """Make the complete texture of the template's fine topology from a photo, or from several photos of a person.

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
    others : sequence of PhotoOfHead, other photos of the person, which give the detail of what this one does not show

    Raises
    ------
    ValueError
        When the size is out of range.
    WeightsError
        When the network's weights are missing.
    """
    coarse, places = template.coarse, places_of(template, size)
    atlas = atlas_of(template, size)
    fixed = _fixed(template, atlas)
    face_texels = fixed.face
    baked, known, refused, hair, is_hair = shown_texels(template, atlas, view, classes, grown)
    known &= ~face_texels | without_slivers(known & face_texels)
    lips = lip_texels(template, atlas)
    known &= ~no_lips(baked, known, lips, 1.0 / view.camera.scale)
    skin = coarse.skin_count
    column, row = np.clip(np.rint(places[:skin]), 0, size - 1).astype(np.int64).T
    hair_seen = known[row, column] & is_hair[row, column]
    pure = SkinView.of_view(template, view, classes).own[:, 1] > OWN
    beard = full_beard(template, view, classes)
    sure = at_texels(template, atlas, skin_trust(template, view, known[row, column] & ~hair_seen, beard))
    of_photo = photo_share(fixed.skin, known, refused, face_texels, is_hair, fixed.ears)
    facing = smooth(template, size, view.facing[:, None])[..., 0]
    of_photo *= 1 - _better_on_the_other_side(facing, of_photo)
    given = of_photo >= WHOLE  # also in unusual light: the hidden side of a face is like the side that is seen
    well = _well_shown(facing, size)
    well[is_hair] = 1
    of_photo *= np.maximum(well, fixed.trust, out=well)
    del facing, well  # a large atlas takes much memory
    of_photo *= np.maximum(sure, np.maximum(is_hair, hair))  # the shadow of a fringe belongs to it
    of_photo[is_hair] *= np.clip((zone_of(template, atlas, grown)[is_hair] - 0.5) / ZONE_EDGE, 0.0, 1.0)
    of_face = fixed.trust * sure
    of_face *= 1 - hair
    del refused, sure, hair
    hair_here = np.zeros(len(template.vertices), np.bool_)
    hair_here[:skin] = hair_seen | (hair_seen[coarse.mirror[:skin]] & ~known[row, column])
    growing = growing_hair(template, view, classes, hair_here if grown is None else hair_here | grown)
    grows = template.carry(np.concatenate([growing, np.zeros(len(template.vertices) - skin)]))
    growth = smooth(template, size, grows[:, None])[..., 0]
    hairy = growth > GROWING
    growth = enlarged(np.clip(growth / GROWING, 0, 1), size)
    of_face *= 1 - growth
    layer = _completed(baked, is_hair, hairy, known, given, of_photo, fixed, network or texture_network(backend))
    layer = with_plain_corners(with_whole_lips(layer, known, lips), lips)
    worn = smooth(template, size, classes.worn(view.place)[:, None])[..., 0]
    for lids in lid_texels(template, atlas):
        layer = with_lid_skin(layer, lids, worn=_part_of(worn, size, lids) > OWN, skin=classes.skin)

    mirrored = softened(of_photo)[:, ::-1]
    of_other = np.where(is_hair[:, ::-1], mirrored * growth, mirrored).astype(np.float16)
    near = far_from(known)
    near *= of_other
    of_face *= np.subtract(1, near, out=near)
    np.maximum(of_face, of_photo, out=of_face)
    of_face = of_face.astype(np.float16)
    face = (coarse.regions["map"] & coarse.regions["face"])[:skin]
    known_here = np.where(face, of_face[row, column], of_photo[row, column])
    known_here[(known_here < LEAST_KNOWN) | (hair_seen & ~pure)] = 0  # hair mixed with skin
    here = of_photo[row, column].astype(np.float64)
    del near, is_hair, given, growth, mirrored
    if not others:
        del of_photo
    shown = from_both_sides(template, bilinear(layer, places[:skin]), known_here.astype(np.float64), hair_seen, here)
    continued = continued_colors(template, view, classes, shown, growing)
    behind = behind_colors(template, view)
    zero = np.zeros_like(behind)
    beyond = _Beyond(
        template.carry(np.concatenate([continued.skin, behind])),
        template.carry(np.concatenate([shown.change, zero])),
        template.carry(np.concatenate([continued.hair, zero])),
        template.carry(np.concatenate([continued.growing, zero[:, 0]])),
        classes.hair_contrast,
        classes.skin_contrast,
    )
    texture = _with_beyond(template, atlas, layer, of_face, of_other, beyond)
    if others:
        texture = with_detail_of(template, atlas, texture, of_photo, view, others)
    texture = without_colour(texture) if is_grey(classes.image) else texture
    at_vertices = np.rint(bilinear(texture, places)).astype(np.uint8)
    return Painted(texture, known, at_vertices)


def _completed(
    baked: ByteArray,
    is_hair: BoolArray,
    hairy: BoolArray,
    known: BoolArray,
    given: BoolArray,
    of_photo: Float32Array,
    fixed: _Fixed,
    network: TextureNetwork,
) -> ByteArray:
    """Return the photo's texture (S, S, 3) with the face completed by the network, which sees the texels `given`.

    A network that knows the classes of texels sees the whole head, and where it is `hairy`; another one the face only.
    """
    window = fixed.window
    seen = (fixed.face if network.usual_hair is None else fixed.skin) & given
    completed = complete(baked, seen, hair=is_hair, growing=hairy, window=window, network=network)
    layer = baked.copy()
    share = of_photo[window].copy()
    share[known[window] & (~fixed.face[window] | is_hair[window])] = 1
    layer[window] = cv2.blendLinear(np.ascontiguousarray(layer[window]), completed, share, 1 - share)
    return layer


def _part_of(picture: Float32Array, size: int, lids: LidTexels) -> Float32Array:
    """Return the part of a picture (s, s), of an atlas with `size` texels a side, around an eye, (h, w)."""
    rows, columns = (np.arange(part.start, part.stop, dtype=np.float32) for part in (lids.rows, lids.columns))
    scale = len(picture) / size
    x, y = np.meshgrid((columns + 0.5) * scale - 0.5, (rows + 0.5) * scale - 0.5)
    return np.asarray(cv2.remap(picture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR), np.float32)


def far_from(known: BoolArray) -> Float32Array:
    """Return how far (S, S, in [0, 1]) texels are from the known ones: 0 in gaps between them, which the network fills
    in their light."""
    size = len(known)
    near = cv2.resize(known.astype(np.float32), (GAPS, GAPS), interpolation=cv2.INTER_AREA)
    width = 2 * round(GAP * GAPS / 2) + 1
    near = np.asarray(cv2.blur(near, (width, width)), np.float32)
    far = 1 - np.clip((near - NEAR[0]) / (NEAR[1] - NEAR[0]), 0, 1)
    return enlarged(np.asarray(far, np.float32), size)


def _well_shown(facing: Float32Array, size: int) -> Float32Array:
    """Return how well (S, S, in [0, 1]) a photo can show each texel: at grazing angles, skin shines and blurs."""
    return enlarged(np.clip((facing - GRAZING[0]) / (GRAZING[1] - GRAZING[0]), 0, 1), size)


def softened(share: Float32Array) -> Float32Array:
    """Return a share (S, S) that also falls to 0 at its sharp borders, for a picture that ends there."""
    width = 2 * max(1, round(SOFT_MIRROR * len(share))) + 1
    soft = np.asarray(cv2.blur(share, (width, width)), np.float32)
    soft *= 2
    soft -= 1
    np.clip(soft, 0, 1, out=soft)
    return np.asarray(np.minimum(soft, share, out=soft), np.float32)


def _better_on_the_other_side(facing: Float32Array, of_photo: Float32Array) -> Float32Array:
    """Return where (S, S, in [0, 1]) the other side of the head, which the photo shows, is shown much better.

    At the outline of a turned head, colours are stretched and mixed with those of the background. `facing` (s, s) are
    cosines to the line of sight.
    """
    shown = cv2.resize(of_photo, facing.shape, interpolation=cv2.INTER_AREA)
    poor = np.clip((POOR[1] - facing) / (POOR[1] - POOR[0]), 0, 1)
    better = np.clip((facing[:, ::-1] - facing - BETTER[0]) / (BETTER[1] - BETTER[0]), 0, 1)
    return enlarged(np.asarray(better * poor * shown[:, ::-1], np.float32), len(of_photo))


class _Beyond(NamedTuple):
    """What is beyond the face and the photo, at the fine vertices.

    Attributes
    ----------
    skin : (n, 3) float array in [0, 255], colours of what is no hair
    change : (n, 3) float array, what is added to the colours of the other side of the head
    hair : (n, 3) float array in [0, 255]
    growing : (n,) float array in [0, 1], share of hair
    hair_contrast, skin_contrast : strength of the painted strands, and of the spots of the skin
    """

    skin: FloatArray
    change: FloatArray
    hair: FloatArray
    growing: FloatArray
    hair_contrast: float
    skin_contrast: float


def _with_beyond(
    template: Template,
    atlas: Atlas,
    layer: ByteArray,
    of_face: Float16Array,
    of_other: Float16Array,
    beyond: _Beyond,
) -> ByteArray:
    """Return the texture (S, S, 3) that is `layer` with the weight `of_face` (S, S), then its mirror image with the
    weight `of_other` (S, S), and elsewhere the colours of the fine vertices, with strands, in which hair also ends.
    """
    pattern, spots = strands(template, atlas), skin_spots(atlas.size)
    values = smooth(template, atlas.size, np.column_stack(beyond[:4]))
    of_vertices = [np.ascontiguousarray(values[..., part]) for part in (slice(0, 3), slice(3, 6), slice(6, 9), 9)]
    place = ((np.arange(atlas.size) + 0.5) * (len(values) / atlas.size) - 0.5).astype(np.float32)
    result = np.empty_like(layer)
    for start in range(0, atlas.size, BAND):
        rows = slice(start, start + BAND)
        maps = np.meshgrid(place, place[rows])
        skin, change, hair, hairy = (
            np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
            for image in of_vertices
        )
        strand = pattern[rows].astype(np.float32)
        hairy += hairy * (1 - hairy) * (strand * ENDS)
        hairy -= 0.5 - 0.5 * END_WIDTH
        hairy /= END_WIDTH
        np.clip(hairy, 0, 1, out=hairy)
        spot = spots[start % len(spots) :][: len(skin)].astype(np.float32)
        skin = _brightened(skin, beyond.skin_contrast * spot)
        hair = _brightened(hair, beyond.hair_contrast * strand)
        continued = _bytes(cv2.blendLinear(hair, skin, hairy, 1 - hairy))
        mirrored = _bytes(cv2.add(layer[rows, ::-1], change, dtype=cv2.CV_32F))
        other = of_other[rows].astype(np.float32, order="C")
        hidden = cv2.blendLinear(mirrored, continued, other, 1 - other)
        here = of_face[rows].astype(np.float32)
        result[rows] = cv2.blendLinear(layer[rows], hidden, here, 1 - here)
    return np.asarray(atlas.fill_gutter(result), np.uint8)


@load_once(maxsize=4)
def skin_spots(size: int) -> Float16Array:
    """Return spots of the skin for an atlas of some size, (p, S), with mean 0 and deviation 1; the pattern repeats.

    Its p rows are a multiple of `BAND`.
    """
    side, rng = 2 * BAND, np.random.default_rng(0)
    total = np.zeros((side, side))
    for width in SPOT_WIDTHS:
        grain = np.tile(rng.standard_normal((side, side)), (3, 3))
        part = cv2.GaussianBlur(grain, (0, 0), max(width * size, 0.5))[side : 2 * side, side : 2 * side]
        total += (part - part.mean()) / part.std()
    return np.asarray(np.tile(total / total.std(), (1, 1 + size // side))[:, :size], np.float16)  # little memory


def _brightened(colors: Float32Array, share: Float32Array) -> Float32Array:
    """Return colours (h, w, 3) that are brighter by shares (h, w)."""
    share = share + np.float32(1)
    return np.asarray(cv2.multiply(colors, cv2.merge([share, share, share])), np.float32)


def _bytes(picture: cv2.typing.MatLike) -> ByteArray:
    """Return a picture of float32 values as rounded bytes; the picture is changed."""
    values = np.asarray(picture, np.float32)
    return np.asarray(np.clip(np.rint(values, out=values), 0, 255, out=values), np.uint8)


class _Fixed(NamedTuple):
    """What is the same for all photos in an atlas.

    Attributes
    ----------
    face, skin, ears : (S, S) bool arrays, texels of the face, of the skin and of the ears
    trust : (S, S) float16 array, share of completed texels of the face in the texture; the rest are extended colours
    window : the part of the atlas around the face
    """

    face: BoolArray
    skin: BoolArray
    ears: BoolArray
    trust: Float16Array
    window: Window


@load_once(maxsize=4)
def _fixed(template: Template, atlas: Atlas) -> _Fixed:
    """Return what is the same for all photos in an atlas.

    The network knows eyes, nose and mouth, but paints hair at the temples and at the top of the forehead; and what is
    inside the nostrils, no training texture shows.
    """
    parts = head_parts(template, atlas)
    x, y, _ = load_face_model().mean[template.vertices].T
    heights = [-limit for limit in CHEEK_TOP_MM]
    low, high = (np.interp(-y, heights, pair) for pair in zip(SIDES_MM, CHEEKS_MM, strict=True))
    side = (np.abs(x) - low) / (high - low)
    top = (y - FOREHEAD_MM[0]) / (FOREHEAD_MM[1] - FOREHEAD_MM[0])
    share = 1 - np.clip(np.maximum(side, top), 0, 1)
    trust = enlarged(smooth(template, atlas.size, template.carry(share)[:, None])[..., 0], atlas.size)
    whole = _without_holes(parts.face)
    trust *= _inward(whole, ~whole, max(1.0, FEATHER * atlas.size))
    open_nose = np.ones(template.coarse.skin_count)
    nose = template.coarse.regions["nose"][: len(open_nose)]
    open_nose[nose] = np.clip((mean_occlusion(template)[nose] - NOSTRILS[0]) / (NOSTRILS[1] - NOSTRILS[0]), 0, 1)
    trust *= at_texels(template, atlas, open_nose)
    return _Fixed(*parts, trust.astype(np.float16), window_around(parts.face))


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
