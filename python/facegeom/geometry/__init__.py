"""Operators on triangle meshes: functions from arrays to arrays, computed by the compiled C++ core."""

from facegeom.geometry.alignment import AffineRegistration, register_affine
from facegeom.geometry.cleanup import Submesh, connected_components, remove_spikes
from facegeom.geometry.closest_point import ClosestPoints, closest_points
from facegeom.geometry.delaunay import delaunay
from facegeom.geometry.depth_mesh import DepthMesh, depth_to_mesh
from facegeom.geometry.displacement import detail_displacement, image_high_pass
from facegeom.geometry.interpolation import biharmonic_interpolation
from facegeom.geometry.laplacian import (
    SparseMatrix,
    cotangent_laplacian,
    mass_matrix,
    mean_curvature_normals,
    uniform_laplacian,
)
from facegeom.geometry.maps_mesh import MapsMesh, maps_to_mesh
from facegeom.geometry.nearest import NearestFinder, nearest
from facegeom.geometry.normals import face_normals, vertex_normals
from facegeom.geometry.raster import Raster, rasterize
from facegeom.geometry.registration import (
    Matches,
    Registration,
    RegistrationOptions,
    RegistrationStep,
    register_nonrigid,
)
from facegeom.geometry.smoothing import MeshSolver, heat_smooth, laplacian_smooth
from facegeom.geometry.subdivision import Subdivision, subdivide

__all__ = [
    "AffineRegistration",
    "ClosestPoints",
    "DepthMesh",
    "MapsMesh",
    "Matches",
    "MeshSolver",
    "NearestFinder",
    "Raster",
    "Registration",
    "RegistrationOptions",
    "RegistrationStep",
    "SparseMatrix",
    "Subdivision",
    "Submesh",
    "biharmonic_interpolation",
    "closest_points",
    "connected_components",
    "cotangent_laplacian",
    "delaunay",
    "depth_to_mesh",
    "detail_displacement",
    "face_normals",
    "heat_smooth",
    "image_high_pass",
    "laplacian_smooth",
    "maps_to_mesh",
    "mass_matrix",
    "mean_curvature_normals",
    "nearest",
    "rasterize",
    "register_affine",
    "register_nonrigid",
    "remove_spikes",
    "subdivide",
    "uniform_laplacian",
    "vertex_normals",
]
