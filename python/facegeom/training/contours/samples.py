"""Training samples of the contour network: photos with their FaceMesh points, reshaped photos and synthetic heads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import CONTOUR_POINTS
from facegeom.images.crop import apply_affine, warp_image
from facegeom.measures.openings import openings
from facegeom.networks.contour_crop import CONTOUR_MIRROR, PARTS, contour_affines, to_crops
from facegeom.networks.identity_crop import INNER_LANDMARKS, aligned_affine
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.extremes import extreme_photos
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT, Labels, find_photos
from facegeom.training.data.samples import NumberedStream, PhotoStore, image_tensor
from facegeom.training.data.split import Split, split_names
from facegeom.training.data.stretched import OPEN_MM, RowStretch
from facegeom.training.face_model.topology import FLIP68
from facegeom.training.identity.reshaped_photos import ORIGINAL, ReshapedPhotos

ALIGNED_PIXELS, ALIGNED_MM = 208, 250.0  # side of the aligned crop that is augmented; an eye has 25 pixels


@dataclass(frozen=True)
class ContourMix:
    """Shares of the kinds of samples, and errors of the crops, as those of a fit to predicted maps."""

    photos: float = 0.55  # share of photos; the others are reshaped photos and synthetic heads in equal parts
    extremes: float = 0.5  # share of the photos with closed or wide open eyes, or a wide open mouth
    landmark_noise_mm: float = 1.2  # standard deviation of the error of each landmark
    shift_noise_mm: float = 1.5  # standard deviation of the error of the centre of each crop
    turn_noise_deg: float = 1.5
    scale_noise: float = 0.02
    stretched: float = 0.5  # share of the open mouths that are opened further or less far, see `stretched_mouth`
    stretch: tuple[float, float] = (0.7, 1.6)  # range of the factor of these openings
    widest: float = 1.0  # largest opening / width of a stretched mouth


AUGMENT = AugmentOptions(
    colour=0.8,
    gray=0.1,
    light=0.2,
    occluder=0.04,
    glasses=0.1,
    low_resolution=0.5,
    blur=0.2,
    noise=0.2,
    jpeg=0.35,
    cut=0.02,
)


class ShownFace(NamedTuple):
    """A face with known contours.

    Attributes
    ----------
    image : (h, w, 3) uint8 array
    landmarks : (51, 2) float array, the landmarks without the jaw, pixels
    rotation : (3, 3) float array, face frame to camera frame
    contours : (72, 2) float array, pixels
    """

    image: ByteArray
    landmarks: FloatArray
    rotation: FloatArray
    contours: FloatArray


class LandmarkedPhotos:
    """Photos of one part of the split, with fits of the face model and FaceMesh points; item i is a `ShownFace`.

    The photos are held in memory as aligned crops.

    Parameters
    ----------
    model : FaceModel
    folder : folder of the photos
    labels : file of `facegeom prepare labels`
    landmarks : file of `facegeom prepare landmarks`
    part : "training" or "validation"

    Raises
    ------
    FacegeomError
        If no photo of the part has a label and landmarks.
    """

    def __init__(
        self,
        model: FaceModel,
        folder: str | os.PathLike[str],
        labels: str | os.PathLike[str],
        landmarks: str | os.PathLike[str],
        part: str,
    ) -> None:
        fits, photos = Labels.load(labels), find_photos(folder)
        names = [str(name) for name in fits.names]
        split: Split = split_names(names)
        with np.load(landmarks) as data:
            known = {str(name): row for row, name in enumerate(data["names"])}
            points = data["landmarks"]
        rows = [
            int(row)
            for row in np.intersect1d(getattr(split, part), fits.kept)
            if names[row] in photos and names[row] in known
        ]
        if not rows:
            raise FacegeomError(f"no {part} photo below {folder} has a label in {labels} and landmarks in {landmarks}")
        self.names = [names[row] for row in rows]
        store = PhotoStore(photos, self.names)
        self.points: FloatArray = points[[known[name] for name in self.names], :468] * LANDMARK_UNIT - LANDMARK_ORIGIN
        self.faces = []
        for item, row in enumerate(rows):
            contours = self.points[item, CONTOUR_POINTS, :2]
            face = ShownFace(store[item], _fitted_landmarks(model, fits, row), fits.fit(row).rotation, contours)
            self.faces.append(aligned(model, face))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, item: int) -> ShownFace:
        return self.faces[item]

    def extremes(self) -> IntArray:
        """Return the photos with extreme openings: eyes closed or wide, mouth wide, (e,) int array."""
        return extreme_photos([openings(points) for points in self.points])


def _fitted_landmarks(model: FaceModel, labels: Labels, row: int) -> FloatArray:
    fit = labels.fit(row)
    vertices = model.landmarks68[INNER_LANDMARKS]
    placed = fit.vertices(model)[vertices] @ fit.rotation.T
    return np.asarray(placed[:, :2] * (fit.scale, -fit.scale) + fit.translation)


def aligned(model: FaceModel, face: ShownFace) -> ShownFace:
    """Return a face in an aligned crop of `ALIGNED_PIXELS`."""
    affine = aligned_affine(model, face.landmarks, face.rotation, ALIGNED_PIXELS, ALIGNED_MM)
    image = warp_image(face.image, affine, ALIGNED_PIXELS)
    return ShownFace(image, apply_affine(affine, face.landmarks), face.rotation, apply_affine(affine, face.contours))


def stored_face(photos: ReshapedPhotos, version: int) -> ShownFace:
    """Return a reshaped photo or a synthetic head."""
    landmarks, rotation, contours = (
        values[version].astype(np.float64) for values in (photos.landmarks, photos.rotation, photos.contours)
    )
    return ShownFace(np.array(photos.images[version]), landmarks, rotation, contours)


def crops_of(
    model: FaceModel, face: ShownFace, size: int, shift_mm: FloatArray | None = None
) -> tuple[ByteArray, Float32Array]:
    """Return the crops (3, size, size, 3) of a face and its contours in them, (72, 2) mm."""
    affines = contour_affines(model, face.landmarks, face.rotation, size, shift_mm)
    crops = np.stack([warp_image(face.image, affine, size) for affine in affines])
    return crops, to_crops(affines, face.contours, size).astype(np.float32)


class ContourStream(NumberedStream):
    """Samples: crops (3, 3, S, S) uint8, and the contours in them, (72, 2) float32, mm.

    Parameters
    ----------
    model : FaceModel
    photos : LandmarkedPhotos
    stored : reshaped photos and synthetic heads
    size : side of the crops in pixels
    seed, start, end : as `NumberedStream` takes them
    mix : ContourMix
    """

    def __init__(
        self,
        model: FaceModel,
        photos: LandmarkedPhotos,
        stored: Sequence[ReshapedPhotos],
        size: int,
        seed: int,
        start: int,
        end: int,
        mix: ContourMix = ContourMix(),
    ) -> None:
        super().__init__(seed, start, end)
        self.model, self.photos, self.stored, self.size, self.mix = model, photos, stored, size, mix
        self.rows = [np.flatnonzero(versions.kind != ORIGINAL) for versions in stored]
        self.extremes = photos.extremes()

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one face."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        face = self._augmented(self._face(rng), rng)
        if rng.random() < 0.5:
            face = mirrored(face)
        shift = rng.normal(0, self.mix.shift_noise_mm, (3, 2))
        crops, contours = crops_of(self.model, face, self.size, shift)
        return torch.stack([image_tensor(crop) for crop in crops]), torch.from_numpy(contours)

    def _face(self, rng: np.random.Generator) -> ShownFace:
        if not self.stored or rng.random() < self.mix.photos:
            if rng.random() < self.mix.extremes:
                return self.photos[int(rng.choice(self.extremes))]
            return self.photos[int(rng.integers(len(self.photos)))]
        source = int(rng.integers(len(self.stored)))
        return stored_face(self.stored[source], int(rng.choice(self.rows[source])))

    def _augmented(self, face: ShownFace, rng: np.random.Generator) -> ShownFace:
        """Return the augmented face in an aligned crop, with the errors of a fit."""
        mix = self.mix
        scale = ALIGNED_PIXELS / ALIGNED_MM
        image, landmarks, rotation, contours = face
        if len(image) != ALIGNED_PIXELS:
            image, landmarks, rotation, contours = aligned(self.model, face)
        if rng.random() < mix.stretched:
            factor = np.exp(rng.uniform(*np.log(mix.stretch)))
            image, landmarks, rotation, contours = stretched_mouth(
                ShownFace(image, landmarks, rotation, contours), factor, OPEN_MM * scale, mix.widest
            )
        eyes = np.stack([landmarks[19:25].mean(0), landmarks[25:31].mean(0)])
        other = self.photos[int(rng.integers(len(self.photos)))].image if rng.random() < 0.1 else None
        image = augment(image, eyes, rng, other, AUGMENT)
        angle, stretch = np.radians(rng.normal(0, mix.turn_noise_deg)), np.exp(rng.normal(0, mix.scale_noise))
        turn = stretch * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = landmarks.mean(0)
        landmarks = (landmarks - centre) @ turn.T + centre
        landmarks = landmarks + rng.normal(0, mix.landmark_noise_mm * scale, landmarks.shape)
        return ShownFace(image, landmarks, rotation, contours)


def stretched_mouth(face: ShownFace, factor: float, least: float, widest: float) -> ShownFace:
    """Return a face whose mouth is open further, or less far: photos with wide open mouths are rare.

    The rows of the image between the middle points of the inner lips are stretched, and what is below them is shifted.
    Landmarks and contours move with the image.

    Parameters
    ----------
    face : ShownFace, upright
    factor : factor of the opening
    least : smallest opening, in pixels, that is stretched; other faces are returned unchanged
    widest : largest opening after stretching / width of the mouth
    """
    inner = face.contours[PARTS[2][20:]]
    top, bottom = float(inner[15, 1]), float(inner[5, 1])
    gap, width = bottom - top, float(np.ptp(inner[:, 0]))
    if gap < least:
        return face
    factor = min(factor, max(1.0, widest * width / gap))

    stretch = RowStretch(top, gap, factor)

    def moved(points: FloatArray) -> FloatArray:
        return np.column_stack([points[:, 0], points[:, 1] + stretch.shift(points[:, 1])])

    image = np.asarray(stretch.image(face.image), np.uint8)
    return ShownFace(image, moved(face.landmarks), face.rotation, moved(face.contours))


def mirrored(face: ShownFace) -> ShownFace:
    width = face.image.shape[1]

    def flipped(points: FloatArray) -> FloatArray:
        return np.column_stack([width - 1 - points[:, 0], points[:, 1]])

    turn = np.diag([-1.0, 1.0, 1.0])
    return ShownFace(
        np.ascontiguousarray(face.image[:, ::-1]),
        flipped(face.landmarks[FLIP68[INNER_LANDMARKS] - 17]),
        turn @ face.rotation @ turn,
        flipped(face.contours[CONTOUR_MIRROR]),
    )


def load_stored(folders: Sequence[Path]) -> list[ReshapedPhotos]:
    """Read folders of `facegeom prepare reshaped` and `facegeom prepare heads`."""
    return [ReshapedPhotos.load(folder) for folder in folders]
