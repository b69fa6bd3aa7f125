"""A performance as JSON lines: a line about the video, then one for each frame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facegeom.tracking.performance import Performance


def json_lines(performance: Performance) -> bytes:
    """Return the content of a .jsonl file.

    The first line has what `Performance.to_dict` returns, and `names`, the order of the weights. Each further line has
    time (s), seen, score, cut, pose (degrees), rotation, scale, translation (pixels) and the 52 weights of a frame.
    """
    lines = [json.dumps({**performance.to_dict(), "names": list(performance.names)})]
    for frame, time in enumerate(performance.times.tolist()):
        row: dict[str, Any] = {
            "time": round(time, 6),
            "seen": bool(performance.seen[frame]),
            "score": round(float(performance.scores[frame]), 4),
            "cut": bool(performance.cuts[frame]),
            "pose": {name: round(angle, 4) for name, angle in performance.pose(frame)._asdict().items()},
            "rotation": performance.rotations[frame].round(7).tolist(),
            "scale": round(float(performance.scales[frame]), 6),
            "translation": performance.translations[frame].round(4).tolist(),
            "weights": performance.weights[frame].round(5).tolist(),
        }
        lines.append(json.dumps(row))
    return ("\n".join(lines) + "\n").encode()
