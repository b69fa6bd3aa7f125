"""How the squares of OpenCV's cascades lie about the box of the 68 landmarks: the constants of `facegeom.detection`.

Run over the tiles that `facegeom train detector` leaves in its folder::

    python -m facegeom.training.calibrate_cascades runs/detector/tiles_training.npz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from facegeom._check import FloatArray
from facegeom.boxes import iou
from facegeom.detection import FRONTAL, PROFILE, Cascade, cascade_windows
from facegeom.training.detector_data import Tiles

NEAR = 0.25
"""Least overlap of a raw square and the landmark box at which the square is about this face."""


def calibrate(tiles: Tiles, cascades: Sequence[Cascade], count: int, seed: int = 0) -> list[Cascade]:
    """Fit the offset and size of each cascade's boxes to faces that it finds.

    Parameters
    ----------
    tiles : faces with their 68 landmarks
    cascades : the cascades to fit
    count : tiles to look at, drawn by `seed`
    seed : of the draw

    Returns
    -------
    list of Cascade
        With `offset` and `size` the medians over faces of the medians over a face's squares. The sideways offset of a
        cascade that is not run on the mirrored image as well is zero, since a face is as often turned either way.
    """
    rows = np.random.default_rng(seed).permutation(len(tiles))[:count]
    fitted = []
    for cascade in cascades:
        square = replace(cascade, offset=(0.0, 0.0), size=(1.0, 1.0))
        found = [_relative(square, tiles, int(row)) for row in tqdm(rows, unit="tile", desc=cascade.file)]
        x, y, width, height = np.median([values for values in found if values is not None], axis=0).round(3).tolist()
        paired = sum(other.file == cascade.file for other in cascades) > 1
        fitted.append(replace(cascade, offset=(x if paired else 0.0, y), size=(width, height)))
    return fitted


def _relative(square: Cascade, tiles: Tiles, row: int) -> FloatArray | None:
    """Return the landmark box's centre and size in units of the squares about it, (4,), or None where there is none."""
    image = np.ascontiguousarray(tiles.images[row, ..., :3])
    points = tiles.points[row].astype(np.float64) + 0.5  # corner coordinates
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    windows, _ = cascade_windows(image, (square,))
    windows = windows[iou(windows, box[None])[:, 0] >= NEAR]
    if not len(windows):
        return None
    side = windows[:, 2:3] - windows[:, :1]
    offset = 0.5 * (box[:2] + box[2:] - windows[:, :2] - windows[:, 2:]) / side
    values: FloatArray = np.median(np.concatenate([offset, (box[2:] - box[:2]) / side], axis=1), axis=0)
    return values


def main() -> int:
    """Write the fitted constants to the standard output."""
    parser = argparse.ArgumentParser(description="Fit the boxes of OpenCV's cascades to those of the 68 landmarks.")
    parser.add_argument("tiles", help="tiles_training.npz of `facegeom train detector`")
    parser.add_argument("--count", type=int, default=1000, help="default: %(default)s")
    args = parser.parse_args()
    for cascade in calibrate(Tiles.load(args.tiles), (*FRONTAL, *PROFILE), args.count):
        sys.stdout.write(f"{cascade}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
