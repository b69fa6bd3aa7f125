"""`facegeom evaluate roll`: faces found, and their landmarks, in portraits that are turned by any angle.

Twelve frontal portraits are turned by 24 angles. The truth are the FaceMesh landmarks of the upright portrait, turned
likewise. The error of a turned portrait is compared with the error of the same portrait at 0 degrees.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.detection import DETECTORS
from facegeom.detection.detector import find_faces
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.point_fit import similarity
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, crop_affine, warp_image
from facegeom.images.image_files import load_image
from facegeom.measures.metrics import box_overlap, landmark_box, landmark_error
from facegeom.measures.report import show, table, write_json
from facegeom.pipelines import DEFAULT_PIPELINE, PIPELINES
from facegeom.reconstruction import reconstruct
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT, find_photos

PORTRAITS, ANGLES = 12, 24
"""Numbers of portraits and of angles, evenly spread over 360 degrees."""

FRONTAL_DEG = 6.0
"""Largest yaw, pitch and roll in degrees of a frontal portrait. Pitch is relative to the median of all portraits."""

FOUND_OVERLAP = 0.5
"""Minimum IoU of the box of the predicted landmarks and the box of the true landmarks of a found face."""

LARGEST_RATIO = 1.2
"""Error of a turned portrait / error of the upright portrait, up to which the landmarks count as good."""

Landmarks = Callable[[ByteArray, "Box | None"], "FloatArray | None"]
"""Returns the 468 projected landmarks (468, 2) of a photo, in which the face may be given by a box; None: no face."""


class TurnedPortrait(NamedTuple):
    """A portrait (h, w, 3) uint8, turned by `degrees` counter-clockwise, and its true landmarks (468, 2), pixels."""

    name: str
    degrees: float
    photo: ByteArray
    truth: FloatArray


@dataclass(frozen=True)
class RollResult:
    """The result for one turned portrait.

    Attributes
    ----------
    name : file name of the portrait
    degrees : angle by which the portrait is turned
    detected : whether a detected box has an IoU of at least 0.5 with the box of the landmarks
    found : whether the landmarks predicted without a box have such a box
    error : normalised mean error of these landmarks, as a fraction; NaN if the face is not found
    error_in_box : the same for landmarks that are predicted in the true box
    """

    name: str
    degrees: float
    detected: bool
    found: bool
    error: float
    error_in_box: float


def frontal_portraits(landmarks: FloatArray, count: int = PORTRAITS) -> IntArray:
    """Return the rows of `count` frontal portraits, evenly spread over all frontal portraits.

    Parameters
    ----------
    landmarks : (n, 478, 3) float array, pixels, y down, z to the back

    Raises
    ------
    FacegeomError
        If there are fewer frontal portraits.
    """
    mean = load_face_model()
    points = mean.landmarks468(mean.mean)
    poses = np.array(
        [Camera(similarity(points, rows[:468] * (1, -1, -1))[0], 1.0, np.zeros(2)).pose for rows in landmarks]
    )
    poses[:, 1] -= np.median(poses[:, 1])  # the pitch of FaceMesh depends on its scale of z
    rows = np.flatnonzero((np.abs(poses) <= FRONTAL_DEG).all(axis=1))
    if len(rows) < count:
        raise FacegeomError(f"there are {len(rows)} frontal portraits, {count} are needed")
    return rows[(2 * np.arange(count) + 1) * len(rows) // (2 * count)]


def turned_portraits(
    photos: Mapping[str, Path], names: list[str], landmarks: FloatArray, angles: int = ANGLES
) -> list[TurnedPortrait]:
    """Return portraits turned by evenly spread angles, on a black square that contains the whole portrait.

    Parameters
    ----------
    photos : file name -> path
    names : file names of the portraits
    landmarks : (n, 478, 3) float array, pixels
    angles : number of angles
    """
    turned = []
    for name, points in zip(names, landmarks, strict=True):
        photo = load_image(photos[name])
        height, width = photo.shape[:2]
        side = math.ceil(math.hypot(height, width))
        x, y, half = 0.5 * (width - 1), 0.5 * (height - 1), 0.5 * side
        for number in range(angles):
            degrees = 360.0 * number / angles
            affine = crop_affine((x - half, y - half, x + half, y + half), side, degrees)
            turned.append(
                TurnedPortrait(name, degrees, warp_image(photo, affine, side), apply_affine(affine, points[:468, :2]))
            )
    return turned


def evaluate(portraits: list[TurnedPortrait], predict: Landmarks, detector: str = "yunet") -> list[RollResult]:
    """Detect and predict the landmarks of turned portraits.

    Parameters
    ----------
    portraits : from `turned_portraits`
    predict : function that returns the landmarks of the face in a photo
    detector : "yunet" or "mtcnn"
    """
    results = []
    for portrait in tqdm(portraits, unit="photo", desc="roll"):
        truth = landmark_box(portrait.truth)
        faces = find_faces(portrait.photo, detector="mtcnn" if detector == "mtcnn" else "yunet")
        detected = any(box_overlap(face.box, truth) >= FOUND_OVERLAP for face in faces)
        points = predict(portrait.photo, None)
        found = points is not None and box_overlap(landmark_box(points), truth) >= FOUND_OVERLAP
        x0, y0, x1, y1 = truth.tolist()
        given = predict(portrait.photo, (x0, y0, x1, y1))
        results.append(
            RollResult(
                portrait.name,
                portrait.degrees,
                detected,
                found,
                landmark_error(points, portrait.truth) if found and points is not None else math.nan,
                math.nan if given is None else landmark_error(given, portrait.truth),
            )
        )
    return results


def summarise(results: list[RollResult]) -> dict[str, Any]:
    """Return the shares of found portraits and of good landmarks, for all portraits and for each angle.

    Landmarks are good if the face is found and the error is at most 1.2 times that of the upright portrait.
    """
    upright = {result.name: result for result in results if result.degrees == 0.0}

    def shares(chosen: list[RollResult]) -> dict[str, Any]:
        ratios = {
            key: np.array([getattr(one, key) / getattr(upright[one.name], key) for one in chosen])
            for key in ("error", "error_in_box")
        }
        return {
            "photos": len(chosen),
            "detected": float(np.mean([one.detected for one in chosen])),
            "found": float(np.mean([one.found for one in chosen])),
            "good": float(np.mean(ratios["error"] <= LARGEST_RATIO)),
            "good_in_box": float(np.mean(ratios["error_in_box"] <= LARGEST_RATIO)),
            "median_ratio": float(np.nanmedian(ratios["error"])) if any(one.found for one in chosen) else math.nan,
        }

    angles = dict.fromkeys(result.degrees for result in results)
    return {
        "benchmark": "roll",
        "all": shares(results),
        "upright_error": float(np.mean([result.error for result in upright.values()])),
        "angles": [
            {"degrees": degrees, **shares([result for result in results if result.degrees == degrees])}
            for degrees in angles
        ],
    }


def format_summary(summary: dict[str, Any]) -> str:
    """Return the result of `summarise` as a text table."""
    header = ["roll", "photos", "detected %", "found %", "good %", "good in box %", "median ratio"]
    rows = [
        [name, part["photos"], *(100 * part[key] for key in ("detected", "found", "good", "good_in_box")),
         part["median_ratio"]]
        for name, part in (
            *((f"{part['degrees']:.0f}", part) for part in summary["angles"]), ("all", summary["all"])
        )
    ]  # fmt: skip
    return (
        f"landmarks: error of the upright portraits {100 * summary['upright_error']:.2f} % of the box; "
        f"good: at most {LARGEST_RATIO} times that of the same portrait upright\n" + table(header, rows, 2)
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate roll`."""
    parser.add_argument("photos", metavar="PHOTOS", help="folder that contains the portraits, also in subfolders")
    parser.add_argument(
        "--landmarks", metavar="FILE", required=True, help="file written by `facegeom prepare landmarks`"
    )
    parser.add_argument(
        "--pipeline", choices=PIPELINES, default=DEFAULT_PIPELINE, help="reconstruction method (default: %(default)s)"
    )
    parser.add_argument(
        "--detector", choices=DETECTORS, default=DETECTORS[0], help="face detector (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def run(args: argparse.Namespace) -> int:
    """Evaluate turned portraits, print the table and write the requested file; return the exit code."""
    photos = find_photos(args.photos)
    with np.load(args.landmarks) as data:
        names, landmarks = data["names"], data["landmarks"].astype(np.float64) * LANDMARK_UNIT - LANDMARK_ORIGIN
    have = np.array([str(name) in photos for name in names])
    names, landmarks = names[have], landmarks[have]
    rows = frontal_portraits(landmarks)
    portraits = turned_portraits(photos, [str(name) for name in names[rows]], landmarks[rows])

    def predict(photo: ByteArray, box: Box | None) -> FloatArray | None:
        try:
            rec = reconstruct(photo, box=box, pipeline=args.pipeline, detector=args.detector)
        except NoFaceFound:
            return None
        return rec.camera.project(rec.landmarks468)

    results = evaluate(portraits, predict, args.detector)
    summary = summarise(results)
    show(format_summary(summary))
    if args.json:
        write_json(args.json, {**summary, "portraits": results})
    return 0
