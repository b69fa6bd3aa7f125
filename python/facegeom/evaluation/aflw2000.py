"""`facegeom evaluate aflw2000`: 2-D error of the 68 landmarks on AFLW2000-3D, by absolute yaw.

Protocol: Zhu et al., Face Alignment Across Large Poses: A 3D Solution (CVPR 2016). Reannotation: Bulat and
Tzimiropoulos, How far are we from solving the 2D & 3D Face Alignment problem? (ICCV 2017).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.boxes import Box
from facegeom.images.crop import crop_box, crop_image
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.metrics import (
    INNER_POINTS,
    YAW_BINS,
    box_overlap,
    in_yaw_bin,
    landmark_box,
    landmark_error,
    yaw_bin_means,
)
from facegeom.measures.predictor import (
    Predictor,
    add_common_arguments,
    chosen_predictor,
    mean_face_landmarks,
    projected_landmarks,
)
from facegeom.measures.report import draw_points, picture_folder, sheet, show, table, write_json
from facegeom.measures.skin import cheek_lightness, means_by_lightness
from facegeom.pipelines import DENOISE
from facegeom.training.denoising.noise import noise_kind, with_noise

ANNOTATIONS = ("original", "reannotated")

ORIGIN = {"original": 1.0, "reannotated": 0.0}
"""Name of an annotation -> coordinate, in pixels, that it gives to the centre of the first pixel.

