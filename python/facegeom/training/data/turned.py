"""What a photo does not show of a turned head: hidden skin and hair, hair around the head, and the background.

The photo only shows the front of the head. The rest takes the colours of the nearest visible pixels, hair and skin
apart, with the shading of its relief. Hair and hats around the head turn with it, on a bowl behind the ears. They are
what differs from a background that is inpainted from farther away. The background itself does not turn.
"""

from __future__ import annotations

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.geometry import rasterize
from facegeom.images.crop import apply_affine, warp_image
from facegeom.training.data.pose import Pose

GRID = 21  # number of vertices along each side of the surface that carries the hair around the head
DEPTH_MM = -70.0  # depth of the outline of the head in the camera frame of the photo
OUTLINE_PIXELS_PER_MM = 0.4  # scale at which the outline of the head in the photo is drawn
SLOPE = 0.7  # loss of depth of the hair, mm per mm from the outline
HAIR_MM = 55.0  # distance from the outline within which things turn with the head
HEAD_EDGE_MM = 10.0  # width of the border around the head that is always inpainted
WORK_PIXELS = 64  # longer side of the reduced photo in which the background is inpainted
DIFFERENCE = (15.0, 60.0)  # grey levels by which a pixel differs that is surely background, and surely not
FACING = (0.15, 0.4)  # cosine of the angle to the camera of skin that is not visible enough, and that surely is
RELIEF = 0.45  # strength of the shading of hidden parts
INSIDE_MM = (3.0, 9.0)  # distance from the outline of skin that may be background, and that surely is the head
LEAST_SCALP = 40.0  # pixels of visible scalp that tell the colour of the hair, in an image of 128 pixels
STREAKS = 0.12  # contrast of hidden hair


def visibility(points: FloatArray, F: IntArray, facing: FloatArray, scale: float) -> Float32Array:
    """Return how well a photo shows the vertices of a head, (n,) float32 in [0, 1]: not if they are near its outline.

    Parameters
    ----------
    points : (n, 3) float array, pixels of the photo, and depth
    F : (m, 3) int array
    facing : (n,) float array, cosine of the angle between normal and camera
    scale : pixels of the photo per mm
    """
    corner = points[:, :2].min(0)
    flat = np.column_stack([(points[:, :2] - corner) * (OUTLINE_PIXELS_PER_MM / scale) + 2, points[:, 2]])
    columns, rows = (int(extent) + 4 for extent in flat[:, :2].max(0))
    head = (rasterize(flat, F, None, (rows, columns)).triangle >= 0).astype(np.uint8)
    depth = np.asarray(cv2.distanceTransform(head, cv2.DIST_L2, 3)) / np.float32(OUTLINE_PIXELS_PER_MM)
    inside = depth[tuple(np.rint(flat[:, 1::-1]).astype(int).T)]
    shares = ((inside, INSIDE_MM), (facing, FACING))
    seen = [np.clip((value - low) / (high - low), 0, 1) for value, (low, high) in shares]
    return np.asarray(seen[0] * seen[1], dtype=np.float32)


def fill_hidden(
    image: Float32Array,
    head: BoolArray,
    seen: Float32Array,
    doubt: Float32Array,
    scalp: Float32Array,
    facing: Float32Array,
) -> Float32Array:
    """Return the image of a head whose hidden parts have the colours of the nearest visible ones.

    Parameters
    ----------
    image : (h, w, 3) float32 array
    head : (h, w) bool array, pixels of the head; the others do not change
    seen : (h, w) float32 array in [0, 1], how well the photo shows the pixel, if it is on the head
    doubt : (h, w) float32 array in [0, 1], whether the photo shows its background there
    scalp : (h, w) float32 array in [0, 1], share of the scalp, which gets colours from the scalp only
    facing : (h, w) float32 array, cosine of the angle to the camera that renders the head
    """
    known = seen * head * (1 - doubt)
    if float((known * scalp).sum()) < LEAST_SCALP * (len(image) / 128) ** 2:  # hair like the background
        known = seen * head * (1 - doubt * (1 - scalp))
    hair, skin = (spread(image, (known * share).astype(np.float32)) for share in (scalp, 1 - scalp))
    if float((known * scalp).sum()) < 1:
        hair = skin
    if float((known * (1 - scalp)).sum()) < 1:
        skin = hair
    streaks = _streaks(image.shape[:2]) * scalp[..., None]
    other = (hair * scalp[..., None] + skin * (1 - scalp[..., None])) * (1 + STREAKS * streaks)
    level = float((facing * known).sum() / max(float(known.sum()), 1e-3))
    other = other * np.clip(1 + RELIEF * (facing - level), 0.3, 1.3)[..., None]
    share = np.where(head, known, 1)[..., None]
    return np.asarray(image * share + other * (1 - share), dtype=np.float32)


