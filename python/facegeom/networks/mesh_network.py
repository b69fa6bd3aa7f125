"""What networks that deform the semi-sphere have in common: the interface, and loading them by name."""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array

MESH_PIPELINES = ("pixel2mesh", "gcn_igan")
"""The networks that deform the semi-sphere, each the pipeline of that name."""


class MeshNetwork(Protocol):
    """A trained network that makes meshes of crops.

    Attributes
    ----------
    name : of `MESH_PIPELINES`
    size : side S of the crops in pixels
    needs_landmarks : whether `predict` must be given landmarks

    Notes
    -----
    Crops have 1.1 times the longer side of the face's own box. In the crop frame their side is 2: x to the image's
    right, y up, z to the camera, from the mean depth of the face's surface; column c and row r of a crop lie at
    x = (2 c + 1) / S - 1, y = 1 - (2 r + 1) / S.
    """

    name: str
    size: int
    needs_landmarks: bool

    def predict(self, crops: ByteArray, landmarks: npt.NDArray[np.floating] | None = None) -> list[Float32Array]:
        """Return the mesh after each of the four deformations.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array
        landmarks : (b, 68, 3) float array in the crop frame, for a network that needs them; None for others

        Returns
        -------
        list of four (b, n, 3) float32 arrays
            In the crop frame; triangles as in `semi_sphere().levels`.

        Raises
        ------
        ValueError
            When an array is of another shape or kind.
        """


def load_mesh_network(name: str, device: str = "cpu", weights: str | os.PathLike[str] | None = None) -> MeshNetwork:
    """Return a trained network.

    Parameters
    ----------
    name : of `MESH_PIPELINES`
    device : where it runs: cpu, cuda, cuda:1, mps
    weights : file of weights; None: that in the package

    Raises
    ------
    WeightsError
        When the file is missing, damaged or of another configuration.
    """
    from facegeom.networks.devices import check_device
    from facegeom.networks.gcn_igan import GcnIganConfig, GcnIganGenerator
    from facegeom.networks.pixel2mesh import Pixel2MeshConfig, Pixel2MeshNetwork
    from facegeom.networks.semi_sphere_network import SemiSphereNetwork, SemiSpherePredictor
    from facegeom.networks.weights import fill, load_weights

    check.choice(name, "name", MESH_PIPELINES)
    check_device(device)
    network: SemiSphereNetwork
    if name == "pixel2mesh":
        config, state = load_weights(name, Pixel2MeshConfig, weights)
        network = Pixel2MeshNetwork(config)
    else:
        settings, state = load_weights(name, GcnIganConfig, weights)
        network = GcnIganGenerator(settings)
    fill(network, name, state)
    return SemiSpherePredictor(name, network, device)
