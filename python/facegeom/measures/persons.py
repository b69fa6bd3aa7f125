"""How far shapes tell people apart: a measure of shape, not a way to recognise anyone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray


class Separation(NamedTuple):
    """Comparison of n people, two shapes each: distances within a person and between different people.

    Attributes
    ----------
    rank1 : share of people whose first shape is nearer to their own second shape than to all other second shapes
    ratio : mean distance between the two shapes of a person / mean distance between shapes of different people
    """

    rank1: float
    ratio: float


def intraclass_correlation(shapes: FloatArray, person: IntArray) -> float:
    """Return the share of the variance of shapes that lies between people.

    Parameters
    ----------
    shapes : (n, d) float array; distances between rows are distances between shapes
    person : (n,) int array; each person has the same number of rows, two at least

    Returns
    -------
    float
        One-way random effects, ICC(1) of Shrout & Fleiss 1979, with the mean squares summed over the d coordinates.

    Raises
    ------
    ValueError
        When people have different numbers of rows, or there are fewer than two people.
    """
    people, index, counts = np.unique(person, return_inverse=True, return_counts=True)
    k = int(counts[0])
    if len(people) < 2 or k < 2 or (counts != k).any():
        raise ValueError("person must name at least two people, each with the same number of rows, two at least")
    means = np.stack([np.bincount(index, column) / k for column in shapes.T], 1)
    between = k * ((means - means.mean(0)) ** 2).sum() / (len(people) - 1)
    within = ((shapes - means[index]) ** 2).sum() / (len(people) * (k - 1))
    return float((between - within) / (between + (k - 1) * within))


def separation(first: FloatArray, second: FloatArray) -> Separation:
    """Compare two shapes of each of n people, (n, d) float arrays with the people in the same order."""
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    own = np.diag(distance)
    others = distance[~np.eye(len(distance), dtype=bool)]
    return Separation(float((distance.argmin(1) == np.arange(len(distance))).mean()), float(own.mean() / others.mean()))
