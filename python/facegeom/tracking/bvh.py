"""The rotation of the head as a BVH file (Biovision hierarchy): one joint with three channels."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.tracking.live_link import head_angles
from facegeom.tracking.smoothing import quaternions, rotation_matrices, unwrapped

CROWN_MM = 150.0
"""Length of the joint that files show, from the neck to the crown."""


def bvh(times: FloatArray, rotations: FloatArray, fps: float) -> bytes:
    """Return the content of a BVH file.

    Parameters
    ----------
    times : (n,) float array, seconds
    rotations : (n, 3, 3) float array, face frame to camera frame
    fps : frame rate of the file

    Notes
    -----
    BVH files have one interval between frames, so that the rotation is interpolated at multiples of 1 / `fps`. The
    channels are Yrotation, Xrotation and Zrotation in degrees; the rotation is their product in this order. Lengths are
    in mm.
    """
    regular = np.arange(int(np.floor(times[-1] * fps + 1e-6)) + 1) / fps
    q = unwrapped(quaternions(rotations))
    between = np.column_stack([np.interp(regular, times, column) for column in q.T])
    angles = np.degrees(head_angles(rotation_matrices(between / np.linalg.norm(between, axis=1, keepdims=True))))
    angles[:, [0, 2]] = np.degrees(np.unwrap(np.radians(angles[:, [0, 2]]), axis=0))
    lines = [
        "HIERARCHY",
        "ROOT Head",
        "{",
        "  OFFSET 0.000000 0.000000 0.000000",
        "  CHANNELS 3 Yrotation Xrotation Zrotation",
        "  End Site",
        "  {",
        f"    OFFSET 0.000000 {CROWN_MM:.6f} 0.000000",
        "  }",
        "}",
        "MOTION",
        f"Frames: {len(regular)}",
        f"Frame Time: {1.0 / fps:.8f}",
        *(f"{yaw:.6f} {pitch:.6f} {roll:.6f}" for yaw, pitch, roll in angles.tolist()),
    ]
    return ("\n".join(lines) + "\n").encode()
