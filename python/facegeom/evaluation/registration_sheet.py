"""Pictures of the correspondence and of the registered template.

As in Sela et al. 2017: figures 8 and 15 map a mean texture to photos by the predicted correspondence; figure 12 shows
the distance between the registered template and its projection onto the space of the face model.
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

LIMIT_MM = 3.0  # residual drawn in the last colour of the colour map, mm
PRIOR_MM = 0.05  # residual at every vertex, mm, that costs as much as a coefficient of 1 standard deviation


def textured_photo(maps: FaceMaps, texture: FloatArray) -> ByteArray:
    """Return the crop with a texture mapped to it by the correspondence: the colour of the nearest model vertex.

    Parameters
    ----------
    maps : FaceMaps
    texture : (n, 3) float array, colours of the vertices of the face model, 0 to 255

    Returns
    -------
    (S, S, 3) uint8 array
    """
    model = load_face_model()
    ids = np.flatnonzero(model.regions["map"])
    picture = maps.image.copy()
    vertex = ids[nearest(model.mean[ids], maps.correspondence[maps.mask])[0]]
    picture[maps.mask] = np.clip(np.rint(texture[vertex]), 0, 255).astype(np.uint8)
    return picture


@dataclass(frozen=True)
class Projection:
    """A registered skin projected onto the space of the face model: the face of the model that fits the skin best.

    Attributes
    ----------
    skin : (s, 3) float array, mm, vertices of this face of the model
    residual : (s,) float array, mm, distance between each registered vertex and the same vertex of `skin`
    """

    skin: FloatArray
    residual: FloatArray


def project(skin: FloatArray) -> Projection:
    """Project a registered skin onto the space of the face model by linear least squares.

    Parameters
    ----------
    skin : (s, 3) float array, mm in the face frame, the first s vertices of the face model

    Notes
    -----
    The unknowns are all identity and expression coefficients, with a weak prior (`PRIOR_MM`), a translation, and a
    rotation linearised for small angles.
    """
    model = load_face_model()
    count = len(skin)
    mean = model.mean[:count]
    shapes = np.concatenate([model.identity[:, :count], model.expression[:, :count]]).astype(np.float64)
    translations = np.broadcast_to(np.eye(3)[:, None], (3, count, 3))
    rotations = np.cross(np.eye(3)[:, None], mean[None])
    basis = np.concatenate([shapes, translations, rotations]).reshape(-1, 3 * count).T
    prior = np.zeros(basis.shape[1])
    prior[: len(shapes)] = count * PRIOR_MM**2
    coefficients = np.linalg.solve(basis.T @ basis + np.diag(prior), basis.T @ (skin - mean).ravel())
    found = mean + (basis @ coefficients).reshape(-1, 3)
    return Projection(found, np.linalg.norm(found - skin, axis=1))


def projection_pictures(skin: FloatArray, rotation: FloatArray, size: int) -> dict[str, ByteArray]:
    """Return three pictures of a registered skin: caption -> (size, size, 3) uint8 picture.

    The first picture shows the registered skin. The second shows the skin projected onto the space of the face model,
    see `project`. The third shows the distance between the two at each vertex as a colour.

    Parameters
    ----------
    skin : (s, 3) float array, mm in the face frame
    rotation : (3, 3) float array, face frame to camera frame
    size : side length of each square picture, pixels
    """
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
