"""Texture atlas of the face model.

Face, ears, scalp and neck form one chart, which fills the unit square except a low strip along its lower edge. The head
is unrolled like a cylinder, symmetric about u = 0.5: the front midline, from the neck along the nose to the crown, is
the vertical line u = 0.5. The head is cut along the back midline and below the neck. Each side of the cut along
the back becomes one half of the chart's upper edge (from the crown) and the left or right edge. The cut below the neck
becomes the lower edge. The face gets a larger share of the
chart than of the surface area. Eyeballs, eye sockets, mouth socket, gums, tongue and teeth are small charts in the
strip; the parts of the left half of the head are in the right half of the strip. The map u -> 1 - u mirrors the
complete atlas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom.geometry.boundary import boundary_loops
from facegeom.training.face_model.flatten import (
    flat_triangles,
    jacobians,
    relax,
    tutte,
)
from facegeom.training.face_model.remesh import edge_table
from facegeom.training.face_model.skin_remeshing import EYE_SOCKET, FACE, HEAD, MOUTH_SOCKET
from facegeom.training.face_model.topology import EYEBALL_LEFT, GUMS, TEETH, ModelTopology

_STRIP = 0.078  # height of the strip with the small charts, in v
_GUTTER = 0.004  # margin around each small chart in uv; gives two texels between charts at 256 x 256 texels
_ARCH = np.array([0.0, 0.0, -20.0])  # a place between the rows of teeth, mm; teeth face away from it
# Cells of the small charts of the left half of the head: patch -> (first u, width). The teeth are a grid in their cell.
_CELLS = {
    EYEBALL_LEFT: (0.922, 0.078),
    EYE_SOCKET: (0.872, 0.050),
    MOUTH_SOCKET: (0.500, 0.090),
    GUMS: (0.590, 0.100),
    TEETH: (0.690, 0.182),
}


@dataclass(frozen=True)
class AtlasOptions:
    """Length scales of the parts of the skin chart relative to the face, and the position of the cut."""

    ears: float = 0.5  # length scale of the ears; the length scale of the face is 1
    rest: float = 0.285  # length scale of scalp and neck
    crown: float = -75.0  # z of the point on the midline at which the cut starts, mm
    corner: float = 0.40  # share of the back midline that lies along the upper edge of the chart
    iterations: int = 150  # largest number of iterations of the parameterisation


def build_atlas(
    topology: ModelTopology, V: FloatArray, options: AtlasOptions | None = None
) -> tuple[FloatArray, IntArray]:
    """Return the texture coordinates of the face model.

    Parameters
    ----------
    topology : ModelTopology
    V : (n, 3) float array, mm
        Vertices of the mean head, exactly symmetric.
    options : AtlasOptions, optional

    Returns
    -------
    uv : (p, 2) float array
        Texture coordinates in [0, 1], v up.
    uv_faces : (m, 3) int array
        Rows of `uv` at the corners of each triangle.
    """
    options = options or AtlasOptions()
    F, labels, mirror = topology.mesh.faces, topology.mesh.labels, topology.mesh.mirror
    left = np.flatnonzero((V[F, 0] >= -1e-9).all(axis=1))
    corner_uv = np.full((len(F), 3, 2), np.nan)  # texture coordinates of the corners of each triangle
    skin = left[np.isin(labels[left], [FACE, HEAD])]
    corner_uv[skin] = _skin_chart(topology, V, F[skin], options)
    ball = left[labels[left] == EYEBALL_LEFT]
    corner_uv[ball] = _into_cell(_ball_chart(V, F[ball]), EYEBALL_LEFT)
    for patch in (EYE_SOCKET, MOUTH_SOCKET, GUMS):
        part = left[labels[left] == patch]
        corner_uv[part] = _into_cell(_disc_chart(V, F[part]), patch)
    tooth = left[labels[left] == TEETH]
    corner_uv[tooth] = teeth_charts(V, F[tooth])
    mirror_triangles(F, mirror, left, corner_uv)
    # Corners with the same vertex and the same texture coordinates share a row.
    key = np.concatenate([F.reshape(-1, 1), np.rint(corner_uv.reshape(-1, 2) * 1e9)], axis=1)
    _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return corner_uv.reshape(-1, 2)[first], inverse.reshape(-1, 3)


def mirror_triangles(F: IntArray, mirror: IntArray, left: IntArray, corner_uv: FloatArray) -> None:
    """Set the texture coordinates of the right half of the head to the mirror image of the left half."""
    where = {tuple(sorted(face)): index for index, face in enumerate(F.tolist())}
    for index in left.tolist():
        twin = where[tuple(sorted(mirror[F[index]].tolist()))]
        order = [F[twin].tolist().index(vertex) for vertex in mirror[F[index]].tolist()]
        corner_uv[twin, order] = corner_uv[index] * [-1.0, 1.0] + [1.0, 0.0]


def _skin_chart(topology: ModelTopology, V: FloatArray, F: IntArray, options: AtlasOptions) -> FloatArray:
    """Return the texture coordinates of the corners of the left half of the skin, (m, 3, 2)."""
    used, inverse = np.unique(F, return_inverse=True)
    G = inverse.reshape(-1, 3)
    P = V[used]
    scale = _length_scale(topology, V, options)[used]
    lips, lids = topology.regions["lip_rim"][used], topology.regions["eye_rims"][used]
    P, scale, filled, mouth = _fill_openings(P, scale, G, lips, lids)
    outline = boundary_loops(filled)[0]
    uv, free = _rectangle(P, outline, options)
    start = tutte(filled, outline, uv[outline])
    rest = flat_triangles(P[filled]) * scale[filled].mean(axis=1)[:, None, None]
    rest[mouth] = 0.9 * np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.8]])  # the opening between closed lips has no area
    area = 0.5 * rest[:, 1, 0] * rest[:, 2, 1]
    weight = area.copy()
    weight[len(G) :] *= 0.2
    rest *= np.sqrt(0.5 * (1.0 - _STRIP) / area.sum())
    uv = relax(rest, filled, start, free, weight, options.iterations)
    return uv[G]


def _length_scale(topology: ModelTopology, V: FloatArray, options: AtlasOptions) -> FloatArray:
    """Return the target length scale at each vertex, (n,), smoothed across the borders of the regions."""
    mesh, regions = topology.mesh, topology.regions
    scale = np.where(regions["face"], 1.0, options.rest)
    scale[regions["ear_left"] | regions["ear_right"]] = options.ears
    edges = edge_table(mesh.faces[np.isin(mesh.labels, [FACE, HEAD])])[0]
    ones = np.ones(len(edges))
    graph = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(len(V), len(V)))
    graph = graph + graph.T + sparse.identity(len(V))
    mean = sparse.diags(1.0 / np.asarray(graph.sum(axis=1)).ravel()) @ graph
    for _ in range(6):
        scale = mean @ scale
    return np.asarray(scale)


def _fill_openings(
    P: FloatArray, scale: FloatArray, G: IntArray, lips: BoolArray, lids: BoolArray
) -> tuple[FloatArray, FloatArray, IntArray, BoolArray]:
    """Fill the eye opening and the half mouth opening with triangle fans.

    Return the vertices, their length scales, all triangles, and a mask of the triangles in the mouth opening.
    """
    edges, faces, _ = edge_table(G)
    rim = edges[faces[:, 1] < 0]
    fans, of_mouth = [G], [np.zeros(len(G), dtype=bool)]
    for inside, is_mouth in ((lids, False), (lips, True)):
        around = rim[inside[rim].all(axis=1)]
        centre = P[np.unique(around)].mean(axis=0)
        if is_mouth:
            centre[0] = 0.0
        tip = np.full(len(around), len(P))
        fans.append(np.stack([around[:, 1], around[:, 0], tip], axis=1))
        of_mouth.append(np.full(len(around), is_mouth))
        P, scale = np.concatenate([P, centre[None]]), np.append(scale, 1.0)
    return P, scale, np.concatenate(fans), np.concatenate(of_mouth)


def _rectangle(P: FloatArray, outline: IntArray, options: AtlasOptions) -> tuple[FloatArray, BoolArray]:
    """Map the outline of the left half of the skin to the four sides of the corresponding half of the chart.

    Counter-clockwise from outside, the outline consists of the front midline downwards, the neck, and the back midline
    upwards to the crown.

    Return the texture coordinates (n, 2), and a mask (n, 2) of the coordinates that may change: a vertex on a side may
    move along this side.
    """
    uv, free = np.zeros((len(P), 2)), np.ones((len(P), 2), dtype=bool)
    middle = np.abs(P[outline, 0]) < 1e-9
    on_line = outline[middle]
    crown = on_line[np.argmin(np.abs(P[on_line, 2] - options.crown) + 1e3 * (P[on_line, 1] < 30.0))]
    outline = np.roll(outline, -int(np.flatnonzero(outline == crown)[0]))
    middle = np.abs(P[outline, 0]) < 1e-9
    neck = np.flatnonzero(~middle)
    front, below, back = outline[: neck[0]], outline[neck[0] - 1 : neck[-1] + 2], outline[neck[-1] + 1 :]
    back = np.append(back, crown)
    if P[front[len(front) // 2], 2] < P[back[len(back) // 2], 2]:
        raise ValueError("the outline has the wrong orientation: it must start with the front midline")
    length = _arc(P[back])
    turn = int(np.argmin(np.abs(length - (1.0 - options.corner))))
    chains = (
        (front, (0.5, 1.0), (0.5, _STRIP), 0),
        (below, (0.5, _STRIP), (1.0, _STRIP), 1),
        (back[: turn + 1], (1.0, _STRIP), (1.0, 1.0), 0),
        (back[turn:], (1.0, 1.0), (0.5, 1.0), 1),
    )
    for chain, start, stop, held in chains:
        along = _arc(P[chain])[:, None]
        uv[chain] = (1.0 - along) * np.array(start) + along * np.array(stop)
        free[chain, held] = False
        free[chain[[0, -1]]] = False
    return uv, free


def _arc(points: FloatArray) -> FloatArray:
    """Return the relative arc length at each point of a polyline (k, 3): (k,), from 0 to 1."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return np.asarray(length / length[-1])


