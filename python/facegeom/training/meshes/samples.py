"""Samples for networks that make meshes: crops, and the true surface of the face in the frame of the crop.

The truth is the face region of the fitted face model, its hidden side too, or of the face that was rendered. As in Liu
et al., Pixel2Mesh for 3D Face Reconstruction, sections 3.2 and 4.4.2, a face is 60,000 points with normals, uniform by
area, of which a step of training sees some, more or fewer of them near the 68 landmarks. The paper's "weight" (0, 1
and 2, beyond 17 mm, between, and within 10 mm) is the name of such a zone and nothing else: points are drawn by zone
because the paper's chamfer loss could not be weighted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from facegeom._internal.arrays import FloatArray
from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.face_region import face_region, mean_depth
from facegeom.geometry import nearest
from facegeom.images.crop import apply_affine, warp_image
from facegeom.networks.semi_sphere import CROP_FACTOR
from facegeom.training.data.augment import AugmentOptions, augment
from facegeom.training.data.photo_data import Sources, load_training_data
from facegeom.training.data.renderer import Sample
from facegeom.training.data.samples import FaceSamples, MixOptions, NumberedStream, Placed, image_tensor
from facegeom.training.meshes.semi_sphere_truth import semi_sphere_on

POOL = 60_000
"""Points of a face, by area."""

ZONES_MM = (10.0, 17.0)
"""Distances from the nearest landmark at which the near and the middle zone end."""

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
"""Crops about `CROP_FACTOR` times the face, as far off as detections are; photos, turned or not, and renders."""

Floats = np.ndarray  # float32
SyntheticVertices = Callable[[np.random.Generator, int], tuple[Sample, FloatArray]]
"""`SyntheticFaces.draw_with_vertices`, or the like."""


class ZoneCounts(NamedTuple):
    """How many points of a face a step sees, by their distance from the nearest landmark."""

    far: int
    middle: int
    near: int


SAMPLINGS = {
    "far": ZoneCounts(11_000, 4_000, 3_000),
    "half": ZoneCounts(5_500, 2_000, 1_500),
    "near": ZoneCounts(2_000, 3_000, 4_000),
}
"""Table 3's configurations 1 (the paper's choice), 2 (half of it) and 3."""


@dataclass(frozen=True)
class MeshSample:
    """A crop and the face in it.

    Attributes
    ----------
    image : (S, S, 3) uint8
    vertices : (n, 3) float32, all of the face model's, crop frame, z from the mean depth of the face region
    units_per_mm : units of the crop frame per mm
    """

    image: np.ndarray
    vertices: Floats
    units_per_mm: float

    def flipped(self, model: FaceModel) -> MeshSample:
        """Return the mirror image: the person's left becomes right, and every vertex the one at its mirrored place."""
        vertices = self.vertices[model.mirror] * np.array([-1, 1, 1], np.float32)
        return MeshSample(np.ascontiguousarray(self.image[:, ::-1]), vertices, self.units_per_mm)


class PointCloud(NamedTuple):
    """Points (m, 3) of a surface and its unit normals (m, 3) there, float32."""

    points: Floats
    normals: Floats


