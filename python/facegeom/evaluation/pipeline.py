"""`facegeom evaluate pipeline`: `facegeom.reconstruct` as a user calls it, from the photo's file to the final mesh.

On photos of test identities: faces found, size of the mesh, time. On pictures without a face: false alarms.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom.detection import detector as detection
from facegeom.errors import NoFaceFound
from facegeom.evaluation.detection import (
    FacelessPicture,
    evenly_spread,
    faceless_pictures,
    fresh_faceless_pictures,
    photo_boxes,
)
from facegeom.face_model.template import load_template
from facegeom.images.image_files import ImageSource, load_image, save_image
from facegeom.measures.metrics import box_overlap, landmark_box
from facegeom.measures.report import sheet, show, table, write_json
from facegeom.networks.mesh_network import MESH_PIPELINES
from facegeom.networks.semi_sphere import semi_sphere
from facegeom.pipelines import DEFAULT_PIPELINE, PIPELINES
from facegeom.reconstruction import Reconstruction, reconstruct
from facegeom.training.data.labels import find_photos
from facegeom.training.data.split import split_names

Limits: TypeAlias = dict[str, tuple[int, int]]

FACEVISION_LIMITS: Limits = {"vertices": (5_000, 8_000), "triangles": (10_000, 15_000)}
"""What a mesh should have, both ends included: the vertices of FaceVision-GAN, and about twice as many triangles."""

WARM_UP = 2
"""Photos reconstructed once before the clock runs: networks are loaded and memory is taken by then."""

FOUND_OVERLAP = 0.5
"""Least overlap (IoU) of the boxes of the mesh in the photo and of FaceMesh's points at which they are one face."""

QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}
TIME_QUANTILES = {"median": 0.5, "90 %": 0.9}
SHEET_COLUMNS, SHEET_SIZE = 8, 160

Reconstructor: TypeAlias = Callable[[ImageSource], Reconstruction]


@dataclass(frozen=True)
class PhotoResult:
    """What became of one photo.

    Attributes
    ----------
    name : file name
    pixels : width and height of the photo
    detected : whether the detector had a box, right or wrong
    found : whether there is a mesh
    overlap : of the boxes of the mesh and of FaceMesh's points (IoU); None where either is not known
    vertices, triangles : of the final mesh, 0 where there is none
    milliseconds : stage -> its time; "from the file" all of the call, "decoded" all but reading the photo
    """

    name: str
    pixels: tuple[int, int]
    detected: bool
    found: bool
    overlap: float | None = None
    vertices: int = 0
    triangles: int = 0
    milliseconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Alarm:
    """A picture without a face in which one was found, and how plausible it looked."""

    set: str
    kind: str
    name: str
    score: float
    image: ByteArray = field(repr=False)


@dataclass(frozen=True)
class FacelessCount:
    """Pictures without a face: how many of a kind there were in a set, and in how many a face was found."""

    set: str
    kind: str
    pictures: int
    alarms: int


def mesh_limits(pipeline: str, *, head: bool = False) -> Limits:
    """Return least and most vertices and triangles of a pipeline's meshes."""
    if pipeline == "facevision":
        return FACEVISION_LIMITS
    if pipeline in MESH_PIPELINES and not head:
        level = semi_sphere().levels[-1]
        return {"vertices": (level.count, level.count), "triangles": (len(level.faces), len(level.faces))}
    fine = load_template(head=head).fine  # one topology for all photos
    count = int(fine.faces.max()) + 1
    return {"vertices": (count, count), "triangles": (len(fine.faces), len(fine.faces))}


def held_out_photos(photos: Mapping[str, Path], count: int) -> dict[str, Path]:
    """Return photos of test identities, at most `count`, evenly spread over all of them."""
    count = check.count(count, "count", 1)
    names = list(photos)
    test = [names[row] for row in split_names(names).test]
    return {test[row]: photos[test[row]] for row in evenly_spread(len(test), count)}


def evaluate_photos(
    photos: Mapping[str, Path], reconstructor: Reconstructor, boxes: Mapping[str, FloatArray] | None = None
) -> list[PhotoResult]:
    """Reconstruct photos from their files.

    Parameters
    ----------
    photos : file name -> path
    reconstructor : what is evaluated; raises `NoFaceFound` where there is no face
    boxes : file name -> (4,) float array, where the face is

    Returns
    -------
    list of PhotoResult, one a photo
    """
    for path in list(photos.values())[:WARM_UP]:
        _attempt(reconstructor, path)
    return [
        _evaluate_photo(name, path, reconstructor, None if boxes is None else boxes.get(name))
        for name, path in tqdm(photos.items(), desc="pipeline", unit="photo")
    ]


