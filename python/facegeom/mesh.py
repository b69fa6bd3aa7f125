"""The face mesh that facegeom hands out: geometry, colours, texture, blendshapes, and what of it the photo showed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeom import _check
from facegeom.errors import FacegeomError

MAPPINGS = ("regions", "blendshapes", "weights")
"""Fields that are read-only views of a dict, which pickle cannot take."""


@dataclass(frozen=True, eq=False)
class FaceMesh:
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
        of `facegeom.blendshapes` serve all faces.
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

    vertices: _check.FloatArray
    faces: _check.IntArray
    uv: _check.FloatArray | None = None
    uv_faces: _check.IntArray | None = None
    texture: _check.ByteArray | None = None
    colors: _check.ByteArray | None = None
    regions: Mapping[str, _check.BoolArray] = field(default_factory=dict)
    seen: _check.FloatArray = None  # type: ignore[assignment]  # always an array once constructed
    blendshapes: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vertices = _check.vertices(self.vertices, "vertices")
        n = len(vertices)
        faces = _check.faces(self.faces, n, "faces")
        self._freeze("vertices", vertices)
        self._freeze("faces", faces)
        self._check_uv(n, faces)
        if self.colors is not None:
            colors = np.asarray(self.colors)
            if colors.dtype != np.uint8 or colors.shape != (n, 3):
                raise ValueError(f"colors must be a ({n}, 3) uint8 array, got {colors.dtype} {colors.shape}")
            self._freeze("colors", colors)
        seen = np.ones(n) if self.seen is None else _check.float_array(self.seen, "seen", (n,))
        if n and (seen.min() < 0 or seen.max() > 1):
            raise ValueError(f"seen must lie in [0, 1], got {seen.min():.6g} to {seen.max():.6g}")
        self._freeze("seen", seen)
        regions = {}
        for name, members in self.regions.items():
            region = _check.bool_array(members, f"regions[{name!r}]", (n,)).copy()
            region.flags.writeable = False
            regions[str(name)] = region
        object.__setattr__(self, "regions", MappingProxyType(regions))
        self._check_blendshapes(n)

    def _check_uv(self, n: int, faces: _check.IntArray) -> None:
        if self.uv is None:
            if self.uv_faces is not None or self.texture is not None:
                raise ValueError("uv_faces and texture need uv, got uv=None")
            return
        uv = _check.float_array(self.uv, "uv", (None, 2))
        if self.uv_faces is None and len(uv) != n:
            raise ValueError(f"uv must have one row for each of the {n} vertices where uv_faces is None, got {len(uv)}")
        uv_faces = faces if self.uv_faces is None else _check.index_array(self.uv_faces, "uv_faces", (None, 3), len(uv))
        if len(uv_faces) != len(faces):
            raise ValueError(f"uv_faces must have one row for each of the {len(faces)} faces, got {len(uv_faces)}")
        self._freeze("uv", uv)
        self._freeze("uv_faces", uv_faces)
        if self.texture is not None:
            self._freeze("texture", _check.rgb_image(self.texture, "texture"))

    def _check_blendshapes(self, n: int) -> None:
        shapes = {
            str(name): _displacement(shape, f"blendshapes[{name!r}]", n) for name, shape in self.blendshapes.items()
        }
        weights = {
            str(name): _check.in_range(weight, f"weights[{name!r}]", -np.inf, np.inf)
            for name, weight in self.weights.items()
        }
        stray = sorted(set(weights) - set(shapes))
        if stray:
            raise ValueError(f"weights must name blendshapes of the mesh, got {', '.join(stray)}")
        object.__setattr__(self, "blendshapes", MappingProxyType(shapes))
        object.__setattr__(self, "weights", MappingProxyType(weights))

    def _freeze(self, name: str, array: npt.NDArray[Any]) -> None:
        array = array.copy()
        array.flags.writeable = False
        object.__setattr__(self, name, array)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, **{name: dict(getattr(self, name)) for name in MAPPINGS}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, **{name: MappingProxyType(state[name]) for name in MAPPINGS})

    def __repr__(self) -> str:
        """Return a short description: the arrays themselves would fill pages."""
        parts = [f"{len(self.vertices)} vertices", f"{len(self.faces)} faces"]
        if self.texture is not None:
            parts.append(f"{self.texture.shape[1]} x {self.texture.shape[0]} texture")
        elif self.colors is not None:
            parts.append("colours")
        if self.blendshapes:
            parts.append(f"{len(self.blendshapes)} blendshapes")
        return f"FaceMesh({', '.join(parts)})"

    def to_trimesh(self) -> Any:
        """Return the mesh as a `trimesh.Trimesh` in millimetres, with its texture or its colours.

        Notes
        -----
        trimesh keeps one texture coordinate a vertex, so a textured mesh comes out with the vertices along the atlas's
        cuts doubled, the doubles after all others. It has no blendshapes: the mesh is as with all weights 0.
        """
        import trimesh

        if self.texture is None or self.uv is None:
            mesh = trimesh.Trimesh(self.vertices.copy(), self.faces.copy(), process=False)
            if self.colors is not None:
                alpha = np.full((len(self.colors), 1), 255, np.uint8)
                mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=np.hstack([self.colors, alpha]))
            return mesh
        from PIL import Image

        source, uv, faces = self.unrolled()
        mesh = trimesh.Trimesh(self.vertices[source], faces, process=False)
        material = trimesh.visual.material.SimpleMaterial(image=Image.fromarray(self.texture))
        mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        return mesh

    def to_open3d(self) -> Any:
        """Return the mesh as an `open3d.geometry.TriangleMesh` in millimetres, with its texture or its colours.

        Raises
        ------
        FacegeomError
            When open3d is not installed.
        """
        try:
            import open3d
        except (ImportError, OSError) as error:  # OSError: its shared libraries (libusb, libGL) are missing
            raise FacegeomError(
                f"to_open3d needs open3d, which cannot be imported ({error}): pip install 'facegeom[open3d]'"
            ) from error
        mesh = open3d.geometry.TriangleMesh(
            open3d.utility.Vector3dVector(self.vertices), open3d.utility.Vector3iVector(self.faces.astype(np.int32))
        )
        if self.texture is not None and self.uv is not None:
            mesh.triangle_uvs = open3d.utility.Vector2dVector(self.uv[self.uv_faces].reshape(-1, 2))
            mesh.textures = [open3d.geometry.Image(self.texture.copy())]
            mesh.triangle_material_ids = open3d.utility.IntVector(np.zeros(len(self.faces), np.int32))
        elif self.colors is not None:
            mesh.vertex_colors = open3d.utility.Vector3dVector(self.colors / 255.0)
        return mesh

    def unrolled(self) -> tuple[_check.IntArray, _check.FloatArray, _check.IntArray]:
        """Return the mesh with one texture coordinate a vertex, as graphics hardware wants it.

        Returns
        -------
        source : (k,) int array, the row of `vertices` behind each unrolled vertex; the first n are 0, 1, ..., n - 1
        uv : (k, 2) float array, zeros where a vertex has none
        faces : (m, 3) int array of unrolled vertices

        Raises
        ------
        ValueError
            When the mesh has no texture coordinates.
        """
        if self.uv is None or self.uv_faces is None:
            raise ValueError("unrolled needs texture coordinates, got a mesh with uv=None")
        n, k = len(self.vertices), len(self.uv)
        corners = self.faces.ravel() * k + self.uv_faces.ravel()  # one key for each pair of vertex and uv row
        keys = np.unique(corners)  # ascending, so by vertex, then by uv row
        owner = keys // max(k, 1)
        first = np.ones(len(keys), bool)
        first[1:] = owner[1:] != owner[:-1]
        place = np.empty(len(keys), np.int64)
        place[first] = owner[first]
        place[~first] = n + np.arange(int((~first).sum()))
        source = np.concatenate([np.arange(n), owner[~first]])
        uv = np.zeros((len(source), 2))
        uv[place] = self.uv[keys % max(k, 1)]
        return source, uv, place[np.searchsorted(keys, corners)].reshape(-1, 3)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mesh to a .glb, .obj, .ply, .stl or .html file; see `facegeom.io.save_mesh`."""
        from facegeom.io import save_mesh

        save_mesh(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FaceMesh:
        """Read a mesh that `save` has written, or another's; see `facegeom.io.load_mesh`."""
        from facegeom.io import load_mesh

        return load_mesh(path)


def _displacement(value: npt.ArrayLike, name: str, count: int) -> npt.NDArray[np.float32]:
    """Return `value` as read-only (count, 3) float32: itself where nobody can write to it, else a copy."""
    checked = _check.float_array(value, name, (count, 3))
    if (
        isinstance(value, np.ndarray)
        and value.dtype == np.float32
        and value.flags.c_contiguous
        and value.flags.owndata
        and not value.flags.writeable
    ):
        return value
    shape = checked.astype(np.float32)
    shape.flags.writeable = False
    return shape
