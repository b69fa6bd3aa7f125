"""Compressed GLB files, their parts, and the sizes of files of a head."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from facegeom import FacegeomError, FaceMesh, load_face_model
from facegeom.face_model.blendshapes import ARKIT_NAMES, template_blendshapes
from facegeom.face_model.template import load_template
from facegeom.mesh import gltf_buffer

DECODER = Path(__file__).resolve().parents[1] / "build" / "meshoptimizer" / "node_modules" / "meshoptimizer"
SCRIPT = """
const fs = require("fs");
const [, folder, file, output] = process.argv;
import(folder + "/meshopt_decoder.mjs").then(async ({ MeshoptDecoder }) => {
  await MeshoptDecoder.ready;
  const content = fs.readFileSync(file);
  const length = content.readUInt32LE(12);
  const tree = JSON.parse(content.subarray(20, 20 + length));
  const binary = content.subarray(28 + length);
  const parts = tree.bufferViews.map((view) => {
    const row = view.extensions && view.extensions.EXT_meshopt_compression;
    const place = view.byteOffset || 0;
    if (!row) return binary.subarray(place, place + view.byteLength);
    const target = new Uint8Array(row.count * row.byteStride);
    const source = binary.subarray(row.byteOffset, row.byteOffset + row.byteLength);
    MeshoptDecoder.decodeGltfBuffer(target, row.count, row.byteStride, source, row.mode, row.filter);
    return target;
  });
  fs.writeFileSync(output, Buffer.concat(parts));
});
"""


@cache
def head(size: int = 1024) -> FaceMesh:
    """Return the mean head with all blendshapes, a smile, and a smooth texture with grain, as of a photo."""
    model, template = load_face_model(), load_template(head=True)
    vertices = template.subdivide(model.mean[template.vertices])
    grain = np.random.default_rng(0).normal(0, 2, (size, size, 1))
    y, x = np.mgrid[:size, :size][..., None] / size
    texture = np.clip(np.dstack([170 + 40 * x, 120 + 30 * y, 90 + 30 * x * y]) + grain, 0, 255).astype(np.uint8)
    fine = template.fine
    return FaceMesh(
        vertices,
        fine.faces,
        uv=fine.uv,
        uv_faces=fine.uv_faces,
        texture=texture,
        regions=fine.regions,
        seen=np.linspace(0, 1, len(vertices)),
        blendshapes=template_blendshapes(template),
        weights={"mouthSmileLeft": 0.7, "jawOpen": 0.3, "eyeBlinkRight": 0.5, "browInnerUp": 1.1},
    )


def tree_of(content: bytes) -> dict[str, Any]:
    tree = json.loads(content[20 : 20 + struct.unpack("<I", content[12:16])[0]])
    assert isinstance(tree, dict)
    return tree


def posed(mesh: FaceMesh) -> np.ndarray:
    return np.asarray(mesh.vertices + sum(weight * mesh.blendshapes[name] for name, weight in mesh.weights.items()))


@pytest.mark.parametrize("compress", [None, "quantize", "meshopt"])
def test_a_head_is_read_as_it_was_saved(compress: str | None, tmp_path: Path) -> None:
    mesh = head()
    mesh.save(tmp_path / "head.glb", compress=compress)
    again = FaceMesh.load(tmp_path / "head.glb")
    np.testing.assert_allclose(posed(again), posed(mesh), atol=0.05)
    assert list(again.blendshapes) == list(ARKIT_NAMES)
    for name, shape in mesh.blendshapes.items():
        np.testing.assert_allclose(again.blendshapes[name], shape, atol=0.111, err_msg=name)
    assert dict(again.weights) == dict(mesh.weights)
    for name, members in mesh.regions.items():
        np.testing.assert_array_equal(again.regions[name], members)
    np.testing.assert_allclose(again.seen, mesh.seen, atol=1e-6)
    if compress == "meshopt":
        assert np.abs(again.texture.astype(int) - mesh.texture).mean() < 3
    else:
        np.testing.assert_array_equal(again.faces, mesh.faces)
        np.testing.assert_array_equal(again.texture, mesh.texture)
    # Compression changes the order of the triangles, and the corner with which each begins.
    order = [np.lexsort(np.sort(shown.faces, axis=1).T) for shown in (again, mesh)]
    triangles = [np.sort(shown.faces, axis=1)[rows] for shown, rows in zip((again, mesh), order, strict=True)]
    np.testing.assert_array_equal(*triangles)
    middle = [shown.uv[shown.uv_faces].mean(axis=1)[rows] for shown, rows in zip((again, mesh), order, strict=True)]
    np.testing.assert_allclose(*middle, atol=1e-4)
    sides = [
        shown.vertices[shown.faces][rows]
        for shown, rows in zip((mesh, replace(mesh, faces=again.faces)), order[::-1], strict=True)
    ]
    across = [np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) for corners in sides]
    assert (np.einsum("ij,ij->i", *across) >= 0).all()  # the triangles face the same way


@pytest.mark.parametrize(("compress", "megabytes"), [(None, 14.0), ("quantize", 8.0), ("meshopt", 3.2)])
def test_files_of_a_head_are_small(compress: str | None, megabytes: float) -> None:
    mesh = head()
    picture = io.BytesIO()
    Image.fromarray(mesh.texture).save(picture, "png", compress_level=6)
    size = len(mesh.to_bytes("glb", compress=compress))
    # The texture of this test has grain in all texels; 0.8 MB is the PNG of the texture of a photo.
    texture = 0.8e6 - len(picture.getvalue()) if compress != "meshopt" else 0.0
    assert size + texture < megabytes * 1e6


@pytest.mark.parametrize("compress", [None, "quantize", "meshopt"])
def test_eyes_are_nodes_that_turn_about_their_centres(compress: str | None) -> None:
    mesh = head()
    tree = tree_of(mesh.to_bytes("glb", compress=compress))
    nodes = {node["name"]: node for node in tree["nodes"]}
    assert list(nodes) == ["head", "skin", "eye_left", "eye_right"]
    assert nodes["head"]["children"] == [1, 2, 3]
    assert tree["scenes"][0]["nodes"] == [0]
    neck = np.array(nodes["head"]["translation"]) * 1000
    assert abs(neck[0]) < 1.0
    assert -70 < neck[1] < -30
    assert -100 < neck[2] < -60
    for side in ("left", "right"):
        ball = mesh.vertices[mesh.regions[f"eyeball_{side}"]]
        pivot = neck + np.array(nodes[f"eye_{side}"]["translation"]) * 1000
        distance = np.linalg.norm(ball - pivot, axis=1)
        assert distance.std() < 0.5
        assert distance.max() < 20.0
    for part in tree["meshes"]:
        assert part["extras"]["targetNames"] == list(ARKIT_NAMES)
        assert len(part["primitives"][0]["targets"]) == len(ARKIT_NAMES)
        assert part["weights"] == [mesh.weights.get(name, 0.0) for name in ARKIT_NAMES]


@pytest.mark.parametrize("compress", [None, "quantize"])
def test_trimesh_places_the_parts(compress: str | None) -> None:
    mesh = head()
    file = io.BytesIO(mesh.to_bytes("glb", compress=compress))
    loaded = trimesh.load_scene(file, file_type="glb").to_mesh()
    np.testing.assert_allclose(loaded.bounds * 1000, [mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)], atol=0.2)
    assert len(loaded.faces) == len(mesh.faces)


def test_texture_coordinates_without_a_texture_are_left_out() -> None:
    mesh = replace(
        head(), texture=None, colors=np.zeros((len(head().vertices), 3), np.uint8), blendshapes={}, weights={}
    )
    for part in tree_of(mesh.to_bytes("glb"))["meshes"]:
        assert set(part["primitives"][0]["attributes"]) == {"POSITION", "NORMAL", "COLOR_0", "_SEEN"}


def test_plain_files_require_no_extension() -> None:
    tree = tree_of(head().to_bytes("glb"))
    assert not tree.get("extensionsRequired")
    assert tree["extensionsUsed"] == ["KHR_materials_ior"]  # readers without it show eyes that reflect more


def test_eyes_reflect_like_tears() -> None:
    for compress in (None, "quantize"):
        skin, eye = tree_of(head().to_bytes("glb", compress=compress))["materials"]
        assert eye["extensions"]["KHR_materials_ior"]["ior"] == pytest.approx(1.336)
        assert eye["pbrMetallicRoughness"]["roughnessFactor"] < 0.4 < skin["pbrMetallicRoughness"]["roughnessFactor"]
        assert "extensions" not in skin


@pytest.mark.parametrize(("format", "compress"), [("ply", "quantize"), ("html", "meshopt"), ("glb", "zip"), ("glb", 5)])
def test_unknown_compressions_are_rejected(format: str, compress: Any, tmp_path: Path) -> None:
    mesh = FaceMesh([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]], [[0, 1, 2]])
    with pytest.raises(ValueError, match=r"compress must be None, or for \.glb 'quantize' or 'meshopt'"):
        mesh.to_bytes(format, compress=compress)
    with pytest.raises(ValueError, match=r"compress must be None"):
        mesh.save(tmp_path / f"face.{format}", compress=compress)
    assert not list(tmp_path.iterdir())


def test_a_missing_compressor_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "meshopt", None)
    with pytest.raises(FacegeomError, match=r"facegeom\[compress\]"):
        gltf_buffer.GltfBuffer("meshopt")


@pytest.mark.skipif(
    shutil.which("node") is None or not DECODER.is_dir(), reason="meshoptimizer of npm is not installed"
)
@pytest.mark.parametrize("size", [64, 1024])
def test_the_decoder_of_npm_reads_the_same_data(size: int, tmp_path: Path) -> None:
    """Needs `npm install --prefix build/meshoptimizer meshoptimizer@1.3.0`."""
    import meshopt

    content = head(size).to_bytes("glb", compress="meshopt")
    (tmp_path / "head.glb").write_bytes(content)
    command = ["node", "-e", SCRIPT, "--", str(DECODER), str(tmp_path / "head.glb"), str(tmp_path / "decoded")]
    subprocess.run(command, check=True, capture_output=True)
    decoded = (tmp_path / "decoded").read_bytes()
    start = 28 + struct.unpack("<I", content[12:16])[0]
    place = 0
    for view in tree_of(content)["bufferViews"]:
        row = view.get("extensions", {}).get("EXT_meshopt_compression")
        if row is None:
            place += view["byteLength"]
            continue
        data = content[start + row["byteOffset"] :][: row["byteLength"]]
        args = row["count"], row["byteStride"], row["mode"], row.get("filter", "NONE")
        expected = meshopt.decode_gltf_buffer(data, *args).tobytes()
        found = decoded[place : place + len(expected)]
        if row.get("filter") == "OCTAHEDRAL":  # the two decoders round normals differently
            difference = np.frombuffer(found, np.int8).astype(int) - np.frombuffer(expected, np.int8)
            assert np.abs(difference).max() <= 1
        else:
            assert found == expected
        place += len(expected)
    assert place == len(decoded)
