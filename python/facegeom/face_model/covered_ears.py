"""Ears that hair covers: their skin is spread flat over the opening that they leave in the scalp around them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model.template import Template

SIDES = ("left", "right")


class FlatEar(NamedTuple):
    """The skin of an ear as a combination of the skin around it.

    Attributes
    ----------
    ear : (e,) int array, vertices of the ear in the coarse skin
    ring : (r,) int array, vertices next to the ear
    weights : (e, r) float array: the flat ear is `weights @ V[ring]`
    """

    ear: IntArray
    ring: IntArray
    weights: FloatArray


@load_once(maxsize=4)
def flat_ear(template: Template, side: str) -> FlatEar:
    """Return how the ear of a side, "left" or "right", is spread flat.

    Each vertex becomes the mean of its neighbours: the solution of the uniform Laplacian has no folds (Tutte 1963, "How
    to draw a graph").

    Parameters
    ----------
    template : Template of the whole head
    side : "left" or "right"
    """
    coarse = template.coarse
    skin = coarse.skin_count
    member = coarse.regions[f"ear_{side}"][:skin]
    faces = coarse.skin_faces[member[coarse.skin_faces].any(axis=1)]
    rows = np.unique(faces)
    place = np.full(skin, -1)
    place[rows] = np.arange(len(rows))
    laplacian = geometry.uniform_laplacian(place[faces], len(rows)) @ np.eye(len(rows))
    inside: BoolArray = member[rows]
    weights = np.linalg.solve(laplacian[np.ix_(inside, inside)], -laplacian[np.ix_(inside, ~inside)])
    return FlatEar(rows[inside], rows[~inside], np.asarray(weights, np.float64))


def with_flat_ears(template: Template, V: FloatArray, sides: tuple[str, ...]) -> FloatArray:
    """Return the coarse skin (s, 3), mm, of a head with the ears of some sides spread flat."""
    out = V.copy()
    for side in sides:
        ear, ring, weights = flat_ear(template, side)
        out[ear] = weights @ V[ring]
    return out
