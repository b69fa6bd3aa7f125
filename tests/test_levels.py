"""Levels of detail: fixed vertices of level 0, one topology for all people, closed surfaces, closed lids and lips."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom import FacegeomError, FaceMesh, geometry, load_face_model
from facegeom.face_model.blendshapes import ARKIT_NAMES, template_blendshapes
from facegeom.face_model.levels import LEVELS, at_level, level
from facegeom.face_model.lids import closing_blinks
from facegeom.face_model.template import load_template

HEAD = load_template(head=True)
BEHIND = ("eyeball_left", "eyeball_right", "teeth", "gums_and_tongue")


def head(seed: int) -> FaceMesh:
    """Return a neutral head with blendshapes; its colours are the numbers of the vertices."""
    model, rng = load_face_model(), np.random.default_rng(seed)
    V = HEAD.subdivide(model.vertices(rng.normal(0, 1, 100))[HEAD.vertices])
    numbers = np.arange(len(V))
    return FaceMesh(
        V,
        HEAD.fine.faces,
        uv=HEAD.file_uv,
        uv_faces=HEAD.fine.uv_faces,
        texture=np.zeros((8, 8, 3), np.uint8),
        colors=np.column_stack([numbers % 256, numbers // 256 % 256, numbers * 0]).astype(np.uint8),
        regions=HEAD.fine.regions,
        seen=numbers / len(V),
        blendshapes={**template_blendshapes(HEAD), **closing_blinks(HEAD, V)},
        weights={"jawOpen": 0.3},
    )


@pytest.mark.parametrize(("number", "least", "most"), [(0, 39278, 39278), (1, 11948, 11948), (2, 3500, 4500)])
def test_the_vertices_of_a_level_are_those_of_level_0(number: int, least: int, most: int) -> None:
    full = head(0)
    mesh = at_level(full, number)
    rows = level(number).vertices
    assert least <= len(mesh.vertices) <= most
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(mesh.vertices, full.vertices[rows])
    np.testing.assert_array_equal(mesh.colors, full.colors[rows])
    np.testing.assert_array_equal(mesh.seen, full.seen[rows])
    assert list(mesh.blendshapes) == list(ARKIT_NAMES)
    for name, shape in mesh.blendshapes.items():
        change = np.abs(shape - full.blendshapes[name][rows]).max()
        assert change <= (0.71 if name.startswith("eyeBlink") else 0.0)
    assert dict(mesh.weights) == {"jawOpen": 0.3}
    assert set(mesh.regions) == set(full.regions)


@pytest.mark.parametrize("number", LEVELS)
def test_texture_coordinates_are_those_of_level_0(number: int) -> None:
    chosen = level(number)
    places: dict[int, set[tuple[float, float]]] = {}
    for corners, rows in zip(HEAD.fine.faces.tolist(), HEAD.fine.uv_faces.tolist(), strict=True):
        for corner, row in zip(corners, rows, strict=True):
            places.setdefault(corner, set()).add(tuple(HEAD.file_uv[row].tolist()))
    cap = HEAD.fine.regions["neck_cap"][chosen.vertices[chosen.faces]].all(axis=1)  # these have one coordinate each
    skin = chosen.vertices[chosen.faces[~cap]].tolist()
    for corners, rows in zip(skin, chosen.uv_faces[~cap].tolist(), strict=True):
        for corner, row in zip(corners, rows, strict=True):
            assert tuple(HEAD.file_uv[row].tolist()) in places[corner]


@pytest.mark.parametrize("number", LEVELS)
def test_all_levels_are_closed_manifold_surfaces(number: int) -> None:
    chosen, regions = level(number), HEAD.fine.regions
    inside = np.any([regions[name][chosen.vertices] for name in BEHIND], axis=0)
    faces = chosen.faces[~inside[chosen.faces].any(axis=1)]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)
    found, counts = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    assert (counts == 2).all()
    assert len(np.unique(faces)) - len(found) + len(faces) == 2  # Euler's formula: a sphere


@pytest.mark.parametrize("number", [1, 2])
def test_levels_lie_near_level_0(number: int) -> None:
    full = head(1)
    mesh = at_level(full, number)
    skin = HEAD.fine.skin_faces
    middles = full.vertices[: HEAD.fine.skin_count][::7]
    away = geometry.closest_points(mesh.vertices, mesh.faces, middles).distance
    assert np.percentile(away, 95) < (0.25, 0.8)[number - 1]
    assert len(skin) > len(mesh.faces)


def visible(mesh: FaceMesh, names: tuple[str, ...], behind: tuple[str, ...], middle: tuple[float, float]) -> float:
    """Return the area in mm^2 of the parts behind lids or lips that is visible from the front under some shapes."""
    V = mesh.vertices + sum(mesh.blendshapes[name] for name in names)
    points = (V - (middle[0] - 40.0, middle[1] + 25.0, 0.0)) * (10.0, -10.0, 1.0)
    shown = geometry.rasterize(points, mesh.faces, None, (500, 800)).triangle
    parts = np.any([mesh.regions[name] for name in behind], axis=0)[mesh.faces].all(axis=1)
    return float(parts[shown[shown >= 0]].sum()) / 100.0


@pytest.mark.parametrize("number", LEVELS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lids_and_lips_close_at_each_level(number: int, seed: int) -> None:
    full = head(seed)
    mesh, balls = at_level(full, number), ("eyeball_left", "eyeball_right")
    opened = visible(mesh, (), balls, (0.0, 0.0))
    assert opened > 200
    assert visible(mesh, ("eyeBlinkLeft", "eyeBlinkRight"), balls, (0.0, 0.0)) < (1.0, 1.0, 0.03 * opened)[number]
    mouth = (0.0, float(mesh.vertices[mesh.regions["lips"], 1].mean()))
    closed = visible(full, ("mouthPucker",), ("teeth",), mouth)
    assert visible(mesh, ("mouthPucker",), ("teeth",), mouth) < closed + 3.0
    assert visible(mesh, ("mouthFunnel",), ("teeth",), mouth) > 100


def test_only_heads_have_levels() -> None:
    face = load_template()
    V = face.subdivide(load_face_model().mean[face.vertices])
    with pytest.raises(FacegeomError, match="lod needs a whole head"):
        at_level(FaceMesh(V, face.fine.faces), 1)
    with pytest.raises(ValueError, match="lod must be 0, 1 or 2, got 3"):
        at_level(head(0), 3)


def test_files_have_levels() -> None:
    from facegeom.reconstruction import demo_photo, reconstruct

    rec = reconstruct(demo_photo(), head=True, texture=64)
    sizes = [len(rec.to_bytes("glb", lod=number)) for number in LEVELS]
    assert sizes[0] > 2.5 * sizes[1] > 5 * sizes[2]
    with pytest.raises(FacegeomError, match="lod needs a whole head"):
        reconstruct(demo_photo(), texture=64).to_bytes("glb", lod=2)


@pytest.mark.slow
def test_the_file_of_level_2_is_what_the_command_makes() -> None:
    from facegeom.training.face_model.reduce_level import reduced

    vertices, faces, _ = reduced()
    rows = np.r_[0 : HEAD.coarse.skin_count, HEAD.fine.skin_count : len(HEAD.fine.mirror)]
    np.testing.assert_array_equal(level(2).vertices, rows[vertices])
    np.testing.assert_array_equal(level(2).faces, faces)
