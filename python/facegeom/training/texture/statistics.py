"""`facegeom prepare texture-statistics`: colour statistics of faces, used by `facegeom.texture.occluders`."""

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
from facegeom.training.data.labels import Labels, add_labelled_photos, find_photos
from facegeom.training.data.split import identity, split_names
from facegeom.training.texture.photo_textures import BATCH, PhotoBaker

FLOORS = np.array([0.12, 0.05, 0.05], np.float32)
"""Smallest standard deviations of the features, for camera noise and errors of the lighting model."""


@dataclass(frozen=True)
class StatisticsOptions:
    """Choice of the photos, and limits of the visibility of texels."""

    photos: int = 700  # largest number of photos, one per training identity; more photos change the medians little
    least_share: float = 0.05  # a texel that a smaller share of photos and mirrored photos shows has no statistics
    least_shown: int = 6  # a texel that fewer photos and mirrored photos show has no mean colour
    rounds: int = 3  # number of iterations of lighting estimation, then median and deviation
    seed: int = 0


def choose_rows(labels: Labels, options: StatisticsOptions) -> IntArray:
    """Return the rows of the labels to use, (r,) int array: one training photo of each person."""
    rows = np.intersect1d(split_names([str(name) for name in labels.names]).training, labels.kept)
    rows = np.random.default_rng(options.seed).permutation(rows)
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(identity(str(labels.names[row])), int(row))
    return np.array(list(first.values())[: options.photos], dtype=np.int64)


def texture_statistics(layers: Sequence[Layer], options: StatisticsOptions = StatisticsOptions()) -> TextureStatistics:
    """Return the colour statistics of partial textures and their mirror images.

    Parameters
    ----------
    layers : sequence of Layer
        Partial textures in the atlas of the face model. They may contain occluders, which are too rare to change the
        medians.
    options : StatisticsOptions

    Returns
    -------
    TextureStatistics

    Raises
    ------
    FacegeomError
        If no texel is visible in enough textures.
    """
    small = [reduced(layer.texture, layer.known) for layer in layers]
    colors = np.array([color for color, _ in small])
    known = np.array([weight > 0.5 for _, weight in small])
    counts = known.sum(axis=0)
    support = (counts + counts[:, ::-1]) >= max(2, 2 * options.least_share * len(layers))
    if not support.any():
        raise FacegeomError(f"{len(layers)} textures are too few: no texel is visible in enough of them")
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
    """Return the symmetric mean texture (S, S, 3), and the texels known in at least `least` layers or mirror images.

    Each layer is first scaled to the mean colour of all layers, so that texels known in few layers fit the other
    texels.
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
    """Return the median (W, W, c) of the known values (n, W, W, c) and their mirror images; 0 if none is known."""
    both = np.where(known[..., None], values, np.nan)
    both = np.concatenate([both, both[:, :, ::-1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # raised for texels that no photo shows
        return np.nan_to_num(np.nanmedian(both, axis=0)).astype(np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare texture-statistics` to a parser."""
    add_labelled_photos(parser)
    parser.add_argument(
        "--out", "-o", default="runs/statistics.npz", help="path of the file to write (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Bake the textures of photos and write the colour statistics to a file; return the exit code."""
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
    print(f"{args.out}: statistics of {len(layers)} textures from {len(rows)} photos")
    return 0
