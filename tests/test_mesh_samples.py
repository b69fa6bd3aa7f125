"""Samples of networks that predict meshes: position of the true surface, and choice of its points."""

import numpy as np
import pytest
import torch

from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_region
from facegeom.geometry import closest_points, nearest
from facegeom.images.crop import apply_affine, crop_affine
from facegeom.networks.semi_sphere import CROP_FACTOR
from facegeom.training.data.photo_data import Sources
from facegeom.training.data.renderer import crop_square
from facegeom.training.data.samples import FaceSamples
from facegeom.training.data.synthetic import SyntheticFaces
from facegeom.training.meshes.samples import (
    MESH_MIX,
    SAMPLINGS,
    ZONES_MM,
    FaceSurface,
    MeshSamples,
    MeshStream,
    MeshStreamOptions,
    load_mesh_data,
)

MODEL = load_face_model()


@pytest.fixture(scope="module")
def meshes(samples, labels):
    return MeshSamples(FaceSamples(MODEL, samples.store, labels, np.arange(4), MESH_MIX))


def test_the_face_region_has_closed_eye_openings():
    region = face_region(MODEL)
    assert not MODEL.regions["ear_left"][region].any()
    assert not MODEL.regions["mouth_interior"][region].any()
    eye = MODEL.mean[MODEL.regions["eyeball_left"]].mean(axis=0)
    found = closest_points(MODEL.mean, region, eye[None] + (0, 0, 30))
    corner = region[found.face[0]]
    assert MODEL.regions["eyeball_left"][corner].all()


def test_vertices_project_onto_their_pixels(meshes):
    size, pose = 64, meshes.faces.pose(1)
    sample = meshes.evaluation(1, size)
    box = crop_square(meshes.faces.renderer.face_box(pose), factor=CROP_FACTOR, shift=(0, 0))
    pixels = apply_affine(crop_affine(box, size), pose.pixels()[:, :2])
    expected = np.column_stack([(2 * pixels[:, 0] + 1) / size - 1, 1 - (2 * pixels[:, 1] + 1) / size])
    np.testing.assert_allclose(sample.vertices[:, :2], expected, atol=1e-5)
    depth = pose.pixels()[:, 2] * sample.units_per_mm
    np.testing.assert_allclose(sample.vertices[:, 2] - sample.vertices[0, 2], depth - depth[0], atol=1e-5)
    side = np.ptp(sample.vertices[np.unique(meshes.surface.faces), :2], axis=0).max()
    assert side == pytest.approx(2 / CROP_FACTOR, rel=0.01)


@pytest.mark.parametrize("yaw", [None, 60.0])
def test_depth_is_relative_to_the_mean_of_the_surface(meshes, yaw):
    sample = meshes.evaluation(0, 64, yaw)
    points = meshes.surface.pool(sample.vertices, 30_000, np.random.default_rng(0)).points
    assert abs(points[:, 2].mean()) < 2e-3
    assert np.ptp(points[:, 2]) > 0.5


def test_turned_faces_keep_their_surface(meshes):
    size = 64
    as_it_is, turned = meshes.evaluation(2, size), meshes.evaluation(2, size, 60.0)
    lengths = [
        np.linalg.norm(np.diff(sample.vertices[MODEL.faces[:, :2]], axis=1)[:, 0], axis=1) / sample.units_per_mm
        for sample in (as_it_is, turned)
    ]
    np.testing.assert_allclose(*lengths, atol=2e-3)
    mask = meshes.faces.render_crop(meshes.faces.evaluation_crop(2, size, 60.0, CROP_FACTOR), size).mask
    pixels = np.rint((turned.vertices[np.unique(face_region(MODEL)), :2] * (1, -1) + 1) * size / 2 - 0.5).astype(int)
    assert mask[pixels[:, 1].clip(0, size - 1), pixels[:, 0].clip(0, size - 1)].mean() > 0.95


def test_mirrored_samples_swap_left_and_right(meshes):
    sample = meshes.evaluation(3, 48, 40.0)
    flipped = sample.flipped(MODEL)
    np.testing.assert_array_equal(flipped.image[:, ::-1], sample.image)
    right, left = meshes.surface.landmarks(sample.vertices)[36], meshes.surface.landmarks(flipped.vertices)[45]
    np.testing.assert_allclose(left, right * (-1, 1, 1), atol=1e-6)
    again = flipped.flipped(MODEL)
    np.testing.assert_array_equal(again.vertices, sample.vertices)
    np.testing.assert_array_equal(again.image, sample.image)


