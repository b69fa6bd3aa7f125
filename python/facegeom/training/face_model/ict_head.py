"""The ICT FaceKit head as facegeom reads it: in millimetres, in the face frame, with its mirror.

The file is `ict_face_model.npz` (ICT FaceKit Light as arrays, MIT): centimetres, y up, the face
toward +z.  Everything here is in facegeom's frame: origin midway between the eyeball centres of
the neutral head, scaled so that these are 63 mm apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from facegeom._internal.arrays import Float32Array, FloatArray, IntArray

EYE_DISTANCE = 63.0  # mm between the eyeball centres of the mean head; fixes the scale


@dataclass(frozen=True)
class IctHead:
    """ICT FaceKit's head in the face frame, millimetres."""

    vertices: FloatArray  # (n, 3) neutral
    triangles: IntArray  # (m, 3), counter-clockwise from outside
    identity: Float32Array  # (100, n, 3) displacement per unit sigma
    expression: Float32Array  # (e, n, 3) displacement at weight 1
    expression_names: tuple[str, ...]
    landmarks68: IntArray  # (68,) Multi-PIE vertex ids
    parts: dict[str, tuple[int, int]]  # part name -> vertex range [from, to)
    mirror: IntArray  # (n,) vertex at the mirrored place; parts without a twin map to themselves

    def part_faces(self, *names: str) -> IntArray:
        """Return the triangles, (k, 3), whose three corners all lie in the named parts."""
        inside = np.zeros(len(self.vertices), dtype=bool)
        for name in names:
            inside[slice(*self.parts[name])] = True
        return self.triangles[inside[self.triangles].all(axis=1)]

    def sample(self, identity: FloatArray, expression: FloatArray | None = None) -> FloatArray:
        """Return the head, (n, 3) mm, of 100 identity and e expression coefficients."""
        head = self.vertices + np.tensordot(identity.astype(np.float32), self.identity, axes=1)
        if expression is not None:
            head = head + np.tensordot(expression.astype(np.float32), self.expression, axes=1)
        return np.asarray(head, dtype=np.float64)


def load_ict(path: str | Path) -> IctHead:
    """Read `ict_face_model.npz` and move it into the face frame.

    Parameters
    ----------
    path : str or Path
        ICT FaceKit Light as arrays, see the module's docstring.

    Returns
    -------
    IctHead
        In millimetres, 63 mm between the eyeball centres.
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


def _ball_centre(points: FloatArray) -> FloatArray:
    """Return the middle of the points' bounding box: the centre of a ball, however it is sampled."""
    return np.asarray(0.5 * (points.min(axis=0) + points.max(axis=0)))


def _mirror(vertices: FloatArray, parts: dict[str, tuple[int, int]]) -> IntArray:
    """Return for each vertex the one of its twin part nearest to its mirror image."""
    mirror = np.arange(len(vertices))
    for name, (start, stop) in parts.items():
        if name == "face_narrow":  # a prefix of "face"
            continue
        twin = name.replace("_left", "_@").replace("_right", "_left").replace("_@", "_right")
        first, last = parts[twin]
        image = vertices[start:stop] * np.array([-1.0, 1.0, 1.0])
        mirror[start:stop] = first + cKDTree(vertices[first:last]).query(image)[1]
    return mirror
