"""`facegeom prepare landmarks`: detect the FaceMesh landmarks of photos with MediaPipe.

MediaPipe 0.10.21 needs a numpy version below 2. Therefore facegeom does not depend on MediaPipe, which is installed in
a separate environment:

    python -m venv mediapipe-env
    mediapipe-env/bin/pip install mediapipe==0.10.21 'numpy<2' tqdm
    PYTHONPATH=python mediapipe-env/bin/python -m facegeom.training.data.landmarks PHOTOS -o landmarks.npz

If facegeom is installed in that environment too, `facegeom prepare landmarks PHOTOS -o landmarks.npz` does the same.
This file imports only numpy, Pillow, tqdm and MediaPipe, so that it runs without the other dependencies of facegeom.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

UNITS_PER_PIXEL = 16  # landmarks are stored as int16 in units of 1/16 pixel
POINTS = 478  # number of landmarks: 468 of the face mesh and 5 of each iris
LARGEST_SIDE = 2000  # largest photo side, pixels; coordinates in larger photos exceed the int16 range

log = logging.getLogger("facegeom")


def detect_landmarks(face_mesh: Any, image: np.ndarray) -> np.ndarray | None:
    """Return the landmarks of the largest face in an image, or None if no face is found.

    Parameters
    ----------
    face_mesh : mediapipe.solutions.face_mesh.FaceMesh
        MediaPipe detector, made with refine_landmarks=True.
    image : (h, w, 3) uint8 array, RGB

    Returns
    -------
    (478, 3) float array, pixels, or None
        x to the right and y down from the top-left image corner (not from the centre of the first pixel), z away from
        the camera. MediaPipe scales z like x.
    """
    faces = face_mesh.process(image).multi_face_landmarks
    if not faces:
        return None
    size = np.array([image.shape[1], image.shape[0], image.shape[1]], np.float64)
    found = [np.array([[p.x, p.y, p.z] for p in face.landmark]) * size for face in faces]
    return max(found, key=lambda p: float(np.prod(np.ptp(p[:, :2], axis=0))))


def read_photo(path: Path) -> np.ndarray:
    """Return a photo as (h, w, 3) uint8 RGB, rotated according to its EXIF orientation."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare landmarks` to a parser."""
    parser.add_argument("photos", type=Path, help="folder that contains the photos, also in subfolders")
    parser.add_argument(
        "--out",
        "-o",
        type=Path,
        default=Path("runs/landmarks.npz"),
        help="path of the file to write (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Detect the landmarks of all photos and write them to a file; log the number of photos without landmarks."""
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "MediaPipe is not installed: use a separate environment with mediapipe==0.10.21 and numpy<2"
        ) from None
    from tqdm import tqdm

    paths = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not paths:
        raise FileNotFoundError(f"no photos (.jpg, .jpeg, .png) in {args.photos} or its subfolders")
    names, rows, failures = [], [], {"no face": 0, "not readable": 0, "too large": 0}
    with FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=4) as face_mesh:
        for path in tqdm(paths, unit="photo", desc="landmarks"):
            try:
                image = read_photo(path)
            except OSError:
                failures["not readable"] += 1
                continue
            if max(image.shape[:2]) > LARGEST_SIDE:
                failures["too large"] += 1
                continue
            points = detect_landmarks(face_mesh, image)
            if points is None:
                failures["no face"] += 1
                continue
            names.append(path.name)
            rows.append(np.rint(points * UNITS_PER_PIXEL).clip(-32768, 32767).astype(np.int16))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.out.with_name(f".{args.out.stem}.part.npz")
    try:
        np.savez_compressed(temporary, names=np.array(names), landmarks=np.array(rows).reshape(-1, POINTS, 3))
        os.replace(temporary, args.out)
    finally:
        temporary.unlink(missing_ok=True)
    log.info("%d photos with landmarks; %s", len(names), "; ".join(f"{k}: {v}" for k, v in failures.items()))
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
