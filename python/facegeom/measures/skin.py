"""Lightness of the skin in a photo, so that errors can be compared between light and dark skin.

The lightness is measured in the photo and depends on the exposure. It is no statement about a person.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray

CHEEKS = ((41, 31, 48, 2), (46, 35, 54, 14))
"""The four of the 68 landmarks around each cheek: lower lid, wing of the nose, corner of the mouth, jaw."""

SHRINKING = 0.6
"""Factor by which the quadrangle of a cheek is scaled about its centre."""

NARROW = 0.5
"""A cheek with less than this share of the area of the other one is not used: it is seen from the side."""

LIGHTNESS_BINS = (("dark", 0.0, 50.0), ("medium", 50.0, 65.0), ("light", 65.0, 100.1))
"""Name, lower and upper limit (exclusive) of the bins of lightness L*."""


def cheek_lightness(photo: ByteArray, landmarks: FloatArray) -> float:
    """Return the median lightness L* of the cheeks.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array, sRGB
    landmarks : (68, 2) float array, pixels

    Returns
    -------
    float in [0, 100]
        L* of CIELAB (white point D65); NaN if no cheek lies in the photo.
    """
    photo = check.rgb_image(photo)
    landmarks = check.float_array(landmarks, "landmarks", (68, 2))
    corners = landmarks[np.array(CHEEKS)]
    middle = corners.mean(axis=1, keepdims=True)
    corners = middle + SHRINKING * (corners - middle)
    areas = [float(cv2.contourArea(cheek.astype(np.float32))) for cheek in corners]
    inside = np.zeros(photo.shape[:2], np.uint8)
    for cheek, area in zip(corners, areas, strict=True):
        if area >= NARROW * max(areas):
            cv2.fillConvexPoly(inside, np.rint(cheek).astype(np.int32), 1)
    if not inside.any():
        return float("nan")
    colours = photo[inside > 0].astype(np.float32)[None] / 255
    return float(np.median(np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2LAB))[..., 0]))


def means_by_lightness(values: Sequence[float], lightness: Sequence[float]) -> dict[str, dict[str, float]]:
    """Return number and mean of the values in each bin of lightness: name of the bin -> {"photos", "mean"}.

    Parameters
    ----------
    values, lightness : n floats each; entries whose lightness is NaN are in no bin
    """
    v, where = np.asarray(values, dtype=np.float64), np.asarray(lightness, dtype=np.float64)
    figures = {}
    for name, low, high in LIGHTNESS_BINS:
        inside = (where >= low) & (where < high)
        figures[name] = {"photos": int(inside.sum()), "mean": float(v[inside].mean()) if inside.any() else float("nan")}
    return figures
