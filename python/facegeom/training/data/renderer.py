"""Rendering of training samples: image, depth, correspondence and mask of a fitted photo, also with the head turned."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import Fit
from facegeom.geometry import Raster, rasterize, vertex_normals
from facegeom.images.crop import warp_image
from facegeom.training.data.pose import Pose
from facegeom.training.data.turned import Surroundings, fill_hidden, remap, visibility

NECK_MM = (-158.0, -125.0)  # height at which a turned neck ends, and above which it is opaque; mean head
SIDE_MM = -20.0  # depth of the mean head behind which the outline of the head in the photo may lie
INNER = ("mouth_interior", "eyeball_left", "eyeball_right", "eye_sockets")


@dataclass(frozen=True)
class Sample:
    """An image and its true maps.

    Attributes
    ----------
    image : (S, S, 3) uint8 array, RGB
    depth : (S, S) float32 array, mm
        z in the camera frame: 0 at the face origin, larger nearer to the camera; 0 outside the mask.
    correspondence : (S, S, 3) float32 array, mm
        Position on the mean face of the surface point that the pixel shows; 0 outside the mask.
    mask : (S, S) bool array
        True for pixels that show the face.
    origin : tuple of float
        Column and row of the projected face origin, in pixels of the sample.
    scale : float
        Scale of the camera in pixels of the sample per mm.
    """

    image: ByteArray
    depth: np.ndarray
    correspondence: np.ndarray
    mask: BoolArray
    origin: tuple[float, float]
    scale: float

    @classmethod
    def without_face(cls, image: ByteArray) -> Sample:
        """Return the sample of an image (S, S, 3) that shows no face: an empty mask."""
        size = image.shape[0]
        nothing = np.zeros((size, size), np.float32)
        return cls(image, nothing, np.zeros((size, size, 3), np.float32), np.zeros((size, size), bool), (0.0, 0.0), 1.0)

    def position(self) -> np.ndarray:
        """Return x (right) and y (up) of every pixel in the camera frame, (S, S, 2) float32, mm; 0 outside the mask.

        The values are exact, because the camera is a weak-perspective camera and the camera frame rotates with the
        crop.
        """
        rows, columns = np.indices(self.mask.shape)
        x, y = (columns - self.origin[0]) / self.scale, (self.origin[1] - rows) / self.scale
        return (np.stack([x, y], axis=-1) * self.mask[..., None]).astype(np.float32)

    def flipped(self) -> Sample:
        """Return the mirrored sample, in which the left side of the face becomes the right side."""
        correspondence = self.correspondence[:, ::-1] * np.array([-1, 1, 1], np.float32)
        return Sample(
            np.ascontiguousarray(self.image[:, ::-1]),
            np.ascontiguousarray(self.depth[:, ::-1]),
            correspondence,
            np.ascontiguousarray(self.mask[:, ::-1]),
            (self.mask.shape[1] - 1 - self.origin[0], self.origin[1]),
            self.scale,
        )


class Renderer:
    """Renderer of training samples with the geometry of a face model.

    Parameters
    ----------
    model : FaceModel
    """

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.faces = model.faces
        self.in_map: BoolArray = np.asarray(model.regions["map"][model.faces].all(1))
        self.face_vertices = np.flatnonzero(model.regions["map"][: model.face_vertex_count])
        nothing = np.zeros(len(model.mean), bool)
        self.scalp = model.regions.get("scalp", nothing).astype(np.float64)
        # Where a fitted head may extend beyond the one in the photo: its sides, back and scalp.
        self.outlying = ((model.mean[:, 2] < SIDE_MM) | (self.scalp > 0)).astype(np.float64)
        self.outer = np.flatnonzero(model.regions.get("head", ~nothing))
        inner = np.any([model.regions.get(name, nothing) for name in INNER], axis=0)
        self.inner: BoolArray = inner[model.faces].all(1)  # (m,) triangles inside of mouth and eyes: as in the photo

    def pose(self, fit: Fit) -> Pose:
        """Return the vertices and the camera of a fit."""
        return Pose(fit.vertices(self.model), fit.rotation, fit.scale, fit.translation)

    def face_box(self, pose: Pose) -> tuple[float, float, float, float]:
        """Return the bounding box x0, y0, x1, y1 of the face vertices in the region `map`, in pixels of the photo."""
        points = pose.pixels()[self.face_vertices, :2]
        (x0, y0), (x1, y1) = points.min(0), points.max(0)
        return float(x0), float(y0), float(x1), float(y1)

    def render_photo(self, photo: ByteArray, pose: Pose, affine: FloatArray, size: int) -> Sample:
        """Return the crop of a photo with its rendered maps.

        Parameters
        ----------
        photo : (h, w, 3) uint8 array
        pose : Pose
            Fitted face in the photo.
        affine : (2, 3) float array
            Similarity transform from photo pixels to sample pixels.
        size : int
            Side length S of the square sample in pixels.

        Returns
        -------
        Sample
        """
        points = _transformed(pose.pixels(), affine)
        raster = rasterize(points, self.faces, self.model.mean, (size, size))
        return self._sample(warp_image(photo, affine, size), raster, raster.attributes, pose.origin_and_scale(affine))

    def render_turned(
        self,
        photo: ByteArray,
        source: Pose,
        target: Pose,
        affine: FloatArray,
        size: int,
        backdrop: ByteArray | None = None,
    ) -> Sample:
        """Render the head of a photo in another pose, with the photo as its texture.

        Parameters
        ----------
        photo : (h, w, 3) uint8 array
        source : Pose
            Fitted face in the photo.
        target : Pose
            Pose to render; its camera, too, projects to pixels of the photo.
        affine : (2, 3) float array
            Similarity transform from photo pixels to sample pixels.
        size : int
            Side length S of the square sample in pixels.
        backdrop : (S, S, 3) uint8 array, optional
            Background image. By default, the background of the photo, and the hair around the head, which turns with
            it.

        Returns
        -------
        Sample
        """
        points = _transformed(target.pixels(), affine)
        source_points = source.pixels()
        normals = vertex_normals(source.vertices, self.faces)
        before, after = (normals @ pose.rotation[2] for pose in (source, target))
        seen = visibility(source_points, self.faces, before, source.scale)
        attributes = np.column_stack([self.model.mean, source_points[:, :2], seen, after, self.scalp, self.outlying])
        raster = rasterize(points, self.faces, attributes, (size, size))
        head: BoolArray = np.greater_equal(raster.triangle, 0)

        values = np.nan_to_num(raster.attributes[..., 3:]).astype(np.float32)
        texture = remap(photo, values[..., :2], affine).astype(np.float32)
        height, width = photo.shape[:2]
        inside = (values[..., :2] >= 0).all(2) & (values[..., :2] <= (width - 1, height - 1)).all(2)
        shown = np.maximum(values[..., 2], self.inner[raster.triangle]) * inside
        around = Surroundings(photo, source_points[self.outer, :2], source)
        doubt = values[..., 5] * (1 - around.differs(texture, values[..., :2]))
        texture = fill_hidden(texture, head, shown, doubt, values[..., 4], values[..., 3])
        behind = around.turned(target, affine, size) if backdrop is None else backdrop.astype(np.float32)
        neck = np.clip((np.nan_to_num(raster.attributes[..., 1]) - NECK_MM[0]) / (NECK_MM[1] - NECK_MM[0]), 0, 1)
        alpha = (cv2.GaussianBlur(head.astype(np.float32), (0, 0), 0.6) * head * neck)[..., None]
        image = texture * alpha + behind * (1 - alpha)
        return self._sample(
            np.clip(image + 0.5, 0, 255).astype(np.uint8),
            raster,
            raster.attributes[..., :3],
            target.origin_and_scale(affine),
        )

    def _sample(
        self,
        image: ByteArray,
        raster: Raster,
        correspondence: FloatArray,
        origin_and_scale: tuple[tuple[float, float], float],
    ) -> Sample:
        mask: BoolArray = np.asarray(self.in_map[raster.triangle] & (raster.triangle >= 0))
        return Sample(
            image,
            np.where(mask, raster.depth, 0).astype(np.float32),
            np.where(mask[..., None], correspondence, 0).astype(np.float32),
            mask,
            *origin_and_scale,
        )


def crop_square(
    box: tuple[float, float, float, float], *, factor: float, shift: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the square crop around a bounding box, as x0, y0, x1, y1 in pixels.

    Parameters
    ----------
    box : x0, y0, x1, y1 in pixels
    factor : float
        Side of the square divided by the longer side of the box.
    shift : tuple of float
        Offset of the centre in x and y, as a fraction of the side length of the square.
    """
    x0, y0, x1, y1 = box
    side = factor * max(x1 - x0, y1 - y0)
    x, y = (x0 + x1) / 2 + shift[0] * side, (y0 + y1) / 2 + shift[1] * side
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def _transformed(points: FloatArray, affine: FloatArray) -> FloatArray:
    out = points.copy()
    out[:, :2] = points[:, :2] @ affine[:, :2].T + affine[:, 2]
    return out
