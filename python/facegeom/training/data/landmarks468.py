"""Where FaceMesh's 468 points lie on our face: `facegeom prepare calibrate`.

The points come as the place on the ICT mean that is nearest to MediaPipe's canonical face. That face has other
proportions, and the detector has habits of its own: with those places, fits of faces whose pose is known come out
2 degrees too far bowed and with the first identity component at +1.3 sigma. So the points are read off rendered heads:
FaceMesh looks at synthetic faces of exactly known shape, and each of its points moves to the place of the surface
whose projection lies nearest to it over all of them.

FaceMesh lives in an environment of its own (`facegeom.training.data.landmarks`), hence three commands:

    facegeom prepare calibrate MODEL --renders runs/renders --texture-model runs/texture_model.npz   # renders heads
    facegeom prepare landmarks runs/renders -o runs/renders/landmarks.npz                           # with MediaPipe
    facegeom prepare calibrate MODEL --renders runs/renders                                         # moves the points
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
from facegeom._internal.files import write_atomically
from facegeom.errors import FacegeomError
from facegeom.face_model.model import FaceModel, read_face_model
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT
from facegeom.training.data.samples import MixOptions
from facegeom.training.data.synthetic import SyntheticFaces

HEADS = 1500
SIDE = 320  # pixels of a render
MIX = MixOptions(max_yaw_deg=35.0, crop_factor=(1.4, 1.8), loose_crops=0.0, any_roll=0.0)
PLACES_FILE, LANDMARKS_FILE = "places.npz", "landmarks.npz"
REACH_MM = 14.0  # how far a point may move
ROBUST_MM = 8.0  # errors count up to here
STEPS = 6  # a triangle is searched at the points of a lattice of so many steps a side
FINALISTS = 8  # triangles whose lattice is searched

log = logging.getLogger("facegeom")


def render_heads(model: FaceModel, texture_model: str, out: Path) -> None:
    """Render `HEADS` synthetic heads, and write where in each picture every vertex of the skin lies."""
    out.mkdir(parents=True, exist_ok=True)
    faces = SyntheticFaces(model, MIX, texture_model)
    names, places = [], []
    for number in tqdm(range(HEADS), unit="head"):
        sample, points = faces.draw_with_vertices(np.random.default_rng([number, 468]), SIDE)
        names.append(f"{number:04d}.png")
        cv2.imwrite(str(out / names[-1]), cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR))
        places.append(points[:, :2].astype(np.float32))
    write_arrays(out / PLACES_FILE, names=np.array(names), places=np.array(places))


def calibrate_landmarks468(model: FaceModel, places: FloatArray, landmarks: FloatArray) -> tuple[FaceModel, FloatArray]:
    """Return the model with the 468 points where they lie on heads of known shape.

    Parameters
    ----------
    model : FaceModel
    places : (p, n, 2) float array, the pixels of every vertex in each picture
    landmarks : (p, 468, 2) float array, pixels, as FaceMesh found them

    Returns
    -------
    FaceModel
        With other `landmarks468_triangles` and `landmarks468_barycentric`, mirror-symmetric but on the midline.
    (468,) float array
        How far each point has moved over the mean face, mm.
    """
    partner = _mirrored_points(model)
    flip = np.array([-1.0, 1.0])
    places = np.concatenate([places, places[:, model.mirror] * flip])
    landmarks = np.concatenate([landmarks, landmarks[:, partner] * flip])
    face = places[:, : model.face_vertex_count]
    mean_face = model.mean[: model.face_vertex_count, :2]
    mm = np.linalg.norm(np.ptp(mean_face, axis=0)) / np.linalg.norm(np.ptp(face, axis=1), axis=1)  # about, per pixel

    before = _points(model)
    skin = model.faces[~(model.regions["mouth_interior"] | _eyes(model))[model.faces].any(axis=1)]
    centres = model.mean[skin].mean(axis=1)
    lattice = np.array([(i, j, STEPS - i - j) for i in range(STEPS + 1) for j in range(STEPS + 1 - i)], np.float64)
    lattice /= STEPS

    def misfit(triangles: IntArray, weights: FloatArray, point: int) -> FloatArray:
        """Mean squared error (t, w) in mm, each picture's capped, of places in triangles for one landmark."""
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
    """Declare `facegeom prepare calibrate`."""
    parser.add_argument("model", help="face model file to calibrate in place")
    parser.add_argument("--renders", type=Path, required=True, help="folder of the rendered heads and their landmarks")
    parser.add_argument("--texture-model", help="file of `facegeom prepare texture-model`: render the heads")


def run(args: argparse.Namespace) -> int:
    """Render heads, or move the 468 points of the face model to where FaceMesh puts them on those."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = read_face_model(args.model)
    if args.texture_model:
        render_heads(model, args.texture_model, args.renders)
        log.info("now: facegeom prepare landmarks %s -o %s", args.renders, args.renders / LANDMARKS_FILE)
        return 0
    with np.load(args.renders / PLACES_FILE) as data:
        place_names, places = data["names"], data["places"]
    with np.load(args.renders / LANDMARKS_FILE) as data:
        names, landmarks = data["names"], data["landmarks"][:, :468] * LANDMARK_UNIT - LANDMARK_ORIGIN
    _, ours, found = np.intersect1d(place_names, names, return_indices=True)
    if len(ours) < HEADS // 2:
        raise FacegeomError(f"only {len(ours)} of the {len(place_names)} heads in {args.renders} have landmarks")
    model, moved = calibrate_landmarks468(model, places[ours], landmarks[found, :, :2])
    store_arrays(
        args.model,
        landmarks468_triangles=model.landmarks468_triangles.astype(np.int32),
        landmarks468_barycentric=model.landmarks468_barycentric,
    )
    print(f"{len(ours)} heads; the points moved by {moved.mean():.2f} mm, at most {moved.max():.2f} mm")
    return 0


def store_arrays(path: str | os.PathLike[str], **changed: np.ndarray) -> None:
    """Replace arrays of a face model file, the others staying as they are."""
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files} | changed
    write_arrays(Path(path), **arrays)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays to one compressed .npz, whole or not at all."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    write_atomically(path, write)
