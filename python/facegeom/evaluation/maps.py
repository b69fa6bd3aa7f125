"""`facegeom evaluate maps`: depth, correspondence and mask on test photos, turned renders and ICT heads.

The network sees one crop around the true face, averaged with its mirror image as in
`facegeom.pipelines.map_prediction`. The truth of the photos and of their turned renders is the face model fitted to
the photo; that of the ICT heads is exact.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.images.image_files import save_image
from facegeom.measures.metrics import MapError, map_error
from facegeom.measures.predictor import MAP_PIPELINES, add_common_arguments, load_network
from facegeom.measures.registered import RegisteredNetwork
from facegeom.measures.report import (
    correspondence_picture,
    depth_picture,
    picture_folder,
    sheet,
    show,
    table,
    write_json,
)
from facegeom.networks.facevision import NetworkMaps
from facegeom.training.data.labels import LabelOptions, Labels, find_photos, make_labels, yaw_deg
from facegeom.training.data.renderer import Sample
from facegeom.training.data.samples import FaceSamples, PhotoStore
from facegeom.training.data.split import split_names

YAW_STEP = 15.0  # degrees of a bin
TURNED_YAW = (30.0, 85.0)  # degrees, uniform, of the turned renders
MASK_THRESHOLD = 0.5
BATCH = 16
SHEET_ROWS, SHEET_SIZE = 12, 128


class MapsNetwork(Protocol):
    """What is evaluated: a network that sees crops of its own size."""

    @property
    def size(self) -> int:
        """Side of its crops, pixels."""

    def predict(self, crops: ByteArray) -> NetworkMaps:
        """Return the maps of (b, size, size, 3) uint8 crops."""


@dataclass(frozen=True)
class Case:
    """One crop with its truth: where it comes from, its name, its yaw in degrees, and the sample."""

    source: str
    name: str
    yaw: float
    sample: Sample


@dataclass(frozen=True)
class CaseResult:
    """The errors of one crop; `source`, `name` and `yaw` as in `Case`."""

    source: str
    name: str
    yaw: float
    error: MapError


def load_test_photos(
    photos: str, *, fits: str | None = None, landmarks: str | None = None, processes: int = 1
) -> tuple[FaceSamples, list[str], list[float]]:
    """Return the test photos of the split with their fits, those only whose fit may serve as truth.

    Parameters
    ----------
    photos : folder of the photos
    fits : file of `facegeom prepare labels`, or None
    landmarks : file of `facegeom prepare landmarks` that the test photos are fitted to where there are no `fits`
    processes : for that fitting

    Returns
    -------
    samples, names, yaws in degrees : of the same m photos, in the order of the file

    Raises
    ------
    FacegeomError
        When neither file is given, or no test photo is left.
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
        raise FacegeomError("the truth of the photos needs --fits or --landmarks")
    kept = np.array(
        [row for row in test if labels.reason[row] == 0 and str(labels.names[row]) in found], dtype=np.int64
    )
    if len(kept) == 0:
        raise FacegeomError(f"no test photo with a usable fit is below {photos}")
    chosen = [str(labels.names[row]) for row in kept]
    samples = FaceSamples(load_face_model(), PhotoStore(found, chosen), labels, kept)
    return samples, chosen, [float(v) for v in yaw_deg(labels.rotation[kept].astype(np.float64))]


def photo_cases(samples: FaceSamples, names: list[str], yaws: list[float], size: int, seed: int = 0) -> Iterator[Case]:
    """Yield each test photo as it is and turned once, without augmentation.

    Parameters
    ----------
    samples, names, yaws : as `load_test_photos` returns them
    size : of the crops, pixels
    seed : of the turned yaws, uniform between 30 and 85 degrees; a face that looks further aside already stays
    """
    turned = np.random.default_rng(seed).uniform(*TURNED_YAW, len(names))
    for item, (name, yaw) in enumerate(zip(names, yaws, strict=True)):
        yield Case("photo", name, yaw, samples.evaluation(item, size))
        yield Case("turned", name, float(max(turned[item], abs(yaw))), samples.evaluation(item, size, turned[item]))


