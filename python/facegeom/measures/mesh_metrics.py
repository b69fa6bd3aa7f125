"""Distances between surfaces, measured on sampled points: chamfer distance, F-score, earth mover's distance, sliced
Wasserstein distance.

The chamfer distance and the earth mover's distance are defined in the GCN-IGAN paper (equations 6 and 7), the F-score
in Wang et al., Pixel2Mesh (ECCV 2018), the sliced Wasserstein distance in Bonneel et al., Sliced and Radon Wasserstein
Barycenters of Measures (2015).

The exact earth mover's distance is only affordable for about a thousand points. Two samples of so few points on one
face are 6 to 9 mm apart, so that a face with half the error of the mean face scores like the mean face. The sliced
distance takes thirty times as many points; two samples are then 0.3 to 0.5 mm apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import Float32Array, FloatArray, IntArray
from facegeom.geometry import nearest

EMD_POINTS = 1024
"""Number of points per surface for the exact earth mover's distance; the cost grows with the cube of this number."""

DIRECTIONS = 200
"""Number of directions of the sliced Wasserstein distance."""


class SurfacePoints(NamedTuple):
    """Points on a surface.

    Attributes
    ----------
    points : (n, 3) float array, positions
    normals : (n, 3) float array, unit normals of the triangles on which the points lie
    face : (n,) int64 array, index of the triangle on which each point lies
    """

    points: FloatArray
    normals: FloatArray
    face: IntArray


def sample_surface(V: npt.ArrayLike, F: npt.ArrayLike, count: int, *, seed: int = 0) -> SurfacePoints:
    """Draw random points on a triangle mesh, uniformly by area.

    Parameters
    ----------
    V : (n, 3) float array, vertex positions
    F : (m, 3) int array, triangles; at least one must have an area above zero
    count : number of points
    seed : seed of the random numbers; the same seed gives the same points

    Returns
    -------
    SurfacePoints
        `count` points.

    Raises
    ------
    ValueError, TypeError
        If a shape or dtype is wrong, or if no triangle has an area above zero.

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
    double_area = np.linalg.norm(normals, axis=1)
    cumulative = np.cumsum(double_area)
    if not len(F) or not cumulative[-1] > 0:
        raise ValueError(f"F must contain a triangle with an area above 0, got {len(F)} triangles without area")

    face = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    root, share = np.sqrt(rng.random((count, 1))), rng.random((count, 1))  # the root makes the density uniform
    points = (1 - root) * a[face] + root * ((1 - share) * b[face] + share * c[face])
    return SurfacePoints(points, normals[face] / double_area[face, None], face)


@dataclass(frozen=True)
class CloudDistances:
    """Nearest-point distances between two point clouds, in both directions.

    Each of the four chamfer distances is a sum over both directions, as in the equations and the code of the papers.

    Attributes
    ----------
    to_truth : (p,) float array, distance from each predicted point to the nearest true point
    to_predicted : (q,) float array, distance from each true point to the nearest predicted point
    """

    to_truth: FloatArray
    to_predicted: FloatArray

    @property
    def chamfer_mean(self) -> float:
        """Mean of `to_truth` plus mean of `to_predicted`, in the unit of the points."""
        return float(self.to_truth.mean() + self.to_predicted.mean())

    @property
    def chamfer_sum(self) -> float:
        """Sum of `to_truth` plus sum of `to_predicted`, in the unit of the points; grows with the number of points."""
        return float(self.to_truth.sum() + self.to_predicted.sum())

    @property
    def chamfer_squared_mean(self) -> float:
        """Mean of the squared `to_truth` plus mean of the squared `to_predicted`, in the unit squared."""
        return float((self.to_truth**2).mean() + (self.to_predicted**2).mean())

    @property
    def chamfer_squared_sum(self) -> float:
        """Sum of the squared `to_truth` plus sum of the squared `to_predicted`: equation 6 of the GCN-IGAN paper."""
        return float((self.to_truth**2).sum() + (self.to_predicted**2).sum())

    def f_score(self, tau: float) -> float:
        """Return the F-score: the harmonic mean of precision and recall, in [0, 1].

        Precision is the share of predicted points at most `tau` from the truth. Recall is the share of true points at
        most `tau` from the prediction.

        Parameters
        ----------
        tau : distance threshold, above 0, in the unit of the points (the code of Pixel2Mesh applies its threshold to
            squared distances)
        """
        tau = check.positive(tau, "tau")
        precision, recall = float((self.to_truth <= tau).mean()), float((self.to_predicted <= tau).mean())
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def cloud_distances(predicted: npt.ArrayLike, truth: npt.ArrayLike) -> CloudDistances:
    """Return the nearest-point distances between a predicted and a true point cloud.

    Parameters
    ----------
    predicted : (p, 3) float array, p at least 1
    truth : (q, 3) float array, q at least 1, in the same unit

    Returns
    -------
    CloudDistances

    Raises
    ------
    ValueError, TypeError
        If a shape or dtype is wrong, or if a cloud is empty.

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
    """Return the earth mover's distance of two point clouds: the mean distance of the best one-to-one assignment.

    Parameters
    ----------
    first, second : (n, 3) float arrays, n at least 1; 1,000 points take about a tenth of a second

    Returns
    -------
    float
        Mean distance in the unit of the points. Equation 7 of the GCN-IGAN paper is a sum: n times this value.

    Raises
    ------
    ValueError, TypeError
        If a shape or dtype is wrong, or if a cloud is empty.

    Notes
    -----
    The assignment is exact (SciPy's `linear_sum_assignment`, which the extra `train` installs). Two independent samples
    of the same surface have a distance above 0: this distance is the smallest value that a perfect prediction can
    reach.

    Examples
    --------
    >>> earth_movers_distance([[0, 0, 0], [2, 0, 0.0]], [[3, 0, 0], [0, 0, 0.0]])
    0.5
    """
    from scipy.optimize import linear_sum_assignment

    first = check.float_array(first, "first", (None, 3))
    second = check.float_array(second, "second", first.shape)
    if not len(first):
        raise ValueError("first must contain at least one point, got none")
    cost = np.linalg.norm(first[:, None] - second[None], axis=2)
    return float(cost[linear_sum_assignment(cost)].mean())


