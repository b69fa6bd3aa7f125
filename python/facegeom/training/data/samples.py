"""Training samples, made on demand from one seed per sample: photos, turned heads, synthetic faces, no face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.face_model import FaceModel
from facegeom.images.camera import roll_deg
from facegeom.images.crop import crop_affine
from facegeom.measures.openings import openings
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.extremes import extreme_photos
from facegeom.training.data.faceless import faceless_crop
from facegeom.training.data.labels import Labels, yaw_deg
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions, aligned_affine, random_affine
from facegeom.training.data.renderer import Renderer, Sample, crop_square
from facegeom.training.data.stretched import OPEN_MM, stretched_sample

EYES_MM = np.array([[-31.5, 0.0, 12.0], [31.5, 0.0, 12.0]])  # centres of right and left eye, face frame, mm
STRETCH, WIDEST = (0.7, 1.8), 1.0  # range of the factor of the opening, and its largest value / width of the mouth
UPRIGHT_DEG, FRONTAL_DEG = 12.0, 40.0  # largest roll in the crop, and largest yaw, of a face whose mouth is stretched
VERTEX_STEP_MM = 0.01  # quantisation step of the stored vertices, mm
_MIX = MixOptions()
SyntheticSource = Callable[[np.random.Generator, int], tuple[Sample, np.ndarray]]
"""Function (random number generator, size in pixels) -> (sample of a synthetic face, eye centres (2, 2) in pixels)."""


class PosedPhotos(Protocol):
    """Photos with the exact shape and pose of the face, such as `training.identity.reshaped_poses.ReshapedPoses`."""

    def __len__(self) -> int:
        """Return the number of photos."""
        ...

    def __getitem__(self, row: int) -> tuple[ByteArray, Pose]:
        """Return a photo (h, w, 3) uint8 and the face in it."""
        ...


class PhotoStore:
    """Photos held in memory as compressed files and decoded on access.

    Parameters
    ----------
    photos : dict of str to Path
        File name of a photo -> path.
    names : sequence of str
        File names of the photos to read; item i of the store is the photo `names[i]`, (h, w, 3) uint8 RGB.
    """

    def __init__(self, photos: dict[str, Path], names: Sequence[str]) -> None:
        self.data = [np.frombuffer(photos[str(name)].read_bytes(), np.uint8) for name in names]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> ByteArray:
        return np.asarray(
            cv2.cvtColor(np.asarray(cv2.imdecode(self.data[row], cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB), np.uint8
        )


class PhotoCrop(NamedTuple):
    """The content of a sample of a photo: the photo, the pose to render, and the crop."""

    photo: ByteArray  # (h, w, 3) uint8, RGB
    source: Pose  # fitted face in the photo
    target: Pose  # pose to render; the same object as `source` for a photo without a turned head
    affine: FloatArray  # (2, 3) similarity transform from photo pixels to crop pixels


class FaceSamples:
    """Random training samples of labelled photos; the same random state gives the same sample.

    Parameters
    ----------
    model : FaceModel
    store : PhotoStore
        The p photos.
    labels : Labels
    rows : (p,) int array
        Row of `labels` of each photo.
    mix : MixOptions
    synthetic : SyntheticSource, optional
        Source of synthetic faces.
    reshaped : PosedPhotos, optional
        Reshaped photos.

    Raises
    ------
    ValueError
        If the store and `rows` differ in length.
    """

    def __init__(
        self,
        model: FaceModel,
        store: PhotoStore,
        labels: Labels,
        rows: np.ndarray,
        mix: MixOptions = _MIX,
        synthetic: SyntheticSource | None = None,
        reshaped: PosedPhotos | None = None,
    ) -> None:
        if len(store) != len(rows):
            raise ValueError(f"the store holds {len(store)} photos, but there are {len(rows)} rows")
        self.renderer = Renderer(model)
        self.store, self.labels, self.rows = store, labels, np.asarray(rows)
        self.mix, self.synthetic, self.reshaped = mix, synthetic, reshaped
        self._vertices = _all_vertices(model, labels, self.rows)
        self._lips = model.landmarks68[[62, 66, 48, 54]]
        self._extremes = self._extreme_photos() if mix.extremes else np.arange(len(self.rows))

    def draw(self, rng: np.random.Generator, size: int, options: AugmentOptions = AugmentOptions()) -> Sample:
        """Draw one augmented training sample of `size` x `size` pixels."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        changed = self.draw_reshaped(rng, size)
        kind = rng.random()
        if changed is not None:
            sample, eyes = self._crop_sample(changed, rng, size)
        elif self.synthetic is not None and kind < self.mix.synthetic:
            sample, eyes = self.synthetic(rng, size)
        elif self.mix.synthetic <= kind < self.mix.synthetic + self.mix.faceless:
            sample, eyes = self._faceless_sample(int(rng.integers(len(self.rows))), rng, size), np.zeros((2, 2))
        else:
            item = self._random_photo(rng)
            turned = kind > 1 - self.mix.turned
            sample, eyes = self._photo_sample(item, turned, rng, size)
        other = self.store[int(rng.integers(len(self.store)))] if rng.random() < 0.2 else None
        sample = replace(sample, image=augment(sample.image, eyes, rng, other, options))
        return sample.flipped() if rng.random() < 0.5 else sample

    def photo(self, rng: np.random.Generator, size: int) -> Sample:
        """Draw a photo in a random crop, mirrored with probability 1/2, without head rotation and augmentation."""
        sample, _ = self._photo_sample(int(rng.integers(len(self.rows))), False, rng, size)
        return sample.flipped() if rng.random() < 0.5 else sample

    def render(self, rng: np.random.Generator, size: int) -> Sample:
        """Draw the sample of a synthetic face, mirrored with probability 1/2, without augmentation.

        Raises
        ------
        ValueError
            If there is no source of synthetic faces.
        """
        if self.synthetic is None:
            raise ValueError("these samples were made without synthetic faces: give a source of synthetic faces")
        sample, _ = self.synthetic(rng, size)
        return sample.flipped() if rng.random() < 0.5 else sample

    def evaluation(self, item: int, size: int, yaw: float | None = None, factor: float = 1.15) -> Sample:
        """Return the sample of a photo in a centred crop, without augmentation.

        The crop is aligned if crops of the training samples are, and `factor` is not used then.

        Parameters
        ----------
        item : int
            Number of the photo.
        size : int
            Side length S of the square sample in pixels.
        yaw : float, optional
            Absolute yaw in degrees to which the head is turned. By default the head is not turned.
        factor : float
            Side of the crop divided by the longer side of the face box.

        Returns
        -------
        Sample
        """
        return self.render_crop(self.evaluation_crop(item, size, yaw, factor), size)

    def evaluation_crop(self, item: int, size: int, yaw: float | None = None, factor: float = 1.15) -> PhotoCrop:
        """Return the pose and the crop of `evaluation`, with the same parameters."""
        source = self.pose(item)
        target = source if yaw is None else self._turn(source, yaw, 0.0, np.random.default_rng(item))
        if self.mix.aligned:
            return PhotoCrop(self.store[item], source, target, aligned_affine(self.renderer, target, size))
        box = crop_square(self.renderer.face_box(target), factor=factor, shift=(0, 0))
        return PhotoCrop(self.store[item], source, target, crop_affine(box, size))

    def draw_crop(self, item: int, turned: bool, rng: np.random.Generator, size: int) -> PhotoCrop:
        """Draw the pose and the crop of a training sample.

        Parameters
        ----------
        item : int
            Number of the photo.
        turned : bool
            Whether the head is turned to a larger yaw.
        rng : Generator
            Random number generator.
        size : int
            Side length S of the square crop in pixels.

        Returns
        -------
        PhotoCrop
        """
        source = self.pose(item)
        target = source
        if turned:
            yaw = rng.uniform(15, self.mix.max_yaw_deg)
            target = self._turn(source, yaw, rng.normal(0, 8), rng)
        return self._random_crop(self.store[item], source, target, rng, size)

    def draw_reshaped(self, rng: np.random.Generator, size: int) -> PhotoCrop | None:
        """Draw a reshaped photo and its crop for the share `mix.reshaped` of the calls, otherwise return None.

        Without reshaped photos no random number is used.
        """
        if self.reshaped is None or rng.random() >= self.mix.reshaped:
            return None
        photo, pose = self.reshaped[int(rng.integers(len(self.reshaped)))]
        return self._random_crop(photo, pose, pose, rng, size)

    def _random_crop(
        self, photo: ByteArray, source: Pose, target: Pose, rng: np.random.Generator, size: int
    ) -> PhotoCrop:
        """Draw the crop of a pose."""
        return PhotoCrop(photo, source, target, random_affine(self.mix, self.renderer, target, rng, size))

    def render_crop(self, crop: PhotoCrop, size: int, rng: np.random.Generator | None = None) -> Sample:
        """Render the sample of a pose and crop.

        Parameters
        ----------
        crop : PhotoCrop
        size : int
            Side length S of the square sample in pixels.
        rng : Generator, optional
            If given, some turned heads get a random background instead of the background of the photo.

        Returns
        -------
        Sample
        """
        photo, source, target, affine = crop
        if target is source:
            return self.renderer.render_photo(photo, source, affine, size)
        backdrop = self._backdrop(rng, size) if rng is not None and rng.random() < 0.35 else None
        return self.renderer.render_turned(photo, source, target, affine, size, backdrop)

    def _photo_sample(self, item: int, turned: bool, rng: np.random.Generator, size: int) -> tuple[Sample, np.ndarray]:
        return self._crop_sample(self.draw_crop(item, turned, rng, size), rng, size)

    def _crop_sample(self, crop: PhotoCrop, rng: np.random.Generator, size: int) -> tuple[Sample, np.ndarray]:
        """Return the sample of a crop, and the centres of the eyes, (2, 2) pixels."""
        sample = self.render_crop(crop, size, rng)
        _, _, target, affine = crop
        if self.mix.stretched and rng.random() < self.mix.stretched:
            sample = self._with_other_mouth(sample, crop, rng)
        eyes = Pose(EYES_MM, target.rotation, target.scale, target.translation).pixels()[:, :2]
        return sample, eyes @ affine[:, :2].T + affine[:, 2]

    def _with_other_mouth(self, sample: Sample, crop: PhotoCrop, rng: np.random.Generator) -> Sample:
        """Return the sample with its mouth opened further or less far, if it is open, and upright and near frontal."""
        _, _, target, affine = crop
        lips = target.vertices[self._lips]
        steep = np.degrees(np.arctan2(affine[1, 0], affine[0, 0])) - roll_deg(target.rotation)
        steep = abs((steep + 180) % 360 - 180)
        if lips[0, 1] - lips[1, 1] < OPEN_MM or steep > UPRIGHT_DEG or abs(yaw_deg(target.rotation)) > FRONTAL_DEG:
            return sample
        placed = Pose(lips, target.rotation, target.scale, target.translation).pixels()[:, :2]
        factor = float(np.exp(rng.uniform(*np.log(STRETCH))))
        return stretched_sample(sample, placed @ affine[:, :2].T + affine[:, 2], factor, WIDEST)

    def _random_photo(self, rng: np.random.Generator) -> int:
        if self.mix.extremes and rng.random() < self.mix.extremes:
            return int(rng.choice(self._extremes))
        return int(rng.integers(len(self.rows)))

    def _extreme_photos(self) -> IntArray:
        model = self.renderer.model
        return extreme_photos([openings(model.landmarks468(vertices * VERTEX_STEP_MM)) for vertices in self._vertices])

    def _faceless_sample(self, item: int, rng: np.random.Generator, size: int) -> Sample:
        image = faceless_crop(self.store[item], self.pose(item).pixels()[:, :2], rng, size)
        return Sample.without_face(image)

    def pose(self, item: int) -> Pose:
        """Return the fitted face of photo number `item`, with the camera in pixels of the photo."""
        row = int(self.rows[item])
        labels = self.labels
        return Pose(
            self._vertices[item] * VERTEX_STEP_MM,
            labels.rotation[row].astype(np.float64),
            float(labels.scale[row]),
            labels.translation[row].astype(np.float64),
        )

    def _turn(self, source: Pose, yaw: float, pitch: float, rng: np.random.Generator) -> Pose:
        """Return the pose after turning the head to an absolute yaw in degrees; the sign of the yaw does not change.

        Most of the surface visible in the new pose is then visible in the photo, too.
        """
        have = float(yaw_deg(source.rotation))
        side = np.sign(have) if abs(have) > 6 else rng.choice([-1.0, 1.0])
        return source.turned(side * max(yaw - side * have, 0.0), pitch)

    def _backdrop(self, rng: np.random.Generator, size: int) -> ByteArray:
        """Return a random background without a face, (size, size, 3) uint8: the corner of a photo, or coarse noise."""
        if rng.random() < 0.6:
            photo = self.store[int(rng.integers(len(self.store)))]
            extent = max(8, min(photo.shape[:2]) // 5)
            corner = photo[:extent, :extent] if rng.random() < 0.5 else photo[:extent, -extent:]
            return np.asarray(
                cv2.resize(np.ascontiguousarray(corner), (size, size), interpolation=cv2.INTER_CUBIC), np.uint8
            )
        cells = int(rng.integers(2, 24))
        noise = rng.normal(rng.uniform(40, 215), rng.uniform(5, 60), (cells, cells, 3)).clip(0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def _all_vertices(model: FaceModel, labels: Labels, rows: np.ndarray) -> np.ndarray:
    """Return the fitted vertices of all rows, (r, n, 3) int16 in units of `VERTEX_STEP_MM`."""
    out = np.empty((len(rows), *model.mean.shape), np.int16)
    identity = model.identity[: labels.identity.shape[1]].reshape(labels.identity.shape[1], -1)
    expression = model.expression.reshape(len(model.expression), -1)
    mean = model.mean.ravel().astype(np.float32)
    for start in range(0, len(rows), 256):
        part = rows[start : start + 256]
        V = mean + labels.identity[part].astype(np.float32) @ identity
        V += labels.expression[part].astype(np.float32) @ expression
        out[start : start + 256] = np.rint(V / VERTEX_STEP_MM).reshape(len(part), *model.mean.shape)
    return out


class NumberedStream(Dataset[tuple[Tensor, ...]]):
    """Data set of numbered samples: sample i depends only on (seed, i), so that a run can be resumed exactly.

    Parameters
    ----------
    seed : int
        Seed of the run.
    start, end : int
        The data set contains the samples `start` to `end` - 1 of the run.
    """

    def __init__(self, seed: int, start: int, end: int) -> None:
        self.seed, self.start, self.end = seed, start, end

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.draw(np.random.default_rng([self.seed, self.start + index]))

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one sample with a random number generator."""
        raise NotImplementedError


class SampleStream(NumberedStream):
    """Training samples of a network that predicts maps.

    Parameters
    ----------
    samples : FaceSamples
    size : int
        Side length S of the square samples in pixels.
    seed, start, end : int
        See `NumberedStream`.
    positions : bool
        True: the tensors are those of `as_position_tensors`; False: those of `as_tensors`.
    """

    def __init__(
        self, samples: FaceSamples, size: int, seed: int, start: int, end: int, *, positions: bool = False
    ) -> None:
        super().__init__(seed, start, end)
        self.samples, self.size, self.positions = samples, size, positions

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one augmented sample."""
        sample = self.samples.draw(rng, self.size)
        return as_position_tensors(sample) if self.positions else as_tensors(sample)


def as_tensors(sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tensors of a sample that has maps.

    Parameters
    ----------
    sample : Sample

    Returns
    -------
    image : (3, S, S) uint8 tensor
    maps : (4, S, S) float32 tensor, in 100 mm
        Depth and correspondence.
    mask : (1, S, S) float32 tensor
        1 for pixels that show the face, 0 for other pixels.
    """
    maps = np.concatenate([sample.depth[None], sample.correspondence.transpose(2, 0, 1)]) / np.float32(100)
    return image_tensor(sample.image), torch.from_numpy(maps), torch.from_numpy(sample.mask[None].astype(np.float32))


def image_tensor(image: ByteArray) -> Tensor:
    """Return an image (S, S, 3) uint8 as a tensor (3, S, S) uint8."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def as_position_tensors(sample: Sample) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the tensors of `as_tensors`, and the positions of the pixels in the camera frame.

    Parameters
    ----------
    sample : Sample

    Returns
    -------
    image, maps, mask : tensors
        See `as_tensors`.
    position : (2, S, S) float32 tensor, in 100 mm
        Camera-frame x and y of every pixel.
    spacing : () float32 tensor, in 100 mm
        Distance between neighbouring pixels.
    """
    position = np.ascontiguousarray(sample.position().transpose(2, 0, 1)) / np.float32(100)
    spacing = torch.tensor(0.01 / sample.scale, dtype=torch.float32)
    return (*as_tensors(sample), torch.from_numpy(position), spacing)
