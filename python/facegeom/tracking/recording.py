"""`Recording`: what the tracker finds in the frames of a video, before it is smoothed; it can be kept in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.files import write_atomically
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.tracking.frame_fit import FrameFit
from facegeom.tracking.tracker import GoodFrame


@dataclass
class Recording:
    """What the tracker found in each frame, not smoothed.

    Attributes
    ----------
    times : seconds, one for each frame
    fits : FrameFit or None, one for each frame
    scores, cuts : one for each frame
    boxes : box of the face or None, one for each frame
    size : width and height of the frames
    good : frames that show the face best
    timings : dict from stage to milliseconds
    identity : (k,) float array, the identity of the fits
    """

    times: list[float] = field(default_factory=list)
    fits: list[FrameFit | None] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    cuts: list[bool] = field(default_factory=list)
    boxes: list[Box | None] = field(default_factory=list)
    size: tuple[int, int] = (1, 1)
    good: list[GoodFrame] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    identity: FloatArray = field(default_factory=lambda: np.zeros(1))

    @property
    def seen(self) -> BoolArray:
        """Frames in which there is a face, (n,)."""
        return np.array([fit is not None for fit in self.fits], np.bool_)

    def add(self, other: Recording) -> None:
        """Add the frames of another recording, which follow."""
        if not self.times:
            self.size, self.identity = other.size, other.identity
        for name in ("times", "fits", "scores", "cuts", "boxes", "good"):
            getattr(self, name).extend(getattr(other, name))
        for stage, spent in other.timings.items():
            self.timings[stage] = self.timings.get(stage, 0.0) + spent

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write the recording, without images, and JSON values `about` it to an .npz file."""
        count, fits = len(self.times), self.fits
        width = next((len(fit.expression) for fit in fits if fit is not None), 0)
        rows = np.full((count, 9 + 1 + 2 + 1 + width), np.nan)
        for row, fit in zip(rows, fits, strict=True):
            if fit is not None:
                camera = fit.camera
                row[:] = [*camera.rotation.ravel(), camera.scale, *camera.translation, fit.residual_mm, *fit.expression]
        boxes = np.array([(np.nan,) * 4 if box is None else box for box in self.boxes]).reshape(count, 4)
        good = [(frame.clarity, frame.side, frame.number, *frame.box) for frame in self.good]
        text = json.dumps({**about, "size": self.size, "good": good, "timings": self.timings})

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                np.savez_compressed(
                    file, times=self.times, fits=rows, scores=self.scores, cuts=np.array(self.cuts, np.bool_),
                    boxes=boxes, identity=self.identity, about=np.array(text),
                )  # fmt: skip

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> tuple[Recording, dict[str, Any]]:
        """Return the recording in a file, and what is said about it.

        Raises
        ------
        OSError, ValueError, KeyError
            If the file cannot be read.
        """
        with np.load(path) as file:
            about = json.loads(str(file["about"]))
            fits = [None if np.isnan(row[0]) else _fit(row) for row in file["fits"]]
            recording = cls(
                file["times"].tolist(),
                list(fits),
                file["scores"].tolist(),
                file["cuts"].tolist(),
                [None if np.isnan(box[0]) else (box[0], box[1], box[2], box[3]) for box in file["boxes"].tolist()],
                tuple(about.pop("size")),
                [GoodFrame(clarity, side, number, tuple(box)) for clarity, side, number, *box in about.pop("good")],
                about.pop("timings"),
                file["identity"],
            )
        return recording, about


def _fit(row: FloatArray) -> FrameFit:
    return FrameFit(Camera(row[:9].reshape(3, 3), float(row[9]), row[10:12]), row[13:].copy(), float(row[12]))
