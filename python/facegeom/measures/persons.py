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
    people, index, k = _groups(person)
    means = np.stack([np.bincount(index, column) / k for column in shapes.T], 1)
    between = k * ((means - means.mean(0)) ** 2).sum() / (people - 1)
    within = ((shapes - means[index]) ** 2).sum() / (people * (k - 1))
    return float((between - within) / (between + (k - 1) * within))


def correlation_interval(
    shapes: FloatArray, person: IntArray, *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the intraclass correlation: the people are drawn with replacement.

    Parameters
    ----------
    shapes, person : as in `intraclass_correlation`
    resamples : number of random draws of as many people
    seed : seed of the draws

    Raises
    ------
    ValueError
        As `intraclass_correlation`.
    """
    people, index, k = _groups(person)
    means = np.stack([np.bincount(index, column) / k for column in shapes.T], 1)
    square = (means**2).sum(1)
    spread = np.bincount(index, ((shapes - means[index]) ** 2).sum(1)) / (k - 1)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(people, np.full(people, 1 / people), resamples).astype(np.float64)
    centre = ((drawn @ means / people) ** 2).sum(1)
    between = k * (drawn @ square - people * centre) / (people - 1)
    within = drawn @ spread / people
    values = (between - within) / np.maximum(between + (k - 1) * within, 1e-12)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _groups(person: IntArray) -> tuple[int, IntArray, int]:
    """Return the number of people, the number of the person of each row, and the number of rows per person."""
    people, index, counts = np.unique(person, return_inverse=True, return_counts=True)
    if len(people) < 2 or counts[0] < 2 or (counts != counts[0]).any():
        raise ValueError("person must contain at least two people, each with the same number of rows (at least two)")
    return len(people), index, int(counts[0])


def separation(first: FloatArray, second: FloatArray) -> Separation:
    """Compare two shapes of each of n people, both (n, d) float arrays with the people in the same order."""
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    own = np.diag(distance)
    others = distance[~np.eye(len(distance), dtype=bool)]
    return Separation(float((distance.argmin(1) == np.arange(len(distance))).mean()), float(own.mean() / others.mean()))
