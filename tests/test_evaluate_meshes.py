"""The benchmark `evaluate meshes`, on a known surface with known displacements and image degradations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facegeom.cli import main
from facegeom.errors import FacegeomError, NoFaceFound, WeightsError
from facegeom.evaluation import mesh_truth, meshes
from facegeom.evaluation.mesh_truth import Surface, TrueSurface, face_triangles
from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_region
from facegeom.face_model.point_fit import Fit
from facegeom.images.camera import Camera
from facegeom.measures.mesh_metrics import sample_surface
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.render import turn

POINTS, EMD_POINTS = 3000, 150


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use 3,000 points per surface instead of 60,000, and 150 for the earth mover's distance instead of 1,024."""
    monkeypatch.setattr(mesh_truth, "POINTS", POINTS)
    monkeypatch.setattr(mesh_truth, "EMD_POINTS", EMD_POINTS)


def known_fit(yaw: float = 30.0) -> Fit:
    """Return a fit of the mean face with the given yaw (degrees), at 0.8 pixels per mm."""
    expression = np.zeros(len(load_face_model().expression))
    return Fit(np.zeros(10), expression, turn(yaw), 0.8, np.array([90.0, 80.0]), 0.0, 0.0)


@pytest.fixture(scope="module")
def truth() -> TrueSurface:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mesh_truth, "POINTS", POINTS)
        patch.setattr(mesh_truth, "EMD_POINTS", EMD_POINTS)
        return TrueSurface(load_face_model(), known_fit())


def moved(surface: Surface, shift: Any) -> Surface:
    return Surface(surface.V + np.array(shift, float), surface.F)


def test_true_surface_has_the_smallest_distances(truth: TrueSurface) -> None:
    score = truth.score(truth.surface)
    assert score.chamfer < 4.0  # distance between two samples of 3,000 points on 37,000 mm^2
    assert score.f_score[4.0] > 0.95
    assert score.emd == pytest.approx(score.emd_floor, rel=0.6)
    assert score.sliced == pytest.approx(score.sliced_floor, rel=0.6)
    assert score.left_out < 0.05


def test_only_the_mean_depth_is_aligned(truth: TrueSurface) -> None:
    own = truth.score(truth.surface)
    nearer = truth.score(moved(truth.surface, (0, 0, 70)))
    assert nearer.chamfer == pytest.approx(own.chamfer, rel=1e-9)
    aside = truth.score(moved(truth.surface, (0, 12, 0)))
    assert aside.chamfer > own.chamfer + 2
    assert aside.f_score[2.0] < own.f_score[2.0] - 0.2
    assert aside.emd > own.emd + 3


def test_shown_scores_align_the_depth_of_half_a_face_where_both_surfaces_are_visible(truth: TrueSurface) -> None:
    own = truth.score(truth.surface)
    assert own.chamfer_shown == pytest.approx(own.chamfer, rel=0.05)
    model = load_face_model()
    F = truth.surface.F
    half = Surface(truth.surface.V + np.array([0, 0, 30.0]), F[(model.mean[F][:, :, 0] < 0).all(axis=1)])
    score = truth.score(half)  # the half that faces the camera
    assert score.f_score_shown[4.0] == pytest.approx(2 / 3, abs=0.05)  # precision 1, recall 1/2
    assert score.chamfer_shown < score.chamfer - 10
    beside = truth.score(moved(truth.surface, (400, 0, 0)))
    assert beside.chamfer_shown > 300


def test_place_does_not_depend_on_the_size_of_the_predicted_face(truth: TrueSurface) -> None:
    model = load_face_model()
    camera = Camera(truth.camera.rotation, 1.6, truth.camera.translation)
    placed = truth.place(model.mean / 2, face_region(model), camera)
    np.testing.assert_allclose(placed.V, truth.surface.V, atol=1e-9)
    shifted = Camera(truth.camera.rotation, 0.8, truth.camera.translation + np.array([8.0, -4.0]))
    placed = truth.place(model.mean, face_region(model), shifted)
    np.testing.assert_allclose(placed.V - truth.surface.V, np.tile([10.0, 5.0, 0.0], (len(placed.V), 1)), atol=1e-9)


def test_points_on_the_rest_of_the_head_are_ignored_but_wrong_points_are_not(truth: TrueSurface) -> None:
    model = load_face_model()
    own = truth.score(truth.surface)
    ears = model.regions["face"] | model.regions["ear_left"] | model.regions["ear_right"]
    score = truth.score(Surface(truth.surface.V, model.faces[ears[model.faces].all(axis=1)]))
    assert score.left_out > 0.2
    assert score.chamfer < own.chamfer + 2
    cap = model.faces[model.regions["scalp"][model.faces].all(axis=1)]
    away = truth.surface.V + np.array([0.0, 60.0, 0.0])
    assert truth.score(Surface(away, np.concatenate([truth.surface.F, cap]))).chamfer > own.chamfer + 20


