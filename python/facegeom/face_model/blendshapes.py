"""ARKit's blendshapes, computed from the expressions of the face model.

The expressions of the face model come from ICT FaceKit. They are the blendshapes of ARKit under other names, with these
exceptions: `browInnerUp` and `cheekPuff` are split into a left and a right shape; `cheekRaiser` and `PupilDilate` are
not part of ARKit and are left out; the eyeLook shapes of the face model move the lids but not the eyeballs, and the
rotation of the eyeballs is added here. The blendshape `tongueOut` of ARKit is missing, because the face model has no
such shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.template import Template

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
)  # fmt: skip
"""Names of the 51 blendshapes, in the order of Apple's list of 52; left and right are the subject's left and right."""

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
    (51, (11948, 3))
    """
    shapes = {}
    for name in ARKIT_NAMES:
        shape = model.expression[_rows(model, name)].sum(axis=0)
        _turn_eyeball(model, name, shape)
        shape.flags.writeable = False
        shapes[name] = shape
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
    becomes a two-sided expression of half the strength. `cheekRaiser` and `PupilDilate` are dropped. Weights may exceed
    1.

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
    return {name: float(coefficients[_rows(model, name)].mean()) for name in ARKIT_NAMES}


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
    arm = model.mean[ball] - _centre(model.mean[ball])
    forward, along = arm[:, 2], arm @ aim
    turned = np.outer(forward * np.cos(angle) - along * np.sin(angle) - forward, (0.0, 0.0, 1.0))
    turned += np.outer(along * np.cos(angle) + forward * np.sin(angle) - along, aim)
    shape[ball] = turned


def _centre(points: FloatArray) -> FloatArray:
    """Return the centre (3,) of an eyeball with vertices (k, 3): the sphere is fitted to all vertices except the front,
    where the cornea bulges.
    """
    depth = points[:, 2]
    round_part = points[depth < depth.max() - 0.2 * np.ptp(depth)]
    # |p|^2 = 2 p.c + (r^2 - |c|^2) is linear in the centre c and in r^2 - |c|^2.
    system = np.column_stack([2.0 * round_part, np.ones(len(round_part))])
    return np.asarray(np.linalg.lstsq(system, (round_part**2).sum(axis=1), rcond=None)[0][:3])
