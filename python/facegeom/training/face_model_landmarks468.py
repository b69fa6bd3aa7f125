"""Where FaceMesh's 468 points lie on our face: `facegeom prepare calibrate`.

The points come as the place on the ICT mean that is nearest to MediaPipe's canonical face. That face has other
proportions: FaceMesh puts its forehead points, for one, about 4 mm lower than those places, and a fit would bend every
face to make up for it. So each point is moved along the surface to where it lies on average in real photos, except on
the lips and the lids, whose contours are anatomy and not a convention.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from facegeom._check import FloatArray, IntArray
from facegeom.face_model.fitting import FitOptions, PointBasis, fit_landmarks
from facegeom.face_model.model import FaceModel, read_face_model
from facegeom.files import write_atomically
from facegeom.training.face_model_parts import nearest_place
from facegeom.training.labels import LANDMARK_UNIT, yaw_deg
from facegeom.training.split import split_names

LIPS = (
    0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185, 191, 267, 269, 270, 291,
    308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415,
)  # fmt: skip
LIDS = (
    7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246, 249, 263, 362, 373, 374, 380, 381,
    382, 384, 385, 386, 387, 388, 390, 398, 466,
)  # fmt: skip
ITERATIONS = 4
MAX_YAW_DEG = 25.0
PHOTOS = 400
STIFF = FitOptions(correlated_points=60.0)  # so that the mean stays the mean and the points give way


def calibrate_landmarks468(model: FaceModel, landmarks: FloatArray) -> tuple[FaceModel, list[float]]:
    """Return the model with the 468 points moved to their average place, and the mean misfit before each step in mm.

    Parameters
    ----------
    model : FaceModel
    landmarks : (p, 468, 3) float array, pixels, as FaceMesh gives them
    """
    moves = np.ones(468, bool)
    moves[list(LIPS + LIDS)] = False
    mirror = _mirrored_points(model)
    misfits = []
    for _ in range(ITERATIONS):
        residual = _mean_residual(model, landmarks)
        residual = (residual + residual[mirror] * np.array([-1.0, 1.0, 1.0])) / 2
        misfits.append(float(np.sqrt((residual**2).sum(1).mean())))
        place = _points(model, model.mean) + residual
        corners, weights = nearest_place(place, model.mean, model.faces[: model.face_triangle_count])
        model = replace(
            model,
            landmarks468_triangles=np.where(moves[:, None], corners, model.landmarks468_triangles),
            landmarks468_barycentric=np.where(moves[:, None], weights, model.landmarks468_barycentric),
        )
    return model, misfits


def _points(model: FaceModel, V: FloatArray) -> FloatArray:
    points: FloatArray = np.einsum("pcd,pc->pd", V[model.landmarks468_triangles], model.landmarks468_barycentric)
    return points


def _mirrored_points(model: FaceModel) -> IntArray:
    P = _points(model, model.mean)
    Q = P * np.array([-1.0, 1.0, 1.0])
    return np.array([int(np.argmin(((P - q) ** 2).sum(1))) for q in Q])


def _mean_residual(model: FaceModel, landmarks: FloatArray) -> FloatArray:
    """Mean over near-frontal photos of (observed - fitted) across the image, in the face's frame, mm: (468, 3)."""
    basis = PointBasis.at_landmarks468(model, STIFF)
    total, count = np.zeros((468, 3)), 0
    for points in landmarks:
        fit = fit_landmarks(model, points, basis, STIFF)
        if abs(float(yaw_deg(fit.rotation))) > MAX_YAW_DEG:
            continue
        camera = _points(model, fit.vertices(model)) @ fit.rotation.T
        seen = (points[:, :2] - fit.translation) / fit.scale * np.array([1.0, -1.0])
        total += np.column_stack([seen - camera[:, :2], np.zeros(468)]) @ fit.rotation
        count += 1
    return total / max(count, 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom prepare calibrate`."""
    parser.add_argument("model", help="face model file to calibrate in place")
    parser.add_argument("--landmarks", required=True, help="file of `facegeom prepare landmarks`")


def run(args: argparse.Namespace) -> int:
    """Move the 468 points of the face model to where FaceMesh puts them on the training photos."""
    with np.load(args.landmarks) as data:
        rows = split_names([str(n) for n in data["names"]]).training
        rows = np.sort(np.random.default_rng(0).choice(rows, min(PHOTOS, len(rows)), replace=False))
        landmarks = data["landmarks"][rows, :468].astype(np.float64) * LANDMARK_UNIT
    model, misfits = calibrate_landmarks468(read_face_model(args.model), landmarks)
    store_arrays(
        args.model,
        landmarks468_triangles=model.landmarks468_triangles.astype(np.int32),
        landmarks468_barycentric=model.landmarks468_barycentric,
    )
    print("mean misfit before each step, mm: " + ", ".join(f"{m:.2f}" for m in misfits))
    return 0


def store_arrays(path: str | os.PathLike[str], **changed: np.ndarray) -> None:
    """Replace arrays of a face model file, the others staying as they are."""
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files} | changed

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as stream:
            np.savez_compressed(stream, **arrays)

    write_atomically(path, write)