def test_face_triangles_select_the_face_region_of_the_model() -> None:
    model = load_face_model()
    mesh = FaceMesh(model.mean, model.faces, regions=model.regions)
    counted, region = (set(map(tuple, faces)) for faces in (face_triangles(mesh), face_region(model)))
    assert len(counted & region) / len(counted | region) > 0.95
    own = FaceMesh(np.eye(3), [[0, 1, 2]], regions={"face": np.ones(3, bool)})
    assert face_triangles(own).tolist() == [[0, 1, 2]]


BOX = (20.0, 30.0, 60.0, 70.0)


def test_seeds_of_photos_are_valid_and_differ() -> None:
    seeds = {meshes.photo_seed(f"sfhq_{number:04d}.jpg") for number in range(200)}
    assert len(seeds) == 200
    for seed in seeds:
        sample_surface(np.eye(3), np.array([[0, 1, 2]]), 1, seed=seed + 1)


def test_degrade_occludes_darkens_and_adds_noise() -> None:
    photo = np.full((100, 90, 3), 100, np.uint8)
    covered = meshes.degrade(photo, "25 % occluded", BOX, 3)
    places = np.argwhere((covered != photo).any(axis=2))
    assert len(places) == pytest.approx(0.25 * 40 * 40, rel=0.06)
    assert (places >= (29, 19)).all()
    assert (places <= (71, 61)).all()
    assert (covered[tuple(places.T)] == meshes.OCCLUDER).all()
    noisy = meshes.degrade(photo, "noise 0.1", BOX, 3).astype(float)
    assert noisy.std() == pytest.approx(25.5, rel=0.05)
    assert (meshes.degrade(photo, "dark", BOX, 3) == 25).all()
    assert meshes.degrade(photo, "as it is", BOX, 3) is photo
    np.testing.assert_array_equal(covered, meshes.degrade(photo, "25 % occluded", BOX, 3))
    assert (covered != meshes.degrade(photo, "25 % occluded", BOX, 4)).any()


def test_held_out_cases_are_photos_of_test_identities_with_a_usable_fit(
    folder: Path, labels: Any, tmp_path: Path
) -> None:
    labels.save(tmp_path / "labels.npz")
    cases = meshes.held_out_cases(folder, tmp_path / "labels.npz", 7)
    assert len(cases) == 7
    assert len(meshes.held_out_cases(folder, tmp_path / "labels.npz")) == 543
    assert cases[0].path.name == cases[0].name
    assert cases[0].yaw == 0.0
    x0, y0, x1, y1 = cases[0].box
    assert 0 < x0 < 80 < x1 < 160
    assert 0 < y0 < 80 < y1 < 160
    refused = replace(labels, reason=np.ones(len(labels), np.int8))
    refused.save(tmp_path / "refused.npz")
    with pytest.raises(FacegeomError, match="contains no photo of a test identity with a usable fit"):
        meshes.held_out_cases(folder, tmp_path / "refused.npz")


@pytest.fixture
def aflw(tmp_path: Path) -> Path:
    """A synthetic AFLW2000-3D folder with two photos, whose points are those of the mean face."""
    model = load_face_model()
    (tmp_path / "images").mkdir()
    points = []
    for name, yaw in (("image0", 20.0), ("image1", -70.0)):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), np.full((200, 200, 3), 90, np.uint8))
        V = model.mean[model.landmarks68] @ turn(yaw).T
        points.append((V * (0.9, -0.9, 0.9) + (101.0, 96.0, 12.0)).T)  # pixels count from 1
    np.savez(
        tmp_path / "annotations.npz",
        names=np.array(["image0", "image1"]),
        points68=np.array(points, np.float32),
        points68_reannotated=np.array(points, np.float32)[:, :2] - 1.0,
        pitch_yaw_roll_deg=np.array([[0, 20, 0], [0, -70, 0]], np.float32),
    )
    return tmp_path


def test_aflw2000_cases_are_fits_to_the_annotated_points(aflw: Path) -> None:
    first, second = meshes.aflw2000_cases(aflw)
    assert (first.yaw, second.yaw) == (20.0, -70.0)
    assert first.fit.scale == pytest.approx(0.9, rel=0.01)
    np.testing.assert_allclose(first.fit.translation, [100.0, 95.0], atol=0.5)
    np.testing.assert_allclose(second.fit.rotation, turn(-70), atol=0.02)
    assert len(meshes.aflw2000_cases(aflw, 1)) == 1
    with pytest.raises(FacegeomError, match=r"annotations\.npz does not exist"):
        meshes.aflw2000_cases(aflw / "images")


