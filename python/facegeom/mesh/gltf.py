"""Encoding of face meshes as binary glTF 2.0 (GLB), with pygltflib."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib
from PIL import Image

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.mesh.mesh_arrays import MeshArrays

MM_PER_METRE = 1000.0
MIN_DISPLACEMENT_MM = 0.02
"""Maximum displacement along each axis, in mm, that a blendshape omits. Such displacements are not visible and concern
about half of the vertices of a face."""
MIN_NORMAL_CHANGE = 0.01
"""Maximum change of a unit normal (no unit; 0.01 is 0.6 degrees) that a blendshape omits."""
# NumPy type of each accessor component type.
COMPONENT_DTYPES = {pygltflib.FLOAT: np.float32, pygltflib.UNSIGNED_SHORT: np.uint16, pygltflib.UNSIGNED_INT: np.uint32}
# Number of components per element of each accessor type.
TYPE_WIDTHS = {pygltflib.SCALAR: 1, pygltflib.VEC2: 2, pygltflib.VEC3: 3, pygltflib.VEC4: 4}


def encode(mesh: MeshArrays) -> bytes:
    """Encode a mesh as a GLB file in metres, with normals and with texture or linear vertex colours; return its bytes.

    Notes
    -----
    glTF stores one texture coordinate per vertex. Vertices on the cuts of the atlas are therefore duplicated, and the
    duplicates come last. Data for which glTF has no field (regions, the list of duplicates) are stored in the `extras`
    of the mesh, and `seen` as the vertex attribute `_SEEN`. glTF vertex colours are linear, so the sRGB colours are
    converted.

    Blendshapes become morph targets. The names of the blendshapes are in `extras.targetNames`, where viewers
    expect the names. The targets also contain the change of the normals; without this change, viewers would shade a
    closed eyelid or an open jaw like the neutral face. For the 51 blendshapes of a face with 30,000 vertices, sparse
    accessors need 9.0 MB for positions and 6.3 MB for normals; dense accessors would need 18.8 MB each.

    Sparse accessors leave out small displacements. The positions contain the part of these displacements that belongs
    to the initial weights, so that the file opens as the mesh does, however many blendshapes have a weight.
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
        POSITION=buffer.add((mesh.vertices + _left_out(mesh))[source] / MM_PER_METRE, np.float32, bounds=True),
        NORMAL=buffer.add(_unit_normals(mesh.vertices, mesh.faces)[source], np.float32),
    )
    if uv is not None:
        attributes.TEXCOORD_0 = buffer.add(uv * (1.0, -1.0) + (0.0, 1.0), np.float32)
    if mesh.colors is not None and mesh.texture is None:
        attributes.COLOR_0 = buffer.add(_linear_rgba(mesh.colors[source]), np.uint16, normalized=True)
    attributes._SEEN = buffer.add(mesh.seen[source], np.float32)
    indices = buffer.add(faces.ravel(), np.uint32, target=pygltflib.ELEMENT_ARRAY_BUFFER)
    targets = _morph_targets(buffer, mesh, source)

    extras = {
        "vertices": len(mesh.vertices),
        "doubles": doubles,
        "regions": {name: _encode_runs(members) for name, members in mesh.regions.items()},
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


def _morph_targets(buffer: _Buffer, mesh: MeshArrays, source: IntArray) -> list[Any]:
    """Append the blendshapes of the mesh to the buffer; return the glTF morph targets, one per blendshape.

    `source` is the mesh vertex of each vertex of the file.
    """
    if not mesh.blendshapes:
        return []
    normals = _unit_normals(mesh.vertices, mesh.faces)
    targets = []
    for shape in mesh.blendshapes.values():
        moved = _moved(shape)
        change = _unit_normals(mesh.vertices + shape, mesh.faces) - normals
        turned = np.einsum("ij,ij->i", change, change) > MIN_NORMAL_CHANGE**2
        targets.append(
            pygltflib.Attributes(
                POSITION=buffer.add_sparse(shape[source] / MM_PER_METRE, moved[source], bounds=True),
                NORMAL=buffer.add_sparse(change[source], turned[source]),
            )
        )
    return targets


def _moved(shape: Float32Array) -> BoolArray:
    """Return the vertices (n,) whose displacement is stored."""
    x, y, z = np.abs(shape).T > MIN_DISPLACEMENT_MM
    return np.asarray(x | y | z, np.bool_)


def _left_out(mesh: MeshArrays) -> FloatArray:
    """Return the displacements (n, 3) at the initial weights that the morph targets leave out, mm."""
    total = np.zeros_like(mesh.vertices)
    for name, weight in mesh.weights.items():
        if weight:
            shape = mesh.blendshapes[name]
            rows = np.flatnonzero(~_moved(shape))
            total[rows] += weight * shape[rows]
    return total


class _Buffer:
    """The binary chunk of a GLB file under construction; each array gets one buffer view, aligned to 4 bytes, and one
    accessor.
    """

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
        """Append an array with one row per element; return the index of its accessor."""
        array = np.ascontiguousarray(values, dtype=dtype)
        rows = array.reshape(len(array), -1)
        component = next(code for code, kind in COMPONENT_DTYPES.items() if kind is dtype)
        accessor = pygltflib.Accessor(
            bufferView=self.add_bytes(array.tobytes(), target),
            byteOffset=0,
            componentType=component,
            normalized=normalized or None,
            count=len(rows),
            type=next(word for word, width in TYPE_WIDTHS.items() if width == rows.shape[1]),
        )
        if bounds:
            accessor.min, accessor.max = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_sparse(self, values: npt.NDArray[Any], rows: BoolArray, *, bounds: bool = False) -> int:
        """Append an array (k, 3) that is zero except for the rows selected by the mask `rows` (k,); return the index of
        its accessor.

        The array is stored as a sparse accessor if a sparse accessor is smaller. At least one row is stored, because
        some viewers cannot read an accessor without data.
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
        if bounds:  # the bounds include the omitted rows, which are 0
            accessor.min = np.minimum(changes.min(axis=0), 0.0).tolist()
            accessor.max = np.maximum(changes.max(axis=0), 0.0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_bytes(self, content: bytes, target: int | None = None) -> int:
        """Append bytes; return the index of their buffer view."""
        self.views.append(
            pygltflib.BufferView(buffer=0, byteOffset=len(self.content), byteLength=len(content), target=target)
        )
        self.content += content + bytes(-len(content) % 4)
        return len(self.views) - 1


def _unit_normals(V: FloatArray, F: IntArray) -> FloatArray:
    """Return vertex normals (n, 3); a vertex without triangles gets +z, because glTF allows only unit vectors."""
    normals = geometry.vertex_normals(V, F)
    lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    normals /= np.where(lengths > 0, lengths, 1.0)[:, None]
    normals[lengths == 0] = (0.0, 0.0, 1.0)
    return normals


def _linear_rgba(colors: ByteArray) -> npt.NDArray[np.uint16]:
    """Convert sRGB bytes (k, 3) (IEC 61966-2-1) to opaque linear RGBA with 16 bits per channel (k, 4).

    `facegeom.mesh.glb.srgb_bytes` is the inverse.
    """
    value = np.arange(256) / 255.0
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.rint(table * 65535).astype(np.uint16)[colors]
    return np.hstack([linear, np.full((len(colors), 1), 65535, np.uint16)])


def _encode_runs(members: BoolArray) -> list[int]:
    """Run-length encode a mask (n,); return the indices where the mask changes, [start, stop, start, stop, ...]."""
    padded = np.concatenate([[False], members, [False]])
    return [int(v) for v in np.flatnonzero(padded[1:] != padded[:-1])]
