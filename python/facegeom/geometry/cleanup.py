"""Removal of spikes and small connected components from meshes that were made from depth maps."""

from __future__ import annotations

from typing import NamedTuple

import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray


class Submesh(NamedTuple):
    """A part of a mesh, as `remove_spikes` returns it.

    Attributes
    ----------
    V : (n', 3) float array, positions of the kept vertices, mm
    F : (m', 3) int64 array, the kept triangles; indices are rows of this `V`
    vertices : (n',) int64 array, ascending
        The rows of the original V that are kept. `values[vertices]` transfers per-vertex values to the submesh.
    """

    V: FloatArray
    F: IntArray
    vertices: IntArray


def connected_components(F: npt.ArrayLike, n: int) -> IntArray:
    """Label the connected components of a mesh; triangles are connected across shared edges.

    Parameters
    ----------
    F : (m, 3) int array
    n : int, number of vertices

    Returns
    -------
    (m,) int64 array
        The component of each triangle. Components are numbered from 0 in the order of their first triangles.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or an index out of range.

    Notes
    -----
    Triangles that share only a vertex are not connected. An edge may have any number of triangles.

    Examples
    --------
    >>> connected_components([[0, 1, 2], [2, 1, 3], [3, 4, 5]], 6)
    array([0, 0, 1])
    """
    n = check.count(n, "n", most=check.MAX_VERTICES)
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
    """Remove triangles whose area or edge length is an outlier, then small connected components.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    area_factor : float, above 0
        Maximum deviation of the logarithm of a triangle's area above the median, in robust standard deviations.
        Triangles above the maximum are removed; inf: the area is not tested.
    edge_factor : float, above 0
        Maximum deviation of the logarithm of a triangle's longest edge above the median, in robust standard deviations.
        Triangles above the maximum are removed; inf: the edge is not tested.
    min_component : float in [0, 1]
        Minimum number of triangles of a connected component, as a fraction of the number of triangles of the largest
        component. Smaller components are removed.

    Returns
    -------
    Submesh
        The kept part of the mesh: `V`, `F`, and the kept rows of the input `V` as `vertices`.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, an index out of range, a value that is not finite, or an option out of its range.

    Notes
    -----
    The robust standard deviation is 1.4826 times the median absolute deviation of the logarithms over all triangles,
    but at least 0.3 (a factor of 1.35), so that slightly uneven meshes lose no triangles; rendered faces have 0.1 to
    0.3. With the defaults on an evenly sampled depth map, a triangle is removed if its longest edge is more than 6
    times the median (e^(6 x 0.3)) or its area more than 11 times (e^(8 x 0.3)). On a face with 6,500 vertices this is a
    depth step of 12 to 18 mm between neighbours, or a surface inclined by 80 degrees to the image plane; the sides of
    the nose and the cheeks are kept. Triangles of zero area are removed too. Where two fans of triangles are left that
    share only a vertex, the smaller fan is removed. The limits are ratios and do not depend on the unit.

    References
    ----------
    FaceVision-GAN, section 3.2. The paper removes spikes but states no rule for finding them.

    Examples
    --------
    >>> V = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [2, 1, 30]]
    >>> remove_spikes(V, [[0, 1, 2], [2, 1, 3], [3, 1, 4]]).vertices
    array([0, 1, 2, 3])
    """
    V, F = check.mesh(V, F)
    area_factor = check.positive(area_factor, "area_factor", infinite=True)
    edge_factor = check.positive(edge_factor, "edge_factor", infinite=True)
    min_component = check.in_range(min_component, "min_component", 0.0, 1.0)

    return Submesh(*_core.remove_spikes(V, F, area_factor, edge_factor, min_component))
