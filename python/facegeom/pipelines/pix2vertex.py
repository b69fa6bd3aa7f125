"""Pipeline pix2vertex: the template, registered to the predicted maps (Sela et al. 2017, section 4).

raw: every pixel of the maps. aligned: the face model fitted to the maps. registered: the template after non-rigid
registration to the maps. completed and detailed: see `facegeom.pipelines.template_stages`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template, load_template
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, invert_affine
from facegeom.images.face_maps import FaceMaps
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.pipelines.interface import FaceRequest, PipelineOptions, Prediction, Stages
from facegeom.pipelines.map_prediction import MapPrediction, predict_maps
from facegeom.pipelines.template_stages import bare, finish_template, fitted_vertices


@dataclass(frozen=True)
class WarpOptions:
    """How the template is registered to maps.

    The paper aligns the mean template by an affine map (RANSAC) and leaves the rest to the registration. Here the
    template starts as the face model fitted to the maps: on 48 synthetic faces with exact truth, seen from all sides,
    the error where the face is hidden falls from 7.6 mm to 4.8, and that of the normals where it is seen from 10.9
    degrees to 9.4. Errors of a network extend over large patches and are not independent from pixel to pixel, so the
    noise that the registration estimates from neighbours is too small: hence the floor and the stiffness.
    """

    max_edge_mm: float = 10.0  # triangles of pixels with longer edges cross a jump of depth and are left out
    stiffness: float = 1000.0  # weight of the thin-plate energy; 10 is right for maps without such errors
    noise_floor: float = 0.6  # smallest noise, over the template's mean edge length; 0.05 for maps without such errors


def predict(photo: ByteArray, request: FaceRequest) -> MapPrediction:
    """Return the maps of FaceVision-GAN, which are better than those of pix2vertex's own networks (model cards)."""
    return predict_maps(photo, request.box, request.device, request.face_index)


def run(photo: ByteArray, prediction: Prediction, options: PipelineOptions) -> Stages:
    """Return the stages raw, aligned, registered, completed (with a head) and detailed, in the face frame.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    prediction : Prediction
    options : PipelineOptions

    Raises
    ------
    NoFaceFound
        When the maps leave no triangle, or too few to register.
    """
    maps, camera = prediction.maps, prediction.camera
    stages, warp = Stages(), WarpOptions()
    template = load_template()
    fitted = fitted_vertices(load_face_model(), prediction.fit)

    with stages.step("raw"):
        target = target_mesh(maps, camera, warp.max_edge_mm)
        if not len(target.F):
            raise NoFaceFound("the mask of the face leaves no triangle")
        column, row = target.pixel.T
        stages.meshes["raw"] = FaceMesh(
            target.V, target.F, colors=maps.image[row, column], regions={"face": np.ones(len(target.V), bool)}
        )
    with stages.step("aligned"):
        aligned = fitted[template.vertices]
        stages.meshes["aligned"] = bare(template.coarse, aligned)
    with stages.step("registered"):
        registered = register_template(template, aligned, target, warp)
        stages.meshes["registered"] = bare(template.coarse, registered)
    return finish_template(photo, prediction, stages, fitted, registered, options)


def target_mesh(maps: FaceMaps, camera: Camera, max_edge: float) -> geometry.MapsMesh:
    """Return every pixel of the maps as a mesh in the face frame, with its correspondence as embedding."""
    rows, columns = np.indices(maps.mask.shape)
    pixels = apply_affine(invert_affine(maps.affine), np.column_stack([columns.ravel(), rows.ravel()]).astype(float))
    across = (pixels - camera.translation) / (camera.scale, -camera.scale)
    xyz = np.dstack([across.reshape(*maps.mask.shape, 2), maps.depth])
    mesh = geometry.maps_to_mesh(xyz, maps.mask, maps.correspondence, max_edge)
    return mesh._replace(V=mesh.V @ camera.rotation)


def register_template(
    template: Template,
    aligned: FloatArray,
    target: geometry.MapsMesh,
    options: WarpOptions = WarpOptions(),
) -> FloatArray:
    """Return the template's vertices (n, 3) registered to the maps, starting from `aligned` (n, 3).

    Raises
    ------
    NoFaceFound
        When the maps show too little of the face.
    """
    skin = template.coarse.skin_count
    registration = geometry.RegistrationOptions(
        alignment="none", stiffness=options.stiffness, noise_floor=options.noise_floor
    )
    try:
        found = geometry.register_nonrigid(
            aligned[:skin], template.coarse.skin_faces, template.embedding, target.V, target.F, target.E, registration
        )
    except ValueError as error:  # the arrays are valid, so the content of the maps is the reason
        raise NoFaceFound(f"the maps do not show enough of the face: {error}") from error
    return template.follow(aligned, template.join_lips(aligned[:skin], found.vertices))
