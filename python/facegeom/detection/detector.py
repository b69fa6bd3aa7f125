"""Detection of the faces in a photo, by YuNet or by the networks of MTCNN.

All boxes are converted to the bounding box of the 68 landmarks (brows to chin, jaw to jaw), in pixels of the photo.
`facegeom.detection.yunet` and `facegeom.detection.mtcnn_search` contain the two detectors.
"""

from __future__ import annotations

from importlib.util import find_spec

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import one_thread
from facegeom.detection import DETECTORS, Detector, yunet
from facegeom.detection.found_face import FoundFace, ordered
from facegeom.errors import FacegeomError
from facegeom.images.boxes import Detection
from facegeom.images.image_files import ImageSource, read_photo
from facegeom.images.limits import MAX_PIXELS

MIN_SCORE: dict[Detector, float] = {"yunet": 0.4, "mtcnn": 0.9}
"""Default minimum score of the faces that `detect` returns."""

CANDIDATE_SCORE: dict[Detector, float] = {"yunet": 0.3, "mtcnn": 0.4}
"""Minimum score of the faces that the networks of a pipeline check."""


def detect(
    image: ImageSource,
    *,
    min_face: float | None = None,
    min_score: float | None = None,
    detector: Detector = "yunet",
    max_pixels: int = MAX_PIXELS,
) -> list[Detection]:
    """Find the faces in a photo; return boxes with scores, best first.

    Parameters
    ----------
    image : path, bytes, binary file object, PIL image, (h, w, 3) array or torch tensor; see `facegeom.load_image`
    min_face : side length of the smallest face to find, in pixels of `image`; None: 1/32 of the longer side of `image`
    min_score : minimum score of a returned face, in [0, 1]; None: 0.4 for YuNet, 0.9 for MTCNN
    detector : "yunet": OpenCV's YuNet, which finds faces with any roll. "mtcnn": the three networks of Pixel2Mesh's
        paper, which find upright faces.
    max_pixels : largest number of pixels of the photo; see `facegeom.load_image`

    Returns
    -------
    list of (x0, y0, x1, y1, score)
        Box of the 68 landmarks in pixels of `image`, which may extend beyond `image`, and a score in (0, 1]. The list
        is empty if no face is found.

    Raises
    ------
    TypeError, ValueError
        When `image` is of a type that `load_image` refuses, `min_face` is not a number above 0, `min_score` is not in
        [0, 1] or there is no such detector.
    ImageError, FileNotFoundError
        When the image cannot be read.
    WeightsError
        When the weights of the detector are missing.

    Notes
    -----
    Best first means: in the order of box area x score x (1 - distance from the centre of the photo / half of its
    diagonal).

    The time grows with the area of the searched image. The longer side of this image is 320 pixels in the first search,
    and at most 20 / `min_face` times that of `image`, or 4,096 pixels, in the last one.

    Examples
    --------
    >>> import numpy as np
    >>> detect(np.zeros((64, 64, 3), dtype=np.uint8))
    []
    """
    least = None if min_face is None else check.positive(min_face, "min_face")
    name = check_detector(detector)
    least_score = MIN_SCORE[name] if min_score is None else check.in_range(min_score, "min_score", 0.0, 1.0)
    photo = read_photo(image, max_pixels=max_pixels)
    least = photo.length_in_image(least)
    found = find_faces(photo.image, min_face=least, min_score=least_score, detector=name)
    return [photo.detection_in_photo(face.detection) for face in found]


@one_thread()
def find_faces(
    photo: ByteArray, *, min_face: float | None = None, min_score: float | None = None, detector: Detector = "yunet"
) -> list[FoundFace]:
    """Return the faces in a photo, (h, w, 3) uint8, best first; like `detect`, but without argument checks.

    With `min_score` None, faces of `CANDIDATE_SCORE` are returned: those that the networks of a pipeline check.
    """
    least = CANDIDATE_SCORE[detector] if min_score is None else min_score
    height, width = photo.shape[:2]
    if detector == "yunet":
        found = yunet.find(photo, min_face)
    else:
        if find_spec("torch") is None:
            raise FacegeomError("detector='mtcnn' needs PyTorch: pip install torch, or use detector='yunet'")
        from facegeom.detection import mtcnn_search  # imports torch

        found = mtcnn_search.find(photo, min_face)
    return ordered((face for face in found if face.score >= least), width, height)


def check_detector(detector: str) -> Detector:
    """Return the name of a detector.

    Raises
    ------
    ValueError
        When there is no such detector.
    """
    for name in DETECTORS:
        if isinstance(detector, str) and detector == name:
            return name
    raise ValueError(f"there is no detector {detector!r}; available: {', '.join(DETECTORS)}")
