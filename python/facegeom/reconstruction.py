"""The public entry points `reconstruct` and `predict`, and the result `Reconstruction`."""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom._internal.threads import one_thread
from facegeom.detection import Detector
from facegeom.detection.detector import check_detector
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.face_model import load_face_model
from facegeom.face_model.blendshapes import arkit_weights
from facegeom.face_model.fitting import possible_expression
from facegeom.face_model.levels import at_level
from facegeom.face_model.template import fine_landmarks468, load_template
from facegeom.images.boxes import Box, Detection
from facegeom.images.camera import Camera, Pose
from facegeom.images.face_maps import FaceMaps
from facegeom.images.image_files import ImageSource, read_photo
from facegeom.images.limits import MAX_PIXELS
from facegeom.images.photo import Photo
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.mesh.formats import BLENDSHAPE_FORMATS, save_mesh
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend
from facegeom.pipelines import DEFAULT_PIPELINE, EXPRESSIONS, EYEWEAR, PIPELINES, PipelineEntry
from facegeom.pipelines.interface import FaceRequest, Pipeline, PipelineOptions, Prediction
from facegeom.pipelines.noise_removal import Denoise, NoiseRemoval, check_denoise
from facegeom.texture.baking import SIZES

if TYPE_CHECKING:
    from facegeom.networks.interface import MapNetwork
    from facegeom.pipelines.map_options import MapOptions
    from facegeom.pipelines.map_prediction import MapPrediction

__all__ = ["Reconstruction", "demo_photo", "predict", "reconstruct", "reconstruct_all"]

log = logging.getLogger("facegeom")

FARTHEST_PIXEL = 1e8
"""Largest coordinate of a box that a caller gives, in pixels."""


