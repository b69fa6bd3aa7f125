"""Pipeline pixel2mesh: a graph network deforms a semi-sphere in four blocks, by the photo alone.

Liu et al., Pixel2Mesh for 3D Face Reconstruction. The network is `facegeom.networks.pixel2mesh`; what pixel2mesh and
gcn_igan share is in `mesh_prediction` and `semi_sphere`.
"""

from __future__ import annotations

from facegeom._internal.arrays import ByteArray
from facegeom.pipelines.interface import FaceRequest
from facegeom.pipelines.mesh_prediction import MeshPrediction, mesh_network, predict_mesh
from facegeom.pipelines.semi_sphere import run

__all__ = ["predict", "run"]


def predict(photo: ByteArray, request: FaceRequest) -> MeshPrediction:
    """Return the four meshes of the network, with the face model fitted to the finest."""
    network = mesh_network("pixel2mesh", request.device)
    return predict_mesh(photo, network, request.box, request.device, request.face_index)
