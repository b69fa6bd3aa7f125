"""Reading of PLY files: text, and binary of both byte orders."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.mesh.mesh_arrays import MeshArrays
from facegeom.mesh.sources import Budget, decode_texture, read_beside
from facegeom.mesh.text import PIECE, count_words, numbers

TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
"""Name of a type in the header -> NumPy's code of the type."""

BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}

LARGEST_HEADER = 2**16
"""Maximum length of the header in bytes."""

MOST_CORNERS = 255
"""Maximum number of corners of a polygon."""

INDEX_NAMES = ("vertex_index", "vertex_indices")
UV_NAMES = (("texture_u", "texture_v"), ("u", "v"), ("s", "t"))


@dataclass
class Element:
    """An element of the header, such as the vertices: its number of rows, and the type of each property.

    The type of a list is a pair: the type of its length, and that of its entries.
    """

    name: str
    count: int
    properties: dict[str, str | tuple[str, str]] = field(default_factory=dict)

    @property
    def lists(self) -> list[str]:
        """Names of the properties that are lists."""
        return [name for name, kind in self.properties.items() if isinstance(kind, tuple)]


def read_ply(content: bytes, path: Path) -> MeshArrays:
    """Read a PLY file, with the colours or the texture coordinates of its vertices, or those of its triangles.

    Raises
    ------
    FacegeomError
        If the file is damaged, or has no triangles.

    Notes
    -----
    Polygons with more than three corners are divided into a fan of triangles. In a binary file, all polygons must have
    the same number of corners.
    """
    name = path.name
    order, elements, texture_name, start = _header(content, name)
    budget = Budget(len(content), name)
    columns: dict[str, dict[str, Any]] = {}
    for element in elements:
        budget.take(16 * element.count)
        if order == "":
            columns[element.name], start = _text_rows(content, start, element, budget)
        else:
            columns[element.name], start = _binary_rows(content, start, element, order, name)
    vertex, face = columns.get("vertex", {}), columns.get("face", {})
    if not {"x", "y", "z"} <= set(vertex):
        raise FacegeomError(f"{name} has no vertices with x, y and z")
    polygons: Any = next((face[key] for key in INDEX_NAMES if key in face), [])
    if not len(polygons):
        raise FacegeomError(f"{name} contains no triangles")
    vertices = np.column_stack([vertex[axis] for axis in "xyz"]).astype(np.float64)
    faces = _triangles(polygons).astype(np.int64)
    uv = uv_faces = texture = colors = None
    if "texcoord" in face:
        uv, uv_faces = _corner_uv(face["texcoord"], polygons, name)
    else:
        for pair in UV_NAMES:
            if set(pair) <= set(vertex):
                uv = np.column_stack([vertex[axis] for axis in pair]).astype(np.float64)
    if uv is not None and texture_name is not None:
        picture = read_beside(path, texture_name)
        texture = None if picture is None else decode_texture(picture, texture_name)
    elif uv is None and {"red", "green", "blue"} <= set(vertex):
        colors = _colours([vertex[channel] for channel in ("red", "green", "blue")])
    return MeshArrays(vertices, faces, uv=uv, uv_faces=uv_faces, texture=texture, colors=colors)


def _header(content: bytes, name: str) -> tuple[str, list[Element], str | None, int]:
    """Return byte order, elements, the name of the texture, and the place of the data."""
    found = re.match(rb"ply\r?\n(.*?)^end_header[ \t]*\r?\n", content[:LARGEST_HEADER], re.DOTALL | re.MULTILINE)
    if found is None:
        raise FacegeomError(f"{name} has no header of a PLY file")
    order: str | None = None
    elements: list[Element] = []
    texture = None
    for line in found[1].decode("utf-8", "replace").splitlines():
        words = line.split()
        match words:
            case ["format", kind, *_] if kind in BYTE_ORDERS:
                order = BYTE_ORDERS[kind]
            case ["element", kind, count] if count.isdecimal() and len(count) < 19:
                elements.append(Element(kind, int(count)))
            case ["property", "list", size, kind, label] if elements and size in TYPES and kind in TYPES:
                elements[-1].properties[label] = (TYPES[size], TYPES[kind])
            case ["property", kind, label] if elements and kind in TYPES:
                elements[-1].properties[label] = TYPES[kind]
            case ["comment", "TextureFile", *rest]:
                texture = " ".join(rest)
            case ["comment" | "obj_info", *_] | []:
                pass
            case _:
                raise FacegeomError(f"{name} has the line {line[:60]!r} in its header, which PLY does not have")
    if order is None:
        raise FacegeomError(f"{name} does not say in its header whether it is text or binary")
    if len({element.name for element in elements}) != len(elements):
        raise FacegeomError(f"{name} describes an element twice")
    return order, elements, texture, found.end()


def _binary_rows(content: bytes, start: int, element: Element, order: str, name: str) -> tuple[dict[str, Any], int]:
    """Return the columns of an element, and the place after it. Lists have the same length in all rows."""
    if not element.count or not element.properties:
        return {}, start
    fields: list[Any] = []
    for number, (label, kind) in enumerate(element.properties.items()):
        if isinstance(kind, str):
            fields.append((label, order + kind))
            continue
        size = np.dtype(order + kind[0])
        place = start + np.dtype(fields).itemsize
        if size.kind == "f" or place + size.itemsize > len(content):
            raise FacegeomError(f"{name} is truncated, or damaged in its lists")
        length = int(np.frombuffer(content, size, 1, place)[0])
        if not 0 <= length <= MOST_CORNERS * 2:
            raise FacegeomError(f"{name} has a list of {length} entries, and at most {MOST_CORNERS * 2} are read")
        fields += [(f"{number} length", size), (label, order + kind[1], (length,))]
    row = np.dtype(fields)
    stop = start + element.count * row.itemsize
    if stop > len(content):
        raise FacegeomError(
            f"{name} is truncated, or its polygons have different numbers of corners: {element.count} rows of "
            f"{element.name!r} take {element.count * row.itemsize} bytes, and {len(content) - start} follow"
        )
    rows = np.frombuffer(content, row, element.count, start)
    for label in (str(entry[0]) for entry in fields if str(entry[0]).endswith(" length")):
        if (rows[label] != rows[label][0]).any():
            raise FacegeomError(f"{name} has polygons with different numbers of corners: divide them into triangles")
    return {label: rows[label] for label in element.properties}, stop


