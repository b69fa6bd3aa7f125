"""The crops of the eyes and the lips, the input of the contour network, computed with NumPy.

Each crop is turned and scaled by the alignment of the whole face (`identity_crop`), and centred on a fitted landmark
position. The crop of the left eye is mirrored, so that one set of weights sees both eyes alike.
"""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import CONTOURS, Contours
from facegeom.images.crop import apply_affine, invert_affine, warp_image
from facegeom.networks.identity_crop import aligned_affine
from facegeom.networks.interface import ContourAnswer, ContourPredictor

EYE_MM, LIPS_MM = 56.0, 104.0
"""Sides of the crops, in mm of the mean face. An eye is 30 mm wide, wide open lips are 80 mm high."""

LOWER_MM = 10.0
"""Distance by which the centre of the lips' crop is below the corners of the mouth: mouths open downwards."""

CORNERS = ((19, 22), (25, 28), (31, 37))
"""Corners of the right eye, the left eye and the mouth among the 51 landmarks without the jaw."""

FRAMES_MM = np.array([EYE_MM, EYE_MM, LIPS_MM])
MIRRORED = np.array([False, True, False])
PARTS = tuple(np.split(np.arange(sum(map(len, CONTOURS))), np.cumsum([len(part) for part in CONTOURS])[:-1]))
"""Rows of the 72 contour points that belong to each of the three crops."""


_RING = (10 - np.arange(20)) % 20
CONTOUR_MIRROR = np.concatenate([np.arange(16, 32), np.arange(16), 32 + _RING, 52 + _RING])
"""Row of the mirror image of each of the 72 contour points."""


def with_mirror_images(crops: ByteArray) -> ByteArray:
    """Return crops (b, 3, S, S, 3), followed by the crops of the mirrored photos."""
    mirrored = crops[:, [1, 0, 2]]  # the crop of the left eye is mirrored already
    mirrored[:, 2] = mirrored[:, 2, :, ::-1]
    return np.concatenate([crops, mirrored])


def contour_answers(places: Float32Array, log_deviation: Float32Array) -> list[ContourAnswer]:
    """Return the answers for b faces from the outputs of the network for `with_mirror_images`.

    Parameters
    ----------
    places : (2 b, 72, 2) float array, mm
        Averaged over each crop and its mirror image.
    log_deviation : (2 b, 3) float array
        Logarithm of the mean absolute error of a Laplace distribution, whose standard deviation is larger by the square
        root of 2. That of the crop itself counts.
    """
    count = len(places) // 2
    back = places[count:, CONTOUR_MIRROR].astype(np.float64)
    back[:, PARTS[2], 0] *= -1.0
    deviation = np.sqrt(2.0) * np.exp(log_deviation[:count].astype(np.float64))
    return [ContourAnswer(*answer) for answer in zip(0.5 * (places[:count] + back), deviation, strict=True)]


def contour_affines(
    model: FaceModel, landmarks: FloatArray, rotation: FloatArray, size: int, shift_mm: FloatArray | None = None
) -> FloatArray:
    """Return the transforms from pixels of a photo to pixels of the three crops.

    Parameters
    ----------
    model : FaceModel
    landmarks : (51, 2) float array, the landmarks without the jaw in pixels of the photo, y down
    rotation : (3, 3) float array, face frame to camera frame
    size : side of the crops in pixels
    shift_mm : (3, 2) float array, optional
        Displacements of the centres of the crops, for the training.

    Returns
    -------
    (3, 2, 3) float array
        For the right eye, the left eye (mirrored) and the lips.
    """
    in_mm = aligned_affine(model, landmarks, rotation, 1, 1.0)
    placed = apply_affine(in_mm, landmarks)
    affines = np.empty((3, 2, 3))
    for part, (corners, frame, mirrored) in enumerate(zip(CORNERS, FRAMES_MM, MIRRORED, strict=True)):
        centre = placed[list(corners)].mean(0)
        if part == 2:
            centre[1] += LOWER_MM
        if shift_mm is not None:
            centre += shift_mm[part]
        scale = size / frame * np.array([-1.0 if mirrored else 1.0, 1.0])
        affines[part, :, :2] = scale[:, None] * in_mm[:, :2]
        affines[part, :, 2] = scale * (in_mm[:, 2] - centre) + 0.5 * (size - 1)
    return affines


def to_crops(affines: FloatArray, places: FloatArray, size: int) -> FloatArray:
    """Return contour points (72, 2), pixels of the photo, in mm from the centre of the crop of each contour."""
    placed = np.empty_like(places)
    for rows, affine, frame in zip(PARTS, affines, FRAMES_MM, strict=True):
        placed[rows] = (apply_affine(affine, places[rows]) - 0.5 * (size - 1)) * (frame / size)
    return placed


def from_crops(affines: FloatArray, placed: FloatArray, size: int) -> FloatArray:
    """Return contour points in pixels of the photo, from mm in the crops; the inverse of `to_crops`."""
    places = np.empty_like(placed)
    for rows, affine, frame in zip(PARTS, affines, FRAMES_MM, strict=True):
        places[rows] = apply_affine(invert_affine(affine), placed[rows] * (size / frame) + 0.5 * (size - 1))
    return places


def predict_contours(
    network: ContourPredictor, model: FaceModel, photo: ByteArray, landmarks: FloatArray, rotation: FloatArray
) -> Contours:
    """Predict the contours of the eyes and the lips of a face in a photo.

    Parameters
    ----------
    network : ContourPredictor
    model : FaceModel
    photo : (h, w, 3) uint8 array, RGB
    landmarks : (68, 2) float array, pixels of the photo
    rotation : (3, 3) float array, face frame to camera frame

    Returns
    -------
    Contours
        In pixels of the photo.
    """
    affines = contour_affines(model, landmarks[17:], rotation, network.size)
    crops = np.stack([warp_image(photo, affine, network.size) for affine in affines])
    answer = network.predict(crops[None])[0]
    return Contours(from_crops(affines, answer.places, network.size), answer.deviation)
