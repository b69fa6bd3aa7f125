"""Photos of the mean face whose colours encode the correspondence, and a fake network that decodes them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facegeom import load_face_model
from facegeom.geometry import rasterize
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.networks.interface import NetworkMaps

REACH_MM = 130.0
"""Coordinates from -130 to 130 mm are encoded as colour values from 0 to 255."""

SKIN, HAIR = (200, 150, 120), (40, 30, 20)
"""The two colours of the photo of the fixture `plain_person`."""


@dataclass(frozen=True)
class CodedFace:
    """A photo of the mean face whose colours encode the correspondence, and its true camera and landmarks.

    Attributes
    ----------
    photo : (h, w, 3) uint8 array, black around the face
    camera : camera of the rendering
    box : box of the 68 landmarks in pixels of the photo
    landmarks : (68, 3) float array, mm in the face frame
    """

    photo: npt.NDArray[np.uint8]
    camera: Camera
    box: Box
    landmarks: npt.NDArray[np.float64]


class CodedNetwork:
    """A fake of the maps network: decodes depth and correspondence from the colours of a `CodedFace`.

    Attributes
    ----------
    calls : list of (number of crops, mirror), one for each call of `predict`
    """

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
    yaw: float = 0.0,
    size: int = 400,
    scale: float = 1.4,
    shift: tuple[float, float] = (0, 0),
    pitch: float = 0.0,
    roll: float = 0.0,
) -> CodedFace:
    """Render the mean face, turned to its left by `yaw`, up by `pitch` and counter-clockwise by `roll` degrees.

    Parameters
    ----------
    yaw, pitch, roll : degrees
    size : width and height of the photo in pixels
    scale : pixels per mm
    shift : of the face in the photo, pixels
    """
    model = load_face_model()
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    lift = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    roll_left = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    rotation = roll_left @ lift @ turn
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


def decode(colors: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return the correspondence in mm of colours (..., 3) in [0, 255]."""
    return np.asarray((colors / 255.0 * 2.0 - 1.0) * REACH_MM)


def degrees_between(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Return the angle in degrees between two rotations (3, 3)."""
    return float(np.degrees(np.arccos(np.clip((np.trace(first @ second.T) - 1) / 2, -1, 1))))
