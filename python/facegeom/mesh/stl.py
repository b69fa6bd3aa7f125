"""Reading of STL files, binary and text."""

from __future__ import annotations

import re

import numpy as np

from facegeom._internal.arrays import Float32Array, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.mesh.mesh_arrays import MeshArrays
from facegeom.mesh.text import PIECE, numbers

TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
HEADER_BYTES, COUNT_BYTES = 80, 4


def read_stl(content: bytes, name: str) -> MeshArrays:
    """Read an STL file; corners with equal coordinates become one vertex, in the order of first appearance.

    Raises
    ------
    FacegeomError
        If the content is neither a binary STL file whose size fits its number of triangles nor a text file with
        triangles.
    """
    start = HEADER_BYTES + COUNT_BYTES
    count = int.from_bytes(content[HEADER_BYTES:start], "little") if len(content) >= start else -1
    if len(content) == start + count * TRIANGLE.itemsize:
        corners = np.frombuffer(content, TRIANGLE, count, start)["corners"].reshape(-1, 3)
    elif content[:512].lstrip()[:5].lower() == b"solid":
        corners = _text_corners(content, name)
    elif count >= 0:
        raise FacegeomError(
            f"{name} is no STL file: {count} triangles take {start + count * TRIANGLE.itemsize} bytes, and it has "
            f"{len(content)}"
        )
    else:
        raise FacegeomError(f"{name} is no STL file: it has only {len(content)} bytes")
    if not len(corners):
        raise FacegeomError(f"{name} contains no triangles")
    return MeshArrays(*_weld(corners))


def _text_corners(content: bytes, name: str) -> Float32Array:
    parts = []
    place = 0
    while place < len(content):
        stop = content.rfind(b"\n", place, place + PIECE) + 1 or min(place + PIECE, len(content))
        lines = re.findall(rb"vertex[ \t]+([^\n]*)", content[place:stop], re.IGNORECASE)
        parts.append(numbers(b" ".join(lines), name, 3 * len(lines)).astype(np.float32))
        place = stop
    corners = np.concatenate(parts).reshape(-1, 3)
    if len(corners) % 3:
        raise FacegeomError(f"{name} is damaged: its number of corners is not a multiple of 3")
    return corners


def _weld(corners: Float32Array) -> tuple[FloatArray, IntArray]:
    """Return the vertices (n, 3) and triangles (m, 3) of triangles that are given by their corners (3m, 3)."""
    corners = np.ascontiguousarray(corners + np.float32(0.0))  # -0 becomes 0
    keys = corners.view(np.dtype((np.void, corners.itemsize * 3))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return corners[first[order]].astype(np.float64), rank[which].reshape(-1, 3)