def _disc_chart(V: FloatArray, F: IntArray, power: float = 2.0, share: FloatArray | None = None) -> FloatArray:
    """Return texture coordinates (m, 3, 2) that flatten a disc-like surface into the unit square.

    The outline of the chart is a circle, or a superellipse of a higher `power`. `share` (m,) is the size of each
    triangle in the chart, relative to that on the surface.
    """
    used, inverse = np.unique(F, return_inverse=True)
    G = inverse.reshape(-1, 3)
    outline = boundary_loops(G)[0]
    angle = 2 * np.pi * _arc(V[used][np.append(outline, outline[0])])[:-1]
    places = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    places = 0.5 + 0.5 * places / (np.abs(places) ** power).sum(axis=1, keepdims=True) ** (1.0 / power)
    free = np.ones((len(used), 2), dtype=bool)
    free[outline] = False
    rest = flat_triangles(V[F])
    if share is not None:
        rest *= share[:, None, None]
    area = 0.5 * rest[:, 1, 0] * rest[:, 2, 1]
    rest *= np.sqrt(0.25 * np.pi / area.sum())
    return relax(rest, G, tutte(G, outline, places), free, area, 40)[G]


def _tooth_chart(V: FloatArray, F: IntArray) -> FloatArray:
    """Return texture coordinates (m, 3, 2) of a tooth in the unit square, with most of the room for its outer side."""
    corners = V[F]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    outward = (corners.mean(axis=(0, 1)) - _ARCH) * (1.0, 0.0, 1.0)
    shown = normal @ (outward / np.linalg.norm(outward))
    return _disc_chart(V, F, 4.0, np.clip(0.6 + 0.6 * shown, 0.3, 1.0))


