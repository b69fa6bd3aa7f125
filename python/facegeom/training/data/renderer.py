"""Rendering of training samples: image, depth, correspondence and mask of a fitted photo, also with the head turned."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import Fit
from facegeom.geometry import Raster, rasterize
from facegeom.images.crop import warp_image

BACKGROUND_GRID = 17  # number of vertices along each side of the background plane
BACKGROUND_DEPTH_MM = -70.0  # z of the background plane in the camera frame of the photo
BACKGROUND_WORK_PIXELS = 64  # longer side of the reduced photo in which the face is inpainted, pixels


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


@dataclass(frozen=True)
class Pose:
    """A face in a photo: its vertices in the face frame and a weak-perspective camera."""

    vertices: FloatArray  # (n, 3) vertices in the face frame, mm
    rotation: FloatArray  # (3, 3) rotation from the face frame to the camera frame
    scale: float  # scale of the camera, pixels per mm
    translation: FloatArray  # (2,) pixel onto which the face origin is projected

    def pixels(self) -> FloatArray:
        """Return the projected vertices, (n, 3): pixel x, pixel y, and depth in mm (larger is nearer to the camera)."""
        camera = self.vertices @ self.rotation.T
        out = np.empty_like(camera)
        out[:, 0] = camera[:, 0] * self.scale + self.translation[0]
        out[:, 1] = -camera[:, 1] * self.scale + self.translation[1]
        out[:, 2] = camera[:, 2]
        return out

    def turned(self, yaw_deg: float, pitch_deg: float = 0.0) -> Pose:
        """Return the pose after a rotation about the vertical (yaw) and then the horizontal (pitch) camera axis."""
        y, p = np.radians([yaw_deg, pitch_deg])
        yaw = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        pitch = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        return Pose(self.vertices, pitch @ yaw @ self.rotation, self.scale, self.translation)

    def origin_and_scale(self, affine: FloatArray) -> tuple[tuple[float, float], float]:
        """Return the face origin (column, row) and the scale (pixels per mm) in a crop of the photo.

        Parameters
        ----------
        affine : (2, 3) float array
            Similarity transform from photo pixels to crop pixels.
        """
        column, row = affine[:, :2] @ self.translation + affine[:, 2]
        return (float(column), float(row)), float(self.scale * np.sqrt(abs(np.linalg.det(affine[:, :2]))))


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
            Background image. By default, the background is the photo on a plane that turns with the head.

        Returns
        -------
        Sample
        """
        model = self.model
        points = _transformed(target.pixels(), affine)
        source_points = source.pixels()
        attributes = np.hstack([model.mean, source_points[:, :2]])
        raster = rasterize(points, self.faces, attributes, (size, size))
        head = raster.triangle >= 0

        coordinates = np.nan_to_num(raster.attributes[..., 3:]).astype(np.float32)
        texture = _remap(photo, coordinates, affine)
        if backdrop is None:
            backdrop = self._turned_surroundings(photo, source_points, source, target, affine, size)
        alpha = cv2.GaussianBlur(head.astype(np.float32), (0, 0), 0.6)[..., None] * head[..., None]
        image = texture * alpha + backdrop * (1 - alpha)
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

    def _turned_surroundings(
        self, photo: ByteArray, source_points: FloatArray, source: Pose, target: Pose, affine: FloatArray, size: int
    ) -> ByteArray:
        """Return the background of a turned head, (size, size, 3) uint8.

        The photo without the face is drawn on a plane behind the head that turns with the head. A blurred copy of the
        photo fills the area that the plane does not cover.
        """
        height, width = photo.shape[:2]
        factor = BACKGROUND_WORK_PIXELS / max(height, width)
        small = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        hole = np.zeros(small.shape[:2], np.uint8)
        outline = cv2.convexHull((source_points[self.face_vertices, :2] * factor).astype(np.float32))
        cv2.fillConvexPoly(hole, outline.astype(np.int32), 255)
        filled = cv2.inpaint(small, cv2.dilate(hole, np.ones((3, 3), np.uint8)), 2, cv2.INPAINT_TELEA)
        back = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
        keep = cv2.resize(255 - hole, (width, height), interpolation=cv2.INTER_LINEAR)[..., None] / 255.0
        plain = (photo * keep + back * (1 - keep)).astype(np.uint8)

        n = BACKGROUND_GRID
        x, y = np.meshgrid(np.linspace(-0.25, 1.25, n) * (width - 1), np.linspace(-0.25, 1.25, n) * (height - 1))
        grid = np.stack([x.ravel(), y.ravel()], 1)
        camera = np.column_stack(
            [
                (grid[:, 0] - source.translation[0]) / source.scale,
                -(grid[:, 1] - source.translation[1]) / source.scale,
                np.full(n * n, BACKGROUND_DEPTH_MM),
            ]
        )
        plane = Pose(camera @ source.rotation, target.rotation, target.scale, target.translation)
        corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
        faces = np.concatenate(
            [
                np.stack([corner, corner + 1, corner + n], 1),
                np.stack([corner + 1, corner + n + 1, corner + n], 1),
            ]
        )
        raster = rasterize(_transformed(plane.pixels(), affine), faces, grid, (size, size))
        seen = raster.triangle >= 0
        coordinates = np.nan_to_num(raster.attributes).astype(np.float32)
        blurred = cv2.GaussianBlur(back, (0, 0), max(height, width) / 24)
        behind = cv2.warpAffine(blurred, affine, (size, size), borderMode=cv2.BORDER_REFLECT_101)
        front = _remap(plain, coordinates, affine, cv2.BORDER_REFLECT_101)
        return np.where(seen[..., None], front, behind)


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


def _remap(
    photo: ByteArray, coordinates: np.ndarray, affine: FloatArray, border: int = cv2.BORDER_REPLICATE
) -> ByteArray:
    factor = 1 / np.sqrt(abs(np.linalg.det(affine[:, :2])))
    if factor > 1.3:
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.4 * factor), np.uint8)
    moved = cv2.remap(photo, coordinates[..., 0], coordinates[..., 1], cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(moved, np.uint8)


def _transformed(points: FloatArray, affine: FloatArray) -> FloatArray:
    out = points.copy()
    out[:, :2] = points[:, :2] @ affine[:, :2].T + affine[:, 2]
    return out
