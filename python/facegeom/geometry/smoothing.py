"""Smoothing of mesh vertices and of values on a mesh."""

from __future__ import annotations

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray


def laplacian_smooth(
    V: npt.ArrayLike, F: npt.ArrayLike, *, iterations: int = 10, step: float = 0.5, fix_boundary: bool = False
) -> FloatArray:
    """Laplacian smoothing with uniform weights: each vertex moves part of the way to the mean of its neighbours.

    Parameters
    ----------
    V : (n, 3) float array, any unit
    F : (m, 3) int array
    iterations : int, at least 0, number of smoothing steps
    step : float in [0, 1]
        Fraction of the way to the mean (lambda in the literature). Above 0.5, values that alternate between neighbours
        overshoot on nearly bipartite meshes.
    fix_boundary : bool
        True: boundary vertices do not move. False: a vertex on a boundary edge (an edge of one triangle) is averaged
        only with its neighbours along the boundary, which smooths the outline without pulling it inwards.

    Returns
    -------
    (n, 3) float array
        New positions, in the unit of V. Vertices without triangles do not move.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, or an index out of range.

    Notes
    -----
    All vertices are updated simultaneously from the positions of the previous iteration. The surface shrinks: the
    operator is a low-pass filter. `detail_displacement` can add detail again.

    Examples
    --------
    >>> V = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1.0]]
    >>> laplacian_smooth(V, [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], iterations=1, fix_boundary=True)[4]
    array([0.5, 0.5, 0.5])
    """
    V, F = check.mesh(V, F)
    iterations = check.count(iterations, "iterations")
    step = check.in_range(step, "step", 0, 1)
    fix_boundary = check.flag(fix_boundary, "fix_boundary")

    return _core.laplacian_smooth(V, F, iterations, step, fix_boundary)


def heat_smooth(
    V: npt.ArrayLike, F: npt.ArrayLike, values: npt.ArrayLike, time: float, *, tolerance: float = 1e-8
) -> FloatArray:
    """Smooth values on a surface by heat diffusion in one implicit step: (M + time L)^-1 M values.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    values : (n,) or (n, k) float array
        Values of the vertices. If `values` is `V`, the surface itself is smoothed (implicit fairing).
    time : float, mm^2, at least 0
        Diffusion time. Detail much smaller than sqrt(time) is removed and detail much larger is preserved; 0 returns
        the values unchanged.
    tolerance : float, above 0
        Relative residual of the linear system for each column. A residual at the level of its rounding error is
        accepted too.

    Returns
    -------
    (n,) or (n, k) float array
        The smoothed values, with the shape of `values`.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, or an index out of range.
    SolverError
        If the tolerance is not reached within 1000 + 10 sqrt(n) iterations.

    Notes
    -----
    The mean of the values, weighted by `mass_matrix`, is preserved. Without obtuse angles, all results lie between the
    smallest and the largest value. The solver is conjugate gradients with a diagonal preconditioner; for many values on
    one mesh use `MeshSolver`, which factorises the matrix once. Vertices without a triangle of positive area keep their
    values.

    References
    ----------
    Desbrun, Meyer, Schröder and Barr, "Implicit fairing of irregular meshes using diffusion and curvature flow", 1999.

    Examples
    --------
    >>> heat_smooth([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], [4.0, 0.0, 0.0], 1e6).round(3)
    array([2., 2., 2.])
    """
    V, F = check.mesh(V, F)
    columns, shape = check.columns(values, "values", len(V))
    time = check.positive(time, "time", zero=True)
    tolerance = check.positive(tolerance, "tolerance")

    return _core.heat_smooth(V, F, columns, time, tolerance).reshape(shape)


class MeshSolver:
    """Heat diffusion on a fixed mesh for a fixed time; the matrix is factorised once and used for many values.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    time : float, mm^2, at least 0, diffusion time as in `heat_smooth`

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, or an index out of range.
    SolverError
        If the factorisation fails.

    Notes
    -----
    Uses a sparse Cholesky factorisation. From about five calls of `smooth`, the total time is shorter than with
    `heat_smooth`.

    Examples
    --------
    >>> solver = MeshSolver([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], 1e6)
    >>> solver.smooth([4.0, 0.0, 0.0]).round(3)
    array([2., 2., 2.])
    """

    def __init__(self, V: npt.ArrayLike, F: npt.ArrayLike, time: float) -> None:
        V, F = check.mesh(V, F)
        time = check.positive(time, "time", zero=True)

        self._vertex_count = len(V)
        self._solver = _core.MeshSolver(V, F, time)

    def smooth(self, values: npt.ArrayLike) -> FloatArray:
        """Smooth `values`, (n,) or (n, k); return an array with the same shape. See `heat_smooth`."""
        columns, shape = check.columns(values, "values", self._vertex_count)

        return self._solver.smooth(columns).reshape(shape)