@dataclass(frozen=True, eq=False, repr=False)
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
    landmarks468 : (468, 3) float array
        The 468 points of MediaPipe FaceMesh in the face frame, mm, in its order, placed like `landmarks`.
    blendshapes : dict from each of ARKit's 52 names to float
        The expression in the photo as weights of `facegeom.face_model.blendshapes`, in [0, 1.2]: that of the face model
        fitted to the prediction. With the face model's topology, the eyeLook shapes are those of the gaze in the photo.
    identity : (k,) float array
        Coefficients of the first k identity components of `facegeom.load_face_model()`, in standard deviations: those
        of the face model fitted to the prediction. With pix2vertex and facevision, the answer of the identity network
        is the prior of this fit; with pixel2mesh and gcn_igan, the face model is fitted to their mesh alone.
    camera : Camera
        Projection from the face frame to pixels of the photo.
    photo_size : (width, height)
        Size of the photo in pixels, for `camera.matrix("opengl", photo_size)`.
    photo : Path or None
        Absolute path of the photo; None if `reconstruct` did not get a path.
    score : float in [0, 1]
        Plausibility of the predicted maps. With pixel2mesh: the score of the detector, 0 without a detection, 1 if the
        caller gave the box.
    detections : tuple of (x0, y0, x1, y1, score)
        The detected boxes in pixels of the photo, best first; empty if the caller gave the box.
    neutral : FaceMesh or None
        `mesh` without the expression of the photo: its vertices are those of `mesh` minus the sum of the blendshapes
        times their weights in `blendshapes`; the lips of a head are closed. None if the mesh does not have the face
        model's topology: with facevision, and with pixel2mesh and gcn_igan if `head` is False.
    expression : "weights" or "baked"
        How files with blendshapes store the expression of the photo; see `save`.
    """

    mesh: FaceMesh
    maps: FaceMaps
    stages: dict[str, FaceMesh]
    timings: dict[str, float]
    landmarks: FloatArray
    landmarks468: FloatArray
    blendshapes: dict[str, float]
    identity: FloatArray
    camera: Camera
    photo_size: tuple[int, int]
    photo: Path | None = None
    score: float = 1.0
    detections: tuple[Detection, ...] = ()
    neutral: FaceMesh | None = None
    expression: str = "weights"

    @property
    def pose(self) -> Pose:
        """Yaw, pitch and roll of the face in degrees; `facegeom.images.camera.Pose` defines the signs."""
        return self.camera.pose

    def save(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        neutral: bool = False,
        *,
        format: str | None = None,
        compress: str | None = None,
        watertight: bool = False,
        lod: int = 0,
    ) -> None:
        """Write the mesh to a .glb, .gltf, .usdz, .obj, .ply, .stl or .html file.

        See `facegeom.mesh.formats.save_mesh`.

        Parameters
        ----------
        target : path, or binary file object. For face.obj with a texture, face.mtl and face.texture.png are written to
            the same folder, for face.gltf face.bin and face.texture.png.
        neutral : True: save the neutral face instead of the photographed expression.
        format : "glb", "obj", "ply", "stl", "html" or "usdz" (extra `usd`), for a file object; None for a path, whose
            suffix decides
        compress : "quantize" or "meshopt" (extra `compress`): smaller .glb files, for programs that read the extensions
            of glTF that they need; see `facegeom.mesh.formats.save_mesh`
        watertight : True, for .stl: the file of a head has closed parts, for 3-D printing
        lod : level of detail of a head: 0 (39,278 vertices), 1 (11,948) or 2 (4,000). All heads have the same topology
            at each level; see `facegeom.face_model.levels`.

        Raises
        ------
        FacegeomError
            When the format is not one of these, or when `neutral` is True or `lod` is not 0 and the mesh does not have
            the face model's topology; for a file object, when an OBJ mesh has a texture, which is a file of its own.
        OutputError
            When a file would overwrite the photo.
        FileNotFoundError, OSError
            When the folder does not exist, or a file cannot be written.

        Notes
        -----
        A .glb, .gltf, .usdz or .html file of a head contains the neutral face, and the expression of the photo as the
        initial weights of the blendshapes. Programs therefore open it as `mesh`, and other weights replace the
        expression instead of adding to it. Formats without blendshapes contain `mesh`. With `expression` "baked", the
        vertices of all files are those of `mesh`, and all initial weights are 0.

        Examples
        --------
        >>> rec = facegeom.reconstruct("photo.jpg")  # doctest: +SKIP
        >>> rec.save("face.glb")  # doctest: +SKIP
        >>> rec.save(file, format="glb")  # doctest: +SKIP
        """
        named = Path(target).suffix.lower()[1:] if isinstance(target, (str, os.PathLike)) else format
        mesh = self._in_file(named or "", neutral, lod)
        inputs = () if self.photo is None else (self.photo,)
        save_mesh(mesh, target, format, compress=compress, watertight=watertight, inputs=inputs)

    def to_bytes(
        self, format: str = "glb", neutral: bool = False, *, compress: str | None = None, lod: int = 0
    ) -> bytes:
        """Return the content of a mesh file.

        Parameters
        ----------
        format : "glb", "ply", "stl", "html", "usdz" or, for a mesh without a texture, "obj"
        neutral, compress, lod : as in `save`

        Raises
        ------
        FacegeomError
            When the format is unknown or consists of several files, or when `neutral` is True and the mesh does not
            have the face model's topology.
        """
        return self._in_file(format, neutral, lod).to_bytes(format, compress=compress)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of the reconstruction as values that JSON can represent; `--json` prints them.

        Returns
        -------
        dict
            The numbers of vertices and faces, score, crop box (pixels), camera with its matrices, pose (degrees), the
            weights of the blendshapes, the identity coefficients, the 68 and 468 landmarks (mm), and the milliseconds
            of each step.
        """
        camera = self.camera
        return {
            "vertices": len(self.mesh.vertices),
            "faces": len(self.mesh.faces),
            "score": round(self.score, 4),
            "crop": [round(side, 3) for side in self.maps.box],
            "pose": {name: round(angle, 3) for name, angle in self.pose._asdict().items()},
            "camera": {
                "rotation": camera.rotation.round(6).tolist(),
                "scale": camera.scale,
                "translation": camera.translation.round(4).tolist(),
                "opencv": camera.matrix("opencv").round(9).tolist(),
                "opengl": camera.matrix("opengl", self.photo_size).round(9).tolist(),
            },
            "blendshapes": {name: round(weight, 5) for name, weight in self.blendshapes.items()},
            "identity": self.identity.round(5).tolist(),
            "landmarks": self.landmarks.round(4).tolist(),
            "landmarks468": self.landmarks468.round(4).tolist(),
            "milliseconds": {name: round(spent, 2) for name, spent in self.timings.items()},
        }

    def __repr__(self) -> str:
        """Return a short description without the arrays."""
        yaw, pitch, roll = (round(angle) for angle in self.pose)
        return (
            f"Reconstruction({self.mesh!r}, score={self.score:.2f}, "
            f"yaw={yaw}, pitch={pitch}, roll={roll}, stages={list(self.stages)})"
        )

    def _in_file(self, format: str, neutral: bool, lod: int) -> FaceMesh:
        """Return the mesh that a file of a format contains, at a level of detail."""
        mesh = self._at_full_detail(format, neutral)
        return mesh if check.count(lod, "lod") == 0 else at_level(mesh, lod)

    def _at_full_detail(self, format: str, neutral: bool) -> FaceMesh:
        if neutral:
            if self.neutral is None:
                raise FacegeomError(
                    "neutral=True needs the face model's topology: use pipeline 'pix2vertex' or head=True"
                )
            return self.neutral
        driven = format in BLENDSHAPE_FORMATS and self.mesh.blendshapes and self.expression == "weights"
        if driven and self.neutral is not None:
            return replace(self.neutral, weights=self.blendshapes)
        return self.mesh


