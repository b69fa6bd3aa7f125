"""
facegeom's native core; use facegeom.geometry, which checks its input.
"""
from __future__ import annotations
import numpy
import numpy.typing
import typing
__all__: list[str] = ['MeshSolver', 'PointTree', 'connected_components', 'cotangent_laplacian', 'delaunay', 'depth_to_mesh', 'displace_along_normals', 'face_normals', 'heat_smooth', 'laplacian_smooth', 'mass_matrix', 'mean_curvature_normals', 'multiply', 'rasterize', 'remove_spikes', 'uniform_laplacian', 'vertex_normals']
class PointTree:
    """
    k-d tree for exact nearest neighbours.
    """
    def __init__(self, points: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"]) -> None:
        ...
    def nearest(self, queries: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"]) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"]]:
        """
        Index (q,) and distance (q,) of the nearest point.
        """
class MeshSolver:
    """
    Implicit diffusion on one mesh, factorised once.
    """
    def __init__(self, V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], time: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    def smooth(self, values: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]"]:
        """
        Diffuse values (n, k).
        """
def connected_components(F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], vertex_count: typing.SupportsInt | typing.SupportsIndex) -> typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"]:
    """
    Component label of each triangle, (m,).
    """
def cotangent_laplacian(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"]) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"]]:
    """
    Cotangent Laplacian; returns indptr, indices, data.
    """
def delaunay(points: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 2]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]"]:
    """
    Planar Delaunay triangulation; returns triangles (m, 3).
    """
def depth_to_mesh(depth: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], mask: typing.Annotated[numpy.typing.NDArray[numpy.bool], "[m, n]", "flags.c_contiguous"], scale: typing.SupportsFloat | typing.SupportsIndex, origin_x: typing.SupportsFloat | typing.SupportsIndex, origin_y: typing.SupportsFloat | typing.SupportsIndex, vertex_count: typing.SupportsInt | typing.SupportsIndex, background: bool) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 2]"]]:
    """
    Evenly sampled mesh of a depth map's foreground; returns V, F and pixel (n, 2).
    """
def displace_along_normals(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], signal: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], weight: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], gain: typing.SupportsFloat | typing.SupportsIndex, max_step: typing.SupportsFloat | typing.SupportsIndex) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Move vertices along their normals by the one-ring mean of a signal; returns (n, 3).
    """
def face_normals(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Unit normals of triangles (m, 3).
    """
def heat_smooth(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], values: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], time: typing.SupportsFloat | typing.SupportsIndex, tolerance: typing.SupportsFloat | typing.SupportsIndex) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]"]:
    """
    One implicit step of diffusion of values (n, k).
    """
def laplacian_smooth(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], iterations: typing.SupportsInt | typing.SupportsIndex, step: typing.SupportsFloat | typing.SupportsIndex, fix_boundary: bool) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Uniform Laplacian smoothing; returns (n, 3).
    """
def mass_matrix(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"]:
    """
    Mixed Voronoi areas (n,).
    """
def mean_curvature_normals(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Mean curvature normals (n, 3).
    """
def multiply(indptr: typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"], indices: typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"], data: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], x: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]"]:
    """
    Product of a matrix in compressed rows with the columns of x.
    """
def rasterize(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], attributes: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], height: typing.SupportsInt | typing.SupportsIndex, width: typing.SupportsInt | typing.SupportsIndex) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"]]:
    """
    Z-buffer rasterisation; returns attributes (h*w, k), depth (h*w,) and triangle (h*w,).
    """
def remove_spikes(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], area_factor: typing.SupportsFloat | typing.SupportsIndex, edge_factor: typing.SupportsFloat | typing.SupportsIndex, min_component: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"]]:
    """
    Removes outlying triangles and small components; returns V, F and the kept vertices.
    """
def uniform_laplacian(F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], n: typing.SupportsInt | typing.SupportsIndex) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"]]:
    """
    Graph Laplacian; returns indptr, indices, data.
    """
def vertex_normals(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Area-weighted unit normals of vertices (n, 3).
    """
