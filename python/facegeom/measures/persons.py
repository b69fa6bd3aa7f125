"""Variation of reconstructed shapes within and between people: a measure of shape quality, not for recognition."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray


class Separation(NamedTuple):
    """Distances between two shapes of each of n people.

    Attributes
    ----------
    rank1 : share of the people whose first shape is closest to their own second shape, of all second shapes
    ratio : mean distance within people divided by mean distance between people
    """

    rank1: float
    ratio: float


def intraclass_correlation(shapes: FloatArray, person: IntArray) -> float:
    """Return the intraclass correlation: the share of the variance that is between people.

    Parameters
    ----------
    shapes : (n, d) float array; the Euclidean distance between rows is the distance between shapes
    person : (n,) int array; every person has the same number of rows, at least two

    Returns
    -------
    float
        One-way random effects, ICC(1) of Shrout & Fleiss 1979, with the mean squares summed over the d coordinates.

    Raises
    ------
    ValueError
        If people have different numbers of rows, or if there are fewer than two people.
    """
    people, index, counts = np.unique(person, return_inverse=True, return_counts=True)
    k = int(counts[0])
    if len(people) < 2 or k < 2 or (counts != k).any():
        raise ValueError("person must contain at least two people, each with the same number of rows (at least two)")
    means = np.stack([np.bincount(index, column) / k for column in shapes.T], 1)
    between = k * ((means - means.mean(0)) ** 2).sum() / (len(people) - 1)
    within = ((shapes - means[index]) ** 2).sum() / (len(people) * (k - 1))
    return float((between - within) / (between + (k - 1) * within))


def separation(first: FloatArray, second: FloatArray) -> Separation:
    """Compare two shapes of each of n people, both (n, d) float arrays with the people in the same order."""
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    own = np.diag(distance)
    others = distance[~np.eye(len(distance), dtype=bool)]
    return Separation(float((distance.argmin(1) == np.arange(len(distance))).mean()), float(own.mean() / others.mean()))
