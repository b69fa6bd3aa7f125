"""Training samples on the fly, each by its own seed: photos, photos turned further, synthetic faces, no face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom.face_model import FaceModel
from facegeom.images.crop import crop_affine
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.faceless import faceless_crop
from facegeom.training.data.labels import Labels, yaw_deg
from facegeom.training.data.renderer import Pose, Renderer, Sample, crop_square

EYES_MM = np.array([[-31.5, 0.0, 12.0], [31.5, 0.0, 12.0]])
VERTEX_STEP_MM = 0.01
MAX_ROLL_DEG = 100.0  # a second look turns the crop upright, so the first must cope with any
SyntheticSource = Callable[[np.random.Generator, int], tuple[Sample, np.ndarray]]  # -> sample, eyes in pixels


@dataclass(frozen=True)
class MixOptions:
    """What a batch holds and how faces sit in their crops."""

    turned: float = 0.42  # share of photos rendered in a larger pose
    synthetic: float = 0.22  # share of rendered model faces
    faceless: float = 0.06  # share of crops without a face, whose mask is empty
    max_yaw_deg: float = 88.0
    crop_factor: tuple[float, float] = (0.95, 1.5)  # crop side over the face part's longer side
    loose_crops: float = 0.15  # share of crops as a poor detector gives them
    loose_factor: tuple[float, float] = (0.8, 2.3)
    shift: float = 0.07  # standard deviation of the crop's shift, in crop sides
    roll_deg: float = 10.0  # standard deviation of the in-plane rotation
    any_roll: float = 0.2  # share of crops turned uniformly within `MAX_ROLL_DEG`


class PhotoStore:
    """Compressed photos of labelled rows in memory, decoded on demand."""

    def __init__(self, photos: dict[str, Path], names: Sequence[str]) -> None:
        self.data = [np.frombuffer(photos[str(name)].read_bytes(), np.uint8) for name in names]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> ByteArray:
        return np.asarray(
            cv2.cvtColor(np.asarray(cv2.imdecode(self.data[row], cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB), np.uint8
        )


class Placed(NamedTuple):
    """A photo's face put into a crop: the photo, its pose there, the pose to show, photo pixels to crop pixels."""

    photo: ByteArray
    source: Pose
    target: Pose
    affine: FloatArray


