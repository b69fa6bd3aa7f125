"""Operations on boxes (x0, y0, x1, y1): overlap and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray

Box: TypeAlias = tuple[float, float, float, float]
"""A box x0, y0, x1, y1 in pixels of the photo, with x0 < x1 and y0 < y1."""

BoxLike: TypeAlias = Sequence[float] | FloatArray
"""A box, or a detection whose score is ignored."""

Detection: TypeAlias = tuple[float, float, float, float, float]
"""A detected face: the box x0, y0, x1, y1 in pixels of the photo, and the score in (0, 1]."""


def box_iou(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes, in [0, 1].

    Examples
    --------
    >>> box_iou((0.0, 0.0, 2.0, 2.0), (1.0, 0.0, 2.0, 2.0))
    0.5
    """
    return float(iou(np.array([first]), np.array([second]))[0, 0])


def iou(first: FloatArray, second: FloatArray, *, of_smaller: bool = False) -> FloatArray:
    """Return the intersections over union (n, m) of boxes (n, 4) and boxes (m, 4), in [0, 1].

    With `of_smaller`, the intersection is divided by the area of the smaller box instead of the area of the union.

    Examples
    --------
    >>> iou(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]]))
    array([[0.33333333, 0.        ]])
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common: FloatArray = np.prod(np.clip(high - low, 0.0, None), axis=2)
    area, other = np.prod(first[:, 2:] - first[:, :2], axis=1), np.prod(second[:, 2:] - second[:, :2], axis=1)
    whole = np.minimum(area[:, None], other) if of_smaller else area[:, None] + other - common
    ratio: FloatArray = common / np.maximum(whole, 1e-9)
    return ratio


def suppress(boxes: FloatArray, scores: FloatArray, overlap: float, *, of_smaller: bool = False) -> IntArray:
    """Select boxes by non-maximum suppression; return the rows of the kept boxes, highest score first.

    A box is removed if the overlap with a kept box of higher score is more than `overlap`. The overlap of two boxes is
    the value of `iou`, in [0, 1].
    """
    order = np.argsort(-scores, kind="stable")
    keep: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        keep.append(int(best))
        order = rest[iou(boxes[best : best + 1], boxes[rest], of_smaller=of_smaller)[0] <= overlap]
    return np.array(keep, dtype=np.int64)


def squares(boxes: FloatArray, factor: float = 1.0) -> FloatArray:
    """Return one square (n, 4) per box (n, 4), with the same centre; its side length is `factor` times the mean of
    width and height of the box.
    """
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    half = 0.25 * factor * (boxes[:, 2:] - boxes[:, :2]).sum(axis=1, keepdims=True)
    return np.concatenate([centre - half, centre + half], axis=1)
