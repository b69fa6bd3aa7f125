"""FaceMesh: validation, immutability, and conversion to other libraries."""

from __future__ import annotations

import importlib.util
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegeom import FacegeomError, FaceMesh

V = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 5.0]])
F = np.array([[0, 1, 2], [0, 2, 3]])


def split_square() -> FaceMesh:
    """Return two triangles whose shared edge is a cut of the atlas."""
    uv = np.array([[0, 0], [0.4, 0], [0.4, 1], [0.6, 0], [1, 1], [0.6, 1]], float)
    texture = np.zeros((4, 8, 3), np.uint8)
    texture[:, :4, 0] = 255
    return FaceMesh(V, F, uv=uv, uv_faces=[[0, 1, 2], [3, 4, 5]], texture=texture)


def test_default_values_of_optional_fields() -> None:
    mesh = FaceMesh(V.astype(np.float32), F.astype(np.int32))
    assert mesh.vertices.dtype == np.float64
    assert mesh.faces.dtype == np.int64
    np.testing.assert_array_equal(mesh.seen, np.ones(4))
    assert dict(mesh.regions) == {}
    assert mesh.uv is None
    assert "4 vertices" in repr(mesh)


def test_mesh_is_immutable_and_copies_its_arrays() -> None:
    vertices = V.copy()
    mesh = FaceMesh(vertices, F, regions={"face": np.ones(4, bool)})
    vertices[0] = 99
    assert mesh.vertices[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        mesh.vertices[0, 0] = 1
    with pytest.raises(AttributeError):
        mesh.vertices = V  # type: ignore[misc]
    with pytest.raises(TypeError):
        mesh.regions["face"] = np.zeros(4, bool)  # type: ignore[index]


def posable() -> FaceMesh:
    """Return two triangles with two blendshapes, one of them at weight 0.5."""
    return FaceMesh(
        V, F, blendshapes={"up": np.tile([0, 0, 1.0], (4, 1)), "stay": np.zeros((4, 3))}, weights={"up": 0.5}
    )


def test_blendshapes_are_read_only_float32_in_their_order() -> None:
    mesh = posable()
    assert list(mesh.blendshapes) == ["up", "stay"]
    assert mesh.blendshapes["up"].dtype == np.float32
    assert dict(mesh.weights) == {"up": 0.5}
    assert "2 blendshapes" in repr(mesh)
    with pytest.raises(ValueError, match="read-only"):
        mesh.blendshapes["up"][0] = 1
    with pytest.raises(TypeError):
        mesh.blendshapes["down"] = np.zeros((4, 3), np.float32)  # type: ignore[index]
    with pytest.raises(TypeError):
        mesh.weights["up"] = 1.0  # type: ignore[index]


def test_read_only_blendshapes_are_shared() -> None:
    shape = np.zeros((4, 3), np.float32)
    mesh = FaceMesh(V, F, blendshapes={"up": shape})
    assert not np.shares_memory(mesh.blendshapes["up"], shape)
    window = shape[:]
    window.flags.writeable = False  # but its base array is writable
    assert not np.shares_memory(FaceMesh(V, F, blendshapes={"up": window}).blendshapes["up"], shape)
    shape.flags.writeable = False
    mesh = FaceMesh(V, F, blendshapes={"up": shape})
    assert mesh.blendshapes["up"] is shape
    assert replace(mesh, vertices=2 * V).blendshapes["up"] is shape


def test_blendshapes_are_preserved_by_pickle_and_replace() -> None:
    for again in (pickle.loads(pickle.dumps(posable())), replace(posable(), vertices=2 * V)):
        np.testing.assert_array_equal(again.blendshapes["up"], posable().blendshapes["up"])
        assert dict(again.weights) == {"up": 0.5}
    bare = replace(posable(), blendshapes={}, weights={})
    assert not bare.blendshapes
    assert not bare.weights


def test_uv_faces_default_to_faces() -> None:
    mesh = FaceMesh(V, F, uv=V[:, :2] / 10)
    np.testing.assert_array_equal(mesh.uv_faces, F)


def test_an_empty_mesh_is_valid() -> None:
    mesh = FaceMesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    assert len(mesh.vertices) == len(mesh.faces) == 0


def test_mesh_is_preserved_by_pickle() -> None:
    mesh = FaceMesh(V, F, regions={"face": np.array([True, False, True, True])})
    again = pickle.loads(pickle.dumps(mesh))
    np.testing.assert_array_equal(again.vertices, V)
    np.testing.assert_array_equal(again.regions["face"], mesh.regions["face"])


def test_unrolled_appends_duplicates_of_the_vertices_on_the_cut() -> None:
    mesh = split_square()
    source, uv, faces = mesh.unrolled()
    np.testing.assert_array_equal(source, [0, 1, 2, 3, 0, 2])
    np.testing.assert_array_equal(source[faces], F)
    np.testing.assert_allclose(uv[faces], mesh.uv[mesh.uv_faces])


def test_unrolled_keeps_unused_vertices() -> None:
    mesh = FaceMesh(np.vstack([V, [[5, 5, 5.0]]]), F, uv=V[:, :2] / 10, uv_faces=F)
    source, uv, faces = mesh.unrolled()
    np.testing.assert_array_equal(source, np.arange(5))
    np.testing.assert_array_equal(uv[4], [0, 0])
    np.testing.assert_array_equal(faces, F)


def test_to_trimesh_keeps_order_and_colours() -> None:
    colors = np.arange(12, dtype=np.uint8).reshape(4, 3)
    mesh = FaceMesh(V, F, colors=colors).to_trimesh()
    np.testing.assert_array_equal(mesh.vertices, V)
    np.testing.assert_array_equal(mesh.faces, F)
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:, :3], colors)


