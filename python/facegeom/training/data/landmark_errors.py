"""What our maps get wrong about the 68 landmarks, for networks that are trained on true ones and used on those."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facegeom._internal.files import write_atomically
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import mean_depth
from facegeom.measures.metrics import landmark_box
from facegeom.reconstruction import predict
from facegeom.training.data.samples import FaceSamples

PHOTOS = 150


def landmark_errors(faces: FaceSamples, count: int) -> np.ndarray:
    """Return landmarks of our maps less true ones, on photos that the maps' network was not trained on.

    Parameters
    ----------
    faces : FaceSamples, of the validation photos
    count : of the first so many

    Returns
    -------
    (k, 68, 3) float32 array
        mm in the camera's frame: x to the right, y up, z to the camera from the face region's mean depth. Photos where
        nothing is found are left out.
    """
    model = load_face_model()
    rows = []
    for item in range(min(count, len(faces.rows))):
        pose = faces.pose(item)
        points = pose.pixels()
        true = points[model.landmarks68] * (1, -1, pose.scale)
        true[:, 2] -= mean_depth(model, points * (1, 1, pose.scale))
        try:
            seen = predict(faces.store[item], landmark_box(points[model.landmarks68, :2]))
        except NoFaceFound:
            continue
        camera = seen.camera
        depth = camera.view(seen.landmarks)[:, 2] - mean_depth(model, camera.view(seen.fit.vertices(model)))
        found = np.column_stack([camera.project(seen.landmarks) * (1, -1), depth * camera.scale])
        rows.append((found - true) / pose.scale)
    return np.array(rows, np.float32).reshape(-1, len(model.landmarks68), 3)


def kept_errors(faces: FaceSamples, folder: Path) -> np.ndarray:
    """Return the errors that a run keeps in its folder, measured if it has none yet."""
    file = folder / "landmark_errors.npy"
    if not file.is_file():
        errors = landmark_errors(faces, PHOTOS)

        def write(path: Path) -> None:
            with open(path, "wb") as stream:
                np.save(stream, errors)

        write_atomically(file, write)
    return np.asarray(np.load(file))


def drawn_errors(errors: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw `count` errors (count, 68, 3) from the normal distribution that has the second moments of `errors`."""
    share = torch.randn(count, len(errors), generator=generator, device=errors.device) / len(errors) ** 0.5
    return torch.einsum("bk,kld->bld", share, errors)
