"""`reconstruct_person` and its result: one head from several photos of a person."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.errors import NoFaceFound
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.blendshapes import arkit_weights
from facegeom.face_model.fitting import possible_expression
from facegeom.face_model.template import load_template
from facegeom.images.camera import Camera, Pose
from facegeom.images.image_files import ImageSource, read_photo
from facegeom.images.limits import MAX_PIXELS
from facegeom.images.photo import Photo
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend
from facegeom.networks.segmentation_crop import BACKGROUND, CLOTHES, COVER, EYEWEAR
from facegeom.person.fitting import answer_of, fit_person
from facegeom.person.shared_identity import ALIKE_MM, consistent_photos, distances, nearest_faces
from facegeom.pipelines import pix2vertex
from facegeom.pipelines.interface import PipelineOptions
from facegeom.pipelines.map_prediction import MapPrediction, predict_all_maps
from facegeom.pipelines.template_stages import bare
from facegeom.texture.baking import SIZES
from facegeom.texture.head_classes import head_classes, is_grey

log = logging.getLogger("facegeom")

TEXTURE = 1024
"""Side length of the texture, texels, if the caller gives none."""


EXPRESSIVE = ("jawOpen", "eyeBlink_L", "eyeBlink_R")
"""Expressions that the photo with the detail should not show."""

COVERED, GREY = 3.0, 0.5
"""Weight of the share of a head that hats, hands and glasses cover in it; factor of a photo without colours."""


@dataclass(frozen=True, eq=False)
class PersonPhoto:
    """What one of the photos of a person shows.

    Attributes
    ----------
    used : whether the photo is part of the head
    problem : why it is not, or what is wrong with it; empty if nothing is
    camera : Camera, projection from the face frame to pixels of the photo; None if no face was found
    expression : (e,) float array, weights of the face model's expressions; empty if no face was found
    weights : dict from each of ARKit's names to float, the same expression as weights of the blendshapes of the head
    residual_mm : root mean square distance of the fit from the photo in the image plane, mm; NaN if no face was found
    distance_mm : distance of the face that this photo shows from the mean of those that the other photos show, mm, see
        `facegeom.person.shared_identity.distances`; NaN if no face was found
    """

    used: bool
    problem: str = ""
    camera: Camera | None = None
    expression: FloatArray = field(default_factory=lambda: np.zeros(0))
    weights: dict[str, float] = field(default_factory=dict)
    residual_mm: float = float("nan")
    distance_mm: float = float("nan")

    @property
    def pose(self) -> Pose | None:
        """Yaw, pitch and roll of the face in degrees; None if no face was found."""
        return None if self.camera is None else self.camera.pose


@dataclass(frozen=True, eq=False, repr=False)
class Person:
    """The head that `reconstruct_person` made from several photos.

    Attributes
    ----------
    identity : (k,) float array
        Coefficients of the first k identity components of `facegeom.load_face_model()`, in standard deviations: one
        identity for all photos.
    neutral : FaceMesh
        The face model with this identity and without an expression, in the face frame, mm; no colours.
    head : FaceMesh
        The whole head without an expression, with colours, texture and the 52 blendshapes; `head.save("head.glb")`.
        Its detail and the light of its colours are those of the photo `reference`; others give the detail of the skin
        that they show better (`facegeom.texture.several_photos`).
    photos : tuple of PersonPhoto, in the order of the given photos
    reference : number of the photo that shows the person best: large and from the front
    """

    identity: FloatArray
    neutral: FaceMesh
    head: FaceMesh
    photos: tuple[PersonPhoto, ...]
    reference: int

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of the person and of the photos as values that JSON can represent."""
        return {
            "vertices": len(self.head.vertices),
            "faces": len(self.head.faces),
            "reference": self.reference,
            "identity": self.identity.round(5).tolist(),
            "photos": [_numbers(photo) for photo in self.photos],
        }

    def __repr__(self) -> str:
        """Return a short description without the arrays."""
        used = sum(photo.used for photo in self.photos)
        return f"Person({self.head!r}, photos={len(self.photos)}, used={used})"


def reconstruct_person(
    photos: Iterable[ImageSource],
    *,
    keep_all: bool = False,
    texture: int | None = TEXTURE,
    device: str = "cpu",
    backend: str = DEFAULT_BACKEND,
    max_pixels: int = MAX_PIXELS,
    hair: bool = True,
) -> Person:
    """Reconstruct the head of a person from several photos.

    Parameters
    ----------
    photos : two or more photos of the person: paths, bytes of image files, binary file objects, PIL images, (h, w, 3)
        arrays or torch tensors
    keep_all : True: photos that seem to show somebody else are used, too
    texture : side length of the square texture in pixels, from 16 to 2048; None: vertex colours only
    device, backend, max_pixels, hair : as in `facegeom.reconstruct`; the hair is that of the photo with the colours

    Returns
    -------
    Person

    Raises
    ------
    NoFaceFound
        When none of the photos shows a face.
    ImageError, FileNotFoundError
        When a photo cannot be read.
    FacegeomError
        When `backend` is not installed.
    WeightsError
        When the weights of a network cannot be loaded.
    TypeError, ValueError
        When there are fewer than two photos, or an argument is invalid.

    Notes
    -----
    Photos without a face, and photos whose face differs from that of the others, are left out and reported in
    `Person.photos`. Of several faces in a photo, the one nearest to the common identity counts. The time grows with the
    number of photos, from about thirty on faster.

    Examples
    --------
    >>> person = facegeom.reconstruct_person(["a.jpg", "b.jpg", "c.jpg"])  # doctest: +SKIP
    >>> person.head.save("head.glb")  # doctest: +SKIP
    """
    if isinstance(photos, (str, bytes, os.PathLike)) or not isinstance(photos, Iterable):
        raise TypeError(f"photos must be a sequence of photos, got {type(photos).__name__}")
    sources = list(photos)
    if len(sources) < 2:
        raise ValueError(
            f"photos must contain at least two photos of a person, got {len(sources) or 'none'}; "
            "facegeom.reconstruct takes one photo"
        )
    keep_all = check.flag(keep_all, "keep_all")
    if texture is not None:
        texture = check.count(texture, "texture", *SIZES)
    check_backend(backend, device)
    hair = check.flag(hair, "hair")
    read = [read_photo(source, max_pixels=max_pixels) for source in sources]
    with one_thread():
        return _reconstructed(read, keep_all, PipelineOptions(True, texture, backend, hair), device)


