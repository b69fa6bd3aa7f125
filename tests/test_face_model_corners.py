"""Inverted triangles at the corners of lids and mouth in random heads, and the smoothing that avoids them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegeom.face_model import model as face_model
from facegeom.face_model import read_face_model
from facegeom.training.face_model.corner_smoothing import (
    CornerOptions,
    inverted_triangles,
    smooth_corners,
    smooth_face_model,
)

MIRROR = np.array([-1.0, 1.0, 1.0])
MODEL = Path(face_model.__file__).with_name("face_model.npz")


@pytest.fixture(scope="module")
def sheet() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a flat 9 x 9 grid of unit squares, symmetric about x = 0: vertices, triangles and counterparts."""
    y, x = np.mgrid[0:9, -4:5]
    V = np.column_stack([x.ravel(), y.ravel(), np.zeros(81)]).astype(np.float64)
    ids = np.arange(81).reshape(9, 9)
    a, b, c, d = (part.ravel() for part in (ids[:-1, :-1], ids[:-1, 1:], ids[1:, 1:], ids[1:, :-1]))
    left = V[b, 0] <= 0
    first = np.where(left[:, None], np.column_stack([a, b, c]), np.column_stack([a, b, d]))
    second = np.where(left[:, None], np.column_stack([a, c, d]), np.column_stack([b, c, d]))
    return V, np.concatenate([first, second]), ids[:, ::-1].ravel()


@pytest.fixture(scope="module")
def components(sheet: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Return components: on each side a rough one, which moves one vertex beyond its neighbours, and a smooth one."""
    V, _, mirror = sheet
    rough = np.zeros((81, 3))
    rough[np.flatnonzero((V[:, :2] == (2, 4)).all(axis=1))] = (0.7, 0.2, 0.0)
    return np.stack([rough, rough[mirror] * MIRROR, 0.1 * V])


def test_the_grid_is_oriented_upward(sheet: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    V, F, mirror = sheet
    cross = np.cross(V[F[:, 1]] - V[F[:, 0]], V[F[:, 2]] - V[F[:, 0]])
    np.testing.assert_allclose(cross, np.tile([0.0, 0.0, 1.0], (128, 1)))
    np.testing.assert_array_equal(V[mirror], V * MIRROR)


def test_a_triangle_is_inverted_if_a_corner_crosses_the_opposite_edge(
    sheet: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    V, F, _ = sheet
    moved = V.copy()
    moved[40] += (0.9, 0.0, 0.0)
    assert not inverted_triangles(moved, F).any()
    moved[40] += (0.2, 0.0, 0.0)
    crossed = inverted_triangles(moved, F)
    assert crossed.any()
    assert (F[crossed] == 40).any(axis=1).all()
    np.testing.assert_array_equal(inverted_triangles(np.stack([V, moved]), F), [np.zeros(128, bool), crossed])


def test_smoothed_components_invert_no_triangle(
    sheet: tuple[np.ndarray, np.ndarray, np.ndarray], components: np.ndarray
) -> None:
    V, F, mirror = sheet
    smooth, moving = smooth_corners(
        V, F, mirror, components, 0.5 * components[:2], CornerOptions(heads=600, rounds=40, patience=40)
    )
    z = np.random.default_rng(99).standard_normal((300, 3))
    before, after = (
        inverted_triangles(V + np.tensordot(z, values, axes=1), F).sum() for values in (components, smooth)
    )
    assert before > 30
    assert after < 0.07 * before
    np.testing.assert_allclose(smooth[0][mirror] * MIRROR, smooth[1], atol=1e-12)
    np.testing.assert_allclose(moving[0][mirror] * MIRROR, moving[1], atol=1e-12)
    far = np.abs(V[:, 1] - 4) > 3
    np.testing.assert_array_equal(smooth[:, far], components[:, far])
    np.testing.assert_allclose(smooth[2], components[2], atol=0.1)


def test_components_without_inverted_triangles_do_not_change(
    sheet: tuple[np.ndarray, np.ndarray, np.ndarray], components: np.ndarray
) -> None:
    V, F, mirror = sheet
    smooth, moving = smooth_corners(V, F, mirror, components[2:], components[2:], CornerOptions(heads=100))
    np.testing.assert_array_equal(smooth, components[2:])
    np.testing.assert_array_equal(moving, components[2:])


def test_smoothing_a_model_changes_only_components_near_the_corners(tmp_path: Path) -> None:
    written = smooth_face_model(MODEL, tmp_path / "model.npz", CornerOptions(heads=40, rounds=2))
    with np.load(MODEL) as old, np.load(written) as new:
        assert old.files == new.files
        for name in old.files:
            if name not in ("identity", "expression"):
                np.testing.assert_array_equal(old[name], new[name])
    before, after = read_face_model(MODEL), read_face_model(written)
    for values, given in ((after.identity, before.identity), (after.expression, before.expression)):
        change = np.linalg.norm(values - given, axis=2)
        assert change.max() < 0.6  # mm
        assert (change.max(axis=0) > 0).mean() < 0.1
