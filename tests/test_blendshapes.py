"""ARKit's blendshapes: names, sides, sums, and their effect on eyes and mouth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.face_model.blendshapes import (
    ARKIT_NAMES,
    GAZE_DEGREES,
    arkit_blendshapes,
    arkit_weights,
    gaze_weights,
    template_blendshapes,
)
from facegeom.face_model.lip_gap import slit_closing
from facegeom.face_model.template import load_template
from facegeom.geometry import rasterize

MODEL = load_face_model()
SHAPES = arkit_blendshapes(MODEL)
SIDES = [name.removesuffix("Left") for name in ARKIT_NAMES if name.endswith("Left")]
PIXELS_PER_MM = 4.0


def expression(name: str) -> np.ndarray:
    return MODEL.expression[MODEL.expression_names.index(name)]


def visible_mm2(vertices: np.ndarray, region: str) -> float:
    """Return the area of the triangles of a region that a camera in front of the face sees, mm²."""
    points = (vertices + np.array([100.0, -100.0, 0.0])) * (PIXELS_PER_MM, -PIXELS_PER_MM, 1.0)
    seen = rasterize(points, MODEL.faces, None, (1000, 800)).triangle
    inside = MODEL.regions[region][MODEL.faces].all(axis=1)
    return float(np.count_nonzero(inside[seen[seen >= 0]])) / PIXELS_PER_MM**2


def test_names_are_those_of_arkit() -> None:
    assert list(SHAPES) == list(ARKIT_NAMES)
    assert len(set(ARKIT_NAMES)) == 52
    assert len(SIDES) == 18 + 2  # sides, and the directions of jaw and mouth
    assert {f"{name}Right" for name in SIDES} <= set(ARKIT_NAMES)


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_blendshapes_move_vertices_smoothly(name: str) -> None:
    shape = SHAPES[name]
    assert shape.dtype == np.float32
    assert not shape.flags.writeable
    moved = np.linalg.norm(shape, axis=1)
    assert 1.0 < moved.max() < 60.0
    edges = np.concatenate([MODEL.faces[:, [0, 1]], MODEL.faces[:, [1, 2]]])
    longest = 45.0 if name == "tongueOut" else 20.0  # the tongue leaves the floor of the mouth
    assert np.linalg.norm(shape[edges[:, 0]] - shape[edges[:, 1]], axis=1).max() < longest


@pytest.mark.parametrize("name", SIDES)
def test_right_mirrors_left(name: str) -> None:
    mirrored = SHAPES[f"{name}Left"][MODEL.mirror] * np.float32([-1, 1, 1])
    skin = slice(MODEL.face_vertex_count)  # shapes of ICT differ by up to 1.5 mm behind the skin
    np.testing.assert_allclose(SHAPES[f"{name}Right"][skin], mirrored[skin], atol=0.5)


@pytest.mark.parametrize("name", [name for name in SIDES if name not in ("jaw", "mouth")])
def test_left_is_the_left_of_the_subject(name: str) -> None:
    moved = np.linalg.norm(SHAPES[f"{name}Left"], axis=1)
    assert (moved * MODEL.mean[:, 0]).sum() > 0.5 * (moved * np.abs(MODEL.mean[:, 0])).sum()


@pytest.mark.parametrize("name", ["jaw", "mouth"])
def test_jaw_and_mouth_move_to_the_named_side(name: str) -> None:
    lips = MODEL.regions["lips"]
    assert SHAPES[f"{name}Left"][lips, 0].mean() > 2.0
    assert SHAPES[f"{name}Right"][lips, 0].mean() < -2.0


@pytest.mark.parametrize("name", ["browInnerUp", "cheekPuff"])
def test_left_and_right_parts_are_summed(name: str) -> None:
    away = np.abs(MODEL.mean[:, 1] - MODEL.mean[MODEL.regions["lips"], 1].mean()) > 35  # lips are kept together
    both = expression(f"{name}_L") + expression(f"{name}_R")
    np.testing.assert_allclose(SHAPES[name][away], both[away], atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", GAZE_DEGREES)
def test_an_eye_look_shape_turns_its_own_eyeball_only(name: str, side: str) -> None:
    shape = SHAPES[name + side.capitalize()].astype(np.float64)
    other = {"left": "right", "right": "left"}[side]
    assert not shape[MODEL.regions[f"eyeball_{other}"]].any()
    ball = MODEL.regions[f"eyeball_{side}"]
    before = MODEL.mean[ball]
    after = before + shape[ball]
    # The motion of the eyeball is a rotation by the documented angle.
    a, b = before - before.mean(axis=0), after - after.mean(axis=0)
    u, _, v = np.linalg.svd(b.T @ a)
    turn = u @ v
    np.testing.assert_allclose(a @ turn.T, b, atol=1e-3)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(GAZE_DEGREES[name], abs=0.01)
    out = 1.0 if side == "left" else -1.0
    toward = {"eyeLookUp": (0, 1), "eyeLookDown": (0, -1), "eyeLookIn": (-out, 0), "eyeLookOut": (out, 0)}[name]
    assert shape[ball][before[:, 2].argmax(), :2] @ toward > 4.0  # of the cornea


def test_a_turning_eyeball_keeps_its_centre() -> None:
    ball = MODEL.regions["eyeball_left"]
    for name in GAZE_DEGREES:
        drift = SHAPES[f"{name}Left"][ball].astype(np.float64)
        assert np.linalg.norm(drift.mean(axis=0)) < 0.5


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_blink_covers_the_eyeball(side: str) -> None:
    open_mm2 = visible_mm2(MODEL.mean, f"eyeball_{side}")
    assert open_mm2 > 100.0
    closed = MODEL.mean + SHAPES[f"eyeBlink{side.capitalize()}"]
    assert visible_mm2(closed, f"eyeball_{side}") < 0.02 * open_mm2


def test_an_open_jaw_shows_the_teeth_inside_the_mouth() -> None:
    closed, opened = MODEL.mean, MODEL.mean + SHAPES["jawOpen"]
    assert visible_mm2(opened, "mouth_interior") > 400.0 > 100.0 > visible_mm2(closed, "mouth_interior")
    incisors = MODEL.regions["teeth"] & (np.abs(closed[:, 0]) < 6.0)
    lower = incisors & (SHAPES["jawOpen"][:, 1] < -5.0)
    upper = incisors & ~lower
    assert opened[upper, 1].min() - opened[lower, 1].max() > 15.0


def test_an_open_jaw_shows_the_lower_teeth_from_the_front() -> None:
    opened = MODEL.mean + SHAPES["jawOpen"]
    lower = MODEL.regions["teeth"] & (SHAPES["jawOpen"][:, 1] < -5.0)
    regions = {**MODEL.regions, "lower": lower}
    points = (opened + np.array([100.0, -100.0, 0.0])) * (PIXELS_PER_MM, -PIXELS_PER_MM, 1.0)
    seen = rasterize(points, MODEL.faces, None, (1000, 800)).triangle
    inside = regions["lower"][MODEL.faces].all(axis=1)
    assert np.count_nonzero(inside[seen[seen >= 0]]) / PIXELS_PER_MM**2 > 15.0


def test_tongue_out_moves_only_the_tongue_and_out_of_the_mouth() -> None:
    shape = SHAPES["tongueOut"]
    moved = np.linalg.norm(shape, axis=1) > 0.1
    assert moved.sum() > 40
    assert not moved[~MODEL.regions["gums_and_tongue"]].any()
    opened = MODEL.mean + 0.5 * SHAPES["jawOpen"]
    lower_lip = opened[MODEL.regions["lips"] & (SHAPES["jawOpen"][:, 1] < -20.0)]
    out = opened + shape
    assert out[moved, 2].max() > lower_lip[:, 2].max() + 8.0
    assert out[moved, 1].min() < lower_lip[:, 1].max() - 8.0
    np.testing.assert_allclose(shape[MODEL.mirror] * np.float32([-1, 1, 1]), shape, atol=0.02)
    assert arkit_weights(np.ones(len(MODEL.expression_names)))["tongueOut"] == 0.0


def test_a_tongue_that_is_out_is_one_round_shape_with_its_tip_in_the_middle() -> None:
    tongue = np.linalg.norm(SHAPES["tongueOut"], axis=1) > 15.0
    faces = MODEL.faces[tongue[MODEL.faces].all(axis=1)]
    V = MODEL.mean + 0.5 * SHAPES["jawOpen"] + SHAPES["tongueOut"]
    points = (V + np.array([60.0, 60.0, 0.0])) * (5.0, -5.0, 1.0)
    shown = rasterize(points, faces, None, (400, 600)).triangle >= 0
    rows = shown[shown.any(axis=1)]
    assert rows.sum(axis=1).max() / 5.0 < 54.0  # it fills the mouth between the cheeks
    below = rows[len(rows) // 2 :]
    assert 20.0 < below.sum(axis=1).max() / 5.0 < 42.0
    assert (np.abs(np.diff(below.astype(int), axis=1)).sum(axis=1) == 2).all()  # one part from left to right
    assert np.diff(below.sum(axis=1)).max() / 5.0 < 0.5  # narrower and narrower towards the tip
    assert np.abs(V[tongue, 0][V[tongue, 1].argmin()]) < 3.0


@pytest.mark.parametrize(("yaw", "pitch"), [(20.0, 0.0), (-20.0, 10.0), (0.0, -15.0)])
def test_gaze_weights_turn_both_eyes_in_one_direction(yaw: float, pitch: float) -> None:
    weights = gaze_weights(yaw, pitch)
    assert len(weights) == 8
    assert all(weight >= 0 for weight in weights.values())
    for side in ("left", "right"):
        ball = MODEL.regions[f"eyeball_{side}"]
        front = MODEL.mean[ball][:, 2].argmax()
        move = sum(weight * SHAPES[name][ball][front] for name, weight in weights.items())
        assert np.sign(np.rint(move[:2])).tolist() == np.sign([yaw, pitch]).tolist()


def test_mouth_close_closes_the_lips_of_an_open_jaw() -> None:
    template = load_template(head=True)
    V, shapes = template.subdivide(MODEL.mean[template.vertices]), template_blendshapes(template)
    V = V + slit_closing(template, V)  # the lips of the mean face are 0.8 mm apart
    for weight in (0.5, 1.0):
        together = V + weight * (shapes["jawOpen"] + shapes["mouthClose"])
        points = (together + np.array([100.0, -100.0, 0.0])) * (PIXELS_PER_MM, -PIXELS_PER_MM, 1.0)
        seen = rasterize(points, template.fine.faces, None, (1000, 800)).triangle
        inside = template.fine.regions["mouth_interior"][template.fine.faces].all(axis=1)
        assert inside[seen[seen >= 0]].sum() / PIXELS_PER_MM**2 < 1.0  # and no notch at the corners of the mouth


def test_shapes_of_closed_lips_do_not_open_the_mouth() -> None:
    neutral = visible_mm2(MODEL.mean, "mouth_interior")  # the lips of the mean face are 0.8 mm apart
    for name in ("mouthShrugLower", "mouthRollUpper", "mouthRollLower", "mouthPucker", "cheekPuff"):
        assert visible_mm2(MODEL.mean + SHAPES[name], "mouth_interior") < neutral + 6.0


@pytest.mark.parametrize("name", ["jawOpen", "eyeBlinkLeft", "eyeLookInRight", "cheekPuff"])
def test_template_blendshapes_are_the_subdivided_displacements(name: str) -> None:
    template = load_template()
    shapes = template_blendshapes(template)
    assert template_blendshapes(template) is shapes
    base = MODEL.mean[template.vertices]
    moved = base + SHAPES[name][template.vertices]
    np.testing.assert_allclose(shapes[name], template.subdivide(moved) - template.subdivide(base), atol=1e-4)
    assert len(shapes[name]) == len(template.fine.mirror)


def test_arkit_weights_reproduce_the_expression_up_to_dropped_shapes() -> None:
    coefficients = np.random.default_rng(0).uniform(0, 1, len(MODEL.expression_names))
    for i, name in enumerate(MODEL.expression_names):
        if name.startswith(("cheekRaiser", "PupilDilate", "eyeLook")):  # not in ARKit or changed
            coefficients[i] = 0.0
        elif name.startswith(("browInnerUp", "cheekPuff")):
            coefficients[i] = 0.4
    weights = arkit_weights(coefficients)
    assert list(weights) == list(ARKIT_NAMES)
    posed = MODEL.mean + sum(weight * SHAPES[name] for name, weight in weights.items())
    others = ~(MODEL.regions["teeth"] | MODEL.regions["gums_and_tongue"])  # these follow the jaw by JAW_SHARE
    others &= np.abs(MODEL.mean[:, 1] - MODEL.mean[MODEL.regions["lips"], 1].mean()) > 35  # lips must not cross
    np.testing.assert_allclose(posed[others], MODEL.vertices(expression=coefficients)[others], atol=1e-3)


def test_weight_of_two_parts_is_their_mean() -> None:
    weights = arkit_weights([1.0 * (name == "browInnerUp_L") for name in MODEL.expression_names])
    assert {name: weight for name, weight in weights.items() if weight} == {"browInnerUp": 0.5}
    lost = [1.0 * name.startswith(("cheekRaiser", "PupilDilate")) for name in MODEL.expression_names]
    assert not any(arkit_weights(lost).values())


def test_bad_input_is_reported() -> None:
    with pytest.raises(ValueError, match=r"expression must have shape \(57,\), got \(56,\)"):
        arkit_weights(np.zeros(56))
    with pytest.raises(ValueError, match="expression must be finite"):
        arkit_weights(np.full(57, np.nan))
    with pytest.raises(TypeError, match="expression must hold numbers"):
        arkit_weights(["a"] * 57)
    poor = replace(MODEL, expression=MODEL.expression[:3], expression_names=MODEL.expression_names[:3])
    with pytest.raises(ValueError, match="must have the expression eyeBlink_L for eyeBlinkLeft"):
        arkit_blendshapes(poor)
