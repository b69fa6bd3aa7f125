"""A collection of bad pictures, meshes and options, made by code, and a worker that tries them one after the other.

`run` starts worker processes and returns what happened to each case. A case that hangs, or that ends the process, is
reported, and the next worker goes on behind it. `python tests/bad_files.py` is the worker.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import queue
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LIMIT_S = 20.0
"""Longest time for a case."""

LIMIT_BYTES = 1.5e9
"""Largest memory of the worker process."""

SEED = 20261129

Call = Callable[[], Any]


@dataclass
class Report:
    """What happened to a case: `outcome` is the class of the exception, "none", "hang" or "crash"."""

    name: str
    outcome: str
    sentence: str = ""
    seconds: float = 0.0
    peak: float = 0.0
    printed: str = ""

    def faults(self) -> list[str]:
        """Return what is wrong with the reaction to the bad input, in words."""
        found = []
        allowed = ("none", "FileNotFoundError", "ValueError", "TypeError", *FACEGEOM_ERRORS)
        if self.outcome not in allowed:
            found.append(f"ended with {self.outcome}: {self.sentence}")
        if self.outcome != "none" and (not self.sentence or len(self.sentence.splitlines()) > 1):
            found.append(f"the message is not one sentence: {self.sentence!r}")
        if len(self.sentence) > 600:
            found.append(f"the message has {len(self.sentence)} characters")
        if self.seconds > LIMIT_S:
            found.append(f"took {self.seconds:.0f} s")
        if self.peak > LIMIT_BYTES:
            found.append(f"took {self.peak / 1e9:.2f} GB")
        if self.printed:
            found.append(f"printed {self.printed[:300]!r}")
        return found


FACEGEOM_ERRORS = ("FacegeomError", "ImageError", "PixelLimitError", "NoFaceFound", "OutputError", "WeightsError")


# ---- pictures --------------------------------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 70, height: int = 50) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def base_pictures() -> dict[str, bytes]:
    """Return good pictures, one of each format and variant, by file name."""
    picture = noise()
    return {
        "a.png": encoded(picture, "png"),
        "palette.png": encoded(picture.convert("P"), "png", transparency=3),
        "deep.png": encoded(Image.fromarray(np.arange(3500, dtype=np.uint16).reshape(50, 70)), "png"),
        "a.jpg": encoded(picture, "jpeg"),
        "progressive.jpg": encoded(picture, "jpeg", progressive=True),
        "two.mpo": encoded(picture, "mpo", save_all=True, append_images=[picture]),
        "a.webp": encoded(picture, "webp"),
        "lossless.webp": encoded(picture, "webp", lossless=True),
        "a.tif": encoded(picture, "tiff"),
        "lzw.tif": encoded(picture, "tiff", compression="tiff_lzw"),
        "jpeg.tif": encoded(picture, "tiff", compression="jpeg"),
        "a.bmp": encoded(picture, "bmp"),
        "a.gif": encoded(picture, "gif"),
        "a.ppm": encoded(picture, "ppm"),
        "a.avif": encoded(picture, "avif"),
    }


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG file of a header and chunks."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in (header, *chunks, (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(parts)


def tiff(width: int, height: int, *entries: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """Return a TIFF file with entries (tag, type, count, value)."""
    every = sorted([(256, 4, 1, width), (257, 4, 1, height), *entries])
    rows = b"".join(struct.pack("<HHII", *entry) for entry in every)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(every)) + rows + bytes(4) + data


def crafted_pictures() -> dict[str, bytes]:
    """Return pictures that describe something else than they contain, by file name."""
    picture, flat = noise(), zlib.compress(bytes(2**24), 9)
    jpeg, webp, gif, bmp = (encoded(picture, kind) for kind in ("jpeg", "webp", "gif", "bmp"))
    frame = jpeg.index(b"\xff\xc0") + 5
    scan = encoded(picture, "jpeg", progressive=True)
    last = scan.rindex(b"\xff\xda")
    exif = b"Exif\0\0II*\0\x08\0\0\0"
    found = {
        "empty.png": b"",
        "text.jpg": b"hello",
        "page.jpg": b"<html><body>404</body></html>",
        "archive.png": b"PK\x03\x04" + bytes(60),
        "packed.jpg": b"\x1f\x8b\x08" + bytes(60),
        "figure.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\n{} loop\n",
        "page.pdf": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF\n",
        "drawing.svg": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='99' height='99'/>",
        "old.pcx": b"\x0a\x05\x01\x08" + bytes(124),
        "photo.psd": b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 30000, 30000, 8, 3) + bytes(60),
        "icon.ico": b"\0\0\x01\0\x01\0" + bytes(16),
        "sky.fits": b"SIMPLE  =                    T".ljust(2880),
        "tile.dds": b"DDS " + struct.pack("<IIII", 124, 0x1007, 60000, 60000) + bytes(120),
        "meta.wmf": b"\xd7\xcd\xc6\x9a" + bytes(40),
        "bits.xbm": b"#define a_width 99999\n#define a_height 99999\nstatic char a_bits[] = {\n",
        "photo.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "film.flc": bytes(4) + b"\x12\xaf" + bytes(122),
        "photo.heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "long.heic": b"\xff\xff\xff\xffftypheic" + bytes(100),
        "photo.avif": b"\0\0\0\x18ftypavif" + bytes(100),
        "start.png": b"\x89PNG\r\n\x1a\n",
        "start.jpg": b"\xff\xd8\xff",
        "start.tif": b"II*\0",
        "start.webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 ",
        "start.gif": b"GIF89a",
        "start.bmp": b"BM",
        "padding.jpg": b"\xff\xd8" + b"\xff" * 4_000_000,
        "junk.jpg": b"\xff\xd8\xff" + b"\x01" * 4_000_000,
        "scans.jpg": (scan[:last] + scan[last:-2] * 40_000 + scan[-2:])[:60_000_000],
        "tiny.png": encoded(Image.new("RGB", (1, 1)), "png"),
        "flat.png": encoded(Image.new("RGB", (5000, 15)), "png"),
        "bomb.png": png(60000, 60000, (b"IDAT", flat)),
        "text.png": png(50, 50, *[(b"zTXt", b"a\0\0" + flat)] * 20, (b"IDAT", zlib.compress(bytes(151 * 50)))),
        "profile.png": png(50, 50, (b"iCCP", b"a\0\0" + flat), (b"IDAT", zlib.compress(bytes(151 * 50)))),
        "chunks.png": png(50, 50, *[(b"tEXt", b"a\0b")] * 200_000),
        "palette.png": png(50, 50, (b"IDAT", zlib.compress(b"\0" + bytes(50) * 51)), colour=3),
        "depth.png": png(50, 50, (b"IDAT", flat), depth=7),
        "colour.png": png(50, 50, (b"IDAT", flat), colour=5),
        "apng.png": png(50, 50, (b"acTL", struct.pack(">II", 2**31 - 1, 0)), (b"fcTL", bytes(26)), (b"IDAT", flat)),
        "negative.bmp": bmp[:18] + struct.pack("<ii", -50, -50) + bmp[26:],
        "huge.bmp": bmp[:18] + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + bmp[26:],
        "wide.bmp": bmp[:18] + struct.pack("<ii", 15000, 15000) + bmp[26:],
        "bits.bmp": bmp[:28] + struct.pack("<H", 77) + bmp[30:],
        "huge.gif": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "huge.jpg": jpeg[:frame] + b"\xff\xff\xff\xff" + jpeg[frame + 4 :],
        "large.jpg": jpeg[:frame] + struct.pack(">HH", 15000, 15000) + jpeg[frame + 4 :],
        "none.jpg": jpeg[:frame] + bytes(4) + jpeg[frame + 4 :],
        "canvas.webp": webp[:12] + b"VP8X\x0a\0\0\0" + bytes(4) + b"\xff\xff\xff\xff\xff\xff" + webp[12:],
        "riff.webp": webp[:4] + b"\xff\xff\xff\xff" + webp[8:],
        "loop.tif": tiff(50, 50, (34665, 4, 1, 8), (330, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)),
        "tags.tif": tiff(50, 50, *[(tag, 2, 2**31 - 1, 0) for tag in range(40000, 40400)]),
        "strips.tif": tiff(50, 50, (273, 4, 2**30, 8), (279, 4, 2**30, 8), (258, 3, 1, 8), (262, 3, 1, 1)),
        "huge.tif": tiff(2**31, 2**31, (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 2**31)),
        "large.tif": tiff(13300, 13300, (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 13300)),
        "packed.tif": tiff(
            13300, 13300, (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 9)
        ),
    }
    for size in ("0 0", "-5 -5", "999999999 999999999", "20 20 # " + "x" * 100_000, "20", "20 x", "1e9 1e9"):
        for kind in ("P6", "P5", "P3"):
            found[f"{kind} {size[:12]}.ppm"] = f"{kind}\n{size}\n255\n".encode() + b"1 2 3"
    for width, height in ((0, 0), (0, 50), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (20000, 20000), (13300, 13300)):
        found[f"{width} x {height}.png"] = png(width, height, (b"IDAT", flat[:2000]))
    damaged = [
        b"nonsense",
        exif + b"\xff\xff",
        exif[:10] + b"\xff\xff\xff\xff",
        exif + b"\x01\0\x12\x01\x02\0\xff\xff\xff\x7f",
    ]
    for kind, (number, data) in itertools.product(("webp", "png", "jpeg"), enumerate(damaged)):
        found[f"exif {number}.{kind}"] = encoded(picture, kind, exif=data if data[:4] == b"Exif" else exif[:6] + data)
    return found


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the content with random damage: flipped bytes, a part that is zeroed, doubled, removed or moved, a cut."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not data:
            break
        place, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 4, 8, 64))
        match rng.randrange(7):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place : place + length] = rng.randbytes(length)
            case 2:
                data[place : place + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                del data[place : place + length]
            case 5:
                number = rng.choice((0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1))
                data[place : place + 4] = struct.pack(rng.choice("<>") + "I", number)
            case 6:
                del data[rng.randrange(len(data)) :]
    return bytes(data)


# ---- meshes ----------------------------------------------------------------------------------------------------------


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
        "lines.obj": b"\n" * 30_000_000,
        "spaces.obj": b" " * 30_000_000,
        "one line.obj": b"f " + b"1 " * 15_000_000,
        "short.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"f 1 2 3\n" * 2_500_000,
        "polygon.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf " + b"1 2 3 " * 300_000 + b"\n",
        "changing.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\n" + b"f 1 2 3\nf 1/1 2/1 3/1\nf 1//1 2 3\n" * 200_000,
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
        "lines.ply": b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nend_header\n" + b"\n" * 30_000_000,
        "count.stl": bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(500),
        "nan.stl": bytes(80) + struct.pack("<I", 1) + b"\xff" * 50,
        "text.stl": b"solid\n" + b"vertex 1 2 3\n" * 2_000_000,
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


# ---- other sources and options ---------------------------------------------------------------------------------------


def special_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Make files that are no regular files, are sparse, or cannot be opened; yield their names and paths."""
    yield "folder", folder
    yield "missing", folder / "missing"
    yield "null character", Path("null\0character")
    yield "long name", folder / ("x" * 300)
    yield "line break", folder / "two\nlines"
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        yield "fifo", folder / "pipe"
        for device in ("zero", "null", "urandom", "full", "tty", "stdin"):
            yield device, Path("/dev") / device
        yield "memory", Path("/proc/self/mem")
        yield "kernel", Path("/proc/kmsg")
        (folder / "loop").symlink_to(folder / "loop")
        yield "loop", folder / "loop"
    for name, start in (("zeros", b""), ("png", b"\x89PNG\r\n\x1a\n"), ("jpeg", b"\xff\xd8\xff"), ("ply", b"ply\n")):
        with open(folder / f"sparse {name}", "wb") as file:
            file.write(start)
            file.truncate(2**40)
        yield f"sparse {name}", folder / f"sparse {name}"


