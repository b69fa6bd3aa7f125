"""Reading of GLB files (binary glTF 2.0), those of facegeom and those of other programs.

Every count and offset in the file is compared with the data that the file contains, before anything is allocated.

References
----------
The Khronos Group: glTF 2.0 Specification, 2021.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.images.limits import TEXTURE_PIXELS
from facegeom.mesh.mesh_arrays import MeshArrays
from facegeom.mesh.sources import Budget, Material, decode_texture, join_textures, read_beside

MM_PER_METRE = 1000.0

LARGEST_JSON = 8 * 2**20
"""Maximum length in bytes of the JSON part; as Python objects it takes up to 30 times as much."""

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
"""Code of the type of a component -> NumPy's type."""

WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
"""Type of an accessor -> number of components of an element; matrices occur in animations only."""

TRIANGLES, STRIP, FAN = 4, 5, 6

ENTRY_BYTES = 4096
"""Memory that is counted for each node, primitive and region besides its data; it also limits the time for many."""

READ_EXTENSIONS = ("KHR_mesh_quantization", "KHR_materials_unlit")
"""Extensions that a file may require; others change the geometry, for example by compression."""


def read_glb(content: bytes, path: Path) -> MeshArrays:
    """Read a GLB file, in millimetres.

    Parameters
    ----------
    content : the content of the file
    path : its path, for messages and for textures in its folder

    Raises
    ------
    FacegeomError
        If the file is damaged, describes more data than it contains, or has no triangles.
    """
    tree, binary = _chunks(content, path.name)
    file = _File(tree, binary, path, Budget(len(content), path.name))
    meshes = file.rows("meshes")
    extras = meshes[0].get("extras") if meshes else None
    if isinstance(extras, dict) and "facegeom" in extras:
        return _own_mesh(file, meshes[0], extras)
    return _scene(file)


def _chunks(content: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    """Return the JSON part and the binary part of a GLB file."""
    if len(content) < 20 or content[:4] != b"glTF":
        raise FacegeomError(f"{name} is no GLB file")
    version, _, length, kind = struct.unpack("<IIII", content[4:20])
    if version != 2:
        raise FacegeomError(f"{name} is a GLB file of version {version}, and version 2 is read")
    if kind != 0x4E4F534A or 20 + length > len(content):
        raise FacegeomError(f"{name} is truncated or damaged: its JSON part is not complete")
    if length > LARGEST_JSON:
        raise FacegeomError(f"{name} has {length} bytes of JSON, and at most {LARGEST_JSON} are read")
    try:
        tree = json.loads(content[20 : 20 + length])
    except (ValueError, RecursionError) as error:
        raise FacegeomError(f"{name} is damaged: its JSON part cannot be read") from error
    if not isinstance(tree, dict):
        raise FacegeomError(f"{name} is damaged: its JSON part is no object")
    start = 20 + length
    if start + 8 > len(content):
        return tree, b""
    length, kind = struct.unpack("<II", content[start : start + 8])
    if kind != 0x004E4942 or start + 8 + length > len(content):
        raise FacegeomError(f"{name} is truncated or damaged: its binary part is not complete")
    return tree, content[start + 8 : start + 8 + length]


@dataclass
class _File:
    """The parts of a GLB file. All methods raise FacegeomError where the file is damaged."""

    tree: dict[str, Any]
    binary: bytes
    path: Path
    budget: Budget
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # those of the tree that are checked
    buffers: dict[int, bytes] = field(default_factory=dict)
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
        data = self.buffer(row.get("buffer"))
        place, length = self.number(row, "byteOffset", 0), self.number(row, "byteLength")
        if place + length > len(data):
            raise self.damaged("a buffer view is longer than its buffer")
        return data, place, length, self.number(row, "byteStride", 0)

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

    def texture(self, index: Any) -> ByteArray | None:
        """Return the picture of a texture (h, w, 3), None if it is not in the file and not in its folder."""
        source = self.number(self.row("textures", index), "source")
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


# ---- files of facegeom -----------------------------------------------------------------------------------------------


def _own_mesh(file: _File, mesh: dict[str, Any], extras: dict[str, Any]) -> MeshArrays:
    """Return the mesh of a file that facegeom wrote, with the order of its vertices, regions and blendshapes."""
    own, primitives = extras["facegeom"], mesh.get("primitives")
    primitive = primitives[0] if isinstance(primitives, list) and primitives else None
    attributes = primitive.get("attributes") if isinstance(primitive, dict) else None
    if not isinstance(own, dict) or primitive is None or not isinstance(attributes, dict):
        raise file.damaged("the mesh has no data of facegeom")
    position = file.accessor(attributes.get("POSITION"))
    n = file.number(own, "vertices")
    if n > len(position):
        raise file.damaged(f"it has {len(position)} of {n} vertices")
    source = np.concatenate([np.arange(n), _indices(file, own.get("doubles", []), n)])
    unrolled = _own_triangles(file, primitive, len(source))
    uv = texture = colors = None
    if "TEXCOORD_0" in attributes:
        uv = file.accessor(attributes["TEXCOORD_0"]).astype(np.float64) * (1.0, -1.0) + (0.0, 1.0)
    if "COLOR_0" in attributes:
        colors = srgb_bytes(file.accessor(attributes["COLOR_0"])[:n, :3] / 65535.0)
    if file.rows("images"):
        texture = file.texture(0)
    names, weights = extras.get("targetNames", []), mesh.get("weights", [])
    targets = primitive.get("targets", [])
    if not (isinstance(names, list) and isinstance(weights, list) and isinstance(targets, list)) or not (
        len(names) == len(weights) == len(targets) and all(isinstance(target, dict) for target in targets)
    ):
        raise file.damaged("it has not the same number of blendshapes, names and weights")
    shapes = {}
    for name, target in zip(names, targets, strict=True):
        shapes[str(name)] = file.accessor(target.get("POSITION"))[:n] * np.float32(MM_PER_METRE)
    regions = own.get("regions", {})
    if not isinstance(regions, dict):
        raise file.damaged("its regions are no object")
    file.budget.take((n + ENTRY_BYTES) * len(regions))
    return MeshArrays(
        position[:n].astype(np.float64) * MM_PER_METRE,
        source[unrolled],
        uv=uv,
        uv_faces=None if uv is None else unrolled,
        texture=texture,
        colors=colors,
        regions={str(name): _region(file, runs, n) for name, runs in regions.items()},
        seen=file.accessor(attributes.get("_SEEN"))[:n, 0].astype(np.float64),
        blendshapes=shapes,
        weights={str(name): weight for name, weight in zip(names, weights, strict=True) if weight},
    )


def _own_triangles(file: _File, primitive: dict[str, Any], count: int) -> IntArray:
    indices = file.accessor(primitive.get("indices")).ravel().astype(np.int64)
    if len(indices) % 3 or (len(indices) and int(indices.max()) >= count):
        raise file.damaged("a triangle has a vertex that does not exist")
    return indices.reshape(-1, 3)


def _indices(file: _File, values: Any, upper: int) -> IntArray:
    """Return a list of the JSON part as indices below `upper`."""
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < upper for value in values):
        raise file.damaged("a list of vertices contains something else")
    return np.array(values, dtype=np.int64)


