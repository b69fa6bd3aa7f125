"""Whether an image shows its label: distance between the label and what the networks of the package see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom.errors import NoFaceFound
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import Fit
from facegeom.measures.metrics import INNER_POINTS, landmark_box
from facegeom.networks.interface import MAP_UNIT_MM
from facegeom.reconstruction import predict
from facegeom.training.diffusion.conditions import HeadMaps, posed
from facegeom.training.diffusion.head_photos import in_crop

LEAST_PIXELS = 100
"""Pixels that must show the face in the label and in the prediction."""


class LabelDistance(NamedTuple):
    """Distance between a label and the prediction of the networks.

    Attributes
    ----------
    landmarks_px : mean distance of the 51 landmarks without the jaw, pixels of the image
    landmarks_mm : the same in mm at the scale of the label
    maps_mm : mean distance of the correspondence over the pixels that show the face in both, mm
    """

    landmarks_px: float
    landmarks_mm: float
    maps_mm: float


def label_distance(model: FaceModel, image: ByteArray, fit: Fit, device: str = "cpu") -> LabelDistance | None:
    """Return how far the label of an image is from what the networks see; None if they see no face.

    Parameters
    ----------
    model : FaceModel
    image : (h, w, 3) uint8 array
    fit : Fit in pixels of the image, the label
    device : device of the networks
    """
    points = posed(model, fit).pixels()[model.landmarks68, :2]
    try:
        found = predict(image, landmark_box(points), device)
    except NoFaceFound:
        return None
    apart = np.linalg.norm(found.camera.project(found.landmarks) - points, axis=1)[INNER_POINTS]
    maps = found.maps
    raster, _ = HeadMaps(model).render(in_crop(fit, maps.affine), maps.size)
    in_map: BoolArray = np.asarray(model.regions["map"][model.faces].all(1))
    shown = (raster.triangle >= 0) & in_map[raster.triangle] & maps.mask
    if shown.sum() < LEAST_PIXELS:
        return None
    label = raster.attributes[shown][:, 3:] * MAP_UNIT_MM
    moved = float(np.linalg.norm(maps.correspondence[shown] - label, axis=1).mean())
    return LabelDistance(float(apart.mean()), float(apart.mean()) / fit.scale, moved)
