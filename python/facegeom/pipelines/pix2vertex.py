"""Pipeline pix2vertex: registration of the template to the predicted maps (Sela et al. 2017, section 4).

The stages are raw (one vertex for each pixel of the maps), aligned (the face model fitted to the maps), registered (the
template after non-rigid registration to the maps), and completed, outlined and detailed, for which see
`facegeom.pipelines.template_stages`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from facegeom.pipelines.kept_shape import detail_of
from facegeom.pipelines.map_prediction import MapPrediction
from facegeom.pipelines.requests import all_maps, requested_maps
from facegeom.pipelines.template_stages import bare, finish_template, fitted_vertices


@dataclass(frozen=True)
class WarpOptions:
    """Options of the registration of the template to the maps.

    The paper aligns the mean template by an affine map (RANSAC) and then registers the template. Here the face
    model fitted to the maps is the initial template. On 48 synthetic faces with exact truth, viewed from all sides, the
    error of hidden vertices decreases from 7.6 mm to 4.8 mm, and the error of the normals of visible vertices from 10.9
    degrees to 9.4 degrees. Errors of a network extend over large patches and are not independent from pixel to pixel.
    The noise that the registration estimates from neighbours is therefore too small, which is the reason for the noise
    floor and the stiffness.
    """

    max_edge_mm: float = 10.0  # maximum edge length in mm of a triangle; longer edges cross a depth step
    stiffness: float = (
        1000.0  # weight of the thin-plate energy; 10 is suitable for maps whose pixels have independent errors
    )
    noise_floor: float = 0.6  # minimum noise (standard deviation) / mean edge length; 0.05 is suitable for exact maps
    motion_tolerance: float = 0.01  # rms motion / mean edge length at convergence; 0.001 gives the same vertices


def predict(photo: ByteArray, request: FaceRequest) -> MapPrediction:
    """Predict maps with FaceVision-GAN, which has smaller errors than the networks of pix2vertex (model cards)."""
    return requested_maps(photo, request)


def predict_all(photo: ByteArray, request: FaceRequest) -> list[MapPrediction]:
    """Predict the maps of all faces, as `predict`."""
    return all_maps(photo, request)


def run(
    photo: ByteArray,
    prediction: Prediction,
    options: PipelineOptions,
    others: Sequence[tuple[ByteArray, Prediction]] = (),
) -> Stages:
    """Return the stages raw, aligned, registered, completed (with a head) and detailed, in the face frame.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    prediction : Prediction
    options : PipelineOptions
    others : other photos of the same person with their predictions, which only the colours use

    Raises
    ------
    NoFaceFound
        When the maps contain no triangle, or too few triangles for the registration.
    """
    maps, camera = prediction.maps, prediction.camera
    stages, warp = Stages(), WarpOptions()
    template = load_template()
    fitted = fitted_vertices(load_face_model(), prediction.fit)

    with stages.step("raw"):
        target = target_mesh(maps, camera, warp.max_edge_mm)
        if not len(target.F):
            raise NoFaceFound("the mask of the face contains no triangle")
        column, row = target.pixel.T
        stages.meshes["raw"] = FaceMesh(
            target.V, target.F, colors=maps.image[row, column], regions={"face": np.ones(len(target.V), bool)}
        )
    with stages.step("aligned"):
        aligned = fitted[template.vertices]
        stages.meshes["aligned"] = bare(template.coarse, aligned)
    with stages.step("registered"):
        registered = register_template(template, aligned, target, warp, keep_shape=prediction.fit.prior is not None)
        stages.meshes["registered"] = bare(template.coarse, registered)
    return finish_template(photo, prediction, stages, fitted, registered, options, others)


def target_mesh(maps: FaceMaps, camera: Camera, max_edge: float) -> geometry.MapsMesh:
    """Return a mesh in the face frame with one vertex per pixel of the maps and the correspondence as embedding."""
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
    *,
    keep_shape: bool = False,
) -> FloatArray:
    """Register the template to the maps, from the initial vertices `aligned` (n, 3); return the vertices (n, 3), mm.

    With `keep_shape`, the registration only adds detail to `aligned`, see `facegeom.pipelines.kept_shape`.

    Raises
    ------
    NoFaceFound
        When the maps show too little of the face.
    """
    skin = template.coarse.skin_count
    registration = geometry.RegistrationOptions(
        alignment="none",
        stiffness=options.stiffness,
        noise_floor=options.noise_floor,
        motion_tolerance=options.motion_tolerance,
    )
    try:
        found = geometry.register_nonrigid(
            aligned[:skin], template.coarse.skin_faces, template.embedding, target.V, target.F, target.E, registration
        )
    except ValueError as error:  # the arrays are valid, so the content of the maps is the reason
        raise NoFaceFound(f"the maps do not show enough of the face: {error}") from error
    skin_vertices = found.vertices
    if keep_shape:
        skin_vertices = aligned[:skin] + detail_of(load_face_model(), skin_vertices - aligned[:skin])
    return template.follow(aligned, template.join_lips(aligned[:skin], skin_vertices))
