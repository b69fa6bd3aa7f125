"""The neutral shape that a pipeline, or the identity network alone, finds in a photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.face_model import FaceModel
from facegeom.images.boxes import Box
from facegeom.images.crop import warp_image
from facegeom.measures.shapes import ShapeSpace
from facegeom.networks.identity_crop import INNER_LANDMARKS, aligned_affine
from facegeom.networks.interface import IdentityPredictor
from facegeom.pipelines import DEFAULT_PIPELINE, PIPELINES
from facegeom.pipelines.interface import FaceRequest, PipelineOptions
from facegeom.pipelines.map_prediction import predict_maps
from facegeom.training.data.pose import Pose


class Place(NamedTuple):
    """Where a face is in a photo.

    Attributes
    ----------
    landmarks : (51, 2) float array, the landmarks without the jaw, pixels
    rotation : (3, 3) float array, face frame to camera frame
    box : x0, y0, x1, y1 in pixels for the pipeline; None: the pipeline detects the face
    """

    landmarks: FloatArray
    rotation: FloatArray
    box: Box | None = None

    @classmethod
    def of_pose(cls, model: FaceModel, pose: Pose, *, boxed: bool = False) -> Place:
        """Return the place of a fitted face; `boxed`: with the bounding box of its 68 landmarks."""
        points = pose.pixels()[model.landmarks68, :2]
        (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
        return cls(points[INNER_LANDMARKS], pose.rotation, (x0, y0, x1, y1) if boxed else None)


Answers = dict[str, FloatArray]
"""Name of an answer -> displacements (n, 3) of the neutral face from the mean face, see `ShapeSpace`, mm."""

Method = Callable[[ByteArray, Place], Answers]
"""Function (photo, place of the face) -> answers. It raises `NoFaceFound` if it finds no face."""


def reconstruct_method(
    space: ShapeSpace, model: FaceModel, device: str = "cpu", identity: IdentityPredictor | None = None
) -> Method:
    """Return the method `reconstruct`: the answers "fit" (fitted face model) and "mesh" (registered neutral mesh).

    It runs the steps of the default pipeline as `facegeom.reconstruct` does, with the given identity network in place
    of that of the package.
    """
    pipeline = PIPELINES[DEFAULT_PIPELINE].load()

    @one_thread()
    def method(photo: ByteArray, place: Place) -> Answers:
        prediction = pipeline.predict(photo, FaceRequest(place.box, device=device, identity=identity))
        neutral = pipeline.run(photo, prediction, PipelineOptions()).neutral
        if neutral is None:
            raise RuntimeError("the default pipeline must make a neutral mesh")
        return {
            "fit": space.displacement(model.vertices(prediction.fit.identity)),
            "mesh": space.displacement(neutral.vertices),
        }

    return method


def predict_method(
    space: ShapeSpace, model: FaceModel, device: str = "cpu", identity: IdentityPredictor | None = None
) -> Method:
    """Return the method `predict`: the answer "fit" only, without the registration.

    The answer of the given identity network, or of that of the package, is the prior of the fit.
    """

    def method(photo: ByteArray, place: Place) -> Answers:
        found = predict_maps(photo, place.box, device, identity=identity)
        return {"fit": space.displacement(model.vertices(found.fit.identity))}

    return method


def network_method(space: ShapeSpace, model: FaceModel, identity: IdentityPredictor) -> Method:
    """Return the method of the identity network alone: the answer "network".

    The crop is aligned by the true place of the face, so that no result depends on another network.
    """

    def method(photo: ByteArray, place: Place) -> Answers:
        affine = aligned_affine(model, place.landmarks, place.rotation, identity.size)
        answer = identity.predict(warp_image(photo, affine, identity.size)[None])[0]
        return {"network": space.displacement(model.vertices(answer.mean))}

    return method


def face_only(photo: ByteArray, pose: Pose, model: FaceModel) -> ByteArray:
    """Return a photo in grey that is black outside the convex hull of a fitted face.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    pose : Pose, the fitted face in the photo
    model : FaceModel
    """
    face = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
    outline = cv2.convexHull(pose.pixels()[face, :2].astype(np.float32))
    inside = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.rint(outline).astype(np.int32), 1)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) * inside
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)
