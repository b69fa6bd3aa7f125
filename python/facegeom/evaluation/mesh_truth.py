"""The true surface of a photographed face, and the distance of a predicted mesh from it.

The predicted mesh keeps the image position and image size of its projection. The pixel coordinates of both meshes are
converted to millimetres by the true camera, because a single photo does not determine the size of a person. Only the
depth is aligned, in two ways:

- By the mean depth of both surfaces. A mesh that covers only the visible side of the face has a mean depth nearer to
  the camera; this alignment then increases all distances of the mesh.
- By the median depth difference over the pixels where both surfaces are visible (the values `*_shown`). For meshes of
  the complete face, both ways give similar results.

The face region is the region of the ground truth in `facegeom.training.meshes.samples`: the skin that depth maps
contain, and the front of the eyeballs. For a mesh with the topology of the face model, the same region is compared; for
other meshes, all triangles. For all pipelines, predicted points on the rest of the true head (ears, scalp, neck) are
ignored: a point is ignored if it is at most 5 mm from the rest of the head, and nearer to the rest than to the face
region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.face_model.face_region import EYE_FRONT, face_region
from facegeom.face_model.point_fit import Fit
from facegeom.geometry import NearestFinder, face_normals, rasterize
from facegeom.images.camera import Camera
from facegeom.measures.mesh_metrics import (
    EMD_POINTS,
    SlicedWasserstein,
    cloud_distances,
    earth_movers_distance,
    sample_surface,
)
from facegeom.mesh.face_mesh import FaceMesh

POINTS = 60_000
"""Number of points sampled on each surface, as in the ground truth of the Pixel2Mesh paper. Half of them are used for
the sliced Wasserstein distance."""

TAUS = (2.0, 4.0)
"""Distance thresholds of the F-scores, mm."""

GRID_MM = 250
"""Side length of the square region in which depths are compared, mm; larger than any face."""

ELSEWHERE_MM = 5.0
"""Largest distance of an ignored predicted point from the rest of the head, mm; see the module docstring."""


class Surface(NamedTuple):
    """A mesh in the frame of the true camera.

    Attributes
    ----------
    V : (n, 3) float array, vertices, mm; the origin of z is arbitrary
    F : (m, 3) int array
    """

    V: FloatArray
    F: IntArray


@dataclass(frozen=True)
class MeshScore:
    """Distances between a predicted mesh and the true surface.

    Attributes
    ----------
    chamfer : chamfer distance, mm: the sum of the mean distances in both directions
    chamfer_squared : chamfer distance with squared distances, mm^2
    emd : earth mover's distance, mm
    emd_floor : earth mover's distance between two random samples of the true surface, mm
    sliced : sliced Wasserstein distance, mm
    sliced_floor : sliced Wasserstein distance between two random samples of the true surface, mm
    f_score : threshold tau in mm -> F-score in [0, 1]
    chamfer_shown, f_score_shown : `chamfer` and `f_score` with the depth aligned where both surfaces are visible
    left_out : share in [0, 1] of mesh points that are ignored because they lie on another part of the head
    """

    chamfer: float
    chamfer_squared: float
    emd: float
    emd_floor: float
    sliced: float
    sliced_floor: float
    f_score: dict[float, float]
    chamfer_shown: float
    f_score_shown: dict[float, float]
    left_out: float


class TrueSurface:
    """The true surface of a photographed face: the face model fitted to the photo.

    Parameters
    ----------
    model : FaceModel
    fit : Fit, with a camera in pixels of the photo
    seed : seed of the sampled points. Each photo should have its own seed, so that the sampling error averages out: two
        samples of 1,024 points of the same surface have an earth mover's distance of 6 to 9 mm.

    Attributes
    ----------
    camera : the true camera, face frame to pixels
    surface : Surface, the face region
    points : (POINTS, 3) float array, points sampled on the face region, mm
    """

    def __init__(self, model: FaceModel, fit: Fit, seed: int = 0) -> None:
        self.camera = Camera(fit.rotation, fit.scale, fit.translation)
        fitted = fit.vertices(model)
        self.surface = Surface(self.camera.view(fitted), face_region(model))
        self.points = sample_surface(*self.surface, POINTS, seed=seed).points
        rest = np.asarray(model.regions["head"][model.faces].all(axis=1))
        rest[: model.face_triangle_count] &= ~model.regions["map"][model.faces[: model.face_triangle_count]].all(axis=1)
        self._sample, other = self.points[:EMD_POINTS], self.points[EMD_POINTS : 2 * EMD_POINTS]
        self._seed = seed + 1  # seed of the points on predicted meshes
        self._emd_floor = earth_movers_distance(other, self._sample)
        half, other_half = np.split(self.points, 2)
        self._sliced = SlicedWasserstein(half)
        self._sliced_floor = self._sliced.distance(other_half)
        self._region = NearestFinder(self.points)
        self._rest = NearestFinder(sample_surface(self.surface.V, model.faces[rest], POINTS).points)

    def place(self, V: FloatArray, F: IntArray, camera: Camera) -> Surface:
        """Transform a predicted mesh to the frame of the true camera, so that its projection does not change.

        Parameters
        ----------
        V : (n, 3) float array, mm in the face frame of the prediction
        F : (m, 3) int array
        camera : the predicted camera, face frame to pixels of the photo
        """
        across = (camera.project(V) - self.camera.translation) / (self.camera.scale, -self.camera.scale)
        return Surface(np.column_stack([across, camera.view(V)[:, 2] * (camera.scale / self.camera.scale)]), F)

    def score(self, mesh: Surface) -> MeshScore:
        """Return the distances between the true surface and a mesh in the frame of the true camera."""
        points = sample_surface(*mesh, POINTS, seed=self._seed).points
        points[:, 2] += self._shown_shift(mesh)
        elsewhere = self._rest.nearest(points)[1]
        inside = (elsewhere > ELSEWHERE_MM) | (elsewhere > self._region.nearest(points)[1])
        shown = points[inside] if np.count_nonzero(inside) >= EMD_POINTS else points
        kept = shown + np.array([0.0, 0.0, self.points[:, 2].mean() - shown[:, 2].mean()])
        whole, front = cloud_distances(kept, self.points), cloud_distances(shown, self.points)
        return MeshScore(
            whole.chamfer_mean,
            whole.chamfer_squared_mean,
            earth_movers_distance(kept[:EMD_POINTS], self._sample),
            self._emd_floor,
            self._sliced.distance(np.resize(kept, (POINTS // 2, 3))),  # repeats points if most are ignored
            self._sliced_floor,
            {tau: whole.f_score(tau) for tau in TAUS},
            front.chamfer_mean,
            {tau: front.f_score(tau) for tau in TAUS},
            1.0 - len(shown) / len(points),
        )

    def _shown_shift(self, mesh: Surface) -> float:
        """Return the depth difference, true surface minus mesh, mm.

        It is the median over the pixels where both are visible, or without such pixels the difference of the mean
        depths.
        """
        corner = self.surface.V[np.unique(self.surface.F)].min(axis=0)
        difference = _depth_map(self.surface, corner) - _depth_map(mesh, corner)
        both = np.isfinite(difference)
        if not both.any():
            return float(self.points[:, 2].mean() - mesh.V[mesh.F].mean(axis=(0, 1))[2])
        return float(np.median(difference[both]))


def _depth_map(surface: Surface, corner: FloatArray) -> FloatArray:
    """Return the depth map (GRID_MM, GRID_MM) of a surface, one pixel per mm, NaN outside the surface.

    `corner` is the smallest x and y of the grid, mm.
    """
    return rasterize(surface.V - (corner[0], corner[1], 0.0), surface.F, None, (GRID_MM, GRID_MM)).depth


def face_triangles(mesh: FaceMesh) -> IntArray:
    """Return the triangles (m, 3) of a mesh in the face frame that belong to the face region."""
    regions = mesh.regions
    if "map" not in regions:  # mesh without the topology of the face model: it covers only the face region
        return mesh.faces
    skin = (regions["face"] & regions["map"])[mesh.faces].all(axis=1)
    eyes = (regions["eyeball_left"] | regions["eyeball_right"])[mesh.faces].all(axis=1)
    return mesh.faces[skin | (eyes & (face_normals(mesh.vertices, mesh.faces)[:, 2] > EYE_FRONT))]
