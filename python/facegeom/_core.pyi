"""
Compiled core of facegeom; use facegeom.geometry, which checks the arguments.
"""
from __future__ import annotations
import numpy
import numpy.typing
import typing
__all__: list[str] = ['Matching', 'MeshSolver', 'PointTree', 'Registration', 'RegistrationOptions', 'RegistrationStep', 'StartAlignment', 'SubdivisionScheme', 'biharmonic_interpolation', 'closest_points', 'connected_components', 'cotangent_laplacian', 'delaunay', 'depth_to_mesh', 'displace_along_normals', 'displace_by_shading', 'face_normals', 'heat_smooth', 'laplacian_smooth', 'maps_to_mesh', 'mass_matrix', 'mean_curvature_normals', 'multiply', 'rasterize', 'register_affine', 'register_nonrigid', 'remove_spikes', 'subdivide', 'uniform_laplacian', 'vertex_normals']
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
class Matching:
    """
    Kind of correspondences.
    
    Members:
    
      surface
    
      vertex
    """
    __members__: typing.ClassVar[dict[str, Matching]]
    surface: typing.ClassVar[Matching]
    vertex: typing.ClassVar[Matching]
    @typing.overload
    def __eq__(self, other: Matching) -> bool:
        ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self) -> int:
        ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self) -> int:
        ...
    @typing.overload
    def __ne__(self, other: Matching) -> bool:
        ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
class StartAlignment:
    """
    Kind of map that aligns the template before the deformation.
    
    Members:
    
      none
    
      affine
    
      similarity
    
      rigid
    """
    __members__: typing.ClassVar[dict[str, StartAlignment]]
    affine: typing.ClassVar[StartAlignment]
    none: typing.ClassVar[StartAlignment]
    rigid: typing.ClassVar[StartAlignment]
    similarity: typing.ClassVar[StartAlignment]
    @typing.overload
    def __eq__(self, other: StartAlignment) -> bool:
        ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self) -> int:
        ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self) -> int:
        ...
    @typing.overload
    def __ne__(self, other: StartAlignment) -> bool:
        ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
