"""`facegeom evaluate denoising`: PSNR and SSIM of denoised crops of faces (table 1 of the GCN-IGAN paper).

The table is made twice: for Gaussian noise of the paper's four levels, and for Gaussian noise with the PSNR of the
paper's noisy images, see `facegeom.training.denoising.noise`. Values are clipped to those of an 8-bit image.

With `--choice` it is measured instead how often `denoising_score`, which chooses between two networks where there is no
image without noise, chooses the network with the higher PSNR (algorithm 1 of the paper).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage
from skimage.metrics import structural_similarity
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import FacegeomError
from facegeom.evaluation.detection import evenly_spread
from facegeom.images.denoising_score import denoising_score
from facegeom.images.image_files import save_image
from facegeom.images.noise_level import noise_level
from facegeom.measures.report import sheet, show, table, write_json
from facegeom.networks.denoising.denoiser import DenoiserConfig, load_denoiser
from facegeom.networks.weights import load_weights
from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.denoising.noise import LEVELS, PAPER_PSNR, with_gaussian_noise, with_noise, with_psnr
from facegeom.training.denoising.samples import FacePhotos
from facegeom.training.denoising.validation import SIDE_MM, psnr

SIZE = 112
"""Side of the crops, pixels."""

WAYS = ("sigma", "paper")
"""Noise of the paper's levels, and noise with the PSNR of the paper's images."""

NOISY, CLASSICAL = "noisy image", "non-local means"
CHOICE_KINDS = ("phone", "0.1", "0.25", "0.5")
"""Kinds of noise for which the choice between two networks is measured."""

SHOWN, RESAMPLED = 16, 1000
"""Faces on the sheet, and samples of the bootstrap for the confidence intervals."""

Method = Callable[[ByteArray], ByteArray]
"""Function noisy image (h, w, 3) uint8 -> image of the same shape."""


class Quality(NamedTuple):
    """Means over photos, and half of the width of their 95 % confidence intervals.

    Attributes
    ----------
    psnr, psnr_half_width : dB
    ssim, ssim_half_width : percent
    """

    psnr: float
    psnr_half_width: float
    ssim: float
    ssim_half_width: float


def non_local_means(noisy: ByteArray) -> ByteArray:
    """Denoise by non-local means (Buades et al. 2005) of scikit-image; the noise level is estimated."""
    values = noisy / 255.0
    level = noise_level(noisy)
    made = skimage.restoration.denoise_nl_means(
        values, patch_size=5, patch_distance=6, h=0.8 * level, sigma=level, fast_mode=True, channel_axis=2
    )
    return np.asarray(np.rint(np.clip(made, 0, 1) * 255), np.uint8)


def ssim(image: ByteArray, truth: ByteArray) -> float:
    """Return the structural similarity with the Gaussian window of Wang et al. (2004), percent."""
    return 100 * float(
        structural_similarity(
            image, truth, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def noisy_image(clean: ByteArray, level: float, way: str, number: int) -> ByteArray:
    """Return a photo with noise; the noise depends on its number, the level and the way (one of `WAYS`) only."""
    rng = np.random.default_rng([number, LEVELS.index(level), WAYS.index(way)])
    return with_gaussian_noise(clean, level, rng) if way == "sigma" else with_psnr(clean, PAPER_PSNR[level], rng)


def mean_with_interval(values: FloatArray) -> tuple[float, float]:
    """Return the mean of values (n,), and half of the width of its 95 % interval by the bootstrap."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLED, len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(values.mean()), float(high - low) / 2


def evaluate(
    photos: Sequence[ByteArray], methods: Mapping[str, Method], ways: Sequence[str] = WAYS
) -> dict[str, dict[str, dict[str, Quality]]]:
    """Measure all methods.

    Parameters
    ----------
    photos : (S, S, 3) uint8 arrays without noise
    methods : name -> function; the noisy image itself is measured, too
    ways : of `WAYS`

    Returns
    -------
    dict
        way -> level -> name of the method -> Quality.
    """
    results: dict[str, dict[str, dict[str, Quality]]] = {}
    for way in ways:
        results[way] = {}
        for level in LEVELS:
            values: dict[str, list[tuple[float, float]]] = {name: [] for name in (NOISY, *methods)}
            for number, clean in enumerate(tqdm(photos, desc=f"{way} {level:g}", unit="photo")):
                noisy = noisy_image(clean, level, way, number)
                for name in values:
                    made = methods[name](noisy) if name in methods else noisy
                    values[name].append((psnr(made, clean), ssim(made, clean)))
            results[way][f"{level:g}"] = {
                name: Quality(*mean_with_interval(np.array(rows)[:, 0]), *mean_with_interval(np.array(rows)[:, 1]))
                for name, rows in values.items()
            }
    return results


class Choice(NamedTuple):
    """How well the score chooses between two networks.

    Attributes
    ----------
    right, half_width : share of the photos in which the chosen network has the higher PSNR, percent, and half of the
        width of its 95 % confidence interval
    chosen, best : mean PSNR of the chosen answers and of the better ones, dB
    always : mean PSNR of each network, dB
    better : share of the photos in which each network has the higher PSNR, percent
    """

    right: float
    half_width: float
    chosen: float
    best: float
    always: tuple[float, float]
    better: tuple[float, float]


