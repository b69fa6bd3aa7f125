"""Fixtures of several test files: coded photos, fake networks, and data for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from coded_photos import HAIR, SKIN, CodedFace, CodedNetwork, draw_coded_face
from facegeom import load_face_model
from facegeom.detection.found_face import FoundFace
from facegeom.images.crop import warp_image
from facegeom.networks import segmentation_crop
from facegeom.networks.segmentation_crop import CLASSES, head_affine
from facegeom.pipelines import pix2vertex
from facegeom.pipelines.interface import PipelineOptions
from facegeom.reconstruction import predict
from facegeom.texture.head_classes import HeadClasses
from mesh_oracle import OracleMeshNetwork


@pytest.fixture(scope="session")
def draw_face() -> Any:
    """The function `draw_coded_face`."""
    return draw_coded_face


@pytest.fixture(scope="session")
def coded_face() -> CodedFace:
    """A frontal coded face."""
    return draw_coded_face()


@pytest.fixture(scope="session")
def turned_coded_face() -> CodedFace:
    """A coded face turned by 50 degrees."""
    return draw_coded_face(yaw=50.0, shift=(20, -10))


class AllSkin:
    """A segmentation network that finds skin in every pixel."""

    size = 128

    def predict(self, crops: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, (b, S, S, 7)."""
        probability = np.zeros((*crops.shape[:3], len(CLASSES)), np.float32)
        probability[..., segmentation_crop.SKIN] = 1
        return probability


@pytest.fixture
def coded_network(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that replaces the shipped maps network by a `CodedNetwork` and returns it.

    The identity and the contour network, which would read a shape from the colours, are left out. The whole picture
    counts as skin: to the segmentation network, coded colours are no face.
    """

    def install(face: CodedFace) -> CodedNetwork:
        network = CodedNetwork(face.camera)
        for name in ("identity_network", "contour_network"):
            monkeypatch.setattr(f"facegeom.pipelines.map_prediction.{name}", lambda device, backend: None)
        monkeypatch.setattr("facegeom.pipelines.map_prediction.load_network", lambda device, backend: network)
        monkeypatch.setattr("facegeom.texture.head_classes.segmentation_network", lambda backend: AllSkin())
        return network

    return install


@pytest.fixture
def mesh_oracle(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that replaces the shipped mesh networks by an `OracleMeshNetwork` and returns it."""

    def install(face: CodedFace, **options: Any) -> OracleMeshNetwork:
        network = OracleMeshNetwork(face, **options)
        for pipeline in ("pixel2mesh", "gcn_igan"):
            monkeypatch.setattr(f"facegeom.pipelines.{pipeline}.mesh_network", lambda name, device, backend: network)
        return network

    return install


@pytest.fixture
def detections(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that replaces the results of the detector by given boxes."""

    def install(boxes: list[Any]) -> None:
        faces = [FoundFace.of_box(box[:4], box[4]) for box in boxes]
        monkeypatch.setattr("facegeom.detection.detector.find_faces", lambda photo, **options: faces)

    return install


@pytest.fixture
def plain_person(draw_face: Any, coded_network: Any) -> Any:
    """A person with skin and hair of one colour each, turned by 50 degrees: photo, prediction, vertices of the head."""
    face = draw_face(50.0)
    coded_network(face)
    prediction = predict(face.photo, face.box)
    photo = np.where(face.photo.max(axis=2, keepdims=True) > 60, np.uint8(SKIN), np.uint8(HAIR))
    V = pix2vertex.run(photo, prediction, PipelineOptions(head=True)).final.vertices
    return photo, prediction, V


@pytest.fixture
def plain_classes() -> Any:
    """A function (photo, camera) -> HeadClasses of a photo of `plain_person`: skin and hair by colour."""

    def classes(photo: Any, camera: Any) -> HeadClasses:
        affine = head_affine(camera.rotation, camera.scale, camera.translation, 128)
        image = warp_image(photo, affine, 128)
        near_skin = np.abs(image.astype(int) - SKIN).sum(axis=2) < np.abs(image.astype(int) - HAIR).sum(axis=2)
        inside = warp_image(np.full_like(photo, 255), affine, 128)[..., 0] > 127
        kind = np.where(near_skin, segmentation_crop.SKIN, segmentation_crop.HEAD_HAIR)
        kind = np.where(inside, kind, segmentation_crop.BACKGROUND)
        return HeadClasses(image, np.eye(len(CLASSES), dtype=np.float32)[kind], affine)

    return classes


PHOTO = 160  # width and height in pixels of the photos in the tests of training


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
    """A folder with the photos of `labels`, which all show the same noise."""
    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    encoded = cv2.imencode(".jpg", cv2.resize(noise, (PHOTO, PHOTO), interpolation=cv2.INTER_CUBIC))[1].tobytes()
    for name in labels.names:
        (folder / str(name)).write_bytes(encoded)
    return folder


@pytest.fixture(scope="session")
def samples(labels: Any, folder: Path) -> Any:
    """Samples of the first four photos of `labels`."""
    from facegeom.training.data.samples import FaceSamples, PhotoStore

    rows = np.arange(4)
    store = PhotoStore({str(n): folder / str(n) for n in labels.names[rows]}, labels.names[rows])
    return FaceSamples(load_face_model(), store, labels, rows)


@pytest.fixture(scope="session")
def texture() -> Any:
    """A texture model with random components and backgrounds."""
    from facegeom.training.data.texture_model import TextureModel

    model, rng = load_face_model(), np.random.default_rng(0)
    mean = np.clip(150 + model.mean * [0.5, 0.3, 0.2], 20, 235).astype(np.float32)
    components = np.repeat(rng.normal(0, 8, (5, len(mean), 1)), 3, axis=2).astype(np.float32)
    deviations = np.sqrt((components**2).mean((1, 2)))
    backgrounds = rng.integers(0, 255, (6, 48, 48, 3), dtype=np.uint8)
    return TextureModel(mean, components, deviations, backgrounds)
