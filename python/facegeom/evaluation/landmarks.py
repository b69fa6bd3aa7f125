"""`facegeom evaluate landmarks`: the 468 FaceMesh points of portraits, for decisions about networks and fits.

The points of the photos are those of `facegeom prepare landmarks`. They see lids and lips well, and an outline only as
well as FaceMesh knows it. The box of the points is given, so that the detector takes no part, except with `--no-box`:
then the faces that are not found are named.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation.expressions import face_box, read_landmarks
from facegeom.face_model import load_face_model
from facegeom.face_model.size import relative_size
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


class Found(NamedTuple):
    """What is found in a photo.

    Attributes
    ----------
    points : (468, 3) float array, FaceMesh points, face frame, mm
    camera : Camera
    score : how plausible the predicted maps are, in [0, 1]
    size : size of the fitted face / size of the mean face, see `facegeom.face_model.size`
    """

    points: FloatArray
    camera: Camera
    score: float
    size: float


Finder = Callable[[ByteArray, Box | None], Found]
"""Function (photo, box or None to search the face) -> what is found."""


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
    score, size : see `Found`
    """

    name: str
    yaw_deg: float
    error: float
    mouth: float
    true_mouth: float
    eye: float
    true_eye: float
    score: float
    size: float


def compare(name: str, found: Found, true: FloatArray) -> PhotoLandmarks:
    """Compare what was found in a photo with the points of the photo (468, 3), pixels."""
    places = true[:468, :2]
    size = float(np.sqrt(np.prod(np.ptp(places, axis=0))))
    error = float(np.linalg.norm(found.camera.project(found.points) - places, axis=1).mean()) / size * 100
    mesh, photo = openings(found.points), openings(true)
    eyes = [0.5 * (one.right_eye + one.left_eye) for one in (mesh, photo)]
    yaw = abs(float(yaw_deg(found.camera.rotation)))
    return PhotoLandmarks(name, yaw, error, mesh.mouth, photo.mouth, eyes[0], eyes[1], found.score, found.size)


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
    photos: dict[str, Path],
    landmarks: dict[str, FloatArray],
    find: Finder,
    height: float = np.inf,
    *,
    with_box: bool = True,
) -> Iterator[PhotoLandmarks]:
    """Yield the results of photos, file name -> path; photos in which no face is found are left out.

    `height` is that of the faces in pixels, see `with_face_height`. `with_box` gives the box of the points.
    """
    for name, path in tqdm(sorted(photos.items()), desc="landmarks", unit="photo"):
        photo, points = with_face_height(load_image(path), landmarks[name], height)
        try:
            found = find(photo, face_box(points) if with_box else None)
        except NoFaceFound:
            continue
        yield compare(name, found, points)


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
    size = float(np.mean([one.size for one in results])) if results else float("nan")
    return [
        *means,
        ("size of the fitted face / mean face", len(results), size),
        (f"score, quantile {LOW_SCORE:g}", len(results), low),
    ]


def points_of(photo: ByteArray, box: Box | None, method: str, device: str) -> Found:
    """Return what is found of a face by one of `METHODS`."""
    model = load_face_model()
    if method == "predict":
        prediction = predict_maps(photo, box, device)
        size = relative_size(model, prediction.fit.identity)
        return Found(prediction.landmarks468, prediction.camera, prediction.score, size)
    found = reconstruct(photo, box=box, device=device)
    return Found(found.landmarks468, found.camera, found.score, relative_size(model, found.identity))


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
    parser.add_argument(
        "--no-box", action="store_true", help="search the faces, and name the photos in which none is found"
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
    results = list(measure({name: photos[name] for name in part}, landmarks, find, height, with_box=not args.no_box))
    missed = sorted(set(part) - {one.name for one in results})
    rows = summarise(results)
    named = f" ({', '.join(missed)})" if missed else ""
    show(f"{len(part)} photos, {len(missed)} without a face{named}; distances in percent of the size of the face")
    show(table(["measure", "photos", "value"], [list(row) for row in rows], digits=3))
    if args.json:
        write_json(
            args.json,
            {
                "benchmark": "landmarks",
                "method": args.method,
                "missed": missed,
                "summary": {what: value for what, _, value in rows},
                "photos": [asdict(one) for one in results],
            },
        )
    return 0
