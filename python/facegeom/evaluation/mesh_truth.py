"""The true surface of a photographed face, and how far a pipeline's mesh lies from it.

Where a mesh lies in the photo counts: pixels become millimetres by the true camera, for predicted meshes too, so that
neither a person's size, which no photo shows, nor anything else is aligned but the mean depth.

That is taken over all of both surfaces. A mesh of what the photo shows has no far side, which pulls its mean forward
and spoils every distance, so that all meshes are measured a second time with the depth set by what both surfaces show
to the camera at the same place (the median difference). For complete meshes the two differ little.

Face region: that of the ground truth of `facegeom.training.meshes.samples`, the skin that depth maps show and the front
of the eyeballs. Of a mesh of the face model's topology the same region counts, of others all of it. A predicted point
that lies on the rest of the true head (ears, scalp, neck), nearer to it than to the region and within 5 mm, is left out
for every pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.face_model.face_region import EYE_FRONT, face_region
from facegeom.face_model.fitting import Fit
from facegeom.geometry import NearestFinder, face_normals, rasterize
from facegeom.images.camera import Camera
from facegeom.measures.mesh_metrics import EMD_POINTS, cloud_distances, earth_movers_distance, sample_surface
from facegeom.mesh.face_mesh import FaceMesh

POINTS = 60_000
"""Points by area on either surface, as many as in the Pixel2Mesh paper's ground truth."""

TAUS = (2.0, 4.0)
"""mm, of the F-scores."""

GRID_MM = 250
"""Side of the square in which depths are compared; no face is larger."""

ELSEWHERE_MM = 5.0
"""A predicted point this near to the rest of the head, and farther from the face region, is not of the face."""


class Surface(NamedTuple):
    """A mesh in the true camera's frame: V (n, 3) mm, z from any origin, and F (m, 3)."""

    V: FloatArray
    F: IntArray


@dataclass(frozen=True)
class MeshScore:
    """How far a mesh lies from the truth.

    Attributes
    ----------
    chamfer : mm, mean distance to the truth plus mean distance from it
    chamfer_squared : mm^2, likewise of squared distances
    emd, emd_floor : mm, earth mover's distance to the truth, and between two samplings of the truth
    f_score : tau in mm -> in [0, 1]
    chamfer_shown, f_score_shown : the same with the depth set by what both surfaces show
    left_out : share of the mesh's points that lie on another part of the head
    """

    chamfer: float
    chamfer_squared: float
    emd: float
    emd_floor: float
    f_score: dict[float, float]
    chamfer_shown: float
    f_score_shown: dict[float, float]
    left_out: float


class Truth:
    """The surface that a photo shows.

    Parameters
    ----------
    model : FaceModel
    fit : Fit, in pixels of the photo
    seed : of the points; each photo should have its own, so that the chance in them is averaged out over photos (1,024
        points of the same surface lie 6 to 9 mm from each other by the earth mover's distance)
    """

    def __init__(self, model: FaceModel, fit: Fit, seed: int = 0) -> None:
        self.camera = Camera(fit.rotation, fit.scale, fit.translation)
        fitted = fit.vertices(model)
        self.surface = Surface(self.camera.view(fitted), face_region(model))
        self.points = sample_surface(*self.surface, POINTS, seed=seed).points
        rest = np.asarray(model.regions["head"][model.faces].all(axis=1))
        rest[: model.face_triangle_count] &= ~model.regions["map"][model.faces[: model.face_triangle_count]].all(axis=1)
        self._sample, other = self.points[:EMD_POINTS], self.points[EMD_POINTS : 2 * EMD_POINTS]
        self._seed = seed + 1  # of the meshes' points
        self._emd_floor = earth_movers_distance(other, self._sample)
        self._region = NearestFinder(self.points)
        self._rest = NearestFinder(sample_surface(self.surface.V, model.faces[rest], POINTS).points)

    def place(self, V: FloatArray, F: IntArray, camera: Camera) -> Surface:
        """Return a mesh (n, 3), mm in the frame of `camera`'s face, in the true camera's frame."""
        across = (camera.project(V) - self.camera.translation) / (self.camera.scale, -self.camera.scale)
        return Surface(np.column_stack([across, camera.view(V)[:, 2] * (camera.scale / self.camera.scale)]), F)

    def score(self, mesh: Surface) -> MeshScore:
        """Measure a mesh."""
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
            {tau: whole.f_score(tau) for tau in TAUS},
            front.chamfer_mean,
            {tau: front.f_score(tau) for tau in TAUS},
            1.0 - len(shown) / len(points),
        )

    def _shown_shift(self, mesh: Surface) -> float:
        """Return how far the truth lies before the mesh, mm: the median where both are seen, else by all of both."""
        corner = self.surface.V[np.unique(self.surface.F)].min(axis=0)
        difference = _depth_map(self.surface, corner) - _depth_map(mesh, corner)
        both = np.isfinite(difference)
        if not both.any():
            return float(self.points[:, 2].mean() - mesh.V[mesh.F].mean(axis=(0, 1))[2])
        return float(np.median(difference[both]))


def _depth_map(surface: Surface, corner: FloatArray) -> FloatArray:
    """Return the depth of a surface, NaN beside it, at a grid of 1 mm from `corner` to the right and up."""
    return rasterize(surface.V - (corner[0], corner[1], 0.0), surface.F, None, (GRID_MM, GRID_MM)).depth


def face_triangles(mesh: FaceMesh) -> IntArray:
    """Return the triangles (m, 3) of a pipeline's mesh, in the face's frame, that count as face region."""
    regions = mesh.regions
    if "map" not in regions:  # a topology of its own, made for this region
        return mesh.faces
    skin = (regions["face"] & regions["map"])[mesh.faces].all(axis=1)
    eyes = (regions["eyeball_left"] | regions["eyeball_right"])[mesh.faces].all(axis=1)
    return mesh.faces[skin | (eyes & (face_normals(mesh.vertices, mesh.faces)[:, 2] > EYE_FRONT))]
