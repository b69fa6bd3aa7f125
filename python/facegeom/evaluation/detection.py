"""`facegeom evaluate detection`: faces of AFLW2000-3D that the detector finds, and what it finds where there is none.

This is the detector alone, before the reconstruction network verifies and re-crops its boxes; `facegeom evaluate
aflw2000` has the found rate after that second look.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from tqdm import tqdm

from facegeom import detection
from facegeom._check import ByteArray
from facegeom.detection import Detection
from facegeom.evaluation.aflw2000 import load_annotations
from facegeom.evaluation.metrics import YAW_BINS, box_overlap, landmark_box
from facegeom.evaluation.report import show, table, write_json
from facegeom.io import load_image
from facegeom.stopwatch import stopwatch

Detector = Callable[[ByteArray], list[Detection]]

FACELESS_SAMPLES = (
    "brick", "cell", "chelsea", "clock", "colorwheel", "grass", "horse", "immunohistochemistry", "logo",
    "microaneurysms", "moon", "rocket", "shepp_logan_phantom", "text",
)  # fmt: skip
"""scikit-image's pictures without a person that come with it, less those that the detector's training saw."""

CROPS = 5
"""Crops of each sample picture, beside the whole of it."""

DRAWN = 160
"""Procedural pictures, as many of each kind."""

LOOSE_OVERLAP, OVERLAP = 0.4, 0.5


def faceless_pictures(seed: int = 0) -> Iterator[tuple[str, ByteArray]]:
    """Yield 244 pictures without a face, each with a name: scikit-image's samples, crops of them, drawn textures.

    Training draws other textures: none of the kinds here is made by its code.
    """
    rng = np.random.default_rng(seed)
    for name in FACELESS_SAMPLES:
        picture = _rgb(np.asarray(getattr(skimage.data, name)()))
        yield name, _at_most(picture, 512)
        for number in range(CROPS):
            side = int(rng.uniform(0.35, 0.9) * min(picture.shape[:2]))
            y, x = (int(rng.integers(extent - side + 1)) for extent in picture.shape[:2])
            crop = np.ascontiguousarray(picture[y : y + side, x : x + side])
            yield f"{name} crop {number}", np.asarray(cv2.resize(crop, (320, 320)), dtype=np.uint8)
    for number in range(DRAWN):
        draw = _DRAWINGS[number % len(_DRAWINGS)]
        image = np.clip(draw(rng, 360), 0, 255).astype(np.uint8)
        yield f"{draw.__name__.strip('_')} {number // len(_DRAWINGS)}", image


def evaluate(folder: str | Path | None, detector: Detector = detection.detect, seed: int = 0) -> dict[str, Any]:
    """Count what a detector finds.

    Parameters
    ----------
    folder : AFLW2000-3D's folder of `annotations.npz` and `images/`, or None: false alarms only
    detector : a function from an (h, w, 3) uint8 photo to boxes, best first
    seed : of the faceless pictures

    Returns
    -------
    dict
        "found": rows by yaw with the shares of photos whose best and first box overlap that of the 68 points;
        "false_alarms": pictures, how many had a detection, and which; "milliseconds": median of a photo.
    """
    result: dict[str, Any] = {}
    if folder is not None:
        result |= _found(folder, detector)
    alarms = {}
    pictures = list(faceless_pictures(seed))
    for name, picture in tqdm(pictures, unit="picture", desc="faceless pictures"):
        boxes = detector(picture)
        if boxes:
            alarms[name] = round(boxes[0][4], 3)
    result["false_alarms"] = {
        "pictures": len(pictures),
        "with_detections": len(alarms),
        "share": len(alarms) / len(pictures),
        "scores": alarms,
    }
    return result


def format_summary(result: dict[str, Any]) -> str:
    """Return the figures of `evaluate` as a text table."""
    lines = []
    if "found" in result:
        header = ["|yaw|", "photos", "IoU 0.5", "IoU 0.4", "first 0.5", "first 0.4", "nothing"]
        shares = ("best_0.5", "best_0.4", "first_0.5", "first_0.4", "nothing")
        rows = [[row["yaw"], row["photos"], *(100 * row[key] for key in shares)] for row in result["found"]]
        lines.append("faces found, percent (best box, then first box)\n" + table(header, rows, 1))
        lines.append(f"{result['milliseconds']:.0f} ms a photo (median)")
    alarms = result["false_alarms"]
    lines.append(
        f"false alarms on {alarms['with_detections']} of {alarms['pictures']} faceless pictures"
        f" ({100 * alarms['share']:.2f} %)" + "".join(f"\n  {name}: {s}" for name, s in alarms["scores"].items())
    )
    return "\n\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate detection`."""
    parser.add_argument("folder", metavar="DIR", nargs="?", help="AFLW2000-3D's folder; without it false alarms only")
    parser.add_argument("--seed", type=int, default=0, help="of the faceless pictures")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE as well")


def run(args: argparse.Namespace) -> int:
    """Count found faces and false alarms."""
    result = evaluate(args.folder, seed=args.seed)
    show(format_summary(result))
    if args.json:
        write_json(args.json, result)
    return 0


