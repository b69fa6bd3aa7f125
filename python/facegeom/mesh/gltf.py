"""Face meshes as binary glTF 2.0 files, written and read through pygltflib."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib
from PIL import Image

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.mesh.mesh_arrays import MeshArrays

METRE = 1000.0  # mm
MOVED_MM = 0.02
"""A vertex that a blendshape moves by no more along each axis is left out of it: half of a face's, and none to see."""
TURNED = 0.01
"""Likewise a normal that it turns by no more than this (0.6 degrees)."""
COMPONENTS = {pygltflib.FLOAT: np.float32, pygltflib.UNSIGNED_SHORT: np.uint16, pygltflib.UNSIGNED_INT: np.uint32}
WIDTHS = {pygltflib.SCALAR: 1, pygltflib.VEC2: 2, pygltflib.VEC3: 3, pygltflib.VEC4: 4}


def encode(mesh: MeshArrays) -> bytes:
    """Return the mesh as the bytes of a GLB file: metres, normals, texture or linear vertex colours.

    Notes
    -----
    glTF has one texture coordinate a vertex: vertices along the atlas's cuts are doubled, the doubles last. What glTF
    has no word for (regions, which vertices are doubles) is kept in the mesh's `extras`, and `seen` as the attribute
    `_SEEN`. glTF's vertex colours are linear light, so the photo's sRGB values are converted.

    Blendshapes are morph targets, their names in `extras.targetNames`, where viewers look for them. They hold the
    change of normals too, without which a viewer would go on shading a closed lid or an open jaw as it was: of the 51
    on a face of 30,000 vertices, positions take 9.0 MB and normals 6.3, as sparse accessors; whole, 18.8 each.
    """
    buffer = _Buffer()
    doubles: list[int] = []
    source = np.arange(len(mesh.vertices))
    faces = mesh.faces
    uv = None
    if mesh.uv is not None:
        source, uv, faces = mesh.unrolled()
        doubles = source[len(mesh.vertices) :].tolist()
    attributes = pygltflib.Attributes(
        POSITION=buffer.add(mesh.vertices[source] / METRE, np.float32, bounds=True),
        NORMAL=buffer.add(_unit_normals(mesh.vertices, mesh.faces)[source], np.float32),
    )
    if uv is not None:
        attributes.TEXCOORD_0 = buffer.add(uv * (1.0, -1.0) + (0.0, 1.0), np.float32)
    if mesh.colors is not None and mesh.texture is None:
        attributes.COLOR_0 = buffer.add(_linear_rgba(mesh.colors[source]), np.uint16, normalized=True)
    attributes._SEEN = buffer.add(mesh.seen[source], np.float32)
    indices = buffer.add(faces.ravel(), np.uint32, target=pygltflib.ELEMENT_ARRAY_BUFFER)
    targets = _targets(buffer, mesh, source)

    extras = {
        "vertices": len(mesh.vertices),
        "doubles": doubles,
        "regions": {name: _runs(members) for name, members in mesh.regions.items()},
    }
    name = "head" if "scalp" in mesh.regions and mesh.regions["scalp"].any() else "face"
    material = pygltflib.Material(
        name=name,
        pbrMetallicRoughness=pygltflib.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=0.9),
        doubleSided=True,
        alphaCutoff=None,
    )
    gltf = pygltflib.GLTF2(
        asset=pygltflib.Asset(version="2.0", generator="facegeom"),
        scene=0,
        scenes=[pygltflib.Scene(name="scene", nodes=[0])],
        nodes=[pygltflib.Node(name=name, mesh=0)],
        materials=[material],
        meshes=[
            pygltflib.Mesh(
                name=name,
                primitives=[pygltflib.Primitive(attributes=attributes, indices=indices, material=0, targets=targets)],
                weights=[mesh.weights.get(shape, 0.0) for shape in mesh.blendshapes],
                extras={"targetNames": list(mesh.blendshapes), "facegeom": extras},
            )
        ],
    )
    if mesh.texture is not None:
        picture = io.BytesIO()
        Image.fromarray(mesh.texture).save(picture, "png", compress_level=6)
        gltf.images = [
            pygltflib.Image(name=name, bufferView=buffer.add_bytes(picture.getvalue()), mimeType="image/png")
        ]
        gltf.samplers = [
            pygltflib.Sampler(
                magFilter=pygltflib.LINEAR,
                minFilter=pygltflib.LINEAR_MIPMAP_LINEAR,
                wrapS=pygltflib.CLAMP_TO_EDGE,
                wrapT=pygltflib.CLAMP_TO_EDGE,
            )
        ]
        gltf.textures = [pygltflib.Texture(source=0, sampler=0)]
        material.pbrMetallicRoughness.baseColorTexture = pygltflib.TextureInfo(index=0)
    gltf.accessors = buffer.accessors
    gltf.bufferViews = buffer.views
    gltf.buffers = [pygltflib.Buffer(byteLength=len(buffer.content))]
    gltf.set_binary_blob(bytes(buffer.content))
    return b"".join(gltf.save_to_bytes())


