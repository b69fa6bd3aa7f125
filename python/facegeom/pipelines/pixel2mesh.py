"""Pipeline pixel2mesh: a graph network deforms a semi-sphere in four blocks, from the photo alone.

Liu et al., Pixel2Mesh for 3D Face Reconstruction. The network is `facegeom.networks.pixel2mesh`; the code that
pixel2mesh and gcn_igan share is in `mesh_prediction` and `semi_sphere`.
"""

from __future__ import annotations

from facegeom._internal.arrays import ByteArray
from facegeom.pipelines.interface import FaceRequest
from facegeom.pipelines.mesh_prediction import MeshPrediction, mesh_network
from facegeom.pipelines.requests import all_meshes, requested_mesh
from facegeom.pipelines.semi_sphere import run

__all__ = ["predict", "predict_all", "run"]


def predict(photo: ByteArray, request: FaceRequest) -> MeshPrediction:
    """Predict the four meshes of the requested face, and fit the face model to the finest mesh."""
    return requested_mesh(photo, mesh_network("pixel2mesh", request.device, request.backend), request)


def predict_all(photo: ByteArray, request: FaceRequest) -> list[MeshPrediction]:
    """Predict the meshes of all faces, as `predict`; none where nothing is detected."""
    return all_meshes(photo, mesh_network("pixel2mesh", request.device, request.backend), request)
