"""Animated GLB files: the weights of the blendshapes and the rotation of the head as channels with few keys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.threads import one_thread
from facegeom.face_model.blendshapes import ARKIT_NAMES
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.mesh.gltf_animation import Animation, encode_animated
from facegeom.tracking.smoothing import quaternions, unwrapped

WEIGHT_TOLERANCE = 0.005
"""Largest error of a weight between the keys of a file."""

DEGREE_TOLERANCE = 0.1
"""Largest error of the rotation between the keys of a file, degrees."""

Errors = Callable[[FloatArray, FloatArray, int, int], FloatArray]
"""Function of values, times and two keys that returns the error of each frame between the keys, in tolerances."""


@one_thread()
def animated_glb(head: FaceMesh, times: FloatArray, weights: FloatArray, rotations: FloatArray) -> bytes:
    """Return a GLB file of a head that moves.

    Parameters
    ----------
    head : FaceMesh, neutral, with the blendshapes `ARKIT_NAMES`
    times : (n,) float array, seconds
    weights : (n, 52) float array
    rotations : (n, 3, 3) float array, face frame to camera frame

    Notes
    -----
    The head turns about its neck joint and stays in place. The eyeballs are moved by the eyeLook shapes; their nodes
    have no channel. Frames that linear interpolation gives with errors below `WEIGHT_TOLERANCE` and `DEGREE_TOLERANCE`
    are left out.
    """
    order = [ARKIT_NAMES.index(name) for name in head.blendshapes]
    q = unwrapped(quaternions(rotations))
    shapes = weights[:, order]
    moving, turning = reduced(shapes, times, _weight_errors), reduced(q, times, _angle_errors)
    return encode_animated(
        head,
        Animation("performance", times[moving], shapes[moving], times[turning], q[turning]),
    )


def reduced(values: FloatArray, times: FloatArray, errors: Errors) -> IntArray:
    """Return the frames that are kept as keys, ascending; the first and the last are.

    The frame with the largest error is added until all errors are at most 1 (Ramer 1972; Douglas and Peucker 1973).

    Parameters
    ----------
    values : (n, c) float array
    times : (n,) float array
    errors : error of the frames between two keys
    """
    kept = {0, len(values) - 1}
    open_parts = [(0, len(values) - 1)]
    while open_parts:
        first, last = open_parts.pop()
        if last - first < 2:
            continue
        found = errors(values, times, first, last)
        if found.max() > 1.0:
            middle = first + 1 + int(found.argmax())
            kept.add(middle)
            open_parts += [(first, middle), (middle, last)]
    return np.array(sorted(kept))


def _weight_errors(values: FloatArray, times: FloatArray, first: int, last: int) -> FloatArray:
    share = ((times[first + 1 : last] - times[first]) / (times[last] - times[first]))[:, None]
    between = (1 - share) * values[first] + share * values[last]
    return np.asarray(np.abs(between - values[first + 1 : last]).max(axis=1) / WEIGHT_TOLERANCE)


def _angle_errors(values: FloatArray, times: FloatArray, first: int, last: int) -> FloatArray:
    """Return the errors of spherical linear interpolation, which glTF prescribes for rotations."""
    share = ((times[first + 1 : last] - times[first]) / (times[last] - times[first]))[:, None]
    angle = float(np.arccos(np.clip(values[first] @ values[last], -1.0, 1.0)))
    if angle < 1e-6:
        between = (1 - share) * values[first] + share * values[last]
    else:
        sines = np.sin((1 - share) * angle), np.sin(share * angle)
        between = (sines[0] * values[first] + sines[1] * values[last]) / np.sin(angle)
    between = between / np.linalg.norm(between, axis=1, keepdims=True)
    chord = np.linalg.norm(between - values[first + 1 : last], axis=1)
    return np.asarray(np.degrees(4.0 * np.arcsin(np.clip(0.5 * chord, 0.0, 1.0))) / DEGREE_TOLERANCE)
