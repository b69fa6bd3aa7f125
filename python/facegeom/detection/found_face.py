"""A face that a detector found: box, roll and score, and the order of the faces of a photo."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from facegeom.images.boxes import Box, BoxLike, Detection, iou, suppress

SAME_FACE = 0.3
"""Minimum IoU of two boxes, found at the same scale, that show the same face."""

NESTED = 0.5
"""Minimum intersection / smaller area of a box that was found at a larger scale and the box of the same face."""


@dataclass(frozen=True)
class FoundFace:
    """A face that a detector found.

    Attributes
    ----------
    upright : x0, y0, x1, y1
        Box of the 68 landmarks in the photo after it is turned upright: by `-roll_deg` about the centre of the box.
    score : float in (0, 1]
    roll_deg : roll of the face in degrees, counter-clockwise in the photo
    box : x0, y0, x1, y1
        Box of the 68 landmarks in pixels of the photo.
    """

    upright: Box
    score: float
    roll_deg: float
    box: Box

    @classmethod
    def of_box(cls, box: BoxLike, score: float = 1.0, roll_deg: float = 0.0) -> FoundFace:
        """Return the face whose landmarks have the box `box` in the photo, which may be followed by a score."""
        x0, y0, x1, y1 = (float(side) for side in box[:4])
        return cls(turned_box((x0, y0, x1, y1), roll_deg), score, roll_deg, (x0, y0, x1, y1))

    @property
    def detection(self) -> Detection:
        """Box and score, as `facegeom.detect` returns them."""
        return (*self.box, self.score)


def turned_box(box: Box, degrees: float) -> Box:
    """Return the box of the 68 landmarks after the face is turned about the centre of their box.

    The outline of the landmarks is taken as the ellipse that the box encloses.

    Examples
    --------
    >>> turned_box((0.0, 0.0, 8.0, 10.0), 90.0)
    (-1.0, 1.0, 9.0, 9.0)
    """
    x0, y0, x1, y1 = box
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_x = 0.5 * math.hypot((x1 - x0) * cosine, (y1 - y0) * sine)
    half_y = 0.5 * math.hypot((x1 - x0) * sine, (y1 - y0) * cosine)
    x, y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    return x - half_x, y - half_y, x + half_x, y + half_y


def rank(face: FoundFace, width: int, height: int) -> float:
    """Return the number by which the faces of a photo are ordered, largest first.

    It is the area of the box times the score times (1 - distance of the box from the centre of the photo / half of the
    photo's diagonal).
    """
    x0, y0, x1, y1 = face.box
    away = math.hypot(0.5 * (x0 + x1) - 0.5 * (width - 1), 0.5 * (y0 + y1) - 0.5 * (height - 1))
    return (x1 - x0) * (y1 - y0) * face.score * max(0.0, 1.0 - away / (0.5 * math.hypot(width, height)))


def ordered(faces: Iterable[FoundFace], width: int, height: int) -> list[FoundFace]:
    """Return the faces of a photo of the given size in the order of `rank`."""
    return sorted(faces, key=lambda face: -rank(face, width, height))


def distinct(faces: Iterable[FoundFace]) -> list[FoundFace]:
    """Return the faces found at one scale, highest score first, without those that overlap a face of higher score."""
    order = sorted(faces, key=lambda face: -face.score)
    boxes = np.array([face.box for face in order]).reshape(-1, 4)
    return [order[row] for row in suppress(boxes, np.array([face.score for face in order]), SAME_FACE)]


def nested(face: FoundFace, others: list[FoundFace]) -> bool:
    """Return whether a face lies in or around one of the `others`, which were found at smaller scales."""
    if not others:
        return False
    shared = iou(np.array([face.box]), np.array([other.box for other in others]), of_smaller=True)
    return bool(shared.max() >= NESTED)