def _region(file: _File, runs: Any, count: int) -> BoolArray:
    """Return the mask (count,) that is stored as [start, stop, start, stop, ...]."""
    places = _indices(file, runs, count + 1)
    if len(places) % 2 or (np.diff(places) < 0).any():
        raise file.damaged("a region is no list of ascending pairs")
    members = np.zeros(count, bool)
    for start, stop in zip(places[::2].tolist(), places[1::2].tolist(), strict=True):
        members[start:stop] = True
    return members


# ---- files of other programs -----------------------------------------------------------------------------------------


@dataclass
class _Joined:
    """The primitives of all nodes, joined; texture coordinates have v up."""

    vertices: list[FloatArray] = field(default_factory=list)
    faces: list[IntArray] = field(default_factory=list)
    uv: list[FloatArray | None] = field(default_factory=list)
    colors: list[ByteArray | None] = field(default_factory=list)
    material_of: list[IntArray] = field(default_factory=list)
    materials: dict[Any, int] = field(default_factory=dict)
    count: int = 0


def _scene(file: _File) -> MeshArrays:
    """Return all triangles of the scene as one mesh, in millimetres."""
    required = file.tree.get("extensionsRequired", [])
    missing = [str(name) for name in required if name not in READ_EXTENSIONS] if isinstance(required, list) else []
    if missing:
        raise FacegeomError(f"{file.path.name} needs the glTF extension {missing[0][:60]}, which is not read")
    joined = _Joined()
    for mesh, place in _placed_meshes(file):
        primitives = file.row("meshes", mesh).get("primitives")
        if not isinstance(primitives, list) or not all(isinstance(row, dict) for row in primitives):
            raise file.damaged("a mesh has no primitives")
        for primitive in primitives:
            _add(file, primitive, place, joined)
    if not joined.count or not sum(map(len, joined.faces)):
        raise FacegeomError(f"{file.path.name} contains no triangles")
    vertices, faces = np.concatenate(joined.vertices), np.concatenate(joined.faces)
    coordinates = [part for part in joined.uv if part is not None]
    if coordinates:
        parts = zip(joined.uv, joined.vertices, strict=True)
        uv = np.concatenate([np.zeros((len(points), 2)) if part is None else part for part, points in parts])
        materials = [file.material(index) for index in joined.materials]
        uv, uv_faces, texture = join_textures(uv, faces, materials, np.concatenate(joined.material_of), file.path.name)
        return MeshArrays(vertices, faces, uv=uv, uv_faces=uv_faces, texture=texture)
    if any(part is not None for part in joined.colors):
        white = (np.full((len(points), 3), 255, np.uint8) for points in joined.vertices)
        parts_of_colour = zip(joined.colors, white, strict=True)
        colors = np.concatenate([other if part is None else part for part, other in parts_of_colour])
        return MeshArrays(vertices, faces, colors=colors)
    return MeshArrays(vertices, faces)


