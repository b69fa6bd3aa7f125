"""Training samples of the networks that predict meshes: crops, and the true face surface in the crop frame.

The true surface is the face region of the fitted or rendered face model, including the side that the photo does not
show. As in Liu et al. (Pixel2Mesh for 3D Face Reconstruction, sections 3.2 and 4.4.2), it is represented by 60,000
points with normals, uniform by area. A training step uses a subset of these points, with different numbers near the 68
landmarks, at medium distance from the landmarks, and far from the landmarks. The "weights" 0, 1 and 2 in the paper only
name these zones (beyond 17 mm, 10 to 17 mm, within 10 mm): the chamfer loss in the paper has no weights, so the density
of the points is varied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal.arrays import AnyArray, FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.face_region import face_region, mean_depth
from facegeom.geometry import nearest
from facegeom.images.crop import apply_affine, warp_image
from facegeom.networks.semi_sphere import CROP_FACTOR
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.photo_data import Sources, load_training_data, synthetic_faces
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.renderer import Sample
from facegeom.training.data.samples import FaceSamples, NumberedStream, PhotoCrop, image_tensor
from facegeom.training.meshes.semi_sphere_truth import semi_sphere_on

POOL = 60_000
"""Number of points that represent the surface of a face."""

ZONES_MM = (10.0, 17.0)
"""Largest distance from the nearest landmark in the near zone and in the middle zone, mm."""

MESH_MIX = MixOptions(
    turned=0.42,
    synthetic=0.2,
    faceless=0.0,
    crop_factor=(0.95, 1.3),
    loose_crops=0.1,
    loose_factor=(0.85, 1.6),
    shift=0.04,
    roll_deg=12.0,
    any_roll=0.0,
)
"""Distribution of crops about `CROP_FACTOR` times the face, with typical detection errors; always with a face."""

SyntheticVertices = Callable[[np.random.Generator, int], tuple[Sample, FloatArray]]
"""Type of a function that draws a synthetic face and its vertices, like `SyntheticFaces.draw_with_vertices`."""


class ZoneCounts(NamedTuple):
    """Number of points in a training step for each zone of distance from the nearest landmark, see `ZONES_MM`."""

    far: int
    middle: int
    near: int


SAMPLINGS = {
    "far": ZoneCounts(11_000, 4_000, 3_000),
    "half": ZoneCounts(5_500, 2_000, 1_500),
    "near": ZoneCounts(2_000, 3_000, 4_000),
}
"""Name -> point numbers: configurations 1 (chosen in the paper), 2 and 3 of table 3 of Liu et al."""


@dataclass(frozen=True)
class MeshSample:
    """A crop and the true vertices of the face.

    Attributes
    ----------
    image : (S, S, 3) uint8 array
    vertices : (n, 3) float32 array
        All vertices of the face model in the crop frame, with z = 0 at the mean depth of the face region.
    units_per_mm : float
        Scale: number of units of the crop frame per mm.
    """

    image: np.ndarray
    vertices: AnyArray
    units_per_mm: float

    def flipped(self, model: FaceModel) -> MeshSample:
        """Return the mirrored sample, with each vertex replaced by the mirror image of its symmetric counterpart."""
        vertices = self.vertices[model.mirror] * np.array([-1, 1, 1], np.float32)
        return MeshSample(np.ascontiguousarray(self.image[:, ::-1]), vertices, self.units_per_mm)


class PointCloud(NamedTuple):
    """Points of a surface, (m, 3) float32, and unit normals at the points, (m, 3) float32."""

    points: AnyArray
    normals: AnyArray


class FaceSurface:
    """Sampler of random points on the face region.

    Parameters
    ----------
    model : FaceModel
    """

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.faces = face_region(model)

    def landmarks(self, vertices: AnyArray) -> AnyArray:
        """Return the positions of the 68 landmarks, (68, 3), on a face with the vertices (n, 3)."""
        return vertices[self.model.landmarks68]

    def resampled(self, vertices: AnyArray) -> AnyArray:
        """Return the true positions of all semi-sphere vertices, (7008, 3); vertices of coarser levels come first."""
        return semi_sphere_on(self.model)(vertices)

    def centred(self, vertices: AnyArray) -> AnyArray:
        """Return vertices (n, 3) shifted in z so that the area-weighted mean depth of the face region is 0."""
        return np.asarray(vertices - np.array([0, 0, mean_depth(self.model, vertices)], np.float32))

    def pool(self, vertices: AnyArray, count: int, rng: np.random.Generator) -> PointCloud:
        """Draw points on the face region by systematic sampling, uniform by area.

        Parameters
        ----------
        vertices : (n, 3) float32 array
        count : int
            Number of points.
        rng : Generator
            Random number generator.

        Returns
        -------
        PointCloud
            Cloud of `count` points.
        """
        normals, doubled = self._normals(vertices)
        reached = np.cumsum(doubled, dtype=np.float64)
        upto = np.floor(reached * (count / reached[-1]) + rng.random()).astype(np.int64)
        upto[-1] = count
        face = np.repeat(np.arange(len(self.faces)), np.diff(upto, prepend=0))
        first, second = rng.random((2, len(face), 1), np.float32)
        beyond = first + second > 1  # points in the other half of the parallelogram are reflected into the triangle
        first, second = np.where(beyond, 1 - first, first), np.where(beyond, 1 - second, second)
        a, b, c = (vertices[self.faces[face, corner]] for corner in range(3))
        return PointCloud(
            a + first * (b - a) + second * (c - a), normals[face] / np.maximum(doubled[face, None], 1e-20)
        )

    def draw(self, sample: MeshSample, counts: ZoneCounts, share: float, rng: np.random.Generator) -> PointCloud:
        """Draw the points of a training step.

        Parameters
        ----------
        sample : MeshSample
        counts : ZoneCounts
        share : float in (0, 1]
            Fraction of `counts` that is drawn, from the same fraction of the 60,000 points.
        rng : Generator
            Random number generator.

        Returns
        -------
        PointCloud
            Points of the far, the middle and the near zone: `share` times `counts`, rounded down. If a zone has too few
            points, points are repeated.
        """
        pool = self.pool(sample.vertices, round(POOL * share), rng)
        distance = nearest(self.landmarks(sample.vertices), pool.points)[1] / sample.units_per_mm
        zone = np.searchsorted(ZONES_MM, distance, side="right")  # 0 near, 1 middle, 2 far
        chosen = []
        for number, wanted in zip((2, 1, 0), counts, strict=True):
            rows, want = np.flatnonzero(zone == number), int(wanted * share)
            rows = rows if len(rows) else np.arange(len(zone))  # no point of this face lies in the zone
            chosen.append(rng.permutation(rows)[:want] if len(rows) >= want else rng.choice(rows, want))
        index = np.concatenate(chosen)
        return PointCloud(pool.points[index], pool.normals[index])

    def _normals(self, vertices: AnyArray) -> tuple[AnyArray, AnyArray]:
        """Return the normals of the triangles, (m, 3), with twice the area as length, and the lengths, (m,)."""
        a, b, c = (vertices[self.faces[:, corner]] for corner in range(3))
        u, v = (b - a).T, (c - a).T
        normals = np.stack([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]], axis=1)
        return normals, np.sqrt(np.einsum("ij,ij->i", normals, normals))


class MeshSamples:
    """Random samples of labelled photos, without or with the head turned, and of synthetic faces.

    Parameters
    ----------
    faces : FaceSamples
        Samples of the photos; the attribute `mix` contains the distributions.
    synthetic : SyntheticVertices, optional
        Source of synthetic faces.
    """

    def __init__(self, faces: FaceSamples, synthetic: SyntheticVertices | None = None) -> None:
        self.faces, self.synthetic, self.model = faces, synthetic, faces.renderer.model
        self.surface = FaceSurface(self.model)

    def __len__(self) -> int:
        return len(self.faces.rows)

    def draw(self, rng: np.random.Generator, size: int, options: AugmentOptions = AugmentOptions()) -> MeshSample:
        """Draw one augmented training sample of `size` x `size` pixels."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        mix, store = self.faces.mix, self.faces.store
        changed = self.faces.draw_reshaped(rng, size)
        kind = rng.random()
        if changed is not None:
            sample = self._of_photo(changed, size, rng)
        elif self.synthetic is not None and kind < mix.synthetic:
            rendered, points = self.synthetic(rng, size)
            sample = self._sample(rendered.image, points, rendered.scale)
        else:
            item = int(rng.integers(len(self)))
            crop = self.faces.draw_crop(item, kind > 1 - mix.turned, rng, size)
            sample = self._of_photo(crop, size, rng)
        pixels = (self.surface.landmarks(sample.vertices)[:, :2] * (1, -1) + 1) * (size / 2) - 0.5
        eyes = np.stack([pixels[36:42].mean(axis=0), pixels[42:48].mean(axis=0)])
        other = store[int(rng.integers(len(store)))] if rng.random() < 0.2 else None
        sample = replace(sample, image=augment(sample.image, eyes, rng, other, options))
        return sample.flipped(self.model) if rng.random() < 0.5 else sample

    def evaluation(self, item: int, size: int, yaw: float | None = None) -> MeshSample:
        """Return the sample of photo number `item` in a centred crop, without augmentation.

        If `yaw` is given, the head is turned to this absolute yaw in degrees.
        """
        return self._of_photo(self.faces.evaluation_crop(item, size, yaw, CROP_FACTOR), size, None)

    def _of_photo(self, crop: PhotoCrop, size: int, rng: np.random.Generator | None) -> MeshSample:
        photo, source, target, affine = crop
        image = warp_image(photo, affine, size) if target is source else self.faces.render_crop(crop, size, rng).image
        points = target.pixels()
        points[:, :2] = apply_affine(affine, points[:, :2])
        return self._sample(image, points, target.origin_and_scale(affine)[1])

    def _sample(self, image: np.ndarray, points: FloatArray, scale: float) -> MeshSample:
        """Return the sample of vertices given as pixel x, pixel y and depth in mm; `scale` is in pixels per mm."""
        unit = 2 / len(image)
        vertices = points * (unit, -unit, unit * scale) + (0.5 * unit - 1, 1 - 0.5 * unit, 0)
        return MeshSample(image, self.surface.centred(vertices.astype(np.float32)), unit * scale)


