"""BM3D on the noisy crops of `facegeom evaluate denoising`, beside non-local means and the noisy crops.

    python bench/denoising_peers.py PHOTOS --labels runs/labels.npz

It needs PyPI's `bm3d` (Dabov et al. 2007; Makinen et al. 2020), which is free for non-commercial use only and therefore
no dependency of facegeom. BM3D is told the true standard deviation of the noise after clipping, which nobody knows of a
photo; non-local means estimates it. Both tables have the photos, the noise and the measures of the command.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from facegeom.evaluation.denoising import (
    CLASSICAL,
    NOISY,
    SIZE,
    WAYS,
    mean_with_interval,
    noisy_image,
    non_local_means,
    ssim,
)
from facegeom.evaluation.detection import evenly_spread
from facegeom.measures.report import table
from facegeom.training.denoising.noise import LEVELS
from facegeom.training.denoising.samples import FacePhotos
from facegeom.training.denoising.validation import SIDE_MM, psnr

NAMES = (NOISY, CLASSICAL, "BM3D")


def with_bm3d(noisy, clean):
    """Return a crop (h, w, 3) uint8 without noise by BM3D, which is told the deviation from the clean crop."""
    import bm3d

    level = float((noisy.astype(np.float64) - clean).std()) / 255
    return np.rint(255 * np.clip(bm3d.bm3d_rgb(noisy / 255, level), 0, 1)).astype(np.uint8)


def measure(photos, way, level):
    """Return for each method PSNR and SSIM with half of their 95 % intervals: one row of a table."""
    values = {name: [] for name in NAMES}
    for number, clean in enumerate(tqdm(photos, desc=f"{way} {level:g}", unit="photo")):
        noisy = noisy_image(clean, level, way, number)
        for name, made in zip(NAMES, (noisy, non_local_means(noisy), with_bm3d(noisy, clean)), strict=True):
            values[name].append((psnr(made, clean), ssim(made, clean)))
    return {
        name: [part for row in np.array(found).T for part in mean_with_interval(row)] for name, found in values.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("--labels", required=True)
    parser.add_argument("--limit", type=int, help="number of test photos, evenly spread (default: all)")
    args = parser.parse_args()
    if importlib.util.find_spec("bm3d") is None:
        print("this comparison needs PyPI's bm3d, for non-commercial use only: pip install bm3d", file=sys.stderr)
        return 1
    store = FacePhotos(Path(args.photos), Path(args.labels), "test")
    photos = [store.crop(row, SIZE, SIDE_MM) for row in evenly_spread(len(store), args.limit or len(store))]
    for way in WAYS:
        found = {level: measure(photos, way, level) for level in LEVELS}
        header = ["method", *(f"{name} {level:g}" for level in LEVELS for name in ("PSNR", "+-", "SSIM", "+-"))]
        rows = [[name, *(value for level in LEVELS for value in found[level][name])] for name in NAMES]
        print(f"{len(photos)} photos, {way}\n{table(header, rows)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
