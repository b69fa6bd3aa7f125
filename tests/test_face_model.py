"""The shipped face model: shape, symmetry, atlas and loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from face_model_helpers import FLIP68, boundary_vertices, directed_edges, smallest_angles
from facegeom import load_face_model
from facegeom.errors import WeightsError
from facegeom.face_model import FaceModel, read_face_model

MIRROR = np.array([-1.0, 1.0, 1.0])
FILE_LIMIT = 12_000_000  # bytes


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


def weights(model: FaceModel, **named: float) -> np.ndarray:
    result = np.zeros(len(model.expression_names))
    for name, value in named.items():
        result[model.expression_names.index(name)] = value
    return result


class TestTopology:
    def test_sizes_are_those_of_the_design(self, model: FaceModel) -> None:
        assert len(model.mean) <= 12_000
        assert 6_500 <= model.face_vertex_count <= 7_500
        assert len(model.identity) >= 80
        assert len(model.expression) == len(model.expression_names) == len(set(model.expression_names))

    def test_face_vertices_and_triangles_come_first(self, model: FaceModel) -> None:
        face = model.faces[: model.face_triangle_count]
        assert np.array_equal(np.unique(face), np.arange(model.face_vertex_count))
        assert (model.faces[model.face_triangle_count :].max(axis=1) >= model.face_vertex_count).all()
        assert np.array_equal(np.flatnonzero(model.regions["face"]), np.arange(model.face_vertex_count))

    def test_model_is_an_oriented_manifold_without_unused_vertices(self, model: FaceModel) -> None:
        directed = directed_edges(model.faces)
        assert len(np.unique(directed, axis=0)) == len(directed)
        _, count = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
        assert count.max() == 2
        assert np.array_equal(np.unique(model.faces), np.arange(len(model.mean)))

    def test_skin_has_openings_only_at_eyes_mouth_and_neck(self, model: FaceModel) -> None:
        skin = model.faces[model.regions["head"][model.faces].all(axis=1)]
        rim = boundary_vertices(skin)
        inside = model.regions["eye_rims"] | model.regions["lip_rim"]
        neck = rim[~inside[rim]]
        assert inside[rim].sum() == inside.sum()
        assert model.regions["neck"][neck].all()
        vertices, edges = len(np.unique(skin)), len(np.unique(np.sort(directed_edges(skin), axis=1), axis=0))
        assert vertices - edges + len(skin) == 2 - 4  # a sphere with four holes: two eyes, the mouth and the neck

    def test_triangles_have_no_small_angles(self, model: FaceModel) -> None:
        skin = model.faces[model.regions["head"][model.faces].all(axis=1)]
        assert (smallest_angles(model.mean, skin) > 15.0).mean() > 0.99
        assert (smallest_angles(model.mean, model.faces) > 15.0).mean() > 0.99

    def test_triangles_are_oriented_outward(self, model: FaceModel) -> None:
        ball = model.faces[model.regions["eyeball_left"][model.faces].all(axis=1)]
        T = model.mean[ball]
        volume = np.einsum("ij,ij->i", T[:, 0], np.cross(T[:, 1], T[:, 2])).sum() / 6
        assert volume == pytest.approx(4 / 3 * np.pi * 15.0**3, rel=0.15)
        nose = model.faces[model.regions["nose"][model.faces].all(axis=1)]
        T = model.mean[nose]
        assert np.cross(T[:, 1] - T[:, 0], T[:, 2] - T[:, 0]).sum(axis=0)[2] > 0

    def test_triangles_are_smaller_around_eyes_and_mouth(self, model: FaceModel) -> None:
        def edge(region: str) -> float:
            face = model.faces[: model.face_triangle_count]
            some = face[model.regions[region][face].all(axis=1)]
            ends = model.mean[directed_edges(some)]
            return float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).mean())

        whole = edge("face")
        assert edge("eyelids_left") < 0.65 * whole
        assert edge("lips") < 0.8 * whole
        assert edge("nose") < 0.9 * whole


class TestSymmetry:
    def test_mirror_is_an_involution_and_a_mesh_automorphism(self, model: FaceModel) -> None:
        assert np.array_equal(model.mirror[model.mirror], np.arange(len(model.mean)))
        triangles = {tuple(sorted(face)) for face in model.faces.tolist()}
        assert triangles == {tuple(sorted(face)) for face in model.mirror[model.faces].tolist()}

    def test_mean_is_exactly_symmetric(self, model: FaceModel) -> None:
        assert np.array_equal(model.mean[model.mirror] * MIRROR, model.mean)
        assert (model.mean[model.mirror == np.arange(len(model.mean)), 0] == 0.0).all()

    @pytest.mark.parametrize("name", ["eyelids", "ear", "brow", "eyeball"])
    def test_left_and_right_regions_are_symmetric(self, model: FaceModel, name: str) -> None:
        left, right = model.regions[f"{name}_left"], model.regions[f"{name}_right"]
        assert left.any()
        assert not (left & right).any()
        assert np.array_equal(left[model.mirror], right)
        assert (model.mean[left, 0] > 0).all()

    @pytest.mark.parametrize("field", ["landmarks68", "landmarks68_multipie"])
    def test_landmarks_are_symmetric(self, model: FaceModel, field: str) -> None:
        points = getattr(model, field)
        assert np.array_equal(model.mirror[points], points[FLIP68])

    def test_left_and_right_expressions_are_symmetric(self, model: FaceModel) -> None:
        smile = [model.vertices(expression=weights(model, **{f"mouthSmile_{side}": 1.0})) for side in "LR"]
        face = slice(0, model.face_vertex_count)
        assert (
            np.abs(smile[0][model.mirror][face] * MIRROR - smile[1][face]).max() < 0.2
        )  # ICT is not exactly symmetric


class TestFrame:
    def test_eye_centres_are_63_mm_apart_with_the_origin_midway(self, model: FaceModel) -> None:
        centres = []
        for side in ("left", "right"):
            ball = model.mean[model.regions[f"eyeball_{side}"]]
            centres.append(0.5 * (ball.min(axis=0) + ball.max(axis=0)))
        assert np.linalg.norm(centres[0] - centres[1]) == pytest.approx(63.0, abs=0.1)
        assert np.abs(centres[0] + centres[1]).max() / 2 < 0.2
        assert centres[0][0] > 0  # +x is the left side of the person

    def test_nose_points_forward_and_chin_down(self, model: FaceModel) -> None:
        tip, chin = model.mean[model.landmarks68_multipie[[30, 8]]]
        assert tip[2] > 25.0
        assert chin[1] < -90.0


class TestVertices:
    def test_vertices_without_coefficients_are_a_copy_of_the_mean(self, model: FaceModel) -> None:
        V = model.vertices()
        assert np.array_equal(V, model.mean)
        V[0] = 0.0
        assert not np.array_equal(V, model.mean)

    def test_vertices_are_linear_in_the_first_coefficients(self, model: FaceModel) -> None:
        a, b = np.array([1.0, -0.5, 2.0]), np.array([0.3, 0.7])
        expected = model.mean + np.tensordot(a, model.identity[:3], 1) + np.tensordot(b, model.expression[:2], 1)
        assert np.abs(model.vertices(a, b) - expected).max() < 1e-4

    @pytest.mark.parametrize("bad", [np.zeros(1000), np.zeros((2, 2))], ids=["too-many", "matrix"])
    def test_invalid_coefficients_are_rejected(self, model: FaceModel, bad: np.ndarray) -> None:
        with pytest.raises(ValueError, match="identity must be one-dimensional with at most"):
            model.vertices(bad)
        with pytest.raises(ValueError, match="expression must be one-dimensional with at most"):
            model.vertices(expression=bad)

    def test_identity_components_have_decreasing_variance(self, model: FaceModel) -> None:
        size = np.linalg.norm(model.identity.reshape(len(model.identity), -1), axis=1)
        assert size[0] > 5 * size[20] > 0
        assert size[0] == size.max()

    def test_jaw_opening_separates_the_lips(self, model: FaceModel) -> None:
        lips = model.landmarks68_multipie[[62, 66]]
        opened = model.vertices(expression=weights(model, jawOpen=1.0))
        closed_gap, open_gap = (np.linalg.norm(np.diff(V[lips], axis=0)) for V in (model.mean, opened))
        assert closed_gap < 4.0
        assert open_gap > 20.0

    def test_blink_closes_the_lids(self, model: FaceModel) -> None:
        from facegeom.training.face_model.quality import visible_area

        blink = model.vertices(expression=weights(model, eyeBlink_L=1.0, eyeBlink_R=1.0))
        for side in ("left", "right"):
            assert visible_area(model, model.mean, f"eyeball_{side}") > 100.0
            assert visible_area(model, blink, f"eyeball_{side}") < 0.5

    def test_looking_down_moves_only_vertices_near_the_lids(self, model: FaceModel) -> None:
        move = np.linalg.norm(model.expression[model.expression_names.index("eyeLookDown_L")], axis=1)
        assert move[model.regions["eyelids_left"]].max() > 3.0
        assert move[model.regions["lips"] | model.regions["eyelids_right"]].max() < 0.2


class TestAtlas:
    def test_atlas_is_symmetric_about_the_middle(self, model: FaceModel) -> None:
        twin = {tuple(sorted(face)): row for row, face in enumerate(model.faces.tolist())}
        for row in range(0, len(model.faces), 97):
            other = twin[tuple(sorted(model.mirror[model.faces[row]].tolist()))]
            order = [model.faces[other].tolist().index(v) for v in model.mirror[model.faces[row]].tolist()]
            mirrored = model.uv[model.uv_faces[other][order]] * [-1.0, 1.0] + [1.0, 0.0]
            assert np.abs(mirrored - model.uv[model.uv_faces[row]]).max() < 1e-12

    def test_atlas_has_no_flipped_triangle_and_no_overlap(self, model: FaceModel) -> None:
        from facegeom.training.face_model.atlas import coverage

        a, b, c = model.uv[model.uv_faces].transpose(1, 0, 2)
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        assert area.min() > 0
        assert 0.0 <= model.uv.min() <= model.uv.max() <= 1.0
        assert coverage(model.uv, model.uv_faces, 192).max() == 1

    def test_face_gets_half_of_the_texels(self, model: FaceModel) -> None:
        from facegeom.training.face_model.atlas import coverage

        face = coverage(model.uv, model.uv_faces[: model.face_triangle_count], 192)
        assert (face > 0).mean() >= 0.5

    def test_skin_is_one_chart_with_the_cut_at_the_back(self, model: FaceModel) -> None:
        skin = model.regions["head"][model.faces].all(axis=1)
        rows, vertices = model.uv_faces[skin].ravel(), model.faces[skin].ravel()
        pairs = np.unique(np.stack([vertices, rows], axis=1), axis=0)
        cut = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
        assert (model.mean[cut, 0] == 0.0).all()
        assert (model.mean[cut, 2] < -70.0).all()

    def test_nose_is_central_and_ears_are_outside(self, model: FaceModel) -> None:
        where = np.zeros((len(model.mean), 2))
        where[model.faces.ravel()] = model.uv[model.uv_faces.ravel()]
        assert where[model.landmarks68_multipie[27:31], 0] == pytest.approx(0.5, abs=1e-9)
        assert where[model.regions["ear_left"], 0].min() > 2 / 3
        assert where[model.regions["ear_right"], 0].max() < 1 / 3


class TestLoader:
    def test_every_call_returns_one_object_with_read_only_arrays(self, model: FaceModel) -> None:
        assert load_face_model() is model
        for array in (model.mean, model.identity, model.expression, model.faces, model.uv, *model.regions.values()):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0

    def test_file_is_below_12_mb(self) -> None:
        import facegeom.face_model.model as module

        assert Path(module.__file__).with_name("face_model.npz").stat().st_size <= FILE_LIMIT

    def test_error_for_a_missing_file_contains_its_path(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="there is no face model at"):
            read_face_model(tmp_path / "none.npz")

    def test_468_points_are_on_the_outer_surface(self, model: FaceModel) -> None:
        assert model.landmarks468_triangles.shape == model.landmarks468_barycentric.shape == (468, 3)
        assert np.abs(model.landmarks468_barycentric.sum(axis=1) - 1.0).max() < 1e-9
        assert model.landmarks468_barycentric.min() >= 0.0
        points = np.einsum("pc,pcd->pd", model.landmarks468_barycentric, model.mean[model.landmarks468_triangles])
        assert points[4, 2] > points[:, 2].max() - 6.0  # FaceMesh 4 is near the tip of the nose
