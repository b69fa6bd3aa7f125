"""`facegeom evaluate diffusion`: quality, labels and copies of heads that a latent diffusion model draws.

Heads are drawn under the conditions of held-out photos (normals, correspondence and attributes) from new noise.
Measured are the distance to the held-out photos by the features of our own encoder (kernel and Frechet distance, which
are not the KID and FID of other papers), whether the images show their labels, whether they are copies of training
photos, and how well autoencoder and DDIM inversion return a photo. Real photos give the scale:
training photos in place of drawn images, and the labels of real photos.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom.evaluation.detection import evenly_spread
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.point_fit import Fit
from facegeom.images.image_files import save_image
from facegeom.measures.distributions import frechet_distance, kernel_distance, nearest_features
from facegeom.measures.report import draw_points, sheet, show, table, write_json
from facegeom.networks.diffusion.latent_diffusion import Condition, LatentDiffusion, load_diffusion
from facegeom.networks.segmentation import load_segmentation
from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.denoising.validation import psnr
from facegeom.training.diffusion.conditions import HeadAttributes, posed
from facegeom.training.diffusion.diffused_set import COPY_QUANTILE, LIMIT_QUANTILE
from facegeom.training.diffusion.editors import SamplingOptions
from facegeom.training.diffusion.encoders import FaceEncoder
from facegeom.training.diffusion.head_photos import HeadCrop, HeadPhotos
from facegeom.training.diffusion.label_check import LabelDistance, label_distance

BATCH = 16
RETURNED = 32
"""Photos that are encoded, inverted and drawn again."""

SHOWN, NEAREST_SHOWN = 64, 32
"""Drawn heads, and pairs of a drawn head and the nearest training photo, on the sheets."""

DOT = (0, 255, 90)


class Drawn(NamedTuple):
    """Heads drawn under the conditions of held-out photos: the images, and the crops of these photos."""

    images: list[ByteArray]
    crops: list[HeadCrop]


def draw_heads(
    diffusion: LatentDiffusion,
    reader: HeadAttributes,
    photos: HeadPhotos,
    count: int,
    options: SamplingOptions,
    seed: int = 0,
) -> Drawn:
    """Draw heads from new noise, under the conditions of photos in turn.

    Parameters
    ----------
    diffusion : LatentDiffusion
    reader : HeadAttributes
    photos : HeadPhotos
    count : number of heads
    options : SamplingOptions
    seed : of the noise
    """
    images: list[ByteArray] = []
    crops: list[HeadCrop] = []
    for start in tqdm(range(0, count, BATCH), desc="drawn heads", unit="batch"):
        numbers = range(start, min(start + BATCH, count))
        part = [photos.crop(number % len(photos), diffusion.size) for number in numbers]
        noise = diffusion.noise([1_000_003 * seed + number for number in numbers])
        images += list(
            diffusion.sample(
                condition_of(reader, part, diffusion.size),
                noise,
                steps=options.steps,
                guidance=options.guidance,
                eta=options.eta,
                seed=seed + start,
            )
        )
        crops += part
    return Drawn(images, crops)


def condition_of(reader: HeadAttributes, crops: Sequence[HeadCrop], size: int) -> Condition:
    """Return the condition that describes crops of photos."""
    maps = np.stack([reader.maps.reduced(crop.fit, size) for crop in crops])
    return Condition(maps, np.stack([reader.read(crop.image, crop.fit) for crop in crops]))


def distances_of_features(
    drawn: Float32Array, real: Float32Array, training: Float32Array
) -> dict[str, dict[str, float | int]]:
    """Return kernel and Frechet distance to real photos, of drawn heads and of as many training photos.

    Parameters
    ----------
    drawn : (n, e) features of the drawn heads
    real : (h, e) features of the held-out photos
    training : (t, e) features of the training photos
    """
    count = min(len(drawn), len(training))
    same = training[np.linspace(0, len(training) - 1, count).astype(int)]
    return {
        name: {
            "images": count,
            "kernel_distance": kernel_distance(values, real),
            "frechet_distance": frechet_distance(values, real),
        }
        for name, values in (("drawn", drawn[:count]), ("training photos", same))
    }


def label_errors(
    model: FaceModel, images: Sequence[ByteArray], fits: Sequence[Fit], what: str, device: str
) -> list[LabelDistance | None]:
    """Return how far the labels of images are from what the networks see; None where they see no face."""
    pairs = tqdm(zip(images, fits, strict=True), total=len(images), desc=what, unit="image")
    return [label_distance(model, image, fit, device) for image, fit in pairs]


def label_summary(drawn: list[LabelDistance | None], real: list[LabelDistance | None]) -> dict[str, Any]:
    """Return the errors of labels of drawn and real images, and what the check of real ones rejects of the drawn ones.

    The limits are a quantile of the errors of real photos, as in `facegeom prepare diffused`.
    """
    known = np.array([found for found in real if found is not None], dtype=np.float64).reshape(-1, 3)
    made = np.array([found or (np.inf,) * 3 for found in drawn], dtype=np.float64).reshape(-1, 3)
    if not len(known):
        return {"real": None, "drawn": None, "rejected": None, "no_face": None, "ratio": None}
    limits = np.quantile(known, LIMIT_QUANTILE, axis=0)[1:]
    kept = made[(made[:, 1:] <= limits).all(1)]
    names = LabelDistance._fields
    means = {
        "real": dict(zip(names, known.mean(0).tolist(), strict=True)),
        "drawn": dict(zip(names, kept.mean(0).tolist(), strict=True)) if len(kept) else None,
    }
    ratio = float(kept[:, 1].mean() / known[:, 1].mean()) if len(kept) else float("nan")
    no_face = float(np.isinf(made[:, 0]).mean())
    return {**means, "rejected": 1 - len(kept) / len(made), "no_face": no_face, "ratio": ratio}


def returned_photos(
    diffusion: LatentDiffusion, reader: HeadAttributes, crops: list[HeadCrop], steps: int
) -> dict[str, float]:
    """Return the PSNR in dB of photos after the autoencoder alone, and after inversion and DDIM in the same steps."""
    values: dict[str, list[float]] = {"autoencoder_psnr": [], "inversion_psnr": []}
    for start in range(0, len(crops), BATCH):
        part = crops[start : start + BATCH]
        images = np.stack([crop.image for crop in part])
        condition = condition_of(reader, part, diffusion.size)
        noise = diffusion.invert(images, condition, steps=steps)
        decoded = diffusion.decode(diffusion.encode(images))
        again = diffusion.sample(condition, noise, steps=steps, guidance=1.0)
        for made, name in ((decoded, "autoencoder_psnr"), (again, "inversion_psnr")):
            values[name] += [psnr(a, b) for a, b in zip(made, images, strict=True)]
    return {name: float(np.mean(found)) for name, found in values.items()}


def evaluate(
    diffusion: LatentDiffusion,
    training: HeadPhotos,
    held_out: HeadPhotos,
    count: int,
    options: SamplingOptions,
    device: str = "cpu",
) -> tuple[dict[str, Any], Drawn, list[tuple[ByteArray, ByteArray]]]:
    """Measure a model.

    Returns
    -------
    results : dict of results by part
    drawn : Drawn
    nearest : the drawn heads that are nearest to a training photo, with this photo, the nearest first
    """
    model = load_face_model()
    reader, encoder = HeadAttributes(model, load_segmentation()), FaceEncoder(model)
    drawn = draw_heads(diffusion, reader, held_out, count, options)
    fits = [crop.fit for crop in drawn.crops]
    real = [held_out.crop(row, diffusion.size) for row in evenly_spread(len(held_out), min(count, len(held_out)))]
    known = encoder.embed_photos(training, diffusion.size, "training photos")
    seen = encoder.embed(drawn.images, fits)
    others = encoder.embed([crop.image for crop in real], [crop.fit for crop in real])

    apart, rows = nearest_features(seen, known)
    limit = float(np.quantile(nearest_features(others, known)[0], COPY_QUANTILE))
    order = np.argsort(apart)[:NEAREST_SHOWN]
    nearest = [(drawn.images[n], training.crop(int(rows[n]), diffusion.size).image) for n in order]
    made = label_errors(model, drawn.images, fits, "labels of drawn heads", device)
    true = label_errors(
        model, [crop.image for crop in real], [crop.fit for crop in real], "labels of real photos", device
    )
    results = {
        "features": distances_of_features(seen, others, known),
        "labels": label_summary(made, true),
        "copies": {"share": float((apart < limit).mean()), "limit": limit, "nearest_median": float(np.median(apart))},
        "returned": returned_photos(diffusion, reader, real[:RETURNED], options.steps),
    }
    return results, drawn, nearest


def drawn_sheet(model: FaceModel, drawn: Drawn) -> ByteArray:
    """Return a picture of the first drawn heads, uncurated; every second row has the landmarks of the labels."""
    columns, size = 8, len(drawn.images[0])
    tiles: list[ByteArray] = []
    for start in range(0, min(SHOWN, len(drawn.images)), columns):
        images = drawn.images[start : start + columns]
        blank = [np.zeros_like(images[0])] * (columns - len(images))
        marked = [
            draw_points(image, posed(model, crop.fit).pixels()[model.landmarks68, :2], DOT, 0.7)
            for image, crop in zip(images, drawn.crops[start : start + columns], strict=True)
        ]
        tiles += [*images, *blank, *marked, *blank]
    return sheet(tiles, columns, size)


def nearest_sheet(pairs: list[tuple[ByteArray, ByteArray]]) -> ByteArray:
    """Return a picture of drawn heads, each above the nearest training photo."""
    columns = 8
    tiles: list[ByteArray] = []
    for start in range(0, len(pairs), columns):
        for row in zip(*pairs[start : start + columns], strict=True):
            tiles += [*row, *[np.zeros_like(row[0])] * (columns - len(row))]
    return sheet(tiles, columns, len(tiles[0]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate diffusion` to a parser."""
    defaults = SamplingOptions()
    add_labelled_photos(parser)
    parser.add_argument("--weights", required=True, metavar="FILE", help="weight file of `facegeom train diffusion`")
    parser.add_argument(
        "--part",
        choices=("validation", "test"),
        default="validation",
        help="held-out photos whose conditions are used (default: %(default)s)",
    )
    parser.add_argument("--samples", type=int, default=1000, help="number of drawn heads (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="steps of DDIM (default: %(default)s)")
    parser.add_argument(
        "--guidance", type=float, default=defaults.guidance, help="weight of the condition (default: %(default)s)"
    )
    parser.add_argument(
        "--eta", type=float, default=defaults.eta, help="share of random noise in each step (default: %(default)s)"
    )
    parser.add_argument("--sheet", metavar="FILE", help=f"write a picture of the first {SHOWN} drawn heads")
    parser.add_argument(
        "--nearest",
        metavar="FILE",
        help=f"write a picture of the {NEAREST_SHOWN} drawn heads nearest to a training photo, each above it",
    )
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the pictures that the command writes."""
    return [Path(path) for path in (args.sheet, args.nearest) if path]


def run(args: argparse.Namespace) -> int:
    """Measure a model, print the results and write the requested files; return the exit code."""
    options = SamplingOptions(args.steps, args.guidance, args.eta)
    count = check.count(args.samples, "--samples", 2)
    diffusion = load_diffusion(args.weights, args.device)
    training, held_out = (HeadPhotos(Path(args.photos), Path(args.labels), part) for part in ("training", args.part))
    results, drawn, nearest = evaluate(diffusion, training, held_out, count, options, args.device)
    features = results["features"]
    show(f"{count} drawn heads; features of the identity network, distance to {len(held_out)} held-out photos")
    rows = [[name, *values.values()] for name, values in features.items()]
    show(table(["", "images", "kernel distance", "Frechet distance"], rows, digits=4) + "\n")
    labels = results["labels"]
    lines: list[list[str | float | int]] = [
        [name, *labels[name].values()] for name in ("real", "drawn") if labels[name] is not None
    ]
    show("distance between label and prediction; drawn heads after the check of the labels")
    show(table(["", "landmarks, px", "landmarks, mm", "maps, mm"], lines) + "\n")
    copies, returned = results["copies"], results["returned"]
    show(f"rejected by this check: {_percent(labels['rejected'])}; without a face: {_percent(labels['no_face'])}")
    show(f"nearer to a training photo than 99 % of the held-out photos: {_percent(copies['share'])}")
    show(
        f"photos after the autoencoder {returned['autoencoder_psnr']:.2f} dB, after inversion and DDIM "
        f"{returned['inversion_psnr']:.2f} dB"
    )
    if args.sheet:
        save_image(drawn_sheet(load_face_model(), drawn), args.sheet)
    if args.nearest:
        save_image(nearest_sheet(nearest), args.nearest)
    if args.json:
        write_json(args.json, {"benchmark": "diffusion", "samples": count, "sampling": options, "results": results})
    return 0


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
