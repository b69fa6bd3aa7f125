"""`facegeom prepare reshaped`: reshaped versions of labelled photos in aligned crops, rendered once and read often."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.networks.identity import FRAME_MM
from facegeom.training.data.labels import Labels, find_photos, yaw_deg
from facegeom.training.data.samples import PhotoStore
from facegeom.training.data.split import split_names
from facegeom.training.data.texture_model import TextureModel
from facegeom.training.identity.reshaping import Change, ReshapedPhoto, Reshaper

log = logging.getLogger("facegeom")

STORED_PIXELS = 160  # side of a stored crop: that of the network and a border for the errors of landmarks
STORED_MM = FRAME_MM * STORED_PIXELS / 128
AS_IT_IS, RESHAPED, TURNED = range(3)  # kinds of version
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class ReshapeOptions:
    """How much is changed, and how many versions a photo gets; the first is the photo as it is."""

    reshaped: int = 5  # versions in the photo's own pose
    turned: int = 2  # versions in another pose
    identity_sigma: float = 0.8  # standard deviation of the change of each coefficient
    expression: float = 0.3  # share of the changed versions whose expression is changed too
    light: float = 0.3  # share whose light is changed too
    yaw_deg: tuple[float, float] = (
        12.0,
        40.0,
    )  # additional yaw of a turned version, in the direction of the face's own yaw
    pitch_deg: float = 5.0  # standard deviation, of a turned version
    most_yaw_deg: float = 65.0
    seed: int = 0


@dataclass(frozen=True)
class ReshapedPhotos:
    """Versions of photos, (v) in all, those of one photo after each other.

    Attributes
    ----------
    images : (v, 160, 160, 3) uint8, aligned crops with a border; a memory map where read from a file
    photo : (v,) int, the row of `names`
    kind : (v,) int8, AS_IT_IS, RESHAPED or TURNED
    identity : (v, k) float32, the label: coefficients fitted to the photo, and the change
    change : (v, k) float32, the change alone
    landmarks : (v, 51, 2) float32, pixels of the image
    rotation : (v, 3, 3) float32
    names : (p,) photo names
    """

    images: np.ndarray
    photo: np.ndarray
    kind: np.ndarray
    identity: np.ndarray
    change: np.ndarray
    landmarks: np.ndarray
    rotation: np.ndarray
    names: np.ndarray

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ReshapedPhotos:
        """Read what `facegeom prepare reshaped` wrote.

        Raises
        ------
        FacegeomError
            When there is no such folder, or its writing was interrupted.
        """
        folder = Path(folder)
        if not (folder / "table.npz").is_file():
            raise FacegeomError(f"there are no reshaped photos in {folder}: make them with `facegeom prepare reshaped`")
        with np.load(folder / "table.npz") as table:
            return cls(np.load(folder / "images.npy", mmap_mode="r"), **{name: table[name] for name in table.files})

    def __len__(self) -> int:
        return len(self.photo)


def draw_changes(
    model: FaceModel, expression: FloatArray, yaw: float, options: ReshapeOptions, rng: np.random.Generator
) -> Iterator[tuple[int, Change]]:
    """Draw the versions of one photo: their kinds and changes.

    Parameters
    ----------
    model : FaceModel
    expression : (e,) float array, weights fitted to the photo
    yaw : of the photo, degrees
    options : ReshapeOptions
    rng : the source of chance
    """
    yield AS_IT_IS, Change(np.zeros(60))
    for number in range(options.reshaped + options.turned):
        identity = rng.normal(0, options.identity_sigma, 60)
        moved = _changed_expression(model, expression, rng) if rng.random() < options.expression else None
        light = _changed_light(rng) if rng.random() < options.light else None
        if number < options.reshaped:
            yield RESHAPED, Change(identity, moved, light=light)
            continue
        side = np.sign(yaw) if abs(yaw) > 5 else rng.choice([-1.0, 1.0])
        further = min(rng.uniform(*options.yaw_deg), max(options.most_yaw_deg - abs(yaw), 1.0))
        yield TURNED, Change(identity, moved, side * further, rng.normal(0, options.pitch_deg), light)


def _changed_expression(model: FaceModel, expression: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Some expressions more or less, on both sides alike; none that opens or closes mouth or eyes."""
    change = -expression * (rng.random() < 0.4) * rng.uniform(0, 1)
    still = ("eyeLook", "Pupil", "eyeBlink", "eyeWide", "jaw", "mouthClose", "tongue", "mouthFunnel", "mouthLower")
    names = model.expression_names
    stems = sorted({name.removesuffix("_L").removesuffix("_R") for name in names if not name.startswith(still)})
    moved = {str(stem): rng.uniform(0, 0.6) for stem in rng.choice(stems, 3, replace=False)}
    for row, name in enumerate(names):
        if name.startswith(still):
            change[row] = 0.0
        change[row] += moved.get(name.removesuffix("_L").removesuffix("_R"), 0.0)
    return np.clip(expression + change, 0, 1.2) - expression


