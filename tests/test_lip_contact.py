"""Closed lips neither cross nor part: in the neutral face, and under the blendshapes that close them."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.face_model.blendshapes import arkit_blendshapes
from facegeom.face_model.lip_contact import _lips, lips_apart
from facegeom.face_model.template import load_template

MODEL = load_face_model()
SHAPES = arkit_blendshapes(MODEL)
UNCHANGED = {name: MODEL.expression[MODEL.expression_names.index(name)] for name in MODEL.expression_names}


def crossings(V: np.ndarray) -> int:
    """Return how often an edge of one lip of a face pierces a triangle of the other (Möller and Trumbore, 1997)."""
    count = 0
    upper, lower = _lips(MODEL)
    for one, other in ((upper, lower), (lower, upper)):
        rows = one.faces[one.tested[one.faces].all(axis=1)]
        edges = np.unique(np.sort(np.concatenate([rows[:, [0, 1]], rows[:, [1, 2]], rows[:, [2, 0]]]), axis=1), axis=0)
        start, end = (V[one.vertices][edges[:, i]] for i in (0, 1))
        corners = V[other.vertices][other.faces[other.tested[other.faces].all(axis=1)]]
        near = (np.minimum(start, end)[:, None] <= corners.max(axis=1)).all(axis=2)
        near &= (np.maximum(start, end)[:, None] >= corners.min(axis=1)).all(axis=2)
        e, t = np.nonzero(near)
        along, first, second = end[e] - start[e], corners[t, 1] - corners[t, 0], corners[t, 2] - corners[t, 0]
        across = np.cross(along, second)
        volume = np.einsum("ij,ij->i", first, across)
        volume = np.where(np.abs(volume) < 1e-12, np.inf, volume)
        away = start[e] - corners[t, 0]
        u = np.einsum("ij,ij->i", away, across) / volume
        turned = np.cross(away, first)
        v, place = (np.einsum("ij,ij->i", a, turned) / volume for a in (along, second))
        count += int(((u > 0) & (v > 0) & (u + v < 1) & (place > 0) & (place < 1)).sum())
    return count


def identities(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [MODEL.vertices(rng.normal(0, 1, 100)) for _ in range(count)]


def both(name: str) -> list[str]:
    return [name] if name in SHAPES else [f"{name}Left", f"{name}Right"]


def assert_lips_of_people_do_not_cross(count: int) -> None:
    before, after = [], []
    for V in identities(count):
        before.append(crossings(V))
        change = lips_apart(V)
        assert np.linalg.norm(change, axis=1).max() <= 2.5
        after.append(crossings(V + change))
    assert max(before) > 30
    assert sum(after) < 0.15 * sum(before)


def test_the_lips_of_different_people_do_not_cross() -> None:
    assert_lips_of_people_do_not_cross(50)


@pytest.mark.slow
def test_the_lips_of_many_people_do_not_cross() -> None:
    assert_lips_of_people_do_not_cross(200)


def test_lips_that_do_not_cross_do_not_move() -> None:
    assert crossings(MODEL.mean) == 0
    assert not lips_apart(MODEL.mean).any()


@pytest.mark.parametrize("name", ["mouthPucker", "mouthPress", "mouthDimple"])
def test_lips_do_not_cross_under_shapes_that_close_them(name: str) -> None:
    parts = [name] if name == "mouthPucker" else [f"{name}_L", f"{name}_R"]
    before = crossings(MODEL.mean + sum(UNCHANGED[part] for part in parts))
    after = crossings(MODEL.mean + sum(SHAPES[part] for part in both(name)))
    assert before > 100
    assert after == 0


OVERLAPS = {
    "mouthClose": {"jawOpen": 1.0, "mouthClose": 1.0},
    "mouthClose half": {"jawOpen": 0.5, "mouthClose": 0.5},
    "mouthShrugLower": {"mouthShrugLower": 1.0},
    "mouthRoll": {"mouthRollUpper": 1.0, "mouthRollLower": 1.0},
}


@pytest.mark.parametrize("name", list(OVERLAPS))
def test_lips_do_not_cross_under_shapes_that_pushed_them_through_each_other(name: str) -> None:
    before, after = (
        MODEL.mean + sum(weight * shapes[part] for part, weight in OVERLAPS[name].items())
        for shapes in ({**UNCHANGED, "jawOpen": SHAPES["jawOpen"]}, SHAPES)
    )
    assert crossings(before) > 50
    assert crossings(after) == 0
    assert np.linalg.norm(after - before, axis=1).max() < 7.5


@pytest.mark.parametrize("name", ["mouthClose", "mouthShrugLower"])
def test_closed_lips_move_together_up_to_the_corners(name: str) -> None:
    upper, lower, *_ = load_template()._lips
    moved = sum(weight * SHAPES[part] for part, weight in OVERLAPS[name].items())
    unchanged = sum(
        weight * ({**UNCHANGED, **SHAPES} if part == "jawOpen" else UNCHANGED)[part]
        for part, weight in OVERLAPS[name].items()
    )
    apart, before = (np.linalg.norm(shape[upper] - shape[lower], axis=1) for shape in (moved, unchanged))
    assert before.max() > 6.0
    assert apart.max() < 1.0


def test_an_open_jaw_with_closed_lips_leaves_no_folds_beside_the_corners_of_the_mouth() -> None:
    faces = MODEL.faces[: MODEL.face_triangle_count]
    corner = MODEL.mean[MODEL.landmarks68_multipie[54]]
    faces = faces[np.linalg.norm(MODEL.mean[faces].mean(axis=1) - corner, axis=1) < 14.0]

    def turned(closing: np.ndarray) -> int:
        normals = []
        for V in (MODEL.mean, MODEL.mean + SHAPES["jawOpen"] + closing):
            normal = np.cross(V[faces[:, 1]] - V[faces[:, 0]], V[faces[:, 2]] - V[faces[:, 0]])
            normals.append(normal / np.linalg.norm(normal, axis=1, keepdims=True))
        return int((np.einsum("td,td->t", *normals) < np.cos(np.radians(80.0))).sum())

    assert turned(UNCHANGED["mouthClose"]) > 15
    assert turned(SHAPES["mouthClose"]) < 12


def test_puffed_cheeks_do_not_part_the_lips() -> None:
    upper, lower, *_ = load_template()._lips
    middle = np.abs(MODEL.mean[upper, 0]) < 8
    gap = np.linalg.norm(SHAPES["cheekPuff"][upper] - SHAPES["cheekPuff"][lower], axis=1)
    unchanged = UNCHANGED["cheekPuff_L"] + UNCHANGED["cheekPuff_R"]
    before = np.linalg.norm(unchanged[upper] - unchanged[lower], axis=1)
    assert before[middle].max() > 1.5
    assert gap[middle].max() < 0.25
    assert gap.max() < 0.6 * before.max()


def test_the_corrections_leave_all_but_the_mouth_unchanged() -> None:
    away = np.abs(MODEL.mean[:, 1] - MODEL.mean[MODEL.regions["lips"], 1].mean()) > 35
    for name in ("mouthPucker", "mouthPressLeft", "cheekPuff", "mouthClose", "mouthShrugLower", "mouthRollUpper"):
        model_name = {"mouthPressLeft": ["mouthPress_L"], **{own: [own] for own in UNCHANGED if own in SHAPES}}
        unchanged = sum(UNCHANGED[part] for part in model_name.get(name, ["cheekPuff_L", "cheekPuff_R"]))
        np.testing.assert_allclose(SHAPES[name][away], unchanged[away], atol=1e-5)
