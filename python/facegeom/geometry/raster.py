"""Rasterisation of triangle meshes, in image space or in UV space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class Raster(NamedTuple):
    """A rasterised mesh.

    Attributes
    ----------
    attributes : (h, w, k) float array, NaN where no triangle covers the pixel's centre
    depth : (h, w) float array, NaN there
    triangle : (h, w) int64 array, the row of `F` that is seen, -1 there
    """

    attributes: FloatArray
    depth: FloatArray
    triangle: IntArray


def rasterize(V: npt.ArrayLike, F: npt.ArrayLike, attributes: npt.ArrayLike | None, shape: tuple[int, int]) -> Raster:
    """Rasterise a mesh with a z-buffer, orthographically; the greater depth is the nearer.

    Parameters
    ----------
    V : (n, 3) float array, pixel x, pixel y (pixel centres at integers, y down) and depth
    F : (m, 3) int array; both windings are drawn, zero-area triangles cover nothing
    attributes : (n, k) float array, interpolated linearly, or None for k = 0
    shape : (h, w)

    Returns
    -------
    Raster
        attributes (h, w, k), depth (h, w), triangle (h, w).

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range.

    Notes
    -----
    A pixel whose centre lies on a shared edge goes to exactly one of the two triangles (top-left rule); at equal depth
    the triangle of lower index wins. For a texture atlas pass texel coordinates as x, y and zero as depth.

    Examples
    --------
    >>> raster = rasterize([[0, 0, 1], [3, 0, 1], [0, 3, 4.0]], [[0, 1, 2]], None, (3, 3))
    >>> raster.depth[1, 0]
    np.float64(2.0)
    """
    V, F = check.mesh(V, F)
    values = (
        np.zeros((len(V), 0)) if attributes is None else check.float_array(attributes, "attributes", (len(V), None))
    )
    height, width = check.image_shape(shape)

    flat, depth, triangle = _core.rasterize(V, F, values, height, width)

    return Raster(
        flat.reshape(height, width, values.shape[1]), depth.reshape(height, width), triangle.reshape(height, width)
    )