def measure_choice(photos: Sequence[ByteArray], methods: tuple[Method, Method], kind: str) -> Choice:
    """Measure the choice by `denoising_score` between two networks for a kind of noise that `noise_kind` accepts."""
    scores, quality = np.empty((len(photos), 2)), np.empty((len(photos), 2))
    for number, clean in enumerate(tqdm(photos, desc=f"choice {kind}", unit="photo")):
        noisy = with_noise(clean, kind, np.random.default_rng([number, *kind.encode()]))
        for column, method in enumerate(methods):
            made = method(noisy)
            scores[number, column], quality[number, column] = denoising_score(made), psnr(made, clean)
    chosen = np.take_along_axis(quality, scores.argmax(1)[:, None], 1)[:, 0]
    right, half_width = mean_with_interval(100.0 * (chosen == quality.max(1)))
    first = float(100 * (quality[:, 0] >= quality[:, 1]).mean())
    return Choice(
        right,
        half_width,
        float(chosen.mean()),
        float(quality.max(1).mean()),
        (float(quality[:, 0].mean()), float(quality[:, 1].mean())),
        (first, 100 - first),
    )


def comparison_sheet(photos: Sequence[ByteArray], methods: Mapping[str, Method]) -> ByteArray:
    """Draw `SHOWN` photos, one a row: without noise, then for each level the noisy image and what each method makes."""
    tiles: list[ByteArray] = []
    captions: list[str] = []
    for number, clean in enumerate(photos[:SHOWN]):
        tiles.append(clean)
        captions.append("photo")
        for level in LEVELS:
            noisy = noisy_image(clean, level, "sigma", number)
            tiles += [noisy, *(method(noisy) for method in methods.values())]
            captions += [f"noise {level:g}", *methods]
    return sheet(tiles, 1 + len(LEVELS) * (1 + len(methods)), SIZE, captions)


def network_methods(files: Sequence[str], device: str) -> dict[str, Method]:
    """Return the networks of weight files, by the name of their method."""
    methods: dict[str, Method] = {}
    for file in files:
        config, _ = load_weights(Path(file).stem, DenoiserConfig, file)
        denoiser = load_denoiser(config.method, device, file)
        methods[config.method] = lambda noisy, denoiser=denoiser: denoiser.predict(noisy[None])[0]  # type: ignore[misc]
    return methods


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate denoising` to a parser."""
    add_labelled_photos(parser)
    parser.add_argument(
        "--weights", nargs="+", default=[], metavar="FILE", help="weight files of `facegeom train denoiser`"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="number of test photos, evenly spread (default: all)")
    parser.add_argument(
        "--choice", action="store_true",
        help="measure the choice between two networks, the first two of --weights",
    )  # fmt: skip
    parser.add_argument("--sheet", metavar="FILE", help=f"write a picture of {SHOWN} faces")
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the picture that the command writes."""
    return [Path(args.sheet)] if args.sheet else []


def run(args: argparse.Namespace) -> int:
    """Measure the test photos, print both tables and write the requested files; return the exit code."""
    store = FacePhotos(Path(args.photos), Path(args.labels), "test")
    limit = len(store) if args.limit is None else check.count(args.limit, "--limit", 1)
    photos = [store.crop(row, SIZE, SIDE_MM) for row in evenly_spread(len(store), limit)]
    if args.choice:
        return _show_choice(args, photos)
    methods: dict[str, Method] = {CLASSICAL: non_local_means, **network_methods(args.weights, args.device)}
    results = evaluate(photos, methods)
    for way, by_level in results.items():
        what = "noise of these levels" if way == "sigma" else "noise with the PSNR of the paper's noisy images"
        show(f"{len(photos)} photos, {what}; PSNR in dB and SSIM in percent, each with half of its 95 % interval")
        header = ["method", *(f"{name} {level}" for level in by_level for name in ("PSNR", "+-", "SSIM", "+-"))]
        names = (NOISY, *methods)
        rows: list[list[str | float | int]] = [
            [name, *(value for found in by_level.values() for value in found[name])] for name in names
        ]
        show(table(header, rows) + "\n")
    if args.sheet:
        save_image(comparison_sheet(photos, methods), args.sheet)
    if args.json:
        write_json(args.json, {"benchmark": "denoising", "photos": len(photos), "results": results})
    return 0


def _show_choice(args: argparse.Namespace, photos: Sequence[ByteArray]) -> int:
    """Measure the choice between two networks, print it and write the requested file; return the exit code."""
    networks = network_methods(args.weights[:2], args.device)
    if len(networks) < 2:
        raise FacegeomError("--choice needs the weight files of two networks")
    first, second = networks
    found = {kind: measure_choice(photos, (networks[first], networks[second]), kind) for kind in CHOICE_KINDS}
    show(f"{len(photos)} photos: networks chosen by a score without the photo itself; right: the higher PSNR, percent")
    header = ["noise", "right", "+-", "PSNR chosen", "best", f"always {first}", f"always {second}"]
    header += [f"{first} better", f"{second} better"]
    show(table(header, [[kind, *each[:4], *each.always, *each.better] for kind, each in found.items()]))
    if args.json:
        as_json = {kind: each._asdict() for kind, each in found.items()}
        write_json(args.json, {"benchmark": "choice of the denoiser", "networks": list(networks), "choice": as_json})
    return 0
