"""Landmarks of a face on a scan that a caller gives: 68 points, or a few by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.outputs import printable
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel

NAMED = {
    "right_eye_outer": 36,
    "right_eye_inner": 39,
    "left_eye_inner": 42,
    "left_eye_outer": 45,
    "nose_bridge": 27,
    "nose_tip": 30,
    "nose_base": 33,
    "mouth_right": 48,
    "mouth_left": 54,
    "mouth_top": 51,
    "mouth_bottom": 57,
    "chin": 8,
}
"""Name of a landmark -> its place among the 68; left and right are the subject's."""

JAW = 17
"""Number of the landmarks on the jaw, which come first and which every definition places elsewhere."""

LEAST = 3
"""Smallest number of named landmarks."""

LARGEST_FILE = 2**20


def model_landmarks(model: FaceModel, landmarks: Any) -> tuple[IntArray, FloatArray]:
    """Return the vertices (k,) of the face model at landmarks, and the points (k, 3) that the caller gives for them.

    Parameters
    ----------
    model : FaceModel
    landmarks : (68, 3) array of the points of Multi-PIE, or mapping from at least three names of `NAMED` to (3,)
        arrays, in the coordinates of the mesh; those of the jaw are not used

    Raises
    ------
    TypeError, ValueError
        If they are neither of the two, a name is unknown, or the points lie on a line.
    """
    if isinstance(landmarks, Mapping):
        unknown = sorted(str(name) for name in landmarks if name not in NAMED)
        if unknown:
            raise ValueError(f"landmarks must have names among {', '.join(NAMED)}, got {unknown[0]!r}")
        if len(landmarks) < LEAST:
            raise ValueError(f"landmarks must name at least {LEAST} points, got {len(landmarks)}")
        rows = np.array([NAMED[name] for name in landmarks])
        points = np.array([check.float_array(place, f"landmarks[{name!r}]", (3,)) for name, place in landmarks.items()])
    else:
        rows = np.arange(JAW, 68)
        points = check.float_array(landmarks, "landmarks", (68, 3))[JAW:]
    spread = np.linalg.svd(points - points.mean(axis=0))[1]
    if not spread[1] > 0.05 * spread[0]:
        raise ValueError("landmarks must not lie on a line or in one point")
    return model.landmarks68_multipie[rows], points


def read_landmarks(path: str | os.PathLike[str]) -> npt.ArrayLike | dict[str, list[float]]:
    """Read landmarks from a JSON file.

    Parameters
    ----------
    path : file with a list of 68 points [x, y, z], or an object from names of `NAMED` to points

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FacegeomError
        If it is not a JSON file of such landmarks.
    """
    content = read_json(path)
    name = printable(Path(path).name)
    if isinstance(content, dict) and set(content) == {"landmarks"}:
        content = content["landmarks"]
    if isinstance(content, dict):
        return {str(key): value for key, value in content.items()}
    if isinstance(content, list):
        return content
    raise FacegeomError(f"{name} must contain a list of 68 points, or names with their points")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the content of a small JSON file, or raise FacegeomError, or FileNotFoundError if it is missing."""
    file, name = Path(path), printable(Path(path).name)
    if not file.exists():
        raise FileNotFoundError(f"there is no file {printable(str(path))}")
    if not file.is_file() or file.stat().st_size > LARGEST_FILE:
        raise FacegeomError(f"{name} is no small JSON file")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FacegeomError(f"{name} is no JSON file: {str(error).splitlines()[0]}") from error
