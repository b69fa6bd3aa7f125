"""Colours of the inside of the mouth: teeth, gums, tongue and inner cheeks, darker and redder towards the throat."""

from __future__ import annotations

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.face_model.tongue import tongue_share

TEETH = (238.0, 232.0, 222.0)
GUMS, TONGUE, CHEEKS = (212.0, 130.0, 124.0), (200.0, 106.0, 106.0), (172.0, 88.0, 82.0)
"""Colours (RGB, 0 to 255) at the lips, under light in which the white of an eye is `appearance.SCLERA`."""

DEPTH_MM, POWER = 48.0, 1.3
"""The light inside the mouth decreases as exp(-(depth / the first)^the second), depth in mm behind the front teeth."""

FREE_MM = 18.0
"""Depth in mm at which the light on the tongue begins to decrease: it also comes out of the mouth."""

LEAST = {"teeth": 0.30, "gums": 0.28, "tongue": 0.35, "cheeks": 0.20}
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


def mouth_colors(template: Template, light: FloatArray, edge: FloatArray) -> FloatArray:
    """Return the colours (k, 3), in [0, 255], of the vertices of the region `mouth_interior` of the coarse topology.

    Parameters
    ----------
    template : Template
    light : (3,) float array, the light at the lips, relative to that in which the white of an eye is `SCLERA`
    edge : (3,) float array, the colour of the edges of the teeth at the lips
    """
    shade, teeth = _shades(template)
    return np.asarray(np.where(teeth[:, None], edge, light) * shade)


@load_once(maxsize=2)
def _shades(template: Template) -> tuple[FloatArray, BoolArray]:
    """Return the colours (k, 3) in white light, of teeth relative to those of their edges; and the mask of teeth."""
    model = load_face_model()
    regions = model.regions
    members = template.vertices[template.coarse.regions["mouth_interior"]]
    V = model.mean[members]
    teeth, soft = regions["teeth"][members], regions["gums_and_tongue"][members]
    tongue = tongue_share(model)[members]
    depth = V[teeth, 2].max() - V[:, 2]
    least = np.where(teeth, LEAST["teeth"], np.where(soft, LEAST["gums"], LEAST["cheeks"]))
    least = tongue * LEAST["tongue"] + (1 - tongue) * least
    lit = np.exp(-((np.maximum(depth - FREE_MM * tongue, 0.0) / DEPTH_MM) ** POWER))
    lit = least + (1 - least) * lit
    gums, cheeks = soft & (tongue < 0.5), ~teeth & ~soft
    for first, second, reach, dark in (
        (gums, cheeks, FOLD_MM, FOLD), (cheeks, gums, FOLD_MM, FOLD), (tongue >= 0.5, gums, SIDE_MM, SIDE),
    ):  # fmt: skip
        away = np.clip(geometry.nearest(V[second], V[first])[1] / reach, 0.0, 1.0)
        lit[first] *= dark + (1 - dark) * away
    color = np.where(soft[:, None], GUMS, CHEEKS)
    color = tongue[:, None] * TONGUE + (1 - tongue[:, None]) * color
    color[teeth] = 1.0 + _from_edge(V[teeth, 1])[:, None] * (np.array(GUM_SIDE) - 1.0)
    redder = 1.0 - RED * (1.0 - lit[:, None]) * (0.0, 1.0, 1.0)
    return color * lit[:, None] * redder, np.asarray(teeth, np.bool_)


def _from_edge(height: FloatArray) -> FloatArray:
    """Return where heights (k,) of vertices of teeth, in mm, lie between the edge (0) and the gum (1) of a tooth."""
    ordered = np.sort(height)
    gap = int(np.diff(ordered).argmax()) if len(ordered) > 1 else 0  # between lower and upper teeth
    split = 0.5 * (ordered[gap] + ordered[min(gap + 1, len(ordered) - 1)])
    return np.asarray(np.clip(np.abs(height - split) / CROWN_MM, 0.0, 1.0))
