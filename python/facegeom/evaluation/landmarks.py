"""`facegeom evaluate landmarks`: the 468 FaceMesh points of portraits, for decisions about networks and fits.

The points of the photos are those of `facegeom prepare landmarks`. They see lids and lips well, and an outline only as
well as FaceMesh knows it. The box of the points is given, so that the detector takes no part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation.expressions import face_box, read_landmarks
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.image_files import load_image
from facegeom.measures.openings import openings
from facegeom.measures.report import show, table, write_json
from facegeom.pipelines.map_prediction import predict_maps
from facegeom.reconstruction import reconstruct
from facegeom.training.data.labels import find_photos, yaw_deg
from facegeom.training.data.split import split_names

TURNED_DEG = 15.0
"""Yaw from which a face counts as turned, degrees."""

WIDE_MOUTH, SHUT_EYE = 0.3, 0.15
"""Opening / width of a mouth that is wide open, and of an eye that is closed, by the points of the photo."""

METHODS = ("reconstruct", "predict")
"""reconstruct: the points of the registered mesh; predict: those of the fit."""

LOW_SCORE = 0.05
"""Share of the photos that have a lower score than the one that is reported."""

Finder = Callable[[ByteArray, Box], tuple[FloatArray, Camera, float]]
"""Function (photo, box) -> FaceMesh points (468, 3), face frame, mm; camera; score."""


@dataclass(frozen=True)
class PhotoLandmarks:
    """Result for one photo.

    Attributes
    ----------
    name : file name
    yaw_deg : absolute yaw of the reconstructed face, degrees
    error : mean distance of the 468 points / square root of the area of their box, percent
    mouth, true_mouth : opening of the mouth / its width, of the reconstruction and of the photo's points
    eye, true_eye : the same for the mean of both eyes
    score : how plausible the predicted maps are, in [0, 1]
    """

    name: str
    yaw_deg: float
    error: float
    mouth: float
    true_mouth: float
    eye: float
    true_eye: float
    score: float


def compare(name: str, found: FloatArray, camera: Camera, score: float, true: FloatArray) -> PhotoLandmarks:
    """Compare points found (468, 3), face frame, mm, with those of the photo (468, 3), pixels."""
    places = true[:468, :2]
    size = float(np.sqrt(np.prod(np.ptp(places, axis=0))))
    error = float(np.linalg.norm(camera.project(found) - places, axis=1).mean()) / size * 100
    mesh, photo = openings(found), openings(true)
    eyes = [0.5 * (one.right_eye + one.left_eye) for one in (mesh, photo)]
    yaw = abs(float(yaw_deg(camera.rotation)))
    return PhotoLandmarks(name, yaw, error, mesh.mouth, photo.mouth, eyes[0], eyes[1], score)


def with_face_height(photo: ByteArray, points: FloatArray, height: float) -> tuple[ByteArray, FloatArray]:
    """Reduce a photo until its face is `height` pixels high.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    points : (n, 3) float array, FaceMesh points in the photo, pixels
    height : height of the box of the points in the reduced photo; a photo with a smaller face is returned unchanged

    Returns
    -------
    photo : (H, W, 3) uint8 array
    points : (n, 3) float array, the points in it
    """
    scale = height / float(np.ptp(points[:, 1]))
    if scale >= 1:
        return photo, points
    rows, columns = (max(1, round(side * scale)) for side in photo.shape[:2])
    factors = np.array([columns / photo.shape[1], rows / photo.shape[0], scale])
    small = cv2.resize(photo, (columns, rows), interpolation=cv2.INTER_AREA)
    half = np.array([0.5, 0.5, 0.0])
    return np.asarray(small), (points + half) * factors - half


def measure(
    photos: dict[str, Path], landmarks: dict[str, FloatArray], find: Finder, height: float = np.inf
) -> Iterator[PhotoLandmarks]:
    """Yield the results of photos, file name -> path; photos in which no face is found are left out.

    `height` is that of the faces in pixels, see `with_face_height`.
    """
    for name, path in tqdm(sorted(photos.items()), desc="landmarks", unit="photo"):
        photo, points = with_face_height(load_image(path), landmarks[name], height)
        try:
            found, camera, score = find(photo, face_box(points))
        except NoFaceFound:
            continue
        yield compare(name, found, camera, score, points)


def summarise(results: Sequence[PhotoLandmarks]) -> list[tuple[str, int, float]]:
    """Return rows (what is measured, number of photos, value); NaN if there are no such photos."""
    error, yaw, mouth, true_mouth, eye, true_eye = (
        np.array([getattr(one, name) for one in results])
        for name in ("error", "yaw_deg", "mouth", "true_mouth", "eye", "true_eye")
    )
    turned, wide, shut = yaw >= TURNED_DEG, true_mouth >= WIDE_MOUTH, true_eye <= SHUT_EYE
    rows = [
        ("mean distance, all", error, np.ones(len(results), bool)),
        (f"mean distance, yaw below {TURNED_DEG:g}", error, ~turned),
        (f"mean distance, yaw from {TURNED_DEG:g}", error, turned),
        ("opening of wide mouths, reconstructed / true", mouth / np.maximum(true_mouth, 1e-6), wide),
        ("opening of closed eyes, reconstructed - true", eye - true_eye, shut),
    ]
    means = [
        (what, int(chosen.sum()), float(values[chosen].mean()) if chosen.any() else float("nan"))
        for what, values, chosen in rows
    ]
    low = float(np.quantile([one.score for one in results], LOW_SCORE)) if results else float("nan")
    return [*means, (f"score, quantile {LOW_SCORE:g}", len(results), low)]


def points_of(photo: ByteArray, box: Box, method: str, device: str) -> tuple[FloatArray, Camera, float]:
    """Return the FaceMesh points, the camera and the score of a face, by one of `METHODS`."""
    if method == "predict":
        prediction = predict_maps(photo, box, device)
        return prediction.landmarks468, prediction.camera, prediction.score
    found = reconstruct(photo, box=box, device=device)
    return found.landmarks468, found.camera, found.score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate landmarks` to a parser."""
    parser.add_argument("photos", help="folder that contains the photos, also in subfolders")
    parser.add_argument("--landmarks", required=True, metavar="FILE", help="file of `facegeom prepare landmarks`")
    parser.add_argument(
        "--part", choices=("validation", "test"), default="validation", help="part of the split (default: %(default)s)"
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=METHODS[0],
        help="reconstruct: the registered mesh; predict: the fit before it (default: %(default)s)",
    )
    parser.add_argument(
        "--face-height", type=int, metavar="PIXELS", help="reduce photos with larger faces to faces of this height"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th photo (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="device of the networks (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return no file: the results are written to `--json` only."""
    return []


def run(args: argparse.Namespace) -> int:
    """Evaluate the points, print the table and write the requested file; return the exit code."""
    every = check.count(args.every, "--every", 1)
    height = np.inf if args.face_height is None else check.count(args.face_height, "--face-height", 16)
    photos, landmarks = find_photos(args.photos), read_landmarks([args.landmarks])
    names = sorted(name for name in photos if name in landmarks)
    part = [names[row] for row in getattr(split_names(names), args.part)][::every]
    if not part:
        raise FacegeomError(f"no {args.part} photo below {args.photos} has landmarks in {args.landmarks}")
    find = partial(points_of, method=args.method, device=args.device)
    results = list(measure({name: photos[name] for name in part}, landmarks, find, height))
    rows = summarise(results)
    show(f"{len(part)} photos, {len(part) - len(results)} without a face; distances in percent of the size of the face")
    show(table(["measure", "photos", "value"], [list(row) for row in rows], digits=3))
    if args.json:
        write_json(
            args.json,
            {
                "benchmark": "landmarks",
                "method": args.method,
                "summary": {what: value for what, _, value in rows},
                "photos": [asdict(one) for one in results],
            },
        )
    return 0
