"""Operators on triangle meshes: arrays in, arrays out, computed by the native core."""

from facegeom.geometry.cleanup import Submesh, connected_components, remove_spikes
from facegeom.geometry.delaunay import delaunay
from facegeom.geometry.depth_mesh import DepthMesh, depth_to_mesh
from facegeom.geometry.raster import Raster, rasterize

__all__ = [
    "DepthMesh",
    "Raster",
    "Submesh",
    "connected_components",
    "delaunay",
    "depth_to_mesh",
    "rasterize",
    "remove_spikes",
]
