"""The surface of a scan as seen from around the face: the target of the fit and of the registration.

Pictures from several sides give one grid of points each. Inner walls, doubled triangles and their winding do not
matter, and the number of points does not depend on that of the mesh.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.rigging.placement import Placement
from facegeom.rigging.scan import Scan

LEAST_FACING = 0.3
"""Smallest cosine between the normal and the line of sight of a point that a picture shows well."""

STEP_RATIO = 4.0
"""Largest length of an edge of the grid / width of a pixel; longer edges cross a step in depth."""


ROUGH_MM = 0.05
"""Median distance of a point from the mean of its neighbours, along the normal, from which a surface is noisy, mm.
Clean heads have 0.03, and heads with noise of 1 mm at vertices 2 mm apart 0.16."""

ROUNDS_PER_MM, MOST_ROUNDS = 200.0, 40
"""Rounds of smoothing per mm above this, and the largest number of rounds."""


class SurfaceView(NamedTuple):
    """A picture from around the face: yaw and pitch in degrees, its middle and its side in mm, and its resolution."""

    yaw: float
    pitch: float
    centre: tuple[float, float, float]
    side_mm: float
    pixel_mm: float


FACE_VIEWS = (
    SurfaceView(0, 0, (0, -22, 0), 230, 1.2),
    SurfaceView(55, 0, (0, -22, -20), 230, 1.3),
    SurfaceView(-55, 0, (0, -22, -20), 230, 1.3),
    SurfaceView(0, -50, (0, -60, -10), 190, 1.5),
)
"""Pictures of the face: from the front, from both sides and from below."""

HEAD_VIEWS = (
    SurfaceView(100, 5, (0, -20, -70), 340, 2.2),
    SurfaceView(-100, 5, (0, -20, -70), 340, 2.2),
    SurfaceView(180, 0, (0, -20, -70), 340, 3.0),
    SurfaceView(0, 75, (0, 20, -70), 280, 3.0),
    SurfaceView(180, 55, (0, 0, -90), 280, 3.0),
)
"""Pictures of the rest of the head."""


class Surface(NamedTuple):
    """Points of a scan in the face frame: positions (n, 3), mm, outward unit normals (n, 3), and triangles (m, 3)."""

    V: FloatArray
    N: FloatArray
    F: IntArray

    def moved(self, before: Placement, after: Placement) -> Surface:
        """Return the surface of the same scan in another placement."""
        rotation = after.rotation @ before.rotation.T
        return Surface(after(before.back(self.V)), self.N @ rotation.T, self.F)


def view_rotation(yaw: float, pitch: float) -> FloatArray:
    """Return the rotation (3, 3) to the frame of a camera that looks from the left (yaw > 0) or from above (pitch)."""
    y, p = np.radians(yaw), np.radians(pitch)
    ahead = np.array([np.sin(y) * np.cos(p), np.sin(p), np.cos(y) * np.cos(p)])
    across = np.array([np.cos(y), 0.0, -np.sin(y)])
    return np.stack([across, np.cross(ahead, across), ahead])


def seen_surface(scan: Scan, placement: Placement, views: tuple[SurfaceView, ...]) -> Surface:
    """Return the surface of a scan that pictures from around the face show.

    Parameters
    ----------
    scan : Scan
    placement : Placement of the face frame
    views : the pictures
    """
    parts: list[Surface] = []
    first = 0
    for view in views:
        size = round(view.side_mm / view.pixel_mm)
        rotation = view_rotation(view.yaw, view.pitch)
        camera = placement.camera(rotation, 1 / view.pixel_mm, np.array(view.centre, np.float64), size)
        placed = np.column_stack([camera.project(scan.vertices), camera.view(scan.vertices)[:, 2]])
        raster = geometry.rasterize(placed, scan.faces, None, (size, size))
        shown = raster.triangle >= 0
        normals = np.zeros((size, size, 3))
        normals[shown] = scan.face_normals[raster.triangle[shown]] @ camera.rotation.T.astype(np.float32)
        shown &= np.abs(normals[..., 2]) > LEAST_FACING
        rows, columns = np.indices(shown.shape)
        across = np.dstack([columns, -rows]) * view.pixel_mm
        xyz = np.dstack([across, raster.depth * placement.scale])
        mesh = geometry.maps_to_mesh(xyz, shown, normals, STEP_RATIO * view.pixel_mm)
        if not len(mesh.F):
            continue
        column, row = mesh.pixel.T
        points = camera.unproject(mesh.pixel.astype(np.float64), raster.depth[row, column])
        parts.append(Surface(placement(points), geometry.vertex_normals(mesh.V, mesh.F) @ rotation, mesh.F + first))
        first += len(mesh.V)
    if not parts:
        return Surface(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    return Surface(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def without_noise(surface: Surface) -> Surface:
    """Return a noisy surface after Laplacian smoothing, by its roughness, or the surface itself if it is clean."""
    if not len(surface.F):
        return surface
    mean = geometry.laplacian_smooth(surface.V, surface.F, iterations=1, step=1.0)
    rough = float(np.median(np.abs(((mean - surface.V) * surface.N).sum(axis=1))))
    rounds = min(MOST_ROUNDS, round(ROUNDS_PER_MM * (rough - ROUGH_MM)))
    if rounds <= 0:
        return surface
    V = geometry.laplacian_smooth(surface.V, surface.F, iterations=rounds)
    return Surface(V, geometry.vertex_normals(V, surface.F), surface.F)
