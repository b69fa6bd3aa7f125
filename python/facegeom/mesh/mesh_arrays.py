"""`MeshArrays`, the validated and read-only arrays of a face mesh, independent of files and other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray

MAPPING_FIELDS = ("regions", "blendshapes", "weights")
"""Names of the fields whose values are read-only views of a dict; pickle cannot store such views."""


@dataclass(frozen=True, eq=False)
class MeshArrays:
    """The arrays of a face mesh; `FaceMesh` documents each field. The file formats read and write this class."""

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray | None = None
    uv_faces: IntArray | None = None
    texture: ByteArray | None = None
    colors: ByteArray | None = None
    regions: Mapping[str, BoolArray] = field(default_factory=dict)
    seen: FloatArray = None  # type: ignore[assignment]  # always an array once constructed
    blendshapes: Mapping[str, Float32Array] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vertices = check.vertices(self.vertices, "vertices")
        n = len(vertices)
        faces = check.faces(self.faces, n, "faces")
        self._freeze("vertices", vertices)
        self._freeze("faces", faces)
        self._check_uv(n, faces)
        if self.colors is not None:
            colors = np.asarray(self.colors)
            if colors.dtype != np.uint8 or colors.shape != (n, 3):
                raise ValueError(f"colors must be a ({n}, 3) uint8 array, got {colors.dtype} {colors.shape}")
            self._freeze("colors", colors)
        seen = np.ones(n) if self.seen is None else check.float_array(self.seen, "seen", (n,))
        if n and (seen.min() < 0 or seen.max() > 1):
            raise ValueError(f"seen must lie in [0, 1], got {seen.min():.6g} to {seen.max():.6g}")
        self._freeze("seen", seen)
        regions = {}
        for name, members in self.regions.items():
            region = check.bool_array(members, f"regions[{name!r}]", (n,)).copy()
            region.flags.writeable = False
            regions[str(name)] = region
        object.__setattr__(self, "regions", MappingProxyType(regions))
        self._check_blendshapes(n)

    def _check_uv(self, n: int, faces: IntArray) -> None:
        """Check texture coordinates and texture, and set the fields to read-only copies."""
        if self.uv is None:
            if self.uv_faces is not None or self.texture is not None:
                raise ValueError("uv_faces and texture need uv, got uv=None")
            return
        uv = check.float_array(self.uv, "uv", (None, 2))
        if self.uv_faces is None and len(uv) != n:
            raise ValueError(f"uv must have one row for each of the {n} vertices if uv_faces is None, got {len(uv)}")
        uv_faces = faces if self.uv_faces is None else check.index_array(self.uv_faces, "uv_faces", (None, 3), len(uv))
        if len(uv_faces) != len(faces):
            raise ValueError(f"uv_faces must have one row for each of the {len(faces)} faces, got {len(uv_faces)}")
        self._freeze("uv", uv)
        self._freeze("uv_faces", uv_faces)
        if self.texture is not None:
            self._freeze("texture", check.rgb_image(self.texture, "texture"))

    def _check_blendshapes(self, n: int) -> None:
        """Check blendshapes and weights, and set the fields to read-only views."""
        shapes = {
            str(name): _read_only_displacements(shape, f"blendshapes[{name!r}]", n)
            for name, shape in self.blendshapes.items()
        }
        weights = {
            str(name): check.in_range(weight, f"weights[{name!r}]", -np.inf, np.inf)
            for name, weight in self.weights.items()
        }
        unknown = sorted(set(weights) - set(shapes))
        if unknown:
            raise ValueError(f"weights must name blendshapes of the mesh, got {', '.join(unknown)}")
        object.__setattr__(self, "blendshapes", MappingProxyType(shapes))
        object.__setattr__(self, "weights", MappingProxyType(weights))

    def _freeze(self, name: str, array: npt.NDArray[Any]) -> None:
        """Set a field to a read-only copy of the array."""
        array = array.copy()
        array.flags.writeable = False
        object.__setattr__(self, name, array)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, **{name: dict(getattr(self, name)) for name in MAPPING_FIELDS}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, **{name: MappingProxyType(state[name]) for name in MAPPING_FIELDS})

    def __repr__(self) -> str:
        """Return a short description without the arrays."""
        parts = [f"{len(self.vertices)} vertices", f"{len(self.faces)} faces"]
        if self.texture is not None:
            parts.append(f"{self.texture.shape[1]} x {self.texture.shape[0]} texture")
        elif self.colors is not None:
            parts.append("colours")
        if self.blendshapes:
            parts.append(f"{len(self.blendshapes)} blendshapes")
        return f"{type(self).__name__}({', '.join(parts)})"

    def unrolled(self) -> tuple[IntArray, FloatArray, IntArray]:
        """Return the mesh with one texture coordinate per vertex, as graphics hardware and many file formats need it.

        Returns
        -------
        source : (k,) int array
            Row of `vertices` for each unrolled vertex. The first n entries are 0, 1, ..., n - 1; the entries of the
            duplicates of vertices on the cuts of the atlas follow.
        uv : (k, 2) float array
            Texture coordinates of each unrolled vertex; 0 for a vertex without texture coordinates.
        faces : (m, 3) int array
            Triangles as indices of unrolled vertices.

        Raises
        ------
        ValueError
            If the mesh has no texture coordinates.
        """
        if self.uv is None or self.uv_faces is None:
            raise ValueError("unrolled needs texture coordinates, got a mesh with uv=None")
        n, k = len(self.vertices), len(self.uv)
        corners = self.faces.ravel() * k + self.uv_faces.ravel()  # one key for each pair of vertex and uv row
        keys = np.unique(corners)  # sorted by vertex, then by uv row
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


def _read_only_displacements(value: npt.ArrayLike, name: str, count: int) -> Float32Array:
    """Return `value` as a read-only (count, 3) float32 array; such an array that owns its data is not copied."""
    checked = check.float_array(value, name, (count, 3))
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
