"""Encoding of face meshes as binary glTF 2.0 (GLB), with pygltflib."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib
from PIL import Image

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.mesh.gltf_buffer import COMPRESSIONS, MESHOPT, MM_PER_METRE, GltfBuffer
from facegeom.mesh.mesh_arrays import MeshArrays
from facegeom.mesh.parts import EYES, Part, neck_joint, split

MIN_DISPLACEMENT_MM = 0.1
"""Maximum displacement along each axis, in mm, that a blendshape omits. Such displacements are not visible and concern
more than half of the vertices of a head."""
MIN_NORMAL_CHANGE = 0.1
"""Length by which the stored change of each unit normal is shorter than the true one; smaller changes are omitted. The
stored changes therefore fade out without an edge, and the direction of a normal is wrong by at most 0.1 (6 degrees)."""
WEBP_QUALITY = 90
IOR = "KHR_materials_ior"
SKIN_ROUGHNESS, EYE_ROUGHNESS, EYE_IOR = 0.9, 0.3, 1.336
"""Roughness of skin and of eyes, and the index of refraction of tears."""
ROW = "_ROW"
"""Vertex attribute of compressed files: the vertex of the mesh. Compression needs another order of the vertices."""


def encode(mesh: MeshArrays, compress: str | None = None) -> bytes:
    """Encode a mesh as a GLB file in metres, with normals and with texture or linear vertex colours; return its bytes.

    `tree` describes the arguments, and what the file contains.
    """
    gltf, buffer = tree(mesh, compress)
    if mesh.texture is not None:
        add_texture(gltf, mesh.texture, buffer)
    return finished(gltf, buffer)


def finished(gltf: Any, buffer: GltfBuffer) -> bytes:
    """Return the GLB file of a tree, a result of `tree`, and its data."""
    gltf.accessors, gltf.bufferViews, gltf.buffers = buffer.accessors, buffer.views, buffer.buffers()
    return _container(gltf.to_json().encode(), buffer.content)


def encode_parts(mesh: MeshArrays, binary: str, picture: str) -> tuple[bytes, bytes]:
    """Encode a mesh as a .gltf file that refers to two files; return its content and that of the binary file.

    Parameters
    ----------
    mesh : MeshArrays
    binary : address of the file with the binary data, relative to the .gltf file
    picture : address of the PNG file with the texture
    """
    gltf, buffer = tree(mesh, None)
    if mesh.texture is not None:
        add_texture(gltf, mesh.texture, picture)
    gltf.accessors, gltf.bufferViews, gltf.buffers = buffer.accessors, buffer.views, buffer.buffers()
    gltf.buffers[0].uri = binary
    return gltf.to_json(indent=1).encode(), bytes(buffer.content)


def tree(mesh: MeshArrays, compress: str | None = None) -> tuple[Any, GltfBuffer]:
    """Return the tree of a glTF file in metres without its texture, and the data of the accessors.

    Parameters
    ----------
    mesh : MeshArrays
    compress : None: no extension is required. "quantize": positions are integers (KHR_mesh_quantization). "meshopt":
        also compressed by EXT_meshopt_compression, with a WebP texture (EXT_texture_webp); needs the extra `compress`

    Raises
    ------
    FacegeomError
        If `compress` is "meshopt" and meshopt is not installed.
    ValueError
        If `compress` is unknown.

    Notes
    -----
    A mesh with eyeballs becomes a node `head` (or `face`), which turns about the neck joint, with the children `skin`,
    `eye_left` and `eye_right`, which turn about the centres of the eyes. All children have all blendshapes and weights.

    glTF stores one texture coordinate per vertex. Vertices on the cuts of the atlas are therefore duplicated, and the
    duplicates come last. Data for which glTF has no field (regions, the places of vertices and triangles in the mesh)
    are stored in `extras`, and `seen` as the vertex attribute `_SEEN`. glTF vertex colours are linear, so the sRGB
    colours are converted. Texture coordinates without a texture are left out.

    Blendshapes become morph targets. Their names are in `extras.targetNames`, where viewers expect them. The targets
    also contain the change of the normals where it is large; without it, viewers would shade a closed eyelid or an open
    jaw like the neutral face. Sparse accessors leave out small displacements; the positions contain the part of these
    that belongs to the initial weights, so that the file opens as the mesh does with any number of weights.
    """
    if compress not in COMPRESSIONS:
        raise ValueError(f"compress must be None, 'quantize' or 'meshopt', got {compress!r}")
    source, uv, faces = np.arange(len(mesh.vertices)), None, mesh.faces
    if mesh.uv is not None and mesh.texture is not None:
        source, uv, faces = mesh.unrolled()
    neck = neck_joint(mesh)
    parts = split(mesh, source, faces, neck)
    buffer = GltfBuffer(compress, _reach(mesh, parts))
    writer = _Writer(mesh, source, uv, buffer)
    if mesh.blendshapes:
        buffer.reserve_zeros(max(len(part.rows) for part in parts))
    name = "head" if "scalp" in mesh.regions and mesh.regions["scalp"].any() else "face"
    meshes = [writer.mesh(part, name if len(parts) == 1 else part.name) for part in parts]
    gltf = pygltflib.GLTF2(
        asset=pygltflib.Asset(version="2.0", generator="facegeom"),
        scene=0,
        scenes=[pygltflib.Scene(name="scene", nodes=[0])],
        nodes=_nodes(name, parts, neck, buffer.unit),
        materials=[_material(name, SKIN_ROUGHNESS), *([_eye_material()] if len(parts) > 1 else [])],
        meshes=meshes,
    )
    regions = {region: encode_runs(members) for region, members in mesh.regions.items()}
    gltf.extras = {"facegeom": {"vertices": len(mesh.vertices), "triangles": len(mesh.faces), "regions": regions}}
    required = [] if compress is None else ["KHR_mesh_quantization"]
    if compress == "meshopt":
        required += [MESHOPT, *(["EXT_texture_webp"] if mesh.texture is not None else [])]
    optional = [IOR] if len(parts) > 1 else []
    gltf.extensionsUsed, gltf.extensionsRequired = [*required, *optional], required
    return gltf, buffer


def _container(described: bytes, binary: bytearray) -> bytes:
    """Return a GLB file with a JSON part and a binary part; the large parts are copied once."""
    described += b" " * (-len(described) % 4)
    parts = [struct.pack("<II", len(described), 0x4E4F534A), described, struct.pack("<II", len(binary), 0x004E4942)]
    length = 12 + sum(map(len, parts)) + len(binary)
    return b"".join([struct.pack("<4sII", b"glTF", 2, length), *parts, binary])


def _nodes(name: str, parts: list[Part], neck: FloatArray, unit: float) -> list[Any]:
    """Return the nodes: one for a single part, otherwise one at the neck joint with a child for each part."""

    def node(title: str, place: FloatArray, **fields: Any) -> Any:
        shift = (place / MM_PER_METRE).tolist() if place.any() else None
        return pygltflib.Node(name=title, translation=shift, **fields)

    scale = None if unit == 1.0 else [unit] * 3
    if len(parts) == 1:
        return [node(name, parts[0].pivot, mesh=0, scale=scale)]
    below = [node(part.name, part.pivot - neck, mesh=number, scale=scale) for number, part in enumerate(parts)]
    return [node(name, neck, children=list(range(1, len(parts) + 1))), *below]


def _material(name: str, roughness: float) -> Any:
    return pygltflib.Material(
        name=name,
        pbrMetallicRoughness=pygltflib.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=roughness),
        doubleSided=True,
        alphaCutoff=None,
    )


def _eye_material() -> Any:
    """Return the material of the eyes, which are wet: with the usual index of refraction they would reflect twice as
    much, and pupils in a bright room would be grey."""
    material = _material("eye", EYE_ROUGHNESS)
    material.extensions = {IOR: {"ior": EYE_IOR}}
    return material


def add_texture(gltf: Any, texture: ByteArray, place: GltfBuffer | str) -> None:
    """Add the texture of the materials: to a buffer as PNG, with the compression meshopt as WebP, or by its address."""
    name, webp = gltf.nodes[0].name, False
    if isinstance(place, str):
        gltf.images = [pygltflib.Image(name=name, uri=place)]
    else:
        webp = place.compress == "meshopt"
        picture = io.BytesIO()
        if webp:
            Image.fromarray(texture).save(picture, "webp", quality=WEBP_QUALITY, method=4)
        else:
            Image.fromarray(texture).save(picture, "png", compress_level=6)
        kind = "image/webp" if webp else "image/png"
        gltf.images = [pygltflib.Image(name=name, bufferView=place.add_bytes(picture.getvalue()), mimeType=kind)]
    gltf.samplers = [
        pygltflib.Sampler(
            magFilter=pygltflib.LINEAR,
            minFilter=pygltflib.LINEAR_MIPMAP_LINEAR,
            wrapS=pygltflib.CLAMP_TO_EDGE,
            wrapT=pygltflib.CLAMP_TO_EDGE,
        )
    ]
    extensions = {"EXT_texture_webp": {"source": 0}} if webp else {}
    gltf.textures = [pygltflib.Texture(source=None if webp else 0, sampler=0, extensions=extensions)]
    for material in gltf.materials:
        material.pbrMetallicRoughness.baseColorTexture = pygltflib.TextureInfo(index=0)


class _Writer:
    """Writes the parts of a mesh to a buffer.

    Parameters
    ----------
    mesh : MeshArrays
    source : (k,) int array, the mesh vertex of each unrolled vertex
    uv : (k, 2) float array or None
    buffer : GltfBuffer
    """

    def __init__(self, mesh: MeshArrays, source: IntArray, uv: FloatArray | None, buffer: GltfBuffer) -> None:
        self.shape, self.source, self.uv, self.buffer = mesh, source, uv, buffer
        self.normals = unit_normals(mesh.vertices, mesh.faces)
        self.targets = [self._target(shape) for shape in mesh.blendshapes.values()]
        self.base = mesh.vertices.copy()
        for shape, (name, stored) in zip(self.targets, mesh.blendshapes.items(), strict=True):
            weight = mesh.weights.get(name, 0.0)
            if weight:
                self.base += weight * (stored - buffer.stored(shape[0]))

    def _target(self, shape: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return the displacements and the changes of the normals (n, 3) that are stored."""
        large = np.asarray((np.abs(shape) > MIN_DISPLACEMENT_MM).any(axis=1), np.bool_)
        kept = np.where(large[:, None], shape, np.float32(0.0))
        change = unit_normals(self.shape.vertices + shape, self.shape.faces) - self.normals
        length = np.sqrt(np.einsum("ij,ij->i", change, change))
        share = np.maximum(0.0, 1.0 - MIN_NORMAL_CHANGE / np.maximum(length, 1e-9))
        return kept, (change * share[:, None]).astype(np.float32)

    def mesh(self, part: Part, name: str) -> Any:
        """Append a part to the buffer; return the mesh of its node."""
        buffer, faces = self.buffer, part.faces
        order = np.arange(len(part.rows))
        if buffer.compress == "meshopt":
            order, faces = _cache_order(faces, len(order))
        rows = part.rows[order]
        source = self.source[rows]
        attributes = pygltflib.Attributes(
            POSITION=buffer.positions(self.base[source] - part.pivot), NORMAL=buffer.normals(self.normals[source])
        )
        if self.uv is not None:
            attributes.TEXCOORD_0 = buffer.coordinates(self.uv[rows] * (1.0, -1.0) + (0.0, 1.0))
        elif self.shape.colors is not None:
            attributes.COLOR_0 = buffer.numbers(linear_rgb(self.shape.colors[source]))
        attributes._SEEN = buffer.numbers(self.shape.seen[source])
        own: dict[str, Any] = {}
        if buffer.compress == "meshopt":
            setattr(
                attributes, ROW, buffer.numbers(source.astype(np.uint16 if len(self.normals) <= 2**16 else np.int64))
            )
        else:
            first = len(np.unique(source))
            own["vertices"] = _runs(source[:first])
            own["doubles"] = source[first:].tolist()
            own["triangles"] = _runs(part.triangles)
        indices = buffer.indices(faces, len(rows))
        material = int(part.name in EYES.values())
        targets = []
        for moved, turned in ((moved[source], turned[source]) for moved, turned in self.targets):
            position = buffer.displacements(moved, np.asarray(moved.any(axis=1), np.bool_))
            normal = buffer.normal_changes(turned, np.asarray(turned.any(axis=1), np.bool_))
            targets.append(pygltflib.Attributes(POSITION=position, NORMAL=normal))
        return pygltflib.Mesh(
            name=name,
            primitives=[
                pygltflib.Primitive(attributes=attributes, indices=indices, material=material, targets=targets)
            ],
            weights=[self.shape.weights.get(shape, 0.0) for shape in self.shape.blendshapes],
            extras={"targetNames": list(self.shape.blendshapes), "facegeom": own},
        )


