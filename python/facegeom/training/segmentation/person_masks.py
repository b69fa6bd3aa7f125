"""`facegeom prepare person-masks`: mask of the person in each photo, with MediaPipe's selfie segmentation.

MediaPipe is a labelling tool in an environment of its own, as for `facegeom.training.data.landmarks`:

    PYTHONPATH=python mediapipe-env/bin/python -m facegeom.training.segmentation.person_masks PHOTOS -o person_masks.npz

This file imports only numpy, Pillow, tqdm and MediaPipe.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import numpy as np

SIDE = 128  # side of the stored masks, which span the whole photo whatever its shape

log = logging.getLogger("facegeom")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare person-masks` to a parser."""
    parser.add_argument("photos", type=Path, help="folder that contains the photos, also in subfolders")
    parser.add_argument(
        "--out", "-o", type=Path, default=Path("runs/person_masks.npz"), help="file to write (default: %(default)s)"
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the file that the command writes."""
    return [Path(args.out)]


def run(args: argparse.Namespace) -> int:
    """Write names (p,) and masks (p, 128, 128) uint8, 255 where a pixel certainly shows the person."""
    try:
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "MediaPipe is not installed: use a separate environment with mediapipe==0.10.21 and numpy<2"
        ) from None
    from PIL import Image, ImageOps
    from tqdm import tqdm

    paths = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not paths:
        raise FileNotFoundError(f"no photos (.jpg, .jpeg, .png) in {args.photos} or its subfolders")
    names, masks, failed = [], [], 0
    with SelfieSegmentation(model_selection=0) as network:
        for path in tqdm(paths, unit="photo", desc="person masks"):
            try:
                with Image.open(path) as image:
                    photo = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            except OSError:
                failed += 1
                continue
            found = np.clip(network.process(photo).segmentation_mask, 0, 1)
            small = Image.fromarray(np.asarray(found, np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX)
            names.append(path.name)
            masks.append((np.asarray(small) * 255 + 0.5).astype(np.uint8))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.out.with_name(f".{args.out.stem}.part.npz")
    try:
        np.savez_compressed(temporary, names=np.array(names), masks=np.array(masks).reshape(-1, SIDE, SIDE))
        os.replace(temporary, args.out)
    finally:
        temporary.unlink(missing_ok=True)
    log.info("%d masks; not readable: %d", len(names), failed)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
