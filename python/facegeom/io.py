"""Photos in, meshes in and out: the suffix decides the format, and a file is written whole or not at all."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from facegeom import _check, _glb, viewer
from facegeom.errors import FacegeomError, ImageError
from facegeom.files import write_atomically
from facegeom.mesh import FaceMesh

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[Any]"

SMALLEST_SIDE = 16
"""Pixels: a photo with a shorter side holds no face that a network could see."""

MESH_SUFFIXES = (".glb", ".obj", ".ply", ".stl")
SAVE_SUFFIXES = (*MESH_SUFFIXES, ".html")


def load_image(source: ImageSource) -> _check.ByteArray:
    """Return a photo as an (h, w, 3) uint8 RGB array, the right way up.

    Parameters
    ----------
    source : path, bytes of an image file, PIL image, or array
        An array is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), uint8 or uint16, red first.

    Returns
    -------
    (h, w, 3) uint8 array

    Raises
    ------
    FileNotFoundError
        When the path does not exist.
    ImageError
        When the bytes are no image that Pillow reads, are cut short, or a side is shorter than 16 pixels.
    TypeError, ValueError
        When an array has another type or shape.

    Notes
    -----
    The orientation in the file's EXIF data is applied. Transparent pixels are laid on white, gray is repeated, CMYK is
    converted by Pillow, 16 bits a channel become 8. Of an animation the first frame is taken.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"no such image: {path}")
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not an image")
        image = _decode(path.read_bytes(), str(path))
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image = _decode(bytes(source), "the image")
    elif isinstance(source, Image.Image):
        image = _to_rgb(source, "the image")
    elif isinstance(source, np.ndarray):
        image = _array_to_rgb(source)
    else:
        raise TypeError(
            f"image must be a path, bytes, a PIL image or an (h, w, 3) uint8 array, got {type(source).__name__}"
        )
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(f"the image must be at least {SMALLEST_SIDE} pixels on each side, got {width} x {height}")
    return image


def save_mesh(mesh: FaceMesh, path: str | os.PathLike[str]) -> None:
    """Write a mesh to a file; the same mesh gives the same bytes.

    Parameters
    ----------
    mesh : FaceMesh
    path : ends in
        .glb - glTF 2.0, metres, with normals, the texture or the colours, blendshapes, regions and `seen`;
        .obj - millimetres, with .mtl and .png beside it when there is a texture, else with colours after each vertex;
        .ply - millimetres, binary, with colours;
        .stl - millimetres, binary, shape only;
        .html - a page that shows it in any browser, with no network; see `facegeom.viewer.page`.

    Raises
    ------
    FacegeomError
        When the suffix is none of these, or this installation has no viewer page (.html).
    FileNotFoundError
        When the folder does not exist.

    Notes
    -----
    Files that know no blendshapes (.obj, .ply, .stl) hold the vertices as they are, whatever the weights.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SAVE_SUFFIXES:
        raise FacegeomError(
            f"cannot save a mesh as {target.name!r}: the suffix must be one of {', '.join(SAVE_SUFFIXES)}"
        )
    if suffix == ".glb":
        write_bytes(target, _glb.encode(mesh))
    elif suffix == ".html":
        write_bytes(target, viewer.page(mesh, target.stem).encode())
    elif suffix == ".obj":
        _save_obj(mesh, target)
    else:
        write_bytes(target, _with_colors(mesh).export(file_type=suffix[1:]))


def load_mesh(path: str | os.PathLike[str]) -> FaceMesh:
    """Return the mesh in a .glb, .obj, .ply or .stl file, in millimetres.

    Raises
    ------
    FileNotFoundError
        When the path does not exist.
    FacegeomError
        When the suffix is another or the file cannot be read.

    Notes
    -----
    A GLB of facegeom's own comes back with its vertex order, regions, `seen`, blendshapes and weights; positions are
    rounded to float32, and blendshapes leave out what they move by less than 0.02 mm. Any other file is read by
    trimesh: GLB counts as metres, everything else as millimetres, nodes' transforms are applied, parts are joined.
    """
    source = Path(path)
    suffix = source.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise FacegeomError(f"cannot load {source.name!r}: the suffix must be one of {', '.join(MESH_SUFFIXES)}")
    if not source.exists():
        raise FileNotFoundError(f"no such mesh: {source}")
    if suffix == ".glb":
        own = _glb.decode(source.read_bytes(), source.name)
        if own is not None:
            return own
    return _load_foreign(source, 1000.0 if suffix == ".glb" else 1.0)


def save_image(image: npt.ArrayLike, path: str | os.PathLike[str]) -> None:
    """Write an (h, w, 3) uint8 RGB array as a PNG file."""
    write_bytes(path, png_bytes(_check.rgb_image(image)))


def png_bytes(image: _check.ByteArray) -> bytes:
    """Return an (h, w, 3) uint8 RGB array as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=6)
    return buffer.getvalue()


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to a file, whole or not at all."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def _decode(content: bytes, name: str) -> _check.ByteArray:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return _to_rgb(image, name)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image in a format that Pillow reads") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is too large: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, ZeroDivisionError) as error:
        raise ImageError(f"{name} cannot be decoded: {error}") from error


