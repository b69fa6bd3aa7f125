"""Reading of OBJ files, with their materials and textures."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.images.limits import TEXTURE_PIXELS
from facegeom.mesh.mesh_arrays import MeshArrays
from facegeom.mesh.sources import Budget, Material, decode_texture, join_textures, read_beside
from facegeom.mesh.text import integers, numbers

LARGEST_MATERIAL_FILE = 2**20
"""Maximum size of a material file in bytes."""

MOST_LIBRARIES = 16
"""Maximum number of material files that are read."""

PIECE = 2**20
"""Number of bytes that are parsed at once; the lists of words take a hundred times as much."""

NO_MATERIAL = ""

LINE = re.compile(rb"^[ \t]*(v|vt|f|usemtl|mtllib)[ \t]+([^\r\n]*)", re.MULTILINE)
"""A line that is read: its first word, and the rest."""


@dataclass
class _Content:
    """What has been read of an OBJ file; indices count from 0, and -1 stands for no texture coordinate."""

    vertices: list[FloatArray] = field(default_factory=list)
    colors: list[FloatArray | None] = field(default_factory=list)
    uv: list[FloatArray] = field(default_factory=list)
    faces: list[IntArray] = field(default_factory=list)
    uv_faces: list[IntArray] = field(default_factory=list)
    material_of: list[IntArray] = field(default_factory=list)
    material: str = NO_MATERIAL
    materials: dict[str, int] = field(default_factory=lambda: {NO_MATERIAL: 0})
    libraries: list[str] = field(default_factory=list)
    count: int = 0  # of vertices
    uv_count: int = 0


def read_obj(content: bytes, path: Path) -> MeshArrays:
    """Read an OBJ file: vertices, their colours, texture coordinates, polygons, and the textures of the materials.

    Raises
    ------
    FacegeomError
        If the file is damaged, or has no triangles.

    Notes
    -----
    The vertices keep the order of the file. Polygons are divided into fans of triangles. The textures of several
    materials are joined to one. Groups, normals, lines, curves and surfaces are left out.
    """
    name = path.name
    if b"\0" in content[:PIECE]:
        raise FacegeomError(f"{name} is no OBJ file: it is not a text")
    budget = Budget(len(content), name)
    found = _Content()
    place = 0
    while place < len(content):
        stop = content.rfind(b"\n", place, place + PIECE) + 1
        if stop <= place:  # a line longer than a piece
            stop = content.find(b"\n", place) + 1 or len(content)
            if stop - place > 2 * PIECE:
                raise FacegeomError(f"{name} is damaged: it has a line of {stop - place} bytes")
        piece = content[place:stop].replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
        _read_piece(piece, found, budget)
        place = stop
    return _mesh(found, path)


def _read_piece(piece: bytes, found: _Content, budget: Budget) -> None:
    """Read some lines; those of the same kind are parsed together."""
    lines = LINE.findall(piece)
    if not lines:
        return
    found.libraries += [os.fsdecode(rest.strip()) for kind, rest in lines if kind == b"mtllib"]
    kinds = np.array([kind for kind, _ in lines])
    is_vertex, is_coordinate, is_polygon = (kinds == kind for kind in (b"v", b"vt", b"f"))
    if is_vertex.any():
        vertices = [rest for kind, rest in lines if kind == b"v"]
        budget.take(48 * len(vertices))
        values = _table(vertices, 3, budget.name)
        found.vertices.append(values[:, :3])
        found.colors.append(values[:, 3:6] if values.shape[1] in (6, 7) else None)
    if is_coordinate.any():
        coordinates = [rest for kind, rest in lines if kind == b"vt"]
        budget.take(48 * len(coordinates))
        values = _table(coordinates, 1, budget.name)
        found.uv.append(np.column_stack([values[:, 0], values[:, 1] if values.shape[1] > 1 else 0.0 * values[:, 0]]))
    material = _materials_of_lines(lines, kinds, found)
    if is_polygon.any():
        polygons = [rest for kind, rest in lines if kind == b"f"]
        before = found.count + np.cumsum(is_vertex), found.uv_count + np.cumsum(is_coordinate)
        rows = np.column_stack([material, *before])[is_polygon]
        _read_polygons(polygons, rows, found, budget)
    found.count += int(is_vertex.sum())
    found.uv_count += int(is_coordinate.sum())


def _materials_of_lines(lines: list[tuple[bytes, bytes]], kinds: npt.NDArray[np.bytes_], found: _Content) -> IntArray:
    """Return the number of the material that is in use at each line."""
    used = np.full(len(lines), -1)
    used[0] = found.materials.setdefault(found.material, len(found.materials))
    for row in np.flatnonzero(kinds == b"usemtl").tolist():
        found.material = os.fsdecode(lines[row][1].strip())
        used[row] = found.materials.setdefault(found.material, len(found.materials))
    return used[np.maximum.accumulate(np.where(used >= 0, np.arange(len(lines)), 0))]


def _table(lines: list[bytes], least: int, name: str) -> FloatArray:
    """Return lines of at least `least` numbers as an array; where they have different lengths, the common columns."""
    width = len(lines[0].split())
    if width < least:
        raise FacegeomError(f"{name} is damaged: a line has {width} numbers instead of {least}")
    try:
        return numbers(b" ".join(lines), name, width * len(lines)).reshape(-1, width)
    except FacegeomError:
        rows = [line.split() for line in lines]
        common = min(map(len, rows))
        if common < least or common == max(map(len, rows)):
            raise
        return numbers(b" ".join(b" ".join(row[:common]) for row in rows), name, common * len(rows)).reshape(-1, common)


def _read_polygons(lines: list[bytes], rows: IntArray, found: _Content, budget: Budget) -> None:
    """Read lines such as `1/1 2/2 3/3`.

    `rows` (n, 3) contains the material of each line, and the numbers of vertices and coordinates before it, from which
    negative numbers count backwards.
    """
    name = budget.name
    lengths = _word_counts(lines)
    total = int(lengths.sum())
    budget.take(104 * max(0, total - 2 * len(lines)))
    text = b" ".join(lines)
    slashes, double = text.count(b"/"), text.count(b"//")
    first = text.split(None, 1)[0].strip(b"/")
    parts = len(first.replace(b"//", b"/").split(b"/"))
    if (not double and slashes == (parts - 1) * total) or (parts == 2 and double == total and slashes == 2 * total):
        flat = integers(text.replace(b"/", b" "), name, parts * total).reshape(-1, parts)
        corners = flat[:, 0]
        uv_corners = flat[:, 1] if parts > 1 and not double else np.zeros(total, np.int64)
    else:
        words = [word.split(b"/") for word in text.split()]
        corners = integers(b" ".join(word[0] for word in words), name, total)
        chosen = [word[1] if len(word) > 1 and word[1] else b"0" for word in words]
        uv_corners = integers(b" ".join(chosen), name, total)
    if (corners == 0).any():
        raise FacegeomError(f"{name} is damaged: a polygon has the vertex 0, and OBJ counts from 1")
    _, vertices, coordinates = np.repeat(rows, lengths, axis=0).T
    fan = _fans(lengths)
    found.faces.append(np.where(corners > 0, corners - 1, corners + vertices)[fan])
    forward = np.where(uv_corners > 0, uv_corners - 1, -1)
    found.uv_faces.append(np.where(uv_corners < 0, uv_corners + coordinates, forward)[fan])
    found.material_of.append(np.repeat(rows[:, 0], np.maximum(lengths - 2, 0)))


def _word_counts(lines: list[bytes]) -> IntArray:
    """Return the number of words of each line."""
    letters = np.frombuffer(b"\n" + b"\n".join(lines), np.uint8)
    starts = np.concatenate([[False], (letters[1:] > ord(" ")) & (letters[:-1] <= ord(" "))])
    return np.add.reduceat(starts, np.flatnonzero(letters == ord("\n")), dtype=np.int64)


def _fans(lengths: IntArray) -> IntArray:
    """Return the triangles (k, 3) of fans, as rows of the corners of polygons with the given numbers of corners."""
    starts = np.cumsum(lengths) - lengths
    if (lengths == 3).all():
        return starts[:, None] + np.arange(3)
    triangles = np.maximum(lengths - 2, 0)
    of_polygon = np.repeat(np.arange(len(lengths)), triangles)
    number = np.arange(len(of_polygon)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    first = starts[of_polygon]
    return np.column_stack([first, first + number + 1, first + number + 2])


def _mesh(found: _Content, path: Path) -> MeshArrays:
    """Return the mesh of the content of an OBJ file."""
    if not found.vertices or not sum(map(len, found.faces)):
        raise FacegeomError(f"{path.name} contains no triangles")
    vertices, faces = np.concatenate(found.vertices), np.concatenate(found.faces)
    uv_faces = np.concatenate(found.uv_faces)
    if not found.uv or (uv_faces < 0).all():
        colors = None
        if all(part is not None for part in found.colors):
            colors = _bytes(np.concatenate([part for part in found.colors if part is not None]))
        return MeshArrays(vertices, faces, colors=colors)
    uv = np.concatenate(found.uv)
    if (uv_faces < 0).any():  # corners without a texture coordinate
        uv = np.vstack([uv, np.zeros((1, 2))])
        uv_faces = np.where(uv_faces < 0, len(uv) - 1, uv_faces)
    if uv_faces.max() >= len(uv):
        raise FacegeomError(f"{path.name} is damaged: it has {len(uv)} texture coordinates, not {uv_faces.max() + 1}")
    library = _materials(found, path)
    materials = [library.get(name, Material()) for name in found.materials]
    uv, uv_faces, texture = join_textures(uv, uv_faces, materials, np.concatenate(found.material_of), path.name)
    return MeshArrays(vertices, faces, uv=uv, uv_faces=uv_faces, texture=texture)


def _bytes(colors: FloatArray) -> ByteArray:
    """Return colours (n, 3) from 0 to 1, or from 0 to 255, as bytes."""
    scale = 255.0 if colors.size and np.nanmax(colors) <= 1.0 else 1.0
    return np.asarray(np.clip(np.rint(np.nan_to_num(colors * scale)), 0, 255), dtype=np.uint8)


def _materials(found: _Content, path: Path) -> dict[str, Material]:
    """Return the materials that are used, by name."""
    materials: dict[str, Material] = {}
    textures: dict[str, ByteArray | None] = {}
    pixels = TEXTURE_PIXELS
    for library in found.libraries[:MOST_LIBRARIES]:
        content = read_beside(path, library, LARGEST_MATERIAL_FILE)
        name = None
        for line in (content or b"").splitlines():
            key, _, value = os.fsdecode(line.strip()).partition(" ")
            value = value.strip()
            if key.lower() == "newmtl":
                name = value if value in found.materials else None
                if name is not None:
                    materials.setdefault(name, Material())
            elif name is None:
                continue
            elif key.lower() == "kd" and materials[name].texture is None:
                materials[name] = Material(colour=_colour(value))
            elif key.lower() == "map_kd":
                if value not in textures:
                    picture = read_beside(path, value)
                    texture = None if picture is None else decode_texture(picture, value, pixels)
                    textures[value] = texture
                    pixels -= 0 if texture is None else texture.size // 3
                materials[name] = Material(textures[value], materials[name].colour)
    return materials


def _colour(value: str) -> tuple[int, int, int]:
    """Return the colour that a line `Kd` gives, white if it is damaged."""
    try:
        red, green, blue = (round(255 * min(1.0, max(0.0, float(word)))) for word in value.split())
    except (ValueError, OverflowError):
        return 255, 255, 255
    return red, green, blue
