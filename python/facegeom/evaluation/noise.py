"""`facegeom evaluate noise`: what noise does to the landmarks, without and with its removal.

Frontal portraits are scaled so that all faces have the same size, and get noise. For each level, the landmarks of the
noisy photo are compared with those of the photo without noise, once with the box of the face given and once without.
The command also states how noisy the photos are that were not changed, and how many of them `denoise="auto"` leaves as
they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import NoFaceFound
from facegeom.evaluation.detection import evenly_spread
from facegeom.images.boxes import Box
from facegeom.measures.metrics import box_overlap, landmark_box
from facegeom.measures.report import show, table, write_json
from facegeom.pipelines import DENOISE, PIPELINES
from facegeom.pipelines.noise_removal import NOISY, Denoise, face_noise
from facegeom.reconstruction import reconstruct
from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.denoising.noise import LEVELS, noise_kind, with_noise
from facegeom.training.denoising.samples import FacePhotos

KINDS = (*(f"{level:g}" for level in LEVELS), "phone")
FRONTAL_DEG = 10.0
"""Largest absolute yaw of a frontal portrait, degrees."""

FOUND_OVERLAP = 0.3
"""Smallest IoU of the boxes of the landmarks in the noisy photo and in the photo itself at which a face is found."""

WAYS = ("without", "with")


class Portrait(NamedTuple):
    """A photo whose face has the asked size, and the box of its 68 landmarks in pixels."""

    image: ByteArray
    box: Box


class Moved(NamedTuple):
    """How far noise moved landmarks.

    Attributes
    ----------
    movement : mean distance of the 68 landmarks in the image from those of the photo without noise / size of the face
        (mean side of the box of its landmarks), percent; mean over photos in which the face was found
    found : number of these photos
    median : median over these photos
    """

    movement: float
    found: int
    median: float


def scaled_portrait(image: ByteArray, box: FloatArray, face: float) -> Portrait:
    """Return a photo reduced or enlarged so that the mean side of the box of its landmarks has `face` pixels."""
    factor = 2 * face / float(box[2] - box[0] + box[3] - box[1])
    height, width = (2 * round(0.5 * factor * side) for side in image.shape[:2])
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(image, (width, height), interpolation=kind), np.uint8)
    x0, y0, x1, y1 = ((float(side) + 0.5) * factor - 0.5 for side in box)
    return Portrait(scaled, (x0, y0, x1, y1))


def landmarks_in(image: ByteArray, box: Box | None, pipeline: str, denoise: Denoise) -> FloatArray | None:
    """Return the 68 landmarks that a pipeline finds in an image, (68, 2) pixels; None if there is no face."""
    try:
        found = reconstruct(image, pipeline=pipeline, box=box, denoise=denoise)
    except NoFaceFound:
        return None
    return found.camera.project(found.landmarks)


def measure(
    portraits: list[Portrait], kinds: tuple[str, ...], pipeline: str, denoise: Denoise = "auto"
) -> dict[str, dict[str, dict[str, Moved]]]:
    """Measure how far noise moves the landmarks.

    Parameters
    ----------
    portraits : photos without noise
    kinds : kinds of noise, as `noise_kind` accepts them
    pipeline : one of `PIPELINES`
    denoise : how `reconstruct` removes noise, "auto" or True

    Returns
    -------
    dict
        "box" or "no box" -> kind -> "without" or "with" its removal -> Moved. A photo in which no face is found
        without noise is left out.
    """
    results: dict[str, dict[str, dict[str, Moved]]] = {}
    for given in ("box", "no box"):
        clean = [landmarks_in(each.image, each.box if given == "box" else None, pipeline, False) for each in portraits]
        results[given] = {}
        for kind in kinds:
            moved: dict[str, list[float]] = {way: [] for way in WAYS}
            for number, (portrait, truth) in enumerate(
                zip(tqdm(portraits, desc=f"{given} {kind}", unit="photo"), clean, strict=True)
            ):
                if truth is None:
                    continue
                noisy = with_noise(portrait.image, kind, _generator(number, kind))
                for way, asked in zip(WAYS, (False, denoise), strict=True):
                    points = landmarks_in(noisy, portrait.box if given == "box" else None, pipeline, asked)
                    moved[way] += movement(points, truth)
            results[given][kind] = {
                way: Moved(float(np.mean(values)), len(values), float(np.median(values)))
                if values
                else Moved(float("nan"), 0, float("nan"))
                for way, values in moved.items()
            }
    return results


def _generator(number: int, kind: str) -> np.random.Generator:
    """Return a generator of random numbers that depends on the number of a photo and the kind of noise only."""
    return np.random.default_rng([number, *kind.encode()])


def movement(points: FloatArray | None, truth: FloatArray) -> list[float]:
    """Return the mean distance of points (68, 2) from the truth / size of the face, percent; [] for another face."""
    box = landmark_box(truth)
    if points is None or box_overlap(landmark_box(points), box) < FOUND_OVERLAP:
        return []
    size = 0.5 * float(box[2] - box[0] + box[3] - box[1])
    return [100 * float(np.linalg.norm(points - truth, axis=1).mean()) / size]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate noise` to a parser."""
    add_labelled_photos(parser)
    parser.add_argument(
        "--part", choices=("training", "validation", "test"), default="test", help="part of the split (default: test)"
    )
    parser.add_argument(
        "--count", type=int, default=16, metavar="N",
        help="number of frontal portraits; 0: only estimate the noise of the photos (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--face", type=float, default=100.0, metavar="P", help="size of the faces in pixels (default: %(default)g)"
    )
    parser.add_argument(
        "--noise", nargs="+", default=list(KINDS), metavar="LEVEL",
        help="kinds of noise: standard deviations of Gaussian noise from 0 to 1, of full scale, or phone",
    )  # fmt: skip
    parser.add_argument(
        "--denoise", choices=("auto", "on"), default="auto",
        help="remove noise from noisy photos, or always (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--pipeline", choices=PIPELINES, default="facevision", help="pipeline (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def run(args: argparse.Namespace) -> int:
    """Measure the photos, print the tables and write the requested file; return the exit code."""
    kinds = tuple(noise_kind(kind) for kind in args.noise)
    count, face = check.count(args.count, "--count"), check.positive(args.face, "--face")
    photos = FacePhotos(Path(args.photos), Path(args.labels), args.part)
    levels = np.array([face_noise(photos.store[item], photos.box(item)) for item in range(len(photos))])
    untouched = 100 * float((levels < NOISY).mean())
    show(
        f"estimated noise of {len(levels)} photos, of full scale: median {np.median(levels):.4f}, 98 % below "
        f"{np.quantile(levels, 0.98):.4f}, largest {levels.max():.4f}; denoise='auto' leaves {untouched:.1f} % as they "
        f"are\n"
    )
    report: dict[str, Any] = {"benchmark": "noise", "photos": len(levels), "untouched": untouched}
    if count:
        frontal = photos.frontal(FRONTAL_DEG)
        items = [frontal[number] for number in evenly_spread(len(frontal), count)]
        portraits = [scaled_portrait(photos.store[item], photos.box(item), face) for item in items]
        report["portraits"] = len(portraits)
        report["moved"] = measure(portraits, kinds, args.pipeline, DENOISE[args.denoise])
        show(
            f"{args.pipeline}, {len(portraits)} frontal portraits, faces of {face:g} pixels: landmarks moved by noise, "
            "percent of the size of the face (mean and median), and faces found"
        )
        header = [
            "noise",
            *(
                f"{given}, {way}: {what}"
                for given in report["moved"]
                for way in WAYS
                for what in ("mean", "found", "median")
            ),
        ]
        rows = [
            [kind, *(value for given in report["moved"].values() for found in given[kind].values() for value in found)]
            for kind in kinds
        ]
        show(table(header, rows))
    if args.json:
        write_json(args.json, report)
    return 0
