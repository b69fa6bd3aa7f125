"""Description of a head scan in a JSON file: unit, axes, points of the face, and files.

Example: `lee_perry_smith.json`, the description of "Infinite" by Lee Perry-Smith, is part of the package. All points
are in the unit and the axes of the mesh file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.errors import FacegeomError

FILE_NAME = "scan.json"
"""Name of the description beside the mesh."""

PACKAGED = ("lee_perry_smith",)
"""Names of the descriptions that are part of the package."""

EYE_DISTANCE_MM = (45.0, 80.0)
"""Smallest and largest plausible distance of the eye centres, mm, from infants to adults."""

_SIDES = ("left", "up", "front")
_AXES = {sign + name: value * np.eye(3)[k] for k, name in enumerate("xyz") for sign, value in (("+", 1.0), ("-", -1.0))}
_KEYS = ("mesh", "texture", "unit_mm", "axes", "eye_centres", "nose_tip", "chin", "texture_v")


@dataclass(frozen=True)
class ScanDescription:
    """What the mesh file of a scan does not say.

    Attributes
    ----------
    mesh : file name of the OBJ file
    texture : file name of the picture of the texture
    unit_mm : millimetres per unit of the mesh file
    rotation : (3, 3) float array, axes of the mesh file to axes of the face frame: subject's left, up, front
    eye_centres : (2, 3) float array, centre of the left and of the right eyeball
    nose_tip : (3,) float array
    chin : (3,) float array, lowest point of the chin (menton)
    texture_v : "up" if the texture coordinate v is 0 at the lower edge of the picture, as in most files; "down" if it
        is 0 at the upper edge
    """

    mesh: str
    texture: str
    unit_mm: float
    rotation: FloatArray
    eye_centres: FloatArray
    nose_tip: FloatArray
    chin: FloatArray
    texture_v: str

    def in_face_frame(self, points: FloatArray) -> FloatArray:
        """Return points (..., 3) of the mesh file in mm, in the face frame, from midway between the eye centres."""
        return np.asarray((points - self.eye_centres.mean(axis=0)) @ self.rotation.T * self.unit_mm)


def find_description(folder: str | Path, description: str | Path | None = None) -> Path:
    """Return the path of the description of a scan.

    Parameters
    ----------
    folder : folder of the scan
    description : path of the file, or name of a description of the package ("lee_perry_smith"); None: `scan.json` in
        the folder

    Raises
    ------
    FacegeomError
        If there is no such file.
    """
    if description is None:
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise FacegeomError(
                f"{path} does not exist: describe the scan there, or name a file with --description "
                "('lee_perry_smith' is part of the package)"
            )
        return path
    packaged = str(description) in PACKAGED
    path = Path(__file__).with_name(f"{description}.json") if packaged else Path(description)
    if not path.is_file():
        raise FacegeomError(f"the description {description} does not exist")
    return path


def read_description(path: str | Path) -> ScanDescription:
    """Read and check a description.

    Raises
    ------
    FacegeomError
        If the file is no JSON document, if a value is missing or has the wrong form, or if the points cannot belong to
        a face.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FacegeomError(f"{path.name} is not a JSON document: {error}") from error
    if not isinstance(values, dict):
        raise FacegeomError(f"{path.name} must contain an object with the keys {', '.join(_KEYS)}")
    missing = [key for key in _KEYS if key not in values]
    if missing:
        raise FacegeomError(f"{path.name} lacks {', '.join(missing)}")
    for key in ("mesh", "texture"):
        if not isinstance(values[key], str) or not values[key]:
            raise FacegeomError(f"{path.name}: {key} must be a file name")
    if values["texture_v"] not in ("up", "down"):
        raise FacegeomError(f'{path.name}: texture_v must be "up" or "down", got {values["texture_v"]!r}')
    eyes = values["eye_centres"]
    if not isinstance(eyes, dict) or set(eyes) != {"left", "right"}:
        raise FacegeomError(f"{path.name}: eye_centres must have the keys left and right")
    described = ScanDescription(
        values["mesh"],
        values["texture"],
        _unit(values["unit_mm"], path.name),
        _rotation(values["axes"], path.name),
        np.stack([_point(eyes[side], f"eye_centres.{side}", path.name) for side in ("left", "right")]),
        _point(values["nose_tip"], "nose_tip", path.name),
        _point(values["chin"], "chin", path.name),
        values["texture_v"],
    )
    _check_face(described, path.name)
    return described


def _unit(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise FacegeomError(f"{name}: unit_mm must be a number above 0, the millimetres per unit, got {value!r}")
    return float(value)


def _point(value: Any, key: str, name: str) -> FloatArray:
    numbers = isinstance(value, list) and len(value) == 3
    if not numbers or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        raise FacegeomError(f"{name}: {key} must be a list of three numbers, got {value!r}")
    point = np.array(value, dtype=np.float64)
    if not np.isfinite(point).all():
        raise FacegeomError(f"{name}: {key} must be finite, got {value!r}")
    return point


def _rotation(axes: Any, name: str) -> FloatArray:
    """Return the rotation from the axes of the file to the subject's left, up and front."""
    if not isinstance(axes, dict) or set(axes) != set(_SIDES) or any(str(axes[side]) not in _AXES for side in _SIDES):
        raise FacegeomError(f'{name}: axes must give an axis such as "+x" or "-z" for each of left, up and front')
    rotation = np.stack([_AXES[axes[side]] for side in _SIDES])
    if abs(np.linalg.det(rotation)) < 0.5:
        raise FacegeomError(f"{name}: axes must name three different axes")
    if np.linalg.det(rotation) < 0:
        raise FacegeomError(f"{name}: axes are mirrored: left, up and front must be right-handed")
    return rotation


def _check_face(described: ScanDescription, name: str) -> None:
    """Raise FacegeomError if the points are not arranged as in a face."""
    left, right, nose, chin = described.in_face_frame(
        np.stack([*described.eye_centres, described.nose_tip, described.chin])
    )
    distance = float(np.linalg.norm(left - right))
    if not EYE_DISTANCE_MM[0] <= distance <= EYE_DISTANCE_MM[1]:
        raise FacegeomError(f"{name}: the eye centres are {distance:.1f} mm apart: unit_mm or eye_centres is wrong")
    if left[0] <= right[0]:
        raise FacegeomError(f"{name}: the left eye must be on the subject's left: axes or eye_centres are wrong")
    if not (nose[1] < 0 and nose[2] > 0):
        raise FacegeomError(f"{name}: the tip of the nose must be below and in front of the eyes")
    if chin[1] >= nose[1]:
        raise FacegeomError(f"{name}: the chin must be below the tip of the nose")
