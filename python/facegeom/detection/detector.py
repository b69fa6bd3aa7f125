"""Face detection by OpenCV's cascades and a small cascade of networks, whose results are merged.

All boxes are converted to the bounding box of the 68 landmarks (brows to chin, jaw to jaw), in pixels of the photo. The
output network scores the boxes of the cascades and the boxes of the first two networks, so that all scores are
comparable. A box that the cascades also found gets a higher score.

References
----------
P. Viola, M. Jones: Rapid Object Detection using a Boosted Cascade of Simple Features, CVPR 2001; OpenCV's cascades are
by R. Lienhart (frontal) and D. Bradley (profile). The networks: see `facegeom.networks.mtcnn`.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.detection.mtcnn_search import Scored, SearchOptions, judge, propose, refine, shipped
from facegeom.errors import WeightsError
from facegeom.images.boxes import Detection, iou, merge
from facegeom.images.image_files import ImageSource, read_photo
from facegeom.images.limits import MAX_PIXELS
from facegeom.networks.mtcnn import Mtcnn

SEARCH_SIDE = 320
"""Length in pixels of the longer side of the searched image, unless a small `min_size` needs a larger image."""

SMALLEST_FACE = 20
"""Side length in pixels of the smallest face in the searched image, which is the window size of OpenCV's cascades."""

MIN_SCORE = 0.9
"""Default minimum score of a detection, in [0, 1]."""

SURE_SCORE = 0.9
"""Minimum score of a detection after which the profile cascades, the slowest step, are not run."""

VOTE_WEIGHT = 0.5
"""Factor on log(1 + votes of the cascades), which is added to the log-odds of the score of the networks."""


@dataclass(frozen=True)
class Cascade:
    """One of OpenCV's cascades, and the box of the 68 landmarks relative to the square that the cascade finds.

    `offset` is the vector from the centre of the square to the centre of the landmark box, and `size` is the width and
    height of the landmark box, in units of the side length of the square. The values are medians over 1,000 training
    photos of LFW, measured with the landmarks of an earlier fit. With the current landmarks the box is wider at the jaw
    (0.85 to 0.92 of the square); the second crop of the reconstruction corrects this difference.
    """

    file: str
    mirrored: bool  # True: the cascade searches the mirrored image, and its boxes are mirrored back
    offset: tuple[float, float]
    size: tuple[float, float]
    weight: float  # weight of one accepted window in the votes


FRONTAL = (
    Cascade("haarcascade_frontalface_default.xml", False, (0.0, 0.153), (0.797, 0.785), 1.0),
    Cascade("haarcascade_frontalface_alt2.xml", False, (0.0, 0.169), (0.845, 0.845), 1.5),
)
PROFILE = (
    Cascade("haarcascade_profileface.xml", False, (-0.01, 0.155), (0.69, 0.705), 2.5),
    Cascade("haarcascade_profileface.xml", True, (0.01, 0.155), (0.69, 0.705), 2.5),
)
GROUP_OVERLAP = 0.4
"""Minimum IoU of two cascade windows that show the same face, and of a cascade window and a box whose score the window
raises."""

MOST_MERGED = 12
"""Maximum number of groups of cascade windows that the networks score; groups with larger weights come first."""


