"""Reading and writing of meshes: GLB, OBJ, PLY, STL."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from facegeom import FacegeomError, FaceMesh, load_face_model
from facegeom.geometry import vertex_normals
from facegeom.mesh import gltf


def wavy_mesh(n: int = 9, *, texture: bool = False, cut: bool = False) -> FaceMesh:
    """Return a bumpy square of n x n vertices with colours or a texture; `cut` splits the atlas in the middle."""
    rng = np.random.default_rng(0)
    y, x = (v.ravel() for v in np.mgrid[:n, :n])
    V = np.column_stack([x * 10.0, y * 10.0, 5 * np.sin(x) * np.cos(y)]) - 40.0
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    F = np.concatenate(
        [np.stack([corner, corner + 1, corner + n + 1], 1), np.stack([corner, corner + n + 1, corner + n], 1)]
    )
    fields = {
        "colors": rng.integers(0, 256, (n * n, 3), dtype=np.uint8),
        "regions": {"left": x > n // 2, "some": rng.random(n * n) > 0.5},
        "seen": rng.random(n * n).astype(np.float32).astype(float),
    }
    if texture:
        uv = np.column_stack([x, y]) / (2.0 * n)
        uv_faces = F.copy()
        if cut:
            beyond = x[F].min(axis=1) >= n // 2
            uv_faces[beyond] += len(uv)
            uv = np.vstack([uv, uv + np.array([0.5, 0])])
        fields |= {"uv": uv, "uv_faces": uv_faces, "texture": rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)}
    return FaceMesh(V, F, **fields)


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
@pytest.mark.parametrize("texture", [False, True], ids=["colours", "texture"])
def test_equal_meshes_give_identical_bytes(tmp_path: Path, suffix: str, texture: bool) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    wavy_mesh(texture=texture).save(first)
    wavy_mesh(texture=texture).save(second)
    assert first.read_bytes().replace(b"first", b"second") == second.read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_glb_round_trip_with_colours(tmp_path: Path) -> None:
    mesh = wavy_mesh()
    mesh.save(tmp_path / "face.glb")
    again = FaceMesh.load(tmp_path / "face.glb")
    np.testing.assert_allclose(again.vertices, mesh.vertices, atol=1e-5)
    np.testing.assert_array_equal(again.faces, mesh.faces)
    np.testing.assert_array_equal(again.colors, mesh.colors)
    np.testing.assert_allclose(again.seen, mesh.seen)
    assert set(again.regions) == {"left", "some"}
    for name, members in mesh.regions.items():
        np.testing.assert_array_equal(again.regions[name], members)


def test_glb_round_trip_with_texture_and_cut(tmp_path: Path) -> None:
    mesh = wavy_mesh(texture=True, cut=True)
    mesh.save(tmp_path / "face.glb")
    again = FaceMesh.load(tmp_path / "face.glb")
    np.testing.assert_array_equal(again.faces, mesh.faces)
    np.testing.assert_array_equal(again.texture, mesh.texture)
    np.testing.assert_allclose(again.uv[again.uv_faces], mesh.uv[mesh.uv_faces], atol=1e-6)


def with_blendshapes(mesh: FaceMesh) -> FaceMesh:
    """Return the mesh with blendshapes that move all vertices, one corner, and no vertex."""
    everything = np.random.default_rng(1).normal(0, 3, mesh.vertices.shape).astype(np.float32)
    corner = np.where((mesh.vertices[:, :2] < -20).all(axis=1)[:, None], everything, 0)
    shapes = {"everything": everything, "corner": corner, "nothing": np.zeros_like(everything)}
    return replace(mesh, blendshapes=shapes, weights={"corner": 0.25, "nothing": 0.0})


def glb_tree(path: Path) -> dict:
    content = path.read_bytes()
    return json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_glb_round_trip_with_blendshapes(tmp_path: Path, cut: bool) -> None:
    mesh = with_blendshapes(wavy_mesh(texture=True, cut=cut))
    mesh.save(tmp_path / "face.glb")
    again = FaceMesh.load(tmp_path / "face.glb")
    assert list(again.blendshapes) == ["everything", "corner", "nothing"]
    for name, shape in mesh.blendshapes.items():
        np.testing.assert_allclose(again.blendshapes[name], shape, atol=0.02, err_msg=name)
    assert dict(again.weights) == {"corner": 0.25}
    again.save(tmp_path / "again.glb")
    third = FaceMesh.load(tmp_path / "again.glb")
    for name, shape in again.blendshapes.items():  # a second round trip drops no further displacements
        np.testing.assert_allclose(third.blendshapes[name], shape, rtol=1e-6)


def test_glb_opens_as_the_mesh_with_many_weighted_blendshapes(tmp_path: Path) -> None:
    mesh = wavy_mesh()
    small = np.full(mesh.vertices.shape, 0.019, np.float32)  # each displacement is too small to be stored
    shapes = {f"shape{number}": small for number in range(50)}
    mesh = replace(mesh, blendshapes=shapes, weights=dict.fromkeys(shapes, 1.0))
    mesh.save(tmp_path / "face.glb")
    again = FaceMesh.load(tmp_path / "face.glb")
    opened = again.vertices + sum(again.blendshapes.values())
    np.testing.assert_allclose(opened, mesh.vertices + 50 * small, atol=1e-3)


def test_glb_stores_only_the_moving_vertices_of_a_blendshape(tmp_path: Path) -> None:
    mesh = with_blendshapes(wavy_mesh())
    mesh.save(tmp_path / "face.glb")
    tree = glb_tree(tmp_path / "face.glb")
    (made,) = tree["meshes"]
    assert made["extras"]["targetNames"] == ["everything", "corner", "nothing"]
    assert made["weights"] == [0.0, 0.25, 0.0]
    position = [tree["accessors"][target["POSITION"]] for target in made["primitives"][0]["targets"]]
    assert "sparse" not in position[0]
    assert position[1]["sparse"]["count"] == np.count_nonzero(mesh.blendshapes["corner"].any(axis=1))
    assert "sparse" not in position[2]
    zeros = {accessor["bufferView"] for accessor in position[1:]}  # some viewers fail on accessors without any data
    assert len(zeros) == 1
    view = tree["bufferViews"][zeros.pop()]
    content = (tmp_path / "face.glb").read_bytes()
    start = content.index(b"BIN\x00") + 4 + view["byteOffset"]
    assert content[start : start + view["byteLength"]] == bytes(12 * len(mesh.vertices))
    for accessor, shape in zip(position, mesh.blendshapes.values(), strict=True):
        np.testing.assert_allclose(accessor["min"], shape.min(axis=0) / 1000, atol=2e-5)
        np.testing.assert_allclose(accessor["max"], shape.max(axis=0) / 1000, atol=2e-5)


def test_glb_blendshapes_contain_the_change_of_normals(tmp_path: Path) -> None:
    flat = wavy_mesh()
    flat = replace(flat, vertices=flat.vertices * (1, 1, 0))
    tilt = np.zeros_like(flat.vertices)
    tilt[:, 2] = flat.vertices[:, 0]  # the plane rotates by 45 degrees
    replace(flat, blendshapes={"tilt": tilt}).save(tmp_path / "face.glb")
    tree = glb_tree(tmp_path / "face.glb")
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["targets"][0]["NORMAL"]]
    content = (tmp_path / "face.glb").read_bytes()
    start = content.index(b"BIN\x00") + 4 + tree["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)
    change = np.frombuffer(content, "<f4", 3 * accessor["count"], start).reshape(-1, 3)
    whole = np.array([-np.sqrt(0.5), 0, np.sqrt(0.5) - 1])
    shorter = whole * (1 - gltf.MIN_NORMAL_CHANGE / np.linalg.norm(whole))
    np.testing.assert_allclose(change, np.tile(shorter, (len(change), 1)), atol=1e-6)


@pytest.mark.parametrize(("region", "name"), [("scalp", "head"), ("left", "face")])
def test_glb_node_is_named_face_or_head(tmp_path: Path, region: str, name: str) -> None:
    mesh = wavy_mesh()
    replace(mesh, regions={region: mesh.regions["left"]}).save(tmp_path / "file.glb")
    tree = glb_tree(tmp_path / "file.glb")
    assert [tree[kind][0]["name"] for kind in ("nodes", "meshes", "materials")] == [name] * 3


def model_mesh() -> FaceMesh:
    """Return the mean head with a noise texture: a real atlas with cuts and many parts."""
    model = load_face_model()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return FaceMesh(model.mean, model.faces, uv=model.uv, uv_faces=model.uv_faces, texture=noise)


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
@pytest.mark.parametrize("make", [lambda: wavy_mesh(texture=True, cut=True), model_mesh], ids=["cut", "head"])
def test_trimesh_reads_order_uv_and_texture(tmp_path: Path, suffix: str, make: Callable[[], FaceMesh]) -> None:
    mesh = make()
    source, uv, faces = mesh.unrolled()
    mesh.save(tmp_path / f"face{suffix}")
    loaded = trimesh.load_mesh(tmp_path / f"face{suffix}", process=False)
    loaded = loaded.to_mesh() if isinstance(loaded, trimesh.Scene) else loaded
    unit = 1000 if suffix == ".glb" else 1
    np.testing.assert_allclose(
        loaded.vertices[loaded.faces] * unit, mesh.vertices[mesh.faces], atol=1e-4, err_msg="order of the triangles"
    )
    np.testing.assert_allclose(loaded.visual.uv[loaded.faces], mesh.uv[mesh.uv_faces], atol=1e-6)
    if suffix == ".glb":
        np.testing.assert_allclose(loaded.vertices * unit, mesh.vertices[source], atol=1e-4)  # the duplicates are last
        np.testing.assert_array_equal(loaded.faces, faces)
        np.testing.assert_allclose(loaded.visual.uv, uv, atol=1e-6)
    material = loaded.visual.material
    picture = material.baseColorTexture if suffix == ".glb" else material.image
    np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), mesh.texture)


def test_ply_is_binary_with_colours_in_order(tmp_path: Path) -> None:
    mesh = wavy_mesh()
    mesh.save(tmp_path / "face.ply")
    assert b"format binary_little_endian" in (tmp_path / "face.ply").read_bytes()[:100]
    loaded = trimesh.load_mesh(tmp_path / "face.ply", process=False)
    np.testing.assert_allclose(loaded.vertices, mesh.vertices, atol=1e-5)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    np.testing.assert_array_equal(loaded.visual.vertex_colors[:, :3], mesh.colors)


def test_ply_contains_unit_normals(tmp_path: Path) -> None:
    mesh = wavy_mesh()
    mesh.save(tmp_path / "face.ply")
    assert b"property float nx" in (tmp_path / "face.ply").read_bytes()[:300]
    loaded = trimesh.load_mesh(tmp_path / "face.ply", process=False)
    normals = loaded.metadata["_ply_raw"]["vertex"]["data"]
    found = np.column_stack([normals[axis] for axis in ("nx", "ny", "nz")])
    expected = vertex_normals(mesh.vertices, mesh.faces)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_obj_is_welded_and_has_groups(tmp_path: Path) -> None:
    mesh = model_mesh()
    mesh = replace(mesh, regions=load_face_model().regions)
    mesh.save(tmp_path / "face.obj")
    lines = (tmp_path / "face.obj").read_text().splitlines()
    count = {word: sum(line.startswith(f"{word} ") for line in lines) for word in ("v", "vt", "f", "g")}
    assert (count["v"], count["vt"], count["f"]) == (len(mesh.vertices), len(mesh.uv), len(mesh.faces))
    groups = [line[2:] for line in lines if line.startswith("g ")]
    assert {"eyeball_left", "teeth", "scalp", "face"} <= set(groups)
    assert len(set(groups)) == len(groups)
    again = FaceMesh.load(tmp_path / "face.obj")
    np.testing.assert_allclose(again.vertices, mesh.vertices, atol=1e-5)


def test_obj_with_colours_has_no_texture_coordinates(tmp_path: Path) -> None:
    mesh = replace(wavy_mesh(texture=True), texture=None)
    mesh.save(tmp_path / "face.obj")
    assert "vt " not in (tmp_path / "face.obj").read_text()
    loaded = trimesh.load_mesh(tmp_path / "face.obj", process=False)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3].astype(int), mesh.colors.astype(int), atol=1)


def test_stl_keeps_the_order_of_triangles_and_corners(tmp_path: Path) -> None:
    mesh = wavy_mesh()
    mesh.save(tmp_path / "face.stl")
    loaded = trimesh.load_mesh(tmp_path / "face.stl", process=False)
    np.testing.assert_allclose(loaded.vertices.reshape(-1, 3, 3), mesh.vertices[mesh.faces], atol=1e-5)


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl"])
def test_formats_without_blendshapes_contain_the_vertices_at_weight_zero(tmp_path: Path, suffix: str) -> None:
    mesh = with_blendshapes(wavy_mesh())
    mesh.save(tmp_path / f"face{suffix}")
    replace(mesh, blendshapes={}, weights={}).save(tmp_path / f"bare{suffix}")
    assert (tmp_path / f"face{suffix}").read_bytes() == (tmp_path / f"bare{suffix}").read_bytes()


def test_glb_is_in_metres_with_normals_and_linear_colours(tmp_path: Path) -> None:
    mesh = wavy_mesh()
    mesh.save(tmp_path / "face.glb")
    loaded = trimesh.load_mesh(tmp_path / "face.glb", process=False)
    loaded = loaded.to_mesh() if isinstance(loaded, trimesh.Scene) else loaded
    np.testing.assert_allclose(loaded.vertices, mesh.vertices / 1000, atol=1e-7)
    content = (tmp_path / "face.glb").read_bytes()
    length = int.from_bytes(content[12:16], "little")
    tree = json.loads(content[20 : 20 + length])
    attributes = tree["meshes"][0]["primitives"][0]["attributes"]
    assert {"POSITION", "NORMAL", "COLOR_0"} <= set(attributes)
    accessor = tree["accessors"][attributes["COLOR_0"]]
    start = 20 + length + 8 + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    assert (accessor["type"], accessor["componentType"]) == ("VEC3", 5126)
    linear = np.frombuffer(content, "<f4", 3 * accessor["count"], start).reshape(-1, 3)
    middle = np.abs(mesh.colors.astype(int) - 188) <= 1  # sRGB 188 is half as bright as 255 in linear light
    assert middle.any()
    np.testing.assert_allclose(linear[middle], 0.5, atol=0.01)


def test_obj_with_texture_refers_to_its_material_and_image(tmp_path: Path) -> None:
    mesh = wavy_mesh(texture=True, cut=True)
    mesh.save(tmp_path / "face.obj")
    assert "mtllib face.mtl" in (tmp_path / "face.obj").read_text()
    assert "map_Kd face.texture.png" in (tmp_path / "face.mtl").read_text()
    with Image.open(tmp_path / "face.texture.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), mesh.texture)
    again = FaceMesh.load(tmp_path / "face.obj")
    np.testing.assert_allclose(again.vertices[: len(mesh.vertices)], mesh.vertices, atol=1e-5)
    np.testing.assert_allclose(again.uv[again.uv_faces], mesh.uv[mesh.uv_faces], atol=1e-5)
    np.testing.assert_array_equal(again.texture, mesh.texture)


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_colours_are_preserved(tmp_path: Path, suffix: str) -> None:
    mesh = wavy_mesh()
    mesh.save(tmp_path / f"face{suffix}")
    again = FaceMesh.load(tmp_path / f"face{suffix}")
    np.testing.assert_allclose(again.vertices, mesh.vertices, atol=1e-5)
    np.testing.assert_array_equal(again.faces, mesh.faces)
    np.testing.assert_allclose(again.colors.astype(int), mesh.colors.astype(int), atol=1)


def test_stl_preserves_the_shape(tmp_path: Path) -> None:
    mesh = wavy_mesh()
    mesh.save(tmp_path / "face.stl")
    again = FaceMesh.load(tmp_path / "face.stl")
    assert len(again.vertices) == len(mesh.vertices)
    np.testing.assert_allclose(again.vertices[again.faces], mesh.vertices[mesh.faces], atol=1e-5)


def test_ply_samples_missing_colours_from_the_texture(tmp_path: Path) -> None:
    full = wavy_mesh(texture=True)
    mesh = FaceMesh(full.vertices, full.faces, uv=full.uv, texture=np.full((4, 4, 3), 77, np.uint8))
    mesh.save(tmp_path / "face.ply")
    assert (FaceMesh.load(tmp_path / "face.ply").colors == 77).all()


def test_a_glb_of_another_program_is_read(tmp_path: Path) -> None:
    box = trimesh.creation.box((0.1, 0.2, 0.3))
    (tmp_path / "box.glb").write_bytes(trimesh.Scene(box).export(file_type="glb"))
    mesh = FaceMesh.load(tmp_path / "box.glb")
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [100, 200, 300], atol=1e-3)


def test_unknown_suffixes_list_the_supported_ones(tmp_path: Path) -> None:
    mesh = wavy_mesh()
    with pytest.raises(FacegeomError, match=r"must be one of \.glb, \.obj, \.ply, \.stl, \.html"):
        mesh.save(tmp_path / "face.fbx")
    with pytest.raises(FacegeomError, match="must be one of"):
        FaceMesh.load(tmp_path / "face.fbx")
    assert not list(tmp_path.iterdir())


def test_missing_files_and_folders_are_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such mesh"):
        FaceMesh.load(tmp_path / "none.glb")
    with pytest.raises(FileNotFoundError, match="folder"):
        wavy_mesh().save(tmp_path / "nowhere" / "face.glb")


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
def test_damaged_files_are_reported(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    for content in (b"", b"hello", b"glTF\x02\x00\x00\x00\x10\x00\x00\x00"):
        path.write_bytes(content)
        with pytest.raises(FacegeomError):
            FaceMesh.load(path)
