"""The picture of the teeth in the atlas of files: enamel, the line of the gum, and the shade between the teeth.

The teeth of the face model have few vertices, and its gums have fewer. What is finer is painted: the gum ends in an
arch on each tooth and in a tip between two teeth, enamel is lighter and greyer at the edge and warmer at the gum, and
canines are the warmest teeth.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.file_atlas import TEETH_BOX
from facegeom.face_model.teeth import MILK_TEETH, Tooth, template_teeth
from facegeom.face_model.template import Template
from facegeom.images.sampling import nearest_known
from facegeom.texture.mouth import MouthLight, inside_light
from facegeom.texture.smooth_step import smooth_step

GUM_TIP = 0.15
"""Height of the tip of the gum between two teeth above the arch of the gum, relative to the height of the crown."""

TIP_POWER = 3.5
"""Power of the distance from the middle of a tooth with which its gum rises to the tip."""

COVERED_MM = 0.35
"""Distance in mm by which the painted gum covers more of the tooth than the gums of the face model do."""

SOFT_MM = 0.22
"""Half width in mm of the border of the gum."""

CREVICE_MM, CREVICE = 0.45, 0.82
"""Shade of the enamel beside the gum: width in mm, and brightness at the gum."""

BETWEEN, BETWEEN_SHADE = 0.82, (0.74, 0.68, 0.62)
"""Distance from the middle of a tooth, relative to its half width, from which it is darker; and its colour at 1."""

EDGE_MM, EDGE_COLOR = 1.1, (0.92, 0.945, 0.975)
"""Height in mm of the translucent edge of front teeth, and its colour relative to the rest."""

GUM_SIDE = (0.965, 0.925, 0.855)
"""Colour of enamel at the gum, relative to that at the edge."""

CANINE, CANINES = (0.99, 0.97, 0.935), 2
"""Colour of a canine relative to other teeth, and its place in a row, counted from the middle from 0."""

MILK_CROWN, FAR_MM = 0.8, 20.0
"""Height of the crown of a milk tooth relative to that of an adult; and the largest distance in mm from the gum."""

UNLIKE = 0.02
"""Standard deviation of the brightness of the teeth of a row."""

BACK = 0.8
"""Brightness of the inner side of teeth."""

GUM_PALE, GUM_PALE_MM = (1.05, 1.12, 1.10), 1.2
"""Colour of the border of the gum relative to the rest, and its width in mm: there is little blood in it."""

LEAST_SIZE = 256
"""Side in texels of the smallest atlas in which the charts of all teeth have texels; smaller pictures are reduced."""

SEED = 11


class _Texels(NamedTuple):
    """What is the same for the teeth of all people: t texels of a picture.

    Attributes
    ----------
    source : (h, w) int array, row of the texel that each pixel shows
    enamel, gum : (t, 3) float arrays, factors of the colour of the edge of teeth and of the light
    """

    source: IntArray
    enamel: FloatArray
    gum: FloatArray


def teeth_picture(template: Template, size: int, mouth: MouthLight, child: float = 0.0) -> ByteArray:
    """Return the picture (h, w, 3) of the rectangle `TEETH_BOX` of the atlas of files.

    Parameters
    ----------
    template : Template
    size : side length of the atlas in texels
    mouth : MouthLight
    child : share of the milk teeth of a small child, 0 to 1; see `facegeom.face_model.teeth.childhood`
    """
    colors = np.zeros(3)
    for milk, share in ((False, 1.0 - child), (True, child)):
        if share:
            texels = _texels(template, max(size, LEAST_SIZE), milk)
            colors = colors + share * (texels.enamel * mouth.edge + texels.gum * mouth.light)
    picture = np.asarray(np.rint(np.clip(colors, 0, 255)), np.uint8)[texels.source]
    rows, columns = TEETH_BOX.texels(size)
    room = (columns.stop - columns.start, rows.stop - rows.start)
    return (
        picture if size >= LEAST_SIZE else np.asarray(cv2.resize(picture, room, interpolation=cv2.INTER_AREA), np.uint8)
    )


@load_once(maxsize=4)
def _texels(template: Template, size: int, milk: bool) -> _Texels:
    model, fine = load_face_model(), template.fine
    V = template.subdivide(model.mean[template.vertices])
    rows = np.flatnonzero(fine.regions["teeth"][fine.faces].all(axis=1))
    faces = fine.faces[rows]
    number, teeth = template_teeth(template)
    normals = geometry.vertex_normals(V, faces)
    down, right = TEETH_BOX.texels(size)
    corners = template.file_uv[fine.uv_faces[rows].ravel()] * (size, -size)
    corners += (-0.5 - right.start, size - 0.5 - down.start)
    values = np.column_stack([V, normals])[faces.ravel()]
    found = geometry.rasterize(
        np.column_stack([corners, np.zeros(len(corners))]),
        np.arange(len(corners)).reshape(-1, 3),
        values,
        (down.stop - down.start, right.stop - right.start),
    )
    known = found.triangle >= 0
    place = np.zeros(known.shape, np.int64)
    place[known] = np.arange(known.sum())
    source = place.ravel()[nearest_known(known)]
    own = number[faces[found.triangle[known], 0]]
    points, normal = found.attributes[known][:, :3], found.attributes[known][:, 3:]
    enamel, gum = _colors(template, V, points, normal, own, teeth, milk=milk)
    return _Texels(source, enamel, gum)


def _colors(
    template: Template,
    V: FloatArray,
    points: FloatArray,
    normal: FloatArray,
    own: IntArray,
    teeth: list[Tooth],
    *,
    milk: bool,
) -> tuple[FloatArray, FloatArray]:
    """Return the factors (t, 3) of the colour of the edge of teeth, and of the light, at points (t, 3) of teeth.

    Of teeth that a child with milk teeth does not have, only gums are painted.
    """
    light, gums = inside_light(template, V, points)
    rng = np.random.default_rng(SEED)
    enamel, share = np.ones((len(points), 3)), np.zeros(len(points))
    border = np.zeros(len(points))
    for k, tooth in enumerate(teeth):
        rows = np.flatnonzero(own == k)
        s = (points[rows] - tooth.centre) @ tooth.across / tooth.half
        height = tooth.up * (points[rows, 1] - tooth.edge)
        outer = normal[rows] @ tooth.outward
        line, crown = _gum_line(s, height, outer, gums.height[rows])
        if milk:
            line = line * MILK_CROWN if tooth.number < MILK_TEETH else np.full(len(rows), -np.inf)
        border[rows] = np.clip(height - line, -FAR_MM, FAR_MM)
        share[rows] = smooth_step(border[rows], -SOFT_MM, SOFT_MM)
        along = np.clip(height / crown, 0.0, 1.0)[:, None]
        color = 1.0 + along**1.3 * (np.array(GUM_SIDE) - 1.0)
        if tooth.number <= CANINES:
            color *= 1.0 + (1.0 - smooth_step(height, 0.2, EDGE_MM))[:, None] * (np.array(EDGE_COLOR) - 1.0)
        if tooth.number == CANINES and not milk:
            color *= CANINE
        color *= 1.0 - smooth_step(np.abs(s), BETWEEN, 1.0)[:, None] * (1.0 - np.array(BETWEEN_SHADE))
        color *= 1.0 - (1.0 - CREVICE) * smooth_step(border[rows], -CREVICE_MM, 0.0)[:, None]
        color *= 1.0 - (1.0 - BACK) * smooth_step(-outer, -0.2, 0.4)[:, None]
        enamel[rows] = color * (1.0 + UNLIKE * rng.standard_normal())
    pale = 1.0 + (1.0 - smooth_step(border, 0.0, GUM_PALE_MM))[:, None] * (np.array(GUM_PALE) - 1.0)
    share = share[:, None]
    return (1 - share) * enamel * light, share * gums.color * pale


def _gum_line(s: FloatArray, height: FloatArray, outer: FloatArray, above: FloatArray) -> tuple[FloatArray, float]:
    """Return the height (p,) in mm of the painted gum on a tooth, and that of its crown.

    `s` and `height` (p,) are the places of points across the tooth and above its edge, `outer` (p,) says whether they
    face outwards, and `above` (p,) is their height above the gums of the face model. The painted gum is an arch that
    covers the border of these gums.
    """
    bare = (outer > 0.2) & (above > 0)
    middle = bare & (np.abs(s) < 0.45)
    if middle.sum() < 4:
        return np.full(len(s), np.inf), max(float(height.max()), 1.0)
    columns = np.clip(((s[middle] + 0.45) / 0.9 * 6).astype(np.int64), 0, 5)
    tops = np.zeros(6)
    np.maximum.at(tops, columns, height[middle])
    crown = float(np.median(tops[tops > 0])) - COVERED_MM
    return crown * (1.0 - GUM_TIP * np.abs(np.clip(s, -1.0, 1.0)) ** TIP_POWER), crown
