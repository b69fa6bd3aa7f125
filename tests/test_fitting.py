"""Fitting the face model to landmarks and maps of known faces."""

from dataclasses import replace

import numpy as np
import pytest

from facegeom.face_model import load_face_model
from facegeom.face_model.fitting import CONTOURS, MAP_OPTIONS, SeenPoints, fit_landmarks, fit_maps, free_expressions
from facegeom.face_model.point_fit import (
    Fit,
    FitOptions,
    FitPrior,
    Observations,
    PointBasis,
    fit_points,
)
from facegeom.geometry import rasterize

CLEAN = FitOptions(identity_count=40, correlated_points=0.01, noise_mm=0.1)


def _rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    y, p, r = np.radians([yaw_deg, pitch_deg, roll_deg])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _face(seed: int) -> tuple[np.ndarray, np.ndarray]:
    model = load_face_model()
    rng = np.random.default_rng(seed)
    identity = np.zeros(len(model.identity))
    identity[:20] = rng.normal(0, 0.8, 20)
    expression = np.zeros(len(model.expression))
    for name in ("jawOpen", "mouthSmile_L", "mouthSmile_R", "browInnerUp_L"):
        expression[model.expression_names.index(name)] = rng.uniform(0.2, 0.8)
    return identity, expression


def _pixels(V: np.ndarray, rotation: np.ndarray, scale: float, translation: np.ndarray) -> np.ndarray:
    camera = V @ rotation.T
    return np.column_stack(
        [camera[:, 0] * scale + translation[0], -camera[:, 1] * scale + translation[1], camera[:, 2]]
    )


@pytest.mark.parametrize("yaw", [0.0, -40.0, 55.0])
def test_fitting_the_landmarks_of_a_known_face_recovers_it(yaw: float) -> None:
    model = load_face_model()
    identity, expression = _face(3)
    rotation = _rotation(yaw, 8, -12)
    V = model.vertices(identity, expression)
    points = np.einsum("pcd,pc->pd", V[model.landmarks468_triangles], model.landmarks468_barycentric)
    pixels = _pixels(points, rotation, 0.8, np.array([120.0, 90.0]))
    pixels[:, 2] *= -0.8  # FaceMesh: away from the camera, in pixels
    fit = fit_landmarks(model, pixels, options=CLEAN)
    assert fit.residual_mm < 0.3
    assert fit.scale == pytest.approx(0.8, rel=0.02)
    assert np.degrees(np.arccos(np.clip((np.trace(fit.rotation @ rotation.T) - 1) / 2, -1, 1))) < 2.0
    error = np.linalg.norm(fit.vertices(model) - V, axis=1)[: model.face_vertex_count]
    assert error.mean() < 1.0


def test_expressions_stay_within_their_bounds() -> None:
    model = load_face_model()
    rng = np.random.default_rng(0)
    points = np.einsum("pcd,pc->pd", model.mean[model.landmarks468_triangles], model.landmarks468_barycentric)
    noisy = points * [1, -1, -1] + rng.normal(0, 6, points.shape)
    fit = fit_landmarks(model, noisy, options=CLEAN)
    assert fit.expression.min() >= 0.0
    assert fit.expression.max() <= 1.2
    gaze = [name.startswith(("eyeLook", "Pupil")) for name in model.expression_names]
    assert not fit.expression[gaze].any()


def _points468(V: np.ndarray) -> np.ndarray:
    """Return the 468 points of a frontal face as FaceMesh gives them, one pixel per mm."""
    model = load_face_model()
    points = np.einsum("pcd,pc->pd", V[model.landmarks468_triangles], model.landmarks468_barycentric)
    return points * np.array([1.0, -1.0, -1.0])


def _lid_gap(V: np.ndarray) -> float:
    """Return the distance of the lids of the right eye, divided by the width of the eye."""
    points = _points468(V)
    gap = np.linalg.norm(points[[160, 159, 158]] - points[[144, 145, 153]], axis=1).mean()
    return float(gap / np.linalg.norm(points[33] - points[133]))


