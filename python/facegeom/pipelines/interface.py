"""The common interface of the pipelines: arguments and results.

A pipeline is a module with three functions. `predict(photo, request) -> Prediction` runs the networks on one face of a
photo, `predict_all(photo, request)` on all of its faces. `run(photo, prediction, options) -> Stages` makes the meshes
from a prediction, stage by stage. The table of pipelines is `facegeom.pipelines.PIPELINES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom.detection import Detector
from facegeom.face_model.point_fit import Fit
from facegeom.images.boxes import Box, Detection
from facegeom.images.camera import Camera
from facegeom.images.face_maps import FaceMaps
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import IdentityPredictor
from facegeom.pipelines.noise_removal import Denoise, NoiseRemoval


@dataclass(frozen=True)
class FaceRequest:
    """The face of a photo to reconstruct, and where the networks run. The caller has validated the values."""

    box: Box | None = None  # box of the face or of its 68 landmarks, pixels of the photo; None: detect faces
    face_index: int = 0  # index of the face among the accepted ones
    device: str = "cpu"  # device of the networks: "cpu", "cuda", "cuda:1", "mps"; with backend "onnx" only "cpu"
    backend: str = DEFAULT_BACKEND  # library in which the networks run: "torch" or "onnx"
    detector: Detector = "yunet"  # the detector of the faces
    min_face: float | None = None  # side length of the smallest detected face, pixels; None: as in `facegeom.detect`
    identity: IdentityPredictor | None = None  # the identity network; None: the one that comes with facegeom
    denoise: Denoise = False  # whether the networks see the photo without noise; "auto": if it is noisy

    @property
    def removal(self) -> NoiseRemoval:
        """The removal of noise, on the device of the other networks."""
        return NoiseRemoval(self.denoise, self.device, self.backend)


@dataclass(frozen=True)
class PipelineOptions:
    """Options of the meshes that a pipeline makes. The caller has validated the values."""

    head: bool = False  # True: complete the face to a whole head
    texture: int | None = None  # side length of the square texture in pixels; None: vertex colours only
    backend: str = DEFAULT_BACKEND  # library in which the texture completion network runs: "torch" or "onnx"
    hair: bool = False  # True: raise the scalp of a head to the outline of the hair in the photo
    eyewear: str = "keep"  # "remove": glasses are no part of the colours
    albedo: bool = False  # True: the light on the head is divided out of the colours


class Prediction(Protocol):
    """The prediction of the networks of a pipeline for one face of a photo.

    Attributes
    ----------
    maps : FaceMaps
        Depth, correspondence and mask of the crop.
    camera : Camera
        Projection from the face frame to pixels of the photo.
    landmarks : (68, 3) float array
        Landmarks in the face frame, mm.
    landmarks468 : (468, 3) float array
        The FaceMesh points in the face frame, mm.
    fit : Fit
        The face model fitted to the predicted maps or mesh.
    score : float in [0, 1], plausibility of the face
    detections : detected boxes, best first; empty if the caller gave the box
    timings : dict from step name to milliseconds
    clean : (h, w, 3) uint8 array or None
        The photo without noise around the face, which the networks saw; None if they saw the photo itself.
    """

    @property
    def maps(self) -> FaceMaps: ...
    @property
    def camera(self) -> Camera: ...
    @property
    def landmarks(self) -> FloatArray: ...
    @property
    def landmarks468(self) -> FloatArray: ...
    @property
    def fit(self) -> Fit: ...
    @property
    def score(self) -> float: ...
    @property
    def detections(self) -> tuple[Detection, ...]: ...
    @property
    def timings(self) -> dict[str, float]: ...
    @property
    def clean(self) -> ByteArray | None: ...


@dataclass
class Stages:
    """The mesh after each stage of a pipeline, in order, and the time of each stage in milliseconds.

    Attributes
    ----------
    meshes : dict from name to FaceMesh, all in the face frame
    timings : dict from name to milliseconds
    neutral : the last mesh without the expression; None if the mesh does not have the face model's topology
    weights : the expression of the last mesh as weights of ARKit's blendshapes; None if `neutral` is None
    raised : (n, 3) float array, mm, displacement of the last mesh by hair; None without hair as shape
    """

    meshes: dict[str, FaceMesh] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    neutral: FaceMesh | None = None
    weights: dict[str, float] | None = None
    raised: FloatArray | None = None

    @property
    def final(self) -> FaceMesh:
        """The mesh of the last stage."""
        return self.meshes[next(reversed(self.meshes))]

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the duration of the `with` block in milliseconds to `timings[name]`."""
        with stopwatch(self.timings, name):
            yield


class Pipeline(Protocol):
    """A module of `facegeom.pipelines` that implements a published method."""

    def predict(self, photo: ByteArray, request: FaceRequest) -> Prediction:
        """Return the networks' prediction for the requested face of the (h, w, 3) uint8 photo.

        Raises
        ------
        NoFaceFound
            When the photo does not contain the requested face.
        """

    def predict_all(self, photo: ByteArray, request: FaceRequest) -> Sequence[Prediction]:
        """Return the networks' predictions for all faces, in the order of `face_index`; no element if there is none."""

    def run(self, photo: ByteArray, prediction: Prediction, options: PipelineOptions) -> Stages:
        """Return the meshes of all stages.

        Raises
        ------
        NoFaceFound
            When the prediction shows too little of the face.
        """
