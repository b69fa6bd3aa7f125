"""Pipeline gcn_igan: a graph network deforms a semi-sphere in four blocks, by the photo and its 68 landmarks.

Fathallah et al. 2024. The landmarks are those of FaceVision-GAN's maps. The network is `facegeom.networks.gcn_igan`;
what pixel2mesh and gcn_igan share is in `mesh_prediction` and `semi_sphere`.
"""

from __future__ import annotations

from facegeom._internal.arrays import ByteArray
from facegeom.pipelines.interface import FaceRequest
from facegeom.pipelines.mesh_prediction import MeshPrediction, mesh_network, predict_mesh
from facegeom.pipelines.semi_sphere import run

__all__ = ["predict", "run"]


def predict(photo: ByteArray, request: FaceRequest) -> MeshPrediction:
    """Return the four meshes of the network, with the face model fitted to the finest."""
    network = mesh_network("gcn_igan", request.device)
    return predict_mesh(photo, network, request.box, request.device, request.face_index)
