"""The statistical face model and how it is fitted."""

from facegeom.face_model.model import FaceModel, load_face_model, read_face_model

__all__ = ["FaceModel", "load_face_model", "read_face_model"]