def _text_rows(content: bytes, start: int, element: Element, budget: Budget) -> tuple[dict[str, Any], int]:
    """Return the columns of an element, and the place after it; each row is a line. Lists may have any lengths."""
    name = budget.name
    stop = _after_lines(content, start, element.count, name)
    if not element.count or not element.properties:
        return {}, stop
    text = content[start:stop]
    lists = element.lists
    if not lists:
        values = numbers(text, name, element.count * len(element.properties)).reshape(element.count, -1)
        return {
            label: values[:, column].astype(kind if kind[0] in "iu" else "f8")
            for column, (label, kind) in enumerate(element.properties.items())
            if isinstance(kind, str)
        }, stop
    budget.take(12 * len(text))  # a list of Python's floats takes that much for the shortest numbers
    values = numbers(text, name, count_words(text))
    columns: dict[str, list[Any]] = {label: [] for label in element.properties}
    first = text[: text.find(b"\n")].split()
    if len(lists) == 1 and len(values) == element.count * len(first):  # all rows have the same length, it seems
        table = values.reshape(element.count, -1)
        before = list(element.properties).index(lists[0])
        length = len(first) - len(element.properties)
        if (table[:, before] == length).all():
            return {lists[0]: table[:, before + 1 : before + 1 + length]}, stop
    budget.take(200 * element.count)
    flat: Any = values.tolist()
    place = 0
    for _ in range(element.count):
        for label, kind in element.properties.items():
            if place >= len(flat):
                raise FacegeomError(f"{name} is damaged: a list is longer than its line")
            if isinstance(kind, str):
                place += 1
                continue
            length = int(flat[place]) if 0 <= flat[place] <= 2 * MOST_CORNERS else -1
            if length < 0 or place + 1 + length > len(flat):
                raise FacegeomError(f"{name} has a list that is longer than its line or than {2 * MOST_CORNERS}")
            columns[label].append(flat[place + 1 : place + 1 + length])
            place += 1 + length
    return {label: rows for label, rows in columns.items() if rows}, stop


def _after_lines(content: bytes, start: int, count: int, name: str) -> int:
    """Return the place after `count` lines."""
    stop = start
    while count:
        ends = np.flatnonzero(np.frombuffer(content[stop : stop + PIECE], np.uint8) == ord("\n"))
        if len(ends) >= count:
            return stop + int(ends[count - 1]) + 1
        count -= len(ends)
        stop += PIECE
        if stop >= len(content):
            if count == 1 and not content.endswith(b"\n"):  # the last line has no end
                return len(content)
            raise FacegeomError(f"{name} is truncated: {count} lines are missing")
    return stop


def _triangles(polygons: Any) -> npt.NDArray[Any]:
    """Divide polygons, an array (m, c) or a list of lists, into fans of triangles (k, 3)."""
    if isinstance(polygons, list):
        by_length: dict[int, list[Any]] = {}
        for polygon in polygons:
            by_length.setdefault(len(polygon), []).append(polygon)
        if len(by_length) > 1:
            fans = [
                [polygon[0], polygon[i], polygon[i + 1]] for polygon in polygons for i in range(1, len(polygon) - 1)
            ]
            return np.array(fans).reshape(-1, 3)
        polygons = np.array(polygons)
    corners = np.asarray(polygons)
    fan = [corners[:, [0, i, i + 1]] for i in range(1, corners.shape[1] - 1)]
    return np.stack(fan, axis=1).reshape(-1, 3) if fan else np.empty((0, 3))


def _corner_uv(texcoord: Any, polygons: Any, name: str) -> tuple[FloatArray, IntArray]:
    """Return texture coordinates (k, 2), and the rows of them at the corners of the triangles (m, 3)."""
    lengths = [len(polygon) for polygon in polygons]
    if [len(row) for row in texcoord] != [2 * length for length in lengths]:
        raise FacegeomError(f"{name} has texture coordinates that do not fit the corners of its triangles")
    uv = np.concatenate([np.asarray(row, dtype=np.float64) for row in texcoord]).reshape(-1, 2)
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1].tolist()
    rows = [list(range(start, start + length)) for start, length in zip(starts, lengths, strict=True)]
    distinct, place = np.unique(uv, axis=0, return_inverse=True)
    return distinct, place.ravel()[_triangles(rows).astype(np.int64)]


def _colours(channels: list[npt.NDArray[Any]]) -> ByteArray:
    """Return colours (n, 3) from three columns: integers from 0 to 255, or floats from 0 to 1."""
    values = np.column_stack(channels).astype(np.float64)
    if all(channel.dtype.kind == "f" for channel in channels) and values.size and values.max() <= 1.0:
        values = values * 255.0
    return np.asarray(np.clip(np.rint(np.nan_to_num(values)), 0, 255), dtype=np.uint8)
