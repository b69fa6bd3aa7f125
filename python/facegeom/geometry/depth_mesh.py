"""From a depth map to a triangle mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class DepthMesh(NamedTuple):
    """A mesh made from a depth map.

    Attributes
    ----------
    V : (n, 3) float array, mm, x right, y up, z = depth
    F : (m, 3) int64 array, counter-clockwise seen from +z
    pixel : (n, 2) float array, where each vertex lies in the map: x, y (down), pixel centres at integers
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
    """Mesh the foreground of a depth map, evenly sampled in the image: Delaunay in the plane, raised to the depth.

    Parameters
    ----------
    depth : (h, w) float array, mm, greater is nearer; anything (NaN too) outside the mask
    mask : (h, w) bool array, the foreground
    scale : pixels per mm
    origin : pixel x, y that becomes X = Y = 0
    vertex_count : number of vertices aimed at, met within a few per cent whatever the size of the map; the default
        gives a face about 12,700 triangles
    background : keep the triangles outside the mask that fill up the convex hull (the paper's first mesh)

    Returns
    -------
    DepthMesh
        V = ((x - origin_x) / scale, (origin_y - y) / scale, depth), F, and pixel = (x, y) of each vertex, for looking
        up colour and correspondence. Every edge has one or two triangles, every vertex one fan of triangles.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, depth that is not finite in the mask, a scale that is not positive, or a vertex count
        below 3.

    Notes
    -----
    Vertices lie on a staggered lattice of equilateral triangles, not at pixel centres: a large map is thinned out and a
    small one sampled more finely than its pixels (never below a quarter of a pixel), with depth read bilinearly from
    foreground pixels. The outline runs half-way between foreground and background pixel centres with the pixels' steps
    smoothed away (by less than half a pixel); there the depth is extrapolated by at most 1 mm per mm, so that a plane
    stays a plane. Holes stay holes. A stroke one pixel wide has no area and is left out; an empty mask gives an empty
    mesh. Cost: two passes over the map and about a microsecond a vertex.

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
        raise ValueError("depth must be finite in the mask, got NaN or infinity")
    scale = check.positive(scale, "scale")
    origin_x, origin_y = check.float_array(origin, "origin", (2,))
    vertex_count = check.count(vertex_count, "vertex_count", 3)
    background = check.flag(background, "background")

    return DepthMesh(*_core.depth_to_mesh(depth, mask, scale, origin_x, origin_y, vertex_count, background))
