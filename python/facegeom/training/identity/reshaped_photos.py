"""Reshaped versions of labelled photos in aligned crops, rendered once and stored (`facegeom prepare reshaped`)."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.networks.identity_crop import FRAME_MM
from facegeom.training.data.labels import Labels, find_photos, yaw_deg
from facegeom.training.data.samples import PhotoStore
from facegeom.training.data.split import split_names
from facegeom.training.data.texture_model import TextureModel
from facegeom.training.identity.reshaping import Change, ReshapedPhoto, Reshaper

log = logging.getLogger("facegeom")

STORED_PIXELS = 160  # side of a stored crop: 128 pixels of the network, and a border because landmarks have errors
STORED_MM = FRAME_MM * STORED_PIXELS / 128
ORIGINAL, RESHAPED, TURNED = range(3)  # kinds of version
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class ReshapeOptions:
    """Number of versions of a photo, beside the original one, and range of their changes."""

    reshaped: int = 5  # number of changed versions of a photo in its own pose
    turned: int = 2  # number of changed versions of a photo in another pose
    identity_sigma: float = (
        0.8  # standard deviation of the change of each identity coefficient, in sigma of the face model
    )
    expression: float = 0.3  # share of the versions with a changed expression
    closing: float = 0.3  # share of these in which the lids close, and share in which the mouth closes
    light: float = 0.3  # share of the versions with changed light
    yaw_deg: tuple[float, float] = (12.0, 60.0)  # additional yaw of a turned version
    pitch_deg: float = 5.0  # standard deviation of the pitch of a turned version, degrees
    most_yaw_deg: float = 85.0
    seed: int = 0


@dataclass(frozen=True)
class ReshapedPhotos:
    """Versions of p photos, v in total. Versions of the same photo follow each other.

    Attributes
    ----------
    images : (v, 160, 160, 3) uint8, aligned crops with a border; a memory map where read from a file
    photo : (v,) int, the row of `names`
    kind : (v,) int8, ORIGINAL, RESHAPED or TURNED
    identity : (v, k) float32, label: coefficients fitted to the photo plus the change
    change : (v, k) float32, the change
    expression : (v, e) float32, expression weights of the face model
    landmarks : (v, 51, 2) float32, pixels of the image
    points : (v, 128, 2) float32, the vertices `face_points`, pixels of the image
    contours : (v, 72, 2) float32, the contours of the eyes and the lips, pixels of the image
    rotation : (v, 3, 3) float32
    names : (p,) photo names
    """

    images: np.ndarray
    photo: np.ndarray
    kind: np.ndarray
    identity: np.ndarray
    change: np.ndarray
    expression: np.ndarray
    landmarks: np.ndarray
    points: np.ndarray
    contours: np.ndarray
    rotation: np.ndarray
    names: np.ndarray

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ReshapedPhotos:
        """Read the output of `facegeom prepare reshaped` or `facegeom prepare heads`.

        Raises
        ------
        FacegeomError
            If the folder does not exist or is incomplete.
        """
        folder = Path(folder)
        if not (folder / "table.npz").is_file():
            raise FacegeomError(f"there are no reshaped photos in {folder}: make them with `facegeom prepare reshaped`")
        with np.load(folder / "table.npz") as table:
            return cls(np.load(folder / "images.npy", mmap_mode="r"), **{name: table[name] for name in table.files})

    def __len__(self) -> int:
        return len(self.photo)

    def with_labels(self, labels: Labels) -> ReshapedPhotos:
        """Return the same versions with the identities of other labels: fitted coefficients plus the change.

        Raises
        ------
        FacegeomError
            If a photo has no label.
        """
        rows = {str(name): row for row, name in enumerate(labels.names)}
        missing = [str(name) for name in self.names if str(name) not in rows]
        if missing:
            raise FacegeomError(f"{len(missing)} reshaped photos have no label, the first is {missing[0]}")
        fitted = labels.identity[[rows[str(name)] for name in self.names]].astype(np.float32)
        return replace(self, identity=fitted[self.photo] + self.change)


def draw_changes(
    model: FaceModel, expression: FloatArray, yaw: float, options: ReshapeOptions, rng: np.random.Generator
) -> Iterator[tuple[int, Change]]:
    """Draw the versions of one photo at random: their kinds and changes.

    Parameters
    ----------
    model : FaceModel
    expression : (e,) float array, weights fitted to the photo
    yaw : of the photo, degrees
    options : ReshapeOptions
    rng : the source of chance
    """
    yield ORIGINAL, Change(np.zeros(60))
    for number in range(options.reshaped + options.turned):
        identity = rng.normal(0, options.identity_sigma, 60)
        moved = _changed_expression(model, expression, options, rng) if rng.random() < options.expression else None
        light = _changed_light(rng) if rng.random() < options.light else None
        if number < options.reshaped:
            yield RESHAPED, Change(identity, moved, light=light)
            continue
        side = np.sign(yaw) if abs(yaw) > 5 else rng.choice([-1.0, 1.0])
        further = min(rng.uniform(*options.yaw_deg), max(options.most_yaw_deg - abs(yaw), 1.0))
        yield TURNED, Change(identity, moved, side * further, rng.normal(0, options.pitch_deg), light)


def _changed_expression(
    model: FaceModel, expression: FloatArray, options: ReshapeOptions, rng: np.random.Generator
) -> FloatArray:
    """Return a random change of a few expressions, equal on both sides.

    Lids and lips may close. They do not open: the photo does not show what is behind them.
    """
    names = model.expression_names
    opening = ("eyeBlink", "eyeWide", "jaw", "mouthClose", "tongue", "mouthFunnel", "mouthLower", "mouthUpper")
    still = np.array([name.startswith(("eyeLook", "Pupil", *opening)) for name in names])
    weights = np.where(still, expression, expression * (1 - (rng.random() < 0.4) * rng.uniform(0, 1)))
    stems = sorted({_stem(name) for name, fixed in zip(names, still, strict=True) if not fixed})
    moved = {str(stem): rng.uniform(0, 0.6) for stem in rng.choice(stems, 3, replace=False)}
    weights += np.array([moved.get(_stem(name), 0.0) for name in names])
    if rng.random() < options.closing:
        closed = rng.uniform(0.3, 1.0)
        for row, name in enumerate(names):
            if name.startswith("eyeBlink"):
                weights[row] = max(weights[row], closed)
            elif name.startswith("eyeWide"):
                weights[row] *= 1 - closed
    if rng.random() < options.closing:
        left = rng.uniform(0, 1)
        for row, name in enumerate(names):
            if name.startswith(opening[2:]):
                weights[row] *= left
    return np.asarray(np.clip(weights, 0, 1.2) - expression)


def _stem(name: str) -> str:
    """Return the name of an expression without its side."""
    return name.removesuffix("_L").removesuffix("_R")


def _changed_light(rng: np.random.Generator) -> np.ndarray:
    """Return a random change of the harmonics of the light, (9,)."""
    return (rng.standard_normal(9) * np.array([0, 0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.08, 0.04])).astype(np.float32)


class _Worker:
    """State of a worker process."""

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
        raise RuntimeError("the worker process is not initialised")
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
    """Render the versions of labelled photos into the folder `out`; return the number of versions."""
    per_photo = 1 + options.reshaped + options.turned
    total = per_photo * len(rows)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.npz").unlink(missing_ok=True)
    images = np.lib.format.open_memmap(
        out / "images.npy", "w+", np.uint8, shape=(total, STORED_PIXELS, STORED_PIXELS, 3)
    )
    photo = np.repeat(np.arange(len(rows), dtype=np.int32), per_photo)
    kind, change = np.zeros(total, np.int8), np.zeros((total, 60), np.float32)
    expression = labels.expression[rows].astype(np.float32)[photo]
    landmarks, rotation = np.zeros((total, 51, 2), np.float32), np.zeros((total, 3, 3), np.float32)
    points, contours = np.zeros((total, 128, 2), np.float32), np.zeros((total, 72, 2), np.float32)
    with ProcessPoolExecutor(processes, initializer=_start, initargs=(texture, labels, photos, options)) as pool:
        versions = pool.map(_render, [int(row) for row in rows], chunksize=8)
        at = 0
        for group in tqdm(versions, total=len(rows), unit="photo", desc="reshaped"):
            for what, changed, rendered in group:
                images[at], kind[at], change[at] = rendered.image, what, changed.identity
                if changed.expression is not None:
                    expression[at] += changed.expression
                landmarks[at], points[at], rotation[at] = rendered.landmarks, rendered.points, rendered.rotation
                contours[at] = rendered.contours
                at += 1
    images.flush()
    np.savez(
        out / "table.npz",
        photo=photo,
        kind=kind,
        identity=labels.identity[rows].astype(np.float32)[photo] + change,
        change=change,
        expression=expression,
        landmarks=landmarks,
        points=points,
        contours=contours,
        rotation=rotation,
        names=labels.names[rows],
    )
    return total


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare reshaped` to a parser."""
    defaults = ReshapeOptions()
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("--labels", required=True, help="file of `facegeom prepare labels`")
    parser.add_argument("--texture-model", required=True, help="file of `facegeom prepare texture-model`")
    parser.add_argument("--part", choices=PARTS, default="training", help="part of the split (default: %(default)s)")
    parser.add_argument("--out", "-o", default="runs/reshaped", help="folder to write (default: %(default)s)")
    for name, text in (("reshaped", "versions in the pose of the photo"), ("turned", "versions in another pose")):
        default = getattr(defaults, name)
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--sigma",
        type=float,
        default=defaults.identity_sigma,
        help="standard deviation of the change of each coefficient, in sigma of the face model (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="random seed (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="worker processes (default: %(default)s)"
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder `--out`."""
    return [Path(args.out) / name for name in ("images.npy", "table.npz")]


def run(args: argparse.Namespace) -> int:
    """Render reshaped versions of the photos of one part of the split."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = ReshapeOptions(
        reshaped=check.count(args.reshaped, "--reshaped"),
        turned=check.count(args.turned, "--turned"),
        identity_sigma=check.positive(args.sigma, "--sigma", zero=True),
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
