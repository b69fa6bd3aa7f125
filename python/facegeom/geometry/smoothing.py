"""Smoothing of a mesh's vertices, and of values upon it."""

from __future__ import annotations

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray


def laplacian_smooth(
    V: npt.ArrayLike, F: npt.ArrayLike, *, iterations: int = 10, step: float = 0.5, fix_boundary: bool = False
) -> FloatArray:
    """Laplacian smoothing with uniform weights: each vertex goes part of the way to the mean of its neighbours.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array
    iterations : int, at least 0
        How often all vertices move.
    step : float in [0, 1]
        Fraction of the way (the lambda of the literature); above 0.5 a signal that alternates from vertex to vertex
        overshoots on meshes that are nearly bipartite.
    fix_boundary : bool
        A vertex on a boundary edge (an edge of one triangle) looks only at its neighbours along the boundary, so that
        the outline becomes smooth but the surface does not pull it inwards. True: it stays where it is.

    Returns
    -------
    (n, 3) float array
        New positions. Vertices without triangles stay.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, or an index out of range.

    Notes
    -----
    All vertices move at once, from the positions before the iteration. The surface shrinks: the operator is a low-pass
    filter, whose detail `detail_displacement` can give back.

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
    """Let values diffuse over the surface for a time, in one implicit step: (M + time L)^-1 M values.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    values : (n,) or (n, k) float array
        `V` itself smooths the surface (implicit fairing).
    time : float, mm^2, at least 0
        Detail much smaller than sqrt(time) goes, detail much larger stays; 0 returns the values.
    tolerance : float
        Residual of the linear system relative to M values, column by column; one as small as the rounding of the
        residual itself is accepted too.

    Returns
    -------
    float array of the shape of `values`

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, or an index out of range.
    SolverError
        If the tolerance is not reached in 1000 + 10 sqrt(n) iterations.

    Notes
    -----
    The mean of the values weighted by `mass_matrix` does not change, and without obtuse angles no new extreme appears.
    Conjugate gradients with a diagonal preconditioner: for many values on one mesh, `MeshSolver` factorises once.
    Vertices without a triangle of positive area keep their values.

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
    """`heat_smooth` on one mesh for one time, factorised once for many values.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    time : float, mm^2, at least 0

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, or an index out of range.
    SolverError
        If the factorisation fails.

    Notes
    -----
    Sparse Cholesky factorisation; worth its price from about the fifth use.

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
        """Diffuse values (n,) or (n, k); returns an array of the same shape."""
        columns, shape = check.columns(values, "values", self._vertex_count)

        return self._solver.smooth(columns).reshape(shape)
