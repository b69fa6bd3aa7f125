"""The mesh that graph networks deform: a semi-sphere of 141 vertices with a hole at the mouth, and its refinements.

Liu et al., Pixel2Mesh for 3D Face Reconstruction, section 3.1.3. The paper's mesh was made in Blender and is not
available. The paper gives 141 vertices at the start, 7,008 at the end and 210 triangles. These numbers are consistent
only with Euler characteristic 0: a disk with one hole, with 351 edges, 72 of them on the two boundaries. (A disk
without a hole would end at 7,001 vertices.) The hole is assumed to be the mouth. The triangles were selected by
facegeom from several candidates, see `facegeom.training.meshes.semi_sphere_layout`. Trained weights are valid for these
triangles only, so they are stored in a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.face_region import face_region, mean_depth

_Scalar = TypeVar("_Scalar", bound=np.generic)

CROP_FACTOR = 1.1
"""Side length of a crop divided by the longer side of the bounding box of the face (Liu et al.)."""

SUBDIVISIONS = 3  # number of refinements
FILE = Path(__file__).with_name("semi_sphere.npz")


@dataclass(frozen=True, eq=False)
class Level:
    """The connectivity of one refinement level.

    Attributes
    ----------
    count : int, number n of vertices
    faces : (m, 3) int64 array, counter-clockwise when viewed from the camera
    edges : (e, 2) int64 array, sorted by their lower and then their higher vertex index
    parents : (n, 2) int64 array
        For a new vertex, the two end vertices of the edge of the coarser level on which the new vertex lies. New
        vertices are in the order of the edges of the coarser level. For a vertex that also exists in the coarser level,
        and for all vertices of the coarsest level: the index of the vertex itself, twice.
    """

    count: int
    faces: IntArray = field(repr=False)
    edges: IntArray = field(repr=False)
    parents: IntArray = field(repr=False)


@dataclass(frozen=True, eq=False)
class SemiSphere:
    """The start mesh of the deformation, with its refinements.

    Attributes
    ----------
    vertices : (141, 3) float array
        An ellipsoidal cap that approximates a frontal face, in the frame of a crop whose side is `CROP_FACTOR` times
        the longer side of the face. In this frame, the side of the crop has length 2: x to the right of the image, y
        up, z towards the camera, z = 0 at the mean depth of the surface.
    levels : tuple of four Level
        141, 492, 1,824 and 7,008 vertices; 210, 840, 3,360 and 13,440 triangles.
    fine : (7008, 3) float array
        Vertices of the finest level, refined at the midpoints of edges.
    uv : (7008, 2) float array in [0, 1]
        Texture coordinates of the finest level, v up: the frontal projection of `fine`.
    """

    vertices: FloatArray = field(repr=False)
    levels: tuple[Level, ...]
    fine: FloatArray = field(repr=False)
    uv: FloatArray = field(repr=False)


@load_once(maxsize=1)
def semi_sphere() -> SemiSphere:
    """Return the semi-sphere with its three midpoint refinements; always the same object, with read-only arrays.

    Examples
    --------
    >>> [(level.count, len(level.faces), len(level.edges)) for level in semi_sphere().levels]
    [(141, 210, 351), (492, 840, 1332), (1824, 3360, 5184), (7008, 13440, 20448)]
    """
    with np.load(FILE) as data:
        vertices, faces = data["vertices"], data["faces"]
    return build_semi_sphere(vertices, faces)


def build_semi_sphere(V: npt.ArrayLike, F: npt.ArrayLike) -> SemiSphere:
    """Return a start mesh with its three midpoint refinements.

    Parameters
    ----------
    V : (n, 3) float array, crop frame
    F : (m, 3) int array
    """
    V, F = check.mesh(V, F)
    fine, faces = V, F
    parents = np.repeat(np.arange(len(V))[:, None], 2, axis=1)
    levels = [_level(len(V), faces, parents)]
    for _ in range(SUBDIVISIONS):
        fine, faces, parents = geometry.subdivide(fine, faces, "midpoint")
        levels.append(_level(len(fine), faces, parents))
    plane = fine[:, :2] - fine[:, :2].min(axis=0)
    return SemiSphere(_read_only(V), tuple(levels), _read_only(fine), _read_only(plane / plane.max(axis=0)))


@load_once(maxsize=1)
def mirror_images() -> tuple[IntArray, ...]:
    """Return for each level the index (n,) of the mirror image of each vertex (x negated), int64 arrays."""
    sphere = semi_sphere()
    levels = (sphere.fine[: level.count] for level in sphere.levels)  # a refinement only appends vertices
    return tuple(_read_only(geometry.nearest(V, V * (-1, 1, 1))[0]) for V in levels)


@load_once(maxsize=1)
def mean_landmarks() -> FloatArray:
    """Return the 68 landmarks (68, 3) of the mean face in the semi-sphere's frame."""
    model = load_face_model()
    return _read_only(in_sphere_frame(model, model.mean[model.landmarks68]))