def _found(folder: str | Path, detector: Detector) -> dict[str, Any]:
    annotations = load_annotations(folder)
    best, first = np.zeros(len(annotations.names)), np.zeros(len(annotations.names))
    nothing = np.zeros(len(annotations.names), dtype=bool)
    times: dict[str, float] = {}
    for row, name in enumerate(tqdm(annotations.names, unit="photo", desc="AFLW2000-3D")):
        photo = load_image(Path(folder) / "images" / f"{name}.jpg")
        truth = landmark_box(annotations.points["original"][row])
        with stopwatch(times, name):
            boxes = detector(photo)
        overlaps = [box_overlap(box[:4], truth) for box in boxes]
        nothing[row] = not boxes
        best[row], first[row] = max(overlaps, default=0.0), next(iter(overlaps), 0.0)
    yaw = np.abs(annotations.yaw)
    rows = []
    for low, high in (*YAW_BINS, (YAW_BINS[0][0], YAW_BINS[1][1])):
        photos = (yaw >= low) & ((yaw < high) | (high >= YAW_BINS[-1][1]))
        if photos.any():
            shares = {
                f"{which}_{limit}": float((overlap[photos] >= limit).mean())
                for which, overlap in (("best", best), ("first", first))
                for limit in (OVERLAP, LOOSE_OVERLAP)
            }
            rows.append(
                {
                    "yaw": f"{low:.0f}-{high:.0f}",
                    "photos": int(photos.sum()),
                    **shares,
                    "nothing": float(nothing[photos].mean()),
                }
            )
    return {"found": rows, "milliseconds": float(np.median(list(times.values())))}


def _rgb(picture: np.ndarray) -> ByteArray:
    if picture.dtype != np.uint8:
        levels = picture.astype(np.float64)
        picture = (255 * (levels - levels.min()) / max(np.ptp(levels), 1e-9)).astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def _at_most(picture: ByteArray, side: int) -> ByteArray:
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _white_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.normal(rng.uniform(60, 200), rng.uniform(5, 80), (size, size, 3))


def _power_law_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Noise whose spectrum falls as natural images' does."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    phases = rng.normal(size=(3, *frequency.shape)) + 1j * rng.normal(size=(3, *frequency.shape))
    image = np.fft.irfft2(phases / frequency ** rng.uniform(0.8, 2.0), s=(size, size)).transpose(1, 2, 0)
    return 128 + image / image.std() * rng.uniform(20, 60)


def _cells(rng: np.random.Generator, size: int) -> np.ndarray:
    """Cells around random points, some shaded toward their borders."""
    count = int(rng.integers(5, 60))
    points, colours = rng.uniform(0, size, (count, 2)), rng.uniform(0, 255, (count, 3))
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])
    shade = 1 - rng.uniform(0, 0.8) * distance.min(axis=2) / distance.min(axis=2).max()
    return colours[distance.argmin(axis=2)] * shade[..., None]


def _waves(rng: np.random.Generator, size: int) -> np.ndarray:
    """Interfering circular waves."""
    y, x = np.mgrid[:size, :size]
    total = np.zeros((size, size))
    for _ in range(int(rng.integers(2, 6))):
        cx, cy = rng.uniform(-0.2 * size, 1.2 * size, 2)
        total += np.sin(np.hypot(x - cx, y - cy) / rng.uniform(2, 18))
    low, high = rng.uniform(0, 255, (2, 3))
    return low + (high - low) * (0.5 + total[..., None] / (2 * np.abs(total).max()))


def _weave(rng: np.random.Generator, size: int) -> np.ndarray:
    """Crossing coloured bands, as on a cloth or a facade."""
    bands = rng.uniform(0, 255, (2, size, 3))
    for axis in range(2):
        edges = np.sort(rng.integers(0, size, int(rng.integers(4, 25))))
        bands[axis] = rng.uniform(0, 255, (len(edges) + 1, 3))[np.searchsorted(edges, np.arange(size))]
    share = rng.uniform(0.2, 0.8)
    return share * bands[0][None] + (1 - share) * bands[1][:, None]


def _hills(rng: np.random.Generator, size: int) -> np.ndarray:
    """Layers of a landscape under a sky."""
    y = np.arange(size)[:, None, None]
    image = np.broadcast_to(rng.uniform(100, 255, 3) * (1 - 0.5 * y / size), (size, size, 3)).copy()
    for layer in range(int(rng.integers(2, 6))):
        steps = np.cumsum(rng.normal(0, 1.5, size)) + size * (0.3 + 0.12 * layer)
        image = np.where(y > steps[None, :, None], rng.uniform(0, 200, 3), image)
    return image + rng.normal(0, 6, (size, size, 1))


def _discs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Shaded balls on a plain ground: as round and as lit as heads."""
    image = np.broadcast_to(rng.uniform(0, 255, 3), (size, size, 3)).copy()
    y, x = np.mgrid[:size, :size]
    for _ in range(int(rng.integers(1, 12))):
        (cx, cy), radius = rng.uniform(0, size, 2), rng.uniform(12, 120)
        dx, dy = (x - cx) / radius, (y - cy) / (radius * rng.uniform(0.8, 1.4))
        height = np.sqrt(np.clip(1 - dx**2 - dy**2, 0, 1))
        light = rng.normal(size=3)
        light /= np.linalg.norm(light)
        shade = np.clip(0.3 + 0.7 * (light[0] * dx + light[1] * dy + abs(light[2]) * height), 0, 1)
        image = np.where((height > 0)[..., None], shade[..., None] * rng.uniform(60, 255, 3), image)
    return image


def _gradients(rng: np.random.Generator, size: int) -> np.ndarray:
    """Smooth colours between random corners, with grain."""
    grid = rng.uniform(0, 255, (int(rng.integers(2, 6)), int(rng.integers(2, 6)), 3)).astype(np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) + rng.normal(0, 4, (size, size, 1))


_DRAWINGS = (_white_noise, _power_law_noise, _cells, _waves, _weave, _hills, _discs, _gradients)
