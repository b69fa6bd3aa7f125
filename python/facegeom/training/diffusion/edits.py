"""Changes of a head that image and mesh share: pose, smile, glasses, light, and another person with the same mesh.

GCN-IGAN paper, algorithm 1, steps 9 to 12. Age, sex and origin are not changed and not given to the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import Float32Array
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import Fit
from facegeom.networks.segmentation_crop import CENTRE_MM
from facegeom.training.data.labels import yaw_deg
from facegeom.training.data.pose import Pose
from facegeom.training.diffusion.conditions import GLASSES, LIGHT, SMILE

KINDS = ("pose", "smile", "glasses", "light", "person")

YAW_DEG, LARGEST_YAW_DEG, PITCH_DEG = (10.0, 35.0), 50.0, 5.0
"""Range of the change of yaw, largest yaw afterwards, and standard deviation of the change of pitch, degrees."""

SMILES = (0.45, 0.9)
"""Range of the weights of a smile; a face that smiles by more than the first number stops smiling."""


@dataclass(frozen=True)
class Edit:
    """A changed head.

    Attributes
    ----------
    kind : one of `KINDS`
    fit : Fit, the changed head in pixels of the crop
    attributes : (a,) float array of the changed photo
    """

    kind: str
    fit: Fit
    attributes: Float32Array


def draw_edit(
    model: FaceModel, kind: str, fit: Fit, attributes: Float32Array, lights: Float32Array, rng: np.random.Generator
) -> Edit:
    """Draw a change of a head at random.

    Parameters
    ----------
    model : FaceModel
    kind : one of `KINDS`; "person" changes neither mesh nor attributes, only the noise of the image is another one
    fit : Fit in pixels of the crop
    attributes : (a,) float array of the photo
    lights : (l, 9) float array, light of other photos
    rng : Generator

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    check.choice(kind, "kind", KINDS)
    changed = attributes.copy()
    if kind == "pose":
        fit = turned(fit, _yaw_change(float(yaw_deg(fit.rotation)), rng), float(rng.normal(0, PITCH_DEG)))
    elif kind == "smile":
        fit, changed[SMILE] = _with_smile(model, fit, rng)
    elif kind == "glasses":
        changed[GLASSES] = 1 - changed[GLASSES]
    elif kind == "light":
        changed[LIGHT] = lights[int(rng.integers(len(lights)))]
    return Edit(kind, fit, changed)


def is_shown(edit: Edit, seen: Float32Array, before: Float32Array) -> bool:
    """Return whether an image shows glasses or light as the edit says; True for other edits, which the label tells.

    Parameters
    ----------
    edit : Edit
    seen : (a,) float array, attributes of the image
    before : (a,) float array, attributes of the photo that was changed
    """
    if edit.kind == "glasses":
        return bool(seen[GLASSES] == edit.attributes[GLASSES])
    if edit.kind == "light":
        left, made = (np.linalg.norm(seen[LIGHT] - of[LIGHT]) for of in (edit.attributes, before))
        return bool(left < made)
    return True


def turned(fit: Fit, yaw: float, pitch: float) -> Fit:
    """Return a fit after a rotation in degrees; the middle of the head stays where it is in the crop."""
    rotation = Pose(np.zeros((0, 3)), fit.rotation, fit.scale, fit.translation).turned(yaw, pitch).rotation
    moved = fit.scale * ((fit.rotation - rotation) @ CENTRE_MM)[:2] * (1.0, -1.0)
    return replace(fit, rotation=rotation, translation=fit.translation + moved)


def _yaw_change(yaw: float, rng: np.random.Generator) -> float:
    """Return a change of the yaw after which it is at most `LARGEST_YAW_DEG`, or smaller than before."""
    change = float(rng.uniform(*YAW_DEG)) * float(rng.choice([-1.0, 1.0]))
    return -change if abs(yaw + change) > max(LARGEST_YAW_DEG, abs(yaw)) else change


def _with_smile(model: FaceModel, fit: Fit, rng: np.random.Generator) -> tuple[Fit, float]:
    """Return the fit with another smile, and its weight."""
    rows = [row for row, name in enumerate(model.expression_names) if name.startswith("mouthSmile")]
    weights = fit.expression.copy()
    smile = float(rng.uniform(*SMILES)) if weights[rows].mean() <= SMILES[0] else 0.0
    weights[rows] = smile
    for row, name in enumerate(model.expression_names):
        if name.startswith("mouthFrown") and smile:
            weights[row] = 0.0
    return replace(fit, expression=weights), smile
