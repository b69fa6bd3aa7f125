"""The complete texture of a person: baked photo, network completion of the face, continued colours elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.images.crop import apply_affine, crop_affine, invert_affine
from facegeom.images.sampling import bilinear
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import TextureNetwork
from facegeom.texture.appearance import OWN, View, behind_colors, continued_colors
from facegeom.texture.baking import Atlas, bake, fill_smoothly
from facegeom.texture.completion import complete
from facegeom.texture.head_classes import HeadClasses, is_grey, without_colour
from facegeom.texture.occluders import occluders

FEATHER = 0.06  # width of the blend from the completed face to the extended colours, as a fraction of the atlas side
LEAST_PART = 0.1  # minimum area of a known part, as a fraction of the largest; smaller parts have wrong colours
SOFT = 0.02  # width of the blend from known texels of ears, neck and scalp to the extended colours, relative to the side
SURE_SKIN = 0.9  # probability of skin from which a texel with unusual colours is no occluder
EDGE_MM = 8.0  # distance in mm from the edge of the mouth's opening within which texels of the lips may show teeth
BRIGHT = 24.0  # a tooth is at least so much lighter (L*) than the lips
PALE, PALE_CHROMA = 10.0, 0.6  # or so much lighter, and less colourful (share of the C* of the lips)
GAP = 18.0  # the gap between the lips is at least so much darker (L*) than the lips
AROUND = 0.003  # width around such texels, as a fraction of the atlas side, that is left out too
LEAST_LIPS = 40  # minimum number of known texels of the lips from which others are continued
LEAST_SEEN = 0.5  # minimum visibility of a known texel; the outline of the mask has an error of one or two pixels


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

    Raises
    ------
    ValueError
        When the size is out of range.
    WeightsError
        When the network's weights are missing.
    """
    coarse, fine = template.coarse, template.fine
    atlas = _atlas(template, size)
    face_texels = atlas.region(fine.regions["map"] & fine.regions["face"])
    baked, known = shown_texels(template, atlas, view, classes, face_texels)
    known &= ~face_texels | without_slivers(known & face_texels)
    lips = atlas.region(fine.regions["lips"])
    known &= ~without_lips(baked, lips & known, lip_edge(template, atlas))
    completed = complete(baked, known & face_texels, network=network, backend=backend)
    completed = with_whole_lips(completed, lips, known)
    completed[known] = baked[known]

    inner = np.maximum(_inward(face_texels, FEATHER * size), known & face_texels)
    share = np.maximum(inner, _inward(known, SOFT * size) * known)[..., None]
    skin = coarse.skin_count
    place = _places(template, size)
    face = (coarse.regions["map"] & coarse.regions["face"])[:skin]
    column, row = np.clip(np.rint(place[:skin]), 0, size - 1).astype(np.int64).T
    known_here = np.where(face, share[row, column, 0], known[row, column])
    continued = continued_colors(template, view, classes, bilinear(completed, place[:skin]), known_here)
    colors = template.carry(np.concatenate([continued, behind_colors(template, view)]))
    beyond = atlas.image(np.clip(atlas.carry(colors), 0, 255))
    painted = share * completed + (1 - share) * beyond
    texture = np.asarray(atlas.fill_gutter(np.rint(painted).astype(np.uint8)), np.uint8)
    texture = without_colour(texture) if is_grey(classes.image) else texture
    at_vertices = np.rint(bilinear(texture, place)).astype(np.uint8)
    return Painted(texture, known, at_vertices)