def _directions() -> FloatArray:
    """Return `DIRECTIONS` unit vectors, evenly spread over a half-sphere (a Fibonacci lattice), (DIRECTIONS, 3)."""
    step = np.arange(DIRECTIONS)
    z = (step + 0.5) / DIRECTIONS
    angle = step * np.pi * (3 - np.sqrt(5))  # the golden angle
    radius = np.sqrt(1 - z**2)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), z])


class SlicedWasserstein:
    """The sliced Wasserstein distance of point clouds from one cloud.

    Both clouds are projected to `DIRECTIONS` fixed lines. On a line, the earth mover's distance of two clouds of equal
    size is the mean distance of their sorted points; the result is its mean over the lines. It is half of the distance
    by which a cloud is translated.

    Parameters
    ----------
    cloud : (n, 3) float array, n at least 1

    Raises
    ------
    ValueError, TypeError
        If the shape or dtype is wrong, or if the cloud is empty.

    Examples
    --------
    >>> cloud = np.random.default_rng(0).normal(size=(100, 3))
    >>> round(SlicedWasserstein(cloud).distance(cloud + (4.0, 0.0, 0.0)), 2)
    2.0
    """

    def __init__(self, cloud: npt.ArrayLike) -> None:
        checked = check.float_array(cloud, "cloud", (None, 3))
        if not len(checked):
            raise ValueError("cloud must contain at least one point, got none")
        self._shape = checked.shape
        self._sorted = self._slices(checked)

    def distance(self, other: npt.ArrayLike) -> float:
        """Return the distance of a cloud of the same size (n, 3), in the unit of the points."""
        slices = self._slices(check.float_array(other, "other", self._shape))
        return float(np.abs(slices - self._sorted).mean(dtype=np.float64))

    @staticmethod
    def _slices(cloud: FloatArray) -> Float32Array:
        return np.sort((_directions() @ cloud.T).astype(np.float32), axis=1)