def _ball_chart(V: FloatArray, F: IntArray) -> FloatArray:
    """Flatten an eyeball around its front point into the unit square; return the corners, (m, 3, 2).

    The vertex at the back is split: its triangles are separate in the chart, at the sides of the polygon that contains
    the other triangles. The front of the eyeball gets most of the area.
    """
    used, inverse = np.unique(F, return_inverse=True)
    G = inverse.reshape(-1, 3)
    P = V[used] - 0.5 * (V[used].min(axis=0) + V[used].max(axis=0))
    back = int(P[:, 2].argmin())
    fan = np.isin(G, back).any(axis=1)
    kept, compact = np.unique(G[~fan], return_inverse=True)
    inner = compact.reshape(-1, 3)
    outline = boundary_loops(inner)[0]
    angle = 2 * np.pi * np.arange(len(outline)) / len(outline)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    free = np.ones((len(kept), 2), dtype=bool)
    free[outline] = False
    shown = np.clip(2.0 * P[kept, 2] / P[:, 2].max() + 0.8, 0.0, 1.0)[inner].mean(axis=1)
    rest = flat_triangles(P[kept][inner]) * (0.1 + 0.9 * shown)[:, None, None]
    area = 0.5 * rest[:, 1, 0] * rest[:, 2, 1]
    rest *= np.sqrt(np.pi * 0.75**2 / area.sum())
    start = tutte(inner, outline, 0.95 * circle)
    places = np.zeros((len(P), 2))
    places[kept] = relax(rest, inner, start, free, area * shown**2 + 1e-4 * area.sum(), 40)
    corner = places[G]
    for index in np.flatnonzero(fan):
        at = int(np.flatnonzero(G[index] == back)[0])
        middle = corner[index, [(at + 1) % 3, (at + 2) % 3]].mean(axis=0)
        corner[index, at] = middle / np.linalg.norm(middle)
    return np.asarray(0.5 + 0.5 * corner)


