"""Fixtures: a photo of the mean face whose colours are its correspondence, and a network that reads them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from facegeom import load_face_model
from facegeom.camera import Camera
from facegeom.crop import Box
from facegeom.geometry import rasterize
from facegeom.networks.facevision import NetworkMaps

REACH_MM = 130.0
"""Correspondence from -130 to 130 mm is coded as color values from 0 to 255."""


@dataclass(frozen=True)
class CodedFace:
    """A photo that shows its own answer.

    Attributes
    ----------
    photo : (h, w, 3) uint8, black around the face
    camera : the camera that it was rendered with
    box : of the 68 landmarks
    landmarks : (68, 3) mm, face frame
    """

    photo: npt.NDArray[np.uint8]
    camera: Camera
    box: Box
    landmarks: npt.NDArray[np.float64]


class CodedNetwork:
    """Reads depth and correspondence from the colours of a `CodedFace`."""

    def __init__(self, camera: Camera, size: int = 128) -> None:
        self.size = size
        self.camera = camera
        self.calls: list[tuple[int, bool]] = []

    def predict(self, crops: npt.NDArray[np.uint8], *, mirror: bool = True) -> NetworkMaps:
        self.calls.append((len(crops), mirror))
        correspondence = (crops.astype(np.float32) / 255.0 * 2.0 - 1.0) * REACH_MM
        depth = correspondence @ self.camera.rotation[2].astype(np.float32)
        mask = [
            cv2.erode(cv2.medianBlur((crop.max(axis=2) > 60).astype(np.uint8), 3), np.ones((3, 3), np.uint8))
            for crop in crops
        ]
        return NetworkMaps(depth, correspondence, 0.98 * np.array(mask, np.float32) + 0.01)


def draw_coded_face(
    yaw: float = 0.0, size: int = 400, scale: float = 1.4, shift: tuple[float, float] = (0, 0)
) -> CodedFace:
    """Render the mean face, turned to its left by `yaw` degrees."""
    model = load_face_model()
    y = np.radians(yaw)
    rotation = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    camera = Camera(rotation, scale, (size / 2 + shift[0], 0.42 * size + shift[1]))
    points = np.column_stack([camera.project(model.mean), camera.view(model.mean)[:, 2]])
    raster = rasterize(points, model.faces, model.mean, (size, size))
    shown = (raster.triangle >= 0) & model.regions["map"][model.faces].all(axis=1)[raster.triangle]
    photo = np.zeros((size, size, 3), np.uint8)
    coded = (raster.attributes[shown] / REACH_MM + 1.0) / 2.0 * 255.0
    photo[shown] = np.clip(np.rint(coded), 0, 255).astype(np.uint8)
    landmarks = model.mean[model.landmarks68]
    pixels = camera.project(landmarks)
    (x0, y0), (x1, y1) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    return CodedFace(photo, camera, (x0, y0, x1, y1), landmarks)


@pytest.fixture(scope="session")
def draw_face() -> Any:
    """Return `draw_coded_face`."""
    return draw_coded_face


@pytest.fixture(scope="session")
def coded_face() -> CodedFace:
    """A frontal coded face."""
    return draw_coded_face()


@pytest.fixture(scope="session")
def turned_coded_face() -> CodedFace:
    """A coded face turned by 50 degrees."""
    return draw_coded_face(yaw=50.0, shift=(20, -10))


@pytest.fixture
def coded_network(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install and return a function that puts a `CodedNetwork` in the place of the shipped network."""

    def install(face: CodedFace) -> CodedNetwork:
        network = CodedNetwork(face.camera)
        monkeypatch.setattr("facegeom.prediction.load_network", lambda device: network)
        return network

    return install
