"""Where a mesh ends."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import IntArray


def boundary_loops(F: IntArray) -> list[IntArray]:
    """Return the boundary loops of triangles (m, 3) as vertex ids, each in the direction of its triangles' edges.

    The longest comes first. No vertex may lie on two loops.
    """
    edges = F[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    follow = dict(edges[first[count == 1]].tolist())
    loops = []
    while follow:
        start = min(follow)
        loop = [start]
        vertex = follow.pop(start)
        while vertex != start:
            loop.append(vertex)
            vertex = follow.pop(vertex)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)
