"""The interface of networks that predict maps from crops, and the loader of the network that comes with facegeom."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend

MAP_UNIT_MM = 100.0  # unit of the maps inside the networks, mm


class NetworkMaps(NamedTuple):
    """Maps that a network predicts for b crops, as arrays in mm.

    Attributes
    ----------
    depth : (b, S, S) float32 array, mm in the camera frame
    correspondence : (b, S, S, 3) float32 array, mm: the position of each pixel on the mean face
    mask_probability : (b, S, S) float32 array, probability that a pixel shows the face
    position : (b, S, S, 2) float32 array or None
        x to the right and y up in the camera frame, mm from the face's origin. None if the network does not predict it.
    """

    depth: Float32Array
    correspondence: Float32Array
    mask_probability: Float32Array
    position: Float32Array | None = None


class MapNetwork(Protocol):
    """A network that predicts depth, correspondence and mask of crops, such as `networks.facevision.FaceVision`.

    Attributes
    ----------
    size : side length S of the crops in pixels
    """

    size: int

    def predict(self, crops: ByteArray, *, mirror: bool = True) -> NetworkMaps:
        """Predict the maps of crops.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array
        mirror : True: average with the maps of the mirrored crop, mirrored back

        Raises
        ------
        ValueError
            When the crops have another shape or type.
        """


def load_map_network(device: str = "cpu", backend: str = DEFAULT_BACKEND) -> MapNetwork:
    """Load FaceVision-GAN, the map network that comes with facegeom.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1" or "mps"
    backend : "torch" or "onnx"

    Raises
    ------
    ValueError
        When the device is not available, or the backend does not support it.
    FacegeomError
        When the backend is not installed.
    WeightsError
        When the weight file is missing or damaged, or has another configuration.
    """
    check_backend(backend, device)
    from facegeom.networks.facevision import load_facevision

    return load_facevision(device)


def check_crops(crops: ByteArray, size: int) -> None:
    """Check that crops are a uint8 array of shape (any, `size`, `size`, 3).

    Raises
    ------
    ValueError
        When they are not.
    """
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise ValueError(f"crops must be uint8 of shape (any, {size}, {size}, 3), got {crops.dtype} {crops.shape}")
