"""Maps of the result of the pipeline pix2vertex, so that benchmarks of maps and landmarks can evaluate this pipeline.

The template is registered to the maps of a network; then depth, correspondence and mask of the registered template are
rendered in the crop of these maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.fitting import fit_maps
from facegeom.face_model.point_fit import Fit
from facegeom.face_model.template import load_template
from facegeom.geometry import rasterize
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine
from facegeom.images.face_maps import FaceMaps
from facegeom.networks.interface import MapNetwork, NetworkMaps
from facegeom.pipelines.map_options import MapOptions
from facegeom.pipelines.map_prediction import photo_camera, predict_maps
from facegeom.pipelines.noise_removal import NEVER, NoiseRemoval
from facegeom.pipelines.pix2vertex import WarpOptions, register_template, target_mesh
from facegeom.pipelines.template_stages import fitted_vertices

INSIDE_PROBABILITY, OUTSIDE_PROBABILITY = 0.99, 0.01  # mask probability inside and outside the registered template


@dataclass(frozen=True)
class RegisteredFace:
    """Maps, camera and landmarks of a registered template.

    Attributes
    ----------
    maps : FaceMaps, rendered from the registered template
    camera : Camera, face frame to pixels of the photo
    landmarks : (68, 3) float array, mm in the face frame
    """

    maps: FaceMaps
    camera: Camera
    landmarks: FloatArray


def registered_face(maps: FaceMaps, camera: Camera, fit: Fit) -> RegisteredFace:
    """Register the template to the maps of a face and render the maps of the result in the same crop.

    Parameters
    ----------
    maps : FaceMaps
    camera : Camera, face frame to pixels of the photo
    fit : Fit of the face model to the maps

    Raises
    ------
    NoFaceFound
        If the mask covers too little of the face.
    """
    model, template = load_face_model(), load_template()
    options = WarpOptions()
    target = target_mesh(maps, camera, options.max_edge_mm)
    aligned = fitted_vertices(model, fit)[template.vertices]
    V = register_template(template, aligned, target, options, keep_shape=fit.prior is not None)
    faces = template.coarse.faces
    placed = np.column_stack([apply_affine(maps.affine, camera.project(V)), camera.view(V)[:, 2]])
    raster = rasterize(placed, faces, model.mean[template.vertices], maps.mask.shape)
    in_map = np.asarray(template.coarse.regions["map"][faces].all(axis=1))  # other triangles are occluders only
    mask = (raster.triangle >= 0) & in_map[raster.triangle]
    return RegisteredFace(
        FaceMaps(maps.image, raster.depth, raster.attributes, mask, maps.box), camera, V[model.landmarks68]
    )


def predict_registered(
    image: ByteArray, network: MapNetwork, *, box: Box | None = None, removal: NoiseRemoval = NEVER
) -> RegisteredFace:
    """Return the registered face of a photo, as the pipeline pix2vertex computes it with the given network.

    Parameters
    ----------
    image : (h, w, 3) uint8 array, RGB
    network : the network that predicts the maps
    box : x0, y0, x1, y1 of the face in pixels; None: the face is detected
    removal : whether the networks see the photo without noise

    Raises
    ------
    NoFaceFound
        If no face is found, or if the mask covers too little of the face.
    """
    prediction = predict_maps(image, box=box, network=network, removal=removal)
    return registered_face(prediction.maps, prediction.camera, prediction.fit)


class RegisteredNetwork:
    """Wrapper with the interface of a network that returns the maps of the registered template instead of its own maps.

    Where the registration finds no face, the maps of the network are kept.

    Parameters
    ----------
    network : the wrapped network
    """

    def __init__(self, network: MapNetwork) -> None:
        self.network = network
        self.size = network.size

    def predict(self, crops: ByteArray) -> NetworkMaps:
        """Return the maps of (b, size, size, 3) uint8 crops; depth has the origin of the network depth."""
        maps = self.network.predict(crops)
        depth, correspondence = maps.depth.copy(), maps.correspondence.copy()
        probability = maps.mask_probability.copy()
        for item, crop in enumerate(crops):
            mask = probability[item] > MapOptions().threshold
            found = register_crop(crop, depth[item], correspondence[item], mask)
            if found is None:
                continue
            depth[item] = np.where(found.mask, found.depth, 0)
            correspondence[item] = np.where(found.mask[..., None], found.correspondence, 0)
            probability[item] = np.where(found.mask, INSIDE_PROBABILITY, OUTSIDE_PROBABILITY)
        return NetworkMaps(depth, correspondence, probability)


def register_crop(
    crop: ByteArray, depth: npt.NDArray[np.floating], correspondence: npt.NDArray[np.floating], mask: BoolArray
) -> FaceMaps | None:
    """Return the maps of the template after its registration to the maps of a crop.

    Parameters
    ----------
    crop : (S, S, 3) uint8 array, RGB
    depth : (S, S) float array, mm, with any origin
    correspondence : (S, S, 3) float array, mm in the face frame
    mask : (S, S) bool array, pixels where depth and correspondence are valid

    Returns
    -------
    FaceMaps or None
        Depth has the origin of `depth`. None if the face model cannot be fitted or the template cannot be registered.
    """
    model = load_face_model()
    side = len(mask) - 0.5
    try:
        fit = fit_maps(model, depth, correspondence, mask)
        centred = depth.astype(np.float64) - fit.depth_offset
        maps = FaceMaps(crop, centred, correspondence.astype(np.float64), mask, (-0.5, -0.5, side, side))
        face = registered_face(maps, photo_camera(fit, maps), fit).maps
    except (NoFaceFound, ValueError):
        return None
    return FaceMaps(face.image, face.depth + fit.depth_offset, face.correspondence, face.mask, face.box)
