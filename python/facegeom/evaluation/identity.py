"""`facegeom evaluate identity`: errors of the identity network, and how consistent its shapes are for one person.

The crops are aligned by the fits to the landmarks of the photos. No result depends on another network.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.threads import one_thread
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.crop import warp_image
from facegeom.measures.persons import intraclass_correlation, separation
from facegeom.measures.report import show, table, write_json
from facegeom.networks.identity import INNER_LANDMARKS, Identity, ShapeUnits, aligned_affine, load_identity
from facegeom.training.data.labels import Labels, find_photos
from facegeom.training.data.renderer import Pose
from facegeom.training.data.samples import PhotoStore
from facegeom.training.data.split import identity as identity_of
from facegeom.training.identity.reshaped_photos import ReshapedPhotos
from facegeom.training.identity.samples import PairOptions
from facegeom.training.identity.validation import IdentityValidation

PHOTOS_OF_A_PERSON = 4
RESAMPLES = 1000  # bootstrap samples of the people, for the interval of the intraclass correlation
CROPS_AT_ONCE = 64


def shape_coordinates(units: ShapeUnits, coefficients: FloatArray) -> FloatArray:
    """Return coordinates (n, k) whose Euclidean distances are root mean square distances of the shapes, in mm.

    Parameters
    ----------
    units : ShapeUnits
    coefficients : (n, k) float array, standard deviations of the face model
    """
    flat = units.basis.reshape(len(units.basis), -1)
    return np.asarray(coefficients @ np.linalg.cholesky(flat @ flat.T / len(units.vertices)))


def aligned_crop(model: FaceModel, photo: ByteArray, pose: Pose, size: int, *, face_only: bool = False) -> ByteArray:
    """Return the aligned crop of a photo with a fitted face, (size, size, 3) uint8.

    Parameters
    ----------
    model : FaceModel
    photo : (h, w, 3) uint8 array
    pose : Pose
        The fitted face in the photo.
    size : int
    face_only : bool
        Whether to remove the colours and everything outside the convex hull of the face.
    """
    points = pose.pixels()[:, :2]
    affine = aligned_affine(model, points[model.landmarks68[INNER_LANDMARKS]], pose.rotation, size)
    crop = warp_image(photo, affine, size)
    if not face_only:
        return crop
    face = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
    outline = cv2.convexHull((points[face] @ affine[:, :2].T + affine[:, 2]).astype(np.float32))
    inside = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(inside, np.rint(outline).astype(np.int32), 1)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) * inside
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def predicted_shapes(
    identity: Identity, labels: Labels, photos: dict[str, Path], rows: IntArray, *, face_only: bool = False
) -> FloatArray:
    """Predict the shapes of labelled photos, (n, k): the coordinates of `shape_coordinates`."""
    model = load_face_model()
    coefficients = []
    for start in range(0, len(rows), CROPS_AT_ONCE):
        part = rows[start : start + CROPS_AT_ONCE]
        store = PhotoStore(photos, [str(labels.names[row]) for row in part])
        crops = []
        for number, row in enumerate(part):
            fit = labels.fit(int(row))
            pose = Pose(fit.vertices(model), fit.rotation, fit.scale, fit.translation)
            crops.append(aligned_crop(model, store[number], pose, identity.size, face_only=face_only))
        coefficients += [answer.mean for answer in identity.predict(np.stack(crops))]
    return shape_coordinates(identity.units, np.array(coefficients))


def rows_of_people(labels: Labels, count: int = PHOTOS_OF_A_PERSON, source: str = "") -> IntArray:
    """Return the rows of the first `count` photos of each person with at least that many, (p, count).

    Parameters
    ----------
    labels : Labels
        The photos of a person are sorted by name. Labels that are rejected for training are included.
    count : int
    source : str
        Beginning of the names of the photos.

    Raises
    ------
    FacegeomError
        If fewer than two people have so many photos.
    """
    rows: dict[str, list[int]] = {}
    for row in np.argsort(labels.names):
        name = str(labels.names[row])
        if name.startswith(source):
            rows.setdefault(identity_of(name), []).append(int(row))
    chosen = [rows[person][:count] for person in sorted(rows) if len(rows[person]) >= count]
    if len(chosen) < 2:
        raise FacegeomError(f"fewer than two people have {count} photos")
    return np.array(chosen, dtype=np.int64)


def evaluate_people(identity: Identity, labels: Labels, photos: dict[str, Path], seed: int = 0) -> dict[str, Any]:
    """Return the intraclass correlation of the shapes over all people with four photos, and its 95 % interval."""
    rows = rows_of_people(labels)
    shapes = predicted_shapes(identity, labels, photos, rows.ravel()).reshape(*rows.shape, -1)
    numbers = np.repeat(np.arange(len(rows)), rows.shape[1])
    rng = np.random.default_rng(seed)
    resampled = [
        intraclass_correlation(shapes[rng.integers(len(rows), size=len(rows))].reshape(len(numbers), -1), numbers)
        for _ in range(RESAMPLES)
    ]
    return {
        "people": len(rows),
        "intraclass_correlation": intraclass_correlation(shapes.reshape(len(numbers), -1), numbers),
        "interval": [float(value) for value in np.percentile(resampled, [2.5, 97.5])],
    }


def evaluate_pairs(identity: Identity, labels: Labels, photos: dict[str, Path], source: str = "") -> dict[str, Any]:
    """Return how well two photos per person separate the people, with the crops as they are and with the face only."""
    rows = rows_of_people(labels, 2, source)
    results: dict[str, Any] = {"people": len(rows)}
    for name, face_only in (("", False), ("face_only_", True)):
        first, second = (
            predicted_shapes(identity, labels, photos, rows[:, column], face_only=face_only) for column in (0, 1)
        )
        measured = separation(first, second)
        results |= {f"{name}rank1": measured.rank1, f"{name}ratio": measured.ratio}
    return results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate identity` to a parser."""
    parser.add_argument("--weights", metavar="FILE", help="weight file (default: the network of the package)")
    parser.add_argument("--reshaped", type=Path, metavar="DIR", help="folder of `facegeom prepare reshaped`")
    parser.add_argument("--heads", type=Path, metavar="DIR", help="folder of `facegeom prepare heads`")
    parser.add_argument(
        "--people", nargs=2, metavar=("PHOTOS", "LABELS"), help="photos and labels of people with four photos each"
    )
    parser.add_argument(
        "--pairs", nargs=2, metavar=("PHOTOS", "LABELS"), help="photos and labels of people with two photos each"
    )
    parser.add_argument(
        "--source", default="", metavar="TEXT", help="evaluate --pairs on photos whose names start with this text only"
    )
    parser.add_argument("--json", metavar="FILE", help="file for the results")


