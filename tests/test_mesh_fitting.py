"""Fitting the face model to meshes and to 68 points of known faces."""

from __future__ import annotations

import numpy as np
import pytest

from coded_photos import degrees_between
from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_surface
from facegeom.face_model.fitting import fit_landmarks68
from facegeom.face_model.mesh_fitting import fit_mesh, place_mean_face
from facegeom.face_model.point_fit import Fit
from facegeom.networks.semi_sphere import semi_sphere
from facegeom.render import turn
from mesh_oracle import semi_sphere_on

SCALE, TRANSLATION, DEPTH = 0.8, np.array([120.0, 90.0]), 33.0


def person(seed: int, strength: float = 0.5) -> np.ndarray:
    """Return the vertices of a face with an identity and an expression."""
    model, rng = load_face_model(), np.random.default_rng(seed)
    expression = np.zeros(len(model.expression))
    for name in ("mouthSmile_L", "mouthSmile_R", "browInnerUp_L", "jawOpen"):
        expression[model.expression_names.index(name)] = rng.uniform(0.0, 0.4)
    return model.vertices(rng.normal(0, strength, 40), expression)


def seen(V: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return points (n, 3) of the face frame in pixels: x, y (down) and depth."""
    return (V @ rotation.T + [0, 0, DEPTH]) * (SCALE, -SCALE, SCALE) + [*TRANSLATION, 0.0]


def rolled(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])


def placed(fit: Fit, V: np.ndarray) -> np.ndarray:
    return (V @ fit.rotation.T + [0, 0, fit.depth_offset]) * (fit.scale, -fit.scale, fit.scale) + [*fit.translation, 0]


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (25, 10, -15), (-50, 5, 8), (85, -5, 5), (-30, -15, 25)])
def test_fitting_the_mesh_of_a_known_face_recovers_it(yaw: float, pitch: float, roll: float) -> None:
    model, truth = load_face_model(), person(yaw + 100)
    rotation = rolled(roll) @ turn(yaw, pitch)
    fit = fit_mesh(model, seen(semi_sphere_on(truth), rotation), semi_sphere().levels[-1].faces)
    assert degrees_between(fit.rotation, rotation) < 2.5
    assert fit.scale == pytest.approx(SCALE, rel=0.06)  # the prior determines the size
    error = np.linalg.norm(placed(fit, fit.vertices(model)) - seen(truth, rotation), axis=1) / SCALE
    assert error[np.unique(face_surface(model))].mean() < 3.0
    assert error[model.landmarks68[17:]].mean() < 3.0


def test_alignment_of_a_profile_does_not_depend_on_start_and_unit() -> None:
    model = load_face_model()
    rotation = turn(75, 5)
    mesh = semi_sphere_on(model.mean) @ rotation.T
    found = [
        place_mean_face(model, mesh * unit + [9.0, 5.0, -3.0], semi_sphere().levels[-1].faces) for unit in (1e-3, 40.0)
    ]
    for alignment, unit in zip(found, (1e-3, 40.0), strict=True):
        assert degrees_between(alignment.rotation, rotation) < 8
        assert alignment.scale == pytest.approx(unit, rel=0.05)
        assert alignment.distance < 4
    assert found[0].distance == pytest.approx(found[1].distance, rel=1e-3)


def test_invalid_meshes_are_rejected() -> None:
    model, faces = load_face_model(), semi_sphere().levels[-1].faces
    with pytest.raises(ValueError, match="at least 50 triangles, got 2"):
        fit_mesh(model, np.eye(3), [[0, 1, 2], [0, 1, 2]])
    with pytest.raises(ValueError, match="V must span a surface"):
        fit_mesh(model, np.ones((7008, 3)), faces)
    with pytest.raises(ValueError, match="V must be finite"):
        fit_mesh(model, np.full((7008, 3), np.nan), faces)


@pytest.mark.parametrize("yaw", [0.0, -40.0, 70.0])
def test_fitting_the_68_points_of_a_known_face_recovers_it(yaw: float) -> None:
    model, truth = load_face_model(), person(7)
    rotation = turn(yaw, 8)
    fit = fit_landmarks68(model, seen(truth[model.landmarks68], rotation))
    assert degrees_between(fit.rotation, rotation) < 2.0
    error = np.linalg.norm(placed(fit, fit.vertices(model)) - seen(truth, rotation), axis=1) / SCALE
    assert error[model.landmarks68].mean() < 1.0
    assert error[np.unique(face_surface(model))].mean() < 3.0
