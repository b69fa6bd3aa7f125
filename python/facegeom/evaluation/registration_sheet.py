"""Pictures of what maps and registration say: the mean texture through the correspondence, and the model's residual.

Sela et al. 2017: figures 8 and 15 lay an average texture on photos by the predicted correspondence, figure 12 shows how
far a registered template lies from its projection onto the space of the face model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model import load_face_model
from facegeom.face_model.template import load_template
from facegeom.geometry import nearest
from facegeom.images.face_maps import FaceMaps
from facegeom.measures.report import heat_picture
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.render import Frame, render_mesh

LIMIT_MM = 3.0  # residual of the warmest colour
PRIOR_MM = 0.05  # a coefficient of one standard deviation counts as much as a residual of this at every vertex


def textured_photo(maps: FaceMaps, texture: FloatArray) -> ByteArray:
    """Return the crop with the colours (n, 3) in [0, 255] of the face model's vertices where its correspondence is."""
    model = load_face_model()
    ids = np.flatnonzero(model.regions["map"])
    picture = maps.image.copy()
    vertex = ids[nearest(model.mean[ids], maps.correspondence[maps.mask])[0]]
    picture[maps.mask] = np.clip(np.rint(texture[vertex]), 0, 255).astype(np.uint8)
    return picture


@dataclass(frozen=True)
class Projection:
    """The face of the face model that lies nearest to a registered skin: (s, 3) mm, and the distances (s,) mm."""

    skin: FloatArray
    residual: FloatArray


def project(skin: FloatArray) -> Projection:
    """Project a skin (s, 3) in the face frame onto the space of the face model, all components and small motions.

    Linear least squares; the prior on the coefficients is weak, motions (a shift, and a turn as for small angles) are
    free.
    """
    model = load_face_model()
    count = len(skin)
    mean = model.mean[:count]
    shapes = np.concatenate([model.identity[:, :count], model.expression[:, :count]]).astype(np.float64)
    shifts = np.broadcast_to(np.eye(3)[:, None], (3, count, 3))
    turns = np.cross(np.eye(3)[:, None], mean[None])
    basis = np.concatenate([shapes, shifts, turns]).reshape(-1, 3 * count).T
    prior = np.zeros(basis.shape[1])
    prior[: len(shapes)] = count * PRIOR_MM**2
    coefficients = np.linalg.solve(basis.T @ basis + np.diag(prior), basis.T @ (skin - mean).ravel())
    found = mean + (basis @ coefficients).reshape(-1, 3)
    return Projection(found, np.linalg.norm(found - skin, axis=1))


def projection_pictures(skin: FloatArray, rotation: FloatArray, size: int) -> dict[str, ByteArray]:
    """Return the registered skin, its projection, and the distance as colours (`LIMIT_MM` the warmest)."""
    found = project(skin)
    F = load_template().coarse.skin_faces
    heat = heat_picture(found.residual[:, None], LIMIT_MM)[:, 0]
    frame = Frame.around(FaceMesh(skin, F))
    return {
        "registered": render_mesh(FaceMesh(skin, F), rotation, size=size, frame=frame),
        "projected": render_mesh(FaceMesh(found.skin, F), rotation, size=size, frame=frame),
        f"{found.residual.mean():.2f} mm": render_mesh(
            FaceMesh(skin, F, colors=heat), rotation, size=size, frame=frame, colors=True
        ),
    }