def test_to_trimesh_with_texture() -> None:
    mesh = split_square().to_trimesh()
    np.testing.assert_array_equal(mesh.vertices[:4], V)
    assert len(mesh.vertices) == 6
    assert mesh.visual.material.image.size == (8, 4)
    assert mesh.visual.uv.shape == (6, 2)


@pytest.mark.skipif(importlib.util.find_spec("open3d") is not None, reason="open3d is installed")
def test_to_open3d_names_the_missing_extra() -> None:
    with pytest.raises(FacegeomError, match=r"facegeom\[open3d\]"):
        FaceMesh(V, F).to_open3d()


@pytest.mark.skipif(importlib.util.find_spec("open3d") is None, reason="open3d is not installed")
def test_to_open3d() -> None:
    mesh = FaceMesh(V, F, colors=np.full((4, 3), 51, np.uint8)).to_open3d()
    np.testing.assert_allclose(np.asarray(mesh.vertices), V)
    np.testing.assert_allclose(np.asarray(mesh.vertex_colors), 0.2)


@pytest.mark.skipif(importlib.util.find_spec("open3d") is None, reason="open3d is not installed")
def test_to_open3d_has_the_texture_as_open3d_reads_it(tmp_path: Path) -> None:
    import open3d

    texture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mesh = FaceMesh(V, F, uv=V[:, :2], texture=texture)
    mesh.save(tmp_path / "face.obj")
    read = open3d.io.read_triangle_mesh(str(tmp_path / "face.obj"))
    converted = mesh.to_open3d()
    np.testing.assert_array_equal(np.asarray(converted.textures[0]), np.asarray(read.textures[-1]))
    np.testing.assert_allclose(np.asarray(converted.triangle_uvs), np.asarray(read.triangle_uvs), atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"vertices": V[:, :2]}, ValueError, r"vertices must have shape \(any, 3\)"),
        ({"vertices": np.full((4, 3), np.nan)}, ValueError, "vertices must be finite"),
        ({"vertices": [["a", "b", "c"]] * 4}, TypeError, "vertices must hold numbers"),
        ({"faces": [[0, 1, 4]]}, ValueError, r"faces must lie in \[0, 4\), got 4"),
        ({"faces": [[0, 1, -1]]}, ValueError, r"faces must lie in \[0, 4\), got -1"),
        ({"faces": F.astype(float)}, TypeError, "faces must hold integers"),
        ({"uv": np.zeros((3, 2))}, ValueError, "uv must have one row for each of the 4 vertices"),
        ({"uv": np.zeros((4, 2)), "uv_faces": [[0, 1, 2]]}, ValueError, "uv_faces must have one row for each"),
        ({"uv": np.zeros((4, 2)), "uv_faces": [[0, 1, 4]] * 2}, ValueError, r"uv_faces must lie in \[0, 4\)"),
        ({"uv_faces": F}, ValueError, "need uv"),
        ({"texture": np.zeros((4, 4, 3), np.uint8)}, ValueError, "need uv"),
        ({"uv": np.zeros((4, 2)), "texture": np.zeros((4, 4), np.uint8)}, ValueError, "texture must be an"),
        ({"colors": np.zeros((4, 3))}, ValueError, r"colors must be a \(4, 3\) uint8 array"),
        ({"colors": np.zeros((3, 3), np.uint8)}, ValueError, r"colors must be a \(4, 3\) uint8 array"),
        ({"seen": np.full(4, 1.5)}, ValueError, r"seen must lie in \[0, 1\]"),
        ({"seen": np.ones(3)}, ValueError, r"seen must have shape \(4,\)"),
        ({"regions": {"face": np.ones(4)}}, TypeError, r"regions\['face'\] must be a bool array"),
        ({"regions": {"face": np.ones(3, bool)}}, ValueError, r"regions\['face'\] must have shape \(4,\)"),
        ({"blendshapes": {"up": np.zeros((3, 3))}}, ValueError, r"blendshapes\['up'\] must have shape \(4, 3\)"),
        ({"blendshapes": {"up": np.full((4, 3), np.inf)}}, ValueError, r"blendshapes\['up'\] must be finite"),
        ({"blendshapes": {"up": ["a"] * 4}}, TypeError, r"blendshapes\['up'\] must hold numbers"),
        ({"weights": {"up": 1.0}}, ValueError, "weights must name blendshapes of the mesh, got up"),
        ({"blendshapes": {"up": np.zeros((4, 3))}, "weights": {"up": np.nan}}, ValueError, "must be finite"),
        ({"blendshapes": {"up": np.zeros((4, 3))}, "weights": {"up": "1"}}, TypeError, r"weights\['up'\] must be a"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_invalid_fields_are_rejected(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FaceMesh(**{"vertices": V, "faces": F, **fields})
