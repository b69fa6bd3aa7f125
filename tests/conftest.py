"""Fixtures: a photo of the mean face whose colours are its correspondence, and a network that reads them back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from facegeom import load_face_model
from facegeom.geometry import rasterize
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
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
        monkeypatch.setattr("facegeom.pipelines.map_prediction.load_network", lambda device: network)
        return network

    return install


PHOTO = 160  # side of the photos that trainings are tested on, pixels


@pytest.fixture(scope="session")
def labels() -> Any:
    """Fits of random frontal faces: 543 in the test, 300 in the validation and 17 in the training set."""
    from facegeom.training.data.labels import Labels

    count, model = 860, load_face_model()
    rng = np.random.default_rng(0)
    return Labels(
        np.array([f"Person_{i:03d}_0001.jpg" for i in range(count)]),
        rng.normal(0, 0.5, (count, 60)).astype(np.float16),
        np.zeros((count, len(model.expression)), np.float16),
        np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)),
        np.full(count, 0.55, np.float32),
        np.tile(np.array([80.0, 70.0], np.float32), (count, 1)),
        np.zeros(count, np.int8),
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, labels: Any) -> Path:
    """A folder of the photos that `labels` names, all of them one texture."""
    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    encoded = cv2.imencode(".jpg", cv2.resize(noise, (PHOTO, PHOTO), interpolation=cv2.INTER_CUBIC))[1].tobytes()
    for name in labels.names:
        (folder / str(name)).write_bytes(encoded)
    return folder


@pytest.fixture(scope="session")
def samples(labels: Any, folder: Path) -> Any:
    """Samples of four of them."""
    from facegeom.training.data.samples import FaceSamples, PhotoStore

    rows = np.arange(4)
    store = PhotoStore({str(n): folder / str(n) for n in labels.names[rows]}, labels.names[rows])
    return FaceSamples(load_face_model(), store, labels, rows)


@pytest.fixture(scope="session")
def texture() -> Any:
    """A texture model of random colours."""
    from facegeom.training.data.texture_model import TextureModel

    model, rng = load_face_model(), np.random.default_rng(0)
    mean = np.clip(150 + model.mean * [0.5, 0.3, 0.2], 20, 235).astype(np.float32)
    components = np.repeat(rng.normal(0, 8, (5, len(mean), 1)), 3, axis=2).astype(np.float32)
    deviations = np.sqrt((components**2).mean((1, 2)))
    backgrounds = rng.integers(0, 255, (6, 48, 48, 3), dtype=np.uint8)
    return TextureModel(mean, components, deviations, backgrounds)
