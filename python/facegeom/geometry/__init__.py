"""Operators on triangle meshes: arrays in, arrays out, computed by the native core."""

from facegeom.geometry.displacement import detail_displacement, image_high_pass
from facegeom.geometry.laplacian import (
    SparseMatrix,
    cotangent_laplacian,
    mass_matrix,
    mean_curvature_normals,
    uniform_laplacian,
)
from facegeom.geometry.nearest import NearestFinder, nearest
from facegeom.geometry.normals import face_normals, vertex_normals
from facegeom.geometry.raster import Raster, rasterize
from facegeom.geometry.smoothing import MeshSolver, heat_smooth, laplacian_smooth

__all__ = [
    "MeshSolver",
    "NearestFinder",
    "Raster",
    "SparseMatrix",
    "cotangent_laplacian",
    "detail_displacement",
    "face_normals",
    "heat_smooth",
    "image_high_pass",
    "laplacian_smooth",
    "mass_matrix",
    "mean_curvature_normals",
    "nearest",
    "rasterize",
    "uniform_laplacian",
    "vertex_normals",
]
