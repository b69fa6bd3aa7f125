"""Training samples on the fly: photos, photos turned to larger poses, and synthetic faces, each by its own seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from facegeom.crop import crop_affine
from facegeom.face_model import FaceModel
from facegeom.training.augment import AugmentOptions, augment
from facegeom.training.labels import Labels, yaw_deg
from facegeom.training.renderer import Image, Pose, Renderer, Sample, crop_square

EYES_MM = np.array([[-31.5, 0.0, 12.0], [31.5, 0.0, 12.0]])
VERTEX_STEP_MM = 0.01
SyntheticSource = Callable[[np.random.Generator, int], tuple[Sample, np.ndarray]]  # -> sample, eyes in pixels


@dataclass(frozen=True)
class MixOptions:
    """What a batch holds and how faces sit in their crops."""

    turned: float = 0.45  # share of photos rendered in a larger pose
    synthetic: float = 0.15  # share of rendered model faces
    max_yaw_deg: float = 88.0
    crop_factor: tuple[float, float] = (0.95, 1.5)  # crop side over the face part's longer side
    loose_crops: float = 0.15  # share of crops as a poor detector gives them
    loose_factor: tuple[float, float] = (0.8, 2.3)
    shift: float = 0.07  # standard deviation of the crop's shift, in crop sides
    roll_deg: float = 10.0  # standard deviation of the in-plane rotation
    any_roll: float = 0.2  # share of crops turned uniformly within 45 degrees


class PhotoStore:
    """Compressed photos of labelled rows in memory, decoded on demand."""

    def __init__(self, photos: dict[str, Path], names: Sequence[str]) -> None:
        self.data = [np.frombuffer(photos[str(name)].read_bytes(), np.uint8) for name in names]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> Image:
        photo: Image = cv2.cvtColor(np.asarray(cv2.imdecode(self.data[row], cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
        return photo


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
        else:
            item = int(rng.integers(len(self.rows)))
            turned = kind > 1 - self.mix.turned
            sample, eyes = self._photo_sample(item, turned, rng, size)
        other = self.store[int(rng.integers(len(self.store)))] if rng.random() < 0.2 else None
        sample = Sample(
            augment(sample.image, eyes, rng, other, options), sample.depth, sample.correspondence, sample.mask
        )
        return sample.flipped() if rng.random() < 0.5 else sample

    def evaluation(self, item: int, size: int, yaw: float | None = None, factor: float = 1.15) -> Sample:
        """Return a photo's sample without augmentation, as it is or turned to `yaw` degrees (to either side)."""
        source = self._pose(item)
        photo = self.store[item]
        target = source if yaw is None else self._turn(source, yaw, 0.0, np.random.default_rng(item))
        box = crop_square(self.renderer.face_box(target), factor=factor, shift=(0, 0))
        affine = crop_affine(box, size)
        if yaw is None:
            return self.renderer.render_photo(photo, source, affine, size)
        return self.renderer.render_turned(photo, source, target, affine, size)

    def _photo_sample(self, item: int, turned: bool, rng: np.random.Generator, size: int) -> tuple[Sample, np.ndarray]:
        mix = self.mix
        source = self._pose(item)
        photo = self.store[item]
        target = source
        if turned:
            yaw = rng.uniform(15, mix.max_yaw_deg)
            target = self._turn(source, yaw, rng.normal(0, 8), rng)
        loose = rng.random() < mix.loose_crops
        factor = rng.uniform(*(mix.loose_factor if loose else mix.crop_factor))
        shift = rng.normal(0, mix.shift * (2 if loose else 1), 2)
        any_roll = rng.random() < mix.any_roll
        angle = rng.uniform(-45, 45) if any_roll else rng.normal(0, mix.roll_deg)
        box = crop_square(self.renderer.face_box(target), factor=factor, shift=(shift[0], shift[1]))
        affine = crop_affine(box, size, angle)
        if turned:
            backdrop = self._backdrop(rng, size) if rng.random() < 0.35 else None
            sample = self.renderer.render_turned(photo, source, target, affine, size, backdrop)
        else:
            sample = self.renderer.render_photo(photo, source, affine, size)
        eyes = Pose(EYES_MM, target.rotation, target.scale, target.translation).pixels()[:, :2]
        return sample, eyes @ affine[:, :2].T + affine[:, 2]

    def _pose(self, item: int) -> Pose:
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

    def _backdrop(self, rng: np.random.Generator, size: int) -> Image:
        """Another photo's corner, enlarged and blurred, or a texture of noise: never a face."""
        if rng.random() < 0.6:
            photo = self.store[int(rng.integers(len(self.store)))]
            extent = max(8, min(photo.shape[:2]) // 5)
            corner = photo[:extent, :extent] if rng.random() < 0.5 else photo[:extent, -extent:]
            return cv2.resize(np.ascontiguousarray(corner), (size, size), interpolation=cv2.INTER_CUBIC)
        cells = int(rng.integers(2, 24))
        noise = rng.normal(rng.uniform(40, 215), rng.uniform(5, 60), (cells, cells, 3)).clip(0, 255).astype(np.uint8)
        return cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)


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


class SampleStream(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Samples by their number in the run: number i is drawn with the seed (seed, i), whatever came before."""

    def __init__(self, samples: FaceSamples, size: int, seed: int, start: int, end: int) -> None:
        self.samples, self.size, self.seed, self.start, self.end = samples, size, seed, start, end

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, self.start + index])
        return as_tensors(self.samples.draw(rng, self.size))


def as_tensors(sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
    """Return image (3, S, S) uint8, maps (4, S, S) float32 in 100 mm: depth and correspondence, mask (1, S, S)."""
    image = torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1)))
    maps = np.concatenate([sample.depth[None], sample.correspondence.transpose(2, 0, 1)]) / np.float32(100)
    return image, torch.from_numpy(maps), torch.from_numpy(sample.mask[None].astype(np.float32))
