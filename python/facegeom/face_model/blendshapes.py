"""ARKit's blendshapes, computed from the expressions of the face model.

The expressions of the face model come from ICT FaceKit. They are the blendshapes of ARKit under other names, with these
exceptions: `browInnerUp` and `cheekPuff` are split into a left and a right shape; `cheekRaiser` and `PupilDilate` are
not part of ARKit and are left out; the eyeLook shapes of the face model move the lids but not the eyeballs, and the
rotation of the eyeballs is added here; the lower teeth, gums and tongue follow an open jaw by `JAW_SHARE`, because they
would otherwise be hidden behind the lip; the face model has no `tongueOut`, which `facegeom.face_model.tongue` makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import Float32Array
from facegeom._internal.threads import load_once
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.lip_contact import with_lip_contact
from facegeom.face_model.template import Template
from facegeom.face_model.tongue import tongue_out
from facegeom.mesh.parts import sphere_centre

Displacements: TypeAlias = Mapping[str, Float32Array]

ARKIT_NAMES = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight",
    "eyeWideRight",
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft",
    "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""Names of the 52 blendshapes, in the order of Apple's list; left and right are the subject's left and right."""

TONGUE = "tongueOut"
"""The blendshape that is no expression of the face model."""

JAW_SHARE = 0.88
"""Displacement of the lower teeth, the gums and the tongue by jawOpen, relative to that of the face model."""

HALVED = ("browInnerUp", "cheekPuff")
"""Names of the blendshapes that ARKit has once, and the face model has as a left and a right shape."""

GAZE_DEGREES = {"eyeLookUp": 20.0, "eyeLookDown": 20.0, "eyeLookIn": 30.0, "eyeLookOut": 30.0}
"""Rotation of an eyeball at weight 1, in degrees: the iris is then in the middle of the opened lids."""


def arkit_blendshapes(model: FaceModel) -> Displacements:
    """Return ARKit's blendshapes on the vertices of the face model.

    Parameters
    ----------
    model : FaceModel

    Returns
    -------
    mapping from each of `ARKIT_NAMES`, in order, to (n, 3) float32 array
        Displacements at weight 1, mm; read-only.

    Raises
    ------
    ValueError
        When the model lacks an expression.

    Notes
    -----
    `mouthClose` is only used together with `jawOpen`: it closes the lips of the open jaw. The rotation of an eyeball is
    a linear displacement, like every blendshape, so that at weight 0.5 the eyeball is up to 3.4 % smaller.

    Examples
    --------
    >>> from facegeom import load_face_model
    >>> shapes = arkit_blendshapes(load_face_model())
    >>> len(shapes), shapes["jawOpen"].shape
    (52, (11948, 3))
    """
    shapes = {}
    for name in ARKIT_NAMES:
        shape = tongue_out(model) if name == TONGUE else model.expression[_rows(model, name)].sum(axis=0)
        _turn_eyeball(model, name, shape)
        if name == "jawOpen":
            shape[model.regions["teeth"] | model.regions["gums_and_tongue"]] *= np.float32(JAW_SHARE)
        shapes[name] = shape
    shapes |= with_lip_contact(model, shapes)
    for shape in shapes.values():
        shape.flags.writeable = False
    return MappingProxyType(shapes)


@load_once(maxsize=2)
def template_blendshapes(template: Template) -> Displacements:
    """Return ARKit's blendshapes on the fine vertices of a template of the package's face model.

    Parameters
    ----------
    template : Template

    Returns
    -------
    mapping from each of `ARKIT_NAMES`, in order, to (n, 3) float32 array
        Displacements at weight 1, mm; read-only, computed once per template.

    Notes
    -----
    Loop's subdivision is linear in the vertices, so the displacements themselves are subdivided: the result is the
    difference between the displaced and the neutral template after subdivision. The displacements are in the face frame
    and are valid for every face to which the template is registered.
    """
    shapes = {}
    for name, shape in arkit_blendshapes(load_face_model()).items():
        fine = template.subdivide(shape[template.vertices].astype(np.float64)).astype(np.float32)
        fine.flags.writeable = False
        shapes[name] = fine
    return MappingProxyType(shapes)