def reconstruct(
    image: ImageSource,
    *,
    pipeline: str = DEFAULT_PIPELINE,
    box: npt.ArrayLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    head: bool = False,
    texture: int | None = None,
    detector: Detector = "yunet",
    min_face: float | None = None,
    backend: str = DEFAULT_BACKEND,
    max_pixels: int = MAX_PIXELS,
    expression: str = "weights",
    eyewear: str = "keep",
    albedo: bool = False,
    hair: bool = True,
    denoise: Denoise = "auto",
) -> Reconstruction:
    """Reconstruct a textured 3-D mesh of one face in a photo.

    Parameters
    ----------
    image : path, bytes of an image file, binary file object, PIL image, (h, w, 3) array or torch tensor; see
        `facegeom.load_image`
    pipeline : method of reconstruction. "pix2vertex": the face model's template is registered to the face.
        "facevision": the visible surface is triangulated. "pixel2mesh" and "gcn_igan": a graph network deforms a
        semi-sphere.
    box : (4,) or (5,) array x0, y0, x1, y1 and optionally a score, which is ignored: the bounding box of the face's 68
        landmarks in pixels of the photo, or a box from `detect`. None: the face is detected.
    device : device on which the networks run: "cpu", "cuda", "cuda:1", "mps"; with `backend` "onnx" only "cpu"
    face_index : index of the face among the detections that the maps confirm (pixel2mesh: among all detections). Faces
        with a high score of the maps come first, in the detector's order.
    head : True: complete the face to a whole head with ARKit's 52 blendshapes
    texture : side length of the square texture in pixels, from 16 to 2048; None: vertex colours only
    detector : "yunet" or "mtcnn", as in `detect`
    min_face : side length of the smallest face that is detected, in pixels of the photo; None: as in `detect`
    backend : library in which the networks run: "torch", or "onnx" (extra `onnx`), which needs no PyTorch
    max_pixels : largest number of pixels of the photo; see `facegeom.load_image`
    expression : how files of a head store the expression of the photo. "weights": as the initial weights of the
        blendshapes of a neutral face. "baked": in the vertices, with all weights at 0. See `Reconstruction.save`.
    eyewear : "keep": glasses in the photo stay in the colours of the face. "remove": they are left out, and the face
        is completed; behind dark glasses the eyes are usual eyes that look ahead. Thin frames may leave traces.
    albedo : True: the light is estimated from the skin and divided out of the colours; cast shadows and highlights
        remain
    hair : True: the scalp of a head is raised to the outline of the hair in the photo; False: the head is as without
        hair, which is only painted. A face without its head has no scalp.
    denoise : "auto": if the photo is noisy around the face, the networks see it without noise; if no face is found in a
        noisy photo, it is sought again without noise. The colours are those of the photo. True: always, and the
        colours are without noise, too. False: never. A photo that is not noisy gives the same mesh with "auto" and
        False.

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
        When the image cannot be read, or has more than `max_pixels` pixels.
    FacegeomError
        When `pipeline` is unknown or does not support an option, or `backend` is not installed.
    WeightsError
        When the weights of a network cannot be loaded.
    TypeError, ValueError
        When `box`, `face_index`, `texture`, `device`, `detector`, `min_face`, `backend`, `max_pixels`, `expression`,
        `eyewear`, `albedo`, `hair` or `denoise` is invalid.

    Notes
    -----
    The same photo gives the same bytes on the same machine in every run. A photo with more than 40 megapixels is
    reduced by an integer factor on reading; boxes and camera are still in pixels of the photo itself.

    Examples
    --------
    >>> rec = facegeom.reconstruct("photo.jpg")  # doctest: +SKIP
    >>> rec.save("face.glb")  # doctest: +SKIP
    """
    check_backend(backend, device)
    request = FaceRequest(
        _box(box),
        check.count(face_index, "face_index"),
        device,
        backend,
        check_detector(detector),
        _least(min_face),
        denoise=check_denoise(denoise),
    )
    job = _Job.of(pipeline, head, texture, backend, expression, eyewear, albedo, hair)
    timings: dict[str, float] = {}
    with stopwatch(timings, "loading"):
        photo = read_photo(image, max_pixels=max_pixels)
    request = _in_image(request, photo)
    steps = job.entry.load()
    with one_thread():
        prediction = steps.predict(photo.image, request)
        return job.reconstruction(image, photo, steps, prediction, timings, request.removal)


