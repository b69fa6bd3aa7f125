"""`facegeom evaluate identity`: how well the shape of a face follows the person in the photo.

Parts: reshaped photos and rendered ICT heads, whose change of shape is known; single renders, whose shape is known; and
photos of people, for whom only the consistency of the shapes is known. These are measures of shape: facegeom does not
match people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation.reshaped import (
    IctPictures,
    PhotoPairs,
    measure_ict,
    measure_photos,
    measure_single,
    stored_pictures,
)
from facegeom.evaluation.shapes import (
    Answers,
    Method,
    Place,
    face_only,
    network_method,
    predict_method,
    reconstruct_method,
)
from facegeom.face_model import FaceModel, load_face_model
from facegeom.measures.persons import correlation_interval, intraclass_correlation, separation
from facegeom.measures.report import show, table, write_json
from facegeom.measures.shapes import ShapeSpace
from facegeom.networks.identity import load_identity
from facegeom.training.data.labels import Labels, find_photos
from facegeom.training.data.pose import Pose
from facegeom.training.data.samples import PhotoStore
from facegeom.training.data.split import identity as identity_of
from facegeom.training.identity.reshaped_photos import ReshapedPhotos

PHOTOS_OF_A_PERSON = 4
ICT_PAIRS, ICT_SINGLE = 60, 300  # number of ICT heads whose change is measured, and of single ICT heads
METHODS = ("reconstruct", "predict", "network")


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


class People:
    """Shapes of labelled photos.

    Parameters
    ----------
    model : FaceModel
    method : the evaluated method; it gets the bounding box of the labelled face, because a photo can show more faces
    photos : folder of the photos
    labels : file of `facegeom prepare labels`
    """

    def __init__(self, model: FaceModel, method: Method, photos: str | Path, labels: str | Path) -> None:
        self.model, self.method = model, method
        self.photos, self.labels = find_photos(photos), Labels.load(labels)

    def shapes(self, rows: IntArray, *, grey: bool = False) -> tuple[dict[str, FloatArray], IntArray]:
        """Return the shapes of people, of whom all photos show a face that is found.

        Parameters
        ----------
        rows : (p, count) int array, the labels of the photos of each person
        grey : whether to show the face only, in grey, see `face_only`

        Returns
        -------
        shapes : name of an answer -> (q, count, d) float array, see `ShapeSpace.coordinates`
        kept : (q,) int array, the rows of `rows` whose photos all show a face
        """
        kept: list[int] = []
        shapes: dict[str, list[FloatArray]] = {}
        for number, group in enumerate(tqdm(rows, desc="people", unit="person")):
            try:
                answers = list(self._answers(group, grey=grey))
            except NoFaceFound:
                continue
            kept.append(number)
            for name in answers[0]:
                stacked = np.stack([answer[name] for answer in answers])
                shapes.setdefault(name, []).append(ShapeSpace.coordinates(stacked))
        return {name: np.array(values) for name, values in shapes.items()}, np.array(kept, dtype=np.int64)

    def _answers(self, rows: IntArray, *, grey: bool) -> Iterator[Answers]:
        store = PhotoStore(self.photos, [str(self.labels.names[row]) for row in rows])
        for number, row in enumerate(rows):
            fit = self.labels.fit(int(row))
            pose = Pose(fit.vertices(self.model), fit.rotation, fit.scale, fit.translation)
            photo: ByteArray = store[number]
            if grey:
                photo = face_only(photo, pose, self.model)
            yield self.method(photo, Place.of_pose(self.model, pose, boxed=True))


def evaluate_people(people: People, limit: int | None = None) -> dict[str, Any]:
    """Return the intraclass correlation of the shapes over the people with four photos, and its 95 % interval.

    Parameters
    ----------
    people : People
    limit : largest number of people; None: all

    Raises
    ------
    FacegeomError
        If all photos show a face of fewer than two people.
    """
    rows = rows_of_people(people.labels)[:limit]
    shapes, kept = people.shapes(rows)
    _need_two(kept)
    numbers = np.repeat(np.arange(len(kept)), rows.shape[1])
    summary: dict[str, Any] = {}
    for name, values in shapes.items():
        flat = values.reshape(len(numbers), -1)
        summary[name] = {
            "people": len(kept),
            "intraclass_correlation": intraclass_correlation(flat, numbers),
            "interval": correlation_interval(flat, numbers),
        }
    return {**summary, "missed": len(rows) - len(kept)}


def evaluate_pairs(people: People, source: str = "", limit: int | None = None) -> dict[str, Any]:
    """Return how well two photos per person separate the people: as they are, and grey with the face only.

    Parameters
    ----------
    people : People
    source : beginning of the names of the photos
    limit : largest number of people; None: all

    Raises
    ------
    FacegeomError
        If both photos show a face of fewer than two people.
    """
    rows = rows_of_people(people.labels, 2, source)[:limit]
    summary: dict[str, Any] = {}
    for kind, grey in (("photos", False), ("face only, grey", True)):
        shapes, kept = people.shapes(rows, grey=grey)
        _need_two(kept)
        summary[kind] = {
            name: {"people": len(kept), **separation(values[:, 0], values[:, 1])._asdict()}
            for name, values in shapes.items()
        }
        summary[kind]["missed"] = len(rows) - len(kept)
    return summary


def _need_two(kept: IntArray) -> None:
    if len(kept) < 2:
        raise FacegeomError("faces are found in all photos of fewer than two people")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate identity` to a parser."""
    pair = ("PHOTOS", "LABELS")
    parser.add_argument(
        "--reshaped",
        dest="reshaped_photos",
        nargs=2,
        metavar=pair,
        help="reshape photos by known coefficients; needs --texture-model",
    )
    parser.add_argument(
        "--texture-model", metavar="FILE", help="file of `facegeom prepare texture-model`, for the light of the photos"
    )
    parser.add_argument(
        "--part", choices=("validation", "test"), default="test", help="part of the split for --reshaped "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--ict", metavar="FILE", help="path of ict_face_model.npz: pairs and single renders of heads")
    parser.add_argument(
        "--heads", type=Path, metavar="DIR", help="folder of `facegeom prepare heads --held-out`: single renders"
    )
    parser.add_argument("--people", nargs=2, metavar=pair, help="photos and labels of people with four photos each")
    parser.add_argument("--pairs", nargs=2, metavar=pair, help="photos and labels of people with two photos each")
    parser.add_argument(
        "--source", default="", metavar="TEXT", help="evaluate --pairs on photos whose names start with this text only"
    )
    parser.add_argument(
        "--method", choices=METHODS, default=METHODS[0],
        help="reconstruct: fitted model and registered mesh of the default pipeline; predict: the fitted model only; "
        "network: the identity network alone, with crops aligned by the true landmarks (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="weight file of the identity network (default: the weights of the package)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="largest number of photos, heads or people of each part")
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return no file: the results are written to `--json` only."""
    return []


def run(args: argparse.Namespace) -> int:
    """Evaluate the shapes and print the results; return the exit code."""
    if not any((args.reshaped_photos, args.ict, args.heads, args.people, args.pairs)):
        raise FacegeomError("evaluate identity needs --reshaped, --ict, --heads, --people or --pairs")
    if args.reshaped_photos and not args.texture_model:
        raise FacegeomError("--reshaped needs --texture-model")
    limit = None if args.limit is None else check.count(args.limit, "--limit", 1)
    model = load_face_model()
    space = ShapeSpace(model)
    method = _method(args, space, model)
    results: dict[str, Any] = {}
    if args.reshaped_photos:
        photos, labels = args.reshaped_photos
        source = PhotoPairs(model, space, photos, labels, args.texture_model, args.part)
        results["reshaped photos"] = measure_photos(source, method, limit)
    if args.ict:
        ict = IctPictures(model, space, args.ict)
        results["ICT pairs"] = measure_ict(ict, method, min(ICT_PAIRS, limit or ICT_PAIRS))
        results["ICT heads"] = measure_single(ict.single, range(min(ICT_SINGLE, limit or ICT_SINGLE)), method)
    if args.heads:
        heads = ReshapedPhotos.load(args.heads)
        picture = stored_pictures(model, space, heads)
        results["stored heads"] = measure_single(picture, range(min(len(heads), limit or len(heads))), method)
    if args.people:
        results["people"] = evaluate_people(People(model, method, *args.people), limit)
    if args.pairs:
        results["pairs"] = evaluate_pairs(People(model, method, *args.pairs), args.source, limit)
    show(format_results(results))
    if args.json:
        write_json(args.json, {"benchmark": "identity", "method": args.method, **results})
    return 0


def _method(args: argparse.Namespace, space: ShapeSpace, model: FaceModel) -> Method:
    if args.method == "network":
        return network_method(space, model, load_identity("cpu", args.weights))
    identity = None if args.weights is None else load_identity("cpu", args.weights)
    made = predict_method if args.method == "predict" else reconstruct_method
    return made(space, model, identity=identity)


def format_results(results: dict[str, Any]) -> str:
    """Return the numbers of the results as a text table; values of single components are left out."""
    return table(["", "value"], list(_rows(results)), digits=3)


def _rows(values: dict[str, Any], name: str = "") -> Iterator[list[str | float | int]]:
    for key, value in values.items():
        path = f"{name}: {key}" if name else key
        if isinstance(value, dict):
            yield from _rows(value, path)
        elif isinstance(value, tuple):
            yield [path, " to ".join(f"{end:.3f}" for end in value)]
        elif not isinstance(value, np.ndarray):
            yield [path, value]
