"""The picture of the tongue: a groove in the middle of its back, papillae, and darker sides.

The tongue of the face model has about 150 vertices. What is finer is painted, in the colours that its vertices have in
the light of the photo.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.face_model.tongue import half_width, tongue_share
from facegeom.texture.atlas_parts import atlas_of
from facegeom.texture.smooth_step import smooth_step

GROOVE_MM, GROOVE = 1.1, 0.66
"""Half width in mm of the groove, and the brightness in it."""

VALLEY_MM, VALLEY = 4.5, 0.90
"""The same for the shallow valley around it."""

GROOVE_END_MM = (14.0, 3.0)
"""Distance in mm from the tip at which the groove ends, and at which it has its full depth, measured backwards."""

SIDES, SIDE = (0.5, 1.0), (0.74, 0.66, 0.68)
"""Distance from the middle, in half widths, at which the sides begin and end, and their colour relative to the rest."""

COATED = (1.06, 1.20, 1.18)
"""Colour of the back of the tongue, relative to the rest: papillae make it paler."""

BELOW = (0.86, 0.80, 0.88)
"""Colour of the lower side, which has veins and no papillae, relative to the rest."""

PAPILLAE, PAPILLAE_TEXELS = 0.055, 0.9
"""Standard deviation of the brightness of the papillae, and that of the filter that makes them."""

SEED = 3


class _Shade(NamedTuple):
    """The window of the atlas around the tongue, and the factors (h, w, 3) of the colours in it."""

    rows: slice
    columns: slice
    factor: Float32Array


def with_tongue(template: Template, texture: ByteArray) -> ByteArray:
    """Return a texture (S, S, 3) of the atlas of the face model with the structure of the tongue.

    Parameters
    ----------
    template : Template
    texture : (S, S, 3) uint8 array whose tongue has the colours of its vertices
    """
    shade = _shade(template, len(texture))
    result = texture.copy()
    part = result[shade.rows, shade.columns]
    part[:] = np.rint(np.clip(part * shade.factor, 0, 255)).astype(np.uint8)
    return result


@load_once(maxsize=4)
def _shade(template: Template, size: int) -> _Shade:
    model, atlas = load_face_model(), atlas_of(template, size)
    fine = template.fine
    V = template.subdivide(model.mean[template.vertices])
    share = template.carry(tongue_share(model)[template.vertices])
    normals = geometry.vertex_normals(V, fine.faces[fine.regions["mouth_interior"][fine.faces].all(axis=1)])
    rows = np.flatnonzero(atlas.inside(fine.regions["gums_and_tongue"]))
    values = atlas.carry(np.column_stack([V, normals[:, 1], share]), rows).astype(np.float64)
    factor = 1.0 + values[:, 4:] * (_factor(values[:, :3], values[:, 3], _tip(V, share)) - 1.0)
    down, across, factors, given = atlas.window(rows, factor.astype(np.float32))
    picture = np.where(given[..., None], np.asarray(factors, np.float32), np.float32(1.0))
    noise = np.random.default_rng(SEED).standard_normal(given.shape).astype(np.float32)
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), PAPILLAE_TEXELS), np.float32)
    on_back = (values[:, 4] * smooth_step(values[:, 3], 0.0, 0.5)).astype(np.float32)
    back = np.asarray(atlas.window(rows, on_back)[2], np.float32)
    picture *= (1.0 + PAPILLAE * back * noise / noise.std())[..., None]
    return _Shade(down, across, np.asarray(picture, np.float32))


def _tip(V: FloatArray, share: FloatArray) -> float:
    """Return z of the tip of the tongue, mm, from vertices (n, 3) and their share of the tongue (n,)."""
    return float(V[share > 0.5, 2].max())


def _factor(points: FloatArray, up: FloatArray, tip: float) -> FloatArray:
    """Return the factors (p, 3) of the colour at points (p, 3) of the tongue of the mean face, in mm.

    `up` (p,) is the upward part of the normal, and `tip` is z of the tip of the tongue.
    """
    x, behind = np.abs(points[:, 0]), tip - points[:, 2]
    back, below = smooth_step(up, -0.1, 0.5), 1.0 - smooth_step(up, -0.5, 0.1)
    side = smooth_step(x / half_width(behind), *SIDES)
    length = smooth_step(behind, GROOVE_END_MM[1], GROOVE_END_MM[0])
    groove = (1.0 - GROOVE) * np.exp(-((x / GROOVE_MM) ** 2)) + (1.0 - VALLEY) * np.exp(-((x / VALLEY_MM) ** 2))
    factor = 1.0 + (back * (1.0 - side))[:, None] * (np.array(COATED) - 1.0)
    factor *= 1.0 - (back * length * groove)[:, None] * (0.9, 1.0, 1.0)
    factor *= 1.0 + side[:, None] * (np.array(SIDE) - 1.0)
    return np.asarray(factor * (1.0 + below[:, None] * (np.array(BELOW) - 1.0)))
