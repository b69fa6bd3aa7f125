"""Identity labels of photos without what the expression and the pose of the photo predict of them.

A fit to the landmarks of a smiling face explains a part of the smile by the identity, so that all smiling people look
alike a little, and each of them unlike himself without the smile. Over many people, identity does not depend on smiles,
open mouths or the angle of the camera; what depends on them linearly is an error of the fits.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel
from facegeom.training.data.labels import Labels, yaw_deg

EXPRESSIONS = (
    "mouthSmile",
    "mouthUpperUp",
    "mouthLowerDown",
    "mouthStretch",
    "cheekSquint",
    "eyeSquint",
    "jawOpen",
)
"""Expressions that differ between photos of a person, and that a neutral face hardly has. Others, such as lowered
brows, are found in neutral faces, too, where they are part of the identity."""


LEAST_PHOTOS = 100
"""Smallest number of photos from which the dependence is estimated."""


def expression_and_pose(model: FaceModel, labels: Labels) -> FloatArray:
    """Return the values (n, 9) on which the identity must not depend: expressions, mean of both sides; yaw and pitch.

    The yaw is absolute: a face turned to the left has the error of one turned to the right, mirrored.
    """
    weights = np.asarray(labels.expression, dtype=np.float64)
    columns = [
        weights[:, [name.startswith(kind) for name in model.expression_names]].mean(axis=1) for kind in EXPRESSIONS
    ]
    rotation = np.asarray(labels.rotation, dtype=np.float64)
    pitch = np.degrees(np.arcsin(np.clip(rotation[:, 1, 2], -1, 1)))
    return np.column_stack([*columns, np.abs(yaw_deg(rotation)), pitch])


def without_expression(model: FaceModel, labels: Labels, names: Collection[str]) -> Labels:
    """Return labels whose identities do not depend linearly on expression and pose.

    Parameters
    ----------
    model : FaceModel
    labels : Labels
    names : photos from which the dependence is estimated, at least 100 of the labels

    Raises
    ------
    FacegeomError
        If the labels have fewer of these photos.

    Notes
    -----
    Ordinary least squares. The mean identity of the photos `names` stays as it is. The expressions stay, too, so that
    such labels no longer fit the landmarks: they are for the identity network only.
    """
    inside = np.array([str(name) in names for name in labels.names], dtype=bool)
    if inside.sum() < LEAST_PHOTOS:
        raise FacegeomError(f"{inside.sum()} photos have a label, at least {LEAST_PHOTOS} are needed")
    identity = np.asarray(labels.identity, dtype=np.float64)
    values = expression_and_pose(model, labels)
    values = values - values[inside].mean(axis=0)
    deviation = identity[inside] - identity[inside].mean(axis=0)
    dependence = np.linalg.lstsq(values[inside], deviation, rcond=None)[0]
    return replace(labels, identity=(identity - values @ dependence).astype(np.float32))
