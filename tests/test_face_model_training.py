"""Functions that made the face model: landmark calibration, remeshing, flattening, quality check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import Delaunay

from face_model_helpers import FLIP68, boundary_vertices, directed_edges, smallest_angles
from facegeom import load_face_model
from facegeom.face_model import FaceModel

ICT = Path(__file__).parents[1] / "../shared/data/ict/ict_face_model.npz"


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


class TestCalibration:
    def test_calibration_recovers_the_annotated_vertices(self, model: FaceModel) -> None:
        from facegeom.training.face_model.landmarks68 import calibrate_landmarks

        generator = np.random.default_rng(3)
        true = model.landmarks68_multipie
        heads = [model.vertices(generator.standard_normal(20)) for _ in range(4)]
        projected = np.stack([head[:, :2] * [2.0, -2.0] + 200.0 for head in heads])
        noisy = projected[:, true] + generator.normal(0.0, 0.05, (4, 68, 2))
        assert (
            np.linalg.norm(model.mean[calibrate_landmarks(model, projected, noisy)] - model.mean[true], axis=1).max()
            < 1
        )

    def test_calibrated_landmarks_are_symmetric_for_any_annotation(self, model: FaceModel) -> None:
        from facegeom.training.face_model.landmarks68 import calibrate_landmarks

        generator = np.random.default_rng(4)
        points = generator.uniform(0, 200, (2, 68, 2))
        projected = np.repeat(model.mean[None, :, :2] + 100.0, 2, axis=0)
        chosen = calibrate_landmarks(model, projected, points)
        assert np.array_equal(model.mirror[chosen], chosen[FLIP68])


@pytest.fixture(scope="module")
def half_sphere() -> tuple[np.ndarray, np.ndarray]:
    """Return a half sphere of radius 30 around +z with five rings of vertices."""
    polar = [np.full(max(1, 6 * ring), 0.1 * np.pi * ring) for ring in range(6)]
    turn = [2 * np.pi * np.arange(len(angles)) / len(angles) for angles in polar]
    a, b = np.concatenate(polar), np.concatenate(turn)
    F = Delaunay(np.stack([a * np.cos(b), a * np.sin(b)], axis=1)).simplices.astype(np.int64)
    V = 30.0 * np.stack([np.sin(a) * np.cos(b), np.sin(a) * np.sin(b), np.cos(a)], axis=1)
    inward = np.einsum("ij,ij->i", np.cross(V[F[:, 1]] - V[F[:, 0]], V[F[:, 2]] - V[F[:, 0]]), V[F[:, 0]]) < 0
    F[inward] = F[inward][:, ::-1]
    return V, F


class TestRemeshing:
    """Tests of the remesher on a shape with a known result."""

    def test_remeshing_preserves_the_boundary_and_gives_regular_triangles(
        self, half_sphere: tuple[np.ndarray, np.ndarray]
    ) -> None:
        from facegeom.training.face_model.remesh import Remesher, SourceSurface

        V, F = half_sphere
        source = SourceSurface(V, F, np.zeros(len(F), dtype=np.int64), np.zeros(0, dtype=np.int64))
        result = Remesher(source, np.full(len(V), 3.0)).run(6)
        P = source.positions(result.source_face, result.barycentric)
        rim = boundary_vertices(result.faces)
        assert np.abs(P[rim, 2]).max() < 1e-9
        assert source.walk(P, result.source_face)[1] == pytest.approx(result.barycentric, abs=1e-6)
        assert smallest_angles(P, result.faces).min() > 20.0
        assert len(P) == pytest.approx(2 * np.pi * 30.0**2 / (0.866 * 3.0**2), rel=0.3)
        edges = np.unique(np.sort(directed_edges(result.faces), axis=1), axis=0)
        assert len(P) - len(edges) + len(result.faces) == 1  # still a disc

    def test_edge_table_pairs_faces(self) -> None:
        from facegeom.training.face_model.remesh import edge_table

        edges, faces, tips = edge_table(np.array([[0, 1, 2], [2, 1, 3]]))
        shared = np.flatnonzero(faces[:, 1] >= 0)
        assert sorted(edges[shared[0]].tolist()) == [1, 2]
        assert sorted(tips[shared[0]].tolist()) == [0, 3]
        assert len(edges) == 5

    def test_closest_point_on_a_triangle(self) -> None:
        from facegeom.training.face_model.remesh import closest_on_triangles

        T = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]]).repeat(3, axis=0)
        P = np.array([[0.25, 0.25, 2.0], [-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]])
        square, place = closest_on_triangles(P, T)
        assert square == pytest.approx([4.0, 2.0, 0.5])
        assert place == pytest.approx(np.array([[0.5, 0.25, 0.25], [1, 0, 0], [0, 0.5, 0.5]]))


class TestFlattening:
    def test_relax_reproduces_a_flat_disc(self) -> None:
        from facegeom.geometry.boundary import boundary_loops
        from facegeom.training.face_model.flatten import flat_triangles, jacobians, relax, tutte

        x, y = np.meshgrid(np.arange(7.0), np.arange(7.0))
        V = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)
        corner = np.array([i + 7 * j for j in range(6) for i in range(6)])
        F = np.concatenate(
            [np.stack([corner, corner + 1, corner + 8], 1), np.stack([corner, corner + 8, corner + 7], 1)]
        )
        outline = boundary_loops(F)[0]
        angle = 2 * np.pi * np.arange(len(outline)) / len(outline)
        start = tutte(F, outline, 3.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1))
        rest = flat_triangles(V[F])
        uv = relax(rest, F, start, np.ones((len(V), 2), dtype=bool), np.ones(len(F)), 200)
        stretch = np.linalg.svd(jacobians(rest, uv, F), compute_uv=False)
        assert np.abs(stretch - 1.0).max() < 0.02


@pytest.mark.data
@pytest.mark.slow
def test_random_heads_are_fitted_and_blinking_lids_are_closed() -> None:
    if not ICT.is_file():
        pytest.skip("needs ../shared/data/ict")
    import facegeom.face_model.model as module
    from facegeom.training.face_model.quality import check_face_model

    report = check_face_model(ICT, Path(module.__file__).with_name("face_model.npz"), samples=10)
    assert report["surface distance mean (mm)"] < 0.3
    assert report["surface distance 95th percentile (mm)"] < 0.8
