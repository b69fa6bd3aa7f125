"""`facegeom prepare texture-statistics`: how colours are distributed over faces, for `facegeom.texture.occluders`."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, IntArray
from facegeom.errors import FacegeomError
from facegeom.networks.facevision import load_facevision
from facegeom.texture.blending import Layer
from facegeom.texture.occluders import OccluderOptions, TextureStatistics, features, light, reduced
from facegeom.training.data.labels import Labels, find_photos
from facegeom.training.data.split import identity, split_names
from facegeom.training.texture.photos import BATCH, PhotoBaker

FLOORS = np.array([0.12, 0.05, 0.05], np.float32)
"""Least deviations of the features: noise of the camera, and what the light model does not explain."""


@dataclass(frozen=True)
class StatisticsOptions:
    """How the statistics are gathered."""

    photos: int = 700  # of as many training identities; medians change little with more
    least_share: float = 0.05  # of the photos, both sides counted, that must show a place
    least_shown: int = 6  # photos, both sides counted, from which a texel has a mean colour
    rounds: int = 3  # of light, then median and deviation
    seed: int = 0


def choose_rows(labels: Labels, options: StatisticsOptions) -> IntArray:
    """Return rows of labelled training photos, one a person."""
    rows = np.intersect1d(split_names([str(name) for name in labels.names]).training, labels.kept)
    rows = np.random.default_rng(options.seed).permutation(rows)
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(identity(str(labels.names[row])), int(row))
    return np.array(list(first.values())[: options.photos], dtype=np.int64)


def texture_statistics(layers: Sequence[Layer], options: StatisticsOptions = StatisticsOptions()) -> TextureStatistics:
    """Return the statistics of partial textures, each taken together with its mirror image.

    Parameters
    ----------
    layers : partial textures in the face model's atlas, occluders left in: they are too rare to move a median

    Raises
    ------
    FacegeomError
        When they show no place often enough.
    """
    small = [reduced(layer.texture, layer.known) for layer in layers]
    colors = np.array([color for color, _ in small])
    known = np.array([weight > 0.5 for _, weight in small])
    counts = known.sum(axis=0)
    support = (counts + counts[:, ::-1]) >= max(2, 2 * options.least_share * len(layers))
    if not support.any():
        raise FacegeomError(f"{len(layers)} textures show no place of the atlas often enough for statistics")
    values = features(colors)
    own = np.array([v[k].mean(axis=0) if k.any() else v.mean(axis=(0, 1)) for v, k in zip(values, known, strict=True)])
    mean = _median(values - own[:, None, None] + np.median(own, axis=0), known)
    deviation = np.broadcast_to(2 * FLOORS, mean.shape).astype(np.float32)
    tolerance = OccluderOptions().tolerance
    for _ in range(options.rounds):
        plain = np.array(
            [
                v - light(v, mean, deviation, k & support, tolerance) if (k & support).any() else v
                for v, k in zip(values, known, strict=True)
            ]
        )
        mean = _median(plain, known)
        deviation = np.maximum(1.4826 * _median(np.abs(plain - mean), known), FLOORS)
    return TextureStatistics(mean, deviation, support, *_mean_texture(layers, options.least_shown))


def _mean_texture(layers: Sequence[Layer], least: int) -> tuple[ByteArray, BoolArray]:
    """Return the mean texture (S, S, 3), symmetric, and where at least `least` layers or mirror images have a say.

    Every layer is brought to the mean colour of all of them first, so that what few photos show fits the rest.
    """
    layers = [layer for layer in layers if layer.known.any()]
    own = np.array([layer.texture[layer.known].mean(axis=0) for layer in layers]) + 1.0
    total = np.zeros(layers[0].texture.shape)
    counts = np.zeros(layers[0].known.shape)
    for layer, color in zip(layers, own, strict=True):
        total += layer.known[..., None] * (layer.texture / color)
        counts += layer.known
    total, counts = total + total[:, ::-1], counts + counts[:, ::-1]
    shown = counts >= least
    mean = total / np.maximum(counts, 1)[..., None] * own.mean(axis=0)
    return np.where(shown[..., None], np.rint(np.clip(mean, 0, 255)), 0).astype(np.uint8), shown


def _median(values: Float32Array, known: BoolArray) -> Float32Array:
    """Return the median (W, W, c) of known (n, W, W, c) values and their mirror images; 0 where none is known."""
    both = np.where(known[..., None], values, np.nan)
    both = np.concatenate([both, both[:, :, ::-1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of texels that no photo shows
        return np.nan_to_num(np.nanmedian(both, axis=0)).astype(np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom prepare texture-statistics`."""
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("--labels", required=True, help="file of `facegeom prepare labels`")
    parser.add_argument("--out", "-o", default="runs/statistics.npz", help="file to write (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Bake the photos and write the statistics."""
    options = StatisticsOptions()
    labels = Labels.load(args.labels)
    baker = PhotoBaker(load_facevision(), find_photos(args.photos), labels, None)
    rows = choose_rows(labels, options)
    layers = []
    for start in tqdm(range(0, len(rows), BATCH), unit="batch", desc="textures"):
        baked = baker.bake([int(row) for row in rows[start : start + BATCH]])
        layers += [texture.layer for texture in baked if texture.reason == 0]
    os.makedirs(Path(args.out).parent, exist_ok=True)
    texture_statistics(layers, options).save(args.out)
    print(f"{args.out}: from {len(layers)} of {len(rows)} photos")
    return 0
