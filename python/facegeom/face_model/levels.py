"""Levels of detail of a head: its vertices and triangles at three resolutions.

Level 0 is the fine template, level 1 the coarse template, level 2 a reduced one (`facegeom prepare level`). The
vertices of each level are vertices of level 0, so that all people have the same topology at each level, and that
blendshapes, colours and regions are those of level 0 at these vertices.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import BoolArray, Float32Array, IntArray
from facegeom._internal.threads import load_once
from facegeom.errors import FacegeomError
from facegeom.face_model.template import load_template
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.mesh.parts import sphere_centre

LEVEL_FILE = Path(__file__).parent / "level2.npz"
LEVELS = (0, 1, 2)

BLINK_MM = (0.0, 0.1, 0.7)
"""Distance in mm by which closed lids are farther from the eyeball than those of level 0, at each level."""

WHOLE_MM = 4.0
"""Displacement in mm by a blink at which this distance is whole."""


class Level(NamedTuple):
    """A resolution of the head's template.

    Attributes
    ----------
    vertices : (n,) int array, ascending rows of the fine template
    faces : (m, 3) int array, rows of `vertices`
    uv_faces : (m, 3) int array, rows of the texture coordinates of the fine template
    """

    vertices: IntArray
    faces: IntArray
    uv_faces: IntArray


@load_once(maxsize=3)
def level(number: int) -> Level:
    """Return a level of detail of the head's template.

    Parameters
    ----------
    number : 0 (39,278 vertices), 1 (11,948) or 2 (about 4,000)

    Raises
    ------
    ValueError
        If there is no such level.

    Examples
    --------
    >>> [len(level(number).vertices) for number in (0, 1)]
    [39278, 11948]
    """
    if number not in LEVELS:
        raise ValueError(f"lod must be 0, 1 or 2, got {number!r}")
    template = load_template(head=True)
    coarse, fine = template.coarse, template.fine
    if number == 0:
        return Level(np.arange(len(fine.mirror)), fine.faces, fine.uv_faces)
    rows = np.r_[0 : coarse.skin_count, fine.skin_count : len(fine.mirror)]
    uv_rows = _fine_coordinates()
    if number == 1:
        return Level(rows, coarse.faces, uv_rows[coarse.uv_faces])
    with np.load(LEVEL_FILE, allow_pickle=False) as arrays:
        vertices, faces, uv_faces = (arrays[name].astype(np.int64) for name in ("vertices", "faces", "uv_faces"))
    return Level(rows[vertices], faces, uv_rows[uv_faces])


def _fine_coordinates() -> IntArray:
    """Return the row of the fine template for each texture coordinate of the coarse template, (k,).

    The skin comes first in both, see `Topology`; the coordinates behind the skin have the same places in uv.
    """
    template = load_template(head=True)
    coarse, fine = template.coarse, template.fine
    rows = np.arange(len(coarse.uv))
    behind: BoolArray = np.asarray((coarse.faces >= coarse.skin_count).any(axis=1), np.bool_)
    used = coarse.uv_faces[: coarse.skin_triangles].max() + 1
    own = np.unique(coarse.uv_faces[coarse.skin_triangles :][behind[coarse.skin_triangles :]])
    own = own[own >= used]
    first = int(fine.uv_faces[: fine.skin_triangles].max()) + 1
    places = {(u, v): first + row for row, (u, v) in reversed(list(enumerate(fine.uv[first:].tolist())))}
    for row in own.tolist():
        u, v = coarse.uv[row].tolist()
        rows[row] = places[u, v]
    return rows


def _over_ball(mesh: FaceMesh, name: str, rows: IntArray) -> Float32Array:
    """Return the directions (n, 3) in which the lids of a blink leave the eyeball, of length 0 to 1.

    The triangles of a closed lid are chords of the eyeball: the larger they are, the deeper they lie.
    """
    ball = mesh.regions[f"eyeball_{name.removeprefix('eyeBlink').lower()}"]
    shape = mesh.blendshapes[name][rows]
    away = mesh.vertices[rows] + shape - sphere_centre(mesh.vertices[ball])
    moved = np.linalg.norm(shape, axis=1, keepdims=True)
    away *= np.clip(moved / WHOLE_MM, 0.0, 1.0) / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    return np.asarray(away, np.float32)


def at_level(mesh: FaceMesh, number: int) -> FaceMesh:
    """Return a head at a level of detail.

    Parameters
    ----------
    mesh : FaceMesh with the topology of the head's template
    number : 0, 1 or 2

    Raises
    ------
    FacegeomError
        If the mesh does not have this topology.
    ValueError
        If there is no such level.
    """
    chosen = level(number)
    if len(mesh.vertices) != len(level(0).vertices) or not np.array_equal(mesh.faces, level(0).faces):
        raise FacegeomError("lod needs a whole head with the face model's topology: use head=True")
    if number == 0:
        return mesh
    rows = chosen.vertices
    used, uv_faces = np.unique(chosen.uv_faces, return_inverse=True)
    shapes = {}
    for name, shape in mesh.blendshapes.items():
        shapes[name] = np.array(shape[rows], np.float32)
        if name.startswith("eyeBlink"):
            shapes[name] += _over_ball(mesh, name, rows) * np.float32(BLINK_MM[number])
        shapes[name].flags.writeable = False
    return replace(
        mesh,
        vertices=mesh.vertices[rows],
        faces=chosen.faces,
        uv=None if mesh.uv is None else mesh.uv[used],
        uv_faces=None if mesh.uv is None else uv_faces.reshape(-1, 3),
        colors=None if mesh.colors is None else mesh.colors[rows],
        regions={name: members[rows] for name, members in mesh.regions.items()},
        seen=mesh.seen[rows],
        blendshapes=shapes,
    )
