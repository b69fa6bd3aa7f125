"""USDZ packages and .gltf files with files of their own: contents, defaults and errors."""

from __future__ import annotations

import builtins
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from facegeom import FacegeomError, FaceMesh, load_face_model
from facegeom.face_model.blendshapes import ARKIT_NAMES, template_blendshapes
from facegeom.face_model.template import load_template
from facegeom.mesh import gltf

pxr = pytest.importorskip("pxr")
from pxr import Usd, UsdGeom, UsdShade, UsdSkel, UsdValidation  # noqa: E402

WEIGHTS = {"jawOpen": 0.4, "eyeLookUpLeft": 0.3, "mouthSmileRight": 0.25}


@pytest.fixture(scope="module")
def head() -> FaceMesh:
    template = load_template(head=True)
    vertices = template.subdivide(load_face_model().mean[template.vertices])
    rng = np.random.default_rng(0)
    return FaceMesh(
        vertices,
        template.fine.faces,
        uv=template.file_uv,
        uv_faces=template.fine.uv_faces,
        texture=rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        colors=rng.integers(0, 256, (len(vertices), 3), dtype=np.uint8),
        regions=template.fine.regions,
        blendshapes=template_blendshapes(template),
        weights=WEIGHTS,
    )


@pytest.fixture(scope="module")
def package(head: FaceMesh) -> bytes:
    return head.to_bytes("usdz")


@pytest.fixture
def stage(package: bytes, tmp_path: Path) -> Any:
    path = tmp_path / "head.usdz"
    path.write_bytes(package)
    return Usd.Stage.Open(str(path))


