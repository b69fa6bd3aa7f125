"""Face detection by OpenCV's cascades and a small cascade of networks, whose results are merged.

All boxes are converted to the bounding box of the 68 landmarks (brows to chin, jaw to jaw), in pixels of the photo. The
last network scores the boxes of the cascades as well as those of the networks before it, so that all have comparable
scores; boxes that the cascades found too score higher.

References
----------
P. Viola, M. Jones: Rapid Object Detection using a Boosted Cascade of Simple Features, CVPR 2001; OpenCV's cascades are
by R. Lienhart (frontal) and D. Bradley (profile). The networks: see `facegeom.networks.mtcnn`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.detection.mtcnn_search import Scored, SearchOptions, judge, propose, refine, shipped
from facegeom.errors import WeightsError
from facegeom.images.boxes import Detection, iou, merge
from facegeom.images.image_files import ImageSource, load_image
from facegeom.networks.mtcnn import Mtcnn

SEARCH_SIDE = 320
"""Longer side of the searched image in pixels, unless `min_size` needs a larger one."""

SMALLEST_FACE = 20
"""Side in pixels of the smallest face in the searched image: the window of OpenCV's cascades."""

MIN_SCORE = 0.9
"""Default of `min_score`."""

SURE_SCORE = 0.9
"""With a detection of at least this score, the profile cascades, which are the slowest step, are not run."""

VOTE_WEIGHT = 0.5
"""The log-odds of the networks' score is raised by this times log(1 + votes of the cascades)."""


@dataclass(frozen=True)
class Cascade:
    """One of OpenCV's cascades and how its square becomes the box of the 68 landmarks.

    `offset` is the landmark box's centre from the square's centre and `size` its width and height, all in units of the
    square's side: medians over 1,000 of LFW's training photos, by the 68 points of an earlier fit. Today's points lie
    wider at the jaw (0.85 to 0.92 of the square); the second crop of the reconstruction corrects for it.
    """

    file: str
    mirrored: bool  # searched in the mirrored image, boxes mirrored back
    offset: tuple[float, float]
    size: tuple[float, float]
    weight: float  # of one raw candidate in the votes


FRONTAL = (
    Cascade("haarcascade_frontalface_default.xml", False, (0.0, 0.153), (0.797, 0.785), 1.0),
    Cascade("haarcascade_frontalface_alt2.xml", False, (0.0, 0.169), (0.845, 0.845), 1.5),
)
PROFILE = (
    Cascade("haarcascade_profileface.xml", False, (-0.01, 0.155), (0.69, 0.705), 2.5),
    Cascade("haarcascade_profileface.xml", True, (0.01, 0.155), (0.69, 0.705), 2.5),
)
GROUP_OVERLAP = 0.4
"""Minimum IoU of cascade windows that show one face, and of a window and a box that it supports."""

MOST_MERGED = 12
"""Number of groups of cascade windows that the networks score, those with the largest weight."""


def detect(image: ImageSource, *, min_size: float | None = None, min_score: float = MIN_SCORE) -> list[Detection]:
    """Find the faces of a photo, best first.

    Parameters
    ----------
    image : path, bytes, PIL image or (h, w, 3) uint8 RGB array
    min_size : side of the smallest face to find, pixels of `image`; None: 1/16 of the longer side and at least 20
    min_score : detections with a lower score are dropped

    Returns
    -------
    list of (x0, y0, x1, y1, score)
        The box of the 68 landmarks in pixels of `image`, not clipped to it, and a score in (0, 1]. Empty: no face.

    Raises
    ------
    TypeError, ValueError
        When `image` is of another type, `min_size` is not a number above 0 or `min_score` is not in [0, 1].
    ImageError, FileNotFoundError
        When the image cannot be read.
    WeightsError
        When the networks' weights or OpenCV's cascades are missing.

    Notes
    -----
    The search runs on the photo scaled so that the smallest face is 20 pixels wide; by default its longer side is then
    at most 320 pixels, whatever the photo's size. A smaller `min_size` costs time with the inverse of its square.

    Examples
    --------
    >>> detect(np.zeros((64, 64, 3), dtype=np.uint8))
    []
    """
    least = None if min_size is None else check.positive(min_size, "min_size")
    min_score = check.in_range(min_score, "min_score", 0.0, 1.0)
    return find_faces(load_image(image), min_size=least, min_score=min_score)


