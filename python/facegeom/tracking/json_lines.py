"""A performance as JSON lines: a line about the video, then one for each frame."""

from __future__ import annotations

import json
from typing import Any

from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom.tracking.motion import Motion


def json_lines(motion: Motion, about: dict[str, Any], scores: FloatArray, cuts: BoolArray) -> bytes:
    """Return the content of a .jsonl file.

    The first line has the numbers `about` the video and `names`, the order of the weights. Each further line has time
    (s), seen, score, cut, pose (degrees), rotation, scale, translation (pixels) and the 52 weights of a frame.
    """
    lines = [json.dumps({**about, "names": list(motion.names)})]
    for frame, time in enumerate(motion.times.tolist()):
        row: dict[str, Any] = {
            "time": round(time, 6),
            "seen": bool(motion.seen[frame]),
            "score": round(float(scores[frame]), 4),
            "cut": bool(cuts[frame]),
            "pose": {name: round(angle, 4) for name, angle in motion.pose(frame)._asdict().items()},
            "rotation": motion.rotations[frame].round(7).tolist(),
            "scale": round(float(motion.scales[frame]), 6),
            "translation": motion.translations[frame].round(4).tolist(),
            "weights": motion.weights[frame].round(5).tolist(),
        }
        lines.append(json.dumps(row))
    return ("\n".join(lines) + "\n").encode()
