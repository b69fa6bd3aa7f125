"""Errors of the 68 landmarks that FaceVision predicts, measured on validation photos.

GCN-IGAN takes landmarks as input. It is trained on true landmarks plus such errors, because the input landmarks of the
trained network come from predicted maps.
"""

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
    """Return predicted minus true landmarks of photos on which the map network was not trained.

    Parameters
    ----------
    faces : FaceSamples
        Samples of the validation photos.
    count : int
        Number of photos: only the first `count` photos are used.

    Returns
    -------
    (k, 68, 3) float32 array, mm
        In the camera frame: x to the right, y up, z towards the camera, measured from the mean depth of the face
        region. The result has no row for photos in which no face is found.
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


def cached_errors(faces: FaceSamples, folder: Path) -> np.ndarray:
    """Return the landmark errors stored in the folder of a run; if there are none, measure and store them first.

    Parameters
    ----------
    faces : FaceSamples
        Samples of the validation photos.
    folder : Path
        Folder of the run.

    Returns
    -------
    (k, 68, 3) float32 array, mm
    """
    file = folder / "landmark_errors.npy"
    if not file.is_file():
        errors = landmark_errors(faces, PHOTOS)

        def write(path: Path) -> None:
            with open(path, "wb") as stream:
                np.save(stream, errors)

        write_atomically(file, write)
    return np.asarray(np.load(file))


def sample_errors(errors: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Return random landmark errors: zero-mean normal, with the second moments of measured errors.

    Parameters
    ----------
    errors : (k, 68, 3) tensor, mm
        Measured landmark errors.
    count : int
        Number of samples to draw.
    generator : torch.Generator, optional

    Returns
    -------
    (count, 68, 3) tensor, mm
    """
    share = torch.randn(count, len(errors), generator=generator, device=errors.device) / len(errors) ** 0.5
    return torch.einsum("bk,kld->bld", share, errors)