def find_faces(photo: ByteArray, *, min_size: float | None = None, min_score: float = MIN_SCORE) -> list[Detection]:
    """Return the faces of an (h, w, 3) uint8 photo, best first; see `detect`, which checks its arguments."""
    searched, scale = _search_image(photo, min_size)
    if min(searched.shape[:2]) < SMALLEST_FACE:
        return []
    found = _search(searched)
    return [
        (*(box / scale - 0.5).tolist(), float(score))
        for box, score in zip(found.boxes, found.scores, strict=True)
        if score >= min_score
    ]


def _search(image: ByteArray) -> Scored:
    """Return all detections in the searched image, best first, boxes in corner coordinates."""
    network, options = shipped(), SearchOptions()
    own = refine(network, image, propose(network, image, SMALLEST_FACE, options).boxes, options)
    windows, weights = cascade_windows(image, FRONTAL)
    found = _judged(network, image, own.boxes, windows, weights)
    if len(found) and found.scores[0] >= SURE_SCORE:
        return found
    profile, profile_weights = cascade_windows(image, PROFILE)
    windows, weights = np.concatenate([windows, profile]), np.concatenate([weights, profile_weights])
    return _judged(network, image, own.boxes, windows, weights)


def _judged(network: Mtcnn, image: ByteArray, own: FloatArray, windows: FloatArray, weights: FloatArray) -> Scored:
    """Return the output network's scores for the boxes of the networks before it and the windows of the cascades."""
    merged, _ = merge(windows, weights, GROUP_OVERLAP)
    candidates = np.concatenate([own, merged[:MOST_MERGED]])
    return _supported(judge(network, image, candidates, SearchOptions()), windows, weights)


def _supported(found: Scored, windows: FloatArray, weights: FloatArray) -> Scored:
    """Return the boxes with scores raised by the cascades' overlapping windows, best first."""
    votes = (iou(found.boxes, windows) >= GROUP_OVERLAP) @ weights
    odds = np.log(found.scores + 1e-9) - np.log(1 - found.scores + 1e-9) + VOTE_WEIGHT * np.log1p(votes)
    scores = 1 / (1 + np.exp(-odds))
    order = np.argsort(-scores, kind="stable")
    return Scored(found.boxes[order], scores[order])


def cascade_windows(image: ByteArray, cascades: tuple[Cascade, ...]) -> tuple[FloatArray, FloatArray]:
    """Return every window that a cascade accepts, before any grouping.

    Parameters
    ----------
    image : (h, w, 3) uint8 RGB
    cascades : the cascades to run

    Returns
    -------
    (n, 4) float array, (n,) float array
        Boxes of the 68 landmarks in corner coordinates, and their weights.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    parts: list[FloatArray] = [np.empty((0, 5))]
    for cascade in cascades:
        seen = np.ascontiguousarray(gray[:, ::-1]) if cascade.mirrored else gray
        window = np.asarray(
            _classifier(cascade.file).detectMultiScale(
                seen, scaleFactor=1.2, minNeighbors=0, minSize=(SMALLEST_FACE, SMALLEST_FACE)
            ),
            dtype=np.float64,
        ).reshape(-1, 4)
        side = window[:, 2:3]
        centre = window[:, :2] + 0.5 * side
        if cascade.mirrored:
            centre[:, 0] = gray.shape[1] - centre[:, 0]
        centre = centre + side * np.array(cascade.offset)
        half = 0.5 * side * np.array(cascade.size)
        parts.append(np.column_stack([centre - half, centre + half, np.full(len(side), cascade.weight)]))
    rows = np.concatenate(parts)
    rows = rows[np.lexsort(rows.T)]  # OpenCV's threads return them in any order
    return rows[:, :4], rows[:, 4]


def _search_image(photo: ByteArray, min_size: float | None) -> tuple[ByteArray, float]:
    """Return the photo scaled so that the smallest face sought is SMALLEST_FACE pixels wide, and the scale."""
    height, width = photo.shape[:2]
    scale = min(1.0, SEARCH_SIDE / max(height, width) if min_size is None else SMALLEST_FACE / min_size)
    if scale == 1.0:
        return photo, 1.0
    size = (max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), scale


@lru_cache(maxsize=8)
def _classifier(file: str) -> cv2.CascadeClassifier:
    """Load one of OpenCV's cascades, once."""
    if not hasattr(cv2, "CascadeClassifier"):
        raise WeightsError(f"OpenCV {cv2.__version__} has no cascades; install opencv-python-headless>=4.10,<5")
    folder = Path(str(cv2.data.haarcascades))  # type: ignore[attr-defined]
    classifier = cv2.CascadeClassifier(str(folder / file))
    if classifier.empty():
        raise WeightsError(f"OpenCV's {file} is missing or damaged")
    return classifier
