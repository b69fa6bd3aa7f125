"""Closing of the parts of a head for 3-D printing."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.geometry.boundary import boundary_loops
from facegeom.mesh.mesh_arrays import MeshArrays

INSIDE = "mouth_interior"
"""Region whose parts (teeth, gums) may be open; their roots are inside the head."""


def closed(mesh: MeshArrays) -> MeshArrays:
    """Return the surface of a head with the roots of teeth and gums closed, so that each part encloses a volume.

    Raises
    ------
    FacegeomError
        If another part is open, such as the outline of a face.
    """
    loops = boundary_loops(mesh.faces)
    inside = mesh.regions.get(INSIDE, np.zeros(len(mesh.vertices), bool))
    if any(not inside[loop].all() for loop in loops):
        raise FacegeomError("watertight=True needs a whole head (head=True): the outline of this mesh is open")
    vertices: list[FloatArray] = [mesh.vertices]
    faces: list[IntArray] = [mesh.faces]
    for number, loop in enumerate(loops):
        vertices.append(mesh.vertices[loop].mean(axis=0)[None])
        centre = np.full(len(loop), len(mesh.vertices) + number)
        faces.append(np.column_stack([np.roll(loop, -1), loop, centre]))
    return MeshArrays(np.concatenate(vertices), np.concatenate(faces))
