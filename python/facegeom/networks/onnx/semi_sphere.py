"""The networks that deform the semi-sphere in ONNX Runtime; `facegeom.networks.semi_sphere_network` defines them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.threads import load_once, one_thread
from facegeom.networks.interface import MESH_PIPELINES, check_mesh_input
from facegeom.networks.landmark_placement import place_by_landmarks
from facegeom.networks.onnx.session import NetworkSession, as_image
from facegeom.networks.semi_sphere import mean_face, neighbour_rows, semi_sphere


class SemiSpherePredictor:
    """A trained network, ready to predict meshes from crops; see `MeshNetwork`."""

    def __init__(self, name: str, session: NetworkSession) -> None:
        self.name = name
        self._session = session
        self.size: int = session.config["size"]
        self.needs_landmarks: bool = session.config.get("landmarks", False)

    @one_thread()
    def predict(self, crops: ByteArray, landmarks: npt.NDArray[np.floating] | None = None) -> list[Float32Array]:
        """Return the mesh after each deformation, four arrays (b, n, 3), crop frame; see `MeshNetwork.predict`."""
        given = check_mesh_input(self, crops, landmarks)
        inputs = {"image": as_image(crops)}
        if given is not None:
            inputs |= {"landmarks": given, **place_by_landmarks(given)._asdict()}
        return self._session.run(**inputs)


@load_once(maxsize=1)
def mesh_constants() -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the semi-sphere that the graphs need, named like the buffers of the PyTorch modules."""
    sphere = semi_sphere()
    constants: dict[str, npt.NDArray[Any]] = {
        "start": sphere.vertices[:, None].astype(np.float32),
        "mean": mean_face()[:, None].astype(np.float32),
    }
    for number, level in enumerate(sphere.levels):
        rows = neighbour_rows(level)
        constants[f"graphs.{number}.rows"] = rows
        constants[f"graphs.{number}.degree"] = (rows[:, :-1] < level.count).sum(0)[:, None, None].astype(np.float32)
        if number < len(sphere.levels) - 1:
            constants[f"unpoolings.{number}.edges"] = level.edges
            # The position of a new vertex on its edge before a sigmoid; weights with learned positions replace it.
            constants[f"unpoolings.{number}.logit"] = np.zeros(len(level.edges), np.float32)
    return constants


@one_thread()
def load_semi_sphere(name: str, path: str | os.PathLike[str] | None = None) -> SemiSpherePredictor:
    """Load a trained network of `MESH_PIPELINES`, with the weights of the package or of the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file or the graph is missing or damaged, or has another configuration.
    """
    check.choice(name, "name", MESH_PIPELINES)
    return SemiSpherePredictor(name, NetworkSession(name, path, mesh_constants()))