def test_contours_are_the_rims_of_eyes_and_lips() -> None:
    model = load_face_model()
    points = _points468(model.mean)
    centres = np.array([points[group].mean(0) for group in CONTOURS])
    right, left = model.mean[model.landmarks68[36:42]].mean(0), model.mean[model.landmarks68[42:48]].mean(0)
    np.testing.assert_allclose(centres[:2] * [1, -1, -1], [right, left], atol=4)
    for group in CONTOURS:
        assert np.linalg.norm(points[group] - points[group].mean(0), axis=1).max() < 35
        assert len(set(group.tolist())) == len(group)


@pytest.mark.parametrize("blink", [0.0, 1.0])
def test_lids_of_a_face_with_noisy_landmarks_are_as_far_apart_as_they_are(blink: float) -> None:
    model = load_face_model()
    identity, expression = _face(3)
    for side in "LR":
        expression[model.expression_names.index(f"eyeBlink_{side}")] = blink
    V = model.vertices(identity, expression)
    noise = np.random.default_rng(1).normal(0, 0.4, (468, 3))
    fit = fit_landmarks(model, _points468(V) + noise)
    assert _lid_gap(fit.vertices(model)) == pytest.approx(_lid_gap(V), abs=0.06)


def test_a_wide_open_mouth_is_fitted_wide_open() -> None:
    model = load_face_model()
    expression = np.zeros(len(model.expression))
    expression[model.expression_names.index("jawOpen")] = 0.9
    V = model.vertices(np.zeros(20), expression)
    fitted = fit_landmarks(model, _points468(V)).vertices(model)
    gap, expected = (np.linalg.norm(_points468(x)[13] - _points468(x)[14]) for x in (fitted, V))
    assert gap == pytest.approx(expected, rel=0.1)


def test_seen_points_move_the_fit_by_their_share() -> None:
    model = load_face_model()
    depth, correspondence, mask, truth, V = _maps(20.0)
    vertices = model.landmarks68
    pixels = _pixels(V[vertices], truth.rotation, truth.scale, truth.translation)[:, :2]
    seen = SeenPoints(vertices, pixels + np.array([2.0, -1.0]))

    def error(share: float) -> float:
        fit = fit_maps(model, depth, correspondence, mask, replace(MAP_OPTIONS, seen_share=share), seen=seen)
        found = _pixels(fit.vertices(model)[vertices], fit.rotation, fit.scale, fit.translation)[:, :2]
        return float(np.linalg.norm(found - seen.places, axis=1).mean())

    assert error(1e-6) > 1.8
    assert 0.3 * error(1e-6) < error(1.0) < 0.7 * error(1e-6)
    assert error(50.0) < 0.2 * error(1e-6)


def test_strong_prior_decides_and_weak_prior_leaves_the_fit_to_the_points() -> None:
    model = load_face_model()
    identity, expression = _face(3)
    points = _points468(model.vertices(identity, expression))
    believed = np.linspace(-1, 1, 30)
    strong = fit_landmarks(model, points, prior=FitPrior(believed, np.full(30, 1e-6)))
    np.testing.assert_allclose(strong.identity[:30], believed, atol=1e-2)
    weak = fit_landmarks(model, points, options=CLEAN, prior=FitPrior(believed, np.full(30, 1e6)))
    np.testing.assert_allclose(weak.identity[:5], identity[:5], atol=0.3)
    plain = fit_landmarks(model, points)
    same = fit_landmarks(model, points, prior=FitPrior(np.zeros(100), np.ones(100)))
    np.testing.assert_allclose(same.identity, plain.identity, atol=1e-12)


def test_prior_of_the_right_identity_improves_the_fit_to_maps() -> None:
    model = load_face_model()
    depth, correspondence, mask, truth, _ = _maps(0.0)
    fits = [
        fit_maps(model, depth, correspondence, mask, prior=prior)
        for prior in (None, FitPrior(truth.identity[:60], np.full(60, 0.1)))
    ]
    errors = [np.linalg.norm(fit.identity[:20] - truth.identity[:20]) for fit in fits]
    assert errors[1] < 0.3 * errors[0]


def test_outliers_move_a_robust_fit_far_less_than_least_squares() -> None:
    model = load_face_model()
    points = np.einsum("pcd,pc->pd", model.mean[model.landmarks468_triangles], model.landmarks468_barycentric)
    broken = points * [1, -1, -1]
    broken[100:130] += 60.0
    moved = [
        np.linalg.norm(fit_landmarks(model, broken, options=FitOptions(huber_mm=huber)).translation)
        for huber in (4.0, 1e9)
    ]
    assert moved[0] < 0.5 * moved[1]


