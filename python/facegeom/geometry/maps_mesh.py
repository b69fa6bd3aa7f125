"""Triangle mesh from a position map: one vertex for each pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class MapsMesh(NamedTuple):
    """A mesh that `maps_to_mesh` made from a position map and an embedding map.

    Attributes
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int64 array, counter-clockwise when viewed from +z
    E : (n, k) float array, embedding of each vertex
    pixel : (n, 2) int64 array, x and y (down) of the pixel of each vertex
    """

    V: FloatArray
    F: IntArray
    E: FloatArray
    pixel: IntArray


def maps_to_mesh(xyz: npt.ArrayLike, mask: npt.ArrayLike, embedding: npt.ArrayLike, max_edge: float = 10.0) -> MapsMesh:
    """Triangulate all pixels with a known position: two triangles per 2x2 block of pixels, none across a depth step.

    Parameters
    ----------
    xyz : (h, w, 3) float array, mm
        Position of each pixel; x increases to the right and y upwards. Values outside the mask are ignored and may be
        NaN.
    mask : (h, w) bool array
        True where the position is known; holes are allowed.
    embedding : (h, w, k) float array, k at least 1
        Embedding of each pixel, for example the predicted correspondence. Values outside the mask are ignored.
    max_edge : float, mm, above 0
        Maximum edge length; triangles with a longer edge are left out. inf: all triangles are kept.

    Returns
    -------
    MapsMesh
        The mesh, with its vertices in row-major order of the pixels.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, values that are not finite inside the mask, or a `max_edge` not above 0.

    Notes
    -----
    A block is split along the diagonal that keeps more triangles within `max_edge`; if both keep the same number, along
    the shorter diagonal. Pixels without a triangle (isolated pixels, lines one pixel wide, single-pixel depth spikes)
    become no vertex, so that each vertex has a normal. Two parts of the mesh may share a single vertex. Linear time.
    `depth_to_mesh` instead makes evenly sized triangles and a smooth outline.

    References
    ----------
    Sela, Richardson and Kimmel, "Unrestricted facial geometry reconstruction using image-to-image translation", 2017,
    supplement B.1.

    Examples
    --------
    >>> y, x = np.mgrid[:3, :4]
    >>> xyz = np.stack([x, -y, 0 * x], axis=-1).astype(float)
    >>> mesh = maps_to_mesh(xyz, np.ones((3, 4), bool), xyz)
    >>> mesh.V.shape, mesh.F.shape
    ((12, 3), (12, 3))
    """
    mask = check.bool_array(mask, "mask", (None, None))
    height, width = mask.shape
    xyz = check.float_array(xyz, "xyz", (height, width, 3), allow_nan=True)
    embedding = check.float_array(embedding, "embedding", (height, width, None), allow_nan=True)
    if not np.isfinite(xyz[mask]).all():
        raise ValueError("xyz must be finite inside the mask, got NaN or infinity")
    if not np.isfinite(embedding[mask]).all():
        raise ValueError("embedding must be finite inside the mask, got NaN or infinity")
    if embedding.shape[2] < 1:
        raise ValueError("embedding must have at least 1 coordinate, got 0")
    max_edge = check.positive(max_edge, "max_edge", infinite=True)

    V, F, E, pixel = _core.maps_to_mesh(
        xyz.reshape(-1, 3), mask, embedding.reshape(mask.size, embedding.shape[2]), max_edge
    )
    return MapsMesh(V, F, E, np.stack([pixel % max(width, 1), pixel // max(width, 1)], axis=1))
