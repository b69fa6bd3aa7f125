"""Predictors (functions from a photo to a face, which benchmarks evaluate), and the mean face as a baseline."""

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
from facegeom.networks.interface import MESH_PIPELINES
from facegeom.networks.loaders import load_mesh_network
from facegeom.networks.pix2vertex import Pix2Vertex, Pix2VertexConfig, load_pix2vertex
from facegeom.networks.weights import has_config, load_weights
from facegeom.pipelines import PIPELINES
from facegeom.pipelines.mesh_prediction import predict_mesh
from facegeom.pipelines.noise_removal import NEVER, Denoise, NoiseRemoval
from facegeom.reconstruction import predict


class PredictedFace(Protocol):
    """The face that a predictor found in a photo."""

    @property
    def maps(self) -> FaceMaps:
        """Depth, correspondence and mask in the crop of the face."""

    @property
    def camera(self) -> Camera:
        """Weak-perspective camera from the face frame to pixels of the photo."""

    @property
    def landmarks(self) -> FloatArray:
        """The 68 landmarks, (68, 3) float array, mm in the face frame."""


class Predictor(Protocol):
    """A function that reconstructs the face of a photo."""

    def __call__(self, image: ByteArray, *, box: Box | None = None) -> PredictedFace:
        """Return the face of a photo.

        Parameters
        ----------
        image : (h, w, 3) uint8 array, RGB
        box : x0, y0, x1, y1 of the face in pixels; None: the predictor detects the face

        Raises
        ------
        NoFaceFound
            If no face is found.
        """


def load_network(weights: str | None = None, device: str = "cpu") -> FaceVision | Pix2Vertex:
    """Return a network that predicts maps.

    Parameters
    ----------
    weights : path of a weight file of a FaceVision or pix2vertex network; None: the FaceVision weights of the package
    device : device of the network, such as "cpu" or "cuda"

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or if its configuration does not match.
    """
    if weights is None:
        return load_facevision(device)
    if has_config(weights, Pix2VertexConfig):
        return load_pix2vertex(weights, device)
    config, state = load_weights("facevision", FaceVisionConfig, weights)
    generator = FaceVisionGenerator(config)
    generator.load_state_dict(state)
    return FaceVision(generator, device)


def facegeom_predictor(network: FaceVision | Pix2Vertex, pipeline: str, removal: NoiseRemoval = NEVER) -> Predictor:
    """Return the predictor of a pipeline whose network predicts maps.

    Parameters
    ----------
    network : FaceVision or Pix2Vertex
    pipeline : "facevision": evaluate the maps of the network; "pix2vertex": evaluate the maps of the template after
        its registration to the maps of the network
    removal : whether the networks see the photo without noise
    """
    from facegeom.measures.registered import predict_registered

    def predictor(image: ByteArray, *, box: Box | None = None) -> PredictedFace:
        if pipeline == "pix2vertex":
            return predict_registered(image, network, box=box, removal=removal)
        return predict(image, box=box, network=network, denoise=removal.denoise)

    return predictor


def chosen_predictor(args: argparse.Namespace, denoise: Denoise = "auto") -> Predictor:
    """Return the predictor that the options `--pipeline`, `--weights` and `--device` select.

    Parameters
    ----------
    args : the parsed arguments
    denoise : as in `facegeom.reconstruct`

    Raises
    ------
    WeightsError
        If the weights cannot be loaded.
    """
    removal = NoiseRemoval(denoise, args.device)
    if args.pipeline not in MESH_PIPELINES:
        return facegeom_predictor(load_network(args.weights, args.device), args.pipeline, removal)
    network = load_mesh_network(args.pipeline, args.device, args.weights)

    def predictor(image: ByteArray, *, box: Box | None = None) -> PredictedFace:
        return predict_mesh(image, network, box, args.device, removal=removal)

    return predictor


MAP_PIPELINES = tuple(name for name in PIPELINES if name not in MESH_PIPELINES)
"""The pipelines whose network predicts maps."""


def add_common_arguments(parser: argparse.ArgumentParser, pipelines: tuple[str, ...] = tuple(PIPELINES)) -> None:
    """Add the options that most benchmarks share to a parser; `pipelines` are the choices of `--pipeline`."""
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="weight file of the evaluated network: of the mesh network for pixel2mesh and gcn_igan, of a network that "
        "predicts maps for the other pipelines (default: the weights of the package; facevision predicts the maps)",
    )
    parser.add_argument(
        "--pipeline",
        choices=pipelines,
        default=pipelines[0],
        help="pipeline to evaluate; with pix2vertex, the maps of the registered template are evaluated, with "
        "facevision the maps of the network (default: %(default)s)",
    )
    parser.add_argument(
        "--device", default="cpu", help="device of the network: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")
    parser.add_argument("--out", metavar="DIR", help="write pictures of the results to this folder")


def projected_landmarks(face: PredictedFace) -> FloatArray:
    """Return the 68 landmarks projected to the photo, (68, 2) float array, pixels."""
    return face.camera.project(face.landmarks)


def mean_face_in_box(model: FaceModel, box: npt.ArrayLike) -> Camera:
    """Return the frontal camera that fits the mean face into a box.

    Parameters
    ----------
    model : FaceModel
    box : (4,) float array, x0, y0, x1, y1 in pixels of the photo

    Returns
    -------
    Camera
        The bounding box of the projected 68 points has the same centre and the same mean side length as `box`.
    """
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    points = model.mean[model.landmarks68, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    scale = float(((x1 - x0) + (y1 - y0)) / (high - low).sum())
    middle = 0.5 * (low + high)
    return Camera(np.eye(3), scale, np.array([0.5 * (x0 + x1), 0.5 * (y0 + y1)]) - scale * middle * (1, -1))


def mean_face_landmarks(model: FaceModel, box: npt.ArrayLike) -> FloatArray:
    """Return the 68 points of the mean face, projected by the camera of `mean_face_in_box`, (68, 2), pixels."""
    return mean_face_in_box(model, box).project(model.mean[model.landmarks68])


def model_depth(model: FaceModel, vertices: FloatArray, camera: Camera, shape: tuple[int, int]) -> FloatArray:
    """Return the depth map of a mesh with the topology of the face model.

    Parameters
    ----------
    model : FaceModel
    vertices : (n, 3) float array, mm in the face frame
    camera : Camera, face frame to pixels of the photo
    shape : (h, w) of the photo

    Returns
    -------
    (h, w) float array
        Depth in mm in the camera frame; NaN where the region "map" of the model is not visible.
    """
    placed = np.column_stack([camera.project(vertices), camera.view(vertices)[:, 2]])
    in_map = np.asarray(model.regions["map"][model.faces].all(axis=1))  # other triangles are occluders only
    raster = rasterize(placed, model.faces, None, shape)
    visible = (raster.triangle >= 0) & in_map[raster.triangle]
    return np.where(visible, raster.depth, np.nan)
