"""Boundary loops of a triangle mesh."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import IntArray


def boundary_loops(F: IntArray) -> list[IntArray]:
    """Return the boundary loops of a mesh, the longest first, each in the edge direction of the adjacent triangles.

    Parameters
    ----------
    F : (m, 3) int array

    Returns
    -------
    list of (k,) int arrays
        The vertex indices along each loop. A boundary edge is an edge of exactly one triangle.

    Notes
    -----
    The result is undefined if two loops share a vertex.

    Examples
    --------
    >>> [loop.tolist() for loop in boundary_loops(np.array([[0, 1, 2], [2, 1, 3]]))]
    [[0, 1, 3, 2]]
    """
    edges = F[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    ends = np.sort(edges, axis=1)
    numbers = ends @ (int(F.max(initial=-1)) + 1, 1)  # one number for each edge is sorted much faster than pairs
    _, first, count = np.unique(numbers, return_index=True, return_counts=True)
    successor = dict(edges[first[count == 1]].tolist())
    loops = []
    while successor:
        start = min(successor)
        loop = [start]
        vertex = successor.pop(start)
        while vertex != start:
            loop.append(vertex)
            vertex = successor.pop(vertex)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)