class MeshData(NamedTuple):
    """Samples of the training photos and of the validation photos."""

    training: MeshSamples
    validation: MeshSamples


def load_mesh_data(sources: Sources, mix: MixOptions, *, synthetic: bool = True) -> MeshData:
    """Read labels and photos and make the samples of the training and validation sets.

    Parameters and exceptions are those of `facegeom.training.data.photo_data.load_training_data`.
    """
    data = load_training_data(sources, mix, synthetic=False)
    if not synthetic:
        return MeshData(MeshSamples(data.training), MeshSamples(data.validation))
    faces = synthetic_faces(sources, mix)
    return MeshData(
        MeshSamples(data.training, faces.training.draw_with_vertices),
        MeshSamples(data.validation, faces.validation.draw_with_vertices),
    )


class MeshTensors(NamedTuple):
    """Tensors of a training sample. In a batch, all tensors have an additional first dimension b.

    Attributes
    ----------
    image : (3, S, S) uint8 tensor
    points : (m, 3) float32 tensor, crop frame
        Points on the true surface.
    normals : (m, 3) float32 tensor
        Unit normals at the points.
    units_per_mm : () float32 tensor
        Scale: number of units of the crop frame per mm.
    landmarks : (68, 3) float32 tensor, crop frame
    vertices : (7008, 3) float32 tensor, crop frame
        True positions of the finest semi-sphere vertices.
    """

    image: Tensor
    points: Tensor
    normals: Tensor
    units_per_mm: Tensor
    landmarks: Tensor
    vertices: Tensor