def _reconstructed(photos: list[Photo], keep_all: bool, options: PipelineOptions, device: str) -> Person:
    model, backend = load_face_model(), options.backend
    faces = [predict_all_maps(photo.image, device, backend=backend) for photo in photos]
    shown = [number for number, found in enumerate(faces) if found]
    if not shown:
        raise NoFaceFound(f"no face was found in any of the {len(photos)} photos")
    chosen = nearest_faces(model, [[answer_of(face) for face in faces[number]] for number in shown])
    single = {number: faces[number][face] for number, face in zip(shown, chosen, strict=True)}
    answers = [answer_of(face) for face in single.values()]
    alike = consistent_photos(model, answers)
    used = [number for number, same in zip(shown, alike, strict=True) if same or keep_all]
    away = _away(model, single, [number for number, same in zip(shown, alike, strict=True) if same])
    joint = dict(
        zip(
            used,
            fit_person([photos[number].image for number in used], [single[number] for number in used], device, backend),
            strict=True,
        )
    )
    reference = max(used, key=lambda number: _clarity(photos[number].image, joint[number], backend))
    others = [(photos[number].image, joint[number]) for number in used if number != reference]
    stages = pix2vertex.run(photos[reference].image, joint[reference], options, others)
    assert stages.neutral is not None  # pix2vertex has the face model's topology
    identity = joint[reference].fit.identity
    template = load_template()
    neutral = bare(template.coarse, model.vertices(identity)[template.vertices])
    results: list[PersonPhoto] = []
    for number, photo in enumerate(photos):
        if number not in single:
            results.append(PersonPhoto(False, "no face was found"))
            continue
        face = joint.get(number, single[number])
        distance = away[number]
        problem = "" if alike[shown.index(number)] else _difference(distance)
        expression = possible_expression(model, face.fit.expression)
        results.append(
            PersonPhoto(
                number in joint,
                problem,
                photo.camera_in_photo(face.camera),
                expression,
                arkit_weights(expression),
                face.fit.residual_mm,
                distance,
            )
        )
    return Person(identity, neutral, stages.neutral, tuple(results), reference)


def _away(model: FaceModel, single: dict[int, MapPrediction], alike: list[int]) -> dict[int, float]:
    """Return the distance of each photo from the mean of the other photos that are alike, mm."""
    result = {}
    for number, face in single.items():
        others = [answer_of(single[other]) for other in alike if other != number]
        result[number] = float(distances(model, [answer_of(face), *others])[0])
    return result


def _difference(distance: float) -> str:
    return f"its face differs by {distance:.1f} mm from that of the other photos (at most {ALIKE_MM:.1f} mm is usual)"


def _clarity(photo: ByteArray, face: MapPrediction, backend: str) -> float:
    """Return how well a photo shows the head for its detail, its hair and its colours.

    It is the number of pixels per mm, at most 2, times the cosine of the angle to the front. Hats, hands, glasses,
    closed eyes, an open mouth and the lack of colours make it smaller.
    """
    names = load_face_model().expression_names
    opened = float(face.fit.expression[[names.index(name) for name in EXPRESSIVE]].clip(0.0).sum())
    classes = head_classes(photo, face.camera, backend=backend)
    amount = classes.probability.sum(axis=(0, 1))
    covered = float(amount[[COVER, EYEWEAR]].sum() / max(float(np.delete(amount, [BACKGROUND, CLOTHES]).sum()), 1.0))
    size = min(face.camera.scale, 2.0) * max(float(face.camera.rotation[2, 2]), 0.0)
    return size * float(np.exp(-opened - COVERED * covered)) * (GREY if is_grey(classes.image) else 1.0)


def _numbers(photo: PersonPhoto) -> dict[str, Any]:
    if photo.camera is None or photo.pose is None:
        return {"used": photo.used, "problem": photo.problem}
    return {
        "used": photo.used,
        "problem": photo.problem,
        "pose": {name: round(angle, 3) for name, angle in photo.pose._asdict().items()},
        "camera": {
            "rotation": photo.camera.rotation.round(6).tolist(),
            "scale": photo.camera.scale,
            "translation": photo.camera.translation.round(4).tolist(),
        },
        "blendshapes": {name: round(weight, 5) for name, weight in photo.weights.items()},
        "residual_mm": round(photo.residual_mm, 4),
        "distance_mm": round(photo.distance_mm, 4),
    }