def arkit_weights(expression: npt.ArrayLike) -> dict[str, float]:
    """Return the weights of ARKit's blendshapes for coefficients of the face model's expressions.

    Parameters
    ----------
    expression : (e,) float array, coefficients of all expressions of the package's face model

    Returns
    -------
    dict from each of `ARKIT_NAMES`, in order, to its weight

    Raises
    ------
    ValueError, TypeError
        When there is not one finite coefficient for each expression.

    Notes
    -----
    `browInnerUp` and `cheekPuff` get the mean of the left and the right coefficient, so that a one-sided expression
    becomes a two-sided expression of half the strength. `cheekRaiser` and `PupilDilate` are dropped, `tongueOut` is 0.
    Weights may exceed 1.

    Examples
    --------
    >>> from facegeom import load_face_model
    >>> names = load_face_model().expression_names
    >>> weights = arkit_weights([0.5 * name.startswith("cheekPuff") for name in names])
    >>> {name: weight for name, weight in weights.items() if weight}
    {'cheekPuff': 0.5}
    """
    model = load_face_model()
    coefficients = check.float_array(expression, "expression", (len(model.expression_names),))
    return {name: 0.0 if name == TONGUE else float(coefficients[_rows(model, name)].mean()) for name in ARKIT_NAMES}


def gaze_weights(yaw: float, pitch: float) -> dict[str, float]:
    """Return the weights of the eight eyeLook shapes for a direction in which both eyes look.

    Parameters
    ----------
    yaw, pitch : degrees; a positive yaw is to the subject's left, a positive pitch is up

    Examples
    --------
    >>> {name: weight for name, weight in gaze_weights(-15.0, 0.0).items() if weight}
    {'eyeLookInLeft': 0.5, 'eyeLookOutRight': 0.5}
    """
    degrees = {"Left": {"eyeLookOut": yaw, "eyeLookIn": -yaw}, "Right": {"eyeLookOut": -yaw, "eyeLookIn": yaw}}
    return {
        f"{name}{side}": max(0.0, angle) / GAZE_DEGREES[name]
        for side, across in degrees.items()
        for name, angle in {**across, "eyeLookUp": pitch, "eyeLookDown": -pitch}.items()
    }


def _rows(model: FaceModel, name: str) -> list[int]:
    """Return the indices of the expressions of the face model that form the ARKit blendshape `name`."""
    parts = (f"{name}_L", f"{name}_R") if name in HALVED else (_one_sided(name),)
    missing = [part for part in parts if part not in model.expression_names]
    if missing:
        raise ValueError(f"model must have the expression {missing[0]} for {name}, got {len(model.expression)} others")
    return [model.expression_names.index(part) for part in parts]


def _one_sided(name: str) -> str:
    """Return the face model's name of an ARKit shape: eyeBlinkLeft -> eyeBlink_L.

    The names jawLeft and mouthLeft are not changed, because Left is a direction there.
    """
    for side in ("Left", "Right"):
        if name.endswith(side) and name.removesuffix(side) not in ("jaw", "mouth"):
            return f"{name.removesuffix(side)}_{side[0]}"
    return name


def _turn_eyeball(model: FaceModel, name: str, shape: Float32Array) -> None:
    """Add the rotation of the eyeball to an eyeLook shape (n, 3); the array is changed in place."""
    side = "left" if name.endswith("Left") else "right"
    gaze = name.removesuffix(side.capitalize())
    if gaze not in GAZE_DEGREES:
        return
    angle = np.radians(GAZE_DEGREES[gaze])
    toward = {"eyeLookUp": (0.0, 1.0), "eyeLookDown": (0.0, -1.0), "eyeLookIn": (-1.0, 0.0), "eyeLookOut": (1.0, 0.0)}
    x, y = toward[gaze]
    aim = np.array([x if side == "left" else -x, y, 0.0])  # direction to which +z turns
    ball = model.regions[f"eyeball_{side}"]
    arm = model.mean[ball] - sphere_centre(model.mean[ball])
    forward, along = arm[:, 2], arm @ aim
    turned = np.outer(forward * np.cos(angle) - along * np.sin(angle) - forward, (0.0, 0.0, 1.0))
    turned += np.outer(along * np.cos(angle) + forward * np.sin(angle) - along, aim)
    shape[ball] = turned