def test_pool_points_are_uniform_by_area_and_on_the_surface(meshes):
    V = MODEL.mean.astype(np.float32)
    drawn = meshes.surface.pool(V, 8000, np.random.default_rng(1))
    assert drawn.points.dtype == drawn.normals.dtype == np.float32
    found = closest_points(MODEL.mean, meshes.surface.faces, drawn.points[::20])
    assert found.distance.max() < 1e-3
    np.testing.assert_allclose(np.linalg.norm(drawn.normals, axis=1), 1, atol=1e-5)
    a, b, c = (MODEL.mean[meshes.surface.faces[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    upper = ((a + b + c)[:, 1] / 3) > 0
    assert (drawn.points[:, 1] > 0).mean() == pytest.approx(area[upper].sum() / area.sum(), abs=0.01)
    middle = drawn.points[np.abs(drawn.points[:, 0]) < 5]
    assert drawn.normals[np.abs(drawn.points[:, 0]) < 5][middle[:, 2] > 40][:, 2].mean() > 0.5  # ridge of the nose


@pytest.mark.parametrize("name", sorted(SAMPLINGS))
def test_points_are_drawn_by_zone(meshes, name):
    sample, share = meshes.evaluation(0, 64), 0.1
    drawn = meshes.surface.draw(sample, SAMPLINGS[name], share, np.random.default_rng(2))
    distance = nearest(meshes.surface.landmarks(sample.vertices), drawn.points)[1] / sample.units_per_mm
    near, middle = (distance < ZONES_MM[0]).sum(), ((distance >= ZONES_MM[0]) & (distance < ZONES_MM[1])).sum()
    counts = SAMPLINGS[name]
    assert (len(distance) - near - middle, middle, near) == tuple(int(count * share) for count in counts)


def test_samplings_are_those_of_table_3():
    assert [sum(counts) for counts in SAMPLINGS.values()] == [18_000, 9_000, 9_000]
    assert SAMPLINGS["near"].near > SAMPLINGS["near"].far


def test_points_are_drawn_even_if_a_zone_is_empty():
    surface = FaceSurface(MODEL)
    tiny = MeshSamplesTiny(MODEL.mean.astype(np.float32), 100.0)  # a face of 2 mm: every point is near a landmark
    drawn = surface.draw(tiny, SAMPLINGS["far"], 0.01, np.random.default_rng(0))
    assert drawn.points.shape == (110 + 40 + 30, 3)


class MeshSamplesTiny:
    def __init__(self, vertices, units_per_mm):
        self.vertices, self.units_per_mm = vertices, units_per_mm


def test_a_sample_depends_only_on_its_seed_and_number(meshes):
    drawing = MeshStreamOptions(48, share=0.01)
    first, second = MeshStream(meshes, drawing, 7, 0, 20), MeshStream(meshes, drawing, 7, 12, 20)
    tensors = first[15]
    for a, b in zip(tensors, second[3], strict=True):
        assert torch.equal(a, b)
    assert tensors.image.shape == (3, 48, 48)
    assert tensors.image.dtype == torch.uint8
    assert tensors.points.shape == tensors.normals.shape == (180, 3)
    assert tensors.landmarks.shape == (68, 3)
    assert tensors.units_per_mm.shape == ()
    assert {t.dtype for t in tensors[1:]} == {torch.float32}
    assert not torch.equal(first[15].image, first[14].image)


def test_fixed_photos_repeat_with_other_points(meshes):
    stream = MeshStream(meshes, MeshStreamOptions(48, share=0.01, fixed=3), 0, 0, 9)
    assert torch.equal(stream[1].image, stream[4].image)
    assert torch.equal(stream[1].landmarks, stream[7].landmarks)
    assert not torch.equal(stream[1].points, stream[4].points)
    assert not torch.equal(stream[0].landmarks, stream[1].landmarks)


def test_synthetic_faces_have_their_true_surface(meshes):
    faces = SyntheticFaces(MODEL, MESH_MIX)
    both = MeshSamples(meshes.faces, faces.draw_with_vertices)
    kinds = [np.random.default_rng(seed) for seed in range(40)]
    seed = next(i for i, rng in enumerate(kinds) if rng.integers(2**31) >= 0 and rng.random() < MESH_MIX.synthetic)
    sample = both.draw(np.random.default_rng(seed), 48)
    assert sample.image.shape == (48, 48, 3)
    inside = np.abs(both.surface.landmarks(sample.vertices)[:, :2]) < 1.2
    assert inside.mean() > 0.9
    spread = np.linalg.norm(np.diff(both.surface.landmarks(sample.vertices)[[36, 45]], axis=0)) / sample.units_per_mm
    assert 70 < spread < 110  # mm between the outer corners of the eyes


def test_synthetic_faces_need_a_texture_model(labels, folder, tmp_path):
    labels.save(tmp_path / "labels.npz")
    with pytest.raises(FacegeomError, match="--texture-model"):
        load_mesh_data(Sources(folder, tmp_path / "labels.npz"), MESH_MIX)
    data = load_mesh_data(Sources(folder, tmp_path / "labels.npz"), MESH_MIX, synthetic=False)
    assert len(data.training) == 17
    assert len(data.validation) == 300
