"""The atlas of a template: its texels, the parts of the head in it, and values of vertices carried to it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model.covered_ears import SIDES
from facegeom.face_model.template import Template
from facegeom.texture.baking import Atlas
from facegeom.texture.hair import hair_zone

LARGEST_SMOOTH = 512  # side of the largest atlas in which what the photo shows and colours of vertices are computed


class HeadParts(NamedTuple):
    """Masks (S, S) of the texels of the face, of the skin and of the ears."""

    face: BoolArray
    skin: BoolArray
    ears: BoolArray


@load_once(maxsize=4)
def head_parts(template: Template, atlas: Atlas) -> HeadParts:
    """Return the parts of the head in an atlas of the template's fine topology."""
    fine = template.fine
    face = atlas.region(fine.regions["map"] & fine.regions["face"])
    skin = np.asarray(atlas.image(atlas.triangle < fine.skin_triangles), np.bool_)
    ears = atlas.region(np.any([np.zeros_like(fine.regions["face"]), *ears_of(template)], axis=0))
    return HeadParts(face, skin, ears)


def ears_of(template: Template) -> list[BoolArray]:
    """Return the fine vertices (n,) of each ear; a template of the face has none."""
    regions = template.fine.regions
    return [regions[f"ear_{side}"] for side in SIDES if f"ear_{side}" in regions]


def at_texels(template: Template, atlas: Atlas, values: FloatArray) -> Float32Array:
    """Return values (s,) of the coarse skin at the texels, (S, S); 1 behind the skin."""
    behind = np.ones(len(template.vertices) - len(values))
    carried = template.carry(np.concatenate([values, behind])[:, None])
    return enlarged(smooth(template, atlas.size, np.clip(carried, 0, 1))[..., 0], atlas.size)


def smooth(template: Template, size: int, values: FloatArray) -> Float32Array:
    """Return values (n, k) of the fine vertices in an atlas of at most `LARGEST_SMOOTH` texels a side, (s, s, k)."""
    atlas = atlas_of(template, min(size, LARGEST_SMOOTH))
    return np.asarray(atlas.fill_gutter(atlas.image(atlas.carry(values))), np.float32)


def enlarged(picture: Float32Array, size: int) -> Float32Array:
    """Return a picture (s, s) enlarged to (S, S)."""
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def zone_of(template: Template, atlas: Atlas, grown: BoolArray | None) -> Float32Array:
    """Return where hair of the photo is kept, (S, S) in [0, 1]; also where hair as shape has `grown`."""
    zone = hair_zone(template, atlas)
    if grown is None:
        return zone.astype(np.float32)
    of_shape = smooth(template, atlas.size, template.carry(grown.astype(np.float64))[:, None])[..., 0]
    return np.asarray(np.maximum(zone, enlarged(of_shape, atlas.size)), np.float32)


@load_once(maxsize=4)
def atlas_of(template: Template, size: int) -> Atlas:
    return Atlas(template.fine.faces, template.fine.uv, template.fine.uv_faces, size)


def places_of(template: Template, size: int) -> FloatArray:
    """Return the texel (x, y) of each fine vertex, (n, 2); for a vertex on a seam, one of its texels."""
    fine = template.fine
    row = np.zeros(len(fine.mirror), np.int64)
    row[fine.faces.ravel()] = fine.uv_faces.ravel()
    return np.asarray(fine.uv[row] * (size, -size) + (-0.5, size - 0.5))