def _evaluate_photo(name: str, path: Path, reconstructor: Reconstructor, box: FloatArray | None) -> PhotoResult:
    spent: dict[str, float] = {}
    with stopwatch(spent, "from the file"):
        rec = _attempt(reconstructor, path)
    photo = load_image(path)
    pixels = photo.shape[1], photo.shape[0]
    if rec is None:
        return PhotoResult(name, pixels, detected=bool(detection.detect(photo)), found=False)
    spent["decoded"] = spent["from the file"] - rec.timings.get("loading", 0.0)
    return PhotoResult(
        name,
        pixels,
        detected=bool(rec.detections),
        found=True,
        overlap=None
        if box is None
        else box_overlap(landmark_box(rec.camera.project(rec.mesh.vertices[rec.mesh.seen > 0])), box),
        vertices=len(rec.mesh.vertices),
        triangles=len(rec.mesh.faces),
        milliseconds={**spent, **rec.timings},
    )


def _attempt(reconstructor: Reconstructor, image: ImageSource) -> Reconstruction | None:
    try:
        return reconstructor(image)
    except NoFaceFound:
        return None


def evaluate_faceless(
    name: str, pictures: Iterable[FacelessPicture], reconstructor: Reconstructor
) -> tuple[list[FacelessCount], list[Alarm]]:
    """Count the pictures without a face from which a mesh is made.

    Parameters
    ----------
    name : of the set
    pictures : its pictures
    reconstructor : what is evaluated; raises `NoFaceFound` where there is no face

    Returns
    -------
    counts : one a kind of picture, in the order in which the kinds come
    alarms : the pictures in which a face was found
    """
    seen: Counter[str] = Counter()
    alarms = []
    for kind, picture, image in tqdm(list(pictures), desc=f"faceless pictures, {name}", unit="picture"):
        seen[kind] += 1
        rec = _attempt(reconstructor, image)
        if rec is not None:
            alarms.append(Alarm(name, kind, picture, rec.score, image))
    found = Counter(alarm.kind for alarm in alarms)
    return [FacelessCount(name, kind, count, found[kind]) for kind, count in seen.items()], alarms


def summarise(
    results: Sequence[PhotoResult],
    counts: Sequence[FacelessCount],
    alarms: list[Alarm],
    limits: Limits = FACEVISION_LIMITS,
) -> dict[str, Any]:
    """Return all figures: `found`, `mesh`, `milliseconds` and `false_alarms`; shares are fractions.

    Notes
    -----
    The figures of `mesh` and `milliseconds` are of the photos in which a face was found.
    """
    found = [result for result in results if result.found]
    judged = [result.overlap for result in found if result.overlap is not None]
    sizes = {name: (np.array([getattr(result, name) for result in found]), limit) for name, limit in limits.items()}
    inside = {name: (values >= low) & (values <= high) for name, (values, (low, high)) in sizes.items()}
    stages = dict.fromkeys(stage for result in found for stage in result.milliseconds)
    return {
        "benchmark": "pipeline",
        "found": {
            "photos": len(results),
            "pixels": [float(value) for value in np.median([result.pixels for result in results], axis=0)],
            "detected": _mean([result.detected for result in results]),
            "found": _mean([result.found for result in results]),
            "right_face": _mean([overlap >= FOUND_OVERLAP for overlap in judged]) if judged else None,
            "missed": [result.name for result in results if not result.found],
            "wrong": [r.name for r in found if r.overlap is not None and r.overlap < FOUND_OVERLAP],
        },
        "mesh": {
            "faces": len(found),
            **{
                name: {"limits": limit, "within": _mean(inside[name]), **_quantiles(values, QUANTILES)}
                for name, (values, limit) in sizes.items()
            },
            "both_within": _mean(inside["vertices"] & inside["triangles"]),
        },
        "milliseconds": {
            stage: _quantiles([result.milliseconds.get(stage, 0.0) for result in found], TIME_QUANTILES)
            for stage in stages
        },
        "false_alarms": {
            "kinds": list(counts),
            "sets": [_total(name, counts) for name in dict.fromkeys(count.set for count in counts)],
            "alarms": [{"set": a.set, "kind": a.kind, "name": a.name, "score": a.score} for a in alarms],
        },
    }


def _total(name: str, counts: Sequence[FacelessCount]) -> FacelessCount:
    mine = [count for count in counts if count.set == name]
    return FacelessCount(name, "all", sum(count.pictures for count in mine), sum(count.alarms for count in mine))


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _quantiles(values: Any, quantiles: Mapping[str, float]) -> dict[str, float]:
    """Return the named quantiles; NaN where there are no values."""
    return {name: float(np.quantile(values, q)) if len(values) else float("nan") for name, q in quantiles.items()}


