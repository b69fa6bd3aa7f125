"""Crops of heads with the class of every pixel, made once and stored (`facegeom prepare segmentation`).

The crops of portraits have the classes of `portrait_labels`; copies of them wear drawn glasses, hats and other covers,
whose classes are exact. The crops of synthetic heads have exact classes.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.geometry import rasterize
from facegeom.images.crop import apply_affine, warp_image
from facegeom.networks.segmentation_crop import COVER, EYEWEAR, FRAME_MM, HEAD_HAIR, SKIN, head_affine
from facegeom.training.data.assets import Assets, add_assets, load_assets
from facegeom.training.data.eyewear import Eyewear, eyewear_pixels
from facegeom.training.data.labels import Labels, add_labelled_photos, find_photos
from facegeom.training.data.pose import Pose
from facegeom.training.data.split import split_names
from facegeom.training.data.texture_model import TextureModel
from facegeom.training.segmentation.covers import Covers
from facegeom.training.segmentation.heads import CLEAR_LENS, SegmentationHeads
from facegeom.training.segmentation.portrait_labels import (
    SCALP,
    UNKNOWN,
    HeadParts,
    head_parts,
    portrait_labels,
    triangle_parts,
)

log = logging.getLogger("facegeom")

STORED_PIXELS = 144  # side of a stored crop: 128 pixels of the network, and a border
STORED_MM = FRAME_MM * STORED_PIXELS / 128
PORTRAIT, CHANGED, HEAD = range(3)  # kinds of crop
PARTS = ("training", "validation", "test")
CAP_MM = 25.0  # height on the mean head above which a person who wears something on the head shows no hair
GLASSES = 0.45  # share of changed portraits with drawn glasses


@dataclass(frozen=True)
class SegmentationCrops:
    """Crops with classes.

    Attributes
    ----------
    images : (v, 144, 144, 3) uint8, RGB; a memory map where read from a file
    classes : (v, 144, 144) uint8, rows of `CLASSES`, or 255 where the class is unknown
    kind : (v,) int8, PORTRAIT, CHANGED or HEAD
    names : (v,) name of the photo, or number of the head
    """

    images: np.ndarray
    classes: np.ndarray
    kind: np.ndarray
    names: np.ndarray

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SegmentationCrops:
        """Read the output of `facegeom prepare segmentation`.

        Raises
        ------
        FacegeomError
            If the folder does not exist or is incomplete.
        """
        folder = Path(folder)
        if not (folder / "table.npz").is_file():
            raise FacegeomError(f"there are no crops in {folder}: make them with `facegeom prepare segmentation`")
        arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "classes")]
        with np.load(folder / "table.npz") as table:
            return cls(arrays[0], arrays[1], table["kind"], table["names"])

    def __len__(self) -> int:
        return len(self.kind)


class PersonMasks:
    """The file of `facegeom prepare person-masks`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"no masks {path}: make them with `facegeom prepare person-masks`")
        with np.load(path) as data:
            self.row = {str(name): row for row, name in enumerate(data["names"])}
            self.masks = data["masks"]

    def in_crop(self, name: str, shape: tuple[int, int], affine: np.ndarray, size: int) -> Float32Array:
        """Return the probability of the person in a crop (size, size) of a photo of a shape (h, w)."""
        mask = cv2.resize(self.masks[self.row[name]], (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
        crop = warp_image(np.repeat(mask[..., None], 3, 2), affine, size)[..., 0]
        return crop.astype(np.float32) / np.float32(255)


def listed(name: str) -> frozenset[str]:
    """Return the portraits in the list `headgear` or `glasses`: those of the training part that wear one."""
    return frozenset(Path(__file__).with_name(f"{name}.txt").read_text().split())


class PortraitCrop(NamedTuple):
    """The crop of a portrait.

    Attributes
    ----------
    image : (S, S, 3) uint8 array
    classes : (S, S) uint8 array
    inside : (S, S) bool array, pixels inside the photo
    pose : Pose in the photo
    affine : (2, 3) float array, from the photo to the crop
    head : HeadParts
    """

    image: ByteArray
    classes: ByteArray
    inside: BoolArray
    pose: Pose
    affine: np.ndarray
    head: HeadParts


class PortraitCrops:
    """Makes the crops of portraits.

    Parameters
    ----------
    model : FaceModel
    labels : Labels
    masks : PersonMasks
    photos : file name -> path
    backgrounds : images for reflections and patterns
    """

    def __init__(
        self,
        model: FaceModel,
        labels: Labels,
        masks: PersonMasks,
        photos: dict[str, Path],
        backgrounds: list[ByteArray],
    ) -> None:
        self.model, self.labels, self.masks, self.photos = model, labels, masks, photos
        self.backgrounds = backgrounds
        self.parts = triangle_parts(model)
        self.eyewear, self.covers = Eyewear(model), Covers(model, backgrounds)
        self.capped, self.spectacled = listed("headgear"), listed("glasses")

    def crop(self, row: int, size: int = STORED_PIXELS, frame_mm: float = STORED_MM) -> PortraitCrop:
        """Return the crop of the portrait in a row of the labels."""
        labels, name = self.labels, str(self.labels.names[row])
        count = labels.identity.shape[1]
        vertices = self.model.mean + np.tensordot(labels.identity[row], self.model.identity[:count], 1)
        vertices = vertices + np.tensordot(labels.expression[row], self.model.expression, 1)
        pose = Pose(
            vertices,
            labels.rotation[row].astype(float),
            float(labels.scale[row]),
            labels.translation[row].astype(float),
        )
        affine = head_affine(pose.rotation, pose.scale, pose.translation, size, frame_mm)
        photo = np.asarray(cv2.cvtColor(np.asarray(cv2.imread(str(self.photos[name]))), cv2.COLOR_BGR2RGB), np.uint8)
        image = warp_image(photo, affine, size)
        inside = warp_image(np.full_like(photo, 255), affine, size)[..., 0] > 250
        head = head_parts(self.model, self.parts, pose, affine, size)
        person = self.masks.in_crop(name, photo.shape[:2], affine, size)
        classes = portrait_labels(image, head, person, inside)
        stem = Path(name).stem
        if stem in self.capped:
            hair = classes == HEAD_HAIR
            classes[hair | ((head.part == SCALP) & (classes == SKIN))] = UNKNOWN
            classes[hair & (head.place[..., 1] > CAP_MM)] = COVER
        if stem in self.spectacled:
            x, y = head.place[..., 0], head.place[..., 1]
            classes[(np.abs(x) < 76) & (y > -38) & (y < 30) & (classes == SKIN)] = UNKNOWN
        return PortraitCrop(image, classes, inside, pose, affine, head)

    def changed(self, crop: PortraitCrop, rng: np.random.Generator) -> tuple[ByteArray, ByteArray]:
        """Return a copy of a crop with drawn glasses, something that covers the head, or both, and its classes."""
        size = len(crop.image)
        image, classes = crop.image.astype(np.float32), crop.classes.copy()
        points = crop.pose.pixels()
        points[:, :2] = apply_affine(crop.affine, points[:, :2])
        depth = rasterize(points, self.model.faces, None, (size, size)).depth
        drawn = rng.random() < GLASSES
        if drawn:
            glasses = eyewear_pixels(self.eyewear.draw(crop.pose.vertices, rng), crop.pose, crop.affine, depth)
            if glasses is not None:
                colour = rng.uniform(5, 90) + rng.normal(0, 15, 3) if rng.random() < 0.7 else rng.uniform(20, 235, 3)
                shade = 0.5 + 0.6 * np.clip(glasses.normal[:, 2:], 0, 1)
                image, hidden = glasses.paint(
                    image, np.clip(colour * shade, 2, 250).astype(np.float32), self.backgrounds, rng
                )
                classes[hidden > CLEAR_LENS] = EYEWEAR
        if not drawn or rng.random() < 0.4:
            seen = (classes == SKIN) & (crop.head.beside == 0)
            skin = np.median(image[seen], axis=0) if seen.any() else np.full(3, 150.0)
            solid = self.covers.draw(crop.pose.vertices, skin, rng)
            image, share = self.covers.paint(image, solid, crop.pose, crop.affine, depth, rng)
            classes[share > 0.5] = COVER
            classes[(share > 0.1) & (share <= 0.5)] = UNKNOWN
        image *= crop.inside[..., None]
        classes[~crop.inside] = UNKNOWN
        return np.clip(image + 0.5, 0, 255).astype(np.uint8), classes


class _Task(NamedTuple):
    """Input files of the worker processes."""

    photos: Path
    labels: Path
    masks: Path
    texture: Path | None
    assets: Assets | None
    seed: int
    versions: int


class _Worker:
    def __init__(self, task: _Task) -> None:
        model = load_face_model()
        backgrounds = [] if task.texture is None else list(TextureModel.load(task.texture).backgrounds)
        self.task = task
        self.portraits = PortraitCrops(
            model, Labels.load(task.labels), PersonMasks(task.masks), find_photos(task.photos), backgrounds
        )
        self.heads = SegmentationHeads(model, task.texture, task.assets, STORED_MM)

    def portrait(self, row: int) -> list[tuple[ByteArray, ByteArray]]:
        rng = np.random.default_rng([self.task.seed, row])
        cv2.setRNGSeed(int(rng.integers(2**31)))
        crop = self.portraits.crop(row)
        return [(crop.image, crop.classes)] + [self.portraits.changed(crop, rng) for _ in range(self.task.versions - 1)]

    def head(self, number: int) -> tuple[ByteArray, ByteArray]:
        rng = np.random.default_rng([self.task.seed, 1, number])
        cv2.setRNGSeed(int(rng.integers(2**31)))
        return self.heads.draw_classes(rng, STORED_PIXELS)


_worker: _Worker | None = None


def _start(task: _Task) -> None:
    global _worker
    cv2.setNumThreads(0)
    limit_worker_to_one_thread()
    _worker = _Worker(task)


def _made(job: tuple[str, int]) -> list[tuple[ByteArray, ByteArray]]:
    if _worker is None:
        raise RuntimeError("the worker process is not initialised")
    kind, number = job
    return _worker.portrait(number) if kind == "portrait" else [_worker.head(number)]


def make_crops(task: _Task, rows: np.ndarray, names: np.ndarray, heads: int, out: Path, processes: int) -> int:
    """Make the crops of the portraits in `rows` of the labels, and of `heads` heads; return their number."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.npz").unlink(missing_ok=True)
    count = task.versions * len(rows) + heads
    shape = (count, STORED_PIXELS, STORED_PIXELS)
    images = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, shape=(*shape, 3))
    classes = np.lib.format.open_memmap(out / "classes.npy", "w+", np.uint8, shape=shape)
    jobs = [("portrait", int(row)) for row in rows] + [("head", number) for number in range(heads)]
    kinds, labels = [], []
    with ProcessPoolExecutor(processes, initializer=_start, initargs=(task,)) as pool:
        at = 0
        for job, made in zip(jobs, tqdm(_results(pool, jobs), total=len(jobs), unit="crop", desc="crops"), strict=True):
            for version, (image, found) in enumerate(made):
                images[at], classes[at] = image, found
                kinds.append(HEAD if job[0] == "head" else CHANGED if version else PORTRAIT)
                labels.append(str(names[job[1]]) if job[0] == "portrait" else f"head_{job[1]:06d}")
                at += 1
    images.flush()
    classes.flush()
    np.savez(out / "table.npz", kind=np.array(kinds, np.int8), names=np.array(labels))
    return count


def _results(pool: ProcessPoolExecutor, jobs: list[tuple[str, int]]) -> Iterator[list[tuple[ByteArray, ByteArray]]]:
    return iter(pool.map(_made, jobs, chunksize=8))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare segmentation` to a parser."""
    add_labelled_photos(parser)
    parser.add_argument(
        "--person-masks", type=Path, required=True, help="file written by `facegeom prepare person-masks`"
    )
    parser.add_argument("--texture-model", type=Path, help="file of `facegeom prepare texture-model`")
    add_assets(parser)
    parser.add_argument("--part", choices=PARTS, default="training", help="part of the photos (default: %(default)s)")
    parser.add_argument(
        "--versions", type=int, default=2, help="crops of a photo: itself, and changed copies (default: %(default)s)"
    )
    parser.add_argument("--heads", type=int, default=3000, help="number of synthetic heads (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    parser.add_argument("--out", "-o", default="runs/segmentation_crops", help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="worker processes (default: %(default)s)"
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder `--out`."""
    return [Path(args.out) / name for name in ("images.npy", "classes.npy", "table.npz")]


def run(args: argparse.Namespace) -> int:
    """Make crops of portraits and of synthetic heads with the class of each pixel."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    labels = Labels.load(args.labels)
    masks = PersonMasks(args.person_masks)
    names = [str(name) for name in labels.names]
    rows = np.intersect1d(getattr(split_names(names), args.part), labels.kept)
    rows = np.array([row for row in rows if names[row] in masks.row], np.int64)
    assets = load_assets(args.assets, held_out=args.part != "training")
    task = _Task(
        Path(args.photos),
        Path(args.labels),
        args.person_masks,
        args.texture_model,
        assets,
        args.seed,
        check.count(args.versions, "--versions", 1),
    )
    count = make_crops(
        task, rows, labels.names, args.heads, Path(args.out), check.count(args.processes, "--processes", 1)
    )
    log.info("%d crops in %s", count, args.out)
    return 0
