"""Good pictures of all formats, and pictures that describe something else than they contain."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


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
