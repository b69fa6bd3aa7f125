"""Tables in the format of the app Live Link Face, which Unreal Engine and plug-ins of Blender, Maya and others read.

The columns are Timecode, BlendShapeCount, 52 blendshapes and the yaw, pitch and roll of the head and of both eyes.
Their names and order are those of files that the app recorded, for example `anim/alex_rom_3.csv` in the repository
alexdjulin/LiveLinkFace-CSV-Retarget-For-Motionbuilder on GitHub: ARKit's names with a capital letter, with right before
left for `Jaw` and `Mouth`. In the same file, angles are in radians; where the eyes look down, the pitch is positive,
and where they look to the subject's left, the yaw is. The rotation of the head is 0 there; it is taken to have the
conventions of the eyes.
"""

from __future__ import annotations

import csv
import io

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.face_model.blendshapes import ARKIT_NAMES, GAZE_DEGREES

RIGHT_FIRST = ("jaw", "mouth")
"""Shapes whose right one comes before the left one in the table, unlike in `ARKIT_NAMES`."""

ANGLES = tuple(f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll"))


def columns() -> list[str]:
    """Return ARKit's names in the order of the table."""
    names = list(ARKIT_NAMES)
    for part in RIGHT_FIRST:
        left, right = names.index(f"{part}Left"), names.index(f"{part}Right")
        names[left], names[right] = names[right], names[left]
    return names


HEADER = ("Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in columns()), *ANGLES)


def live_link_csv(times: FloatArray, weights: FloatArray, rotations: FloatArray, fps: float) -> bytes:
    """Return the table of a performance.

    Parameters
    ----------
    times : (n,) float array, seconds
    weights : (n, 52) float array, in the order of `ARKIT_NAMES`
    rotations : (n, 3, 3) float array, face frame to camera frame
    fps : frames a second of the time codes

    Notes
    -----
    A time code is hours:minutes:seconds:frames, with a fraction of a frame of three digits; frames are counted at `fps`
    rounded to an integer, from 0 to that number minus 1. The rotation of the head is Ry(yaw) Rx(pitch) Rz(roll) with
    right-handed angles about the axes of the face frame: x to the subject's left, y up, z out of the face. The angles
    of the eyes follow from the eyeLook weights (`GAZE_DEGREES`), without roll.
    """
    order = [ARKIT_NAMES.index(name) for name in columns()]
    angles = np.column_stack([head_angles(rotations), *(_eye(weights, side) for side in ("Left", "Right"))])
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEADER)
    count = len(order) + angles.shape[1]
    for time, row, turned in zip(times.tolist(), weights[:, order].tolist(), angles.tolist(), strict=True):
        table.writerow([timecode(time, fps), count, *(f"{value:.10f}" for value in (*row, *turned))])
    return text.getvalue().encode()


def timecode(seconds: float, fps: float) -> str:
    """Return a time as hours:minutes:seconds:frames.

    Examples
    --------
    >>> timecode(3661.55, 30.0)
    '01:01:01:16.500'
    """
    rate = max(1, round(fps))
    thousandths = round(seconds * rate * 1000)  # of a frame
    whole, part = divmod(thousandths, rate * 1000)
    hours, rest = divmod(whole, 3600)
    return f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}:{part // 1000:02d}.{part % 1000:03d}"


def head_angles(rotations: FloatArray) -> FloatArray:
    """Return yaw, pitch and roll (n, 3), radians, of rotations (n, 3, 3); see `live_link_csv`."""
    yaw = np.arctan2(rotations[:, 0, 2], rotations[:, 2, 2])
    pitch = np.arcsin(np.clip(-rotations[:, 1, 2], -1.0, 1.0))
    roll = np.arctan2(rotations[:, 1, 0], rotations[:, 1, 1])
    return np.column_stack([yaw, pitch, roll])


def _eye(weights: FloatArray, side: str) -> FloatArray:
    """Return yaw, pitch and roll (n, 3), radians, of an eye."""

    def turned(gaze: str) -> FloatArray:
        return np.asarray(GAZE_DEGREES[gaze] * weights[:, ARKIT_NAMES.index(f"{gaze}{side}")])

    outward = turned("eyeLookOut") - turned("eyeLookIn")
    yaw = outward if side == "Left" else -outward
    pitch = turned("eyeLookDown") - turned("eyeLookUp")
    return np.radians(np.column_stack([yaw, pitch, np.zeros(len(weights))]))
