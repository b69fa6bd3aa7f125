"""Reading of mesh files and their textures from untrusted sources: limits on size, memory and places."""

from __future__ import annotations

import io
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.outputs import printable
from facegeom.errors import FacegeomError
from facegeom.images.decoding import PixelLimitError, decode, open_regular
from facegeom.images.limits import TEXTURE_PIXELS

log = logging.getLogger("facegeom")

LARGEST_FILE = 512 * 2**20
"""Maximum size of a mesh file in bytes; a scan of 2 million triangles has about 200 MB as OBJ."""

FREE_BYTES = 64 * 2**20
BYTES_PER_BYTE = 8
"""The arrays of a mesh file take at most `FREE_BYTES` and, for each byte of the file, `BYTES_PER_BYTE` bytes. A file
may repeat data, for example by nodes that show the same mesh, or contain counts without data."""

COLOUR_PATCH = 4
"""Width and height in pixels of the part of a joined texture that shows the colour of a material without a texture."""


class Budget:
    """The memory that the arrays of one mesh file may still take."""

    def __init__(self, file_size: int, name: str) -> None:
        self.left, self.name = FREE_BYTES + BYTES_PER_BYTE * file_size, name

    def take(self, count: int) -> None:
        """Take `count` bytes; raise FacegeomError if they are more than the rest."""
        self.left -= count
        if self.left < 0:
            raise FacegeomError(f"{self.name} describes much more data than the file contains")


def read_mesh_file(path: Path) -> bytes:
    """Return the content of a mesh file.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    FacegeomError
        If it is not a regular file, is larger than `LARGEST_FILE`, or cannot be read.
    """
    with open_regular(path, "mesh") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise FacegeomError(
                f"{printable(path.name)} is too large: {size / 1e6:.0f} MB, and meshes of at most "
                f"{LARGEST_FILE / 1e6:.0f} MB are read"
            )
        try:
            return file.read(size)
        except OSError as error:
            raise FacegeomError(f"{printable(path.name)} cannot be read: {error.strerror}") from error


def read_beside(mesh: Path, name: str, limit: int = LARGEST_FILE) -> bytes | None:
    """Return the content of a file that a mesh file refers to, such as its material.

    Only regular files in the folder of the mesh and below are read, also if a link leads elsewhere. For others, and for
    files that do not exist, the result is None, and a message is logged.
    """
    shown = printable(name)
    folder = os.path.realpath(mesh.parent)
    path = os.path.realpath(os.path.join(folder, name.replace("\\", os.sep)))
    outside = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name) or not path.startswith(os.path.join(folder, ""))
    if outside or "\0" in name:
        log.warning("%s refers to %s, which is not in its folder and is not read", printable(mesh.name), shown)
        return None
    try:
        with open_regular(path, "file") as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise FacegeomError(f"{shown} is too large: at most {limit / 1e6:.0f} MB are read")
            return file.read(limit)
    except FileNotFoundError:
        log.warning("%s refers to %s, which does not exist", printable(mesh.name), shown)
        return None


def decode_texture(content: bytes, name: str, max_pixels: int = TEXTURE_PIXELS) -> ByteArray:
    """Return the picture of a texture as an (h, w, 3) uint8 array; its first row is the upper one.

    Raises
    ------
    ImageError
        If it cannot be decoded.
    FacegeomError
        If it has more than `max_pixels` pixels.
    """
    shown = f"the texture {printable(name)}"
    try:
        return decode(io.BytesIO(content), shown, max(1, max_pixels), TEXTURE_PIXELS).image
    except PixelLimitError as error:
        raise FacegeomError(
            f"{shown} is too large: textures of at most {TEXTURE_PIXELS / 1e6:.0f} megapixels are read for a mesh"
        ) from error


@dataclass(frozen=True)
class Material:
    """A material: its texture (h, w, 3), or None and a colour."""

    texture: ByteArray | None = None
    colour: tuple[int, int, int] = (255, 255, 255)


def join_textures(
    uv: FloatArray, uv_faces: IntArray, materials: list[Material], of_face: IntArray, name: str
) -> tuple[FloatArray, IntArray, ByteArray | None]:
    """Join the textures of several materials one below the other.

    Parameters
    ----------
    uv : (k, 2) float array, v up
    uv_faces : (m, 3) int array, rows of `uv` at the corners of each triangle
    materials : the materials
    of_face : (m,) int array, the material of each triangle
    name : name of the mesh file in messages

    Returns
    -------
    uv, uv_faces, texture : the texture is None if no material that is used has one; `uv` is then unchanged
    """
    used = np.unique(of_face).tolist()
    if all(materials[index].texture is None for index in used):
        return uv, uv_faces, None
    if len(used) == 1:
        return uv, uv_faces, materials[used[0]].texture
    pictures = []
    for index in used:
        texture, colour = materials[index].texture, materials[index].colour
        patch = np.full((COLOUR_PATCH, COLOUR_PATCH, 3), colour, np.uint8)
        pictures.append(patch if texture is None else texture)
    width, height = max(len(picture[0]) for picture in pictures), sum(map(len, pictures))
    if width * height > TEXTURE_PIXELS:
        raise FacegeomError(
            f"{name} has textures of together {width * height / 1e6:.0f} megapixels, and at most "
            f"{TEXTURE_PIXELS / 1e6:.0f} are read"
        )
    joined = np.zeros((height, width, 3), np.uint8)
    rows: list[FloatArray] = []
    faces = np.empty_like(uv_faces)
    top, first = 0, 0
    for index, picture in zip(used, pictures, strict=True):
        members = of_face == index
        chosen, corners = np.unique(uv_faces[members], return_inverse=True)
        part = uv[chosen]
        part = np.where((part < 0.0) | (part > 1.0), part % 1.0, part)  # textures repeat outside [0, 1]
        u = part[:, 0] * len(picture[0]) / width
        v = 1.0 - (top + (1.0 - part[:, 1]) * len(picture)) / height
        rows.append(np.column_stack([u, v]))
        faces[members] = corners.reshape(-1, 3) + first
        joined[top : top + len(picture), : len(picture[0])] = picture
        top, first = top + len(picture), first + len(chosen)
    return np.concatenate(rows), faces, joined
