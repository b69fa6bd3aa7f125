"""Small video files for tests, with chosen time stamps and rotation."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def write_video(path: Path, frames: list[np.ndarray], fps: float = 25.0, codec: str = "mp4v") -> Path:
    """Write RGB frames (h, w, 3) to a file."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def with_intervals(path: Path, counts: list[tuple[int, int]]) -> None:
    """Change an .mp4 file whose index is at its end: `counts` are numbers of frames and their interval in its units."""
    content = bytearray(path.read_bytes())
    places, start, stop = [], 0, len(content)
    for name in (*STBL, b"stts"):
        start = _find(content, name, start, stop)
        places.append(start)
        stop = start + struct.unpack(">I", content[start : start + 4])[0]
        start += 8
    old = stop - places[-1]
    table = struct.pack(">II", 0, len(counts)) + b"".join(struct.pack(">II", *row) for row in counts)
    new = struct.pack(">I4s", 8 + len(table), b"stts") + table
    content[places[-1] : stop] = new
    for place in places[:-1]:
        size = struct.unpack(">I", content[place : place + 4])[0] + len(new) - old
        content[place : place + 4] = struct.pack(">I", size)
    edit = content.find(b"elst")  # the edit list has the length of the film, in ms
    if edit >= 0:
        content[edit + 12 : edit + 16] = struct.pack(">I", sum(number * step for number, step in counts) * 10 // 128)
    path.write_bytes(bytes(content))


def turned_quarter(path: Path) -> None:
    """Change an .mp4 file: players turn its pictures by 90 degrees clockwise."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    one = 1 << 16
    content[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))


def _find(content: bytearray, name: bytes, start: int, stop: int) -> int:
    """Return the place of a box among those from `start` to `stop`."""
    while start < stop:
        size, found = struct.unpack(">I4s", content[start : start + 8])
        if found == name:
            return start
        start += size
    raise ValueError(f"there is no box {name!r}")
