"""Good meshes of all formats, and meshes that describe something else than they contain, or take long."""

from __future__ import annotations

import itertools
import json
import struct
from typing import Any

import numpy as np


def glb(tree: Any, binary: bytes = b"") -> bytes:
    """Return a GLB file of a JSON part, an object or its text, and a binary part."""
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def base_meshes() -> dict[str, bytes]:
    """Return good meshes of all formats, by file name."""
    import trimesh

    from facegeom import FaceMesh

    shape = trimesh.creation.icosphere(1)
    rng = np.random.default_rng(0)
    arrays = {"vertices": shape.vertices, "faces": shape.faces}
    n = len(shape.vertices)
    rich = FaceMesh(
        **arrays,
        uv=rng.random((n, 2)),
        texture=rng.integers(0, 256, (16, 16, 3), dtype=np.uint8),
        regions={"some": rng.random(n) > 0.5},
        blendshapes={
            "open": rng.normal(0, 1, (n, 3)),
            "part": np.where(rng.random((n, 1)) > 0.9, 1.0, 0.0) * np.ones(3),
        },
        weights={"open": 0.5},
    )
    plain = FaceMesh(**arrays, colors=rng.integers(0, 256, (n, 3), dtype=np.uint8))
    return {
        "own.glb": rich.to_bytes("glb"),
        "colours.glb": plain.to_bytes("glb"),
        "other.glb": trimesh.Scene([shape, shape]).export(file_type="glb"),
        "own.obj": plain.to_bytes("obj"),
        "other.obj": shape.export(file_type="obj").encode(),
        "own.ply": plain.to_bytes("ply"),
        "text.ply": trimesh.exchange.ply.export_ply(shape, encoding="ascii"),
        "own.stl": plain.to_bytes("stl"),
        "text.stl": shape.export(file_type="stl_ascii").encode(),
    }


