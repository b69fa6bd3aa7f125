"""Predictions for a `FaceRequest`: of one face or of all faces, by the map network or by a mesh network."""

from __future__ import annotations

from facegeom._internal.arrays import ByteArray
from facegeom.networks.interface import MeshNetwork
from facegeom.pipelines.interface import FaceRequest
from facegeom.pipelines.map_prediction import MapPrediction, predict_all_maps, predict_maps
from facegeom.pipelines.mesh_prediction import MeshPrediction, predict_all_meshes, predict_mesh


def requested_maps(photo: ByteArray, request: FaceRequest) -> MapPrediction:
    """Predict the maps of the requested face with FaceVision-GAN."""
    return predict_maps(
        photo,
        request.box,
        request.device,
        request.face_index,
        detector=request.detector,
        min_face=request.min_face,
        backend=request.backend,
        identity=request.identity,
        removal=request.removal,
    )


def all_maps(photo: ByteArray, request: FaceRequest) -> list[MapPrediction]:
    """Predict the maps of all faces, as `requested_maps`."""
    return predict_all_maps(
        photo,
        request.device,
        detector=request.detector,
        min_face=request.min_face,
        backend=request.backend,
        identity=request.identity,
        removal=request.removal,
    )


def requested_mesh(photo: ByteArray, network: MeshNetwork, request: FaceRequest) -> MeshPrediction:
    """Predict the four meshes of the requested face and fit the face model to the finest."""
    return predict_mesh(
        photo,
        network,
        request.box,
        request.device,
        request.face_index,
        detector=request.detector,
        min_face=request.min_face,
        backend=request.backend,
        removal=request.removal,
    )


def all_meshes(photo: ByteArray, network: MeshNetwork, request: FaceRequest) -> list[MeshPrediction]:
    """Predict the meshes of all faces, as `requested_mesh`; none where nothing is detected."""
    return predict_all_meshes(
        photo,
        network,
        request.device,
        detector=request.detector,
        min_face=request.min_face,
        backend=request.backend,
        removal=request.removal,
    )