def detect(
    image: ImageSource,
    *,
    min_size: float | None = None,
    min_score: float = MIN_SCORE,
    max_pixels: int = MAX_PIXELS,
) -> list[Detection]:
    """Find the faces in a photo; return boxes with scores, highest score first.

    Parameters
    ----------
    image : path, bytes, binary file object, PIL image, (h, w, 3) array or torch tensor; see `facegeom.load_image`
    min_size : side length of the smallest face to find, in pixels of `image`; None: 1/16 of the longer side of `image`,
        but at least 20
    min_score : minimum score of a returned detection, in [0, 1]
    max_pixels : largest number of pixels of the photo; see `facegeom.load_image`

    Returns
    -------
    list of (x0, y0, x1, y1, score)
        Box of the 68 landmarks in pixels of `image`, which may extend beyond `image`, and a score in (0, 1]. The list
        is empty if no face is found.

    Raises
    ------
    TypeError, ValueError
        When `image` is of a type that is not listed above, `min_size` is not a number above 0 or `min_score` is not in
        [0, 1].
    ImageError, FileNotFoundError
        When the image cannot be read.
    WeightsError
        When the networks' weights or OpenCV's cascades are missing.

    Notes
    -----
    The search runs on the photo scaled so that the smallest face is 20 pixels wide; by default the longer side of the
    scaled photo is then at most 320 pixels. With a smaller `min_size`, the time grows as 1 / `min_size` squared.

    Examples
    --------
    >>> detect(np.zeros((64, 64, 3), dtype=np.uint8))
    []
    """
    least = None if min_size is None else check.positive(min_size, "min_size")
    min_score = check.in_range(min_score, "min_score", 0.0, 1.0)
    photo = read_photo(image, max_pixels=max_pixels)
    if least is not None:
        least /= photo.reduction
    found = find_faces(photo.image, min_size=least, min_score=min_score)
    return [photo.detection_in_photo(face) for face in found]


@one_thread()
def find_faces(photo: ByteArray, *, min_size: float | None = None, min_score: float = MIN_SCORE) -> list[Detection]:
    """Return the faces in a photo, (h, w, 3) uint8, highest score first; like `detect`, but without argument checks."""
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
    """Return all detections in the searched image, highest score first, with boxes in corner coordinates."""
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
    """Return the boxes of the output network, with scores raised by `_supported`.

    The input of the output network are the boxes `own` (n, 4) of the first two networks and the merged `windows` (k, 4)
    of the cascades, which have the weights (k,).
    """
    merged, _ = merge(windows, weights, GROUP_OVERLAP)
    candidates = np.concatenate([own, merged[:MOST_MERGED]])
    return _supported(judge(network, image, candidates, SearchOptions()), windows, weights)


def _supported(found: Scored, windows: FloatArray, weights: FloatArray) -> Scored:
    """Return the boxes, highest score first, with higher scores for boxes that overlap cascade windows (k, 4) with
    weights (k,).
    """
    votes = (iou(found.boxes, windows) >= GROUP_OVERLAP) @ weights
    odds = np.log(found.scores + 1e-9) - np.log(1 - found.scores + 1e-9) + VOTE_WEIGHT * np.log1p(votes)
    scores = 1 / (1 + np.exp(-odds))
    order = np.argsort(-scores, kind="stable")
    return Scored(found.boxes[order], scores[order])


def cascade_windows(image: ByteArray, cascades: tuple[Cascade, ...]) -> tuple[FloatArray, FloatArray]:
    """Return the landmark boxes of all windows that a cascade accepts, without grouping.

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
    rows = rows[np.lexsort(rows.T)]  # OpenCV's threads return the windows in any order
    return rows[:, :4], rows[:, 4]


def _search_image(photo: ByteArray, min_size: float | None) -> tuple[ByteArray, float]:
    """Return the photo scaled so that the smallest face sought is SMALLEST_FACE pixels wide, and the scale."""
    height, width = photo.shape[:2]
    scale = min(1.0, SEARCH_SIDE / max(height, width) if min_size is None else SMALLEST_FACE / min_size)
    if scale == 1.0:
        return photo, 1.0
    size = (max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), scale


class _Classifiers(threading.local):
    """The cascades of one thread: a `CascadeClassifier` keeps the searched image, so threads must not share it."""

    def __init__(self) -> None:
        self.by_file: dict[str, cv2.CascadeClassifier] = {}


_classifiers = _Classifiers()


def _classifier(file: str) -> cv2.CascadeClassifier:
    """Return one of OpenCV's cascades; each thread loads it once."""
    if file in _classifiers.by_file:
        return _classifiers.by_file[file]
    if not hasattr(cv2, "CascadeClassifier"):
        raise WeightsError(f"OpenCV {cv2.__version__} has no cascades; install opencv-python-headless>=4.10,<5")
    folder = Path(str(cv2.data.haarcascades))  # type: ignore[attr-defined]
    classifier = cv2.CascadeClassifier(str(folder / file))
    if classifier.empty():
        raise WeightsError(f"OpenCV's {file} is missing or damaged")
    _classifiers.by_file[file] = classifier
    return classifier
