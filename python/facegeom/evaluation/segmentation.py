"""Segmentation of heads: intersection over union of each class on photos with drawn outlines, and on synthetic heads.

The outlines (`segmentation_polygons.json`) were drawn by hand on photos of the test part, without the training labels
in sight.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.files import write_bytes
from facegeom.errors import FacegeomError
from facegeom.images.crop import warp_image
from facegeom.images.image_files import load_image
from facegeom.measures.report import show, table, write_json
from facegeom.networks.interface import SegmentationPredictor
from facegeom.networks.loaders import load_segmentation_network
from facegeom.networks.segmentation_crop import BACKGROUND, CLASSES
from facegeom.reconstruction import predict
from facegeom.texture.head_classes import head_classes
from facegeom.training.data.labels import find_photos
from facegeom.training.segmentation.crops import HEAD, SegmentationCrops
from facegeom.training.segmentation.portrait_labels import UNKNOWN
from facegeom.training.segmentation.samples import centred
from facegeom.training.segmentation.validation import confusion, intersection_over_union, overlay

POLYGONS = Path(__file__).with_name("segmentation_polygons.json")


def read_polygons() -> dict[str, list[dict[str, Any]]]:
    """Return the outlines by file name of the photo, those in front last.

    Each has a class, points x, y in percent of the width and height of the photo, and, if it is a line, its width in
    percent.
    """
    found: dict[str, list[dict[str, Any]]] = json.loads(POLYGONS.read_text(encoding="utf-8"))
    return found


def drawn_classes(shapes: list[dict[str, Any]], shape: tuple[int, int]) -> ByteArray:
    """Return the classes (h, w) uint8 of a photo from its outlines; 255 where the class is unknown.

    Raises
    ------
    ValueError
        If an outline has an unknown class.
    """
    height, width = shape
    out = np.full(shape, BACKGROUND, np.uint8)
    for outline in shapes:
        name = outline["class"]
        if name not in (*CLASSES, "unknown"):
            raise ValueError(f"class must be one of {', '.join(CLASSES)} or unknown, got {name!r}")
        value = UNKNOWN if name == "unknown" else CLASSES.index(name)
        points = np.array(outline["points"], np.float64).reshape(-1, 2) * (width / 100, height / 100)
        pixels = np.rint(points * 16).astype(np.int32)
        if "width" in outline:
            thick = max(1, round(outline["width"] * width / 100))
            cv2.polylines(out, [pixels], False, value, thick, cv2.LINE_8, 4)
        else:
            cv2.fillPoly(out, [pixels], value, cv2.LINE_8, 4)
    return out


def photo_counts(photos: Mapping[str, Path], network: SegmentationPredictor) -> tuple[FloatArray, list[ByteArray]]:
    """Return the confusion of classes (7, 7) on the photos with outlines, and pictures of photo, truth and answer.

    Raises
    ------
    FacegeomError
        If a photo is missing, or none of the faces is found.
    """
    counts, pictures = np.zeros((len(CLASSES), len(CLASSES))), []
    for name, shapes in tqdm(read_polygons().items(), desc="segmentation", unit="photo"):
        if name not in photos:
            raise FacegeomError(f"there is no photo {name}")
        photo = load_image(photos[name])
        found = head_classes(photo, predict(photo).camera, network=network)
        size = network.size
        classes = drawn_classes(shapes, photo.shape[:2])
        coded = np.stack([classes, np.full_like(classes, 255), classes], axis=-1)
        near = cv2.warpAffine(coded, found.affine, (size, size), flags=cv2.INTER_NEAREST, borderValue=(UNKNOWN, 0, 0))
        truth = np.asarray(near[..., 0], np.uint8)
        answer = np.asarray(found.probability.argmax(-1), np.uint8)
        counts += confusion(answer, truth)
        image = warp_image(photo, found.affine, size)
        pictures.append(np.hstack([image, overlay(image, truth), overlay(image, answer)]))
    return counts, pictures


def head_counts(crops: SegmentationCrops, network: SegmentationPredictor) -> FloatArray:
    """Return the confusion of classes (7, 7) on the synthetic heads among stored crops."""
    counts = np.zeros((len(CLASSES), len(CLASSES)))
    for row in np.flatnonzero(crops.kind == HEAD):
        image, truth = centred(crops, int(row), network.size)
        counts += confusion(network.predict(image[None])[0].argmax(-1), truth)
    return counts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate segmentation` to a parser."""
    parser.add_argument("photos", help="folder of the portraits")
    parser.add_argument("--heads", type=Path, metavar="FOLDER", help="folder of `facegeom prepare segmentation`")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weight file (default: that of the package)")
    parser.add_argument("--sheet", metavar="FILE", help="write a picture of photos, outlines and answers")
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the picture, if it is requested."""
    return [Path(args.sheet)] if args.sheet else []


def run(args: argparse.Namespace) -> int:
    """Measure the network, print the table and write the requested files; return the exit code."""
    network = load_segmentation_network("cpu", args.weights)
    counts, pictures = photo_counts(find_photos(args.photos), network)
    results = {"photos": intersection_over_union(counts)}
    if args.heads:
        results["heads"] = intersection_over_union(head_counts(SegmentationCrops.load(args.heads), network))
    rows: list[list[str | float | int]] = [
        [name, *(values.get(name, float("nan")) for values in results.values())] for name in CLASSES
    ]
    show("intersection over union")
    show(table(["class", *results], rows, digits=3))
    if args.sheet:
        columns = [np.vstack(pictures[start::2]) for start in range(2)]
        height = min(len(column) for column in columns)
        sheet = np.hstack([column[:height] for column in columns])
        picture = np.asarray(cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), np.uint8)
        write_bytes(args.sheet, cv2.imencode(".png", picture)[1].tobytes())
    if args.json:
        write_json(args.json, {"benchmark": "segmentation", **results})
    return 0
