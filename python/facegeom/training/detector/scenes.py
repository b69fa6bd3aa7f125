"""Training windows of the face detector, cut from synthetic scenes.

A tile is a square image of one face with surroundings, and the positions of the 68 landmarks. A scene is a
background into which tiles are pasted. A window is a square crop of a scene, labelled by its overlap with the faces.
Boxes in scenes use corner coordinates: (0, 0) is the top-left corner of the top-left pixel.
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
from facegeom._internal.files import write_npz
from facegeom.detection.mtcnn_search import cut, offsets_of
from facegeom.face_model import FaceModel
from facegeom.images.boxes import iou, squares
from facegeom.images.crop import apply_affine, crop_affine, crop_box, warp_image
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.faceless import texture
from facegeom.training.data.labels import Labels, yaw_deg
from facegeom.training.data.pose import Pose
from facegeom.training.data.renderer import Renderer
from facegeom.training.data.samples import PhotoStore

TILE_SIDE = 128  # side length of a tile, pixels
TILE_FACTOR = 2.0
"""Side of a tile divided by the mean side of the box of the landmarks; an LFW photo ends at a ratio of about 1.9."""

TRAINING_SAMPLES = ("coffee", "gravel", "hubble_deep_field", "page", "retina", "checkerboard")
"""Images of scikit-image used as training backgrounds; the evaluation uses other images."""

SCENE_CHANGES = AugmentOptions(gray=0.2, glasses=0.0, occluder=0.15, low_resolution=0.1)


@dataclass(frozen=True)
class Tiles:
    """Square images of faces with surroundings, and the landmarks of these faces.

    Attributes
    ----------
    images : (n, TILE_SIDE, TILE_SIDE, 4) uint8 array
        RGB and alpha; alpha is 255 for pixels inside the photo, 0 outside.
    points : (n, 68, 2) float32 array
        Landmarks in pixels of the tile.
    yaw_deg : (n,) float32 array
        Yaw of the heads in degrees.
    """

    images: ByteArray
    points: Float32Array
    yaw_deg: Float32Array

    def __len__(self) -> int:
        return len(self.points)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tiles to one .npz file; after an error there is no incomplete file."""
        arrays = {"images": self.images, "points": self.points, "yaw_deg": self.yaw_deg}
        write_npz(path, arrays, compressed=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tiles:
        """Read a file that `save` wrote."""
        with np.load(path) as data:
            return cls(data["images"], data["points"], data["yaw_deg"])


@dataclass(frozen=True)
class Scene:
    """A synthetic image with k faces."""

    image: ByteArray  # (h, w, 3) uint8, RGB
    boxes: FloatArray  # (k, 4) bounding boxes of the 68 landmarks of the faces, corner coordinates
    tiles: IntArray  # (k,) number of the tile of each face


@dataclass(frozen=True)
class Windows:
    """Labelled windows: square crops of scenes.

    Attributes
    ----------
    crops : (n, side, side, 3) uint8 array
        Images of the windows, RGB.
    kind : (n,) int8 array
        1: face; 0: no face; -1: part of a face, used to train the offsets only.
    offsets : (n, 4) float32 array
        Offsets from the window to the face box, see `facegeom.detection.mtcnn_search.place`; 0 if kind is 0.
    """

    crops: ByteArray
    kind: npt.NDArray[np.int8]
    offsets: Float32Array

    @classmethod
    def joined(cls, parts: Sequence[Windows]) -> Windows:
        """Return the concatenation of several sets of windows."""
        return cls(
            np.concatenate([part.crops for part in parts]),
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.offsets for part in parts]),
        )


