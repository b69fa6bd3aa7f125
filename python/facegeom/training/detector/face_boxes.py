"""`facegeom prepare boxes`: measure the box of the 68 landmarks relative to the box that YuNet finds.

The result is `facegeom.detection.yunet.BoxConversion`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import one_thread
from facegeom.detection.yunet import CONVERSION, BoxConversion, raw_faces
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.images.boxes import iou
from facegeom.images.camera import Camera
from facegeom.images.image_files import load_image
from facegeom.measures.report import show, table, write_json
from facegeom.training.data.labels import Labels, add_labelled_photos, find_photos
from facegeom.training.data.split import split_names

LEAST_OVERLAP = 0.3
"""Minimum IoU of a converted box and the box of the landmarks: YuNet's box belongs to the labelled face."""


@dataclass(frozen=True)
class BoxFit:
    """The conversion measured on photos, and how well converted boxes match.

    Attributes
    ----------
    conversion : BoxConversion
    photos : number of photos in which YuNet finds the labelled face
    missed : number of other photos
    overlap : (photos,) float array, IoU of the converted boxes with the boxes of the landmarks
    """

    conversion: BoxConversion
    photos: int
    missed: int
    overlap: FloatArray


def fit_conversion(yunet_boxes: FloatArray, landmark_boxes: FloatArray) -> BoxConversion:
    """Return the medians of size and position of landmark boxes relative to YuNet's boxes.

    Parameters
    ----------
    yunet_boxes : (n, 4) float array, x0, y0, width and height in pixels
    landmark_boxes : (n, 4) float array, x0, y0, x1, y1 in pixels
    """
    size = yunet_boxes[:, 2:]
    relative = (landmark_boxes[:, 2:] - landmark_boxes[:, :2]) / size
    centre = 0.5 * (landmark_boxes[:, :2] + landmark_boxes[:, 2:])
    shift = (centre - yunet_boxes[:, :2]) / size - 0.5
    return BoxConversion(*np.median(relative, axis=0).tolist(), *np.median(shift, axis=0).tolist())


@one_thread()
def measure(photos: dict[str, Path], labels: Labels) -> BoxFit:
    """Measure the conversion on the photos of the training set.

    Parameters
    ----------
    photos : file name -> path, from `find_photos`
    labels : the face model fitted to the photos

    Raises
    ------
    FacegeomError
        If YuNet finds no labelled face.
    """
    model, kept = load_face_model(), labels.kept
    found, truth, missed = [], [], 0
    for row in tqdm(kept[split_names(labels.names[kept].tolist()).training], unit="photo", desc="boxes"):
        name, fit = str(labels.names[row]), labels.fit(row)
        if name not in photos:
            continue
        camera = Camera(fit.rotation, fit.scale, fit.translation)
        pixels = camera.project(fit.vertices(model)[model.landmarks68])
        box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
        boxes = raw_faces(load_image(photos[name])).boxes
        overlaps = iou(CONVERSION(boxes), box[None])[:, 0] if len(boxes) else np.zeros(1)
        if overlaps.max() < LEAST_OVERLAP:
            missed += 1
            continue
        found.append(boxes[overlaps.argmax()])
        truth.append(box)
    if not found:
        raise FacegeomError("YuNet finds no labelled face in the photos of the training set")
    yunet_boxes, landmark_boxes = np.array(found), np.array(truth)
    conversion = fit_conversion(yunet_boxes, landmark_boxes)
    pairs = zip(conversion(yunet_boxes), landmark_boxes, strict=True)
    overlap = np.array([iou(one[None], two[None])[0, 0] for one, two in pairs])
    return BoxFit(conversion, len(found), missed, overlap)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare boxes`."""
    add_labelled_photos(parser)
    parser.add_argument("--json", metavar="FILE", help="write the result to this JSON file as well")


def run(args: argparse.Namespace) -> int:
    """Measure the conversion, print it beside the one in use, and write the requested file; return the exit code."""
    fit = measure(find_photos(args.photos), Labels.load(args.labels))
    names = ("width", "height", "right", "down")
    rows = [[name, getattr(fit.conversion, name), getattr(CONVERSION, name)] for name in names]
    show(table(["landmark box relative to YuNet's box", "measured", "in use"], rows, 3))
    low, median = np.quantile(fit.overlap, [0.05, 0.5])
    show(f"{fit.photos} photos, {fit.missed} missed; IoU: median {median:.3f}, 5 % below {low:.3f}")
    if args.json:
        write_json(
            args.json,
            {
                **{name: getattr(fit.conversion, name) for name in names},
                "photos": fit.photos,
                "missed": fit.missed,
                "iou_median": float(median),
                "iou_5_percent": float(low),
            },
        )
    return 0
