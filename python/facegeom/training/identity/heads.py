"""Synthetic heads in aligned crops (`facegeom prepare heads`). Unlike photos, they have exact identity labels."""

from __future__ import annotations

import argparse
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.crop import apply_affine
from facegeom.networks.identity_crop import INNER_LANDMARKS, aligned_affine, face_points
from facegeom.training.data.assets import Assets, add_assets, load_assets
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.synthetic import SyntheticFaces, SyntheticOptions
from facegeom.training.identity.reshaped_photos import RESHAPED, STORED_MM, STORED_PIXELS
from facegeom.training.identity.reshaping import ReshapedPhoto, contour_places

log = logging.getLogger("facegeom")

HEADS = SyntheticOptions(identity_sigma=1.0, pitch_deg=9.0, harmonics=0.55)
MOST_YAW_DEG = 85.0
NEAREST_MM = 550.0  # smallest distance of the camera; its inverse is uniform, down to that of an infinite distance
FRONTAL = 1.5  # exponent of the yaw distribution: as in photos, most heads are nearly frontal


class Head(NamedTuple):
    """A synthetic head.

    Attributes
    ----------
    photo : ReshapedPhoto
    identity : (k,) float array, standard deviations of the face model
    expression : (e,) float array, weights
    """

    photo: ReshapedPhoto
    identity: FloatArray
    expression: FloatArray


class IdentityHeads(SyntheticFaces):
    """Draws synthetic heads in aligned crops, with their coefficients.

    Parameters
    ----------
    model : FaceModel
    texture_path : path of a texture model; None: plain skin of random colour
    assets : skins and lights, used beside those of the texture model, and more backgrounds
    """

    def __init__(
        self,
        model: FaceModel,
        texture_path: str | os.PathLike[str] | None = None,
        assets: Assets | None = None,
    ) -> None:
        super().__init__(model, MixOptions(max_yaw_deg=MOST_YAW_DEG), texture_path, options=HEADS, assets=assets)
        self._drawn = np.zeros(len(model.identity), np.float32)
        self._weights = np.zeros(len(model.expression_names))
        self._turn = np.eye(3)
        self._placed, self._points, self._contours = np.zeros((51, 2)), np.zeros((128, 2)), np.zeros((72, 2))

    def draw_head(self, rng: np.random.Generator, size: int = STORED_PIXELS) -> Head:
        """Draw one head in a crop of `size` x `size` pixels."""
        sample, _ = self.draw(rng, size)
        photo = ReshapedPhoto(
            sample.image, self._placed.copy(), self._points.copy(), self._contours.copy(), self._turn.copy()
        )
        return Head(photo, self._drawn.astype(np.float64), self._weights.copy())

    def _identity(self, rng: np.random.Generator) -> np.ndarray:
        self._drawn = super()._identity(rng)
        return self._drawn

    def _expression(self, rng: np.random.Generator) -> FloatArray:
        self._weights = super()._expression(rng)
        return self._weights

    def _rotation(self, rng: np.random.Generator) -> FloatArray:
        yaw = rng.choice([-1.0, 1.0]) * self.mix.max_yaw_deg * rng.random() ** FRONTAL
        y, p = np.radians([yaw, rng.normal(0, self.options.pitch_deg)])
        turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        self._turn = turn @ nod
        return self._turn

    def _in_view(self, vertices: FloatArray, rotation: FloatArray, rng: np.random.Generator) -> FloatArray:
        return in_perspective(vertices, rotation, rng.uniform(0, 1 / NEAREST_MM))

    def _crop(self, pose: Pose, rng: np.random.Generator, size: int) -> FloatArray:
        points = pose.pixels()
        landmarks = points[self.model.landmarks68[INNER_LANDMARKS], :2]
        affine = aligned_affine(self.model, landmarks, self._turn, size, STORED_MM)
        self._placed = apply_affine(affine, landmarks)
        self._points = apply_affine(affine, points[face_points(self.model), :2])
        self._contours = apply_affine(affine, contour_places(self.model, points))
        return affine