def run(args: argparse.Namespace) -> int:
    """Evaluate the identity network and print the results; return the exit code."""
    if not any((args.reshaped, args.people, args.pairs)):
        raise FacegeomError("evaluate identity needs --reshaped, --people or --pairs")
    identity = load_identity("cpu", args.weights)
    results: dict[str, Any] = {}
    with one_thread():
        if args.reshaped:
            heads = None if args.heads is None else ReshapedPhotos.load(args.heads)
            reshaped = ReshapedPhotos.load(args.reshaped)
            validation = IdentityValidation(
                load_face_model(), identity.units, reshaped, heads, identity.size, PairOptions()
            )
            results["reshaped"] = validation.measure(identity.network)
        if args.people:
            results["people"] = evaluate_people(identity, Labels.load(args.people[1]), find_photos(args.people[0]))
        if args.pairs:
            labels = Labels.load(args.pairs[1])
            results["pairs"] = evaluate_pairs(identity, labels, find_photos(args.pairs[0]), args.source)
    rows = [
        [f"{group}: {name}", value if isinstance(value, int | float) else " to ".join(f"{v:.3f}" for v in value)]
        for group, values in results.items()
        for name, value in values.items()
    ]
    show(table(["", "value"], rows, digits=3))
    if args.json:
        write_json(args.json, results)
    return 0
