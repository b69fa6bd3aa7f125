"""The public entry points `reconstruct` and `predict`, and the result `Reconstruction`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom._internal.threads import one_thread
from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.images.boxes import Box, Detection
from facegeom.images.camera import Camera
from facegeom.images.face_maps import FaceMaps
from facegeom.images.image_files import ImageSource, load_image
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.pipelines import DEFAULT_PIPELINE, PIPELINES
from facegeom.pipelines.interface import FaceRequest, PipelineOptions
from facegeom.texture.baking import SIZES

if TYPE_CHECKING:
    from facegeom.pipelines.map_prediction import MapNetwork, MapOptions, MapPrediction

__all__ = ["Reconstruction", "demo_photo", "predict", "reconstruct"]


@dataclass(frozen=True)
class Reconstruction:
    """The 3-D face that `reconstruct` made from a photo, with all intermediate results.

    Attributes
    ----------
    mesh : FaceMesh
        The final mesh in the face frame, mm. The origin is midway between the eye centres of the fitted face model.
    maps : FaceMaps
        Depth, correspondence and mask for each pixel of the crop.
    stages : dict from stage name to FaceMesh
        The mesh after each stage of the pipeline, in order; the last mesh is `mesh`.
    timings : dict from step name to float
        Time of each step in milliseconds.
    landmarks : (68, 3) float array
        Landmarks in the face frame, mm, on the surface of `mesh`. With facevision they are landmarks of the fitted face
        model, moved to the depth map where it shows them: their median distance from `mesh` is below 1 mm.
    camera : Camera
        Projection from the face frame to pixels of the photo.
    score : float in [0, 1]
        Plausibility of the predicted maps. With pixel2mesh: the score of the detector, 0 without a detection, 1 if the
        caller gave the box.
    detections : tuple of (x0, y0, x1, y1, score)
        The detected boxes in pixels of the photo, highest score first; empty if the caller gave the box.
    neutral : FaceMesh or None
        `mesh` without the expression of the photo. None if the mesh does not have the face model's topology: with
        facevision, and with pixel2mesh and gcn_igan if `head` is False.
    """

    mesh: FaceMesh
    maps: FaceMaps
    stages: dict[str, FaceMesh]
    timings: dict[str, float]
    landmarks: FloatArray
    camera: Camera
    score: float = 1.0
    detections: tuple[Detection, ...] = field(default=(), repr=False)
    neutral: FaceMesh | None = field(default=None, repr=False)

    def save(self, path: str | os.PathLike[str], neutral: bool = False) -> None:
        """Write the mesh to a .glb, .obj, .ply, .stl or .html file; see `facegeom.mesh.formats.save_mesh`.

        Parameters
        ----------
        path : output file; for .obj, a .mtl and a .png file with the same stem are written to the same folder
        neutral : True: save the neutral face instead of the photographed expression. The file of a head then contains
            the photographed expression as weights of the blendshapes.

        Raises
        ------
        FacegeomError
            When the suffix is not one of the five, or when `neutral` is True and the mesh does not have the face
            model's topology.
        """
        if not neutral:
            self.mesh.save(path)
        elif self.neutral is not None:
            self.neutral.save(path)
        else:
            raise FacegeomError("neutral=True needs the face model's topology: use pipeline 'pix2vertex' or head=True")


def reconstruct(
    image: ImageSource,
    *,
    pipeline: str = DEFAULT_PIPELINE,
    box: npt.ArrayLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    head: bool = False,
    texture: int | None = None,
) -> Reconstruction:
    """Reconstruct a textured 3-D mesh of one face in a photo.

    Parameters
    ----------
    image : path, bytes of an image file, PIL image or (h, w, 3) uint8 RGB array
    pipeline : method of reconstruction. "pix2vertex": the face model's template is registered to the face.
        "facevision": the visible surface is triangulated. "pixel2mesh" and "gcn_igan": a graph network deforms a
        semi-sphere.
    box : (4,) or (5,) array x0, y0, x1, y1 and optionally a score, which is ignored: the bounding box of the face's 68
        landmarks in pixels of the photo, or a box from `detect`. None: the face is detected.
    device : torch device on which the networks run: "cpu", "cuda", "cuda:1", "mps"
    face_index : index of the face among the detections that the maps confirm (pixel2mesh: among all detections). Faces
        with a high score of the maps come first, in the detector's order.
    head : True: complete the face to a whole head with ARKit's 51 blendshapes
    texture : side length of the square texture in pixels, at least 16 (pix2vertex and heads: at most 2048); None:
        vertex colours only

    Returns
    -------
    Reconstruction

    Raises
    ------
    NoFaceFound
        When fewer than `face_index` + 1 faces are accepted, when the network finds no face in the given box, or when
        the maps show too little of a face. Pixel2mesh does not check for a face: it reconstructs the given box, or a
        crop of the photo's centre if nothing is detected, as in its paper.
    ImageError, FileNotFoundError
        When the image cannot be read.
    FacegeomError
        When `pipeline` is unknown or does not support an option.
    WeightsError
        When the weights of a network cannot be loaded.
    TypeError, ValueError
        When `box`, `face_index`, `texture` or `device` is invalid.

    Notes
    -----
    The same photo gives the same bytes on the same machine in every run.

    Examples
    --------
    >>> rec = facegeom.reconstruct("photo.jpg")  # doctest: +SKIP
    >>> rec.save("face.glb")  # doctest: +SKIP
    """
    entry = PIPELINES.get(pipeline)
    if entry is None:
        raise FacegeomError(f"there is no pipeline {pipeline!r}; available: {', '.join(PIPELINES)}")
    if head and not entry.heads:
        raise FacegeomError(f"pipeline {pipeline!r} cannot make a head (head=True); use 'pix2vertex'")
    request = FaceRequest(_box(box), check.count(face_index, "face_index"), device)
    template = head or entry.template
    if texture is not None:
        texture = check.count(texture, "texture", SIZES[0])
        if template and texture > SIZES[1]:  # checked before the networks are loaded
            raise ValueError(f"texture must be at most {SIZES[1]}, got {texture}")
    timings: dict[str, float] = {}
    with stopwatch(timings, "loading"):
        photo = load_image(image)
    steps = entry.load()
    with one_thread():
        prediction = steps.predict(photo, request)
        stages = steps.run(photo, prediction, PipelineOptions(head, texture))
    return Reconstruction(
        mesh=stages.final,
        maps=prediction.maps,
        stages=stages.meshes,
        timings={**timings, **prediction.timings, **stages.timings},
        landmarks=stages.final.vertices[load_face_model().landmarks68] if template else prediction.landmarks,
        camera=prediction.camera,
        score=prediction.score,
        detections=prediction.detections,
        neutral=stages.neutral,
    )


def predict(
    image: ImageSource,
    box: npt.ArrayLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    *,
    network: MapNetwork | None = None,
    options: MapOptions | None = None,
) -> MapPrediction:
    """Predict the maps, the camera and the landmarks of one face in a photo, without a mesh.

    Parameters
    ----------
    image : path, bytes of an image file, PIL image or (h, w, 3) uint8 RGB array
    box : (4,) or (5,) array x0, y0, x1, y1 and optionally a score, which is ignored: box of the face in pixels of the
        photo. None: the face is detected.
    device : torch device on which the network runs: "cpu", "cuda", "cuda:1", "mps"
    face_index : index of the face among the detections that the maps confirm; faces with a high score of the maps come
        first, in the detector's order
    network : map network to use; None: the network that comes with facegeom
    options : MapOptions; None: the default options

    Returns
    -------
    MapPrediction

    Raises
    ------
    NoFaceFound
        When fewer than `face_index` + 1 faces are accepted, or the network finds no face in the given box.
    ImageError, FileNotFoundError
        When the image cannot be read.
    """
    from facegeom.pipelines.map_prediction import MapOptions, predict_maps

    face_index = check.count(face_index, "face_index")
    photo = load_image(image)
    with one_thread():
        return predict_maps(photo, _box(box), device, face_index, network=network, options=options or MapOptions())


def _box(box: npt.ArrayLike | None) -> Box | None:
    """Validate a box (4,) or (5,); return x0, y0, x1, y1 as floats, or None if `box` is None."""
    if box is None:
        return None
    x0, y0, x1, y1 = check.box(box).tolist()
    return x0, y0, x1, y1


def demo_photo() -> Path:
    """Return the path of the photo that comes with the package: NASA's portrait of Eileen Collins, public domain."""
    return Path(__file__).with_name("data") / "portrait.jpg"