def _to_rgb(image: Image.Image, name: str) -> _check.ByteArray:
    if 0 in image.size:
        raise ImageError(f"{name} is empty: {image.size[0]} x {image.size[1]} pixels")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        return _deep_gray(np.asarray(upright))
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, rgba)
    return np.ascontiguousarray(upright.convert("RGB"))


def _deep_gray(values: npt.NDArray[Any]) -> _check.ByteArray:
    """Gray of more than 8 bits: 16-bit integers keep their high byte, floats are taken as 0 to 1 or 0 to 255."""
    gray = np.nan_to_num(values.astype(np.float64))
    deepest = 1.0 if values.dtype.kind == "f" else 65535.0
    top = 255.0 if 1.0 < gray.max() <= 255.0 or deepest < gray.max() else deepest
    gray = np.clip(np.rint(gray * (255.0 / top)), 0, 255).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _array_to_rgb(array: npt.NDArray[Any]) -> _check.ByteArray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"image must be an (h, w, 3) uint8 RGB array, got shape {array.shape}")
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if array.dtype != np.uint8:
        raise TypeError(f"image must be an (h, w, 3) uint8 RGB array, got dtype {array.dtype}")
    if 0 in array.shape:
        raise ImageError(f"the image is empty: shape {array.shape}")
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[:, :, 3:].astype(np.uint16)
        return ((array[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def _save_obj(mesh: FaceMesh, target: Path) -> None:
    """Write `v`, `vt`, `f` lines; material and texture are written first, so that no .obj names a missing file.

    Vertices along the atlas's cuts are doubled, the doubles last: readers that keep one texture coordinate a vertex
    then leave the order alone.
    """
    lines = ["# facegeom: millimetres, +x to the subject's left, +y up, +z out of the face"]
    source, uv, faces = np.arange(len(mesh.vertices)), None, mesh.faces
    if mesh.uv is not None:
        source, uv, faces = mesh.unrolled()
    if mesh.texture is not None:
        material = target.with_suffix(".mtl")
        picture = target.with_suffix(".png")
        save_image(mesh.texture, picture)
        content = f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {picture.name}\n"
        write_bytes(material, content.encode())
        lines += [f"mtllib {material.name}", "usemtl face"]
    if mesh.colors is not None and mesh.texture is None:
        rows = np.hstack([mesh.vertices, mesh.colors / 255.0])[source].tolist()
        lines += [f"v {x:.6f} {y:.6f} {z:.6f} {r:.4f} {g:.4f} {b:.4f}" for x, y, z, r, g, b in rows]
    else:
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices[source].tolist()]
    lines.append("s 1")
    corners = (faces + 1).tolist()
    if uv is not None:
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv.tolist()]
        lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in corners]
    else:
        lines += [f"f {a} {b} {c}" for a, b, c in corners]
    write_bytes(target, ("\n".join(lines) + "\n").encode())


def _with_colors(mesh: FaceMesh) -> Any:
    """Return a trimesh mesh of the shape and the colours; colours that are missing are read from the texture."""
    colors = mesh.colors if mesh.colors is not None else _texture_at_vertices(mesh)
    return FaceMesh(mesh.vertices, mesh.faces, colors=colors).to_trimesh()


def _texture_at_vertices(mesh: FaceMesh) -> _check.ByteArray | None:
    if mesh.texture is None or mesh.uv is None or mesh.uv_faces is None:
        return None
    height, width = mesh.texture.shape[:2]
    uv = mesh.unrolled()[1][: len(mesh.vertices)]
    column = np.clip(np.floor(uv[:, 0] * width), 0, width - 1).astype(np.int64)
    row = np.clip(np.floor((1.0 - uv[:, 1]) * height), 0, height - 1).astype(np.int64)
    return np.ascontiguousarray(mesh.texture[row, column])


def _load_foreign(source: Path, scale: float) -> FaceMesh:
    import trimesh

    try:
        loaded = trimesh.load_mesh(source, process=source.suffix.lower() == ".stl")  # STL repeats each corner
        if isinstance(loaded, trimesh.Scene):
            loaded = loaded.to_mesh()
        vertices = np.asarray(loaded.vertices, dtype=np.float64) * scale
        faces = np.asarray(loaded.faces, dtype=np.int64)
    except Exception as error:  # trimesh raises whatever its parsers meet
        raise FacegeomError(f"{source.name} cannot be read as a mesh: {error}") from error
    if not len(faces):
        raise FacegeomError(f"{source.name} holds no triangles")
    uv, texture, colors = _appearance(loaded.visual, len(vertices))
    return FaceMesh(vertices, faces, uv=uv, texture=texture, colors=colors)


def _appearance(
    visual: Any, vertex_count: int
) -> tuple[npt.NDArray[Any] | None, _check.ByteArray | None, _check.ByteArray | None]:
    """Return texture coordinates, texture and colours of a trimesh visual, each None where it has none."""
    if visual.kind == "texture" and visual.uv is not None and len(visual.uv) == vertex_count:
        material = visual.material
        picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
        texture = None if picture is None else np.ascontiguousarray(picture.convert("RGB"))
        return np.asarray(visual.uv, dtype=np.float64), texture, None
    if visual.kind == "vertex":
        return None, None, np.ascontiguousarray(visual.vertex_colors[:, :3], dtype=np.uint8)
    return None, None, None
