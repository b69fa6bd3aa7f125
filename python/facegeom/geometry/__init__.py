"""Operators on triangle meshes: arrays in, arrays out, computed by the native core."""

from facegeom.geometry.cleanup import Submesh, connected_components, remove_spikes
from facegeom.geometry.delaunay import delaunay
from facegeom.geometry.depth_mesh import DepthMesh, depth_to_mesh
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
    "DepthMesh",
    "MeshSolver",
    "NearestFinder",
    "Raster",
    "SparseMatrix",
    "Submesh",
    "connected_components",
    "cotangent_laplacian",
    "delaunay",
    "depth_to_mesh",
    "detail_displacement",
    "face_normals",
    "heat_smooth",
    "image_high_pass",
    "laplacian_smooth",
    "mass_matrix",
    "mean_curvature_normals",
    "nearest",
    "rasterize",
    "remove_spikes",
    "uniform_laplacian",
    "vertex_normals",
]