class Endless(io.RawIOBase):
    """A file object without an end."""

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


class Broken:
    """File objects whose `read` raises or returns something else."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def read(self, _: int = -1) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def objects() -> dict[str, Any]:
    """Return what is no photo, by name."""
    import torch

    good = np.zeros((32, 32, 3), np.uint8)
    found: dict[str, Any] = {
        "none": None, "number": 5, "list": [[0, 1]], "dict": {}, "set": set(),
        "class": int, "float": 1.5, "text": "a b c",
        "empty text": "", "empty": b"", "array 0": np.float32(1), "array of none": np.array(None),
        "text file": io.StringIO("x"), "endless": Endless(),
        "closed": Broken(ValueError("I/O operation on closed file")),
        "broken": Broken(OSError(5, "Input/output error")), "reads text": Broken("text"), "reads none": Broken(None),
        "reads number": Broken(7), "masked": np.ma.masked_array(good.astype(float), mask=True),
        "batch": torch.zeros(2, 3, 32, 32), "sparse": torch.zeros(32, 32).to_sparse(), "bool": torch.ones(32, 32) > 0,
        "complex": torch.zeros(32, 32, dtype=torch.complex64), "meta": torch.zeros(3, 32, 32, device="meta"),
        "integers": torch.zeros(3, 32, 32, dtype=torch.int64), "infinite": torch.full((3, 32, 32), float("inf")),
        "pillow empty": Image.new("RGB", (0, 0)), "pillow lab": Image.new("LAB", (32, 32)),
        "pillow float": Image.fromarray(np.full((32, 32), np.nan, np.float32)),
    }  # fmt: skip
    for shape in (
        (),
        (0,),
        (9,),
        (0, 0),
        (0, 9, 3),
        (9, 0, 3),
        (32, 32, 2),
        (3, 32, 32),
        (1, 32, 32, 3),
        (15, 99, 3),
        (1, 2, 3, 4, 5),
    ):
        found[f"shape {shape}"] = np.zeros(shape, np.uint8)
    for kind in ("i1", "i8", "u4", "c8", "O", "U3", "M8[s]", "?", "V4", "f2", "f8"):
        found[f"dtype {kind}"] = np.full((32, 32, 3), 7).astype(kind) if kind != "V4" else np.zeros((32, 32), "V4")
    for value in (np.nan, np.inf, -1.0, 1.0001, 255.0, 1e300):
        found[f"value {value}"] = np.full((32, 32, 3), value)
    return found


BOXES: list[Any] = [
    (0, 0, 1e300, 1e300), (-1e300, -1e300, 1e300, 1e300), (0, 0, 1e-300, 1e-300), (5, 5, 5, 5), (9, 9, 3, 3),
    (0, 0, np.nan, 5),
    (0, 0, np.inf, 5), (1, 2, 3), (1, 2, 3, 4, 5, 6), "box", b"abcd", [[0, 0, 5, 5]], (0, 0, "5", 5), 7, True, {},
    (1e15, 1e15, 2e15, 2e15),
    (1e8, 1e8, 1e8 + 1, 1e8 + 1), (0, 0, 1e-9, 1e-9), (-5e5, -5e5, -4e5, -4e5), (0, 0, 1e7, 1), (0, 0, 1j, 5),
    (None, 0, 5, 5),
]  # fmt: skip

OPTIONS: dict[str, list[Any]] = {
    "device": [None, "", "gpu", "cuda:99", "cuda:x", 5, "cpu:7:7", "cpu\n", b"cpu", "meta"],
    "pipeline": [None, "", "pix", [], {}, 5, "pix2vertex ", "../x"],
    "face_index": [-1, 10**9, 10**30, True, "0", 1.0, None],
    "texture": [0, -1, 15, 2049, 10**9, 10**30, "256", 2.5, True, [256]],
    "head": [None, "yes", 1, [], np.array([1, 2])],
    "max_pixels": [0, -1, None, "many", 1.5, True, 10],
    "detector": [None, "", "haar", [], 5],
    "min_face": [0, -1, np.nan, np.inf, 1e300, 1e-300, "x", True],
    "backend": [None, "", "tf", [], 5],
}

COMMANDS: list[list[str]] = [
    [], ["nothing"], ["reconstruct"], ["reconstruct", "PHOTO"], ["reconstruct", "PHOTO", "-o", "x.fbx"],
    ["reconstruct", "missing.jpg", "-o", "x.glb"], ["reconstruct", "FOLDER/pipe", "-o", "x.glb"],
    ["reconstruct", "/dev/zero", "-o", "x.glb"], ["reconstruct", "PHOTO", "-o", "x.glb", "--texture", "many"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--texture", "999999999"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--device", "gpu"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--pipeline", "none"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--max-pixels", "0"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--max-pixels", "99"], ["reconstruct", "PHOTO", "-o", "nowhere/\0/x.glb"],
    ["reconstruct", "PHOTO", "-o", "/proc/x.glb"], ["reconstruct", "PHOTO", "-o", "PHOTO"], ["evaluate"],
    ["evaluate", "x"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--box", "0,0,1e300,1e300"], ["reconstruct", "", "-o", "x.glb"],
]  # fmt: skip


def bad_meshes() -> Iterator[tuple[str, Call]]:
    """Yield constructions of meshes with bad arrays."""
    from facegeom import FaceMesh

    V, F = np.eye(3), np.array([[0, 1, 2]])
    for name, fields in {
        "no vertices": {"vertices": None, "faces": F}, "nan": {"vertices": V * np.nan, "faces": F},
        "index": {"vertices": V, "faces": F + 1}, "negative": {"vertices": V, "faces": F - 1},
        "quads": {"vertices": V, "faces": [[0, 1, 2, 0]]}, "floats": {"vertices": V, "faces": F * 1.0},
        "uv": {"vertices": V, "faces": F, "uv": V},
        "texture": {"vertices": V, "faces": F, "texture": np.zeros((4, 4, 3), np.uint8)},
        "colours": {"vertices": V, "faces": F, "colors": V},
        "regions": {"vertices": V, "faces": F, "regions": {"a": [1]}},
        "seen": {"vertices": V, "faces": F, "seen": [2, 2, 2]},
        "weights": {"vertices": V, "faces": F, "weights": {"a": 1}},
        "shapes": {"vertices": V, "faces": F, "blendshapes": {"a": V[:2]}}, "text": {"vertices": "abc", "faces": F},
    }.items():  # fmt: skip
        yield name, lambda fields=fields: FaceMesh(**fields)
    good = FaceMesh(V, F)
    for target, kind in itertools.product(
        ("x.fbx", "x", "nowhere/x.glb", "", None, 5, io.StringIO()), (None, "glb", "fbx")
    ):
        yield f"save {target} {kind}".replace("\n", " "), lambda target=target, kind=kind: good.save(target, kind)


def command(arguments: list[str], folder: Path, photo: Path) -> None:
    """Run the command line; raise what it prints as an error of the class that its exit code stands for."""
    from facegeom import FacegeomError
    from facegeom.cli import main

    replaced = [word.replace("PHOTO", str(photo)).replace("FOLDER", str(folder)) for word in arguments]
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(replaced)
        except SystemExit as error:
            code = error.code
    lines = err.getvalue().strip().splitlines()
    if code == 2:
        raise ValueError(lines[-1] if lines else "")
    if code:
        raise FacegeomError(" | ".join(lines))


# ---- the collection and its worker -----------------------------------------------------------------------------------


def cases(folder: Path) -> Iterator[tuple[str, Call]]:
    """Yield the cases: a name, and a function that tries the bad input. Files are written to the folder when needed."""
    from facegeom import FaceMesh, detect, load_image, reconstruct

    rng = random.Random(SEED)
    pictures, meshes = base_pictures(), base_meshes()
    for kind, bases, crafted, load in (
        ("picture", pictures, crafted_pictures(), load_image),
        ("mesh", meshes, crafted_meshes(), FaceMesh.load),
    ):
        files = [(f"{kind} {name}", name, content) for name, content in crafted.items()]
        for name, content in bases.items():
            shares = (0.02, 0.3, 0.6, 0.95) if kind == "picture" else (0.05, 0.3, 0.7, 0.97)
            files += [
                (f"{kind} cut at {share}: {name}", name, content[: int(share * len(content))]) for share in shares
            ]
            files += [(f"{kind} damage {number}: {name}", name, mutated(content, rng)) for number in range(6)]
        for label, name, content in files:
            yield label, lambda name=name, content=content, load=load: load(written(folder, name, content))
    special = folder / "special"
    special.mkdir()
    for name, path in special_files(special):
        yield f"file {name}", lambda path=path: load_image(path)
        for suffix in (".glb", ".ply") if name.startswith(("sparse", "fifo", "folder", "zero", "loop")) else ():
            linked = special / f"{name}{suffix}"
            linked.symlink_to(path)
            yield f"mesh file {name}{suffix}", lambda linked=linked: FaceMesh.load(linked)
    for name, thing in objects().items():
        yield f"object {name}", lambda thing=thing: load_image(thing)
    photo = np.full((64, 64, 3), 127, np.uint8)
    for box in BOXES:
        yield f"box {box}", lambda box=box: reconstruct(photo, box=box)
    for option, values in OPTIONS.items():
        for value in values:
            yield f"{option}={value!r}", lambda option=option, value=value: reconstruct(photo, **{option: value})
            if option in ("max_pixels", "detector", "min_face"):
                yield f"detect {option}={value!r}", lambda option=option, value=value: detect(photo, **{option: value})
    yield from bad_meshes()
    path = written(folder, "photo.png", encoded(Image.fromarray(photo), "png"))
    for arguments in COMMANDS:
        yield f"command {arguments}", lambda arguments=arguments: command(arguments, special, path)


def written(folder: Path, name: str, content: bytes) -> Path:
    """Write a file; return its path."""
    path = folder / name
    path.write_bytes(content)
    return path


def fuzzed(folder: Path, count: int) -> Iterator[tuple[str, Call]]:
    """Yield `count` cases with randomly damaged files, half of them pictures and half meshes."""
    from facegeom import FaceMesh, load_image

    rng = random.Random(SEED + 1)
    pictures, meshes = (list(files.items()) for files in (base_pictures(), base_meshes()))
    for number in range(count):
        files, load = ((pictures, load_image), (meshes, FaceMesh.load))[number % 2]
        name, content = rng.choice(files)
        content = mutated(content, rng)
        yield (
            f"fuzz {number}: {name}",
            lambda name=name, content=content, load=load: load(written(folder, name, content)),
        )


def peak_bytes() -> float:
    """Return the largest memory of this process, since the last call of `reset_peak` where the system can reset it."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM"):
                return float(line.split()[1]) * 1024
    return 0.0


