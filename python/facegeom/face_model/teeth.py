"""The teeth of the face model, and the milk teeth of small children.

A small child has ten teeth in a row, with short crowns. Children are recognised by the proportions of the face:
relative to the distance of their eyes, nose and chin are high. Proportions do not tell whether a baby has teeth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model.blendshapes import template_blendshapes
from facegeom.face_model.model import load_face_model
from facegeom.face_model.template import Template
from facegeom.face_model.tongue import JAW_MM

CHIN, NOSE = (1.696, 0.0975), (0.725, 0.0477)
"""Distance of chin and of the lower end of the nose below the eyes, relative to the distance of the eyes: mean and
standard deviation of the fits to 3,336 portraits."""

CHILD = (-5.5, -4.5)
"""Sum of both in standard deviations: a small child below the first, none above the second. Of the 48 portraits with
the lowest sums, up to -5, 45 show small children."""

MILK_TEETH = 5
"""Number of milk teeth of a half row."""

CROWN_MM, SHORTER, GONE = 8.5, 0.25, 0.6
"""Height of a crown in mm, and the shares by which those of milk teeth, and those of teeth behind them, are shorter."""


class Tooth(NamedTuple):
    """The place of a tooth on the mean face.

    Attributes
    ----------
    centre, across : (3,) float arrays, mm, and unit vector away from the middle of the row
    half : float, half width, mm
    edge, up : y of its edge, mm; 1 if its gum is above, -1 if it is below
    outward : (3,) float array, unit vector to the lips and cheeks
    number : place in the row from the middle, from 0
    """

    centre: FloatArray
    across: FloatArray
    half: float
    edge: float
    up: float
    outward: FloatArray
    number: int


def childhood(points: FloatArray) -> float:
    """Return how much a neutral face is that of a small child, from 0 to 1.

    Parameters
    ----------
    points : (68, 3) float array, mm, the landmarks `landmarks68_multipie` of the package's face model
    """
    right, left, chin, nose = points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[8], points[33]
    height, apart = 0.5 * (right + left)[1], float(np.linalg.norm(left - right))
    low, high = ((height - point[1]) / apart for point in (chin, nose))
    score = (low - CHIN[0]) / CHIN[1] + (high - NOSE[0]) / NOSE[1]
    return float(np.clip((CHILD[1] - score) / (CHILD[1] - CHILD[0]), 0.0, 1.0))


@load_once(maxsize=2)
def milk_teeth(template: Template) -> FloatArray:
    """Return the displacements (n, 3), mm, of the fine vertices that make milk teeth of the teeth of an adult."""
    V = template.subdivide(load_face_model().mean[template.vertices])
    number, teeth = template_teeth(template)
    result = np.zeros(V.shape)
    for row in np.flatnonzero(template.fine.regions["teeth"]).tolist():
        tooth = teeth[number[row]]
        shorter = SHORTER if tooth.number < MILK_TEETH else GONE
        height = tooth.up * (V[row, 1] - tooth.edge)
        result[row, 1] = tooth.up * shorter * max(0.0, CROWN_MM - height)
    result.flags.writeable = False
    return result


def template_teeth(template: Template) -> tuple[IntArray, list[Tooth]]:
    """Return the tooth of each fine vertex of a template, (n,), and its teeth on the mean face."""
    fine = template.fine
    V = template.subdivide(load_face_model().mean[template.vertices])
    lower = np.asarray(template_blendshapes(template)["jawOpen"][:, 1] < -JAW_MM, np.bool_)
    return find_teeth(V, fine.faces[fine.regions["teeth"][fine.faces].all(axis=1)], lower)


def find_teeth(V: FloatArray, F: IntArray, lower: BoolArray) -> tuple[IntArray, list[Tooth]]:
    """Return the tooth of each vertex (n,), and the teeth, whose triangles are F (m, 3).

    `lower` (n,) are the vertices that move with the jaw.
    """
    member = np.full(len(V), -1)
    member[F] = geometry.connected_components(F, len(V))[:, None]
    names = np.unique(member[F])
    rows = [np.flatnonzero(member == name) for name in names]
    middles = np.array([V[own].mean(axis=0) for own in rows])
    upper = np.array([~lower[own].any() for own in rows])
    number = np.zeros(len(V), np.int64)
    teeth: list[Tooth] = []
    for k, own in enumerate(rows):
        number[own] = k
        side = np.sign(middles[k, 0])
        same = (np.sign(middles[:, 0]) == side) & (upper == upper[k])
        chain = np.flatnonzero(same)[np.argsort(np.abs(middles[same, 0]) - middles[same, 2])]
        at = int(np.flatnonzero(chain == k)[0])
        before = middles[chain[at - 1]] if at else middles[k] * (-1.0, 1.0, 1.0)
        across = (middles[chain[min(at + 1, len(chain) - 1)]] - before) * (1.0, 0.0, 1.0)
        across /= np.linalg.norm(across)
        s = (V[own] - middles[k]) @ across
        centre = middles[k] + 0.5 * (s.max() + s.min()) * across
        up = 1.0 if upper[k] else -1.0
        outward = np.cross(across, (0.0, 1.0, 0.0))
        outward *= np.sign(outward @ (middles[k] - (0.0, 0.0, -20.0)))
        teeth.append(Tooth(centre, across, 0.5 * np.ptp(s), float(up * (up * V[own, 1]).min()), up, outward, at))
    return number, teeth