def _targets(buffer: _Buffer, mesh: MeshArrays, source: IntArray) -> list[Any]:
    """Append the blendshapes to the buffer; return their morph targets."""
    if not mesh.blendshapes:
        return []
    normals = _unit_normals(mesh.vertices, mesh.faces)
    targets = []
    for shape in mesh.blendshapes.values():
        x, y, z = np.abs(shape).T > MOVED_MM
        moved = x | y | z
        change = _unit_normals(mesh.vertices + shape, mesh.faces) - normals
        turned = np.einsum("ij,ij->i", change, change) > TURNED**2
        targets.append(
            pygltflib.Attributes(
                POSITION=buffer.add_changes(shape[source] / METRE, moved[source], bounds=True),
                NORMAL=buffer.add_changes(change[source], turned[source]),
            )
        )
    return targets


def decode(content: bytes, name: str) -> MeshArrays | None:
    """Return the mesh in a GLB file that `encode` has made, or None for another program's file.

    Raises
    ------
    FacegeomError
        When the bytes are no GLB file, or damaged.
    """
    try:
        gltf = pygltflib.GLTF2.load_from_bytes(content)
        extras = gltf.meshes[0].extras if gltf.meshes and gltf.meshes[0].extras else {}
        return _decode_own(gltf, extras) if "facegeom" in extras else None
    except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError, struct.error) as error:
        raise FacegeomError(f"{name} cannot be read as a GLB file: {error}") from error


def _decode_own(gltf: Any, extras: dict[str, Any]) -> MeshArrays:
    own = extras["facegeom"]
    primitive = gltf.meshes[0].primitives[0]
    attributes = primitive.attributes
    n = int(own["vertices"])  # pygltflib drops what is empty, so the rest may be absent
    unrolled = _read(gltf, primitive.indices).astype(np.int64).reshape(-1, 3)
    source = np.concatenate([np.arange(n), np.asarray(own.get("doubles", []), dtype=np.int64)])
    uv = texture = colors = None
    if attributes.TEXCOORD_0 is not None:
        uv = _read(gltf, attributes.TEXCOORD_0).astype(np.float64) * (1.0, -1.0) + (0.0, 1.0)
    if attributes.COLOR_0 is not None:
        colors = _srgb(_read(gltf, attributes.COLOR_0)[:n, :3] / 65535.0)
    if gltf.images:
        view = gltf.bufferViews[gltf.images[0].bufferView]
        blob = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        with Image.open(io.BytesIO(blob)) as picture:
            texture = np.ascontiguousarray(picture.convert("RGB"))
    names = extras.get("targetNames", [])
    shapes = {
        name: _read(gltf, target["POSITION"])[:n] * np.float32(METRE)
        for name, target in zip(names, primitive.targets, strict=True)
    }
    weights = zip(names, gltf.meshes[0].weights, strict=True)
    return MeshArrays(
        _read(gltf, attributes.POSITION)[:n].astype(np.float64) * METRE,
        source[unrolled],
        uv=uv,
        uv_faces=None if uv is None else unrolled,
        texture=texture,
        colors=colors,
        regions={name: _members(runs, n) for name, runs in own.get("regions", {}).items()},
        seen=_read(gltf, attributes._SEEN)[:n, 0].astype(np.float64),
        blendshapes=shapes,
        weights={name: weight for name, weight in weights if weight},
    )


