"""A mesh of a face or head in any unit and place: reading, and pictures of it from any side.

Nothing is expected of the mesh but triangles: they may have any winding, lie on each other or miss. All later steps see
the mesh through its pictures, in which each pixel has the nearest surface.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray, IntArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.images.camera import Camera
from facegeom.images.sampling import bilinear
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.mesh.mesh_arrays import MeshArrays

RADIUS = 100.0
"""Radius of the normalised mesh, units."""

STRAY = 0.5
"""Percentage of the vertices at each end of each axis that do not count for centre and size."""

SMALL_PART, MOST_SMALL = 0.02, 0.3
"""Area of a connected part of a mesh / area of the mesh, below which the part is no skin, but an eyeball or a tooth;
unless all small parts together have more than the second share, as in a mesh that is broken into pieces."""

COARSE_CELLS, COARSE_FACES = 220, 60_000
"""Number of cells along the radius, and number of triangles above which a coarse copy serves the search."""

ROUGH, ROUNDS = 0.1, 5
"""Median distance of a vertex from the mean of its neighbours along the normal, edges, from which a mesh is noisy; and
number of rounds of Laplacian smoothing that remove the noise for the search."""

BACKGROUND = 150
"""Gray level behind the mesh, between those of lit and of dark skin."""

CLAY = np.array([196.0, 160.0, 140.0])
"""Colour of a mesh without colours."""

LIGHT = np.array([-0.35, 0.45, 0.82])
"""Direction from the surface to the light, in the camera frame."""


@dataclass(frozen=True)
class Picture:
    """A mesh seen by a camera.

    Attributes
    ----------
    camera : Camera, from the normalised mesh to pixels
    depth : (h, w) float array, in units of the normalised mesh; NaN beside it
    triangle : (h, w) int array, the visible triangle, or -1
    normals : (h, w, 3) float32 array, unit normals in the camera frame, towards the camera; 0 beside the mesh
    image : (h, w, 3) uint8 array, the lit mesh
    """

    camera: Camera
    depth: FloatArray
    triangle: IntArray
    normals: Float32Array
    image: ByteArray


@dataclass(frozen=True, eq=False)
class Scan:
    """A mesh with its centre at the origin and its radius scaled to `RADIUS`.

    Attributes
    ----------
    vertices : (n, 3) float array, units of the normalised mesh
    faces : (m, 3) int array, triangles with an area
    mesh : MeshArrays, the mesh as it was given; its triangles `kept` are those of `faces`
    kept : (m,) int array
    centre : (3,) float array, in units of the given mesh
    unit : length of a unit of the normalised mesh in units of the given mesh
    """

    vertices: FloatArray
    faces: IntArray
    mesh: MeshArrays
    kept: IntArray
    centre: FloatArray
    unit: float

    @property
    def coloured(self) -> bool:
        """Whether the mesh has a texture, or colours of vertices that differ."""
        mesh = self.mesh
        if mesh.texture is not None:
            return True
        return mesh.colors is not None and bool((np.ptp(mesh.colors, axis=0) > 8).any())

    @cached_property
    def face_normals(self) -> Float32Array:
        """Unit normals (m, 3) of the triangles by their winding."""
        return geometry.face_normals(self.vertices, self.faces).astype(np.float32)

    @cached_property
    def coarse(self) -> Scan:
        """This mesh without colours, or a copy with fewer triangles if it has very many."""
        if len(self.faces) <= COARSE_FACES:
            return self
        cell = RADIUS / COARSE_CELLS
        rounded = np.rint(self.vertices / cell).astype(np.int64)
        rounded = np.clip(rounded - rounded.min(axis=0), 0, 2**20 - 1)
        _, first, of = np.unique(rounded @ (1, 2**20, 2**40), return_index=True, return_inverse=True)
        corners = of[self.faces]
        open_ = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 0] != corners[:, 2])
        vertices, faces = self.vertices[first], corners[open_]
        colors = None if self.mesh.colors is None else self.mesh.colors[first]
        plain = MeshArrays(vertices, faces, colors=colors)
        return Scan(vertices, plain.faces, plain, np.arange(len(faces)), self.centre, self.unit)

    @cached_property
    def skin(self) -> Scan:
        """This mesh without its small parts, such as eyeballs and lashes."""
        corners = self.vertices[self.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        part = geometry.connected_components(_welded(self.vertices, self.faces), len(self.vertices))
        share = np.bincount(part, weights=area) / area.sum()
        small = share[part] < SMALL_PART
        if not small.any() or area[small].sum() > MOST_SMALL * area.sum():
            return self
        return replace(self, faces=np.ascontiguousarray(self.faces[~small]), kept=self.kept[~small])

    @cached_property
    def smoothed(self) -> Scan | None:
        """This mesh without noise, for the search; None if it has little."""
        V, welded = self.vertices, _welded(self.vertices, self.faces)
        mean = geometry.laplacian_smooth(V, welded, iterations=1, step=1.0)
        used = np.unique(welded)
        away = np.abs(((mean - V) * geometry.vertex_normals(V, welded)).sum(axis=1))[used]
        edges = np.linalg.norm(V[self.faces[:, 1]] - V[self.faces[:, 0]], axis=1)
        if float(np.median(away)) < ROUGH * float(np.median(edges)):
            return None
        first = np.arange(len(V))
        first[self.faces] = welded  # vertices at one place stay there together
        return replace(self, vertices=geometry.laplacian_smooth(V, welded, iterations=ROUNDS)[first])

    def colors_at(self, triangle: IntArray, weights: FloatArray) -> FloatArray:
        """Return the colours (q, 3) in [0, 255] of points in triangles (q,) with barycentric coordinates (q, 3)."""
        mesh = self.mesh
        if mesh.texture is not None and mesh.uv is not None and mesh.uv_faces is not None:
            corners = mesh.uv[mesh.uv_faces[self.kept[triangle]]]
            height, width = mesh.texture.shape[:2]
            uv = np.einsum("qcd,qc->qd", corners, weights)
            uv = np.where((uv < 0) | (uv > 1), uv % 1.0, uv)
            return bilinear(mesh.texture, uv * (width, -height) + (-0.5, height - 0.5))
        if mesh.colors is None:
            return np.tile(CLAY, (len(triangle), 1))
        return np.asarray(np.einsum("qcd,qc->qd", mesh.colors[self.faces[triangle]].astype(np.float64), weights))

    def seen_by(self, camera: Camera, size: int, *, lit: bool = True) -> Picture:
        """Return the picture (size, size) of the mesh in a camera; with `lit` False, of its colours without light."""
        placed = np.column_stack([camera.project(self.vertices), camera.view(self.vertices)[:, 2]])
        raster = geometry.rasterize(placed, self.faces, None, (size, size))
        shown = raster.triangle >= 0
        normals = np.zeros((size, size, 3), np.float32)
        normals[shown] = self.face_normals[raster.triangle[shown]] @ camera.rotation.T.astype(np.float32)
        normals *= np.where(normals[..., 2:] < 0, np.float32(-1), np.float32(1))
        smooth = np.asarray(cv2.GaussianBlur(normals, (0, 0), 0.8), np.float32)[shown]
        smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-6)
        rows, columns = np.nonzero(shown)
        triangle = raster.triangle[shown]
        colors = np.tile(CLAY, (len(rows), 1))
        if self.coloured:
            weights = _barycentric(placed[:, :2][self.faces[triangle]], np.column_stack([columns, rows]))
            colors = self.colors_at(triangle, weights)
        if lit:
            light = np.clip(smooth @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
            colors = colors * ((0.7 + 0.4 * light) if self.coloured else (0.25 + 0.95 * light))[:, None]
        image = np.full((size, size, 3), BACKGROUND, np.uint8)
        image[shown] = np.rint(np.clip(colors, 0, 255)).astype(np.uint8)
        return Picture(camera, raster.depth, raster.triangle, normals, image)


def _welded(vertices: FloatArray, faces: IntArray) -> IntArray:
    """Return triangles (m, 3) whose corners at the same place are one vertex, as on cuts of a texture."""
    order = np.lexsort(vertices.T)
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(vertices[order], axis=0) != 0).any(axis=1)
    first = np.empty(len(order), np.int64)
    first[order] = order[np.flatnonzero(new)][np.cumsum(new) - 1]
    return np.asarray(first[faces])


def _barycentric(corners: FloatArray, places: FloatArray | IntArray) -> FloatArray:
    """Return the barycentric coordinates (q, 3) of places (q, 2) in triangles with corners (q, 3, 2)."""
    (x1, y1), (x2, y2) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    x, y = (places - corners[:, 0]).T
    area = x1 * y2 - x2 * y1
    area = np.where(np.abs(area) > 1e-12, area, 1e-12)
    second, third = (x * y2 - x2 * y) / area, (x1 * y - x * y1) / area
    weights = np.clip(np.column_stack([1 - second - third, second, third]), 0, 1)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def read_scan(mesh: Any) -> Scan:
    """Return a mesh as a Scan.

    Parameters
    ----------
    mesh : path of a .glb, .obj, .ply or .stl file, FaceMesh, trimesh.Trimesh, or pair of vertices (n, 3) and triangles
        (m, 3)

    Raises
    ------
    NoFaceFound
        If the mesh has no triangle with an area.
    FileNotFoundError, FacegeomError
        If the file cannot be read.
    TypeError, ValueError
        If `mesh` is of another type, or its arrays are invalid.
    """
    given = _arrays(mesh)
    vertices, faces = given.vertices, given.faces
    if not len(faces):
        raise NoFaceFound("the mesh has no triangles, so that there is no face on it")
    used = np.zeros(len(vertices), np.bool_)
    used[faces] = True
    low, high = np.percentile(vertices[used], (STRAY, 100 - STRAY), axis=0)
    reach = float(np.linalg.norm(high - low)) / 2
    if not reach > 0:
        raise NoFaceFound("all triangles of the mesh lie in one point, so that there is no face on it")
    centre, unit = (low + high) / 2, reach / RADIUS
    placed = (vertices - centre) / unit
    near = (np.abs(placed) < 50 * RADIUS).all(axis=1)
    corners = placed[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    kept = np.flatnonzero((area > 1e-9) & near[faces].all(axis=1))
    if not len(kept):
        raise NoFaceFound("no triangle of the mesh has an area, so that there is no face on it")
    return Scan(np.where(near[:, None], placed, 0.0), np.ascontiguousarray(faces[kept]), given, kept, centre, unit)


def _arrays(mesh: Any) -> MeshArrays:
    if isinstance(mesh, (str, os.PathLike)):
        return FaceMesh.load(mesh)
    if isinstance(mesh, MeshArrays):
        return mesh
    if isinstance(mesh, (tuple, list)) and len(mesh) == 2:
        V, F = check.mesh(*mesh)
        return MeshArrays(V, F)
    if hasattr(mesh, "vertices") and hasattr(mesh, "faces"):  # trimesh.Trimesh, without an import of trimesh
        return _of_trimesh(mesh)
    raise TypeError(
        "mesh must be the path of a mesh file, a FaceMesh, a trimesh.Trimesh or a pair of vertices and triangles, "
        f"got {type(mesh).__name__}"
    )


def _of_trimesh(mesh: Any) -> MeshArrays:
    """Return the arrays of a trimesh.Trimesh, with its texture or the colours of its vertices."""
    V, F = check.mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    look = getattr(mesh, "visual", None)
    kind = getattr(look, "kind", None)
    if kind == "vertex":
        return MeshArrays(V, F, colors=np.asarray(look.vertex_colors, np.uint8)[:, :3])  # type: ignore[union-attr]
    material = getattr(look, "material", None)
    picture = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    uv = getattr(look, "uv", None)
    if kind == "texture" and picture is not None and uv is not None:
        try:
            return MeshArrays(V, F, uv=np.asarray(uv, np.float64), texture=np.asarray(picture.convert("RGB")))
        except (ValueError, OSError) as error:
            raise FacegeomError(f"the texture of the mesh cannot be used: {error}") from error
    return MeshArrays(V, F)
