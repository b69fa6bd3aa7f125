"""`facegeom prepare labels`: fit the face model to the landmarks of photos and write all fits to one file.

Landmarks say little about the identity, so that the prior of the fit pulls it towards the mean face. With an identity
network (`--identity`), the prior is the network's answer for the photo. Labels that are made in this way train the next
network; both improve in rounds.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.files import write_npz
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.face_model.fitting import fit_landmarks
from facegeom.face_model.point_fit import Fit, FitOptions, PointBasis
from facegeom.face_model.size import with_mean_size
from facegeom.images.image_files import load_image
from facegeom.networks.identity import Identity, load_identity
from facegeom.networks.identity_crop import see_identity

log = logging.getLogger("facegeom")

LANDMARK_UNIT = 1 / 16  # unit of the integers in landmark files, pixels
LANDMARK_ORIGIN = np.array([0.5, 0.5, 0.0])  # pixels: landmark files have (0, 0) at the image corner, facegeom at the
# centre of the first pixel
REJECTIONS = ("kept", "residual", "identity", "yaw", "landmarks")


@dataclass(frozen=True)
class LabelOptions:
    """Limits beyond which a fit is not used as a label."""

    max_residual: float = 0.022  # largest RMS residual divided by the mean side of the bounding box of the landmarks
    max_identity: float = 1.6  # largest RMS of the identity coefficients, in standard deviations
    max_yaw_deg: float = 60.0  # largest absolute yaw, degrees; FaceMesh is unreliable at larger yaw


@dataclass(frozen=True)
class Labels:
    """Fits of the face model to n photos.

    Attributes
    ----------
    names : (n,) str array
        File names of the photos.
    identity : (n, k) float16 array
        Identity coefficients, in standard deviations.
    expression : (n, e) float16 array
        Expression weights.
    rotation : (n, 3, 3) float32 array
        Rotation from the face frame to the camera frame.
    scale : (n,) float32 array
        Scale of the camera in pixels per mm.
    translation : (n, 2) float32 array
        Pixel onto which the face origin is projected.
    reason : (n,) int8 array
        Index into `REJECTIONS`: 0 for usable labels, otherwise the reason for which the fit was rejected.
    """

    names: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    reason: np.ndarray

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Labels:
        """Read a file that `save` wrote."""
        with np.load(path) as data:
            return cls(**{name: data[name] for name in cls.__dataclass_fields__})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all arrays to one .npz file; after an error there is no incomplete file."""
        write_npz(path, {name: getattr(self, name) for name in self.__dataclass_fields__})

    def __len__(self) -> int:
        return len(self.names)

    @property
    def kept(self) -> IntArray:
        """Return the rows of the usable labels, (r,) int array."""
        return np.flatnonzero(self.reason == 0)

    def fit(self, row: int) -> Fit:
        """Return the fit in row `row`, without residuals."""
        return Fit(
            self.identity[row].astype(np.float64),
            self.expression[row].astype(np.float64),
            self.rotation[row].astype(np.float64),
            float(self.scale[row]),
            self.translation[row].astype(np.float64),
            0.0,
            0.0,
        )


def yaw_deg(rotation: FloatArray) -> FloatArray:
    """Return the yaw of rotations (..., 3, 3) in degrees; positive if the nose points to the right in the image."""
    return np.degrees(np.arctan2(rotation[..., 0, 2], rotation[..., 2, 2]))


