"""Writing and reading of mesh files; the suffix selects the format, and each file is written atomically."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray
from facegeom._internal.files import write_bytes
from facegeom._internal.outputs import Outputs, printable, side_file
from facegeom._internal.quiet import quiet
from facegeom._internal.threads import one_thread
from facegeom.errors import FacegeomError, OutputError
from facegeom.images.decoding import one_line
from facegeom.images.image_files import save_image
from facegeom.mesh import gltf, viewer
from facegeom.mesh.closing import closed
from facegeom.mesh.conversion import to_trimesh
from facegeom.mesh.glb import read_glb
from facegeom.mesh.gltf_buffer import COMPRESSIONS
from facegeom.mesh.mesh_arrays import MeshArrays
from facegeom.mesh.obj import read_obj
from facegeom.mesh.parts import groups
from facegeom.mesh.ply import read_ply
from facegeom.mesh.sources import read_mesh_file
from facegeom.mesh.stl import read_stl
from facegeom.mesh.usdz import encode_usdz

MESH_SUFFIXES = (".glb", ".obj", ".ply", ".stl")
SAVE_SUFFIXES = (*MESH_SUFFIXES, ".html", ".gltf", ".usdz")
BLENDSHAPE_FORMATS = ("glb", "html", "gltf", "usdz")
"""Formats whose files contain the blendshapes and their weights."""


def save_mesh(
    mesh: MeshArrays,
    target: str | os.PathLike[str] | BinaryIO,
    format: str | None = None,
    *,
    compress: str | None = None,
    watertight: bool = False,
    inputs: Iterable[Path] = (),
) -> None:
    """Write a mesh to a file; equal meshes give identical bytes.

    Parameters
    ----------
    mesh : MeshArrays
    target : path, whose suffix selects the format, or binary file object, for which `format` selects it
        .glb: glTF 2.0 in metres, with normals, texture or colours, blendshapes, regions and `seen`.
        .obj: millimetres; with a texture, `face.mtl` and `face.texture.png` are written next to `face.obj`; without
        one, the vertex colours follow the coordinates in each `v` line. Each part is a group.
        .ply: millimetres, binary, with normals and colours.
        .stl: millimetres, binary, geometry only.
        .gltf: as .glb, in three files: `face.gltf`, `face.bin` and `face.texture.png`.
        .usdz: Universal Scene Description in metres, with texture or colours and blendshapes (extra `usd`); see
        `facegeom.mesh.usdz.encode_usdz`.
        .html: a page that displays the mesh in a browser without network access; see `facegeom.mesh.viewer.page`.
    format : "glb", "obj", "ply", "stl", "html" or "usdz", for a file object; None for a path
    compress : smaller .glb files, for programs that read the extensions of glTF that they need; other formats must have
        None. "quantize": positions are integers (KHR_mesh_quantization). "meshopt": also compressed by
        EXT_meshopt_compression, with a WebP texture (extra `compress`)
    watertight : True, for .stl: teeth and gums of a head are closed at their roots, as a 3-D printer needs it
    inputs : files that must not be overwritten, such as the photo

    Raises
    ------
    FacegeomError
        If the format is not one of these, or if it is .html and this installation has no viewer bundle; for a file
        object, if the format needs further files; if meshopt or usd-core is needed and not installed; if `watertight`
        is True and the mesh is no whole head.
    OutputError
        If a file would overwrite one of `inputs`, or something that is not a file.
    FileNotFoundError, OSError
        If the folder does not exist, or a file cannot be written.
    TypeError, ValueError
        If `target` is neither a path nor a binary file object, or `format` is given for a path and only there; if
        `compress` is unknown, or given for another format than .glb; if `watertight` is given for another than .stl.

    Notes
    -----
    .obj, .ply and .stl files contain no blendshapes: the positions are `vertices`, the shape with all weights at 0.
    """
    if not isinstance(target, (str, os.PathLike)):
        _write_to_object(mesh, target, format, compress, watertight)
        return
    if format is not None:
        raise ValueError("format is only for file objects: the suffix of a path selects the format")
    path = Path(target)
    suffix = check_suffix(path)
    _check_options(compress, watertight, suffix[1:])
    outputs = Outputs(inputs)
    for file, content in mesh_files(path, textured=mesh.texture is not None):
        outputs.add(file, content)
    if suffix == ".obj":
        _save_obj(mesh, path)
    elif suffix == ".gltf":
        _save_gltf(mesh, path)
    else:
        write_bytes(path, mesh_bytes(mesh, suffix[1:], path.stem, compress=compress, watertight=watertight))


def check_suffix(path: Path) -> str:
    """Return the suffix of a mesh file in lower case; raise FacegeomError if meshes cannot be saved in this format."""
    suffix = path.suffix.lower()
    if suffix not in SAVE_SUFFIXES:
        raise FacegeomError(
            f"cannot save a mesh as {path.name!r}: the suffix must be one of {', '.join(SAVE_SUFFIXES)}"
        )
    return suffix


def mesh_files(path: Path, *, textured: bool) -> list[tuple[Path, str]]:
    """Return the files that `save_mesh` writes for a path, each with its content in words; the mesh comes last.

    Raises
    ------
    OutputError
        If the name of an OBJ file with a texture has a line break: the file contains the name of the material.
    """
    files = [(path, "the mesh")]
    if path.suffix.lower() == ".gltf":
        picture = [(side_file(path, "texture.png"), "the texture")] if textured else []
        return [*picture, (path.with_suffix(".bin"), "the data of the mesh"), *files]
    if textured and path.suffix.lower() == ".obj":
        if len(path.name.splitlines()) > 1:
            raise OutputError(f"the name of an OBJ file with a texture must have no line break, got {path.name!r}")
        files = [(side_file(path, "texture.png"), "the texture"), (path.with_suffix(".mtl"), "the material"), *files]
    return files


@one_thread()
def mesh_bytes(
    mesh: MeshArrays, format: str, title: str = "face", *, compress: str | None = None, watertight: bool = False
) -> bytes:
    """Return the content of a mesh file.

    Parameters
    ----------
    mesh : MeshArrays
    format : "glb", "ply", "stl", "html", "usdz" or, for a mesh without a texture, "obj"; see `save_mesh`
    title : heading of the page, for "html"
    compress, watertight : see `save_mesh`

    Raises
    ------
    FacegeomError
        If the format is unknown, or is "obj" and the mesh has a texture: material and texture are files of their own.
    ValueError
        If `compress` is unknown or given for another format than "glb", or `watertight` for another than "stl".
    """
    _check_options(compress, watertight, format)
    if format == "glb":
        return gltf.encode(mesh, compress)
    if format == "html":
        return viewer.page(mesh, printable(title)).encode()
    if format == "ply":
        return bytes(_coloured_trimesh(mesh).export(file_type="ply", vertex_normal=True))
    if format == "stl":
        surface = closed(mesh) if watertight else MeshArrays(mesh.vertices, mesh.faces)
        return bytes(to_trimesh(surface).export(file_type="stl"))
    if format == "usdz":
        return encode_usdz(mesh)
    if format == "gltf":
        raise FacegeomError("a .gltf mesh is several files: save it to a path, or use the format glb")
    if format != "obj":
        names = ", ".join(suffix[1:] for suffix in SAVE_SUFFIXES)
        raise FacegeomError(f"there is no mesh format {format!r}; available: {names}")
    if mesh.texture is not None:
        raise FacegeomError("an OBJ mesh with a texture is three files: save it to a path, or use the format glb")
    return _obj_bytes(mesh, None)


def _check_options(compress: str | None, watertight: bool, format: str) -> None:
    """Raise ValueError if an option is invalid, or given for a format that does not have it."""
    if check.flag(watertight, "watertight") and format != "stl":
        raise ValueError(f"watertight is an option of .stl files, got watertight=True for .{format}")
    if compress is not None and (compress not in COMPRESSIONS or format != "glb"):
        raise ValueError(f"compress must be None, or for .glb 'quantize' or 'meshopt', got {compress!r} for .{format}")


def _write_to_object(
    mesh: MeshArrays, target: BinaryIO, format: str | None, compress: str | None, watertight: bool
) -> None:
    if not callable(getattr(target, "write", None)):
        raise TypeError(f"the target must be a path or a binary file object, got {type(target).__name__}")
    if format is None:
        raise ValueError("format must be given for a file object, such as format='glb'")
    content = mesh_bytes(mesh, format, compress=compress, watertight=watertight)
    try:
        target.write(content)
    except TypeError as error:
        raise TypeError("the file object must be binary: open it with mode 'wb'") from error


@one_thread()
def load_mesh(path: str | os.PathLike[str]) -> MeshArrays:
    """Read a mesh from a .glb, .obj, .ply or .stl file, in millimetres.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    FacegeomError
        If the suffix is not one of the four, or the file is no regular file, is larger than 512 MiB, or is damaged.

    Notes
    -----
    A GLB file written by facegeom keeps vertex order, regions, `seen`, blendshapes and weights. Its positions are
    rounded to float32, and blendshape displacements below 0.02 mm are dropped.

    In files of other programs, units are taken as metres for GLB and as millimetres otherwise, node transforms are
    applied, all parts are joined into one mesh, and polygons are divided into triangles. The vertices keep the order of
    the file; corners of an STL file with the same coordinates become one vertex. Textures are read from the file and,
    for OBJ, PLY and GLB, from files in its folder and below; together they may have 67 megapixels. Other files are not
    read. Damaged and crafted files end with FacegeomError, and take memory of at most 64 MiB and 8 times the size of
    the file, besides the textures.
    """
    source = Path(path)
    suffix = source.suffix.lower()
    name = printable(source.name)
    if suffix not in MESH_SUFFIXES:
        raise FacegeomError(f"cannot load {name!r}: the suffix must be one of {', '.join(MESH_SUFFIXES)}")
    content = read_mesh_file(source)
    try:
        with quiet(), np.errstate(all="ignore"):
            if suffix == ".glb":
                return read_glb(content, source)
            if suffix == ".obj":
                return read_obj(content, source)
            return read_ply(content, source) if suffix == ".ply" else read_stl(content, name)
    except FacegeomError:
        raise
    except MemoryError as error:
        raise FacegeomError(f"{name} cannot be read as a mesh: there is not enough memory") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # the arrays are not those of a mesh
        raise FacegeomError(f"{name} cannot be read as a mesh: {one_line(error)}") from error


def _save_obj(mesh: MeshArrays, path: Path) -> None:
    """Write an OBJ file, last, so that the material and texture files to which it refers always exist."""
    if mesh.texture is None:
        write_bytes(path, _obj_bytes(mesh, None))
        return
    material, picture = path.with_suffix(".mtl"), side_file(path, "texture.png")
    save_image(mesh.texture, picture)
    lines = b"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd "
    write_bytes(material, lines + os.fsencode(picture.name) + b"\n")
    write_bytes(path, _obj_bytes(mesh, material.name))


def _save_gltf(mesh: MeshArrays, path: Path) -> None:
    """Write a .gltf file, last, so that the files to which it refers always exist."""
    binary, picture = path.with_suffix(".bin"), side_file(path, "texture.png")
    described, data = gltf.encode_parts(mesh, quote(os.fsencode(binary.name)), quote(os.fsencode(picture.name)))
    if mesh.texture is not None:
        save_image(mesh.texture, picture)
    write_bytes(binary, data)
    write_bytes(path, described)


def _obj_bytes(mesh: MeshArrays, material: str | None) -> bytes:
    """Return the content of an OBJ file that refers to the named material file.

    The vertices are those of the mesh; texture coordinates are counted on their own, so that the cuts of the atlas do
    not cut the mesh. A mesh without a texture has no texture coordinates: with them, trimesh drops vertex colours.
    """
    lines = ["# facegeom: millimetres, +x to the subject's left, +y up, +z out of the face"]
    if material is not None:
        lines += [f"mtllib {material}", "usemtl face"]
    if mesh.colors is not None and material is None:
        rows = np.hstack([mesh.vertices, mesh.colors / 255.0]).tolist()
        lines += [f"v {x:.6f} {y:.6f} {z:.6f} {r:.4f} {g:.4f} {b:.4f}" for x, y, z, r, g, b in rows]
    else:
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices.tolist()]
    if material is not None and mesh.uv is not None:
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.uv.tolist()]
    lines.append("s 1")
    for group, rows in groups(mesh):
        if group:
            lines.append(f"g {group}")
        if material is None or mesh.uv_faces is None:
            lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces[rows] + 1).tolist()]
        else:
            corners = np.hstack([mesh.faces[rows], mesh.uv_faces[rows]]) + 1
            lines += [f"f {a}/{d} {b}/{e} {c}/{f}" for a, b, c, d, e, f in corners.tolist()]
    return os.fsencode("\n".join(lines) + "\n")


def _coloured_trimesh(mesh: MeshArrays) -> Any:
    """Return a trimesh mesh with normals and vertex colours; missing colours are sampled from the texture."""
    colors = mesh.colors if mesh.colors is not None else _texture_at_vertices(mesh)
    result = to_trimesh(MeshArrays(mesh.vertices, mesh.faces, colors=colors))
    result.vertex_normals = gltf.unit_normals(mesh.vertices, mesh.faces)
    return result


def _texture_at_vertices(mesh: MeshArrays) -> ByteArray | None:
    """Return the colours (n, 3) of the texels at the vertices, or None if the mesh has no texture."""
    if mesh.texture is None or mesh.uv is None or mesh.uv_faces is None:
        return None
    height, width = mesh.texture.shape[:2]
    uv = mesh.unrolled()[1][: len(mesh.vertices)]
    column = np.clip(np.floor(uv[:, 0] * width), 0, width - 1).astype(np.int64)
    row = np.clip(np.floor((1.0 - uv[:, 1]) * height), 0, height - 1).astype(np.int64)
    return np.ascontiguousarray(mesh.texture[row, column])