def shown_texels(
    template: Template, atlas: Atlas, view: View, classes: HeadClasses, face_texels: BoolArray
) -> tuple[ByteArray, BoolArray]:
    """Return the colours (S, S, 3) of the photo, and the mask (S, S) of texels that it shows in their own class.

    Texels of the face have to be inside the mask of the maps, where the shape is sure; the others only inside the head
    of the photo.

    Parameters
    ----------
    template : Template
    atlas : Atlas of the template's fine topology
    view : View of the fine vertices
    classes : HeadClasses of the photo
    face_texels : (S, S) bool array, texels of the face
    """
    fine = template.fine
    inner = bake(atlas, view.photo, view.camera, view.vertices, view.maps.mask, view.maps.box)
    mask, box = _head_mask(classes)
    outer = bake(atlas, view.photo, view.camera, view.vertices, mask, box)
    seen = np.where(face_texels, inner.known & (inner.seen > LEAST_SEEN), outer.known & (outer.seen > LEAST_SEEN))
    texture = np.where(face_texels[..., None], inner.texture, outer.texture)
    found = np.asarray(atlas.image(classes.at(atlas.carry(view.place))), np.float32)
    scalp = atlas.region(fine.regions["scalp"]) if "scalp" in fine.regions else np.zeros_like(seen)
    own = (found[..., 0] > OWN) | (scalp & (found[..., 1] > OWN))
    known = seen & own
    known &= ~(face_texels & (found[..., 0] < SURE_SKIN) & occluders(texture, known & face_texels))
    # The parts behind the skin are painted without the shadows of the photo.
    known &= ~np.asarray(atlas.image(atlas.triangle >= fine.skin_triangles), np.bool_)
    return np.asarray(texture, np.uint8), np.asarray(known, np.bool_)


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
    found = classes.at(places).sum(axis=1).reshape(fine, fine)
    return np.asarray(found > OWN, np.bool_), (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def _inward(mask: BoolArray, width: float) -> Float32Array:
    """Return a ramp (S, S) from 0 at the border of a mask to 1 at a distance of `width` texels inside it."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1, mode="edge"), cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.asarray(np.clip(depth / max(1.0, width), 0, 1), np.float32)


def lip_edge(template: Template, atlas: Atlas) -> BoolArray:
    """Return the mask (S, S) of the texels of the lips that are near the edge of the mouth's opening."""
    V, regions = load_face_model().mean[template.vertices], template.coarse.regions
    skin = template.coarse.skin_count
    away = geometry.nearest(V[:skin][regions["lip_rim"][:skin]], V[:skin])[1]
    near = template.carry((np.append(away, np.full(len(V) - skin, np.inf)) < EDGE_MM).astype(np.float64))
    return atlas.region(np.asarray(near > 0, np.bool_) & template.fine.regions["lips"])


def without_lips(texture: ByteArray, lips: BoolArray, edge: BoolArray) -> BoolArray:
    """Return the mask (S, S) of known texels of the lips that show no lips but teeth, or the gap of the mouth.

    Such texels are much lighter than most of the outer lips, or lighter and paler, or much darker.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array, baked photo
    lips : (S, S) bool array, known texels of the lips
    edge : (S, S) bool array, texels near the edge of the mouth's opening
    """
    outer = lips & ~edge
    if outer.sum() < LEAST_LIPS:
        return np.zeros_like(lips)
    lab = cv2.cvtColor(np.ascontiguousarray(texture, np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    light, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
    usual, colourful = float(np.median(light[outer])), float(np.median(chroma[outer]))
    pale = (light > usual + PALE) & (chroma < PALE_CHROMA * colourful)
    tooth = pale | (light > usual + BRIGHT)
    gap = light < usual - GAP
    odd = (lips & edge & (tooth | gap)).astype(np.uint8)
    width = 2 * max(1, round(AROUND * len(lips))) + 1
    return np.asarray(cv2.dilate(odd, np.ones((width, width), np.uint8)).astype(bool) & lips, np.bool_)


def with_whole_lips(texture: ByteArray, lips: BoolArray, known: BoolArray) -> ByteArray:
    """Return the texture (S, S, 3) in which unknown texels of the lips continue known texels of the lips.

    A network that completes faces would draw teeth, or the edge of the mouth, there.
    """
    shown = lips & known
    if shown.sum() < LEAST_LIPS:
        return texture
    filled = np.rint(fill_smoothly(texture, shown)).astype(np.uint8)
    return np.where((lips & ~known)[..., None], filled, texture)


def without_slivers(known: BoolArray) -> BoolArray:
    """Return the mask (S, S) of known texels without connected parts smaller than `LEAST_PART` of the largest part."""
    labels, stats = cv2.connectedComponentsWithStats(known.astype(np.uint8), connectivity=8)[1:3]
    areas = stats[1:, cv2.CC_STAT_AREA]
    if len(areas) < 2:
        return known
    kept = np.concatenate([[False], areas >= LEAST_PART * areas.max()])
    return np.asarray(known & kept[labels], np.bool_)


@load_once(maxsize=2)
def _atlas(template: Template, size: int) -> Atlas:
    return Atlas(template.fine.faces, template.fine.uv, template.fine.uv_faces, size)


def _places(template: Template, size: int) -> FloatArray:
    """Return the texel (x, y) of each fine vertex, (n, 2); for a vertex on a seam, one of its texels."""
    fine = template.fine
    row = np.zeros(len(fine.mirror), np.int64)
    row[fine.faces.ravel()] = fine.uv_faces.ravel()
    return np.asarray(fine.uv[row] * (size, -size) + (-0.5, size - 0.5))
