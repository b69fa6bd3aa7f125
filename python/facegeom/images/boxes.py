"""Boxes x0, y0, x1, y1: overlap, non-maximum suppression, merging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray

Box: TypeAlias = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, x0 < x1 and y0 < y1."""

BoxLike: TypeAlias = Sequence[float] | FloatArray
"""A box, or a detection whose score is ignored."""

Detection: TypeAlias = tuple[float, float, float, float, float]
"""The box of a face and its score in (0, 1]."""


def box_iou(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes, in [0, 1].

    Examples
    --------
    >>> box_iou((0.0, 0.0, 2.0, 2.0), (1.0, 0.0, 2.0, 2.0))
    0.5
    """
    return float(iou(np.array([first]), np.array([second]))[0, 0])


def iou(first: FloatArray, second: FloatArray, *, of_smaller: bool = False) -> FloatArray:
    """Return the (n, m) intersections over union (or over the smaller area) of boxes (n, 4) and (m, 4).

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
    """Return the rows of boxes (n, 4), best score first, that no better one overlaps by more than `overlap`.

    Non-maximum suppression by intersection over union, or over the smaller area.
    """
    order = np.argsort(-scores, kind="stable")
    keep: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        keep.append(int(best))
        order = rest[iou(boxes[best : best + 1], boxes[rest], of_smaller=of_smaller)[0] <= overlap]
    return np.array(keep, dtype=np.int64)


def merge(boxes: FloatArray, weights: FloatArray, overlap: float) -> tuple[FloatArray, FloatArray]:
    """Merge overlapping candidates: return mean boxes (k, 4) and summed weights (k,), largest weight first.

    The candidate whose overlapping candidates have the largest total weight starts a group, which takes all of them
    that have at least `overlap` intersection over union with it. This is repeated with the remaining candidates. The
    merged box is the weighted mean of its group.

    Parameters
    ----------
    boxes : (n, 4) float array
    weights : (n,) float array, above 0
    overlap : in (0, 1]
    """
    near = iou(boxes, boxes) >= overlap
    free = np.ones(len(boxes), dtype=bool)
    merged: list[FloatArray] = []
    total: list[float] = []
    while free.any():
        support = np.where(free, (near & free) @ weights, -1.0)
        members = near[int(np.argmax(support))] & free
        merged.append(np.average(boxes[members], axis=0, weights=weights[members]))
        total.append(float(weights[members].sum()))
        free &= ~members
    order = np.argsort(-np.array(total), kind="stable")
    return np.array(merged).reshape(-1, 4)[order], np.array(total)[order]


def squares(boxes: FloatArray, factor: float = 1.0) -> FloatArray:
    """Return the squares (n, 4) around the boxes' centres with `factor` times their mean side."""
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    half = 0.25 * factor * (boxes[:, 2:] - boxes[:, :2]).sum(axis=1, keepdims=True)
    return np.concatenate([centre - half, centre + half], axis=1)