def teeth_charts(V: FloatArray, F: IntArray) -> FloatArray:
    """Flatten each tooth separately and arrange the charts in two rows; return texture coordinates (m, 3, 2)."""
    used, inverse = np.unique(F, return_inverse=True)
    G = inverse.reshape(-1, 3)
    ones = np.ones(3 * len(G))
    pairs = (np.roll(G, 1, axis=1).ravel(), G.ravel())
    count, member = connected_components(sparse.csr_matrix((ones, pairs), shape=(len(used),) * 2))
    tooth = member[G[:, 0]]
    centre = np.stack([V[used[member == k]].mean(axis=0) for k in range(count)])
    low = centre[:, 1] < _split_height(centre[:, 1])
    columns = max(int(low.sum()), int((~low).sum()))
    first, width = _CELLS[TEETH]
    result = np.zeros((len(F), 3, 2))
    for row in range(2):
        members = np.flatnonzero(low == (row == 0))
        for column, k in enumerate(members[np.argsort(-centre[members, 2])]):
            cell = (first + column * width / columns, row * _STRIP / 2, width / columns, _STRIP / 2)
            result[tooth == k] = _into_box(_tooth_chart(V, F[tooth == k]), cell)
    return result


def _split_height(heights: FloatArray) -> float:
    """Return the middle of the widest gap between the heights, which separates lower and upper teeth."""
    ordered = np.sort(heights)
    gap = int(np.argmax(np.diff(ordered)))
    return float(0.5 * (ordered[gap] + ordered[gap + 1]))


def _into_cell(square: FloatArray, patch: int) -> FloatArray:
    first, width = _CELLS[patch]
    return _into_box(square, (first, 0.0, width, _STRIP))


def _into_box(square: FloatArray, box: tuple[float, float, float, float]) -> FloatArray:
    """Return a chart of the unit square moved into a box (u, v, width, height), with the margin `_GUTTER`."""
    low = np.array(box[:2]) + _GUTTER
    size = np.array(box[2:]) - 2 * _GUTTER
    return np.asarray(low + square * size)


def atlas_stretch(V: FloatArray, F: IntArray, uv: FloatArray, uv_faces: IntArray) -> FloatArray:
    """Return the stretch of the texture map: the two singular values of each triangle, (m, 2), in uv units per mm.

    The larger value comes first.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array
    uv : (p, 2) float array
    uv_faces : (m, 3) int array
    """
    return np.asarray(np.linalg.svd(jacobians(flat_triangles(V[F]), uv, uv_faces), compute_uv=False))


def coverage(uv: FloatArray, uv_faces: IntArray, size: int) -> IntArray:
    """Return the number of triangles that cover the centre of each texel, (size, size) int, row 0 at v = 1."""
    count = np.zeros((size, size), dtype=np.int64)
    corners = uv[uv_faces] * size - 0.5
    low = np.maximum(np.ceil(corners.min(axis=1)).astype(int), 0)
    high = np.minimum(np.floor(corners.max(axis=1)).astype(int), size - 1)
    for (x0, y0), (x1, y1), (a, b, c) in zip(low, high, corners, strict=True):
        if x1 < x0 or y1 < y0:
            continue
        x, y = np.meshgrid(np.arange(x0, x1 + 1), np.arange(y0, y1 + 1))
        inside = np.ones(x.shape, dtype=bool)
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) > 0
        count[y0 : y1 + 1, x0 : x1 + 1] += inside
    return count[::-1]