def in_perspective(vertices: FloatArray, rotation: FloatArray, closeness: float) -> FloatArray:
    """Return vertices whose orthographic projection is the perspective projection of the given ones.

    From near, a nose looks larger and the sides of a head narrower. A network that is trained without perspective takes
    this for the shape of the person.

    Parameters
    ----------
    vertices : (n, 3) float array, face frame, mm
    rotation : (3, 3) float array, face frame to camera frame
    closeness : inverse of the distance of the camera from the origin of the face frame, 1 / mm
    """
    camera = vertices @ rotation.T
    camera[:, :2] /= 1.0 - closeness * camera[:, 2:]
    return np.asarray(camera @ rotation)


_worker: IdentityHeads | None = None


def _start(texture: str | None, assets: Assets | None) -> None:
    global _worker
    cv2.setNumThreads(0)
    limit_worker_to_one_thread()
    _worker = IdentityHeads(load_face_model(), texture, assets)


def _draw(seed: tuple[int, int]) -> Head:
    if _worker is None:
        raise RuntimeError("the worker process is not initialised")
    return _worker.draw_head(np.random.default_rng(seed))


def make_heads(
    out: Path, count: int, texture: str | None, seed: int, processes: int, assets: Assets | None = None
) -> None:
    """Write `count` heads in the format of `ReshapedPhotos`, with one version per head."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.npz").unlink(missing_ok=True)
    images = np.lib.format.open_memmap(
        out / "images.npy", "w+", np.uint8, shape=(count, STORED_PIXELS, STORED_PIXELS, 3)
    )
    identity = np.zeros((count, 60), np.float32)
    expression = np.zeros((count, len(load_face_model().expression_names)), np.float32)
    landmarks, rotation = np.zeros((count, 51, 2), np.float32), np.zeros((count, 3, 3), np.float32)
    points, contours = np.zeros((count, 128, 2), np.float32), np.zeros((count, 72, 2), np.float32)
    with ProcessPoolExecutor(processes, initializer=_start, initargs=(texture, assets)) as pool:
        drawn = pool.map(_draw, [(seed, number) for number in range(count)], chunksize=32)
        for at, (head, coefficients, weights) in enumerate(tqdm(drawn, total=count, unit="head", desc="heads")):
            images[at], identity[at], expression[at] = head.image, coefficients[:60], weights
            landmarks[at], points[at], rotation[at] = head.landmarks, head.points, head.rotation
            contours[at] = head.contours
    images.flush()
    np.savez(
        out / "table.npz",
        photo=np.arange(count, dtype=np.int32),
        kind=np.full(count, RESHAPED, np.int8),
        identity=identity,
        change=identity,
        expression=expression,
        landmarks=landmarks,
        points=points,
        contours=contours,
        rotation=rotation,
        names=np.array([f"head_{number:06d}" for number in range(count)]),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare heads` to a parser."""
    parser.add_argument("--texture-model", help="file of `facegeom prepare texture-model`; plain skin without it")
    add_assets(parser)
    parser.add_argument(
        "--held-out", action="store_true", help="use the skins and environment maps that are reserved for validation"
    )
    parser.add_argument("--out", "-o", default="runs/heads", help="folder to write (default: %(default)s)")
    parser.add_argument("--count", type=int, default=10_000, help="heads to render (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="worker processes (default: %(default)s)"
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder `--out`."""
    return [Path(args.out) / name for name in ("images.npy", "table.npz")]


def run(args: argparse.Namespace) -> int:
    """Render synthetic heads in aligned crops."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    count = check.count(args.count, "--count", 1)
    assets = load_assets(args.assets, held_out=args.held_out)
    make_heads(Path(args.out), count, args.texture_model, args.seed, args.processes, assets)
    log.info("%d heads in %s", count, args.out)
    return 0
