"""Cleaning of meshes that come from depth maps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class Submesh(NamedTuple):
    """A part of a mesh.

    Attributes
    ----------
    V : (n', 3) float array
    F : (m', 3) int64 array, rows of this V
    vertices : (n',) int64 array, the rows of the whole mesh's V that are kept, ascending: `values[vertices]` carries
        values per vertex over
    """

    V: FloatArray
    F: IntArray
    vertices: IntArray


def connected_components(F: npt.ArrayLike, n: int) -> IntArray:
    """Label the parts of a mesh that hang together by shared edges.

    Parameters
    ----------
    F : (m, 3) int array
    n : number of vertices

    Returns
    -------
    (m,) int64 array
        The component of each triangle, numbered from 0 in the order of each component's first triangle.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or an index out of range.

    Notes
    -----
    Triangles that touch at a vertex only are not connected. Any number of triangles may share an edge.

    Examples
    --------
    >>> connected_components([[0, 1, 2], [2, 1, 3], [3, 4, 5]], 6)
    array([0, 0, 1])
    """
    n = check.count(n, "n")
    F = check.faces(F, n)

    return _core.connected_components(F, n)


def remove_spikes(
    V: npt.ArrayLike,
    F: npt.ArrayLike,
    *,
    area_factor: float = 8.0,
    edge_factor: float = 6.0,
    min_component: float = 0.05,
) -> Submesh:
    """Remove triangles of outlying area or edge length, and the small components that are left.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    area_factor : a triangle goes when log(area) is more than this many robust deviations above the median; inf: never
    edge_factor : the same for the log of its longest edge
    min_component : connected components with fewer triangles than this share of the largest one's go, in [0, 1]

    Returns
    -------
    Submesh
        V, F and `vertices`, the rows of the input's `V` that are kept.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, an index out of range, a value that is not finite, or an option out of its range.

    Notes
    -----
    A robust deviation is 1.4826 times the median absolute deviation of the logarithm over all triangles, but at least
    0.3 (35 %; rendered faces measure 0.1 to 0.3), so that an even mesh loses nothing for being slightly uneven. By the
    defaults a triangle of an evenly sampled depth map goes when its longest edge is more than 6 times the median
    (e^(6 x 0.3)), or its area more than 11 times (e^(8 x 0.3)): with 6,500 vertices on a face that is a jump in depth
    of 12 to 18 mm between neighbours, a surface turned 80 degrees from the camera. The sides of nose and cheeks stay.
    Triangles without area go too. Where the removal leaves two fans of triangles that meet at one vertex only, the
    smaller fan goes. Being ratios, the limits do not depend on the unit.

    References
    ----------
    FaceVision-GAN, section 3.2 (removal of spikes, without a stated rule).

    Examples
    --------
    >>> V = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [2, 1, 30]]
    >>> remove_spikes(V, [[0, 1, 2], [2, 1, 3], [3, 1, 4]]).vertices
    array([0, 1, 2, 3])
    """
    V, F = check.mesh(V, F)
    area_factor = _factor(area_factor, "area_factor")
    edge_factor = _factor(edge_factor, "edge_factor")
    min_component = check.in_range(min_component, "min_component", 0.0, 1.0)

    return Submesh(*_core.remove_spikes(V, F, area_factor, edge_factor, min_component))


def _factor(value: float, name: str) -> float:
    return np.inf if isinstance(value, float) and value == np.inf else check.positive(value, name)
