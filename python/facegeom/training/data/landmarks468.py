"""`facegeom prepare calibrate`: determine the positions of the 468 FaceMesh landmarks on the face model.

Initially each landmark is the point of the ICT mean face nearest to MediaPipe's canonical face. The proportions of the
two faces differ, and FaceMesh has systematic errors: with the initial positions, fits to faces of known pose have a
pitch error of 2 degrees and a first identity coefficient of +1.3 standard deviations. The positions are therefore
calibrated on rendered heads of exactly known shape: FaceMesh detects the landmarks in the renderings, and each landmark
moves to the surface point whose projections are nearest to the detected landmarks on average.

MediaPipe needs a separate environment (`facegeom.training.data.landmarks`), so the calibration takes three commands:

    facegeom prepare calibrate MODEL --renders runs/renders --texture-model runs/texture_model.npz   # render heads
    facegeom prepare landmarks runs/renders -o runs/renders/landmarks.npz                           # run MediaPipe
    facegeom prepare calibrate MODEL --renders runs/renders                                         # move landmarks
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import FloatArray, IntArray
from facegeom._internal.files import write_npz
from facegeom.errors import FacegeomError
from facegeom.face_model.model import FaceModel, read_face_model
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.synthetic import SyntheticFaces

HEADS = 1500  # number of rendered heads
SIDE = 320  # side length of the square renderings, pixels
MIX = MixOptions(max_yaw_deg=35.0, crop_factor=(1.4, 1.8), loose_crops=0.0, any_roll=0.0)
PLACES_FILE, LANDMARKS_FILE = "places.npz", "landmarks.npz"
REACH_MM = 14.0  # largest distance of the centre of a searched triangle from the initial position, mm
ROBUST_MM = 8.0  # distance errors above this value are truncated to it, mm
STEPS = 6  # number of subdivisions of a triangle side in the lattice of candidate points
FINALISTS = 8  # number of triangles in which the lattice is searched

log = logging.getLogger("facegeom")


def render_heads(model: FaceModel, texture_model: str, out: Path) -> None:
    """Render `HEADS` synthetic heads to PNG files, and write the projections of all vertices to one .npz file.

    Parameters
    ----------
    model : FaceModel
    texture_model : str
        File written by `facegeom prepare texture-model`.
    out : Path
        Folder for the written files; created if it does not exist.
    """
    out.mkdir(parents=True, exist_ok=True)
    faces = SyntheticFaces(model, MIX, texture_model)
    names, places = [], []
    for number in tqdm(range(HEADS), unit="head"):
        sample, points = faces.draw_with_vertices(np.random.default_rng([number, 468]), SIDE)
        names.append(f"{number:04d}.png")
        cv2.imwrite(str(out / names[-1]), cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR))
        places.append(points[:, :2].astype(np.float32))
    write_npz(out / PLACES_FILE, {"names": np.array(names), "places": np.array(places)})


def calibrate_landmarks468(model: FaceModel, places: FloatArray, landmarks: FloatArray) -> tuple[FaceModel, FloatArray]:
    """Return the face model with calibrated positions of the 468 FaceMesh landmarks.

    Parameters
    ----------
    model : FaceModel
    places : (p, n, 2) float array, pixels
        Projections of all vertices in each of p rendered images.
    landmarks : (p, 468, 2) float array, pixels
        FaceMesh landmarks detected in the same images.

    Returns
    -------
    model : FaceModel
        Face model with new `landmarks468_triangles` and `landmarks468_barycentric`. Left and right landmarks are mirror
        images; landmarks of the midline may lie beside the midline.
    moved : (468,) float array, mm
        Distance between the old and the new position of each landmark on the mean face.
    """
    partner = _mirrored_points(model)
    flip = np.array([-1.0, 1.0])
    places = np.concatenate([places, places[:, model.mirror] * flip])
    landmarks = np.concatenate([landmarks, landmarks[:, partner] * flip])
    face = places[:, : model.face_vertex_count]
    mean_face = model.mean[: model.face_vertex_count, :2]
    mm = np.linalg.norm(np.ptp(mean_face, axis=0)) / np.linalg.norm(
        np.ptp(face, axis=1), axis=1
    )  # approximate size of a pixel, mm

    before = _points(model)
    skin = model.faces[~(model.regions["mouth_interior"] | _eyes(model))[model.faces].any(axis=1)]
    centres = model.mean[skin].mean(axis=1)
    lattice = np.array([(i, j, STEPS - i - j) for i in range(STEPS + 1) for j in range(STEPS + 1 - i)], np.float64)
    lattice /= STEPS

    def misfit(triangles: IntArray, weights: FloatArray, point: int) -> FloatArray:
        """Return the mean truncated squared error of one landmark at w points in each of t triangles, (t, w), mm^2."""
        seen = np.einsum("wc,ptcd->ptwd", weights, places[:, triangles])
        error = (((seen - landmarks[:, point, None, None]) * mm[:, None, None, None]) ** 2).sum(axis=3)
        return np.asarray(np.minimum(error, ROBUST_MM**2).mean(axis=0), dtype=np.float64)

    corners, barycentric = np.empty((468, 3), np.int64), np.empty((468, 3))
    for point in range(468):
        if partner[point] < point:
            corners[point] = model.mirror[corners[partner[point]]]
            barycentric[point] = barycentric[partner[point]]
            continue
        near = skin[((centres - before[point]) ** 2).sum(axis=1) < REACH_MM**2]
        rough = misfit(near, np.full((1, 3), 1 / 3), point)[:, 0]
        best = near[np.argsort(rough)[:FINALISTS]]
        fine = misfit(best, lattice, point)
        triangle, weights = np.unravel_index(fine.argmin(), fine.shape)
        corners[point], barycentric[point] = best[triangle], lattice[weights]
    model = replace(model, landmarks468_triangles=corners, landmarks468_barycentric=barycentric)
    return model, np.asarray(np.linalg.norm(_points(model) - before, axis=1))


def _eyes(model: FaceModel) -> np.ndarray:
    regions = [model.regions[name] for name in ("eyeball_left", "eyeball_right", "eye_sockets")]
    return np.logical_or.reduce(regions)


def _points(model: FaceModel) -> FloatArray:
    corners, weights = model.landmarks468_triangles, model.landmarks468_barycentric
    return np.asarray(np.einsum("pcd,pc->pd", model.mean[corners], weights), dtype=np.float64)


def _mirrored_points(model: FaceModel) -> IntArray:
    P = _points(model)
    Q = P * np.array([-1.0, 1.0, 1.0])
    return np.array([int(np.argmin(((P - q) ** 2).sum(1))) for q in Q])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare calibrate` to a parser."""
    parser.add_argument("model", help="face model file; the command replaces its 468 landmarks")
    parser.add_argument(
        "--renders", type=Path, required=True, help="folder of the rendered heads and of their landmarks"
    )
    parser.add_argument(
        "--texture-model",
        help="file written by `facegeom prepare texture-model`; if given, the command only renders the heads",
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the file that the command writes beside the rendered heads."""
    return [args.renders / PLACES_FILE] if args.texture_model else []


def run(args: argparse.Namespace) -> int:
    """Render heads, or calibrate the 468 landmarks on rendered heads and write them to the face model file."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = read_face_model(args.model)
    if args.texture_model:
        render_heads(model, args.texture_model, args.renders)
        log.info("next step: facegeom prepare landmarks %s -o %s", args.renders, args.renders / LANDMARKS_FILE)
        return 0
    with np.load(args.renders / PLACES_FILE) as data:
        place_names, places = data["names"], data["places"]
    with np.load(args.renders / LANDMARKS_FILE) as data:
        names, landmarks = data["names"], data["landmarks"][:, :468] * LANDMARK_UNIT - LANDMARK_ORIGIN
    _, ours, found = np.intersect1d(place_names, names, return_indices=True)
    if len(ours) < HEADS // 2:
        raise FacegeomError(
            f"only {len(ours)} of the {len(place_names)} heads in {args.renders} have landmarks, at least half must"
        )
    model, moved = calibrate_landmarks468(model, places[ours], landmarks[found, :, :2])
    store_arrays(
        args.model,
        landmarks468_triangles=model.landmarks468_triangles.astype(np.int32),
        landmarks468_barycentric=model.landmarks468_barycentric,
    )
    print(f"{len(ours)} heads; landmarks moved by {moved.mean():.2f} mm on average, at most by {moved.max():.2f} mm")
    return 0


def store_arrays(path: str | os.PathLike[str], **changed: np.ndarray) -> None:
    """Replace arrays of a face model file; the other arrays do not change."""
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files} | changed
    write_npz(path, arrays)
