"""`facegeom prepare level`: the topology of about 4,000 vertices to which heads are reduced with `lod=2`.

The triangles of the template are simplified on the mean head by half-edge collapses, so that the vertices that remain
are vertices of the template. The order follows quadric errors; lids, lips and nose are kept finer, parts behind the
skin coarser. Vertices on cuts of the atlas, and at the borders of open parts, remain.

References
----------
Garland and Heckbert, Surface simplification using quadric error metrics, 1997.
"""

from __future__ import annotations

import argparse
import heapq
from pathlib import Path

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model import load_face_model
from facegeom.face_model.levels import LEVEL_FILE
from facegeom.face_model.template import load_template
from facegeom.measures.report import show

TARGET = 4000  # number of vertices
FINER = {"eyelids_left": 12.0, "eyelids_right": 12.0, "eye_rims": 40.0, "lips": 8.0, "lip_rim": 40.0, "nose": 2.0}
"""Region -> factor on the errors of its vertices."""
COARSER = 0.05  # factor on the errors behind the skin
TEETH, BACK_MM = 4.0, 20.0  # the same for front teeth, up to so many mm behind the foremost
LIDS, MOVED_MM = 60.0, 1.0  # factor on the errors of vertices that a blink moves by more than so many mm
LEAST_TURN = 0.2  # smallest cosine between the normals of a triangle before and after a collapse
LEAST_AREA = 0.02  # smallest area in mm^2 of a triangle that a collapse leaves


