"""From maps of known position to a triangle mesh of every pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class MapsMesh(NamedTuple):
    """A mesh made from maps.

    Attributes
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int64 array, counter-clockwise seen from +z
    E : (n, k) float array, embedding of each vertex
    pixel : (n, 2) int64 array, x and y (down) of the pixel that each vertex is
    """

    V: FloatArray
    F: IntArray
    E: FloatArray
    pixel: IntArray


def maps_to_mesh(xyz: npt.ArrayLike, mask: npt.ArrayLike, embedding: npt.ArrayLike, max_edge: float = 10.0) -> MapsMesh:
    """Mesh all known pixels: two triangles for each 2x2 block of them, none across a jump of depth.

    Parameters
    ----------
    xyz : (h, w, 3) float array, mm, x growing to the right and y upwards; anything (NaN too) outside the mask
    mask : (h, w) bool array, the pixels whose position is known; holes are allowed
    embedding : (h, w, k) float array, such as the predicted correspondence, k at least 1; anything outside the mask
    max_edge : mm, triangles with a longer edge are left out; infinity keeps all

    Returns
    -------
    MapsMesh
        Vertices in the order of the pixels, row by row.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, values that are not finite in the mask, or max_edge not above 0.

    Notes
    -----
    A block is divided along the diagonal that leaves more of its triangles when long edges are cut, of equals along the
    shorter. Only pixels that belong to no triangle are left out (strokes one pixel wide, lone pixels, spikes of depth),
    so that every vertex has a normal. Parts may meet at a vertex only. Linear time. `depth_to_mesh` makes a mesh of
    even triangles with a smooth outline instead.

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
        raise ValueError("xyz must be finite in the mask, got NaN or infinity")
    if not np.isfinite(embedding[mask]).all():
        raise ValueError("embedding must be finite in the mask, got NaN or infinity")
    if embedding.shape[2] < 1:
        raise ValueError("embedding must have at least 1 coordinate, got 0")
    max_edge = check.positive(max_edge, "max_edge", infinite=True)

    V, F, E, pixel = _core.maps_to_mesh(
        xyz.reshape(-1, 3), mask, embedding.reshape(mask.size, embedding.shape[2]), max_edge
    )
    return MapsMesh(V, F, E, np.stack([pixel % max(width, 1), pixel // max(width, 1)], axis=1))
