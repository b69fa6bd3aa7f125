"""`Performance`, the result of `track`: the curves of a face over time, the head that they move, and files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.files import write_bytes
from facegeom._internal.outputs import Outputs
from facegeom._internal.threads import one_thread
from facegeom.errors import FacegeomError
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.tracking.bvh import bvh
from facegeom.tracking.glb import animated_glb
from facegeom.tracking.json_lines import json_lines
from facegeom.tracking.live_link import live_link_csv
from facegeom.tracking.motion import Motion
from facegeom.tracking.preview import write_preview
from facegeom.tracking.video import Video

PERFORMANCE_SUFFIXES = (".glb", ".csv", ".jsonl", ".bvh")


@dataclass(frozen=True, eq=False, repr=False)
class Performance(Motion):
    """The face of one person through a video, n frames.

    Attributes
    ----------
    times, weights, rotations, scales, translations, seen, fps, size : curves of n frames, see `Motion`
    scores : (n,) float array in [0, 1], plausibility of the predicted maps; 0 without a face
    cuts : (n,) bool array, frames that begin another shot
    residuals_mm : (n,) float array
        Root mean square distance of the fit from the frame in the image plane, mm; NaN without a face.
    identity : (k,) float array
        Coefficients of the first k identity components of `facegeom.load_face_model()`, one identity for all frames.
    head : FaceMesh
        The neutral head with the 52 blendshapes, in the face frame, mm; with a texture if one was asked for.
    timings : dict from stage to milliseconds, all frames together
    video : the video, if it is a file, which previews read again; else None
    """

    scores: FloatArray
    cuts: BoolArray
    residuals_mm: FloatArray
    identity: FloatArray
    head: FaceMesh
    timings: dict[str, float] = field(default_factory=dict)
    video: Video | None = None

    def __repr__(self) -> str:
        """Return a short description without the arrays."""
        return (
            f"Performance({len(self)} frames, {float(self.times[-1]):.1f} s, "
            f"seen={int(self.seen.sum())}, {self.head!r})"
        )

    @one_thread()
    def vertices(self, frame: int) -> FloatArray:
        """Return the vertices (v, 3) of the head with the expression of a frame, in the face frame, mm."""
        V = self.head.vertices.copy()
        for name, weight in self.blendshapes(frame).items():
            if weight:
                V += weight * self.head.blendshapes[name]
        return V

    def mesh(self, frame: int) -> FaceMesh:
        """Return the head with the expression of a frame as the initial weights of its blendshapes."""
        return replace(self.head, weights=self.blendshapes(frame))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the performance to a file; the suffix selects the format, and the file is written atomically.

        Parameters
        ----------
        path : path of a file
            .glb: the head, whose blendshapes and rotation are animated; see `facegeom.tracking.glb`.
            .csv: table in the format of the app Live Link Face; see `facegeom.tracking.live_link`.
            .jsonl: a line about the video, then one for each frame; see `facegeom.tracking.json_lines`.
            .bvh: the rotation of the head; see `facegeom.tracking.bvh`.

        Raises
        ------
        FacegeomError
            If the suffix is not one of the four.
        OutputError
            If the file would overwrite the video, or something that is not a file.
        FileNotFoundError, OSError
            If the folder does not exist, or the file cannot be written.
        """
        target = Path(path)
        suffix = check_performance_suffix(target)
        Outputs(self._inputs).add(target, "the performance")
        write_bytes(target, _ENCODERS[suffix](self))

    def save_preview(self, path: str | os.PathLike[str], progress: Callable[[int, int], None] | None = None) -> None:
        """Write a video of the frames beside the head; see `facegeom.tracking.preview.write_preview`."""
        Outputs(self._inputs).add(path, "the preview of the performance")
        write_preview(self.video, self, self.head, Path(path), progress)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of the performance, without those of each frame, as values that JSON can represent."""
        return {
            "frames": len(self),
            "seconds": round(float(self.times[-1]), 4),
            "fps": self.fps,
            "size": list(self.size),
            "seen": int(self.seen.sum()),
            "cuts": int(self.cuts.sum()),
            "identity": self.identity.round(5).tolist(),
            "milliseconds": {name: round(spent, 1) for name, spent in self.timings.items()},
        }

    @property
    def _inputs(self) -> list[Path]:
        source = None if self.video is None else self.video.source
        return [Path(source)] if isinstance(source, (str, os.PathLike)) else []


def check_performance_suffix(path: Path) -> str:
    """Return the suffix of a file in lower case; raise FacegeomError if no performance can be saved in this format."""
    suffix = path.suffix.lower()
    if suffix not in PERFORMANCE_SUFFIXES:
        raise FacegeomError(
            f"cannot save a performance as {path.name!r}: the suffix must be one of {', '.join(PERFORMANCE_SUFFIXES)}"
        )
    return suffix


_ENCODERS: dict[str, Callable[[Performance], bytes]] = {
    ".glb": lambda p: animated_glb(p.head, p.times, p.weights, p.rotations),
    ".csv": lambda p: live_link_csv(p.times, p.weights, p.rotations, p.fps),
    ".jsonl": lambda p: json_lines(p, p.to_dict(), p.scores, p.cuts),
    ".bvh": lambda p: bvh(p.times, p.rotations, p.fps),
}
