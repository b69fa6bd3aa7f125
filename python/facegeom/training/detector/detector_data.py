"""Training windows for the small detector: faces as they are and turned, set into scenes, cut up into windows.

A tile is a face with its surroundings, and where its 68 landmarks are. A scene is a background with tiles warped into
it. Windows are squares of scenes, labelled by how well they hold a face. Boxes of scenes are in corner coordinates:
(0, 0) is the top-left corner of the top-left pixel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray, IntArray
from facegeom._internal.files import write_atomically
from facegeom.detection.mtcnn_search import cut, offsets_of
from facegeom.face_model import FaceModel
from facegeom.images.boxes import iou, squares
from facegeom.images.crop import apply_affine, crop_affine, crop_box, warp_image
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.faceless import texture
from facegeom.training.data.labels import Labels, yaw_deg
from facegeom.training.data.renderer import Pose, Renderer
from facegeom.training.data.samples import PhotoStore

TILE_SIDE = 128
TILE_FACTOR = 2.0
"""A tile's side over the mean side of the box of its 68 landmarks: LFW's photos end at about 1.9."""

TRAINING_SAMPLES = ("coffee", "gravel", "hubble_deep_field", "page", "retina", "checkerboard")
"""scikit-image's pictures that serve as backgrounds in training; the others are kept for counting false alarms."""

SCENE_CHANGES = AugmentOptions(gray=0.2, glasses=0.0, occluder=0.15, low_resolution=0.1)


