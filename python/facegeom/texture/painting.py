"""The complete texture of a person: baked photo, network completion of the face, continued colours elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model.template import Template
from facegeom.images.sampling import bilinear
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import TextureNetwork
from facegeom.texture.appearance import View, behind_colors, continued_colors
from facegeom.texture.baking import Atlas, bake
from facegeom.texture.completion import complete
from facegeom.texture.lid_skin import lid_texels, with_lid_skin
from facegeom.texture.lip_skin import lip_texels, no_lips, with_whole_lips
from facegeom.texture.occluders import occluders

FEATHER = 0.06  # width of the blend from the completed face to the extended colours, as a fraction of the atlas side
LEAST_PART = 0.1  # minimum area of a known part, as a fraction of the largest; smaller parts have wrong colours
RIM = 0.02  # distance as a fraction of the atlas side; an occluder nearer to the face's border extends past the border
TEMPLES = 0.45  # upper part of the atlas, as a fraction of its side, in which the face borders on the scalp
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
    size: int,
    *,
    network: TextureNetwork | None = None,
    backend: str = DEFAULT_BACKEND,
) -> Painted:
    """Make the complete texture of the template's fine topology from a photo.

    Texels of the face that the photo shows without an occluder have the colours of the photo; the inpainting network
    completes the other texels of the face. All other parts (scalp, ears, neck, parts behind the skin) get the colours
    of `continued_colors` and `behind_colors`, without a network.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template
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
    baked = bake(atlas, view.photo, view.camera, view.vertices, view.maps.mask, view.maps.box)
    face_texels = atlas.region(fine.regions["map"] & fine.regions["face"])
    covered = without_hairline(occluders(baked.texture, baked.known), face_texels)
    known = baked.known & (baked.seen > LEAST_SEEN) & ~covered
    known &= ~face_texels | without_slivers(known & face_texels)
    # The parts behind the skin are painted without the shadows of the photo.
    known &= ~np.asarray(atlas.image(atlas.triangle >= fine.skin_triangles), np.bool_)
    lips = lip_texels(template, atlas)
    known &= ~no_lips(baked.texture, known, lips, 1.0 / view.camera.scale)
    completed = with_whole_lips(complete(baked.texture, known, network=network, backend=backend), known, lips)
    for lids in lid_texels(template, atlas):
        completed = with_lid_skin(completed, lids)

    inside = face_texels | known
    depth = cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1, mode="edge"), cv2.DIST_L2, 3)[1:-1, 1:-1]
    share = np.maximum(np.clip(depth / max(1.0, FEATHER * size), 0, 1), known)[..., None]
    skin = coarse.skin_count
    place = _places(template, size)
    face = (coarse.regions["map"] & coarse.regions["face"])[:skin]
    column, row = np.clip(np.rint(place[:skin]), 0, size - 1).astype(np.int64).T
    known_here = face * share[row, column, 0]
    continued = continued_colors(template, view, bilinear(completed, place[:skin]), known_here)
    colors = template.carry(np.concatenate([continued, behind_colors(template, view)]))
    beyond = atlas.image(np.clip(atlas.carry(colors), 0, 255))
    painted = share * completed + (1 - share) * beyond
    texture = np.asarray(atlas.fill_gutter(np.rint(painted).astype(np.uint8)), np.uint8)
    at_vertices = np.rint(bilinear(texture, place)).astype(np.uint8)
    return Painted(texture, known, at_vertices)


def without_slivers(known: BoolArray) -> BoolArray:
    """Return the mask (S, S) of known texels without connected parts smaller than `LEAST_PART` of the largest part."""
    labels, stats = cv2.connectedComponentsWithStats(known.astype(np.uint8), connectivity=8)[1:3]
    areas = stats[1:, cv2.CC_STAT_AREA]
    if len(areas) < 2:
        return known
    kept = np.concatenate([[False], areas >= LEAST_PART * areas.max()])
    return np.asarray(known & kept[labels], np.bool_)


def without_hairline(covered: BoolArray, face: BoolArray) -> BoolArray:
    """Return the mask (S, S) of occluders without hair or a hat that extends from the scalp onto the face.

    Parameters
    ----------
    covered : (S, S) bool array, as `occluders` returns it
    face : (S, S) bool array, texels of the face
    """
    size = len(face)
    width = 2 * max(1, round(RIM * size)) + 1
    rim = ~cv2.erode(face.astype(np.uint8), np.ones((width, width), np.uint8)).astype(bool)
    rim[round(TEMPLES * size) :] = False
    labels = cv2.connectedComponents(covered.astype(np.uint8), connectivity=8)[1]
    hair = np.unique(labels[rim & covered])
    return covered & ~np.isin(labels, hair)


@load_once(maxsize=2)
def _atlas(template: Template, size: int) -> Atlas:
    return Atlas(template.fine.faces, template.fine.uv, template.fine.uv_faces, size)


def _places(template: Template, size: int) -> FloatArray:
    """Return the texel (x, y) of each fine vertex, (n, 2); for a vertex on a seam, one of its texels."""
    fine = template.fine
    row = np.zeros(len(fine.mirror), np.int64)
    row[fine.faces.ravel()] = fine.uv_faces.ravel()
    return np.asarray(fine.uv[row] * (size, -size) + (-0.5, size - 0.5))
