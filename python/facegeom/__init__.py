"""facegeom: one photograph in, a complete, textured 3-D face out.

Axes and units everywhere: right-handed, +x to the subject's left, +y up, +z out of the face toward the camera;
millimetres (metres in GLB files); pixel centres at integers, origin at the top-left pixel, y down.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from facegeom.errors import (
    BatchError,
    FacegeomError,
    ImageError,
    NoFaceFound,
    OutputError,
    SolverError,
    VideoError,
    WeightsError,
)

if TYPE_CHECKING:
    from facegeom import geometry
    from facegeom.batch import Outcome, reconstruct_many
    from facegeom.detection.detector import detect
    from facegeom.face_model import FaceModel, load_face_model
    from facegeom.images.camera import Camera
    from facegeom.images.face_maps import FaceMaps
    from facegeom.images.image_files import load_image
    from facegeom.mesh.face_mesh import FaceMesh
    from facegeom.person.person import Person, reconstruct_person
    from facegeom.reconstruction import Reconstruction, predict, reconstruct, reconstruct_all
    from facegeom.rigging.rig import Rigged, rig
    from facegeom.tracking.live import TrackedFrame, track_live
    from facegeom.tracking.performance import Performance
    from facegeom.tracking.whole_video import track

try:
    __version__ = version("facegeom")
except PackageNotFoundError:  # run from the source tree
    __version__ = "0.0.0"

__all__ = [
    "BatchError",
    "Camera",
    "FaceMaps",
    "FaceMesh",
    "FaceModel",
    "FacegeomError",
    "ImageError",
    "NoFaceFound",
    "Outcome",
    "OutputError",
    "Performance",
    "Person",
    "Reconstruction",
    "Rigged",
    "SolverError",
    "TrackedFrame",
    "VideoError",
    "WeightsError",
    "detect",
    "geometry",
    "load_face_model",
    "load_image",
    "predict",
    "reconstruct",
    "reconstruct_all",
    "reconstruct_many",
    "reconstruct_person",
    "rig",
    "track",
    "track_live",
]

# The module that defines each public name. A name is imported at its first use, because the import of torch and OpenCV
# takes about one second, and `facegeom.geometry` needs neither.
_HOMES = {
    "Camera": "facegeom.images.camera",
    "FaceMaps": "facegeom.images.face_maps",
    "FaceMesh": "facegeom.mesh.face_mesh",
    "FaceModel": "facegeom.face_model",
    "Outcome": "facegeom.batch.many",
    "Performance": "facegeom.tracking.performance",
    "Person": "facegeom.person.person",
    "Reconstruction": "facegeom.reconstruction",
    "Rigged": "facegeom.rigging.rig",
    "TrackedFrame": "facegeom.tracking.live",
    "detect": "facegeom.detection.detector",
    "load_face_model": "facegeom.face_model",
    "load_image": "facegeom.images.image_files",
    "predict": "facegeom.reconstruction",
    "reconstruct": "facegeom.reconstruction",
    "reconstruct_all": "facegeom.reconstruction",
    "reconstruct_many": "facegeom.batch.many",
    "reconstruct_person": "facegeom.person.person",
    "rig": "facegeom.rigging.rig",
    "track": "facegeom.tracking.whole_video",
    "track_live": "facegeom.tracking.live",
}


def __getattr__(name: str) -> Any:
    if name == "geometry":
        return importlib.import_module("facegeom.geometry")
    if name not in _HOMES:
        raise AttributeError(f"module 'facegeom' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