@dataclass(frozen=True)
class Tiles:
    """Faces with their surroundings.

    Attributes
    ----------
    images : (n, TILE_SIDE, TILE_SIDE, 4) uint8, RGB and whether the pixel was in the photo (255 or 0)
    points : (n, 68, 2) float32, the landmarks in pixels of the tile
    yaw_deg : (n,) float32
    """

    images: ByteArray
    points: Float32Array
    yaw_deg: Float32Array

    def __len__(self) -> int:
        return len(self.points)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tiles to one .npz, whole or not at all."""

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as stream:
                np.savez(stream, images=self.images, points=self.points, yaw_deg=self.yaw_deg)

        write_atomically(Path(path), write)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tiles:
        """Read the file that `save` wrote."""
        with np.load(path) as data:
            return cls(data["images"], data["points"], data["yaw_deg"])


@dataclass(frozen=True)
class Scene:
    """An image (h, w, 3) uint8 and the boxes (k, 4) of the 68 landmarks of its faces, corner coordinates."""

    image: ByteArray
    boxes: FloatArray
    tiles: IntArray  # (k,) which tile each face is


@dataclass(frozen=True)
class Windows:
    """Labelled windows.

    Attributes
    ----------
    crops : (n, side, side, 3) uint8
    kind : (n,) int8: 1 a face, 0 none, -1 part of one (for the offsets only)
    offsets : (n, 4) float32, see `facegeom.detection.mtcnn_search.place`; zero where kind is 0
    """

    crops: ByteArray
    kind: npt.NDArray[np.int8]
    offsets: Float32Array

    @classmethod
    def joined(cls, parts: Sequence[Windows]) -> Windows:
        """Return all windows of `parts`, in order."""
        return cls(
            np.concatenate([part.crops for part in parts]),
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.offsets for part in parts]),
        )


def make_tiles(
    model: FaceModel, photos: dict[str, Path], labels: Labels, rows: IntArray, turned: int, seed: int
) -> Tiles:
    """Cut the labelled photos into tiles, and render `turned` of each at a larger yaw.

    Parameters
    ----------
    model : FaceModel
    photos : file of each photo by name
    labels : fits of the photos
    rows : (n,) int array, rows of `labels` to use
    turned : renders a photo, yaw uniform in 20-90 degrees toward the side that the face turns to already
    seed : of the poses
    """
    rng = np.random.default_rng(seed)
    store, renderer = PhotoStore(photos, [str(labels.names[row]) for row in rows]), Renderer(model)
    count = len(rows) * (1 + turned)
    images = np.empty((count, TILE_SIDE, TILE_SIDE, 4), dtype=np.uint8)
    points = np.empty((count, 68, 2), dtype=np.float32)
    yaw = np.empty(count, dtype=np.float32)
    at = 0
    for item, row in enumerate(tqdm(rows, unit="photo", desc="tiles")):
        photo, source = store[item], renderer.pose(labels.fit(int(row)))
        for turn in range(1 + turned):
            target = _turned(source, rng) if turn else source
            landmarks = target.pixels()[model.landmarks68, :2]
            affine = crop_affine(crop_box(np.concatenate([landmarks.min(0), landmarks.max(0)]), TILE_FACTOR), TILE_SIDE)
            if turn:
                images[at, ..., :3] = renderer.render_turned(photo, source, target, affine, TILE_SIDE).image
                images[at, ..., 3] = 255
            else:
                images[at, ..., :3] = warp_image(photo, affine, TILE_SIDE)
                images[at, ..., 3] = warp_image(np.full_like(photo, 255), affine, TILE_SIDE)[..., 0]
            points[at] = apply_affine(affine, landmarks)
            yaw[at] = yaw_deg(target.rotation)
            at += 1
    return Tiles(images, points, yaw)


def _turned(pose: Pose, rng: np.random.Generator) -> Pose:
    now = float(yaw_deg(pose.rotation))
    side = np.sign(now) or 1.0
    return pose.turned(side * rng.uniform(max(20.0, abs(now)), 90.0) - now, float(rng.normal(0.0, 12.0)))


class SceneMaker:
    """Sets tiles into backgrounds; the same seed gives the same scene."""

    def __init__(self, tiles: Tiles, samples: Sequence[ByteArray] = ()) -> None:
        self.tiles, self.samples = tiles, samples

    def draw(self, rng: np.random.Generator, *, faces: int | None = None) -> Scene:
        """Draw a scene of 96 to 256 pixels with `faces` faces, or 0 to 2."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        size = int(rng.integers(96, 257))
        canvas = self.background(rng, size)
        wanted = int(rng.choice(3, p=(0.15, 0.65, 0.2))) if faces is None else faces
        boxes = np.empty((0, 4))
        used: list[int] = []
        for _ in range(wanted):
            tile = int(rng.integers(len(self.tiles)))
            side = float(np.exp(rng.uniform(np.log(14.0), np.log(0.8 * size))))
            affine = _placing(rng, size, side)
            points = apply_affine(affine, self.tiles.points[tile])
            box = np.concatenate([points.min(0), points.max(0)])[None] + 0.5
            if len(boxes) and iou(squares(box, 1.6), boxes, of_smaller=True).max() > 0.05:
                continue  # it would cover a face that is there
            canvas = self._set_in(canvas, tile, affine, rng)
            boxes = np.concatenate([boxes, box])
            used.append(tile)
        other = self.tiles.images[int(rng.integers(len(self.tiles))), ..., :3]
        image = augment(canvas, np.zeros((2, 2)), rng, other, SCENE_CHANGES)
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            boxes = np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], axis=1)
        return Scene(image, boxes, np.array(used, dtype=np.int64))

    def background(self, rng: np.random.Generator, size: int) -> ByteArray:
        """Draw a faceless background of `size` pixels a side."""
        kind = rng.random()
        if kind < 0.4:
            return self._surroundings(rng, size)
        if kind < 0.5 and self.samples:
            picture = self.samples[int(rng.integers(len(self.samples)))]
            side = int(rng.uniform(0.3, 1.0) * min(picture.shape[:2]))
            y, x = (int(rng.integers(extent - side + 1)) for extent in picture.shape[:2])
            return np.asarray(cv2.resize(picture[y : y + side, x : x + side], (size, size)), dtype=np.uint8)
        return texture(rng, size)

    def _surroundings(self, rng: np.random.Generator, size: int) -> ByteArray:
        """A tile without its face: a corner of it, or all of it with the face filled in."""
        tile = int(rng.integers(len(self.tiles)))
        picture = self.tiles.images[tile, ..., :3]
        if rng.random() < 0.4:
            side = int(rng.integers(20, 36))
            y = 0 if rng.random() < 0.5 else TILE_SIDE - side
            x = int(rng.choice([0, TILE_SIDE - side]))
            piece = np.rot90(picture[y : y + side, x : x + side], int(rng.integers(4)))
            if rng.random() < 0.5:  # a wall of mirrored pieces
                piece = np.concatenate([piece, piece[:, ::-1]], axis=1)
                piece = np.concatenate([piece, piece[::-1]], axis=0)
        else:
            points = self.tiles.points[tile].astype(np.float32)
            hole = np.zeros((TILE_SIDE, TILE_SIDE), dtype=np.uint8)
            cv2.fillConvexPoly(hole, cv2.convexHull(points).astype(np.int32), 255)
            wide = cv2.dilate(hole, np.ones((9, 9), dtype=np.uint8))
            if rng.random() < 0.5:
                fill = texture(rng, TILE_SIDE)
            else:
                fill = np.roll(picture, TILE_SIDE // 2, axis=int(rng.integers(2)))
            alpha = cv2.GaussianBlur(wide, (0, 0), 3.0)[..., None] / 255.0
            piece = (fill * alpha + picture * (1 - alpha)).astype(np.uint8)
        return np.asarray(cv2.resize(np.ascontiguousarray(piece), (size, size)), dtype=np.uint8)

    def _set_in(self, canvas: ByteArray, tile: int, affine: FloatArray, rng: np.random.Generator) -> ByteArray:
        size = canvas.shape[0]
        shrink = min(1.0, 1.3 * float(np.sqrt(abs(np.linalg.det(affine[:, :2])))))
        picture = self.tiles.images[tile] * _feather(rng)
        if shrink < 1.0:
            side = max(8, round(TILE_SIDE * shrink))
            ratio = TILE_SIDE / side
            picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
            linear = affine[:, :2] * ratio
            affine = np.column_stack([linear, affine[:, 2] + affine[:, :2] @ np.full(2, 0.5 * (ratio - 1))])
        warped = cv2.warpAffine(picture, affine, (size, size), flags=cv2.INTER_LINEAR)
        alpha = warped[..., 3:] / np.float32(255.0)  # the tile is premultiplied by it
        return np.asarray(np.clip(warped[..., :3] + canvas * (1 - alpha), 0, 255), dtype=np.uint8)


def _feather(rng: np.random.Generator) -> Float32Array:
    """Return the (TILE_SIDE, TILE_SIDE, 1) share of the tile that is laid over the scene."""
    kind = rng.random()
    if kind < 0.3:
        return np.ones((TILE_SIDE, TILE_SIDE, 1), dtype=np.float32)
    line = np.linspace(-1, 1, TILE_SIDE, dtype=np.float32)
    x, y = line[None, :], line[:, None]
    if kind < 0.7:
        distance = np.maximum(np.abs(x), np.abs(y))
        edge, soft = 0.98, rng.uniform(0.05, 0.3)
    else:
        distance = np.sqrt((x / rng.uniform(0.75, 1.1)) ** 2 + ((y + 0.1) / rng.uniform(0.9, 1.2)) ** 2)
        edge, soft = 1.0, rng.uniform(0.05, 0.25)
    return np.clip((edge - distance) / np.float32(soft), 0, 1)[..., None].astype(np.float32)


def _placing(rng: np.random.Generator, size: int, side: float) -> FloatArray:
    """Return the (2, 3) map from tile to scene that gives the face `side` pixels, turned and squeezed at random."""
    angle = np.radians(rng.normal(0, 12) if rng.random() < 0.65 else rng.uniform(-50, 50))
    stretch = np.exp(rng.normal(0, 0.06) - (rng.uniform(0, 0.35) if rng.random() < 0.15 else 0.0))
    scale = side * TILE_FACTOR / TILE_SIDE
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = scale * turn @ np.diag([stretch, 1 / np.sqrt(stretch)])
    inset = min(0.4 * side, 0.45 * size)  # a face may leave the scene a little
    centre = rng.uniform(inset, size - inset, 2)
    return np.column_stack([linear, centre - linear @ np.full(2, 0.5 * (TILE_SIDE - 1))])


def label_windows(scene: Scene, boxes: FloatArray, side: int) -> Windows:
    """Cut windows (n, 4) out of a scene and label them.

    A window with at least 0.62 intersection over union with the square around a face is a face, from 0.4 a part, below
    0.3 none; those between are left out. Windows that hold a small face whole (over 0.6 of it) are left out too.
    """
    window, crops = cut(scene.image, boxes, side)
    if not len(scene.boxes):
        return Windows(crops, np.zeros(len(crops), np.int8), np.zeros((len(crops), 4), np.float32))
    overlap = iou(window, squares(scene.boxes))
    best = overlap.argmax(axis=1)
    score = overlap.max(axis=1)
    kind = np.select([score >= 0.62, score >= 0.4, score < 0.3], [1, -1, 0], 2).astype(np.int8)
    offsets = offsets_of(window, scene.boxes[best]).astype(np.float32)
    offsets[kind == 0] = 0
    use = kind != 2
    return Windows(crops[use], kind[use], offsets[use])


def random_windows(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Draw windows (n, 4) about the faces, beside them and anywhere."""
    size = scene.image.shape[0]
    parts = []
    for box in squares(scene.boxes):
        side, centre = box[2] - box[0], 0.5 * (box[:2] + box[2:])
        for count, shift, zoom in ((8, 0.08, 0.1), (8, 0.2, 0.2), (6, 0.6, 0.5)):
            about = centre + rng.normal(0, shift * side, (count, 2))
            half = 0.5 * side * np.exp(rng.normal(0, zoom, (count, 1)))
            parts.append(np.concatenate([about - half, about + half], axis=1))
    half = 0.5 * np.exp(rng.uniform(np.log(12), np.log(0.7 * size), (12, 1)))
    about = rng.uniform(0, size, (12, 2))
    parts.append(np.concatenate([about - half, about + half], axis=1))
    return np.concatenate(parts)


def scenes(maker: SceneMaker, seed: int, count: int) -> Iterator[Scene]:
    """Yield `count` scenes, the i-th drawn by the seed (seed, i)."""
    for index in range(count):
        yield maker.draw(np.random.default_rng((seed, index)))
