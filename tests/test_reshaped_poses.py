"""Reshaped photos as samples of the networks that predict maps or meshes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.errors import FacegeomError
from facegeom.images.crop import apply_affine
from facegeom.networks.identity_crop import face_points
from facegeom.training.data.labels import Labels
from facegeom.training.data.photo_data import Sources, load_training_data
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.samples import FaceSamples
from facegeom.training.data.split import split_names
from facegeom.training.identity.reshaped_photos import ReshapedPhotos
from facegeom.training.identity.reshaped_poses import ReshapedPoses
from facegeom.training.maps.train_facevision import add_arguments as add_facevision
from facegeom.training.meshes.samples import MeshSamples
from facegeom.training.meshes.train_gcn_igan import add_arguments as add_gcn_igan

VERSIONS = 6


def poses() -> list[Pose]:
    model, rng = load_face_model(), np.random.default_rng(0)
    made = []
    for number in range(VERSIONS):
        vertices = model.vertices(rng.normal(0, 0.8, 60), rng.uniform(0, 0.3, len(model.expression_names)))
        tilt = np.radians(7.0 * number)
        roll = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
        pose = Pose(vertices, roll, 0.64, np.array([80.0 + number, 75.0])).turned(15.0 * number - 40, 6.0)
        made.append(pose)
    return made


@pytest.fixture(scope="module")
def stored() -> ReshapedPhotos:
    """Versions whose images are of one colour each."""
    model, rng = load_face_model(), np.random.default_rng(0)
    identity, expression = [], []
    for _ in range(VERSIONS):
        identity.append(rng.normal(0, 0.8, 60))
        expression.append(rng.uniform(0, 0.3, len(model.expression_names)))
    points = np.array([pose.pixels()[face_points(model), :2] for pose in poses()], np.float32)
    images = np.zeros((VERSIONS, 160, 160, 3), np.uint8)
    images[:] = (30 * np.arange(1, VERSIONS + 1))[:, None, None, None]
    return ReshapedPhotos(
        images=images,
        photo=np.arange(VERSIONS, dtype=np.int32) // 2,
        kind=np.ones(VERSIONS, np.int8),
        identity=np.array(identity, np.float32),
        change=np.array(identity, np.float32),
        expression=np.array(expression, np.float32),
        landmarks=np.zeros((VERSIONS, 51, 2), np.float32),
        points=points,
        contours=np.zeros((VERSIONS, 72, 2), np.float32),
        rotation=np.array([pose.rotation for pose in poses()], np.float32),
        names=np.array(["A_0001.jpg", "B_0001.jpg", "C_0001.jpg"]),
    )


def test_the_pose_is_found_exactly_from_the_stored_points(stored: ReshapedPhotos) -> None:
    reshaped = ReshapedPoses(load_face_model(), stored)
    assert len(reshaped) == VERSIONS
    for row, true in enumerate(poses()):
        image, pose = reshaped[row]
        assert np.array_equal(image, stored.images[row])
        assert pose.pixels() == pytest.approx(true.pixels(), abs=1e-3)
        assert pose.rotation == pytest.approx(true.rotation, abs=1e-5)
        assert np.linalg.det(pose.rotation) == pytest.approx(1)
        assert pose.scale == pytest.approx(true.scale, rel=1e-5)


def test_points_that_do_not_belong_to_the_coefficients_are_refused(stored: ReshapedPhotos) -> None:
    wrong = replace(stored, identity=stored.identity + np.float32(0.3))
    with pytest.raises(FacegeomError, match="does not show its coefficients"):
        ReshapedPoses(load_face_model(), wrong)


def _samples(samples: FaceSamples, stored: ReshapedPhotos, share: float) -> FaceSamples:
    reshaped = ReshapedPoses(load_face_model(), stored)
    mix = MixOptions(reshaped=share, synthetic=0.0)
    return FaceSamples(load_face_model(), samples.store, samples.labels, samples.rows, mix, None, reshaped)


def test_a_sample_shows_the_exact_maps_of_the_version(samples: FaceSamples, stored: ReshapedPhotos) -> None:
    made = _samples(samples, stored, 1.0)
    rng = np.random.default_rng(3)
    crop = made.draw_reshaped(rng, 96)
    assert crop is not None
    sample = made.render_crop(crop, 96)
    row = int(np.median(crop.photo)) // 30 - 1
    placed = poses()[row].pixels()
    placed[:, :2] = apply_affine(crop.affine, placed[:, :2])
    model = load_face_model()
    for vertex in (model.landmarks68[30], model.landmarks68[33]):
        x, y = np.rint(placed[vertex, :2]).astype(int)
        if 0 <= x < 96 and 0 <= y < 96 and sample.mask[y, x]:
            assert sample.depth[y, x] == pytest.approx(placed[vertex, 2], abs=3.0)
            assert sample.correspondence[y, x] == pytest.approx(model.mean[vertex], abs=4.0)
    assert sample.mask.mean() > 0.05
    drawn = made.draw(np.random.default_rng(3), 96)
    assert drawn.image.shape == (96, 96, 3)
    assert drawn.mask.any()


def test_the_share_of_reshaped_photos_is_that_of_the_mix(samples: FaceSamples, stored: ReshapedPhotos) -> None:
    made = _samples(samples, stored, 0.3)
    rng = np.random.default_rng(1)
    drawn = [made.draw_reshaped(rng, 32) is not None for _ in range(400)]
    assert np.mean(drawn) == pytest.approx(0.3, abs=0.07)


def test_without_reshaped_photos_the_random_numbers_are_the_same(samples: FaceSamples) -> None:
    rng, other = np.random.default_rng(5), np.random.default_rng(5)
    assert samples.draw_reshaped(rng, 32) is None
    assert rng.random() == other.random()


def test_meshes_are_trained_on_the_vertices_of_the_version(samples: FaceSamples, stored: ReshapedPhotos) -> None:
    made = MeshSamples(_samples(samples, stored, 1.0))
    sample = made.draw(np.random.default_rng(2), 64)
    lengths = [
        np.linalg.norm(V[made.model.landmarks68[8]] - V[made.model.landmarks68[27]])
        for V in (sample.vertices / sample.units_per_mm, *(pose.vertices for pose in poses()))
    ]
    assert np.abs(np.array(lengths[1:]) - lengths[0]).min() < 0.01


def _save(stored: ReshapedPhotos, folder: Path, names: list[str]) -> None:
    folder.mkdir()
    table = {name: getattr(stored, name) for name in ReshapedPhotos.__dataclass_fields__ if name != "images"}
    np.savez(folder / "table.npz", **{**table, "names": np.array(names)})
    np.save(folder / "images.npy", stored.images)


def test_only_versions_of_training_photos_train(
    labels: Labels, folder: Path, stored: ReshapedPhotos, tmp_path: Path
) -> None:
    labels.save(tmp_path / "labels.npz")
    names = [str(name) for name in labels.names]
    split = split_names(names)
    _save(stored, tmp_path / "good", [names[row] for row in split.training[:3]])
    _save(stored, tmp_path / "bad", [names[split.training[0]], names[split.training[1]], names[split.test[0]]])
    sources = Sources(folder, tmp_path / "labels.npz", reshaped=tmp_path / "good")
    data = load_training_data(sources, MixOptions(), synthetic=False)
    assert data.training.reshaped is not None
    assert len(data.training.reshaped) == VERSIONS
    assert data.validation.reshaped is None
    with pytest.raises(FacegeomError, match="1 photos that are not in the training set"):
        load_training_data(replace(sources, reshaped=tmp_path / "bad"), MixOptions(), synthetic=False)
    with pytest.raises(FacegeomError, match="no reshaped photos"):
        load_training_data(replace(sources, reshaped=tmp_path / "none"), MixOptions(), synthetic=False)


@pytest.mark.parametrize("add_arguments", [add_facevision, add_gcn_igan])
def test_the_options_are_sources(add_arguments: Any) -> None:
    import argparse

    from facegeom.training.arguments import sources_from

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(["photos", "--labels", "l.npz", "--reshaped", "folder", "--assets", "a.npz"])
    assert sources_from(args).reshaped == Path("folder")
    assert sources_from(args).assets == Path("a.npz")
    assert sources_from(parser.parse_args(["photos", "--labels", "l.npz"])).reshaped is None
