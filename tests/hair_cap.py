"""A hair mesh for tests: the scalp of the face model, raised by 10 mm."""

import numpy as np

from facegeom.face_model import FaceModel
from facegeom.training.data.hair_meshes import TEXTURE_PIXELS, HairMesh

RAISED_MM = 10.0


def hair_cap(model: FaceModel, opacity: int = 255) -> HairMesh:
    """Return a cap of even colour; each vertex moves with the vertex of the scalp below it."""
    scalp = model.regions["scalp"]
    rows = np.flatnonzero(scalp)
    number = np.zeros(len(scalp), np.int64)
    number[rows] = np.arange(len(rows))
    outward = model.mean[rows] - np.array([0.0, 15.0, -75.0])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    texture = np.full((TEXTURE_PIXELS, TEXTURE_PIXELS, 2), (100, opacity), np.uint8)
    return HairMesh(
        (model.mean[rows] + RAISED_MM * outward).astype(np.float32),
        outward.astype(np.float32),
        number[model.faces[scalp[model.faces].all(1)]],
        np.full((len(rows), 2), 0.5, np.float32),
        texture,
        rows[:, None].astype(np.int64),
        np.ones((len(rows), 1), np.float32),
        (255 * scalp).astype(np.uint8),
    )
