"""What pipeline pix2vertex says of a photo, as maps: benchmarks of maps and landmarks measure it like a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom.errors import NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.fitting import fit_maps
from facegeom.face_model.template import load_template
from facegeom.geometry import rasterize
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine
from facegeom.images.face_maps import FaceMaps
from facegeom.networks.facevision import NetworkMaps
from facegeom.pipelines.map_prediction import MapNetwork, MapOptions, photo_camera, predict_maps
from facegeom.pipelines.pix2vertex import WarpOptions, register_template, target_mesh
from facegeom.pipelines.template_stages import fitted_vertices

KNOWN, UNKNOWN = 0.99, 0.01  # probability of the face where the template is, and where it is not


@dataclass(frozen=True)
class RegisteredFace:
    """A face whose maps and landmarks are those of the registered template."""

    maps: FaceMaps
    camera: Camera
    landmarks: FloatArray


def registered_face(maps: FaceMaps, camera: Camera, vertices: FloatArray) -> RegisteredFace:
    """Return the face that the template, registered to maps, shows in the same crop.

    Parameters
    ----------
    maps : FaceMaps
    camera : Camera, face frame -> photo
    vertices : (n, 3) float array, mm, the face model fitted to the maps

    Raises
    ------
    NoFaceFound
        When the maps do not show enough of the face.
    """
    model, template = load_face_model(), load_template()
    options = WarpOptions()
    target = target_mesh(maps, camera, options.max_edge_mm)
    V = register_template(template, vertices[template.vertices], target, options)
    faces = template.coarse.faces
    placed = np.column_stack([apply_affine(maps.affine, camera.project(V)), camera.view(V)[:, 2]])
    raster = rasterize(placed, faces, model.mean[template.vertices], maps.mask.shape)
    shown = np.asarray(template.coarse.regions["map"][faces].all(axis=1))  # the rest only hides
    mask = (raster.triangle >= 0) & shown[raster.triangle]
    return RegisteredFace(
        FaceMaps(maps.image, raster.depth, raster.attributes, mask, maps.box), camera, V[model.landmarks68]
    )


def predict_registered(image: ByteArray, network: MapNetwork, *, box: Box | None = None) -> RegisteredFace:
    """Return the registered face of a photo, as pipeline pix2vertex finds it with the given network."""
    seen = predict_maps(image, box=box, network=network)
    return registered_face(seen.maps, seen.camera, fitted_vertices(load_face_model(), seen.fit))


class RegisteredNetwork:
    """A network of maps with the registration behind it; where that finds no face, the network's own maps."""

    def __init__(self, network: MapNetwork) -> None:
        self.network = network
        self.size = network.size

    def predict(self, crops: ByteArray) -> NetworkMaps:
        """Return the maps of (b, size, size, 3) uint8 crops, depth in the network's own frame."""
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
            probability[item] = np.where(found.mask, KNOWN, UNKNOWN)
        return NetworkMaps(depth, correspondence, probability)


def register_crop(
    crop: ByteArray, depth: npt.NDArray[np.floating], place: npt.NDArray[np.floating], mask: BoolArray
) -> FaceMaps | None:
    """Return the maps of the template registered to those of a crop, depth in their own frame; None without a face.

    Parameters
    ----------
    crop : (S, S, 3) uint8 array
    depth : (S, S) float array, mm
    place : (S, S, 3) float array, the correspondence, mm
    mask : (S, S) bool array, where they count
    """
    model = load_face_model()
    side = len(mask) - 0.5
    try:
        fit = fit_maps(model, depth, place, mask)
        height = depth.astype(np.float64) - fit.depth_offset
        maps = FaceMaps(crop, height, place.astype(np.float64), mask, (-0.5, -0.5, side, side))
        face = registered_face(maps, photo_camera(fit, maps), fitted_vertices(model, fit)).maps
    except (NoFaceFound, ValueError):
        return None
    return FaceMaps(face.image, face.depth + fit.depth_offset, face.correspondence, face.mask, face.box)
