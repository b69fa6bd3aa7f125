"""The ICT FaceKit head, converted to millimetres and to the face frame.

The file `ict_face_model.npz` contains ICT FaceKit Light (MIT licence) as arrays, in centimetres, with y up and the face
towards +z. In the face frame the origin is the midpoint between the eyeball centres of the neutral head. The scale is
chosen so that the eyeball centres are 63 mm apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from facegeom._internal.arrays import Float32Array, FloatArray, IntArray
from facegeom.face_model.model import MODEL_FILE

EYE_DISTANCE = 63.0  # distance between the eyeball centres of the neutral head, mm; defines the scale


@dataclass(frozen=True)
class IctHead:
    """The ICT FaceKit head in the face frame, in millimetres."""

    vertices: FloatArray  # (n, 3) vertices of the neutral head
    triangles: IntArray  # (m, 3), counter-clockwise from outside
    identity: Float32Array  # (100, n, 3) displacement per standard deviation
    expression: Float32Array  # (e, n, 3) displacement at weight 1
    expression_names: tuple[str, ...]
    landmarks68: IntArray  # (68,) vertices of the Multi-PIE landmarks
    parts: dict[str, tuple[int, int]]  # part name -> range of vertices [first, last)
    mirror: IntArray  # (n,) symmetric counterpart of each vertex

    def part_faces(self, *names: str) -> IntArray:
        """Return the triangles, (k, 3), with all three corners in the named parts."""
        inside = np.zeros(len(self.vertices), dtype=bool)
        for name in names:
            inside[slice(*self.parts[name])] = True
        return self.triangles[inside[self.triangles].all(axis=1)]

    def sample(self, identity: FloatArray, expression: FloatArray | None = None) -> FloatArray:
        """Return the vertices of a head, (n, 3) mm.

        Parameters
        ----------
        identity : (100,) float array
            Identity coefficients in standard deviations.
        expression : (e,) float array, optional
            Weights of the expressions.
        """
        head = self.vertices + np.tensordot(identity.astype(np.float32), self.identity, axes=1)
        if expression is not None:
            head = head + np.tensordot(expression.astype(np.float32), self.expression, axes=1)
        return np.asarray(head, dtype=np.float64)


def load_ict(path: str | Path) -> IctHead:
    """Read the ICT head and convert it to the face frame.

    Parameters
    ----------
    path : str or Path
        Path of `ict_face_model.npz`, ICT FaceKit Light as arrays.

    Returns
    -------
    IctHead
    """
    with np.load(Path(path)) as data:
        vertices = data["vertices"].astype(np.float64)
        triangles = data["triangles"].astype(np.int64)
        identity = data["identity"].astype(np.float32)
        expression = data["expression"].astype(np.float32)
        names = tuple(str(name) for name in data["expression_names"])
        landmarks = data["landmarks68"].astype(np.int64)
        parts = {
            str(name): (int(start), int(stop))
            for name, (start, stop) in zip(data["part_names"], data["part_ranges"], strict=True)
        }
    centres = [_ball_centre(vertices[slice(*parts[f"eyeball_{side}"])]) for side in ("left", "right")]
    scale = EYE_DISTANCE / float(np.linalg.norm(centres[0] - centres[1]))
    vertices = (vertices - 0.5 * (centres[0] + centres[1])) * scale
    return IctHead(
        vertices=vertices,
        triangles=triangles,
        identity=identity * np.float32(scale),
        expression=expression * np.float32(scale),
        expression_names=names,
        landmarks68=landmarks,
        parts=parts,
        mirror=_mirror(vertices, parts),
    )


def carriers(path: str | Path = MODEL_FILE) -> tuple[IntArray, FloatArray]:
    """Return where the vertices of a face model lie on the ICT head.

    Parameters
    ----------
    path : str or Path
        File of the face model.

    Returns
    -------
    triangles : (n, 3) int array, ICT vertices of the triangle on which each vertex lies
    weights : (n, 3) float array, barycentric coordinates in this triangle
    """
    with np.load(Path(path)) as data:
        return data["carrier"].astype(np.int64), data["carrier_weight"].astype(np.float64)


def _ball_centre(points: FloatArray) -> FloatArray:
    """Return the centre of the bounding box of points: the centre of a sphere, even if unevenly sampled."""
    return np.asarray(0.5 * (points.min(axis=0) + points.max(axis=0)))


def _mirror(vertices: FloatArray, parts: dict[str, tuple[int, int]]) -> IntArray:
    """Return for each vertex the vertex of the symmetric part nearest to its mirror image, (n,) int array."""
    mirror = np.arange(len(vertices))
    for name, (start, stop) in parts.items():
        if name == "face_narrow":  # the vertices of "face_narrow" are the first vertices of "face"
            continue
        twin = name.replace("_left", "_@").replace("_right", "_left").replace("_@", "_right")
        first, last = parts[twin]
        image = vertices[start:stop] * np.array([-1.0, 1.0, 1.0])
        mirror[start:stop] = first + cKDTree(vertices[first:last]).query(image)[1]
    return mirror
