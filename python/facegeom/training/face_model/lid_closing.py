"""Closing of the eyelids: the ICT expression eyeBlink leaves a slit, which eyelashes cover in the ICT head.

The face model has no eyelashes. In this expression, the upper lid is moved down over the eyeball by the height of the
visible part of the eyeball in each image column; the displacement decreases with the distance from the lid edge.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.geometry import rasterize

_SCALE = 20.0  # scale of the rendering in which the slit is measured, pixels per mm
_OVERLAP = 0.25  # overlap of the closed lids, mm
_FULL, _FADED = 3.5, 9.0  # distances from the lid edge, mm: full displacement up to the first, none beyond the second


def close_lids(
    mean: FloatArray,
    faces: IntArray,
    blink: FloatArray,
    ball: BoolArray,
    from_rim: FloatArray,
    rim: BoolArray,
    rounds: int = 4,
) -> FloatArray:
    """Return the expression eyeBlink of the left eye with completely closed lids.

    Parameters
    ----------
    mean : (n, 3) float array, mm
        Vertices of the mean head.
    faces : (m, 3) int array
    blink : (n, 3) float array, mm
        Displacements of the expression at weight 1.
    ball : (n,) bool array
        Vertices of the left eyeball.
    from_rim : (n,) float array, mm
        Geodesic distance from the edges of the eye openings on the face; infinite outside the face.
    rim : (n,) bool array
        Vertices on the edge of the left eye opening.
    rounds : int
        Largest number of rounds; each round measures and closes the slit.

    Returns
    -------
    (n, 3) float array, mm
        Displacements of the corrected expression at weight 1.
    """
    upper = _upper_lid(mean, rim, from_rim)
    fade = np.clip((_FADED - from_rim) / (_FADED - _FULL), 0.0, 1.0) * upper
    centre = 0.5 * (mean[ball].min(axis=0) + mean[ball].max(axis=0))
    low, high = mean[rim, 0].min() - 2.0, mean[rim, 0].max() + 2.0
    closed = blink.copy()
    for _ in range(rounds):
        V = mean + closed
        slit = _slit(V, faces, ball, centre, low, high)
        if slit.max() == 0.0:
            break
        wide = int(1.5 * _SCALE)
        wanted = uniform_filter1d(maximum_filter1d(np.where(slit > 0, slit + _OVERLAP, 0.0), wide), wide)
        columns = low + (np.arange(len(slit)) + 0.5) / _SCALE
        amount = np.interp(V[:, 0], columns, wanted) * fade
        outward = V - centre
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        down = np.array([0.0, -1.0, 0.0]) + outward[:, 1:2] * outward
        down /= np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 0.3)
        closed = closed + amount[:, None] * down
    return closed


def _upper_lid(mean: FloatArray, rim: BoolArray, from_rim: FloatArray) -> BoolArray:
    """Return the vertex mask (n,) of the left upper lid: near the eye, above the line between the eye corners."""
    ids = np.flatnonzero(rim)
    inner, outer = mean[ids[mean[ids, 0].argmin()]], mean[ids[mean[ids, 0].argmax()]]
    line = np.interp(mean[:, 0], [inner[0], outer[0]], [inner[1], outer[1]])
    near = (from_rim < _FADED) & (mean[:, 0] > inner[0] - 1.0) & (mean[:, 0] < outer[0] + 1.0)
    return np.asarray(near & (mean[:, 1] > line))


def _slit(V: FloatArray, faces: IntArray, ball: BoolArray, centre: FloatArray, low: float, high: float) -> FloatArray:
    """Return the visible height of the eyeball, mm, in each pixel column (w,) of a frontal view: x `low` to `high`."""
    width, height = int((high - low) * _SCALE), int(30.0 * _SCALE)
    pixel = (V - np.array([low, centre[1] + 15.0, 0.0])) * np.array([_SCALE, -_SCALE, 1.0])
    seen = rasterize(pixel, faces, None, (height, width)).triangle
    shows = np.append(ball[faces].all(axis=1), False)[seen]  # the last entry is for -1, pixels without a triangle
    return np.asarray(shows.sum(axis=0) / _SCALE)
