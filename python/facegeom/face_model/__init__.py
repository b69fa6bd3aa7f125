"""The statistical face model, and the functions that fit the model to landmarks, maps and meshes."""

from facegeom.face_model.model import FaceModel, load_face_model, read_face_model

__all__ = ["FaceModel", "load_face_model", "read_face_model"]