class _Surface:
    """Triangles during the simplification."""

    def __init__(self, V: FloatArray, faces: IntArray, uv: FloatArray, uv_faces: IntArray, weight: FloatArray) -> None:
        self.V, self.uv = V, uv
        self.faces: list[list[int]] = faces.tolist()
        self.rows: list[list[int]] = uv_faces.tolist()
        self.alive = [True] * len(faces)
        self.around: list[set[int]] = [set() for _ in range(len(V))]
        charts: list[set[int]] = [set() for _ in range(len(V))]
        edges: dict[tuple[int, int], int] = {}
        for number, (corners, rows) in enumerate(zip(self.faces, self.rows, strict=True)):
            for i in range(3):
                self.around[corners[i]].add(number)
                charts[corners[i]].add(rows[i])
                a, b = sorted((corners[i], corners[(i + 1) % 3]))
                edges[a, b] = edges.get((a, b), 0) + 1
        self.fixed = [len(rows) != 1 for rows in charts]
        for (a, b), count in edges.items():
            if count != 2:
                self.fixed[a] = self.fixed[b] = True
        self.quadrics = self._quadrics(faces, weight)
        self.version = [0] * len(V)

    def _quadrics(self, faces: IntArray, weight: FloatArray) -> FloatArray:
        corners = self.V[faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = 0.5 * np.linalg.norm(normals, axis=1)
        normals /= np.maximum(2 * area, 1e-12)[:, None]
        planes = np.column_stack([normals, -np.einsum("ij,ij->i", normals, corners[:, 0])])
        products = planes[:, :, None] * planes[:, None] * area[:, None, None]
        result = np.zeros((len(self.V), 4, 4))
        for i in range(3):
            np.add.at(result, faces[:, i], products)
        return np.asarray(result * weight[:, None, None])

    def neighbours(self, vertex: int) -> set[int]:
        return {corner for number in self.around[vertex] for corner in self.faces[number]} - {vertex}

    def best(self, vertex: int) -> tuple[float, int] | None:
        """Return the error of the cheapest collapse of a vertex, and the neighbour to which it moves."""
        if self.fixed[vertex]:
            return None
        ends = sorted(self.neighbours(vertex))
        points = np.column_stack([self.V[ends], np.ones(len(ends))])
        total = self.quadrics[vertex] + self.quadrics[ends]
        errors = np.einsum("ni,nij,nj->n", points, total, points)
        errors += 1e-3 * np.linalg.norm(points[:, :3] - self.V[vertex], axis=1) ** 2  # flat parts: short edges first
        for place in np.argsort(errors, kind="stable").tolist():
            if self.allowed(vertex, ends[place]):
                return float(errors[place]), ends[place]
        return None

    def allowed(self, vertex: int, end: int) -> bool:
        """Return whether the surface stays manifold, and no triangle turns over in space or in the atlas."""
        shared = self.around[vertex] & self.around[end]
        if len(shared) != 2:
            return False
        opposite = {corner for number in shared for corner in self.faces[number]} - {vertex, end}
        if self.neighbours(vertex) & self.neighbours(end) != opposite:
            return False
        rows = {self.row_at(number, end) for number in shared}
        if len(rows) != 1:
            return False
        row = rows.pop()
        for number in self.around[vertex] - shared:
            corners, places = self.faces[number], self.rows[number]
            moved = [end if corner == vertex else corner for corner in corners]
            before, after = _normal(self.V[corners]), _normal(self.V[moved])
            size = float(np.linalg.norm(before) * np.linalg.norm(after))
            if np.linalg.norm(after) < 2 * LEAST_AREA or before @ after < LEAST_TURN * size:
                return False
            new = [row if corner == vertex else place for corner, place in zip(corners, places, strict=True)]
            if _turn(self.uv[new]) <= 0.02 * _turn(self.uv[places]):
                return False
        return True

    def row_at(self, number: int, vertex: int) -> int:
        return self.rows[number][self.faces[number].index(vertex)]

    def collapse(self, vertex: int, end: int) -> set[int]:
        """Move a vertex to a neighbour; return the vertices whose collapses change."""
        shared = self.around[vertex] & self.around[end]
        row = self.row_at(next(iter(shared)), end)
        for number in shared:
            self.alive[number] = False
            for corner in self.faces[number]:
                self.around[corner].discard(number)
        for number in self.around[vertex]:
            place = self.faces[number].index(vertex)
            self.faces[number][place], self.rows[number][place] = end, row
            self.around[end].add(number)
        self.around[vertex] = set()
        self.quadrics[end] += self.quadrics[vertex]
        return self.neighbours(end) | {end}


def _normal(corners: FloatArray) -> FloatArray:
    a, b = corners[1] - corners[0], corners[2] - corners[0]
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _turn(uv: FloatArray) -> float:
    """Return twice the signed area of a triangle (3, 2) of the atlas."""
    (ax, ay), (bx, by) = uv[1] - uv[0], uv[2] - uv[0]
    return float(ax * by - ay * bx)


def reduced(target: int = TARGET) -> tuple[IntArray, IntArray, IntArray]:
    """Return the coarse vertices (n,) of the head's template that remain, and their triangles.

    Returns
    -------
    vertices : (n,) int array, ascending rows of the coarse template
    faces, uv_faces : (m, 3) int arrays, rows of `vertices` and of the texture coordinates of the coarse template
    """
    template, model = load_template(head=True), load_face_model()
    coarse, V = template.coarse, model.mean[template.vertices]
    weight = np.ones(len(V))
    weight[coarse.skin_count :] = COARSER
    teeth = coarse.regions["teeth"]
    weight[teeth & (V[:, 2] > V[teeth, 2].max() - BACK_MM)] = TEETH
    for name, factor in FINER.items():
        weight[coarse.regions[name]] = np.maximum(weight[coarse.regions[name]], factor)
    for name in ("eyeBlink_L", "eyeBlink_R"):  # a closed lid is stretched over the eyeball
        moved = np.linalg.norm(model.expression[model.expression_names.index(name)][template.vertices], axis=1)
        weight[moved > MOVED_MM] = np.maximum(weight[moved > MOVED_MM], LIDS)
    surface = _Surface(V, coarse.faces, coarse.uv, coarse.uv_faces, weight)
    for name in ("eyeball_left", "eyeball_right", "neck_cap"):
        for vertex in np.flatnonzero(coarse.regions[name]).tolist():
            surface.fixed[vertex] = True
    left, queue = len(V), []
    for vertex in range(len(V)):
        found = surface.best(vertex)
        if found is not None:
            queue.append((found[0], vertex, found[1], 0))
    heapq.heapify(queue)
    while left > target and queue:
        _, vertex, end, version = heapq.heappop(queue)
        if version != surface.version[vertex] or not surface.around[vertex]:
            continue
        if not surface.allowed(vertex, end):
            surface.version[vertex] += 1
            found = surface.best(vertex)
            if found is not None:
                heapq.heappush(queue, (found[0], vertex, found[1], surface.version[vertex]))
            continue
        changed = surface.collapse(vertex, end)
        left -= 1
        for other in sorted(changed):
            surface.version[other] += 1
            found = surface.best(other)
            if found is not None:
                heapq.heappush(queue, (found[0], other, found[1], surface.version[other]))
    kept = [number for number, alive in enumerate(surface.alive) if alive]
    corners = np.array([surface.faces[number] for number in kept])
    vertices, faces = np.unique(corners, return_inverse=True)
    return vertices, faces.reshape(-1, 3), np.array([surface.rows[number] for number in kept])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare level`."""
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=LEVEL_FILE, help="file to write (default: the one of the package)"
    )


def run(args: argparse.Namespace) -> int:
    """Reduce the topology and write it; return the exit code."""
    vertices, faces, uv_faces = reduced()
    small = [array.astype(np.uint16) for array in (vertices, faces, uv_faces)]
    np.savez_compressed(args.out, vertices=small[0], faces=small[1], uv_faces=small[2])
    show(f"{args.out}: {len(vertices)} vertices, {len(faces)} triangles")
    return 0