def test_each_file_of_a_package_begins_at_a_multiple_of_64_bytes(package: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        assert archive.namelist() == ["scene.usdc", "texture.png"]
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            name, extra = (int.from_bytes(package[entry.header_offset + i :][:2], "little") for i in (26, 28))
            start = entry.header_offset + 30 + name + extra
            assert start % 64 == 0
            assert package[start:].startswith(archive.read(entry)[:64])


def test_the_validators_of_usd_find_no_fault(package: bytes, tmp_path: Path) -> None:
    path = tmp_path / "head.usdz"
    path.write_bytes(package)
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    errors = UsdValidation.ValidationContext(validators).Validate(Usd.Stage.Open(str(path)))
    assert not [error.GetMessage() for error in errors]


def test_a_package_has_metres_and_y_up(stage: Any) -> None:
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert str(stage.GetDefaultPrim().GetPath()) == "/head"


def test_a_package_opens_as_the_mesh_and_has_all_blend_shapes(head: FaceMesh, stage: Any) -> None:
    posed = head.vertices + sum(weight * head.blendshapes[name] for name, weight in WEIGHTS.items())
    root = UsdSkel.Root.Get(stage, "/head")
    cache = UsdSkel.Cache()
    cache.Populate(root, Usd.TraverseInstanceProxies())
    animation = UsdSkel.Animation.Get(stage, "/head/expression")
    assert list(animation.GetBlendShapesAttr().Get()) == list(ARKIT_NAMES)
    weights = dict(zip(ARKIT_NAMES, animation.GetBlendShapeWeightsAttr().Get(), strict=True))
    parts = {"skin": ~(head.regions["eyeball_left"] | head.regions["eyeball_right"])}
    parts |= {f"eye_{side}": head.regions[f"eyeball_{side}"] for side in ("left", "right")}
    triangles = 0
    for name, members in parts.items():
        prim = UsdGeom.Mesh.Get(stage, f"/head/{name}")
        points = np.array(prim.GetPointsAttr().Get(), np.float64)
        binding = UsdSkel.BindingAPI(prim)
        own = list(binding.GetBlendShapesAttr().Get())
        assert own == list(ARKIT_NAMES) if name == "skin" else len(own) == 4
        for shape_name, target in zip(own, binding.GetBlendShapeTargetsRel().GetTargets(), strict=True):
            shape = UsdSkel.BlendShape.Get(stage, target)
            places = np.array(shape.GetPointIndicesAttr().Get(), np.int64)
            assert len(places)
            points[places] += weights[shape_name] * np.array(shape.GetOffsetsAttr().Get())
        np.testing.assert_allclose(points * 1000, posed[members], atol=0.03)
        triangles += len(prim.GetFaceVertexCountsAttr().Get())
        assert np.abs(np.linalg.norm(prim.GetNormalsAttr().Get(), axis=1) - 1).max() < 1e-5
        material, _ = UsdShade.MaterialBindingAPI(prim.GetPrim()).ComputeBoundMaterial()
        picture = UsdShade.Shader.Get(stage, material.GetPath().AppendChild("texture"))
        assert picture.GetInput("file").Get().path == "texture.png"
    assert triangles == len(head.faces)


def test_texture_coordinates_belong_to_corners(head: FaceMesh, stage: Any) -> None:
    st = UsdGeom.PrimvarsAPI(UsdGeom.Mesh.Get(stage, "/head/eye_left")).GetPrimvar("st")
    assert st.GetInterpolation() == "faceVarying"
    members = head.regions["eyeball_left"][head.faces].all(axis=1)
    np.testing.assert_allclose(st.ComputeFlattened(), head.uv[head.uv_faces[members]].reshape(-1, 2), atol=1e-6)


def test_equal_meshes_give_equal_packages(head: FaceMesh, package: bytes) -> None:
    assert head.to_bytes("usdz") == package


def test_colours_of_vertices_are_linear(head: FaceMesh, tmp_path: Path) -> None:
    replace(head, texture=None).save(tmp_path / "me.usdz")
    stage = Usd.Stage.Open(str(tmp_path / "me.usdz"))
    shown = UsdGeom.PrimvarsAPI(UsdGeom.Mesh.Get(stage, "/head/eye_right")).GetPrimvar("displayColor")
    members = head.regions["eyeball_right"]
    np.testing.assert_allclose(shown.Get(), gltf.linear_rgb(head.colors[members]), atol=1e-6)


def test_a_missing_usd_is_one_sentence(head: FaceMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_usd(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "pxr":
            raise ImportError("no module named pxr")
        return real(name, *args, **options)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_usd)
    with pytest.raises(FacegeomError, match=r"usdz file needs the package usd-core .*pip install 'facegeom\[usd\]'"):
        head.to_bytes("usdz")


def test_a_gltf_file_refers_to_its_data_and_its_texture(head: FaceMesh, tmp_path: Path) -> None:
    path = tmp_path / "my head.gltf"
    head.save(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["my head.bin", "my head.gltf", "my head.texture.png"]
    described = json.loads(path.read_text())
    data = (tmp_path / unquote(described["buffers"][0]["uri"])).read_bytes()
    assert len(data) == described["buffers"][0]["byteLength"]
    with Image.open(tmp_path / unquote(described["images"][0]["uri"])) as picture:
        np.testing.assert_array_equal(np.asarray(picture), head.texture)
    assert [node["name"] for node in described["nodes"]] == ["head", "skin", "eye_left", "eye_right"]
    assert described["meshes"][0]["extras"]["targetNames"] == list(ARKIT_NAMES)


def test_trimesh_reads_a_gltf_file(head: FaceMesh, tmp_path: Path) -> None:
    import trimesh

    head.save(tmp_path / "head.gltf")
    scene = trimesh.load(tmp_path / "head.gltf")
    assert sum(len(part.faces) for part in scene.geometry.values()) == len(head.faces)
    low, high = scene.bounds * 1000
    np.testing.assert_allclose(low, head.vertices.min(axis=0), atol=1.0)
    np.testing.assert_allclose(high, head.vertices.max(axis=0), atol=1.0)


def test_a_gltf_file_is_several_files(head: FaceMesh) -> None:
    with pytest.raises(FacegeomError, match=r"a \.gltf mesh is several files"):
        head.to_bytes("gltf")
    with pytest.raises(ValueError, match="compress must be None"):
        head.to_bytes("usdz", compress="quantize")
