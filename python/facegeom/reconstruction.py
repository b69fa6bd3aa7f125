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
    """A face made from a photo.

    Attributes
    ----------
    mesh : FaceMesh
        Millimetres, in the face's own frame (frontal), origin midway between the eye centres of the fitted face model.
    maps : FaceMaps
    stages : dict from name to FaceMesh
        The mesh after each step, in order; the last is `mesh`.
    timings : dict from step to milliseconds
    landmarks : (68, 3) float array
        Millimetres, in the frame of `mesh`: on it (facevision: where the photo shows them, else of the fitted model).
    camera : Camera
        Face frame -> pixels of the photo.
    score : float in [0, 1]
        Plausibility of the face: of the predicted maps; with pixel2mesh the detector's score, 0 without a detection.
    detections : tuple of (x0, y0, x1, y1, score)
        The detected boxes, best first; empty when the box was given.
    neutral : FaceMesh or None
        `mesh` without the expression of the photo. None where the mesh does not have the face model's topology: with
        facevision, and with pixel2mesh and gcn_igan without a head.
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
        path : output file; files beside it (.mtl, .png) are named after it
        neutral : save the neutral face instead of the photographed one; a head then has the expression as weights of
            its blendshapes

        Raises
        ------
        FacegeomError
            When the suffix is another, or when `neutral` is True and the mesh does not have the face model's topology.
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
    """Reconstruct the face in a photo.

    Parameters
    ----------
    image : path, bytes, PIL image or (h, w, 3) uint8 RGB array
    pipeline : "pix2vertex": the face model's template, registered to the face; "facevision": a mesh of the visible
        surface, with its own triangles; "pixel2mesh" and "gcn_igan": a semi-sphere that a graph network deforms
    box : (4,) or (5,) array, x0, y0, x1, y1 of the face in pixels of the photo, as `detect` returns them or as the box
        of the 68 landmarks; None: detect
    device : where the networks run: "cpu", "cuda", "cuda:1", "mps"
    face_index : which of the detected faces, 0 is the best
    head : complete the face to a whole head, with ARKit's blendshapes
    texture : side of the texture in pixels, at least 16 (pix2vertex and heads: at most 2048); None: vertex colours only

    Returns
    -------
    Reconstruction

    Raises
    ------
    NoFaceFound
        When the photo has no face `face_index`, or the network finds no face in the given box. Pixel2mesh falls back to
        a centre crop where nothing is detected, as in its paper.
    ImageError, FileNotFoundError
        When the image cannot be read.
    FacegeomError
        When there is no such pipeline, or it does not support an option.
    WeightsError
        When the networks' weights cannot be loaded.

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
        if template and texture > SIZES[1]:  # before any work is done
            raise ValueError(f"texture must be at most {SIZES[1]}, got {texture}")
    timings: dict[str, float] = {}
    with stopwatch(timings, "loading"):
        photo = load_image(image)
    steps = entry.load()
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
    """Return the maps, the camera and the landmarks of a face, without a mesh.

    Parameters
    ----------
    image : path, bytes, PIL image or (h, w, 3) uint8 RGB array
    box : (4,) or (5,) array, x0, y0, x1, y1 of the face in pixels of the photo (a score may follow); None: detect
    device : where the network runs: "cpu", "cuda", "cuda:1", "mps"
    face_index : which of the detected faces, 0 is the best
    network : another network than the shipped one
    options : MapOptions; None: the defaults

    Returns
    -------
    MapPrediction

    Raises
    ------
    NoFaceFound
        When the photo has no face `face_index`, or the network sees nothing in the given box.
    ImageError, FileNotFoundError
        When the image cannot be read.
    """
    from facegeom.pipelines.map_prediction import MapOptions, predict_maps

    face_index = check.count(face_index, "face_index")
    return predict_maps(
        load_image(image), _box(box), device, face_index, network=network, options=options or MapOptions()
    )


def _box(box: npt.ArrayLike | None) -> Box | None:
    """Return a checked box as four floats."""
    if box is None:
        return None
    x0, y0, x1, y1 = check.box(box).tolist()
    return x0, y0, x1, y1


def demo_photo() -> Path:
    """Return the path of the photo that comes with the package: NASA's portrait of Eileen Collins, public domain."""
    return Path(__file__).with_name("data") / "portrait.jpg"
