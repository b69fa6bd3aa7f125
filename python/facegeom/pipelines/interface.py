"""What every pipeline receives and returns.

A pipeline is a module with two functions. `predict(photo, request) -> Prediction` runs the networks on one face of a
photo. `run(photo, prediction, options) -> Stages` turns the prediction into meshes, step by step. The table of
pipelines is `facegeom.pipelines.PIPELINES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom.face_model.fitting import Fit
from facegeom.images.boxes import Box, Detection
from facegeom.images.camera import Camera
from facegeom.images.face_maps import FaceMaps
from facegeom.mesh.face_mesh import FaceMesh


@dataclass(frozen=True)
class FaceRequest:
    """Which face of a photo is reconstructed, and where the networks run. The values are checked already."""

    box: Box | None = None  # box of the 68 landmarks or of the face, pixels of the photo; None: detect faces
    face_index: int = 0  # index of the face among the detected ones; 0: the best
    device: str = "cpu"  # "cpu", "cuda", "cuda:1", "mps"


@dataclass(frozen=True)
class PipelineOptions:
    """What a pipeline makes of a prediction. The values are checked already."""

    head: bool = False  # complete the face to a whole head
    texture: int | None = None  # side of the texture in pixels; None: vertex colours only


class Prediction(Protocol):
    """What the networks of a pipeline predict for one face of a photo.

    Attributes
    ----------
    maps : FaceMaps
    camera : Camera
        Face frame -> pixels of the photo.
    landmarks : (68, 3) float array
        Millimetres, in the face frame.
    fit : Fit
        The face model fitted to the predicted maps or mesh.
    score : float in [0, 1], the plausibility of the face
    detections : the detected boxes, best first; empty when the box was given
    timings : milliseconds of each step
    """

    @property
    def maps(self) -> FaceMaps: ...
    @property
    def camera(self) -> Camera: ...
    @property
    def landmarks(self) -> FloatArray: ...
    @property
    def fit(self) -> Fit: ...
    @property
    def score(self) -> float: ...
    @property
    def detections(self) -> tuple[Detection, ...]: ...
    @property
    def timings(self) -> dict[str, float]: ...


@dataclass
class Stages:
    """The mesh after each step of a pipeline, in order, and the milliseconds that each step took.

    Attributes
    ----------
    meshes : dict from name to FaceMesh, all in the face frame
    timings : dict from name to milliseconds
    neutral : the last mesh without the expression; None where the mesh does not have the face model's topology
    """

    meshes: dict[str, FaceMesh] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    neutral: FaceMesh | None = None

    @property
    def final(self) -> FaceMesh:
        """The mesh of the last step."""
        return self.meshes[next(reversed(self.meshes))]

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to `timings[name]`."""
        with stopwatch(self.timings, name):
            yield


class Pipeline(Protocol):
    """A module of `facegeom.pipelines` that implements a published method."""

    def predict(self, photo: ByteArray, request: FaceRequest) -> Prediction:
        """Return the networks' prediction for the requested face of the (h, w, 3) uint8 photo.

        Raises
        ------
        NoFaceFound
            When the photo has no such face.
        """

    def run(self, photo: ByteArray, prediction: Prediction, options: PipelineOptions) -> Stages:
        """Return the meshes, step by step.

        Raises
        ------
        NoFaceFound
            When the prediction shows too little of the face.
        """