class _Buffer:
    """The binary chunk under construction: one view and one accessor an array, each on a multiple of 4 bytes."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[Any] = []
        self.accessors: list[Any] = []

    def add(
        self,
        values: npt.NDArray[Any],
        dtype: type[np.float32 | np.uint16 | np.uint32],
        *,
        target: int = pygltflib.ARRAY_BUFFER,
        bounds: bool = False,
        normalized: bool = False,
    ) -> int:
        """Append an array of one row an element; return its accessor."""
        array = np.ascontiguousarray(values, dtype=dtype)
        rows = array.reshape(len(array), -1)
        component = next(code for code, kind in COMPONENTS.items() if kind is dtype)
        accessor = pygltflib.Accessor(
            bufferView=self.add_bytes(array.tobytes(), target),
            byteOffset=0,
            componentType=component,
            normalized=normalized or None,
            count=len(rows),
            type=next(word for word, width in WIDTHS.items() if width == rows.shape[1]),
        )
        if bounds:
            accessor.min, accessor.max = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_changes(self, values: npt.NDArray[Any], rows: BoolArray, *, bounds: bool = False) -> int:
        """Append an array (k, 3) that counts as zero but for the given rows (k,); return its accessor.

        Only these rows are written where that is shorter, and at least one: some viewers cannot read an accessor that
        has nothing in the buffer.
        """
        kind, component = (
            (np.uint16, pygltflib.UNSIGNED_SHORT) if len(rows) <= 2**16 else (np.uint32, pygltflib.UNSIGNED_INT)
        )
        places = np.flatnonzero(rows) if rows.any() else np.zeros(1, np.int64)
        changes = np.where(rows[places, None], values[places], 0.0).astype(np.float32)
        if (kind().itemsize + 12) * len(places) >= 12 * len(rows):
            full = np.zeros((len(rows), 3), np.float32)
            full[places] = changes
            return self.add(full, np.float32, bounds=bounds)
        accessor = pygltflib.Accessor(
            byteOffset=None,
            componentType=pygltflib.FLOAT,
            normalized=None,
            count=len(rows),
            type=pygltflib.VEC3,
            sparse=pygltflib.Sparse(
                count=len(places),
                indices=pygltflib.AccessorSparseIndices(
                    bufferView=self.add_bytes(places.astype(kind).tobytes()), componentType=component
                ),
                values=pygltflib.AccessorSparseValues(bufferView=self.add_bytes(changes.tobytes())),
            ),
        )
        if bounds:  # of the rows that are not written too
            accessor.min = np.minimum(changes.min(axis=0), 0.0).tolist()
            accessor.max = np.maximum(changes.max(axis=0), 0.0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_bytes(self, content: bytes, target: int | None = None) -> int:
        """Append bytes; return their view."""
        self.views.append(
            pygltflib.BufferView(buffer=0, byteOffset=len(self.content), byteLength=len(content), target=target)
        )
        self.content += content + bytes(-len(content) % 4)
        return len(self.views) - 1


def _read(gltf: Any, index: int) -> npt.NDArray[Any]:
    """Return an accessor's values, one row an element."""
    accessor = gltf.accessors[index]
    width = WIDTHS[accessor.type]
    if accessor.sparse is None:
        return _stored(gltf, accessor.bufferView, accessor.componentType, accessor.count, width)
    count, places, values = accessor.sparse.count, accessor.sparse.indices, accessor.sparse.values
    full = np.zeros((accessor.count, width), COMPONENTS[accessor.componentType])
    changed = _stored(gltf, places.bufferView, places.componentType, count, 1)[:, 0]
    full[changed] = _stored(gltf, values.bufferView, accessor.componentType, count, width)
    return full


def _stored(gltf: Any, view: int, component: int, count: int, width: int) -> npt.NDArray[Any]:
    offset = gltf.bufferViews[view].byteOffset
    return np.frombuffer(gltf.binary_blob(), COMPONENTS[component], count * width, offset).reshape(count, width)


def _unit_normals(V: FloatArray, F: IntArray) -> FloatArray:
    """Vertex normals; a vertex of no triangle gets +z, since glTF allows unit vectors only."""
    normals = geometry.vertex_normals(V, F)
    lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    normals /= np.where(lengths > 0, lengths, 1.0)[:, None]
    normals[lengths == 0] = (0.0, 0.0, 1.0)
    return normals


def _linear_rgba(colors: ByteArray) -> npt.NDArray[np.uint16]:
    """SRGB bytes (IEC 61966-2-1) as linear light in 16 bits, with full opacity."""
    value = np.arange(256) / 255.0
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.rint(table * 65535).astype(np.uint16)[colors]
    return np.hstack([linear, np.full((len(colors), 1), 65535, np.uint16)])


def _srgb(linear: npt.NDArray[Any]) -> ByteArray:
    """Linear light in [0, 1] as sRGB bytes, the inverse of `_linear_rgba`."""
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    return np.asarray(np.rint(value * 255), dtype=np.uint8)


def _runs(members: BoolArray) -> list[int]:
    """The places where membership changes, beginning with the first member: [start, stop, start, stop, ...]."""
    padded = np.concatenate([[False], members, [False]])
    return [int(v) for v in np.flatnonzero(padded[1:] != padded[:-1])]


def _members(runs: list[int], count: int) -> BoolArray:
    members = np.zeros(count, bool)
    for start, stop in zip(runs[::2], runs[1::2], strict=True):
        members[start:stop] = True
    return members