class FaceSurface:
    """Draws points from the face region of samples."""

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.faces = face_region(model)

    def landmarks(self, vertices: Floats) -> Floats:
        """Return the 68 landmarks (68, 3)."""
        return vertices[self.model.landmarks68]

    def resampled(self, vertices: Floats) -> Floats:
        """Return the face in the semi-sphere's finest triangulation (7008, 3); coarser levels are the first rows."""
        return semi_sphere_on(self.model)(vertices)

    def centred(self, vertices: Floats) -> Floats:
        """Return vertices (n, 3) with z from the mean depth, by area, of the face region."""
        return np.asarray(vertices - np.array([0, 0, mean_depth(self.model, vertices)], np.float32))

    def pool(self, vertices: Floats, count: int, rng: np.random.Generator) -> PointCloud:
        """Draw `count` points uniformly by area: of every stretch of area that holds one on average, about one."""
        normals, doubled = self._normals(vertices)
        reached = np.cumsum(doubled, dtype=np.float64)
        upto = np.floor(reached * (count / reached[-1]) + rng.random()).astype(np.int64)
        upto[-1] = count
        face = np.repeat(np.arange(len(self.faces)), np.diff(upto, prepend=0))
        first, second = rng.random((2, len(face), 1), np.float32)
        beyond = first + second > 1  # the other half of the parallelogram
        first, second = np.where(beyond, 1 - first, first), np.where(beyond, 1 - second, second)
        a, b, c = (vertices[self.faces[face, corner]] for corner in range(3))
        return PointCloud(
            a + first * (b - a) + second * (c - a), normals[face] / np.maximum(doubled[face, None], 1e-20)
        )

    def draw(self, sample: MeshSample, counts: ZoneCounts, share: float, rng: np.random.Generator) -> PointCloud:
        """Draw a share of the points of a sampling, from the same share of the face's 60,000.

        Parameters
        ----------
        sample : MeshSample
        counts : of `SAMPLINGS`
        share : in (0, 1]
        rng : the source of chance

        Returns
        -------
        PointCloud
            Far, middle and near ones, the counts' share of each, rounded down; where a zone has fewer, some come twice.
        """
        pool = self.pool(sample.vertices, round(POOL * share), rng)
        distance = nearest(self.landmarks(sample.vertices), pool.points)[1] / sample.units_per_mm
        zone = np.searchsorted(ZONES_MM, distance, side="right")  # 0 near, 1 middle, 2 far
        chosen = []
        for number, wanted in zip((2, 1, 0), counts, strict=True):
            rows, want = np.flatnonzero(zone == number), int(wanted * share)
            rows = rows if len(rows) else np.arange(len(zone))  # a face so small or large that it has no such zone
            chosen.append(rng.permutation(rows)[:want] if len(rows) >= want else rng.choice(rows, want))
        index = np.concatenate(chosen)
        return PointCloud(pool.points[index], pool.normals[index])

    def _normals(self, vertices: Floats) -> tuple[Floats, Floats]:
        """Return normals (m, 3) as long as the doubled areas, and these (m,)."""
        a, b, c = (vertices[self.faces[:, corner]] for corner in range(3))
        u, v = (b - a).T, (c - a).T
        normals = np.stack([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]], axis=1)
        return normals, np.sqrt(np.einsum("ij,ij->i", normals, normals))


class MeshSamples:
    """Draws samples of labelled photos, as they are or turned, and of synthetic faces.

    Parameters
    ----------
    faces : FaceSamples
        Whose `mix` counts.
    synthetic : source of rendered faces, or None
    """

    def __init__(self, faces: FaceSamples, synthetic: SyntheticVertices | None = None) -> None:
        self.faces, self.synthetic, self.model = faces, synthetic, faces.renderer.model
        self.surface = FaceSurface(self.model)

    def __len__(self) -> int:
        return len(self.faces.rows)

    def draw(self, rng: np.random.Generator, size: int, options: AugmentOptions = AugmentOptions()) -> MeshSample:
        """Draw one augmented training sample."""
        cv2.setRNGSeed(int(rng.integers(2**31)))
        mix, store = self.faces.mix, self.faces.store
        kind = rng.random()
        if self.synthetic is not None and kind < mix.synthetic:
            rendered, points = self.synthetic(rng, size)
            sample = self._sample(rendered.image, points, rendered.scale)
        else:
            item = int(rng.integers(len(self)))
            placed = self.faces.draw_placed(item, kind > 1 - mix.turned, rng, size)
            sample = self._of_photo(placed, size, rng)
        pixels = (self.surface.landmarks(sample.vertices)[:, :2] * (1, -1) + 1) * (size / 2) - 0.5
        eyes = np.stack([pixels[36:42].mean(axis=0), pixels[42:48].mean(axis=0)])
        other = store[int(rng.integers(len(store)))] if rng.random() < 0.2 else None
        sample = replace(sample, image=augment(sample.image, eyes, rng, other, options))
        return sample.flipped(self.model) if rng.random() < 0.5 else sample

    def evaluation(self, item: int, size: int, yaw: float | None = None) -> MeshSample:
        """Return a photo's sample without augmentation, as it is or turned to `yaw` degrees (to either side)."""
        return self._of_photo(self.faces.placed(item, size, yaw, CROP_FACTOR), size, None)

    def _of_photo(self, placed: Placed, size: int, rng: np.random.Generator | None) -> MeshSample:
        photo, source, target, affine = placed
        image = warp_image(photo, affine, size) if target is source else self.faces.rendered(placed, size, rng).image
        points = target.pixels()
        points[:, :2] = apply_affine(affine, points[:, :2])
        return self._sample(image, points, target.placed(affine)[1])

    def _sample(self, image: np.ndarray, points: FloatArray, scale: float) -> MeshSample:
        """Return the sample of vertices given as pixel x, pixel y and depth in mm, at `scale` pixels per mm."""
        unit = 2 / len(image)
        vertices = points * (unit, -unit, unit * scale) + (0.5 * unit - 1, 1 - 0.5 * unit, 0)
        return MeshSample(image, self.surface.centred(vertices.astype(np.float32)), unit * scale)