def spread(image: Float32Array, weight: Float32Array) -> Float32Array:
    """Return an image (h, w, 3) whose pixels of small weight (h, w) take the colours around them, by a pyramid."""
    height, width = weight.shape
    if max(height, width) <= 2:
        total = max(float(weight.sum()), 1e-6)
        mean = (image * weight[..., None]).sum((0, 1)) / total
        return np.broadcast_to(mean, image.shape).astype(np.float32)
    half = max(1, width // 2), max(1, height // 2)
    coarse = np.asarray(cv2.resize(weight, half, interpolation=cv2.INTER_AREA))
    colours = np.asarray(cv2.resize(image * weight[..., None], half, interpolation=cv2.INTER_AREA))
    mean = np.asarray(colours / np.maximum(coarse, 1e-6)[..., None], dtype=np.float32)
    below = spread(mean, np.minimum(coarse * 2, 1).astype(np.float32))
    far = np.asarray(cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR))
    return np.asarray(far + weight[..., None] * (image - far), dtype=np.float32)


def _streaks(shape: tuple[int, int]) -> Float32Array:
    """Return smooth horizontal and vertical noise, (h, w, 1) in about [-1, 1]; always the same."""
    noise = np.random.default_rng(0).standard_normal((max(2, shape[0] // 2), max(2, shape[1] // 5)), np.float32)
    return np.asarray(cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_LINEAR))[..., None].clip(-1, 1)


class Surroundings:
    """Background of a photo, and the hair and clothes around the head.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    outline : (k, 2) float array, pixels of points whose convex hull is the head in the photo
    source : Pose
        The head in the photo.
    """

    def __init__(self, photo: ByteArray, outline: FloatArray, source: Pose) -> None:
        self.photo, self.source = photo, source
        factor = WORK_PIXELS / max(photo.shape[:2])
        small = np.asarray(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        shift = 0.5 * factor - 0.5
        self.shrink = np.array([[factor, 0, shift], [0, factor, shift]])  # from pixels of the photo to reduced ones
        head = np.zeros(small.shape[:2], np.uint8)
        hull = cv2.convexHull(apply_affine(self.shrink, outline).astype(np.float32))
        cv2.fillConvexPoly(head, np.rint(hull).astype(np.int32), 1)
        away = np.asarray(cv2.distanceTransform(1 - head, cv2.DIST_L2, 3))
        self.away = (away / (factor * source.scale)).astype(np.float32)  # mm from the head
        self.near = np.clip(2 - 2 * self.away / np.float32(HAIR_MM), 0, 1)  # 1 at the head, 0 where nothing turns
        hole = (self.near > 0).astype(np.uint8)
        hole[[0, -1]] = hole[:, [0, -1]] = 0
        self.filled = np.asarray(cv2.inpaint(small, hole, 2, cv2.INPAINT_TELEA), np.uint8)

    def differs(self, colours: Float32Array, places: Float32Array) -> Float32Array:
        """Return how surely colours (h, w, 3) at pixels (h, w, 2) of the photo are not its background, 0 to 1."""
        return _different(colours, self._at(self.filled, places))

    def turned(self, target: Pose, affine: FloatArray, size: int) -> Float32Array:
        """Return what is behind and around the head after turning, (size, size, 3) float32.

        Parameters
        ----------
        target : Pose
            The head after turning; its camera, too, projects to pixels of the photo.
        affine : (2, 3) float array, from pixels of the photo to pixels of the result
        size : int
        """
        back = self._background(affine, size)
        grid, points = self._bowl(target)
        points[:, :2] = apply_affine(affine, points[:, :2])
        raster = rasterize(points, _grid_faces(), grid, (size, size))
        places = np.where((raster.triangle >= 0)[..., None], raster.attributes, -1e4).astype(np.float32)
        front = remap(self.photo, places, affine).astype(np.float32)
        ring = self._at((self.near * (self.away > 0)).astype(np.float32), places)  # without the head itself
        ring = ring * (places >= 0).all(2)
        alpha = (self.differs(front, places) * ring)[..., None]
        return np.asarray(back + alpha * (front - back), dtype=np.float32)

    def _at(self, layer: ByteArray | Float32Array, places: Float32Array) -> Float32Array:
        """Return a reduced layer at pixels (h, w, 2) of the photo."""
        inner = (places * self.shrink[0, 0] + self.shrink[0, 2]).astype(np.float32)
        found = cv2.remap(layer, inner[..., 0], inner[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, dtype=np.float32)

    def _background(self, affine: FloatArray, size: int) -> Float32Array:
        """Return the photo in the crop, with the inpainted background where the head and its hair are."""
        grow = cv2.invertAffineTransform(self.shrink)
        small = np.hstack([affine[:, :2] @ grow[:, :2], (affine[:, :2] @ grow[:, 2] + affine[:, 2])[:, None]])
        fill, head, ring = (
            cv2.warpAffine(layer, small, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
            for layer, border in (
                (self.filled, cv2.BORDER_REPLICATE),
                (np.clip(3 - 3 * self.away / HEAD_EDGE_MM, 0, 1), cv2.BORDER_CONSTANT),
                (self.near, cv2.BORDER_CONSTANT),
            )
        )
        plain = warp_image(self.photo, affine, size).astype(np.float32)
        other = cv2.dilate(_different(plain, fill.astype(np.float32)), np.ones((5, 5), np.uint8))
        share = np.maximum(head, cv2.GaussianBlur(other, (0, 0), 1) * np.minimum(3 * ring, 1))[..., None]
        return np.asarray(plain * (1 - share) + fill * share, dtype=np.float32)

    def _bowl(self, target: Pose) -> tuple[FloatArray, FloatArray]:
        """Return a grid of pixels of the photo, (g, 2), and where they are after turning, (g, 3), pixels and depth."""
        height, width = self.photo.shape[:2]
        x, y = np.meshgrid(np.linspace(0, width - 1, GRID), np.linspace(0, height - 1, GRID))
        grid = np.stack([x.ravel(), y.ravel()], 1)
        rows, columns = (np.rint(np.linspace(0, count - 1, GRID)).astype(int) for count in self.away.shape)
        distance = np.minimum(self.away[np.ix_(rows, columns)].ravel(), 2 * HAIR_MM)
        shift, scale = self.source.translation, self.source.scale
        camera = np.column_stack(
            [(grid[:, 0] - shift[0]) / scale, -(grid[:, 1] - shift[1]) / scale, DEPTH_MM - SLOPE * distance]
        )
        return grid, Pose(camera @ self.source.rotation, target.rotation, target.scale, target.translation).pixels()


def _grid_faces() -> IntArray:
    """Return the triangles of a square grid of `GRID` times `GRID` vertices."""
    corner = (np.arange(GRID - 1)[:, None] * GRID + np.arange(GRID - 1)).ravel()
    upper = np.stack([corner, corner + 1, corner + GRID], 1)
    lower = np.stack([corner + 1, corner + GRID + 1, corner + GRID], 1)
    return np.concatenate([upper, lower])


def _different(image: Float32Array, plain: Float32Array) -> Float32Array:
    """Return where an image (h, w, 3) surely shows something else than the inpainted background, 0 to 1, (h, w)."""
    low, high = DIFFERENCE
    share = np.clip((np.abs(image - plain).max(2) - low) / (high - low), 0, 1)
    return np.asarray(cv2.GaussianBlur(share, (0, 0), 0.7), dtype=np.float32)


def remap(photo: ByteArray, places: Float32Array, affine: FloatArray) -> ByteArray:
    """Return the colours of a photo at pixels (S, S, 2), smoothed as the scale of the crop requires."""
    factor = 1 / np.sqrt(abs(np.linalg.det(affine[:, :2])))
    if factor > 1.3:
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.4 * factor), np.uint8)
    moved = cv2.remap(photo, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