def find_photos(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Return file name -> path of all .jpg, .jpeg and .png files in a folder and its subfolders.

    Raises
    ------
    FileNotFoundError
        If there are no such files.
    """
    photos = {p.name: p for p in sorted(Path(folder).rglob("*")) if p.suffix.lower() in {".jpg", ".jpeg", ".png"}}
    if not photos:
        raise FileNotFoundError(f"no photos (.jpg, .jpeg, .png) in {folder} or its subfolders")
    return photos


class _Fitter:
    """State of a worker process."""

    def __init__(self, identity: str | None) -> None:
        self.model, self.options = load_face_model(), FitOptions()
        self.points = PointBasis.at_landmarks468(self.model, self.options)
        self.identity: Identity | None = None if identity is None else load_identity(path=identity)

    def fit(self, rows: np.ndarray, path: Path | None) -> Fit:
        """Fit the face model to landmarks (468, 3) int16 of the photo at `path`."""
        landmarks = rows.astype(np.float64) * LANDMARK_UNIT - LANDMARK_ORIGIN
        fit = fit_landmarks(self.model, landmarks, self.points, self.options)
        if self.identity is None or path is None:
            return fit
        pixels = fit.scale * (fit.vertices(self.model)[self.model.landmarks68] @ fit.rotation.T)[:, :2]
        placed = pixels * np.array([1.0, -1.0]) + fit.translation
        prior, _ = see_identity(self.identity, self.model, load_image(path), placed, fit.rotation)
        prior = replace(prior, mean=with_mean_size(self.model, prior.mean))  # the network may have learned another size
        return fit_landmarks(self.model, landmarks, self.points, self.options, prior)


_worker: _Fitter | None = None


def _start(identity: str | None) -> None:
    global _worker
    limit_worker_to_one_thread()
    _worker = _Fitter(identity)


def _fit_chunk(landmarks: np.ndarray, paths: Sequence[Path | None]) -> list[Fit]:
    if _worker is None:
        raise RuntimeError("the worker process is not initialised")
    return [_worker.fit(rows, path) for rows, path in zip(landmarks, paths, strict=True)]


def fit_photos(
    landmarks: np.ndarray, *, processes: int, identity: str | None = None, paths: Sequence[Path] = ()
) -> Iterator[Fit]:
    """Yield the fits of the face model to n photos, in order.

    Parameters
    ----------
    landmarks : (n, 478, 3) int16 array, 1/16 pixels
    processes : number of worker processes
    identity : path of the weights of an identity network, or None
    paths : the n photos; needed with `identity`
    """
    if identity is not None and len(paths) != len(landmarks):
        raise ValueError(f"there are landmarks of {len(landmarks)} photos, but {len(paths)} paths")
    parts = np.array_split(np.arange(len(landmarks)), max(1, len(landmarks) // 64))
    chunks = [landmarks[part, :468] for part in parts]
    files = [[paths[row] if len(paths) else None for row in part] for part in parts]
    with ProcessPoolExecutor(processes, initializer=_start, initargs=(identity,)) as pool:
        for fits in tqdm(pool.map(_fit_chunk, chunks, files), total=len(chunks), unit="chunk", desc="labels"):
            yield from fits


def make_labels(
    names: np.ndarray,
    landmarks: np.ndarray,
    options: LabelOptions,
    *,
    processes: int = 2,
    identity: str | None = None,
    paths: Sequence[Path] = (),
) -> Labels:
    """Fit the face model to every photo and mark the fits that are not usable as labels.

    Parameters
    ----------
    names : (n,) str array
        File names of the photos.
    landmarks : (n, 478, 3) int16 array, 1/16 pixels
        FaceMesh landmarks, as `facegeom prepare landmarks` writes them.
    options : LabelOptions
    processes : int
        Number of worker processes.
    identity : str, optional
        Weights of an identity network, whose answer for a photo is the prior of its fit. By default the prior is that
        of the face model.
    paths : sequence of n paths
        The photos, which are read if there is an identity network.

    Returns
    -------
    Labels
    """
    fits = list(fit_photos(landmarks, processes=processes, identity=identity, paths=paths))
    points = landmarks[:, :468, :2] * LANDMARK_UNIT
    side = (points.max(1) - points.min(1)).mean(1)
    rotation = np.array([fit.rotation for fit in fits])
    coefficients = np.array([fit.identity for fit in fits])
    scale = np.array([fit.scale for fit in fits])
    residual = np.array([fit.residual_mm for fit in fits]) * scale / side
    reason = np.zeros(len(fits), np.int8)
    reason[np.abs(yaw_deg(rotation)) > options.max_yaw_deg] = REJECTIONS.index("yaw")
    reason[np.sqrt((coefficients**2).mean(1)) > options.max_identity] = REJECTIONS.index("identity")
    reason[residual > options.max_residual] = REJECTIONS.index("residual")
    reason[~np.isfinite(residual) | (side < 20)] = REJECTIONS.index("landmarks")
    return Labels(
        names,
        coefficients.astype(np.float16),
        np.array([fit.expression for fit in fits]).astype(np.float16),
        rotation.astype(np.float32),
        scale.astype(np.float32),
        np.array([fit.translation for fit in fits]).astype(np.float32),
        reason,
    )


def read_landmark_files(files: Sequence[str | os.PathLike[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Read files of `facegeom prepare landmarks` one after the other.

    Parameters
    ----------
    files : paths

    Returns
    -------
    names : (n,) str array
        File names of the photos.
    landmarks : (n, 478, 3) int16 array, 1/16 pixels

    Raises
    ------
    FacegeomError
        If two files name the same photo.
    """
    parts = []
    for file in files:
        with np.load(file) as data:
            parts.append((data["names"], data["landmarks"]))
    names = np.concatenate([part[0] for part in parts])
    _, first, count = np.unique(names, return_index=True, return_counts=True)
    if (count > 1).any():
        raise FacegeomError(f"the landmarks of {names[first[count > 1][0]]} are in the files more than once")
    return names, np.concatenate([part[1] for part in parts])


def add_labelled_photos(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the folder of photos and the file of their labels to a parser."""
    parser.add_argument("photos", help="folder that contains the photos, also in subfolders")
    parser.add_argument("--labels", required=True, help="file written by `facegeom prepare labels`")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare labels` to a parser."""
    parser.add_argument("photos", help="folder that contains the photos, also in subfolders")
    parser.add_argument(
        "--landmarks", required=True, nargs="+", metavar="FILE", help="files written by `facegeom prepare landmarks`"
    )
    parser.add_argument(
        "--identity",
        metavar="FILE",
        help="weights of an identity network, whose answer is the prior of the fit (default: none)",
    )
    parser.add_argument(
        "--out", "-o", default="runs/labels.npz", help="path of the file to write (default: %(default)s)"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="number of worker processes (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Fit the face model to the landmarks of the photos, write the labels, and print the numbers of rejected fits."""
    photos = find_photos(args.photos)
    names, landmarks = read_landmark_files(args.landmarks)
    have = np.array([str(name) in photos for name in names])
    if not have.any():
        raise FacegeomError(f"none of the {len(names)} photos named in {', '.join(args.landmarks)} is in {args.photos}")
    names, landmarks = names[have], landmarks[have]
    paths = [photos[str(name)] for name in names]
    labels = make_labels(
        names, landmarks, LabelOptions(), processes=args.processes, identity=args.identity, paths=paths
    )
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    labels.save(args.out)
    counts = np.bincount(labels.reason, minlength=len(REJECTIONS))
    print("; ".join(f"{name}: {n}" for name, n in zip(REJECTIONS, counts, strict=True)))
    return 0