def _placed_meshes(file: _File) -> list[tuple[int, FloatArray]]:
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


def _children(file: _File, row: dict[str, Any], key: str) -> list[int]:
    children: list[int] = _indices(file, row.get(key, []), len(file.rows("nodes"))).tolist()
    return children


def _matrix(file: _File, node: dict[str, Any]) -> FloatArray:
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


def _add(file: _File, primitive: dict[str, Any], place: FloatArray, joined: _Joined) -> None:
    """Add a primitive of a mesh, moved by the matrix of its node; points and lines are left out."""
    file.budget.take(ENTRY_BYTES)
    mode = primitive.get("mode", TRIANGLES)
    if mode not in (TRIANGLES, STRIP, FAN):
        return
    attributes = primitive.get("attributes")
    if not isinstance(attributes, dict) or "POSITION" not in attributes:
        raise file.damaged("a primitive has no positions")
    points = file.scaled(attributes["POSITION"])
    if points.shape[1] != 3:
        raise file.damaged("positions are not three numbers")
    if "indices" in primitive:
        indices = file.accessor(primitive["indices"]).ravel()
        if indices.dtype.kind != "u":
            raise file.damaged("indices are not unsigned integers")
        indices = indices.astype(np.int64)
    else:
        indices = np.arange(len(points))
    file.budget.take(100 * len(points) + 100 * len(indices))  # with the copies of a mesh
    if len(indices) and int(indices.max()) >= len(points):
        raise file.damaged("a triangle has a vertex that does not exist")
    faces = _triangles(indices, mode)
    if np.linalg.det(place[:3, :3]) < 0:  # a mirrored node
        faces = faces[:, ::-1]
    uv = colors = None
    if "TEXCOORD_0" in attributes:
        uv = file.scaled(attributes["TEXCOORD_0"])
        if uv.shape != (len(points), 2):
            raise file.damaged("texture coordinates do not fit the positions")
        uv = uv * (1.0, -1.0) + (0.0, 1.0)
    elif "COLOR_0" in attributes:
        linear = file.scaled(attributes["COLOR_0"])
        if len(linear) != len(points) or linear.shape[1] < 3:
            raise file.damaged("colours do not fit the positions")
        colors = srgb_bytes(np.clip(np.nan_to_num(linear[:, :3]), 0.0, 1.0))
    material = primitive.get("material")
    if material is not None:
        file.row("materials", material)
    joined.vertices.append((points @ place[:3, :3].T + place[:3, 3]) * MM_PER_METRE)
    joined.faces.append(faces + joined.count)
    joined.uv.append(uv)
    joined.colors.append(colors)
    joined.material_of.append(np.full(len(faces), joined.materials.setdefault(material, len(joined.materials))))
    joined.count += len(points)


def _triangles(indices: IntArray, mode: int) -> IntArray:
    """Return the triangles (m, 3) of a list, a strip or a fan of vertices."""
    if mode == TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    count = max(0, len(indices) - 2)
    if mode == FAN:
        return np.column_stack([np.repeat(indices[:1], count), indices[1 : count + 1], indices[2 : count + 2]])
    strip = np.column_stack([indices[:count], indices[1 : count + 1], indices[2 : count + 2]])
    strip[1::2] = strip[1::2][:, [1, 0, 2]]
    return strip


def srgb_bytes(linear: npt.NDArray[Any]) -> ByteArray:
    """Convert linear light in [0, 1] to sRGB bytes (IEC 61966-2-1)."""
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    return np.asarray(np.rint(value * 255), dtype=np.uint8)
