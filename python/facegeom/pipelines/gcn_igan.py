"""Pipeline gcn_igan: a graph network deforms a semi-sphere in four blocks, from the photo and its 68 landmarks.

Fathallah et al. 2024. The landmarks come from the maps of FaceVision-GAN. The network is `facegeom.networks.gcn_igan`;
the code that pixel2mesh and gcn_igan share is in `mesh_prediction` and `semi_sphere`.
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
    return requested_mesh(photo, mesh_network("gcn_igan", request.device, request.backend), request)


def predict_all(photo: ByteArray, request: FaceRequest) -> list[MeshPrediction]:
    """Predict the meshes of all faces, as `predict`; none where nothing is detected."""
    return all_meshes(photo, mesh_network("gcn_igan", request.device, request.backend), request)
