"""Isotropic remeshing of a triangle surface with graded edge lengths and feature curves.

The method is from Botsch & Kobbelt, "A remeshing approach to multiresolution modeling" (SGP 2004): split long edges,
collapse short edges, flip edges towards a Delaunay triangulation, relax vertices in the tangent plane, project vertices
onto the source surface. There are two extensions. Each vertex stores its source triangle and barycentric coordinates,
and the projection searches the neighbourhood of that triangle, so that vertices do not move between surfaces in
contact, such as closed lips, or an eyelid and the eyeball. The source is divided into labelled patches: the curves
between patches, and the boundary, are preserved as chains of edges, with fixed corners where the curves meet.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray

FREE, CORNER = 0, -1  # tags of vertices; a positive tag is the number of the curve on which the vertex lies


@dataclass(frozen=True)
class Remeshed:
    """A remeshed surface, with the position of each vertex on the source surface."""

    faces: IntArray  # (m, 3) triangles
    labels: IntArray  # (m,) patch of each triangle
    source_face: IntArray  # (n,) source triangle of each vertex
    barycentric: FloatArray  # (n, 3) barycentric coordinates in the source triangle
    tags: IntArray  # (n,) FREE, CORNER or the number of the curve on which the vertex lies


def edge_table(F: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the edges of a mesh with their triangles.

    Parameters
    ----------
    F : (m, 3) int array

    Returns
    -------
    edges : (e, 2) int array
        Vertices a and b; the first triangle of the edge runs from a to b.
    faces : (e, 2) int array
        Both triangles of each edge; -1 if the second triangle does not exist.
    tips : (e, 2) int array
        Vertex opposite to the edge in each of these triangles; -1 if the triangle does not exist.
    """
    half = np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]])
    opposite = np.concatenate([F[:, 2], F[:, 0], F[:, 1]])
    face = np.tile(np.arange(len(F)), 3)
    low, high = half.min(axis=1), half.max(axis=1)
    key = low * (int(F.max()) + 1) + high
    order = np.lexsort((half[:, 0] != low, key))
    first = np.r_[True, key[order][1:] != key[order][:-1]]
    start = order[first]
    second = np.r_[~first[1:], False][first]
    after = order[np.minimum(np.flatnonzero(first) + 1, len(order) - 1)]
    faces = np.stack([face[start], np.where(second, face[after], -1)], axis=1)
    tips = np.stack([opposite[start], np.where(second, opposite[after], -1)], axis=1)
    return half[start], faces, tips


