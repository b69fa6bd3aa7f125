"""The aligned crop of a face, the input of the identity network, computed with NumPy.

It is rotated, scaled and translated so that the 51 landmarks of the brows, eyes, nose and mouth fit those of the mean
face in the same pose. Then the identity is visible as the difference between the crop and the mean face.
"""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import SeenPoints
from facegeom.face_model.point_fit import FitPrior
from facegeom.images.crop import apply_affine, invert_affine, warp_image
from facegeom.networks.interface import IdentityPredictor

INNER_LANDMARKS = slice(17, 68)  # of the 68 points: brows, nose, eyes and mouth, without the jaw
FRAME_MM = 200.0  # side of the aligned crop; the face part of the mean is 179 mm high

CHANGED_CROPS = (
    (0.5, 0.5, 0.6, 1.012),
    (-0.5, 0.5, -0.6, 0.988),
    (0.5, -0.5, -0.6, 1.0),
    (-0.5, -0.5, 0.6, 1.0),
)
"""Small changes of the aligned crop, whose answers are averaged: shift in pixels, rotation in degrees, scale.

They are as large as the errors of the landmarks that place the crop. The model card of the identity network states what
the average gains.
"""


def aligned_affine(
    model: FaceModel, landmarks: FloatArray, rotation: FloatArray, size: int, frame_mm: float = FRAME_MM
) -> FloatArray:
    """Return the similarity transform from pixels of a photo to pixels of the aligned crop.

    Parameters
    ----------
    model : FaceModel
    landmarks : (51, 2) float array, the landmarks without the jaw in pixels of the photo, y down
    rotation : (3, 3) float array, face frame to camera frame, for example of a fit
    size : side of the crop in pixels
    frame_mm : side of the crop in mm of the mean face

    Returns
    -------
    (2, 3) float array
        Least-squares fit of the landmarks to those of the mean face, which has the same rotation but no roll.
    """
    template = aligned_template(model, rotation) * (size / frame_mm) + 0.5 * (size - 1)
    source, target = landmarks - landmarks.mean(0), template - template.mean(0)
    a = (source * target).sum()
    b = (source[:, 0] * target[:, 1] - source[:, 1] * target[:, 0]).sum()
    linear = np.array([[a, -b], [b, a]]) / (source**2).sum()
    return np.column_stack([linear, template.mean(0) - linear @ landmarks.mean(0)])


def aligned_template(model: FaceModel, rotation: FloatArray, vertices: IntArray | None = None) -> FloatArray:
    """Return the positions of vertices of the mean face in the aligned crop, (v, 2) mm from its centre, y down.

    Parameters
    ----------
    model : FaceModel
    rotation : (3, 3) float array, face frame to camera frame; its roll is removed
    vertices : (v,) int array, optional
        By default the 51 landmarks without the jaw.
    """
    roll = np.arctan2(rotation[0, 1], rotation[1, 1])
    cosine, sine = np.cos(roll), np.sin(roll)
    upright = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ rotation
    points, centre = _mean_landmarks(model)
    if vertices is not None:
        points = model.mean[vertices]
    return np.asarray(((points - centre) @ upright.T)[:, :2] * np.array([1.0, -1.0]))


@load_once(maxsize=2)
def _mean_landmarks(model: FaceModel) -> tuple[FloatArray, FloatArray]:
    """Return the 51 landmarks of the mean face, and the centre of the bounding box of its visible part."""
    face = model.mean[: model.face_vertex_count][model.regions["map"][: model.face_vertex_count]]
    return model.mean[model.landmarks68[INNER_LANDMARKS]], 0.5 * (face.min(0) + face.max(0))


@load_once(maxsize=2)
def face_points(model: FaceModel, count: int = 128) -> IntArray:
    """Return vertices distributed over the face, (count,): those of the left half, then their mirror images.

    The landmarks of the left half come first. The others are selected by farthest point sampling.
    """
    half = count // 2
    allowed = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
    allowed = allowed[model.mean[allowed, 0] > 0.5]
    chosen = [int(v) for v in dict.fromkeys(model.landmarks68[INNER_LANDMARKS]) if model.mean[v, 0] > 0.5][:half]
    places = model.mean[allowed]
    distance = np.linalg.norm(places[:, None] - model.mean[chosen], axis=2).min(1)
    while len(chosen) < half:
        farthest = int(distance.argmax())
        chosen.append(int(allowed[farthest]))
        distance = np.minimum(distance, np.linalg.norm(places - places[farthest], axis=1))
    left = np.array(chosen, dtype=np.int64)
    return np.concatenate([left, model.mirror[left]])


def see_identity(
    network: IdentityPredictor, model: FaceModel, photo: ByteArray, landmarks: FloatArray, rotation: FloatArray
) -> tuple[FitPrior, SeenPoints | None]:
    """Predict the identity of a face in a photo, as the prior of a fit, and points of the face.

    Parameters
    ----------
    network : IdentityPredictor
    model : FaceModel
    photo : (h, w, 3) uint8 array, RGB
    landmarks : (68, 2) float array, pixels of the photo
    rotation : (3, 3) float array, face frame to camera frame

    Returns
    -------
    FitPrior, and SeenPoints in pixels of the photo or None if the network predicts no points
    """
    size = network.size
    affines = changed_crops(aligned_affine(model, landmarks[INNER_LANDMARKS], rotation, size), size)
    answers = network.predict(np.stack([warp_image(photo, affine, size) for affine in affines]))
    seen, places = None, []
    for answer, affine in zip(answers, affines, strict=True):
        if answer.points is not None:
            vertices = face_points(model, len(answer.points))
            placed = answer.points + aligned_template(model, np.eye(3), vertices)
            places.append(apply_affine(invert_affine(affine), placed * (size / FRAME_MM) + 0.5 * (size - 1)))
    if places:
        seen = SeenPoints(vertices, np.mean(places, axis=0))
    mean = np.mean([answer.mean for answer in answers], axis=0)
    deviation = np.mean([answer.deviation for answer in answers], axis=0)
    return FitPrior(mean, deviation**2), seen


def changed_crops(affine: FloatArray, size: int) -> list[FloatArray]:
    """Return the transforms (2, 3) from a photo to each of `CHANGED_CROPS`, for the transform to the aligned crop."""
    centre, changed = 0.5 * (size - 1), []
    for dx, dy, degrees, scale in CHANGED_CROPS:
        cosine, sine = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
        turn = np.array([[cosine, -sine], [sine, cosine]])
        out = turn @ affine
        out[:, 2] += np.array([dx, dy]) + centre - turn @ np.array([centre, centre])
        changed.append(out)
    return changed
