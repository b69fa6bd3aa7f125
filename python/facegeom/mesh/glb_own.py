"""Reading of the GLB files that facegeom wrote: their parts are joined to the mesh that was saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.mesh.gltf_buffer import MM_PER_METRE
from facegeom.mesh.gltf_file import ENTRY_BYTES, GltfFile, index_list, placed_meshes, srgb_bytes
from facegeom.mesh.mesh_arrays import MeshArrays


@dataclass
class _OwnPart:
    """A part of a mesh that facegeom wrote; k vertices of the file, t triangles."""

    rows: IntArray  # (k,), the vertex of the mesh that each vertex of the file is
    triangles: IntArray  # (t,), places in the mesh
    faces: IntArray  # (t, 3), rows of the part
    vertices: FloatArray  # (k, 3), mm
    seen: FloatArray  # (k,)
    uv: FloatArray | None
    colors: ByteArray | None
    shapes: list[Float32Array]  # (k, 3) each, mm


def own_mesh(file: GltfFile, own: dict[str, Any]) -> MeshArrays:
    """Return the mesh of a file that facegeom wrote, with the order of its vertices, regions and blendshapes."""
    n, m, placed = file.number(own, "vertices"), file.number(own, "triangles"), placed_meshes(file)
    if not placed:
        raise file.damaged("it has no mesh")
    names, weights = _names_and_weights(file, placed[0][0])
    parts: list[_OwnPart] = []
    for mesh, place in placed:
        if _names_and_weights(file, mesh) != (names, weights):
            raise file.damaged("its parts have not the same blendshapes")
        parts.append(_own_part(file, mesh, place, sum(len(part.triangles) for part in parts), len(names)))
    rows = np.concatenate([part.rows for part in parts])
    present, first = np.unique(rows, return_index=True)
    if len(present) != n or (n and present[-1] != n - 1):
        raise file.damaged(f"it has {len(present)} of {n} vertices")
    triangles = np.concatenate([part.triangles for part in parts])
    order = np.argsort(triangles, kind="stable")
    if len(triangles) != m or not np.array_equal(triangles[order], np.arange(m)):
        raise file.damaged(f"it has {len(triangles)} of {m} triangles")
    starts = np.cumsum([0, *(len(part.rows) for part in parts)])
    unrolled = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])[order]
    uv = [part.uv for part in parts if part.uv is not None]
    colors = [part.colors for part in parts if part.colors is not None]
    if len(uv) not in (0, len(parts)) or len(colors) not in (0, len(parts)):
        raise file.damaged("its parts have not the same attributes")
    regions = own.get("regions", {})
    if not isinstance(regions, dict):
        raise file.damaged("its regions are no object")
    file.budget.take((n + ENTRY_BYTES) * len(regions))
    shapes = {name: np.concatenate([part.shapes[i] for part in parts])[first] for i, name in enumerate(names)}
    return MeshArrays(
        np.concatenate([part.vertices for part in parts])[first],
        rows[unrolled],
        uv=np.concatenate(uv) if uv else None,
        uv_faces=unrolled if uv else None,
        texture=file.texture(0) if file.rows("textures") else None,
        colors=np.concatenate(colors)[first] if colors else None,
        regions={str(name): _region(file, runs, n) for name, runs in regions.items()},
        seen=np.concatenate([part.seen for part in parts])[first],
        blendshapes=shapes,
        weights={name: weight for name, weight in zip(names, weights, strict=True) if weight},
    )


def _names_and_weights(file: GltfFile, mesh: int) -> tuple[list[str], list[Any]]:
    """Return the names and the initial weights of the blendshapes of a mesh."""
    row = file.row("meshes", mesh)
    extras, weights = row.get("extras"), row.get("weights", [])
    names = extras.get("targetNames", []) if isinstance(extras, dict) else []
    if not isinstance(names, list) or not isinstance(weights, list) or len(names) != len(weights):
        raise file.damaged("it has not the same number of blendshapes and weights")
    return [str(name) for name in names], weights


def _own_part(file: GltfFile, mesh: int, place: FloatArray, before: int, count: int) -> _OwnPart:
    """Return a part with `count` blendshapes, after `before` triangles of other parts.

    `place` is the matrix (4, 4) of its node.
    """
    row = file.row("meshes", mesh)
    extras, primitives = row.get("extras"), row.get("primitives")
    own = extras.get("facegeom", {}) if isinstance(extras, dict) else None
    primitive = primitives[0] if isinstance(primitives, list) and primitives else None
    attributes = primitive.get("attributes") if isinstance(primitive, dict) else None
    if not isinstance(own, dict) or not isinstance(primitive, dict) or not isinstance(attributes, dict):
        raise file.damaged("a part has no data of facegeom")
    turn = place[:3, :3].T * MM_PER_METRE
    points = file.vectors(attributes.get("POSITION"))
    size = len(points)
    faces = _own_triangles(file, primitive, size)
    if "_ROW" in attributes:
        rows = file.accessor(attributes["_ROW"])[:, 0].astype(np.int64)
        triangles = before + np.arange(len(faces))
    else:
        doubles = index_list(file, own.get("doubles", []), 2**53)
        rows = np.concatenate([_spread(file, own.get("vertices", []), size - len(doubles)), doubles])
        triangles = _spread(file, own.get("triangles", []), len(faces))
    if len(rows) != size or len(triangles) != len(faces) or (size and int(rows.min()) < 0):
        raise file.damaged("a part has not as many places as vertices or triangles")
    targets = primitive.get("targets", [])
    if not isinstance(targets, list) or len(targets) != count or not all(isinstance(row, dict) for row in targets):
        raise file.damaged("it has not the same number of blendshapes and names")
    uv = colors = None
    if "TEXCOORD_0" in attributes:
        uv = file.scaled(attributes["TEXCOORD_0"]) * (1.0, -1.0) + (0.0, 1.0)
    if "COLOR_0" in attributes:
        colors = srgb_bytes(np.clip(file.scaled(attributes["COLOR_0"])[:, :3], 0.0, 1.0))
    return _OwnPart(
        rows,
        triangles,
        faces,
        points @ turn + place[:3, 3] * MM_PER_METRE,
        file.scaled(attributes.get("_SEEN"))[:, 0],
        uv,
        colors,
        [(file.vectors(target.get("POSITION")) @ turn).astype(np.float32) for target in targets],
    )


def _spread(file: GltfFile, runs: Any, count: int) -> IntArray:
    """Return the `count` numbers of ascending ranges, stored as [start, stop, start, stop, ...]."""
    places = index_list(file, runs, 2**53)
    starts, lengths = places[::2], places[1::2] - places[: len(places) // 2 * 2 : 2]
    if len(places) % 2 or (np.diff(places) < 0).any() or int(lengths.sum()) != count:
        raise file.damaged("the places of a part are no list of ascending pairs")
    return np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(count)


def _own_triangles(file: GltfFile, primitive: dict[str, Any], count: int) -> IntArray:
    indices = file.accessor(primitive.get("indices")).ravel().astype(np.int64)
    if len(indices) % 3 or (len(indices) and int(indices.max()) >= count):
        raise file.damaged("a triangle has a vertex that does not exist")
    return indices.reshape(-1, 3)


def _region(file: GltfFile, runs: Any, count: int) -> BoolArray:
    """Return the mask (count,) that is stored as [start, stop, start, stop, ...]."""
    places = index_list(file, runs, count + 1)
    if len(places) % 2 or (np.diff(places) < 0).any():
        raise file.damaged("a region is no list of ascending pairs")
    members = np.zeros(count, bool)
    for start, stop in zip(places[::2].tolist(), places[1::2].tolist(), strict=True):
        members[start:stop] = True
    return members