def closest_on_triangles(P: FloatArray, T: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each point the closest point on one triangle.

    Parameters
    ----------
    P : (k, 3) float array
    T : (k, 3, 3) float array
        Corners of one triangle for each point.

    Returns
    -------
    square : (k,) float array
        Squared distances between the points and the triangles.
    barycentric : (k, 3) float array
        Barycentric coordinates of the closest points.
    """
    a, b, c = T[:, 0], T[:, 1], T[:, 2]
    ab, ac, ap = b - a, c - a, P - a
    d00 = np.einsum("ij,ij->i", ab, ab)
    d01 = np.einsum("ij,ij->i", ab, ac)
    d11 = np.einsum("ij,ij->i", ac, ac)
    d20 = np.einsum("ij,ij->i", ap, ab)
    d21 = np.einsum("ij,ij->i", ap, ac)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v = (d11 * d20 - d01 * d21) / area
    w = (d00 * d21 - d01 * d20) / area
    best = np.stack([1.0 - v - w, v, w], axis=1)
    outside = (best < 0.0).any(axis=1)
    if outside.any():
        t = T[outside]
        p = P[outside]
        distance = np.full(len(p), np.inf)
        place = np.zeros((len(p), 3))
        for i, j in ((0, 1), (1, 2), (2, 0)):
            edge = t[:, j] - t[:, i]
            length = np.maximum(np.einsum("ij,ij->i", edge, edge), 1e-30)
            s = np.clip(np.einsum("ij,ij->i", p - t[:, i], edge) / length, 0.0, 1.0)
            gap = p - t[:, i] - s[:, None] * edge
            square = np.einsum("ij,ij->i", gap, gap)
            nearer = square < distance
            distance[nearer] = square[nearer]
            place[nearer] = 0.0
            place[nearer, i] = 1.0 - s[nearer]
            place[nearer, j] = s[nearer]
        best[outside] = place
    gap = P - np.einsum("ij,ijk->ik", best, T)
    return np.einsum("ij,ij->i", gap, gap), best


class SourceSurface:
    """A labelled triangle surface with the feature curves between its labels.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array
    labels : (m,) int array
        Patch of each triangle.
    corners : (k,) int array
        Vertices at which feature curves end, in addition to the vertices where several curves meet.
    """

    def __init__(self, V: FloatArray, F: IntArray, labels: IntArray, corners: IntArray) -> None:
        self.V, self.F, self.labels = V, F, labels
        touch = sparse.csr_matrix(
            (np.ones(F.size, dtype=np.int32), (np.repeat(np.arange(len(F)), 3), F.ravel())),
            shape=(len(F), len(V)),
        )
        ring = (touch @ touch.T).astype(bool).astype(np.int32)
        ring = (ring @ ring).tocsr()
        self._start, self._ring = ring.indptr, ring.indices
        self._trace_curves(corners)

    def _trace_curves(self, corners: IntArray) -> None:
        """Split the edges between patches and on the boundary into curves that end at corners."""
        edges, faces, _ = edge_table(self.F)
        feature = (faces[:, 1] < 0) | (self.labels[faces[:, 0]] != self.labels[faces[:, 1]])
        chain_edges, chain_faces = edges[feature], faces[feature, 0]
        incident: dict[int, list[int]] = defaultdict(list)
        for index, (a, b) in enumerate(chain_edges.tolist()):
            incident[a].append(index)
            incident[b].append(index)
        ends = set(corners.tolist()) | {v for v, at in incident.items() if len(at) != 2}
        ends &= incident.keys()
        self.tags = np.full(len(self.V), FREE)
        curve_of = np.zeros(len(chain_edges), dtype=np.int64)
        number = 0
        for end in sorted(ends) + sorted(incident):  # first open curves, then closed curves without ends
            for first in incident[end]:
                if curve_of[first]:
                    continue
                ends.add(end)
                number += 1
                vertex, index = end, first
                while True:
                    curve_of[index] = number
                    a, b = chain_edges[index].tolist()
                    vertex = b if vertex == a else a
                    if vertex in ends:
                        break
                    self.tags[vertex] = number
                    index = next(i for i in incident[vertex] if i != index)
        self.tags[sorted(ends)] = CORNER
        self.curves = [(chain_edges[curve_of == c], chain_faces[curve_of == c]) for c in range(1, number + 1)]
        self.curve_of_edge = {
            (min(a, b), max(a, b)): int(c) for (a, b), c in zip(chain_edges.tolist(), curve_of.tolist(), strict=True)
        }

    def positions(self, face: IntArray, barycentric: FloatArray) -> FloatArray:
        """Return the points (k, 3) with barycentric coordinates (k, 3) in triangles (k,)."""
        return np.asarray(np.einsum("ij,ijk->ik", barycentric, self.V[self.F[face]]))

    def walk(self, P: FloatArray, face: IntArray) -> tuple[IntArray, FloatArray]:
        """Return the closest points found by moving between neighbouring triangles, starting at given triangles.

        Parameters
        ----------
        P : (k, 3) float array
        face : (k,) int array
            Start triangles.

        Returns
        -------
        face : (k,) int array
        barycentric : (k, 3) float array
        """
        face = face.copy()
        barycentric = np.zeros((len(P), 3))
        moving = np.arange(len(P))
        for _ in range(20):
            counts = self._start[face[moving] + 1] - self._start[face[moving]]
            offset = np.concatenate([[0], np.cumsum(counts)[:-1]])
            flat = np.arange(counts.sum()) - np.repeat(offset - self._start[face[moving]], counts)
            candidate = self._ring[flat]
            square, place = closest_on_triangles(np.repeat(P[moving], counts, axis=0), self.V[self.F[candidate]])
            least = np.minimum.reduceat(square, offset)
            hit = np.flatnonzero(square <= np.repeat(least, counts))
            owner = np.repeat(np.arange(len(moving)), counts)[hit]
            chosen = hit[np.unique(owner, return_index=True)[1]]
            changed = candidate[chosen] != face[moving]
            barycentric[moving] = place[chosen]
            face[moving] = candidate[chosen]
            moving = moving[changed]
            if len(moving) == 0:
                break
        return face, barycentric

    def slide(self, P: FloatArray, curve: int) -> tuple[IntArray, FloatArray]:
        """Return the points of a feature curve closest to points P (k, 3): triangles (k,), barycentrics (k, 3)."""
        edges, faces = self.curves[curve - 1]
        a, b = self.V[edges[:, 0]], self.V[edges[:, 1]]
        length = np.einsum("ij,ij->i", b - a, b - a)
        s = np.clip(np.einsum("pej,ej->pe", P[:, None] - a, b - a) / length, 0.0, 1.0)
        gap = P[:, None] - a - s[:, :, None] * (b - a)
        best = np.einsum("pej,pej->pe", gap, gap).argmin(axis=1)
        s_best = s[np.arange(len(P)), best]
        corners = self.F[faces[best]]
        barycentric = (corners == edges[best, :1]) * (1.0 - s_best)[:, None]
        barycentric = barycentric + (corners == edges[best, 1:]) * s_best[:, None]
        return faces[best], barycentric


class Remesher:
    """Isotropic remeshing of a surface, as described in the module docstring.

    Parameters
    ----------
    source : SourceSurface
    target : (n,) float array
        Target edge length at each vertex of the source.
    """

    def __init__(self, source: SourceSurface, target: FloatArray) -> None:
        self.source, self.size = source, target
        self.F, self.labels, self.tags = source.F.copy(), source.labels.copy(), source.tags.copy()
        self.face = np.zeros(len(source.V), dtype=np.int64)
        self.bary = np.zeros((len(source.V), 3))
        for corner in range(3):
            self.face[source.F[:, corner]] = np.arange(len(source.F))
        self.bary[source.F[self.face] == np.arange(len(source.V))[:, None]] = 1.0
        self._update()

    def run(self, iterations: int) -> Remeshed:
        """Return the surface after `iterations` rounds of splitting, collapsing, flipping and relaxing."""
        for _ in range(iterations):
            for _ in range(3):
                if self._split() == 0:
                    break
            for _ in range(6):
                if self._collapse() < 5:
                    break
            self._flip_all()
            for _ in range(3):
                self._relax()
                self._flip_all()
        self._compact()
        return Remeshed(self.F, self.labels, self.face, self.bary, self.tags)

    def _update(self) -> None:
        self.P = self.source.positions(self.face, self.bary)
        self.L = np.einsum("ij,ij->i", self.bary, self.size[self.source.F[self.face]])

    def _features(self, faces: IntArray) -> BoolArray:
        return (faces[:, 1] < 0) | (self.labels[faces[:, 0]] != self.labels[faces[:, 1]])

    def _curve_of(self, edges: IntArray) -> IntArray:
        """Return the number of the curve on which each feature edge (k, 2) lies, (k,).

        It is the curve of an end vertex, or the nearest curve if both end vertices are corners.
        """
        tags = self.tags[edges]
        curve = tags.max(axis=1)
        for index in np.flatnonzero(curve <= 0):
            middle = self.P[edges[index]].mean(axis=0, keepdims=True)
            gaps = []
            for number in range(1, len(self.source.curves) + 1):
                face, bary = self.source.slide(middle, number)
                gaps.append(float(np.linalg.norm(self.source.positions(face, bary) - middle)))
            curve[index] = int(np.argmin(gaps)) + 1
        return np.asarray(curve)

    def _split(self) -> int:
        edges, faces, tips = edge_table(self.F)
        length = np.linalg.norm(self.P[edges[:, 0]] - self.P[edges[:, 1]], axis=1)
        ratio = length / self.L[edges].mean(axis=1)
        wish = np.where(ratio > 4 / 3, ratio, 0.0)
        chosen = _independent(wish, faces, len(self.F))
        if len(chosen) == 0:
            return 0
        feature = self._features(faces[chosen])
        new = len(self.P) + np.arange(len(chosen))
        tag = np.zeros(len(chosen), dtype=np.int64)
        tag[feature] = self._curve_of(edges[chosen[feature]])
        middle = self.P[edges[chosen]].mean(axis=1)
        face, bary = self.source.walk(middle, self.face[edges[chosen, 0]])
        for curve in np.unique(tag[tag > 0]):
            on = tag == curve
            face[on], bary[on] = self.source.slide(middle[on], int(curve))
        extra, extra_labels = [], []
        for side in range(2):
            valid = faces[chosen, side] >= 0
            f, e, m = faces[chosen[valid], side], edges[chosen[valid]], new[valid]
            a, b = (e[:, 0], e[:, 1]) if side == 0 else (e[:, 1], e[:, 0])
            tip = tips[chosen[valid], side]
            self.F[f] = np.stack([a, m, tip], axis=1)
            extra.append(np.stack([m, b, tip], axis=1))
            extra_labels.append(self.labels[f])
        self.F = np.concatenate([self.F, *extra])
        self.labels = np.concatenate([self.labels, *extra_labels])
        self.face, self.bary = np.r_[self.face, face], np.concatenate([self.bary, bary])
        self.tags = np.r_[self.tags, tag]
        self._update()
        return len(chosen)

    def _collapse(self) -> int:
        edges, faces, _ = edge_table(self.F)
        length = np.linalg.norm(self.P[edges[:, 0]] - self.P[edges[:, 1]], axis=1)
        ratio = length / self.L[edges].mean(axis=1)
        feature = self._features(faces)
        around: dict[int, list[int]] = defaultdict(list)
        for index, corners in enumerate(self.F.tolist()):
            for corner in corners:
                around[corner].append(index)
        locked = np.zeros(len(self.P), dtype=bool)
        dead = np.zeros(len(self.F), dtype=bool)
        count = 0
        for index in np.argsort(ratio):
            if ratio[index] > 0.8:
                break
            keep, drop = edges[index].tolist()
            if locked[keep] or locked[drop]:
                continue
            order = self._collapse_order(keep, drop, bool(feature[index]))
            if order is None:
                continue
            keep, drop, middle = order
            ring_keep = np.unique(self.F[around[keep]])
            ring_drop = np.unique(self.F[around[drop]])
            if locked[ring_keep].any() or locked[ring_drop].any():
                continue
            gone = [f for f in around[drop] if keep in self.F[f]]
            shared = np.intersect1d(ring_keep, ring_drop)
            if len(shared) - 2 != len(gone):  # the link condition: otherwise the collapse would change the topology
                continue
            place = 0.5 * (self.P[keep] + self.P[drop]) if middle else self.P[keep]
            moved = [f for f in around[drop] if f not in gone]
            moved += [f for f in around[keep] if f not in gone] if middle else []
            if self._chord(np.int64(keep), np.setdiff1d(ring_drop, ring_keep)).any():
                continue
            if not self._collapse_is_valid(keep, drop, place, np.array(moved, dtype=np.int64)):
                continue
            if middle:
                self._place(keep, place)
            dead[gone] = True
            stay = np.array([f for f in around[drop] if f not in gone], dtype=np.int64)
            block = self.F[stay]
            block[block == drop] = keep
            self.F[stay] = block
            locked[ring_keep] = locked[ring_drop] = True
            count += 1
        self.F, self.labels = self.F[~dead], self.labels[~dead]
        self._compact()
        return count

    def _chord(self, a: IntArray | np.int64, b: IntArray) -> BoolArray:
        """Return whether a and b lie on the same curve: a new edge between a and b would bypass part of the curve.

        This test also prevents most collapses along curves: curves keep at least the vertex density of the source.
        """
        return np.asarray((self.tags[a] > 0) & (self.tags[a] == self.tags[b]))

    def _collapse_order(self, a: int, b: int, feature: bool) -> tuple[int, int, bool] | None:
        """Return the kept vertex, the removed vertex, and whether the kept vertex moves to the midpoint of the edge.

        The result is None if the edge must not be collapsed.
        """
        ta, tb = int(self.tags[a]), int(self.tags[b])
        if ta == FREE and tb == FREE:
            return a, b, True
        if ta == FREE or tb == FREE:
            return (b, a, False) if ta == FREE else (a, b, False)
        if not feature or (ta == CORNER and tb == CORNER):
            return None
        if ta == CORNER or tb == CORNER:
            return (a, b, False) if ta == CORNER else (b, a, False)
        return (a, b, True) if ta == tb else None

    def _collapse_is_valid(self, keep: int, drop: int, place: FloatArray, moved: IntArray) -> bool:
        """Return whether a collapse rotates the changed triangles by small angles and keeps all edges short enough."""
        corners = self.F[moved]
        old = self.P[corners]
        new = old.copy()
        new[(corners == keep) | (corners == drop)] = place
        n0 = np.cross(old[:, 1] - old[:, 0], old[:, 2] - old[:, 0])
        n1 = np.cross(new[:, 1] - new[:, 0], new[:, 2] - new[:, 0])
        size = np.linalg.norm(n0, axis=1) * np.linalg.norm(n1, axis=1)
        if (np.einsum("ij,ij->i", n0, n1) < 0.3 * size).any():
            return False
        side = np.roll(new, -1, axis=1) - new
        length = np.linalg.norm(side, axis=2)
        limit = 1.4 * self.L[corners].mean(axis=1)
        return bool((length.max(axis=1) < limit).all())

    def _place(self, vertex: int, place: FloatArray) -> None:
        curve = int(self.tags[vertex])
        if curve > 0:
            face, bary = self.source.slide(place[None], curve)
        else:
            face, bary = self.source.walk(place[None], self.face[[vertex]])
        self.face[vertex], self.bary[vertex] = face[0], bary[0]
        self.P[vertex] = self.source.positions(face, bary)[0]

    def _flip_all(self) -> None:
        for _ in range(10):
            if self._flip() == 0:
                break

    def _flip(self) -> int:
        edges, faces, tips = edge_table(self.F)
        inner = np.flatnonzero(~self._features(faces))
        a, b = edges[inner].T
        c, d = tips[inner].T
        P = self.P
        gain = _angle(P[c], P[a], P[b]) + _angle(P[d], P[a], P[b]) - np.pi
        n0, n1 = _normal(P[a], P[b], P[c]), _normal(P[b], P[a], P[d])
        m0, m1 = _normal(P[c], P[d], P[b]), _normal(P[d], P[c], P[a])
        fine = (_cosine(n0, n1) > 0.5) & (_cosine(m0, m1) > 0.5)
        fine &= (_cosine(m0, n0) > 0.5) & (_cosine(m1, n1) > 0.5) & (gain > 1e-6)
        count = len(P)
        have = edges.min(axis=1) * count + edges.max(axis=1)
        wanted = np.minimum(c, d) * count + np.maximum(c, d)
        fine &= ~np.isin(wanted, have) & ~self._chord(c, d)
        chosen = _independent(np.where(fine, gain + 1e-9, 0.0), faces[inner], len(self.F))
        chosen = chosen[np.unique(wanted[chosen], return_index=True)[1]]
        f, g = faces[inner[chosen]].T
        self.F[f] = np.stack([c[chosen], d[chosen], b[chosen]], axis=1)
        self.F[g] = np.stack([d[chosen], c[chosen], a[chosen]], axis=1)
        return len(chosen)

    def _relax(self) -> None:
        P, F = self.P, self.F
        cross = np.cross(P[F[:, 1]] - P[F[:, 0]], P[F[:, 2]] - P[F[:, 0]])
        area = 0.5 * np.linalg.norm(cross, axis=1)
        weight = area / self.L[F].mean(axis=1) ** 2
        centre = P[F].mean(axis=1)
        total, pull, normal = np.zeros(len(P)), np.zeros_like(P), np.zeros_like(P)
        for corner in range(3):
            np.add.at(total, F[:, corner], weight)
            np.add.at(pull, F[:, corner], weight[:, None] * centre)
            np.add.at(normal, F[:, corner], cross)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        step = 0.7 * (pull / total[:, None] - P)
        step -= np.einsum("ij,ij->i", step, normal)[:, None] * normal
        free = np.flatnonzero(self.tags == FREE)
        before, before_bary = self.face.copy(), self.bary.copy()
        self.face[free], self.bary[free] = self.source.walk(P[free] + step[free], self.face[free])
        self._relax_curves()
        self._update()
        self._undo_flips(_normal(P[F[:, 0]], P[F[:, 1]], P[F[:, 2]]), before, before_bary)

    def _relax_curves(self) -> None:
        edges, faces, _ = edge_table(self.F)
        chain = edges[self._features(faces)]
        pull, total = np.zeros_like(self.P), np.zeros(len(self.P))
        weight = np.linalg.norm(self.P[chain[:, 0]] - self.P[chain[:, 1]], axis=1)
        weight /= self.L[chain].mean(axis=1)
        for i, j in ((0, 1), (1, 0)):
            np.add.at(pull, chain[:, i], weight[:, None] * (self.P[chain[:, j]] - self.P[chain[:, i]]))
            np.add.at(total, chain[:, i], weight)
        for curve in range(1, len(self.source.curves) + 1):
            on = np.flatnonzero(self.tags == curve)
            if len(on):
                goal = self.P[on] + 0.5 * pull[on] / total[on, None]
                self.face[on], self.bary[on] = self.source.slide(goal, curve)

    def _undo_flips(self, old: FloatArray, face: IntArray, bary: FloatArray) -> None:
        """Move the vertices of triangles that became inverted or nearly degenerate back to their old positions.

        `old`: old normals of the triangles; `face`, `bary`: old positions of the vertices on the source surface.
        """
        for _ in range(5):
            T = self.P[self.F]
            new = _normal(T[:, 0], T[:, 1], T[:, 2])
            bad = np.unique(self.F[_cosine(old, new) < 0.3])
            if len(bad) == 0:
                return
            self.face[bad], self.bary[bad] = face[bad], bary[bad]
            self._update()

    def _compact(self) -> None:
        used, inverse = np.unique(self.F, return_inverse=True)
        self.F = inverse.reshape(-1, 3)
        self.face, self.bary, self.tags = self.face[used], self.bary[used], self.tags[used]
        self._update()


def _independent(wish: FloatArray, faces: IntArray, count: int) -> IntArray:
    """Return the edges whose value is the largest among the edges of both their triangles.

    Parameters
    ----------
    wish : (e,) float array
        Value of each edge; edges with the value 0 are ignored.
    faces : (e, 2) int array
        Triangles of the edges, from `edge_table`.
    count : int
        Number of triangles.
    """
    able = np.flatnonzero(wish > 0)
    rank = np.empty(len(able), dtype=np.int64)
    rank[np.argsort(wish[able], kind="stable")] = np.arange(1, len(able) + 1)
    best = np.zeros(count + 1, dtype=np.int64)  # the last entry stands for missing triangles
    for side in range(2):
        np.maximum.at(best, faces[able, side], rank)
    second = faces[able, 1]
    return able[(best[faces[able, 0]] == rank) & ((second < 0) | (best[second] == rank))]


def _angle(tip: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    u, v = a - tip, b - tip
    sine = np.linalg.norm(np.cross(u, v), axis=1)
    return np.asarray(np.arctan2(sine, np.einsum("ij,ij->i", u, v)))


def _normal(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    return np.asarray(np.cross(b - a, c - a))


def _cosine(u: FloatArray, v: FloatArray) -> FloatArray:
    size = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    return np.asarray(np.einsum("ij,ij->i", u, v) / np.maximum(size, 1e-30))
