"""Template and pipeline pix2vertex, with a fake network that decodes the true maps from the photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facegeom
from facegeom import FaceMesh, NoFaceFound, load_face_model
from facegeom.face_model.template import load_template
from facegeom.geometry.boundary import boundary_loops
from facegeom.images.face_maps import FaceMaps
from facegeom.pipelines import pix2vertex
from facegeom.pipelines.interface import PipelineOptions
from facegeom.pipelines.pix2vertex import target_mesh
from facegeom.pipelines.template_stages import fitted_vertices, without_expression
from facegeom.reconstruction import predict
from facegeom.texture.appearance import View
from facegeom.texture.relief import relief_weight, skin_weight
from meshes import check_mesh


@pytest.fixture(scope="module")
def template() -> Any:
    return load_template()


@pytest.mark.parametrize("head", [False, True], ids=["face", "head"])
class TestTemplate:
    def test_the_skin_comes_first_and_is_the_face_models(self, head: bool) -> None:
        model, template = load_face_model(), load_template(head)
        count = int(model.regions["head"].sum()) if head else model.face_vertex_count
        np.testing.assert_array_equal(template.vertices[:count], np.arange(count))
        np.testing.assert_array_equal(
            template.coarse.skin_faces[: model.face_triangle_count], model.faces[: model.face_triangle_count]
        )
        np.testing.assert_array_equal(template.embedding, model.mean[:count])
        assert len(template.vertices) == len(model.mean) or not head

    @pytest.mark.parametrize("level", ["coarse", "fine"])
    def test_topologies_are_sound(self, head: bool, level: str) -> None:
        model, template = load_face_model(), load_template(head)
        V = model.mean[template.vertices]
        V = V if level == "coarse" else template.subdivide(V)
        topology = getattr(template, level)
        check_mesh(V[: topology.skin_count], topology.skin_faces)
        assert np.unique(topology.faces).size == len(V)
        assert topology.uv_faces.max() == len(topology.uv) - 1
        assert all(len(mask) == len(V) for mask in topology.regions.values())
        np.testing.assert_allclose(V[topology.mirror] * [-1, 1, 1], V, atol=1e-9)
        # No triangle of the atlas is turned over.
        corners = topology.uv[topology.uv_faces]
        (x, y), (u, v) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
        area = x * v - y * u
        assert (area[: topology.skin_triangles] > 0).mean() > 0.999

    def test_one_subdivision_keeps_the_old_vertices_in_place(self, head: bool) -> None:
        template = load_template(head)
        V = load_face_model().mean[template.vertices]
        fine = template.subdivide(V)
        assert np.linalg.norm(fine[: template.coarse.skin_count] - V[: template.coarse.skin_count], axis=1).max() < 2
        np.testing.assert_array_equal(fine[template.fine.skin_count :], V[template.coarse.skin_count :])
        carried = template.carry(V)
        assert np.linalg.norm(carried - fine, axis=1).mean() < 0.12

    def test_parts_behind_the_skin_follow_its_rims(self, head: bool) -> None:
        template = load_template(head)
        V = load_face_model().mean[template.vertices]
        skin = template.coarse.skin_count
        shift = np.array([3.0, -2.0, 5.0])
        np.testing.assert_allclose(template.follow(V, V[:skin] + shift), V + shift, atol=1e-9)
        bent = V[:skin] + np.column_stack([0 * V[:skin, 0], np.sin(V[:skin, 0] / 5), 0 * V[:skin, 0]])
        moved = template.follow(V, bent)
        eye = template.coarse.regions["eyeball_left"]
        np.testing.assert_allclose(np.ptp((moved - V)[eye], axis=0), 0, atol=1e-9)  # as a whole: it stays round
        np.testing.assert_array_equal(moved[:skin], bent)


@pytest.mark.parametrize("level", ["coarse", "fine"])
def test_the_neck_of_a_head_is_closed(level: str) -> None:
    template = load_template(head=True)
    V = load_face_model().mean[template.vertices]
    V = V if level == "coarse" else template.subdivide(V)
    topology = getattr(template, level)
    assert not any(V[loop, 1].min() < -100 for loop in boundary_loops(topology.faces))
    (end,) = (loop for loop in boundary_loops(topology.skin_faces) if V[loop, 1].min() < -100)
    cap = topology.faces[-len(end) + 2 :]
    assert set(cap.ravel()) == set(end)
    across = np.cross(V[cap[:, 1]] - V[cap[:, 0]], V[cap[:, 2]] - V[cap[:, 0]])
    assert across[:, 1].sum() < 0  # seen from below
    flat = topology.uv[topology.uv_faces[-len(end) + 2 :]]
    assert (np.ptp(flat, axis=1) == 0).all()


def test_almost_closed_lips_are_closed() -> None:
    model, template = load_face_model(), load_template()
    skin = template.coarse.skin_count
    mean = model.mean[template.vertices][:skin]
    upper, lower = model.landmarks68_multipie[61:64], model.landmarks68_multipie[[67, 66, 65]]
    jaw = model.expression[model.expression_names.index("jawOpen"), :skin]

    def gap(V: Any) -> Any:
        return np.linalg.norm(V[upper] - V[lower], axis=1)

    ajar, wide = mean + 0.06 * jaw, mean + 0.6 * jaw
    assert (gap(ajar) > gap(mean) + 0.8).all()
    assert (gap(template.shut_lips(ajar)) < gap(mean) + 0.3).all()
    np.testing.assert_allclose(template.shut_lips(wide)[upper], wide[upper], atol=0.1)
    far = np.abs(mean - mean[upper[1]]).max(axis=1) > 40
    np.testing.assert_allclose(template.shut_lips(ajar)[far], ajar[far], atol=0.02)


@pytest.mark.parametrize("yaw", [0.0, 40.0, -75.0])
def test_the_registered_template_matches_the_face(draw_face: Any, coded_network: Any, yaw: float) -> None:
    face = draw_face(yaw)
    coded_network(face)
    rec = facegeom.reconstruct(face.photo, box=face.box)
    model, template = load_face_model(), load_template()
    truth = model.mean[template.vertices]
    shown = model.regions["map"][template.vertices]
    for stage in ("aligned", "registered"):
        error = np.linalg.norm(rec.stages[stage].vertices - truth, axis=1)[shown]
        assert error.mean() < 2.5
    np.testing.assert_allclose(rec.landmarks, rec.mesh.vertices[model.landmarks68])
    assert rec.mesh.seen.min() >= 0
    assert 0.1 < rec.mesh.seen.mean() < 0.9
    if yaw:  # the far cheek is hidden, the near one in view
        far = np.sign(-yaw) * truth[: template.coarse.skin_count, 0] > 40
        near = np.sign(yaw) * truth[: template.coarse.skin_count, 0] > 40
        seen = rec.mesh.seen[: template.coarse.skin_count]
        assert min(seen[far].mean(), seen[near].mean()) < 0.1
        assert max(seen[far].mean(), seen[near].mean()) > 0.4


def test_every_photo_has_the_same_topology(draw_face: Any, coded_network: Any) -> None:
    found = []
    for yaw in (0.0, 60.0):
        face = draw_face(yaw)
        coded_network(face)
        found.append(facegeom.reconstruct(face.photo, box=face.box).mesh)
    np.testing.assert_array_equal(found[0].faces, found[1].faces)
    np.testing.assert_array_equal(found[0].uv, found[1].uv)
    assert set(found[0].regions) == set(found[1].regions) >= {"lips", "nose", "eyeball_left", "mouth_interior"}


def test_the_neutral_face_has_no_expression(coded_face: Any, coded_network: Any, tmp_path: Path) -> None:
    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, box=coded_face.box)
    assert rec.neutral is not None
    rec.save(tmp_path / "neutral.glb", neutral=True)
    loaded = FaceMesh.load(tmp_path / "neutral.glb")
    assert len(loaded.faces) == len(rec.mesh.faces)
    model = load_face_model()
    weights = np.array([name == "jawOpen" for name in model.expression_names], dtype=float)
    fit = replace(predict(coded_face.photo, coded_face.box).fit, expression=weights)
    neutral = without_expression(rec.mesh, load_template(), fit, fitted_vertices(model, fit))
    chin = 8  # of the 68 points
    moved = (rec.mesh.vertices - neutral.vertices)[model.landmarks68[chin]]
    np.testing.assert_allclose(moved, weights @ model.expression[:, model.landmarks68[chin]], atol=1e-4)


def test_the_atlas_holds_the_colours(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    mesh = facegeom.reconstruct(coded_face.photo, box=coded_face.box, texture=256).mesh
    assert mesh.texture.shape == (256, 256, 3)
    corner_of = np.full(len(mesh.vertices), -1)
    corner_of[mesh.faces.ravel()] = mesh.uv_faces.ravel()
    u, v = mesh.uv[corner_of].T
    texel = mesh.texture[np.clip(((1 - v) * 256).astype(int), 0, 255), np.clip((u * 256).astype(int), 0, 255)]
    difference = np.abs(texel.astype(int) - mesh.colors.astype(int))[mesh.seen > 0.9]
    assert np.median(difference) <= 4


def test_a_large_atlas_has_detail_finer_than_the_vertices(draw_face: Any, coded_network: Any) -> None:
    face = draw_face(0.0, size=1200, scale=4.2)
    coded_network(face)
    seen = predict(face.photo, face.box)
    rows, columns = np.indices(face.photo.shape[:2])
    checks = np.where(((rows // 3 + columns // 3) % 2 == 0)[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    fine, coarse = (pix2vertex.run(checks, seen, PipelineOptions(texture=size)).final.texture for size in (1024, 128))
    middle = slice(3 * 1024 // 8, 5 * 1024 // 8)
    assert fine[middle, middle].std() > 50
    assert coarse[48:80, 48:80].std() < 40


def test_hidden_skin_takes_the_colour_of_the_other_side(draw_face: Any, coded_network: Any) -> None:
    face = draw_face(50.0)
    coded_network(face)
    photo = np.where(face.photo.max(axis=2, keepdims=True) > 60, np.uint8([200, 150, 120]), np.uint8(0))
    seen = predict(face.photo, face.box)
    mesh = pix2vertex.run(photo, seen, PipelineOptions()).final
    skin = load_template().fine.skin_count
    hidden = mesh.seen[:skin] == 0
    assert 0.2 < hidden.mean() < 0.8
    assert np.abs(mesh.colors[:skin][hidden].astype(int) - [200, 150, 120]).mean() < 25


def test_detail_weight_is_zero_at_hair_lips_and_lids(template: Any) -> None:
    weight = skin_weight(template)
    fine = template.fine
    assert weight.min() >= 0
    assert weight.max() == pytest.approx(1, abs=1e-6)
    for name in ("lips", "eyelids_left", "eyelids_right", "brow_left", "brow_right"):
        assert weight[fine.regions[name][: fine.skin_count]].max() == 0
    E = template.subdivide(load_face_model().mean[template.vertices])[: fine.skin_count]
    cheek = (np.abs(E[:, 0]) > 35) & (np.abs(E[:, 0]) < 50) & (E[:, 1] < -20) & (E[:, 1] > -50)
    assert weight[cheek].mean() > 0.9


def test_dark_and_rough_skin_has_less_detail(coded_face: Any, coded_network: Any, template: Any) -> None:
    coded_network(coded_face)
    seen = predict(coded_face.photo, coded_face.box)
    model = load_face_model()
    V = template.subdivide(seen.fit.vertices(model)[template.vertices])
    rng = np.random.default_rng(0)
    plain = np.full_like(coded_face.photo, 150)
    hair = np.clip(plain + rng.normal(0, 60, plain.shape[:2])[..., None], 0, 255).astype(np.uint8)
    weights = [
        relief_weight(template, View(photo, seen.maps, seen.camera, V, template.fine)) for photo in (plain, hair)
    ]
    assert weights[0].max() == pytest.approx(1, abs=1e-3)
    assert weights[1].mean() < 0.3 * weights[0].mean()


def test_maps_without_a_face_raise_no_face_found(coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    seen = predict(coded_face.photo, coded_face.box)
    maps = seen.maps
    lone = np.zeros_like(maps.mask)
    lone[::4, ::4] = maps.mask[::4, ::4]  # pixels without neighbours make no triangle
    alone = FaceMaps(maps.image, maps.depth, maps.correspondence, lone, maps.box)
    with pytest.raises(NoFaceFound, match="contains no triangle"):
        pix2vertex.run(coded_face.photo, replace(seen, maps=alone), PipelineOptions())
    far = FaceMaps(maps.image, maps.depth, np.nan_to_num(maps.correspondence) + 500, maps.mask, maps.box)
    with pytest.raises(NoFaceFound, match="do not show enough of the face: fewer than 4"):
        pix2vertex.run(coded_face.photo, replace(seen, maps=far), PipelineOptions())


def test_the_target_has_every_pixel_in_the_face_frame(turned_coded_face: Any, coded_network: Any) -> None:
    coded_network(turned_coded_face)
    seen = predict(turned_coded_face.photo, turned_coded_face.box)
    target = target_mesh(seen.maps, seen.camera, 10.0)
    assert len(target.V) > 0.98 * seen.maps.mask.sum()
    error = np.linalg.norm(target.V - target.E, axis=1)  # the mean face: its own correspondence
    assert np.median(error) < 3