def format_summary(summary: dict[str, Any]) -> str:
    """Return the figures of `summarise` as tables."""
    found, mesh, alarms = summary["found"], summary["mesh"], summary["false_alarms"]
    width, height = found["pixels"]
    faces = [
        ["the detector has a box", 100 * found["detected"]],
        ["a face is found and meshed", 100 * found["found"]],
    ]
    if found["right_face"] is not None:
        faces.append(["and it is the annotated face", 100 * found["right_face"]])
    listed = [f"  {kind}: {name}" for kind in ("missed", "wrong") for name in found[kind]]
    sizes: list[list[str | float]] = [
        [
            f"{name}, {mesh[name]['limits'][0]} to {mesh[name]['limits'][1]}",
            *(round(mesh[name][quantile]) if mesh["faces"] else float("nan") for quantile in QUANTILES),
            100 * mesh[name]["within"],
        ]
        for name in ("vertices", "triangles")
    ]
    sizes.append(["both", *[""] * len(QUANTILES), 100 * mesh["both_within"]])
    times = [[stage, *values.values()] for stage, values in summary["milliseconds"].items()]
    counts = [
        [f"{count.set}: {count.kind}", count.pictures, count.alarms, 100 * count.alarms / count.pictures]
        for count in [*alarms["kinds"], *alarms["sets"]]
    ]
    parts = [
        "\n".join([table([f"{found['photos']} photos, about {width:.0f} x {height:.0f}", "%"], faces, 1), *listed]),
        table([f"mesh of {mesh['faces']} faces", *QUANTILES, "within %"], sizes, 1),
        table([f"milliseconds, after {WARM_UP} photos", *TIME_QUANTILES], times, 1),
    ]
    if counts:
        listed = [
            f"  {alarm['set']}: {alarm['kind']}, {alarm['name']}: {alarm['score']:.2f}" for alarm in alarms["alarms"]
        ]
        parts.append("\n".join([table(["pictures without a face", "pictures", "alarms", "%"], counts), *listed]))
    return "\n\n".join(parts)


def alarm_sheet(alarms: Sequence[Alarm]) -> ByteArray:
    """Return a sheet of the alarms' pictures, to see whether there is no face in them."""
    captions = [f"{alarm.name} {alarm.score:.2f}" for alarm in alarms]
    return sheet([alarm.image for alarm in alarms], SHEET_COLUMNS, SHEET_SIZE, captions)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate pipeline`."""
    parser.add_argument("photos", metavar="PHOTOS", help="folder of the LFW photos")
    parser.add_argument("--count", type=int, default=200, help="photos of test identities (default: %(default)s)")
    parser.add_argument(
        "--landmarks", metavar="FILE",
        help="file of `facegeom prepare landmarks`, to see if it is the right face, and to cut corners without a face",
    )  # fmt: skip
    parser.add_argument("--pipeline", choices=PIPELINES, default=DEFAULT_PIPELINE, help="default: %(default)s")
    parser.add_argument("--head", action="store_true", help="the whole head; measured on photos alone")
    parser.add_argument("--texture", metavar="N", type=int, help="with an atlas of N x N texels")
    parser.add_argument("--device", default="cpu", help="where the networks run (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    parser.add_argument("--faceless-sheet", metavar="FILE", help="write a picture of the false alarms to this file")


def run(args: argparse.Namespace) -> int:
    """Evaluate the whole chain."""

    def reconstructor(image: ImageSource) -> Reconstruction:
        return reconstruct(image, pipeline=args.pipeline, device=args.device, head=args.head, texture=args.texture)

    photos = find_photos(args.photos)
    chosen = held_out_photos(photos, args.count)
    boxes = None if args.landmarks is None else photo_boxes(args.landmarks)
    results = evaluate_photos(chosen, reconstructor, boxes)
    counts, alarms = [], []
    sets = {} if args.head else {"first": faceless_pictures(), "fresh": fresh_faceless_pictures(photos, boxes)}
    for name, pictures in sets.items():
        more_counts, more_alarms = evaluate_faceless(name, pictures, reconstructor)
        counts += more_counts
        alarms += more_alarms
    summary = summarise(results, counts, alarms, mesh_limits(args.pipeline, head=args.head))
    show(format_summary(summary))
    if args.json:
        write_json(args.json, {**summary, "photos": results})
    if args.faceless_sheet:
        if alarms:
            save_image(alarm_sheet(alarms), args.faceless_sheet)
        else:
            show(f"no false alarm: {args.faceless_sheet} is not written")
    return 0
