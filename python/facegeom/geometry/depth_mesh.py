"""Triangle mesh from a depth map, with evenly spaced vertices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class DepthMesh(NamedTuple):
    """A mesh that `depth_to_mesh` made from a depth map.

    Attributes
    ----------
    V : (n, 3) float array, mm, x right, y up, z = depth
    F : (m, 3) int64 array, counter-clockwise when viewed from +z
    pixel : (n, 2) float array, image position of each vertex in pixels: x, y (down), pixel centres at integers
    """

    V: FloatArray
    F: IntArray
    pixel: FloatArray


def depth_to_mesh(
    depth: npt.ArrayLike,
    mask: npt.ArrayLike,
    *,
    scale: float = 1.0,
    origin: tuple[float, float] = (0.0, 0.0),
    vertex_count: int = 6500,
    background: bool = False,
) -> DepthMesh:
    """Triangulate the foreground of a depth map: evenly spaced 2-D points, Delaunay triangulation, then z = depth.

    Parameters
    ----------
    depth : (h, w) float array, mm
        Depth of each pixel; a greater value is nearer to the camera. Values outside the mask are ignored and may be
        NaN.
    mask : (h, w) bool array, True in the foreground
    scale : float, pixels per mm
    origin : (x, y), the position in pixels that becomes X = Y = 0 of the mesh
    vertex_count : int, at least 3
        Target number of vertices, reached within a few per cent for every map size. The default gives a face about
        12,700 triangles.
    background : bool
        True: keep the triangles that fill the convex hull outside the mask, as in the first mesh of the paper. False:
        remove them.

    Returns
    -------
    DepthMesh
        V = ((x - origin_x) / scale, (origin_y - y) / scale, depth), F, and pixel = (x, y) of each vertex, for sampling
        colour and correspondence. The mesh is manifold: each edge has one or two triangles, each vertex one fan of
        triangles.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, depth that is not finite inside the mask, a scale that is not positive, or a vertex
        count below 3.

    Notes
    -----
    The vertices lie on a lattice of equilateral triangles, not at pixel centres: a large map is subsampled, and a small
    map is sampled more finely than its pixels (with a spacing of at least a quarter of a pixel). Depth is interpolated
    bilinearly from foreground pixels. The outline runs midway between foreground and background pixel centres; its
    pixel steps are smoothed by less than half a pixel. At the outline the depth is extrapolated with a slope of at most
    1, so that a plane remains a plane. Holes of the mask remain holes. Foreground that is only one pixel wide has no
    area and is left out; an empty mask gives an empty mesh. Cost: two passes over the map and about one microsecond per
    vertex.

    References
    ----------
    FaceVision-GAN, section 3.2 (Delaunay triangulation of the foreground, background removed).

    Examples
    --------
    >>> mesh = depth_to_mesh(np.ones((64, 64)), np.ones((64, 64), bool), vertex_count=500)
    >>> bool(np.allclose(mesh.V[:, 2], 1.0)), 450 < len(mesh.V) < 550
    (True, True)
    """
    depth = check.float_array(depth, "depth", (None, None), allow_nan=True)
    mask = check.bool_array(mask, "mask", (depth.shape[0], depth.shape[1]))
    if not np.isfinite(depth[mask]).all():
        raise ValueError("depth must be finite inside the mask, got NaN or infinity")
    scale = check.in_range(check.positive(scale, "scale"), "scale", 1 / check.MAX_MAGNITUDE, check.MAX_MAGNITUDE)
    origin_x, origin_y = check.float_array(origin, "origin", (2,))
    vertex_count = check.count(vertex_count, "vertex_count", 3)
    background = check.flag(background, "background")

    return DepthMesh(*_core.depth_to_mesh(depth, mask, scale, origin_x, origin_y, vertex_count, background))
