"""The interface of networks that deform the semi-sphere, and their loader."""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend
from facegeom.networks.map_network import check_crops

MESH_PIPELINES = ("pixel2mesh", "gcn_igan")
"""Names of the networks that deform the semi-sphere; each is also the name of its pipeline."""

LANDMARKS = 68  # number of landmarks


class MeshNetwork(Protocol):
    """A trained network that predicts face meshes from crops.

    Attributes
    ----------
    name : one of `MESH_PIPELINES`
    size : side length S of the crops in pixels
    needs_landmarks : whether `predict` needs landmarks

    Notes
    -----
    The side of a crop is 1.1 times the longer side of the face's bounding box. In the crop frame this side has length
    2: x to the right of the image, y up, z towards the camera, z = 0 at the mean depth of the face's surface. Column c
    and row r of a crop are at x = (2 c + 1) / S - 1, y = 1 - (2 r + 1) / S.
    """

    name: str
    size: int
    needs_landmarks: bool

    def predict(self, crops: ByteArray, landmarks: npt.NDArray[np.floating] | None = None) -> list[Float32Array]:
        """Predict the mesh after each of the four deformations.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array
        landmarks : (b, 68, 3) float array in the crop frame if `needs_landmarks`, else None

        Returns
        -------
        list of four (b, n, 3) float32 arrays
            Vertices in the crop frame; the triangles are those of `semi_sphere().levels`.

        Raises
        ------
        ValueError
            If an array has another shape or type.
        """


def load_mesh_network(
    name: str, device: str = "cpu", weights: str | os.PathLike[str] | None = None, backend: str = DEFAULT_BACKEND
) -> MeshNetwork:
    """Load a trained network that deforms the semi-sphere.

    Parameters
    ----------
    name : one of `MESH_PIPELINES`
    device : "cpu", "cuda", "cuda:1" or "mps"
    weights : path of a weight file, or None for the file in the package
    backend : "torch" or "onnx"

    Raises
    ------
    ValueError
        If the name is unknown or the device is not available.
    FacegeomError
        If the backend is not installed.
    WeightsError
        If the file is missing, damaged or has another configuration.
    """
    check.choice(name, "name", MESH_PIPELINES)
    check_backend(backend, device)
    from facegeom.networks.devices import check_device
    from facegeom.networks.gcn_igan import GcnIganConfig, GcnIganGenerator
    from facegeom.networks.pixel2mesh import Pixel2MeshConfig, Pixel2MeshNetwork
    from facegeom.networks.semi_sphere_network import SemiSphereNetwork, SemiSpherePredictor
    from facegeom.networks.weights import load_state, load_weights

    check_device(device)
    network: SemiSphereNetwork
    with one_thread():  # after the import of torch
        if name == "pixel2mesh":
            config, state = load_weights(name, Pixel2MeshConfig, weights)
            network = Pixel2MeshNetwork(config)
        else:
            settings, state = load_weights(name, GcnIganConfig, weights)
            network = GcnIganGenerator(settings)
        load_state(network, name, state)
        return SemiSpherePredictor(name, network, device)


def check_mesh_input(
    network: MeshNetwork, crops: ByteArray, landmarks: npt.NDArray[np.floating] | None
) -> Float32Array | None:
    """Check the arguments of `MeshNetwork.predict`; return the landmarks, float32, or None.

    Raises
    ------
    ValueError
        If an array has another shape or type, or landmarks are missing or not wanted.
    """
    check_crops(crops, network.size)
    if not network.needs_landmarks:
        if landmarks is not None:
            raise ValueError(f"{network.name} takes no landmarks")
        return None
    if landmarks is None:
        raise ValueError(f"{network.name} needs landmarks")
    return check.float_array(landmarks, "landmarks", (len(crops), LANDMARKS, 3)).astype(np.float32)
