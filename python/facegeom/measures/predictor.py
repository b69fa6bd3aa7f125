"""What is evaluated: a function from a photo to a predicted face. And the mean face, the least that it must beat."""

from __future__ import annotations

import argparse
from typing import Protocol

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model import FaceModel
from facegeom.geometry import rasterize
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.face_maps import FaceMaps
from facegeom.networks.facevision import FaceVision, FaceVisionConfig, FaceVisionGenerator, load_facevision
from facegeom.networks.mesh_network import MESH_PIPELINES, load_mesh_network
from facegeom.networks.pix2vertex import Pix2Vertex, Pix2VertexConfig, load_pix2vertex
from facegeom.networks.weights import has_config, load_weights
from facegeom.pipelines import PIPELINES
from facegeom.pipelines.mesh_prediction import predict_mesh
from facegeom.reconstruction import predict


class PredictedFace(Protocol):
    """A face that was found in a photo."""

    @property
    def maps(self) -> FaceMaps:
        """The maps of its crop."""

    @property
    def camera(self) -> Camera:
        """The camera, in pixels of the photo."""

    @property
    def landmarks(self) -> FloatArray:
        """The 68 points, (68, 3) float array, mm in the face's own frame."""


class Predictor(Protocol):
    """Finds the face of a photo; raises `NoFaceFound` where there is none."""

    def __call__(self, image: ByteArray, *, box: Box | None = None) -> PredictedFace:
        """Return the face in (h, w, 3) uint8 RGB `image`, inside `box` where one is given."""


def load_network(weights: str | None = None, device: str = "cpu") -> FaceVision | Pix2Vertex:
    """Return the shipped FaceVision network, or the network of either kind in the file `weights`.

    Raises
    ------
    WeightsError
        When the file is missing, damaged or of another configuration.
    """
    if weights is None:
        return load_facevision(device)
    if has_config(weights, Pix2VertexConfig):
        return load_pix2vertex(device, weights)
    config, state = load_weights("facevision", FaceVisionConfig, weights)
    generator = FaceVisionGenerator(config)
    generator.load_state_dict(state)
    return FaceVision(generator, device)


def facegeom_predictor(network: FaceVision | Pix2Vertex, pipeline: str) -> Predictor:
    """Return facegeom's own predictor, what `facegeom.reconstruct` knows of the face, with the given network.

    Pipeline "facevision" means the network's own maps, "pix2vertex" those of the template registered to them.
    """
    from facegeom.measures.registered import predict_registered

    def predictor(image: ByteArray, *, box: Box | None = None) -> PredictedFace:
        if pipeline == "pix2vertex":
            return predict_registered(image, network, box=box)
        return predict(image, box=box, network=network)

    return predictor


def chosen_predictor(args: argparse.Namespace) -> Predictor:
    """Return the predictor of `--pipeline`, with the network of `--weights` on `--device`.

    Raises
    ------
    WeightsError
        When the weights cannot be loaded.
    """
    if args.pipeline not in MESH_PIPELINES:
        return facegeom_predictor(load_network(args.weights, args.device), args.pipeline)
    network = load_mesh_network(args.pipeline, args.device, args.weights)

    def predictor(image: ByteArray, *, box: Box | None = None) -> PredictedFace:
        return predict_mesh(image, network, box, args.device)

    return predictor


MAP_PIPELINES = tuple(name for name in PIPELINES if name not in MESH_PIPELINES)
"""The pipelines whose network sees maps."""


def add_common_arguments(parser: argparse.ArgumentParser, pipelines: tuple[str, ...] = tuple(PIPELINES)) -> None:
    """Declare what every benchmark takes, with the pipelines that it can measure."""
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="of the pipeline's mesh network, else of a network of maps (default: the package's, facevision's maps)",
    )
    parser.add_argument(
        "--pipeline",
        choices=pipelines,
        default=pipelines[0],
        help="as in facegeom.reconstruct: pix2vertex is measured by the template registered to a network's maps, "
        "facevision by the maps themselves (default: %(default)s)",
    )
    parser.add_argument("--device", default="cpu", help="where the network runs (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    parser.add_argument("--out", metavar="DIR", help="write pictures to this folder")


def projected_landmarks(face: PredictedFace) -> FloatArray:
    """Return the (68, 2) pixels of the photo onto which the face's 68 points fall."""
    return face.camera.project(face.landmarks)


def mean_face_in_box(model: FaceModel, box: npt.ArrayLike) -> Camera:
    """Return the frontal camera that puts the mean face's 68 points into `box`: same centre, same mean side.

    Parameters
    ----------
    model : FaceModel
    box : (4,) float array, x0, y0, x1, y1 in pixels of the photo

    Returns
    -------
    Camera
    """
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    points = model.mean[model.landmarks68, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    scale = float(((x1 - x0) + (y1 - y0)) / (high - low).sum())
    middle = 0.5 * (low + high)
    return Camera(np.eye(3), scale, np.array([0.5 * (x0 + x1), 0.5 * (y0 + y1)]) - scale * middle * (1, -1))


def mean_face_landmarks(model: FaceModel, box: npt.ArrayLike) -> FloatArray:
    """Return the (68, 2) pixels of the mean face's 68 points in the camera of `mean_face_in_box`."""
    return mean_face_in_box(model, box).project(model.mean[model.landmarks68])


def model_depth(model: FaceModel, vertices: FloatArray, camera: Camera, shape: tuple[int, int]) -> FloatArray:
    """Return the depth map of a face of the model, seen by `camera`.

    Parameters
    ----------
    model : FaceModel
    vertices : (n, 3) float array, mm in the face's own frame
    camera : Camera
    shape : (h, w) of the photo

    Returns
    -------
    (h, w) float array
        Camera depth in mm, NaN where the model's map region is not seen.
    """
    placed = np.column_stack([camera.project(vertices), camera.view(vertices)[:, 2]])
    shown = np.asarray(model.regions["map"][model.faces].all(axis=1))  # the rest of the head only hides
    raster = rasterize(placed, model.faces, None, shape)
    seen = (raster.triangle >= 0) & shown[raster.triangle]
    return np.where(seen, raster.depth, np.nan)
