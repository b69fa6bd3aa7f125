"""Mesh files of other programs, compared with trimesh; and files that describe more than they contain."""

from __future__ import annotations

import json
import logging
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from facegeom import FacegeomError, FaceMesh

CORNERS = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 5.0]])


def same_surface(mesh: FaceMesh, other: trimesh.Trimesh, scale: float = 1.0) -> None:
    """Check that two meshes have the same triangles, in any order of vertices and triangles."""
    own, others = mesh.vertices[mesh.faces], np.asarray(other.triangles) * scale
    apart = np.abs(np.roll(own, 0, axis=1)[:, None] - others).max(axis=(2, 3))
    for turn in (1, 2):  # the same triangle may start at another corner
        apart = np.minimum(apart, np.abs(np.roll(own, turn, axis=1)[:, None] - others).max(axis=(2, 3)))
    size = np.abs(others).max()
    assert sorted(apart.argmin(axis=1).tolist()) == list(range(len(others)))
    assert apart.min(axis=1).max() < 1e-6 * size


def load(path: Path, content: bytes | str) -> FaceMesh:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return FaceMesh.load(path)


def glb(tree: dict[str, Any], binary: bytes = b"") -> bytes:
    """Return a GLB file of a JSON part and a binary part."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    parts = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def triangle_tree(**changes: Any) -> tuple[dict[str, Any], bytes]:
    """Return the two parts of a GLB file with one triangle of 1 m."""
    binary = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes() + np.array([0, 1, 2], "<u2").tobytes()
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        "buffers": [{"byteLength": len(binary)}],
    }
    return tree | changes, binary


# ---- files of other programs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["glb", "obj", "ply", "stl", "ply_ascii", "stl_ascii"])
def test_files_of_trimesh_are_read_like_by_trimesh(tmp_path: Path, kind: str) -> None:
    shape = trimesh.creation.icosphere(2, radius=50.0)
    path = tmp_path / f"shape.{kind.split('_')[0]}"
    if kind == "ply_ascii":
        content = trimesh.exchange.ply.export_ply(shape, encoding="ascii")
    else:
        content = shape.export(file_type=kind)
    mesh = load(path, content)
    same_surface(mesh, shape, 1000.0 if kind == "glb" else 1.0)
    assert len(mesh.vertices) == len(shape.vertices)
    if "stl" not in kind:
        np.testing.assert_array_equal(mesh.faces, shape.faces)


def test_a_scene_of_nodes_is_joined_like_by_trimesh(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    turn = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3], [0.1, 0.2, 0.3])
    mirror = np.diag([-1.0, 2.0, 1.0, 1.0])
    for number, place in enumerate((np.eye(4), turn, mirror)):
        box = trimesh.creation.box((0.1, 0.2, 0.3))
        box.visual.vertex_colors = [(40 * number, 90, 200, 255)] * len(box.vertices)
        scene.add_geometry(box, transform=place)
    mesh = load(tmp_path / "scene.glb", scene.export(file_type="glb"))
    expected = trimesh.load_mesh(tmp_path / "scene.glb")
    expected = expected.to_mesh() if isinstance(expected, trimesh.Scene) else expected
    same_surface(mesh, expected, 1000.0)
    assert mesh.colors is not None


def test_textures_of_several_materials_are_joined(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((8, 16, 3), (32, 4, 3))]
    scene = trimesh.Scene()
    for number, picture in enumerate(pictures):
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(picture))
        part = trimesh.Trimesh(CORNERS[:3] + number, [[0, 1, 2]], process=False)
        part.visual = trimesh.visual.TextureVisuals(uv=[[0.1, 0.2], [0.9, 0.3], [0.5, 0.8]], material=material)
        scene.add_geometry(part)
    mesh = load(tmp_path / "scene.glb", scene.export(file_type="glb"))
    assert mesh.texture is not None
    assert mesh.texture.shape == (40, 16, 3)
    for picture, corners in zip(pictures, mesh.uv_faces, strict=True):
        for corner, (u, v) in zip(corners, [(0.1, 0.2), (0.9, 0.3), (0.5, 0.8)], strict=True):
            x, y = mesh.uv[corner] * (16, -40) + (0, 40)
            expected = picture[int((1 - v) * len(picture)), int(u * len(picture[0]))]
            np.testing.assert_array_equal(mesh.texture[int(y), int(x)], expected)


def test_glb_strips_fans_sparse_strided_and_normalized_data(tmp_path: Path) -> None:
    quantized = np.zeros((4, 4), "<i2")
    quantized[:, :3] = CORNERS / 10 * 32767
    binary = quantized.tobytes() + np.array([3], "<u1").tobytes().ljust(4, b"\0") + struct.pack("<3h", 0, 32767, 0)
    tree, _ = triangle_tree(
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": mode} for mode in (5, 6)]}],
        accessors=[
            {
                "bufferView": 0, "componentType": 5122, "normalized": True, "count": 4, "type": "VEC3",
                "sparse": {
                    "count": 1,
                    "indices": {"bufferView": 1, "componentType": 5121},
                    "values": {"bufferView": 2},
                },
            }
        ],
        bufferViews=[
            {"buffer": 0, "byteLength": 32, "byteStride": 8},
            {"buffer": 0, "byteOffset": 32, "byteLength": 1},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        extensionsRequired=["KHR_mesh_quantization"],
    )  # fmt: skip
    mesh = load(tmp_path / "strip.glb", glb(tree, binary))
    flat = CORNERS * (100, 100, 0)  # the sparse element replaces the last vertex, whose z is 5
    np.testing.assert_allclose(mesh.vertices[:4], flat, atol=0.02)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [2, 1, 3], [4, 5, 6], [4, 6, 7]])


def test_obj_polygons_and_negative_and_missing_indices(tmp_path: Path) -> None:
    text = """
        # a comment
        v 0 0 0
        v 10 0 0
        v 10 10 0 1.0
        v 0 10 5
        vt 0 0
        vt 1 0 0
        vt 1 1
        g group
        s off
        f 1/1 2/2 3/3 4
        vn 0 0 1
        f -4//1 -3//1 \\
          -1//1
        f 1/1/1 2/2/1 3/3/1
        l 1 2
        v 99 0 0
        f -1 1 2
    """
    mesh = load(tmp_path / "shape.obj", "\n".join(line.strip() for line in text.splitlines()))
    np.testing.assert_array_equal(mesh.vertices, [*CORNERS, [99, 0, 0]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3], [0, 1, 3], [0, 1, 2], [4, 0, 1]])
    np.testing.assert_array_equal(mesh.uv[mesh.uv_faces[0]], [[0, 0], [1, 0], [1, 1]])
    np.testing.assert_array_equal(mesh.uv[mesh.uv_faces[3]], [[0, 0], [1, 0], [1, 1]])


def test_obj_with_the_vertices_of_a_large_file(tmp_path: Path) -> None:
    """The lines are parsed in pieces: indices that count backwards cross their borders."""
    rows = [f"v {x} {x % 7} 1" for x in range(90_000)] + ["vt 0.5 0.5"]
    rows += [f"f {x + 1}/1 {x + 2}/1 {x + 3}/1" for x in range(0, 89_900, 3)] + ["f -1/-1 -2/-1 -90000/-1"]
    mesh = load(tmp_path / "large.obj", "\n".join(rows))
    np.testing.assert_array_equal(mesh.vertices[:, 0], np.arange(90_000))
    np.testing.assert_array_equal(mesh.faces[-2:], [[89_898, 89_899, 89_900], [89_999, 89_998, 0]])
    assert (mesh.uv_faces == 0).all()


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("corners", [3, 4])
def test_ply_of_all_byte_orders(tmp_path: Path, order: str, corners: int) -> None:
    polygon = list(range(corners))
    header = f"""ply
