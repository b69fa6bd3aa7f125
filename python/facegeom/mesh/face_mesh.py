"""`FaceMesh`, the mesh of the public API: its arrays, files and conversions."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

from facegeom.mesh import conversion, formats
from facegeom.mesh.mesh_arrays import MeshArrays


@dataclass(frozen=True, eq=False, repr=False)
class FaceMesh(MeshArrays):
    """A triangle mesh in the face frame, in millimetres; its arrays are read-only copies.

    Attributes
    ----------
    vertices : (n, 3) float array, mm
        Right-handed axes: +x to the subject's left, +y up, +z out of the face. The origin is midway between the eye
        centres.
    faces : (m, 3) int array
        Counter-clockwise when viewed from outside.
    uv : (k, 2) float array or None
        Texture coordinates, u to the right and v up; (0, 0) is the lower left corner of the texture.
    uv_faces : (m, 3) int array or None
        Rows of `uv` for the corners of each triangle, so that cuts in the atlas do not split the mesh. None: `uv` has
        one row per vertex, and `uv_faces` is set to `faces`.
    texture : (h, w, 3) uint8 array or None
        sRGB colours, the first row at the top (v = 1). Needs `uv`.
    colors : (n, 3) uint8 array or None
        sRGB colours of the vertices.
    regions : mapping from name to (n,) bool array
        Vertex masks of named parts of the face.
    seen : (n,) float array in [0, 1]
        Visibility of each vertex: 1 where the photo shows the vertex, 0 where the vertex is inferred. Default: ones.
    blendshapes : mapping from name to (n, 3) float32 array
        Displacements of the vertices at weight 1, mm. Read-only arrays are shared instead of copied, so that all faces
        share the arrays of `facegeom.face_model.blendshapes`.
    weights : mapping from name to float
        Initial weights of the blendshapes: a viewer first displays `vertices` plus the weighted displacements. A
        blendshape without an entry has weight 0.

    Raises
    ------
    ValueError, TypeError
        If an array has the wrong shape or type or is not finite, an index is out of range, or a weight has no
        blendshape of its name.

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

    def save(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        format: str | None = None,
        *,
        compress: str | None = None,
        watertight: bool = False,
    ) -> None:
        """Write the mesh to a .glb, .gltf, .usdz, .obj, .ply, .stl or .html file, or to a binary file object.

        See `facegeom.mesh.formats.save_mesh`.

        Examples
        --------
        >>> import io
        >>> mesh = FaceMesh([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]], [[0, 1, 2]])
        >>> file = io.BytesIO()
        >>> mesh.save(file, format="stl")
        >>> file.getvalue() == mesh.to_bytes("stl")
        True
        """
        formats.save_mesh(self, target, format, compress=compress, watertight=watertight)

    def to_bytes(self, format: str = "glb", *, compress: str | None = None, watertight: bool = False) -> bytes:
        """Return the content of a mesh file: "glb", "ply", "stl", "html", "usdz", or "obj" without a texture.

        See `facegeom.mesh.formats.mesh_bytes`.
        """
        return formats.mesh_bytes(self, format, compress=compress, watertight=watertight)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FaceMesh:
        """Read a mesh from a .glb, .obj, .ply or .stl file; see `facegeom.mesh.formats.load_mesh`."""
        found = formats.load_mesh(path)
        return cls(**{entry.name: getattr(found, entry.name) for entry in fields(found)})