def _reach(mesh: MeshArrays, parts: list[Part]) -> float:
    """Return the largest coordinate in mm of positions, about the pivots, and of displacements."""
    if not len(mesh.vertices):
        return 1.0
    places = max(float(np.abs(mesh.vertices - part.pivot).max()) for part in parts)
    moved = sum(abs(weight) * float(np.abs(mesh.blendshapes[name]).max()) for name, weight in mesh.weights.items())
    return max(places + MIN_DISPLACEMENT_MM * moved, *(float(np.abs(v).max()) for v in mesh.blendshapes.values()), 1e-6)


def _cache_order(faces: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Return an order of vertices (count,) and triangles (t, 3) in it that compress well; unused vertices come last."""
    import meshopt

    if not len(faces):
        return np.arange(count), faces
    indices, remap, _ = meshopt.reorder_mesh(np.ascontiguousarray(faces.ravel(), np.uint32), True, True)
    remap = np.concatenate([remap.astype(np.int64), np.full(count - len(remap), 2**32 - 1)])
    order = np.argsort(remap, kind="stable")
    return order, indices.astype(np.int64).reshape(-1, 3)


def unit_normals(V: FloatArray, F: IntArray) -> FloatArray:
    """Return vertex normals (n, 3); a vertex without triangles gets +z, because glTF allows only unit vectors."""
    normals = geometry.vertex_normals(V, F)
    lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    normals /= np.where(lengths > 0, lengths, 1.0)[:, None]
    normals[lengths == 0] = (0.0, 0.0, 1.0)
    return normals


def linear_rgb(colors: ByteArray) -> npt.NDArray[np.float32]:
    """Convert sRGB bytes (k, 3) (IEC 61966-2-1) to linear light in [0, 1].

    Fewer bits than those of a float give visible steps in dark colours, and other programs read no 16-bit colours.
    `facegeom.mesh.glb.srgb_bytes` is the inverse.
    """
    value = np.arange(256) / 255.0
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(table.astype(np.float32)[colors])


def encode_runs(members: BoolArray) -> list[int]:
    """Run-length encode a mask (n,); return the indices where the mask changes, [start, stop, start, stop, ...]."""
    padded = np.concatenate([[False], members, [False]])
    return [int(v) for v in np.flatnonzero(padded[1:] != padded[:-1])]


def _runs(rows: IntArray) -> list[int]:
    """Run-length encode ascending rows (k,)."""
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1)
    starts, stops = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(rows) - 1]])
    return np.column_stack([rows[starts], rows[stops] + 1]).ravel().tolist()
