"""`facegeom evaluate pipeline`: `facegeom.reconstruct` as a user calls it, from the photo file to the final mesh.

On photos of test identities, the benchmark measures the detection rate, the size of the meshes and the run time. On
images without a face, it counts the false detections.
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
from facegeom.networks.interface import MESH_PIPELINES
from facegeom.networks.semi_sphere import semi_sphere
from facegeom.pipelines import DEFAULT_PIPELINE, PIPELINES
from facegeom.reconstruction import Reconstruction, reconstruct
from facegeom.training.data.labels import find_photos
from facegeom.training.data.split import split_names

Limits: TypeAlias = dict[str, tuple[int, int]]

FACEVISION_LIMITS: Limits = {"vertices": (5_000, 8_000), "triangles": (10_000, 15_000)}
"""Limits of the numbers of vertices and triangles, from the FaceVision-GAN paper (about 2 triangles per vertex)."""

WARM_UP = 2
"""Number of photos that are reconstructed before the time measurement, to load the networks and allocate memory."""

FOUND_OVERLAP = 0.5
"""Smallest IoU of the boxes of projected mesh and FaceMesh landmarks at which the right face was found."""

QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}
TIME_QUANTILES = {"median": 0.5, "90 %": 0.9}
SHEET_COLUMNS, SHEET_SIZE = 8, 160

Reconstructor: TypeAlias = Callable[[ImageSource], Reconstruction]


@dataclass(frozen=True)
class PhotoResult:
    """The result of the pipeline on one photo of a face.

    Attributes
    ----------
    name : file name
    pixels : width and height of the photo, pixels
    detected : whether the detector returned any box, correct or not
    found : whether a mesh was reconstructed
    overlap : IoU of the boxes of the projected mesh and of the FaceMesh landmarks; None if one of them is missing
    vertices, triangles : numbers of vertices and triangles of the final mesh; 0 without a mesh
    milliseconds : name of a step -> run time in ms; "from the file" is the complete call, "decoded" is the call without
        loading the photo
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
    """An image without a face in which a face was found.

    Attributes
    ----------
    set, kind, name : set, kind and name of the image, see `FacelessPicture`
    score : `Reconstruction.score`
    image : (h, w, 3) uint8 array
    """

    set: str
    kind: str
    name: str
    score: float
    image: ByteArray = field(repr=False)


@dataclass(frozen=True)
class FacelessCount:
    """Number of images without a face of one kind, and number of such images in which a face was found (`alarms`)."""

    set: str
    kind: str
    pictures: int
    alarms: int


def mesh_limits(pipeline: str, *, head: bool = False) -> Limits:
    """Return the smallest and largest permitted numbers of vertices and triangles of the meshes of a pipeline."""
    if pipeline == "facevision":
        return FACEVISION_LIMITS
    if pipeline in MESH_PIPELINES and not head:
        level = semi_sphere().levels[-1]
        return {"vertices": (level.count, level.count), "triangles": (len(level.faces), len(level.faces))}
    fine = load_template(head=head).fine  # one topology for all photos
    count = int(fine.faces.max()) + 1
    return {"vertices": (count, count), "triangles": (len(fine.faces), len(fine.faces))}


def held_out_photos(photos: Mapping[str, Path], count: int) -> dict[str, Path]:
    """Return photos of test identities.

    Parameters
    ----------
    photos : file name -> path
    count : largest number of photos, evenly spread over all of them
    """
    count = check.count(count, "count", 1)
    names = list(photos)
    test = [names[row] for row in split_names(names).test]
    return {test[row]: photos[test[row]] for row in evenly_spread(len(test), count)}


def evaluate_photos(
    photos: Mapping[str, Path], reconstructor: Reconstructor, boxes: Mapping[str, FloatArray] | None = None
) -> list[PhotoResult]:
    """Reconstruct photos from their files and measure the results.

    Parameters
    ----------
    photos : file name -> path
    reconstructor : the evaluated method; raises `NoFaceFound` if it finds no face
    boxes : file name -> (4,) float array, x0, y0, x1, y1 of the face in pixels

    Returns
    -------
    list of PhotoResult, one per photo
    """
    for path in list(photos.values())[:WARM_UP]:
        _attempt(reconstructor, path)
    return [
        _evaluate_photo(name, path, reconstructor, None if boxes is None else boxes.get(name))
        for name, path in tqdm(photos.items(), desc="pipeline", unit="photo")
    ]


def _evaluate_photo(name: str, path: Path, reconstructor: Reconstructor, box: FloatArray | None) -> PhotoResult:
    times: dict[str, float] = {}
    with stopwatch(times, "from the file"):
        rec = _attempt(reconstructor, path)
    photo = load_image(path)
    pixels = photo.shape[1], photo.shape[0]
    if rec is None:
        return PhotoResult(name, pixels, detected=bool(detection.detect(photo)), found=False)
    times["decoded"] = times["from the file"] - rec.timings.get("loading", 0.0)
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
        milliseconds={**times, **rec.timings},
    )


