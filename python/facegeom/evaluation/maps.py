"""`facegeom evaluate maps`: errors of depth, correspondence and mask on test photos, turned renders and ICT heads.

The input of the network is a crop around the true face. Its maps are averaged with the maps of the mirrored crop, as in
`facegeom.pipelines.map_prediction`. The ground truth of photos and of their turned renders is the face model fitted to
the photo. The ground truth of ICT heads is exact.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.images.image_files import save_image
from facegeom.images.pictures import correspondence_picture, depth_picture
from facegeom.measures.metrics import MAX_YAW, MapError, in_yaw_bin, map_error
from facegeom.measures.predictor import MAP_PIPELINES, add_common_arguments, load_network
from facegeom.measures.registered import RegisteredNetwork
from facegeom.measures.report import picture_folder, sheet, show, table, write_json
from facegeom.networks.interface import NetworkMaps
from facegeom.training.data.labels import LabelOptions, Labels, find_photos, make_labels, yaw_deg
from facegeom.training.data.renderer import Sample
from facegeom.training.data.samples import FaceSamples, PhotoStore
from facegeom.training.data.split import split_names

YAW_STEP = 15.0  # width of a yaw bin, degrees
TURNED_YAW = (30.0, 85.0)  # smallest and largest absolute yaw of the turned renders, degrees; uniform
MASK_THRESHOLD = 0.5  # mask probability above which a pixel belongs to the mask
BATCH = 16  # number of crops per network pass
SHEET_ROWS, SHEET_SIZE, SHEET_COLUMNS = 12, 128, 7  # rows per source, picture side in pixels, pictures per row


class MapsNetwork(Protocol):
    """A network that predicts maps."""

    @property
    def size(self) -> int:
        """Side length of the square input crops, pixels."""

    def predict(self, crops: ByteArray) -> NetworkMaps:
        """Return the maps of (b, size, size, 3) uint8 crops."""


@dataclass(frozen=True)
class MapCase:
    """A crop of a photo or of a rendered head, with its true maps.

    Attributes
    ----------
    source : "photo" (a test photo), "turned" (a turned render of a test photo) or "ict" (a random ICT head)
    name : name of the photo or head
    yaw : yaw of the head, degrees
    sample : Sample, the image and the true maps
    """

    source: str
    name: str
    yaw: float
    sample: Sample


@dataclass(frozen=True)
class CaseResult:
    """The errors of one crop; `source`, `name` and `yaw` have the same meaning as in `MapCase`."""

    source: str
    name: str
    yaw: float
    error: MapError


def load_test_photos(
    photos: str, *, fits: str | None = None, landmarks: str | None = None, processes: int = 1
) -> tuple[FaceSamples, list[str], list[float]]:
    """Return the photos of test identities whose fit is accurate enough to serve as ground truth.

    Parameters
    ----------
    photos : folder that contains the photos
    fits : file of fits, written by `facegeom prepare labels`, or None
    landmarks : file of FaceMesh landmarks, written by `facegeom prepare landmarks`; if `fits` is
        None, the face model is fitted to these landmarks
    processes : number of processes that fit the face model

    Returns
    -------
    samples : FaceSamples of m photos, in the order of the file of fits or landmarks
    names : m file names of the photos
    yaws : yaw of the m heads, degrees

    Raises
    ------
    FacegeomError
        If neither `fits` nor `landmarks` is given, or if there is no such photo.
    """
    found = find_photos(photos)
    if fits is not None:
        labels = Labels.load(fits)
        test = split_names([str(name) for name in labels.names]).test
    elif landmarks is not None:
        with np.load(landmarks) as data:
            names, points = data["names"], data["landmarks"]
        rows = split_names([str(name) for name in names]).test
        labels = make_labels(names[rows], points[rows], LabelOptions(), processes=processes)
        test = np.arange(len(rows))
    else:
        raise FacegeomError("the ground truth of the photos needs --fits or --landmarks")
    kept = np.array(
        [row for row in test if labels.reason[row] == 0 and str(labels.names[row]) in found], dtype=np.int64
    )
    if len(kept) == 0:
        raise FacegeomError(f"{photos} contains no photo of a test identity with a usable fit")
    chosen = [str(labels.names[row]) for row in kept]
    samples = FaceSamples(load_face_model(), PhotoStore(found, chosen), labels, kept)
    return samples, chosen, [float(v) for v in yaw_deg(labels.rotation[kept].astype(np.float64))]


def photo_cases(
    samples: FaceSamples, names: list[str], yaws: list[float], size: int, seed: int = 0
) -> Iterator[MapCase]:
    """Yield each test photo unchanged and once as a turned render, without augmentation.

    Parameters
    ----------
    samples, names, yaws : from `load_test_photos`
    size : side length of the square crops, pixels
    seed : seed of the yaws of the turned renders, uniform in `TURNED_YAW`; a face with a larger yaw is not turned
    """
    turned = np.random.default_rng(seed).uniform(*TURNED_YAW, len(names))
    for item, (name, yaw) in enumerate(zip(names, yaws, strict=True)):
        yield MapCase("photo", name, yaw, samples.evaluation(item, size))
        yield MapCase("turned", name, float(max(turned[item], abs(yaw))), samples.evaluation(item, size, turned[item]))


def head_cases(path: str, count: int, size: int, seed: int = 0) -> Iterator[MapCase]:
    """Yield renders of random ICT heads, with exact ground truth.

    Parameters
    ----------
    path : path of the file `ict_face_model.npz`
    count : number of heads
    size : side length of the square crops, pixels
    seed : seed of the random heads
    """
    from facegeom.evaluation.ict_heads import draw_heads  # needs SciPy, which the extra `train` installs

    for name, yaw, sample in draw_heads(path, count, size, seed):
        yield MapCase("ict", name, yaw, sample)


def evaluate(cases: Iterable[MapCase], network: MapsNetwork) -> tuple[list[CaseResult], dict[str, list[ByteArray]]]:
    """Evaluate the network on all cases.

    Parameters
    ----------
    cases : iterable of MapCase
    network : the evaluated network

    Returns
    -------
    results : list of CaseResult, one per case
    pictures : source -> pictures of the first cases of this source, see `case_pictures`
    """
    results: list[CaseResult] = []
    pictures: dict[str, list[ByteArray]] = {}
    for batch in _batches(cases):
        maps = network.predict(np.stack([case.sample.image for case in batch]))
        for i, case in enumerate(batch):
            truth = case.sample
            mask = maps.mask_probability[i] > MASK_THRESHOLD
            error = map_error(
                maps.depth[i], maps.correspondence[i], mask, truth.depth, truth.correspondence, truth.mask
            )
            results.append(CaseResult(case.source, case.name, case.yaw, error))
            tiles = pictures.setdefault(case.source, [])
            if len(tiles) < SHEET_ROWS * SHEET_COLUMNS:
                tiles += case_pictures(truth, maps.depth[i], maps.correspondence[i], mask)
    return results, pictures


def _batches(cases: Iterable[MapCase]) -> Iterator[list[MapCase]]:
    """Yield lists of `BATCH` cases, for which the network runs once; the last list may be shorter."""
    batch: list[MapCase] = []
    for case in tqdm(cases, desc="maps", unit="crop"):
        batch.append(case)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def case_pictures(
    truth: Sample, depth: npt.NDArray[Any], correspondence: npt.NDArray[Any], mask: npt.NDArray[Any]
) -> list[ByteArray]:
    """Return the `SHEET_COLUMNS` pictures of one case.

    Returns
    -------
    list of (S, S, 3) uint8 arrays
        The image, the true and the predicted depth, the true and the predicted correspondence, the two masks (red: only
        true, green: both, blue: only predicted), and the depth error; the colours range from 0 to 10 % of the true
        depth range.
    """
    both = truth.mask & mask
    shift = float((depth[both] - truth.depth[both]).mean()) if both.any() else 0.0
    depths = [np.where(truth.mask, truth.depth, np.nan), np.where(mask, depth - shift, np.nan)]
    low, high = float(truth.depth[truth.mask].min()), float(truth.depth[truth.mask].max())
    masks = np.stack([truth.mask & ~mask, both, mask & ~truth.mask], axis=-1)
    error = np.where(both, np.abs(depth - shift - truth.depth), np.nan)
    return [
        truth.image,
        *(depth_picture(values, low, high) for values in depths),
        *(
            correspondence_picture(np.where(inside[..., None], values, np.nan))
            for values, inside in ((truth.correspondence, truth.mask), (correspondence, mask))
        ),
        (masks * 200).astype(np.uint8),
        depth_picture(error, 0.0, 0.1 * (high - low)),
    ]


def summarise(results: list[CaseResult]) -> dict[str, Any]:
    """Return the mean errors of each source, over all cases and for each bin of absolute yaw."""
    rows = []
    for source in dict.fromkeys(result.source for result in results):
        of_source = [result for result in results if result.source == source]
        rows.append(_mean_row(source, "all", of_source))
        for low in np.arange(0.0, MAX_YAW, YAW_STEP):
            inside = [result for result in of_source if in_yaw_bin(result.yaw, low, low + YAW_STEP)]
            if inside:
                rows.append(_mean_row(source, f"{low:.0f}-{low + YAW_STEP:.0f}", inside))
    return {"benchmark": "maps", "rows": rows}


def _mean_row(source: str, yaw: str, results: list[CaseResult]) -> dict[str, Any]:
    """Return one row of `summarise`; `yaw` is the name of the bin."""
    errors = [result.error for result in results]
    known = [error for error in errors if np.isfinite(error.depth)]
    nan = float("nan")
    return {
        "source": source,
        "yaw": yaw,
        "crops": len(errors),
        "without_overlap": len(errors) - len(known),
        "depth_percent": float(np.mean([error.depth for error in known])) if known else nan,
        "correspondence_mm": float(np.mean([error.correspondence for error in known])) if known else nan,
        "mask_iou": float(np.mean([error.overlap for error in errors])),
    }


def format_summary(summary: dict[str, Any]) -> str:
    """Return the result of `summarise` as a text table."""
    return table(
        ["source", "|yaw|", "crops", "depth % of range", "correspondence mm", "mask IoU", "without overlap"],
        [
            [
                row["source"],
                row["yaw"],
                row["crops"],
                row["depth_percent"],
                row["correspondence_mm"],
                row["mask_iou"],
                row["without_overlap"],
            ]
            for row in summary["rows"]
        ],
        digits=3,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate maps`."""
    parser.add_argument(
        "photos", metavar="PHOTOS", nargs="?", help="folder with photos; if missing, evaluate on ICT heads only"
    )
    parser.add_argument("--fits", metavar="FILE", help="file of fits, written by `facegeom prepare labels`")
    parser.add_argument(
        "--landmarks",
        metavar="FILE",
        help="file of FaceMesh landmarks, written by `facegeom prepare landmarks`, used if --fits is missing",
    )
    parser.add_argument("--ict", metavar="FILE", help="path of ict_face_model.npz; evaluate on rendered ICT heads, too")
    parser.add_argument("--heads", type=int, default=300, help="number of rendered ICT heads (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="largest number of evaluated photos (default: all)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the turned renders and of the ICT heads (default: %(default)s)"
    )
    add_common_arguments(parser, MAP_PIPELINES)


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the pictures that the command writes to the folder `--out`."""
    return [Path(args.out) / f"maps_{source}.png" for source in ("photo", "turned", "ict")] if args.out else []


def run(args: argparse.Namespace) -> int:
    """Evaluate the maps of the network or of the registered template, and write the results; return the exit code."""
    if not args.photos and not args.ict:
        raise FacegeomError("evaluate maps needs a folder with photos, --ict, or both")
    trained = load_network(args.weights, args.device)
    network: MapsNetwork = RegisteredNetwork(trained) if args.pipeline == "pix2vertex" else trained
    results: list[CaseResult] = []
    pictures: dict[str, list[ByteArray]] = {}
    if args.photos:
        samples, names, yaws = load_test_photos(args.photos, fits=args.fits, landmarks=args.landmarks)
        cases = photo_cases(samples, names[: args.limit], yaws[: args.limit], network.size, args.seed)
        results, pictures = evaluate(cases, network)
    if args.ict:
        head_results, head_pictures = evaluate(head_cases(args.ict, args.heads, network.size, args.seed), network)
        results += head_results
        pictures.update(head_pictures)
    summary = summarise(results)
    show(format_summary(summary))
    if args.json:
        write_json(args.json, {**summary, "crops": results})
    if args.out:
        folder = picture_folder(args.out)
        for source, tiles in pictures.items():
            save_image(sheet(tiles, SHEET_COLUMNS, SHEET_SIZE), folder / f"maps_{source}.png")
    return 0
