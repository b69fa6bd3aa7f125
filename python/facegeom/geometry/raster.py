"""Rasterisation of triangle meshes in image space or UV space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class Raster(NamedTuple):
    """The image of a mesh that `rasterize` returns.

    Attributes
    ----------
    attributes : (h, w, k) float array, interpolated vertex attributes, NaN where no triangle covers the pixel centre
    depth : (h, w) float array, depth of the surface, NaN where no triangle covers the pixel centre
    triangle : (h, w) int64 array, row of `F` of the visible triangle, -1 where no triangle covers the pixel centre
    """

    attributes: FloatArray
    depth: FloatArray
    triangle: IntArray


def rasterize(V: npt.ArrayLike, F: npt.ArrayLike, attributes: npt.ArrayLike | None, shape: tuple[int, int]) -> Raster:
    """Rasterise a mesh in orthographic projection with a z-buffer; a greater depth is nearer to the camera.

    Parameters
    ----------
    V : (n, 3) float array
        Pixel x, pixel y (pixel centres at integers, y down) and depth (any unit) of each vertex.
    F : (m, 3) int array
        Both orientations are drawn; triangles of zero area cover no pixel.
    attributes : (n, k) float array or None
        Vertex attributes, interpolated linearly; None means k = 0.
    shape : (h, w), size of the image in pixels, integers; at most 2^28 pixels

    Returns
    -------
    Raster
        Attributes (h, w, k), depth (h, w) and triangle (h, w) of each pixel.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, a value that is not finite, or an index out of range; or on more than 2^28 pixels or
        2^30 attribute values.

    Notes
    -----
    A pixel centre on an edge shared by two triangles belongs to exactly one of them (top-left rule). At equal depth the
    triangle with the lower index is visible. To rasterise a texture atlas, pass texel coordinates as x and y and 0 as
    depth.

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