class FaceSamples:
    """Draws samples of labelled photos; the same seed gives the same sample."""

    def __init__(
        self,
        model: FaceModel,
        store: PhotoStore,
        labels: Labels,
        rows: np.ndarray,
        mix: MixOptions = MixOptions(),
        synthetic: SyntheticSource | None = None,
    ) -> None:
        if len(store) != len(rows):
            raise ValueError(f"the store holds {len(store)} photos, the rows are {len(rows)}")
        self.renderer = Renderer(model)
        self.store, self.labels, self.rows = store, labels, np.asarray(rows)
        self.mix, self.synthetic = mix, synthetic
        self._vertices = _all_vertices(model, labels, self.rows)

    def draw(self, rng: np.random.Generator, size: int, options: AugmentOptions = AugmentOptions()) -> Sample:
        """Draw one augmented training sample."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        kind = rng.random()
        if self.synthetic is not None and kind < self.mix.synthetic:
            sample, eyes = self.synthetic(rng, size)
        elif self.mix.synthetic <= kind < self.mix.synthetic + self.mix.faceless:
            sample, eyes = self._faceless_sample(int(rng.integers(len(self.rows))), rng, size), np.zeros((2, 2))
        else:
            item = int(rng.integers(len(self.rows)))
            turned = kind > 1 - self.mix.turned
            sample, eyes = self._photo_sample(item, turned, rng, size)
        other = self.store[int(rng.integers(len(self.store)))] if rng.random() < 0.2 else None
        sample = replace(sample, image=augment(sample.image, eyes, rng, other, options))
        return sample.flipped() if rng.random() < 0.5 else sample

    def photo(self, rng: np.random.Generator, size: int) -> Sample:
        """Draw a photo as it is, in a random crop, half of them mirrored, without augmentation."""
        sample, _ = self._photo_sample(int(rng.integers(len(self.rows))), False, rng, size)
        return sample.flipped() if rng.random() < 0.5 else sample

    def render(self, rng: np.random.Generator, size: int) -> Sample:
        """Draw a synthetic face likewise."""
        if self.synthetic is None:
            raise ValueError("these samples were made without synthetic faces")
        sample, _ = self.synthetic(rng, size)
        return sample.flipped() if rng.random() < 0.5 else sample

    def evaluation(self, item: int, size: int, yaw: float | None = None, factor: float = 1.15) -> Sample:
        """Return a photo's sample without augmentation, as it is or turned to `yaw` degrees (to either side)."""
        return self.rendered(self.placed(item, size, yaw, factor), size)

    def placed(self, item: int, size: int, yaw: float | None = None, factor: float = 1.15) -> Placed:
        """Return where `evaluation` puts the photo's face."""
        source = self.pose(item)
        target = source if yaw is None else self._turn(source, yaw, 0.0, np.random.default_rng(item))
        box = crop_square(self.renderer.face_box(target), factor=factor, shift=(0, 0))
        return Placed(self.store[item], source, target, crop_affine(box, size))

    def draw_placed(self, item: int, turned: bool, rng: np.random.Generator, size: int) -> Placed:
        """Draw where a photo's face is put."""
        mix = self.mix
        source = self.pose(item)
        photo = self.store[item]
        target = source
        if turned:
            yaw = rng.uniform(15, mix.max_yaw_deg)
            target = self._turn(source, yaw, rng.normal(0, 8), rng)
        loose = rng.random() < mix.loose_crops
        factor = rng.uniform(*(mix.loose_factor if loose else mix.crop_factor))
        shift = rng.normal(0, mix.shift * (2 if loose else 1), 2)
        any_roll = rng.random() < mix.any_roll
        angle = rng.uniform(-MAX_ROLL_DEG, MAX_ROLL_DEG) if any_roll else rng.normal(0, mix.roll_deg)
        box = crop_square(self.renderer.face_box(target), factor=factor, shift=(shift[0], shift[1]))
        return Placed(photo, source, target, crop_affine(box, size, angle))

    def rendered(self, placed: Placed, size: int, rng: np.random.Generator | None = None) -> Sample:
        """Render a placed face, with `rng` now and then before a background other than its own where it is turned."""
        photo, source, target, affine = placed
        if target is source:
            return self.renderer.render_photo(photo, source, affine, size)
        backdrop = self._backdrop(rng, size) if rng is not None and rng.random() < 0.35 else None
        return self.renderer.render_turned(photo, source, target, affine, size, backdrop)

    def _photo_sample(self, item: int, turned: bool, rng: np.random.Generator, size: int) -> tuple[Sample, np.ndarray]:
        placed = self.draw_placed(item, turned, rng, size)
        sample = self.rendered(placed, size, rng)
        _, _, target, affine = placed
        eyes = Pose(EYES_MM, target.rotation, target.scale, target.translation).pixels()[:, :2]
        return sample, eyes @ affine[:, :2].T + affine[:, 2]

    def _faceless_sample(self, item: int, rng: np.random.Generator, size: int) -> Sample:
        image = faceless_crop(self.store[item], self.pose(item).pixels()[:, :2], rng, size)
        return Sample.without_face(image)

    def pose(self, item: int) -> Pose:
        """Return the fitted face of photo number `item`, in the photo."""
        row = int(self.rows[item])
        labels = self.labels
        return Pose(
            self._vertices[item] * VERTEX_STEP_MM,
            labels.rotation[row].astype(np.float64),
            float(labels.scale[row]),
            labels.translation[row].astype(np.float64),
        )

    def _turn(self, source: Pose, yaw: float, pitch: float, rng: np.random.Generator) -> Pose:
        """Turn the face to |yaw| degrees to the side it already faces, so that what comes into view was in view."""
        have = float(yaw_deg(source.rotation))
        side = np.sign(have) if abs(have) > 6 else rng.choice([-1.0, 1.0])
        return source.turned(side * max(yaw - side * have, 0.0), pitch)

    def _backdrop(self, rng: np.random.Generator, size: int) -> ByteArray:
        """Another photo's corner, enlarged and blurred, or a texture of noise: never a face."""
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
    """Return the fitted vertices of all rows, (r, n, 3) int16 in steps of `VERTEX_STEP_MM`: made once, read often."""
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
    """Samples by their number in the run: number i is drawn with the seed (seed, i), whatever came before."""

    def __init__(self, seed: int, start: int, end: int) -> None:
        self.seed, self.start, self.end = seed, start, end

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.draw(np.random.default_rng([self.seed, self.start + index]))

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one sample."""
        raise NotImplementedError


class SampleStream(NumberedStream):
    """The training samples of a network of maps, as `as_tensors` makes them, or as `as_placed_tensors` where asked."""

    def __init__(
        self, samples: FaceSamples, size: int, seed: int, start: int, end: int, *, placed: bool = False
    ) -> None:
        super().__init__(seed, start, end)
        self.samples, self.size, self.placed = samples, size, placed

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one augmented sample."""
        sample = self.samples.draw(rng, self.size)
        return as_placed_tensors(sample) if self.placed else as_tensors(sample)


def as_tensors(sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
    """Return image (3, S, S) uint8, maps (4, S, S) float32 in 100 mm: depth and correspondence, mask (1, S, S)."""
    maps = np.concatenate([sample.depth[None], sample.correspondence.transpose(2, 0, 1)]) / np.float32(100)
    return image_tensor(sample.image), torch.from_numpy(maps), torch.from_numpy(sample.mask[None].astype(np.float32))


def image_tensor(image: ByteArray) -> Tensor:
    """Return an image (S, S, 3) uint8 as (3, S, S)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def as_placed_tensors(sample: Sample) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return what `as_tensors` does, then x and y (2, S, S) and the pixels' spacing (), both in 100 mm."""
    position = np.ascontiguousarray(sample.position().transpose(2, 0, 1)) / np.float32(100)
    spacing = torch.tensor(0.01 / sample.scale, dtype=torch.float32)
    return (*as_tensors(sample), torch.from_numpy(position), spacing)