def _changed_light(rng: np.random.Generator) -> np.ndarray:
    """A change of the light's harmonics: a brighter side, more or less light from above or from the front."""
    return (rng.standard_normal(9) * np.array([0, 0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.08, 0.04])).astype(np.float32)


class _Worker:
    """What a process that renders needs."""

    def __init__(self, texture: str, labels: Labels, photos: dict[str, Path], options: ReshapeOptions) -> None:
        cv2.setNumThreads(0)
        self.model = load_face_model()
        self.reshaper = Reshaper(self.model, TextureModel.load(texture))
        self.labels, self.photos, self.options = labels, photos, options

    def render(self, row: int) -> list[tuple[int, Change, ReshapedPhoto]]:
        fit = self.labels.fit(row)
        photo = PhotoStore(self.photos, [str(self.labels.names[row])])[0]
        subject = self.reshaper.subject(photo, self.reshaper.renderer.pose(fit))
        rng = np.random.default_rng([self.options.seed, row])
        yaw = float(yaw_deg(fit.rotation))
        return [
            (kind, change, self.reshaper.render(subject, change, STORED_PIXELS, STORED_MM))
            for kind, change in draw_changes(self.model, fit.expression, yaw, self.options, rng)
        ]


_worker: _Worker | None = None


def _start(texture: str, labels: Labels, photos: dict[str, Path], options: ReshapeOptions) -> None:
    global _worker
    limit_worker_to_one_thread()
    _worker = _Worker(texture, labels, photos, options)


def _render(row: int) -> list[tuple[int, Change, ReshapedPhoto]]:
    if _worker is None:
        raise RuntimeError("the process was not set up")
    return _worker.render(row)


def make_reshaped(
    out: Path,
    rows: np.ndarray,
    labels: Labels,
    photos: dict[str, Path],
    texture: str,
    options: ReshapeOptions,
    processes: int,
) -> int:
    """Render the versions of labelled photos into the folder `out`; return how many there are."""
    per_photo = 1 + options.reshaped + options.turned
    total = per_photo * len(rows)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.npz").unlink(missing_ok=True)
    images = np.lib.format.open_memmap(
        out / "images.npy", "w+", np.uint8, shape=(total, STORED_PIXELS, STORED_PIXELS, 3)
    )
    photo = np.repeat(np.arange(len(rows), dtype=np.int32), per_photo)
    kind, change = np.zeros(total, np.int8), np.zeros((total, 60), np.float32)
    landmarks, rotation = np.zeros((total, 51, 2), np.float32), np.zeros((total, 3, 3), np.float32)
    with ProcessPoolExecutor(processes, initializer=_start, initargs=(texture, labels, photos, options)) as pool:
        versions = pool.map(_render, [int(row) for row in rows], chunksize=8)
        at = 0
        for group in tqdm(versions, total=len(rows), unit="photo", desc="reshaped"):
            for what, changed, rendered in group:
                images[at], kind[at], change[at] = rendered.image, what, changed.identity
                landmarks[at], rotation[at] = rendered.landmarks, rendered.rotation
                at += 1
    images.flush()
    np.savez(
        out / "table.npz",
        photo=photo,
        kind=kind,
        identity=labels.identity[rows].astype(np.float32)[photo] + change,
        change=change,
        landmarks=landmarks,
        rotation=rotation,
        names=labels.names[rows],
    )
    return total


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom prepare reshaped`."""
    defaults = ReshapeOptions()
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("--labels", required=True, help="file of `facegeom prepare labels`")
    parser.add_argument("--texture-model", required=True, help="file of `facegeom prepare texture-model`")
    parser.add_argument("--part", choices=PARTS, default="training", help="part of the split (default: %(default)s)")
    parser.add_argument("--out", "-o", default="runs/reshaped", help="folder to write (default: %(default)s)")
    parser.add_argument("--reshaped", type=int, default=defaults.reshaped, help="versions in the photo's own pose")
    parser.add_argument("--turned", type=int, default=defaults.turned, help="versions in another pose")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)


def run(args: argparse.Namespace) -> int:
    """Render reshaped versions of the photos of one part of the split."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = ReshapeOptions(
        reshaped=check.count(args.reshaped, "--reshaped"),
        turned=check.count(args.turned, "--turned"),
        seed=args.seed,
    )
    labels, photos = Labels.load(args.labels), find_photos(args.photos)
    part = getattr(split_names([str(name) for name in labels.names]), args.part)
    rows = np.array([row for row in np.intersect1d(part, labels.kept) if str(labels.names[row]) in photos], np.int64)
    if not len(rows):
        raise FacegeomError(f"no labelled {args.part} photo is below {args.photos}")
    total = make_reshaped(Path(args.out), rows, labels, photos, args.texture_model, options, args.processes)
    log.info("%d versions of %d photos in %s", total, len(rows), args.out)
    return 0
