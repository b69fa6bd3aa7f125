"""The mesh that graph networks deform: a semi-sphere of 141 vertices with a hole at the mouth, and its refinements.

Liu et al., Pixel2Mesh for 3D Face Reconstruction, section 3.1.3. The paper's mesh was drawn in Blender and is not to be
had; it gives 141 vertices at the start and 7,008 at the end, and 210 triangles go with these only where the Euler
characteristic is 0: a disk with one hole, 351 edges, 72 of them on the two boundaries. (A plain disk ends at 7,001.)
The hole is taken to be the mouth. The connectivity is one that facegeom chose among several, see
`facegeom.training.meshes.semi_sphere_layout`; weights of networks are for it alone, so it lies in a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.face_region import face_region, mean_depth

_Scalar = TypeVar("_Scalar", bound=np.generic)

CROP_FACTOR = 1.1
"""Side of a crop over the longer side of the face (Liu et al.)."""

SUBDIVISIONS = 3
FILE = Path(__file__).with_name("semi_sphere.npz")


@dataclass(frozen=True, eq=False)
class Level:
    """The connectivity of one refinement.

    Attributes
    ----------
    count : number n of vertices
    faces : (m, 3) int64 array, counter-clockwise from the camera
    edges : (e, 2) int64 array, ascending by their lower and then their higher end
    parents : (n, 2) int64 array
        The two vertices of the coarser level between which a vertex lies; an old vertex is both of its own, and the new
        ones are in the order of the coarser level's edges. Of the coarsest level: every vertex is its own.
    """

    count: int
    faces: IntArray = field(repr=False)
    edges: IntArray = field(repr=False)
    parents: IntArray = field(repr=False)


@dataclass(frozen=True, eq=False)
class SemiSphere:
    """The start of a deformation.

    Attributes
    ----------
    vertices : (141, 3) float array
        In the frame of a crop of `CROP_FACTOR` times the face: the crop's side is 2, x to the image's right, y up, z to
        the camera from the surface's mean depth. An ellipsoidal cap about where a frontal face lies.
    levels : four of `Level`
        141, 492, 1,824 and 7,008 vertices; 210, 840, 3,360 and 13,440 triangles.
    fine : (7008, 3) float array, its vertices refined at the edges' middles
    uv : (7008, 2) float array in [0, 1]
        Texture coordinates of the finest level, v up: `fine` seen from the front.
    """

    vertices: FloatArray = field(repr=False)
    levels: tuple[Level, ...]
    fine: FloatArray = field(repr=False)
    uv: FloatArray = field(repr=False)


@lru_cache(maxsize=1)
def semi_sphere() -> SemiSphere:
    """Return the semi-sphere with its three midpoint refinements: the same object at every call, arrays read-only.

    Examples
    --------
    >>> [(level.count, len(level.faces), len(level.edges)) for level in semi_sphere().levels]
    [(141, 210, 351), (492, 840, 1332), (1824, 3360, 5184), (7008, 13440, 20448)]
    """
    with np.load(FILE) as data:
        vertices, faces = data["vertices"], data["faces"]
    return build_semi_sphere(vertices, faces)


def build_semi_sphere(V: npt.ArrayLike, F: npt.ArrayLike) -> SemiSphere:
    """Return a start mesh with its refinements.

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
    return SemiSphere(_frozen(V), tuple(levels), _frozen(fine), _frozen(plane / plane.max(axis=0)))


@lru_cache(maxsize=1)
def mirror_images() -> tuple[IntArray, ...]:
    """Return which vertex of each level is the mirror image of each, (n,) int64 arrays."""
    sphere = semi_sphere()
    levels = (sphere.fine[: level.count] for level in sphere.levels)  # a refinement keeps the vertices and adds to them
    return tuple(_frozen(geometry.nearest(V, V * (-1, 1, 1))[0]) for V in levels)


@lru_cache(maxsize=1)
def mean_landmarks() -> FloatArray:
    """Return the 68 landmarks (68, 3) of the mean face in the semi-sphere's frame."""
    model = load_face_model()
    return _frozen(in_sphere_frame(model, model.mean[model.landmarks68]))


def in_sphere_frame(model: FaceModel, points: FloatArray) -> FloatArray:
    """Return points (k, 3) of the mean face, mm, in the semi-sphere's frame."""
    face = model.mean[np.unique(face_region(model))]
    low, high = face.min(axis=0), face.max(axis=0)
    half = 0.5 * CROP_FACTOR * (high - low)[:2].max()
    centre = [*0.5 * (low + high)[:2], mean_depth(model, model.mean)]
    return np.asarray((points - centre) / half)


@lru_cache(maxsize=1)
def mean_face() -> FloatArray:
    """Return the finest level's vertices (7008, 3) on the mean face, in the semi-sphere's frame.

    Where they lie on a face is said in `facegeom.training.meshes.semi_sphere_truth`, from which the file is made.
    """
    with np.load(FILE) as data:
        return _frozen(data["mean"].astype(np.float64))


def triangle_angles(V: npt.ArrayLike, F: npt.ArrayLike) -> FloatArray:
    """Return the (m, 3) angles of triangles at their corners, in degrees.

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
    ahead, behind = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    across = np.linalg.norm(np.cross(ahead, behind), axis=2)
    return np.asarray(np.degrees(np.arctan2(across, (ahead * behind).sum(axis=2))))


def _level(count: int, faces: IntArray, parents: IntArray) -> Level:
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(sides, axis=1), axis=0)
    return Level(count, _frozen(faces), _frozen(edges), _frozen(parents))


def _frozen(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