format {order} 1.0
comment made by hand
element vertex 4
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
element face 2
property list uchar int vertex_indices
property uchar quality
element edge 0
property int vertex1
end_header
"""
    colours = [(1, 0, 0), (0, 1, 1), (1, 1, 0), (0, 0, 1)]  # not floats from 0 to 1
    if order == "ascii":
        lines = [" ".join(map(str, (*point, *colour))) for point, colour in zip(CORNERS, colours, strict=True)]
        lines += [" ".join(map(str, (corners, *polygon, 9)))] * 2
        content = header.encode() + "\n".join(lines).encode()
    else:
        mark = "<" if "little" in order else ">"
        vertices = [struct.pack(f"{mark}3f3B", *p, *c) for p, c in zip(CORNERS, colours, strict=True)]
        face = struct.pack(f"{mark}B{corners}iB", corners, *polygon, 9)
        content = header.encode() + b"".join(vertices) + face * 2
    mesh = load(tmp_path / "shape.ply", content)
    np.testing.assert_array_equal(mesh.vertices, CORNERS)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]][: corners - 2] * 2)
    np.testing.assert_array_equal(mesh.colors, colours)


def test_text_ply_with_triangles_and_quads_and_texture_coordinates_of_corners(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "skin.png")
    text = """ply
format ascii 1.0
comment TextureFile skin.png
element vertex 4
property float x
property float y
property float z
element face 2
property list uchar int vertex_indices
property list uchar float texcoord
end_header
0 0 0
10 0 0
10 10 0
0 10 5
4 0 1 2 3 8 0 0 1 0 1 1 0 1
3 0 1 2 6 0 0 1 0 1 0.5
"""
    mesh = load(tmp_path / "shape.ply", text)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3], [0, 1, 2]])
    np.testing.assert_array_equal(mesh.uv[mesh.uv_faces[2]], [[0, 0], [1, 0], [1, 0.5]])
    np.testing.assert_array_equal(mesh.uv[mesh.uv_faces[1]], [[0, 0], [1, 1], [0, 1]])
    np.testing.assert_array_equal(mesh.texture, picture)


# ---- files that describe more than they contain ----------------------------------------------------------------------


HUGE = 10**11
MESHOPT = "EXT_meshopt_compression"


def own_tree(**changes: Any) -> dict[str, Any]:
    """Return the changes that make a triangle a file of facegeom, with changes of the data of its part."""
    own = {"vertices": [0, 3], "triangles": [0, 1], **changes}
    mesh = {"primitives": [{"attributes": {"POSITION": 0, "_SEEN": 1}, "indices": 1}], "extras": {"facegeom": own}}
    return {"meshes": [mesh], "extras": {"facegeom": {"vertices": 3, "triangles": 1}}}


OWN = own_tree()


def compressed(**changes: Any) -> dict[str, Any]:
    """Return a compressed buffer view, with changes of its extension."""
    row = {"buffer": 0, "byteLength": 30, "byteStride": 12, "count": 3, "mode": "ATTRIBUTES", **changes}
    return {"buffer": 0, "byteLength": 36, "extensions": {MESHOPT: row}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accessors": [{"componentType": 5126, "count": HUGE, "type": "VEC3"}]}, "much more data than the file"),
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"}]}, "longer than its"),
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": -1, "type": "VEC3"}]}, "count is -1"),
        ({"accessors": [{"bufferView": 9, "componentType": 5126, "count": 3, "type": "VEC3"}]}, "no entry 9 of"),
        ({"accessors": [{"bufferView": 0, "componentType": 1, "count": 3, "type": "VEC3"}]}, "no component type 1"),
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "MAT4"}]}, "no type MAT4"),
        ({"bufferViews": [{"buffer": 0, "byteOffset": 10, "byteLength": 36}] * 2}, "longer than its buffer"),
        ({"buffers": [{"uri": "../../etc/passwd", "byteLength": 9}]}, "its data in another file"),
        ({"buffers": [{"uri": "http://127.0.0.1/x", "byteLength": 9}]}, "its data in another file"),
        ({"buffers": [{"uri": "data:;base64,###", "byteLength": 9}]}, "not in base64"),
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "below itself"),
        ({"nodes": [{"children": [1, 1]}, {"mesh": 0}]}, "below two nodes"),
        ({"nodes": [{"mesh": 0, "scale": [1e300, 1, 1]}]}, "is not 3 numbers"),
        ({"nodes": [{"mesh": 7}]}, "no entry 7 of meshes"),
        ({"scene": 4}, "no entry 4 of scenes"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 1}}]}]}, "not three numbers"),
        ({"meshes": [{"primitives": [{"attributes": {}}]}]}, "no positions"),
        ({"meshes": [{}]}, "no primitives"),
        ({"meshes": 5}, "no list of objects"),
        ({"meshes": []}, "no entry 0 of meshes"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "extension KHR_draco_mesh_compression"),
        ({"extras": {"facegeom": {}}}, "vertices is None"),
        ({"extras": {"facegeom": {"vertices": 3, "triangles": 1}}}, "a part has no data"),
        ({**OWN, "extras": {"facegeom": {"vertices": HUGE, "triangles": 1}}}, f"has 3 of {HUGE} vertices"),
        ({**OWN, "extras": {"facegeom": {"vertices": 3, "triangles": HUGE}}}, f"has 1 of {HUGE} triangles"),
        (own_tree(vertices=[0, HUGE]), "no list of ascending pairs"),
        (own_tree(vertices=[2, 0]), "no list of ascending pairs"),
        (own_tree(doubles=[-1, 0, 1]), "something else"),
        (own_tree(triangles=[0, 2]), "no list of ascending pairs"),
        ({"bufferViews": [compressed(byteLength=HUGE)] * 2, "extensionsRequired": [MESHOPT]}, "longer than its buffer"),
        (
            {"bufferViews": [compressed(count=HUGE)] * 2, "extensionsRequired": [MESHOPT]},
            "much more data than the file",
        ),
        ({"bufferViews": [compressed(byteStride=0)] * 2, "extensionsRequired": [MESHOPT]}, "longer than its buffer"),
        ({"bufferViews": [compressed(mode="X")] * 2, "extensionsRequired": [MESHOPT]}, "cannot be decoded"),
        ({"bufferViews": [compressed()] * 2, "extensionsRequired": [MESHOPT]}, "cannot be decoded"),
    ],
)
def test_damaged_glb_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    tree, binary = triangle_tree(**changes)
    with pytest.raises(FacegeomError, match=message):
        load(tmp_path / "bad.glb", glb(tree, binary))


def test_many_nodes_with_the_same_mesh_are_limited(tmp_path: Path) -> None:
    tree, binary = triangle_tree(nodes=[{"mesh": 0}] * 200_000, scenes=[{"nodes": list(range(200_000))}])
    with pytest.raises(FacegeomError, match="much more data than the file contains"):
        load(tmp_path / "bad.glb", glb(tree, binary))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (f"element vertex {HUGE}\nproperty float x\nproperty float y\nproperty float z", "much more data"),
        ("element vertex 1000\nproperty float x\nproperty float y\nproperty float z", "truncated"),
        ("element vertex -5\nproperty float x", "which PLY does not have"),
        ("element vertex 1\nproperty quaternion x", "which PLY does not have"),
        ("element vertex 1\nproperty float x\nelement vertex 1\nproperty float x", "an element twice"),
        ("element face 1\nproperty list uint int vertex_indices", "list of 2155905152 entries"),
        ("element face 5\nproperty list uchar int vertex_indices", "truncated, or its polygons"),
        ("", "no vertices"),
    ],
)
def test_damaged_ply_files(tmp_path: Path, rows: str, message: str) -> None:
    content = f"ply\nformat binary_little_endian 1.0\n{rows}\nend_header\n".encode() + b"\x80" * 16
    with pytest.raises(FacegeomError, match=message):
        load(tmp_path / "bad.ply", content.replace(b"\n\n", b"\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50), "4294967295 triangles take 214748364834 bytes"),
        (b"solid\nfacet\nvertex 1 2 3\nvertex 1 2\n", "no number, or a number is missing"),
        (b"solid\nvertex 1 2 3\nvertex 1 2 3\nendsolid\n", "not a multiple of 3"),
        (b"solid nothing\nendsolid\n", "no triangles"),
        (bytes(84), "no triangles"),
    ],
)
def test_damaged_stl_files(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(FacegeomError, match=message):
        load(tmp_path / "bad.stl", content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 99999999999\n", "must lie in"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -9\n", "must lie in"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "the vertex 0"),
        ("v 0 0\nf 1 1 1\n", "2 numbers instead of 3"),
        ("v 0 zero 0\nf 1 1 1\n", "no number"),
        ("v 0 0 nan\nf 1 1 1\n", "finite"),
        ("v 0 0 0\nf 1 1\n", "no triangles"),
        ("v 0 0 0\nvt 0 0\nf 1/1 1/7 1/1\n", "1 texture coordinates, not 7"),
        ("\0\0\0\0", "not a text"),
        ("", "no triangles"),
    ],
)
def test_damaged_obj_files(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(FacegeomError, match=message):
        load(tmp_path / "bad.obj", content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs and devices")
def test_fifos_devices_folders_and_sparse_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.obj")
    (tmp_path / "zero.ply").symlink_to("/dev/zero")
    for name in ("pipe.obj", "zero.ply"):
        with pytest.raises(FacegeomError, match="is not a regular file"):
            FaceMesh.load(tmp_path / name)
    (tmp_path / "folder.stl").mkdir()
    with pytest.raises(FacegeomError, match="is a folder"):
        FaceMesh.load(tmp_path / "folder.stl")
    with open(tmp_path / "sparse.glb", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(FacegeomError, match="too large: 1099512 MB, and meshes of at most 537 MB"):
        FaceMesh.load(tmp_path / "sparse.glb")


@pytest.mark.parametrize(
    "place",
    [
        "../secret.png",
        "/etc/secret.png",
        "C:\\secret.png",
        "http://127.0.0.1/secret.png",
        "link.png",
        "sub/../../secret.png",
    ],
)
def test_textures_outside_the_folder_are_not_read(tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "meshes"
    folder.mkdir()
    Image.new("RGB", (9, 9), (255, 0, 0)).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "face.mtl").write_text(f"newmtl skin\nmap_Kd {place}\n")
    mesh = load(folder / "face.obj", "mtllib face.mtl\nusemtl skin\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n")
    assert mesh.texture is None
    assert f"face.obj refers to {place}, which is not in its folder and is not read" in caplog.messages
    tree, binary = triangle_tree(
        materials=[{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        textures=[{"source": 0}],
        images=[{"uri": place}],
    )
    tree["meshes"][0]["primitives"][0] = {"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0}
    tree["accessors"].append({"componentType": 5126, "count": 3, "type": "VEC2"})
    assert load(folder / "face.glb", glb(tree, binary)).texture is None


def test_textures_in_the_folder_and_below_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "sub").mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "sub" / "skin 1.png")
    (tmp_path / "face.mtl").write_text(
        "newmtl skin\nKd 1 0.5 0\nmap_Kd sub\\skin 1.png\nnewmtl other\nmap_Kd none.png\n"
    )
    text = "mtllib face.mtl\nusemtl skin\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n"
    with caplog.at_level(logging.WARNING):
        mesh = load(tmp_path / "face.obj", text)
    np.testing.assert_array_equal(mesh.texture, picture)
    assert not caplog.messages  # materials that are not used are not read


def test_the_textures_of_a_mesh_have_a_limit(tmp_path: Path) -> None:
    Image.new("L", (9000, 8000)).save(tmp_path / "large.png")
    (tmp_path / "face.mtl").write_text("newmtl skin\nmap_Kd large.png\n")
    text = "mtllib face.mtl\nusemtl skin\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n"
    with pytest.raises(FacegeomError, match=r"the texture large.png is too large: textures of at most 67 megapixels"):
        load(tmp_path / "face.obj", text)
