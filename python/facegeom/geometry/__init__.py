"""Operators on triangle meshes: arrays in, arrays out, computed by the native core."""

from facegeom.geometry.delaunay import delaunay
from facegeom.geometry.raster import Raster, rasterize

__all__ = ["Raster", "delaunay", "rasterize"]
