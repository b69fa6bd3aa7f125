"""Affine and similarity alignment of corresponding points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import one_thread

TRANSFORM_KINDS = ("affine", "similarity")


class AffineRegistration(NamedTuple):
    """The map p -> linear p + shift that `register_affine` returns.

    Attributes
    ----------
    linear : (3, 3) float array, no unit
    shift : (3,) float array, mm
    inliers : (n,) bool array, True for each pair whose residual is at most `threshold`
    """

    linear: FloatArray
    shift: FloatArray
    inliers: BoolArray

    @one_thread()
    def apply(self, points: npt.ArrayLike) -> FloatArray:
        """Map points (m, 3), mm, by linear p + shift; return the mapped points (m, 3), mm."""
        return check.float_array(points, "points", (None, 3)) @ self.linear.T + self.shift


def register_affine(
    P: npt.ArrayLike,
    Q: npt.ArrayLike,
    *,
    kind: str = "affine",
    iterations: int = 1000,
    threshold: float = 3.0,
    seed: int = 0,
    min_inliers: int | None = None,
) -> AffineRegistration:
    """Find the affine map or similarity that maps P to Q, robust to outliers: RANSAC, then least squares on the
    inliers.

    Parameters
    ----------
    P : (n, 3) float array, mm, source points
    Q : (n, 3) float array, mm, target points; row i corresponds to row i of P
    kind : {"affine", "similarity"}
        "affine" has 12 parameters. "similarity" is a rotation, one scale and a translation, never a reflection.
    iterations : int, at least 1
        Number of RANSAC samples. A sample is the smallest number of pairs that determines the map: 4 for "affine", 3
        for "similarity".
    threshold : float, mm
        Maximum residual of an inlier: the distance between the mapped point of P and the point of Q.
    seed : int, at least 0
        Seed of the random samples. The same seed gives the same result, bit for bit, on every platform with the same
        floating-point arithmetic.
    min_inliers : int, at least 3, or None
        Minimum number of inliers; if fewer are found, ValueError is raised. None: 10, or all pairs if there are fewer,
        so that five landmarks align two meshes.

    Returns
    -------
    AffineRegistration
        linear, shift and inliers.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option; values that are not finite; too few pairs; coplanar points ("affine") or
        collinear points ("similarity"); or fewer inliers than `min_inliers` (the message states the number found).

    Notes
    -----
    Degenerate (coplanar or collinear) samples are skipped. A sample is abandoned as soon as it cannot have more inliers
    than the best sample so far, so that the run time is short if there are few outliers. The map of the best sample is
    refitted to its inliers until the set of inliers no longer changes.

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
    kind = check.choice(kind, "kind", TRANSFORM_KINDS)
    iterations = check.count(iterations, "iterations", 1)
    threshold = check.positive(threshold, "threshold")
    seed = check.count(seed, "seed", most=2**64 - 1)
    min_inliers = min(10, len(P)) if min_inliers is None else check.count(min_inliers, "min_inliers", 3)

    linear, shift, inliers = _core.register_affine(P, Q, kind == "similarity", iterations, threshold, seed, min_inliers)
    return AffineRegistration(linear, shift, np.asarray(inliers).reshape(-1))