class RegistrationOptions:
    """
    See geometry.RegistrationOptions.
    """
    alignment: StartAlignment
    matching: Matching
    def __init__(self) -> None:
        ...
    @property
    def inner_tolerance(self) -> float:
        ...
    @inner_tolerance.setter
    def inner_tolerance(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def least_reach(self) -> float:
        ...
    @least_reach.setter
    def least_reach(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def least_stiffness(self) -> float:
        ...
    @least_stiffness.setter
    def least_stiffness(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def max_angle(self) -> float:
        ...
    @max_angle.setter
    def max_angle(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def max_distance(self) -> float:
        ...
    @max_distance.setter
    def max_distance(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def max_iterations(self) -> int:
        ...
    @max_iterations.setter
    def max_iterations(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def max_samples(self) -> int:
        ...
    @max_samples.setter
    def max_samples(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def motion_tolerance(self) -> float:
        ...
    @motion_tolerance.setter
    def motion_tolerance(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def noise_floor(self) -> float:
        ...
    @noise_floor.setter
    def noise_floor(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def plane_weight(self) -> float:
        ...
    @plane_weight.setter
    def plane_weight(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def point_weight(self) -> float:
        ...
    @point_weight.setter
    def point_weight(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def reach(self) -> float:
        ...
    @reach.setter
    def reach(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def reach_decay(self) -> float:
        ...
    @reach_decay.setter
    def reach_decay(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def seed(self) -> int:
        ...
    @seed.setter
    def seed(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def solver_tolerance(self) -> float:
        ...
    @solver_tolerance.setter
    def solver_tolerance(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def stiffness(self) -> float:
        ...
    @stiffness.setter
    def stiffness(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def stiffness_unit(self) -> float:
        ...
    @stiffness_unit.setter
    def stiffness_unit(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def switch_matches(self) -> int:
        ...
    @switch_matches.setter
    def switch_matches(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class RegistrationStep:
    """
    One outer iteration.
    """
    @property
    def kind(self) -> int:
        ...
    @property
    def matches(self) -> int:
        ...
    @property
    def motion(self) -> float:
        ...
    @property
    def plane_energy(self) -> float:
        ...
    @property
    def point_energy(self) -> float:
        ...
    @property
    def solver_iterations(self) -> int:
        ...
    @property
    def stiffness(self) -> float:
        ...
    @property
    def thin_plate_energy(self) -> float:
        ...
class Registration:
    """
    Result of register_nonrigid.
    """
    @property
    def V(self) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
        ...
    @property
    def converged(self) -> bool:
        ...
    @property
    def history(self) -> list[RegistrationStep]:
        ...
    @property
    def kind(self) -> typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"]:
        ...
    @property
    def match(self) -> typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"]:
        ...
    @property
    def reason(self) -> str:
        ...
class MeshSolver:
    """
    Diffusion by implicit Euler steps on one mesh, factorised once.
    """
    def __init__(self, V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], time: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    def smooth(self, values: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]"]:
        """
        Diffuse values (n, k).
        """
class SubdivisionScheme:
    """
    Positions of the vertices that subdivide returns.
    
    Members:
    
      midpoint
    
      loop
    """
    __members__: typing.ClassVar[dict[str, SubdivisionScheme]]
    loop: typing.ClassVar[SubdivisionScheme]
    midpoint: typing.ClassVar[SubdivisionScheme]
    @typing.overload
    def __eq__(self, other: SubdivisionScheme) -> bool:
        ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self) -> int:
        ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self) -> int:
        ...
    @typing.overload
    def __ne__(self, other: SubdivisionScheme) -> bool:
        ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
def biharmonic_interpolation(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], values: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], weight: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], length: typing.SupportsFloat | typing.SupportsIndex, decay: typing.SupportsFloat | typing.SupportsIndex) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]"]:
    """
    Smooth interpolation of known values over the surface; returns (n, k).
    """
def closest_points(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], queries: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"]) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"]]:
    """
    Closest points on triangles; returns face (q,), weights (q, 3) and distance (q,).
    """
def connected_components(F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], vertex_count: typing.SupportsInt | typing.SupportsIndex) -> typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"]:
    """
    Label of the connected component of each triangle (m,).
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
    Mesh of the foreground of a depth map; returns V, F and pixel (n, 2).
    """
def displace_along_normals(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], signal: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], weight: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], gain: typing.SupportsFloat | typing.SupportsIndex, max_step: typing.SupportsFloat | typing.SupportsIndex) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Move vertices along their normals by the one-ring mean of a signal; returns (n, 3).
    """
def displace_by_shading(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], intensity: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], weight: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], time: typing.SupportsFloat | typing.SupportsIndex, gain: typing.SupportsFloat | typing.SupportsIndex, max_step: typing.SupportsFloat | typing.SupportsIndex, attenuate: bool) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Move vertices along their normals by the fine detail of an intensity; returns (n, 3).
    """
def face_normals(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Unit normals of triangles (m, 3).
    """
def heat_smooth(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], values: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], time: typing.SupportsFloat | typing.SupportsIndex, tolerance: typing.SupportsFloat | typing.SupportsIndex) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]"]:
    """
    Diffuse values (n, k) by one implicit Euler step.
    """
def laplacian_smooth(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], iterations: typing.SupportsInt | typing.SupportsIndex, step: typing.SupportsFloat | typing.SupportsIndex, fix_boundary: bool) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Uniform Laplacian smoothing; returns (n, 3).
    """
def maps_to_mesh(xyz: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], mask: typing.Annotated[numpy.typing.NDArray[numpy.bool], "[m, n]", "flags.c_contiguous"], embedding: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], max_edge: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"]]:
    """
    Mesh of the known pixels of a position map; returns V, F, E and pixel (n,).
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
def register_affine(P: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], Q: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], similarity: bool, iterations: typing.SupportsInt | typing.SupportsIndex, threshold: typing.SupportsFloat | typing.SupportsIndex, seed: typing.SupportsInt | typing.SupportsIndex, min_inliers: typing.SupportsInt | typing.SupportsIndex) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.bool], "[m, 1]"]]:
    """
    Alignment by RANSAC; returns linear (3, 3), shift (3,) and inlier (n,).
    """
def register_nonrigid(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], E: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], target_V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], target_F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], target_E: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, n]", "flags.c_contiguous"], options: RegistrationOptions, landmark_vertex: typing.Annotated[numpy.typing.ArrayLike, numpy.int64, "[m, 1]"], landmark_place: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], landmark_weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float64, "[m, 1]"], weights: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"], progress: typing.Any) -> Registration:
    """
    Non-rigid registration of a template to a target.
    """
def remove_spikes(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], area_factor: typing.SupportsFloat | typing.SupportsIndex, edge_factor: typing.SupportsFloat | typing.SupportsIndex, min_component: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 1]"]]:
    """
    Remove outlying triangles and small components; returns V, F and the kept vertices.
    """
def subdivide(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], scheme: SubdivisionScheme) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]"], typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 2]"]]:
    """
    Divide every triangle into four; returns V, F and the parents of each vertex.
    """
def uniform_laplacian(F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"], n: typing.SupportsInt | typing.SupportsIndex) -> tuple[typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.int32], "[m, 1]"], typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 1]"]]:
    """
    Graph Laplacian; returns indptr, indices, data.
    """
def vertex_normals(V: typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]", "flags.c_contiguous"], F: typing.Annotated[numpy.typing.NDArray[numpy.int64], "[m, 3]", "flags.c_contiguous"]) -> typing.Annotated[numpy.typing.NDArray[numpy.float64], "[m, 3]"]:
    """
    Area-weighted unit normals of vertices (n, 3).
    """