def _attempt(reconstructor: Reconstructor, image: ImageSource) -> Reconstruction | None:
    try:
        return reconstructor(image)
    except NoFaceFound:
        return None


def evaluate_faceless(
    name: str, pictures: Iterable[FacelessPicture], reconstructor: Reconstructor
) -> tuple[list[FacelessCount], list[Alarm]]:
    """Count the images without a face in which a face is found.

    Parameters
    ----------
    name : name of the set of images
    pictures : images without a face of this set
    reconstructor : the evaluated method; raises `NoFaceFound` if it finds no face

    Returns
    -------
    counts : list of FacelessCount, one per kind, in the order of the first image of each kind
    alarms : list of Alarm, the images in which a face was found
    """
    seen: Counter[str] = Counter()
    alarms = []
    for kind, picture, image in tqdm(list(pictures), desc=f"images without a face, {name}", unit="image"):
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
    """Return the detection rates, mesh sizes, run times and false detections.

    Returns
    -------
    dict
        "found", "mesh", "milliseconds" and "false_alarms"; shares are fractions in [0, 1]. "mesh" and "milliseconds"
        include only the photos in which a face was found.
    """
    found = [result for result in results if result.found]
    overlaps = [result.overlap for result in found if result.overlap is not None]
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
            "right_face": _mean([overlap >= FOUND_OVERLAP for overlap in overlaps]) if overlaps else None,
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
    """Return the sum of the counts of all kinds of images in one set."""
    of_set = [count for count in counts if count.set == name]
    return FacelessCount(name, "all", sum(count.pictures for count in of_set), sum(count.alarms for count in of_set))


def _mean(values: Any) -> float:
    """Return the mean of the numbers `values`; NaN if `values` is empty."""
    return float(np.mean(values)) if len(values) else float("nan")


def _quantiles(values: Any, quantiles: Mapping[str, float]) -> dict[str, float]:
    """Return the quantiles of `values` as name -> quantile; NaN if `values` is empty.

    `quantiles` maps each name to a probability in [0, 1].
    """
    return {name: float(np.quantile(values, q)) if len(values) else float("nan") for name, q in quantiles.items()}


def format_summary(summary: dict[str, Any]) -> str:
    """Return the result of `summarise` as text tables."""
    found, mesh, alarms = summary["found"], summary["mesh"], summary["false_alarms"]
    width, height = found["pixels"]
    faces = [
        ["with a detection", 100 * found["detected"]],
        ["with a mesh", 100 * found["found"]],
    ]
    if found["right_face"] is not None:
        faces.append(["meshes of the annotated face", 100 * found["right_face"]])
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
        "\n".join([table([f"{found['photos']} photos, median {width:.0f} x {height:.0f}", "%"], faces, 1), *listed]),
        table([f"size of {mesh['faces']} meshes", *QUANTILES, "within limits %"], sizes, 1),
        table([f"milliseconds, after a warm-up of {WARM_UP} photos", *TIME_QUANTILES], times, 1),
    ]
    if counts:
        listed = [
            f"  {alarm['set']}: {alarm['kind']}, {alarm['name']}: {alarm['score']:.2f}" for alarm in alarms["alarms"]
        ]
        header = ["images without a face", "images", "false detections", "%"]
        parts.append("\n".join([table(header, counts), *listed]))
    return "\n\n".join(parts)


def alarm_sheet(alarms: Sequence[Alarm]) -> ByteArray:
    """Draw the images with false detections, so that a person can check that they show no face."""
    captions = [f"{alarm.name} {alarm.score:.2f}" for alarm in alarms]
    return sheet([alarm.image for alarm in alarms], SHEET_COLUMNS, SHEET_SIZE, captions)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate pipeline`."""
    parser.add_argument("photos", metavar="PHOTOS", help="folder that contains the LFW photos, also in subfolders")
    parser.add_argument(
        "--count", type=int, default=200, help="largest number of photos of test identities (default: %(default)s)"
    )
    parser.add_argument(
        "--landmarks", metavar="FILE",
        help="file of FaceMesh landmarks, written by `facegeom prepare landmarks`: check that the "
        "right face was found, and count false detections in corners of photos, too",
    )  # fmt: skip
    parser.add_argument(
        "--pipeline", choices=PIPELINES, default=DEFAULT_PIPELINE, help="reconstruction method (default: %(default)s)"
    )
    parser.add_argument(
        "--head", action="store_true", help="complete the face to a full head; false detections are not counted"
    )
    parser.add_argument(
        "--texture", metavar="N", type=int, help="give each mesh a texture of N x N texels (default: vertex colours)"
    )
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")
    parser.add_argument(
        "--faceless-sheet", metavar="FILE", help="write a picture of the images with false detections to this file"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate the reconstruction from file to mesh and write the results; return the exit code."""

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
            show(f"no false detections: {args.faceless_sheet} was not written")
    return 0
