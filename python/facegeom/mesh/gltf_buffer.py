"""The binary data of a glTF file: accessors in plain, quantised or compressed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray, IntArray
from facegeom.errors import FacegeomError

MM_PER_METRE = 1000.0
COMPRESSIONS = (None, "quantize", "meshopt")
MESHOPT_STEP = 0.02
"""Step in mm to which positions are rounded in files with the compression meshopt."""
UV_BITS = 15
"""Number of bits of texture coordinates with the compression meshopt: a sixteenth of a texel of the largest texture."""
LARGEST_INT16 = 32767
MESHOPT = "EXT_meshopt_compression"

COMPONENTS: dict[Any, int] = {
    np.dtype(np.float32): pygltflib.FLOAT,
    np.dtype(np.uint16): pygltflib.UNSIGNED_SHORT,
    np.dtype(np.uint32): pygltflib.UNSIGNED_INT,
    np.dtype(np.int16): pygltflib.SHORT,
    np.dtype(np.int8): pygltflib.BYTE,
}
"""NumPy's type of a component -> its code."""

TYPES = {1: pygltflib.SCALAR, 2: pygltflib.VEC2, 3: pygltflib.VEC3, 4: pygltflib.VEC4}
"""Number of components of an element -> type of the accessor."""


class GltfBuffer:
    """The buffer of a glTF file under construction, with its buffer views and accessors.

    Parameters
    ----------
    compress : None: float32 arrays. "quantize": positions as integers. "meshopt": also compressed.
    reach : largest coordinate in mm that positions and displacements have, from which the step of the integers follows

    Attributes
    ----------
    content : the binary data
    views, accessors : what pygltflib writes
    unit : length in metres of the unit of the positions
    """

    def __init__(self, compress: str | None = None, reach: float = 1.0) -> None:
        self.content = bytearray()
        self.views: list[Any] = []
        self.accessors: list[Any] = []
        self.compress = compress
        self.uncompressed = 0  # length of the decoded views of the compression meshopt
        self._zeros: dict[int, int] = {}  # number of elements -> accessor of zeros
        self._zero_view: int | None = None
        least = max(reach, 1e-6) / LARGEST_INT16
        self.step = MM_PER_METRE if compress is None else max(least, MESHOPT_STEP if compress == "meshopt" else 0.0)
        self.unit = 1.0 if compress is None else self.step / MM_PER_METRE
        self._meshopt: Any = _meshopt() if compress == "meshopt" else None

    def stored(self, values: FloatArray | Float32Array) -> FloatArray:
        """Return positions or displacements, mm, as the file stores them."""
        if self.compress is None:
            return np.asarray((values / self.step).astype(np.float32), np.float64) * self.step
        return np.asarray(np.rint(values / self.step) * self.step, np.float64)

    def positions(self, values: FloatArray) -> int:
        """Append the positions (k, 3), mm, of vertices; return the index of their accessor."""
        return self._add(self._lengths(values), bounds=True)

    def normals(self, values: FloatArray) -> int:
        """Append unit normals (k, 3)."""
        if self._meshopt is not None:
            opaque = np.column_stack([values, np.ones(len(values))]).astype(np.float32)
            encoded = self._meshopt.encode_filter_oct(opaque, 4, 8)
            return self._compressed(encoded, np.dtype(np.int8), 3, "OCTAHEDRAL", normalized=True)
        if self.compress is None:
            return self._add(values.astype(np.float32))
        return self._add(_signed_bytes(values), normalized=True)

    def coordinates(self, values: FloatArray) -> int:
        """Append texture coordinates (k, 2), v down."""
        if self._meshopt is not None:
            encoded = self._meshopt.encode_filter_exp(values.astype(np.float32), UV_BITS, "SharedComponent")
            return self._compressed(encoded, np.dtype(np.float32), 2, "EXPONENTIAL")
        return self._add(values.astype(np.float32))

    def numbers(self, values: npt.NDArray[Any]) -> int:
        """Append numbers (k,) or (k, c) as float32, or as uint16 if they have this type."""
        return self._add(np.ascontiguousarray(values, None if values.dtype == np.uint16 else np.float32))

    def keys(self, values: FloatArray, *, bounds: bool = False) -> int:
        """Append the times (k,), with `bounds`, or the values (k, c) of the keys of an animation as float32."""
        rows = np.ascontiguousarray(values, np.float32).reshape(len(values), -1)
        view = self.add_bytes(rows.tobytes())
        return self._accessor(rows.dtype, len(rows), rows.shape[1], view, False, rows if bounds else None)

    def indices(self, faces: IntArray, count: int) -> int:
        """Append triangles (t, 3) of `count` vertices."""
        kind = np.uint16 if count < 2**16 else np.uint32  # the largest value of a type restarts a strip
        flat = np.ascontiguousarray(faces.ravel(), kind)
        if self._meshopt is not None:
            return self._compressed(flat[:, None], flat.dtype, 1, None, mode="TRIANGLES")
        return self._add(flat, target=pygltflib.ELEMENT_ARRAY_BUFFER)

    def reserve_zeros(self, count: int) -> None:
        """Append a view of `count` zero vectors, the base of all sparse accessors.

        Readers such as VTK cannot read a sparse accessor without a base. Quantised files have no base: three.js
        misreads sparse data with a base whose elements are padded.
        """
        if self.compress is None:
            view = self.add_bytes(bytes(12 * count), pygltflib.ARRAY_BUFFER)
            self.views[view].byteStride = 12
            self._zero_view = view

    def displacements(self, values: FloatArray | Float32Array, rows: BoolArray) -> int:
        """Append displacements (k, 3), mm, that are zero except for the rows of the mask (k,)."""
        return self._sparse(self._lengths(values), rows, bounds=True)

    def normal_changes(self, values: FloatArray | Float32Array, rows: BoolArray) -> int:
        """Append changes of unit normals (k, 3) that are zero except for the rows of the mask (k,)."""
        plain = self.compress is None
        return self._sparse(values.astype(np.float32) if plain else _signed_bytes(values), rows, bounds=False)

    def add_bytes(self, content: bytes, target: int | None = None) -> int:
        """Append bytes, aligned to 4; return the index of their buffer view."""
        self.views.append(
            pygltflib.BufferView(buffer=0, byteOffset=len(self.content), byteLength=len(content), target=target)
        )
        self.content += content + bytes(-len(content) % 4)
        return len(self.views) - 1

    def buffers(self) -> list[Any]:
        """Return the buffers that pygltflib writes: the data, and with meshopt the place of the decoded data."""
        made = [pygltflib.Buffer(byteLength=len(self.content))]
        if self.uncompressed:
            fallback = {MESHOPT: {"fallback": True}}
            made.append(pygltflib.Buffer(byteLength=self.uncompressed, extensions=fallback))
        return made

    def _lengths(self, values: FloatArray | Float32Array) -> npt.NDArray[Any]:
        """Return lengths in mm in the unit of the file."""
        if self.compress is None:
            return (values / MM_PER_METRE).astype(np.float32)
        return np.rint(values / self.step).astype(np.int16)

    def _add(
        self,
        array: npt.NDArray[Any],
        *,
        bounds: bool = False,
        normalized: bool = False,
        target: int = pygltflib.ARRAY_BUFFER,
    ) -> int:
        """Append an array with one row per element; the rows of vertex data are padded to 4 bytes."""
        rows = array.reshape(len(array), -1)
        width = rows.shape[1]
        padded = rows
        if target == pygltflib.ARRAY_BUFFER:
            room = 4 // rows.dtype.itemsize or 1
            padded = np.pad(rows, ((0, 0), (0, -width % room)))
        if self._meshopt is not None:
            return self._compressed(
                padded, rows.dtype, width, None, normalized=normalized, bounds=rows if bounds else None
            )
        view = self.add_bytes(np.ascontiguousarray(padded).tobytes(), target)
        if padded.shape[1] != width:
            self.views[view].byteStride = padded.shape[1] * padded.itemsize
        return self._accessor(rows.dtype, len(rows), width, view, normalized, rows if bounds else None)

    def _accessor(
        self,
        dtype: np.dtype[Any],
        count: int,
        width: int,
        view: int | None,
        normalized: bool = False,
        bounds: npt.NDArray[Any] | None = None,
        sparse: Any = None,
    ) -> int:
        accessor = pygltflib.Accessor(
            bufferView=view,
            byteOffset=None if view is None else 0,
            componentType=COMPONENTS[dtype],
            normalized=normalized or None,
            count=count,
            type=TYPES[width],
            sparse=sparse,
        )
        if bounds is not None:
            accessor.min, accessor.max = bounds.min(axis=0).tolist(), bounds.max(axis=0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def _sparse(self, values: npt.NDArray[Any], rows: BoolArray, *, bounds: bool) -> int:
        """Append an array (k, 3) as a sparse accessor, or as a dense one if that is smaller."""
        count, dtype, normalized = len(rows), values.dtype, values.dtype == np.int8
        places = np.flatnonzero(rows & values.any(axis=1))
        if not len(places):
            return self._nothing(count, dtype, bounds)
        kind = np.uint16 if count <= 2**16 else np.uint32
        element = 3 * dtype.itemsize
        if (
            self._meshopt is not None
            or (np.dtype(kind).itemsize + element) * len(places) >= (element + 3) // 4 * 4 * count
        ):
            full = np.zeros((count, 3), dtype)
            full[places] = values[places]
            return self._add(full, bounds=bounds, normalized=normalized)
        changes = np.ascontiguousarray(values[places])
        sparse = pygltflib.Sparse(
            count=len(places),
            indices=pygltflib.AccessorSparseIndices(
                bufferView=self.add_bytes(places.astype(kind).tobytes()), componentType=COMPONENTS[np.dtype(kind)]
            ),
            values=pygltflib.AccessorSparseValues(bufferView=self.add_bytes(changes.tobytes())),
        )
        around = np.vstack([changes, np.zeros((1, 3), dtype)])  # the bounds include the rows that are left out
        return self._accessor(dtype, count, 3, self._zero_view, normalized, around if bounds else None, sparse)

    def _nothing(self, count: int, dtype: np.dtype[Any], bounds: bool) -> int:
        """Return the accessor of `count` zero vectors, which all blendshapes that do not move a part share."""
        key = count + (0 if bounds else 2**40)
        if key not in self._zeros:
            zeros = np.zeros((count, 3), dtype)
            if self.compress is None and self._zero_view is not None:
                self._zeros[key] = self._accessor(dtype, count, 3, self._zero_view, False, zeros if bounds else None)
            else:
                self._zeros[key] = self._add(zeros, bounds=bounds, normalized=dtype == np.int8)
        return self._zeros[key]

    def _compressed(
        self,
        encoded: npt.NDArray[Any],
        dtype: np.dtype[Any],
        width: int,
        filter: str | None,
        *,
        mode: str = "ATTRIBUTES",
        normalized: bool = False,
        bounds: npt.NDArray[Any] | None = None,
    ) -> int:
        """Append rows (k, c) in compressed form; `dtype` and `width` describe their elements after decoding."""
        count, size = len(encoded), encoded[:1].nbytes
        flat = encoded.ravel().astype(np.uint32) if mode == "TRIANGLES" else np.ascontiguousarray(encoded)
        content = self._meshopt.encode_gltf_buffer(flat, mode)
        extension = {
            "buffer": 0, "byteOffset": len(self.content), "byteLength": len(content), "byteStride": size,
            "count": count, "mode": mode, **({} if filter is None else {"filter": filter}),
        }  # fmt: skip
        self.content += content + bytes(-len(content) % 4)
        attributes = mode == "ATTRIBUTES"
        self.views.append(
            pygltflib.BufferView(
                buffer=1,
                byteOffset=self.uncompressed,
                byteLength=count * size,
                byteStride=size if attributes else None,
                target=pygltflib.ARRAY_BUFFER if attributes else pygltflib.ELEMENT_ARRAY_BUFFER,
                extensions={MESHOPT: extension},
            )
        )
        self.uncompressed += (count * size + 3) // 4 * 4
        return self._accessor(dtype, count, width, len(self.views) - 1, normalized, bounds)


def _signed_bytes(values: FloatArray | Float32Array) -> npt.NDArray[np.int8]:
    """Return values in [-1, 1] as normalized bytes; larger values are cut off."""
    return np.asarray(np.rint(np.clip(values, -1.0, 1.0) * 127), np.int8)


def _meshopt() -> Any:
    """Return the module meshopt.

    Raises
    ------
    FacegeomError
        If it is not installed.
    """
    try:
        import meshopt
    except ImportError as error:
        raise FacegeomError(
            f"compress='meshopt' needs the package meshopt ({error}): pip install 'facegeom[compress]'"
        ) from error
    return meshopt