def reset_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def attempt(name: str, call: Call) -> Report:
    """Try a case and report it; what it prints, also in libraries, is caught."""
    report = Report(name, "none")
    with tempfile.TemporaryFile() as printed:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(printed.fileno(), 2)
        reset_peak()
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                call()
        except Exception as error:
            report.outcome, report.sentence = type(error).__name__, str(error)
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
        report.seconds, report.peak = time.perf_counter() - start, peak_bytes()
        printed.seek(0)
        lines = printed.read().decode("utf-8", "replace").splitlines()
    # The messages of facegeom itself are logged; without a handler, Python prints them.
    report.printed = "\n".join(
        line for line in lines if not line.startswith(OWN_MESSAGES) and " refers to " not in line
    )
    return report


OWN_MESSAGES = ("the image: ", "/")


def worker(kind: str, start: int, step: int) -> None:
    """Try the cases `start`, `start + step`, ...; print a line for each, before and after it."""
    with tempfile.TemporaryDirectory() as folder:
        found = cases(Path(folder)) if kind == "cases" else fuzzed(Path(folder), int(kind))
        for index, (name, call) in enumerate(found):
            if index >= start and (index - start) % step == 0:
                print(json.dumps([index, name]), flush=True)
                print(json.dumps(asdict(attempt(name, call))), flush=True)


def run(kind: str = "cases", step: int = 1) -> list[Report]:
    """Try every `step`-th case of a collection ("cases", or a number of fuzzed files) in worker processes."""
    reports: list[Report] = []
    start = 0
    while True:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, kind, str(start), str(step)],
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_forward, args=(process, lines), daemon=True).start()
        current: tuple[int, str] | None = None
        while True:
            try:
                line = lines.get(timeout=6 * LIMIT_S if current is None else 3 * LIMIT_S)  # other work slows it down
            except queue.Empty:
                process.kill()
                outcome = "hang"
                break
            if not line:
                outcome = "crash"
                break
            content = json.loads(line)
            if isinstance(content, list):
                current = (content[0], content[1])
            else:
                reports.append(Report(**content))
                if reports[-1].faults() and "-v" in sys.argv:
                    print(reports[-1].name, reports[-1].faults(), flush=True)
                current = None
        code = process.wait()
        if current is None and code == 0:
            return reports
        if current is None:
            raise RuntimeError(f"the worker ended with code {code} between two cases, after {len(reports)}")
        reports.append(Report(current[1], outcome, f"exit code {code}"))
        start = current[0] + step


def _forward(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