class MeshData(NamedTuple):
    """Samples of the training and of the validation photos."""

    training: MeshSamples
    validation: MeshSamples


def load_mesh_data(sources: Sources, mix: MixOptions, *, synthetic: bool = True) -> MeshData:
    """Read labels and photos and set up the samples; see `load_training_data`."""
    data = load_training_data(sources, mix, synthetic=False)
    draw = None
    if synthetic:
        from facegeom.training.data.synthetic import SyntheticFaces

        if sources.texture_model is None:
            raise FacegeomError("synthetic faces need --texture-model; make one, or give --no-synthetic")
        draw = SyntheticFaces(load_face_model(), mix, sources.texture_model).draw_with_vertices
    return MeshData(MeshSamples(data.training, draw), MeshSamples(data.validation, draw))


class MeshTensors(NamedTuple):
    """What a network learns from; of a batch with b in front.

    Attributes
    ----------
    image : (3, S, S) uint8
    points : (m, 3) float32, crop frame
    normals : (m, 3) float32, unit
    units_per_mm : () float32
    landmarks : (68, 3) float32, crop frame
    vertices : (7008, 3) float32, crop frame
        The surface in the semi-sphere's triangulation.
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
    """Return a sample with points drawn on its surface, see `FaceSurface.draw`."""
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
class Drawing:
    """How the samples of a stream are drawn."""

    size: int  # pixels
    sampling: str = "far"  # key of `SAMPLINGS`
    share: float = 0.25  # of the sampling's points that a step sees
    fixed: int = 0  # above 0: this many photos again and again, without augmentation, to see whether a network learns


class MeshStream(NumberedStream):
    """The training samples of a network that makes meshes, as `as_mesh_tensors` makes them."""

    def __init__(self, samples: MeshSamples, drawing: Drawing, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.samples, self.drawing = samples, drawing

    def __getitem__(self, index: int) -> MeshTensors:
        rng = np.random.default_rng([self.seed, self.start + index])
        if not self.drawing.fixed:
            return self.draw(rng)
        sample = self.samples.evaluation((self.start + index) % self.drawing.fixed, self.drawing.size)
        return self._tensors(sample, rng)

    def draw(self, rng: np.random.Generator) -> MeshTensors:
        """Draw one augmented sample."""
        return self._tensors(self.samples.draw(rng, self.drawing.size), rng)

    def _tensors(self, sample: MeshSample, rng: np.random.Generator) -> MeshTensors:
        counts = SAMPLINGS[self.drawing.sampling]
        return as_mesh_tensors(sample, self.samples.surface, counts, self.drawing.share, rng)