def perfect(fits: dict[float, Fit]) -> meshes.Reconstructor:
    """Return a reconstructor that knows the fit; "pix2vertex" is exact, "lost" finds no face, others are 15 mm off."""
    model = load_face_model()

    def reconstructor(photo: np.ndarray, box: Any, name: str) -> meshes.Reconstructed:
        if name == "lost":
            raise NoFaceFound("nothing here")
        fit = fits[20.0]
        shift = 0.0 if name == "pix2vertex" else 15.0
        camera = Camera(fit.rotation, fit.scale, fit.translation + shift * fit.scale)
        return FaceMesh(model.mean, model.faces, regions=model.regions), camera, 5.0

    return reconstructor


def test_pipelines_are_evaluated_under_every_condition(aflw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegeom.detection.detector.detect", lambda image: [])
    case = meshes.aflw2000_cases(aflw)[0]
    results, surfaces = meshes.evaluate_case(
        case, ["pix2vertex", "worse", "lost"], meshes.CONDITIONS, perfect({20.0: case.fit})
    )
    assert len(results) == 5 * 4
    assert len(surfaces) == 1 + 4
    by_name = {result.pipeline: result.score for result in results[:4]}
    assert by_name["pix2vertex"].chamfer < by_name["worse"].chamfer - 5
    # The mean face gets the camera of pix2vertex, and the photo shows the mean face.
    assert by_name[meshes.MEAN_FACE].chamfer == pytest.approx(by_name["pix2vertex"].chamfer, rel=0.05)
    lost = results[2]
    assert (lost.found, np.isnan(lost.milliseconds)) == (False, True)
    assert lost.score.chamfer > by_name["pix2vertex"].chamfer
    assert results[0].milliseconds >= 5.0

    summary = meshes.summarise(results)
    plain = [row for row in summary["rows"] if (row["condition"], row["yaw"]) == ("as it is", "all")]
    assert [row["pipeline"] for row in plain] == ["pix2vertex", "worse", "lost", meshes.MEAN_FACE]
    assert plain[2]["found_percent"] == 0.0
    assert plain[0]["chamfer_mm"] == pytest.approx(by_name["pix2vertex"].chamfer)
    assert {row["yaw"] for row in summary["rows"]} == {"all", "0-30", "some"}
    assert {row["condition"] for row in summary["rows"] if row["yaw"] == "some"} == set(meshes.CONDITIONS)
    text = meshes.format_summary(summary)
    assert "not comparable" in text
    assert "F(tau) 57.28 %" in text


def test_command_prints_tables_and_writes_the_requested_files(
    aflw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = meshes.aflw2000_cases(aflw)[0]
    answer = perfect({20.0: case.fit})

    def absent(name: str, device: str) -> None:
        raise WeightsError(f"there are no weights of {name}")

    monkeypatch.setattr("facegeom.detection.detector.detect", lambda image: [])
    monkeypatch.setattr(meshes, "mesh_network", absent)
    monkeypatch.setattr(meshes, "reconstruct_pipeline", lambda photo, box, name, device: answer(photo, box, name))
    command = ["evaluate", "meshes", "--aflw2000", str(aflw), "--limit", "1", "--spoiled", "0"]
    assert main([*command, "--json", str(tmp_path / "a.json"), "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "pixel2mesh is not evaluated: there are no weights of pixel2mesh" in out
    assert "gcn_igan is not evaluated" in out
    assert "aflw2000, as it is" in out
    figures = json.loads((tmp_path / "a.json").read_text())
    assert {row["pipeline"] for row in figures["rows"]} == {"pix2vertex", "facevision", meshes.MEAN_FACE}
    assert len(figures["photos"]) == 3
    assert cv2.imread(str(tmp_path / "out" / "meshes_aflw2000.png")).shape[1] > 5 * meshes.SHEET_SIZE


def test_command_fails_if_the_weights_of_a_requested_pipeline_are_missing(
    aflw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str, device: str, backend: str) -> None:
        raise WeightsError(f"there are no weights of {name}")

    monkeypatch.setattr("facegeom.pipelines.gcn_igan.mesh_network", absent)
    assert main(["evaluate", "meshes", "--aflw2000", str(aflw), "--pipelines", "gcn_igan"]) == 1
    assert "there are no weights of gcn_igan" in capsys.readouterr().err
    assert main(["evaluate", "meshes"]) == 1
    assert "needs a folder with photos and --labels, or --aflw2000, or both" in capsys.readouterr().err