def make_tiles(
    model: FaceModel, photos: dict[str, Path], labels: Labels, rows: IntArray, turned: int, seed: int
) -> Tiles:
    """Make the tiles of labelled photos: each photo once unchanged and several times with the head turned.

    Parameters
    ----------
    model : FaceModel
    photos : dict of str to Path
        File name of a photo -> path.
    labels : Labels
        Fits of the photos.
    rows : (n,) int array
        Rows of the labels to use.
    turned : int
        Number of turned heads for each photo. The absolute yaw is uniform between the larger of 20 degrees and the yaw
        in the photo, and 90 degrees. Its sign is the sign of the yaw in the photo.
    seed : int
        Random seed of the poses.

    Returns
    -------
    Tiles
        Set of n * (1 + turned) tiles.
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
    """Source of random scenes; the same random state gives the same scene.

    Parameters
    ----------
    tiles : Tiles
    samples : sequence of (h, w, 3) uint8 arrays
        Additional background images without faces.
    """

    def __init__(self, tiles: Tiles, samples: Sequence[ByteArray] = ()) -> None:
        self.tiles, self.samples = tiles, samples

    def draw(self, rng: np.random.Generator, *, faces: int | None = None) -> Scene:
        """Draw a scene with a side of 96 to 256 pixels and at most `faces` faces, by default 0 to 2.

        A tile that would overlap a face of the scene is not pasted.
        """
        cv2.setRNGSeed(int(rng.integers(2**31)))
        size = int(rng.integers(96, 257))
        canvas = self.background(rng, size)
        wanted = int(rng.choice(3, p=(0.15, 0.65, 0.2))) if faces is None else faces
        boxes = np.empty((0, 4))
        used: list[int] = []
        for _ in range(wanted):
            tile = int(rng.integers(len(self.tiles)))
            side = float(np.exp(rng.uniform(np.log(14.0), np.log(0.8 * size))))
            affine = _random_tile_affine(rng, size, side)
            points = apply_affine(affine, self.tiles.points[tile])
            box = np.concatenate([points.min(0), points.max(0)])[None] + 0.5
            if len(boxes) and iou(squares(box, 1.6), boxes, of_smaller=True).max() > 0.05:
                continue  # the tile would cover another face
            canvas = self._paste(canvas, tile, affine, rng)
            boxes = np.concatenate([boxes, box])
            used.append(tile)
        other = self.tiles.images[int(rng.integers(len(self.tiles))), ..., :3]
        image = augment(canvas, np.zeros((2, 2)), rng, other, SCENE_CHANGES)
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            boxes = np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], axis=1)
        return Scene(image, boxes, np.array(used, dtype=np.int64))

    def background(self, rng: np.random.Generator, size: int) -> ByteArray:
        """Draw a background without a face, (size, size, 3) uint8."""
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
        """Return a background without a face, (size, size, 3) uint8, made from a tile.

        The background is a corner of the tile, or the whole tile with a texture or another part of the tile in place of
        the face.
        """
        tile = int(rng.integers(len(self.tiles)))
        picture = self.tiles.images[tile, ..., :3]
        if rng.random() < 0.4:
            side = int(rng.integers(20, 36))
            y = 0 if rng.random() < 0.5 else TILE_SIDE - side
            x = int(rng.choice([0, TILE_SIDE - side]))
            piece = np.rot90(picture[y : y + side, x : x + side], int(rng.integers(4)))
            if rng.random() < 0.5:  # a pattern of mirrored copies
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

    def _paste(self, canvas: ByteArray, tile: int, affine: FloatArray, rng: np.random.Generator) -> ByteArray:
        """Return `canvas` with a tile blended into it at the pixels that the affine map `affine` gives."""
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
        alpha = warped[..., 3:] / np.float32(255.0)  # colours are premultiplied by alpha
        return np.asarray(np.clip(warped[..., :3] + canvas * (1 - alpha), 0, 255), dtype=np.uint8)


def _feather(rng: np.random.Generator) -> Float32Array:
    """Return a random opacity mask of a tile, (TILE_SIDE, TILE_SIDE, 1): opaque, or with soft square or oval edges."""
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


def _random_tile_affine(rng: np.random.Generator, size: int, side: float) -> FloatArray:
    """Return an affine map (2, 3) from tile to scene pixels with random position, rotation and aspect ratio.

    The box of the face has a side of `side` pixels in a scene of `size` x `size` pixels.
    """
    angle = np.radians(rng.normal(0, 12) if rng.random() < 0.65 else rng.uniform(-50, 50))
    stretch = np.exp(rng.normal(0, 0.06) - (rng.uniform(0, 0.35) if rng.random() < 0.15 else 0.0))
    scale = side * TILE_FACTOR / TILE_SIDE
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = scale * turn @ np.diag([stretch, 1 / np.sqrt(stretch)])
    inset = min(0.4 * side, 0.45 * size)  # smallest distance of the face centre from the scene border, pixels
    centre = rng.uniform(inset, size - inset, 2)
    return np.column_stack([linear, centre - linear @ np.full(2, 0.5 * (TILE_SIDE - 1))])


def label_windows(scene: Scene, boxes: FloatArray, side: int) -> Windows:
    """Crop windows of a scene and label them by their intersection over union (IoU) with the square around a face.

    Labels: face if the IoU is at least 0.62, part of a face from 0.4, no face below 0.3. The result
    contains no windows with an IoU between 0.3 and 0.4.

    Parameters
    ----------
    scene : Scene
    boxes : (n, 4) float array
        Boxes of the windows, corner coordinates.
    side : int
        Side length of the square crops in pixels.

    Returns
    -------
    Windows
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
    """Draw random windows (n, 4) near the faces of a scene and at uniformly random positions."""
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
    """Yield `count` scenes; scene i has the seed (seed, i)."""
    for index in range(count):
        yield maker.draw(np.random.default_rng((seed, index)))
