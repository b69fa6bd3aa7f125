"""The parts of a glTF file: every count and offset in it is compared with the data that it contains."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.images.limits import TEXTURE_PIXELS
from facegeom.mesh.gltf_buffer import MESHOPT
from facegeom.mesh.sources import Budget, Material, decode_texture, read_beside

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
"""Code of the type of a component -> NumPy's type."""

WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
"""Type of an accessor -> number of components of an element; matrices occur in animations only."""

ENTRY_BYTES = 4096
"""Memory that is counted for each node, primitive and region besides its data; it also limits the time for many."""


@dataclass
class GltfFile:
    """The parts of a GLB file. All methods raise FacegeomError where the file is damaged."""

    tree: dict[str, Any]
    binary: bytes
    path: Path
    budget: Budget
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # those of the tree that are checked
    buffers: dict[int, bytes] = field(default_factory=dict)
    decoded: dict[int, bytes] = field(default_factory=dict)  # compressed buffer views
    textures: dict[int, ByteArray | None] = field(default_factory=dict)
    pixels: int = TEXTURE_PIXELS

    def damaged(self, what: str) -> FacegeomError:
        return FacegeomError(f"{self.path.name} is damaged: {what}")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return a list of objects at the top level, empty if there is none."""
        if name not in self.lists:
            found = self.tree.get(name, [])
            if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
                raise self.damaged(f"{name} is no list of objects")
            self.lists[name] = found
        return self.lists[name]

    def row(self, name: str, index: Any) -> dict[str, Any]:
        rows = self.rows(name)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(rows):
            raise self.damaged(f"there is no entry {str(index)[:20]} of {name}")
        return rows[index]

    def number(self, row: dict[str, Any], key: str, default: int | None = None) -> int:
        """Return an integer, at least 0."""
        value = row.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
            raise self.damaged(f"{key} is {str(value)[:20]}")
        return value

    def buffer(self, index: Any) -> bytes:
        """Return the data of a buffer: the binary part, or data in the JSON part."""
        row = self.row("buffers", index)
        if index not in self.buffers:
            uri = row.get("uri")
            if uri is None and index == 0:
                self.buffers[0] = self.binary
            elif isinstance(uri, str) and uri.startswith("data:"):
                self.buffers[index] = self.data_uri(uri)
            else:
                raise FacegeomError(f"{self.path.name} has its data in another file, which is not read")
        return self.buffers[index]

    def data_uri(self, uri: str) -> bytes:
        head, _, body = uri.partition(",")
        if not head.endswith(";base64"):
            raise self.damaged("data in the JSON part are not in base64")
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.damaged("data in the JSON part are not in base64") from error

    def view(self, index: Any) -> tuple[bytes, int, int, int]:
        """Return the buffer of a buffer view, the place and the length of the view in it, and its stride or 0."""
        row = self.row("bufferViews", index)
        extensions = row.get("extensions")
        if isinstance(extensions, dict) and isinstance(extensions.get(MESHOPT), dict):
            return self.compressed(index, extensions[MESHOPT])
        data = self.buffer(row.get("buffer"))
        place, length = self.number(row, "byteOffset", 0), self.number(row, "byteLength")
        if place + length > len(data):
            raise self.damaged("a buffer view is longer than its buffer")
        return data, place, length, self.number(row, "byteStride", 0)

    def compressed(self, index: int, row: dict[str, Any]) -> tuple[bytes, int, int, int]:
        """Return the decoded data of a buffer view that EXT_meshopt_compression describes, as `view` does."""
        data = self.buffer(row.get("buffer"))
        place, length = self.number(row, "byteOffset", 0), self.number(row, "byteLength")
        count, size = self.number(row, "count"), self.number(row, "byteStride")
        if place + length > len(data) or not 0 < size <= 256:
            raise self.damaged("a compressed buffer view is longer than its buffer")
        if index not in self.decoded:
            self.budget.take(count * size)
            try:
                import meshopt
            except ImportError as error:
                raise FacegeomError(
                    f"{self.path.name} is compressed, and reading it needs the package meshopt: "
                    "pip install 'facegeom[compress]'"
                ) from error
            try:
                values = meshopt.decode_gltf_buffer(
                    data[place : place + length], count, size, row.get("mode"), row.get("filter", "NONE")
                )
            except (ValueError, TypeError, RuntimeError) as error:
                raise self.damaged("a compressed buffer view cannot be decoded") from error
            self.decoded[index] = values.tobytes()
        return self.decoded[index], 0, len(self.decoded[index]), size if row.get("mode") == "ATTRIBUTES" else 0

    def elements(self, view: Any, offset: int, component: Any, count: int, width: int) -> npt.NDArray[Any]:
        """Return `count` elements (count, width) of a buffer view, without a copy."""
        kind = COMPONENTS.get(component) if isinstance(component, int) else None
        if kind is None:
            raise self.damaged(f"there is no component type {str(component)[:20]}")
        data, place, length, stride = self.view(view)
        size = np.dtype(kind).itemsize
        stride = stride or size * width
        if stride < size * width or (count and offset + stride * (count - 1) + size * width > length):
            raise self.damaged("an accessor is longer than its buffer view")
        return np.ndarray((count, width), kind, data, place + offset, (stride, size))

    def accessor(self, index: Any) -> npt.NDArray[Any]:
        """Return the values of an accessor (count, width) in the type of the file."""
        row = self.row("accessors", index)
        count, width = self.number(row, "count"), WIDTHS.get(str(row.get("type")))
        if width is None:
            raise self.damaged(f"there is no type {str(row.get('type'))[:20]} of vertex data")
        component = row.get("componentType")
        self.budget.take(count * width * 8)
        if "bufferView" in row:
            values = self.elements(row["bufferView"], self.number(row, "byteOffset", 0), component, count, width)
        elif component in COMPONENTS:
            values = np.zeros((count, width), COMPONENTS[component])
        else:
            raise self.damaged(f"there is no component type {str(component)[:20]}")
        if "sparse" not in row:
            return values
        sparse = row["sparse"]
        if not isinstance(sparse, dict) or not all(isinstance(sparse.get(key), dict) for key in ("indices", "values")):
            raise self.damaged("a sparse accessor is not complete")
        changed, places, new = self.number(sparse, "count"), sparse["indices"], sparse["values"]
        rows = self.elements(
            places.get("bufferView"), self.number(places, "byteOffset", 0), places.get("componentType"), changed, 1
        )[:, 0]
        if rows.dtype.kind == "f" or (changed and not 0 <= int(rows.min()) <= int(rows.max()) < count):
            raise self.damaged("a sparse accessor changes an element that does not exist")
        values = values.copy()
        values[rows] = self.elements(
            new.get("bufferView"), self.number(new, "byteOffset", 0), component, changed, width
        )
        return values

    def scaled(self, index: Any) -> FloatArray:
        """Return the values of an accessor as floats; integers that are marked as normalized become -1 to 1."""
        values = self.accessor(index)
        result = values.astype(np.float64)
        if self.row("accessors", index).get("normalized") is True and values.dtype.kind in "iu":
            result = np.maximum(result / np.iinfo(values.dtype).max, -1.0)
        return result

    def vectors(self, index: Any) -> FloatArray:
        """Return vectors (count, 3) as floats."""
        values = self.scaled(index)
        if values.shape[1] != 3:
            raise self.damaged("positions are not three numbers")
        return values

    def texture(self, index: Any) -> ByteArray | None:
        """Return the picture of a texture (h, w, 3), None if it is not in the file and not in its folder."""
        entry = self.row("textures", index)
        extensions = entry.get("extensions")
        webp = extensions.get("EXT_texture_webp") if isinstance(extensions, dict) else None
        source = self.number(webp if isinstance(webp, dict) else entry, "source")
        row = self.row("images", source)
        if source not in self.textures:
            name, uri = f"image {source} of {self.path.name}", row.get("uri")
            content: bytes | None
            if "bufferView" in row:
                data, place, length, _ = self.view(row["bufferView"])
                content = data[place : place + length]
            elif isinstance(uri, str) and uri.startswith("data:"):
                content = self.data_uri(uri)
            elif isinstance(uri, str):
                content = read_beside(self.path, unquote(uri))
            else:
                raise self.damaged("an image has no data")
            picture = None if content is None else decode_texture(content, name, self.pixels)
            self.pixels -= 0 if picture is None else picture.size // 3
            self.textures[source] = picture
        return self.textures[source]

    def material(self, index: Any) -> Material:
        """Return the texture and the colour of a material; None is the material of glTF without a name."""
        surface = {} if index is None else self.row("materials", index).get("pbrMetallicRoughness", {})
        if not isinstance(surface, dict):
            raise self.damaged("a material is no object")
        factor = surface.get("baseColorFactor", [1, 1, 1, 1])
        try:
            colour = srgb_bytes(np.clip(np.array(factor, dtype=np.float64)[:3], 0.0, 1.0)).tolist()
        except (TypeError, ValueError) as error:
            raise self.damaged("the colour of a material is not four numbers") from error
        entry = surface.get("baseColorTexture")
        texture = self.texture(entry.get("index")) if isinstance(entry, dict) else None
        if len(colour) != 3:
            raise self.damaged("the colour of a material is not four numbers")
        return Material(texture, (colour[0], colour[1], colour[2]))


def placed_meshes(file: GltfFile) -> list[tuple[int, FloatArray]]:
    """Return each mesh of the scene with the matrix (4, 4) of its node, to the axes of the scene."""
    nodes = file.rows("nodes")
    if not nodes:
        return [(index, np.eye(4)) for index in range(len(file.rows("meshes")))]
    scenes = file.rows("scenes")
    if scenes:
        roots = _children(file, file.row("scenes", file.tree.get("scene", 0)), "nodes")
    else:
        below = {child for node in nodes for child in _children(file, node, "children")}
        roots = [index for index in range(len(nodes)) if index not in below]
    placed = []
    seen: set[int] = set()
    origin = np.eye(4)
    waiting = [(index, origin) for index in reversed(roots)]
    while waiting:
        index, above = waiting.pop()
        if index in seen:
            raise file.damaged("a node is below itself, or below two nodes")
        seen.add(index)
        file.budget.take(ENTRY_BYTES)
        node = file.row("nodes", index)
        place = above @ _matrix(file, node)
        if "mesh" in node:
            placed.append((file.number(node, "mesh"), place))
        waiting += [(child, place) for child in reversed(_children(file, node, "children"))]
    return placed


def _children(file: GltfFile, row: dict[str, Any], key: str) -> list[int]:
    children: list[int] = index_list(file, row.get(key, []), len(file.rows("nodes"))).tolist()
    return children


def _matrix(file: GltfFile, node: dict[str, Any]) -> FloatArray:
    """Return the matrix (4, 4) of a node to the node above it."""

    def numbers(key: str, count: int, default: list[float]) -> FloatArray:
        values = node.get(key, default)
        plain = isinstance(values, list) and len(values) == count
        if not plain or not all(type(value) in (int, float) and abs(value) < 1e30 for value in values):
            raise file.damaged(f"the {key} of a node is not {count} numbers")
        return np.array(values, dtype=np.float64)

    if "matrix" in node:
        return numbers("matrix", 16, []).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = numbers("rotation", 4, [0, 0, 0, 1]).tolist()
    turn = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] = np.array(turn) * numbers("scale", 3, [1, 1, 1])
    matrix[:3, 3] = numbers("translation", 3, [0, 0, 0])
    return matrix


def index_list(file: GltfFile, values: Any, upper: int) -> IntArray:
    """Return a list of the JSON part as indices below `upper`."""
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < upper for value in values):
        raise file.damaged("a list of vertices contains something else")
    return np.array(values, dtype=np.int64)


def srgb_bytes(linear: npt.NDArray[Any]) -> ByteArray:
    """Convert linear light in [0, 1] to sRGB bytes (IEC 61966-2-1)."""
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    return np.asarray(np.rint(value * 255), dtype=np.uint8)
