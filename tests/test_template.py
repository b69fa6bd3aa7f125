"""The template: topology, subdivision, neck, and the motion of the parts behind the skin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.face_model.template import load_template
from facegeom.geometry.boundary import boundary_loops
from meshes import check_mesh


@pytest.mark.parametrize("head", [False, True], ids=["face", "head"])
class TestTemplate:
    def test_the_skin_of_the_face_model_comes_first(self, head: bool) -> None:
        model, template = load_face_model(), load_template(head)
        count = int(model.regions["head"].sum()) if head else model.face_vertex_count
        np.testing.assert_array_equal(template.vertices[:count], np.arange(count))
        np.testing.assert_array_equal(
            template.coarse.skin_faces[: model.face_triangle_count], model.faces[: model.face_triangle_count]
        )
        np.testing.assert_array_equal(template.embedding, model.mean[:count])
        assert len(template.vertices) == len(model.mean) or not head

    @pytest.mark.parametrize("level", ["coarse", "fine"])
    def test_topologies_are_manifold_and_symmetric(self, head: bool, level: str) -> None:
        model, template = load_face_model(), load_template(head)
        V = model.mean[template.vertices]
        V = V if level == "coarse" else template.subdivide(V)
        topology = getattr(template, level)
        check_mesh(V[: topology.skin_count], topology.skin_faces)
        assert np.unique(topology.faces).size == len(V)
        assert topology.uv_faces.max() == len(topology.uv) - 1
        assert all(len(mask) == len(V) for mask in topology.regions.values())
        np.testing.assert_allclose(V[topology.mirror] * [-1, 1, 1], V, atol=1e-9)
        # Almost no triangle of the atlas is flipped.
        corners = topology.uv[topology.uv_faces]
        (x, y), (u, v) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
        area = x * v - y * u
        assert (area[: topology.skin_triangles] > 0).mean() > 0.999

    def test_subdivision_moves_coarse_vertices_by_less_than_2_mm(self, head: bool) -> None:
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
        np.testing.assert_allclose(np.ptp((moved - V)[eye], axis=0), 0, atol=1e-9)  # the eyeball is translated
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
    assert across[:, 1].sum() < 0  # oriented downward
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

    almost_closed, wide = mean + 0.06 * jaw, mean + 0.6 * jaw
    assert (gap(almost_closed) > gap(mean) + 0.8).all()
    assert (gap(template.shut_lips(almost_closed)) < gap(mean) + 0.3).all()
    np.testing.assert_allclose(template.shut_lips(wide)[upper], wide[upper], atol=0.1)
    far = np.abs(mean - mean[upper[1]]).max(axis=1) > 40
    np.testing.assert_allclose(template.shut_lips(almost_closed)[far], almost_closed[far], atol=0.02)