def crafted_meshes() -> dict[str, bytes]:
    """Return meshes that describe something else than they contain, or take long, by file name."""
    huge = 10**11
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes() + np.array([0, 1, 2], "<u4").tobytes()
    accessor = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}
    tree = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}], "accessors": [accessor],
        "bufferViews": [{"buffer": 0, "byteLength": 36}], "buffers": [{"byteLength": 48}],
    }  # fmt: skip
    many = 150_000
    own = {"facegeom": {"vertices": huge, "doubles": [], "regions": {"a": [0, huge]}}}
    indices = {"bufferView": 0, "componentType": 5125}
    changes: dict[str, dict[str, Any]] = {
        "count": {"accessors": [{**accessor, "count": huge}]},
        "no view": {"accessors": [{"componentType": 5126, "count": huge, "type": "VEC3"}]},
        "zeros": {"accessors": [{"componentType": 5126, "count": 3 * 10**6, "type": "VEC3"}]},
        "sparse": {
            "accessors": [{**accessor, "sparse": {"count": huge, "indices": indices, "values": {"bufferView": 0}}}]
        },
        "sparse rows": {
            "accessors": [{**accessor, "sparse": {"count": 3, "indices": indices, "values": {"bufferView": 0}}}]
        },
        "stride": {"bufferViews": [{"buffer": 0, "byteLength": 36, "byteStride": 2**40}]},
        "negative": {"bufferViews": [{"buffer": 0, "byteLength": -36}]},
        "offset": {"bufferViews": [{"buffer": 0, "byteOffset": 2**62, "byteLength": 36}]},
        "fraction": {"bufferViews": [{"buffer": 0, "byteLength": 1.5}]},
        "text number": {"bufferViews": [{"buffer": 0, "byteLength": "36"}]},
        "infinite": {"nodes": [{"mesh": 0, "translation": [1e999, 0, 0]}]},
        "matrix": {"nodes": [{"mesh": 0, "matrix": [1] * 15}]},
        "turn": {"nodes": [{"mesh": 0, "rotation": ["a", 0, 0, 1]}]},
        "cycle": {"nodes": [{"children": [0]}]},
        "chain": {"nodes": [{"children": [k + 1]} for k in range(many)] + [{"mesh": 0}]},
        "doubling": {"nodes": [{"children": [k + 1, k + 1]} for k in range(60)] + [{"mesh": 0}]},
        "nodes": {"nodes": [{"mesh": 0}] * many, "scenes": [{"nodes": list(range(many))}]},
        "primitives": {"meshes": [{"primitives": [{"attributes": {"POSITION": 0}}] * many}]},
        "views": {"bufferViews": [{"buffer": 0, "byteLength": 36}] * many},
        "own": {"meshes": [{"extras": own, "primitives": [{"attributes": {"POSITION": 0}}]}]},
        "own regions": {
            "meshes": [
                {
                    "extras": {"facegeom": {"vertices": 3, "regions": {str(k): [0, 3] for k in range(many)}}},
                    "primitives": [{"attributes": {"POSITION": 0, "_SEEN": 0}, "indices": 0}],
                }
            ]
        },
        "scene list": {"scenes": 5},
        "mesh list": {"meshes": {"0": {}}},
        "nested": {"meshes": [{"primitives": [{"attributes": {"POSITION": [[0]]}}]}]},
        "true": {"meshes": [{"primitives": [{"attributes": {"POSITION": True}}]}]},
        "other file": {"buffers": [{"uri": "/etc/passwd", "byteLength": 48}]},
        "address": {"buffers": [{"uri": "http://127.0.0.1:9/x.bin", "byteLength": 48}]},
        "draco": {"extensionsRequired": ["KHR_draco_mesh_compression"]},
    }
    found = {f"{name}.glb": glb({**tree, **change}, positions) for name, change in changes.items()}
    found |= {
        "deep.glb": glb(b"[" * 1_000_000 + b"]" * 1_000_000),
        "lists.glb": glb(b'{"meshes":[' + b",".join([b"[]"] * 3_000_000) + b"]}"),
        "list.glb": glb(b"[]"),
        "numbers.glb": glb(b'{"meshes":' + b"9" * 6_000_000 + b"}"),
        "no json.glb": glb(b"{"),
        "version.glb": struct.pack("<4sII", b"glTF", 1, 20) + bytes(20),
        "length.glb": struct.pack("<4sIIII", b"glTF", 2, 2**32 - 1, 2**32 - 1, 0x4E4F534A) + bytes(20),
        "only header.glb": b"glTF\x02\0\0\0\x10\0\0\0",
        "lines.obj": b"\n" * 10_000_000,
        "spaces.obj": b" " * 30_000_000,
        "one line.obj": b"f " + b"1 " * 15_000_000,
        "short.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"f 1 2 3\n" * 1_000_000,
        "polygon.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf " + b"1 2 3 " * 300_000 + b"\n",
        "changing.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\n" + b"f 1 2 3\nf 1/1 2/1 3/1\nf 1//1 2 3\n" * 100_000,
        "turns.obj": b"v 0 0 0\nvt 0 0\n" * 500_000 + b"f 1 2 3\n",
        "materials.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"".join(b"usemtl %d\nf 1 2 3\n" % k for k in range(300_000)),
        "library.obj": b"mtllib /etc/passwd\nmtllib ../../../etc/passwd\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "libraries.obj": b"mtllib library.obj\n" * 100_000 + b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "index.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 99999999999999999999\n",
        "index 2.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 2147483647\n",
        "digits.obj": b"v 0 0 " + b"1" * 1_000_000 + b"\nf 1 1 1\n",
        "nan.obj": b"v nan inf 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "large.obj": b"v 1e308 1e308 -1e308\nv -1e308 0 0\nv 0 1e308 0\nf 1 2 3\n",
        "slash.obj": b"v 0 0 0\nf / / /\nf 1/ /2 //\n",
        "binary.obj": bytes(range(256)) * 4,
        "bytes.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl \xff\xfe\nf 1 2 3\n",
        "lines.ply": b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nend_header\n" + b"\n" * 10_000_000,
        "count.stl": bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(500),
        "nan.stl": bytes(80) + struct.pack("<I", 1) + b"\xff" * 50,
        "text.stl": b"solid\n" + b"vertex 1 2 3\n" * 500_000,
        "words.stl": b"solid " + b"vertex" * 3_000_000,
        "spaces.stl": b"solid\n" + b"vertex" + b" " * 20_000_000,
        "solid.stl": b"solid x\nendsolid x\n",
        "short.stl": b"\0" * 83,
    }
    vertex = "property float x\nproperty float y\nproperty float z\n"
    face = "property list uchar int vertex_indices\n"
    for order, (name, rows) in itertools.product(
        ("ascii", "binary_little_endian", "binary_big_endian"),
        {
            "vertices": f"element vertex {huge}\n{vertex}",
            "faces": f"element vertex 1\n{vertex}element face {huge}\n{face}",
            "no size": f"element nothing {huge}\nelement vertex 1\n{vertex}",
            "long list": f"element face 1\nproperty list uint int vertex_indices\nelement vertex 1\n{vertex}",
            "real list": f"element face 1\nproperty list float int vertex_indices\nelement vertex 1\n{vertex}",
            "digits": f"element vertex {'9' * 5000}\n{vertex}",
            "texture": f"comment TextureFile /etc/passwd\nelement vertex 1\n{vertex}element face 1\n{face}",
            "no format": "",
        }.items(),
    ):
        head = f"ply\nformat {order} 1.0\n{rows}end_header\n"
        found[f"{name} {order[-10:-7]}.ply"] = head.encode() + b"9" * 200
    found["header.ply"] = b"ply\n" + b"comment x\n" * 1_000_000
    return found
