"""`facegeom evaluate person`: what several photos of a person gain over one, and which photos are left out.

Parts: rendered ICT heads, whose shape is known, in 1, 2, 4 and 8 views; and photos of people, two separate sets of
each, for whom only the consistency of the shapes is known. Poses, expressions, colours, lights and backgrounds of the
views of a head are random. These are measures of shape: facegeom does not match people.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError
from facegeom.evaluation.ict_heads import HeadRenderer, RandomHeadOptions
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.boxes import Box
from facegeom.images.image_files import load_image
from facegeom.measures.persons import correlation_interval, intraclass_correlation
from facegeom.measures.report import show, table, write_json
from facegeom.measures.shapes import ShapeSpace, rms_mm
from facegeom.person.fitting import answer_of
from facegeom.person.shared_identity import ALIKE_MM, common_identity, distances
from facegeom.pipelines.map_prediction import MapPrediction, predict_all_maps
from facegeom.training.data.labels import find_photos
from facegeom.training.data.split import identity as identity_of

COUNTS = (1, 2, 4, 8)
"""Numbers of photos that are compared."""

HEADS = 20
YAW_DEG, CROP_FACTOR, SIZE = 60.0, 1.7, 320  # views of a head: largest yaw, side of the picture relative to the face
SIGMA = 1.0  # standard deviation of the coefficients of a head
SEED = 31

Seen = list[MapPrediction]


def central_face(photo: ByteArray) -> MapPrediction | None:
    """Return the prediction for the face nearest to the centre of a photo, or None if there is no face."""
    centre = 0.5 * np.array([photo.shape[1], photo.shape[0]])
    found = predict_all_maps(photo)
    return min(found, key=lambda face: float(np.linalg.norm(_middle(face.maps.box) - centre)), default=None)


def _middle(box: Box) -> FloatArray:
    return 0.5 * np.array([box[0] + box[2], box[1] + box[3]])


class Shapes:
    """Neutral shapes of fitted faces as displacements from the mean face."""

    def __init__(self, model: FaceModel) -> None:
        self.model, self.space = model, ShapeSpace(model)

    def of(self, identity: FloatArray) -> FloatArray:
        """Return the displacements (n, 3), mm, of the neutral face with identity coefficients (k,)."""
        return self.space.displacement(self.model.vertices(identity))

    def common(self, seen: Seen) -> FloatArray:
        """Return the shape that several photos show together."""
        identities = np.array([face.fit.identity for face in seen])
        return self.of(common_identity(identities, [answer_of(face) for face in seen]))


def evaluate_heads(path: str | Path, count: int) -> dict[str, Any]:
    """Return the errors of the identity of rendered ICT heads by the number of views, mm.

    Parameters
    ----------
    path : path of the file `ict_face_model.npz`
    count : number of heads
    """
    model = load_face_model()
    shapes = Shapes(model)
    renderer = HeadRenderer(path, RandomHeadOptions(max_yaw_deg=YAW_DEG, crop_factor=CROP_FACTOR))
    errors: dict[str, list[float]] = {"mean face": []}
    people: list[Seen] = []
    missed = 0
    for number in tqdm(range(count), desc="heads", unit="head"):
        rng = np.random.default_rng([SEED, number])
        neutral = renderer.head.sample(rng.normal(0, SIGMA, len(renderer.head.identity)))
        truth = shapes.space.displacement(renderer.on_face_model(neutral))
        seen: Seen = []
        for _ in range(max(COUNTS)):
            face = central_face(renderer.posed(renderer.expressive(neutral, rng), rng, SIZE)[0].image)
            if face is None:
                missed += 1
            else:
                seen.append(face)
        people.append(seen)
        errors["mean face"].append(float(rms_mm(truth)))
        for views in COUNTS:
            for first in range(0, min(len(seen), 2 * views) - views + 1, views):
                error = float(rms_mm(shapes.common(seen[first : first + views]) - truth))
                errors.setdefault(f"{views} views", []).append(error)
    result: dict[str, Any] = {name: float(np.mean(values)) for name, values in errors.items()}
    return {"heads": count, "views without a face": missed, **result, **_contradictions(model, people)}


def _contradictions(model: FaceModel, people: Sequence[Seen], size: int = 4) -> dict[str, float]:
    """Return distances of photos of one person, and of a photo of somebody else, among `size` photos."""
    own: list[float] = []
    other: list[float] = []
    for number, seen in enumerate(people):
        answers = [answer_of(face) for face in seen]
        strange = [answer_of(face) for face in people[(number + 1) % len(people)]]
        for first in range(0, len(answers) - size + 1, size):
            group = answers[first : first + size]
            own += distances(model, group).tolist()
            other += [float(distances(model, [face, *group[1:]])[0]) for face in strange]
    if not own or len(people) < 2:
        return {}
    return {
        "distance, same person, median": float(np.median(own)),
        "distance, same person, 95 %": float(np.percentile(own, 95)),
        "distance, somebody else, 5 %": float(np.percentile(other, 5)),
        "distance, somebody else, median": float(np.median(other)),
        "kept, same person": float(np.mean(np.array(own) <= ALIKE_MM)),
        "kept, somebody else": float(np.mean(np.array(other) <= ALIKE_MM)),
    }


def evaluate_people(folder: str | Path, limit: int | None, counts: Sequence[int] = COUNTS) -> dict[str, Any]:
    """Return the intraclass correlation of the shapes of two separate sets of n photos of each person, by n.

    Parameters
    ----------
    folder : folder of photos, named as those of LFW
    limit : largest number of people for each n; None: all with 2 n photos
    counts : numbers of photos n of a set

    Raises
    ------
    FacegeomError
        If fewer than two people have twice the largest number of photos.
    """
    model = load_face_model()
    shapes = Shapes(model)
    photos = find_photos(folder)
    names: dict[str, list[str]] = {}
    for name in sorted(photos):
        names.setdefault(identity_of(name), []).append(name)
    needed = 2 * max(counts)
    chosen = [own[:needed] for _, own in sorted(names.items()) if len(own) >= needed][:limit]
    if len(chosen) < 2:
        raise FacegeomError(f"fewer than two people have {needed} photos")
    found: dict[str, list[list[FloatArray]]] = {}
    people: list[Seen] = []
    for own in tqdm(chosen, desc="people", unit="person"):
        seen: Seen = []
        for name in own:
            face = central_face(load_image(photos[name]))
            if face is not None:
                seen.append(face)
        if len(seen) < needed:
            continue
        people.append(seen)
        for views in counts:
            sets = (seen[:views], seen[views : 2 * views])
            found.setdefault(f"{views} photos", []).append([shapes.common(group) for group in sets])
    if len(people) < 2:
        raise FacegeomError("faces are found in all photos of fewer than two people")
    numbers = np.repeat(np.arange(len(people)), 2)
    summary: dict[str, Any] = {"people": len(people), "missed": len(chosen) - len(people)}
    for kind, pairs in found.items():
        flat = np.concatenate([ShapeSpace.coordinates(np.stack(pair)) for pair in pairs])
        low, high = correlation_interval(flat, numbers)
        summary[kind] = intraclass_correlation(flat, numbers)
        summary[f"{kind}, interval"] = f"{low:.3f} to {high:.3f}"
    return {**summary, **_contradictions(model, people)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate person` to a parser."""
    parser.add_argument("--ict", metavar="FILE", help="path of ict_face_model.npz: renders of heads of known shape")
    parser.add_argument(
        "--heads", type=int, metavar="N", default=HEADS, help="number of ICT heads (default: %(default)s)"
    )
    parser.add_argument("--people", metavar="PHOTOS", help="folder of photos of people, named as those of LFW")
    parser.add_argument("--limit", type=int, metavar="N", help="largest number of people")
    parser.add_argument(
        "--most", type=int, choices=COUNTS, default=4, help="largest number of photos of a set of --people: people "
        "with twice as many are evaluated (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return no file: the results are written to `--json` only."""
    return []


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the results; return the exit code."""
    if not (args.ict or args.people):
        raise FacegeomError("evaluate person needs --ict or --people")
    heads = check.count(args.heads, "--heads", 1)
    limit = None if args.limit is None else check.count(args.limit, "--limit", 2)
    results: dict[str, Any] = {}
    if args.ict:
        results["ICT heads"] = evaluate_heads(args.ict, heads)
    if args.people:
        counts = [count for count in COUNTS if count <= args.most]
        results["people"] = evaluate_people(args.people, limit, counts)
    rows = [[f"{part}: {name}", value] for part, values in results.items() for name, value in values.items()]
    show(table(["", "value"], rows, digits=3))
    if args.json:
        write_json(args.json, {"benchmark": "person", **results})
    return 0