def as_mesh_tensors(
    sample: MeshSample, surface: FaceSurface, counts: ZoneCounts, share: float, rng: np.random.Generator
) -> MeshTensors:
    """Return the tensors of a sample, with random points on the true surface; see `FaceSurface.draw`."""
    drawn = surface.draw(sample, counts, share, rng)
    return MeshTensors(
        image_tensor(sample.image),
        torch.from_numpy(drawn.points),
        torch.from_numpy(drawn.normals),
        torch.tensor(sample.units_per_mm, dtype=torch.float32),
        torch.from_numpy(surface.landmarks(sample.vertices)),
        torch.from_numpy(surface.resampled(sample.vertices)),
    )


@dataclass(frozen=True)
class MeshStreamOptions:
    """Options of a stream of samples: size of the crops, and choice of the points on the surface."""

    size: int  # side length of the square crops, pixels
    sampling: str = "far"  # key of `SAMPLINGS`
    share: float = 0.25  # share of the numbers of points in `SAMPLINGS` that one step uses
    fixed: int = 0  # if above 0, number of photos that are used, without augmentation, to test the network


class MeshStream(NumberedStream):
    """Training samples of a network that predicts meshes, as the tensors of `as_mesh_tensors`.

    Parameters
    ----------
    samples : MeshSamples
    options : MeshStreamOptions
    seed, start, end : int
        See `NumberedStream`.
    """

    def __init__(self, samples: MeshSamples, options: MeshStreamOptions, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.samples, self.options = samples, options

    def __getitem__(self, index: int) -> MeshTensors:
        rng = np.random.default_rng([self.seed, self.start + index])
        if not self.options.fixed:
            return self.draw(rng)
        sample = self.samples.evaluation((self.start + index) % self.options.fixed, self.options.size)
        return self._tensors(sample, rng)

    def draw(self, rng: np.random.Generator) -> MeshTensors:
        """Draw one augmented sample."""
        return self._tensors(self.samples.draw(rng, self.options.size), rng)

    def _tensors(self, sample: MeshSample, rng: np.random.Generator) -> MeshTensors:
        counts = SAMPLINGS[self.options.sampling]
        return as_mesh_tensors(sample, self.samples.surface, counts, self.options.share, rng)