The original annotation counts pixels from 1 (MATLAB). The points of the reannotation lie 0.9 pixels to the left of the
original points on average, with equal weights of left and right faces: the reannotation counts from 0.
"""

FOUND_OVERLAP = 0.5
"""Smallest IoU of the bounding boxes of the predicted and the annotated 68 points at which a face counts as found."""

SHEET_COUNT, SHEET_SIZE = 10, 256


@dataclass(frozen=True)
class Annotations:
    """The annotations of the n photos of the benchmark.

    Attributes
    ----------
    names : n file names, without suffix
    points : name of the annotation -> (n, 68, 2) float array, pixels; the centre of the first pixel is (0, 0)
    points_3d : (n, 68, 3) float array, the original annotation with its depth, pixels
    yaw : (n,) float array, yaw of the heads, degrees
    """

    names: tuple[str, ...]
    points: dict[str, FloatArray]
    points_3d: FloatArray
    yaw: FloatArray


@dataclass(frozen=True)
class PhotoResult:
    """The predicted points of one photo.

    Attributes
    ----------
    name : file name, without suffix
    yaw : yaw of the head, degrees
    points : name of a prediction -> (68, 2) float array, pixels. Predictions are "annotated" (from the annotated box),
        "detector" (without a box) and "mean" (the mean face in the annotated box). The mean face also replaces a
        prediction that found no face.
    found : name of a prediction -> whether the face was found, see `FOUND_OVERLAP`
    lightness : lightness L* of the cheeks in the photo, see `cheek_lightness`
    """

    name: str
    yaw: float
    points: dict[str, FloatArray]
    found: dict[str, bool]
    lightness: float = float("nan")


def load_annotations(folder: str | Path) -> Annotations:
    """Read the annotations of the benchmark.

    Parameters
    ----------
    folder : folder that contains `annotations.npz`

    Raises
    ------
    FacegeomError
        If the file does not exist.
    """
    path = Path(folder) / "annotations.npz"
    if not path.is_file():
        raise FacegeomError(f"{path} does not exist: the folder must contain annotations.npz and images/")
    with np.load(path) as data:
        points_3d = data["points68"].transpose(0, 2, 1).astype(np.float64)
        points_3d[..., :2] -= ORIGIN["original"]
        reannotated = data["points68_reannotated"].transpose(0, 2, 1).astype(np.float64)
        return Annotations(
            tuple(str(name) for name in data["names"]),
            {"original": points_3d[..., :2], "reannotated": reannotated - ORIGIN["reannotated"]},
            points_3d,
            data["pitch_yaw_roll_deg"][:, 1].astype(np.float64),
        )


def evaluate_photo(
    image: ByteArray, points: FloatArray, predictor: Predictor, model: FaceModel, *, detector: bool = True
) -> tuple[dict[str, FloatArray], dict[str, bool]]:
    """Predict the 68 points of one photo with the annotated box, without a box, and as the mean face.

    Parameters
    ----------
    image : (h, w, 3) uint8 array
    points : (68, 2) float array, pixels, the original annotation
    predictor : the evaluated method
    model : face model that provides the mean face
    detector : whether to predict without the annotated box, too

    Returns
    -------
    points : name of a prediction -> (68, 2) float array, pixels
    found : name of a prediction -> whether the face was found
        Both dicts have the keys described in `PhotoResult`.
    """
    box = landmark_box(points)
    mean = mean_face_landmarks(model, box)
    predicted, found = {"mean": mean}, {"mean": True}
    given_boxes: dict[str, Box | None] = {"annotated": (box[0], box[1], box[2], box[3])}
    if detector:
        given_boxes["detector"] = None
    for crop, given in given_boxes.items():
        try:
            predicted[crop] = projected_landmarks(predictor(image, box=given))
            found[crop] = box_overlap(landmark_box(predicted[crop]), box) >= FOUND_OVERLAP
        except NoFaceFound:
            predicted[crop], found[crop] = mean, False
        if crop == "detector" and not found[crop]:
            predicted[crop] = mean
    return predicted, found


def evaluate(
    folder: str | Path,
    predictor: Predictor,
    *,
    model: FaceModel | None = None,
    detector: bool = True,
    rows: slice = slice(None),
    noise: str = "0",
) -> tuple[Annotations, dict[int, PhotoResult]]:
    """Predict the landmarks of the photos of the benchmark.

    Parameters
    ----------
    folder : folder that contains annotations.npz and images/
    predictor : the evaluated method
    model : face model that provides the mean face; None: the face model of the package
    detector : whether to predict without the annotated box, too
    rows : the photos to evaluate, as a slice of the annotations
    noise : noise that is added to the photos, as `noise_kind` accepts it

    Returns
    -------
    annotations : Annotations
    results : row of the annotations -> PhotoResult
    """
    annotations = load_annotations(folder)
    model = load_face_model() if model is None else model
    results = {}
    for row in tqdm(range(len(annotations.names))[rows], desc="aflw2000", unit="photo"):
        name = annotations.names[row]
        image = load_image(Path(folder) / "images" / f"{name}.jpg")
        lightness = cheek_lightness(image, annotations.points["original"][row])
        image = with_noise(image, noise, np.random.default_rng(row))
        predicted, found = evaluate_photo(
            image, annotations.points["original"][row], predictor, model, detector=detector
        )
        results[row] = PhotoResult(name, float(annotations.yaw[row]), predicted, found, lightness)
    return annotations, results


def summarise(annotations: Annotations, results: dict[int, PhotoResult]) -> dict[str, Any]:
    """Return the mean errors and the detection rates, in percent.

    Returns
    -------
    dict
        "error": a list with one row per prediction, annotation and subset of photos; "found": a list with one row per
        prediction and subset. "inner" is the error of the 51 points that do not lie on the jaw line, averaged over the
        yaw bins. "lightness": a list with one row per prediction and bin of the lightness of the cheeks: number of
        photos and mean error, original annotation, all photos.

    Notes
    -----
    The subset "odd" contains the photos at odd positions of `names`. The photos at even positions were used to choose
    the 68 points of the face model.
    """
    rows = np.array(sorted(results))
    yaw = annotations.yaw[rows]
    subsets: dict[str, BoolArray] = {"odd": rows % 2 == 1, "all": np.ones(len(rows), bool)}
    crops = [crop for crop in ("annotated", "detector", "mean") if crop in results[rows[0]].points]
    figures = []
    for crop in crops:
        found = np.array([results[row].found[crop] for row in rows])
        for annotation in ANNOTATIONS:
            truth = annotations.points[annotation]
            both = np.array(
                [
                    [
                        landmark_error(results[row].points[crop], truth[row], part)
                        for part in (slice(None), INNER_POINTS)
                    ]
                    for row in rows
                ]
            )
            for subset, inside in subsets.items():
                kinds = {"": inside}
                if crop == "detector":
                    kinds[", found only"] = inside & found
                for kind, chosen in kinds.items():
                    means = [100.0 * v for v in yaw_bin_means(both[chosen, 0], yaw[chosen])]
                    figures.append(
                        {
                            "crop": crop + kind,
                            "annotation": annotation,
                            "subset": subset,
                            "photos": int(chosen.sum()),
                            **dict(zip(_bin_names(), means[:3], strict=True)),
                            "mean_of_bins": means[3],
                            "mean_of_images": means[4],
                            "inner": 100.0 * yaw_bin_means(both[chosen, 1], yaw[chosen])[3],
                        }
                    )
    found_rates = []
    for crop in crops:
        found = np.array([results[row].found[crop] for row in rows], dtype=np.float64)
        for subset, inside in subsets.items():
            rates = [100.0 * v for v in yaw_bin_means(found[inside], yaw[inside])]
            below = inside & in_yaw_bin(yaw, 0.0, YAW_BINS[1][1])
            found_rates.append(
                {
                    "crop": crop,
                    "subset": subset,
                    **dict(zip(_bin_names(), rates[:3], strict=True)),
                    "below_60": 100.0 * float(found[below].mean()) if below.any() else float("nan"),
                    "all": rates[4],
                }
            )
    lightness = [results[row].lightness for row in rows]
    by_lightness = []
    for crop in crops:
        truth = annotations.points["original"]
        errors = [100.0 * landmark_error(results[row].points[crop], truth[row]) for row in rows]
        for name, part in means_by_lightness(errors, lightness).items():
            by_lightness.append({"crop": crop, "lightness": name, "photos": part["photos"], "error": part["mean"]})
    return {"benchmark": "aflw2000", "error": figures, "found": found_rates, "lightness": by_lightness}


def photo_errors(annotations: Annotations, results: dict[int, PhotoResult]) -> list[dict[str, Any]]:
    """Return one dict per photo: its name, its yaw, and its error in percent for each prediction and annotation."""
    return [
        {
            "name": result.name,
            "yaw": result.yaw,
            "lightness": result.lightness,
            "found": result.found,
            "error": {
                f"{crop} {annotation}": 100.0 * landmark_error(points, annotations.points[annotation][row])
                for crop, points in result.points.items()
                for annotation in ANNOTATIONS
            },
        }
        for row, result in sorted(results.items())
    ]


def result_sheet(
    folder: str | Path, annotations: Annotations, results: dict[int, PhotoResult], crop: str = "annotated"
) -> ByteArray:
    """Draw the photos with the smallest and the largest errors (annotated points: green, predicted points: red)."""
    truth = annotations.points["original"]
    order = sorted(results, key=lambda row: landmark_error(results[row].points[crop], truth[row]))
    count = min(SHEET_COUNT, len(order) // 2)
    tiles, captions = [], []
    for row in order[:count] + order[len(order) - count :]:
        result = results[row]
        image = load_image(Path(folder) / "images" / f"{result.name}.jpg")
        square = crop_box(landmark_box(truth[row]))
        factor = SHEET_SIZE / (square[2] - square[0])
        tile = crop_image(image, square, SHEET_SIZE)
        for points, color in ((truth[row], (60, 230, 60)), (result.points[crop], (255, 70, 50))):
            tile = draw_points(tile, (points - (square[0], square[1])) * factor - 0.5, color)
        tiles.append(tile)
        error = 100.0 * landmark_error(result.points[crop], truth[row])
        captions.append(f"{result.name} yaw {result.yaw:.0f}: {error:.1f} %")
    return sheet(tiles, max(1, -(-count // 2)), SHEET_SIZE, captions)


def format_summary(summary: dict[str, Any]) -> str:
    """Return the result of `summarise` as text tables."""
    bins = _bin_names()
    errors = table(
        ["prediction", "annotation", "photos", *bins, "mean of bins", "mean of photos", "51 inner points"],
        [
            [
                row["crop"],
                row["annotation"],
                f"{row['subset']} {row['photos']}",
                *(row[name] for name in bins),
                row["mean_of_bins"],
                row["mean_of_images"],
                row["inner"],
            ]
            for row in summary["error"]
        ],
    )
    found = table(
        ["prediction", "photos", *bins, "below 60", "all"],
        [
            [row["crop"], row["subset"], *(row[name] for name in bins), row["below_60"], row["all"]]
            for row in summary["found"]
            if row["crop"] != "mean"
        ],
        digits=1,
    )
    lightness = table(
        ["prediction", "cheeks", "photos", "NME"],
        [[row["crop"], row["lightness"], row["photos"], row["error"]] for row in summary["lightness"]],
    )
    return (
        f"normalised mean error (NME) of the 68 points, percent, by |yaw| in degrees\n{errors}\n\n"
        f"faces found, percent, by |yaw| in degrees\n{found}\n\n"
        f"NME of all photos, percent, by lightness of the cheeks in the photo\n{lightness}"
    )


def _bin_names() -> list[str]:
    return [f"{low:.0f}-{high:.0f}" for low, high in YAW_BINS]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate aflw2000`."""
    parser.add_argument("folder", metavar="DIR", help="folder that contains annotations.npz and images/")
    parser.add_argument(
        "--no-detector", action="store_true", help="predict with the annotated box only, not with the detector, too"
    )
    parser.add_argument(
        "--step", type=int, default=1, metavar="N",
        help="evaluate every N-th photo only; an odd N keeps photos of the subset odd (default: all photos)",
    )  # fmt: skip
    parser.add_argument(
        "--noise", type=_noise, default="0", metavar="LEVEL",
        help="add noise to the photos: the standard deviation of Gaussian noise from 0 to 1, of full scale, or phone "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--denoise", choices=DENOISE, default="auto",
        help="as in `facegeom reconstruct` (default: %(default)s)",
    )  # fmt: skip
    add_common_arguments(parser)


def _noise(text: str) -> str:
    try:
        return noise_kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the pictures that the command writes to the folder `--out`."""
    return [Path(args.out) / f"aflw2000_{crop}.png" for crop in ("annotated", "detector")] if args.out else []


def run(args: argparse.Namespace) -> int:
    """Evaluate the landmarks, print the tables and write the requested files; return the exit code."""
    annotations, results = evaluate(
        args.folder,
        chosen_predictor(args, DENOISE[args.denoise]),
        detector=not args.no_detector,
        rows=slice(None, None, args.step),
        noise=args.noise,
    )
    summary = summarise(annotations, results)
    show(format_summary(summary))
    if args.json:
        write_json(
            args.json,
            {**summary, "noise": args.noise, "denoise": args.denoise, "photos": photo_errors(annotations, results)},
        )
    if args.out:
        folder = picture_folder(args.out)
        for crop in ("annotated", "detector"):
            if not (crop == "detector" and args.no_detector):
                save_image(result_sheet(args.folder, annotations, results, crop), folder / f"aflw2000_{crop}.png")
    return 0
