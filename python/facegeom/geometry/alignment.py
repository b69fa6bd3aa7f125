"""Alignment of corresponding points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, FloatArray

KINDS = ("affine", "similarity")


class AffineRegistration(NamedTuple):
    """Result of `register_affine`.

    Attributes
    ----------
    linear : (3, 3) float array
    shift : (3,) float array
    inliers : (n,) bool array, the pairs that agree
    """

    linear: FloatArray
    shift: FloatArray
    inliers: BoolArray

    def apply(self, points: npt.ArrayLike) -> FloatArray:
        """Points (m, 3) moved: linear p + shift."""
        return check.float_array(points, "points", (None, 3)) @ self.linear.T + self.shift


def register_affine(
    P: npt.ArrayLike,
    Q: npt.ArrayLike,
    *,
    kind: str = "affine",
    iterations: int = 1000,
    threshold: float = 3.0,
    seed: int = 0,
    min_inliers: int = 10,
) -> AffineRegistration:
    """Affine map or similarity that takes P to Q, by least squares over the pairs that agree (RANSAC).

    Parameters
    ----------
    P : (n, 3) float array, mm
    Q : (n, 3) float array, mm, row by row where the points of P belong
    kind : "affine" (12 parameters) or "similarity" (rotation, one scale and shift; never a mirror image)
    iterations : random samples of the fewest pairs that fix a map (4 or 3)
    threshold : mm, distance up to which a pair agrees
    seed : of the samples; the same seed gives the same bits on any platform's equal arithmetic
    min_inliers : fewer pairs that agree are an error; at least 4

    Returns
    -------
    AffineRegistration
        linear, shift and inliers.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, values that are not finite, too few pairs, points that all lie in a plane
        (affine) or on a line (similarity), or fewer inliers than asked for: the message says how many.

    Notes
    -----
    Flat samples are passed over. The best sample's map is fitted again to its inliers until these no longer change.
    A sample is given up as soon as it can no longer become the best, so that clean pairs cost little.

    References
    ----------
    Fischler and Bolles, "Random sample consensus", 1981; Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", 1991; Sela et al., 2017, supplement B.1 (1,000 iterations, 3 mm).

    Examples
    --------
    >>> P = np.random.default_rng(0).normal(size=(50, 3)) * 40
    >>> Q = P * [1.0, 2.0, 0.5] + [5, 6, 7]
    >>> Q[:10] += 100
    >>> found = register_affine(P, Q)
    >>> int(found.inliers.sum()), found.linear.round(6).diagonal().tolist()
    (40, [1.0, 2.0, 0.5])
    """
    P = check.float_array(P, "P", (None, 3))
    Q = check.float_array(Q, "Q", (len(P), 3))
    kind = check.choice(kind, "kind", KINDS)
    iterations = check.count(iterations, "iterations", 1)
    threshold = check.positive(threshold, "threshold")
    seed = check.count(seed, "seed")
    min_inliers = check.count(min_inliers, "min_inliers", 4)

    linear, shift, inliers = _core.register_affine(P, Q, kind == "similarity", iterations, threshold, seed, min_inliers)
    return AffineRegistration(linear, shift, np.asarray(inliers).reshape(-1))