def reconstruct_all(
    image: ImageSource,
    *,
    pipeline: str = DEFAULT_PIPELINE,
    device: str = "cpu",
    head: bool = False,
    texture: int | None = None,
    detector: Detector = "yunet",
    min_face: float | None = None,
    backend: str = DEFAULT_BACKEND,
    max_pixels: int = MAX_PIXELS,
    expression: str = "weights",
    eyewear: str = "keep",
    albedo: bool = False,
    hair: bool = True,
    denoise: Denoise = "auto",
) -> list[Reconstruction]:
    """Reconstruct all faces in a photo.

    Parameters
    ----------
    image, pipeline, device, head, texture, detector, min_face, backend, max_pixels, expression, eyewear, albedo, hair,
        denoise : as in `reconstruct`

    Returns
    -------
    list of Reconstruction
        In the order of `face_index` of `reconstruct`. The list is empty if there is no face. Faces whose maps show too
        little for a mesh are left out.

    Raises
    ------
    ImageError, FileNotFoundError
        When the image cannot be read.
    FacegeomError
        When `pipeline` is unknown or does not support an option.
    WeightsError
        When the weights of a network cannot be loaded.
    TypeError, ValueError
        When `texture`, `device`, `detector`, `min_face`, `backend`, `max_pixels`, `expression`, `eyewear`, `albedo`,
        `hair` or `denoise` is invalid.

    Examples
    --------
    >>> for number, rec in enumerate(facegeom.reconstruct_all("group.jpg")):  # doctest: +SKIP
    ...     rec.save(f"face{number}.glb")
    """
    check_backend(backend, device)
    request = FaceRequest(
        device=device,
        backend=backend,
        detector=check_detector(detector),
        min_face=_least(min_face),
        denoise=check_denoise(denoise),
    )
    job = _Job.of(pipeline, head, texture, backend, expression, eyewear, albedo, hair)
    timings: dict[str, float] = {}
    with stopwatch(timings, "loading"):
        photo = read_photo(image, max_pixels=max_pixels)
    request = _in_image(request, photo)
    steps = job.entry.load()
    found: list[Reconstruction] = []
    with one_thread():
        for prediction in steps.predict_all(photo.image, request):
            try:
                found.append(job.reconstruction(image, photo, steps, prediction, timings, request.removal))
            except NoFaceFound as error:
                log.debug("a face is left out: %s", error)
    return found


