"""Smooth interpolation and extrapolation of values given on part of a surface."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray


def biharmonic_interpolation(
    V: npt.ArrayLike,
    F: npt.ArrayLike,
    values: npt.ArrayLike,
    weight: npt.ArrayLike,
    *,
    length: float,
    decay: float = np.inf,
) -> FloatArray:
    """Extend values from the vertices where they are known to the whole surface, with a continuous slope.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    values : (n,) or (n, k) float array
        Value of each vertex, any unit. Values of vertices with weight 0 are ignored.
    weight : (n,) float array, at least 0
        Confidence of each value; 0 means unknown. A value of weight 1 is preserved except for detail smaller than
        `length`.
    length : float, mm, above 0
        Smoothing length. Where the weight is 1, detail much smaller than `length` is removed and detail much larger
        than `length` is preserved.
    decay : float, mm, above 0
        Decay length. At distances much larger than `decay` from all known values, the result decays to 0. inf: no
        decay; the values are extrapolated like a thin plate.

    Returns
    -------
    (n,) or (n, k) float array
        The extended values, with the shape of `values`.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, an index out of range, or no weight above 0.
    SolverError
        If the factorisation fails.

    Notes
    -----
    The result u minimises the integral of weight |u - values|^2 + length^4 |Laplacian u|^2 + (length / decay)^4 |u|^2
    (cotangent Laplacian, mixed Voronoi areas). u and its gradient are continuous at the border of the known region, as
    in biharmonic deformation. Cost: one sparse Cholesky factorisation. Vertices without a triangle of positive area
    keep their values. On a connected component without any weight above 0 the result is 0.

    References
    ----------
    Botsch and Sorkine, "On linear variational surface deformation methods", 2008, section 3.

    Examples
    --------
    >>> V = [[x, y, 0.0] for y in (0, 1) for x in range(5)]
    >>> F = [[x, x + 1, x + 5] for x in range(4)] + [[x + 1, x + 6, x + 5] for x in range(4)]
    >>> known = [1, 1, 1, 0, 0] * 2
    >>> biharmonic_interpolation(V, F, [2.0] * 10, known, length=0.1).round(3)[[0, 4]]
    array([2., 2.])
    """
    V, F = check.mesh(V, F)
    columns, shape = check.columns(values, "values", len(V))
    weight = check.float_array(weight, "weight", (len(V),))
    if len(V) and weight.min() < 0:
        raise ValueError(f"weight must be at least 0, got {weight.min():.6g}")
    if len(V) and not weight.max() > 0:
        raise ValueError("weight must contain a value above 0, got only zeros")
    length = check.positive(length, "length")
    decay = check.positive(decay, "decay", infinite=True)

    return _core.biharmonic_interpolation(V, F, columns, weight, length, decay).reshape(shape)
