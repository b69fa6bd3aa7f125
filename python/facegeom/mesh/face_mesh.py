"""The face mesh of the public API: its arrays, its files, and its conversion to other libraries."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from facegeom.mesh import conversion, formats
from facegeom.mesh.mesh_arrays import MeshArrays


@dataclass(frozen=True, eq=False, repr=False)
class FaceMesh(MeshArrays):
    """A triangle mesh in the face's own frame, millimetres; its arrays are read-only copies.

    Attributes
    ----------
    vertices : (n, 3) float array
        Right-handed, +x to the subject's left, +y up, +z out of the face; the origin is midway between the eye centres.
    faces : (m, 3) int array
        Counter-clockwise from outside.
    uv : (k, 2) float array or None
        Texture coordinates, u to the right and v up, (0, 0) at the lower left corner of the texture.
    uv_faces : (m, 3) int array or None
        The rows of `uv` at each triangle's corners, so that a cut in the atlas does not split the mesh. May be left out
        when there is one row of `uv` a vertex: then it is `faces`.
    texture : (h, w, 3) uint8 array or None
        RGB in sRGB, first row at the top (v = 1). Needs `uv`.
    colors : (n, 3) uint8 array or None
        RGB in sRGB at the vertices.
    regions : mapping from name to (n,) bool array
    seen : (n,) float array in [0, 1]
        How far the photo showed a vertex (1) or it was inferred (0). Ones when left out.
    blendshapes : mapping from name to (n, 3) float32 array
        Displacements of the vertices at weight 1, mm. Arrays that are read-only already are shared, not copied: those
        of `facegeom.face_model.blendshapes` serve all faces.
    weights : mapping from name to float
        How far each of the blendshapes is applied when the mesh is first shown, on top of `vertices`; 0 where one is
        not named.

    Raises
    ------
    ValueError, TypeError
        When an array has the wrong shape or type, is not finite, an index is out of range, or a weight has no
        blendshape.

    Examples
    --------
    >>> mesh = FaceMesh([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]], [[0, 1, 2]])
    >>> len(mesh.vertices), mesh.seen
    (3, array([1., 1., 1.]))
    """

    def to_trimesh(self) -> Any:
        """Return the mesh as a `trimesh.Trimesh` in millimetres; see `facegeom.mesh.conversion.to_trimesh`."""
        return conversion.to_trimesh(self)

    def to_open3d(self) -> Any:
        """Return the mesh as an `open3d.geometry.TriangleMesh`; see `facegeom.mesh.conversion.to_open3d`."""
        return conversion.to_open3d(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mesh to a .glb, .obj, .ply, .stl or .html file; see `facegeom.mesh.formats.save_mesh`."""
        formats.save_mesh(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FaceMesh:
        """Read a mesh from a .glb, .obj, .ply or .stl file; see `facegeom.mesh.formats.load_mesh`."""
        found = formats.load_mesh(path)
        return cls(**{entry.name: getattr(found, entry.name) for entry in fields(found)})