def _maps(yaw: float, size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray, Fit, np.ndarray]:
    model = load_face_model()
    identity, expression = _face(5)
    rotation = _rotation(yaw, 5, 3)
    V = model.vertices(identity, expression)
    points = _pixels(V, rotation, 0.5, np.array([64.0, 50.0]))
    raster = rasterize(points, model.faces, model.mean, (size, size))
    mask = (raster.triangle >= 0) & model.regions["map"][model.faces].all(1)[raster.triangle]
    truth = Fit(identity, expression, rotation, 0.5, np.array([64.0, 50.0]), 0.0, 0.0)
    return raster.depth, raster.attributes, mask, truth, V


@pytest.mark.parametrize("yaw", [0.0, 35.0, -75.0])
def test_fitting_the_maps_of_a_known_face_recovers_it(yaw: float) -> None:
    model = load_face_model()
    depth, correspondence, mask, truth, V = _maps(yaw)
    fit = fit_maps(model, depth + 7.0, correspondence, mask)
    assert fit.depth_offset == pytest.approx(7.0, abs=2.0)
    found = _pixels(fit.vertices(model)[model.landmarks68], fit.rotation, fit.scale, fit.translation)[:, :2]
    wanted = _pixels(V[model.landmarks68], truth.rotation, truth.scale, truth.translation)[:, :2]
    assert np.linalg.norm(found - wanted, axis=1).mean() < 1.0  # pixel


def test_a_fit_that_starts_from_another_needs_fewer_iterations() -> None:
    model = load_face_model()
    depth, correspondence, mask, truth, _ = _maps(0.0)
    prior = FitPrior(truth.identity[:60], np.full(60, 0.1))

    def fit(iterations: int, start: Fit | None = None) -> Fit:
        return fit_maps(
            model, depth, correspondence, mask, replace(MAP_OPTIONS, iterations=iterations), prior=prior, start=start
        )

    first = fit_maps(model, depth, correspondence, mask, replace(MAP_OPTIONS, iterations=3), 500)
    converged = fit(12)
    warm, cold = (np.abs(found.vertices(model) - converged.vertices(model)).max() for found in (fit(2, first), fit(2)))
    assert warm < 0.7 * cold
    assert converged.prior is prior
    assert first.prior is None


def test_invalid_maps_are_rejected() -> None:
    model = load_face_model()
    depth, correspondence, mask, _, _ = _maps(0.0)
    with pytest.raises(ValueError, match="at least 50 pixels"):
        fit_maps(model, depth, correspondence, np.zeros_like(mask))
    with pytest.raises(ValueError, match="correspondence must have shape"):
        fit_maps(model, depth, correspondence[:64], mask)
    with pytest.raises(ValueError, match="landmarks must have shape"):
        fit_landmarks(model, np.zeros((68, 3)))


def test_a_certain_prior_fixes_the_identity_and_leaves_camera_and_expression_free() -> None:
    model = load_face_model()
    rng = np.random.default_rng(3)
    identity, expression = rng.normal(0, 0.8, 60), np.zeros(len(model.expression))
    expression[model.expression_names.index("jawOpen")] = 0.7
    yaw = np.radians(30)
    rotation = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    placed = model.landmarks468(model.vertices(identity, expression)) @ rotation.T * (1.2, -1.2, 1.2) + (100, 120, 0)
    points = PointBasis.at_landmarks468(model, FitOptions())
    certain = FitPrior(identity, np.full(60, 1e-6))
    fit = fit_points(Observations(points, placed), free_expressions(model), prior=certain)
    np.testing.assert_allclose(fit.identity, identity, atol=1e-3)
    assert fit.scale == pytest.approx(1.2, rel=0.01)
    assert np.degrees(np.arctan2(fit.rotation[0, 2], fit.rotation[2, 2])) == pytest.approx(30, abs=1)
    assert fit.expression[model.expression_names.index("jawOpen")] == pytest.approx(0.7, abs=0.15)
