"""Distances between surfaces, by points sampled on them: chamfer distance, F-score, earth mover's distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.geometry import nearest

EMD_POINTS = 1024
"""Points a surface between which the earth mover's distance is exact: the assignment costs their third power."""


class SurfacePoints(NamedTuple):
    """Points on a surface.

    Attributes
    ----------
    points : (n, 3) float array
    normals : (n, 3) float array, unit, those of the triangles
    face : (n,) int64 array, the triangle of each
    """

    points: FloatArray
    normals: FloatArray
    face: IntArray


def sample_surface(V: npt.ArrayLike, F: npt.ArrayLike, count: int, *, seed: int = 0) -> SurfacePoints:
    """Draw points uniformly by area.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array, some of them with an area
    count : how many points
    seed : the same gives the same points

    Returns
    -------
    SurfacePoints

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or where no triangle has an area.

    Examples
    --------
    >>> drawn = sample_surface([[0, 0, 0], [2, 0, 0], [0, 2, 0.0]], [[0, 1, 2]], 5)
    >>> drawn.points.shape, bool((drawn.points.sum(axis=1) <= 2).all()), drawn.normals[0].tolist()
    ((5, 3), True, [0.0, 0.0, 1.0])
    """
    V, F = check.mesh(V, F)
    count = check.count(count, "count")
    rng = np.random.default_rng(check.count(seed, "seed"))
    a, b, c = (V[F[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    doubled = np.linalg.norm(normals, axis=1)  # twice the areas
    reached = np.cumsum(doubled)
    if not len(F) or not reached[-1] > 0:
        raise ValueError(f"F must hold a triangle with an area, got {len(F)} without")

    face = np.searchsorted(reached, rng.random(count) * reached[-1], side="right")
    root, share = np.sqrt(rng.random((count, 1))), rng.random((count, 1))  # uniform over a triangle
    points = (1 - root) * a[face] + root * ((1 - share) * b[face] + share * c[face])
    return SurfacePoints(points, normals[face] / doubled[face, None], face)


@dataclass(frozen=True)
class CloudDistances:
    """How far two clouds of points lie from each other, point by point.

    All four chamfer distances add both directions: the papers' equation does, and so does their code.

    Attributes
    ----------
    to_truth : (p,) float array, from each predicted point to the nearest true one
    to_predicted : (q,) float array, from each true point to the nearest predicted one
    """

    to_truth: FloatArray
    to_predicted: FloatArray

    @property
    def chamfer_mean(self) -> float:
        """Mean distance to the truth plus mean distance to the prediction, in the unit of the points."""
        return float(self.to_truth.mean() + self.to_predicted.mean())

    @property
    def chamfer_sum(self) -> float:
        """The same with sums instead of means, which grows with the number of points."""
        return float(self.to_truth.sum() + self.to_predicted.sum())

    @property
    def chamfer_squared_mean(self) -> float:
        """Mean squared distance to the truth plus that to the prediction, in the unit squared."""
        return float((self.to_truth**2).mean() + (self.to_predicted**2).mean())

    @property
    def chamfer_squared_sum(self) -> float:
        """The same with sums instead of means: equation 6 of the GCN-IGAN paper."""
        return float((self.to_truth**2).sum() + (self.to_predicted**2).sum())

    def f_score(self, tau: float) -> float:
        """Return the harmonic mean of precision and recall, in [0, 1].

        Precision is the share of the predicted points within `tau` of the truth, recall the share of the true points
        within `tau` of the prediction. `tau` bounds distances; Pixel2Mesh's own code compares squared ones with it.
        """
        tau = check.positive(tau, "tau")
        precision, recall = float((self.to_truth <= tau).mean()), float((self.to_predicted <= tau).mean())
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def cloud_distances(predicted: npt.ArrayLike, truth: npt.ArrayLike) -> CloudDistances:
    """Return the distances between (p, 3) `predicted` and (q, 3) `truth`, each with at least one point.

    Examples
    --------
    >>> found = cloud_distances([[0, 0, 0], [3, 0, 0.0]], [[1, 0, 0.0]])
    >>> found.chamfer_mean, found.chamfer_squared_sum, round(found.f_score(1.0), 3)
    (2.5, 6.0, 0.667)
    """
    predicted = check.float_array(predicted, "predicted", (None, 3))
    truth = check.float_array(truth, "truth", (None, 3))
    return CloudDistances(nearest(truth, predicted)[1], nearest(predicted, truth)[1])


def earth_movers_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the mean distance over which the points of one cloud move when they become the other at the least cost.

    Parameters
    ----------
    first, second : (n, 3) float arrays, n at least 1; about 1,000 take a tenth of a second

    Returns
    -------
    float
        In the unit of the points; times n it is the sum of the GCN-IGAN paper's equation 7.

    Notes
    -----
    Exact: the best of all bijections (SciPy's `linear_sum_assignment`, of the extra `train`). Two samplings of the same
    surface do not lie at distance 0: theirs is the floor of the measure.

    Examples
    --------
    >>> earth_movers_distance([[0, 0, 0], [2, 0, 0.0]], [[3, 0, 0], [0, 0, 0.0]])
    0.5
    """
    from scipy.optimize import linear_sum_assignment

    first = check.float_array(first, "first", (None, 3))
    second = check.float_array(second, "second", first.shape)
    if not len(first):
        raise ValueError("first must hold at least one point, got none")
    cost = np.linalg.norm(first[:, None] - second[None], axis=2)
    return float(cost[linear_sum_assignment(cost)].mean())