@dataclass(frozen=True)
class _Job:
    """What `reconstruct` makes of each face; the values are checked."""

    entry: PipelineEntry
    options: PipelineOptions
    expression: str

    @classmethod
    def of(
        cls,
        pipeline: str,
        head: bool,
        texture: int | None,
        backend: str,
        expression: str,
        eyewear: str,
        albedo: bool,
        hair: bool,
    ) -> _Job:
        """Check the arguments of `reconstruct`."""
        entry = PIPELINES.get(pipeline) if isinstance(pipeline, str) else None
        if entry is None:
            raise FacegeomError(f"there is no pipeline {pipeline!r}; available: {', '.join(PIPELINES)}")
        if check.flag(head, "head") and not entry.heads:
            raise FacegeomError(f"pipeline {pipeline!r} cannot make a head (head=True); use 'pix2vertex'")
        if texture is not None:
            texture = check.count(texture, "texture", SIZES[0])
            if texture > SIZES[1]:  # checked before the networks are loaded
                raise ValueError(f"texture must be at most {SIZES[1]}, got {texture}")
        if not isinstance(expression, str) or expression not in EXPRESSIONS:
            raise ValueError(f"expression must be one of {', '.join(EXPRESSIONS)}, got {expression!r}")
        if not isinstance(eyewear, str) or eyewear not in EYEWEAR:
            raise ValueError(f"eyewear must be one of {', '.join(EYEWEAR)}, got {eyewear!r}")
        if (check.flag(albedo, "albedo") or eyewear != "keep") and not (entry.template or head):
            raise FacegeomError("eyewear='remove' and albedo=True need the face model's topology: use head=True")
        return cls(
            entry,
            PipelineOptions(head, texture, backend, check.flag(hair, "hair") and head, eyewear, albedo),
            expression,
        )

    def reconstruction(
        self,
        image: ImageSource,
        photo: Photo,
        steps: Pipeline,
        prediction: Prediction,
        timings: dict[str, float],
        removal: NoiseRemoval,
    ) -> Reconstruction:
        """Return the reconstruction from the prediction for one face of a photo."""
        timings = dict(timings)
        with stopwatch(timings, "colours") if removal.denoise is True else nullcontext():
            shown = removal.colours(photo.image, prediction.maps.box)
        stages = steps.run(shown, prediction, self.options)
        model, final = load_face_model(), stages.final
        if self.options.head or self.entry.template:
            skin = final.vertices if stages.raised is None else final.vertices - stages.raised
            landmarks = skin[model.landmarks68]
            corners, weights = fine_landmarks468(load_template(self.options.head))
            landmarks468 = np.einsum("pcd,pc->pd", skin[corners], weights)
        else:
            landmarks, landmarks468 = prediction.landmarks, prediction.landmarks468
        return Reconstruction(
            mesh=final,
            maps=photo.maps_in_photo(prediction.maps),
            stages=stages.meshes,
            timings={**timings, **prediction.timings, **stages.timings},
            landmarks=landmarks,
            landmarks468=landmarks468,
            blendshapes=stages.weights or arkit_weights(possible_expression(model, prediction.fit.expression)),
            identity=prediction.fit.identity,
            camera=photo.camera_in_photo(prediction.camera),
            photo_size=photo.size,
            photo=Path(os.path.abspath(image)) if isinstance(image, (str, os.PathLike)) else None,
            score=prediction.score,
            detections=tuple(photo.detection_in_photo(found) for found in prediction.detections),
            neutral=stages.neutral,
            expression=self.expression,
        )


