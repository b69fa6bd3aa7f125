"""`facegeom prepare landmarks68`: determine the vertices that correspond to the 68 landmarks of AFLW2000-3D.

The landmarks of AFLW2000-3D are defined differently from the initial Multi-PIE landmarks of the face model; along the
jaw they differ by up to 20 mm. For each landmark, the vertex nearest to the annotation on average is chosen. The
average is over fits to the photos at even positions of `names` with a yaw below 50 degrees. These photos are not used
for any other purpose; accuracy is reported on the other photos.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.face_model.model import FaceModel, read_face_model
from facegeom.training.data.landmarks468 import store_arrays
from facegeom.training.face_model.topology import FLIP68

MAX_YAW_DEG = 50.0
_CHUNK = 1024  # number of vertices processed together, to limit memory


def calibrate_landmarks(model: FaceModel, projected: FloatArray, points: FloatArray) -> IntArray:
    """Return the 68 vertices nearest to annotated landmarks on average; left and right landmarks are symmetric.

    Parameters
    ----------
    model : FaceModel
    projected : (p, n, 2) float array, pixels
        Projected vertices of the face fitted to each photo.
    points : (p, 68, 2) float array, pixels
        Annotated landmarks of each photo, pixel centres at integers.

    Returns
    -------
    (68,) int array
        Vertices of the skin. Landmarks in the middle of the face are vertices on the midline.

    Raises
    ------
    ValueError
        If the shapes of the arrays do not match the model or each other.

    Notes
    -----
    Distances are divided by the square root of the area of the bounding box of the annotation, so that all photos have
    the same weight. A landmark and its symmetric counterpart are chosen together, by the sum of their mean distances.
    """
    projected = check.float_array(projected, "projected", (None, len(model.mean), 2))
    points = check.float_array(points, "points", (len(projected), 68, 2))
    skin = np.flatnonzero(model.regions["head"])
    side = np.sqrt(np.ptp(points, axis=1).prod(axis=1))
    cost = np.full((len(model.mean), 68), np.inf)
    for start in range(0, len(skin), _CHUNK):
        some = skin[start : start + _CHUNK]
        for index in range(68):
            gap = np.linalg.norm(projected[:, some] - points[:, None, index], axis=2)
            cost[some, index] = (gap / side[:, None]).mean(axis=0)
    paired = cost + cost[model.mirror][:, FLIP68]
    paired[~model.regions["midline"]] += np.where(np.arange(68) == FLIP68, np.inf, 0.0)
    chosen = paired.argmin(axis=0)
    right = np.arange(68) <= FLIP68
    return np.asarray(np.where(right, chosen, model.mirror[chosen[FLIP68]]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare landmarks68` to a parser."""
    parser.add_argument("model", type=Path, help="face model file; the command replaces its 68 landmarks")
    parser.add_argument("--aflw2000", type=Path, required=True, help="folder that contains images/ and annotations.npz")
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Fit the face model to the calibration photos with the network of the package, and replace the 68 landmarks."""
    model = read_face_model(args.model)
    projected, points = _fits(model, args.aflw2000, args.device)
    chosen = calibrate_landmarks(model, projected, points)
    moved = np.linalg.norm(model.mean[chosen] - model.mean[model.landmarks68_multipie], axis=1)
    store_arrays(args.model, landmarks68=chosen.astype(np.int32))
    logging.getLogger("facegeom").info(
        "%d photos; landmarks moved by %.1f mm on average, at most by %.1f mm", len(points), moved.mean(), moved.max()
    )
    return 0


def _fits(model: FaceModel, folder: Path, device: str) -> tuple[FloatArray, FloatArray]:
    """Return the projected vertices (p, n, 2) and the annotated landmarks (p, 68, 2) of the calibration photos."""
    from tqdm import tqdm

    from facegeom.reconstruction import predict

    file = folder / "annotations.npz"
    if not file.is_file():
        raise FacegeomError(f"{file} does not exist: the folder must contain annotations.npz and images/")
    with np.load(file) as data:
        names = [str(name) for name in data["names"]]
        points = data["points68"][:, :2].transpose(0, 2, 1).astype(np.float64) - 1.0  # the file counts from 1
        yaw = data["pitch_yaw_roll_deg"][:, 1].astype(np.float64)
    rows = [row for row in range(0, len(names), 2) if abs(yaw[row]) < MAX_YAW_DEG]
    projected = np.empty((len(rows), len(model.mean), 2))
    for index, row in enumerate(tqdm(rows, desc="photos")):
        image = next(iter(sorted((folder / "images").glob(f"{Path(names[row]).stem}.*"))))
        box = np.concatenate([points[row].min(axis=0), points[row].max(axis=0)])
        seen = predict(image, box=box, device=device)
        projected[index] = seen.camera.project(seen.fit.vertices(model))
    return projected, points[rows]