def head_cases(path: str, count: int, size: int, seed: int = 0) -> Iterator[Case]:
    """Yield renders of ICT heads, whose truth is exact; `path` is that of `ict_face_model.npz`."""
    from facegeom.evaluation.ict_heads import draw_heads  # needs SciPy, of the extra `train`

    for name, yaw, sample in draw_heads(path, count, size, seed):
        yield Case("ict", name, yaw, sample)


def evaluate(cases: Iterable[Case], network: MapsNetwork) -> tuple[list[CaseResult], dict[str, list[ByteArray]]]:
    """Measure the network on all cases.

    Returns
    -------
    results : one a case
    rows : source -> picture rows of its first cases: image, depth, correspondence and mask, true and predicted
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
            if len(tiles) < SHEET_ROWS * 7:
                tiles += case_pictures(truth, maps.depth[i], maps.correspondence[i], mask)
    return results, pictures


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    batch: list[Case] = []
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
    """Return seven tiles: image, true and predicted depth, true and predicted correspondence, masks, depth error."""
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
    """Return the mean errors by source, over all its cases and by steps of absolute yaw."""
    rows = []
    for source in dict.fromkeys(result.source for result in results):
        mine = [result for result in results if result.source == source]
        rows.append(_mean_row(source, "all", mine))
        for low in np.arange(0.0, 90.0, YAW_STEP):
            last = low + YAW_STEP >= 90.0
            inside = [r for r in mine if low <= abs(r.yaw) and (abs(r.yaw) < low + YAW_STEP or last)]
            if inside:
                rows.append(_mean_row(source, f"{low:.0f}-{low + YAW_STEP:.0f}", inside))
    return {"benchmark": "maps", "rows": rows}


def _mean_row(source: str, yaw: str, results: list[CaseResult]) -> dict[str, Any]:
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
    """Return the figures of `summarise` as a table."""
    return table(
        ["source", "|yaw|", "crops", "depth % of range", "correspondence mm", "mask IoU", "no overlap"],
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
    """Declare `facegeom evaluate maps`."""
    parser.add_argument("photos", metavar="PHOTOS", nargs="?", help="folder of photos; left out: ICT heads only")
    parser.add_argument("--fits", metavar="FILE", help="file of `facegeom prepare labels`")
    parser.add_argument("--landmarks", metavar="FILE", help="file of `facegeom prepare landmarks`, without --fits")
    parser.add_argument("--ict", metavar="FILE", help="ict_face_model.npz: evaluate on rendered heads too")
    parser.add_argument("--heads", type=int, default=300, help="how many of them (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="at most so many photos")
    parser.add_argument("--seed", type=int, default=0, help="of the turned yaws and the heads (default: %(default)s)")
    add_common_arguments(parser, MAP_PIPELINES)


def run(args: argparse.Namespace) -> int:
    """Evaluate the network's maps, or those of the template registered to them."""
    if not args.photos and not args.ict:
        raise FacegeomError("evaluate maps needs a folder of photos, --ict, or both")
    trained = load_network(args.weights, args.device)
    network: MapsNetwork = RegisteredNetwork(trained) if args.pipeline == "pix2vertex" else trained
    results: list[CaseResult] = []
    pictures: dict[str, list[ByteArray]] = {}
    if args.photos:
        samples, names, yaws = load_test_photos(args.photos, fits=args.fits, landmarks=args.landmarks)
        cases = photo_cases(samples, names[: args.limit], yaws[: args.limit], network.size, args.seed)
        results, pictures = evaluate(cases, network)
    if args.ict:
        more, rows = evaluate(head_cases(args.ict, args.heads, network.size, args.seed), network)
        results += more
        pictures.update(rows)
    summary = summarise(results)
    show(format_summary(summary))
    if args.json:
        write_json(args.json, {**summary, "crops": results})
    if args.out:
        folder = picture_folder(args.out)
        for source, tiles in pictures.items():
            save_image(sheet(tiles, 7, SHEET_SIZE), folder / f"maps_{source}.png")
    return 0
