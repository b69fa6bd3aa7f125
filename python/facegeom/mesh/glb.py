"""Reading of GLB files (binary glTF 2.0), those of facegeom and those of other programs.

Every count and offset in the file is compared with the data that the file contains, before anything is allocated.

References
----------
The Khronos Group: glTF 2.0 Specification, 2021.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.mesh.glb_own import own_mesh
from facegeom.mesh.gltf_buffer import MESHOPT, MM_PER_METRE
from facegeom.mesh.gltf_file import ENTRY_BYTES, GltfFile, placed_meshes, srgb_bytes
from facegeom.mesh.mesh_arrays import MeshArrays
from facegeom.mesh.sources import Budget, join_textures

LARGEST_JSON = 8 * 2**20
"""Maximum length in bytes of the JSON part; as Python objects it takes up to 30 times as much."""

TRIANGLES, STRIP, FAN = 4, 5, 6

READ_EXTENSIONS = ("KHR_mesh_quantization", "KHR_materials_unlit", "EXT_texture_webp", MESHOPT)
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
    file = GltfFile(tree, binary, path, Budget(len(content), path.name))
    required = tree.get("extensionsRequired", [])
    missing = [str(name) for name in required if name not in READ_EXTENSIONS] if isinstance(required, list) else []
    if missing:
        raise FacegeomError(f"{path.name} needs the glTF extension {missing[0][:60]}, which is not read")
    extras = tree.get("extras")
    if isinstance(extras, dict) and isinstance(extras.get("facegeom"), dict):
        return own_mesh(file, extras["facegeom"])
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
class _Joined:
    """The primitives of all nodes, joined; texture coordinates have v up."""

    vertices: list[FloatArray] = field(default_factory=list)
    faces: list[IntArray] = field(default_factory=list)
    uv: list[FloatArray | None] = field(default_factory=list)
    colors: list[ByteArray | None] = field(default_factory=list)
    material_of: list[IntArray] = field(default_factory=list)
    materials: dict[Any, int] = field(default_factory=dict)
    count: int = 0


def _scene(file: GltfFile) -> MeshArrays:
    """Return all triangles of the scene as one mesh, in millimetres."""
    joined = _Joined()
    for mesh, place in placed_meshes(file):
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


def _add(file: GltfFile, primitive: dict[str, Any], place: FloatArray, joined: _Joined) -> None:
    """Add a primitive of a mesh, moved by the matrix of its node; points and lines are left out."""
    file.budget.take(ENTRY_BYTES)
    mode = primitive.get("mode", TRIANGLES)
    if mode not in (TRIANGLES, STRIP, FAN):
        return
    attributes = primitive.get("attributes")
    if not isinstance(attributes, dict) or "POSITION" not in attributes:
        raise file.damaged("a primitive has no positions")
    points = file.vectors(attributes["POSITION"])
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