def in_sphere_frame(model: FaceModel, points: FloatArray) -> FloatArray:
    """Transform points (k, 3) on the mean face from the face frame, mm, to the semi-sphere's frame."""
    face = model.mean[np.unique(face_region(model))]
    low, high = face.min(axis=0), face.max(axis=0)
    half = 0.5 * CROP_FACTOR * (high - low)[:2].max()
    centre = [*0.5 * (low + high)[:2], mean_depth(model, model.mean)]
    return np.asarray((points - centre) / half)


@load_once(maxsize=1)
def mean_face() -> FloatArray:
    """Return the vertices (7008, 3) of the finest level on the mean face, in the semi-sphere's frame.

    `facegeom.training.meshes.semi_sphere_truth` defines the position of each vertex on a face and wrote the file.
    """
    with np.load(FILE) as data:
        return _read_only(data["mean"].astype(np.float64))


def neighbour_rows(level: Level) -> IntArray:
    """Return the neighbours of each vertex of a level, (k, n + 1), where k is the largest number of neighbours.

    Row j is the j-th neighbour of each vertex, in ascending order; n, the index of a vertex that does not exist, where
    a vertex has fewer neighbours. The last column is that of vertex n, which has none. Sums over neighbours are sums of
    gathered rows in this form, which is the fastest in ONNX Runtime.
    """
    ends = np.concatenate([level.edges, level.edges[:, ::-1]])
    ends = ends[np.lexsort((ends[:, 1], ends[:, 0]))]
    degree = np.bincount(ends[:, 0], minlength=level.count)
    place = np.arange(len(ends)) - np.repeat(np.cumsum(degree) - degree, degree)
    rows = np.full((int(degree.max()), level.count + 1), level.count)
    rows[place, ends[:, 0]] = ends[:, 1]
    return rows


def triangle_angles(V: npt.ArrayLike, F: npt.ArrayLike) -> FloatArray:
    """Return the angles (m, 3) of triangles at their corners, in degrees.

    Parameters
    ----------
    V : (n, 3) float array
    F : (m, 3) int array

    Examples
    --------
    >>> triangle_angles([[0, 0, 0], [2, 0, 0], [0, 2, 0]], [[0, 1, 2]]).round(6)
    array([[90., 45., 45.]])
    """
    V, F = check.mesh(V, F)
    corners = V[F]
    to_next, to_previous = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    sine = np.linalg.norm(np.cross(to_next, to_previous), axis=2)  # sine and cosine are scaled by the edge lengths
    cosine = (to_next * to_previous).sum(axis=2)
    return np.asarray(np.degrees(np.arctan2(sine, cosine)))


def _level(count: int, faces: IntArray, parents: IntArray) -> Level:
    """Return a level with the edges of its triangles."""
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(sides, axis=1), axis=0)
    return Level(count, _read_only(faces), _read_only(edges), _read_only(parents))


def _read_only(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Return the array as a read-only contiguous array."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
