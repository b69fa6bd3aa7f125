"""Reshaped photos: photos in which the shape of the head is changed by known coefficients.

The change of shape is known exactly, even where the fit to the photo is not exact. Inside the head, the photo is the
texture of the new shape. Outside, the photo is warped smoothly: the displacement continues that of the silhouette and
decreases to zero with the distance. Warping alone keeps the shading of the old shape, so that a displacement along the
line of sight would be invisible in a frontal photo. Therefore the image is multiplied by the ratio of the shadings of
the new and the old shape, under the light that is estimated from the photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import CONTOUR_POINTS
from facegeom.face_model.point_fit import similarity
from facegeom.geometry import nearest, rasterize
from facegeom.images.crop import apply_affine
from facegeom.networks.identity_crop import FRAME_MM, INNER_LANDMARKS, aligned_affine, face_points
from facegeom.training.data.light import estimate_light, shading_ratio
from facegeom.training.data.pose import Pose
from facegeom.training.data.renderer import Renderer
from facegeom.training.data.texture_model import NormalOperator, TextureModel, TextureModelOptions, visible_colours

GREY = np.array([0.299, 0.587, 0.114], np.float32)
FADE_MM = 110.0  # from the silhouette to where the background is not warped
RATIO_BLUR = 1.2  # pixels of the crop
INNER_PARTS = ("mouth_interior", "eye_sockets")
UNSHADED = ("eyeball_left", "eyeball_right", *INNER_PARTS, "scalp")
EDGE_MM = 12.0  # distance from the outline of the face at which the change of the shading has its full strength


@dataclass(frozen=True)
class Change:
    """Change of the head in a photo.

    Attributes
    ----------
    identity : (k,) float array, added to the identity coefficients, in standard deviations
    expression : (e,) float array, added to the weights of the expressions
    yaw_deg, pitch_deg : additional rotation of the head
    light : (9,) float array, added to the light of the photo; None: no change
    """

    identity: FloatArray
    expression: FloatArray | None = None
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    light: Float32Array | None = None


@dataclass(frozen=True)
class ReshapedPhoto:
    """Aligned crop of a reshaped photo.

    Attributes
    ----------
    image : (S, S, 3) uint8
    landmarks : (51, 2) float array, the landmarks without the jaw, pixels of the image
    points : (p, 2) float array, the vertices `face_points`, pixels of the image
    contours : (72, 2) float array, the contours of the eyes and the lips, pixels of the image
    rotation : (3, 3) float array, face frame to camera frame
    """

    image: ByteArray
    landmarks: FloatArray
    points: FloatArray
    contours: FloatArray
    rotation: FloatArray


@dataclass(frozen=True)
class Subject:
    """A photo, the fitted head, its vertex normals (n, 3) in the camera frame, and the estimated light (9,)."""

    photo: ByteArray
    pose: Pose
    normals: Float32Array
    light: Float32Array


class Reshaper:
    """Renders reshaped photos.

    Parameters
    ----------
    model : FaceModel
    texture : TextureModel
        Its mean is the albedo for the estimation of the light.
    """

    def __init__(self, model: FaceModel, texture: TextureModel) -> None:
        self.model, self.renderer = model, Renderer(model)
        self.normal_operator = NormalOperator(model.faces, len(model.mean))
        self.albedo: Float32Array = texture.mean @ GREY
        self.landmarks = model.landmarks68[INNER_LANDMARKS]
        self.points = face_points(model)
        self.lit = _shaded_vertices(model)
        self._attributes = np.zeros((len(model.mean), 3))

    def subject(self, photo: ByteArray, pose: Pose) -> Subject:
        """Estimate the light of a photo from the visible part of the face."""
        colours, seen, normals = visible_colours(photo, pose, self.model, self.normal_operator, TextureModelOptions())
        seen = seen & (self.lit > 0.5)
        light = np.zeros(9, np.float32)
        light[0] = 1.0
        if seen.sum() > 500:
            light = estimate_light(colours @ GREY, self.albedo, normals, seen)
        return Subject(photo, pose, normals, light)

    def render(self, subject: Subject, change: Change, size: int, frame_mm: float = FRAME_MM) -> ReshapedPhoto:
        """Render the changed head in an aligned crop.

        Parameters
        ----------
        subject : Subject
        change : Change
        size : int
            Side of the crop in pixels.
        frame_mm : float
            Side of the crop in mm of the mean face.

        Returns
        -------
        ReshapedPhoto

        Notes
        -----
        The changed head is aligned to the original one by the least-squares similarity transform of the face part.
        """
        source = subject.pose
        target = self._target(source, change)
        points = target.pixels()
        affine = aligned_affine(self.model, points[self.landmarks, :2], target.rotation, size, frame_mm)
        points[:, :2] = apply_affine(affine, points[:, :2])
        source_points = source.pixels()
        normals = self.normal_operator((target.vertices @ target.rotation.T).astype(np.float32))
        relit = None if change.light is None else subject.light + change.light.astype(np.float32)
        ratio = shading_ratio(subject.light, subject.normals, normals, relit)

        self._attributes[:, :2] = source_points[:, :2]
        self._attributes[:, 2] = np.log(ratio) * self.lit
        raster = rasterize(points, self.model.faces, self._attributes, (size, size))
        head: BoolArray = np.greater_equal(raster.triangle, 0)
        values = np.nan_to_num(raster.attributes).astype(np.float32)
        turned = change.yaw_deg != 0 or change.pitch_deg != 0
        if turned:
            turned_image = self.renderer.render_turned(subject.photo, source, target, affine, size).image
            image = turned_image.astype(np.float32)
        else:
            image = warped(subject.photo, values[..., :2], head, affine, FADE_MM * size / frame_mm)
        factor = np.exp(cv2.GaussianBlur(values[..., 2] * head, (0, 0), RATIO_BLUR))
        shaded = image * factor[..., None]
        over = np.maximum(shaded - 225, 0)  # compress highlights instead of clipping them
        bright = np.where(factor[..., None] > 1, np.minimum(shaded, 225) + over / (1 + over / 30), shaded)
        return ReshapedPhoto(
            np.clip(bright + 0.5, 0, 255).astype(np.uint8),
            points[self.landmarks, :2],
            points[self.points, :2],
            contour_places(self.model, points),
            target.rotation,
        )

    def _target(self, source: Pose, change: Change) -> Pose:
        model = self.model
        count = len(change.identity)
        vertices = source.vertices + (
            change.identity.astype(np.float32) @ model.identity[:count].reshape(count, -1)
        ).reshape(-1, 3)
        if change.expression is not None:
            for row in np.flatnonzero(change.expression):
                vertices += change.expression[row] * model.expression[row]
        face = self.renderer.face_vertices
        rotation, scale, shift = similarity(vertices[face], source.vertices[face])
        placed = Pose(scale * vertices @ rotation.T + shift, source.rotation, source.scale, source.translation)
        if change.yaw_deg == 0 and change.pitch_deg == 0:
            return placed
        return placed.turned(change.yaw_deg, change.pitch_deg)


def contour_places(model: FaceModel, points: FloatArray) -> FloatArray:
    """Return the contours of the eyes and the lips, (72, 2), for projected vertices (n, 2 or 3)."""
    corners, weights = model.landmarks468_triangles[CONTOUR_POINTS], model.landmarks468_barycentric[CONTOUR_POINTS]
    return np.asarray(np.einsum("pcd,pc->pd", points[corners, :2], weights), dtype=np.float64)


def warped(photo: ByteArray, source: Float32Array, head: BoolArray, affine: FloatArray, fade: float) -> Float32Array:
    """Warp a photo into a crop: by given positions inside the head, smoothly outside.

    Parameters
    ----------
    photo : (h, w, 3) uint8
    source : (S, S, 2) float32, position in the photo of each pixel of the head
    head : (S, S) bool
    affine : (2, 3) float array, pixels of the photo to pixels of the crop
    fade : distance from the silhouette, in pixels, at which the displacement is zero

    Returns
    -------
    (S, S, 3) float32
    """
    linear = np.linalg.inv(affine[:, :2])
    size = len(head)
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    plain = np.stack([x - affine[0, 2], y - affine[1, 2]], -1) @ linear.T.astype(np.float32)
    moved = np.where(head[..., None], source - plain, 0).astype(np.float32)
    coordinates = (plain + extended(moved, head, fade)).astype(np.float32)
    factor = float(np.sqrt(abs(np.linalg.det(linear))))
    if factor > 1.3:
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.4 * factor), dtype=np.uint8)
    values = cv2.remap(
        photo, coordinates[..., 0], coordinates[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(values, dtype=np.float32)


def extended(moved: Float32Array, head: BoolArray, fade: float) -> Float32Array:
    """Extrapolate displacements (S, S, 2) from the head to all pixels; they are zero beyond `fade` pixels from it.

    A pixel outside takes the displacement of the nearest pixel of the head. This is smoothed, with a radius that
    increases with the distance from the head.
    """
    if not head.any():
        return np.zeros_like(moved)
    distance, nearest = cv2.distanceTransformWithLabels(
        (~head).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((int(nearest.max()) + 1, 2), np.float32)
    table[nearest[head]] = moved[head]
    flat = table[nearest]
    out = flat
    for sigma in (1.5, 4.0, 10.0):
        weight = np.clip(distance / (2 * sigma), 0, 1)[..., None]
        out = out * (1 - weight) + cv2.GaussianBlur(flat, (0, 0), sigma) * weight
    left = np.clip(1 - distance / fade, 0, 1)[..., None]
    return np.asarray(np.where(head[..., None], moved, out * left * left * (3 - 2 * left)), dtype=np.float32)


def _shaded_vertices(model: FaceModel) -> Float32Array:
    """Return the weight of the shading ratio at each vertex, (n,): 1 on the face, 0 on hair and eyes.

    It decreases to zero at the outline of the face, where an edge in the light would show the shape of the mesh.
    """
    inside = model.regions["map"]
    hidden = np.any([model.regions[name] for name in ("eyeball_left", "eyeball_right", *INNER_PARTS)], axis=0)
    outer = np.flatnonzero(~inside & ~hidden | model.regions["scalp"])
    distance = nearest(model.mean[outer], model.mean)[1]
    share = np.clip(distance / EDGE_MM, 0, 1)
    weight = np.where(inside, share * share * (3 - 2 * share), 0).astype(np.float32)
    for name in UNSHADED:
        weight[model.regions[name]] = 0
    return weight
