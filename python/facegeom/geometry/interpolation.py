"""Continuation of values that are known on a part of a surface."""

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
    """Continue values from where they are known over the whole surface, without a step or a crease.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    values : (n,) or (n, k) float array
        Those of weight zero do not matter.
    weight : (n,) float array, at least 0
        How well each value is known: 1 is kept down to detail of `length`, 0 is unknown.
    length : float, mm, above 0
        Detail of values of weight 1 that is much smaller goes, detail much larger stays.
    decay : float, mm, above 0
        Far beyond this from all that is known, the values fall to zero; infinite: they go on, like a thin plate.

    Returns
    -------
    float array of the shape of `values`

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, an index out of range, or no weight above 0.
    SolverError
        If the factorisation fails.

    Notes
    -----
    The minimum over u of the integral of weight |u - values|^2 + length^4 |Laplacian u|^2 + (length / decay)^4 |u|^2
    (cotangent Laplacian, mixed Voronoi areas). Both u and its slope are continuous where the weights end, as in
    biharmonic deformation. One Cholesky factorisation. Vertices without a triangle of positive area keep their values;
    a connected part on which all weights are zero becomes zero.

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
        raise ValueError("weight must be above 0 somewhere, got zeros")
    length = check.positive(length, "length")
    decay = np.inf if decay == np.inf else check.positive(decay, "decay")

    return _core.biharmonic_interpolation(V, F, columns, weight, length, decay).reshape(shape)
