"""Colours of the inside of the mouth: teeth, gums, tongue and inner cheeks, darker and redder towards the throat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.face_model.tongue import JAW_MM, tongue_share

TEETH = (238.0, 232.0, 222.0)
GUMS, TONGUE, CHEEKS = (212.0, 130.0, 124.0), (200.0, 106.0, 106.0), (172.0, 88.0, 82.0)
"""Colours (RGB, 0 to 255) at the lips, under light in which the white of an eye is `appearance.SCLERA`."""

DEPTH_MM, POWER = 48.0, 1.3
"""The light inside the mouth decreases as exp(-(depth / the first)^the second), depth in mm behind the front teeth."""

FREE_MM = 18.0
"""Depth in mm at which the light on the tongue begins to decrease: it also comes out of the mouth."""

LEAST = {"teeth": 0.45, "gums": 0.60, "tongue": 0.70, "cheeks": 0.58}
"""Light at the throat, relative to that at the lips. Renderers that trace light darken the mouth once more."""

RED = 0.35
"""Share of green and blue that is lost where there is no light from outside: light there comes from red walls."""

FOLD_MM, FOLD = 6.0, 0.5
"""Between gums and cheeks it is dark: distance in mm of the two up to which, and the light where they touch."""

SIDE_MM, SIDE = 5.0, 0.72
"""The same between tongue and gums."""

CROWN_MM = 9.0
"""Height in mm of a tooth, along which it becomes lighter from the gum to its edge."""

GUM_SIDE = (0.95, 0.92, 0.87)
"""Colour of a tooth at the gum, relative to that at its edge."""


LIT_GUM_MM = 8.0
"""Distance in mm from the teeth within which gums are lighter beside the cheeks: lips that part show these gums."""


class MouthLight(NamedTuple):
    """The light on the mouth of a person.

    Attributes
    ----------
    light : (3,) float array, the light at the lips, relative to that in which the white of an eye is `SCLERA`
    edge : (3,) float array, the colour of the edges of the teeth at the lips, in [0, 255]
    """

    light: FloatArray
    edge: FloatArray


class Gums(NamedTuple):
    """The gums at points (p, 3): their height (p,) above the gums in mm, and the gums' colour (p, 3) in white light."""

    height: FloatArray
    color: FloatArray


class _Shades(NamedTuple):
    """The inside of the mouth: the colours of k vertices in white light, of teeth relative to those of their edges.

    Attributes
    ----------
    color : (k, 3) float array
    teeth : (k,) bool array, vertices of teeth
    front : float, z of the foremost tooth, mm
    """

    color: FloatArray
    teeth: BoolArray
    front: float


def mouth_colors(template: Template, mouth: MouthLight) -> FloatArray:
    """Return the colours (k, 3), in [0, 255], of the vertices of the region `mouth_interior` of the coarse topology.

    Parameters
    ----------
    template : Template
    mouth : MouthLight
    """
    shades = _shades(template)
    return np.asarray(np.where(shades.teeth[:, None], mouth.edge, mouth.light) * shades.color)


def inside_light(template: Template, V: FloatArray, points: FloatArray) -> tuple[FloatArray, Gums]:
    """Return the colour of the light (p, 3) on points of the teeth of the mean face, and the gums beside them.

    Parameters
    ----------
    template : Template
    V : (n, 3) float array, mm, the fine vertices of the mean face
    points : (p, 3) float array, mm
    """
    fine, shades = template.fine, _shades(template)
    faces = fine.faces[fine.regions["gums_and_tongue"][fine.faces].all(axis=1)]
    found = geometry.closest_points(V, faces, points)
    corners = faces[found.face]
    normal = np.einsum("qc,qcd->qd", found.weights, geometry.vertex_normals(V, faces)[corners])
    away = points - np.einsum("qc,qcd->qd", found.weights, V[corners])
    height = np.copysign(found.distance, np.einsum("qd,qd->q", away, normal))
    place = np.zeros(len(V), np.int64)
    place[fine.regions["mouth_interior"]] = np.arange(len(shades.color))
    gums = np.einsum("qc,qcd->qd", found.weights, shades.color[place[corners]])
    lit = _lit(shades.front - points[:, 2], LEAST["teeth"])
    return lit[:, None] * _redder(lit), Gums(height, gums)


def _lit(depth: FloatArray, least: FloatArray | float) -> FloatArray:
    """Return the light (k,) at depths (k,) in mm behind the front teeth; `least` is that at the throat."""
    return np.asarray(least + (1 - least) * np.exp(-((np.maximum(depth, 0.0) / DEPTH_MM) ** POWER)))


def _redder(lit: FloatArray) -> FloatArray:
    """Return the colour (k, 3) of light of the strength `lit` (k,)."""
    return np.asarray(1.0 - RED * (1.0 - lit[:, None]) * (0.0, 1.0, 1.0))


@load_once(maxsize=2)
def _shades(template: Template) -> _Shades:
    model = load_face_model()
    regions = model.regions
    members = template.vertices[template.coarse.regions["mouth_interior"]]
    V = model.mean[members]
    teeth, soft = regions["teeth"][members], regions["gums_and_tongue"][members]
    tongue = tongue_share(model)[members]
    front = float(V[teeth, 2].max())
    least = np.where(teeth, LEAST["teeth"], np.where(soft, LEAST["gums"], LEAST["cheeks"]))
    least = tongue * LEAST["tongue"] + (1 - tongue) * least
    lit = _lit(front - V[:, 2] - FREE_MM * tongue, least)
    gums, cheeks = soft & (tongue < 0.5), ~teeth & ~soft
    for first, second, reach, dark in (
        (gums, cheeks, FOLD_MM, FOLD), (cheeks, gums, FOLD_MM, FOLD), (tongue >= 0.5, gums, SIDE_MM, SIDE),
    ):  # fmt: skip
        away = np.clip(geometry.nearest(V[second], V[first])[1] / reach, 0.0, 1.0)
        if first is gums:
            away = np.maximum(away, 1.0 - np.clip(geometry.nearest(V[teeth], V[first])[1] / LIT_GUM_MM, 0.0, 1.0) ** 2)
        lit[first] *= dark + (1 - dark) * away
    color = np.where(soft[:, None], GUMS, CHEEKS)
    color = tongue[:, None] * TONGUE + (1 - tongue[:, None]) * color
    lower = model.expression[model.expression_names.index("jawOpen"), members[teeth], 1] < -JAW_MM
    color[teeth] = 1.0 + _from_edge(V[teeth, 1], lower)[:, None] * (np.array(GUM_SIDE) - 1.0)
    shaded = color * lit[:, None] * _redder(lit)
    return _Shades(shaded, np.asarray(teeth, np.bool_), front)


def _from_edge(height: FloatArray, lower: BoolArray) -> FloatArray:
    """Return where heights (k,) of vertices of teeth, in mm, lie between the edge (0) and the gum (1) of a tooth.

    `lower` (k,) are the vertices of lower teeth.
    """
    split = 0.5 * (height[lower].max() + height[~lower].min())
    return np.asarray(np.clip(np.abs(height - split) / CROWN_MM, 0.0, 1.0))