def predict(
    image: ImageSource,
    box: npt.ArrayLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    *,
    network: MapNetwork | None = None,
    options: MapOptions | None = None,
    detector: Detector = "yunet",
    min_face: float | None = None,
    backend: str = DEFAULT_BACKEND,
    max_pixels: int = MAX_PIXELS,
    denoise: Denoise = "auto",
) -> MapPrediction:
    """Predict the maps, the camera and the landmarks of one face in a photo, without a mesh.

    Parameters
    ----------
    image : path, bytes of an image file, binary file object, PIL image, (h, w, 3) array or torch tensor; see
        `facegeom.load_image`
    box : (4,) or (5,) array x0, y0, x1, y1 and optionally a score, which is ignored: box of the face in pixels of the
        photo. None: the face is detected.
    device : device on which the network runs: "cpu", "cuda", "cuda:1", "mps"; with `backend` "onnx" only "cpu"
    face_index : index of the face among the detections that the maps confirm; faces with a high score of the maps come
        first, in the detector's order
    network : map network to use; None: the network that comes with facegeom
    options : MapOptions; None: the default options
    detector, min_face, backend, max_pixels, denoise : as in `reconstruct`

    Returns
    -------
    MapPrediction

    Raises
    ------
    NoFaceFound
        When fewer than `face_index` + 1 faces are accepted, or the network finds no face in the given box.
    ImageError, FileNotFoundError
        When the image cannot be read.
    FacegeomError
        When `backend` is not installed.
    """
    from facegeom.pipelines.map_options import MapOptions
    from facegeom.pipelines.map_prediction import predict_maps

    face_index = check.count(face_index, "face_index")
    check_backend(backend, device)
    name, least = check_detector(detector), _least(min_face)
    request = FaceRequest(_box(box), device=device, backend=backend, min_face=least, denoise=check_denoise(denoise))
    photo = read_photo(image, max_pixels=max_pixels)
    request = _in_image(request, photo)
    with one_thread():
        found = predict_maps(
            photo.image,
            request.box,
            device,
            face_index,
            network=network,
            options=options or MapOptions(),
            detector=name,
            min_face=request.min_face,
            backend=backend,
            removal=request.removal,
        )
    return replace(
        found,
        maps=photo.maps_in_photo(found.maps),
        camera=photo.camera_in_photo(found.camera),
        detections=tuple(photo.detection_in_photo(face) for face in found.detections),
    )


def _in_image(request: FaceRequest, photo: Photo) -> FaceRequest:
    """Return the request with its box and size in pixels of the image that was read."""
    box = None if request.box is None else photo.box_in_image(request.box)
    return replace(request, box=box, min_face=photo.length_in_image(request.min_face))


def _least(min_face: float | None) -> float | None:
    """Validate the side length of the smallest face."""
    return None if min_face is None else check.positive(min_face, "min_face")


def _box(box: npt.ArrayLike | None) -> Box | None:
    """Validate a box (4,) or (5,); return x0, y0, x1, y1 as floats, or None if `box` is None."""
    if box is None:
        return None
    x0, y0, x1, y1 = sides = check.box(box).tolist()
    if max(map(abs, sides)) > FARTHEST_PIXEL or min(x1 - x0, y1 - y0) < 1.0:
        raise ValueError(
            f"box must be at least 1 pixel wide and high, and its sides at most {FARTHEST_PIXEL:.0f} pixels from the "
            f"corner of the photo, got {tuple(sides)}"
        )
    return x0, y0, x1, y1


def demo_photo() -> Path:
    """Return the path of the photo that comes with the package: NASA's portrait of Eileen Collins, public domain."""
    return Path(__file__).with_name("data") / "portrait.jpg"
